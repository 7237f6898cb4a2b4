"""
The core's use cases over storage in memory, without HTTP.

The clock stands still, and sent mails are kept. `tests/support/memory_service.py` adds HTTP. `Meddled` lets a test
overtake a write, stop it, or lose its answer.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from cpor_app import bootstrap
from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables.changes import ChangesTable
from cpor_app.adapters.storage.tables.registry import RegistryTable
from cpor_app.queue_names import CLAIM_BATCHES, CUSTOMER_NOTICES, DUE_PAGES, PARTNER_NOTICES
from cpor_core.due_work import SHARDS, Outcome
from cpor_core.errors import MailDelayed, RecipientRefused, Refused
from cpor_core.model.claim import ClaimedCustomer, Item, NewClaim, Recipient, RecipientKind, Revenue, Speaker
from cpor_core.model.history import Entry
from cpor_core.model.webhook import CallOutcome, Delivery
from cpor_core.ports.due_work import DuePage, DueRow
from cpor_core.ports.feed import CallAnswer
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.grace import GRACE
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, find
from cpor_core.use_cases.claims import batches, csv_export, customer_acts, drafts, partner_acts, reviews
from cpor_core.use_cases.claims.history import history_as_of
from cpor_core.use_cases.due_work import process_claim
from cpor_core.use_cases.due_work.sweep import Swept, process_page, sweep
from cpor_core.use_cases.feed.deliveries import deliver_webhooks
from cpor_core.views import OwnClaimView, own_claim_view
from tests.core.builders import (
    ACKNOWLEDGED,
    ADATUM,
    ANNE,
    FABRIKAM,
    LITWARE,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    RECOGNITION,
    SALES,
    TENANT,
    contacts,
    customer,
    partner,
)
from tests.doubles.clock import FixedClock
from tests.doubles.memory_rows import MemoryRows
from tests.doubles.memory_storage import NOWHERE, MemoryStorage
from tests.support.service import settings

Meddler = Callable[[str, Sequence[Op]], Awaitable[None]]


class Meddled(MemoryRows):
    """
    Rows whose writes a test can disturb.

    `before` runs before each write and `after` runs after it. The writer gets the errors that they raise. `written`
    lists the written tables in order.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self.before: Meddler | None = None
        self.after: Meddler | None = None
        self.written: list[str] = []

    async def write(self, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        if self.before is not None:
            await self.before(table, ops)
        versions = await super().write(table, partition, *ops)
        self.written.append(table)
        if self.after is not None:
            await self.after(table, ops)
        return versions

    def take(self, other: "Meddled") -> None:
        """Use the rows of another storage."""
        self._rows = dict(other._rows)

    @asynccontextmanager
    async def once_before(self, wanted: str, meddle: Callable[[], Awaitable[None]]) -> Any:
        """Run *meddle* once, before the next write to the table *wanted*."""

        async def go_first(table: str, _: Sequence[Op]) -> None:
            if table == wanted:
                self.before = None
                await meddle()

        self.before = go_first
        yield
        assert self.before is None, f"{wanted} was not written"

    @asynccontextmanager
    async def once_after(self, wanted: str, meddle: Callable[[], Awaitable[None]]) -> Any:
        """Run *meddle* once, directly after the next write to the table *wanted*."""

        async def follow(table: str, _: Sequence[Op]) -> None:
            if table == wanted:
                self.after = None
                await meddle()

        self.after = follow
        yield
        assert self.after is None, f"{wanted} was not written"


@dataclass
class Mailbox:
    """
    A mail system that keeps the mails that it gets.

    It can be down, and it can refuse addresses for some time or for good. Mails to partners are kept apart from mails
    to customers.
    """

    sent: list[MailMessage] = field(default_factory=list)
    to_partners: list[MailMessage] = field(default_factory=list)
    down: bool = False
    refused: set[str] = field(default_factory=set)
    put_off: set[str] = field(default_factory=set)
    retry_after: int | None = None
    on_send: Callable[[MailMessage], Awaitable[None]] | None = None

    async def send(self, message: MailMessage) -> None:
        if self.on_send is not None:
            await self.on_send(message)
        if self.down:
            raise MailDelayed("down", retry_after_seconds=self.retry_after)
        if message.recipient.email in self.put_off:
            raise MailDelayed("451 later", recipient_refused_for_now=True)
        if message.recipient.email in self.refused:
            raise RecipientRefused(550, "no such user")
        to_partner = message.recipient.kind is RecipientKind.PARTNER_CONTACT
        (self.to_partners if to_partner else self.sent).append(message)

    def kinds(self) -> list[str]:
        """Return the kinds of the messages that were sent to customers, in order."""
        return [message.kind for message in self.sent]

    def news(self) -> list[str]:
        """Return the kinds of the messages that were sent to partners, in order."""
        return [message.kind for message in self.to_partners]

    def addressed(self, kind: str) -> list[str]:
        """Return the addresses to which a message of that kind was sent."""
        return [message.recipient.email for message in self.sent if message.kind == kind]


@dataclass
class Called:
    """One call to a receiver."""

    url: str
    secrets: Sequence[str]
    name: str
    delivery: Delivery


@dataclass
class Receivers:
    """
    The partners' servers.

    They keep the calls that they get, and answer 204 or the answer that `answers` has for their address. A call can
    take time, and a test can act during a call.
    """

    clock: FixedClock
    calls: list[Called] = field(default_factory=list)
    answers: dict[str, CallAnswer] = field(default_factory=dict)
    takes: timedelta = timedelta(0)
    on_call: Callable[[Called], Awaitable[None]] | None = None
    never_called: set[str] = field(default_factory=set)

    async def verify(self, url: str) -> None:
        if url in self.never_called:
            raise Refused("UrlNotAllowed", "not this one")

    async def call(self, url: str, secrets: Sequence[str], name: str, delivery: Delivery) -> CallAnswer:
        called = Called(url, secrets, name, delivery)
        self.calls.append(called)
        if self.on_call is not None:
            await self.on_call(called)
        await asyncio.sleep(0)  # other tasks run here
        self.clock.advance(self.takes)
        return self.answers.get(url, CallAnswer(CallOutcome.ANSWERED, 204))

    def ids(self, url: str | None = None) -> list[str]:
        """Return the webhook-ids of the calls, in order."""
        return [called.delivery.webhook_id for called in self.calls if url in (None, called.url)]


class Core:
    """The service without HTTP, with short methods for the acts of its users, its queue and its timer."""

    def __init__(self, now: datetime = MONDAY, first_id: int = 1) -> None:
        self.clock = FixedClock(now)
        self.rows = Meddled(self.clock.real)
        storage = MemoryStorage(self.clock.real, self.rows)
        self.queues, self.blobs, self.batch_bodies = storage.queues, storage.blobs, storage.batch_bodies
        self.mailbox = Mailbox()
        self.receivers = Receivers(self.clock)
        numbers = itertools.count(first_id)
        self.ports = replace(
            bootstrap.build(settings(), NOWHERE, clock=self.clock, stores=storage.stores).ports,
            composer=self.mailbox,
            receivers=self.receivers,
            new_id=lambda: f"{next(numbers) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
        )

    def copied(self) -> "Core":
        """Return a service with a copy of the rows and the time, for an experiment."""
        made = Core(self.clock.real(), first_id=10**9)
        made.rows.take(self.rows)
        return made

    def use_another_instance(self) -> None:
        """Go on with an instance that remembers no entry of the registry and no head of a feed."""
        self.ports = replace(self.ports, registry=RegistryTable(self.rows), changes=ChangesTable(self.rows))

    # --- the registry -------------------------------------------------------------------------------------------------

    async def register(self, **changes: Any) -> None:
        """Register three partners and a customer."""
        for organisation in (ADATUM, FABRIKAM, LITWARE):
            await self.ports.registry.put_partner(PARTNER_IDS[organisation], partner(organisation), None)
        await self.register_customer(**changes)

    async def register_customer(self, **changes: Any) -> None:
        """Replace the customer in the registry."""
        former = await self.ports.registry.customer(TENANT)
        await self.ports.registry.put_customer(TENANT, customer(**changes), former)

    # --- what people do -----------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        """Return the service's time."""
        return await self.clock.now()

    async def draft(
        self,
        organisation: str = ADATUM,
        *,
        items: tuple[Item, ...] = (SALES,),
        engagement: str = RECOGNITION,
        email: str = "anne.durand@contoso.fr",
        revenue: Revenue | None = None,
        evidence: bool = True,
    ) -> Case:
        """Create a draft that passes every check, and return it as stored."""
        sent = NewClaim(
            name="Contoso adoption",
            partner_id=PARTNER_IDS[organisation],
            engagement=engagement,
            customer=ClaimedCustomer(tenant_id=TENANT, domain="contoso.fr"),
            items=items,
            contacts=contacts(email),
            revenue=revenue,
        )
        now = await self.now()
        case = await drafts.create(self.ports, organisation, PERSON, sent, now, None)
        if evidence:
            await self.add_evidence(case)
        return await self.case(case)

    async def add_evidence(self, case: Case) -> None:
        """Add the customer's acknowledgement to a draft."""
        now = await self.now()
        signed = date(now.year, now.month, now.day) - timedelta(days=30)
        upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.4", signed)
        await drafts.add_evidence(self.ports, await self.case(case), PERSON, now, upload, NO_CONTEXT)

    async def submitted(self, organisation: str = ADATUM, **more: Any) -> Case:
        """Create and submit a claim."""
        return await self.submit(await self.draft(organisation, **more))

    async def submit(self, case: Case, context: ActContext = NO_CONTEXT) -> Case:
        """Submit a draft."""
        return await partner_acts.submit(self.ports, case, PERSON, await self.now(), ACKNOWLEDGED, context)

    async def notified(self, organisation: str = ADATUM, **more: Any) -> Case:
        """Bring a claim to the state in which its customer was notified."""
        case = await self.submitted(organisation, **more)
        if case.claim.automatic_review is False:
            case = await self.approve(case)
        await self.deliver()
        return await self.case(case)

    async def official(self, organisation: str = ADATUM, **more: Any) -> Case:
        """Bring a claim to the end of its window, and store that end."""
        case = await self.notified(organisation, **more)
        assert case.claim.window_ends_at is not None
        self.clock.set(case.claim.window_ends_at + GRACE)
        await self.sweep()
        return await self.case(case)

    async def approve(self, case: Case) -> Case:
        """Start the review of a claim and approve it."""
        now = await self.now()
        case = await reviews.start(self.ports, await self.case(case), now, NO_CONTEXT)
        return await reviews.approve(self.ports, case, now, NO_CONTEXT)

    async def decline(self, case: Case, now: datetime | None = None, by: Speaker = ANNE) -> Case:
        """Decline as the customer, at the instant *now*."""
        return await customer_acts.decline(self.ports, await self.case(case), by, now or await self.now(), NO_CONTEXT)

    async def undo(self, case: Case, by: Speaker = ANNE) -> Case:
        """Undo the customer's no."""
        return await customer_acts.undo(self.ports, await self.case(case), by, await self.now(), NO_CONTEXT)

    async def withdraw(self, case: Case) -> Case:
        """Withdraw a claim."""
        return await partner_acts.withdraw(self.ports, await self.case(case), PERSON, await self.now(), NO_CONTEXT)

    # --- queue and timer ----------------------------------------------------------------------------------------------

    async def deliver(self) -> int:
        """Run the function of each waiting message, and return the number of messages."""
        count = 0
        for queue, process in (
            (CUSTOMER_NOTICES, process_claim.process_for_customer),
            (PARTNER_NOTICES, process_claim.process_for_partner),
        ):
            while taken := await self.queues.take(queue, 32):
                for message in taken:
                    sent = json.loads(message.text)
                    if "organisation" in sent:
                        await deliver_webhooks(self.ports, sent["organisation"])
                    else:
                        await process(self.ports, sent["claimId"], await self.now())
                    await self.queues.done(message)
                    count += 1
        while taken := await self.queues.take(DUE_PAGES, 32):
            for message in taken:
                await process_page(self.ports, DuePage(**json.loads(message.text)), await self.now())
                await self.queues.done(message)
                count += 1
        while taken := await self.queues.take(CLAIM_BATCHES, 32):
            for message in taken:
                sent = json.loads(message.text)
                if "exportId" in sent:
                    await csv_export.process_page(self.ports, sent["exportId"], sent["page"], await self.now())
                else:
                    await batches.process_page(self.ports, sent["batchId"], sent["page"], await self.now())
                await self.queues.done(message)
                count += 1
        return count

    async def process(self, case: Case) -> Outcome:
        """Do all due work of a claim, as the timer does."""
        _, outcome = await process_claim.process_claim(self.ports, await self.stored(case), await self.now())
        return outcome

    def lose_messages(self) -> None:
        """Lose every waiting message."""
        self.queues.waiting.clear()

    async def sweep(self) -> Swept:
        """Run the timer."""
        return await sweep(self.ports, await self.now())

    async def rest(self, by: timedelta = timedelta(minutes=3)) -> None:
        """Deliver messages and run the timer until no work is due at once."""
        await self.deliver()
        self.clock.advance(by)
        await self.sweep()
        await self.deliver()

    # --- what can be seen ---------------------------------------------------------------------------------------------

    async def stored(self, case: Case | StoredCase | str) -> StoredCase:
        """Return a claim as stored."""
        found = await self.ports.claims.load(case if isinstance(case, str) else case.claim.id)
        assert found is not None
        return found

    async def seen(self, case: Case | StoredCase) -> OwnClaimView:
        """Return the claim that its partner sees now."""
        now = await self.now()
        found = await find(self.ports, case.claim.id, now)
        assert found is not None
        return own_claim_view(found, await self.ports.current_terms())

    async def case(self, case: Case | StoredCase | str) -> Case:
        """Return a claim as of now, with the entries that time has made and nobody has stored."""
        return settle(await self.stored(case), await self.now())

    async def history(self, case: Case | StoredCase) -> Sequence[Entry]:
        """Return the history of a claim up to now."""
        return await history_as_of(self.ports, await self.case(case), after=0, limit=1000)

    async def due_rows(self, case: Case | StoredCase | None = None) -> list[DueRow]:
        """Return all due rows, or the due rows of one claim, the earliest first."""
        far = datetime.max.replace(tzinfo=MONDAY.tzinfo) - timedelta(days=1)
        found: list[DueRow] = []
        for shard in range(SHARDS):
            found += await self.ports.duework.due(shard, far, after=None, limit=10_000)
        wanted = [row for row in found if case is None or row.subject == case.claim.id]
        return sorted(wanted, key=lambda row: (row.due, row.subject, row.kind, row.label))

    async def recipients(self, case: Case) -> Sequence[Recipient]:
        """Return the recipients of a claim's notice, before or after it was sent."""
        return (await self.stored(case)).claim.recipients
