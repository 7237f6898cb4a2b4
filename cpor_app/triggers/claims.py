"""The partner's calls about claims: drafts, acts, history and comments."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from cpor_app.http.claim_act import ActBody, ClaimAct, Side, claim_act
from cpor_app.http.parsing import QueryFlag, SearchText, Several, read_object, validated
from cpor_app.http.request import Call, require_admin_unless_draft
from cpor_app.http.route_table import PARTNER, PARTNER_ADMIN, PATCH_TYPES, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Detail
from cpor_core.model.base import Guid, Instant, LateModel, PartnerId, Text100, Text4000, Value
from cpor_core.model.claim import LEFT_OUT, MAX_CLAIM_BYTES, Acknowledgements, NewClaim, Status
from cpor_core.model.export import ClaimFilter
from cpor_core.model.history import PROGRAMME, Entry
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.claims import comments, drafts, partner_acts
from cpor_core.use_cases.claims.history import history_as_of
from cpor_core.use_cases.claims.listing import ClaimSummary, fits, own_claims, summary
from cpor_core.use_cases.claims.search import search_own
from cpor_core.views import OwnClaimView, own_claim_view


class DryRun(LateModel):
    """`validate=true` makes the call a dry run. A dry run does all checks and stores nothing."""

    validate_: QueryFlag = False

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))


class ClaimFilters(LateModel):
    """The filters of a list of claims. A claim must fit each filter."""

    status: Annotated[
        Several[Status], Field(description="One state, or several states. Separate them with commas, or repeat it.")
    ] = ()
    engagement: str | None = None
    partner_id: PartnerId | None = None
    customer_tenant_id: Guid | None = None
    reference: Annotated[Text100 | None, Field(description="The whole reference, as it was set.")] = None
    needs_me: Annotated[QueryFlag, Field(description="Only claims whose `nextStep.owner` is the partner.")] = False

    model_config = ConfigDict(alias_generator=to_camel)

    def wanted(self) -> ClaimFilter:
        """Return the filters as the use cases take them."""
        return ClaimFilter(
            statuses=tuple(sorted(set(self.status))),
            engagement=self.engagement,
            partner_id=self.partner_id,
            tenant_id=self.customer_tenant_id,
            reference=self.reference,
            needs_me=self.needs_me,
        )


class ClaimSearch(ClaimFilters):
    """The filters of the list of claims, and a search."""

    q: SearchText = None


class Verdict(Value):
    """The result of a dry run."""

    valid: bool
    details: tuple["VerdictDetail", ...]


class VerdictDetail(Value):
    """One failed check."""

    code: str
    message: str
    target: str | None
    resolution: str | None


class Submission(Value):
    """What the partner acknowledges at submission."""

    acknowledgements: Acknowledgements | None = None


class OptionalComment(ActBody):
    """An act with an optional comment."""

    comment: Text4000 | None = None


class Justification(ActBody):
    """Why a rejection is wrong."""

    free_text = ("justification",)

    justification: Text4000 | None = None


class NewComment(Value):
    """A new comment."""

    text: Text4000


class CommentView(Value):
    """A comment; `author` is the side that wrote it."""

    sequence: int
    at: Instant
    author: str
    text: str


class Listed(Value):
    """A page of claims, newest first."""

    value: tuple[OwnClaimView, ...]
    next_link: str | None = LEFT_OUT


class ListedEntries(Value):
    """A page of history, oldest first. The chain of hashes has the same order."""

    value: tuple[Entry, ...]
    next_link: str | None = LEFT_OUT


class ListedComments(Value):
    """A page of comments, oldest first."""

    value: tuple[CommentView, ...]
    next_link: str | None = LEFT_OUT


BY_PARTNER = Side(
    tag="Claims",
    roles=PARTNER_ADMIN,
    author="partner",
    find=Call.own_case,
    model=OwnClaimView,
    view=own_claim_view,
    answer=Call.claim,
    max_bytes=MAX_CLAIM_BYTES,
)
FORM = ("EngagementUnknown", "PartnerIdNotYours", "DuplicateItem", "NotForThisEngagement")


@operation(
    summary="Make a draft, or check one with `validate=true`",
    tag="Claims",
    roles=PARTNER,
    query=DryRun,
    body=NewClaim,
    max_bytes=MAX_CLAIM_BYTES,
    answers={201: OwnClaimView, 200: Verdict},
    key_kept_by_handler=True,
    etag=True,
    location=True,
    refusals=(*FORM, "TooManyDryRuns"),
)
async def create_claim(call: Call) -> Answer:
    """A dry run lists every check that the claim would fail at submission. A dry run stores nothing."""
    sent = call.body(NewClaim)
    if call.query(DryRun).validate_:
        return _verdict(await partner_acts.dry_run_of_new(call.ports, call.organisation, sent, await call.now()))
    made = await drafts.create(
        call.ports, call.organisation, call.actor(), sent, await call.now(), call.idempotency_key()
    )
    return await call.claim(made, 201)


@operation(
    summary="Your organisation's claims, newest first",
    tag="Claims",
    roles=PARTNER,
    query=ClaimSearch,
    answers={200: Listed},
    paged=True,
)
async def list_claims(call: Call) -> Answer:
    """
    `q` searches in the claim's name, domain, reference and id, and in the customer's registered name.

    With filters or `q` a short or empty page can still have a nextLink, because one call reads at most 500 claims.
    """
    filters = call.query(ClaimSearch)
    filter_values = {
        **filters.model_dump(mode="json", by_alias=True),
        "status": ",".join(sorted(filters.status)) or None,
        "needsMe": "true" if filters.needs_me else None,
    }
    after, limit = call.page(filter_values)
    now = await call.now()
    wanted = filters.wanted()
    terms = await call.ports.current_terms()
    chosen = partial(fits, wanted, terms=terms) if wanted != ClaimFilter() else None
    read = own_claims if filters.q is None else partial(search_own, query=filters.q)
    page = await read(call.ports, call.organisation, now=now, after=after, limit=limit, wanted=chosen)
    return call.listed([own_claim_view(case, terms) for case in page.cases], page.position, filter_values)


@operation(  # the host tries functions by name: count_claims comes before get_claim, whose {claimId} fits "summary"
    summary="How many claims your organisation has, by status",
    tag="Claims",
    roles=PARTNER,
    answers={200: ClaimSummary},
)
async def count_claims(call: Call) -> Answer:
    """
    `needsMe` is the number of claims whose `nextStep.owner` is the partner. Only the newest 500 claims are read. If you
    have more, the counts are of these 500, and `complete` is false. Then read the list with `needsMe=true`.
    """
    return Answer(200, await summary(call.ports, call.organisation, await call.now()))


@operation(
    summary="A claim as it is now",
    tag="Claims",
    roles=PARTNER,
    answers={200: OwnClaimView},
    etag=True,
    refusals=("NotFound",),
)
async def get_claim(call: Call) -> Answer:
    """The service computes the state at each read. The state does not depend on a timer."""
    return await call.claim(await call.own_case())


@operation(
    summary="Change a draft, a claim that awaits the partner's answer, or a reference, with a JSON merge patch",
    tag="Claims",
    roles=PARTNER,
    body=NewClaim,
    body_types=PATCH_TYPES,
    max_bytes=MAX_CLAIM_BYTES,
    answers={200: OwnClaimView},
    if_match="required",
    etag=True,
    refusals=("NotFound", "InvalidState", "Immutable", *FORM),
)
async def patch_claim(call: Call) -> Answer:
    """
    In a draft you can change all fields except tenant and engagement. In `partnerActionRequired` you can change
    partnerId, items and contacts. The value null removes a field.

    `reference` can be changed in every state. Only your organisation sees it, and the history does not have it.

    After submission only `Incentives.Admin` can edit.
    """
    case = await call.own_case(partial(require_admin_unless_draft, call))
    patch = read_object(call.bytes())
    now = await call.now()
    with validated():
        changed = await drafts.edit(call.ports, case, call.actor(), now, patch, call.act_context())
    return await call.claim(changed)


@operation(
    summary="Delete a draft",
    tag="Claims",
    roles=PARTNER,
    answers={204: None},
    if_match="honoured",
    refusals=("NotFound", "InvalidState"),
)
async def delete_claim(call: Call) -> Answer:
    """Only a draft can be deleted. Its evidence is deleted too."""
    case = await call.own_case()
    await drafts.delete(call.ports, case, call.actor(), await call.now(), call.act_context())
    return Answer(204)


@operation(
    summary="Submit a draft, or check it with `validate=true`",
    tag="Claims",
    roles=PARTNER_ADMIN,
    query=DryRun,
    body=Submission,
    max_bytes=MAX_CLAIM_BYTES,
    answers={200: (OwnClaimView, Verdict)},
    key_kept_by_handler=True,
    if_match="honoured",
    etag=True,
    refusals=("NotFound", "InvalidState", "SlotCrowded", "TooManyDryRuns"),
)
async def submit_claim(call: Call) -> Answer:
    """All failed checks are reported together. With automatic review and no rival the customer is notified next."""
    case = await call.own_case()
    sent = call.body(Submission)
    now = await call.now()
    if call.query(DryRun).validate_:
        return _verdict(await partner_acts.dry_run_of_draft(call.ports, case, sent.acknowledgements, now))
    given = sent.acknowledgements or Acknowledgements(accurate=False, customer_aware=False)
    return await call.claim(await partner_acts.submit(call.ports, case, call.actor(), now, given, call.act_context()))


@claim_act(
    BY_PARTNER,
    summary="Answer what the reviewer asked for",
    body=OptionalComment,
    body_needed=False,
    refusals=("SlotCrowded", "SlotAwaitsCustomer"),
)
async def resubmit_claim(act: ClaimAct[OptionalComment]) -> Case:
    """The checks are those of a submission. If only the customer was unreachable, the customer is notified next."""
    return await partner_acts.resubmit(act.ports, act.case, act.actor, act.now, act.context)


@claim_act(
    BY_PARTNER,
    summary="Dispute a rejection once, within 30 days",
    body=Justification,
    body_needed=False,
    refusals=("NotDisputable", "JustificationMissing", "SlotCrowded"),
)
async def dispute_claim(act: ClaimAct[Justification]) -> Case:
    """A dispute needs a justification, or evidence added after the rejection. A customer's no cannot be disputed."""
    return await partner_acts.dispute(act.ports, act.case, act.actor, act.now, act.context)


@claim_act(
    BY_PARTNER,
    summary="Withdraw an open claim",
    body=OptionalComment,
    body_needed=False,
)
async def withdraw_claim(act: ClaimAct[OptionalComment]) -> Case:
    """A customer who was notified of the claim gets one closing mail."""
    return await partner_acts.withdraw(act.ports, act.case, act.actor, act.now, act.context)


@operation(
    summary="Everything that happened to a claim",
    tag="Claims",
    roles=PARTNER,
    answers={200: ListedEntries},
    paged=True,
    refusals=("NotFound",),
)
async def list_history(call: Call) -> Answer:
    """The oldest entry comes first. Each entry has the hash of the entry before, so that you can verify an export."""
    return await history_page(call, await call.own_case())


@operation(
    summary="What both sides wrote",
    tag="Claims",
    roles=PARTNER,
    answers={200: ListedComments},
    paged=True,
    refusals=("NotFound",),
)
async def list_comments(call: Call) -> Answer:
    """The oldest comment comes first. The list includes the comments of acts and the reasons of the customer."""
    return await comments_page(call, await call.own_case())


@operation(
    summary="Write to the reviewer",
    tag="Claims",
    roles=PARTNER,
    body=NewComment,
    max_bytes=MAX_CLAIM_BYTES,
    answers={201: CommentView},
    key_kept_by_handler=True,
    if_match="honoured",
    refusals=("NotFound",),
)
async def add_comment(call: Call) -> Answer:
    """You can comment on a claim in every state."""
    return await take_comment(call, await call.own_case(), "partner")


async def history_page(call: Call, case: Case) -> Answer:
    """Answer a page of history. It includes entries that time has made and that are not stored yet."""
    after, limit = call.page()
    start = int(after or 0)
    entries = await history_as_of(call.ports, case, after=start, limit=limit)
    position = str(entries[-1].sequence) if len(entries) == limit else None
    return call.listed(entries, position)


async def comments_page(call: Call, case: Case) -> Answer:
    """Answer a page of comments."""
    after, limit = call.page()
    page = await call.ports.claims.comments(case.claim.id, after=int(after or 0), limit=limit)
    views = [CommentView(sequence=c.sequence, at=c.at, author=c.author, text=c.text) for c in page]
    return call.listed(views, str(views[-1].sequence) if len(views) == limit else None)


async def take_comment(call: Call, case: Case, author: str) -> Answer:
    """Store a comment of *author*: `partner` or `programme`."""
    text, now = call.body(NewComment).text, await call.now()

    def view(after: Case, _: Terms) -> CommentView:
        return CommentView(sequence=after.claim.history_length, at=now, author=author, text=text)

    actor = call.actor() if author == "partner" else PROGRAMME
    context = call.act_context(comment=text, author=author, at=now, answers=view)
    after = await comments.add_comment(call.ports, case, actor, now, context)
    return Answer(201, view(after, call.ports.terms), headers=call.repeatability())


def _verdict(details: Sequence[Detail]) -> Answer:
    return Answer(200, Verdict(valid=not details, details=verdict_details(details)))


def verdict_details(details: Sequence[Detail]) -> tuple[VerdictDetail, ...]:
    """Return failed checks in the form of an answer."""
    return tuple(
        VerdictDetail(code=d.code, message=d.message, target=d.target, resolution=d.resolution) for d in details
    )
