"""
The deployment has one mail budget.

A sender without a permit waits for its turn, and nobody is bound during the wait.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_core.errors import MailDelayed
from devhost.stack.issuer import LocalIssuer
from tests.support.service import Service, running_service

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def thrifty(storage_connection: str, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """A service that can send one mail a minute."""
    async with running_service(storage_connection, issuer, CPOR_MAIL_PER_MINUTE="1") as running:
        await running.register()
        yield running


async def two_claims(service: Service) -> list[str]:
    """Submit two claims without common items or customers, and return their ids."""
    revenue = {"solutionSeller": "Adatum", "customerName": "Contoso", "isvSolution": "none"}
    first = await service.submitted()
    second = await service.submitted(engagement="bizapps-revenue", revenue=revenue)
    return [first["id"], second["id"]]


async def windows(service: Service, claims: list[str]) -> list[bool]:
    """Return for each claim whether its customer was notified."""
    return [(await service.request("GET", f"/claims/{claim}")).json()["window"] is not None for claim in claims]


async def test_a_notice_without_a_permit_is_sent_at_its_turn(thrifty: Service) -> None:
    """Nothing is promised without a permit. The timer sends the second notice in the next minute."""
    claims = await two_claims(thrifty)

    await thrifty.deliver()
    told_at_once = await windows(thrifty, claims)
    history = (await thrifty.request("GET", f"/claims/{claims[1]}/history")).json()["value"]
    for _ in range(3):
        thrifty.clock.advance(MINUTE)
        await thrifty.sweep()

    assert told_at_once == [True, False]
    assert history[-1]["act"] == "validated"
    assert await windows(thrifty, claims) == [True, True]
    assert len(thrifty.mailbox.sent) == 2


async def test_a_mail_system_that_asks_for_a_pause_gets_no_calls(service: Service) -> None:
    """After the first refusal no process calls until the pause is over. Then all customers are notified."""
    claims = await two_claims(service)
    asked = 0

    def ask_for_peace(mail: OutgoingMail) -> None:
        nonlocal asked
        asked += 1
        raise MailDelayed("429", retry_after_seconds=300)

    service.mailbox.on_send = ask_for_peace
    await service.deliver()
    for _ in range(4):
        service.clock.advance(MINUTE)
        await service.sweep()
    service.mailbox.on_send = None
    asked_meanwhile = asked
    for _ in range(3):
        service.clock.advance(MINUTE)
        await service.sweep()

    assert asked_meanwhile == 1
    assert await windows(service, claims) == [True, True]


async def test_a_silent_mail_server_is_called_once_for_all_recipients_of_a_claim(service: Service) -> None:
    """A call takes a minute, and eleven calls would take longer than a function is allowed to run."""
    await service.register(noticeAddresses=["it@contoso.fr", "legal@contoso.fr"])
    await service.submitted()
    asked = 0

    def count(mail: OutgoingMail) -> None:
        nonlocal asked
        asked += 1

    service.mailbox.on_send = count
    service.mailbox.down = True
    await service.deliver()
    service.mailbox.down = False
    asked_while_down = asked
    for _ in range(3):
        service.clock.advance(MINUTE)
        await service.sweep()

    assert asked_while_down == 1
    assert len(service.mailbox.sent) == 3
