"""The form of a mail for both mail systems: one recipient, the text as plain text and as HTML, and common headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr

from cpor_core.errors import RecipientRefused

SEND_LIMIT_SECONDS = 60.0
"""The time limit for one mail. A slow mail system must not block a function."""
MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """One mail to one recipient. `message_id` includes its angle brackets. Each try of a mail has the same one."""

    message_id: str
    to_address: str
    subject: str
    text: str
    html: str
    language: str
    to_name: str | None = None


def sender_of(setting: str) -> Address:
    """Parse a sender: `Name <address>` or an address. Raises ValueError for any other text."""
    name, address = parseaddr(setting)
    if "@" not in address:
        raise ValueError(f"the sender is not a mail address: {setting!r}")
    return Address(name, addr_spec=address)


def recipient_of(mail: OutgoingMail) -> Address:
    """Return the recipient in a form that is safe in headers. Raises `RecipientRefused` for an invalid address."""
    from email_validator import EmailNotValidError, validate_email

    try:
        # Only the form is checked here. The mail system finds out whether the domain exists.
        valid = validate_email(
            mail.to_address,
            allow_smtputf8=False,
            check_deliverability=False,
            globally_deliverable=False,
            test_environment=True,
        )
        return Address(one_line(mail.to_name or ""), addr_spec=valid.ascii_email or mail.to_address)
    except (EmailNotValidError, ValueError) as error:
        raise RecipientRefused(None, "not a mail address") from error


def headers_of(mail: OutgoingMail) -> Mapping[str, str]:
    """Return all headers except sender, recipient and subject. Raises ValueError for an invalid Message-ID."""
    if MESSAGE_ID.fullmatch(mail.message_id) is None:
        raise ValueError(f"not a Message-ID: {mail.message_id!r}")
    return {
        "Message-ID": mail.message_id,
        "Content-Language": one_line(mail.language),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }


def one_line(text: str) -> str:
    """Return *text* on one line, so that it cannot begin another header."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
