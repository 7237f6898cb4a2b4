"""
The requests of one claim's whole life, from its creation until a year after it became official.

Each request to storage counts. A run of the timer that changes the claim is work of the claim. All other runs are
housekeeping, and so is the deletion of due rows. A run reads each of its 16 shards, also if nothing is due, so these
reads do not count. The host takes and deletes each message by two requests to a queue, which have a line of their own.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

import httpx

from cpor_core.due_work import SHARDS, Kind
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.grace import GRACE
from devhost.stack.issuer import LocalIssuer
from tests.budgets.counting import LINES, OPERATOR, WHOLE_LIFE, Counter, counter
from tests.doubles.due_work import DueWorkOfThisClock
from tests.support.service import ACKNOWLEDGED, CUSTOMER, DELIVERED, PDF, SUBSCRIPTION, claim_as_sent
from tools.pages.markdown import code, listed
from tools.pages.markdown import table as markdown_table

BEGINS = datetime(2027, 12, 13, 9, tzinfo=UTC)
"""A Monday after all due work of the preparations, and before the next old change of the feed is deleted."""
BETWEEN_ACTS = timedelta(seconds=10)
A_YEAR = timedelta(days=365)
A_MINUTE = timedelta(minutes=1)
REQUESTS_OF_THE_HOST = 2
NOTICE_REMINDER_CONFIRMATION, PROMISE_AND_CONFIRMATION = 3, 2
CLOSED_DAYS = " tables GET /registry()"
"""This request is left out, because an instance makes it once in five minutes for all claims."""
TRIMS = frozenset({Kind.TRIM_CHANGES, Kind.TRIM_PROGRAMME})
"""A run that only trims feeds is left out, because no single claim causes it."""
LIVED, HOUSEKEEPING, HOST, BLOBS, EXECUTIONS = WHOLE_LIFE


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a function: its requests by service."""

    what: str
    requests: Mapping[str, int]
    sent: tuple[str, ...]
    is_housekeeping: bool = False
    is_timer: bool = False
    settled: int = 0
    """How often due rows were put off or deleted, each time by one request."""

    @property
    def by_host(self) -> int:
        """The host's own requests, which take and delete the message."""
        return self.requests["queues"] - sum(" queues " in each for each in self.sent)

    @property
    def counted(self) -> int:
        """The requests to tables and queues, without the host's own."""
        return self.requests["tables"] + self.requests["queues"] - self.by_host

    @property
    def housekeeping(self) -> int:
        """How many of them keep the house: all of a run that changes nothing, and each deletion of done due rows."""
        return self.counted if self.is_housekeeping else self.settled


@dataclass
class WholeLife:
    """A life and its steps so far. Acts come ten seconds apart. The timer runs at full minutes."""

    counter: Counter
    steps: list[Step] = field(default_factory=list)
    claim_id: str = ""

    async def ask(self, function: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request of the partner, and then deliver the messages of the act."""
        self.counter.service.clock.advance(BETWEEN_ACTS)
        answer = await self.counter.ask(function, method, path, **more)
        self._note(code(function))
        await self._deliver()
        return answer

    async def pass_until(self, end: datetime) -> None:
        """Run the timer after each instant at which something is due, until *end*."""
        clock = self.counter.service.clock
        while due := await self._due_by(end):
            at = max(min(row.due for row in due), clock.real())
            clock.set(at.replace(second=0, microsecond=0) + A_MINUTE)
            await self._run_timer({row.kind for row in due if row.due <= clock.real()})
            await self._deliver()
        clock.set(max(end, clock.real()))

    async def _run_timer(self, kinds: AbstractSet[Kind]) -> None:
        duework = self.counter.service.services.ports.duework
        assert isinstance(duework, DueWorkOfThisClock)
        before, settled = await self._stored(), duework.settled
        await self.counter.sweep("")
        if kinds <= TRIMS:
            return
        requests = {"tables": -SHARDS}
        is_housekeeping = before == await self._stored()
        self._note(f"timer: {listed(sorted(kinds))}", requests, is_timer=True, is_housekeeping=is_housekeeping)
        self.steps[-1] = replace(self.steps[-1], settled=duework.settled - settled)

    async def _deliver(self) -> None:
        """Run the function of each waiting message, ten seconds after the message was sent."""
        service = self.counter.service
        for queue, function in DELIVERED:
            for message in await service.services.queues.take(queue, 32):
                service.clock.advance(BETWEEN_ACTS)
                await self.counter.count(function, partial(service.run, function, message.text))
                self._note(code(function), {"queues": REQUESTS_OF_THE_HOST})
                await service.services.queues.done(message)

    def _note(
        self,
        what: str,
        further: Mapping[str, int] = MappingProxyType({}),
        *,
        is_timer: bool = False,
        is_housekeeping: bool = False,
    ) -> None:
        """Add a step with the requests that were counted last, and *further* ones."""
        sent = tuple(each for each in self.counter.lines[-1].sent if not each.endswith(CLOSED_DAYS))
        requests = Tally(each.split()[1] for each in sent)
        requests.update(further)
        self.steps.append(Step(what, requests, sent, is_timer=is_timer, is_housekeeping=is_housekeeping))

    async def _due_by(self, end: datetime) -> Sequence[DueRow]:
        rows = self.counter.service.services.ports.duework
        return [row for shard in range(SHARDS) for row in await rows.due(shard, end, after=None, limit=100)]

    async def _stored(self) -> object:
        stored = await self.counter.service.services.ports.claims.load(self.claim_id)
        return stored.claim if stored is not None else None


async def _prepare(c: Counter) -> None:
    """Let the organisation have its first change, and do all due work that this leaves."""
    draft = await c.service.draft()
    await c.service.request("DELETE", f"/claims/{draft['id']}", headers={"If-Match": "*"})
    await c.service.deliver()
    await WholeLife(c).pass_until(BEGINS)


async def live(c: Counter) -> Sequence[Step]:
    """Return the steps of a life in a new world. Raises AssertionError if a mail of the life was not sent."""
    await _prepare(c)
    life, clock = WholeLife(c), c.service.clock
    made = (await life.ask("create_claim", "POST", "/claims", json=claim_as_sent())).json()
    life.claim_id, path = made["id"], f"/claims/{made['id']}"
    signed = (clock.real() - timedelta(days=30)).date()
    await life.ask("put_evidence", "PUT", f"{path}/evidence/sow.pdf?signedOn={signed}", content=PDF)
    await life.ask("submit_claim", "POST", f"{path}/submit", json=ACKNOWLEDGED)
    window = (await c.service.request("GET", path)).json()["window"]
    official_at = datetime.fromisoformat(window["endsAt"]) + GRACE
    await life.pass_until(official_at)
    figures = f'{{"month": "{official_at:%Y-%m}", "item": "{SUBSCRIPTION}", "activeUsers": 30}}\n'
    reports = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    loaded = await c.service.request("POST", reports, content=figures, headers=LINES, **OPERATOR)
    assert loaded.status_code < 400, loaded.text
    await life.ask("get_usage", "GET", f"/associations/{life.claim_id}/usage")
    await life.pass_until(official_at + A_YEAR)
    mailbox = c.service.mailbox
    assert len(mailbox.sent) == NOTICE_REMINDER_CONFIRMATION, "a life has three mails to the customer"
    assert len(mailbox.to_partners) == PROMISE_AND_CONFIRMATION, "a life has two mails to the partner"
    return life.steps


async def counted(fresh_account: Callable[[], str], issuer: LocalIssuer) -> Sequence[Step]:
    """Return the steps of a life in a world of its own."""
    async with counter(fresh_account(), issuer) as c:
        return await live(c)


def totals(steps: Iterable[Step]) -> Mapping[str, int]:
    """Return the sums that `WHOLE_LIFE` limits."""
    steps = tuple(steps)
    return {
        LIVED: sum(step.counted - step.housekeeping for step in steps),
        HOUSEKEEPING: sum(step.housekeeping for step in steps),
        HOST: sum(step.by_host for step in steps),
        BLOBS: sum(step.requests["blobs"] for step in steps),
        EXECUTIONS: sum(not step.is_timer for step in steps),
    }


def table(steps: Sequence[Step]) -> str:
    """Return the two tables as docs/speed.md has them: the steps, and the sums with their budgets."""
    alike: dict[tuple[str, bool], list[Step]] = {}
    for step in steps:
        alike.setdefault((step.what, step.is_housekeeping), []).append(step)
    rows = (
        (
            what,
            "housekeeping" if is_housekeeping else "",
            str(len(times)),
            *(str(sum(step.requests[service] for step in times)) for service in ("tables", "queues", "blobs")),
        )
        for (what, is_housekeeping), times in alike.items()
    )
    each = markdown_table(("step", "", "times", "tables", "queues", "blobs"), rows)
    found = totals(steps)
    sums = markdown_table(
        ("sum", "count", "budget"), ((name, str(found[name]), str(most)) for name, most in WHOLE_LIFE.items())
    )
    return "\n".join((*each, "", *sums))
