"""Tables `partnerclaims` and `reviews`: ids of claims in the order of the lists, and words of partners' claims."""

from collections.abc import Sequence
from uuid import UUID

from cpor_app.adapters.storage.row_store import PAGE_ROWS, Delete, Put, Rows
from cpor_app.adapters.storage.tables import just_after, word_rows
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
        rows = await self._rows.page(self._table, partition, start=start, before=word_rows.FIRST, limit=limit)
        return [IndexRow(row.key, str(row.values["claimId"]), row.timestamp) for row in rows]

    async def remove(self, partition: str, position: str) -> None:
        await self._rows.write(self._table, partition, Delete(position))


class PartnerClaimsTable(IndexTable):
    """Implements `ports.claims.PartnerClaims` over rows. A partition is an organisation."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        super().__init__(rows, "partnerclaims")

    async def add(self, partition: str, position: str, claim_id: str, words: Sequence[str] = ()) -> None:
        key = Put(position, {"claimId": claim_id})
        await self._rows.write(self._table, partition, key, *word_rows.added(claim_id, position, words))

    async def replace(self, partition: str, position: str, claim_id: str, words: Sequence[str]) -> None:
        key = Put(position, {"claimId": claim_id})
        await word_rows.replaced(self._rows, self._table, partition, claim_id, position, words, key)

    async def remove(self, partition: str, position: str) -> None:
        claim_id = position.rpartition("|")[2]
        await word_rows.replaced(self._rows, self._table, partition, claim_id, position, (), Delete(position))

    async def found(self, partition: str, beginning: str, *, limit: int) -> Sequence[IndexRow]:
        found = await word_rows.found(self._rows, self._table, partition, beginning, limit)
        return [IndexRow(one.key, one.id, one.written_at) for one in found]

    async def at_tenants(self, partition: str, tenants: Sequence[str], *, limit: int) -> Sequence[IndexRow]:
        """
        Return as the port says.

        A claim's id begins with its tenant, so that the claims of a tenant are together. Each request reads on from the
        next wanted tenant. So there are never more requests than wanted tenants, or than thousands of claims.
        """
        left = sorted({UUID(tenant).hex for tenant in tenants})
        wanted, found, start = frozenset(left), list[IndexRow](), ""
        while left and len(found) < limit:
            start = max(start, f"words|{left[0]}")
            before = f"words|{left[-1]}~"
            rows = await self._rows.page(self._table, partition, start=start, before=before, limit=PAGE_ROWS)
            of_claims = ((row.key.split("|")[1], row) for row in rows)
            found += [
                IndexRow(str(row.values["key"]), claim_id, row.timestamp)
                for claim_id, row in of_claims
                if claim_id[: len(left[0])] in wanted
            ]
            if len(rows) < PAGE_ROWS:
                break
            start = just_after(rows[-1].key)
            left = [tenant for tenant in left if f"words|{tenant}~" > start]
        return found[:limit]
