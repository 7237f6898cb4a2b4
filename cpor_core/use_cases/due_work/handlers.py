"""The handlers of due work. The handler of a kind does the work of a due row of that kind."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from cpor_core.due_work import SETTLED_AFTER, SOON, Kind, Outcome
from cpor_core.model.claim import Status
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.use_cases.change_claim import creation_label, remove_from_list, replace_words
from cpor_core.use_cases.claims import batches, csv_export, subscription_ends
from cpor_core.use_cases.due_work import delete_expired
from cpor_core.use_cases.due_work.process_claim import DueClaim
from cpor_core.use_cases.feed import changes, deliveries
from cpor_core.use_cases.privacy import erase_person
from cpor_core.use_cases.programme import recount, registry
from cpor_core.use_cases.programme.follow import Wanted, follow, trim
from cpor_core.use_cases.register import untold
from cpor_core.use_cases.together import together

Handler = Callable[[Ports, DueRow, datetime, DueClaim], Awaitable[Outcome]]
"""
Does the work that is due. A repeated call does no harm. After a `Conflict`, `Refused` or fault it is tried again.

The rows of one subject share a `DueClaim`. Handlers of rows about another subject do not use it.
"""


async def _process_claim(_: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    return await claim.process(row, now)


async def follow_claims(ports: Ports, to_follow: Sequence[tuple[DueClaim, Sequence[DueRow]]], now: datetime) -> None:
    """Follow claims of one shard together. A row with a label asks to derive everything again."""
    loaded = await together(claim.load() for claim, _ in to_follow)
    known = {claim.id: stored for (claim, _), stored in zip(to_follow, loaded, strict=True)}
    wanted = [Wanted(claim.id, max(row.label for row in rows)) for claim, rows in to_follow]
    await follow(ports, wanted, now, known)


async def _follow(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    await follow_claims(ports, [(claim, [row])], now)
    return Outcome()


async def _replace_words(ports: Ports, row: DueRow, _now: datetime, claim: DueClaim) -> Outcome:
    stored = await claim.load()
    if stored is None:
        if row.label and row.written_at is not None and ports.real_now() - row.written_at > SETTLED_AFTER:
            await remove_from_list(ports, row)  # the creation died between its index rows and its transaction
    elif stored.claim.status is not Status.DELETED and row.label != creation_label(stored.claim):
        await replace_words(ports, stored.claim)
    return Outcome()


async def _follow_customer(ports: Ports, row: DueRow, now: datetime, subject: DueClaim) -> Outcome:
    subject.version = await registry.follow_customer(ports, row, now)
    return Outcome()


async def _follow_figures(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    await registry.follow_figures(ports, row.subject, now)
    return Outcome()


async def _recount(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    await recount.recount_page(ports, row, now)
    return Outcome(row_stays=True)


async def _follow_partner(ports: Ports, row: DueRow, _: datetime, subject: DueClaim) -> Outcome:
    subject.version = await registry.follow_partner(ports, row)
    return Outcome()


async def _trim_programme(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    await trim(ports, row, now)
    return Outcome(row_stays=True)


async def _trim_changes(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    await changes.trim(ports, row, now)
    return Outcome(row_stays=True)


async def _deliver(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    is_due = await deliveries.nudge_deliveries(ports, row.subject, now)
    return Outcome(delayed=is_due, not_before=now + SOON if is_due else None)


async def _finish_batch(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    return await batches.finish(ports, row.subject, now)


async def _finish_export(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    return await csv_export.finish(ports, row.subject, now)


async def _erase_person(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    return await erase_person.continue_erasure(ports, row.subject, now)


async def _end_gone_items(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    await subscription_ends.end_gone_items(ports, row.subject, now)
    return Outcome()


async def _notify_others(ports: Ports, row: DueRow, now: datetime, _: DueClaim) -> Outcome:
    await untold.notify_others(ports, row.subject, now)
    return Outcome()


async def _of_another_release(ports: Ports, row: DueRow, now: datetime, claim: DueClaim) -> Outcome:
    """Delete the row that the due row names. If it names none, do the due work of the claim."""
    handler = delete_expired.delete_row if row.deletes is not None else _process_claim
    return await handler(ports, row, now, claim)


HANDLERS: Mapping[Kind, Handler] = {
    Kind.WRITE_DOWN: _process_claim,
    Kind.NOTIFY_CUSTOMER: _process_claim,
    Kind.REMIND_CUSTOMER: _process_claim,
    Kind.REMIND_PARTNER: _process_claim,
    Kind.SEND_MAIL: _process_claim,
    Kind.NOTIFY_PARTNER: _process_claim,
    Kind.DELETE_DRAFT: _process_claim,
    Kind.ERASE_PEOPLE: _process_claim,
    Kind.FOLLOW: _follow,
    Kind.ANNOUNCE: _follow,
    Kind.FOLLOW_CUSTOMER: _follow_customer,
    Kind.FOLLOW_PARTNER: _follow_partner,
    Kind.FOLLOW_FIGURES: _follow_figures,
    Kind.RECOUNT: _recount,
    Kind.TRIM_PROGRAMME: _trim_programme,
    Kind.REPLACE_WORDS: _replace_words,
    Kind.TRIM_CHANGES: _trim_changes,
    Kind.DELIVER: _deliver,
    Kind.FINISH_BATCH: _finish_batch,
    Kind.FINISH_EXPORT: _finish_export,
    Kind.ERASE_PERSON: _erase_person,
    Kind.END_GONE_ITEMS: _end_gone_items,
    Kind.NOTIFY_OTHERS: _notify_others,
    Kind.DELETE_IDEMPOTENCY_RECORD: delete_expired.delete_row,
    Kind.DELETE_REPLY: delete_expired.delete_row,
    Kind.DELETE_MESSAGE_ID: delete_expired.delete_message_id,
    Kind.DELETE_MESSAGE_IDS: delete_expired.delete_message_ids,
    Kind.DELETE_BLOB: delete_expired.delete_blob,
    Kind.DELETE_DELIVERIES: delete_expired.delete_deliveries,
    Kind.DELETE_BATCH: delete_expired.delete_batch,
    Kind.DELETE_EXPORT: delete_expired.delete_export,
    Kind.DELETE_FAILURE: delete_expired.delete_row,
    Kind.DELETE_DRY_RUN_COUNT: delete_expired.delete_row,
    Kind.OF_ANOTHER_RELEASE: _of_another_release,
}
