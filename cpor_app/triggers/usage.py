"""Usage figures: fed by the operator, read by the partner of an official association."""

from codecs import BOM_UTF8
from datetime import date
from io import BytesIO

import azure.functions as func
from pydantic import BaseModel, Field, JsonValue
from pydantic.alias_generators import to_camel

from cpor_app.http.parsing import read
from cpor_app.http.request import Call
from cpor_app.http.route_table import JSON, OPERATOR, PARTNER, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Detail, Refused
from cpor_core.model.base import Day, Guid, Value
from cpor_core.model.usage import Month, UsageLine
from cpor_core.rules.advice import Advice
from cpor_core.rules.usage_figures import UsageRow
from cpor_core.use_cases.usage import figures
from cpor_core.use_cases.usage.figures import FeedFormat, Loaded

blueprint = func.Blueprint()
USAGE_BYTES = 32 * 2**20
JSON_LINES, CSV = "application/x-ndjson", "text/csv"


class UsageFeed(BaseModel):
    """Which feed it is: of which tenant, as of which day, in which format."""

    tenant_id: Guid | None = Field(default=None, description="Needed for the formats of Microsoft Graph.")
    as_of: Day | None = Field(default=None, description="The day that the figures are of; today, if it is left out.")
    format: FeedFormat = FeedFormat.JSONL

    model_config = {"alias_generator": to_camel}


class GraphList(BaseModel):
    """A list as Microsoft Graph answers it; what is not asked for is left alone."""

    value: tuple[JsonValue, ...]

    model_config = {"extra": "ignore", "frozen": True, "hide_input_in_errors": True}


class Months(BaseModel):
    """From which month to which, both included."""

    first: Month | None = Field(default=None, alias="from")
    last: Month | None = Field(default=None, alias="to")


class ListedAdvice(Value):
    """What a partner would tell the customer."""

    value: tuple[Advice, ...]


class Usage(Value):
    """Figures by month and item."""

    value: tuple[UsageRow, ...]


@operation(
    blueprint,
    method="POST",
    route="usage/reports",
    summary="Feed usage figures: a report of Microsoft Graph as it comes, or JSON lines",
    tag="Usage",
    roles=OPERATOR,
    query=UsageFeed,
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
    feed = call.query(UsageFeed)
    as_of: date = feed.as_of or (await call.now()).date()
    if feed.format is FeedFormat.JSONL:
        call.require_type(JSON_LINES)
        return Answer(200, await figures.load_lines(call.ports, BytesIO(body), feed.tenant_id, as_of))
    in_csv = feed.format is FeedFormat.SERVICE_USER_COUNTS
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
    return Answer(200, await figures.load_graph_report(call.ports, feed.format, feed.tenant_id, as_of, content))


@operation(
    blueprint,
    method="GET",
    route="associations/{associationId}/usage",
    summary="Active users and seats of the associated items, by month",
    tag="Associations",
    roles=PARTNER,
    query=Months,
    answers={200: Usage},
    refusals=("NotFound", "FiguresNotYet", "CustomerNotTold"),
)
async def get_usage(call: Call) -> Answer:
    """
    Only while official, only these items, only months from the association's first on. They begin a minute after the
    window's end, so that no figures are given out while a no that arrived in time is being written.

    Each answer leaves a receipt that the customer can see: who, when, which months and items. Of an association that
    was imported they begin with the mail to the customer, and pause when it came back from everybody.
    """
    case = await call.own_case()
    months = call.query(Months)
    reader = figures.Reader(call.person_id, call.kind.value)
    rows = await figures.read_usage(call.ports, case, reader, first=months.first, last=months.last)
    return Answer(200, Usage(value=tuple(rows)))


@operation(
    blueprint,
    method="GET",
    route="associations/{associationId}/advice",
    summary="What you would tell the customer from these figures",
    tag="Associations",
    roles=PARTNER,
    answers={200: ListedAdvice},
    refusals=("NotFound", "FiguresNotYet", "CustomerNotTold"),
)
async def get_advice(call: Call) -> Answer:
    """
    Seats that nobody has, seats that nobody uses, use that falls; each with the figures that it rests on.

    It shows what the usage figures show, and leaves the same receipt.
    """
    case = await call.own_case()
    reader = figures.Reader(call.person_id, call.kind.value)
    return Answer(200, ListedAdvice(value=tuple(await figures.read_advice(call.ports, case, reader))))
