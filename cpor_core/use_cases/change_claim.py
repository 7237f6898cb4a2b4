"""
Changes a claim. Each act on a stored claim uses this module.

Index rows are written first, then one entity-group transaction, then a queue message (`docs/order-of-writes.md`). If a
process dies between two of these writes, a due row leads the timer to do the rest.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import BaseModel

from cpor_core.due_work import SOON, DueWork, Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.claim import UNDECIDED, Claim, Evidence, Status
from cpor_core.ports import Ports
from cpor_core.ports.claims import Comment, Commit
from cpor_core.ports.due_work import DueRow, of_act
from cpor_core.ports.idempotency import IdempotencyKey, IdempotencyRecord, StoredReply
from cpor_core.rules import file_names
from cpor_core.rules.claim_due_work import TO_PARTNERS, due_work_of
from cpor_core.rules.entity_tags import matches
from cpor_core.rules.identifiers import list_position, newest_first
from cpor_core.rules.search_words import texts_of_claim, words_stored
from cpor_core.rules.terms import Terms
from cpor_core.rules.untold import untold
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import (
    as_of,
    claimants_to_refuse,
    holders_to_supersede,
    settle,
    taken_over_before,
    taken_over_by_others,
    verify_places,
)
from cpor_core.transitions.personal_data import with_retention
from cpor_core.use_cases.feed.changes import announce, follow_row
from cpor_core.use_cases.idempotency import Repeated, begin_request, record_expiry, reply_expiry
from cpor_core.use_cases.mail_message_ids import message_id_expiries, with_listed_mails
from cpor_core.use_cases.together import together
from cpor_core.views import claim_view, entity_tag

ATTEMPTS = 12
"""The most tries of an act that loses races. After them the act raises `StorageBusy`."""
REVIEWS = "open"
"""The partition of the review index. The index has only this partition."""
UNTOLD = "untold"
"""The partition of the imported associations whose customer was not notified."""
SAMPLE = "sample"
"""The partition of the claims that are drawn for a second look."""


@dataclass(frozen=True, slots=True)
class ActContext:
    """Everything that a caller or a due row gives to an act, in addition to the act itself."""

    person_id: str | None = None
    idempotency_key: IdempotencyKey | None = None
    if_match: str | None = None
    file_name: str | None = None
    """The evidence file that the act changes. If-Match can have the file's ETag in place of the claim's ETag."""
    comment: Comment | None = None
    decides_claimants: bool = False
    """Whether the act decides on the other claimants of the slots too. If so, their claims are loaded."""
    counts_refusals: bool = False
    """Whether the act reads or writes the customer's refusals of this partner. If so, the refusals are loaded."""
    tag: Callable[[Case], str] = entity_tag
    """Makes the claim's ETag for the caller. The partner's ETag differs from the ETag of other sides."""
    answers: Callable[[Case, Terms], BaseModel] = claim_view
    """Makes the reply to the caller. With an idempotency key, the reply is stored in the act's transaction."""
    expiries: Sequence[DueRow] = ()
    """Due rows that delete a file which the act adds, replaces or removes."""
    store_file: Callable[[], Awaitable[None]] | None = None
    """Stores the file that the act adds, after the due row that deletes the file if no claim points to it."""
    caller_goes_on: bool = False
    """The caller does the claim's due work after the act. So no queue message is sent for this claim."""
    due_row: DueRow | None = None
    """The due row that led to the act. The act moves this row to a later instant in place of writing a new row."""


NO_CONTEXT = ActContext()
IN_DUE_WORK = ActContext(caller_goes_on=True)
"""The context of an act that is a step of the claim's due work."""


async def find(ports: Ports, claim_id: str, now: datetime) -> Case | None:
    """Return a claim as it is at *now*. None if there is no such claim, or if the claim was deleted or has lapsed."""
    stored = await ports.claims.load(claim_id)
    case = settle(stored, now) if stored is not None else None
    return case if case is not None and case.claim.status is not Status.DELETED else None


def evidence_tag(evidence: Evidence) -> str:
    """Return the entity tag of a file: the hash of its content."""
    return f'"{evidence.sha256}"'


def verify_match(case: Case, if_match: str | None, file_name: str | None = None, *, tag: Callable[[Case], str]) -> None:
    """Raise `PreconditionFailed` unless If-Match is `*` or has the ETag of the claim or of the file."""
    if if_match is None:
        return
    named = file_names.find(case.claim.evidence, file_name) if file_name is not None else None
    tags = (tag(case), *((evidence_tag(named),) if named is not None else ()))
    if not any(matches(if_match, tag) for tag in tags):
        raise Refused(
            "PreconditionFailed",
            "The claim has changed since you read it.",
            target="If-Match",
            resolution="Read the claim again and repeat the request with its new ETag.",
        )


async def change_claim(
    ports: Ports,
    case: Case,
    now: datetime,
    judge: Callable[[Case], Case],
    context: ActContext = NO_CONTEXT,
) -> Case:
    """
    Change a claim. *judge* returns the case after the act, and one transaction writes everything that has changed.

    If the act loses a race, *judge* is called again with the newest rows. The instant *now* stays the same, because the
    instant of arrival decides. Returns the case after the transaction. Raises the errors of *judge* and
    `begin_request`, and `StorageBusy` after 12 lost races.
    """
    case = as_of(case, now)
    act_id, stored = ports.new_id(), case.stored
    key_taken = file_stored = False
    terms = await ports.current_terms() if context.idempotency_key is not None else ports.terms
    for attempt in range(1, ATTEMPTS + 1):
        try:
            stored = await _with_everyone_concerned(ports, stored, now, context)
        except Conflict:
            stored = await _reloaded(ports, stored.claim.id, attempt)
            continue
        if case.stored is not stored:
            case = settle(stored, now)
        verify_match(case, context.if_match, context.file_name, tag=context.tag)
        after = with_listed_mails(with_retention(judge(case), ports.terms)).written()
        if after.claim == stored.claim and after.rivals == stored.rivals and after.slots == stored.slots:
            return case
        context = replace(context, due_row=await _write_index_rows(ports, stored, after, now, context))
        if context.idempotency_key is not None and not key_taken:
            request = IdempotencyRecord(context.idempotency_key.body, stored.claim.id, act_id, now)
            # If two requests with the same key run at the same time, the transaction decides between them.
            await begin_request(ports, context.idempotency_key, request, doubles_wait=False)
            key_taken = True
        if context.store_file is not None and not file_stored:
            await context.store_file()
            file_stored = True
        try:
            committed = await ports.claims.commit(_commit(act_id, stored, after, terms, context))
        except Conflict:
            # Our transaction can be written although the answer of storage was lost.
            if await ports.claims.wrote(stored.claim.id, act_id, stored.claim.history_length + 1):
                return settle(await _reloaded(ports, stored.claim.id), now)
            await _verify_not_repeated(ports, stored.claim.id, context)
            stored = await _reloaded(ports, stored.claim.id, attempt)
            continue
        for former, claim in _changed_claims(stored, after):
            if claim.id != stored.claim.id or not context.caller_goes_on:
                await _send_message(ports, former, claim)
        case = after.committed(committed)
        await announce(ports, case, after.entries, now, notes=after.claim.notes - stored.claim.notes)
        return case
    message = f"claim {stored.claim.id}: lost {ATTEMPTS} races in a row"
    raise StorageBusy(message, retry_after_seconds=1)


async def _send_message(ports: Ports, former: Claim, claim: Claim) -> None:
    """
    Send one queue message if the claim has new work that is due at once.

    The function of the customer's queue also sends the mails to partners.
    """
    new_kinds = {one.kind for one in due_work_of(claim) - due_work_of(former) if one.due is None}
    if new_kinds - TO_PARTNERS:
        await ports.queue_messages.customer_notice(claim.id)
    elif new_kinds:
        await ports.queue_messages.partner_notice(claim.id)


async def _verify_not_repeated(ports: Ports, claim_id: str, context: ActContext) -> None:
    if context.idempotency_key is not None:
        reply = await ports.claims.stored_reply(claim_id, context.idempotency_key.hash)
        if reply is not None:
            raise Repeated(reply)


async def write_down(ports: Ports, claim_id: str, now: datetime) -> None:
    """Store what time has changed in a claim, and nothing else."""
    stored = await ports.claims.load(claim_id)
    if stored is not None:
        await change_claim(ports, settle(stored, now), now, lambda settled: settled)


async def _reloaded(ports: Ports, claim_id: str, lost: int = 0) -> StoredCase:
    """Return a claim as it is stored now. After *lost* lost races, wait a moment before the read."""
    if lost:
        await ports.pause(lost)
    stored = await ports.claims.load(claim_id)
    if stored is None or (lost and stored.claim.status is Status.DELETED):
        raise Refused("NotFound", "The claim is gone.", resolution="List your claims.")
    return stored


async def _with_everyone_concerned(ports: Ports, stored: StoredCase, now: datetime, context: ActContext) -> StoredCase:
    """
    Store the takeovers that time has made on this claim's slots, and load the other rows that this act reads.

    Takeovers from one incumbent are stored in the order in which they happened. So the stored history of the incumbent
    equals the history that callers have read before. Raises `Conflict` if claim and slots contradict each other,
    because another act was committed between their reads.
    """
    for _ in range(ATTEMPTS):
        if context.counts_refusals and stored.refusals is None:
            stored = await ports.claims.with_refusals(stored)
        verify_places(stored)
        holders = await _loaded(ports, holders_to_supersede(stored, now))
        earlier = {other for holder in holders for other in taken_over_before(holder, stored.claim)}
        first = taken_over_by_others(stored, now) | earlier
        if not first:
            break
        for other in sorted(first):
            await write_down(ports, other, now)
        stored = await _reloaded(ports, stored.claim.id)
    else:  # a slot can name a claim that does not exist, and the act must not wait for that claim for ever
        message = f"claim {stored.claim.id}: the takeovers of its items can't be stored"
        raise StorageBusy(message, retry_after_seconds=1)
    claimants = await _loaded(ports, claimants_to_refuse(stored, now)) if context.decides_claimants else ()
    others = (*holders, *claimants)
    return stored.with_rivals(others) if others else stored


async def _loaded(ports: Ports, claim_ids: Iterable[str]) -> Sequence[StoredCase]:
    loaded = [await ports.claims.load(claim_id) for claim_id in sorted(claim_ids)]
    return [case for case in loaded if case is not None]


def _commit(act_id: str, before: StoredCase, after: Case, terms: Terms, context: ActContext) -> Commit:
    comment = replace(context.comment, sequence=after.claim.history_length) if context.comment is not None else None
    reply = None
    if context.idempotency_key is not None:
        answer = context.answers(after, terms).model_dump_json(by_alias=True)
        reply = StoredReply(context.idempotency_key.body, answer, context.tag(after))
    return Commit(
        act_id=act_id,
        before=before,
        after=after,
        person_id=context.person_id,
        comment=comment,
        key=context.idempotency_key.hash if context.idempotency_key is not None else None,
        reply=reply,
    )


async def _write_index_rows(
    ports: Ports, before: StoredCase, after: Case, now: datetime, context: ActContext
) -> DueRow | None:
    """
    Write the rows that must exist before the transaction. Each reader of such a row compares it with the claim.

    Rows of different claims and tables are written at the same time. Each try of an act writes its rows again, because
    a due row says which version of the claim the try would store (decision 36b). Returns the due row that led to the
    act, as it is stored now.
    """
    with_news = {claim_id for claim_id, _ in after.entries}

    def rows_of(former: Claim, claim: Claim, *expiries: DueRow) -> list[DueRow]:
        rows = [*due_rows(former, claim, now), *message_id_expiries(former, claim), *expiries]
        if claim.id in with_news or claim.notes != former.notes:
            rows.append(follow_row(claim.id, now))
        if texts_of_claim(former) != texts_of_claim(claim):
            rows.append(DueRow(now + SOON, claim.id, Kind.REPLACE_WORDS))
        return of_act(rows, claim.version, now)

    own = rows_of(before.claim, after.claim, *_expiry_rows(ports, after.claim, now, context))
    [due_row] = of_act([context.due_row], after.claim.version, now) if context.due_row is not None else [None]
    of_rivals = [
        row
        for name, rival in sorted(after.rivals.items())
        if rival != before.rivals[name]
        for row in rows_of(before.rivals[name], rival)
    ]
    due_row, *_ = await together(
        (
            _write_due_rows(ports, own, now, due_row),
            ports.duework.add(of_rivals),
            *(list_for_review(ports, *claims) for claims in _changed_claims(before, after)),
            list_for_partner(ports, before.claim, after.claim),
        )
    )
    return due_row


async def list_for_partner(ports: Ports, former: Claim | None, claim: Claim) -> None:
    """
    Write the claim's key in its partner's list with the words of the claim, if a text has changed.

    Words of an earlier version stay until the due row of the act leads to `replace_words`.
    """
    if former is None or texts_of_claim(former) != texts_of_claim(claim):
        await ports.partner_claims.add(*_listed(claim))


async def replace_words(ports: Ports, claim: Claim) -> None:
    """Write the claim's key in its partner's list, and make the claim's words the only words that lead to it."""
    await ports.partner_claims.replace(*_listed(claim))


def creation_row(claim: Claim, now: datetime) -> DueRow:
    """Return the due row that removes a claim's key and words from the list if its creation is never stored."""
    return DueRow(now + SOON, claim.id, Kind.REPLACE_WORDS, creation_label(claim))


def creation_label(claim: Claim) -> str:
    """Return the label of a claim's `creation_row`: the organisation, and the instant in the claim's key."""
    return f"{claim.organisation}.{newest_first(claim.created_at)}"


async def remove_from_list(ports: Ports, row: DueRow) -> None:
    """Remove the key and the words that the creation with this `creation_row` has written."""
    organisation, _, instant = row.label.partition(".")
    await ports.partner_claims.remove(organisation, f"{instant}|{row.subject}")


def _listed(claim: Claim) -> tuple[str, str, str, Sequence[str]]:
    """Return a claim's partition, position, id and words in the list of its organisation."""
    position = list_position(claim.created_at, claim.id)
    return claim.organisation, position, claim.id, words_stored(texts_of_claim(claim))


async def list_for_review(ports: Ports, former: Claim | None, claim: Claim) -> None:
    """Write the keys of the claim in the programme's lists, if the keys have changed."""
    position = review_position(claim)
    if position is not None and (former is None or position != review_position(former)):
        await ports.reviews.add(REVIEWS, position, claim.id)
    among_untold = untold_position(claim)
    if among_untold is not None and (former is None or among_untold != untold_position(former)):
        await ports.reviews.add(UNTOLD, among_untold, claim.id)
    drawn = sample_position(claim)
    is_new = drawn is not None and (former is None or drawn != sample_position(former))
    if drawn is not None and is_new and claim.promise is not None and ports.terms.is_sampled(claim.id, claim.promise):
        await ports.reviews.add(SAMPLE, drawn, claim.id)


def _changed_claims(before: StoredCase, after: Case) -> Iterable[tuple[Claim, Claim]]:
    """Yield the claim and each rival, before and after the act."""
    yield before.claim, after.claim
    for name, rival in after.rivals.items():
        yield before.rivals[name], rival


async def _write_due_rows(ports: Ports, rows: Sequence[DueRow], now: datetime, due_row: DueRow | None) -> DueRow | None:
    """
    Write due rows. Returns the row that led to the act, as it is stored now.

    That row is moved to a later instant, in place of new rows for work that is due at once.
    """
    later = [row for row in rows if row.due != now + SOON or row.kind in (Kind.FOLLOW, Kind.REPLACE_WORDS)]
    if due_row is not None and len(later) < len(rows):
        try:
            return await ports.duework.move(due_row, later, due=now + SOON, attempt=0)
        except Conflict:
            due_row = None  # another process works on this row too, so the act writes new rows
            later = list(rows)
    if later or due_row is None:
        await ports.duework.add(later if due_row is not None else rows)
    return due_row


def _expiry_rows(ports: Ports, claim: Claim, now: datetime, context: ActContext) -> Iterable[DueRow]:
    yield from context.expiries
    if context.idempotency_key is not None:
        yield reply_expiry(ports, claim.id, context.idempotency_key.hash, now)
        yield record_expiry(ports, context.idempotency_key, claim.id, now)


def due_rows(before: Claim | None, after: Claim, now: datetime) -> Sequence[DueRow]:
    """Return the due rows for the due work of *after*, except the due work that *before* had already."""
    new_work: frozenset[DueWork] = due_work_of(after) - (due_work_of(before) if before is not None else frozenset())
    return tuple(
        DueRow(work.due if work.due is not None else now + SOON, after.id, work.kind)
        for work in sorted(new_work, key=lambda work: (work.kind, work.about))
    )


def review_position(claim: Claim) -> str | None:
    """Return a claim's position in the review index, by its due instant. None if no reviewer must act next."""
    urgent = claim.due if claim.status in AWAITS_DECISION else None
    if claim.status is Status.OFFICIAL:
        urgent = claim.look_at
    return f"{urgent.astimezone(UTC):%Y%m%dT%H%M%S}|{claim.id}" if urgent is not None else None


def untold_position(claim: Claim) -> str | None:
    """Return an association's position in the list `UNTOLD`, by the instant of the import. None if not in the list."""
    if untold(claim) is None:
        return None
    return f"{claim.status_since.astimezone(UTC):%Y%m%dT%H%M%S}|{claim.id}"


def sample_position(claim: Claim) -> str | None:
    """Return a claim's position in the sample, by the end of its window. None if the window is not open."""
    if not claim.automatic_review or claim.status is not Status.AWAITING_CUSTOMER or claim.window_ends_at is None:
        return None
    return f"{claim.window_ends_at.astimezone(UTC):%Y%m%dT%H%M%S}|{claim.id}"


AWAITS_DECISION = UNDECIDED - {Status.PARTNER_ACTION_REQUIRED}
