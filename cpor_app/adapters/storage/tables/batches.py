"""
Table `batches`, one partition for each batch: the batch, and for each finished page its counts and its outcomes.

Counts and outcomes are in separate rows. So one request reads the progress of a batch, even if it has many outcomes.
The list of an organisation's batches is one partition of table `partnerclaims`.
"""

import zlib
from collections.abc import AsyncIterator, Sequence

from pydantic import ConfigDict, TypeAdapter

from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Put, Rows, partitions
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.model.batch import Batch, PageDone, Progress, RowOutcome
from cpor_core.ports.batches import ListedBatch
from cpor_core.rules.identifiers import newest_first

TABLE = "batches"
LISTS = "partnerclaims"
BATCH = "batch"
DONE, OUTCOMES = "done", "outcomes"
"""Kinds of rows of a page. In the order of keys they come after the row of the batch."""
CELL_BYTES = 60_000
PAGES_AT_ONCE = 50
"""Pages that one transaction deletes. A page has two rows."""
_OUTCOMES = TypeAdapter(tuple[RowOutcome, ...], config=ConfigDict(defer_build=True))


class BatchesTable:
    """Implements `ports.batches.Batches` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def all(self) -> AsyncIterator[Batch]:
        async for batch_id in partitions(self._rows, TABLE):
            row = await self._rows.get(TABLE, batch_id, BATCH)
            if row is not None:
                yield Batch.model_validate_json(unpacked(row.values["document"]))

    async def store(self, batch: Batch) -> Progress:
        try:
            await self._rows.write(TABLE, batch.id, Insert(BATCH, {"document": packed(batch)}))
        except Conflict:
            found = await self.find(batch.id)
            if found is None:  # it was deleted between the two requests
                return await self.store(batch)
            return found
        return Progress(batch, {})

    async def find(self, batch_id: str) -> Progress | None:
        batch: Batch | None = None
        pages: dict[int, PageDone] = {}
        async for row in self._rows.query(TABLE, batch_id, start=BATCH, before=OUTCOMES):
            if row.key == BATCH:
                batch = Batch.model_validate_json(unpacked(row.values["document"]))
            elif batch is not None and row.key.startswith(_key(DONE, batch.keeping)):
                pages[_page(row.key)] = PageDone.model_validate_json(str(row.values["document"]))
        return Progress(batch, pages) if batch is not None else None

    async def finish(self, batch: Batch, page: int, done: PageDone, outcomes: Sequence[RowOutcome]) -> None:
        text = zlib.compress(_OUTCOMES.dump_json(tuple(outcomes)))
        cells: dict[str, Cell] = {
            f"part{number}": text[start : start + CELL_BYTES]
            for number, start in enumerate(range(0, len(text), CELL_BYTES))
        }
        await self._rows.write(
            TABLE,
            batch.id,
            Put(_key(DONE, batch.keeping, page), {"document": packed(done)}),
            Put(_key(OUTCOMES, batch.keeping, page), cells),
        )

    async def outcomes(self, batch: Batch, page: int) -> Sequence[RowOutcome]:
        row = await self._rows.get(TABLE, batch.id, _key(OUTCOMES, batch.keeping, page))
        if row is None:  # the batch was deleted after *batch* was read
            return ()
        parts = [row.values[f"part{number}"] for number in range(len(row.values))]
        return _OUTCOMES.validate_json(zlib.decompress(b"".join(part for part in parts if isinstance(part, bytes))))

    async def enlist(self, batch: Batch) -> None:
        table, partition, key = self.list_ref(batch)
        await self._rows.write(table, partition, Put(key, {"batchId": batch.id}))

    async def page(self, organisation: str, *, after: str, limit: int) -> Sequence[ListedBatch]:
        start = just_after(after) if after else ""
        rows = await self._rows.page(LISTS, _list(organisation), start=start, limit=limit)
        return [_listed(row.key) for row in rows]

    def list_ref(self, batch: Batch) -> RowRef:
        return RowRef(LISTS, _list(batch.organisation), f"{newest_first(batch.at)}|{batch.id}|{batch.keeping}")

    async def delete(self, batch_id: str, keeping: str) -> None:
        row = await self._rows.get(TABLE, batch_id, BATCH)
        if row is not None and Batch.model_validate_json(unpacked(row.values["document"])).keeping == keeping:
            await self._rows.write(TABLE, batch_id, Delete(BATCH, row.etag))
        start = _key(DONE, keeping)
        pages = [_page(row.key) async for row in self._rows.query(TABLE, batch_id, start=start, before=start + "~")]
        for first in range(0, len(pages), PAGES_AT_ONCE):
            group = pages[first : first + PAGES_AT_ONCE]
            keys = [_key(kind, keeping, page) for page in group for kind in (DONE, OUTCOMES)]
            await self._rows.write(TABLE, batch_id, *map(Delete, keys))


def _list(organisation: str) -> str:
    return f"batches|{organisation}"


def _listed(key: str) -> ListedBatch:
    _, batch_id, keeping = key.split("|")
    return ListedBatch(key, batch_id, keeping)


def _key(kind: str, keeping: str, page: int | None = None) -> str:
    return f"{kind}|{keeping}|" + (f"{page:04d}" if page is not None else "")


def _page(key: str) -> int:
    return int(key.rpartition("|")[2])
