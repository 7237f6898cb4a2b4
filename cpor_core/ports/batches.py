"""Batches of claims, and what was sent with them."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from cpor_core.model.batch import Batch, PageDone, Progress, RowOutcome


class Bodies(Protocol):
    """What was sent with batches."""

    def names(self) -> AsyncIterator[str]:
        """Yield the name of each, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write once; the same bytes again are no error."""

    async def part(self, name: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, None where there are none: one request."""

    async def delete(self, name: str) -> None:
        """Delete; a missing one is no error."""


class Batches(Protocol):
    """Batches of claims, one partition each."""

    def all(self) -> AsyncIterator[Batch]:
        """Yield every batch that is kept: two requests for each, and one."""

    async def store(self, batch: Batch) -> Progress:
        """Insert; returns what is there now, this batch or another of its id: one request, a lost insert two."""

    async def find(self, batch_id: str) -> Progress | None:
        """Return a batch with how far it has come: one request."""

    async def finish(self, batch: Batch, page: int, done: PageDone, outcomes: Sequence[RowOutcome]) -> None:
        """Write down what became of a page's rows, over whatever is there: one request."""

    async def outcomes(self, batch: Batch, page: int) -> Sequence[RowOutcome]:
        """Return what became of the rows of a page that is done: one request."""

    async def delete(self, batch_id: str, keeping: str) -> None:
        """Delete every row of a batch; those of another one under its id stay. A missing one is no error."""
