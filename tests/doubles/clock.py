"""A clock that stands still until the test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

from cpor_app.adapters.clock import Clock


class FixedClock(Clock):
    """
    A clock that a test sets.

    `advance` and `set` move both times, for tokens and the age of rows too. `shift` moves only the service's time, as
    the sandbox's clock does.
    """

    def __init__(self, now: datetime = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)) -> None:
        """Stand at *now*, by default a Monday morning."""
        self._real = now
        self._offset = timedelta(0)
        self.pauses: list[int] = []
        """After how many lost races somebody waited, in order."""

    def real(self) -> datetime:
        """Return the real instant."""
        return self._real

    async def now(self) -> datetime:
        """Return the service's instant."""
        return self._real + self._offset

    def estimate(self) -> datetime | None:
        """Return the service's instant."""
        return self._real + self._offset

    async def pause(self, lost: int) -> None:
        """Let other tasks run, and count the pause."""
        self.pauses.append(lost)
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        """Return the seconds that have passed, in place of `time.monotonic`."""
        return self._real.timestamp()

    def advance(self, by: timedelta) -> None:
        """Move both times by *by*."""
        self._real += by

    def set(self, now: datetime) -> None:
        """Move both times until the service's clock shows *now*."""
        self._real = now - self._offset

    def shift(self, by: timedelta) -> None:
        """Move the service's time by *by*, and not the real time."""
        self._offset += by
