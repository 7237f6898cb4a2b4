"""The store of large exports keeps its promises over real storage and over the double in memory."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows, Rows
from cpor_app.adapters.storage.tables.batches import TABLE, BatchesTable
from cpor_app.adapters.storage.tables.exports import ExportsTable
from cpor_core.errors import Conflict
from cpor_core.model.batch import BatchStatus
from cpor_core.model.claim import Status
from cpor_core.model.export import ClaimFilter, Export, ExportProgress, PageMade, PageOfKeys
from cpor_core.rules.identifiers import export_id
from tests.core.builders import ADATUM, FABRIKAM, HOUR, MICROSECOND, MONDAY
from tests.doubles.memory_rows import MemoryRows

ALL, DRAFTS = ClaimFilter(), ClaimFilter(statuses=(Status.DRAFT,))
MOST_PAGES = 200
"""An export looks at most at 100,000 claims."""


def large(at: datetime = MONDAY, *, organisation: str = ADATUM, wanted: ClaimFilter = ALL, pages: int = 3) -> Export:
    """Return an export as it is begun."""
    return Export(
        id=export_id(organisation, wanted.model_dump_json(), at),
        organisation=organisation,
        at=at,
        filter=wanted,
        pages=tuple(PageOfKeys(first=f"{number:069d}", last=f"{number:068d}9", count=500) for number in range(pages)),
    )


def made(rows: int = 2, at: datetime = MONDAY) -> PageMade:
    """Return a finished page."""
    return PageMade(rows=rows, at=at)


class ExportsContract(ABC):
    """The promises of a store of exports. A subclass says over which rows."""

    @pytest.fixture
    @abstractmethod
    def rows(self) -> Any:
        """Return the rows."""

    @pytest.fixture
    def exports(self, rows: Rows) -> ExportsTable:
        return ExportsTable(rows)

    async def found(self, exports: ExportsTable, export: Export) -> ExportProgress:
        """Return an export that must exist."""
        progress = await exports.find(export.id)
        assert progress is not None
        return progress

    async def test_an_export_comes_back_with_its_progress(self, exports: ExportsTable) -> None:
        """Each finished page counts once, also if it is made again. An unknown export is not found."""
        export = large(wanted=DRAFTS)
        begun = await exports.store(export)
        assert (begun.status, begun.missing, begun.changed_at) == (BatchStatus.NOT_STARTED, (1, 2, 3), MONDAY)
        assert await self.found(exports, export) == begun

        await exports.finish(export, 2, made())
        await exports.finish(export, 2, made(at=MONDAY + HOUR))
        await exports.finish(export, 3, made(rows=0))

        progress = await self.found(exports, export)
        assert (progress.export, progress.status, progress.missing) == (export, BatchStatus.RUNNING, (1,))
        assert (progress.done, progress.changed_at) == (1_000, MONDAY + HOUR)
        assert await exports.find(large(MONDAY + HOUR).id) is None

    async def test_the_first_of_two_exports_with_the_same_id_stays(self, exports: ExportsTable) -> None:
        """So a repeated insert does no harm."""
        export = large()
        await exports.store(export)
        await exports.finish(export, 1, made())

        again = await exports.store(large(pages=1))

        assert (again.export, again.missing) == (export, (2, 3))

    async def test_the_newest_export_with_the_same_filters_is_found(self, exports: ExportsTable) -> None:
        """Exports of other organisations and with other filters do not count."""
        assert await exports.newest(ADATUM, ALL) is None
        old, new = large(), large(MONDAY + MICROSECOND)
        for export in (new, old, large(MONDAY + HOUR, wanted=DRAFTS), large(MONDAY + HOUR, organisation=FABRIKAM)):
            await exports.store(export)
        await exports.finish(new, 1, made())
        await exports.finish(old, 2, made())

        newest = await exports.newest(ADATUM, ALL)

        assert newest == await exports.find(new.id)
        assert newest is not None
        assert list(newest.pages) == [1]
        older = await self.found(exports, old)
        assert list(older.pages) == [2]

    async def test_an_export_is_deleted_with_its_pages(self, rows: Rows, exports: ExportsTable) -> None:
        """The largest export has 200 pages. A page that is made later is refused. Other exports stay."""
        export, other = large(pages=MOST_PAGES), large(MONDAY + HOUR)
        for one in (export, other):
            await exports.store(one)
        for page in range(1, MOST_PAGES + 1):
            await exports.finish(export, page, made())

        await exports.delete(await self.found(exports, export))

        assert await exports.find(export.id) is None
        with pytest.raises(Conflict):
            await exports.finish(export, 1, made())
        assert [row.key async for row in rows.scan(TABLE)] == [exports.row_ref(other.id).key]

    async def test_an_export_whose_page_was_just_finished_is_not_deleted(self, exports: ExportsTable) -> None:
        """Otherwise the row of this page would stay without an export."""
        export = large()
        await exports.store(export)
        before = await self.found(exports, export)
        await exports.finish(export, 1, made())

        with pytest.raises(Conflict):
            await exports.delete(before)

        await exports.delete(await self.found(exports, export))
        assert await exports.find(export.id) is None

    async def test_batches_and_exports_share_a_table(self, rows: Rows, exports: ExportsTable) -> None:
        """Each store yields only its own rows."""
        await exports.store(large())
        await exports.store(large(MONDAY + HOUR))
        await exports.finish(large(), 1, made())

        assert ids([one async for one in exports.all()]) == ids([large(MONDAY + HOUR), large()])
        assert [one async for one in BatchesTable(rows).all()] == []
        assert await BatchesTable(rows).find(exports.row_ref(large().id).partition) is None


def ids(exports: Sequence[Export]) -> list[str]:
    """Return the ids of exports, in order."""
    return [one.id for one in exports]


class TestMemory(ExportsContract):
    """Over the double in memory."""

    @pytest.fixture
    def rows(self) -> MemoryRows:
        return MemoryRows()


class TestStorage(ExportsContract):
    """Over real tables, on Azurite."""

    @pytest.fixture
    async def rows(self, storage_connection: str) -> AsyncIterator[AzureRows]:
        connection = StorageConnection.from_text(storage_connection)
        await provision(connection, [TABLE], [], [])
        opened = AzureRows(connection)
        yield opened
        await opened.close()
