"""
Hands mails over by SMTP.

What matters most is whose failure it is. A recipient who is refused for good can stop the customer's window. One who is
refused for now can do so after three days. Every other failure (server, sender, password, network) is ours. It
must never count against a customer who got no notice.
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

FAREWELL_LIMIT_SECONDS = 2.0
"""For QUIT, when the mail is handed over already."""
SERVICE_CLOSING = 421
PERMANENT = 500
OUR_OWN_FAULT = frozenset({500, 502, 503, 504, 530, 534, 535, 538})
"""Replies about our commands and our login: RFC 5321 §4.2.3, RFC 4954 §6."""
ABOUT_THE_SENDER = ("5.1.7", "5.1.8")
"""RFC 3463: a fault of the sender's address, although the server answers the recipient's line."""
ABOUT_THE_SERVER = ("4.3.", "4.4.")
"""RFC 3463: faults of mail system and network."""


class SmtpMailer:
    """Sends each mail over its own connection. Nothing stays open between two mails."""

    def __init__(  # noqa: PLR0913 - what a mail server needs to be told
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
        Take the server, *sender* (`Name <address>` or an address), and the domain for EHLO.

        *now* is for the `Date` header only. Raises ValueError when *sender* is no address.
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
            await _say_goodbye(server)
        except TimeoutError as error:
            raise MailDelayed(f"the mail server took longer than {self._limit_seconds:g} s") from error
        except (SMTPException, OSError) as error:
            raise MailDelayed(f"the mail server could not be used: {error}") from error
        finally:
            server.close()

    async def close(self) -> None:
        """Nothing is open between two mails."""

    async def _transfer(self, server: "SMTP", message: EmailMessage, recipient: Address) -> None:
        from aiosmtplib import SMTPDataError, SMTPRecipientRefused

        await server.mail(self._sender.addr_spec)
        try:
            await server.rcpt(recipient.addr_spec)
            await server.data(message.as_bytes())
        except (SMTPRecipientRefused, SMTPDataError) as error:
            # A mail has one recipient. After the sender was accepted, each refusal is about that recipient.
            _judge(error.code, error.message, error)

    def _message(self, mail: OutgoingMail, recipient: Address) -> EmailMessage:
        message = EmailMessage(policy=policy.SMTP)
        # Always quoted-printable: a signature added on the way stays valid, and lines stay short.
        message.set_content(mail.text, cte="quoted-printable")
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
        message["From"] = self._sender
        message["To"] = recipient
        message["Subject"] = one_line(mail.subject)
        message["Date"] = format_datetime(self._now())
        for name, value in headers_of(mail).items():
            message[name] = value
        return message


def _judge(code: int, reason: str, error: Exception) -> NoReturn:
    """Return whose failure a refusal is. Only the codes count, because each server has its own texts."""
    if code >= PERMANENT:
        if code in OUR_OWN_FAULT or reason.startswith(ABOUT_THE_SENDER):
            raise MailDelayed(f"{code} {reason}") from error
        raise RecipientRefused(code, f"{code} {reason}") from error
    theirs = code != SERVICE_CLOSING and not reason.startswith(ABOUT_THE_SERVER)
    raise MailDelayed(f"{code} {reason}", recipient_refused_for_now=theirs) from error


async def _say_goodbye(server: "SMTP") -> None:
    """Send QUIT. The mail is handed over whether the server answers or not."""
    from aiosmtplib import SMTPException

    try:
        await server.quit(timeout=FAREWELL_LIMIT_SECONDS)
    except (SMTPException, OSError):
        return
