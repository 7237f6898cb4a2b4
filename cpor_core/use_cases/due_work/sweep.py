"""
The timer's work: everything that is due, and nothing else.

Each shard is asked once for its rows before `now`; each row is judged again when it is read, so one that is stale does
no harm. One bad claim is counted and put off, the others go on.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.due_work import Outcome
from cpor_core.errors import Conflict, Fault, Refused
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.claim_due_work import SOON
from cpor_core.use_cases.claims import batches
from cpor_core.use_cases.claims.subscription_ends import END_GONE_ITEMS, end_gone_items
from cpor_core.use_cases.due_work.delete_expired import delete_expired
from cpor_core.use_cases.due_work.process_claim import process_claim
from cpor_core.use_cases.feed.changes import ANNOUNCE, TRIM, catch_up, trim
from cpor_core.use_cases.feed.deliveries import DELIVER, nudge_deliveries
from cpor_core.use_cases.privacy import erase_person
from cpor_core.use_cases.register.untold import TELL_OTHERS, notify_others

log = logging.getLogger("cpor.sweep")

SHARDS = 16
PAGE = 100
"""Rows read from a shard at once; a full page is followed by the next."""
IN_FLIGHT = 16
TIME_LIMIT = timedelta(minutes=4)
"""The sweep stops itself before `functionTimeout` stops the whole worker; the next run goes on."""
SETTLED_AFTER = timedelta(minutes=10)
"""A row of which nothing is owed is left so long, by the real clock: longer than any writer runs (rulings 36)."""
LATE = timedelta(minutes=2)
"""A debt that is settled so long after it fell due, two runs of the timer, is told of as late."""
LOOKED_AT_AGAIN = SETTLED_AFTER + timedelta(minutes=1)
NEXT_ATTEMPTS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60))
"""When a debt that could not be paid is tried again; hourly after the last."""


@dataclass
class Swept:
    """Counts of one run, for the log: rows paid, put off, and in error."""

    done: int = 0
    delayed: int = 0
    failed: int = 0
    due_since: datetime | None = None
    """Since when the oldest debt is owed that this run met and could not pay; webhooks are a receiver's affair."""

    has_erased: bool = False
    """One erasure has had its time in this run."""

    def still_due(self, since: datetime) -> None:
        """Note a debt that stays."""
        self.due_since = since if self.due_since is None else min(self.due_since, since)


async def sweep(ports: Ports, now: datetime) -> Swept:
    """
    Pay everything that is due at *now*; safe to run twice, late, or at the same time as another.

    Raises the fault of a shard that could not be read, after the others are done.
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
                swept.still_due(row.due)  # it and those behind it wait for the next run
                return
            async with gate:
                await _process_row(ports, row, now, swept)
        if len(rows) < PAGE:
            return
        last = rows[-1]


async def _process_row(ports: Ports, row: DueRow, now: datetime, swept: Swept) -> None:
    try:
        with ports.telemetry.processing(row):
            outcome = await _outcome(ports, row, now, swept)
    except (Fault, Refused, Conflict) as fault:
        log.warning("claim %s: %s could not be paid: %s", row.subject, row.kind, type(fault).__name__)
        swept.failed += 1
        outcome = Outcome(delayed=True)
    except Exception:  # one bad claim must not stop the others
        log.exception("claim %s: %s failed", row.subject, row.kind)
        swept.failed += 1
        outcome = Outcome(delayed=True)
    try:
        if outcome.delayed:
            swept.delayed += 1
            since = (row.since or row.due) if _is_debt(row) else None
            if since is not None:
                swept.still_due(since)
            if outcome.not_before is not None:  # its turn, or when the mail system wants to be asked again
                await ports.duework.move(row, (), due=outcome.not_before, attempt=row.attempt, since=since)
            else:
                wait = NEXT_ATTEMPTS[min(row.attempt, len(NEXT_ATTEMPTS) - 1)]
                await ports.duework.move(row, (), due=now + wait, attempt=row.attempt + 1, since=since)
        else:
            swept.done += 1
            if _is_debt(row) and (late := now - (row.since or row.due)) > LATE:
                ports.telemetry.settled_late(row, late)
            settled = row.written_at is not None and ports.real_now() - row.written_at > SETTLED_AFTER
            if settled and not outcome.row_stays:
                await ports.duework.delete(row)
            elif not outcome.row_stays:  # its writer may still be at work: look once more when it can't be
                await ports.duework.move(row, (), due=now + LOOKED_AT_AGAIN, attempt=row.attempt)
    except Conflict:
        pass  # somebody else paid it, or moved it on
    except Fault as fault:
        log.warning("claim %s: the due row stays where it is: %s", row.subject, type(fault).__name__)


def _is_debt(row: DueRow) -> bool:
    """Whether somebody waits for it: a partner's dead server, long work and what is only to be deleted are put off."""
    return row.deletes is None and row.kind not in (DELIVER, erase_person.ERASE_PERSON)


async def _outcome(ports: Ports, row: DueRow, now: datetime, swept: Swept) -> Outcome:
    """Pay what a row stands for."""
    if row.deletes is not None:
        return await delete_expired(ports, row, row.deletes, now)
    if row.kind == ANNOUNCE:
        await catch_up(ports, row.subject, now)
    elif row.kind == TRIM:
        await trim(ports, row, now)
        return Outcome(row_stays=True)
    elif row.kind == DELIVER:
        left = await nudge_deliveries(ports, row.subject, now)
        return Outcome(delayed=left, not_before=now + SOON if left else None)
    elif row.kind == batches.FINISH:
        return await batches.finish(ports, row.subject, now)
    elif row.kind == erase_person.ERASE_PERSON:
        if swept.has_erased:  # it takes half a minute: one in each run
            return Outcome(delayed=True, not_before=now + SOON)
        swept.has_erased = True
        return await erase_person.go_on(ports, row.subject, now)
    elif row.kind == END_GONE_ITEMS:
        await end_gone_items(ports, row.subject, now)
    elif row.kind == TELL_OTHERS:
        await notify_others(ports, row.subject, now)
    else:
        return await process_claim(ports, row.subject, now, due_row=row)
    return Outcome()
