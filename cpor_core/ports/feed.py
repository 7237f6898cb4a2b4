"""The change feeds, and the webhooks that are called on each change."""

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
    """The state of an organisation's change feed; `etag` is None while the feed is empty."""

    last: int = 0
    """Number of the newest change."""
    oldest: int = 1
    """Number of the oldest change that is stored."""
    has_webhooks: bool = False
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """A change to append to a feed: one history entry of a claim, or the news that a rival competes with it."""

    change: Change
    number: int
    """Number of the history entry. For a rival: of its dispute, by which it competes again, or 0 for the first time."""
    competes_with: str | None = None

    def numbered(self, sequence: int) -> "Announcement":
        """Return the announcement with its number in the feed."""
        return replace(self, change=self.change.model_copy(update={"sequence": sequence}))


class Changes(Protocol):
    """The change feeds, one partition for each organisation."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has a feed: one request for each, and one."""

    async def head(self, organisation: str) -> FeedHead:
        """Return the state of a feed: one request."""

    async def page(self, organisation: str, *, after: int, limit: int) -> Sequence[Change]:
        """Return the changes after the number *after*, in order: one request."""

    def turn(self, organisation: str) -> AbstractAsyncContextManager[object]:
        """Let the tasks of this process append to a feed one after the other. Between processes, `Conflict` decides."""

    async def announced_up_to(self, organisation: str, claim_id: str) -> int:
        """Return the number of the newest history entry of a claim that was announced: one request."""

    async def has_announced_rival(self, organisation: str, claim_id: str, rival: str, time: int) -> bool:
        """Whether it was announced that a claim competes with a rival, for that *time*: one request."""

    async def append(self, organisation: str, head: FeedHead, news: Sequence[Announcement]) -> FeedHead:
        """
        Append news, numbered from `head.last` on: one request. Returns the new head.

        Raises `Conflict` when somebody else has appended, when some of the news was announced before, or when the entry
        before it was not.
        """

    async def trim(self, organisation: str, *, before: datetime) -> datetime | None:
        """
        Delete changes from before that instant, as many as one request takes. Raises `Conflict`.

        Returns the instant of the oldest change that is left, or None.
        """

    async def note_webhooks(self, organisation: str, *, has_webhooks: bool) -> None:
        """Store whether the organisation has webhooks. Raises `Conflict`."""


class Webhooks(Protocol):
    """Webhooks with their deliveries, one partition for each organisation."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has, or had, webhooks: one request for each, and one."""

    def kept(self, organisation: str) -> AsyncIterator[tuple[tuple[str, str], Delivery]]:
        """Yield every delivery, with name and birth of its webhook; also those of deleted webhooks."""

    async def all(self, organisation: str) -> Sequence[Stored[Webhook]]:
        """Return every webhook, by name: one request."""

    async def find(self, organisation: str, name: str) -> Stored[Webhook] | None:
        """Return one webhook: one request."""

    async def write(
        self, organisation: str, webhook: Webhook, former: Stored[Webhook] | None, made: Sequence[Delivery] = ()
    ) -> Stored[Webhook]:
        """Write over *former* (None: nothing was there) with up to 45 deliveries: one request. Raises `Conflict`."""

    async def delete(self, organisation: str, former: Stored[Webhook]) -> None:
        """Delete a webhook as it was read: one request. Raises `Conflict`."""

    async def add(self, organisation: str, webhook: Webhook, delivery: Delivery) -> None:
        """Write one new delivery: one request."""

    async def deliveries(self, organisation: str, webhook: Webhook, *, after: str, limit: int) -> Sequence[Delivery]:
        """Return the deliveries behind the place *after*, newest first: one request."""

    async def is_waiting(self, organisation: str, webhook: Webhook, now: datetime) -> bool:
        """Whether an attempt is due at *now*: one request."""

    async def waiting(
        self, organisation: str, webhook: Webhook, now: datetime, *, limit: int
    ) -> Sequence[Stored[Delivery]]:
        """Return the deliveries whose attempt is due at *now*, the oldest first: one request, and one for each."""

    async def record(self, organisation: str, webhook: Webhook, before: Stored[Delivery], after: Delivery) -> None:
        """Write a delivery after an attempt: one request. Raises `Conflict`."""

    async def begin_calls(self, organisation: str, webhook: Webhook, now: datetime, until: datetime) -> str | None:
        """Take the right to call a webhook *until* then, by the real clock. None while another process has it."""

    async def end_calls(self, organisation: str, webhook: Webhook, etag: str) -> None:
        """Give the right back. Does nothing when its time was over and another process has taken it."""

    def deliveries_before(self, organisation: str, webhook: tuple[str, str], instant: datetime) -> RowRef:
        """Return where a webhook's deliveries from before *instant* are stored, for the due row that deletes them."""

    async def delete_deliveries(self, row_ref: RowRef) -> None:
        """Delete the deliveries to which `deliveries_before` refers."""


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The result of one call; `wait` is how long the receiver asked us to wait."""

    outcome: CallOutcome
    status: int | None = None
    wait: timedelta | None = None


class Receivers(Protocol):
    """The partners' own servers."""

    async def verify(self, url: str) -> None:
        """Raise `Refused` for an address that must not be called."""

    async def call(self, url: str, secrets: Sequence[str], name: str, delivery: Delivery) -> CallAnswer:
        """Send one event of the webhook *name*, signed with each of *secrets*. Never raises a fault."""
