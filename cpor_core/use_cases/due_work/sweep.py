"""
The sweep: one run of the timer. It does all work that is due.

The sweep reads the due rows of each shard up to `now`. The handler of a row judges again what is due, so a stale row
does no harm. If a handler fails, its row is counted and put off. The other rows are processed as usual.
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
from cpor_core.use_cases.together import together

log = logging.getLogger("cpor.sweep")

PAGE = 100
"""The number of rows in one read of a shard. After a full page the next page is read."""
IN_FLIGHT = 16
"""The most rows that are processed at the same time."""
TIME_LIMIT = timedelta(minutes=4)
"""The sweep stops after this real time, before `functionTimeout` stops the whole worker. The next run continues."""
SETTLED_AFTER = timedelta(minutes=10)
"""
A row whose work is done is deleted only if it is older than this, by the real clock (decision 36).

No process that wrote a row runs so long after the write.
"""
LOOKED_AT_AGAIN = SETTLED_AFTER + timedelta(minutes=1)
"""A younger row whose work is done is looked at again after this time."""
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


async def sweep(ports: Ports, now: datetime) -> Swept:
    """
    Do all work that is due at *now*. It does no harm to run this twice, late, or at the same time as another sweep.

    If a shard cannot be read, its fault is raised after the other shards are done.
    """
    swept = Swept()
    stop_at = ports.real_now() + TIME_LIMIT
    gate = asyncio.Semaphore(IN_FLIGHT)
    await together(_sweep_shard(ports, shard, now, stop_at, gate, swept) for shard in range(SHARDS))
    return swept


async def _sweep_shard(
    ports: Ports, shard: int, now: datetime, stop_at: datetime, gate: asyncio.Semaphore, swept: Swept
) -> None:
    last: DueRow | None = None
    while True:
        rows = await ports.duework.due(shard, now, after=last, limit=PAGE)
        for row in rows:
            if row is not rows[0] and ports.real_now() >= stop_at:
                swept.still_due(row.due)  # this row and the rows after it wait for the next run
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
        pass  # another process has processed or moved the row
    except Fault as fault:
        log.warning("claim %s: the due row stays where it is: %s", row.subject, type(fault).__name__)


async def _outcome(ports: Ports, row: DueRow, now: datetime, swept: Swept) -> Outcome:
    """Call the handler of the row. A fault is logged, and delays the work."""
    if row.kind in ONE_A_RUN:
        if row.kind in swept.begun:
            return Outcome(delayed=True, not_before=now + SOON)
        swept.begun.add(row.kind)
    try:
        with ports.telemetry.processing(row):
            return await HANDLERS[row.kind](ports, row, now)
    except (Fault, Refused, Conflict) as fault:
        log.warning("claim %s: %s could not be paid: %s", row.subject, row.logged_as, type(fault).__name__)
    except Exception:  # a fault in one claim must not stop the work for other claims
        log.exception("claim %s: %s failed", row.subject, row.logged_as)
    swept.failed += 1
    return Outcome(delayed=True)


async def _put_off(ports: Ports, row: DueRow, outcome: Outcome, now: datetime, swept: Swept) -> None:
    """Move the row to its next attempt. If the handler gave no instant, the wait grows with each failed attempt."""
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
    """Delete the row if it is older than `SETTLED_AFTER`. Otherwise move it, to look at it again later."""
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
