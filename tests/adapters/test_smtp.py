"""Handing mails over to a real SMTP server, and the meaning of its refusals."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.mail.smtp import SmtpMailer
from cpor_core.errors import MailDelayed, RecipientRefused
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.slow  # it starts servers of its own

NOW = datetime(2026, 11, 20, 13, 35, tzinfo=UTC)
MAIL = OutgoingMail(
    message_id="<5d3f6a0e-0000-5000-8000-000000000001@cpor.example>",
    to_name="Zoé Lefèvre",
    to_address="zoe@contoso.fr",
    subject="Fabrikam demande à être enregistré. Dernier jour : vendredi 27 novembre 2026",
    text="Bonjour,\n\nhttps://cpor.example/api/customer/requests/abc?t=" + "x" * 120 + "\n\n.un point au début\n",
    html="<!doctype html><html lang='fr'><body><p>Bonjour, é</p></body></html>",
    language="fr",
)


def _mailer(port: int, **settings: object) -> SmtpMailer:
    given: dict[str, object] = {
        "starttls": False,
        "sender": "CPOR <noreply@cpor.example>",
        "sender_domain": "cpor.example",
        "now": lambda: NOW,
        "limit_seconds": 5.0,
    }
    return SmtpMailer("127.0.0.1", port, **(given | settings))  # type: ignore[arg-type]


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_mail_has_text_html_and_all_headers(smtp_server: SmtpServer) -> None:
    """It has two equal parts, names in UTF-8, the given Message-ID and date, and marks that stop automatic answers."""
    await _mailer(smtp_server.port).send(MAIL)

    (received,) = smtp_server.received
    message = received.message
    assert received.sender == "noreply@cpor.example"
    assert received.recipients == ("zoe@contoso.fr",)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert received.text("plain").splitlines() == MAIL.text.splitlines()
    assert received.text("html").strip() == MAIL.html
    assert message["Subject"] == MAIL.subject
    assert message["From"] == "CPOR <noreply@cpor.example>"
    assert message["To"].addresses[0].display_name == "Zoé Lefèvre"
    assert message["To"].addresses[0].addr_spec == "zoe@contoso.fr"
    assert message["Message-ID"] == MAIL.message_id
    assert message["Date"].datetime == NOW
    assert message["Content-Language"] == "fr"
    assert message["Auto-Submitted"] == "auto-generated"


async def test_a_mail_is_ascii_with_short_lines_on_the_wire(smtp_server: SmtpServer) -> None:
    """Any server on its way can carry it unchanged."""
    await _mailer(smtp_server.port).send(MAIL)

    content = smtp_server.received[0].content
    assert content.isascii()
    assert max(len(line) for line in content.splitlines()) < 100


@pytest.mark.parametrize(
    "field",
    ["subject", "to_name", "language"],
)
async def test_no_value_can_begin_another_header(smtp_server: SmtpServer, field: str) -> None:
    """Line breaks of every kind stay inside their value."""
    hostile = "x\r\nBcc: everybody@evil.example\nX-Evil: 1\x0b\x0c\x85\u2028Bcc: y\r\n\r\nbody"

    await _mailer(smtp_server.port).send(replace(MAIL, **{field: hostile}))

    message = smtp_server.received[0].message
    assert smtp_server.received[0].recipients == ("zoe@contoso.fr",)
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    "address",
    [
        "zoe@contoso.fr\r\nBcc: x@evil.example",
        "zoe@contoso.fr>\r\nRCPT TO:<x@evil.example",
        "zoe@contoso.fr, x@evil.example",
        "zoe@contoso.fr SIZE=1",
        "a b@contoso.fr",
        "a@b@c.fr",
        "é@contoso.fr",
        "@contoso.fr",
        "zoe",
        "",
    ],
)
async def test_a_text_that_is_no_address_is_a_refused_recipient(smtp_server: SmtpServer, address: str) -> None:
    """No server is called."""
    with pytest.raises(RecipientRefused):
        await _mailer(smtp_server.port).send(replace(MAIL, to_address=address))

    assert smtp_server.connections == 0


async def test_a_domain_beyond_ascii_is_encoded(smtp_server: SmtpServer) -> None:
    """It is encoded with IDNA, as in the domain name system."""
    await _mailer(smtp_server.port).send(replace(MAIL, to_address="info@příklad.cz"))

    assert smtp_server.received[0].recipients == ("info@xn--pklad-zsa96e.cz",)


@pytest.mark.parametrize("message_id", ["no-brackets@x", "<a@b>\r\nBcc: c", "<a b@c>", "<>"])
async def test_a_wrong_message_id_is_our_fault(smtp_server: SmtpServer, message_id: str) -> None:
    """We make the Message-ID, and each try must have the same one."""
    with pytest.raises(ValueError, match="Message-ID"):
        await _mailer(smtp_server.port).send(replace(MAIL, message_id=message_id))


def test_a_sender_that_is_no_address_is_refused_at_once() -> None:
    """A wrong setting fails the start and not the first mail."""
    with pytest.raises(ValueError, match="sender"):
        _mailer(25, sender="CPOR")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply", ["550 5.1.1 No such user", "551 not here", "553 5.1.3 bad", "550 5.2.1 disabled", "556 5.1.10 null"]
)
async def test_a_recipient_refused_for_good_is_a_bounce(smtp_server: SmtpServer, reply: str) -> None:
    """The code and the server's text are kept for the operator."""
    smtp_server.refuse("zoe@contoso.fr", reply)

    with pytest.raises(RecipientRefused) as refused:
        await _mailer(smtp_server.port).send(MAIL)

    assert refused.value.code == int(reply[:3])
    assert reply in str(refused.value)


@pytest.mark.parametrize(
    ("reply", "theirs"),
    [
        ("450 4.2.1 mailbox busy", True),
        ("451 4.7.1 greylisted", True),
        ("452 4.2.2 over quota", True),
        ("452 4.3.1 our disk is full", False),
        ("451 4.4.1 no answer from upstream", False),
        ("421 4.3.2 shutting down", False),
    ],
)
async def test_a_deferred_recipient_differs_from_a_server_that_is_down(
    smtp_server: SmtpServer, reply: str, *, theirs: bool
) -> None:
    """Only the first counts as the recipient's failure after three days (decision 25)."""
    smtp_server.refuse("zoe@contoso.fr", reply)

    with pytest.raises(MailDelayed) as delayed:
        await _mailer(smtp_server.port).send(MAIL)

    assert delayed.value.recipient_refused_for_now is theirs


@pytest.mark.parametrize("reply", ["503 5.5.1 bad sequence", "530 5.7.0 log in first", "550 5.1.8 sender unknown"])
async def test_a_permanent_refusal_of_the_sender_is_no_bounce(smtp_server: SmtpServer, reply: str) -> None:
    """A wrong setting of ours must not close customers' windows."""
    smtp_server.refuse("zoe@contoso.fr", reply)

    with pytest.raises(MailDelayed) as delayed:
        await _mailer(smtp_server.port).send(MAIL)

    assert delayed.value.recipient_refused_for_now is False


async def test_content_refused_for_good_is_a_bounce(smtp_server: SmtpServer) -> None:
    """One mail has one recipient: content that the server refuses will not reach that recipient."""
    smtp_server.answer_next("554 5.6.0 refused")

    with pytest.raises(RecipientRefused):
        await _mailer(smtp_server.port).send(MAIL)


async def test_content_refused_for_now_is_retried(smtp_server: SmtpServer) -> None:
    """Greylisting can come after the content."""
    smtp_server.answer_next("451 4.7.1 try later")

    with pytest.raises(MailDelayed) as delayed:
        await _mailer(smtp_server.port).send(MAIL)
    await _mailer(smtp_server.port).send(MAIL)

    assert delayed.value.recipient_refused_for_now is True
    assert len(smtp_server.received) == 1


async def test_a_lost_answer_is_a_delay_and_the_second_try_has_the_same_id(smtp_server: SmtpServer) -> None:
    """Nobody knows whether the first mail was accepted. Mail systems recognise the second by its Message-ID."""
    smtp_server.answer_next(None)

    with pytest.raises(MailDelayed):
        await _mailer(smtp_server.port).send(MAIL)
    await _mailer(smtp_server.port).send(MAIL)

    assert [received.message["Message-ID"] for received in smtp_server.received] == [MAIL.message_id] * 2


async def test_a_server_that_is_down_is_a_delay_until_it_is_back(smtp_server: SmtpServer) -> None:
    """It is no failure of the recipient."""
    smtp_server.stop()
    with pytest.raises(MailDelayed) as delayed:
        await _mailer(smtp_server.port).send(MAIL)
    assert delayed.value.recipient_refused_for_now is False

    smtp_server.start()
    await _mailer(smtp_server.port).send(MAIL)
    assert len(smtp_server.received) == 1


async def test_a_host_that_does_not_exist_is_a_delay() -> None:
    """The name can resolve later."""
    mailer = SmtpMailer(
        "mail.invalid",
        25,
        starttls=False,
        sender="a@b.example",
        sender_domain="b.example",
        now=lambda: NOW,
        limit_seconds=5,
    )

    with pytest.raises(MailDelayed):
        await mailer.send(MAIL)


# --- servers that behave badly ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _server(
    replies: dict[str, str | None],
    greeting: str | None = "220 hello",
    *,
    later: dict[str, str | None] | None = None,
    seen: list[str] | None = None,
) -> AsyncIterator[int]:
    """
    Answer each command with the given reply. None gives no answer. `END` is the end of the content.

    *later* has the replies after the first mail of a connection. *seen* gets the commands.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(reply: str | None) -> None:
            if reply is None:
                await asyncio.Event().wait()
            writer.write(f"{reply}\r\n".encode())
            await writer.drain()

        current = replies
        try:
            await say(greeting)
            while line := (await reader.readline()).decode():
                verb = line.split()[0].upper()
                if seen is not None:
                    seen.append(verb)
                if verb == "DATA":
                    await say("354 go on")
                    while (await reader.readline()) not in (b".\r\n", b""):
                        pass
                    verb = "END"
                await say(current.get(verb, "250 fine"))
                if verb == "END":
                    current = later or replies
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "END"])
async def test_a_server_that_falls_silent_is_given_up(verb: str) -> None:
    """This holds at every point. The whole sending has one time limit, and silence is no failure of the recipient."""
    async with _server({verb: None}, None if verb == "GREETING" else "220 hello") as port:
        with pytest.raises(MailDelayed) as delayed:
            await asyncio.wait_for(_mailer(port, limit_seconds=0.2).send(MAIL), 30)

    assert delayed.value.recipient_refused_for_now is False


@pytest.mark.parametrize("reply", ["550 5.7.1 sender refused", "451 later", "552 too big"])
async def test_a_refused_sender_is_no_recipients_failure(reply: str) -> None:
    """A refusal of our own address is our fault, permanent or not."""
    async with _server({"MAIL": reply}) as port:
        with pytest.raises(MailDelayed) as delayed:
            await _mailer(port).send(MAIL)

    assert delayed.value.recipient_refused_for_now is False
    assert reply[:3] in str(delayed.value) or reply[4:] in str(delayed.value)


@pytest.mark.parametrize("greeting", ["554 no service", "421 busy", "nonsense"])
async def test_a_server_that_greets_with_a_refusal_is_a_delay(greeting: str) -> None:
    """The server can accept a later mail."""
    async with _server({}, greeting) as port:
        with pytest.raises(MailDelayed):
            await _mailer(port, limit_seconds=1).send(MAIL)


# --- a connection for several mails -----------------------------------------------------------------------------------


async def test_mails_one_after_the_other_share_a_connection(smtp_server: SmtpServer) -> None:
    """A new connection costs more CPU than the mail, above all with STARTTLS."""
    mailer = _mailer(smtp_server.port)

    for _ in range(3):
        await mailer.send(MAIL)

    assert len(smtp_server.received) == 3
    assert smtp_server.connections == 1


async def test_mails_at_the_same_time_have_a_connection_each(smtp_server: SmtpServer) -> None:
    """A connection carries one mail at a time. The next mails use the same connections."""
    mailer = _mailer(smtp_server.port)
    mails = [replace(MAIL, message_id=f"<{number}@cpor.example>") for number in range(12)]

    for _ in range(2):
        await asyncio.gather(*(mailer.send(mail) for mail in mails))

    received = [one.message["Message-ID"] for one in smtp_server.received]
    assert sorted(received) == sorted(mail.message_id for mail in mails * 2)
    assert smtp_server.connections <= 12


async def test_a_connection_that_the_server_has_closed_loses_no_mail(smtp_server: SmtpServer) -> None:
    """The mail goes over a new connection, once."""
    mailer = _mailer(smtp_server.port)
    await mailer.send(MAIL)
    smtp_server.break_off()

    await mailer.send(replace(MAIL, message_id="<second@cpor.example>"))

    assert [one.message["Message-ID"] for one in smtp_server.received] == [MAIL.message_id, "<second@cpor.example>"]
    assert smtp_server.connections == 2


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("MAIL", "421 4.7.0 too many mails, closing"),
        ("MAIL", "452 4.5.3 too many mails"),
        ("MAIL", "550 5.7.0 too many mails"),
        ("MAIL", None),
        ("RCPT", "421 4.3.2 closing"),
        ("RCPT", "550 5.7.1 too many mails"),
        ("RCPT", "451 4.7.1 too many mails"),
        ("END", "452 4.3.1 too many mails"),
        ("END", "554 5.7.1 too many mails"),
    ],
)
async def test_a_connection_that_takes_no_second_mail_fails_no_recipient(
    verb: str, reply: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal can be about the connection. A new connection takes the mail."""
    monkeypatch.setattr("cpor_app.adapters.mail.smtp.REUSE_LIMIT_SECONDS", 0.1)
    seen: list[str] = []

    async with _server({}, later={verb: reply}, seen=seen) as port:
        mailer = _mailer(port)
        await mailer.send(MAIL)
        await mailer.send(MAIL)

    assert seen.count("EHLO") == 2
    assert seen.count("MAIL") == 3


async def test_a_recipient_refused_on_two_connections_is_a_bounce(smtp_server: SmtpServer) -> None:
    """The answer of the new connection counts. The mail after it needs a new connection too, and arrives."""
    mailer = _mailer(smtp_server.port)
    smtp_server.refuse("zoe@contoso.fr")
    other = replace(MAIL, to_address="yan@contoso.fr")
    await mailer.send(other)

    with pytest.raises(RecipientRefused):
        await mailer.send(MAIL)
    await mailer.send(other)

    assert [one.recipients for one in smtp_server.received] == [("yan@contoso.fr",)] * 2
    assert smtp_server.connections == 3


async def test_an_answer_lost_on_an_open_connection_is_a_delay(smtp_server: SmtpServer) -> None:
    """The server may have accepted the mail. So the mail is not sent over a second connection at once."""
    mailer = _mailer(smtp_server.port)
    await mailer.send(MAIL)
    smtp_server.answer_next(None)

    with pytest.raises(MailDelayed) as delayed:
        await mailer.send(replace(MAIL, message_id="<second@cpor.example>"))

    assert delayed.value.recipient_refused_for_now is False
    assert len(smtp_server.to("zoe@contoso.fr")) == 2
    assert smtp_server.connections == 1


async def test_a_silent_server_is_given_up_on_an_open_connection_too() -> None:
    """A silence after the content is a delay, in the time limit of every mail."""
    seen: list[str] = []

    async with _server({}, later={"END": None}, seen=seen) as port:
        mailer = _mailer(port, limit_seconds=0.2)
        await mailer.send(MAIL)
        with pytest.raises(MailDelayed) as delayed:
            await asyncio.wait_for(mailer.send(MAIL), 30)

    assert delayed.value.recipient_refused_for_now is False
    assert seen.count("DATA") == 2


async def test_a_connection_without_mails_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says goodbye. The next mail has a new connection."""
    monkeypatch.setattr("cpor_app.adapters.mail.smtp_connections.IDLE_SECONDS", 0.05)
    goodbye = asyncio.Event()

    class Seen(list[str]):
        def append(self, verb: str) -> None:
            super().append(verb)
            if verb == "QUIT":
                goodbye.set()

    seen = Seen()
    async with _server({"QUIT": "221 bye"}, seen=seen) as port:
        mailer = _mailer(port)
        await mailer.send(MAIL)
        await asyncio.wait_for(goodbye.wait(), 30)
        await mailer.send(MAIL)

    assert seen == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT", "EHLO", "MAIL", "RCPT", "DATA"]


async def test_a_connection_that_waited_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance can be frozen between two mails. Then nothing has closed the connection in time."""
    monkeypatch.setattr("cpor_app.adapters.mail.smtp_connections.IDLE_SECONDS", 0.0)
    seen: list[str] = []

    async with _server({}, seen=seen) as port:
        mailer = _mailer(port)
        await mailer.send(MAIL)
        await mailer.send(MAIL)

    assert seen.count("EHLO") == 2


@pytest.mark.parametrize("reply", ["221 bye", None, "500 what?"])
async def test_a_closed_mailer_says_goodbye_and_waits_for_no_answer(
    reply: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mails are handed over, so the end of the connection does not matter. The next mail opens a new connection."""
    monkeypatch.setattr("cpor_app.adapters.mail.smtp_connections.QUIT_LIMIT_SECONDS", 0.1)
    seen: list[str] = []

    async with _server({"QUIT": reply}, seen=seen) as port:
        mailer = _mailer(port)
        await mailer.send(MAIL)
        await asyncio.wait_for(mailer.close(), 30)
        await mailer.send(MAIL)
        await mailer.close()

    assert seen == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"] * 2


def test_each_event_loop_has_its_own_connections(smtp_server: SmtpServer) -> None:
    """A connection belongs to the loop that opened it, and is closed with this loop."""
    mailer = _mailer(smtp_server.port)

    async def two_mails() -> None:
        await mailer.send(MAIL)
        await mailer.send(MAIL)

    asyncio.run(two_mails())
    asyncio.run(two_mails())

    assert len(smtp_server.received) == 4
    assert smtp_server.connections == 2


async def test_two_event_loops_can_send_at_the_same_time(smtp_server: SmtpServer) -> None:
    """Neither uses a connection of the other."""
    mailer = _mailer(smtp_server.port)

    async def some_mails() -> None:
        for _ in range(5):
            await mailer.send(MAIL)

    await asyncio.gather(some_mails(), asyncio.to_thread(asyncio.run, some_mails()))

    assert len(smtp_server.received) == 10


# --- encryption and login ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate and key for 127.0.0.1 that only these tests trust."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder


class _Inbox:
    def __init__(self) -> None:
        self.recipients: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.recipients += envelope.rcpt_tos
        return "250 OK"


def _log_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=data.password == b"right", handled=False)


@contextlib.contextmanager
def _strict_server(certificate: Path) -> Iterator[tuple[int, _Inbox]]:
    """A server that accepts mails only after STARTTLS and a log-in with the right password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    inbox = _Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(
        inbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=_log_in,
    )
    controller.start()
    try:
        yield port, inbox
    finally:
        controller.stop()


def _trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate / "cert.pem"))


async def test_a_server_with_starttls_and_login_is_used(certificate: Path) -> None:
    """The password is sent after the encryption began. A second mail needs neither again."""
    with _strict_server(certificate) as (port, inbox):
        mailer = _mailer(port, starttls=True, username="cpor", password="right", tls_context=_trust(certificate))
        await mailer.send(MAIL)
        await mailer.send(MAIL)
        await mailer.close()

    assert inbox.recipients == ["zoe@contoso.fr"] * 2


async def test_a_wrong_password_is_no_recipients_failure(certificate: Path) -> None:
    """535 is a permanent refusal of our log-in."""
    with _strict_server(certificate) as (port, _):
        mailer = _mailer(port, starttls=True, username="cpor", password="wrong", tls_context=_trust(certificate))
        with pytest.raises(MailDelayed) as delayed:
            await mailer.send(MAIL)

    assert delayed.value.recipient_refused_for_now is False
    assert "535" in str(delayed.value)


async def test_an_untrusted_certificate_stops_the_mail(certificate: Path) -> None:
    """Neither the password nor the mail is sent to a server that can be a stranger's."""
    with _strict_server(certificate) as (port, inbox), pytest.raises(MailDelayed):
        await _mailer(port, starttls=True, username="cpor", password="right").send(MAIL)

    assert inbox.recipients == []


async def test_a_server_without_the_required_encryption_gets_no_mail(smtp_server: SmtpServer) -> None:
    """An attacker could have removed the offer of STARTTLS."""
    with pytest.raises(MailDelayed):
        await _mailer(smtp_server.port, starttls=True).send(MAIL)

    assert smtp_server.received == []
