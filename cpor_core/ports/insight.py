"""Counts of all claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cpor_core.model.insight import Counting, Grouping, Insight
from cpor_core.rules.insight import Counted


@dataclass(frozen=True, slots=True)
class CountProgress:
    """The progress of the count. `etag` is None when nothing was ever counted."""

    value: Counting
    etag: str | None = None


class InsightStore(Protocol):
    """Counts of all claims, and the progress of the next count. One request each, apart from `start` and `end`."""

    async def progress(self) -> CountProgress:
        """Return the progress."""

    async def write(self, value: Counting, etag: str | None) -> CountProgress:
        """Write the progress over the version with that ETag. Raises `Conflict`."""

    async def start(self, value: Counting, etag: str | None) -> CountProgress:
        """Write the progress, and delete all but the shown figures. Raises `Conflict`."""

    async def store_page(self, value: Counting, page: Counted, etag: str | None) -> CountProgress:
        """Store a page of the running count (the last of *value*) and the progress. Raises `Conflict`."""

    async def page(self, value: Counting, number: int) -> Counted | None:
        """Return a page of the running count. None when it is lost or cannot be read."""

    async def end(self, value: Counting, insights: Sequence[Insight], etag: str | None) -> None:
        """Show these figures from now on, all at once. Raises `Conflict`."""

    async def shown(self, value: Counting, grouping: Grouping) -> Insight | None:
        """Return the shown figures of a grouping. None when other figures are shown by now."""
