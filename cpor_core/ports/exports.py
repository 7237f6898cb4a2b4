"""Large exports. Their rows are `Bodies`, in the container of the batches."""

from collections.abc import AsyncIterator
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.export import ClaimFilter, Export, ExportProgress, PageMade


class Exports(Protocol):
    """Large exports. All exports of an organisation with the same filters are one partition."""

    def all(self) -> AsyncIterator[Export]:
        """Yield each stored export, in two requests for each partition and one more."""

    async def store(self, export: Export) -> ExportProgress:
        """Insert an export, unless its id is stored already. Returns the stored export, in one request or two."""

    async def find(self, export_id: str) -> ExportProgress | None:
        """Return an export with its progress, in one request."""

    async def newest(self, organisation: str, wanted: ClaimFilter) -> ExportProgress | None:
        """Return the newest export of the organisation with the same filters, in two requests, or in one for None."""

    async def finish(self, export: Export, page: int, made: PageMade) -> None:
        """Store that a page is finished, in one request. Raises `Conflict` if the export was deleted."""

    def row_ref(self, export_id: str) -> RowRef:
        """Return the reference to an export, for the due row that deletes the export."""

    async def delete(self, progress: ExportProgress) -> None:
        """
        Delete each row of an export, its own row last, in one request for each 100 pages.

        Raises `Conflict` if a page was finished since the progress was read. Then the export's own row stays.
        """
