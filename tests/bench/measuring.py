"""Measures the service and the floor in turns, on the same requests."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import median
from typing import Any, Literal

from tests.bench.floor import Floor
from tests.bench.recording import Recording, recorded

Doing = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Block:
    """What *calls* calls took, by the clock and in CPU of the process, in seconds, and their requests."""

    calls: int
    requests: int
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Round:
    """The service, and right after it the floor with the same requests."""

    service: Block
    floor: Block


@dataclass(frozen=True, slots=True)
class Line:
    """The rounds of one kind of call. A ratio of 1 means that the service adds nothing to the floor."""

    what: str
    at_once: int
    rounds: Sequence[Round]
    stored: int | None = None
    """How many claims are stored, if the line is about that."""

    @property
    def requests(self) -> float:
        """The requests of a call, on average."""
        return sum(each.service.requests for each in self.rounds) / sum(each.service.calls for each in self.rounds)

    def ratios(self, of: Literal["seconds", "cpu"]) -> tuple[float, float, float]:
        """Return the lowest, the median and the highest ratio of the floor to the service."""
        found = [float(getattr(each.floor, of) / getattr(each.service, of)) for each in self.rounds]
        return min(found), median(found), max(found)

    def milliseconds(self, who: Literal["service", "floor"]) -> float:
        """Return the CPU of a call, in the median of the rounds."""
        blocks: list[Block] = [getattr(each, who) for each in self.rounds]
        return 1_000 * median(block.cpu / block.calls for block in blocks)


async def block(doing: Sequence[Doing], at_once: int) -> tuple[Block, Sequence[Recording]]:
    """Await all of *doing*, at most *at_once* at a time. Returns what that took, and the requests."""
    gate = asyncio.Semaphore(at_once)

    async def one(each: Doing) -> Recording:
        async with gate:
            return await recorded(each)

    gc.collect()  # no block pays for the garbage of another,
    gc.freeze()  # nor for a look at what others have left
    began, cpu = time.perf_counter(), time.process_time()
    recordings = await asyncio.gather(*map(one, doing))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Block(len(doing), sum(len(each.sent) for each in recordings), seconds, cpu), recordings


async def one_round(floor: Floor, doing: Sequence[Doing], at_once: int) -> Round:
    """Measure *doing*, and then the floor with the same requests."""
    service, recordings = await block(doing, at_once)
    replays = await floor.prepare(recordings)
    again, _ = await block([each.run for each in replays], at_once)
    return Round(service, again)


def total(rounds: Sequence[Round], calls: int) -> Round:
    """Return the sum of rounds that did *calls* things together."""

    def added(blocks: Sequence[Block]) -> Block:
        requests, seconds, cpu = (sum(getattr(each, of) for each in blocks) for of in ("requests", "seconds", "cpu"))
        return Block(calls, requests, seconds, cpu)

    return Round(added([each.service for each in rounds]), added([each.floor for each in rounds]))


async def measured(
    what: str,
    floor: Floor,
    rounds: int,
    turns: Mapping[int, int],
    call: Callable[[int], Awaitable[Any]],
    numbers: Iterator[int],
    warm: int,
) -> Sequence[Line]:
    """
    Measure *call*, which is given another number each time.

    *turns* has the number of calls of a round, by how many of them run at the same time. The first *warm* calls do not
    count.
    """
    for number in islice(numbers, warm):
        await one_round(floor, [partial(call, number)], 1)
    found: dict[int, list[Round]] = {at_once: [] for at_once in turns}
    for _ in range(rounds):
        for at_once, calls in turns.items():
            doing = [partial(call, number) for number in islice(numbers, calls)]
            found[at_once].append(await one_round(floor, doing, at_once))
    return [Line(what, at_once, each) for at_once, each in found.items()]
