"""Mails: what they say, who hands them over, and what is kept of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.claim import Claim, MailKind, PartnerMailKind, Reason, Recipient
from cpor_core.rules.mail_budget import Drawn, Urgency


@dataclass(frozen=True, slots=True)
class SentMail:
    """Which claim, promise or mail, and recipient a Message-ID belongs to."""

    claim_id: str
    kind: str
    number: int
    recipient: int


class Mails(Protocol):
    """Message ids, so that a delivery report finds its claim, and one process at a time sends a mail."""

    async def start_sending(
        self, message_id: str, sent: SentMail, by: str, now: datetime, until: datetime
    ) -> str | None:
        """
        Keep an id before its mail is sent, held *by* one sender *until* then, in real time; returns the store's ETag.

        None while another holds it. One request for a new one, three for another try.
        """

    async def release(self, message_id: str, sent: SentMail, etag: str) -> None:
        """Let others send: it was not handed over. A sender whose time was over has no say any more."""

    async def find(self, message_id: str) -> SentMail | None:
        """Return what the id belongs to; None for one that we never gave."""

    def row_ref(self, message_id: str) -> RowRef:
        """Return table, partition and key of what is kept of a mail, for it to be forgotten."""

    def all(self) -> AsyncIterator[tuple[str, SentMail]]:
        """Yield every message id, and what it belongs to: a scan."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """What a mail says, in the words of the domain."""

    kind: MailKind | PartnerMailKind
    number: int
    message_id: str
    recipient: Recipient
    claim: Claim
    happened_at: datetime | None = None
    """When what the mail reports came about."""
    reason: str | None = None
    reasons: tuple[Reason, ...] = ()
    """Those that a partner is told of."""
    time_zone: str = "UTC"
    """In which a partner reads of instants."""


class Composer(Protocol):
    """The mail system."""

    async def send(self, message: MailMessage) -> None:
        """Hand a message over. Raises `RecipientRefused`, or `MailDelayed` when it was not handed over now."""


class MailBudget(Protocol):
    """What the whole deployment may hand over to the mail system, in real time; no request where nothing is limited."""

    async def draw(self, wanted: int, urgency: Urgency) -> Drawn:
        """Return how many of *wanted* mails may be handed over now, and when the turn of the others comes."""

    async def pause(self, until: datetime) -> None:
        """Let nobody hand a mail over before *until*."""
