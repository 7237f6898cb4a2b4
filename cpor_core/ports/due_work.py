"""Due rows, the queue messages that make due work happen sooner, failed messages, and what operators see of it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cpor_core.due_work import RETENTION, Kind, RowRef


@dataclass(frozen=True, slots=True)
class DueRow:
    """
    When to look at a subject again.

    What is true then is judged anew by the handler of the kind. The subject is the id of
    a claim, tenant, organisation, batch, erasure or failed message.
    """

    due: datetime
    subject: str
    kind: Kind
    label: str = ""
    """Tells rows of the same kind and subject apart."""
    attempt: int = 0
    deletes: RowRef | None = None
    """What the row deletes, if it is of a kind that deletes."""
    since: datetime | None = None
    """When the work fell due, if it was put off since then."""
    trace: str | None = None
    """The trace of the act that wrote the row, for `Telemetry`."""
    etag: str | None = None
    written_at: datetime | None = None
    """When the row was written, by the real clock; known of a row that was read, as is its ETag."""

    @property
    def logged_as(self) -> str:
        """The name of the work in logs and telemetry: its kind, or the name that another release has stored."""
        return self.kind or self.label


def expiry(kind: Kind, subject: str, since: datetime, deletes: RowRef, label: str = "") -> DueRow:
    """Return the due row that deletes something when it has been kept long enough *since* then."""
    return DueRow(since + RETENTION[kind], subject, kind, label, deletes=deletes)


class DueRows(Protocol):
    """The table of due rows. When a row may be deleted: decision 36."""

    async def add(self, rows: Sequence[DueRow]) -> None:
        """Write rows: one request for each subject, however many rows it has."""

    async def due(self, shard: int, now: datetime, *, after: DueRow | None, limit: int) -> Sequence[DueRow]:
        """Return the next rows of a shard that are due at *now*: one request."""

    async def move(
        self, row: DueRow, also: Sequence[DueRow], *, due: datetime, attempt: int, since: datetime | None = None
    ) -> DueRow:
        """
        Put a row off and add others of the same subject: one request. Returns the moved row. Raises `Conflict`.

        *since* is when the work fell due, if it still is.
        """

    async def delete(self, row: DueRow) -> None:
        """Delete a row as it was read. Raises `Conflict`."""

    async def delete_expired(self, row_ref: RowRef) -> None:
        """Delete a row of another table: one request. A missing row is no error."""


class QueueMessages(Protocol):
    """Queue messages that make due work happen sooner. A due row makes good what is lost. None raises a fault."""

    async def customer_notice(self, claim_id: str) -> None:
        """Ask for the claim's due work to be done soon."""

    async def partner_notice(self, claim_id: str) -> None:
        """Ask for the claim's mails to partners to be sent soon."""

    async def webhook_delivery(self, organisation: str, *, delay: timedelta | None = None) -> None:
        """Ask for an organisation's webhooks to be called soon, or after *delay*."""

    async def claim_batch(self, batch_id: str, page: int) -> None:
        """Ask for a page of a batch to be processed soon."""


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
        """Return the position of a failure in that order."""

    async def redrive(self, failure: Failure) -> None:
        """Put the message back into its queue, then delete the failure."""

    def row_ref(self, failure: Failure) -> RowRef:
        """Return where a failure is stored, for the due row that deletes it."""


class Telemetry(Protocol):
    """What operators see of due work. It never raises a fault."""

    def processing(self, row: DueRow) -> AbstractContextManager[object]:
        """Record what is done within as part of the trace of the act that wrote the row."""

    def settled_late(self, row: DueRow, late: timedelta) -> None:
        """Record that a due row was settled *late*."""
