"""
The sweep: one run of the timer. It does all work that is due.

The sweep reads the due rows of each shard up to `now`. The handler of a row judges again what is due, so a stale row
does no harm. If a handler fails, its row is counted and put off. The other rows are processed as usual.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cpor_core.due_work import (
    FOLLOWS,
    FOLLOWS_AHEAD,
    FOLLOWS_CLAIM,
    NOBODY_WAITS,
    ONE_A_RUN,
    SETTLED_AFTER,
    SHARDS,
    SOON,
    Kind,
    Outcome,
    retry_after,
)
from cpor_core.errors import Conflict, Fault, Refused
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DuePage, DueRow, LookedAt
from cpor_core.use_cases.due_work.handlers import HANDLERS, follow_claims
from cpor_core.use_cases.due_work.process_claim import DueClaim
from cpor_core.use_cases.together import together

log = logging.getLogger("cpor.sweep")

PAGE = 100
"""The number of rows in one read of a shard, and in one message. After a full page the next page is read."""
IN_FLIGHT = 16
"""The most subjects of rows that are processed at the same time."""
ORDER = list(HANDLERS)
"""The kinds of the rows of one subject, in the order in which they are processed."""
TIME_LIMIT = timedelta(minutes=4)
"""The sweep stops after this real time, before `functionTimeout` stops the whole worker. The next run continues."""
LOOKED_AT_AGAIN = SETTLED_AFTER + timedelta(minutes=1)
"""A younger row without work, whose act is not stored, is looked at again after this time."""
MOST_FOLLOWED = 500
"""The most rows of one kind that `follow_now` processes."""
MOST_READ = 1_000
"""The most rows of a shard that `follow_now` reads."""
LATE = timedelta(minutes=2)
"""Work that is done later than this after it fell due counts as late. The time is two runs of the timer."""


@dataclass
class Swept:
    """Counts of one run for the log: rows that are done, rows that were put off, and rows with a failed handler."""

    done: int = 0
    delayed: int = 0
    failed: int = 0
    due_since: datetime | None = None
    """When the oldest work that this run did not finish fell due. The kinds of `NOBODY_WAITS` do not count."""
    begun: set[Kind] = field(default_factory=set)
    """The kinds of `ONE_A_RUN` that this run has begun."""

    def still_due(self, since: datetime) -> None:
        """Note that work that fell due at *since* is not done."""
        self.due_since = since if self.due_since is None else min(self.due_since, since)


@dataclass(slots=True)
class _Run:
    """One run: its counts, its limit of subjects in flight, and the real instant at which it stops."""

    ports: Ports
    stop_at: datetime
    swept: Swept = field(default_factory=Swept)
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    _shares: asyncio.Task[bool] | None = None

    @classmethod
    def begun(cls, ports: Ports) -> "_Run":
        return cls(ports, ports.real_now() + TIME_LIMIT)

    def is_over(self) -> bool:
        return self.ports.real_now() >= self.stop_at

    async def shares(self) -> bool:
        """Whether full pages are left to the queue. They are not while pages of an earlier run wait there."""
        if self._shares is None:
            self._shares = asyncio.create_task(self._queue_is_empty())
        return await self._shares

    async def _queue_is_empty(self) -> bool:
        return not await self.ports.queue_messages.has_due_pages()


async def sweep(ports: Ports, now: datetime) -> Swept:
    """
    Do all work that is due at *now*. It does no harm to run this twice, late, or at the same time as another sweep.

    Each full page of a shard is left to the queue, so that all instances share the work. If the queue still has pages
    of an earlier run, this run does all pages itself. So a lost message costs only time. If a shard cannot be read,
    its fault is raised after the other shards are done.
    """
    run = _Run.begun(ports)
    await together(_sweep_shard(ports, shard, now, run) for shard in range(SHARDS))
    return run.swept


async def follow_now(ports: Ports, now: datetime) -> None:
    """
    Follow up to 500 claims, also those with due rows that are due within an hour. A sandbox does this before a read.

    So a developer sees the effect of an act at once, and also after the clock was moved.
    """
    run = _Run.begun(ports)
    rows = await _rows_of_follower(ports, now)
    of_registry = [[row for row in of_shard if row.kind not in FOLLOWS_CLAIM] for of_shard in rows]
    if any(of_registry):  # they leave rows about claims
        await together(_process_page(ports, of_shard[:MOST_FOLLOWED], now, run) for of_shard in of_registry)
        rows = await _rows_of_follower(ports, now)
    left = MOST_FOLLOWED
    for of_shard in rows:
        wanted = [row for row in of_shard if row.kind in FOLLOWS_CLAIM][:left]
        left -= len(wanted)
        await _process_page(ports, wanted, now, run)


async def _rows_of_follower(ports: Ports, now: datetime) -> Sequence[Sequence[DueRow]]:
    """Return the rows of the follower that are due within an hour, by shard, in 16 requests."""
    pages = await together(
        ports.duework.due(shard, now + FOLLOWS_AHEAD, after=None, limit=MOST_READ) for shard in range(SHARDS)
    )
    return [[row for row in page if row.kind in FOLLOWS] for page in pages]


async def process_page(ports: Ports, page: DuePage, now: datetime) -> Swept:
    """
    Do the due work of one page. Rows that were moved or deleted since the page was sent are left out.

    The clock of the sender can be ahead of *now*. A row that is not due yet stays, because its handler would find
    nothing to do, and the row would be deleted.
    """
    run = _Run.begun(ports)
    rows = await ports.duework.of_page(page, limit=PAGE)
    await _process_page(ports, [row for row in rows if row.due <= now], now, run)
    return run.swept


async def _sweep_shard(ports: Ports, shard: int, now: datetime, run: _Run) -> None:
    last: DueRow | None = None
    while True:
        rows = await ports.duework.due(shard, now, after=last, limit=PAGE)
        if len(rows) < PAGE:
            await _process_page(ports, rows, now, run)
            return
        if await run.shares() and await ports.queue_messages.due_page(ports.duework.page_of(shard, rows)):
            run.swept.still_due(rows[0].due)
        else:
            await _process_page(ports, rows, now, run)
        if run.is_over():
            run.swept.still_due(rows[-1].due)  # the rows after it wait too
            return
        last = rows[-1]


async def _process_page(ports: Ports, rows: Sequence[DueRow], now: datetime, run: _Run) -> None:
    """Process the rows of one shard, and then put off and delete all of them together."""
    by_subject: dict[str, list[DueRow]] = {}
    for row in rows:
        by_subject.setdefault(row.subject, []).append(row)
    subjects = [(DueClaim(ports, subject), of_subject) for subject, of_subject in by_subject.items()]
    looked_at = await together(_process_subject(ports, claim, of_subject, now, run) for claim, of_subject in subjects)
    looked_at.append(await _follow(ports, subjects, now, run))
    if not rows:
        return
    try:
        await ports.duework.settle([one for of_subject in looked_at for one in of_subject])
    except Fault as fault:
        log.warning("%d due rows stay where they are: %s", len(rows), type(fault).__name__)


async def _follow(
    ports: Ports, subjects: Sequence[tuple[DueClaim, Sequence[DueRow]]], now: datetime, run: _Run
) -> list[LookedAt]:
    """
    Follow the claims of one page that have such a due row, all together.

    This comes last, so that the follower sees what the other work has stored. If a claim cannot be followed, its row is
    put off, and the claims before and after it are followed without it.
    """
    to_follow = [
        (claim, of_claim)
        for claim, rows in subjects
        if (of_claim := [row for row in rows if row.kind in FOLLOWS_CLAIM])
    ]
    if not to_follow:
        return []
    if run.is_over():
        for _, rows in to_follow:
            run.swept.still_due(min(row.due for row in rows))
        return []
    looked_at: list[LookedAt] = []
    for claim, done, outcome in await _followed(ports, to_follow, now, run):
        for row in done:
            looked_at += _looked_at(ports, row, outcome, now, claim, run.swept)
    return looked_at


async def _followed(
    ports: Ports, to_follow: Sequence[tuple[DueClaim, Sequence[DueRow]]], now: datetime, run: _Run
) -> list[tuple[DueClaim, Sequence[DueRow], Outcome]]:
    """Follow claims together. After a fault, follow each half of them alone."""
    if len(to_follow) == 1:
        claim, rows = to_follow[0]
        row = max(rows, key=lambda row: row.label)  # a row with a label asks for more
        return [(claim, rows, await _outcome(ports, row, now, claim, run.swept))]
    try:
        with ports.telemetry.processing(to_follow[0][1][0]):
            await follow_claims(ports, to_follow, now)
        return [(claim, rows, Outcome()) for claim, rows in to_follow]
    except Exception as fault:  # noqa: BLE001 - the claim that has caused it is found alone, and logged there
        log.info("%d claims could not be followed together: %s", len(to_follow), type(fault).__name__)
    half = len(to_follow) // 2
    return [
        *await _followed(ports, to_follow[:half], now, run),
        *await _followed(ports, to_follow[half:], now, run),
    ]


async def _process_subject(
    ports: Ports, claim: DueClaim, rows: Sequence[DueRow], now: datetime, run: _Run
) -> list[LookedAt]:
    """Do the work of the due rows of one subject, except to follow it. Its claim is loaded once for all of them."""
    async with run.gate:
        if run.is_over():
            for row in rows:
                run.swept.still_due(row.due)  # these rows wait for the next run
            return []
        looked_at: list[LookedAt] = []
        for row in sorted(rows, key=lambda row: ORDER.index(row.kind)):
            if row.kind not in FOLLOWS_CLAIM:
                outcome = await _outcome(ports, row, now, claim, run.swept)
                looked_at += _looked_at(ports, row, outcome, now, claim, run.swept)
        return looked_at


def _looked_at(
    ports: Ports, row: DueRow, outcome: Outcome, now: datetime, claim: DueClaim, swept: Swept
) -> list[LookedAt]:
    """Return the row as it is after its handler. Nothing if the row stays as it is."""
    if outcome.delayed:
        return [LookedAt(row, _put_off(row, outcome, now, swept))]
    _note_done(ports, row, now, swept)
    return [] if outcome.row_stays else [LookedAt(row, _looked_at_again(ports, row, now, claim))]


async def _outcome(ports: Ports, row: DueRow, now: datetime, claim: DueClaim, swept: Swept) -> Outcome:
    """Call the handler of the row. A fault is logged, and delays the work."""
    if row.kind in ONE_A_RUN:
        if row.kind in swept.begun:
            return Outcome(delayed=True, not_before=now + SOON)
        swept.begun.add(row.kind)
    try:
        with ports.telemetry.processing(row):
            return await HANDLERS[row.kind](ports, row, now, claim)
    except (Fault, Refused, Conflict) as fault:
        log.warning("claim %s: %s could not be paid: %s", row.subject, row.logged_as, type(fault).__name__)
    except Exception:  # a fault in one claim must not stop the work for other claims
        log.exception("claim %s: %s failed", row.subject, row.logged_as)
    swept.failed += 1
    return Outcome(delayed=True)


def _put_off(row: DueRow, outcome: Outcome, now: datetime, swept: Swept) -> DueRow:
    """Return the row at its next attempt. If the handler gave no instant, the wait grows with each failed attempt."""
    swept.delayed += 1
    since = (row.since or row.due) if _is_waited_for(row) else None
    if since is not None:
        swept.still_due(since)
    if outcome.not_before is not None:
        return replace(row, due=outcome.not_before, since=since)
    return replace(row, due=now + retry_after(row.attempt), attempt=row.attempt + 1, since=since)


def _note_done(ports: Ports, row: DueRow, now: datetime, swept: Swept) -> None:
    swept.done += 1
    if _is_waited_for(row) and (late := now - (row.since or row.due)) > LATE:
        ports.telemetry.settled_late(row, late)


def _looked_at_again(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> DueRow | None:
    """
    Return the row whose work is done, for another look later. Return None if the row can be deleted.

    The act that wrote the row stores a version of the claim. If that version or a later one was read, the act is
    stored, or this try of it never will be. Otherwise the row must be older than `SETTLED_AFTER`.
    """
    is_stored = row.version is not None and claim.version is not None and claim.version >= row.version
    if is_stored or (row.written_at is not None and ports.real_now() - row.written_at > SETTLED_AFTER):
        return None
    return replace(row, due=now + LOOKED_AT_AGAIN, since=None)


def _is_waited_for(row: DueRow) -> bool:
    return row.deletes is None and row.kind not in NOBODY_WAITS
