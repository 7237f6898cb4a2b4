"""Mails by Communication Services, from the partner's submission to the delivery report of the notice."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cpor_app.adapters.mail.communication_services import CommunicationServicesMailer
from devhost.stack.issuer import LocalIssuer
from tests.doubles.clock import FixedClock
from tests.support.communication_services import (
    CUT,
    ENDPOINT,
    LOST,
    SENDER,
    CommunicationServices,
    Identity,
    ToThisMachine,
    refusal,
    running_communication_services,
)
from tests.support.service import MONDAY, Service, running_service

MINUTE = timedelta(minutes=1)
CONTACT = "anne.durand@contoso.fr"


@pytest.fixture
async def acs() -> AsyncIterator[CommunicationServices]:
    """The mail service."""
    async with running_communication_services() as running:
        yield running


@pytest.fixture
async def sending(acs: CommunicationServices, storage_connection: str, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """The service with mails by Communication Services."""
    clock = FixedClock(MONDAY)
    mailer = CommunicationServicesMailer(
        ENDPOINT, Identity, sender=SENDER, now=clock.real, transport=lambda: ToThisMachine(acs.url)
    )
    async with running_service(
        storage_connection,
        issuer,
        clock=clock,
        mailer=mailer,
        CPOR_MAIL_FROM=SENDER,
        CPOR_MAIL_PER_MINUTE="30",
        CPOR_MAIL_PER_HOUR="100",
    ) as running:
        await running.register()
        yield running


def notices(acs: CommunicationServices) -> list[str]:
    """Return the operation ids of the mails to the customer's contact."""
    return [mail.operation_id for mail in acs.taken if mail.message.recipients.to[0].address == CONTACT]


async def seen(service: Service, claim_id: str) -> tuple[str, bool]:
    """Return a claim's state, and whether its window is open."""
    claim = (await service.request("GET", f"/claims/{claim_id}")).json()
    return claim["status"], claim["window"] is not None


@pytest.mark.parametrize("lost", [LOST, CUT])
async def test_a_notice_whose_answer_was_lost_is_sent_once_and_opens_the_window(
    sending: Service, acs: CommunicationServices, lost: str
) -> None:
    """The window does not open before the service has the answer."""
    acs.answer_next(lost)
    claim = (await sending.submitted())["id"]

    await sending.deliver()
    before = await seen(sending, claim)
    for _ in range(3):
        sending.clock.advance(MINUTE)
        await sending.sweep()

    assert before == ("awaitingCustomer", False)
    assert await seen(sending, claim) == ("awaitingCustomer", True)
    assert len(notices(acs)) == 1


async def test_new_role_assignments_delay_a_notice_and_poison_no_message(
    sending: Service, acs: CommunicationServices
) -> None:
    """Role assignments take minutes. The notice counts from its own hand-over."""
    acs.answer_next(refusal(401, "Unauthorized"), refusal(403, "Forbidden"))
    claim = (await sending.submitted())["id"]

    await sending.deliver()
    while not (await seen(sending, claim))[1]:
        assert sending.clock.real() < MONDAY + timedelta(hours=1)
        sending.clock.advance(MINUTE)
        await sending.sweep()

    assert len(notices(acs)) == 1
    failed = await sending.programme("GET", "/operations/failed-messages")
    assert failed.json()["value"] == []


async def test_a_pause_lasts_exactly_as_long_as_requested(sending: Service, acs: CommunicationServices) -> None:
    """The notice waits for its end, and no call comes before."""
    acs.answer_next(refusal(429, "TooManyRequests", Retry_After="600"))
    claim = (await sending.submitted())["id"]

    await sending.deliver()
    for _ in range(9):
        sending.clock.advance(MINUTE)
        await sending.sweep()
    meanwhile = list(acs.statuses)
    for _ in range(3):
        sending.clock.advance(MINUTE)
        await sending.sweep()

    assert meanwhile == [429]
    assert await seen(sending, claim) == ("awaitingCustomer", True)
    assert len(notices(acs)) == 1


async def test_an_address_that_the_service_rejects_stops_the_window(
    sending: Service, acs: CommunicationServices
) -> None:
    """The partner is asked for another contact."""
    acs.answer_next(refusal(400, "EmailDroppedAllRecipientsSuppressed"))
    claim = (await sending.submitted())["id"]

    await sending.deliver()

    assert (await seen(sending, claim))[0] == "partnerActionRequired"


@pytest.mark.parametrize("both", [True, False], ids=["newer events", "older events"])
async def test_a_bounce_that_event_grid_reports_stops_the_window(
    sending: Service, acs: CommunicationServices, *, both: bool
) -> None:
    """The report comes by the queue, with our Message-ID or with the operation's id alone."""
    claim = (await sending.notified())["id"]
    sent = next(mail for mail in acs.taken if mail.operation_id == notices(acs)[0])

    await sending.run("record_mail_event", json.dumps(sent.report("Delivered", internet_message_id=both)))
    before = await seen(sending, claim)
    await sending.run("record_mail_event", json.dumps(sent.report("Bounced", internet_message_id=both)))

    assert before == ("awaitingCustomer", True)
    assert (await seen(sending, claim))[0] == "partnerActionRequired"


async def test_a_bounce_that_is_reported_before_the_answer_counts(sending: Service, acs: CommunicationServices) -> None:
    """The id is stored before the mail is sent. A bounced notice binds nobody."""
    acs.answer_next(LOST)
    claim = (await sending.submitted())["id"]
    await sending.deliver()

    (sent,) = (mail for mail in acs.taken if mail.operation_id in notices(acs))
    await sending.run("record_mail_event", json.dumps(sent.report("Bounced")))
    for _ in range(3):
        sending.clock.advance(MINUTE)
        await sending.sweep()

    assert (await seen(sending, claim))[0] == "partnerActionRequired"
