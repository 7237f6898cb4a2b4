"""The promises of `Rows`, asked of storage and of its stand-in; and what only storage can do wrong."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import (
    MAX_BYTES,
    MAX_STR_CHARACTERS,
    AzureRows,
    Cell,
    Delete,
    Insert,
    Op,
    Put,
    Replace,
    Require,
    Row,
    Rows,
    in_transactions,
    partitions,
    verify_ops,
)
from cpor_core.errors import Conflict, StorageBusy, Terminal
from tests.doubles.memory_rows import MemoryRows
from tests.doubles.transport import (
    Plan,
    ProcessDied,
    answer,
    answer_429,
    die_after,
    die_before,
    empty_page,
    lose_answer,
)

TABLE = "promises"
KEY_CHARACTERS = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz|~"


async def fill(rows: Rows, partition: str, keys: list[str]) -> None:
    """Put a row at each of *keys*, a hundred in one transaction."""
    for first in range(0, len(keys), 100):
        await rows.write(TABLE, partition, *(Put(key, {"n": first}) for key in keys[first : first + 100]))


async def keys_of(found: AsyncIterator[Row]) -> list[str]:
    """Return the keys of all rows of a query."""
    return [row.key async for row in found]


async def read(rows: Rows, key: str, partition: str = "p") -> Row:
    """Return a row that must be there."""
    row = await rows.get(TABLE, partition, key)
    assert row is not None
    return row


class RowsContract(ABC):
    """What every implementation of `Rows` promises; a subclass says which one is asked."""

    @pytest.fixture
    @abstractmethod
    def rows(self) -> Any:
        """Return the implementation."""

    async def test_a_row_that_is_not_there_is_none(self, rows: Rows) -> None:
        """Absence is an answer, not an error."""
        assert await rows.get(TABLE, "p", "nobody") is None

    async def test_a_required_row_stays_as_it_is(self, rows: Rows) -> None:
        """What stands beside it is written, and what it says is untouched."""
        await rows.write(TABLE, "p", Put("there", {"n": 1}))

        await rows.write(TABLE, "p", Require("there"), Insert("new", {"n": 2}))

        assert (await read(rows, "there")).values == {"n": 1}
        assert (await read(rows, "new")).values == {"n": 2}

    async def test_without_a_required_row_nothing_is_written(self, rows: Rows) -> None:
        """The whole transaction is refused, and the required row is not made by it."""
        with pytest.raises(Conflict):
            await rows.write(TABLE, "p", Require("missing"), Insert("beside", {"n": 2}))

        assert await rows.get(TABLE, "p", "beside") is None
        assert await rows.get(TABLE, "p", "missing") is None

    async def test_a_row_can_be_required_as_it_was_read(self, rows: Rows) -> None:
        """It keeps its values and gets a version of its own, under which it can be written next."""
        await rows.write(TABLE, "p", Put("there", {"n": 1}))
        former = (await read(rows, "there")).etag

        written = await rows.write(TABLE, "p", Require("there", former), Insert("new", {"n": 2}))

        now = await read(rows, "there")
        assert (now.values, now.etag) == ({"n": 1}, written["there"])
        assert now.etag != former

    @pytest.mark.parametrize("key", ["there", "missing"])
    async def test_a_row_that_is_not_as_it_was_read_stops_the_transaction(self, rows: Rows, key: str) -> None:
        """Neither a newer version nor a row that has gone will do."""
        written = await rows.write(TABLE, "p", Put("there", {"n": 1}))
        await rows.write(TABLE, "p", Put("there", {"n": 2}))

        with pytest.raises(Conflict):
            await rows.write(TABLE, "p", Require(key, written["there"]), Insert("beside", {"n": 2}))

        assert await rows.get(TABLE, "p", "beside") is None

    async def test_a_row_is_required_for_the_sake_of_others(self, rows: Rows) -> None:
        """To ask whether a row is there, read it."""
        with pytest.raises(ValueError, match="of `Require` only"):
            await rows.write(TABLE, "p", Require("there"))

    async def test_a_row_comes_back_as_it_was_written(self, rows: Rows) -> None:
        """Every type of value comes back equal and of the same type."""
        values: dict[str, Cell] = {
            "text": "Žluťoučký kůň 日本語 𝄞 'quoted' \"twice\" \\ \n\t end",
            "empty": "",
            "longest": "é" * MAX_STR_CHARACTERS,
            "whole": 7,
            "large": 2**63 - 1,
            "small": -(2**63),
            "yes": True,
            "no": False,
            "fraction": 0.1,
            "round": 3.0,
            "bytes": bytes(range(256)),
            "nothing": b"",
            "most": b"\xff" * MAX_BYTES,
            "instant": datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC),
            "even": datetime(2026, 11, 20, tzinfo=UTC),
        }

        await rows.write(TABLE, "p", Insert("k", values))

        row = await read(rows, "k")
        assert (row.partition, row.key) == ("p", "k")
        assert dict(row.values) == values
        assert {name: type(value) for name, value in row.values.items()} == {
            name: type(value) for name, value in values.items()
        }

    async def test_an_instant_of_another_zone_comes_back_in_utc(self, rows: Rows) -> None:
        """Storage keeps instants, not zones."""
        noon = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))

        await rows.write(TABLE, "p", Put("k", {"at": noon}))

        at = (await read(rows, "k")).values["at"]
        assert at == noon
        assert isinstance(at, datetime)
        assert at.tzinfo is UTC

    @pytest.mark.parametrize("is_transaction", [False, True])
    @pytest.mark.parametrize("first", [Insert, Put])
    async def test_a_write_tells_the_new_versions(
        self, rows: Rows, first: type[Insert] | type[Put], *, is_transaction: bool
    ) -> None:
        """So what was just written can be written over without reading it again; a deleted row has no version."""
        await rows.write(TABLE, "p", Insert("gone", {}))
        more: list[Op] = [Insert("beside", {"n": 1}), Delete("gone")] if is_transaction else []

        made = await rows.write(TABLE, "p", first("k", {"n": 1}), *more)
        again = await rows.write(TABLE, "p", Replace("k", {"n": 2}, made["k"]))
        deleted = await rows.write(TABLE, "p", Delete("k", again["k"]))

        assert set(made) == ({"k", "beside"} if is_transaction else {"k"})
        assert made["k"] != again["k"]
        assert deleted == {}

    async def test_a_row_bears_its_version_and_its_time(self, rows: Rows) -> None:
        """Each write gives a new ETag; the timestamp is close to now, by storage's own clock."""
        await rows.write(TABLE, "p", Insert("k", {"n": 1}))
        first = await read(rows, "k")
        await rows.write(TABLE, "p", Put("k", {"n": 1}))
        second = await read(rows, "k")

        assert first.etag != second.etag
        assert first.timestamp <= second.timestamp
        assert abs(datetime.now(UTC) - second.timestamp) < timedelta(minutes=1)

    async def test_rows_come_in_the_order_of_their_ascii_codes(self, rows: Rows) -> None:
        """Lists, sweep and feed rest on this order, capital letters and signs included."""
        keys = [*KEY_CHARACTERS, *(f"a{character}" for character in KEY_CHARACTERS)]
        shuffled = random.Random(1).sample(keys, len(keys))

        await fill(rows, "p", shuffled)

        assert await keys_of(rows.query(TABLE, "p")) == sorted(keys)

    @pytest.mark.parametrize(
        ("start", "before", "expected"),
        [
            ("", None, ["a", "a|1", "a|2", "b", "c~"]),
            ("a|", None, ["a|1", "a|2", "b", "c~"]),
            ("a|", "a|~", ["a|1", "a|2"]),
            ("a|1", "b", ["a|1", "a|2"]),
            ("", "a", []),
            ("b", "b", []),
            ("c", "b", []),
            ("d", None, []),
        ],
    )
    async def test_a_range_has_its_start_and_not_its_end(
        self, rows: Rows, start: str, before: str | None, expected: list[str]
    ) -> None:
        """A range is half-open, as everything is here."""
        await fill(rows, "p", ["a", "a|1", "a|2", "b", "c~"])

        assert await keys_of(rows.query(TABLE, "p", start=start, before=before)) == expected

    async def test_a_query_stays_in_its_partition(self, rows: Rows) -> None:
        """The neighbour's rows are never seen, even where one name begins with the other."""
        await fill(rows, "p", ["k1"])
        await fill(rows, "p1", ["k2"])

        assert await keys_of(rows.query(TABLE, "p")) == ["k1"]
        assert await keys_of(rows.query(TABLE, "nobody")) == []

    async def test_a_scan_sees_every_partition_in_order(self, rows: Rows) -> None:
        """One partition after another, each in the order of its keys; it can begin behind any of them."""
        for partition in ("q", "p1", "p"):
            await fill(rows, partition, ["b", "a"])

        assert [(row.partition, row.key) async for row in rows.scan(TABLE)] == [
            ("p", "a"),
            ("p", "b"),
            ("p1", "a"),
            ("p1", "b"),
            ("q", "a"),
            ("q", "b"),
        ]
        assert [row.partition async for row in rows.scan(TABLE, after="p")] == ["p1", "p1", "q", "q"]
        assert await keys_of(rows.scan(TABLE, after="q")) == []
        assert [row.partition async for row in rows.scan(TABLE, after="p", limit=1)] == ["p1"]
        assert [name async for name in partitions(rows, TABLE)] == ["p", "p1", "q"]

    async def test_a_page_has_the_first_rows(self, rows: Rows) -> None:
        """A page is full where there are rows enough, and short at the end."""
        await fill(rows, "p", [f"{n:03}" for n in range(25)])

        assert [row.key for row in await rows.page(TABLE, "p", limit=10)] == [f"{n:03}" for n in range(10)]
        assert [row.key for row in await rows.page(TABLE, "p", start="020", limit=10)] == [
            f"{n:03}" for n in range(20, 25)
        ]
        assert [row.key for row in await rows.page(TABLE, "p", before="002", limit=10)] == ["000", "001"]

    async def test_more_rows_than_one_answer_holds_all_come(self, rows: Rows) -> None:
        """Storage gives at most a thousand rows an answer; the rest is asked for."""
        keys = [f"{n:05}" for n in range(2_050)]
        await fill(rows, "p", keys)

        assert await keys_of(rows.query(TABLE, "p")) == keys
        assert len(await rows.page(TABLE, "p", limit=1_500)) == 1_500

    async def test_a_second_insert_is_a_conflict(self, rows: Rows) -> None:
        """The first writer's row stands."""
        await rows.write(TABLE, "p", Insert("k", {"by": "first"}))

        with pytest.raises(Conflict):
            await rows.write(TABLE, "p", Insert("k", {"by": "second"}))

        assert (await read(rows, "k")).values == {"by": "first"}

    async def test_a_replacement_puts_the_whole_row(self, rows: Rows) -> None:
        """Values that the new row does not name are gone."""
        await rows.write(TABLE, "p", Insert("k", {"old": 1, "both": 1}))

        await rows.write(TABLE, "p", Replace("k", {"new": 2, "both": 2}, (await read(rows, "k")).etag))

        assert (await read(rows, "k")).values == {"new": 2, "both": 2}

    async def test_a_put_makes_or_replaces(self, rows: Rows) -> None:
        """It asks for no version and leaves no old values."""
        await rows.write(TABLE, "p", Put("k", {"old": 1}))
        await rows.write(TABLE, "p", Put("k", {"new": 2}))

        assert (await read(rows, "k")).values == {"new": 2}

    @pytest.mark.parametrize("is_transaction", [False, True])
    async def test_a_stale_version_is_a_conflict(self, rows: Rows, *, is_transaction: bool) -> None:
        """Whoever read an older version neither replaces nor deletes the row."""
        beside = [Put("beside", {})] if is_transaction else []
        await rows.write(TABLE, "p", Insert("k", {"n": 1}))
        stale = (await read(rows, "k")).etag
        await rows.write(TABLE, "p", Put("k", {"n": 2}))

        for late in (Replace("k", {"n": 3}, stale), Delete("k", stale)):
            with pytest.raises(Conflict):
                await rows.write(TABLE, "p", late, *beside)

        assert (await read(rows, "k")).values == {"n": 2}
        assert await rows.get(TABLE, "p", "beside") is None

    @pytest.mark.parametrize("is_transaction", [False, True])
    async def test_a_version_of_a_row_that_has_gone_is_a_conflict(self, rows: Rows, *, is_transaction: bool) -> None:
        """A deleted row is a changed row."""
        beside = [Put("beside", {})] if is_transaction else []
        await rows.write(TABLE, "p", Insert("k", {"n": 1}))
        gone = (await read(rows, "k")).etag
        await rows.write(TABLE, "p", Delete("k", gone))

        for late in (Replace("k", {"n": 3}, gone), Delete("k", gone)):
            with pytest.raises(Conflict):
                await rows.write(TABLE, "p", late, *beside)

        assert await rows.get(TABLE, "p", "k") is None
        assert await rows.get(TABLE, "p", "beside") is None

    async def test_a_delete_without_a_version_is_done_either_way(self, rows: Rows) -> None:
        """What is to go may have gone already, alone and in a transaction, whose other rows are written."""
        await fill(rows, "p", ["here", "too"])

        await rows.write(TABLE, "p", Delete("here"))
        await rows.write(TABLE, "p", Delete("here"))
        await rows.write(TABLE, "p", Put("first", {}), Delete("here"), Delete("too"), Delete("never"), Put("last", {}))
        await rows.write(TABLE, "p", Delete("here"), Delete("never"))

        assert await keys_of(rows.query(TABLE, "p")) == ["first", "last"]

    async def test_a_transaction_does_all_kinds_at_once(self, rows: Rows) -> None:
        """Insert, put, replace and delete stand together."""
        await fill(rows, "p", ["changes", "goes", "stays"])

        await rows.write(
            TABLE,
            "p",
            Insert("comes", {"n": 2**40}),
            Replace("changes", {"at": datetime(2026, 1, 1, tzinfo=UTC)}, (await read(rows, "changes")).etag),
            Delete("goes", (await read(rows, "goes")).etag),
            Put("put", {"b": b"\x00"}),
        )

        assert await keys_of(rows.query(TABLE, "p")) == ["changes", "comes", "put", "stays"]
        assert (await read(rows, "comes")).values == {"n": 2**40}
        assert (await read(rows, "changes")).values == {"at": datetime(2026, 1, 1, tzinfo=UTC)}
        assert (await read(rows, "put")).values == {"b": b"\x00"}

    async def test_a_transaction_that_fails_does_nothing(self, rows: Rows) -> None:
        """One conflict, and no row is written, neither before nor after it."""
        await fill(rows, "p", ["there"])
        before = await read(rows, "there")

        with pytest.raises(Conflict):
            await rows.write(
                TABLE,
                "p",
                Put("a", {}),
                Replace("there", {"n": 9}, before.etag),
                Insert("there2", {}),
                Replace("z", {}, before.etag),
            )

        assert await keys_of(rows.query(TABLE, "p")) == ["there"]
        assert await read(rows, "there") == before

    async def test_a_hundred_operations_are_one_transaction(self, rows: Rows) -> None:
        """The most that storage takes is taken."""
        await rows.write(TABLE, "p", *(Insert(f"{n:03}", {"n": n}) for n in range(100)))

        assert len(await keys_of(rows.query(TABLE, "p"))) == 100

    @pytest.mark.parametrize(
        "ops",
        [
            [],
            [Put(f"{n}", {}) for n in range(101)],
            [Put("same", {}), Delete("same")],
            [Put("", {})],
            [Put("no space", {})],
            [Put("no/slash", {})],
            [Put("k" * 513, {})],
            [Put("žádný", {})],
            [Replace("k", {}, "")],
            [Put("k", {"PartitionKey": "p"})],
            [Put("k", {"no-dash": 1})],
            [Put("k", {f"n{n}": n for n in range(253)})],
            [Put("k", {"s": "é" * (MAX_STR_CHARACTERS + 1)})],
            [Put("k", {"s": "𝄞" * (MAX_STR_CHARACTERS // 2 + 1)})],
            [Put("k", {"s": "\ud800"})],
            [Put("k", {"b": b"-" * (MAX_BYTES + 1)})],
            [Put("k", {"n": 2**63})],
            [Put("k", {"f": float("nan")})],
            [Put("k", {"t": datetime(2026, 1, 1)})],  # noqa: DTZ001
            [Put("k", {"t": datetime(1600, 1, 1, tzinfo=UTC)})],
            [Put("k", {f"s{n}": "x" * 32_000 for n in range(17)})],
            [Put(f"{n}", {f"b{m}": b"x" * 60_000 for m in range(4)}) for n in range(14)],
        ],
    )
    async def test_what_storage_could_never_take_is_refused(self, rows: Rows, ops: list[Op]) -> None:
        """It is a fault of the program, seen in tests, not in the cloud."""
        with pytest.raises(ValueError):
            await rows.write(TABLE, "p", *ops)

    async def test_a_key_that_storage_could_not_hold_is_refused_in_reading(self, rows: Rows) -> None:
        """A caller's text never becomes a part of a filter."""
        for key in ("", "a'b", "a/b", "a b"):
            with pytest.raises(ValueError):
                await rows.get(TABLE, "p", key)
            with pytest.raises(ValueError):
                await rows.page(TABLE, key, limit=1)
        with pytest.raises(ValueError):
            await rows.page(TABLE, "p", start="' or '", limit=1)
        with pytest.raises(ValueError):
            await rows.page(TABLE, "p", limit=0)

    async def test_of_eight_writers_under_one_version_one_wins(self, rows: Rows) -> None:
        """Seven of them are told so, and the row is the winner's."""
        await rows.write(TABLE, "p", Insert("k", {"by": "nobody"}))
        etag = (await read(rows, "k")).etag

        async def claim(name: str) -> str | None:
            try:
                await rows.write(TABLE, "p", Replace("k", {"by": name}, etag), Insert(f"history-{name}", {}))
            except Conflict:
                return None
            return name

        winners = [name for name in await asyncio.gather(*(claim(f"w{n}") for n in range(8))) if name]

        assert len(winners) == 1
        assert (await read(rows, "k")).values == {"by": winners[0]}
        assert await keys_of(rows.query(TABLE, "p", start="history", before="history~")) == [f"history-{winners[0]}"]

    async def test_of_eight_first_inserts_one_wins(self, rows: Rows) -> None:
        """A slot is used first by one."""
        results = await asyncio.gather(
            *(rows.write(TABLE, "p", Insert("slot", {"by": n})) for n in range(8)), return_exceptions=True
        )

        assert sum(isinstance(result, dict) for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 7


class TestMemoryRows(RowsContract):
    """The stand-in keeps every promise."""

    @pytest.fixture
    def rows(self) -> MemoryRows:
        """Return empty memory."""
        return MemoryRows()


class TestAzureRows(RowsContract):
    """Storage keeps every promise, through the SDK and over HTTP."""

    @pytest.fixture
    async def connection(self, storage_connection: str) -> StorageConnection:
        """Return a connection to an account with one empty table."""
        connection = replace(StorageConnection.from_text(storage_connection), retry_pause_seconds=0)
        await provision(connection, [TABLE], [], [])
        return connection

    @pytest.fixture
    def plan(self) -> Plan:
        """Return the plan that the transport obeys; without faults it only counts."""
        return Plan()

    @pytest.fixture
    async def rows(self, connection: StorageConnection, plan: Plan) -> AsyncIterator[AzureRows]:
        """Return the real thing."""
        rows = AzureRows(connection, transport=plan.transport)
        yield rows
        await rows.close()

    async def test_each_call_is_one_request(self, rows: AzureRows, plan: Plan) -> None:
        """Budgets are counted in requests, so nothing here asks twice."""
        await rows.write(TABLE, "p", Insert("k", {}))
        etag = (await read(rows, "k")).etag
        await rows.write(TABLE, "p", Replace("k", {}, etag))
        await rows.write(TABLE, "p", Put("k", {}))
        await rows.write(TABLE, "p", Delete("k", (await read(rows, "k")).etag))
        await rows.write(TABLE, "p", *(Put(f"{n}", {}) for n in range(9)))
        await rows.page(TABLE, "p", limit=9)
        await rows.page(TABLE, "p", limit=5)
        await keys_of(rows.query(TABLE, "p"))

        assert [(request.service, request.method) for request in plan.requests] == [
            ("tables", method) for method in ["POST", "GET", "PUT", "PUT", "GET", "POST", "POST", "GET", "GET", "GET"]
        ]
        assert plan.requests[0].path == f"/{TABLE}"

    async def test_a_table_that_was_never_made_is_terminal(self, rows: AzureRows) -> None:
        """It is no missing row and no conflict: somebody forgot to make it."""
        with pytest.raises(Terminal):
            await rows.get("nowhere", "p", "k")
        with pytest.raises(Terminal):
            await rows.page("nowhere", "p", limit=1)
        for ops in ([Insert("k", {})], [Put("k", {}), Put("l", {})], [Delete("k", "*"), Put("l", {})]):
            with pytest.raises(Terminal):
                await rows.write("nowhere", "p", *ops)

    @pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice from 1 MiB on
    async def test_the_largest_transaction_that_we_take_is_taken(self, rows: AzureRows) -> None:
        """Our own estimate of four mebibytes is never below the truth."""
        many: list[Op] = [
            Put(f"{n:02}{'|' * 300}", {f"a_rather_long_name_{m}": "é" for m in range(250)}) for n in range(100)
        ]
        while True:
            try:
                verify_ops("p|" * 100, tuple(many))
                break
            except ValueError:
                many.pop()
        assert len(many) > 20

        await rows.write(TABLE, "p|" * 100, *many)

        large: list[Op] = [Put(f"{n:02}", {f"s{m}": "x" * 32_000 for m in range(16)}) for n in range(8)]
        await rows.write(TABLE, "p", *large, Put("last", {"b": b"x" * 60_000}))

    async def test_an_empty_page_is_not_the_end(self, rows: AzureRows, plan: Plan) -> None:
        """The cloud may answer with a continuation token and no rows, where a partition moves; they come after it."""
        await fill(rows, "p", ["a", "b", "c"])
        for _ in range(4):
            plan.when(lambda request: request.method == "GET", empty_page())

        assert await keys_of(rows.query(TABLE, "p", start="b")) == ["b", "c"]
        assert plan.count() == 1 + 5

        plan.when(lambda request: request.method == "GET", empty_page())
        assert [row.key for row in await rows.page(TABLE, "p", limit=2)] == ["a", "b"]

        plan.when(lambda request: request.method == "GET", empty_page())
        assert await keys_of(rows.scan(TABLE)) == ["a", "b", "c"]

    @pytest.mark.parametrize("status", [500, 503])
    async def test_an_insert_whose_answer_was_lost_meets_itself(self, rows: AzureRows, plan: Plan, status: int) -> None:
        """The SDK sends again what was done, and the second try is a conflict: callers know their row by `actId`."""
        plan.at(1, answer(status))

        with pytest.raises(Conflict):
            await rows.write(TABLE, "p", Insert("k", {"actId": "mine"}))

        assert plan.count() == 2
        assert (await read(rows, "k")).values == {"actId": "mine"}

    @pytest.mark.parametrize("trouble", [answer(503), lose_answer()], ids=["503", "silence"])
    async def test_a_transaction_whose_answer_was_lost_meets_itself(
        self, rows: AzureRows, plan: Plan, trouble: Any
    ) -> None:
        """A 503 around a transaction and a broken connection are the same uncertainty."""
        await rows.write(TABLE, "p", Insert("k", {"actId": "before"}))
        etag = (await read(rows, "k")).etag
        plan.when(lambda request: request.is_transaction, trouble)

        with pytest.raises(Conflict):
            await rows.write(TABLE, "p", Replace("k", {"actId": "mine"}, etag), Insert("history", {}))

        assert (await read(rows, "k")).values == {"actId": "mine"}

    async def test_a_put_whose_answer_was_lost_is_simply_done(self, rows: AzureRows, plan: Plan) -> None:
        """Twice the same row is the same row."""
        plan.at(1, lose_answer())

        await rows.write(TABLE, "p", Put("k", {"n": 1}))

        assert plan.count() == 2

    @pytest.mark.parametrize(
        "trouble", [answer(503, every_try=True), lose_answer(every_try=True)], ids=["503", "silence"]
    )
    async def test_when_no_answer_ever_comes_storage_is_busy_though_it_was_done(
        self, rows: AzureRows, plan: Plan, trouble: Any
    ) -> None:
        """Four tries, then the caller is told that storage is busy, and nothing about the write."""
        plan.at(1, trouble)

        with pytest.raises(StorageBusy):
            await rows.write(TABLE, "p", Insert("k", {"n": 1}))

        assert plan.count() == 4
        assert await rows.get(TABLE, "p", "k") is not None

    async def test_a_throttled_call_is_busy_and_says_how_long(self, rows: AzureRows, plan: Plan) -> None:
        """A long Retry-After is handed on, not slept through."""
        calls: list[Any] = [
            lambda: rows.get(TABLE, "p", "k"),
            lambda: rows.page(TABLE, "p", limit=1),
            lambda: rows.write(TABLE, "p", Put("k", {})),
            lambda: rows.write(TABLE, "p", Insert("k", {})),
            lambda: rows.write(TABLE, "p", Delete("k", "*")),
            lambda: rows.write(TABLE, "p", Put("k", {}), Put("l", {})),
        ]
        for call in calls:
            plan.clear()
            plan.at(1, answer_429(retry_after=30))

            with pytest.raises(StorageBusy) as busy:
                await call()

            assert busy.value.retry_after_seconds == 30
            assert plan.count() == 1

    @pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504])
    async def test_a_temporary_fault_is_a_busy_store(self, rows: AzureRows, plan: Plan, status: int) -> None:
        """Roles that are still being assigned (403), throttling and servers that fall over are no conflict."""
        for ops in ([], [Put("k", {})], [Insert("k", {})], [Put("k", {}), Put("l", {})]):
            plan.clear()
            plan.at(1, answer(status, done=False, every_try=True))

            with pytest.raises(StorageBusy):
                await (rows.write(TABLE, "p", *ops) if ops else rows.get(TABLE, "p", "k"))

            plan.clear()
            assert await rows.page(TABLE, "p", limit=1) == []

    async def test_storage_out_of_reach_is_busy(self, storage_connection: str) -> None:
        """A port where nobody listens is a fault that may pass."""
        nobody = ";".join(
            part if "Endpoint=" not in part else part.partition("=")[0] + "=http://127.0.0.1:9/t0000"
            for part in storage_connection.split(";")
        )
        rows = AzureRows(replace(StorageConnection.from_text(nobody), retry_pause_seconds=0))

        with pytest.raises(StorageBusy):
            await rows.get(TABLE, "p", "k")

        await rows.close()

    async def test_a_process_dies_before_or_after_a_request(self, rows: AzureRows, plan: Plan) -> None:
        """What the fault tests stand on: nothing was done before, everything after, and the dead send nothing."""
        plan.at(1, die_before())
        with pytest.raises(ProcessDied):
            await rows.write(TABLE, "p", Insert("before", {}))
        with pytest.raises(ProcessDied):
            await rows.write(TABLE, "p", Insert("dead", {}))
        plan.clear()
        plan.at(1, die_after())
        with pytest.raises(ProcessDied):
            await rows.write(TABLE, "p", Insert("after", {}), Insert("after2", {}))
        plan.revive()

        assert await keys_of(rows.query(TABLE, "p")) == ["after", "after2"]

    async def test_closed_rows_open_again(self, rows: AzureRows) -> None:
        """A warm process may close at the end of one invocation and go on in the next."""
        await rows.write(TABLE, "p", Put("k", {}))
        await rows.close()

        assert await rows.get(TABLE, "p", "k") is not None


def test_rows_are_cut_into_what_storage_takes_at_once() -> None:
    """In their order, as many as may be: by their number, and by their bytes."""
    small = [Put(f"{number:03}", {}) for number in range(201)]
    large = [Put(f"{number:03}", {"bytes": b"x" * MAX_BYTES}) for number in range(100)]

    by_number, by_bytes = list(in_transactions("p", small)), list(in_transactions("p", large))

    assert [len(group) for group in by_number] == [100, 100, 1]
    assert [op for group in by_bytes for op in group] == large
    assert len(by_bytes) == 3
    for group in (*by_number, *by_bytes):
        verify_ops("p", tuple(group))
