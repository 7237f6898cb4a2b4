"""Deletes rows and blobs whose retention has ended. The storage that we use does not delete them by itself."""

from datetime import datetime

from cpor_core.due_work import RETENTION, Kind, Outcome
from cpor_core.model.claim import Claim
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases.claims import batches, csv_export
from cpor_core.use_cases.due_work.process_claim import DueClaim
from cpor_core.use_cases.mail_message_ids import message_id_of
from cpor_core.use_cases.together import together


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


async def delete_batch(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    """Delete a batch, its body and its row in the list. The label of the due row is the `keeping` of the batch."""
    await batches.delete_batch(ports, row.subject, row.label)
    return await delete_row(ports, row, now, claim)


async def delete_export(ports: Ports, row: DueRow, now: datetime, _claim: DueClaim) -> Outcome:
    """Delete a large export 24 hours after its last page was made."""
    return await csv_export.expire(ports, row.subject, now)


async def delete_blob(ports: Ports, row: DueRow, _: datetime, claim: DueClaim) -> Outcome:
    """Delete an evidence file, unless its claim still points to the file."""
    case = await claim.load()
    if row.deletes is not None and (case is None or all(file.blob != row.deletes.key for file in case.claim.evidence)):
        await ports.blobs.delete(row.deletes.key)
    return Outcome()


async def delete_message_ids(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    """
    Delete the Message-IDs of the mails that a claim lists, 90 days after the close of the claim.

    The links in the mails expire at the same time. If the claim was opened again, its next close has another due row.
    """
    stored = await claim.load()
    if stored is not None and _is_expired(stored.claim, row.kind, now):
        names = [message_id_of(stored.claim, mail) for mail in stored.claim.listed_mails]
        await together(ports.duework.delete_expired(ports.mails.row_ref(name)) for name in names)
    return Outcome()


async def delete_message_id(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    """
    Delete the Message-ID of one mail 90 days after its claim was closed.

    Until then the due row is moved. If the claim lists the mail, the row is not needed. If the claim no longer exists,
    the Message-ID is deleted at once.
    """
    stored = await claim.load()
    if stored is not None:
        if row.label in [message_id_of(stored.claim, mail) for mail in stored.claim.listed_mails]:
            return Outcome()
        if not _is_expired(stored.claim, row.kind, now):
            return Outcome(delayed=True, not_before=(stored.claim.closed_at or now) + RETENTION[row.kind])
    return await delete_row(ports, row, now, claim)


def _is_expired(claim: Claim, kind: Kind, now: datetime) -> bool:
    return claim.closed_at is not None and claim.closed_at + RETENTION[kind] <= now
