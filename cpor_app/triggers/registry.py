"""The calls about the registry: partners, customers and closed days. Only the operator changes it."""

from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cpor_app.http.parsing import QueryFlag, SearchText, validated
from cpor_app.http.request import Call, PersonalData, not_found
from cpor_app.http.route_table import OPERATOR, PARTNER, PROGRAMME_AND_READER, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Day, Guid, LateModel, PartnerId, Slug, Value
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.registry import (
    ClosedDay,
    Country,
    Customer,
    Domain,
    Language,
    Partner,
    RegisteredClosedDay,
    Subdivision,
    Subscription,
    TimeZone,
)
from cpor_core.ports.stored import Registered
from cpor_core.rules.registry_entry import faults_of_customer, faults_of_partner, unknown_items
from cpor_core.use_cases.registry import closed_days, lists, partners_and_customers

Entry = TypeVar("Entry", Partner, Customer, ClosedDay)
Shown = TypeVar("Shown", bound=BaseModel)
_get = partial(
    operation,
    tag="Registry",
    roles=PROGRAMME_AND_READER,
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
_put = partial(
    operation,
    tag="Registry",
    roles=OPERATOR,
    if_match="honoured",
    etag=True,
    location=True,
)


class CustomerQuery(LateModel):
    """`validate=true` only shows what would end. `confirmEnds` confirms the number of associations that end."""

    validate_: QueryFlag = False
    confirm_ends: int | None = None

    model_config = ConfigDict(alias_generator=lambda name: to_camel(name.rstrip("_")))


class EndedBy(Value):
    """A claim that loses items by the change. `association` is true if the claim is official."""

    claim_id: str
    association: bool
    items: tuple[str, ...]


class CustomerView(Customer):
    """A registered customer, and the language of the notices to this customer."""

    notice_language: Annotated[str, Field(description="English, if there is no translation into `language`.")]


class CustomerWithoutAddresses(Value):  # decision 52: a new field of a customer is not shown until it is named here
    """A registered customer without mail addresses."""

    name: str
    domains: tuple[Domain, ...]
    country: Country
    subdivision: Subdivision | None
    time_zone: TimeZone
    language: Language
    notice_language: str
    workloads: tuple[Slug, ...]
    subscriptions: tuple[Subscription, ...]


class CustomerSent(Customer):
    """A customer as the operator sends it. An answer of GET can be sent too."""

    notice_language: Annotated[str | None, Field(description="Read only. It follows from `language`.")] = None


class CustomerKept(CustomerView):
    """A registered customer, the claims that lose items, and the workloads and products that no engagement has."""

    unknown_items: tuple[str, ...] = ()
    ends: tuple[EndedBy, ...] = ()


class ListedPartner(Partner):
    """A registered location and its partnerId."""

    partner_id: PartnerId


class ListedCustomer(CustomerView):
    """A registered customer and its tenant."""

    tenant_id: Guid


class ListedCustomerWithoutAddresses(CustomerWithoutAddresses):
    """A registered customer without mail addresses, and its tenant."""

    tenant_id: Guid


class ListedPartners(Value):
    """A page of locations, in the order of their partnerIds."""

    value: tuple[ListedPartner, ...]
    next_link: str | None = LEFT_OUT


class ListedCustomers(Value):
    """A page of customers, in the order of their tenants."""

    value: tuple[ListedCustomer, ...] | tuple[ListedCustomerWithoutAddresses, ...]
    next_link: str | None = LEFT_OUT


class Search(LateModel):
    """The search in a list."""

    q: SearchText = None


_list = partial(
    operation,
    tag="Registry",
    roles=PROGRAMME_AND_READER,
    query=Search,
    paged=True,
)


class _PartnerPath(LateModel):
    partnerId: PartnerId  # noqa: N815 - the name in the route


class _TenantPath(LateModel):
    tenantId: Guid  # noqa: N815 - the name in the route


@_list(
    summary="The locations of all partners",
    answers={200: ListedPartners},
)
async def list_partners(call: Call) -> Answer:
    """
    The order is by `partnerId`. `q` searches in name, partnerId and organisation.

    A short or empty page can still have a nextLink, because one call reads at most 500 locations.
    """
    query = call.query(Search).q
    after, limit = call.page({"q": query})
    found, position = await lists.partners(call.ports, query, after=after, limit=limit)
    views = [ListedPartner(**dict(partner), partner_id=partner_id) for partner_id, partner in found]
    return call.listed(views, position, {"q": query})


@_get(
    summary="A partner's location",
    roles=PROGRAMME_AND_READER | PARTNER,
    answers={200: Partner},
)
async def get_partner(call: Call) -> Answer:
    """The answer has the entry as it is registered. A partner can read only the locations of its own organisation."""
    found = await call.ports.registry.partner(_partner_id(call))
    of_programme = call.roles & PROGRAMME_AND_READER
    if found is None or not (of_programme or found.value.entra_tenant_id == call.organisation):
        raise not_found("entry")
    return _entry(found.value, found.version)


@_put(
    summary="Register a partner's location, or change it",
    body=Partner,
    answers={201: Partner, 200: Partner},
    refusals=("OrganisationFixed", "EngagementUnknown"),
)
async def put_partner(call: Call) -> Answer:
    """A partnerId belongs to the same organisation for ever."""
    partner_id = _partner_id(call)
    await _verify_if_match(call, lambda: call.ports.registry.partner(partner_id))
    partner = call.body(Partner, lambda sent: [*faults_of_partner(sent, call.ports.catalogue)])
    written = await partners_and_customers.put_partner(call.ports, partner_id, partner, call.if_match, await call.now())
    return _written(call, partner, written, f"partners/{partner_id}")


@_list(
    summary="The tenants of all customers",
    answers={200: ListedCustomers},
)
async def list_customers(call: Call) -> Answer:
    """
    The order is by `tenantId`. `q` searches in name, domains and tenantId. Only the operator sees notice addresses.

    A short or empty page can still have a nextLink, because one call reads at most 500 customers.
    """
    query = call.query(Search).q
    after, limit = call.page({"q": query})
    found, position = await lists.customers(call.ports, query, after=after, limit=limit)
    shown = ListedCustomer if call.roles & OPERATOR else ListedCustomerWithoutAddresses
    _note_addresses(call, *found)
    views = [_shown(call, customer, shown, tenant_id=tenant_id) for tenant_id, customer in found]
    return call.listed(views, position, {"q": query})


@_get(
    summary="A customer's tenant",
    answers={200: (CustomerView, CustomerWithoutAddresses)},
)
async def get_customer(call: Call) -> Answer:
    """
    The answer has the entry as it is registered. `noticeLanguage` is the language of the notices.

    Only the operator sees the notice addresses.
    """
    found = await call.ports.registry.customer(_tenant_id(call))
    if found is None:
        raise not_found("entry")
    shown = CustomerView if call.roles & OPERATOR else CustomerWithoutAddresses
    _note_addresses(call, (_tenant_id(call), found.value))
    return _entry(_shown(call, found.value, shown), found.version)


@_put(
    summary="Register a customer's tenant, or change it",
    query=CustomerQuery,
    body=CustomerSent,
    answers={201: CustomerKept, 200: CustomerKept},
    refusals=("TimeZoneElsewhere", "WouldEndAssociations", "DomainNotOnTenant"),
)
async def put_customer(call: Call) -> Answer:
    """
    Country, subdivision and time zone decide which days are business days. Promised windows do not move.

    An item ends if its subscription is no longer active or in grace, or if its workload is no longer listed. Then the
    associations of the item end, and open claims lose it. `ends` lists these claims and associations. `validate=true`
    shows them and stores nothing.

    The service accepts a workload or product that no engagement lists, and names it in `unknownItems`. It refuses a
    misspelt name of a workload or product that an engagement lists. The time zone must lie in the country, unless
    `timeZoneElsewhere` is true.

    If the programme looks up domains, each new domain must be a verified domain of this tenant.
    """
    tenant_id = _tenant_id(call)
    await _verify_if_match(call, lambda: call.ports.registry.customer(tenant_id))
    sent = call.body(CustomerSent, lambda entry: [*faults_of_customer(entry, call.ports.catalogue)])
    customer = Customer(**{name: getattr(sent, name) for name in Customer.model_fields})
    query = call.query(CustomerQuery)
    change = partners_and_customers.CustomerChange(
        tenant_id, customer, call.if_match, only_validate=query.validate_, confirmed_ends=query.confirm_ends
    )
    written, ends = await partners_and_customers.put_customer(call.ports, change, await call.now())
    _note_addresses(call, (tenant_id, customer))
    view = CustomerKept(
        **dict(customer),
        notice_language=_notice_language(call, customer),
        unknown_items=unknown_items(customer, call.ports.catalogue),
        ends=tuple(EndedBy(claim_id=e.claim_id, association=e.association, items=e.keys) for e in ends),
    )
    return _written(call, view, written, f"customers/{tenant_id}")


class ListedClosedDays(Value):
    """A page of closed days, the latest date first."""

    value: tuple[RegisteredClosedDay, ...]
    next_link: str | None = LEFT_OUT


class _ClosedDayPath(LateModel):
    calendar: Annotated[str, Field(max_length=9)]
    date: Day


@operation(
    summary="The closed days of all countries, the latest date first",
    tag="Registry",
    roles=PROGRAMME_AND_READER,
    answers={200: ListedClosedDays},
    paged=True,
)
async def list_closed_days(call: Call) -> Answer:
    """These days count as holidays because an operator registered them."""
    after, limit = call.page()
    return call.listed(*await closed_days.page(call.ports, after=after, limit=limit))


@_get(
    summary="One closed day",
    answers={200: RegisteredClosedDay},
)
async def get_closed_day(call: Call) -> Answer:
    """The answer has the entry as it is registered."""
    calendar, day = _closed_day(call)
    found = await closed_days.find(call.ports, calendar, day)
    view = RegisteredClosedDay(calendar=calendar, date=day, name=found.value.name)
    return _entry(view, found.version)


@_put(
    summary="Register a closed day, or rename it",
    body=ClosedDay,
    answers={201: RegisteredClosedDay, 200: RegisteredClosedDay},
)
async def put_closed_day(call: Call) -> Answer:
    """
    On a closed day a country or one of its subdivisions is closed, although its calendar has no holiday.

    The day counts as a holiday for every promise in business days that is made later: the customer's window and
    reminder, and the time limits of partner and programme. Earlier promises do not move. Every instance of the service
    uses the day within five minutes.
    """
    calendar, day = _closed_day(call)
    await _verify_if_match(call, lambda: call.ports.registry.closed_day(calendar, day))
    closed_day = call.body(ClosedDay)
    written = await closed_days.put(call.ports, calendar, day, closed_day, call.if_match)
    view = RegisteredClosedDay(calendar=calendar, date=day, name=closed_day.name)
    return _written(call, view, written, f"closed-days/{calendar}/{day}")


@operation(
    summary="Make a closed day a business day again",
    tag="Registry",
    roles=OPERATOR,
    answers={204: None},
    if_match="honoured",
    refusals=("NotFound", "ValidationFailed"),
)
async def remove_closed_day(call: Call) -> Answer:
    """This changes later promises only. Windows that are promised already do not move."""
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


def customer_view(call: Call, customer: Customer) -> CustomerView:
    """Return a customer with the language of its notices."""
    return CustomerView(**dict(customer), notice_language=_notice_language(call, customer))


def _shown(call: Call, customer: Customer, form: type[Shown], **more: str) -> Shown:
    """Return the fields of a customer that *form* has."""
    known = {**dict(customer_view(call, customer)), **more}
    return form(**{name: known[name] for name in form.model_fields})


def _note_addresses(call: Call, *customers: tuple[str, Customer]) -> None:
    """Note that the answer has the notice addresses of these customers. Only the operator's answers have them."""
    if call.roles & OPERATOR:
        call.shows(PersonalData.NOTICE_ADDRESSES, [name for name, customer in customers if customer.notice_addresses])


def _notice_language(call: Call, customer: Customer) -> str:
    return call.services.pages.language(None, customer.language, None)


def _entry(value: BaseModel, version: int) -> Answer:
    return Answer(200, value, headers={"ETag": partners_and_customers.registry_etag(version)})


async def _verify_if_match(call: Call, find: Callable[[], Awaitable[Registered[Entry] | None]]) -> None:
    """Compare the version before the body is read (decision 3). Raises `PreconditionFailed`."""
    if call.if_match is not None:
        partners_and_customers.verify_match(call.if_match, await find())


def _written(call: Call, value: BaseModel, written: partners_and_customers.Written, path: str) -> Answer:
    headers = {"ETag": partners_and_customers.registry_etag(written.version)}
    if written.new:
        headers["Location"] = call.url(path)
    return Answer(201 if written.new else 200, value, headers=headers)
