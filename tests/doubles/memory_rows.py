"""Rows in memory: the promises of `cpor_app.adapters.storage.row_store.Rows` without a storage account."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the keys of one partition that it reads, or writes; no partition stands for all of them."""

    table: str
    partition: str
    keys: tuple[str, ...] = ()
    """The keys it names; none of a range."""
    start: str = ""
    before: str | None = None
    is_write: bool = False

    def __str__(self) -> str:
        what = "write" if self.is_write else "read"
        return f"{what} {self.table} {', '.join(self.keys) or f'{self.start} … {self.before}'}"

    def meets(self, other: "Asked") -> bool:
        """Whether the order of the two matters: both touch one row, or where it would be, and one of them writes."""
        if not (self.is_write or other.is_write) or self.table != other.table:
            return False
        if self.partition and other.partition and self.partition != other.partition:
            return False
        if self.keys and other.keys:
            return not set(self.keys).isdisjoint(other.keys)
        if self.keys:
            return any(other._covers(key) for key in self.keys)
        return other.meets(self) if other.keys else True

    def _covers(self, key: str) -> bool:
        return self.start <= key and (self.before is None or key < self.before)


class MemoryRows:
    """All tables in one dictionary; every call lets other tasks run first, so that races happen here too."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Take row timestamps from *now*, as storage takes them from its own clock."""
        self.on_request: Callable[[Asked], Awaitable[None]] = _nobody
        """Who comes before each request."""
        self._now = now
        self._rows: dict[tuple[str, str, str], Row] = {}
        self._versions = itertools.count(1)

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None where there is none."""
        verify_keys(partition, key)
        await self.on_request(Asked(table, partition, (key,)))
        return self._rows.get((table, partition, key))

    async def query(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield the rows with start <= key < before in the order of their keys, at most *limit*."""
        verify_range(partition, start, before, limit)
        await self.on_request(Asked(table, partition, start=start, before=before))
        keys = sorted(
            place
            for place in self._rows
            if place[:2] == (table, partition) and start <= place[2] and (before is None or place[2] < before)
        )
        for row in [self._rows[place] for place in keys[:limit]]:
            yield row

    async def page(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int
    ) -> list[Row]:
        """Return the first *limit* rows with start <= key < before."""
        return [row async for row in self.query(table, partition, start=start, before=before, limit=limit)]

    async def scan(self, table: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[Row]:
        """Yield every row of the partitions behind *after*, in the order of partitions and keys, at most *limit*."""
        verify_keys(*filter(None, (after,)))
        await self.on_request(Asked(table, ""))
        places = sorted(place for place in self._rows if place[0] == table and place[1] > after)
        for row in [self._rows[place] for place in places[:limit]]:
            yield row

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        """Do all of *ops*, or none; raises `Conflict` and ValueError as storage does."""
        verify_ops(partition, ops)
        await self.on_request(Asked(table, partition, tuple(op.key for op in ops), is_write=True))
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


async def _nobody(_: Asked) -> None:
    await asyncio.sleep(0)


def _kept(values: Mapping[str, Cell]) -> Mapping[str, Cell]:
    return {n: value.astimezone(UTC) if isinstance(value, datetime) else value for n, value in values.items()}
