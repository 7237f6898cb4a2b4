"""The promises of the store of webhooks, asked of the real table over storage and over its stand-in in memory."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows, Rows
from cpor_app.adapters.storage.tables.webhooks import TABLE, WebhooksTable
from cpor_core.errors import Conflict
from cpor_core.model.webhook import Delivery, DeliveryState, Range, Replay, Secret, Webhook
from cpor_core.rules.webhook_calls import new_secret
from cpor_core.use_cases.feed.deliveries import MADE_AT_ONCE, delivery_of
from tests.core.builders import ADATUM, FABRIKAM, HOUR, MICROSECOND, MONDAY
from tests.doubles.memory_rows import MemoryRows

MAIN = Webhook(
    name="main",
    born="0a1b2c3d",
    url="https://adatum.example/cpor",
    events=("claim",),
    secrets=(Secret(text=new_secret("5e" * 32)), Secret(text=new_secret("0c" * 32), until=MONDAY)),
    since=MONDAY,
    created_at=MONDAY,
    scheduled=3,
    replay=Replay(id="r", range=Range(since=MONDAY, until=MONDAY + HOUR), after=1, last=2),
)
MAIN_TOO = MAIN.model_copy(update={"name": "main-too"})


def delivery(number: int, at: datetime = MONDAY) -> Delivery:
    """Return a delivery that is to be tried at once."""
    return delivery_of(MAIN, f"event-{number}", f"{number:012d}", at)


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the events of deliveries, in order."""
    return [one.event_id for one in deliveries]


class WebhooksContract(ABC):
    """What a store of webhooks promises; a subclass says which one is asked."""

    @pytest.fixture
    @abstractmethod
    def rows(self) -> Any:
        """Return the rows that it lies on."""

    @pytest.fixture
    def webhooks(self, rows: Rows) -> WebhooksTable:
        return WebhooksTable(rows)

    async def test_a_webhook_comes_back_as_it_was_written(self, webhooks: WebhooksTable) -> None:
        """With its secrets; each organisation's apart, listed by name."""
        kept = await webhooks.write(ADATUM, MAIN_TOO, None)
        await webhooks.write(ADATUM, MAIN, None)

        assert await webhooks.find(ADATUM, "main-too") == kept
        assert [one.value for one in await webhooks.all(ADATUM)] == [MAIN, MAIN_TOO]
        assert await webhooks.find(FABRIKAM, "main") is None
        assert await webhooks.all(FABRIKAM) == []

    async def test_only_what_was_read_is_written_over_or_deleted(self, webhooks: WebhooksTable) -> None:
        """Whoever comes second reads again."""
        first = await webhooks.write(ADATUM, MAIN, None)
        with pytest.raises(Conflict):
            await webhooks.write(ADATUM, MAIN, None)
        second = await webhooks.write(ADATUM, MAIN, first)

        with pytest.raises(Conflict):
            await webhooks.write(ADATUM, MAIN, first)
        with pytest.raises(Conflict):
            await webhooks.delete(ADATUM, first)
        await webhooks.delete(ADATUM, second)
        with pytest.raises(Conflict):
            await webhooks.delete(ADATUM, second)

        assert await webhooks.all(ADATUM) == []

    async def test_deliveries_are_made_with_the_webhook_or_not_at_all(self, webhooks: WebhooksTable) -> None:
        """As many as are ever made at once."""
        kept = await webhooks.write(ADATUM, MAIN, None)
        many = [delivery(number) for number in range(MADE_AT_ONCE)]
        await webhooks.write(ADATUM, MAIN, kept, many)

        with pytest.raises(Conflict):
            await webhooks.write(ADATUM, MAIN, kept, [delivery(99)])

        listed = await webhooks.deliveries(ADATUM, MAIN, after="", limit=1000)
        assert ids(listed) == ids(many)

    async def test_deliveries_are_listed_newest_first_and_page_by_page(self, webhooks: WebhooksTable) -> None:
        """Of one webhook, not of another whose name begins with its, nor of an earlier one of its name."""
        earlier = MAIN.model_copy(update={"born": "00000000"})
        for number in range(3):
            await webhooks.add(ADATUM, MAIN, delivery(number, MONDAY + number * HOUR))
        await webhooks.add(ADATUM, MAIN_TOO, delivery(10))
        await webhooks.add(ADATUM, earlier, delivery(11))

        first = await webhooks.deliveries(ADATUM, MAIN, after="", limit=2)
        rest = await webhooks.deliveries(ADATUM, MAIN, after=first[-1].place, limit=2)

        assert ids(first) == ["event-2", "event-1"]
        assert ids(rest) == ["event-0"]
        assert ids(await webhooks.deliveries(ADATUM, MAIN_TOO, after="", limit=2)) == ["event-10"]

    async def test_the_same_delivery_again_is_one(self, webhooks: WebhooksTable) -> None:
        """Storage may be sent again what it has taken."""
        await webhooks.add(ADATUM, MAIN, delivery(1))
        await webhooks.add(ADATUM, MAIN, delivery(1))

        assert len(await webhooks.waiting(ADATUM, MAIN, MONDAY, limit=9)) == 1

    async def test_what_waits_is_what_is_due(self, webhooks: WebhooksTable) -> None:
        """The longest due first; to the microsecond."""
        for number in (2, 0, 1):
            await webhooks.add(ADATUM, MAIN, delivery(number, MONDAY + number * MICROSECOND))

        due = await webhooks.waiting(ADATUM, MAIN, MONDAY + MICROSECOND, limit=9)

        assert ids([one.value for one in due]) == ["event-0", "event-1"]
        assert len(await webhooks.waiting(ADATUM, MAIN, MONDAY + HOUR, limit=2)) == 2
        assert not await webhooks.is_waiting(ADATUM, MAIN, MONDAY - MICROSECOND)
        assert await webhooks.is_waiting(ADATUM, MAIN, MONDAY)

    async def test_a_try_moves_a_delivery_or_ends_it(self, webhooks: WebhooksTable) -> None:
        """It waits at one instant at a time; a record over an older state is refused."""
        await webhooks.add(ADATUM, MAIN, delivery(1))
        (read,) = await webhooks.waiting(ADATUM, MAIN, MONDAY, limit=1)
        later = read.value.model_copy(update={"next_attempt": MONDAY + HOUR})
        await webhooks.record(ADATUM, MAIN, read, later)
        assert not await webhooks.is_waiting(ADATUM, MAIN, MONDAY + HOUR - MICROSECOND)
        with pytest.raises(Conflict):
            await webhooks.record(ADATUM, MAIN, read, later)

        (moved,) = await webhooks.waiting(ADATUM, MAIN, MONDAY + HOUR, limit=9)
        done = moved.value.model_copy(update={"next_attempt": None, "state": DeliveryState.DELIVERED})
        await webhooks.record(ADATUM, MAIN, moved, done)

        assert not await webhooks.is_waiting(ADATUM, MAIN, MONDAY + 2 * HOUR)
        assert await webhooks.deliveries(ADATUM, MAIN, after="", limit=9) == [done]

    async def test_one_calls_at_a_time(self, webhooks: WebhooksTable) -> None:
        """Until it ends, or its time is over; who was replaced has no say."""
        until = MONDAY + timedelta(minutes=2)
        first = await webhooks.begin_calls(ADATUM, MAIN, MONDAY, until)
        assert first is not None
        assert await webhooks.begin_calls(ADATUM, MAIN, until - MICROSECOND, until + HOUR) is None
        assert await webhooks.begin_calls(ADATUM, MAIN_TOO, MONDAY, until) is not None

        second = await webhooks.begin_calls(ADATUM, MAIN, until, until + HOUR)
        assert second is not None
        await webhooks.end_calls(ADATUM, MAIN, first)
        assert await webhooks.begin_calls(ADATUM, MAIN, until, until + HOUR) is None
        await webhooks.end_calls(ADATUM, MAIN, second)

        assert await webhooks.begin_calls(ADATUM, MAIN, until, until + HOUR) is not None

    async def test_deliveries_made_before_an_instant_are_forgotten(self, webhooks: WebhooksTable, rows: Rows) -> None:
        """Those that wait still, too; later ones and other webhooks' stay. Twice is harmless."""
        for number in range(120):
            await webhooks.add(ADATUM, MAIN, delivery(number, MONDAY - MICROSECOND))
        done = delivery(500, MONDAY - HOUR).model_copy(update={"next_attempt": None})
        await webhooks.add(ADATUM, MAIN, done)
        late, others = delivery(600), delivery(1, MONDAY - HOUR)
        await webhooks.add(ADATUM, MAIN, late)
        await webhooks.add(ADATUM, MAIN_TOO, others)

        older = webhooks.deliveries_before(ADATUM, MAIN.key, MONDAY)
        assert (older.table, older.partition) == (TABLE, ADATUM)
        for _ in range(2):
            await webhooks.delete_deliveries(older)

        assert await webhooks.deliveries(ADATUM, MAIN, after="", limit=1000) == [late]
        assert await webhooks.deliveries(ADATUM, MAIN_TOO, after="", limit=1000) == [others]
        assert len(await rows.page(TABLE, ADATUM, limit=1000)) == 2 * 2


class TestMemory(WebhooksContract):
    """Its stand-in."""

    @pytest.fixture
    def rows(self) -> MemoryRows:
        return MemoryRows()


class TestStorage(WebhooksContract):
    """The table itself, on Azurite."""

    @pytest.fixture
    async def rows(self, storage_connection: str) -> AsyncIterator[AzureRows]:
        connection = StorageConnection.from_text(storage_connection)
        await provision(connection, [TABLE], [], [])
        made = AzureRows(connection)
        yield made
        await made.close()
