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
    """Where an organisation's change feed stands; `etag` is the store's, None while there is no entry."""

    last: int = 0
    """Sequence of the newest entry."""
    oldest: int = 1
    """Sequence of the oldest entry that is kept."""
    has_webhooks: bool = False
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell a feed: what, of which history entry, or that another claim competes."""

    change: Change
    number: int
    """Of the history entry; or of that by which the other came back with a dispute, 0 when it first came."""
    competes_with: str | None = None

    def numbered(self, sequence: int) -> "Announcement":
        """Return it with its number in the feed."""
        return replace(self, change=self.change.model_copy(update={"sequence": sequence}))


class Changes(Protocol):
    """The change feeds, one partition for each organisation."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has a feed: one request for each, and one."""

    async def head(self, organisation: str) -> FeedHead:
        """Return where the feed stands: one request."""

    async def page(self, organisation: str, *, after: int, limit: int) -> Sequence[Change]:
        """Return entries whose sequence is above *after*, in order: one request."""

    def turn(self, organisation: str) -> AbstractAsyncContextManager[object]:
        """Let the tasks of this process tell a feed one after the other: between processes, `Conflict` decides."""

    async def announced_up_to(self, organisation: str, claim_id: str) -> int:
        """Return the number of the newest history entry of a claim that the feed was told of: one request."""

    async def has_announced_rival(self, organisation: str, claim_id: str, rival: str, time: int) -> bool:
        """Whether the feed was told that a claim competes with another, that *time*: one request."""

    async def append(self, organisation: str, head: FeedHead, news: Sequence[Announcement]) -> FeedHead:
        """
        Tell news, numbered from `head.last` on: one request. Returns the new head.

        Raises `Conflict` when the feed has gone on, one of the news was told before, or an earlier one was not.
        """

    async def trim(self, organisation: str, *, before: datetime) -> datetime | None:
        """
        Delete entries from before that instant, as many as one request takes; returns the instant of the oldest left.

        Raises `Conflict`.
        """

    async def note_webhooks(self, organisation: str, *, has_webhooks: bool) -> None:
        """Write down whether anybody is to be called. Raises `Conflict`."""


class Webhooks(Protocol):
    """Webhooks with their deliveries, one partition for each organisation."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has, or had, webhooks: one request for each, and one."""

    def kept(self, organisation: str) -> AsyncIterator[tuple[tuple[str, str], Delivery]]:
        """Yield every delivery that is kept, with its webhook's name and birth: those of deleted ones too."""

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
        """Return deliveries behind the place *after*, newest first: one request."""

    async def is_waiting(self, organisation: str, webhook: Webhook, now: datetime) -> bool:
        """Whether a delivery is to be tried at *now*: one request."""

    async def waiting(
        self, organisation: str, webhook: Webhook, now: datetime, *, limit: int
    ) -> Sequence[Stored[Delivery]]:
        """Return deliveries that are to be tried at *now*, the longest due first: one request, and one for each."""

    async def record(self, organisation: str, webhook: Webhook, before: Stored[Delivery], after: Delivery) -> None:
        """Write what came of a try: one request. Raises `Conflict`."""

    async def begin_calls(self, organisation: str, webhook: Webhook, now: datetime, until: datetime) -> str | None:
        """Return an ETag when it is for this process to call, *until* then; None while another has it. In real time."""

    async def end_calls(self, organisation: str, webhook: Webhook, etag: str) -> None:
        """Let others call; one whose time was over has no say any more."""

    def deliveries_before(self, organisation: str, webhook: tuple[str, str], instant: datetime) -> RowRef:
        """Return where a webhook's deliveries from before *instant* are stored, for the due row that deletes them."""

    async def delete_deliveries(self, row_ref: RowRef) -> None:
        """Delete the deliveries to which `deliveries_before` refers."""


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What came of calling a receiver; `wait` is how long it asked us to."""

    outcome: CallOutcome
    status: int | None = None
    wait: timedelta | None = None


class Receivers(Protocol):
    """The partners' own servers."""

    async def verify(self, url: str) -> None:
        """Raise `Refused` for an address that could never be called."""

    async def call(self, url: str, secrets: Sequence[str], name: str, delivery: Delivery) -> CallAnswer:
        """Send one event of the webhook *name*, signed with each of *secrets*. Never raises a fault."""
