"""Mails: their content, how they are sent, and what is stored of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.claim import Claim, MailKind, PartnerMailKind, Reason, Recipient
from cpor_core.rules.mail_budget import Drawn, Urgency


@dataclass(frozen=True, slots=True)
class SentMail:
    """The claim, the promise or mail, and the recipient of a Message-ID."""

    claim_id: str
    kind: str
    number: int
    recipient: int


class Mails(Protocol):
    """Message-IDs. So a delivery report finds its claim, and only one process at a time sends a mail."""

    async def start_sending(
        self, message_id: str, sent: SentMail, by: str, now: datetime, until: datetime
    ) -> str | None:
        """
        Store an id before its mail is sent, for one sender (*by*) *until* that real time; returns the row's ETag.

        Returns None while another sender has it. One request for a new id, three for another try.
        """

    async def release(self, message_id: str, sent: SentMail, etag: str) -> None:
        """Let other senders try, because the mail was not handed over. Without effect after the sender's time."""

    async def find(self, message_id: str) -> SentMail | None:
        """Return what the id belongs to; None for an unknown id."""

    def row_ref(self, message_id: str) -> RowRef:
        """Return the reference of a mail's row, for the due row that deletes it."""

    def all(self) -> AsyncIterator[tuple[str, SentMail]]:
        """Yield each Message-ID, and what it belongs to: a scan."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """The content of a mail, in terms of the domain."""

    kind: MailKind | PartnerMailKind
    number: int
    message_id: str
    recipient: Recipient
    claim: Claim
    happened_at: datetime | None = None
    """The instant of what the mail reports."""
    reason: str | None = None
    reasons: tuple[Reason, ...] = ()
    """The reasons in a mail to a partner."""
    time_zone: str = "UTC"
    """The time zone of instants in a mail to a partner."""


class Composer(Protocol):
    """The mail system."""

    async def send(self, message: MailMessage) -> None:
        """Hand a message over. Raises `RecipientRefused`, and `MailDelayed` if it was not handed over now."""


class MailBudget(Protocol):
    """The mails that the deployment can hand over, by real time. Makes no request if there is no limit."""

    async def draw(self, wanted: int, urgency: Urgency) -> Drawn:
        """Return how many of *wanted* mails can be handed over now, and when it is the turn of the others."""

    async def pause(self, until: datetime) -> None:
        """Stop all hand-overs until *until*."""
