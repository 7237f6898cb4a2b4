"""
Hands mails over by SMTP.

This file must tell two kinds of failures apart. If the server refuses the recipient for ever, or for more than three
days, the customer's window can stop. Every other failure (server, sender, password, network) is our own fault. Such a
failure must never stop a window.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, NoReturn

from cpor_app.adapters.mail.outgoing import (
    SEND_LIMIT_SECONDS,
    OutgoingMail,
    headers_of,
    one_line,
    recipient_of,
    sender_of,
)
from cpor_core.errors import MailDelayed, RecipientRefused

if TYPE_CHECKING:
    import ssl

    from aiosmtplib import SMTP

QUIT_LIMIT_SECONDS = 2.0
"""The time limit for QUIT. The mail is handed over before it."""
SERVICE_CLOSING = 421
PERMANENT = 500
OUR_OWN_FAULT = frozenset({500, 502, 503, 504, 530, 534, 535, 538})
"""Codes of replies about our commands and our login (RFC 5321 §4.2.3, RFC 4954 §6)."""
ABOUT_THE_SENDER = ("5.1.7", "5.1.8")
"""Codes (RFC 3463) for a wrong sender's address. A server can send them in the reply about the recipient."""
ABOUT_THE_SERVER = ("4.3.", "4.4.")
"""Codes (RFC 3463) for faults of the mail system and the network."""


class SmtpMailer:
    """Sends mails by SMTP. Each mail has its own connection."""

    def __init__(  # noqa: PLR0913 - a mail server needs all of these
        self,
        host: str,
        port: int,
        *,
        starttls: bool,
        username: str | None = None,
        password: str | None = None,
        sender: str,
        sender_domain: str,
        now: Callable[[], datetime],
        tls_context: "ssl.SSLContext | None" = None,
        limit_seconds: float = SEND_LIMIT_SECONDS,
    ) -> None:
        """
        Send through the server at *host*. *sender* is `Name <address>` or an address, *sender_domain* is for EHLO.

        *now* is for the `Date` header only. Raises ValueError when *sender* is not an address.
        """
        self._sender = sender_of(sender)
        self._host = host
        self._port = port
        self._starttls = starttls
        self._username = username or None
        self._password = password or None
        self._sender_domain = sender_domain
        self._now = now
        self._tls_context = tls_context
        self._limit_seconds = limit_seconds

    async def send(self, mail: OutgoingMail) -> None:
        """
        Hand *mail* over.

        Raises `RecipientRefused` when the recipient can never be reached, and `MailDelayed` for every other failure.
        """
        from aiosmtplib import SMTP, SMTPException

        recipient = recipient_of(mail)
        message = self._message(mail, recipient)
        server = SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._sender_domain,
            username=self._username,
            password=self._password,
            start_tls=self._starttls,
            tls_context=self._tls_context,
            timeout=self._limit_seconds,
        )
        try:
            async with asyncio.timeout(self._limit_seconds):
                await server.connect()
                await self._transfer(server, message, recipient)
            await _quit(server)
        except TimeoutError as error:
            raise MailDelayed(f"the mail server took longer than {self._limit_seconds:g} s") from error
        except (SMTPException, OSError) as error:
            raise MailDelayed(f"the mail server could not be used: {error}") from error
        finally:
            server.close()

    async def close(self) -> None:
        """Do nothing, because nothing is open between two mails."""

    async def _transfer(self, server: "SMTP", message: EmailMessage, recipient: Address) -> None:
        from aiosmtplib import SMTPDataError, SMTPRecipientRefused

        await server.mail(self._sender.addr_spec)
        try:
            await server.rcpt(recipient.addr_spec)
            await server.data(message.as_bytes())
        except (SMTPRecipientRefused, SMTPDataError) as error:
            # Each mail has one recipient. Once the server has accepted the sender, a refusal is about that recipient.
            _raise_fault(error.code, error.message, error)

    def _message(self, mail: OutgoingMail, recipient: Address) -> EmailMessage:
        message = EmailMessage(policy=policy.SMTP)
        # With quoted-printable, lines stay short, and a signature that another server adds stays valid.
        message.set_content(mail.text, cte="quoted-printable")
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
        message["From"] = self._sender
        message["To"] = recipient
        message["Subject"] = one_line(mail.subject)
        message["Date"] = format_datetime(self._now())
        for name, value in headers_of(mail).items():
            message[name] = value
        return message


def _raise_fault(code: int, reason: str, error: Exception) -> NoReturn:
    """Raise `RecipientRefused` or `MailDelayed` for a refusal. The texts differ by server, so only codes decide."""
    if code >= PERMANENT:
        if code in OUR_OWN_FAULT or reason.startswith(ABOUT_THE_SENDER):
            raise MailDelayed(f"{code} {reason}") from error
        raise RecipientRefused(code, f"{code} {reason}") from error
    is_recipient_refused = code != SERVICE_CLOSING and not reason.startswith(ABOUT_THE_SERVER)
    raise MailDelayed(f"{code} {reason}", recipient_refused_for_now=is_recipient_refused) from error


async def _quit(server: "SMTP") -> None:
    """Send QUIT. The answer does not matter, because the mail is handed over already."""
    from aiosmtplib import SMTPException

    try:
        await server.quit(timeout=QUIT_LIMIT_SECONDS)
    except (SMTPException, OSError):
        return
