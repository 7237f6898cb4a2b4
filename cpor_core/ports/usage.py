"""Monthly figures, and receipts of who looked at them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cpor_core.model.usage import MonthFigures, Receipt


class UsageFigures(Protocol):
    """Monthly figures by tenant."""

    async def read(self, tenant_id: str, first: str, last: str) -> Mapping[tuple[str, str], tuple[MonthFigures, str]]:
        """Return (month, item) → figures and ETag, for the months from *first* to *last*, both `YYYY-MM`."""

    async def write(self, tenant_id: str, rows: Mapping[tuple[str, str], tuple[MonthFigures, str | None]]) -> None:
        """Write figures over what was read as the ETag, in as few transactions as may be. Raises `Conflict`."""


class Receipts(Protocol):
    """Who looked at which figures."""

    async def add(self, tenant_id: str, receipt: Receipt) -> None:
        """Write one receipt: one request."""

    async def page(self, tenant_id: str, *, after: str, limit: int) -> Sequence[tuple[str, Receipt]]:
        """Return (position, receipt) pairs behind *after*, newest first."""
