"""Deleting what has been kept long enough; storage has no expiry of its own."""

from cpor_core.ports import DueRow, Ports
from cpor_core.use_cases.batches import BATCHES, forget_batch
from cpor_core.use_cases.calling import WEBHOOKS
from cpor_core.use_cases.drafts import EVIDENCE


async def forget(ports: Ports, row: DueRow) -> None:
    """Delete what a `forget` row names; a blob only if its claim does not point to it."""
    if row.forget is None:
        return
    table, partition, key = row.forget
    if table == WEBHOOKS:
        await ports.webhooks.forget(partition, key)
        return
    if table == BATCHES:
        await forget_batch(ports, partition, key)
        return
    if table != EVIDENCE:
        await ports.duework.forget(table, partition, key)
        return
    case = await ports.claims.load(partition, slots_of_drafts=False)
    if case is None or all(evidence.blob != key for evidence in case.claim.evidence):
        await ports.blobs.delete(key)
