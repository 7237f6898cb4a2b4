"""
Three hosts send five hundred waiting notices under one quota.

After the first refused call no other call is refused.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cpor_app.adapters.mail.communication_services import CommunicationServicesMailer
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows
from cpor_app.adapters.storage.tables.mail_budget import TABLE, MailBudgetRow
from cpor_app.settings import FIRST_QUOTA_OF_OWN_DOMAIN
from cpor_core.model.claim import Item
from cpor_core.model.registry import Channel, Subscription, SubscriptionState
from cpor_core.ports import Ports
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.mail_budget import Limits
from cpor_core.use_cases.due_work import process_claim
from tests.core.memory_core import Core
from tests.support.communication_services import (
    ENDPOINT,
    SENDER,
    CommunicationServices,
    Identity,
    Quota,
    ToThisMachine,
    running_communication_services,
)

NIGHT = datetime(2026, 11, 2, 2, 5, 20, tzinfo=UTC)
"""Early enough for all to be told on one day."""
CLAIMS, HOSTS, AT_ONCE = 125, 3, 4
ADDRESSES = ("it@contoso.fr", "legal@contoso.fr", "board@contoso.fr")
PARTNERS_CONTACT = 1
MAILS = CLAIMS * (1 + len(ADDRESSES) + PARTNERS_CONTACT)
SOMEBODY_ELSES = 35
"""Calls of this hour that are not ours, so that the service refuses us before our own count says so."""


class Pen:
    """Writes the same short text to everybody. Another test checks the texts of mails."""

    def __init__(self, mailer: CommunicationServicesMailer) -> None:
        self._mailer = mailer

    async def send(self, message: MailMessage) -> None:
        await self._mailer.send(
            OutgoingMail(
                message_id=f"<{message.message_id}@mail.programme.example>",
                to_address=message.recipient.email,
                subject=message.kind,
                text=message.claim.id,
                html=f"<p>{message.claim.id}</p>",
                language=message.recipient.language,
            )
        )


@asynccontextmanager
async def host(core: Core, connection: StorageConnection, acs: CommunicationServices) -> AsyncIterator[Ports]:
    """Start a host with its own connections, budget and mailer. All hosts share the claims in memory."""
    rows = AzureRows(connection)
    mailer = CommunicationServicesMailer(
        ENDPOINT, Identity, sender=SENDER, now=core.clock.real, transport=lambda: ToThisMachine(acs.url)
    )
    budget = MailBudgetRow(rows, Limits(*FIRST_QUOTA_OF_OWN_DOMAIN), core.clock.real)
    try:
        yield replace(core.ports, composer=Pen(mailer), mail_budget=budget)
    finally:
        await mailer.close()
        await rows.close()


@pytest.fixture
async def acs() -> AsyncIterator[CommunicationServices]:
    """The mail service."""
    async with running_communication_services() as running:
        yield running


@pytest.fixture
async def hosts(storage_connection: str, acs: CommunicationServices) -> AsyncIterator[tuple[Core, list[Ports]]]:
    """The service, and three hosts over its storage."""
    connection = StorageConnection.from_text(storage_connection)
    await provision(connection, [TABLE], [], [])
    core = Core(NIGHT)
    async with AsyncExitStack() as started:
        yield core, [await started.enter_async_context(host(core, connection, acs)) for _ in range(HOSTS)]


async def waiting_notices(core: Core, count: int) -> list[str]:
    """Submit claims without common items or customers, and return their ids."""
    ids = [f"cccccccc-0000-4000-8000-{number:012d}" for number in range(count)]
    subscriptions = tuple(
        Subscription(
            subscription_id=one,
            product="dynamics-365-sales",
            channel=Channel.EA,
            state=SubscriptionState.ACTIVE,
            seats=50,
        )
        for one in ids
    )
    await core.register(subscriptions=subscriptions, notice_addresses=ADDRESSES)
    items = [(Item(product="dynamics-365-sales", subscription_id=one),) for one in ids]
    return [(await core.submitted(items=each)).claim.id for each in items]


async def test_after_the_first_refused_call_none_is_refused(
    hosts: tuple[Core, list[Ports]], acs: CommunicationServices
) -> None:
    """
    This holds for any order of the hosts.

    Every mail is sent once, and all mails together take no longer than the quota needs.
    """
    core, ports = hosts
    due = dict.fromkeys(await waiting_notices(core, CLAIMS), core.clock.real())
    acs.quota = Quota(*FIRST_QUOTA_OF_OWN_DOMAIN, core.clock.real)
    acs.quota.count(NIGHT - timedelta(minutes=3), SOMEBODY_ELSES)
    turns = random.Random(42)
    while due:
        now = max(min(due.values()), core.clock.real())
        core.clock.set(now)
        ready = [claim for claim, at in due.items() if at <= now][:AT_ONCE]
        # The hosts work in turn, because a host cannot know of a refusal that another host is about to get.
        on = turns.choice(ports)
        ended = await asyncio.gather(*(process_claim.process_for_customer(on, claim, now) for claim in ready))
        for claim, outcome in zip(ready, ended, strict=True):
            if outcome.delayed:
                assert outcome.not_before is not None
                due[claim] = outcome.not_before
            else:
                del due[claim]

    print(f"\n{MAILS} mails in {core.clock.real() - NIGHT}, {acs.statuses.count(429)} refused")
    assert acs.statuses.index(429) == FIRST_QUOTA_OF_OWN_DOMAIN[1] - SOMEBODY_ELSES
    assert acs.statuses.count(429) == 1
    assert acs.statuses.count(202) == len(acs.statuses) - 1
    assert core.clock.real() - NIGHT < timedelta(hours=7)
    assert len({mail.message_id for mail in acs.taken}) == len(acs.taken) == MAILS
