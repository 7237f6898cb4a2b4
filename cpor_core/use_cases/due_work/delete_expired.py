"""Deletes rows and blobs whose retention has ended. The storage that we use does not delete them by itself."""

from datetime import datetime

from cpor_core.due_work import RETENTION, Kind, Outcome
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases.claims import batches, csv_export
from cpor_core.use_cases.due_work.process_claim import DueClaim


async def delete_row(ports: Ports, row: DueRow, _: datetime, _claim: DueClaim) -> Outcome:
    """Delete the row of another table that the due row names."""
    if row.deletes is not None:
        await ports.duework.delete_expired(row.deletes)
    return Outcome()


async def delete_deliveries(ports: Ports, row: DueRow, _: datetime, _claim: DueClaim) -> Outcome:
    """Delete the deliveries of a webhook that were made before the instant that the due row names."""
    if row.deletes is not None:
        await ports.webhooks.delete_deliveries(row.deletes)
    return Outcome()


async def delete_batch(ports: Ports, row: DueRow, _: datetime, _claim: DueClaim) -> Outcome:
    """Delete a batch and its body. The label of the due row is the `keeping` of the batch."""
    await batches.delete_batch(ports, row.subject, row.label)
    return Outcome()


async def delete_export(ports: Ports, row: DueRow, now: datetime, _claim: DueClaim) -> Outcome:
    """Delete a large export 24 hours after its last page was made."""
    return await csv_export.expire(ports, row.subject, now)


async def delete_blob(ports: Ports, row: DueRow, _: datetime, claim: DueClaim) -> Outcome:
    """Delete an evidence file, unless its claim still points to the file."""
    case = await claim.load()
    if row.deletes is not None and (case is None or all(file.blob != row.deletes.key for file in case.claim.evidence)):
        await ports.blobs.delete(row.deletes.key)
    return Outcome()


async def delete_message_id(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    """
    Delete a Message-ID 90 days after its claim was closed, as the links in the mail expire at the same time.

    Until then the due row is moved. If the claim no longer exists, the Message-ID is deleted at once.
    """
    case = await claim.load()
    if case is not None:
        closed_at = case.claim.closed_at
        expires_at = (closed_at if closed_at is not None else now) + RETENTION[Kind.DELETE_MESSAGE_ID]
        if expires_at > now:
            return Outcome(delayed=True, not_before=expires_at)
    return await delete_row(ports, row, now, claim)
