"""Runs timer functions by their schedules or on request. A function has only one run at a time."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime

from azure.functions.meta import Datum

from devhost.host.functions import Function
from devhost.host.invocations import Invoker
from devhost.host.schedule import Schedule


class HostClock:
    """The clock of this machine. The host does not use the service's clock, because a sandbox can move it."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC)

    async def wait_until(self, instant: datetime, stop: asyncio.Event) -> None:
        """Wait until *instant*, or until *stop* is set."""
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.0, (instant - self.now()).total_seconds()))


class Timer:
    """The timer of one function."""

    def __init__(self, function: Function, schedule: Schedule, invoker: Invoker, clock: HostClock) -> None:
        """Keep the parts. The timer does not fire before `tick` is called."""
        self._function = function
        self._schedule = schedule
        self._invoker = invoker
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def tick(self, stop: asyncio.Event) -> None:
        """
        Fire by the schedule until *stop*.

        If the timer was due during a run, it fires once right after the run.
        """
        due = self._schedule.after(self._clock.now())
        while True:
            await self._clock.wait_until(due, stop)
            if stop.is_set():
                return
            began = max(self._clock.now(), due)
            await self.fire()
            due = self._schedule.after(began)

    async def fire(self) -> None:
        """Run the function once. If it is running, wait for the end of that run first."""
        async with self._one_at_a_time:
            # This host does not record earlier runs, so it reports no run as missed.
            given = {"IsPastDue": False, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}
            await self._invoker.run(self._function, Datum(json.dumps(given), "json"))
