"""Timer functions: fires each by its schedule, one run at a time, whether the schedule or a developer asked for it."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime

from azure.functions.meta import Datum

from devhost.host.functions import Function
from devhost.host.invocations import Invoker
from devhost.host.schedule import Schedule


class HostClock:
    """The time of this machine; the service's own time, which a sandbox can move, is not the host's business."""

    def now(self) -> datetime:
        """Return the instant, in UTC."""
        return datetime.now(UTC)

    async def wait_until(self, instant: datetime, stop: asyncio.Event) -> None:
        """Return at *instant*, or as soon as *stop* is set."""
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.0, (instant - self.now()).total_seconds()))


class Timer:
    """One function's timer."""

    def __init__(self, function: Function, schedule: Schedule, invoker: Invoker, clock: HostClock) -> None:
        """Be ready to fire; nothing fires before `tick`."""
        self._function = function
        self._schedule = schedule
        self._invoker = invoker
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def tick(self, stop: asyncio.Event) -> None:
        """
        Fire by the schedule until *stop*.

        A turn that comes round during a run is taken right after it; of several, one.
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
        """Run the function once, when the runs before it have ended."""
        async with self._one_at_a_time:
            # Nothing is kept of earlier runs, so none can be said to have been missed.
            given = {"IsPastDue": False, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}
            await self._invoker.run(self._function, Datum(json.dumps(given), "json"))
