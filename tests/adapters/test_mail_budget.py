"""The mail budget's row: all instances draw from it, and each write requires its ETag."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows, Op
from cpor_app.adapters.storage.tables.mail_budget import PARTITION, ROW, TABLE, MailBudgetRow
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.rules.mail_budget import Drawn, Limits, Urgency
from tests.doubles.clock import FixedClock
from tests.doubles.memory_rows import MemoryRows
from tests.doubles.transport import Plan, lose_answer

START = datetime(2026, 11, 2, 9, 30, 20, tzinfo=UTC)
NEXT_MINUTE = datetime(2026, 11, 2, 9, 31, tzinfo=UTC)
TEN_A_MINUTE = Limits(per_minute=10)


class CountedRows(MemoryRows):
    """Rows that count their requests and can lose every race."""

    def __init__(self, *, contested: bool = False) -> None:
        super().__init__()
        self.writes = 0
        self.contested = contested

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        self.writes += 1
        if self.contested:
            raise Conflict("somebody else was first")
        return await super().write(table, partition, *ops)


@pytest.fixture
def clock() -> FixedClock:
    """The real time, which the test sets."""
    return FixedClock(START)


@pytest.fixture
def rows() -> CountedRows:
    """The table that all instances share."""
    return CountedRows()


async def test_without_limits_nothing_is_read_or_counted(rows: CountedRows, clock: FixedClock) -> None:
    """SMTP has no limit by default and then needs no request."""
    budget = MailBudgetRow(rows, Limits(), clock.real)

    assert await budget.draw(500, Urgency.OTHER) == Drawn(500)
    assert await rows.get(TABLE, PARTITION, ROW) is None


async def test_instances_draw_from_one_budget(rows: CountedRows, clock: FixedClock) -> None:
    """All instances together hand over no more mails than the mail service accepts."""
    instances = [MailBudgetRow(rows, TEN_A_MINUTE, clock.real) for _ in range(8)]

    drawn = await asyncio.gather(*(instance.draw(2, Urgency.NOTICE) for instance in instances))

    assert sum(one.permits for one in drawn) <= 10
    assert {one.next_turn for one in drawn if one.permits < 2} == {NEXT_MINUTE}


async def test_a_mail_draws_one_permit_only(rows: CountedRows, clock: FixedClock) -> None:
    """This holds for a small quota an hour, because unused permits would be lost to all others."""
    budget = MailBudgetRow(rows, Limits(per_minute=30, per_hour=100), clock.real)
    for _ in range(20):
        await budget.draw(1, Urgency.NOTICE)
        clock.advance(timedelta(minutes=1))

    row = await rows.get(TABLE, PARTITION, ROW)
    assert row is not None
    assert (row.values["sent"], row.values["sentInHour"]) == (1, 20)


async def test_mails_of_one_instance_share_a_write(rows: CountedRows, clock: FixedClock) -> None:
    """Sixteen mails at once need one write."""
    budget = MailBudgetRow(rows, Limits(per_minute=30), clock.real)

    await asyncio.gather(*(budget.draw(1, Urgency.NOTICE) for _ in range(16)))

    assert rows.writes == 16


async def test_a_pause_counts_for_every_instance(rows: CountedRows, clock: FixedClock) -> None:
    """The instance that got the pause and all others hand over nothing until it ends."""
    told, other = (MailBudgetRow(rows, TEN_A_MINUTE, clock.real) for _ in range(2))
    until = START + timedelta(minutes=2)

    await told.pause(until)

    assert await told.draw(1, Urgency.NOTICE) == Drawn(0, until)
    assert await other.draw(1, Urgency.NOTICE) == Drawn(0, until)
    clock.set(until)
    assert await told.draw(1, Urgency.NOTICE) == Drawn(1)
    assert await other.draw(1, Urgency.NOTICE) == Drawn(1)


async def test_a_pause_counts_without_limits_too(rows: CountedRows, clock: FixedClock) -> None:
    """Without a count, the instance that got the pause remembers it."""
    budget = MailBudgetRow(rows, Limits(), clock.real)
    until = START + timedelta(minutes=2)

    await budget.pause(until)

    assert await budget.draw(3, Urgency.NOTICE) == Drawn(0, until)


async def test_a_draw_whose_answer_was_lost_counts_once(storage_connection: str, clock: FixedClock) -> None:
    """The SDK repeats the write and meets it. The row has the id of our act."""
    connection = replace(StorageConnection.from_text(storage_connection), retry_pause_seconds=0)
    await provision(connection, [TABLE], [], [])
    plan = Plan()
    rows = AzureRows(connection, transport=plan.transport)
    budget = MailBudgetRow(rows, TEN_A_MINUTE, clock.real)
    for _ in range(2):  # an insert and a replacement
        plan.when(lambda request: request.is_write, lose_answer())
        assert await budget.draw(2, Urgency.OTHER) == Drawn(2)

    row = await rows.get(TABLE, PARTITION, ROW)
    await rows.close()
    assert row is not None
    assert row.values["sent"] == 4


async def test_a_sender_that_loses_every_race_must_retry(clock: FixedClock) -> None:
    """The sender stops, and its mail is sent later."""
    budget = MailBudgetRow(CountedRows(contested=True), TEN_A_MINUTE, clock.real)

    with pytest.raises(StorageBusy):
        await budget.draw(1, Urgency.NOTICE)
