"""Table `settings`, partition `erasures`: requests to erase a person."""

from collections.abc import Sequence

from cpor_app.adapters.storage.row_store import Put, Replace, Row, Rows
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.model.erasure import Erasure
from cpor_core.ports.stored import Stored

SETTINGS, ERASURES = "settings", "erasures"


class ErasuresTable:
    """Implements `ports.privacy.Erasures` over rows of `settings`. The row key is the id of the erasure."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def add(self, erasure: Erasure) -> None:
        await self._rows.write(SETTINGS, ERASURES, Put(erasure.id, {"document": packed(erasure)}))

    async def find(self, erasure_id: str) -> Stored[Erasure] | None:
        row = await self._rows.get(SETTINGS, ERASURES, erasure_id)
        if row is None:
            return None
        return Stored(_erasure(row), row.etag)

    async def write(self, erasure: Erasure, former: Stored[Erasure]) -> Stored[Erasure]:
        op = Replace(erasure.id, {"document": packed(erasure)}, former.etag)
        return Stored(erasure, (await self._rows.write(SETTINGS, ERASURES, op))[erasure.id])

    async def page(self, *, after: str, limit: int) -> Sequence[Erasure]:
        start = just_after(after) if after else ""
        return [_erasure(row) for row in await self._rows.page(SETTINGS, ERASURES, start=start, limit=limit)]

    async def all(self) -> Sequence[Erasure]:
        return [_erasure(row) async for row in self._rows.query(SETTINGS, ERASURES)]


def _erasure(row: Row) -> Erasure:
    return Erasure.model_validate_json(unpacked(row.values["document"]))
