"""
What the use cases need of the world, and nothing of how it is done: one file a subject.

Every port raises `Retryable` faults of `cpor_core.errors`; stores raise `Conflict` when somebody else wrote first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.licensing import Licensing
from cpor_core.ports.batches import Batches, Bodies
from cpor_core.ports.claims import Blobs, ClaimIndex, Claims, DryRuns
from cpor_core.ports.due_work import DueWork, Failures, Hints, Telemetry
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
    """Everything a use case may touch."""

    claims: Claims
    duework: DueWork
    partner_claims: ClaimIndex
    reviews: ClaimIndex
    registry: Registry
    domains: Domains | None
    """None where the operator's word is enough."""
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
    hints: Hints
    failures: Failures
    insight: InsightStore
    telemetry: Telemetry
    catalogue: Catalogue
    licensing: Callable[[], Licensing]
    """Read when a feed first needs it."""
    terms: Terms
    new_id: Callable[[], str]
    pause: Callable[[int], Awaitable[None]] = field(repr=False)
    """Wait a random moment after so many lost races in a row, so that those who race do not meet again."""
    real_now: Callable[[], datetime]
    now: Callable[[], Awaitable[datetime]] = field(repr=False)
    """The service's clock, read anew; an invocation reads it once and passes the instant on."""

    async def current_terms(self) -> Terms:
        """Return the terms with the registered closed days in them: for what counts or shows business days."""
        return self.terms.observing(await self.registry.closed_days())
