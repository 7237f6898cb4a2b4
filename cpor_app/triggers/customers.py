"""The calls of the customer's administrator: requests, associations and receipts of the tenant, and acts on them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from cpor_app.http.claim_act import ActBody, ClaimAct, Side, claim_act
from cpor_app.http.parsing import QueryFlag
from cpor_app.http.request import Call, role_required
from cpor_app.http.route_table import CUSTOMER_ADMIN, Answer
from cpor_app.http.server import operation
from cpor_app.triggers.associations import association_of, association_reply
from cpor_app.triggers.customer_no import ARRIVAL, record_no
from cpor_core.model.base import Instant, LateModel, Text1000, Value
from cpor_core.model.claim import LEFT_OUT, THE_ADMINISTRATOR, ClaimedCustomer, Item, Status
from cpor_core.model.history import ADMINISTRATOR
from cpor_core.model.usage import Receipt
from cpor_core.rules.identifiers import list_position
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import as_of
from cpor_core.transitions.next_step import NextStep, next_step
from cpor_core.use_cases.claims import customer_acts
from cpor_core.use_cases.claims.customer_tenant import cases_of, request_of
from cpor_core.views import AssociationView, NoView, WindowView, association_view, no_view, window_view


class RequestView(Value):
    """A request as the customer sees it. In its window the customer can say no."""

    id: str
    claim_id: str
    status: Status
    partner_id: str
    partner_name: str
    engagement: str
    customer: ClaimedCustomer
    items: tuple[Item, ...]
    window: WindowView | None
    declined: NoView | None
    next_step: NextStep
    submitted_at: Instant | None


class ListedRequests(Value):
    """A page of requests, newest first."""

    value: tuple[RequestView, ...]
    next_link: str | None = LEFT_OUT


class ListedTenantAssociations(Value):
    """A page of associations, newest claim first."""

    value: tuple[AssociationView, ...]
    next_link: str | None = LEFT_OUT


class ListedReceipts(Value):
    """A page of receipts, newest first."""

    value: tuple[Receipt, ...]
    next_link: str | None = LEFT_OUT


class OptionalReason(ActBody):
    """An optional reason, which the partner can read."""

    free_text = ("reason",)
    reason: Text1000 | None = None


class EndedToo(LateModel):
    """`includeEnded=true` adds ended associations to the list."""

    include_ended: QueryFlag = False

    model_config = ConfigDict(alias_generator=to_camel)


def own_tenant(call: Call) -> str:
    """Return the tenant in the address. Raises `RoleRequired` if it is not the caller's own tenant."""
    if call.path("tenantId").lower() != call.organisation:
        raise role_required(CUSTOMER_ADMIN)
    return call.organisation


async def _request(call: Call) -> Case:
    return await request_of(call.ports, own_tenant(call), call.claim_id, await call.now())


def _request_view(case: Case, terms: Terms) -> RequestView:
    claim = case.claim
    return RequestView(
        id=claim.id,
        claim_id=claim.id,
        status=claim.status,
        partner_id=claim.partner_id,
        partner_name=claim.partner_name,
        engagement=claim.engagement,
        customer=ClaimedCustomer(tenant_id=claim.tenant_id, domain=claim.domain),
        items=claim.items,
        window=window_view(case),
        declined=no_view(case),
        next_step=next_step(case, terms),
        submitted_at=claim.submitted_at,
    )


async def _request_answer(call: Call, case: Case) -> Answer:
    terms = await call.ports.current_terms()
    return Answer(200, _request_view(case, terms), headers=call.repeatability())


async def _association_answer(call: Call, case: Case) -> Answer:
    return Answer(200, association_of(case), headers=call.repeatability())


ON_REQUEST = Side(
    tag="Customer",
    roles=CUSTOMER_ADMIN,
    author="customer",
    find=_request,
    model=RequestView,
    view=_request_view,
    answer=_request_answer,
    versioned=False,
)
ON_ASSOCIATION = replace(ON_REQUEST, model=AssociationView, view=association_reply, answer=_association_answer)


@operation(
    summary="Every request about your tenant, newest first",
    tag="Customer",
    roles=CUSTOMER_ADMIN,
    answers={200: ListedRequests},
    paged=True,
)
async def list_requests(call: Call) -> Answer:
    """A claim is in the list when your organisation was notified of it, or will be notified."""
    tenant_id = own_tenant(call)
    after, limit = call.page()
    now = await call.now()
    cases = await cases_of(call.ports, tenant_id, now)
    terms = await call.ports.current_terms()
    views = [(list_position(case.claim.created_at, case.claim.id), _request_view(case, terms)) for case in cases]
    return call.listed(*_page(views, after, limit))


@operation(
    summary="Say no",
    tag="Customer",
    roles=CUSTOMER_ADMIN,
    body=OptionalReason,
    body_needed=False,
    answers={200: RequestView},
    key_kept_by_handler=True,
    refusals=("NotFound", "InvalidState", "ArrivalUnknown", "NotRecordedYet"),
)
async def decline_as_customer(call: Call) -> Answer:
    """
    A no is accepted in every open state. It ends an official association.

    While the no of a mail recipient can be undone, you can say no too. Then only an administrator can undo the no.
    The service tries for a minute to record a no. If that fails, the answer is 503 `NotRecordedYet` with an `arrival`.
    Send the same no within 24 hours, with the `arrival` in the header `Cpor-Arrival`. The no then counts as of that
    arrival.
    """
    own_tenant(call)

    async def say_no(arrived: datetime, again: bool) -> Case:  # noqa: FBT001 - as `record_no` calls it
        case, why = await _request(call), call.body(OptionalReason).reason
        context = call.act_context(comment=why, author="customer", at=arrived, answers=_request_view)
        return await customer_acts.decline(call.ports, case, THE_ADMINISTRATOR, arrived, context, again=again)

    subject = f"decline\n{call.claim_id}\n{call.organisation}\n{call.person_id}"
    after = await record_no(call, subject, call.headers.get(ARRIVAL.lower()), say_no)
    return await _request_answer(call, as_of(after, await call.now()))  # the no may have arrived long ago


@claim_act(
    ON_REQUEST,
    summary="Undo the no, before the window ends",
    body=OptionalReason,
    body_needed=False,
    refusals=("SlotAwaitsCustomer",),
)
async def undo_as_customer(act: ClaimAct[OptionalReason]) -> Case:
    """You can undo every no of your tenant, until another request has taken the item."""
    return await customer_acts.undo(act.ports, act.case, THE_ADMINISTRATOR, act.now, act.context)


@operation(
    summary="Every association with your tenant, newest first",
    tag="Customer",
    roles=CUSTOMER_ADMIN,
    query=EndedToo,
    answers={200: ListedTenantAssociations},
    paged=True,
)
async def list_tenant_associations(call: Call) -> Answer:
    """Only official associations are listed. With `includeEnded=true` ended associations are listed too."""
    tenant_id = own_tenant(call)
    ended_too = call.query(EndedToo).include_ended
    filters = {"includeEnded": "true"} if ended_too else {}
    after, limit = call.page(filters)
    states = {Status.OFFICIAL, Status.ENDED} if ended_too else {Status.OFFICIAL}
    views = [
        (list_position(case.claim.created_at, case.claim.id), view)
        for case in await cases_of(call.ports, tenant_id, await call.now())
        if case.claim.status in states and (view := association_view(case)) is not None
    ]
    return call.listed(*_page(views, after, limit), filters)


@claim_act(
    ON_ASSOCIATION,
    summary="End an association, and the partner's access to its figures",
    body=OptionalReason,
    body_needed=False,
)
async def end_as_customer(act: ClaimAct[OptionalReason]) -> Case:
    """You can do this at any time. The partner's access stops at once."""
    return await customer_acts.end(act.ports, act.case, ADMINISTRATOR, act.now, act.context)


@operation(
    summary="Who read your figures, newest first",
    tag="Customer",
    roles=CUSTOMER_ADMIN,
    answers={200: ListedReceipts},
    paged=True,
)
async def list_access_receipts(call: Call) -> Answer:
    """Each answer with figures to a partner leaves exactly one receipt. Receipts are never deleted."""
    tenant_id = own_tenant(call)
    after, limit = call.page()
    page = await call.ports.receipts.page(tenant_id, after=after, limit=limit)
    return call.listed([receipt for _, receipt in page], page[-1][0] if len(page) == limit else None)


View = TypeVar("View", RequestView, AssociationView)


def _page(views: Sequence[tuple[str, View]], after: str, limit: int) -> tuple[Sequence[View], str | None]:
    """Return the page after the position *after*, and the position of its last entry if more follow."""
    rest = [(position, view) for position, view in views if position > after]
    page = rest[:limit]
    return [view for _, view in page], page[-1][0] if len(rest) > limit else None
