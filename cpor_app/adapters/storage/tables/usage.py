"""Tables `usage` and `receipts`. A row key of `usage` is month and item, so one range query reads all items."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice

from cpor_app.adapters.ids import new_id
from cpor_app.adapters.storage.row_store import Insert, Op, Put, Replace, Rows
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.model.usage import MonthFigures, Receipt
from cpor_core.rules.identifiers import newest_first

USAGE, RECEIPTS = "usage", "receipts"
ROWS_A_TRANSACTION = 100
IN_FLIGHT = 8
"""Transactions of one tenant that are written at the same time."""


class UsageTable:
    """Implements `ports.usage.UsageFigures` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def read(self, tenant_id: str, first: str, last: str) -> Mapping[tuple[str, str], tuple[MonthFigures, str]]:
        found = {}
        async for row in self._rows.query(USAGE, tenant_id, start=first, before=f"{last}~"):
            month, _, item = row.key.partition("|")
            found[month, item] = (MonthFigures.model_validate_json(unpacked(row.values["document"])), row.etag)
        return found

    async def write(self, tenant_id: str, rows: Mapping[tuple[str, str], tuple[MonthFigures, str | None]]) -> None:
        ops = iter(_op(f"{month}|{item}", figures, etag) for (month, item), (figures, etag) in rows.items())
        while chunks := [chunk for _ in range(IN_FLIGHT) if (chunk := list(islice(ops, ROWS_A_TRANSACTION)))]:
            written = (self._rows.write(USAGE, tenant_id, *chunk) for chunk in chunks)
            for outcome in await asyncio.gather(*written, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome


def _op(key: str, figures: MonthFigures, etag: str | None) -> Op:
    values = {"document": packed(figures)}
    return Insert(key, values) if etag is None else Replace(key, values, etag)


class ReceiptsTable:
    """Implements `ports.usage.Receipts` over rows, newest first."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def add(self, tenant_id: str, receipt: Receipt) -> None:
        """Write as the port says. If the SDK repeats the request, there is still only one receipt."""
        key = f"{newest_first(receipt.at)}|{new_id()}"
        await self._rows.write(RECEIPTS, tenant_id, Put(key, {"document": packed(receipt)}))

    async def page(self, tenant_id: str, *, after: str, limit: int) -> Sequence[tuple[str, Receipt]]:
        start = just_after(after) if after else ""
        rows = await self._rows.page(RECEIPTS, tenant_id, start=start, limit=limit)
        return [(row.key, Receipt.model_validate_json(unpacked(row.values["document"]))) for row in rows]
