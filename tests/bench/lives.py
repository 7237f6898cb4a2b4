"""Whole lives of claims, each step measured, with the timer's reads of its shards."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from devhost.stack.issuer import LocalIssuer
from tests.bench.floor import Floor
from tests.bench.measuring import Line, Round, one_round, total
from tests.bench.recording import Recorder
from tests.budgets.counting import Counted, Counter, counter
from tests.budgets.whole_life import live
from tests.support.service import app_client


@dataclass
class _Measured(Counter):
    """Measures each step, and not only its requests."""

    floor: Floor | None = None
    rounds: list[Round] = field(default_factory=list)

    async def count(self, function: str, doing: Callable[[], Awaitable[Any]], what: str = "") -> Any:
        assert self.floor is not None
        answers: list[Any] = []

        async def once() -> None:
            answers.append(await doing())

        self.meter.clear()
        self.rounds.append(await one_round(self.floor, [once], 1))
        sent = tuple(map(str, self.meter.requests))
        self.lines.append(Counted(function, what, len(sent), 0, sent))
        return answers[0]


async def lives(
    fresh_account: Callable[[], str], floor_at: Callable[[str], Any], issuer: LocalIssuer, times: int
) -> Line:
    """Measure a number of lives, each in a world of its own. The first does not count."""
    found = []
    for _ in range(1 + times):
        account = fresh_account()
        async with counter(account, issuer, Recorder()) as c, app_client() as client, floor_at(account) as floor:
            c.service.client = client
            measured = _Measured(c.service, c.meter, floor=floor)
            steps = len(await live(measured))
            found.append(total(measured.rounds[-steps:], 1))
    return Line("a whole life", 1, found[1:])
