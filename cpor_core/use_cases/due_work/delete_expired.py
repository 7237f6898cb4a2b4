"""Deleting what has been kept long enough; storage has no expiry of its own."""

from datetime import datetime

from cpor_core.due_work import Outcome
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases.claims.batches import BATCHES, forget_batch
from cpor_core.use_cases.claims.customer_decision import LINK_LIVES
from cpor_core.use_cases.claims.drafts import EVIDENCE
from cpor_core.use_cases.feed.deliveries import WEBHOOKS
from cpor_core.use_cases.message_ids import MAILS


async def forget(ports: Ports, row: DueRow, place: tuple[str, str, str], now: datetime) -> Outcome:
    """Delete what a row names; a blob only if its claim does not point to it, a mail only 90 days after the close."""
    table, partition, key = place
    if table == WEBHOOKS:
        await ports.webhooks.forget(partition, key)
    elif table == BATCHES:
        await forget_batch(ports, partition, key)
    elif table == EVIDENCE:
        await _forget_file(ports, partition, key)
    elif table == MAILS:
        return await _forget_mail(ports, row.subject, place, now)
    else:
        await ports.duework.forget(table, partition, key)
    return Outcome()


async def _forget_file(ports: Ports, claim_id: str, blob: str) -> None:
    case = await ports.claims.load(claim_id, slots_of_drafts=False)
    if case is None or all(evidence.blob != blob for evidence in case.claim.evidence):
        await ports.blobs.delete(blob)


async def _forget_mail(ports: Ports, claim_id: str, place: tuple[str, str, str], now: datetime) -> Outcome:
    """Delete the Message-ID of a mail about a claim; while its links live, look again when they may not."""
    case = await ports.claims.load(claim_id)
    if case is not None:
        closed_at = case.claim.closed_at
        again = closed_at + LINK_LIVES if closed_at is not None else now + LINK_LIVES
        if again > now:
            return Outcome(delayed=True, not_before=again)
    await ports.duework.forget(*place)
    return Outcome()
