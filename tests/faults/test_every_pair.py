"""
Another whole act runs between any two requests of an act, and the end equals that of one after the other.

Every function and every act on a claim is stopped at each of its requests by each kind of other act on the same tenant.
In each scene every act is tried alone first. The successful acts are then paired. A new function or act is included
automatically, or `test_every_function_is_stopped_by_every_kind_of_act` fails.

Some runs are left out: positions without a relevant next request (`positions`), all but one act of each kind in a
scene, and three scenes of four for a read. The chosen acts and scenes differ. THOROUGH=1 leaves out none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pytest

from cpor_app.adapters.storage.tables.claims import ClaimsTable
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import clock, programme, steps
from cpor_core.use_cases import change_claim
from cpor_core.use_cases.due_work import sweep
from devhost.stack.issuer import LocalIssuer
from tests.doubles.requests import Answer, Request, straight
from tests.faults.everybody import KINDS, LEFT_ALONE, TIMER, Doing, everything
from tests.faults.interleaving import (
    DUE_WORK,
    FIRST,
    NEVER,
    Run,
    faults_of_the_end,
    positions,
    rested,
    run,
    without,
)
from tests.faults.scenes import SCENES, Built, Scene, build
from tests.support.memory_service import MemoryService, memory_service
from tests.support.service import functions
from tests.support.thorough import THOROUGH

PARTS = 2
"""A scene's pairs are shared out to so many tests, so that all cores have work."""
EACH_IN = 4
"""Two kinds of runs are made in every fourth scene only: a stopped read, and an act that loses its messages."""
SEVERAL_ACTS = {
    "finalise_uncontested": "it does one piece of due work after the other",
    "process_due_page": "it does one piece of due work after the other",
    "put_customer": "it ends what is gone claim by claim",
    "import_associations": "it goes by a registry of a moment ago; what is gone since ends ten minutes later",
    "submit_claim": "it goes by a registry of a moment ago; what is gone since is struck before the customer is told",
    "notify_customer": "promise, mail and hand-over are three; a mail that is out is recorded whatever came meanwhile",
    "notify_partner": "it sends one mail after the other",
}
"""Functions of several acts, which may be met between two of them: then no order of the two explains the end."""

SEVERAL_READS = {
    "get_review": "the claim, what the registry says of it, and those with which it competes",
    "list_reviews": "a key of the queue, its claim, then the slots",
    "export_claims": "one claim after the other",
    "count_claims": "one claim after the other",
    "list_register": "the acts that it follows first, then the shards; completeTo says which acts are in",
    "list_register_changes": "the acts that it follows first, then the shards",
}
"""Reads of several things, which may be of different moments; an act reads again what it decides on."""


@dataclass(frozen=True)
class Possible:
    """An act that succeeds in a scene when nobody else acts."""

    reads: Sequence[Doing]
    writes: Sequence[Doing]

    def pairs(self, scene: str) -> Iterator[tuple[Doing, Doing]]:
        """Yield each act that is stopped, with each act that can make a difference to it."""
        reads = [read for read in self.reads if THOROUGH or _has_its_turn(read, scene)]
        for first in (*self.writes, *reads):
            for kind in KINDS:
                others = [second for second in self.writes if second.kind == kind and second is not first]
                if THOROUGH:
                    yield from ((first, second) for second in others)
                elif others:
                    yield first, others[crc32(f"{first}{scene}".encode()) % len(others)]


def _has_its_turn(doing: Doing, scene: str) -> bool:
    """Return whether an act is stopped in this scene. It is stopped in every fourth scene."""
    number = [one.name for one in SCENES].index(scene)
    return (number + crc32(doing.name.encode())) % EACH_IN == 0


async def possible(made: MemoryService, scene: Built) -> Possible:
    """Try every act alone."""
    reads: list[Doing] = []
    writes: list[Doing] = []
    for doing in everything(made, scene):
        sent: list[Request] = []

        async def note(request: Request, do: Callable[[], Answer], sent: list[Request] = sent) -> Answer:
            sent.append(request)
            return do()

        made.go_back_to(scene.kept)
        made.storage.rows.carry = note
        if _succeeded(await doing.do()) and (doing.is_read or any(one.is_write for one in sent)):
            (reads if doing.is_read else writes).append(doing)
    made.storage.rows.carry = straight
    return Possible(reads, writes)


def _succeeded(answer: Any) -> bool:
    return answer is None or answer[0] < 400


def explained(seen: Any, *orders: Any) -> bool:
    """Return whether an answer can come from one order. In a list each member is judged."""
    if seen in orders:
        return True
    if isinstance(seen, dict) and isinstance(seen.get("value"), list):
        members = [member for order in orders if isinstance(order, dict) for member in order.get("value", [])]
        return all(member in members for member in seen["value"])
    return False


async def wrong(made: MemoryService, first: Doing, second: Doing, ran: Run, orders: Sequence[Run]) -> list[str]:
    """Return the faults of a pair's end."""
    found = [f"{who} is answered {answer}" for who, answer in ran.answers.items() if answer and answer[0] >= 500]
    if first.is_read and first.name not in SEVERAL_READS:
        seen, *either = (without(one.answers[FIRST][1]) for one in (ran, *orders))
        if not explained(seen, *either):
            found.append(f"it shows {seen}")
    if ran.left in [order.left for order in orders]:
        return found
    left = await rested(made, ran)
    found += await faults_of_the_end(made, hung=second.kind == TIMER)
    if first.name not in SEVERAL_ACTS and left not in [await rested(made, order) for order in orders]:
        found.append("neither order of the two ends so")
    return found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_the_end_is_that_of_one_after_the_other(scene: Scene, part: int, issuer: LocalIssuer) -> None:
    """
    There is no internal error and no broken promise.

    The end is that of one order, at every position of the other act.
    """
    failed: list[str] = []
    tried = 0
    async with memory_service(issuer) as made:
        built = await build(made, scene)
        for first, second in list((await possible(made, built)).pairs(scene.name))[part::PARTS]:
            after = await run(made, built, first, second, NEVER)
            before: Run | None = None
            async for ran in positions(made, built, first, second):
                tried += 1
                before = before or ran
                faults = await wrong(made, first, second, ran, [before, after])
                if faults:
                    failed.append(f"{first}, stopped before {ran.stopped_before} by {second}: " + "; ".join(faults))

    assert tried
    assert not failed, f"{len(failed)} of {tried} ends are wrong\n" + "\n".join(failed)


async def left_undone(made: MemoryService, built: Built, firsts: Sequence[Doing]) -> list[str]:
    """Return the work that is never done if the timer comes between two requests and all messages are lost."""
    [timer] = [doing for doing in everything(made, built) if doing.name == "finalise_uncontested"]
    found: list[str] = []
    for first in firsts:
        async for ran in positions(made, built, first, timer):
            assert ran.kept is not None
            made.go_back_to(ran.kept)
            made.storage.queues.waiting.clear()
            ran.kept = made.keep()
            await rested(made, ran)
            undone = [fault for fault in await faults_of_the_end(made) if DUE_WORK in fault]
            found += [f"{first}, stopped before {ran.stopped_before}: {fault}" for fault in undone]
    return found


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_due_rows_alone_lead_to_all_work(scene: Scene, issuer: LocalIssuer) -> None:
    """The timer finds the rows of an act before the act is stored, and no message arrives. Still all work is done."""
    async with memory_service(issuer) as made:
        built = await build(made, scene)
        writes = (await possible(made, built)).writes
        firsts = [doing for doing in writes if THOROUGH or _has_its_turn(doing, scene.name)]

        assert await left_undone(made, built, firsts) == []


async def test_it_finds_a_row_that_is_deleted_before_its_act_is_stored(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without decision 36b the timer deletes a row without work at once, and the act that wrote the row follows."""
    monkeypatch.setattr(sweep, "_looked_at_again", lambda *_: None)
    async with memory_service(issuer) as made:
        built = await build(made, SCENES[0])
        firsts = (await possible(made, built)).writes

        assert await left_undone(made, built, firsts) != []


async def test_every_function_is_stopped_by_every_kind_of_act(issuer: LocalIssuer) -> None:
    """Each function that touches a tenant is stopped by each kind of other act, in at least one scene."""
    left_alone = {name for names in LEFT_ALONE.values() for name in names}
    every = {function.name for function in functions()} - left_alone - {"zz_not_found"}
    stopped: set[tuple[str, str]] = set()
    come_between: set[str] = set()
    for scene in SCENES:
        async with memory_service(issuer) as made:
            found = await possible(made, await build(made, scene))
        stopped |= {(first.name, second.kind) for first, second in found.pairs(scene.name)}
        come_between |= {second.name for second in found.writes}

    assert {name for name, _ in stopped} == every
    missing = {(name, kind) for name in every for kind in KINDS} - stopped
    assert not missing, sorted(missing)
    assert len(come_between) > 40


async def test_it_finds_an_ended_association_that_keeps_its_slot(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the repair, a message between the two reads of a tenant leaves a slot that names an ended claim."""
    of_tenant, end_items = ClaimsTable.of_tenant, steps.end_items

    async def slots_first(self: ClaimsTable, tenant_id: str) -> Sequence[StoredCase]:
        old = {case.claim.id: case for case in await of_tenant(self, tenant_id)}
        new = await of_tenant(self, tenant_id)
        return [
            StoredCase(
                case.claim,
                old[case.claim.id].slots,
                etags={**old[case.claim.id].etags, case.claim.id: case.etags[case.claim.id]},
            )
            for case in new
        ]

    def ends_quietly(case: Case, keys: tuple[str, ...], *more: Any, **named: Any) -> Case:
        slots = {key: slot for key, slot in case.slots.items() if slot.holder is None}
        return end_items(case, keys, *more, **named).with_slots(slots)

    monkeypatch.setattr(ClaimsTable, "of_tenant", slots_first)
    for module in (steps, clock, programme):
        monkeypatch.setattr(module, "end_items", ends_quietly)
    monkeypatch.setattr(change_claim, "verify_places", lambda _: None)
    monkeypatch.setattr("cpor_app.adapters.storage.tables.claims.IN_SLOTS", frozenset())
    found: list[str] = []
    async with memory_service(issuer) as made:
        built = await build(made, next(scene for scene in SCENES if scene.name == "the window has ended"))
        named = {str(doing): doing for doing in everything(made, built)}
        async for ran in positions(made, built, named["put_customer()"], named["notify_customer(own)"]):
            await rested(made, ran)
            found += await faults_of_the_end(made)

    assert any(one.startswith("slot") for one in found), found
