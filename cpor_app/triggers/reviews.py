"""The reviewer's side: what awaits a decision, and the decisions."""

from typing import Annotated

import azure.functions as func
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from cpor_app.http.parsing import QueryFlag
from cpor_app.http.request import Call
from cpor_app.http.route_table import PROGRAMME, REVIEWER, Answer
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
)
from cpor_app.triggers.evidence import FILE, attachment
from cpor_core.model.base import AtMost, Instant, Text200, Text4000, Value
from cpor_core.model.claim import LEFT_OUT, REQUEST_REASONS, REVIEWERS_REJECTION_REASONS, Item, Items, Reason
from cpor_core.use_cases.claims import reviews, submission
from cpor_core.use_cases.claims.listing import load_all
from cpor_core.views import ClaimView, shown

blueprint = func.Blueprint()
ACT = ("NotFound", "InvalidState")


def _chosen_from(reasons: frozenset[Reason]) -> BeforeValidator:
    """Return what refuses a reason that a reviewer cannot give here; the refusal names those that they can."""

    def verified(sent: object) -> object:
        if not isinstance(sent, str) or sent not in reasons:
            raise ValueError(f"must be one of: {', '.join(sorted(reasons))}")
        return sent

    return BeforeValidator(verified)


ASKABLE_REASONS = REQUEST_REASONS - {Reason.CUSTOMER_UNREACHABLE}


class Rejection(Value):
    """Why a claim is refused: a code of the closed list, and a comment for the partner."""

    reason: Annotated[
        Reason,
        _chosen_from(REVIEWERS_REJECTION_REASONS),
        WithJsonSchema({"type": "string", "enum": sorted(REVIEWERS_REJECTION_REASONS)}),
    ]
    comment: Text4000 | None = None


class InformationRequest(Value):
    """What the evidence lacks, as codes of the closed list, and a comment for the partner."""

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


class ItemsToStrike(Value):
    """The items that the evidence does not cover, and a comment for the partner."""

    items: Items
    comment: Text4000 | None = None


class Revocation(Value):
    """Why the programme stops a claim or ends an association, with a comment for the partner."""

    reason: Text200 | None = None
    comment: Text4000 | None = None


class ReviewFilters(BaseModel):
    """Filters of the review list."""

    overdue: QueryFlag | None = None
    competing: QueryFlag | None = None
    sample: QueryFlag | None = None


class ReviewItem(ClaimView):
    """A claim that awaits a decision; `overdue` once its reviewer's time has run out."""

    claim_id: str
    overdue: bool


class ListedReviews(Value):
    """A page of what awaits a decision, most urgent first."""

    value: tuple[ReviewItem, ...]
    next_link: str | None = LEFT_OUT


class Contested(Value):
    """An item at which other claims stand."""

    item: Item
    others: tuple["Other", ...]


class Other(Value):
    """Another claim at the same slot, with its evidence."""

    claim: ClaimView


class ReviewView(Value):
    """Everything that a reviewer needs to decide: the claim, the checks it fails now, both sides of each slot."""

    claim: ClaimView
    refused_before: Instant | None
    checks: tuple[VerdictDetail, ...]
    contested: tuple[Contested, ...]


@operation(
    blueprint,
    name="list_reviews",
    method="GET",
    route="reviews",
    summary="What awaits a decision, most urgent first",
    tag="Reviews",
    roles=PROGRAMME,
    query=ReviewFilters,
    answers={200: ListedReviews},
    paged=True,
)
async def list_reviews(call: Call) -> Answer:
    """Overdue reviews are shown, never decided by a timer."""
    filters = call.query(ReviewFilters)
    kept = {name: str(value).lower() for name, value in filters if value is not None}
    after, limit = call.page(kept)
    now = await call.now()
    listing = reviews.sample if filters.sample else reviews.awaiting_decision
    page = await listing(call.ports, now, after=after, limit=limit)
    views = []
    terms = await call.ports.current_terms()
    for case in page.cases:
        view = shown(case, now, terms)
        overdue = view.next_step.due is not None and view.next_step.due <= now
        if filters.overdue in (None, overdue) and filters.competing in (None, view.competing):
            views.append(
                ReviewItem.model_construct(
                    **{name: getattr(view, name) for name in ClaimView.model_fields}, claim_id=view.id, overdue=overdue
                )
            )
    return call.listed(views, page.position, kept)


@operation(
    blueprint,
    name="get_review",
    method="GET",
    route="reviews/{claimId}",
    summary="A claim with its checks and the other side of each slot",
    tag="Reviews",
    roles=PROGRAMME,
    answers={200: ReviewView},
    etag=True,
    refusals=("NotFound",),
)
async def get_review(call: Call) -> Answer:
    """Any claim in any state."""
    case = await call.any_case()
    now = await call.now()
    terms = await call.ports.current_terms()
    view = shown(case, now, terms)
    failed = await submission.checks_now(call.ports, case, case.claim.acknowledgements, now)
    parties = {party.claim for party in case.rival_parties(now)}
    rivals = await load_all(call.ports, sorted(parties), now)
    contested = [
        Contested(item=item, others=others)
        for item in case.claim.items
        if (
            others := tuple(
                Other(claim=shown(rivals[claim_id], now, terms))
                for claim_id in dict.fromkeys(p.claim for p in case.slots[item.key].at(now).others(case.claim.id))
                if claim_id in rivals
            )
        )
    ]
    review = ReviewView(
        claim=view,
        refused_before=case.claim.refused_before,
        checks=tuple(
            VerdictDetail(code=d.code, message=d.message, target=d.target, resolution=d.resolution) for d in failed
        ),
        contested=tuple(contested),
    )
    return Answer(200, review, headers={"ETag": view.etag})


@operation(
    blueprint,
    name="start_review",
    method="POST",
    route="reviews/{claimId}/start",
    summary="Take a submitted claim up",
    tag="Reviews",
    roles=REVIEWER,
    body=OptionalComment,
    body_needed=False,
    answers={200: ClaimView},
    keyed=True,
    if_match="honoured",
    etag=True,
    refusals=ACT,
)
async def start_review(call: Call) -> Answer:
    """The reviewer's time to decide begins."""
    case = await call.any_case()
    comment, now = call.body(OptionalComment).comment, await call.now()
    context = call.act_context(comment=comment, author="programme", at=now)
    return await call.claim(await reviews.start(call.ports, case, now, context))


@operation(
    blueprint,
    name="approve_claim",
    method="POST",
    route="reviews/{claimId}/approve",
    summary="Approve; of competing claims, this decides the arbitration",
    tag="Reviews",
    roles=REVIEWER,
    body=OptionalComment,
    body_needed=False,
    answers={200: ClaimView},
    keyed=True,
    if_match="honoured",
    etag=True,
    refusals=(*ACT, "SlotAwaitsCustomer", "TooManyCompetitors"),
)
async def approve_claim(call: Call) -> Answer:
    """The customer is told next. Other undecided claimants lose the contested items; a holder stays meanwhile."""
    case = await call.any_case()
    comment, now = call.body(OptionalComment).comment, await call.now()
    context = call.act_context(comment=comment, author="programme", at=now, decides=True)
    return await call.claim(await reviews.approve(call.ports, case, now, context))


@operation(
    blueprint,
    name="request_information",
    method="POST",
    route="reviews/{claimId}/request-information",
    summary="Ask the partner for more",
    tag="Reviews",
    roles=REVIEWER,
    body=InformationRequest,
    answers={200: ClaimView},
    keyed=True,
    if_match="honoured",
    etag=True,
    refusals=ACT,
)
async def request_information(call: Call) -> Answer:
    """The partner has five business days of their own calendar; then the claim is rejected."""
    case = await call.any_case()
    sent, now = call.body(InformationRequest), await call.now()
    context = call.act_context(comment=sent.comment, author="programme", at=now)
    return await call.claim(await reviews.request_information(call.ports, case, now, sent.reasons, context))


@operation(
    blueprint,
    name="strike_items",
    method="POST",
    route="reviews/{claimId}/strike-items",
    summary="Take items out that the evidence does not cover",
    tag="Reviews",
    roles=REVIEWER,
    body=ItemsToStrike,
    answers={200: ClaimView},
    keyed=True,
    if_match="honoured",
    etag=True,
    refusals=(*ACT, "ItemNotInClaim"),
)
async def strike_items(call: Call) -> Answer:
    """A claim whose last item is struck is rejected."""
    case = await call.any_case()
    sent, now = call.body(ItemsToStrike), await call.now()
    context = call.act_context(comment=sent.comment, author="programme", at=now)
    return await call.claim(await reviews.strike_items(call.ports, case, now, sent.items, context))


@operation(
    blueprint,
    name="reject_claim",
    method="POST",
    route="reviews/{claimId}/reject",
    summary="Refuse a claim, or its dispute for good",
    tag="Reviews",
    roles=REVIEWER,
    body=Rejection,
    answers={200: ClaimView},
    keyed=True,
    if_match="honoured",
    etag=True,
    refusals=ACT,
)
async def reject_claim(call: Call) -> Answer:
    """The partner may dispute a first refusal within 30 days."""
    case = await call.any_case()
    sent, now = call.body(Rejection), await call.now()
    context = call.act_context(comment=sent.comment, author="programme", at=now)
    return await call.claim(await reviews.reject(call.ports, case, now, sent.reason, context))


@operation(
    blueprint,
    name="revoke_claim",
    method="POST",
    route="reviews/{claimId}/revoke",
    summary="Stop a claim that awaits its customer, or end an association",
    tag="Reviews",
    roles=REVIEWER,
    body=Revocation,
    answers={200: ClaimView},
    keyed=True,
    if_match="honoured",
    etag=True,
    refusals=ACT,
)
async def revoke_claim(call: Call) -> Answer:
    """For claims that should never have come so far. Customer and partner are told."""
    case = await call.any_case()
    sent, now = call.body(Revocation), await call.now()
    comment = "\n".join(part for part in (sent.reason, sent.comment) if part)
    context = call.act_context(comment=comment, author="programme", at=now)
    return await call.claim(await reviews.revoke(call.ports, case, now, context))


@operation(
    blueprint,
    name="review_history",
    method="GET",
    route="reviews/{claimId}/history",
    summary="Everything that happened to a claim",
    tag="Reviews",
    roles=PROGRAMME,
    answers={200: ListedEntries},
    paged=True,
    refusals=("NotFound",),
)
async def review_history(call: Call) -> Answer:
    """The same bytes as the partner reads."""
    return await history_page(call, await call.any_case())


@operation(
    blueprint,
    name="review_comments",
    method="GET",
    route="reviews/{claimId}/comments",
    summary="What both sides wrote",
    tag="Reviews",
    roles=PROGRAMME,
    answers={200: ListedComments},
    paged=True,
    refusals=("NotFound",),
)
async def review_comments(call: Call) -> Answer:
    """Oldest first."""
    return await comments_page(call, await call.any_case())


@operation(
    blueprint,
    name="add_review_comment",
    method="POST",
    route="reviews/{claimId}/comments",
    summary="Write to the partner",
    tag="Reviews",
    roles=REVIEWER,
    body=NewComment,
    answers={201: CommentView},
    keyed=True,
    if_match="honoured",
    refusals=("NotFound",),
)
async def add_review_comment(call: Call) -> Answer:
    """Who of the programme wrote it is kept, and not shown."""
    return await take_comment(call, await call.any_case(), "programme")


@operation(
    blueprint,
    name="review_evidence",
    method="GET",
    route="reviews/{claimId}/evidence/{fileName}",
    summary="A file, as an attachment",
    tag="Reviews",
    roles=PROGRAMME,
    answers={200: FILE},
    etag=True,
    refusals=("NotFound",),
)
async def review_evidence(call: Call) -> Answer:
    """The bytes as the partner sent them."""
    return await attachment(call, await call.any_case())
