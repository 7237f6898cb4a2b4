"""Counts of all claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cpor_core.model.insight import Counting, Grouping, Insight
from cpor_core.rules.insight import Counted


@dataclass(frozen=True, slots=True)
class CountProgress:
    """The progress of the count. `etag` is None if there was never a count."""

    value: Counting
    etag: str | None = None


class InsightStore(Protocol):
    """
    Counts of all claims, and the progress of the next count.

    Each method makes one request, except `start` and `end`, which can make several.
    """

    async def progress(self) -> CountProgress:
        """Return the progress."""

    async def write(self, value: Counting, etag: str | None) -> CountProgress:
        """Write the progress over the version with that ETag. Raises `Conflict`."""

    async def start(self, value: Counting, etag: str | None) -> CountProgress:
        """Write the progress, and delete all figures except the shown ones. Raises `Conflict`."""

    async def store_page(self, value: Counting, page: Counted, etag: str | None) -> CountProgress:
        """Store the progress, and the last page of the running count. Raises `Conflict`."""

    async def page(self, value: Counting, number: int) -> Counted | None:
        """Return a page of the running count. None if the page is lost or cannot be read."""

    async def end(self, value: Counting, insights: Sequence[Insight], etag: str | None) -> None:
        """Replace the shown figures by these figures, all at the same time. Raises `Conflict`."""

    async def shown(self, value: Counting, grouping: Grouping) -> Insight | None:
        """Return the figures of a grouping that *value* shows. None if newer figures have replaced them."""
