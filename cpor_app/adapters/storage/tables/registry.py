"""Table `registry`: a partition for each partner's location, organisation and customer, and one for all closed days."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from typing import TypeVar

from cpor_app.adapters.remembered import remember
from cpor_app.adapters.storage.row_store import Delete, Insert, Put, Replace, Row, Rows
from cpor_app.adapters.storage.tables import packed, unpacked
from cpor_core.model.base import Value
from cpor_core.model.registry import ClosedDay, Customer, Partner, RegisteredClosedDay
from cpor_core.ports.stored import Registered
from cpor_core.rules.business_days import ClosedDays

TABLE = "registry"
ROW, CLOSED = "registered", "closed"
REMEMBERED_SECONDS = 300.0
"""How long an instance uses the closed days that it read last. Then it also sees those that another instance stored."""
RECENT_SECONDS = 30.0
"""How long `recent_partner` uses a location that the instance has read before."""
MOST_RECENT = 1_000
"""The most locations that an instance remembers. A location has about 1 KiB."""
Entry = TypeVar("Entry", Partner, Customer, ClosedDay)


class RegistryTable:
    """Implements `ports.registry.Registry` over rows."""

    def __init__(self, rows: Rows, elapsed: Callable[[], float] = time.monotonic) -> None:
        """Use *rows*. This sends no request. *elapsed* (seconds) is the clock for the age of remembered entries."""
        self._rows = rows
        self._elapsed = elapsed
        self._closed: ClosedDays = {}
        self._read_at: float | None = None
        self._recent: dict[str, tuple[float, Registered[Partner]]] = {}

    async def partner(self, partner_id: str) -> Registered[Partner] | None:
        at = self._elapsed()
        found = await self._get(f"partner|{partner_id}", Partner)
        if found is None:
            self._recent.pop(partner_id, None)
        else:
            remember(self._recent, partner_id, (at, found), most=MOST_RECENT)
        return found

    async def recent_partner(self, partner_id: str) -> Registered[Partner] | None:
        read_at, recent = self._recent.get(partner_id, (0.0, None))
        if recent is not None and self._elapsed() - read_at <= RECENT_SECONDS:
            return recent
        return await self.partner(partner_id)

    async def put_partner(self, partner_id: str, partner: Partner, former: Registered[Partner] | None) -> int:
        try:
            return await self._put(f"partner|{partner_id}", partner, former)
        finally:
            self._recent.pop(partner_id, None)

    async def add_location(self, organisation: str, partner_id: str) -> None:
        await self._rows.write(TABLE, f"organisation|{organisation}", Put(partner_id, {}))

    async def locations(self, organisation: str) -> Sequence[str]:
        return [row.key async for row in self._rows.query(TABLE, f"organisation|{organisation}")]

    def partners(self) -> AsyncIterator[tuple[str, Registered[Partner]]]:
        return self._scan("partner", Partner)

    async def customer(self, tenant_id: str) -> Registered[Customer] | None:
        return await self._get(f"customer|{tenant_id}", Customer)

    async def put_customer(self, tenant_id: str, customer: Customer, former: Registered[Customer] | None) -> int:
        return await self._put(f"customer|{tenant_id}", customer, former)

    def customers(self, *, after: str = "") -> AsyncIterator[tuple[str, Registered[Customer]]]:
        return self._scan("customer", Customer, after)

    async def closed_days(self) -> ClosedDays:
        if self._read_at is None or self._elapsed() - self._read_at > REMEMBERED_SECONDS:
            await self.all_closed_days()
        return self._closed

    async def all_closed_days(self) -> Sequence[RegisteredClosedDay]:
        """Return as the port says, and remember the days for `closed_days`."""
        at = self._elapsed()
        found = [_registered_closed_day(row) async for row in self._rows.query(TABLE, CLOSED)]
        closed: dict[str, dict[date, str]] = {}
        for one in found:
            closed.setdefault(one.calendar, {})[one.date] = one.name
        self._closed, self._read_at = closed, at
        return found[::-1]

    async def closed_day(self, calendar: str, day: date) -> Registered[ClosedDay] | None:
        return await self._get(CLOSED, ClosedDay, _closed_key(calendar, day))

    async def put_closed_day(
        self, calendar: str, day: date, closed_day: ClosedDay, former: Registered[ClosedDay] | None
    ) -> int:
        try:
            return await self._put(CLOSED, closed_day, former, _closed_key(calendar, day))
        finally:
            self._read_at = None

    async def delete_closed_day(self, calendar: str, day: date, former: Registered[ClosedDay]) -> None:
        try:
            await self._rows.write(TABLE, CLOSED, Delete(_closed_key(calendar, day), former.etag))
        finally:
            self._read_at = None

    async def _get(self, partition: str, kind: type[Entry], key: str = ROW) -> Registered[Entry] | None:
        row = await self._rows.get(TABLE, partition, key)
        return _registered(row, kind) if row is not None else None

    async def _scan(
        self, name: str, kind: type[Entry], after: str = ""
    ) -> AsyncIterator[tuple[str, Registered[Entry]]]:
        async for row in self._rows.scan(TABLE, after=f"{name}|{after}"):
            found, _, entry_id = row.partition.partition("|")
            if found != name:
                return
            yield entry_id, _registered(row, kind)

    async def _put(self, partition: str, value: Value, former: Registered[Entry] | None, key: str = ROW) -> int:
        version = former.version + 1 if former is not None else 1
        values = {"document": packed(value), "version": version}
        op = Insert(key, values) if former is None else Replace(key, values, former.etag)
        await self._rows.write(TABLE, partition, op)
        return version


def _registered(row: Row, kind: type[Entry]) -> Registered[Entry]:
    value = kind.model_validate_json(unpacked(row.values["document"]))
    return Registered(value, int(str(row.values["version"])), row.etag)


def _closed_key(calendar: str, day: date) -> str:
    return f"{day}|{calendar}"


def _registered_closed_day(row: Row) -> RegisteredClosedDay:
    day, _, calendar = row.key.partition("|")
    return RegisteredClosedDay(
        calendar=calendar, date=date.fromisoformat(day), name=_registered(row, ClosedDay).value.name
    )
