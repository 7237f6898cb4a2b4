"""
Hands mails over by SMTP.

This file must tell two kinds of failures apart. If the server refuses the recipient for ever, or for more than three
days, the customer's window can stop. Every other failure (server, sender, password, network) is our own fault. Such a
failure must never stop a window.
"""

import asyncio
import ssl
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
from cpor_app.adapters.mail.smtp_connections import IdleConnections
from cpor_core.errors import MailDelayed, RecipientRefused

if TYPE_CHECKING:
    from aiosmtplib import SMTP

REUSE_LIMIT_SECONDS = 5.0
"""The time limit for the first answer on a connection that carried another mail before."""
SERVICE_CLOSING = 421
PERMANENT = 500
OUR_OWN_FAULT = frozenset({500, 502, 503, 504, 530, 534, 535, 538})
"""Codes of replies about our commands and our login (RFC 5321 §4.2.3, RFC 4954 §6)."""
ABOUT_THE_SENDER = ("5.1.7", "5.1.8")
"""Codes (RFC 3463) for a wrong sender's address. A server can send them in the reply about the recipient."""
ABOUT_THE_SERVER = ("4.3.", "4.4.")
"""Codes (RFC 3463) for faults of the mail system and the network."""


class SmtpMailer:
    """
    Sends mails by SMTP.

    Mails at the same time have a connection each. After a hand-over the connection waits a moment for the next mail.
    """

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
        tls_context: ssl.SSLContext | None = None,
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
        self._idle: IdleConnections | None = None

    async def send(self, mail: OutgoingMail) -> None:
        """
        Hand *mail* over.

        Raises `RecipientRefused` when the recipient can never be reached, and `MailDelayed` for every other failure.
        """
        from aiosmtplib import SMTPException

        recipient = recipient_of(mail)
        content = self._message(mail, recipient).as_bytes()
        try:
            async with asyncio.timeout(self._limit_seconds):
                await self._send(recipient, content, self._idle_connections())
        except TimeoutError as error:
            raise MailDelayed(f"the mail server took longer than {self._limit_seconds:g} s") from error
        except (SMTPException, OSError) as error:
            raise MailDelayed(f"the mail server could not be used: {error}") from error

    async def close(self) -> None:
        """Close the connections. The next mail opens a new connection."""
        idle, self._idle = self._idle, None
        if idle is not None and idle.loop is asyncio.get_running_loop():
            await idle.close()

    def _idle_connections(self) -> IdleConnections:
        """Return the connections of the running event loop. The connections of another loop close by themselves."""
        idle = self._idle
        if idle is None or idle.loop is not asyncio.get_running_loop():
            idle = self._idle = IdleConnections()
        return idle

    async def _send(self, recipient: Address, content: bytes, idle: IdleConnections) -> None:
        from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPRecipientRefused

        used = idle.take()
        if used is not None:
            try:
                await self._transfer(used, recipient, content, first_answer_seconds=REUSE_LIMIT_SECONDS)
            except (SMTPException, OSError):
                pass  # Even a refusal can be about the earlier mails of this connection. A new connection finds out.
            else:
                idle.add(used)
                return
        server = SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._sender_domain,
            username=self._username,
            password=self._password,
            start_tls=self._starttls,
            tls_context=await self._context(),
            timeout=self._limit_seconds,
        )
        await server.connect()
        try:
            await self._transfer(server, recipient, content, first_answer_seconds=self._limit_seconds)
        except (SMTPRecipientRefused, SMTPDataError) as error:
            # Each mail has one recipient. Once the server has accepted the sender, a refusal is about that recipient.
            _raise_fault(error.code, error.message, error)
        idle.add(server)

    async def _transfer(
        self, server: "SMTP", recipient: Address, content: bytes, *, first_answer_seconds: float
    ) -> None:
        """
        Send a mail over an open connection. After any error the connection is closed.

        Raises `MailDelayed` if the server may have accepted the mail, and other errors if it has not accepted it.
        """
        from aiosmtplib import SMTPDataError, SMTPException

        try:
            await server.mail(self._sender.addr_spec, timeout=first_answer_seconds)
            await server.rcpt(recipient.addr_spec)
            try:
                await server.data(content)
            except SMTPDataError:
                raise
            except (SMTPException, OSError) as error:
                raise MailDelayed(f"the mail server's answer to the content was lost: {error}") from error
        except BaseException:
            server.close()
            raise

    async def _context(self) -> ssl.SSLContext | None:
        """Return the settings of STARTTLS. They are made once, because that reads all certificates that are trusted."""
        if self._starttls and self._tls_context is None:
            self._tls_context = await asyncio.to_thread(ssl.create_default_context)
        return self._tls_context

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
