"""
A real mail server for tests.

It keeps its mails, and it refuses, falls silent or goes down on request. It speaks SMTP on a port of its own. The port
stays reserved while the server is down, so that it can come back.
"""

import asyncio
import contextlib
import email
import email.policy
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

TAKEN = "250 2.0.0 OK"


@dataclass(frozen=True, slots=True)
class Received:
    """One mail: the envelope, the exact bytes, and the parsed message."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)

    def text(self, kind: str = "plain") -> str:
        """Return the body of that kind, "plain" or "html", or an empty text."""
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content())


class SmtpServer:
    """A mail server on this machine. It accepts everything until a test sets another answer."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._refused: dict[str, str] = {}
        self._answers_to_mail: list[str | None] = []
        self._controller: Controller | None = None
        self._sessions: list[SMTP] = []
        with socket.create_server((self.host, 0)) as free:
            self.port: int = free.getsockname()[1]

    def start(self) -> None:
        """Listen, on the same port each time."""
        if self._controller is None:
            self._controller = Controller(_Postman(self), self.host, self.port, server_hostname="mail.invalid")
            self._controller.start()

    def stop(self) -> None:
        """Stop: connections are broken off, and refused until `start`."""
        if self._controller is not None:
            self.break_off()
            self._controller.stop()
            self._controller = None

    def break_off(self) -> None:
        """Close each open connection, as a server does with a connection that is idle for long."""
        assert self._controller is not None

        async def close() -> None:
            for session in self._sessions:
                if session.transport is not None:
                    session.transport.close()
            self._sessions.clear()

        asyncio.run_coroutine_threadsafe(close(), self._controller.loop).result()

    def open_connection(self, session: SMTP) -> None:
        """Count a connection, and keep it for `break_off`."""
        self.connections += 1
        self._sessions.append(session)

    def refuse(self, recipient: str, reply: str = "550 5.1.1 No such user") -> None:
        """Answer *reply*, a 4xx or 5xx, for this recipient."""
        self._refused[recipient.casefold()] = reply

    def accept(self, recipient: str) -> None:
        """Accept mails for this recipient again."""
        self._refused.pop(recipient.casefold(), None)

    def answer_next(self, *replies: str | None) -> None:
        """
        Give these answers to the next mails after their content, and then the usual one.

        A 4xx or 5xx refuses the mail. None accepts it and hangs up without an answer, so that the sender cannot know.
        """
        self._answers_to_mail.extend(replies)

    def to(self, recipient: str) -> list[Received]:
        """Return the mails to this recipient, the oldest first."""
        return [mail for mail in self.received if recipient in mail.recipients]

    def reply_to_recipient(self, recipient: str) -> str:
        return self._refused.get(recipient.casefold(), TAKEN)

    def take(self, mail: Received) -> str | None:
        reply = self._answers_to_mail.pop(0) if self._answers_to_mail else TAKEN
        if reply is None or reply.startswith("2"):
            self.received.append(mail)
        return reply


class _Postman:
    """The handler that aiosmtpd calls in its own thread. aiosmtpd requires these names."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_EHLO(  # noqa: N802 — aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self._server.open_connection(server)
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802 — aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._server.reply_to_recipient(address)
        if reply == TAKEN:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 — aiosmtpd's name
        content = envelope.original_content or b""
        reply = self._server.take(Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), content))
        if reply is None:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return TAKEN
        return reply


@contextlib.contextmanager
def running_smtp_server() -> Iterator[SmtpServer]:
    """Start a mail server, and stop it at the end."""
    server = SmtpServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
