"""Tables `partnerclaims` and `reviews`: ids of claims, in the order of the lists."""

from collections.abc import Sequence

from cpor_app.adapters.storage.row_store import Delete, Put, Rows
from cpor_app.adapters.storage.tables import just_after
from cpor_core.ports.claims import IndexRow


class IndexTable:
    """Implements `ports.claims.ClaimIndex` over rows."""

    def __init__(self, rows: Rows, table: str) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows
        self._table = table

    async def add(self, partition: str, position: str, claim_id: str) -> None:
        await self._rows.write(self._table, partition, Put(position, {"claimId": claim_id}))

    async def page(self, partition: str, *, after: str, limit: int) -> Sequence[IndexRow]:
        start = just_after(after) if after else ""
        rows = await self._rows.page(self._table, partition, start=start, limit=limit)
        return [IndexRow(row.key, str(row.values["claimId"]), row.timestamp) for row in rows]

    async def remove(self, partition: str, position: str) -> None:
        await self._rows.write(self._table, partition, Delete(position))
