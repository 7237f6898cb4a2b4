"""Usage and sold seats by month and item, and the receipts of reads."""

from datetime import date
from typing import Annotated

from cpor_core.model.base import Count, Guid, InForm, Instant, Value
from cpor_core.model.claim import ItemKey

Month = Annotated[str, InForm("^[0-9]{4}-(0[1-9]|1[0-2])$", "must be a month as YYYY-MM, such as 2026-11")]


class UsageLine(Value):
    """One JSON line of the operator's feed. `item` is a workload id, a subscription id, or an item as in a claim."""

    tenant_id: Guid | None = None
    month: Month
    item: ItemKey
    active_users: Count | None = None
    available_seats: Count | None = None
    assigned_seats: Count | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the line has no figure."""
        return self.active_users is None and self.available_seats is None and self.assigned_seats is None


class Figure(Value):
    """One number, with its day in the source. A figure with a newer day replaces an older figure."""

    value: int
    as_of: date


class MonthFigures(Value):
    """The figures of one item in one month, merged field by field."""

    active_users: Figure | None = None
    available_seats: Figure | None = None
    assigned_seats: Figure | None = None


class BadRow(Value):
    """A refused row of a feed. The other rows are stored. `row` counts from 1."""

    row: int
    code: str
    message: str


class Receipt(Value):
    """The record of one read of a customer's figures: the reader, the instant, the items and months; no figures."""

    at: Instant
    organisation: Guid
    partner_id: str
    object_id: str
    kind: str
    association_id: str
    items: tuple[str, ...]
    months: tuple[str, ...]
