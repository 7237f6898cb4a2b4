"""
Reads the clock. No other code reads it.

There are two times (decision 44). Tokens, rates and the age of rows are judged by the *real* time. Everything else is
judged by the *service's* time. The two differ only in the sandbox, where an operator can move the service's time
forward. It then runs on from there.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta

from cpor_app.adapters.ids import new_id
from cpor_app.adapters.storage.row_store import Cell, Insert, Replace, Row, Rows
from cpor_core.errors import Conflict, Refused, StorageBusy

_TABLE, _PARTITION, _KEY = "settings", "clock", "offset"
_MICROSECOND = timedelta(microseconds=1)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_ATTEMPTS_TO_MOVE = 20
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0


class Clock:
    """The clock in the cloud. The service's time is the real time."""

    def real(self) -> datetime:
        """Return the real instant, in UTC."""
        return datetime.now(UTC)

    async def now(self) -> datetime:
        """Return the service's instant, in UTC. Each invocation calls this once, at its start."""
        return self.real()

    def estimate(self) -> datetime | None:
        """Return the service's instant without a request to storage, or None if this process has not read it yet."""
        return self.real()

    async def pause(self, lost: int) -> None:
        """Wait up to 100 ms after one lost race, at random. Each further loss doubles the limit, up to 2 s."""
        longest = min(_FIRST_PAUSE_SECONDS * 2 ** (lost - 1), _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - it is no secret


class SandboxClock(Clock):
    """The clock of a sandbox, shared by its processes: the real time plus an offset in a table."""

    def __init__(self, rows: Rows, base: Clock | None = None) -> None:
        """Store the offset in *rows*. *base* gives the real time."""
        self._rows = rows
        self._base = base or Clock()
        self._known: timedelta | None = None

    def real(self) -> datetime:
        """Return the real instant. Nobody can move the real time."""
        return self._base.real()

    async def now(self) -> datetime:
        """Return the real instant plus the offset, which one request reads."""
        offset = _offset(await self._read())
        self._known = offset
        return self.real() + offset

    def estimate(self) -> datetime | None:
        """Return the real instant plus the offset that this process read last."""
        return self.real() + self._known if self._known is not None else None

    async def advance(self, by: timedelta) -> datetime:
        """Move the clock by *by* and return its new time. Raises Refused `ClockBackwards` or `ValidationFailed`."""
        if by < timedelta(0):
            raise _backwards("advance")
        act = new_id()
        for _ in range(_ATTEMPTS_TO_MOVE):
            row = await self._read()
            # The SDK can repeat a committed write and then report a conflict. A second move would double the step.
            if _is_by(row, act) or await self._write(row, self._advanced(_offset(row), by), act):
                return await self.now()
        raise _crowded()

    async def set(self, now: datetime) -> datetime:
        """Move the clock to *now* and return its new time. Raises Refused `ClockBackwards` or `ValidationFailed`."""
        act = new_id()
        for _ in range(_ATTEMPTS_TO_MOVE):
            row = await self._read()
            if _is_by(row, act):
                return await self.now()
            real = self.real()
            if now < real + _offset(row):
                raise _backwards("now")
            if now > _LATEST:
                raise _too_late("now")
            if await self._write(row, now - real, act):
                return await self.now()
        raise _crowded()

    def _advanced(self, offset: timedelta, by: timedelta) -> timedelta:
        if by > _LATEST - (self.real() + offset):
            raise _too_late("advance")
        return offset + by

    async def _read(self) -> Row | None:
        return await self._rows.get(_TABLE, _PARTITION, _KEY)

    async def _write(self, row: Row | None, offset: timedelta, act: str) -> bool:
        """Replace *row* by *offset*. Returns False if another caller has moved the clock since *row* was read."""
        values: dict[str, Cell] = {"offset_microseconds": offset // _MICROSECOND, "actId": act}
        change = Insert(_KEY, values) if row is None else Replace(_KEY, values, row.etag)
        try:
            await self._rows.write(_TABLE, _PARTITION, change)
        except Conflict:
            return False
        return True


def _offset(row: Row | None) -> timedelta:
    """Return how far the sandbox is ahead of the real time. It is zero until the clock is first moved."""
    microseconds = 0 if row is None else row.values["offset_microseconds"]
    assert isinstance(microseconds, int)  # noqa: S101 - as `_write` stores it
    return timedelta(microseconds=microseconds)


def _is_by(row: Row | None, act: str) -> bool:
    return row is not None and row.values.get("actId") == act


def _backwards(target: str) -> Refused:
    return Refused(
        "ClockBackwards",
        "The sandbox's clock goes forward only.",
        target=target,
        resolution="Read the clock with GET /sandbox/clock and ask for a later instant.",
    )


def _too_late(target: str) -> Refused:
    return Refused(
        "ValidationFailed",
        f"The sandbox's clock ends at {_LATEST:%Y-%m-%d}.",
        target=target,
        resolution="Ask for an earlier instant, or start a sandbox with a fresh state directory.",
    )


def _crowded() -> StorageBusy:
    return StorageBusy("The sandbox's clock is being moved by too many callers at once.", retry_after_seconds=1)
