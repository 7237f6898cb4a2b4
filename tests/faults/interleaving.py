"""
One whole act between any two requests of another act.

Another process can do all of its work between two requests of a process. Both run here over one storage. The first is
stopped before one of its requests, the second runs from beginning to end, and then the first goes on. The end must
equal the end of one act after the other, in either order. Some positions need no run of their own. While the next
requests of the first touch nothing that the second touches, the position makes no difference, and one run is enough for
all such positions (`positions`).
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cpor_app import bootstrap
from cpor_app.adapters.storage.row_store import Row
from cpor_app.adapters.storage.tables import unpacked
from cpor_core.model.claim import CLOSED, IN_SLOTS, Claim, Status
from cpor_core.model.slot import Slot
from cpor_core.rules.claim_due_work import due_now
from tests.doubles.requests import Answer, Request, straight
from tests.faults.everybody import TIMER, Doing
from tests.faults.scenes import Built
from tests.faults.test_every_request import LEFT_OUT, plain
from tests.support.memory_service import PROCESS, Kept, MemoryService
from tests.support.programme_table import faults_of_programme

FIRST, SECOND = "first", "second"
NOTICED = frozenset({"claims", "registry", "usage"})
"""Tables in which a difference is one that somebody notices; the feed is compared by claim, mails are counted."""
NEWS_WITHOUT_ORDER = "claim.competing"
"""The claim that comes causes this change; the history of the claim that was there has no entry for it."""
DUE_WORK = "still has due work"
NEVER = 10**6
HANGS = timedelta(minutes=3)
"""The time that the first hangs before a timer comes: the work that it began is due by then."""


@dataclass
class Run:
    """The requests of two acts, their answers, and the final state."""

    first: list[Request] = field(default_factory=list)
    second: list[Request] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    stopped_before: Request | None = None
    left: Mapping[str, Any] = field(default_factory=dict)
    kept: Kept | None = None
    rested: Mapping[str, Any] | None = None
    """What is left a quarter of an hour later; worked out once."""


async def run(made: MemoryService, scene: Built, first: Doing, second: Doing, at: int) -> Run:
    """
    Stop *first* before its request number *at*, counted from 1, while *second* does all of its work.

    With `NEVER`, *second* follows *first*.
    """
    made.go_back_to(scene.kept)
    ran, goes_on = Run(), asyncio.Event()
    goes_on.set()

    async def work(process: str, doing: Doing) -> None:
        PROCESS.set(process)
        if process == SECOND and doing.kind == TIMER:
            made.clock.advance(HANGS)
        ran.answers[process] = await doing.do()

    async def whole(process: str, doing: Doing) -> None:
        await asyncio.create_task(work(process, doing), context=copy_context())

    async def carry(request: Request, do: Callable[[], Answer]) -> Answer:
        if PROCESS.get() == SECOND:
            ran.second.append(request)
            return do()
        await goes_on.wait()  # a request sent together with the stopped one waits too
        ran.first.append(request)
        if len(ran.first) == at:
            goes_on.clear()
            ran.stopped_before = request
            bootstrap.use(made.other_process)
            await whole(SECOND, second)
            bootstrap.use(made.service.services)
            goes_on.set()
        return do()

    made.storage.rows.carry = carry
    await whole(FIRST, first)
    if SECOND not in ran.answers:
        await whole(SECOND, second)
    made.storage.rows.carry = straight
    ran.left, ran.kept = picture(made), made.keep()
    return ran


async def positions(made: MemoryService, scene: Built, first: Doing, second: Doing) -> AsyncIterator[Run]:
    """
    Yield a run for each position of the stop that can make a difference.

    At the first position, *second* runs first.
    """
    at = 1
    while True:
        ran = await run(made, scene, first, second, at)
        if ran.stopped_before is None:
            return
        yield ran
        meeting = (n for n, sent in enumerate(ran.first, start=1) if n >= at and any(map(sent.meets, ran.second)))
        next_meeting = next(meeting, None)
        if next_meeting is None:
            return
        at = next_meeting + 1


# --- the final state --------------------------------------------------------------------------------------------------


def picture(made: MemoryService) -> Mapping[str, Any]:
    """Return the visible part of the final state. Due rows and messages are hints and are allowed to be more."""
    rows: dict[str, dict[str, Any]] = {}
    feeds: dict[str, dict[str, list[Any]]] = {}
    for (table, partition, key), row in sorted(made.storage.rows._rows.items()):
        if table == "changes" and key.startswith("entry|"):
            entry = _said(row)["document"]
            news = feeds.setdefault(f"{partition} {entry['claimId']}", {"in order": [], "in any order": []})
            news["in any order" if entry["type"] == NEWS_WITHOUT_ORDER else "in order"].append(entry["type"])
        elif table in NOTICED:  # a stored reply has the version of its moment
            rows.setdefault(table, {})[f"{partition} {key}"] = None if key.startswith("act|") else _said(row)
    return {**rows, "feeds": feeds}


def _said(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in row.values.items() if name not in ("actId", "version", "etag")}
    if "document" in values:
        values["document"] = without(json.loads(unpacked(values["document"])))
    return values


def without(value: Any) -> Any:
    """Return *value* without fields that only tell its version."""
    match value:
        case dict():
            return {name: without(one) for name, one in value.items() if name not in LEFT_OUT}
        case list():
            return [without(one) for one in value]
        case _:
            return value


async def rested(made: MemoryService, ran: Run) -> Mapping[str, Any]:
    """Return the final state a quarter of an hour later, when all due work is done, with days in place of instants."""
    if ran.rested is None:
        assert ran.kept is not None
        made.go_back_to(ran.kept)
        for minutes in (3, 12):
            await made.service.deliver()
            made.clock.advance(timedelta(minutes=minutes))
            await made.service.sweep()
        await made.service.deliver()
        ran.rested = plain(picture(made))
    return ran.rested


async def faults_of_the_end(made: MemoryService, *, hung: bool = False) -> list[str]:
    """
    Return the faults of the final state, for either order of the two acts. No work may be due.

    If the first act *hung* for three minutes, its mark on a mail has ended, and the mail can be sent twice.
    """
    now = made.clock.real()
    claims, slots = dict[str, Claim](), list[Slot]()
    for (table, _, key), row in made.storage.rows._rows.items():
        if table == "claims" and key.startswith("claim|"):
            claim = Claim.model_validate_json(unpacked(row.values["document"]))
            claims[claim.id] = claim
        if table == "claims" and key.startswith("slot|"):
            slots.append(Slot.model_validate_json(unpacked(row.values["document"])))
    wrong = [f"{claim.id} {DUE_WORK}: {kind}" for claim in claims.values() for kind in due_now(claim, now)]
    for slot in slots:
        named = [party for party in slot.at(now).others("") if not party.declined]
        for party in named:
            claim = claims[party.claim]
            if claim.status not in IN_SLOTS or (claim.status is Status.OFFICIAL and not claim.holds(slot.key)):
                wrong.append(f"slot {slot.key} names {claim.id}, which is {claim.status}")
        standing = {party.claim for party in named}
        for claim in claims.values():
            items = {item.key for item in claim.items if claim.status is not Status.OFFICIAL or claim.holds(item.key)}
            follows = claim.status is Status.PARTNER_ACTION_REQUIRED
            if claim.status in IN_SLOTS and not follows and claim.engagement == slot.engagement:
                wrong += [f"{claim.id} has no place at {slot.key}"] * (slot.key in items and claim.id not in standing)
    mails = Counter(mail.message_id for mail in (*made.mailbox.sent, *made.mailbox.to_partners))
    wrong += [f"{count} mails {name}" for name, count in mails.items() if count > (2 if hung else 1)]
    wrong += [f"{claim.id} has ended items that are not its own" for claim in claims.values() if _ends_too_much(claim)]
    return [*wrong, *faults_of_programme(made.storage.rows._rows)]


def _ends_too_much(claim: Claim) -> bool:
    ended = Counter(item.key for item in claim.ended_items)
    return max(ended.values(), default=0) > 1 or (claim.status not in CLOSED and len(ended) >= len(claim.items) > 0)
