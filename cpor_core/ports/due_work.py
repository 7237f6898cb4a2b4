"""Due rows, the queue messages that hurry them, messages that failed, and what an operator sees of it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cpor_core.due_work import RowRef


@dataclass(frozen=True, slots=True)
class DueRow:
    """
    "Look at this at that instant": a claim, or a row that is to be forgotten.

    `etag` and `written_at` (by the real clock) are what the store said when the row was read.
    """

    due: datetime
    subject: str
    kind: str
    attempt: int = 0
    deletes: RowRef | None = None
    """Table, partition and key of what is to be deleted."""
    since: datetime | None = None
    """Since when it has been owed, of one that was put off."""
    trace: str | None = None
    """Whose trace it belongs to, for `Telemetry`."""
    etag: str | None = None
    written_at: datetime | None = None


class DueRows(Protocol):
    """Due rows, 16 shards; see rulings 36 for when one may be deleted."""

    async def add(self, rows: Sequence[DueRow]) -> None:
        """Write rows; one request for each subject, however many rows it has."""

    async def due(self, shard: int, now: datetime, *, after: DueRow | None, limit: int) -> Sequence[DueRow]:
        """Return the next rows of a shard that are due at *now*: one request."""

    async def move(
        self, row: DueRow, also: Sequence[DueRow], *, due: datetime, attempt: int, since: datetime | None = None
    ) -> DueRow:
        """
        Put a row off and add others of the same subject: one request. Raises `Conflict`.

        *since*: what it stands for has been owed so long, and still is.
        """

    async def delete(self, row: DueRow) -> None:
        """Delete a row as it was read. Raises `Conflict`."""

    async def delete_expired(self, row_ref: RowRef) -> None:
        """Delete a row of another table that was kept long enough; a missing one is no error."""


class QueueMessages(Protocol):
    """Queue messages that hurry what is already true; one that is lost is made good by a due row."""

    async def customer_notice(self, claim_id: str) -> None:
        """Ask that what this claim owes be paid soon. Never raises a fault."""

    async def partner_notice(self, claim_id: str) -> None:
        """Ask that the partner be told soon of what this claim owes them. Never raises a fault."""

    async def webhook_delivery(self, organisation: str, *, delay: timedelta | None = None) -> None:
        """Ask that an organisation's webhooks be called soon, or after *delay*. Never raises a fault."""

    async def claim_batch(self, batch_id: str, page: int) -> None:
        """Ask that a page of a batch be dealt with soon. Never raises a fault."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that could not be processed: ids only."""

    id: str
    queue: str
    body: str
    at: datetime


class Failures(Protocol):
    """Messages from the poison queues."""

    async def add(self, failure: Failure) -> None:
        """Write one."""

    async def page(self, *, after: str, limit: int) -> Sequence[Failure]:
        """Return failures behind the position *after*, newest first."""

    def position(self, failure: Failure) -> str:
        """Return where a failure stands in that order."""

    async def redrive(self, failure: Failure) -> None:
        """Put its ids back into the queue it came from, then forget it."""

    def row_ref(self, failure: Failure) -> RowRef:
        """Return table, partition and key of a failure, for it to be forgotten."""


class Telemetry(Protocol):
    """What an operator sees of the work; it never raises a fault."""

    def processing(self, row: DueRow) -> AbstractContextManager[object]:
        """Let what is done within belong to the trace of the act that wrote the row."""

    def settled_late(self, row: DueRow, late: timedelta) -> None:
        """Tell that a due row was settled *late*."""
