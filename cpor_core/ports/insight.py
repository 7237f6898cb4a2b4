"""What was counted of all claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cpor_core.model.insight import Counting, Grouping, Insight
from cpor_core.rules.insight import Counted


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the counting for the programme stands; `etag` is the store's, None where nothing was ever counted."""

    value: Counting
    etag: str | None = None


class InsightStore(Protocol):
    """What was counted of all claims, and how far the next count has come; one request each, but `begin` and `end`."""

    async def standing(self) -> Standing:
        """Return where it stands."""

    async def write(self, value: Counting, etag: str | None) -> Standing:
        """Write where it stands over what was read as the ETag. Raises `Conflict`."""

    async def start(self, value: Counting, etag: str | None) -> Standing:
        """Write where it stands, and forget what nobody needs: all but what is shown. Raises `Conflict`."""

    async def store_page(self, value: Counting, page: Counted, etag: str | None) -> Standing:
        """Keep a page of the count under way, the last of *value*, and write where it stands. Raises `Conflict`."""

    async def page(self, value: Counting, number: int) -> Counted | None:
        """Return a page of the count under way; None where it is lost, or cannot be read."""

    async def end(self, value: Counting, insights: Sequence[Insight], etag: str | None) -> None:
        """Show these from now on, all at once. Raises `Conflict`."""

    async def shown(self, value: Counting, grouping: Grouping) -> Insight | None:
        """Return what is shown of a grouping; None when something else is shown by now."""
