"""Rows in memory: the promises of `cpor_app.adapters.storage.row_store.Rows` without a storage account."""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime

from cpor_app.adapters.storage.row_store import (
    Cell,
    Delete,
    Insert,
    Op,
    Replace,
    Require,
    Row,
    verify_keys,
    verify_ops,
    verify_range,
)
from cpor_core.errors import Conflict
from tests.doubles.requests import Carry, Request, straight


class MemoryRows:
    """All tables in one dictionary; `carry` carries each request."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Set the rows' timestamps from *now*, as storage sets them from its own clock."""
        self.carry: Carry = straight
        self._now = now
        self._rows: dict[tuple[str, str, str], Row] = {}
        self._versions = itertools.count(1)

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None if there is none."""
        verify_keys(partition, key)
        return await self.carry(Request(table, partition, (key,)), lambda: self._rows.get((table, partition, key)))

    async def query(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield at most *limit* rows with start <= key < before, in the order of their keys."""
        verify_range(partition, start, before, limit)

        def find() -> list[Row]:
            places = sorted(
                place
                for place in self._rows
                if place[:2] == (table, partition) and start <= place[2] and (before is None or place[2] < before)
            )
            return [self._rows[place] for place in places[:limit]]

        for row in await self.carry(Request(table, partition, start=start, before=before), find):
            yield row

    async def page(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int
    ) -> list[Row]:
        """Return the first *limit* rows with start <= key < before."""
        return [row async for row in self.query(table, partition, start=start, before=before, limit=limit)]

    async def scan(self, table: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[Row]:
        """Yield at most *limit* rows of the partitions after *after*, in the order of partitions and keys."""
        verify_keys(*filter(None, (after,)))

        def find() -> list[Row]:
            places = sorted(place for place in self._rows if place[0] == table and place[1] > after)
            return [self._rows[place] for place in places[:limit]]

        for row in await self.carry(Request(table), find):
            yield row

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        """Do all of *ops* or none. Raises `Conflict` and ValueError like storage."""
        verify_ops(partition, ops)
        keys = tuple(op.key for op in ops)
        return await self.carry(
            Request(table, partition, keys, is_write=True), lambda: self._write(table, partition, ops)
        )

    def _write(self, table: str, partition: str, ops: Sequence[Op]) -> Mapping[str, str]:
        for op in ops:
            there = self._rows.get((table, partition, op.key))
            match op:
                case Insert() if there is not None:
                    raise Conflict(f"{table}: EntityAlreadyExists")
                case Replace(etag=etag) | Delete(etag=str(etag)) | Require(etag=str(etag)) if (
                    there is None or there.etag != etag
                ):
                    raise Conflict(f"{table}: UpdateConditionNotSatisfied")
                case Require() if there is None:
                    raise Conflict(f"{table}: ResourceNotFound")
                case _:
                    pass
        now, written = self._now(), {}
        for op in ops:
            place = (table, partition, op.key)
            if isinstance(op, Delete):
                self._rows.pop(place, None)
                continue
            values = self._rows[place].values if isinstance(op, Require) else _kept(op.values)
            written[op.key] = f'W/"{next(self._versions)}"'
            self._rows[place] = Row(partition, op.key, values, written[op.key], now)
        return written


def _kept(values: Mapping[str, Cell]) -> Mapping[str, Cell]:
    return {n: value.astimezone(UTC) if isinstance(value, datetime) else value for n, value in values.items()}
