"""
What the use cases need from the world, one file a subject. No port says how it is done.

Each port may raise a `Retryable` fault of `cpor_core.errors`. A store raises `Conflict` when another writer was first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.licensing import Licensing
from cpor_core.ports.batches import Batches, Bodies
from cpor_core.ports.claims import Blobs, ClaimIndex, Claims, DryRuns
from cpor_core.ports.due_work import DueRows, Failures, QueueMessages, Telemetry
from cpor_core.ports.feed import Changes, Receivers, Webhooks
from cpor_core.ports.idempotency import Requests
from cpor_core.ports.insight import InsightStore
from cpor_core.ports.notices import Composer, MailBudget, Mails
from cpor_core.ports.privacy import Erasures
from cpor_core.ports.registry import Domains, Registry
from cpor_core.ports.usage import Receipts, UsageFigures
from cpor_core.rules.terms import Terms


@dataclass(frozen=True)
class Ports:
    """
    Everything that a use case may touch.

    There are two times. `now` is the service's time: it decides what is due, and an operator can move it in a sandbox.
    `real_now` is the time of the machine: it limits how long a run may take, says how old a row is, paces mails and
    signs webhooks. In the cloud both are the same.
    """

    claims: Claims
    duework: DueRows
    partner_claims: ClaimIndex
    reviews: ClaimIndex
    registry: Registry
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
    batch_bodies: Bodies
    erasures: Erasures
    composer: Composer
    mail_budget: MailBudget
    queue_messages: QueueMessages
    failures: Failures
    insight: InsightStore
    telemetry: Telemetry
    catalogue: Catalogue
    licensing: Callable[[], Licensing]
    """Loaded on first use; only a usage feed needs it."""
    terms: Terms
    new_id: Callable[[], str]
    pause: Callable[[int], Awaitable[None]] = field(repr=False)
    """Wait a random time, longer after each lost race in a row, so that two writers do not collide again."""
    real_now: Callable[[], datetime]
    now: Callable[[], Awaitable[datetime]] = field(repr=False)
    """Read by each invocation once, which passes the instant on. In a sandbox it is one request to storage."""

    async def current_terms(self) -> Terms:
        """Return the terms with the registered closed days, as business days need them."""
        return self.terms.observing(await self.registry.closed_days())
