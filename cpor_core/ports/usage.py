"""Ports for monthly figures, and for receipts, which say who has read figures."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cpor_core.model.usage import MonthFigures, Receipt


class UsageFigures(Protocol):
    """Monthly figures, by tenant."""

    async def read(self, tenant_id: str, first: str, last: str) -> Mapping[tuple[str, str], tuple[MonthFigures, str]]:
        """Return (month, item) → figures and ETag, for the months *first* to *last*, as `YYYY-MM`."""

    async def write(self, tenant_id: str, rows: Mapping[tuple[str, str], tuple[MonthFigures, str | None]]) -> None:
        """
        Write figures over the rows with these ETags, in as few transactions as possible. Raises `Conflict`.

        The ETag is None for a new row.
        """


class Receipts(Protocol):
    """Receipts: who has read which figures."""

    async def add(self, tenant_id: str, receipt: Receipt) -> None:
        """Write a receipt, in one request."""

    async def page(self, tenant_id: str, *, after: str, limit: int) -> Sequence[tuple[str, Receipt]]:
        """Return up to *limit* pairs of position and receipt after the position *after*, newest first."""
