"""A mail for either mail system: one recipient, the same text twice (plain, HTML), and common headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr

from cpor_core.errors import RecipientRefused

SEND_LIMIT_SECONDS = 60.0
"""For one mail, from the first packet to the receipt. A slow mail system must not block a function."""
MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """One mail to one recipient. `message_id` has its angle brackets and stays the same on each try."""

    message_id: str
    to_address: str
    subject: str
    text: str
    html: str
    language: str
    to_name: str | None = None


def sender_of(setting: str) -> Address:
    """Return the sender of `Name <address>` or of an address. Raises ValueError for any other text."""
    name, address = parseaddr(setting)
    if "@" not in address:
        raise ValueError(f"the sender is not a mail address: {setting!r}")
    return Address(name, addr_spec=address)


def recipient_of(mail: OutgoingMail) -> Address:
    """Return an address that is safe in header and envelope. Raises `RecipientRefused` when it is not valid."""
    from email_validator import EmailNotValidError, validate_email

    try:
        # Only the form counts here. The mail system finds out whether the domain exists.
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
    """Return the headers apart from sender, recipient and subject. Raises ValueError for a bad Message-ID."""
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
