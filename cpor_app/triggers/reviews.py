"""The reviewer's calls: the claims that await a decision, and the decisions."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from cpor_app.http.claim_act import ActBody, ClaimAct, Side, claim_act
from cpor_app.http.parsing import QueryFlag, SearchText, Several
from cpor_app.http.request import Call, PersonalData
from cpor_app.http.route_table import PROGRAMME, PROGRAMME_AND_READER, REVIEWER, Answer
from cpor_app.http.server import operation
from cpor_app.triggers.claims import (
    CommentView,
    ListedComments,
    ListedEntries,
    NewComment,
    OptionalComment,
    VerdictDetail,
    comments_page,
    history_page,
    take_comment,
    verdict_details,
)
from cpor_app.triggers.evidence import FILE, attachment
from cpor_app.triggers.register import follow_in_sandbox
from cpor_core.model.base import AtMost, Guid, Instant, LateModel, PartnerId, Text200, Text4000, Value
from cpor_core.model.claim import LEFT_OUT, REQUEST_REASONS, REVIEWERS_REJECTION_REASONS, Item, Items, Reason, Status
from cpor_core.rules.arbitration import Rule, rule_at
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import next_step
from cpor_core.use_cases.claims import partner_acts, reviews
from cpor_core.use_cases.claims.any_state import Search, in_any_state
from cpor_core.use_cases.claims.listing import load_all
from cpor_core.use_cases.registry_entries import Entries, partner_name, partners_of
from cpor_core.views import ClaimView, ClosedClaimView, claim_view, closed_claim_view, entity_tag, is_competing


async def _answer(call: Call, case: Case) -> Answer:
    return call.view(claim_view(case, await call.ports.current_terms()))


async def _find(call: Call) -> Case:
    call.shows(PersonalData.CONTACTS, [call.claim_id])
    return await call.any_case()


BY_REVIEWER = Side(
    tag="Reviews",
    roles=REVIEWER,
    author="programme",
    find=_find,
    model=ClaimView,
    view=claim_view,
    answer=_answer,
)


def _chosen_from(reasons: frozenset[Reason]) -> BeforeValidator:
    """Return a validator that takes only *reasons*; its message lists them."""

    def verified(sent: object) -> object:
        if not isinstance(sent, str) or sent not in reasons:
            raise ValueError(f"must be one of: {', '.join(sorted(reasons))}")
        return sent

    return BeforeValidator(verified)


ASKABLE_REASONS = REQUEST_REASONS - {Reason.CUSTOMER_UNREACHABLE}


class Rejection(ActBody):
    """A rejection: a reason code, and a comment for the partner."""

    reason: Annotated[
        Reason,
        _chosen_from(REVIEWERS_REJECTION_REASONS),
        WithJsonSchema({"type": "string", "enum": sorted(REVIEWERS_REJECTION_REASONS)}),
    ]
    comment: Text4000 | None = None


class InformationRequest(ActBody):
    """A request to the partner: reason codes that say what is missing, and a comment."""

    reasons: Annotated[
        tuple[
            Annotated[
                Reason,
                _chosen_from(ASKABLE_REASONS),
                WithJsonSchema({"type": "string", "enum": sorted(ASKABLE_REASONS)}),
            ],
            ...,
        ],
        Field(min_length=1),
        AtMost(len(REQUEST_REASONS)),
        AfterValidator(lambda reasons: tuple(dict.fromkeys(reasons))),
    ]
    comment: Text4000 | None = None


class ItemsToStrike(ActBody):
    """The items that the evidence does not cover, and a comment for the partner."""

    items: Items
    comment: Text4000 | None = None


class Revocation(ActBody):
    """The reason why the programme stops a claim or ends an association. The partner can read both fields."""

    free_text = ("reason", "comment")

    reason: Text200 | None = None
    comment: Text4000 | None = None


class ReviewFilters(LateModel):
    """The filters of the review list."""

    state: Annotated[Literal["any"] | None, Field(description="`any`: claims in any state, newest first.")] = None
    tenant_id: Annotated[Guid | None, Field(description="The customer's tenant. Needs `state=any`.")] = None
    partner_id: Annotated[PartnerId | None, Field(description="The partner's location. Needs `state=any`.")] = None
    status: Annotated[
        Several[Status],
        Field(description="One state, or several states. Separate them with commas, or repeat it. Needs `state=any`."),
    ] = ()
    q: SearchText = None
    overdue: QueryFlag | None = None
    competing: QueryFlag | None = None
    sample: Annotated[QueryFlag | None, Field(description="Not together with `state=any`.")] = None

    model_config = ConfigDict(alias_generator=to_camel)

    @model_validator(mode="after")
    def _of_one_list(self) -> Self:
        if self.state is not None and self.sample:
            msg = "has `sample`, which is not possible together with `state=any`"
            raise ValueError(msg)
        if self.state is None and (self.tenant_id or self.partner_id or self.status or self.q):
            msg = "needs `state=any`, because it has `tenantId`, `partnerId`, `status` or `q`"
            raise ValueError(msg)
        return self

    def as_sent(self) -> dict[str, str | None]:
        """Return the filters as they are sent."""
        flags = {"overdue": self.overdue, "competing": self.competing, "sample": self.sample}
        return {
            "state": self.state,
            "tenantId": self.tenant_id,
            "partnerId": self.partner_id,
            "status": ",".join(sorted(self.status)) or None,
            "q": self.q,
            **{name: str(value).lower() for name, value in flags.items() if value is not None},
        }


class ReviewItem(ClaimView):
    """
    A claim that awaits a decision. `overdue` is true after the reviewer's time has run out.

    The names are those in the registry. `customerName` is null if the tenant is not registered. `takenBy` is the `oid`
    of the reviewer who started the review, and null if no reviewer has it.
    """

    claim_id: str
    overdue: bool
    partner_name: str
    customer_name: str | None
    taken_by: Guid | None


class ClosedReviewItem(ClosedClaimView):
    """The row of a claim for a reader of the programme."""

    claim_id: str
    overdue: bool
    partner_name: str
    customer_name: str | None


class ListedReviews(Value):
    """A page of the claims that await a decision, most urgent first. A reader gets the closed rows."""

    value: tuple[ReviewItem | ClosedReviewItem, ...]
    next_link: str | None = LEFT_OUT


class Contested(Value):
    """An item for which there are other claims. `rule` says for which claim the rules of arbitration speak, and why."""

    item: Item
    rule: Rule
    others: tuple["Other", ...]


class Other(Value):
    """Another claim for the same item, with its evidence."""

    claim: ClaimView
    partner_name: str


class ClosedContested(Value):
    """An item for which there are other claims, for a reader of the programme."""

    item: Item
    rule: Rule
    others: tuple["ClosedOther", ...]


class ClosedOther(Value):
    """Another claim for the same item, for a reader of the programme."""

    claim: ClosedClaimView
    partner_name: str


class ReviewView(Value):
    """What a reviewer needs to decide: the claim, the checks that it fails now, and the rivals for each item."""

    claim: ClaimView
    partner_name: str
    customer_name: str | None
    taken_by: Guid | None
    refused_before: Instant | None
    checks: tuple[VerdictDetail, ...]
    contested: tuple[Contested, ...]


class FailedCheck(Value):
    """A check that the claim fails now: its code, and the field."""

    code: str
    target: str | None


class ClosedReviewView(Value):
    """A claim, the checks that it fails now, and the rivals for each item, for a reader of the programme."""

    claim: ClosedClaimView
    partner_name: str
    customer_name: str | None
    refused_before: Instant | None
    checks: tuple[FailedCheck, ...]
    contested: tuple[ClosedContested, ...]


@operation(
    summary="The claims that await a decision, most urgent first, or claims in any state",
    tag="Reviews",
    roles=PROGRAMME_AND_READER,
    query=ReviewFilters,
    answers={200: ListedReviews},
    paged=True,
)
async def list_reviews(call: Call) -> Answer:
    """
    A timer never decides a review. An overdue review is shown as overdue.

    With `state=any` the list has claims in any state, drafts too, the newest first. `q` finds claims by the ids of
    claim, tenant, location and organisation, by the registered names of partner and customer, and by the customer's
    registered domains. It does not search in what partners wrote. Without `tenantId` and `partnerId` a new claim may be
    missing for three minutes.

    With filters a short or empty page can still have a nextLink, because one call reads at most 500 claims.

    A reader gets rows without personal data.
    """
    filters = call.query(ReviewFilters)
    after, limit = call.page(filters.as_sent())
    now = await call.now()
    terms = await call.ports.current_terms()
    entries = Entries(call.ports)

    def is_overdue(case: Case) -> bool:
        due = next_step(case, terms).due
        return due is not None and due <= now

    def fits(case: Case) -> bool:
        return (
            (not filters.status or case.claim.status in filters.status)
            and filters.overdue in (None, is_overdue(case))
            and filters.competing in (None, is_competing(case))
        )

    narrowed = bool(filters.status) or filters.overdue is not None or filters.competing is not None
    wanted = fits if narrowed else None
    if filters.state is not None:
        if filters.tenant_id is None and filters.partner_id is None:
            await follow_in_sandbox(call, now)
        search = Search(filters.tenant_id, filters.partner_id, filters.q)
        page = await in_any_state(call.ports, search, entries, now, after=after, limit=limit, wanted=wanted)
    else:
        listing = reviews.sample if filters.sample else reviews.awaiting_decision
        page = await listing(call.ports, now, after=after, limit=limit, wanted=wanted)
    await entries.read(case.claim for case in page.cases)

    def row(case: Case) -> ReviewItem | ClosedReviewItem:
        more: dict[str, Any] = {
            "claim_id": case.claim.id,
            "overdue": is_overdue(case),
            "partner_name": entries.partner_name(case.claim),
            "customer_name": entries.customer_name(case.claim),
        }
        if call.roles & PROGRAMME:
            more["taken_by"] = case.claim.taken_by
            return ReviewItem.model_construct(**_fields(claim_view(case, terms)), **more)
        return ClosedReviewItem.model_construct(**_fields(closed_claim_view(case, terms)), **more)

    call.shows(PersonalData.CONTACTS, (case.claim.id for case in page.cases))
    return call.listed([row(case) for case in page.cases], page.position, filters.as_sent())


def _fields(view: Value) -> dict[str, Any]:
    return {name: getattr(view, name) for name in type(view).model_fields}


@operation(
    summary="A claim with its checks and the rivals for each item",
    tag="Reviews",
    roles=PROGRAMME_AND_READER,
    answers={200: (ReviewView, ClosedReviewView)},
    etag=True,
    refusals=("NotFound",),
)
async def get_review(call: Call) -> Answer:
    """
    A reviewer can read every claim in every state. `contested[].rule` names the claim that the rules of arbitration
    favour for an item. The reviewer decides.

    A reader gets an answer without personal data.
    """
    case = await call.any_case()
    now = await call.now()
    terms = await call.ports.current_terms()
    checked = await partner_acts.checked(call.ports, case, case.claim.acknowledgements, now)
    rivals = await load_all(call.ports, sorted({party.claim for party in checked.case.rival_parties(now)}), now)
    claims = {case.claim.id: case.claim, **{claim_id: rival.claim for claim_id, rival in rivals.items()}}
    partners = await partners_of(call.ports, claims.values())
    contested = []
    for item in case.claim.items:
        slot = checked.case.slots[item.key].at(now)
        parties = dict.fromkeys(party.claim for party in slot.others(case.claim.id))
        if others := [rivals[claim_id] for claim_id in parties if claim_id in rivals]:
            contested.append((item, rule_at(slot, claims), others))
    common: dict[str, Any] = {
        "partner_name": partner_name(case.claim, partners),
        "customer_name": checked.customer.name if checked.customer is not None else None,
        "refused_before": case.claim.refused_before,
    }
    headers = {"ETag": entity_tag(case)}
    if not call.roles & PROGRAMME:
        closed = ClosedReviewView(
            claim=closed_claim_view(case, terms),
            **common,
            checks=tuple(FailedCheck(code=failed.code, target=failed.target) for failed in checked.failed),
            contested=tuple(
                ClosedContested(
                    item=item,
                    rule=rule,
                    others=tuple(
                        ClosedOther(
                            claim=closed_claim_view(other, terms), partner_name=partner_name(other.claim, partners)
                        )
                        for other in others
                    ),
                )
                for item, rule, others in contested
            ),
        )
        return Answer(200, closed, headers=headers)
    call.shows(
        PersonalData.CONTACTS, (case.claim.id, *(other.claim.id for _, _, others in contested for other in others))
    )
    review = ReviewView(
        claim=claim_view(case, terms),
        **common,
        taken_by=case.claim.taken_by,
        checks=verdict_details(checked.failed),
        contested=tuple(
            Contested(
                item=item,
                rule=rule,
                others=tuple(
                    Other(claim=claim_view(other, terms), partner_name=partner_name(other.claim, partners))
                    for other in others
                ),
            )
            for item, rule, others in contested
        ),
    )
    return Answer(200, review, headers=headers)


@claim_act(
    BY_REVIEWER,
    summary="Begin the review of a submitted claim",
    body=OptionalComment,
    body_needed=False,
)
async def start_review(act: ClaimAct[OptionalComment]) -> Case:
    """
    The reviewer's time to decide begins. The programme's lists show who has started the review.

    Every reviewer can still decide the claim. To take the review over, give it back first with `release`.
    """
    return await reviews.start(act.ports, act.case, act.now, act.context)


@claim_act(
    BY_REVIEWER,
    summary="Give a review back",
    body=OptionalComment,
    body_needed=False,
)
async def release_review(act: ClaimAct[OptionalComment]) -> Case:
    """
    The claim is `submitted` again, and another reviewer can start its review. Every reviewer can give it back.

    The time to decide does not begin again: `nextStep.due` stays the same, also after the next start.
    """
    return await reviews.release(act.ports, act.case, act.now, act.context)


@claim_act(
    BY_REVIEWER,
    summary="Approve a claim, and so decide the arbitration among competing claims",
    body=OptionalComment,
    body_needed=False,
    refusals=("SlotAwaitsCustomer", "TooManyCompetitors"),
)
async def approve_claim(act: ClaimAct[OptionalComment]) -> Case:
    """The customer is notified next. Undecided rivals lose the contested items. A holder keeps its item for now."""
    return await reviews.approve(act.ports, act.case, act.now, act.context)


@claim_act(
    BY_REVIEWER,
    summary="Ask the partner for more",
    body=InformationRequest,
)
async def request_information(act: ClaimAct[InformationRequest]) -> Case:
    """The partner has five business days of its own calendar to answer. After that the claim is rejected."""
    return await reviews.request_information(act.ports, act.case, act.now, act.sent.reasons, act.context)


@claim_act(
    BY_REVIEWER,
    summary="Strike the items that the evidence does not cover",
    body=ItemsToStrike,
    refusals=("ItemNotInClaim",),
)
async def strike_items(act: ClaimAct[ItemsToStrike]) -> Case:
    """A claim that loses its last item is rejected."""
    return await reviews.strike_items(act.ports, act.case, act.now, act.sent.items, act.context)


@claim_act(
    BY_REVIEWER,
    summary="Reject a claim or its dispute",
    body=Rejection,
)
async def reject_claim(act: ClaimAct[Rejection]) -> Case:
    """The partner can dispute a first rejection within 30 days. The rejection of a dispute is final."""
    return await reviews.reject(act.ports, act.case, act.now, act.sent.reason, act.context)


@claim_act(
    BY_REVIEWER,
    summary="Stop a claim that awaits its customer, or end an association",
    body=Revocation,
)
async def revoke_claim(act: ClaimAct[Revocation]) -> Case:
    """Use this for a claim that should have been rejected earlier. Customer and partner are notified."""
    return await reviews.revoke(act.ports, act.case, act.now, act.context)


@operation(
    summary="Everything that happened to a claim",
    tag="Reviews",
    roles=PROGRAMME_AND_READER,
    answers={200: ListedEntries},
    paged=True,
    refusals=("NotFound",),
)
async def review_history(call: Call) -> Answer:
    """The answer has the same bytes that the partner gets."""
    return await history_page(call, await call.any_case())


@operation(
    summary="What both sides wrote",
    tag="Reviews",
    roles=PROGRAMME,
    answers={200: ListedComments},
    paged=True,
    refusals=("NotFound",),
)
async def review_comments(call: Call) -> Answer:
    """The oldest comment comes first."""
    call.shows(PersonalData.COMMENTS, [call.claim_id])
    return await comments_page(call, await call.any_case())


@operation(
    summary="Write to the partner",
    tag="Reviews",
    roles=REVIEWER,
    body=NewComment,
    answers={201: CommentView},
    key_kept_by_handler=True,
    if_match="honoured",
    refusals=("NotFound",),
)
async def add_review_comment(call: Call) -> Answer:
    """The reviewer's id is stored, but never shown."""
    call.shows(PersonalData.COMMENTS, [call.claim_id])
    return await take_comment(call, await call.any_case(), "programme")


@operation(
    summary="A file, as an attachment",
    tag="Reviews",
    roles=PROGRAMME,
    answers={200: FILE},
    etag=True,
    refusals=("NotFound",),
)
async def review_evidence(call: Call) -> Answer:
    """The bytes are the same as in the partner's upload."""
    call.shows(PersonalData.EVIDENCE, [call.claim_id])
    return await attachment(call, await call.any_case())
