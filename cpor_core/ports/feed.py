"""Ports for the change feeds, and for the webhooks that are called on each change."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.change import Change
from cpor_core.model.webhook import CallOutcome, Delivery, Webhook
from cpor_core.ports.stored import Stored


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The state of an organisation's change feed. `etag` is None while the feed is empty."""

    last: int = 0
    """Number of the newest change."""
    oldest: int = 1
    """Number of the oldest change that is stored."""
    has_webhooks: bool = False
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    A change to append to a feed.

    It is a history entry of a claim, a new note of the partner, or the news that a rival competes with the claim.
    """

    change: Change
    number: int
    """
    The number of the history entry, or of the note.

    For a rival that competes again, it is the number of the rival's dispute. For a rival that competes for the first
    time, it is 0.
    """
    competes_with: str | None = None
    """The claim id of the rival."""
    is_note: bool = False

    def numbered(self, sequence: int) -> "Announcement":
        """Return the announcement with its number in the feed."""
        return replace(self, change=self.change.model_copy(update={"sequence": sequence}))


class Changes(Protocol):
    """The change feeds. Each organisation has one partition."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has a feed, in one request for each organisation and one more."""

    async def head(self, organisation: str) -> FeedHead:
        """Return the state of a feed, in one request."""

    async def known_head(self, organisation: str) -> FeedHead:
        """
        Return the state of a feed as this process read or wrote it last, usually without a request.

        Another process can have appended since. Then `append` raises `Conflict`.
        """

    async def page(self, organisation: str, *, after: int, limit: int) -> Sequence[Change]:
        """Return the changes after the number *after*, in order, in one request."""

    def turn(self, organisation: str) -> AbstractAsyncContextManager[object]:
        """Let the tasks of this process append to a feed one after another. Other processes can cause a `Conflict`."""

    async def announced_up_to(self, organisation: str, claim_id: str) -> int:
        """Return the number of the claim's newest announced history entry, in one request."""

    def known_announced(self, claim_id: str) -> int:
        """Return the number of a claim's newest history entry that this process has announced, without a request."""

    async def notes_announced_up_to(self, organisation: str, claim_id: str) -> int:
        """Return the number of the claim's newest announced note, in one request."""

    async def rivals_of(self, organisation: str, claim_id: str) -> Sequence[str]:
        """Return the ids of the claims that the feed has announced as rivals of a claim, in one request."""

    async def has_announced_rival(self, organisation: str, claim_id: str, rival: str, time: int) -> bool:
        """Whether the feed has the `Announcement` with the number *time* that the claim competes with *rival*."""

    async def append(self, organisation: str, head: FeedHead, news: Sequence[Announcement]) -> FeedHead:
        """
        Append announcements in one request. Their numbers follow on `head.last`. Returns the new head.

        Raises `Conflict` in three cases: another process has appended, an announcement is in the feed already, or the
        history entry or the note before the first announcement is not yet in the feed.
        """

    async def trim(self, organisation: str, *, before: datetime) -> datetime | None:
        """
        Delete changes from before that instant, as many as one request can delete. Raises `Conflict`.

        Returns the instant of the oldest change that is still stored, or None.
        """

    async def note_webhooks(self, organisation: str, *, has_webhooks: bool) -> None:
        """Store whether the organisation has webhooks. Raises `Conflict`."""


class Webhooks(Protocol):
    """Webhooks with their deliveries. Each organisation has one partition."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has or had webhooks, in one request for each organisation and one more."""

    def kept(self, organisation: str) -> AsyncIterator[tuple[tuple[str, str], Delivery]]:
        """Yield every delivery with the name and birth of its webhook, also the deliveries of deleted webhooks."""

    async def all(self, organisation: str) -> Sequence[Stored[Webhook]]:
        """Return all webhooks of an organisation in the order of their names, in one request."""

    async def find(self, organisation: str, name: str) -> Stored[Webhook] | None:
        """Return a webhook, in one request."""

    async def write(
        self, organisation: str, webhook: Webhook, former: Stored[Webhook] | None, made: Sequence[Delivery] = ()
    ) -> Stored[Webhook]:
        """
        Write a webhook over *former* with up to 45 new deliveries, in one request. Raises `Conflict`.

        *former* is None for a new webhook.
        """

    async def delete(self, organisation: str, former: Stored[Webhook]) -> None:
        """Delete a webhook in one request. Raises `Conflict` if the webhook has changed since it was read."""

    async def add(self, organisation: str, webhook: Webhook, delivery: Delivery) -> None:
        """Write a new delivery, in one request."""

    async def deliveries(self, organisation: str, webhook: Webhook, *, after: str, limit: int) -> Sequence[Delivery]:
        """Return up to *limit* deliveries after the place *after*, newest first, in one request."""

    async def is_waiting(self, organisation: str, webhook: Webhook, now: datetime) -> bool:
        """Whether an attempt is due at *now*. Makes one request."""

    async def waiting(
        self, organisation: str, webhook: Webhook, now: datetime, *, limit: int
    ) -> Sequence[Stored[Delivery]]:
        """Return deliveries with an attempt due at *now*, oldest first, in one request and one for each delivery."""

    async def record(self, organisation: str, webhook: Webhook, before: Stored[Delivery], after: Delivery) -> None:
        """Write a delivery after an attempt, in one request. Raises `Conflict`."""

    async def begin_calls(self, organisation: str, webhook: Webhook, now: datetime, until: datetime) -> str | None:
        """
        Take the right to call a webhook until *until*, an instant of the real clock. Returns an ETag for `end_calls`.

        Returns None while another process has the right.
        """

    async def end_calls(self, organisation: str, webhook: Webhook, etag: str) -> None:
        """Give the right to call back. Does nothing if the right has ended and another process has taken it."""

    def deliveries_before(self, organisation: str, webhook: tuple[str, str], instant: datetime) -> RowRef:
        """Return the reference to a webhook's deliveries from before *instant*, for the due row that deletes them."""

    async def delete_deliveries(self, row_ref: RowRef) -> None:
        """Delete the deliveries to which `deliveries_before` refers."""


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The result of one call. `wait` is the time for which the receiver asked us to wait."""

    outcome: CallOutcome
    status: int | None = None
    wait: timedelta | None = None


class Receivers(Protocol):
    """The partners' own servers."""

    async def verify(self, url: str) -> None:
        """Raise `Refused` for an address that must not be called."""

    async def call(self, url: str, secrets: Sequence[str], name: str, delivery: Delivery) -> CallAnswer:
        """Send the event of a delivery to the webhook *name*, signed with each of *secrets*. Never raises a fault."""
