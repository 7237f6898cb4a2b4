"""Batches of claims, and their bodies."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.batch import Batch, PageDone, Progress, RowOutcome


class Bodies(Protocol):
    """The bodies of batches, as they were sent."""

    def names(self) -> AsyncIterator[str]:
        """Yield the name of each body, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write once. The same bytes again are no error."""

    async def part(self, name: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start*: one request. None without a body."""

    async def delete(self, name: str) -> None:
        """Delete. A missing body is no error."""


class Batches(Protocol):
    """Batches of claims, one partition for each."""

    def all(self) -> AsyncIterator[Batch]:
        """Yield each stored batch: two requests for each, and one more."""

    async def store(self, batch: Batch) -> Progress:
        """Insert. Returns the stored batch with that id, which may be an earlier one: one request, or two."""

    async def find(self, batch_id: str) -> Progress | None:
        """Return a batch with its progress: one request."""

    async def finish(self, batch: Batch, page: int, done: PageDone, outcomes: Sequence[RowOutcome]) -> None:
        """Write the outcomes of a page, whether it has any or not: one request."""

    async def outcomes(self, batch: Batch, page: int) -> Sequence[RowOutcome]:
        """Return the outcomes of a finished page: one request."""

    def row_ref(self, batch_id: str, keeping: str) -> RowRef:
        """Return what stands for a batch in the due row that deletes it."""

    async def delete(self, batch_id: str, keeping: str) -> None:
        """Delete each row of a batch. Rows of another batch with the same id stay. A missing batch is no error."""
