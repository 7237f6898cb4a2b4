"""Reads what cost and scale are calculated from: counted requests, prices, limits of Azure, settings in infra/."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from devhost.host.schedule import Schedule
from tests.budgets.whole_life import NOTICE_REMINDER_CONFIRMATION, PROMISE_AND_CONFIRMATION
from tools.pages.functions import Indexed, indexed

ROOT = Path(__file__).resolve().parents[1]
SPEED = ROOT / "docs" / "speed.md"
PLANNING = ROOT / "data" / "planning.toml"
MAIN_BICEP = ROOT / "infra" / "main.bicep"
MONTH = timedelta(days=30)
HTTP, QUEUE, TIMER = "httpTrigger", "queueTrigger", "timerTrigger"
_LIFE = re.compile(r"<!-- a whole life, .*?-->\n(?P<table>.*?)<!-- end -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """
    A step of a claim's whole life, as docs/speed.md counts it: executions, and the requests of all of them together.

    `group` is the set of functions that share instances: `http`, or the name of the function.
    """

    group: str
    trigger: str
    times: int
    tables: int
    queues: int
    blobs: int
    is_housekeeping: bool

    @property
    def requests(self) -> int:
        """All requests to storage."""
        return self.tables + self.queues + self.blobs


@dataclass(frozen=True, slots=True)
class Life:
    """The whole life of a claim."""

    steps: Sequence[Step]
    mails: int

    def executions(self, trigger: str) -> int:
        """Return how many functions with that kind of trigger run for the claim."""
        return sum(step.times for step in self.steps if step.trigger == trigger)

    @property
    def tables(self) -> int:
        """Requests to tables."""
        return sum(step.tables for step in self.steps)

    @property
    def queues(self) -> int:
        """Requests to queues."""
        return sum(step.queues for step in self.steps)

    @property
    def messages(self) -> int:
        """Messages that the host takes. Each is put, taken and deleted."""
        return self.executions(QUEUE)

    @property
    def blobs(self) -> int:
        """Requests to blobs."""
        return sum(step.blobs for step in self.steps)

    @property
    def acts(self) -> int:
        """Executions that are no housekeeping. Most of them write an entry into the partner's feed, none writes two."""
        return sum(step.times for step in self.steps if not step.is_housekeeping)

    @property
    def called(self) -> int:
        """Executions that a request or a message starts. A run of the timer serves many claims."""
        return self.executions(HTTP) + self.executions(QUEUE)

    def requests(self, *triggers: str) -> int:
        """Return the requests of the functions with these kinds of trigger."""
        return sum(step.requests for step in self.steps if step.trigger in triggers)

    def groups(self) -> Mapping[str, Sequence[Step]]:
        """Return the steps that requests and messages start, by the instances on which they run."""
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            if step.trigger != TIMER:
                found.setdefault(step.group, []).append(step)
        return found


@dataclass(frozen=True, slots=True)
class Price:
    """A list price: `usd` for `per` units, after `free` units a month."""

    meter: str
    usd: float
    per: int
    unit: str
    region: str
    read: date
    source: str
    free: int = 0

    def of(self, units: float) -> float:
        """Return the price of so many units, without the free ones."""
        return self.usd * units / self.per


@dataclass(frozen=True, slots=True)
class Shipped:
    """What infra/ and host.json set, and how often the timers run in a month."""

    memory_mb: int
    instances: int
    concurrency: int
    messages_at_once: int
    timer_runs: Mapping[str, int]
    queues: int

    @property
    def gigabytes(self) -> float:
        """The memory of an instance. Azure's 2,048 MB are 2 GB on the bill."""
        return self.memory_mb / 1024


@dataclass(frozen=True, slots=True)
class Planning:
    """The figures of data/planning.toml."""

    prices: Mapping[str, Price]
    limits: Mapping[str, float]
    cores: Mapping[int, float]
    measured: Mapping[str, float]
    assumed: Mapping[str, float]

    def price(self, name: str, units: float) -> float:
        """Return what so many units cost."""
        return self.prices[name].of(units)


@cache
def planning() -> Planning:
    """Return the figures of data/planning.toml. Raises KeyError or TypeError if one is missing or misspelt."""
    written = tomllib.loads(PLANNING.read_text("utf-8"))
    limits = dict(written["limits"])
    cores = {int(memory): cores for memory, cores in limits.pop("cores").items()}
    prices = {name: Price(**price) for name, price in written["prices"].items()}
    return Planning(prices, limits, cores, written["measured"], written["assumed"])


@cache
def life() -> Life:
    """Return the whole life that docs/speed.md counts."""
    return Life(read_steps(SPEED.read_text("utf-8")), NOTICE_REMINDER_CONFIRMATION + PROMISE_AND_CONFIRMATION)


def read_steps(text: str) -> Sequence[Step]:
    """Return the steps of the table in docs/speed.md. Raises ValueError if the page has no such table."""
    found = _LIFE.search(text)
    if found is None:
        raise ValueError("docs/speed.md has no table of a whole life")
    steps = []
    for line in found["table"].partition("\n\n|")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[2:3] and cells[2].isdigit():
            steps.append(_step(cells[0], *map(int, cells[2:6]), is_housekeeping=bool(cells[1])))
    if not steps:
        raise ValueError("docs/speed.md counts no step of a life")
    return steps


def _step(what: str, times: int, tables: int, queues: int, blobs: int, *, is_housekeeping: bool) -> Step:
    group, trigger = "timer", TIMER
    if not what.startswith("timer"):
        function = _functions()[what.strip("`")]
        trigger = str(function.trigger["type"])
        group = "http" if trigger == HTTP else function.name
    return Step(group, trigger, times, tables, queues, blobs, is_housekeeping)


@cache
def _functions() -> Mapping[str, Indexed]:
    return {one.name: one for one in indexed()}


@cache
def shipped() -> Shipped:
    """Return the settings with which the service is deployed."""
    queues = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]["queues"]
    schedules = {
        one.name: str(one.trigger["schedule"]).replace("%FINALISE_SCHEDULE%", _default("finaliseSchedule").strip("'"))
        for one in indexed()
        if one.trigger["type"] == TIMER
    }
    return Shipped(
        memory_mb=int(_default("instanceMemoryMB")),
        instances=int(_default("maximumInstanceCount")),
        concurrency=int(_default("httpPerInstanceConcurrency")),
        messages_at_once=queues["batchSize"] + queues["newBatchThreshold"],
        timer_runs={name: _runs(schedule) for name, schedule in schedules.items()},
        queues=sum(one.trigger["type"] == QUEUE for one in indexed()),
    )


def _default(parameter: str) -> str:
    """Return the default of a parameter of infra/main.bicep."""
    found = re.search(rf"^param {parameter} \w+ = (.+)$", MAIN_BICEP.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"infra/main.bicep has no parameter {parameter} with a default")
    return found[1]


def _runs(schedule: str) -> int:
    """Return how often a timer runs in a month, from its runs of one day."""
    at = begins = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1)
    runs = 0
    while (at := Schedule.parse(schedule).after(at)) <= begins + timedelta(days=1):
        runs += 1
    return runs * MONTH.days
