"""Table `registry`: partners by location, customers by tenant, a partition for each entry."""

from collections.abc import AsyncIterator
from typing import TypeVar

from cpor_app.adapters.rows import Insert, Replace, Row, Rows
from cpor_app.adapters.tables import packed, unpacked
from cpor_core.model.base import Value
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports import Registered

TABLE = "registry"
ROW = "registered"
Entry = TypeVar("Entry", Partner, Customer)


class RegistryTable:
    """`cpor_core.ports.Registry` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Keep *rows*; nothing is sent."""
        self._rows = rows

    async def partner(self, partner_id: str) -> Registered[Partner] | None:
        """Return a partner's location."""
        return await self._get(f"partner|{partner_id}", Partner)

    async def put_partner(self, partner_id: str, partner: Partner, former: Registered[Partner] | None) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""
        return await self._put(f"partner|{partner_id}", partner, former)

    async def customer(self, tenant_id: str) -> Registered[Customer] | None:
        """Return a customer's tenant."""
        return await self._get(f"customer|{tenant_id}", Customer)

    async def put_customer(self, tenant_id: str, customer: Customer, former: Registered[Customer] | None) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""
        return await self._put(f"customer|{tenant_id}", customer, former)

    async def customers(self, *, after: str = "") -> AsyncIterator[tuple[str, Registered[Customer]]]:
        """Yield every customer's tenant behind *after*, in order: a scan."""
        async for row in self._rows.scan(TABLE, after=f"customer|{after}"):
            kind, _, tenant_id = row.partition.partition("|")
            if kind != "customer":
                return
            yield tenant_id, _registered(row, Customer)

    async def _get(self, partition: str, kind: type[Entry]) -> Registered[Entry] | None:
        row = await self._rows.get(TABLE, partition, ROW)
        return _registered(row, kind) if row is not None else None

    async def _put(self, partition: str, value: Value, former: Registered[Entry] | None) -> int:
        version = former.version + 1 if former is not None else 1
        values = {"document": packed(value), "version": version}
        op = Insert(ROW, values) if former is None else Replace(ROW, values, former.mark)
        await self._rows.write(TABLE, partition, op)
        return version


def _registered(row: Row, kind: type[Entry]) -> Registered[Entry]:
    value = kind.model_validate_json(unpacked(row.values["document"]))
    return Registered(value, int(str(row.values["version"])), row.etag)
