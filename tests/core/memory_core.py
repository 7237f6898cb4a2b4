"""
The core's use cases over storage in memory, without the HTTP edge; the clock stands still and mails are kept.

`tests/support/memory_service.py` has the edge too. A write can be overtaken, stopped, or robbed of its answer: see
`Meddled`.
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
from cpor_app.queue_names import CLAIM_BATCHES, CUSTOMER_NOTICES, PARTNER_NOTICES
from cpor_core.due_work import SHARDS, Outcome
from cpor_core.errors import MailDelayed, RecipientRefused, Refused
from cpor_core.model.claim import ClaimedCustomer, Item, NewClaim, Recipient, RecipientKind, Revenue, Speaker
from cpor_core.model.history import Entry
from cpor_core.model.webhook import CallOutcome, Delivery
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.feed import CallAnswer
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.grace import GRACE
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, find
from cpor_core.use_cases.claims import batches, customer_acts, drafts, partner_acts, reviews
from cpor_core.use_cases.claims.history import history_as_of
from cpor_core.use_cases.due_work import process_claim
from cpor_core.use_cases.due_work.sweep import Swept, sweep
from cpor_core.use_cases.feed.deliveries import deliver_webhooks
from cpor_core.views import ClaimView, claim_view
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
    Rows with somebody in between.

    `before` is called before each write, `after` once it is done; what they raise, the writer gets. `written` has the
    tables in the order in which they were written.
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
        """Hold the same rows as another."""
        self._rows = dict(other._rows)

    @asynccontextmanager
    async def once_before(self, wanted: str, meddle: Callable[[], Awaitable[None]]) -> Any:
        """Let *meddle* go first at the next write to the table *wanted*, once."""

        async def go_first(table: str, _: Sequence[Op]) -> None:
            if table == wanted:
                self.before = None
                await meddle()

        self.before = go_first
        yield
        assert self.before is None, f"{wanted} was not written"

    @asynccontextmanager
    async def once_after(self, wanted: str, meddle: Callable[[], Awaitable[None]]) -> Any:
        """Let *meddle* happen right after the next write to the table *wanted*, once."""

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
    A mail system that keeps what it is handed; it can be down, and refuse addresses for now or for good.

    What goes to partners lies apart from what goes to customers.
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
        """Return who was sent a message of that kind."""
        return [message.recipient.email for message in self.sent if message.kind == kind]


@dataclass
class Called:
    """One call of a receiver."""

    url: str
    secrets: Sequence[str]
    name: str
    delivery: Delivery


@dataclass
class Receivers:
    """
    The partners' servers: they keep what they are sent, and answer 204, or what `answers` says for their address.

    A call may take time, and somebody may do something meanwhile.
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
        await asyncio.sleep(0)  # others go on meanwhile
        self.clock.advance(self.takes)
        return self.answers.get(url, CallAnswer(CallOutcome.ANSWERED, 204))

    def ids(self, url: str | None = None) -> list[str]:
        """Return the webhook-ids of the calls, in order."""
        return [called.delivery.webhook_id for called in self.calls if url in (None, called.url)]


class Core:
    """The service without its edge, with shorthands for what its users, its queue and its timer do."""

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
        """Return a service with the same rows and time, to try something out."""
        made = Core(self.clock.real(), first_id=10**9)
        made.rows.take(self.rows)
        return made

    # --- the registry -------------------------------------------------------------------------------------------------

    async def register(self, **changes: Any) -> None:
        """Register three partners and a customer."""
        for organisation in (ADATUM, FABRIKAM, LITWARE):
            await self.ports.registry.put_partner(PARTNER_IDS[organisation], partner(organisation), None)
        await self.register_customer(**changes)

    async def register_customer(self, **changes: Any) -> None:
        """Write over what is known of the customer."""
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
        """Make a draft that passes every check; as it is stored."""
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
        """Make and submit a claim."""
        return await self.submit(await self.draft(organisation, **more))

    async def submit(self, case: Case, context: ActContext = NO_CONTEXT) -> Case:
        """Submit a draft."""
        return await partner_acts.submit(self.ports, case, PERSON, await self.now(), ACKNOWLEDGED, context)

    async def told(self, organisation: str = ADATUM, **more: Any) -> Case:
        """Bring a claim to where its customer was told."""
        case = await self.submitted(organisation, **more)
        if case.claim.automatic_review is False:
            case = await self.approve(case)
        await self.deliver()
        return await self.case(case)

    async def official(self, organisation: str = ADATUM, **more: Any) -> Case:
        """Bring a claim to its window's end, and write that down."""
        case = await self.told(organisation, **more)
        assert case.claim.window_ends_at is not None
        self.clock.set(case.claim.window_ends_at + GRACE)
        await self.sweep()
        return await self.case(case)

    async def approve(self, case: Case) -> Case:
        """Take a claim up and approve it."""
        now = await self.now()
        case = await reviews.start(self.ports, await self.case(case), now, NO_CONTEXT)
        return await reviews.approve(self.ports, case, now, NO_CONTEXT)

    async def decline(self, case: Case, now: datetime | None = None, by: Speaker = ANNE) -> Case:
        """Say the customer's no, which arrived at *now*."""
        return await customer_acts.decline(self.ports, await self.case(case), by, now or await self.now(), NO_CONTEXT)

    async def undo(self, case: Case, by: Speaker = ANNE) -> Case:
        """Take the customer's no back."""
        return await customer_acts.undo(self.ports, await self.case(case), by, await self.now(), NO_CONTEXT)

    async def withdraw(self, case: Case) -> Case:
        """Take a claim back."""
        return await partner_acts.withdraw(self.ports, await self.case(case), PERSON, await self.now(), NO_CONTEXT)

    # --- queue and timer ----------------------------------------------------------------------------------------------

    async def deliver(self) -> int:
        """Hand every waiting message to its function; returns how many there were."""
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
        while taken := await self.queues.take(CLAIM_BATCHES, 32):
            for message in taken:
                sent = json.loads(message.text)
                await batches.process_page(self.ports, sent["batchId"], sent["page"], await self.now())
                await self.queues.done(message)
                count += 1
        return count

    async def process(self, case: Case) -> Outcome:
        """Pay everything that a claim owes, as the timer does."""
        return await process_claim.process_claim(self.ports, case.claim.id, await self.now())

    def lose_messages(self) -> None:
        """Let every waiting message be lost."""
        self.queues.waiting.clear()

    async def sweep(self) -> Swept:
        """Fire the timer."""
        return await sweep(self.ports, await self.now())

    async def rest(self, by: timedelta = timedelta(minutes=3)) -> None:
        """Let the messages be delivered and the timer run until what is owed at once is paid."""
        await self.deliver()
        self.clock.advance(by)
        await self.sweep()
        await self.deliver()

    # --- what can be seen ---------------------------------------------------------------------------------------------

    async def stored(self, case: Case | StoredCase | str) -> StoredCase:
        """Return a claim as its rows say."""
        found = await self.ports.claims.load(case if isinstance(case, str) else case.claim.id)
        assert found is not None
        return found

    async def seen(self, case: Case | StoredCase) -> ClaimView:
        """Return what callers see of a claim now."""
        now = await self.now()
        found = await find(self.ports, case.claim.id, now)
        assert found is not None
        return claim_view(found, await self.ports.current_terms())

    async def case(self, case: Case | StoredCase | str) -> Case:
        """Return a claim as of now, whether or not that is written down."""
        return settle(await self.stored(case), await self.now())

    async def history(self, case: Case | StoredCase) -> Sequence[Entry]:
        """Return everything that happened to a claim by now."""
        return await history_as_of(self.ports, await self.case(case), after=0, limit=1000)

    async def due_rows(self, case: Case | StoredCase | None = None) -> list[DueRow]:
        """Return every due row there is, or those of one claim, soonest first."""
        far = datetime.max.replace(tzinfo=MONDAY.tzinfo) - timedelta(days=1)
        found: list[DueRow] = []
        for shard in range(SHARDS):
            found += await self.ports.duework.due(shard, far, after=None, limit=10_000)
        wanted = [row for row in found if case is None or row.subject == case.claim.id]
        return sorted(wanted, key=lambda row: (row.due, row.subject, row.kind, row.label))

    async def recipients(self, case: Case) -> Sequence[Recipient]:
        """Return who was or is to be told of a claim."""
        return (await self.stored(case)).claim.recipients
