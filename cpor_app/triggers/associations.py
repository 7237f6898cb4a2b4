"""The partner's calls about associations: list them, read one, and end one."""

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from cpor_app.http.claim_act import ActBody, ClaimAct, Side, claim_act
from cpor_app.http.parsing import QueryFlag
from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import PARTNER, PARTNER_ADMIN, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Guid, LateModel, PartnerId, Text1000, Value
from cpor_core.model.claim import LEFT_OUT, Reason, Status
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.claims import partner_acts
from cpor_core.use_cases.claims.listing import own_claims
from cpor_core.views import AssociationView, association_view, own_entity_tag


class AssociationFilters(LateModel):
    """The filters of the list of associations."""

    include_ended: QueryFlag = False
    engagement: str | None = None
    partner_id: PartnerId | None = None
    customer_tenant_id: Guid | None = None

    model_config = ConfigDict(alias_generator=to_camel)


class EndReason(ActBody):
    """The partner's reason to end an association. The reviewer can read it."""

    free_text = ("reason",)
    reason: Text1000


class ListedAssociations(Value):
    """A page of associations, newest claim first."""

    value: tuple[AssociationView, ...]
    next_link: str | None = LEFT_OUT


async def _association(call: Call, case: Case) -> Answer:
    headers = {"ETag": own_entity_tag(case), **call.repeatability()}
    return Answer(200, association_of(case), headers=headers)


def association_reply(case: Case, _: Terms) -> AssociationView:
    """Return the reply to an act on an association."""
    return association_of(case)


def association_of(case: Case) -> AssociationView:
    """Return the association of a claim. Raises `NotFound` if the claim never became official."""
    view = association_view(case)
    if view is None:
        raise not_found("association")
    return view


OF_ASSOCIATION = Side(
    tag="Associations",
    roles=PARTNER_ADMIN,
    author="partner",
    find=lambda call: call.own_case(association_of),
    model=AssociationView,
    view=association_reply,
    answer=_association,
)


@operation(
    summary="Your organisation's associations, newest first",
    tag="Associations",
    roles=PARTNER,
    query=AssociationFilters,
    answers={200: ListedAssociations},
    paged=True,
)
async def list_associations(call: Call) -> Answer:
    """Only official associations are listed. With `includeEnded=true` ended associations are listed too."""
    filters = call.query(AssociationFilters)
    states = {Status.OFFICIAL, Status.ENDED} if filters.include_ended else {Status.OFFICIAL}

    def wanted(case: Case) -> bool:
        claim = case.claim
        return (
            claim.status in states
            and filters.engagement in (None, claim.engagement, claim.filed_as)
            and filters.partner_id in (None, claim.partner_id)
            and filters.customer_tenant_id in (None, claim.tenant_id)
        )

    filter_values = {
        name: "true" if value is True else str(value)
        for name, value in filters.model_dump(mode="json", by_alias=True).items()
        if value not in (None, False)
    }
    after, limit = call.page(filter_values)
    now = await call.now()
    page = await own_claims(call.ports, call.organisation, now, after=after, limit=limit, wanted=wanted)
    views = [association_view(case) for case in page.cases]
    return call.listed([view for view in views if view is not None], page.position, filter_values)


@operation(
    summary="An association",
    tag="Associations",
    roles=PARTNER,
    answers={200: AssociationView},
    etag=True,
    refusals=("NotFound",),
)
async def get_association(call: Call) -> Answer:
    """The association is official or ended."""
    return await _association(call, await call.own_case())


@claim_act(
    OF_ASSOCIATION,
    summary="End an association, and your access to its figures",
    body=EndReason,
)
async def end_association(act: ClaimAct[EndReason]) -> Case:
    """The items are free at once. The customer gets a closing mail."""
    return await partner_acts.end(act.ports, act.case, act.actor, act.now, Reason.PARTNER_DISASSOCIATED, act.context)
