"""Timer functions fire by their schedule, one run at a time."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from devhost.host.cannot_start import CannotStart
from devhost.host.functions import Function, TimerTrigger
from devhost.host.invocations import Invoker
from devhost.host.schedule import Schedule
from devhost.host.timer_triggers import HostClock, Timer
from tests.devhost.host_process import NEVER, running_host, until

EVERY_SECOND = "* * * * * *"


def test_a_schedule_that_comes_from_a_setting_is_kept(storage_connection: str) -> None:
    """`%TICK_SCHEDULE%` fires each second, and no run is said to be overdue."""
    with running_host(storage_connection, {"TICK_SCHEDULE": EVERY_SECOND}) as host:
        ticks = until(lambda: (seen := host.seen(function="tick"))[1:] and seen)

    assert ticks[0] == {"function": "tick", "pastDue": False}


def test_runs_never_overlap(storage_connection: str) -> None:
    """A run by hand waits for the scheduled one and the other way round; none is lost."""
    with running_host(storage_connection, {"TICK_SCHEDULE": EVERY_SECOND}) as host:
        for _ in range(4):
            assert host.client.post("/admin/functions/tick", json={"input": ""}).status_code == 202
        until(lambda: len(host.seen(function="tick")) >= 5)
        most = host.client.get("/api/seen").json()["mostAtOnce"]

    assert most == {"tick": 1}


async def test_a_turn_missed_during_a_long_run_is_taken_once_after_it() -> None:
    """However many came round meanwhile, one run follows at once, and then the schedule goes on."""
    clock = _StillClock(datetime(2026, 11, 2, 9, 0, 30, tzinfo=UTC))
    began: list[datetime] = []
    stop = asyncio.Event()

    async def long_first(timer: func.TimerRequest) -> None:
        began.append(clock.now())
        if len(began) == 1:
            clock.shown += timedelta(minutes=3, seconds=10)
        if len(began) == 3:
            stop.set()

    await Timer(_function(long_first), Schedule.parse("0 * * * * *"), Invoker(timedelta(seconds=5)), clock).tick(stop)

    assert [f"{at:%H:%M:%S}" for at in began] == ["09:01:00", "09:04:10", "09:05:00"]


@pytest.mark.parametrize(
    ("schedule", "after", "then"),
    [
        ("0 * * * * *", "2026-11-02T09:00:00", "2026-11-02T09:01:00"),
        ("*/15 * * * * *", "2026-11-02T09:00:59.5", "2026-11-02T09:01:00"),
        ("0 30 9 * * mon-fri", "2026-11-06T09:30:00", "2026-11-09T09:30:00"),
        ("0 0 0 13 * 5", "2026-11-02T00:00:00", "2026-11-13T00:00:00"),
        ("0 0 0 13 * FRI", "2026-11-13T00:00:00", "2027-08-13T00:00:00"),
        ("5,10-12/2 0 0 1 jan *", "2026-01-01T00:00:10", "2026-01-01T00:00:12"),
    ],
)
def test_a_schedule_names_its_next_turn(schedule: str, after: str, then: str) -> None:
    """Seconds first; a day and a weekday must both hold."""
    found = Schedule.parse(schedule).after(datetime.fromisoformat(after).replace(tzinfo=UTC))

    assert found == datetime.fromisoformat(then).replace(tzinfo=UTC)


@pytest.mark.parametrize("schedule", ["0 */20 1,13 * * *", "0 0 9-17/4 1-7 2,3 1", "0 10-59/25 0 29 2 0-5"])
def test_a_schedule_agrees_with_looking_at_each_minute(schedule: str) -> None:
    """An independent reading of the six fields finds the same turns over a hundred days, a leap day among them."""
    begin, minutes = datetime(2028, 1, 1, tzinfo=UTC), 100 * 24 * 60
    end = begin + timedelta(minutes=minutes)
    expected = [at for each in range(minutes) if _fits(schedule, at := begin + timedelta(minutes=each))]

    turns = _turns(Schedule.parse(schedule), begin - timedelta(seconds=1))
    found = list(itertools.takewhile(lambda at: at < end, turns))

    assert found == expected
    assert found


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "* * * * *",
        "00:05:00",
        "@daily",
        "0 0 0 30 2 *",
        "0 0 0 L * *",
        "0 0 0 * * 7",
        "0 0 0 * * mon#1",
        "60 * * * * *",
        "0 H * * * *",
        "* * * * * * 2027",
    ],
)
def test_a_schedule_that_the_real_host_would_not_take_is_refused(schedule: str) -> None:
    """Nor one that never comes round, or that only croniter understands."""
    with pytest.raises(CannotStart, match="schedule"):
        Schedule.parse(schedule)


class _StillClock(HostClock):
    """A clock that stands until somebody waits."""

    def __init__(self, shown: datetime) -> None:
        self.shown = shown

    def now(self) -> datetime:
        return self.shown

    async def wait_until(self, instant: datetime, stop: asyncio.Event) -> None:
        self.shown = max(self.shown, instant)


def _function(call: object) -> Function:
    return Function(
        name="under_test",
        trigger=TimerTrigger(Schedule.parse(NEVER)),
        binding="timerTrigger",
        parameter="timer",
        call=call,  # type: ignore[arg-type]
        wants_context=False,
        disabled=False,
        bindings=(),
    )


def _turns(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    while True:
        after = schedule.after(after)
        yield after


def _fits(schedule: str, at: datetime) -> bool:
    """Read the six fields independently, as far as this file writes them."""
    shown = (at.second, at.minute, at.hour, at.day, at.month, at.isoweekday() % 7)
    return all(
        any(_fits_part(part, value) for part in field.split(","))
        for field, value in zip(schedule.split(), shown, strict=True)
    )


def _fits_part(part: str, value: int) -> bool:
    span, _, step = part.partition("/")
    if span == "*":
        first, last = 0, 59
    else:
        first, last = int(span.partition("-")[0]), int(span.partition("-")[2] or span)
    return first <= value <= last and (value - first) % int(step or 1) == 0
