"""Calls to receivers on a real server of this machine: requests, meaning of answers, and forbidden addresses."""

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import WebhookVerificationError

from cpor_app.adapters import webhook_calls
from cpor_app.adapters.webhook_calls import WebhookCalls, is_public
from cpor_core.errors import Refused
from cpor_core.model.change import Change
from cpor_core.model.claim import Status
from cpor_core.model.webhook import CallOutcome, Delivery
from cpor_core.ports.feed import CallAnswer
from cpor_core.rules.webhook_calls import new_secret
from tests.support.receiver import (
    Answers,
    Receiver,
    hangs_up,
    is_silent,
    never_ends,
    running_receiver,
    says,
)

pytestmark = pytest.mark.slow  # it starts servers of its own

SOURCE = "https://cpor.example/api"
NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SECRET, OTHER_SECRET = new_secret("5e" * 32), new_secret("0c" * 32)
CHANGE = Change(
    sequence=7,
    type="claim.submitted",
    claim_id="a" * 52,
    status=Status.SUBMITTED,
    at=NOW - timedelta(days=1),
    etag='"7"',
)
DELIVERY = Delivery(place="1|7", webhook_id="msg_1", event_id="e-1", change=CHANGE, created_at=NOW, next_attempt=NOW)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server that answers 204 until a test sets another answer."""
    async with running_receiver() as running:
        yield running


def real_now() -> datetime:
    """Return the instant of signatures."""
    return datetime.now(UTC)


def sandbox() -> WebhookCalls:
    """Return calls with the sandbox's settings."""
    return WebhookCalls(SOURCE, real_now, anywhere=True)


class Names:
    """Names and their addresses. Each look-up is kept. `later` is the answer from the second look-up on."""

    def __init__(self, *first: str, later: Sequence[str] | None = None) -> None:
        self.first, self.later, self.asked = first, later, 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        found = self.later if self.later is not None and self.asked > 1 else self.first
        if not found:
            raise socket.gaierror(-2, "no such name")
        return found


async def send(receiver: Receiver, *secrets: str, path: str = "/hook") -> CallAnswer:
    """Send the event to the receiver."""
    return await sandbox().call(f"{receiver.url}{path}", secrets or (SECRET,), "main", DELIVERY)


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_an_event_is_a_cloudevents_document(receiver: Receiver) -> None:
    """It has all fields that the specification requires, and the change as in the feed."""
    answer = await send(receiver)

    (received,) = receiver.received
    assert answer == CallAnswer(CallOutcome.ANSWERED, 204)
    assert received.headers["Content-Type"] == "application/cloudevents+json"
    assert received.headers["webhook-id"] == "msg_1"
    assert received.event == {
        "specversion": "1.0",
        "id": "e-1",
        "source": SOURCE,
        "type": "cpor.claim.submitted",
        "subject": "a" * 52,
        "time": "2026-11-01T09:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "sequence": 7,
            "type": "claim.submitted",
            "claimId": "a" * 52,
            "associationId": None,
            "status": "submitted",
            "at": "2026-11-01T09:00:00Z",
            "etag": '"7"',
        },
    }


async def test_a_test_event_names_no_claim(receiver: Receiver) -> None:
    """It names the webhook."""
    test = DELIVERY.model_copy(update={"change": None})

    await sandbox().call(receiver.url, (SECRET,), "main", test)

    event = receiver.received[0].event
    assert (event["type"], event["data"], event["time"]) == (
        "cpor.webhook.test",
        {"webhook": "main"},
        "2026-11-02T09:00:00Z",
    )
    assert "subject" not in event


async def test_the_signature_is_verified_by_another_library(receiver: Receiver) -> None:
    """It fits the secret and this body only. During a rotation both secrets fit."""
    await send(receiver, SECRET)
    await send(receiver, OTHER_SECRET, SECRET)

    one, both = receiver.received
    one.verify(SECRET)
    with pytest.raises(WebhookVerificationError):
        one.verify(OTHER_SECRET)
    both.verify(SECRET)
    both.verify(OTHER_SECRET)
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    with pytest.raises(WebhookVerificationError):
        type(one)(one.path, one.headers, one.body + b" ").verify(SECRET)


async def test_the_same_bytes_are_sent_in_every_attempt(receiver: Receiver) -> None:
    """Only the time and the signature differ."""
    await send(receiver)
    await send(receiver)

    first, second = receiver.received
    assert first.body == second.body


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 299, 400, 410, 500, 503])
async def test_the_status_decides(receiver: Receiver, status: int) -> None:
    """The test has many statuses."""
    receiver.answers["/hook"] = says(status)

    assert await send(receiver) == CallAnswer(CallOutcome.ANSWERED, status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    """This holds for every target."""
    receiver.answers["/hook"] = says(status, Location=f"{receiver.url}/elsewhere")

    assert await send(receiver) == CallAnswer(CallOutcome.ANSWERED, status)
    assert receiver.of("/elsewhere") == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(hangs_up, CallOutcome.HUNG_UP), (is_silent, CallOutcome.TIMED_OUT)],
)
async def test_a_receiver_without_an_answer_has_its_own_outcome(
    receiver: Receiver, answer: Answers, outcome: CallOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hung up, or said nothing in time."""
    monkeypatch.setattr(webhook_calls, "SECONDS_A_CALL", 0.3)
    receiver.answers["/hook"] = answer

    assert await send(receiver) == CallAnswer(outcome)


async def test_a_missing_server_is_not_reached() -> None:
    """An unknown name has the same outcome."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        nobody = await sandbox().call(url, (SECRET,), "main", DELIVERY)
    unnamed = await WebhookCalls(SOURCE, real_now, resolve=Names()).call(
        "https://x.example/", (SECRET,), "main", DELIVERY
    )

    assert (nobody, unnamed) == (CallAnswer(CallOutcome.NOT_REACHED), CallAnswer(CallOutcome.NOT_REACHED))


async def test_an_answer_without_end_does_not_block_us(receiver: Receiver) -> None:
    """Its status has arrived, and the rest is not read."""
    receiver.answers["/hook"] = never_ends

    async with asyncio.timeout(60):
        assert await send(receiver) == CallAnswer(CallOutcome.ANSWERED, 200)


@pytest.mark.parametrize(
    ("status", "asked", "wait"),
    [
        (429, "120", timedelta(seconds=120)),
        (503, "0", timedelta(0)),
        (503, "99999999999", timedelta(days=3)),
        (429, format_datetime(NOW + timedelta(minutes=5), usegmt=True), timedelta(minutes=5)),
        (429, format_datetime(NOW - timedelta(minutes=5), usegmt=True), timedelta(0)),
        (429, "Mon, 02 Nov 2026 09:05:00 -0000", timedelta(minutes=5)),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=3)),
        (429, "soon", None),
        (429, "", None),
        (429, "²", None),
        (500, "120", None),
        (200, "120", None),
    ],
)
async def test_a_busy_receiver_names_the_pause(
    receiver: Receiver, status: int, asked: str, wait: timedelta | None
) -> None:
    """It names seconds or a date by the real clock, and at most three days count. Other texts are ignored."""
    receiver.answers["/hook"] = says(status, Retry_After=asked)

    answer = await WebhookCalls(SOURCE, lambda: NOW, anywhere=True).call(
        f"{receiver.url}/hook", (SECRET,), "main", DELIVERY
    )

    assert answer.wait == wait


# --- what is never called ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "100.127.255.255",
        "0.0.0.0",  # noqa: S104 - nothing is bound to it
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "192.88.99.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001:0:1::1",
        "2001:db8::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "nonsense",
    ],
)
def test_these_addresses_are_not_public(address: str) -> None:
    """Each is an address of our machines, of a group of machines, or of none."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "100.63.255.255", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_these_addresses_are_public(address: str) -> None:
    """They lie next to addresses that are not public."""
    assert is_public(address)


REFUSED = [
    "http://hook.example/",
    "ftp://hook.example/",
    "hook.example",
    "https://",
    "https:///path",
    "https://hook.example:0/",
    "https://hook.example:99999/",
    "https://user@hook.example/",
    "https://user:word@hook.example/",
    "https://hook.example/#part",
    "https://hook.example\\@127.0.0.1/",
    "https://[::1/",
    "https://[3fff::1]/",
    "https://hook.example\t/",
    "https://ho\tok.example/",
    "\thttps://hook.example/",
    "https://hook.example/\n",
    "https://hook.example/a b",
    "https://127.0.0.1/",
    "https://10.1.2.3:8443/hook",
    "https://[::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[fe80::1%25eth0]/",
    "https://169.254.169.254/metadata/instance",
    "https://127.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://localhost./",
    "https://127.0.0.1./",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0.0.1/",
    "https://127。0。0。1/",
    "https://１２７.0.0.1/",
]


@pytest.mark.parametrize("url", REFUSED)
async def test_a_wrong_address_is_refused_at_once(url: str) -> None:
    """It is refused before any look-up, and again at a call."""
    names = Names("8.8.8.8")
    calls = WebhookCalls(SOURCE, real_now, resolve=names)

    with pytest.raises(Refused, check=lambda refused: refused.code == "UrlNotAllowed"):
        await calls.verify(url)

    assert await calls.call(url, (SECRET,), "main", DELIVERY) == CallAnswer(CallOutcome.ADDRESS_REFUSED)
    assert names.asked == 0


@pytest.mark.parametrize("address", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("2606:4700::1111", "fd00::1")])
async def test_a_name_is_judged_by_all_its_addresses(address: tuple[str, ...]) -> None:
    """One address that is not public is enough for a refusal."""
    calls = WebhookCalls(SOURCE, real_now, resolve=Names(*address))

    with pytest.raises(Refused, check=lambda refused: refused.code == "UrlNotAllowed"):
        await calls.verify("https://hook.example/")

    assert await calls.call("https://hook.example/", (SECRET,), "main", DELIVERY) == CallAnswer(
        CallOutcome.ADDRESS_REFUSED
    )


@pytest.mark.parametrize("url", ["https://localhost/", "https://localhost:8080/"])
async def test_the_machines_own_names_are_refused(url: str) -> None:
    """The real resolver is asked."""
    calls = WebhookCalls(SOURCE, real_now)

    with pytest.raises(Refused, check=lambda refused: refused.code == "UrlNotAllowed"):
        await calls.verify(url)

    assert (await calls.call(url, (SECRET,), "main", DELIVERY)).outcome in {
        CallOutcome.ADDRESS_REFUSED,
        CallOutcome.NOT_REACHED,
    }


async def test_an_unknown_name_is_accepted() -> None:
    """It is judged again at each call."""
    await WebhookCalls(SOURCE, real_now, resolve=Names()).verify("https://new.example/")
    await WebhookCalls(SOURCE, real_now, resolve=Names("8.8.8.8")).verify("https://hook.example/")


async def test_an_impossible_name_is_refused() -> None:
    """The resolver cannot be asked for it."""
    with pytest.raises(Refused):
        await WebhookCalls(SOURCE, real_now).verify(f"https://{'a' * 70}.example/")


async def test_the_connection_goes_to_the_address_that_was_judged(receiver: Receiver) -> None:
    """The name is looked up once for each call, and a later answer does not count."""
    port = int(receiver.url.rpartition(":")[2])
    names = Names("127.0.0.1", later=("127.0.0.2",))
    calls = WebhookCalls(SOURCE, real_now, anywhere=True, resolve=names)

    answer = await calls.call(f"http://hook.example:{port}/hook", (SECRET,), "main", DELIVERY)

    assert (answer.status, names.asked) == (204, 1)
    assert receiver.received[0].headers["Host"] == f"hook.example:{port}"


async def test_a_name_that_becomes_private_is_not_called(receiver: Receiver) -> None:
    """It was public at the PUT, and is this machine at the call."""
    names = Names("8.8.8.8", later=("127.0.0.1",))
    calls = WebhookCalls(SOURCE, real_now, resolve=names)
    url = f"https://hook.example:{receiver.url.rpartition(':')[2]}/hook"
    await calls.verify(url)

    assert await calls.call(url, (SECRET,), "main", DELIVERY) == CallAnswer(CallOutcome.ADDRESS_REFUSED)
    assert receiver.received == []


async def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy could reach forbidden addresses."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert (await send(receiver)).status == 204


async def test_the_sandbox_calls_private_addresses_and_http() -> None:
    """The receiver of a developer runs on the same machine. Wrong addresses are refused here too."""
    await sandbox().verify("http://localhost:8080/hook")
    await sandbox().verify("https://10.0.0.1/hook")

    for url in ("ftp://localhost/", "http://user@localhost/", "http://"):
        with pytest.raises(Refused):
            await sandbox().verify(url)


async def test_no_cookie_is_kept_and_nothing_is_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Secrets and addresses are not written anywhere else."""
    receiver.answers["/hook"] = says(500, Set_Cookie="a=b")
    with caplog.at_level("DEBUG"):
        await send(receiver)
        await send(receiver)

    assert "Cookie" not in receiver.received[1].headers
    assert SECRET not in caplog.text
    assert json.loads(receiver.received[0].body)


async def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    """The receiver must be the owner of its address. A receiver with a known issuer is called by https."""
    trusted = ssl.create_default_context(cafile=None)
    async with running_receiver(tls=_own_certificate(tmp_path)) as receiver:
        unknown = await send(receiver)
        trusted.load_verify_locations(tmp_path / "receiver.pem")
        calls = WebhookCalls(SOURCE, real_now, anywhere=True, tls=trusted)
        known = await calls.call(receiver.url, (SECRET,), "main", DELIVERY)

    assert (unknown, known.status) == (CallAnswer(CallOutcome.NOT_REACHED), 204)
    assert len(receiver.received) == 1


def _own_certificate(folder: Path) -> ssl.SSLContext:
    """Return the server's side with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "receiver.pem"
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
