"""
The ports: interfaces for everything that the use cases need from the world. Each subject has one file.

A port does not say how an adapter does the work. Each port can raise a `Retryable` fault of `cpor_core.errors`. A port
of a store raises `Conflict` when another writer was first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.licensing import Licensing
from cpor_core.ports.batches import Batches, Bodies
from cpor_core.ports.claims import Blobs, ClaimIndex, Claims, DryRuns, PartnerClaims
from cpor_core.ports.due_work import DueRows, Failures, QueueMessages, Telemetry
from cpor_core.ports.exports import Exports
from cpor_core.ports.feed import Changes, Receivers, Webhooks
from cpor_core.ports.idempotency import Requests
from cpor_core.ports.notices import Composer, MailBudget, Mails
from cpor_core.ports.privacy import Erasures
from cpor_core.ports.programme import Programme
from cpor_core.ports.registry import Directory, Domains, Registry
from cpor_core.ports.usage import Receipts, UsageFigures
from cpor_core.rules.terms import Terms


@dataclass(frozen=True)
class Ports:
    """
    All ports, with the settings that the use cases need.

    There are two clocks. `now` is the clock of the service. It decides what is due, and an operator can move it in a
    sandbox. `real_now` is the clock of the machine. It limits the time of a run, dates rows, paces mails and signs
    webhooks. In the cloud both clocks show the same time.
    """

    claims: Claims
    duework: DueRows
    partner_claims: PartnerClaims
    reviews: ClaimIndex
    registry: Registry
    partners: Directory
    customers: Directory
    domains: Domains | None
    """None when the deployment does not check domains."""
    requests: Requests
    mails: Mails
    usage: UsageFigures
    receipts: Receipts
    changes: Changes
    webhooks: Webhooks
    receivers: Receivers
    dry_runs: DryRuns
    blobs: Blobs
    batches: Batches
    exports: Exports
    batch_bodies: Bodies
    """The bodies of batches, and the rows of large exports."""
    erasures: Erasures
    composer: Composer
    mail_budget: MailBudget
    queue_messages: QueueMessages
    failures: Failures
    programme: Programme
    telemetry: Telemetry
    catalogue: Catalogue
    licensing: Callable[[], Licensing]
    """Returns the licensing data. They are loaded on first use, because only a usage feed needs them."""
    terms: Terms
    new_id: Callable[[], str]
    pause: Callable[[int], Awaitable[None]] = field(repr=False)
    """Waits a random time, so that two writers do not collide again. The more races were lost, the longer the wait."""
    real_now: Callable[[], datetime]
    now: Callable[[], Awaitable[datetime]] = field(repr=False)
    """Each invocation calls this once and passes the instant on. In a sandbox the call makes one request to storage."""

    async def current_terms(self) -> Terms:
        """Return the terms with the registered closed days, which are needed to count business days."""
        return self.terms.observing(await self.registry.closed_days())
