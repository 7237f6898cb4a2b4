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

from cpor_core.due_work import NOBODY_WAITS, ONE_A_RUN, SETTLED_AFTER, SHARDS, SOON, Kind, Outcome, retry_after
from cpor_core.errors import Conflict, Fault, Refused
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DuePage, DueRow, LookedAt
from cpor_core.use_cases.due_work.handlers import HANDLERS
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
    looked_at = await together(
        _process_subject(ports, subject, of_subject, now, run) for subject, of_subject in by_subject.items()
    )
    try:
        await ports.duework.settle([one for of_subject in looked_at for one in of_subject])
    except Fault as fault:
        log.warning("%d due rows stay where they are: %s", len(rows), type(fault).__name__)


async def _process_subject(
    ports: Ports, subject: str, rows: Sequence[DueRow], now: datetime, run: _Run
) -> list[LookedAt]:
    """Do the work of the due rows of one subject. Its claim is loaded once for all of them."""
    async with run.gate:
        if run.is_over():
            for row in rows:
                run.swept.still_due(row.due)  # these rows wait for the next run
            return []
        claim, looked_at = DueClaim(ports, subject), []
        for row in sorted(rows, key=lambda row: ORDER.index(row.kind)):
            outcome = await _outcome(ports, row, now, claim, run.swept)
            if outcome.delayed:
                looked_at.append(LookedAt(row, _put_off(row, outcome, now, run.swept)))
            else:
                _note_done(ports, row, now, run.swept)
                if not outcome.row_stays:
                    looked_at.append(LookedAt(row, _looked_at_again(ports, row, now, claim)))
        return looked_at


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
