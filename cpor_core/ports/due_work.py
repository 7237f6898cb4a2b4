"""Ports for due rows, for queue messages that make due work happen sooner, for failed messages, and for telemetry."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from cpor_core.due_work import RETENTION, Kind, RowRef


@dataclass(frozen=True, slots=True)
class DueRow:
    """
    A row that says when to look at a subject again.

    The subject is the id of a claim, tenant, organisation, batch, erasure or failed message. The handler of the kind
    judges at that instant what is due.
    """

    due: datetime
    subject: str
    kind: Kind
    label: str = ""
    """Tells rows of the same kind and subject apart."""
    attempt: int = 0
    deletes: RowRef | None = None
    """The row that this row deletes, if its kind deletes something."""
    since: datetime | None = None
    """When the work fell due, if the row was put off since then."""
    version: int | None = None
    """The version of the claim that the row's act stores (decision 36b). None if no act on a claim wrote the row."""
    at: datetime | None = None
    """When the row's act arrived."""
    trace: str | None = None
    """The trace of the act that wrote the row, for `Telemetry`."""
    etag: str | None = None
    written_at: datetime | None = None
    """When the row was written, by the real clock. Only a row that was read has this instant and an ETag."""

    @property
    def logged_as(self) -> str:
        """The name of the work in logs and telemetry: its kind, or the name that another release has stored."""
        return self.kind or self.label


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A due row after its handler. `again` is the row as it is put off, or None if the row is deleted."""

    row: DueRow
    again: DueRow | None = None


@dataclass(frozen=True, slots=True)
class DuePage:
    """The due rows of one shard between two places. The places hold instants and ids, and are for `DueRows` only."""

    shard: int
    first: str
    last: str


def of_act(rows: Iterable[DueRow], version: int, at: datetime) -> list[DueRow]:
    """Return the due rows of an act that arrived at *at*, and that stores this version of its claim."""
    return [replace(row, version=version, at=at) for row in rows]


def expiry(kind: Kind, subject: str, since: datetime, deletes: RowRef | None = None, label: str = "") -> DueRow:
    """Return the due row that deletes something that is stored since *since*, at the end of its retention."""
    return DueRow(since + RETENTION[kind], subject, kind, label, deletes=deletes)


class DueRows(Protocol):
    """The table of due rows. Decisions 36 and 36b say when a row can be deleted."""

    async def add(self, rows: Sequence[DueRow]) -> None:
        """Write rows. All rows of one subject are written in one request."""

    async def due(self, shard: int, now: datetime, *, after: DueRow | None, limit: int) -> Sequence[DueRow]:
        """Return the next rows of a shard that are due at *now*, in one request."""

    def page_of(self, shard: int, rows: Sequence[DueRow]) -> DuePage:
        """Return the page that has *rows*, which were read from the shard in this order."""

    async def of_page(self, page: DuePage, *, limit: int) -> Sequence[DueRow]:
        """Return the rows of a page that are still there, in one request."""

    async def move(self, row: DueRow, also: Sequence[DueRow], *, due: datetime, attempt: int) -> DueRow:
        """
        Put a row off until *due* and add the rows *also* of the same subject, in one request. Returns the moved row.

        Raises `Conflict`.
        """

    async def settle(self, rows: Sequence[LookedAt]) -> None:
        """
        Put off and delete rows of one shard, in one request for up to a hundred deleted rows.

        A row that has changed since it was read stays as it is now.
        """

    async def delete_expired(self, row_ref: RowRef) -> None:
        """Delete a row of another table, in one request. A missing row is no error."""


class QueueMessages(Protocol):
    """
    Queue messages that make due work happen sooner. No method raises a fault.

    If a message is lost, a due row leads the timer to the same work.
    """

    async def customer_notice(self, claim_id: str) -> None:
        """Ask for the claim's due work to be done soon."""

    async def partner_notice(self, claim_id: str) -> None:
        """Ask for the claim's mails to partners to be sent soon."""

    async def webhook_delivery(self, organisation: str, *, delay: timedelta | None = None) -> None:
        """Ask for an organisation's webhooks to be called soon, or after *delay*."""

    async def due_page(self, page: DuePage) -> bool:
        """Ask for the due work of a page to be done soon. Returns whether a message was sent."""

    async def has_due_pages(self) -> bool:
        """Whether messages of `due_page` are waiting or in work, in one request. True if that is not known."""

    async def claim_batch(self, batch_id: str, page: int) -> None:
        """Ask for a page of a batch to be processed soon."""

    async def claim_export(self, export_id: str, page: int) -> None:
        """Ask for a page of an export to be made soon."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that could not be processed. It holds only ids."""

    id: str
    queue: str
    body: str
    at: datetime


class Failures(Protocol):
    """Messages from the poison queues."""

    async def add(self, failure: Failure) -> None:
        """Write a failure."""

    async def page(self, *, after: str, limit: int) -> Sequence[Failure]:
        """Return up to *limit* failures after the position *after*, newest first."""

    def position(self, failure: Failure) -> str:
        """Return the position of a failure in the list of `page`."""

    async def redrive(self, failure: Failure) -> None:
        """Put the message back into its queue, then delete the failure."""

    def row_ref(self, failure: Failure) -> RowRef:
        """Return the reference to a failure, for the due row that deletes the failure."""


class Telemetry(Protocol):
    """Traces and metrics of due work, for operators. No method raises a fault."""

    def processing(self, row: DueRow) -> AbstractContextManager[object]:
        """Record the work in this context as part of the trace of the act that wrote the row."""

    def settled_late(self, row: DueRow, late: timedelta) -> None:
        """Record that the work of a due row was done, *late* after the work fell due."""
