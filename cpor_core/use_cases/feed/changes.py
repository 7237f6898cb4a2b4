"""
The change feed: all changes of an organisation's claims, numbered without gaps (decision 38).

Each history entry must be announced in the feed. The request that wrote the entry announces it after the commit. If
that fails, a due row that was written earlier leads the timer to announce it. The rows of the feed say which entries
were announced. So the feed has each entry of a claim once, and in order.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.due_work import RETENTION, SOON, Kind
from cpor_core.errors import Conflict, Fault, StorageBusy
from cpor_core.model.change import Change
from cpor_core.model.claim import Claim, Status
from cpor_core.model.history import Act, Entry
from cpor_core.model.webhook import COMPETING, NOTE_CHANGED
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.feed import Announcement
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.feed import deliveries
from cpor_core.views import own_entity_tag

log = logging.getLogger("cpor.feed")

ATTEMPTS = 8
MOST_AT_ONCE = 40
"""The most announcements in one transaction. A transaction has 100 rows, and each announcement takes two of them."""
TAKES_PLACE = frozenset({Act.SUBMITTED, Act.RESUBMITTED, Act.DISPUTED})
"""Acts by which a claim begins to compete. They are also announced to the partners of its rivals (decision 15)."""


def follow_row(claim_id: str, now: datetime) -> DueRow:
    """Return the due row that leads the timer to the entries of an act at *now*, for the feed and the programme."""
    return DueRow(now + SOON, claim_id, Kind.FOLLOW)


def trim_row(organisation: str, oldest: datetime) -> DueRow:
    """Return the due row that deletes the oldest change of a feed at the end of its retention."""
    return DueRow(oldest + RETENTION[Kind.TRIM_CHANGES], organisation, Kind.TRIM_CHANGES)


async def announce(
    ports: Ports, case: Case, entries: Sequence[tuple[str, Entry]], now: datetime, *, notes: int = 0
) -> None:
    """
    Announce what an act has made, in one request. Never raises a fault, because a due row leads to a retry.

    *case* is the stored case. *entries* are the new history entries of the claim and of its rivals. *notes* is the
    number of new notes.
    """
    if case.claim.status is not Status.DRAFT and not case.slots.keys() >= set(case.claim.slot_keys):
        await _try_to_catch_up(ports, case.claim.id, now)  # an edit: the slots of new items were not read
        return
    try:
        own = [entry for claim_id, entry in entries if claim_id == case.claim.id]
        await _announce_rivals(ports, case, own, now)
        news = [*(_news(case, entry) for entry in own), *_notes(case, after=case.claim.notes - notes)]
        await _append(ports, case.claim.organisation, news, now)
    except Conflict:
        await _try_to_catch_up(ports, case.claim.id, now)
    except Fault as fault:
        log.warning("claim %s: the feed was not told: %s", case.claim.id, type(fault).__name__)
    for rival in dict.fromkeys(claim_id for claim_id, _ in entries if claim_id != case.claim.id):
        await _try_to_catch_up(ports, rival, now)


async def _try_to_catch_up(ports: Ports, claim_id: str, now: datetime) -> None:
    try:
        stored = await ports.claims.load(claim_id)
        if stored is not None:
            await catch_up(ports, stored, now)
    except (Conflict, Fault) as fault:
        log.warning("claim %s: the feed was not told: %s", claim_id, type(fault).__name__)


async def catch_up(ports: Ports, known: StoredCase, now: datetime, *, is_rebuilt: bool = False) -> None:
    """
    Announce the entries and notes of a claim that were not announced yet, at least up to those that *known* has.

    If there are none, makes one request, or two for a claim with notes. If this process has announced all of them,
    makes no request. With *is_rebuilt*, the process does not rely on that, because rows can be lost. Raises `Conflict`
    after too many lost races.
    """
    claim_id = known.claim.id
    if (
        not is_rebuilt
        and not known.claim.notes
        and ports.changes.known_announced(claim_id) >= known.claim.history_length
    ):
        return
    for _ in range(ATTEMPTS):
        announced, noted = await announced_up_to(ports, known.claim)
        if announced >= known.claim.history_length and noted >= known.claim.notes:
            return
        entries = await ports.claims.history(claim_id, after=announced, limit=MOST_AT_ONCE)
        stored = await ports.claims.load(claim_id)  # read after the entries, because one of them can have made rivals
        if stored is None:
            return
        case = settle(stored, now)
        try:
            await _announce_rivals(ports, case, entries, now)
            news = [*(_news(case, entry) for entry in entries), *_notes(case, after=noted)][:MOST_AT_ONCE]
            await _append(ports, case.claim.organisation, news, now)
        except Conflict:
            continue
        if len(news) < MOST_AT_ONCE:
            return
    message = f"claim {claim_id}: lost {ATTEMPTS} races in a row"
    raise Conflict(message)


async def announced_up_to(ports: Ports, claim: Claim) -> tuple[int, int]:
    """Return the numbers of the newest announced entry and note of a claim, in one request, or two with notes."""
    entries = await ports.changes.announced_up_to(claim.organisation, claim.id)
    return entries, await ports.changes.notes_announced_up_to(claim.organisation, claim.id) if claim.notes else 0


async def announce_created(ports: Ports, organisation: str, cases: Sequence[Case], now: datetime) -> None:
    """Announce drafts that were created together. Never raises a fault, because due rows lead to a retry."""
    for first in range(0, len(cases), MOST_AT_ONCE):
        group = cases[first : first + MOST_AT_ONCE]
        try:
            await tell_created(ports, organisation, group, now)
        except (Conflict, Fault) as fault:
            log.warning("%d new claims: the feed was not told: %s", len(group), type(fault).__name__)


async def tell_created(ports: Ports, organisation: str, cases: Sequence[Case], now: datetime) -> None:
    """Announce drafts that were created together, up to 40 in one request. Raises `Conflict` and faults."""
    for first in range(0, len(cases), MOST_AT_ONCE):
        group = cases[first : first + MOST_AT_ONCE]
        try:
            # The cases are as of the instant of their batch. The ETags in the feed must be as of *now*.
            news = [_news(settle(case.stored, now), entry) for case in group for _, entry in case.entries]
            await _append(ports, organisation, news, now)
        except Conflict:  # some were announced before
            for case in group:
                await catch_up(ports, case.stored, now)


async def trim(ports: Ports, row: DueRow, now: datetime) -> None:
    """
    Delete the changes whose retention has ended. Raises `Conflict`.

    The due row is moved to the end of the retention of the next change.
    """
    retention = RETENTION[Kind.TRIM_CHANGES]
    oldest = await ports.changes.trim(row.subject, before=now - retention)
    again = max(oldest + retention, now + timedelta(minutes=1)) if oldest is not None else now + retention
    await ports.duework.move(row, (), due=again, attempt=0)


async def _announce_rivals(ports: Ports, case: Case, entries: Sequence[Entry], now: datetime) -> None:
    """
    Announce to the partners of rivals that the claim competes with them.

    Call this before the claim's entry is announced. An announced entry means that its rivals are announced too.
    """
    came = next((entry for entry in reversed(entries) if entry.act in TAKES_PLACE), None)
    if came is None:
        return
    time = came.sequence if came.act is Act.DISPUTED else 0  # a dispute lets a rejected claim compete again
    others = dict.fromkeys(party.claim for party in case.rival_parties(now) if not party.declined)
    for stored in [found for claim_id in others if (found := await ports.claims.load(claim_id)) is not None]:
        other = settle(stored, now)
        change = _change(other, COMPETING, other.claim.status, came.at)
        try:
            news = Announcement(change, number=time, competes_with=case.claim.id)
            await _append(ports, other.claim.organisation, [news], now)
        except Conflict:
            if not await ports.changes.has_announced_rival(
                other.claim.organisation, other.claim.id, case.claim.id, time
            ):
                raise


def _news(case: Case, entry: Entry) -> Announcement:
    return Announcement(_change(case, f"claim.{entry.act}", entry.to, entry.at), entry.sequence)


def _notes(case: Case, *, after: int) -> list[Announcement]:
    """Return the notes after the number *after*. Only the instant of the last note is stored, so all have this one."""
    claim = case.claim
    at = claim.noted_at
    if at is None:
        return []
    change = _change(case, NOTE_CHANGED, claim.status, at)
    return [Announcement(change, number, is_note=True) for number in range(after + 1, claim.notes + 1)]


def _change(case: Case, kind: str, status: Status, at: datetime) -> Change:
    claim = case.stored.claim  # changes by time get their own history entries when the timer stores them
    was_official = claim.official_since is not None
    return Change(
        sequence=0,  # set when it is appended
        type=kind,
        claim_id=claim.id,
        association_id=claim.id if was_official else None,
        status=status,
        at=at,
        etag=own_entity_tag(case),
    )


async def _append(ports: Ports, organisation: str, news: Sequence[Announcement], now: datetime) -> None:
    """
    Append announcements to a feed, in one request. If another process has appended since, take two more requests.

    Raises `Conflict` if an announcement is in the feed already, or if the entry before it is not yet in the feed.
    Raises `StorageBusy` after too many lost races.
    """
    if not news:
        return
    for _ in range(ATTEMPTS):
        async with ports.changes.turn(organisation):
            head = await ports.changes.known_head(organisation)
            rows = [trim_row(organisation, now)] if not head.last else []
            if head.has_webhooks:
                rows.append(deliveries.due_row(organisation, now))
            if rows:
                await ports.duework.add(rows)
            numbered = [one.numbered(head.last + place) for place, one in enumerate(news, start=1)]
            try:
                await ports.changes.append(organisation, head, numbered)
            except Conflict:
                newest = await ports.changes.head(organisation)  # the next try knows this head
                if newest.etag == head.etag:
                    raise
                continue
        if head.has_webhooks:
            await ports.queue_messages.webhook_delivery(organisation)
        return
    message = f"feed of {organisation}: lost {ATTEMPTS} races in a row"
    raise StorageBusy(message, retry_after_seconds=1)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The next changes of a feed. `last` is the number up to which the reader has then read the feed."""

    changes: Sequence[Change]
    last: int


async def read(ports: Ports, organisation: str, *, after: int | None, limit: int) -> FeedPage | None:
    """
    Return the changes after the number *after*, or from the oldest change on if *after* is None.

    Returns None if changes after *after* were deleted. Makes one request, or two if there are no changes.
    """
    changes = await ports.changes.page(organisation, after=after or 0, limit=limit)
    if changes:
        missed = after is not None and changes[0].sequence != after + 1
        return None if missed else FeedPage(changes, changes[-1].sequence)
    oldest = (await ports.changes.head(organisation)).oldest
    if after is None:
        return FeedPage((), oldest - 1)
    return FeedPage((), after) if after + 1 >= oldest else None
