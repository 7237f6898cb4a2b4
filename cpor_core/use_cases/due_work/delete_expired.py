"""Deleting what has been kept long enough; storage has no expiry of its own."""

from datetime import datetime

from cpor_core.due_work import Outcome, RowRef
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases.claims.batches import BATCHES, delete_batch
from cpor_core.use_cases.claims.customer_decision import LINK_LIVES
from cpor_core.use_cases.claims.drafts import EVIDENCE
from cpor_core.use_cases.feed.deliveries import WEBHOOKS
from cpor_core.use_cases.message_ids import MAILS


async def delete_expired(ports: Ports, row: DueRow, row_ref: RowRef, now: datetime) -> Outcome:
    """Delete what a row names; a blob only if its claim does not point to it, a mail only 90 days after the close."""
    table, partition, key = row_ref
    if table == WEBHOOKS:
        await ports.webhooks.delete_deliveries(partition, key)
    elif table == BATCHES:
        await delete_batch(ports, partition, key)
    elif table == EVIDENCE:
        await _delete_file(ports, partition, key)
    elif table == MAILS:
        return await _delete_message_id(ports, row.subject, row_ref, now)
    else:
        await ports.duework.delete_expired(row_ref)
    return Outcome()


async def _delete_file(ports: Ports, claim_id: str, blob: str) -> None:
    case = await ports.claims.load(claim_id, slots_of_drafts=False)
    if case is None or all(evidence.blob != blob for evidence in case.claim.evidence):
        await ports.blobs.delete(blob)


async def _delete_message_id(ports: Ports, claim_id: str, row_ref: RowRef, now: datetime) -> Outcome:
    """Delete the Message-ID of a mail about a claim; while its links live, look again when they may not."""
    case = await ports.claims.load(claim_id)
    if case is not None:
        closed_at = case.claim.closed_at
        again = closed_at + LINK_LIVES if closed_at is not None else now + LINK_LIVES
        if again > now:
            return Outcome(delayed=True, not_before=again)
    await ports.duework.delete_expired(row_ref)
    return Outcome()
