"""
Table `batches`: large exports, and one row for each finished page.

All exports of an organisation with the same filters are one partition, the newest first.
"""

from collections.abc import AsyncIterator

from cpor_app.adapters.storage.row_store import Delete, Insert, Put, Require, Row, Rows, partitions
from cpor_app.adapters.storage.tables import packed, unpacked
from cpor_app.adapters.storage.tables.batches import TABLE
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.model.export import ClaimFilter, Export, ExportProgress, PageMade
from cpor_core.rules.identifiers import BATCH_ID_LENGTH, export_group

EXPORT = "export|"
ROWS_AT_ONCE = 100


class ExportsTable:
    """Implements `ports.exports.Exports` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def all(self) -> AsyncIterator[Export]:
        async for partition in partitions(self._rows, TABLE):
            async for row in self._rows.query(TABLE, partition, start=EXPORT, before=f"{EXPORT}~"):
                if _page(row.key) is None:
                    yield _export(row)

    async def store(self, export: Export) -> ExportProgress:
        partition, key = _place(export.id)
        try:
            etags = await self._rows.write(TABLE, partition, Insert(key, {"document": packed(export)}))
        except Conflict:
            found = await self.find(export.id)
            if found is None:  # it was deleted between the two requests
                return await self.store(export)
            return found
        return ExportProgress(export, {}, etags[key])

    async def find(self, export_id: str) -> ExportProgress | None:
        partition, key = _place(export_id)
        stored: Row | None = None
        pages: dict[int, PageMade] = {}
        async for row in self._rows.query(TABLE, partition, start=key, before=f"{key}~"):
            page = _page(row.key)
            if page is None:
                stored = row
            else:
                pages[page] = PageMade.model_validate_json(unpacked(row.values["document"]))
        return ExportProgress(_export(stored), pages, stored.etag) if stored is not None else None

    async def newest(self, organisation: str, wanted: ClaimFilter) -> ExportProgress | None:
        partition = export_group(organisation, wanted.model_dump_json())
        rows = await self._rows.page(TABLE, partition, start=EXPORT, before=f"{EXPORT}~", limit=1)
        return await self.find(_export(rows[0]).id) if rows else None

    async def finish(self, export: Export, page: int, made: PageMade) -> None:
        partition, key = _place(export.id)
        await self._rows.write(TABLE, partition, Require(key), Put(_of_page(key, page), {"document": packed(made)}))

    def row_ref(self, export_id: str) -> RowRef:
        return RowRef(TABLE, *_place(export_id))

    async def delete(self, progress: ExportProgress) -> None:
        partition, key = _place(progress.export.id)
        deletes = [*(Delete(_of_page(key, page)) for page in progress.pages), Delete(key, progress.etag)]
        for first in range(0, len(deletes), ROWS_AT_ONCE):
            await self._rows.write(TABLE, partition, *deletes[first : first + ROWS_AT_ONCE])


def _place(export_id: str) -> tuple[str, str]:
    """Return the partition and the key of an export."""
    return export_id[:BATCH_ID_LENGTH], f"{EXPORT}{export_id[BATCH_ID_LENGTH:]}"


def _of_page(key: str, page: int) -> str:
    return f"{key}|{page:04d}"


def _page(key: str) -> int | None:
    """Return the number of the page in a key; None for the export's own key."""
    _, _, page = key.removeprefix(EXPORT).partition("|")
    return int(page) if page else None


def _export(row: Row) -> Export:
    return Export.model_validate_json(unpacked(row.values["document"]))
