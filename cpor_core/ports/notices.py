"""Ports for mails: their content, their sending, the stored Message-IDs, and the mail budget."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.claim import Claim, MailKind, PartnerMailKind, Reason, Recipient
from cpor_core.model.mail import MailOutcome
from cpor_core.rules.mail_budget import Drawn, Urgency


@dataclass(frozen=True, slots=True)
class SentMail:
    """The mail of a Message-ID: its claim, kind, number and recipient."""

    claim_id: str
    kind: str
    number: int
    recipient: int


@dataclass(frozen=True, slots=True)
class MailRecord:
    """What is stored about a mail: its last try, and its delivery report. Release 1 stored neither of them."""

    mail: SentMail
    tried: MailOutcome | None = None
    """`HANDED_OVER`, `PENDING` if the mail was put off, or `FAILED`. A try begins as `HANDED_OVER`."""
    tried_at: datetime | None = None
    reported: MailOutcome | None = None
    reported_at: datetime | None = None


class Mails(Protocol):
    """
    Message-IDs, and what became of their mails.

    By a Message-ID a delivery report finds its claim. The row of a Message-ID also ensures that only one process at a
    time sends the mail.
    """

    async def start_sending(
        self, message_id: str, sent: SentMail, by: str, at: datetime, now: datetime, until: datetime
    ) -> str | None:
        """
        Store a Message-ID before its mail is sent, and *at* as the instant of the try. Returns the ETag of the row.

        Only the sender *by* can send the mail until *until*. Both *now* and *until* are instants of the real clock.
        Returns None while another sender can. Makes one request for a new id, and three for another try.
        """

    async def stop_sending(
        self, message_id: str, sent: SentMail, etag: str, outcome: MailOutcome, at: datetime
    ) -> None:
        """
        Store that the mail was not handed over: it was put off, or has failed. Other senders can then try.

        Does nothing if the row has changed, because the sender's time is over or a report has come.
        """

    async def report(self, message_id: str, outcome: MailOutcome, at: datetime) -> SentMail | None:
        """
        Store the outcome in a delivery report, unless the stored one counts more. Returns the mail.

        Returns None for an unknown Message-ID. Makes one request, and one more if the outcome is stored.
        """

    async def find(self, message_id: str) -> MailRecord | None:
        """Return what is stored about the mail of a Message-ID, in one request. None for an unknown id."""

    def row_ref(self, message_id: str) -> RowRef:
        """Return the reference to the row of a Message-ID, for the due row that deletes it."""

    def all(self) -> AsyncIterator[tuple[str, SentMail]]:
        """Scan the table, and yield each Message-ID with its mail."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """One mail to one recipient, before its text is composed."""

    kind: MailKind | PartnerMailKind
    number: int
    message_id: str
    recipient: Recipient
    claim: Claim
    happened_at: datetime | None = None
    """The instant of the event that the mail reports."""
    reason: str | None = None
    reasons: tuple[Reason, ...] = ()
    """The reasons in a mail to a partner."""
    time_zone: str = "UTC"
    """The time zone of instants in a mail to a partner."""


class Composer(Protocol):
    """The mail system."""

    async def send(self, message: MailMessage) -> None:
        """Hand a mail over. Raises `RecipientRefused`, or `MailDelayed` if the mail can be handed over later."""


class MailBudget(Protocol):
    """The mails that the deployment can hand over, by the real clock. Makes no request if there is no limit."""

    async def draw(self, wanted: int, urgency: Urgency) -> Drawn:
        """Return how many of *wanted* mails can be handed over now, and when to ask for the other mails."""

    async def pause(self, until: datetime) -> None:
        """Let no mail be handed over until *until*."""
