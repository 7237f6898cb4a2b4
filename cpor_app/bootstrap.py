"""Chooses an adapter for each port. No other module does this. Tests call `build` with doubles."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cpor_app.adapters.catalogue import load_catalogue, load_licensing
from cpor_app.adapters.clock import Clock, SandboxClock
from cpor_app.adapters.content_types import sniff
from cpor_app.adapters.identity.links import Links
from cpor_app.adapters.identity.tokens import TokenSettings, TokenVerifier
from cpor_app.adapters.ids import new_id
from cpor_app.adapters.mail.communication_services import CommunicationServicesMailer
from cpor_app.adapters.mail.composer import MailComposer, Mailer
from cpor_app.adapters.mail.smtp import SmtpMailer
from cpor_app.adapters.storage.blobs import AzureBlobs
from cpor_app.adapters.storage.connection import StorageConnection, Transport, provision
from cpor_app.adapters.storage.queue_messages import StorageQueueMessages
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows, Rows
from cpor_app.adapters.storage.tables import TABLES
from cpor_app.adapters.storage.tables.batches import BatchesTable
from cpor_app.adapters.storage.tables.changes import ChangesTable
from cpor_app.adapters.storage.tables.directories import DirectoryTable
from cpor_app.adapters.storage.tables.dry_runs import DryRunsTable
from cpor_app.adapters.storage.tables.due_work import DueWorkTable
from cpor_app.adapters.storage.tables.erasures import ErasuresTable
from cpor_app.adapters.storage.tables.exports import ExportsTable
from cpor_app.adapters.storage.tables.failures import FailuresTable
from cpor_app.adapters.storage.tables.idempotency import RequestsTable
from cpor_app.adapters.storage.tables.indexes import IndexTable, PartnerClaimsTable
from cpor_app.adapters.storage.tables.mail_budget import MailBudgetRow
from cpor_app.adapters.storage.tables.mails import MailsTable
from cpor_app.adapters.storage.tables.programme import ProgrammeTable
from cpor_app.adapters.storage.tables.registry import RegistryTable
from cpor_app.adapters.storage.tables.usage import ReceiptsTable, UsageTable
from cpor_app.adapters.storage.tables.webhooks import WebhooksTable
from cpor_app.adapters.telemetry.recording import CountedClaims, OpenTelemetry, RecordedComposer, Sdk
from cpor_app.adapters.texts.pages import Pages
from cpor_app.adapters.texts.texts import Texts
from cpor_app.adapters.throttle import Throttle
from cpor_app.adapters.webhook_calls import WebhookCalls
from cpor_app.queue_names import POISON, QUEUES, STORAGE
from cpor_app.settings import Settings, SettingsError, environment
from cpor_core.ports import Ports
from cpor_core.ports.registry import Domains
from cpor_core.rules.business_days import Calendar
from cpor_core.rules.mail_budget import Limits
from cpor_core.rules.terms import Terms

BATCH_BODIES = "batches"
CONTAINERS = ("evidence", BATCH_BODIES)


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that triggers use. They are built once for the process."""

    settings: Settings
    connection: StorageConnection
    ports: Ports
    rows: Rows
    queues: AzureQueues
    blobs: AzureBlobs
    clock: Clock
    links: Links
    tokens: TokenVerifier
    pages: Pages
    throttle: Throttle
    telemetry: OpenTelemetry
    sniff: Callable[[bytes, str], str | None]
    closing: tuple[Callable[[], Any], ...] = field(default=())

    async def move_clock(self, *, by: timedelta | None = None, to: datetime | None = None) -> datetime:
        """Move the sandbox's clock forward, and return its new time. Raises `ClockBackwards`."""
        if not isinstance(self.clock, SandboxClock):
            message = "only the sandbox's clock can be moved"
            raise TypeError(message)
        if to is not None:
            return await self.clock.set(to)
        return await self.clock.advance(by or timedelta(0))

    async def close(self) -> None:
        """Close the connections to storage, the mail system and the receivers of telemetry."""
        for close in self.closing:
            await close()


@dataclass(frozen=True, slots=True)
class Stores:
    """The clients of storage: rows, messages, files."""

    rows: AzureRows
    queues: AzureQueues
    blobs: AzureBlobs
    batch_bodies: AzureBlobs

    async def close(self) -> None:
        """Close the connections."""
        for store in (self.rows, self.queues, self.blobs, self.batch_bodies):
            await store.close()

    @classmethod
    def at(cls, connection: StorageConnection, transport: Transport | None = None) -> "Stores":
        """Return the stores of a storage account. This makes no request."""
        return cls(
            rows=AzureRows(connection, transport=transport),
            queues=AzureQueues(connection, transport=transport),
            blobs=AzureBlobs(connection, transport=transport),
            batch_bodies=AzureBlobs(connection, BATCH_BODIES, transport=transport),
        )


def build(
    settings: Settings,
    connection: StorageConnection,
    *,
    clock: Clock | None = None,
    mailer: Mailer | None = None,
    stores: Stores | None = None,
    texts: Texts | None = None,
) -> Services:
    """Return the services on *connection*. Only tests give *clock*, *mailer*, *stores* and *texts*."""
    if settings.sandbox and not connection.is_emulator:
        message = "settings: CPOR_SANDBOX=1 is for the emulator, or an account with sandbox in its name."
        raise SettingsError(message)
    logging.getLogger("azure").setLevel(
        logging.WARNING
    )  # at lower levels the SDK logs addresses, which contain tenants
    stores = stores or Stores.at(connection)
    rows, queues = stores.rows, stores.queues
    clock = clock or (SandboxClock(rows) if settings.sandbox else Clock())
    telemetry = OpenTelemetry(_exporting(settings))
    links = Links(settings.secrets, settings.public_url)
    texts, catalogue = texts or Texts(), load_catalogue()
    mailer = mailer or mail_system(settings, connection, clock)
    ports = Ports(
        claims=CountedClaims(rows, telemetry),
        duework=DueWorkTable(rows),
        partner_claims=PartnerClaimsTable(rows),
        reviews=IndexTable(rows, "reviews"),
        registry=RegistryTable(rows),
        partners=DirectoryTable(rows, "partners"),
        customers=DirectoryTable(rows, "customers"),
        domains=_domains(settings),
        requests=RequestsTable(rows),
        mails=MailsTable(rows),
        usage=UsageTable(rows),
        receipts=ReceiptsTable(rows),
        changes=ChangesTable(rows),
        webhooks=WebhooksTable(rows),
        receivers=WebhookCalls(settings.public_url, clock.real, anywhere=settings.sandbox),
        dry_runs=DryRunsTable(rows),
        blobs=stores.blobs,
        batches=BatchesTable(rows),
        exports=ExportsTable(rows),
        batch_bodies=stores.batch_bodies,
        erasures=ErasuresTable(rows),
        composer=RecordedComposer(MailComposer(texts, links, catalogue, mailer, settings.mail_from), telemetry),
        mail_budget=MailBudgetRow(rows, Limits(*settings.mail_limits), real_now=clock.real),
        queue_messages=StorageQueueMessages(queues),
        failures=FailuresTable(rows, queues),
        programme=ProgrammeTable(rows),
        telemetry=telemetry,
        catalogue=catalogue,
        licensing=load_licensing,
        terms=Terms(
            programme=Calendar(country=settings.programme_country, time_zone=settings.programme_time_zone),
            start_review_business_days=settings.start_review_business_days,
            decide_business_days=settings.decide_business_days,
            partner_answer_business_days=settings.partner_answer_business_days,
            draft_days=settings.draft_days,
            retention_months=settings.retention_months,
            sample_percent=settings.sample_percent,
            dry_runs_per_hour=settings.dry_runs_per_hour,
            imports_before=settings.imports_before,
        ),
        new_id=new_id,
        pause=clock.pause,
        real_now=clock.real,
        now=clock.now,
    )
    tokens = TokenVerifier(
        TokenSettings(
            audience=settings.token_audience,
            issuer=settings.token_issuer,
            jwks_url=settings.token_jwks_url,
            programme_tenant=settings.programme_tenant,
            sandbox=settings.sandbox,
        ),
        clock.real,
    )
    return Services(
        settings=settings,
        connection=connection,
        ports=ports,
        rows=rows,
        queues=queues,
        blobs=stores.blobs,
        clock=clock,
        links=links,
        tokens=tokens,
        pages=Pages(texts, links, catalogue, settings.public_url),
        throttle=Throttle(settings.writes_per_second),
        telemetry=telemetry,
        sniff=sniff,
        closing=(stores.close, mailer.close, telemetry.close),
    )


def mail_system(settings: Settings, connection: StorageConnection, clock: Clock) -> Mailer:
    """Return the mailer for Communication Services if the settings have its endpoint, else for a mail server."""
    if settings.mail_endpoint is not None:
        return CommunicationServicesMailer(
            settings.mail_endpoint, connection.identity, sender=settings.mail_from, now=clock.real
        )
    return SmtpMailer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        starttls=settings.smtp_starttls,
        username=settings.smtp_username,
        password=settings.smtp_password,
        sender=settings.mail_from,
        sender_domain=settings.mail_from.rpartition("@")[2],
        now=clock.real,
    )


def _domains(settings: Settings) -> Domains | None:
    if not settings.domain_check:
        return None
    from cpor_app.adapters.identity.domains import DomainsByDiscovery

    return DomainsByDiscovery(settings.token_issuer, sandbox=settings.sandbox)


def _exporting(settings: Settings) -> Callable[[], Sdk] | None:
    """Return the function that loads the SDK and begins to send. Return None if no setting names a receiver."""
    if settings.application_insights is None and settings.otlp_endpoint is None:
        return None

    def load() -> Sdk:
        from cpor_app.adapters.telemetry.sdk import Exporting  # a late import: the SDK takes as long to load as the app

        return Exporting(
            connection_string=settings.application_insights,
            otlp_endpoint=settings.otlp_endpoint,
            site_name=settings.site_name,
        )

    return load


class _Process:
    """The services of this process. `use` replaces them."""

    services: Services | None = None
    provisioned: bool = False
    making: asyncio.Lock | None = None


async def ready(environ: Mapping[str, str] | None = None) -> Services:
    """
    Return the services of this process. The first call builds them.

    In the sandbox the first call also creates tables, queues and containers. Raises SettingsError if a setting is
    missing or wrong, and `StorageBusy` while the sandbox's storage is starting.
    """
    if _Process.services is not None and _Process.provisioned:
        return _Process.services
    if _Process.making is None:
        _Process.making = asyncio.Lock()
    async with _Process.making:
        if _Process.services is None:
            given = environment() if environ is None else environ
            settings = Settings.from_environment(given)
            _Process.services = build(settings, StorageConnection.from_environment(given, STORAGE))
        if not _Process.provisioned:
            if _Process.services.settings.sandbox:
                await provision(_Process.services.connection, TABLES, (*QUEUES, *POISON), CONTAINERS)
            _Process.provisioned = True
        return _Process.services


async def telemetry() -> OpenTelemetry:
    """Return the telemetry of this process. While the services cannot be built, it does nothing."""
    try:
        return (await ready()).telemetry
    except Exception:  # noqa: BLE001 - the next call of `ready` raises it again
        return OpenTelemetry()


def use(services: Services | None) -> None:
    """Make the process use *services*. None makes it build them again, which tests and a new event loop need."""
    _Process.services = services
    _Process.provisioned = services is not None
    _Process.making = None
