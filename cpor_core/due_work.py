"""Due work: what comes of doing it."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

FORGET = "forget"
"""Begins the name of a due row by which something is deleted."""


class RowRef(NamedTuple):
    """Where a row is stored. A port makes one; the core only passes it on."""

    table: str
    partition: str
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: `delayed` when something is still owed now and could not be paid."""

    delayed: bool = False
    row_stays: bool = False
    """The due row that led here was moved on, or its turn comes again: leave it alone."""
    not_before: datetime | None = None
    """When the mail system asked us to come back, by the service's clock."""
