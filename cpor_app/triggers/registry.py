"""The operator's side: partners, customers, figures, failed messages, and the sandbox's clock."""

import re
from codecs import BOM_UTF8
from datetime import date, datetime, timedelta
from enum import StrEnum
from io import BytesIO
from typing import Annotated

import azure.functions as func
from pydantic import BaseModel, BeforeValidator, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from cpor_app.http.parsing import QueryFlag, read, validated
from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import JSON, OPERATOR, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Detail, Refused
from cpor_core.model.base import Day, Guid, Instant, PartnerId, Value
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.registry import ClosedDay, Customer, Partner, RegisteredClosedDay
from cpor_core.model.usage import UsageLine
from cpor_core.ports.stored import Registered
from cpor_core.rules.registry_entry import faults_of_customer, faults_of_partner, unknown_items
from cpor_core.use_cases.registry import closed_days, partners_and_customers
from cpor_core.use_cases.usage import figures
from cpor_core.use_cases.usage.figures import Loaded

blueprint = func.Blueprint()
USAGE_BYTES = 32 * 2**20
JSON_LINES, CSV = "application/x-ndjson", "text/csv"


class FeedFormat(StrEnum):
    """The formats of a feed; those of Microsoft Graph are its own reports as they come."""

    JSONL = "jsonl"
    SUBSCRIBED_SKUS = "graph-subscribed-skus"
    SERVICE_USER_COUNTS = "graph-service-user-counts"
    SUBSCRIPTIONS = "graph-subscriptions"


class Feed(BaseModel):
    """Which feed it is: of which tenant, as of which day, in which format."""

    tenant_id: Guid | None = Field(default=None, description="Needed for the formats of Microsoft Graph.")
    as_of: Day | None = Field(default=None, description="The day that the figures are of; today, if it is left out.")
    format: FeedFormat = FeedFormat.JSONL

    model_config = {"alias_generator": to_camel}


class GraphList(BaseModel):
    """A list as Microsoft Graph answers it; what is not asked for is left alone."""

    value: tuple[JsonValue, ...]

    model_config = {"extra": "ignore", "frozen": True, "hide_input_in_errors": True}


class CustomerQuery(BaseModel):
    """How a customer is registered: only judged, or with the number of associations that will end by it."""

    validate_: QueryFlag = False
    confirm_ends: int | None = None

    model_config = {"alias_generator": lambda name: to_camel(name.rstrip("_"))}


class EndedBy(Value):
    """A claim that loses items by the change; `association` tells an official one."""

    claim_id: str
    association: bool
    items: tuple[str, ...]


class CustomerView(Customer):
    """A customer as it is registered, and the language in which notices to it will be."""

    notice_language: Annotated[str, Field(description="English, where there is no translation into `language`.")]


class CustomerSent(Customer):
    """A customer as it is sent: what GET answered can be sent again."""

    notice_language: Annotated[str | None, Field(description="Read only: it follows from `language`.")] = None


class CustomerKept(CustomerView):
    """A customer as it is registered, what ends by that, and which of its workloads and products no engagement has."""

    unknown_items: tuple[str, ...] = ()
    ends: tuple[EndedBy, ...] = ()


class _PartnerPath(BaseModel):
    partnerId: PartnerId  # noqa: N815 - as it stands in the address


class _TenantPath(BaseModel):
    tenantId: Guid  # noqa: N815 - as it stands in the address


@operation(
    blueprint,
    name="get_partner",
    method="GET",
    route="partners/{partnerId}",
    summary="A partner's location",
    tag="Registry",
    roles=OPERATOR,
    answers={200: Partner},
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
async def get_partner(call: Call) -> Answer:
    """As it is registered."""
    return _entry(await call.ports.registry.partner(_partner_id(call)))


@operation(
    blueprint,
    name="put_partner",
    method="PUT",
    route="partners/{partnerId}",
    summary="Register a partner's location, or change it",
    tag="Registry",
    roles=OPERATOR,
    body=Partner,
    answers={201: Partner, 200: Partner},
    if_match="honoured",
    etag=True,
    location=True,
    refusals=("OrganisationFixed", "EngagementUnknown"),
)
async def put_partner(call: Call) -> Answer:
    """A partnerId stays with its organisation."""
    partner_id = _partner_id(call)
    if call.if_match is not None:  # judged before the body (rulings 3)
        partners_and_customers.verify_match(call.if_match, await call.ports.registry.partner(partner_id))
    partner = call.body(Partner, lambda sent: [*faults_of_partner(sent, call.ports.catalogue)])
    kept = await partners_and_customers.put_partner(call.ports, partner_id, partner, call.if_match)
    return _kept(call, partner, kept, f"partners/{partner_id}")


@operation(
    blueprint,
    name="get_customer",
    method="GET",
    route="customers/{tenantId}",
    summary="A customer's tenant",
    tag="Registry",
    roles=OPERATOR,
    answers={200: CustomerView},
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
async def get_customer(call: Call) -> Answer:
    """As it is registered; `noticeLanguage` is English where there is no translation into its language."""
    found = await call.ports.registry.customer(_tenant_id(call))
    if found is None:
        raise not_found("entry")
    view = CustomerView(**dict(found.value), notice_language=_notice_language(call, found.value))
    return Answer(200, view, headers={"ETag": partners_and_customers.registry_etag(found.version)})


@operation(
    blueprint,
    name="put_customer",
    method="PUT",
    route="customers/{tenantId}",
    summary="Register a customer's tenant, or change it",
    tag="Registry",
    roles=OPERATOR,
    query=CustomerQuery,
    body=CustomerSent,
    answers={201: CustomerKept, 200: CustomerKept},
    if_match="honoured",
    etag=True,
    location=True,
    refusals=("TimeZoneElsewhere", "WouldEndAssociations", "DomainNotOnTenant"),
)
async def put_customer(call: Call) -> Answer:
    """
    Country, subdivision and time zone decide which days count; windows that are promised stay as they are.

    An item whose subscription is no longer active or in grace, or whose workload is no longer listed, ends its
    associations and is struck from open claims: `ends` names them. `validate=true` shows them and stores nothing.

    A workload or product that no engagement lists is taken, and `unknownItems` names it; a slip in one that an
    engagement lists is refused. A time zone must lie in the country, unless `timeZoneElsewhere` says that it is right.

    Where the programme has domains looked up, each that comes new must be one that this tenant has verified.
    """
    tenant_id = _tenant_id(call)
    if call.if_match is not None:  # judged before the body (rulings 3)
        partners_and_customers.verify_match(call.if_match, await call.ports.registry.customer(tenant_id))
    sent = call.body(CustomerSent, lambda entry: [*faults_of_customer(entry, call.ports.catalogue)])
    customer = Customer(**{name: getattr(sent, name) for name in Customer.model_fields})
    query = call.query(CustomerQuery)
    change = partners_and_customers.CustomerChange(
        tenant_id, customer, call.if_match, only_validate=query.validate_, confirmed_ends=query.confirm_ends
    )
    kept, ends = await partners_and_customers.put_customer(call.ports, change, await call.now())
    view = CustomerKept(
        **dict(customer),
        notice_language=_notice_language(call, customer),
        unknown_items=unknown_items(customer, call.ports.catalogue),
        ends=tuple(EndedBy(claim_id=e.claim_id, association=e.association, items=e.keys) for e in ends),
    )
    return _kept(call, view, kept, f"customers/{tenant_id}")


class ListedClosedDays(Value):
    """A page of closed days, the last one first."""

    value: tuple[RegisteredClosedDay, ...]
    next_link: str | None = LEFT_OUT


class _ClosedDayPath(BaseModel):
    calendar: Annotated[str, Field(max_length=9)]
    date: Day


@operation(
    blueprint,
    name="list_closed_days",
    method="GET",
    route="closed-days",
    summary="Closed days of all places, the last one first",
    tag="Registry",
    roles=OPERATOR,
    answers={200: ListedClosedDays},
    paged=True,
)
async def list_closed_days(call: Call) -> Answer:
    """Days that count as holidays because the operator has registered them."""
    after, limit = call.page()
    return call.listed(*await closed_days.page(call.ports, after=after, limit=limit))


@operation(
    blueprint,
    name="get_closed_day",
    method="GET",
    route="closed-days/{calendar}/{date}",
    summary="One closed day",
    tag="Registry",
    roles=OPERATOR,
    answers={200: RegisteredClosedDay},
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
async def get_closed_day(call: Call) -> Answer:
    """As it is registered."""
    calendar, day = _closed_day(call)
    found = await closed_days.find(call.ports, calendar, day)
    view = RegisteredClosedDay(calendar=calendar, date=day, name=found.value.name)
    return Answer(200, view, headers={"ETag": partners_and_customers.registry_etag(found.version)})


@operation(
    blueprint,
    name="put_closed_day",
    method="PUT",
    route="closed-days/{calendar}/{date}",
    summary="Register a closed day, or rename it",
    tag="Registry",
    roles=OPERATOR,
    body=ClosedDay,
    answers={201: RegisteredClosedDay, 200: RegisteredClosedDay},
    if_match="honoured",
    etag=True,
    location=True,
)
async def put_closed_day(call: Call) -> Answer:
    """
    A day on which a country or one of its subdivisions is closed though its calendar does not say so.

    It counts as a holiday for every limit in business days that is promised from then on: the customer's window, its
    reminder, the partner's and the programme's limits. What is promised already does not move. Each running instance
    knows of it within five minutes.
    """
    calendar, day = _closed_day(call)
    if call.if_match is not None:  # judged before the body (rulings 3)
        partners_and_customers.verify_match(call.if_match, await call.ports.registry.closed_day(calendar, day))
    closed_day = call.body(ClosedDay)
    kept = await closed_days.put(call.ports, calendar, day, closed_day, call.if_match)
    view = RegisteredClosedDay(calendar=calendar, date=day, name=closed_day.name)
    return _kept(call, view, kept, f"closed-days/{calendar}/{day}")


@operation(
    blueprint,
    name="remove_closed_day",
    method="DELETE",
    route="closed-days/{calendar}/{date}",
    summary="Make a closed day a business day again",
    tag="Registry",
    roles=OPERATOR,
    answers={204: None},
    if_match="honoured",
    refusals=("NotFound", "ValidationFailed"),
)
async def remove_closed_day(call: Call) -> Answer:
    """For what is promised from then on; windows that are promised stay as they are."""
    calendar, day = _closed_day(call)
    await closed_days.delete(call.ports, calendar, day, call.if_match)
    return Answer(204)


def _closed_day(call: Call) -> tuple[str, date]:
    with validated():
        path = _ClosedDayPath.model_validate({"calendar": call.path("calendar"), "date": call.path("date")})
    closed_days.verify_calendar(path.calendar)
    return path.calendar, path.date


def _partner_id(call: Call) -> str:
    with validated():
        return _PartnerPath.model_validate({"partnerId": call.path("partnerId")}).partnerId


def _tenant_id(call: Call) -> str:
    with validated():
        return _TenantPath.model_validate({"tenantId": call.path("tenantId")}).tenantId


def _notice_language(call: Call, customer: Customer) -> str:
    return call.services.pages.language(None, customer.language, None)


def _entry(found: Registered[Partner] | None) -> Answer:
    if found is None:
        raise not_found("entry")
    return Answer(200, found.value, headers={"ETag": partners_and_customers.registry_etag(found.version)})


def _kept(call: Call, value: BaseModel, kept: partners_and_customers.Kept, path: str) -> Answer:
    headers = {"ETag": partners_and_customers.registry_etag(kept.version)}
    if kept.new:
        headers["Location"] = call.url(path)
    return Answer(201 if kept.new else 200, value, headers=headers)


@operation(
    blueprint,
    name="load_usage",
    method="POST",
    route="usage/reports",
    summary="Feed usage figures: a report of Microsoft Graph as it comes, or JSON lines",
    tag="Usage",
    roles=OPERATOR,
    query=Feed,
    body={JSON: GraphList, JSON_LINES: UsageLine, CSV: str},
    max_bytes=USAGE_BYTES,
    answers={200: Loaded},
    refusals=("WrongReport",),
)
async def load_usage(call: Call) -> Answer:
    """
    The same feed twice changes nothing; a bad row is reported, the others are kept. Of two days the newer wins.

    `graph-subscribed-skus` takes the JSON of `GET /subscribedSkus`, `graph-subscriptions` that of
    `GET /directory/subscriptions`, `graph-service-user-counts` the CSV of `getOffice365ServicesUserCounts`; `jsonl` has
    a line for each item and month. `accepted`, `unchanged` and `rejected` count rows.
    """
    body = call.bytes()
    feed = call.query(Feed)
    as_of: date = feed.as_of or (await call.now()).date()
    if feed.format is FeedFormat.JSONL:
        call.require_type(JSON_LINES)
        return Answer(200, await figures.load_lines(call.ports, BytesIO(body), feed.tenant_id, as_of))
    report = figures.GraphReport(feed.format)
    in_csv = report is figures.GraphReport.SERVICE_USER_COUNTS
    call.require_type(CSV if in_csv else JSON)
    if feed.tenant_id is None:
        raise Refused(
            "ValidationFailed",
            "A report of Microsoft Graph does not say whose it is.",
            target="tenantId",
            resolution="Send tenantId in the query.",
            details=(Detail("FieldRequired", "tenantId is needed.", "tenantId", "Send it."),),
        )
    content = body if in_csv else read(GraphList, body.removeprefix(BOM_UTF8)).value
    return Answer(200, await figures.load_graph_report(call.ports, report, feed.tenant_id, as_of, content))


class FailedMessage(Value):
    """A message that could not be processed: ids only."""

    id: str
    queue: str
    body: str
    at: Instant


class ListedFailures(Value):
    """A page of failed messages, newest first."""

    value: tuple[FailedMessage, ...]
    next_link: str | None = LEFT_OUT


class Redriven(Value):
    """How many messages were put back."""

    redriven: int


@operation(
    blueprint,
    name="list_failed_messages",
    method="GET",
    route="operations/failed-messages",
    summary="Messages that could not be processed",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ListedFailures},
    paged=True,
)
async def list_failed_messages(call: Call) -> Answer:
    """They hold ids, never personal data."""
    after, limit = call.page()
    failures = await call.ports.failures.page(after=after, limit=limit)
    views = [FailedMessage(id=f.id, queue=f.queue, body=f.body, at=f.at) for f in failures]
    return call.listed(views, call.ports.failures.position(failures[-1]) if len(failures) == limit else None)


@operation(
    blueprint,
    name="redrive_failed_messages",
    method="POST",
    route="operations/failed-messages/redrive",
    summary="Put failed messages back into their queues",
    tag="Operations",
    roles=OPERATOR,
    answers={200: Redriven},
)
async def redrive_failed_messages(call: Call) -> Answer:
    """Up to 1,000 at a time; each is processed again on fresh state."""
    call.nothing()
    failures = await call.ports.failures.page(after="", limit=1000)
    for failure in failures:
        await call.ports.failures.redrive(failure)
    return Answer(200, Redriven(redriven=len(failures)))


class DryRunsView(Value):
    """How often an organisation has tried in the present hour."""

    organisation: Guid
    hour: Instant
    count: int


class ListedDryRuns(Value):
    """Who tries how often, most first."""

    value: tuple[DryRunsView, ...]


@operation(
    blueprint,
    name="list_dry_runs",
    method="GET",
    route="operations/dry-runs",
    summary="Dry runs of the present hour, by organisation",
    tag="Operations",
    roles=OPERATOR,
    answers={200: ListedDryRuns},
)
async def list_dry_runs(call: Call) -> Answer:
    """An organisation that uses up its hundred may be probing for customers."""
    counts = sorted(await call.ports.dry_runs.of_hour(await call.now()), key=lambda one: -one.count)
    views = tuple(DryRunsView(organisation=one.organisation, hour=one.hour, count=one.count) for one in counts)
    return Answer(200, ListedDryRuns(value=views))


class ClockView(Value):
    """The service's time."""

    now: Instant


def _in_iso_8601(sent: object) -> object:
    if not isinstance(sent, str) or re.match(r"-?P", sent) is None:
        raise ValueError("must be an ISO 8601 duration, such as P1D")
    return sent


Duration = Annotated[timedelta, BeforeValidator(_in_iso_8601)]


class ClockChange(Value):
    """How far the clock is moved on, or to when."""

    advance: Duration | None = Field(default=None, description="An ISO 8601 duration such as P1D.")
    now: Instant | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ClockChange":
        if (self.advance is None) is (self.now is None):
            msg = "must have either `advance` or `now`"
            raise ValueError(msg)
        return self


@operation(
    blueprint,
    name="get_clock",
    method="GET",
    route="sandbox/clock",
    summary="The sandbox's time",
    tag="Sandbox",
    roles=OPERATOR,
    answers={200: ClockView},
    refusals=("NotFound",),
)
async def get_clock(call: Call) -> Answer:
    """Outside the sandbox there is no such thing."""
    _verify_sandbox(call)
    return Answer(200, ClockView(now=await call.now()))


@operation(
    blueprint,
    name="move_clock",
    method="POST",
    route="sandbox/clock",
    summary="Move the sandbox's time forward",
    tag="Sandbox",
    roles=OPERATOR,
    body=ClockChange,
    answers={200: ClockView},
    refusals=("NotFound", "ClockBackwards"),
)
async def move_clock(call: Call) -> Answer:
    """Forward only; it goes on ticking from there."""
    _verify_sandbox(call)
    change = call.body(ClockChange)
    now: datetime
    if change.advance is not None:
        now = await call.services.move_clock(by=change.advance)
    else:
        now = await call.services.move_clock(to=change.now)
    return Answer(200, ClockView(now=now))


def _verify_sandbox(call: Call) -> None:
    if not call.services.settings.sandbox:
        raise Refused("NotFound", "There is no such address.", resolution="GET /openapi.json describes what there is.")
