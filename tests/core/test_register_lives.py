"""
After random lives, the register equals a walk over all claims and their histories (decision 53).

The lives are those of `test_machine.py`. Two rules compare: one at any point of the due work, for instants up to
`completeTo`, and one with every timer stopped after everything was followed once, for any instant.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from cpor_core.due_work import FOLLOWS, SHARDS
from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import Act
from cpor_core.model.programme import RegisterRow
from cpor_core.transitions.life import settle
from cpor_core.use_cases.claims.history import history_as_of
from cpor_core.use_cases.due_work.sweep import _process_page, _Run, follow_now
from cpor_core.use_cases.register import questions
from cpor_core.use_cases.register.import_official import import_lines
from cpor_core.use_cases.register.questions import Question
from cpor_core.views import association_view
from tests.core.builders import ADATUM, DAY, FABRIKAM, LITWARE, MICROSECOND, PARTNER_IDS, TENANT
from tests.core.memory_core import Core
from tests.core.test_machine import FAR, Machine
from tests.support.thorough import THOROUGH

FILTERS: Sequence[Mapping[str, Any]] = (
    {},
    {"partner_id": PARTNER_IDS[FABRIKAM]},
    {"item": "teams", "country": "FR"},
)
ENDS = frozenset({Act.ITEM_ENDED, Act.ENDED, Act.REVOKED})


class Held(NamedTuple):
    """One item of one association, from the claim that its partner reads."""

    association_id: str
    item: str
    partner_id: str
    since: datetime
    until: datetime | None
    reason: Reason | None
    known_since: datetime
    """When the act arrived by which the association came to be. For an import this is later than its beginning."""

    def covers(self, instant: datetime) -> bool:
        return self.since <= instant and (self.until is None or instant < self.until)

    def shown(self, complete_to: datetime) -> tuple[object, ...]:
        """Return what the register must show if it knows all acts up to *complete_to*."""
        is_known = self.until is not None and self.until <= complete_to
        end = (self.until, self.reason) if is_known else None
        return self.association_id, self.item, self.partner_id, self.since, end


def shown(row: RegisterRow, complete_to: datetime) -> tuple[object, ...]:
    """Return what a row of the register shows of the acts up to *complete_to*."""
    is_known = row.until is not None and row.until <= complete_to
    return row.association_id, row.item, row.partner_id, row.since, (row.until, row.end_reason) if is_known else None


async def walk(core: Core) -> list[Held]:
    """Return every item that was ever held, from what partners read of their claims and histories now."""
    now, found = await core.now(), []
    async for tenant in core.ports.claims.tenants():
        for stored in tenant.cases:
            case = settle(stored, now)
            association = association_view(case)
            if association is None:
                continue
            entries = await history_as_of(core.ports, case, after=0, limit=1000)
            begin = next(one for one in entries if one.to is Status.OFFICIAL)
            assert begin.at == association.since or begin.act is Act.IMPORTED
            ends = {one.at for one in entries if one.act in ENDS or one.to is Status.ENDED}
            assert {one.ended_at for one in association.items} - {None} <= ends
            found += [
                Held(
                    association.id,
                    item.workload or item.subscription_id or "",
                    association.partner_id,
                    association.since,
                    item.ended_at,
                    item.end_reason,
                    begin.at,
                )
                for item in association.items
                if item.ended_at != association.since
            ]
    return found


async def ask(core: Core, question: Question, limit: int) -> Sequence[RegisterRow]:
    """Return all rows of an answer. No row may come twice."""
    rows: list[RegisterRow] = []
    position: str | None = ""
    while position is not None:
        page = await questions.page_of(core.ports, question, await core.now(), after=position, limit=limit)
        rows += page.rows
        position = page.position
    assert len({(row.association_id, row.item) for row in rows}) == len(rows)
    return rows


async def compare(core: Core, complete_to: datetime, limit: int) -> int:
    """
    Compare the answers about all interesting instants up to *complete_to* with the walk.

    An import after *complete_to* can be in an answer or not. Returns the number of compared rows.
    """
    everything = await walk(core)
    held = [one for one in everything if one.known_since <= complete_to]
    unsure = {one.association_id for one in everything} - {one.association_id for one in held}

    async def answer(question: Question) -> set[tuple[object, ...]]:
        rows = await ask(core, question, limit)
        return {shown(row, complete_to) for row in rows if row.association_id not in unsure}

    edges = {edge for one in held for edge in (one.since, one.until) if edge is not None}
    instants = {instant + by for instant in edges for by in (-MICROSECOND, timedelta(0))}
    instants |= {complete_to, complete_to - DAY, complete_to - 30 * DAY}
    compared = 0
    for as_of in sorted(instant for instant in instants if instant <= complete_to):
        for filters in FILTERS:
            wanted = [one for one in held if all(getattr(one, n, v) == v for n, v in filters.items())]
            now = {one.shown(complete_to) for one in wanted if one.covers(as_of)}
            ended = {one.shown(complete_to) for one in wanted if one.until is not None and one.until < as_of}
            assert await answer(Question(as_of=as_of, **filters)) == now, (as_of, filters)
            assert await answer(Question(as_of=as_of, ended=True, **filters)) == ended, (as_of, filters)
            compared += len(now) + len(ended)
    return compared


class RegisterMachine(Machine):
    """The lives of `Machine`, with imports, and with due work that is done up to different points."""

    compared = 0

    def it_holds(self) -> None:
        """Leave out the rules of `Machine`, which has its own test."""

    def the_programme_counts(self) -> None:
        """Leave out the figures. They are compared with claims that this machine does not list."""

    @rule(organisation=st.sampled_from([ADATUM, FABRIKAM, LITWARE]), item=st.sampled_from(["teams", "exchange"]))
    def import_past(self, organisation: str, item: str) -> None:
        """Enter an association of the past. It changes answers about the past."""
        line = {"engagement": "osu-m365", "partnerId": PARTNER_IDS[organisation], "tenantId": TENANT, "item": item}
        sent = json.dumps({**line, "since": f"{self.now - 20 * DAY:%Y-%m-%d}"}).encode()
        self.run(import_lines(self.core.ports, [sent], "operator", self.now))

    @rule(shards=st.sets(st.integers(0, SHARDS - 1), min_size=1))
    def follow_some(self, shards: set[int]) -> None:
        """Follow the claims of some shards only."""

        async def follow() -> None:
            now = await self.core.now()
            for shard in sorted(shards):
                rows = await self.core.ports.duework.due(shard, now + FAR, after=None, limit=10_000)
                wanted = [row for row in rows if row.kind in FOLLOWS]
                await _process_page(self.core.ports, wanted, now, _Run.begun(self.core.ports))

        self.run(follow())

    @rule(wait=st.sampled_from([timedelta(0), timedelta(minutes=7), DAY]), limit=st.sampled_from([1, 2, 50]))
    def the_answer_is_right_up_to_complete_to(self, wait: timedelta, limit: int) -> None:
        """Whatever was followed. A tenant's answer needs no follower, and is right up to now."""

        async def verify() -> int:
            core = self.core.copied()
            core.clock.set(await self.core.now() + wait)
            now = await core.now()
            complete_to = await questions.complete_to(core.ports, Question(as_of=now), now)
            held = await walk(core)
            of_tenant = await ask(core, Question(as_of=now, tenant_id=TENANT), limit)
            assert {shown(row, now) for row in of_tenant} == {one.shown(now) for one in held if one.covers(now)}
            return await compare(core, complete_to, limit)

        self.compared += self.run(verify())

    @rule(
        waits=st.lists(st.sampled_from([timedelta(0), timedelta(hours=1), 2 * DAY]), min_size=1, max_size=3),
        limit=st.sampled_from([1, 2, 50]),
    )
    def the_answer_is_right_without_a_timer(self, waits: list[timedelta], limit: int) -> None:
        """
        Everything is followed once, and then nothing runs. Windows end and items are taken over by time alone.

        The clock moves to the next instant at which time changes a claim, or to some time after it.
        """
        instants = self._instants()

        async def verify() -> int:
            core = self.core.copied()
            core.clock.set(await self.core.now())
            await follow_now(core.ports, await core.now())
            compared = 0
            for wait in waits:
                now = await core.now()
                core.clock.set(min((instant for instant in instants if instant > now), default=now) + wait)
                compared += await compare(core, await core.now(), limit)
            return compared

        self.compared += self.run(verify())


@pytest.mark.slow
def test_the_register_equals_a_walk_over_all_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit runs some seconds of CPU time, with the same steps each time. THOROUGH=1 runs more steps."""
    monkeypatch.setattr(questions, "ROWS_OF_SHARD", 1)
    run_state_machine_as_test(
        RegisterMachine,
        settings=settings(
            max_examples=2000 if THOROUGH else 30,
            stateful_step_count=20,
            derandomize=not THOROUGH,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
