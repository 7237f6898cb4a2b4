"""Handing mails over to Communication Services with the SDK, and the meaning of its answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError

from cpor_app.adapters.mail.communication_services import CommunicationServicesMailer
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.mail.smtp import SmtpMailer
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.bootstrap import mail_system
from cpor_app.settings import Settings, SettingsError
from cpor_app.triggers.mail_events import reports
from cpor_core.errors import MailDelayed, RecipientRefused
from cpor_core.model.mail import MailOutcome
from cpor_core.use_cases.notices.delivery_reports import MailEvent
from tests.doubles.clock import FixedClock
from tests.support.communication_services import (
    CUT,
    ENDPOINT,
    HANGS_UP,
    LOST,
    SENDER,
    CommunicationServices,
    Identity,
    Refusal,
    ToThisMachine,
    refusal,
    running_communication_services,
)

pytestmark = pytest.mark.slow  # it starts servers of its own

NOW = datetime(2026, 11, 20, 13, 35, tzinfo=UTC)
ID = "5d3f6a0e-0000-5000-8000-000000000001"
MAIL = OutgoingMail(
    message_id=f"<{ID}@mail.programme.example>",
    to_name="Zoé Lefèvre",
    to_address="zoe@contoso.fr",
    subject="Fabrikam demande à être enregistré",
    text="Bonjour,\n\nhttps://cpor.example/api/customer/requests/abc?t=x\n",
    html="<!doctype html><html lang='fr'><body><p>Bonjour, é</p></body></html>",
    language="fr",
)
DUPLICATES = (
    "The internet message id in the headers is a duplicate.",
    "Duplicate Message-ID.",
    "InternetMessageId has already been used.",
)
"""The words are not published; that it is a 400 is."""


@pytest.fixture
async def acs() -> AsyncIterator[CommunicationServices]:
    """The mail service."""
    async with running_communication_services() as running:
        yield running


@pytest.fixture
def clock() -> FixedClock:
    """The real time, which the test sets."""
    return FixedClock(NOW)


@pytest.fixture
async def mailer(acs: CommunicationServices, clock: FixedClock) -> AsyncIterator[CommunicationServicesMailer]:
    """The adapter, with an SDK that calls the local service."""
    made = mailer_of(acs, clock)
    yield made
    await made.close()


def mailer_of(
    acs: CommunicationServices,
    clock: FixedClock,
    *,
    identity: Identity | None = None,
    sender: str = SENDER,
    limit_seconds: float = 5.0,
) -> CommunicationServicesMailer:
    """Return another adapter."""
    return CommunicationServicesMailer(
        ENDPOINT,
        lambda: identity or Identity(),
        sender=sender,
        now=clock.real,
        transport=lambda: ToThisMachine(acs.url),
        limit_seconds=limit_seconds,
    )


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_mail_is_sent_as_text_and_html_under_our_ids(
    acs: CommunicationServices, mailer: CommunicationServicesMailer
) -> None:
    """A mail has one recipient, the headers of all our mails and our Message-ID. Its links are not rewritten."""
    await mailer.send(MAIL)

    (taken,) = acs.taken
    message = taken.message
    assert (taken.operation_id, taken.message_id) == (ID, MAIL.message_id)
    assert message.sender_address == SENDER
    assert [(to.address, to.display_name) for to in message.recipients.to] == [("zoe@contoso.fr", "Zoé Lefèvre")]
    assert not message.recipients.cc
    assert not message.recipients.bcc
    assert message.content.subject == MAIL.subject
    assert message.content.plain_text == MAIL.text
    assert message.content.html == MAIL.html
    assert message.user_engagement_tracking_disabled is True
    assert message.headers == {
        "Message-ID": MAIL.message_id,
        "Content-Language": "fr",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "x-ms-acsemail-validate-message-id": "true",
    }


async def test_an_accepted_mail_is_handed_over(acs: CommunicationServices, mailer: CommunicationServicesMailer) -> None:
    """The adapter does not ask for the outcome. Delivery reports tell it."""
    await mailer.send(MAIL)
    await mailer.send(replace(MAIL, message_id=MAIL.message_id.replace("1@", "2@"), to_name=None))

    assert acs.statuses == [202, 202]
    assert acs.polls == 0
    assert acs.taken[1].message.recipients.to[0].display_name is None


async def test_a_subject_stays_one_line(acs: CommunicationServices, mailer: CommunicationServicesMailer) -> None:
    """No text in a subject can begin another header."""
    await mailer.send(replace(MAIL, subject="Hello\r\nBcc: all@contoso.fr", to_name="Zoé\nX: y"))

    message = acs.taken[0].message
    assert message.content.subject == "Hello Bcc: all@contoso.fr"
    assert message.recipients.to[0].display_name == "Zoé X: y"


async def test_a_text_that_is_no_address_causes_no_call(
    acs: CommunicationServices, mailer: CommunicationServicesMailer
) -> None:
    """A call would use the quota."""
    with pytest.raises(RecipientRefused):
        await mailer.send(replace(MAIL, to_address="zoe at contoso"))
    with pytest.raises(ValueError, match="Message-ID"):
        await mailer.send(replace(MAIL, message_id=ID))

    assert acs.statuses == []


def test_a_sender_must_be_an_address(clock: FixedClock) -> None:
    """A wrong sender fails the start and not the first mail."""
    with pytest.raises(ValueError, match="not a mail address"):
        mailer_of(CommunicationServices(), clock, sender="nobody")


# --- answers that are lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", DUPLICATES)
@pytest.mark.parametrize("lost", [LOST, CUT])
async def test_a_mail_whose_answer_was_lost_is_sent_once(
    acs: CommunicationServices, mailer: CommunicationServicesMailer, lost: str, words: str
) -> None:
    """The next attempt is refused as a duplicate, and counts as handed over."""
    acs.duplicate = words
    acs.answer_next(lost)

    with pytest.raises(MailDelayed) as delayed:
        await mailer.send(MAIL)
    await mailer.send(MAIL)

    assert delayed.value.retry_after_seconds is None
    assert acs.statuses == [202, 400]
    assert len(acs.taken) == 1


async def test_the_sdk_retries_nothing_by_itself(
    acs: CommunicationServices, mailer: CommunicationServicesMailer
) -> None:
    """Each call uses the quota, and therefore the budget must allow each."""
    acs.answer_next(HANGS_UP, refusal(503, "ServiceUnavailable"), refusal(500, "InternalServerError"))
    for _ in range(3):
        with pytest.raises(MailDelayed):
            await mailer.send(MAIL)

    assert acs.statuses == [503, 500]
    await mailer.send(MAIL)
    assert len(acs.taken) == 1


async def test_a_silent_service_is_given_up(acs: CommunicationServices, clock: FixedClock) -> None:
    """Mails that wait behind the call wait no longer than its time limit."""
    impatient = mailer_of(acs, clock, limit_seconds=0.2)
    held = asyncio.Event()

    async def never(_: object) -> Refusal:
        await held.wait()
        raise AssertionError

    acs._judged = never  # type: ignore[method-assign,assignment]
    mails = [replace(MAIL, message_id=f"<{ID[:-1]}{n}@mail.programme.example>") for n in range(3)]
    ended = await asyncio.gather(*(impatient.send(mail) for mail in mails), return_exceptions=True)
    await impatient.close()

    assert [type(one) for one in ended] == [MailDelayed] * 3


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400, "BadRequest", "No internet message id."),
        refusal(400, "DuplicateContentId", "Duplicate content id."),
        refusal(400, "InvalidSenderUserName", "Invalid format for email address: the sender's."),
        refusal(401, "Unauthorized", "Denied by the resource provider.", Retry_After="5"),
        refusal(403, "Forbidden"),
        refusal(404, "DomainNotLinked", "The specified sender domain has not been linked."),
        refusal(409, "Conflict", "The request is still in progress."),
        refusal(412, "PreconditionFailed"),
        refusal(413, "RequestEntityTooLarge"),
        refusal(307, "Moved", Location="https://elsewhere.example/emails:send"),
        refusal(500, "InternalServerError"),
    ],
    ids=lambda answer: f"{answer[0]} {answer[1]}",
)
async def test_a_fault_that_does_not_name_the_recipient_is_ours(
    acs: CommunicationServices,
    mailer: CommunicationServicesMailer,
    caplog: pytest.LogCaptureFixture,
    answer: Refusal,
) -> None:
    """It never counts as a failure of the customer. Examples are 401 and 403 while roles are new."""
    acs.answer_next(answer)

    with pytest.raises(MailDelayed) as delayed:
        await mailer.send(MAIL)

    assert not delayed.value.recipient_refused_for_now
    assert delayed.value.retry_after_seconds is None
    assert f"{answer[0]} {answer[1]}" in delayed.value.reason
    assert caplog.messages[-1] == f"mail {ID} was put off: {answer[0]} {answer[1]}"


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400, "BadRequest", "Invalid format for email address 'zoe@contoso.fr'."),
        refusal(400, "EmailDroppedAllRecipientsSuppressed", "Message dropped because all recipients were suppressed."),
    ],
    ids=["form", "suppressed"],
)
async def test_a_fault_that_names_the_recipient_is_the_recipients(
    acs: CommunicationServices, mailer: CommunicationServicesMailer, answer: Refusal
) -> None:
    """The stored and logged text does not have the address."""
    acs.answer_next(answer)

    with pytest.raises(RecipientRefused) as refused:
        await mailer.send(MAIL)

    assert refused.value.code == 400
    assert "zoe" not in str(refused.value)


async def test_an_error_without_the_services_form_is_ours(
    acs: CommunicationServices, mailer: CommunicationServicesMailer
) -> None:
    """A proxy before the service can answer in its own form."""
    acs.answer_next(refusal(400, ""))

    with pytest.raises(MailDelayed):
        await mailer.send(MAIL)


@pytest.mark.parametrize("error", [CredentialUnavailableError("No identity."), ClientAuthenticationError("Refused.")])
async def test_an_identity_without_a_token_is_our_fault(
    acs: CommunicationServices, clock: FixedClock, error: Exception
) -> None:
    """The service is not called."""

    class Nobody(Identity):
        async def get_token(self, *scopes: str, **_: object) -> AccessToken:
            raise error

    mailer = mailer_of(acs, clock, identity=Nobody())

    with pytest.raises(MailDelayed):
        await mailer.send(MAIL)
    await mailer.close()

    assert acs.statuses == []


async def test_a_token_that_is_refused_is_our_fault(acs: CommunicationServices, clock: FixedClock) -> None:
    """The identity is closed with the adapter. The adapter can then be used again."""
    stranger = Identity("of a stranger")
    mailer = mailer_of(acs, clock, identity=stranger)

    with pytest.raises(MailDelayed, match="401"):
        await mailer.send(MAIL)
    await mailer.close()
    closed = stranger.closed
    stranger.token = Identity().token
    await mailer.send(MAIL)
    await mailer.close()

    assert closed
    assert acs.statuses == [401, 202]


async def test_a_busy_service_can_name_the_length_of_the_pause(
    acs: CommunicationServices, mailer: CommunicationServicesMailer
) -> None:
    """The pause is the same as after a 429."""
    acs.answer_next(refusal(503, "ServiceUnavailable", Retry_After="30"))

    with pytest.raises(MailDelayed) as delayed:
        await mailer.send(MAIL)

    assert delayed.value.retry_after_seconds == 30


# --- the quota --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "seconds"), [("120", 120), ("0", 1), ("", 60), ("soon", 60), ("99999999999999", 86_400)]
)
async def test_a_used_up_quota_names_the_time_of_the_next_call(
    acs: CommunicationServices, mailer: CommunicationServicesMailer, given: str, seconds: int
) -> None:
    """Without a usable time it is a minute. It is a day at most."""
    acs.answer_next(refusal(429, "TooManyRequests", **({"Retry_After": given} if given else {})))

    with pytest.raises(MailDelayed) as delayed:
        await mailer.send(MAIL)

    assert delayed.value.retry_after_seconds == seconds


async def test_no_call_follows_a_call_that_got_a_pause(
    acs: CommunicationServices, mailer: CommunicationServicesMailer, clock: FixedClock
) -> None:
    """Each waiting call would use the quota. After the pause all are allowed."""
    acs.answer_next(refusal(429, "TooManyRequests", Retry_After="90"))
    mails = [replace(MAIL, message_id=f"<{ID[:-1]}{n}@mail.programme.example>") for n in range(6)]

    ended = await asyncio.gather(*(mailer.send(mail) for mail in mails), return_exceptions=True)

    assert acs.statuses == [429]
    assert [type(one) for one in ended] == [MailDelayed] * 6
    assert {one.retry_after_seconds for one in ended if isinstance(one, MailDelayed)} == {90}
    clock.advance(timedelta(seconds=90))
    await asyncio.gather(*(mailer.send(mail) for mail in mails))
    assert acs.statuses == [429, *[202] * 6]


# --- reports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [True, False], ids=["newer events", "older events"])
@pytest.mark.parametrize(("status", "outcome"), [("Bounced", MailOutcome.FAILED), ("Expanded", MailOutcome.DELIVERED)])
async def test_a_report_leads_to_the_mail_by_either_id(
    acs: CommunicationServices,
    mailer: CommunicationServicesMailer,
    status: str,
    outcome: MailOutcome,
    *,
    both: bool,
) -> None:
    """This holds after a lost answer and before the answer too. No id of the service must be stored."""
    acs.answer_next(LOST)
    with pytest.raises(MailDelayed):
        await mailer.send(MAIL)

    event = json.loads(json.dumps(acs.taken[0].report(status, internet_message_id=both)))

    assert list(reports([event])) == [MailEvent(ID, outcome)]


# --- which mail system it is ------------------------------------------------------------------------------------------

GIVEN = {
    "CPOR_PUBLIC_URL": "https://cpor.example/api",
    "CPOR_TOKEN_AUDIENCE": "0f0e0d0c-0000-4000-8000-000000000002",
    "CPOR_LINK_SECRETS": "a secret of a test that nobody else knows",
}


@pytest.mark.parametrize(
    ("given", "system", "limits"),
    [
        ({}, SmtpMailer, (None, None)),
        ({"CPOR_MAIL_PER_HOUR": "7"}, SmtpMailer, (None, 7)),
        ({"CPOR_MAIL_ENDPOINT": ENDPOINT}, CommunicationServicesMailer, (30, 100)),
        ({"CPOR_MAIL_ENDPOINT": ENDPOINT, "CPOR_MAIL_PER_MINUTE": "500"}, CommunicationServicesMailer, (500, 100)),
        (
            {"CPOR_MAIL_ENDPOINT": ENDPOINT, "CPOR_MAIL_FROM": "DoNotReply@0f0e.azurecomm.net"},
            CommunicationServicesMailer,
            (5, 10),
        ),
    ],
    ids=["SMTP", "SMTP with a limit", "own domain", "raised quota", "Azure's domain"],
)
def test_an_endpoint_chooses_the_mail_system_and_its_first_quota(
    given: dict[str, str], system: type, limits: tuple[int | None, int | None], clock: FixedClock
) -> None:
    """SMTP has no limit by default. Azure's quota is known and limits the first mail too."""
    settings = Settings.from_environment({"CPOR_MAIL_FROM": SENDER, **GIVEN, **given})
    connection = StorageConnection(table_uri="https://st.table.example")

    assert isinstance(mail_system(settings, connection, clock), system)
    assert settings.mail_limits == limits


@pytest.mark.parametrize(
    "endpoint", ["http://acs.example", "acs.example", "https://acs.example/emails:send", "https://"]
)
def test_an_endpoint_must_be_safe_for_a_token(endpoint: str) -> None:
    """The address has https and names the resource itself."""
    with pytest.raises(SettingsError, match="CPOR_MAIL_ENDPOINT"):
        Settings.from_environment({"CPOR_MAIL_FROM": SENDER, **GIVEN, "CPOR_MAIL_ENDPOINT": endpoint})
