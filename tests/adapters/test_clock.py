"""The two times of the service: the real time, and the time that the sandbox can move."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from cpor_app.adapters.clock import Clock, SandboxClock
from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows, Op, Row
from cpor_core.errors import Conflict, Refused, StorageBusy
from tests.doubles.clock import FixedClock
from tests.doubles.memory_rows import MemoryRows

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def base() -> FixedClock:
    """The real time, which the test sets."""
    return FixedClock(START)


@pytest.fixture
def rows() -> MemoryRows:
    """The tables that all processes of a sandbox share."""
    return MemoryRows()


class UnsureRows:
    """Rows whose first write is done and then answered with a conflict."""

    def __init__(self, rows: MemoryRows) -> None:
        self._rows = rows
        self.writes = 0

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        return await self._rows.get(table, partition, key)

    def query(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Row]:
        return self._rows.query(table, partition, start=start, before=before, limit=limit)

    async def page(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int
    ) -> list[Row]:
        return await self._rows.page(table, partition, start=start, before=before, limit=limit)

    def scan(self, table: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[Row]:
        return self._rows.scan(table, after=after, limit=limit)

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        self.writes += 1
        await self._rows.write(table, partition, *ops)
        raise Conflict("the SDK sent it again")


class ContestedRows(UnsureRows):
    """Rows that another process always changes first."""

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        self.writes += 1
        raise Conflict("somebody else was first")


async def test_in_the_cloud_the_services_time_is_the_real_one() -> None:
    """Both are the present instant in UTC."""
    before = datetime.now(UTC)

    now = await Clock().now()

    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC
    assert Clock().real().tzinfo is UTC


async def test_the_sandbox_clock_shows_the_real_time_until_it_is_moved(base: FixedClock, rows: MemoryRows) -> None:
    """A new sandbox is not ahead."""
    assert await SandboxClock(rows, base).now() == START


async def test_an_advanced_clock_goes_on(base: FixedClock, rows: MemoryRows) -> None:
    """The offset stays while real time passes. Steps add up, and the real time is not moved."""
    clock = SandboxClock(rows, base)

    assert await clock.advance(DAY) == START + DAY
    base.advance(timedelta(minutes=5))
    assert await clock.now() == START + DAY + timedelta(minutes=5)
    assert await clock.advance(timedelta(microseconds=1)) == START + DAY + timedelta(minutes=5, microseconds=1)
    assert clock.real() == START + timedelta(minutes=5)


async def test_the_clock_is_set_to_an_instant(base: FixedClock, rows: MemoryRows) -> None:
    """The service's time then equals that instant, to the microsecond."""
    clock = SandboxClock(rows, base)
    later = datetime(2027, 3, 28, 1, 59, 59, 999_999, tzinfo=UTC)

    assert await clock.set(later) == later
    assert await clock.now() == later


async def test_all_processes_see_the_same_clock(base: FixedClock, rows: MemoryRows) -> None:
    """The offset is stored in a table."""
    await SandboxClock(rows, base).advance(DAY)

    assert await SandboxClock(rows, base).now() == START + DAY


async def test_the_clock_goes_forward_only(base: FixedClock, rows: MemoryRows) -> None:
    """A step back is `ClockBackwards` and changes nothing. A step of zero is allowed."""
    clock = SandboxClock(rows, base)
    await clock.advance(DAY)

    for backwards in (clock.advance(-timedelta(microseconds=1)), clock.set(START + DAY - timedelta(microseconds=1))):
        with pytest.raises(Refused) as caught:
            await backwards
        assert caught.value.code == "ClockBackwards"

    assert await clock.advance(timedelta(0)) == START + DAY
    assert await clock.set(START + DAY) == START + DAY


async def test_the_clock_has_an_end(base: FixedClock, rows: MemoryRows) -> None:
    """A step beyond the last possible date is refused and is no fault of ours."""
    clock = SandboxClock(rows, base)

    for beyond in (clock.advance(timedelta.max), clock.set(datetime.max.replace(tzinfo=UTC))):
        with pytest.raises(Refused) as caught:
            await beyond
        assert caught.value.code == "ValidationFailed"

    assert await clock.now() == START


async def test_simultaneous_steps_all_count(base: FixedClock, rows: MemoryRows) -> None:
    """A lost race is tried again with the newest row."""
    await asyncio.gather(*(SandboxClock(rows, base).advance(DAY) for _ in range(10)))

    assert await SandboxClock(rows, base).now() == START + 10 * DAY


async def test_a_step_whose_answer_was_lost_counts_once(base: FixedClock, rows: MemoryRows) -> None:
    """After a conflict the row shows whether the write was ours."""
    unsure = UnsureRows(rows)
    clock = SandboxClock(unsure, base)

    assert await clock.advance(DAY) == START + DAY
    assert await clock.set(START + 3 * DAY) == START + 3 * DAY
    assert unsure.writes == 2


async def test_a_clock_that_loses_every_race_gives_up(base: FixedClock, rows: MemoryRows) -> None:
    """The loop ends, and the caller can retry."""
    clock = SandboxClock(ContestedRows(rows), base)

    for move in (clock.advance(DAY), clock.set(START + DAY)):
        with pytest.raises(StorageBusy):
            await move


async def test_the_offset_is_kept_in_real_storage(base: FixedClock, storage_connection: str) -> None:
    """Storage keeps decades in microseconds and decides a race."""
    connection = StorageConnection.from_text(storage_connection)
    await provision(connection, ["settings"], [], [])
    rows = AzureRows(connection)
    try:
        await asyncio.gather(*(SandboxClock(rows, base).advance(7000 * DAY) for _ in range(3)))

        assert await SandboxClock(rows, base).now() == START + 21_000 * DAY
    finally:
        await rows.close()


async def test_a_clock_that_cannot_be_read_is_estimated_from_the_last_read(base: FixedClock, rows: MemoryRows) -> None:
    """The arrival of a no needs it while storage is down. A process that never read the clock has no estimate."""
    await SandboxClock(rows, base).advance(DAY)
    clock = SandboxClock(rows, base)
    assert clock.estimate() is None
    await clock.now()
    base.advance(timedelta(minutes=5))

    assert clock.estimate() == START + DAY + timedelta(minutes=5)
