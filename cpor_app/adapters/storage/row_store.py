"""
Reads and writes rows of Table Storage.

Each limit of the cloud is checked before a request is sent, because the local emulator checks only some limits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, assert_never

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, TableTransactionError, UpdateMode

from cpor_app.adapters.storage.connection import as_fault, close
from cpor_core.errors import Conflict

if TYPE_CHECKING:
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient, TableServiceClient

    from cpor_app.adapters.storage.connection import StorageConnection, Transport

Cell: TypeAlias = str | int | bool | float | bytes | datetime

MAX_OPS = 100
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
MAX_ROW_BYTES = 1024 * 1024
MAX_CELLS = 252
MAX_STR_CHARACTERS = 32_767
MAX_BYTES = 65_536
MAX_KEY_CHARACTERS = 512
PAGE_ROWS = 1_000
FIRST_YEAR = 1601

KEY = re.compile(rf"[0-9A-Za-z._|~-]{{1,{MAX_KEY_CHARACTERS}}}")
CELL_NAME = re.compile(r"[A-Za-z_][0-9A-Za-z_]{0,254}")
OWN_CELL_NAMES = frozenset({"PartitionKey", "RowKey", "Timestamp"})

# The bytes of an operation in a transaction without its cells: headers, boundary and address, which contain the keys.
OP_BYTES = 1_024
COPIES_OF_KEYS = 4

# By default the SDK repeats a POST only after a 500, 503 or 504, and not after a broken connection. We let it repeat
# both, because callers recognise their own writes.
_AGAIN: dict[str, Any] = {"retry_on_methods": frozenset({"HEAD", "GET", "PUT", "POST", "DELETE"})}


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read. `etag` is its version. `timestamp` is the time of its last write by storage's clock."""

    partition: str
    key: str
    values: Mapping[str, Cell]
    etag: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Insert:
    """Write a new row. A row with that key must not exist."""

    key: str
    values: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Put:
    """Write a row, whether it exists or not."""

    key: str
    values: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace a whole row, if it still has the ETag that was read."""

    key: str
    values: Mapping[str, Cell]
    etag: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a row if it still has that ETag. Without `etag`: delete any version, and accept that there is no row."""

    key: str
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Require:
    """
    Require that a row exists and still has that ETag. Without `etag`: require that it exists.

    The row keeps its values and gets a new ETag. A transaction needs another operation too.
    """

    key: str
    etag: str | None = None


Op: TypeAlias = Insert | Put | Replace | Delete | Require


class Rows(Protocol):
    """
    The rows of all tables.

    Each method raises `StorageBusy` when storage throttles, is slow or cannot be reached, and `Terminal` when no retry
    can help (the table does not exist). Keys are made of `[0-9A-Za-z._|~-]` and sorted by their ASCII codes.
    """

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None if it does not exist."""
        ...

    def query(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield at most *limit* rows with start <= key < before, in the order of their keys."""
        ...

    async def page(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int
    ) -> list[Row]:
        """Return the first *limit* rows with start <= key < before, usually with one request."""
        ...

    def scan(self, table: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[Row]:
        """
        Yield at most *limit* rows of the partitions after *after*, in the order of partitions and keys.

        Each page takes one request. A scan is for rare or background work, because no user should wait for it.
        """
        ...

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        """
        Do all of *ops*, or none. One operation is a plain request. 2 to 100 are one entity-group transaction.

        Returns the new ETag of each written row, by key. With it a caller can write the row again without a read.

        Raises `Conflict` when a row to insert exists, when a row with an ETag was changed or deleted, or when a
        required row is missing. Raises ValueError for values that storage can never accept.

        The SDK repeats a write when its answer was lost. So our own first try can cause a `Conflict`, and after
        `StorageBusy` the rows can be written. Callers then read the newest row and compare its `actId`.
        """
        ...


class AzureRows:
    """Implements `Rows` on a storage account or Azurite, with one client for all tables."""

    def __init__(self, connection: StorageConnection, *, transport: Transport | None = None) -> None:
        """Send no request yet. The client belongs to the event loop in which it is first used."""
        self._connection = connection
        self._transport = transport
        self._service: TableServiceClient | None = None
        self._tables: dict[str, TableClient] = {}

    async def close(self) -> None:
        """Close the connections. The next call opens new connections."""
        service, self._service, self._tables = self._service, None, {}
        if service is not None:
            await close(service)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        verify_keys(partition, key)
        try:
            return _row(await self._table(table).get_entity(partition, key))
        except ResourceNotFoundError as error:
            if _code(error) == "TableNotFound":
                raise as_fault(error) from error
            return None
        except AzureError as error:
            raise as_fault(error) from error

    async def query(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Row]:
        verify_range(partition, start, before, limit)
        conditions = ["PartitionKey eq @partition"]
        parameters = {"partition": partition}
        if start:
            conditions.append("RowKey ge @start")
            parameters["start"] = start
        if before is not None:
            conditions.append("RowKey lt @before")
            parameters["before"] = before
        async for row in self._found(table, " and ".join(conditions), parameters, limit):
            yield row

    async def _found(
        self, table: str, conditions: str, parameters: Mapping[str, str], limit: int | None = None
    ) -> AsyncIterator[Row]:
        pages = self._table(table).query_entities(
            conditions, parameters=dict(parameters), results_per_page=min(limit or PAGE_ROWS, PAGE_ROWS)
        )
        count = 0
        try:
            async for entity in pages:
                yield _row(entity)
                count += 1
                if count == limit:
                    return
        except AzureError as error:
            raise as_fault(error) from error

    async def page(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int
    ) -> list[Row]:
        return [row async for row in self.query(table, partition, start=start, before=before, limit=limit)]

    async def scan(self, table: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[Row]:
        verify_keys(*filter(None, (after,)))
        async for row in self._found(table, "PartitionKey gt @after", {"after": after}, limit):
            yield row

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        verify_ops(partition, ops)
        client = self._table(table)
        try:
            if len(ops) == 1:
                return await _write_one(client, partition, ops[0])
            return await _write_all(client, partition, ops)
        except AzureError as error:
            if isinstance(error, HttpResponseError) and _is_conflict(error, ops):
                raise Conflict(f"{table}: {_code(error) or error.status_code}") from error
            raise as_fault(error) from error

    def _table(self, table: str) -> TableClient:
        if table not in self._tables:
            if self._service is None:
                self._service = self._connection.tables(self._transport)
            self._tables[table] = self._service.get_table_client(table)
        return self._tables[table]


async def partitions(rows: Rows, table: str) -> AsyncIterator[str]:
    """Yield the name of each partition, in order. This takes one request for each name, and one more."""
    after = ""
    while found := [row async for row in rows.scan(table, after=after, limit=1)]:
        after = found[0].partition
        yield after


def in_transactions(partition: str, ops: Iterable[Op]) -> Iterator[Sequence[Op]]:
    """Split *ops* into as few transactions as storage accepts, in their order."""
    group: list[Op] = []
    size = 0
    for op in ops:
        more = _bytes_on_the_wire(partition, op)
        if group and (len(group) == MAX_OPS or size + more > MAX_TRANSACTION_BYTES):
            yield group
            group, size = [], 0
        group.append(op)
        size += more
    if group:
        yield group


def verify_range(partition: str, start: str, before: str | None, limit: int | None) -> None:
    """Raise ValueError for a range that no query can have."""
    verify_keys(partition, *filter(None, (start, before)))
    if limit is not None and limit < 1:
        raise ValueError(f"A limit is at least 1, not {limit}.")


def verify_ops(partition: str, ops: tuple[Op, ...]) -> None:
    """Raise ValueError for operations that storage refuses, and for values that it would not return unchanged."""
    if not 1 <= len(ops) <= MAX_OPS:
        raise ValueError(f"A write has 1 to {MAX_OPS} operations, not {len(ops)}.")
    keys = [op.key for op in ops]
    verify_keys(partition, *keys)
    if len(set(keys)) != len(keys):
        raise ValueError("A transaction must name each row only once.")
    for op in ops:
        if isinstance(op, Replace | Delete | Require) and op.etag == "":
            raise ValueError(f"{op.key}: an ETag must not be empty.")
        if not isinstance(op, Delete | Require):
            _verify_values(partition, op.key, op.values)
    size = sum(_bytes_on_the_wire(partition, op) for op in ops)
    if len(ops) == 1 and isinstance(ops[0], Require):
        raise ValueError("A transaction must not consist of `Require` only.")
    if len(ops) > 1 and size > MAX_TRANSACTION_BYTES:
        raise ValueError(f"A transaction has at most {MAX_TRANSACTION_BYTES} bytes, not {size}.")


def verify_keys(*keys: str) -> None:
    """Raise ValueError for a key that storage cannot hold, or that needs escaping in an address or a filter."""
    for key in keys:
        if not KEY.fullmatch(key):
            raise ValueError(f"A key is 1 to {MAX_KEY_CHARACTERS} characters of [0-9A-Za-z._|~-]; this one is {key!r}.")


def _verify_values(partition: str, key: str, values: Mapping[str, Cell]) -> None:
    if len(values) > MAX_CELLS:
        raise ValueError(f"{key}: a row has at most {MAX_CELLS} values, not {len(values)}.")
    size = 4 + 2 * len(partition + key)
    for name, value in values.items():
        if not CELL_NAME.fullmatch(name) or name in OWN_CELL_NAMES:
            raise ValueError(f"{key}: {name!r} cannot name a value.")
        size += 8 + 2 * len(name) + _verified_size(f"{key}.{name}", value)
    if size > MAX_ROW_BYTES:
        raise ValueError(f"{key}: a row has at most {MAX_ROW_BYTES} bytes, not {size}.")


def _verified_size(name: str, value: Cell) -> int:
    """Return the bytes that storage counts for *value*. Raises ValueError for a value that it cannot hold."""
    match value:
        case bool():
            return 1
        case str():
            size = len(
                value.encode("utf-16-le")
            )  # storage counts UTF-16; a surrogate without its pair raises ValueError here
            wrong = size > 2 * MAX_STR_CHARACTERS and f"has more than {MAX_STR_CHARACTERS} characters"
        case bytes():
            size = len(value)
            wrong = size > MAX_BYTES and f"has more than {MAX_BYTES} bytes"
        case int():
            size = 8
            wrong = not -(2**63) <= value < 2**63 and "does not fit into 64 bits"
        case float():
            size = 8
            wrong = not math.isfinite(value) and "is not a finite number"
        case datetime():
            size = 8
            wrong = (value.tzinfo is None or value.year <= FIRST_YEAR) and "has no time zone or is too early"
        case _:
            raise ValueError(f"{name} is a {type(value).__name__}; storage has no such type.")
    if wrong:
        raise ValueError(f"{name} {wrong}.")
    return size + 4


def _bytes_on_the_wire(partition: str, op: Op) -> int:
    size = OP_BYTES + COPIES_OF_KEYS * 3 * len(partition + op.key)  # 3: `|` is `%7C` in an address
    if isinstance(op, Delete | Require):
        return size
    for name, value in op.values.items():
        size += 2 * len(name) + 40  # the name, the name once more for the type, and the type itself
        if isinstance(value, str):
            size += len(json.dumps(value))
        elif isinstance(value, bytes):
            size += 4 * len(value) // 3 + 4
    return size


def _entity(partition: str, op: Insert | Put | Replace) -> dict[str, Any]:
    # Each whole number is an Int64. By default the SDK sends 32 bits and refuses larger numbers.
    values = {
        name: EntityProperty(value, EdmType.INT64) if type(value) is int else value for name, value in op.values.items()
    }
    return {"PartitionKey": partition, "RowKey": op.key, **values}


async def _write_one(client: TableClient, partition: str, op: Op) -> Mapping[str, str]:
    match op:
        case Insert():
            written = await client.create_entity(_entity(partition, op), **_AGAIN)
        case Put():
            written = await client.upsert_entity(_entity(partition, op), UpdateMode.REPLACE)
        case Replace():
            written = await client.update_entity(
                _entity(partition, op),
                UpdateMode.REPLACE,
                etag=op.etag,
                match_condition=MatchConditions.IfNotModified,
            )
        case Delete(etag=None):
            await client.delete_entity(partition, op.key)
            return {}
        case Delete():
            # Not `delete_entity`, because it hides that the row did not exist.
            await client.submit_transaction([_operation(partition, op)], **_AGAIN)
            return {}
        case Require():  # refused by `verify_ops`
            return {}
        case _:
            assert_never(op)
    return {op.key: str(written["etag"])}


async def _write_all(client: TableClient, partition: str, ops: tuple[Op, ...]) -> Mapping[str, str]:
    left = list(ops)
    while left:
        try:
            written = await client.submit_transaction([_operation(partition, op) for op in left], **_AGAIN)
        except TableTransactionError as error:
            # One missing row fails the whole transaction. If that row was to be deleted, send the others again.
            failed = left[error.index]
            if error.status_code == HTTPStatus.NOT_FOUND and failed == Delete(failed.key):
                del left[error.index]
                continue
            raise
        results = zip(left, written, strict=True)
        return {op.key: str(metadata["etag"]) for op, metadata in results if not isinstance(op, Delete)}
    return {}


def _operation(partition: str, op: Op) -> Any:
    match op:
        case Require(etag=None):
            return ("update", {"PartitionKey": partition, "RowKey": op.key}, {"mode": UpdateMode.MERGE})
        case Require():
            under = {"etag": op.etag, "match_condition": MatchConditions.IfNotModified}
            return ("update", {"PartitionKey": partition, "RowKey": op.key}, {"mode": UpdateMode.MERGE, **under})
        case Insert():
            return ("create", _entity(partition, op))
        case Put():
            return ("upsert", _entity(partition, op), {"mode": UpdateMode.REPLACE})
        case Replace():
            under = {"etag": op.etag, "match_condition": MatchConditions.IfNotModified}
            return ("update", _entity(partition, op), {"mode": UpdateMode.REPLACE, **under})
        case Delete(etag=None):
            return ("delete", {"PartitionKey": partition, "RowKey": op.key})
        case Delete():
            under = {"etag": op.etag, "match_condition": MatchConditions.IfNotModified}
            return ("delete", {"PartitionKey": partition, "RowKey": op.key}, under)
        case _:
            assert_never(op)


def _is_conflict(error: HttpResponseError, ops: tuple[Op, ...]) -> bool:
    if error.status_code == HTTPStatus.NOT_FOUND:
        # These operations need an existing row. For any other operation a 404 means that the table is missing.
        return _code(error) != "TableNotFound" and any(isinstance(op, Replace | Delete | Require) for op in ops)
    return error.status_code in {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def _row(entity: TableEntity) -> Row:
    metadata = entity.metadata
    etag, timestamp = metadata["etag"], metadata["timestamp"]
    if etag is None or timestamp is None:  # each answer has both, but the SDK's types allow None
        raise ValueError("Storage returned a row without ETag or timestamp.")
    values = {name: _cell(value) for name, value in entity.items() if name not in OWN_CELL_NAMES}
    return Row(entity["PartitionKey"], entity["RowKey"], values, etag, _plain(timestamp))


def _cell(value: Any) -> Cell:
    if isinstance(value, EntityProperty):
        value = value.value
    if isinstance(value, datetime):
        return _plain(value)
    cell: Cell = value
    return cell


def _plain(instant: datetime) -> datetime:
    """Return *instant* as a plain datetime. The SDK's own type has a seventh decimal digit of the second."""
    return datetime.combine(instant.date(), instant.time(), UTC)
