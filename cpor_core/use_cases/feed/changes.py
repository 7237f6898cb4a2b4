"""
The change feed: what happened to an organisation's claims, numbered without gaps (decision 38).

Each history entry must be announced to the feed. The request that made the entry does that after its commit; if it
fails, the due row that was written before does it. The feed's own rows say which entries were announced. So each entry
of a claim comes once, and in order.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.due_work import RETENTION, SOON, Kind
from cpor_core.errors import Conflict, Fault, StorageBusy
from cpor_core.model.change import Change
from cpor_core.model.claim import Status
from cpor_core.model.history import Act, Entry
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.feed import Announcement
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.feed import deliveries
from cpor_core.views import entity_tag

log = logging.getLogger("cpor.feed")

ATTEMPTS = 8
MOST_AT_ONCE = 40
"""Announcements in one transaction: each takes two of its 100 rows, and one for the entry before it."""
TAKES_PLACE = frozenset({Act.SUBMITTED, Act.RESUBMITTED, Act.DISPUTED})
"""Acts by which a claim begins to compete; this is announced to its rivals too (decision 15)."""
COMPETING = "claim.competing"


def announcement_row(claim_id: str, now: datetime) -> DueRow:
    """Return the due row that makes sure that what happens now is announced."""
    return DueRow(now + SOON, claim_id, Kind.ANNOUNCE)


def trim_row(organisation: str, oldest: datetime) -> DueRow:
    """Return the due row that deletes the oldest change of a feed in its time."""
    return DueRow(oldest + RETENTION[Kind.TRIM_CHANGES], organisation, Kind.TRIM_CHANGES)


async def announce(ports: Ports, case: Case, entries: Sequence[tuple[str, Entry]], now: datetime) -> None:
    """
    Announce what an act has just done: two requests. Never raises a fault: the due row makes up for what is missing.

    *case* is what was stored, *entries* are the history entries of the claim and of its rivals.
    """
    if case.claim.status is not Status.DRAFT and not case.slots.keys() >= set(case.claim.slot_keys):
        await _late(ports, case.claim.id, now)  # an edit: the slots of new items were not read with the claim
        return
    try:
        own = [entry for claim_id, entry in entries if claim_id == case.claim.id]
        await _announce_rivals(ports, case, own, now)
        await _append(ports, case.claim.organisation, [_news(case, entry) for entry in own], now)
    except Conflict:
        await _late(ports, case.claim.id, now)
    except Fault as fault:
        log.warning("claim %s: the feed was not told: %s", case.claim.id, type(fault).__name__)
    for rival in dict.fromkeys(claim_id for claim_id, _ in entries if claim_id != case.claim.id):
        await _late(ports, rival, now)


async def _late(ports: Ports, claim_id: str, now: datetime) -> None:
    try:
        await catch_up(ports, claim_id, now)
    except (Conflict, Fault) as fault:
        log.warning("claim %s: the feed was not told: %s", claim_id, type(fault).__name__)


async def catch_up(ports: Ports, claim_id: str, now: datetime) -> None:
    """Announce all entries of a claim that were not announced yet. Raises `Conflict` after too many lost races."""
    known = await ports.claims.load(claim_id)
    if known is None:
        return
    for _ in range(ATTEMPTS):
        told = await ports.changes.announced_up_to(known.claim.organisation, claim_id)
        if told >= known.claim.history_length:
            return
        entries = await ports.claims.history(claim_id, after=told, limit=MOST_AT_ONCE)
        stored = await ports.claims.load(claim_id)  # read after the entries, which may have made the claim compete
        if stored is None or not entries:
            return
        case = settle(stored, now)
        try:
            await _announce_rivals(ports, case, entries, now)
            await _append(ports, case.claim.organisation, [_news(case, entry) for entry in entries], now)
        except Conflict:
            continue
        if len(entries) < MOST_AT_ONCE:
            return
    message = "the feed goes on too fast"
    raise Conflict(message)


async def announce_created(ports: Ports, organisation: str, cases: Sequence[Case], now: datetime) -> None:
    """Announce drafts that were made together. Never raises a fault: due rows make up for what is missing."""
    for first in range(0, len(cases), MOST_AT_ONCE):
        group = cases[first : first + MOST_AT_ONCE]
        try:
            await tell_created(ports, organisation, group, now)
        except (Conflict, Fault) as fault:
            log.warning("%d new claims: the feed was not told: %s", len(group), type(fault).__name__)


async def tell_created(ports: Ports, organisation: str, cases: Sequence[Case], now: datetime) -> None:
    """Announce drafts that were made together, up to 40 in two requests. Raises `Conflict` and faults."""
    for first in range(0, len(cases), MOST_AT_ONCE):
        group = cases[first : first + MOST_AT_ONCE]
        try:
            # the drafts are of their batch's instant, the ETags of this one
            news = [_news(settle(case.stored, now), entry) for case in group for _, entry in case.entries]
            await _append(ports, organisation, news, now)
        except Conflict:  # some were announced before
            for case in group:
                await catch_up(ports, case.claim.id, now)


async def trim(ports: Ports, row: DueRow, now: datetime) -> None:
    """Delete changes that were kept long enough, and move the row to the next one's time. Raises `Conflict`."""
    kept = RETENTION[Kind.TRIM_CHANGES]
    oldest = await ports.changes.trim(row.subject, before=now - kept)
    again = max(oldest + kept, now + timedelta(minutes=1)) if oldest is not None else now + kept
    await ports.duework.move(row, (), due=again, attempt=0)


async def _announce_rivals(ports: Ports, case: Case, entries: Sequence[Entry], now: datetime) -> None:
    """Announce to rivals that the claim competes. This comes before its own entry, which marks it as done."""
    came = next((entry for entry in reversed(entries) if entry.act in TAKES_PLACE), None)
    if came is None:
        return
    time = came.sequence if came.act is Act.DISPUTED else 0  # the claim had stopped competing, and begins again
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


def _change(case: Case, kind: str, status: Status, at: datetime) -> Change:
    claim = case.stored.claim  # what the timer has not written yet has an entry of its own, later
    was_official = claim.official_since is not None
    return Change(
        sequence=0,  # set when it is appended
        type=kind,
        claim_id=claim.id,
        association_id=claim.id if was_official else None,
        status=status,
        at=at,
        etag=entity_tag(case),
    )


async def _append(ports: Ports, organisation: str, news: Sequence[Announcement], now: datetime) -> None:
    """
    Append to a feed. When somebody else has appended meanwhile, try again.

    Raises `Conflict` when something was announced before, or the entry before it was not. Raises `StorageBusy` after
    too many lost races.
    """
    if not news:
        return
    for _ in range(ATTEMPTS):
        async with ports.changes.turn(organisation):
            head = await ports.changes.head(organisation)
            rows = [trim_row(organisation, now)] if not head.last else []
            if head.has_webhooks:
                rows.append(deliveries.due_row(organisation, now))
            if rows:
                await ports.duework.add(rows)
            numbered = [one.numbered(head.last + place) for place, one in enumerate(news, start=1)]
            try:
                await ports.changes.append(organisation, head, numbered)
            except Conflict:
                moved = await ports.changes.head(organisation)
                if moved.last == head.last:
                    raise
                continue
        if head.has_webhooks:
            await ports.queue_messages.webhook_delivery(organisation)
        return
    message = f"feed of {organisation}: lost {ATTEMPTS} races in a row"
    raise StorageBusy(message, retry_after_seconds=1)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The next changes of a feed, and the number up to which the reader has read then."""

    changes: Sequence[Change]
    last: int


async def read(ports: Ports, organisation: str, *, after: int | None, limit: int) -> FeedPage | None:
    """
    Return the changes after the number *after*, or from the oldest on: one request, two when there are none.

    None when changes that the reader has not seen were deleted.
    """
    changes = await ports.changes.page(organisation, after=after or 0, limit=limit)
    if changes:
        missed = after is not None and changes[0].sequence != after + 1
        return None if missed else FeedPage(changes, changes[-1].sequence)
    oldest = (await ports.changes.head(organisation)).oldest
    if after is None:
        return FeedPage((), oldest - 1)
    return FeedPage((), after) if after + 1 >= oldest else None
