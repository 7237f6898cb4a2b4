"""Table `settings`, partition `erasures`: requests to erase a person."""

from collections.abc import Sequence

from cpor_app.adapters.storage.row_store import Put, Replace, Rows
from cpor_app.adapters.storage.tables import packed, unpacked
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
        return Stored(Erasure.model_validate_json(unpacked(row.values["document"])), row.etag)

    async def write(self, erasure: Erasure, former: Stored[Erasure]) -> Stored[Erasure]:
        op = Replace(erasure.id, {"document": packed(erasure)}, former.etag)
        return Stored(erasure, (await self._rows.write(SETTINGS, ERASURES, op))[erasure.id])

    async def all(self) -> Sequence[Erasure]:
        rows = self._rows.query(SETTINGS, ERASURES)
        return [Erasure.model_validate_json(unpacked(row.values["document"])) async for row in rows]
