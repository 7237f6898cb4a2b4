"""Batches of claims, and their bodies."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.batch import Batch, PageDone, Progress, RowOutcome


class Bodies(Protocol):
    """The bodies of batches, as they were sent, and the rows of large exports."""

    def names(self) -> AsyncIterator[str]:
        """Yield the name of each body, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write a new body. If the same bytes are stored already, this is no error."""

    async def get(self, name: str) -> bytes | None:
        """Return a whole body, in one request or more. None if there is no such body."""

    async def part(self, name: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start*, in one request. None if there is no such body."""

    async def delete(self, name: str) -> None:
        """Delete a body. A missing body is no error."""


class ListedBatch(NamedTuple):
    """A row of an organisation's list. Its batch can be deleted, or not stored yet, or a batch of another `keeping`."""

    position: str
    batch_id: str
    keeping: str


class Batches(Protocol):
    """Batches of claims. Each batch is one partition."""

    def all(self) -> AsyncIterator[Batch]:
        """Yield each stored batch, in two requests for each batch and one more."""

    async def store(self, batch: Batch) -> Progress:
        """Insert a batch, unless its id is stored already. Returns the stored batch, in one request or two."""

    async def find(self, batch_id: str) -> Progress | None:
        """Return a batch with its progress, in one request."""

    async def finish(self, batch: Batch, page: int, done: PageDone, outcomes: Sequence[RowOutcome]) -> None:
        """Store the outcomes of a page in one request. A page without outcomes is stored too."""

    async def outcomes(self, batch: Batch, page: int) -> Sequence[RowOutcome]:
        """Return the outcomes of a finished page, in one request."""

    async def enlist(self, batch: Batch) -> None:
        """Add a batch to the list of its organisation. The list shows it after `store`."""

    async def page(self, organisation: str, *, after: str, limit: int) -> Sequence[ListedBatch]:
        """Return up to *limit* rows of an organisation's list after the position *after*, newest first."""

    def list_ref(self, batch: Batch) -> RowRef:
        """Return the reference to the batch's row in the list, for the due row that deletes the batch."""

    async def delete(self, batch_id: str, keeping: str) -> None:
        """Delete each row of a batch. Rows of another batch with the same id stay. A missing batch is no error."""
