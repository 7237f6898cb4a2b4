"""
The timer's work: everything that is due, and nothing else.

The sweep asks each shard once for its rows before `now`. The handler of a row judges anew what is due, so a stale row
does no harm. A row whose handler fails is counted and put off; the others go on.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cpor_core.due_work import NOBODY_WAITS, ONE_A_RUN, SHARDS, SOON, Kind, Outcome, retry_after
from cpor_core.errors import Conflict, Fault, Refused
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases.due_work.handlers import HANDLERS

log = logging.getLogger("cpor.sweep")

PAGE = 100
"""Rows read from a shard at once; after a full page the next one is read."""
IN_FLIGHT = 16
TIME_LIMIT = timedelta(minutes=4)
"""The sweep stops itself before `functionTimeout` stops the whole worker. The next run goes on."""
SETTLED_AFTER = timedelta(minutes=10)
"""A row with nothing left to do is kept so long by the real clock: longer than any writer runs (decision 36)."""
LOOKED_AT_AGAIN = SETTLED_AFTER + timedelta(minutes=1)
LATE = timedelta(minutes=2)
"""Work that is done so long after it fell due, two runs of the timer, is counted as late."""


@dataclass
class Swept:
    """What one run did, for the log: rows that are done, rows put off, and rows put off because of a fault."""

    done: int = 0
    delayed: int = 0
    failed: int = 0
    due_since: datetime | None = None
    """When the oldest work fell due that this run could not do. Work for which nobody waits does not count."""
    begun: set[Kind] = field(default_factory=set)
    """Kinds of `ONE_A_RUN` that this run has begun."""

    def still_due(self, since: datetime) -> None:
        """Note work that is left."""
        self.due_since = since if self.due_since is None else min(self.due_since, since)


async def sweep(ports: Ports, now: datetime) -> Swept:
    """
    Do everything that is due at *now*. Safe to run twice, late, or at the same time as another sweep.

    Raises the fault of a shard that could not be read, after the other shards are done.
    """
    swept = Swept()
    stop_at = ports.real_now() + TIME_LIMIT
    gate = asyncio.Semaphore(IN_FLIGHT)
    ended = await asyncio.gather(
        *(_sweep_shard(ports, shard, now, stop_at, gate, swept) for shard in range(SHARDS)), return_exceptions=True
    )
    for fault in ended:  # only now: a shard that can't be read must not stop the others
        if fault is not None:
            raise fault
    return swept


async def _sweep_shard(
    ports: Ports, shard: int, now: datetime, stop_at: datetime, gate: asyncio.Semaphore, swept: Swept
) -> None:
    last: DueRow | None = None
    while True:
        rows = await ports.duework.due(shard, now, after=last, limit=PAGE)
        for row in rows:
            if row is not rows[0] and ports.real_now() >= stop_at:
                swept.still_due(row.due)  # this row and the rows behind it wait for the next run
                return
            async with gate:
                await _process_row(ports, row, now, swept)
        if len(rows) < PAGE:
            return
        last = rows[-1]


async def _process_row(ports: Ports, row: DueRow, now: datetime, swept: Swept) -> None:
    outcome = await _outcome(ports, row, now, swept)
    try:
        if outcome.delayed:
            await _put_off(ports, row, outcome, now, swept)
        else:
            await _settle(ports, row, outcome, now, swept)
    except Conflict:
        pass  # somebody else has processed the row, or moved it
    except Fault as fault:
        log.warning("claim %s: the due row stays where it is: %s", row.subject, type(fault).__name__)


async def _outcome(ports: Ports, row: DueRow, now: datetime, swept: Swept) -> Outcome:
    """Have the row's handler do the work; a fault delays the work and is logged."""
    if row.kind in ONE_A_RUN:
        if row.kind in swept.begun:
            return Outcome(delayed=True, not_before=now + SOON)
        swept.begun.add(row.kind)
    try:
        with ports.telemetry.processing(row):
            return await HANDLERS[row.kind](ports, row, now)
    except (Fault, Refused, Conflict) as fault:
        log.warning("claim %s: %s could not be paid: %s", row.subject, row.logged_as, type(fault).__name__)
    except Exception:  # one bad claim must not stop the others
        log.exception("claim %s: %s failed", row.subject, row.logged_as)
    swept.failed += 1
    return Outcome(delayed=True)


async def _put_off(ports: Ports, row: DueRow, outcome: Outcome, now: datetime, swept: Swept) -> None:
    """Move the row to its next attempt: when the handler said, else up the ladder of retries."""
    swept.delayed += 1
    since = (row.since or row.due) if _is_waited_for(row) else None
    if since is not None:
        swept.still_due(since)
    if outcome.not_before is not None:
        await ports.duework.move(row, (), due=outcome.not_before, attempt=row.attempt, since=since)
    else:
        due = now + retry_after(row.attempt)
        await ports.duework.move(row, (), due=due, attempt=row.attempt + 1, since=since)


async def _settle(ports: Ports, row: DueRow, outcome: Outcome, now: datetime, swept: Swept) -> None:
    """Delete the row, or look once more when no writer can be at work any more."""
    swept.done += 1
    if _is_waited_for(row) and (late := now - (row.since or row.due)) > LATE:
        ports.telemetry.settled_late(row, late)
    if outcome.row_stays:
        return
    if row.written_at is not None and ports.real_now() - row.written_at > SETTLED_AFTER:
        await ports.duework.delete(row)
    else:
        await ports.duework.move(row, (), due=now + LOOKED_AT_AGAIN, attempt=row.attempt)


def _is_waited_for(row: DueRow) -> bool:
    return row.deletes is None and row.kind not in NOBODY_WAITS
