"""
Writes index rows and due rows again, after they were lost or a backup was restored.

The rows follow from the stored claims, feeds, webhooks, batches, mails, files and requests. Each reader of such a row
compares it with the stored data, so a superfluous row does no harm. So the rebuild can run while the service runs, stop
half-way, and run again. Only the due rows that delete counts of dry runs are not written again. Such a count is an
organisation and a number.

Closed claims are also removed from slots. No act leaves a closed claim in a slot. But if a slot had a closed claim,
each later claim on the item would compete with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cpor_core.due_work import SHARDS, Kind
from cpor_core.errors import Conflict
from cpor_core.model.claim import OPEN, Claim, Status
from cpor_core.model.slot import Slot
from cpor_core.ports import Ports
from cpor_core.ports.claims import Commit, TenantClaims
from cpor_core.ports.due_work import DueRow, expiry, of_act
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.rules.identifiers import is_batch_id, is_claim_id, is_export_id
from cpor_core.rules.search_words import texts_of_customer, texts_of_partner, words_stored
from cpor_core.rules.untold import untold
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import due_rows, list_for_review, replace_words
from cpor_core.use_cases.claims import batches, csv_export, subscription_ends
from cpor_core.use_cases.claims.drafts import blob_expiry
from cpor_core.use_cases.due_work import failed_messages
from cpor_core.use_cases.feed import deliveries
from cpor_core.use_cases.feed.changes import trim_row
from cpor_core.use_cases.idempotency import record_expiry, reply_expiry
from cpor_core.use_cases.mail_message_ids import message_id_expiries, message_id_expiry
from cpor_core.use_cases.programme import follow
from cpor_core.use_cases.programme.follow import follow_anew_row
from cpor_core.use_cases.programme.registry import count_customer
from cpor_core.use_cases.together import together

ROWS_AT_ONCE = 90
"""The most due rows of one subject in one request. A transaction has at most 100 rows."""
TENANTS_AT_ONCE = 32
FAILURES_AT_ONCE = 1000


@dataclass
class Rebuilt:
    """Counts for the operator: claims that were read, due rows that were written, and slots that were freed."""

    claims: int = 0
    due_rows: int = 0
    slots_freed: int = 0
    untold: list[str] = field(default_factory=list)
    """Ids of imported associations whose customer was not notified. Their figures are not shown (decision 65)."""


async def rebuild(ports: Ports, now: datetime) -> Rebuilt:
    """
    Write every row of `duework`, `partnerclaims` and `reviews`, and the lists of the registry, from the other rows.

    Rows that exist already stay, except words that a claim or entry no longer has. Makes about five requests for each
    claim, and two or three for each entry of the registry. Raises `StorageBusy`. The rows that were
    written before it are valid.
    """
    rebuilt = Rebuilt()
    evidence = await _claims(ports, now, rebuilt)
    await _keys(ports, rebuilt)
    await _feeds(ports, now, rebuilt)
    await _programme(ports, rebuilt)
    await _webhooks(ports, now, rebuilt)
    await _batches(ports, now, rebuilt)
    await _files(ports, evidence, now, rebuilt)
    await _mails_failures_and_erasures(ports, now, rebuilt)
    async for partner_id, partner in ports.registry.partners():
        await ports.registry.add_location(partner.value.entra_tenant_id, partner_id)
        await ports.partners.replace(partner_id, words_stored(texts_of_partner(partner_id, partner.value)))
    async for tenant_id, customer in ports.registry.customers():
        await ports.customers.replace(tenant_id, words_stored(texts_of_customer(tenant_id, customer.value)))
        await count_customer(ports, tenant_id, customer.value)
    return rebuilt


async def _claims(ports: Ports, now: datetime, rebuilt: Rebuilt) -> set[str]:
    """Write the rows of all claims. Returns the names of all evidence blobs of these claims."""
    evidence: set[str] = set()
    group: list[TenantClaims] = []
    async for tenant in ports.claims.tenants():
        evidence |= {file.blob for case in tenant.cases for file in case.claim.evidence}
        group.append(tenant)
        if len(group) == TENANTS_AT_ONCE:
            await together(_tenant(ports, one, now, rebuilt) for one in group)
            group = []
    await together(_tenant(ports, one, now, rebuilt) for one in group)
    return evidence


async def _tenant(ports: Ports, tenant: TenantClaims, now: datetime, rebuilt: Rebuilt) -> None:
    rows = [reply_expiry(ports, claim_id, key, now) for claim_id, key in tenant.answers]
    for case in tenant.cases:
        rows += await _of_claim(ports, case, now)
    claims = {case.claim.id: settle(case, now).claim for case in tenant.cases}
    rebuilt.untold += [claim.id for claim in claims.values() if untold(claim) is not None]
    rows += await _ends(ports, tenant.tenant_id, claims.values(), now)
    await _add(ports, rows, rebuilt)
    await _free_slots(ports, tenant.slots, claims, now, rebuilt)
    rebuilt.claims += len(tenant.cases)


async def _free_slots(
    ports: Ports, slots: Iterable[tuple[Slot, str]], claims: Mapping[str, Claim], now: datetime, rebuilt: Rebuilt
) -> None:
    """Remove closed claims from slots. Makes one read for each such claim, and one request for each such slot."""
    for slot, etag in slots:
        awaiting = slot.awaiting
        if awaiting is not None and awaiting.takes_over_at is not None and awaiting.takes_over_at <= now:
            continue  # time has made a takeover that is not stored yet; the act that stores it also corrects the slot
        in_slot = {party.claim for party in slot.at(now).others("") if not party.declined}
        suspected = {name for name in in_slot & claims.keys() if not _needs_slot(claims[name], slot.key)}
        if suspected and await _free_slot(ports, slot, etag, suspected, now):
            rebuilt.slots_freed += 1


def _needs_slot(claim: Claim, key: str) -> bool:
    if claim.status is Status.OFFICIAL:
        return claim.holds(key)
    return claim.status in OPEN and key in claim.slot_keys


async def _free_slot(ports: Ports, slot: Slot, etag: str, suspected: Iterable[str], now: datetime) -> bool:
    """
    Remove the *suspected* claims from a slot if they are really closed. Returns whether a claim was removed.

    The claims are read again, after the slot. A claim that is open again since the slot was read has also written the
    slot, so that the ETag no longer fits.
    """
    read = [await ports.claims.load(name) for name in sorted(suspected)]
    found = [case.claim for case in read if case is not None and not _needs_slot(settle(case, now).claim, slot.key)]
    if not found:
        return False
    before, freed = StoredCase(found[0], {slot.key: slot}, etags={slot.key: etag}), slot
    for claim in found:
        freed = freed.without(claim.id, now)
    after = Case(claim=before.claim, slots={slot.key: freed}, stored=before, now=now).written()
    try:
        await ports.claims.commit(Commit(ports.new_id(), before, after))
    except Conflict:
        return False  # another process has written the slot since; the next rebuild looks again
    return True


async def _of_claim(ports: Ports, stored: StoredCase, now: datetime) -> Sequence[DueRow]:
    """Write the index rows of a claim. Returns its due rows. The follower takes the claim up from its beginning."""
    claim = stored.claim
    await replace_words(ports, claim)
    await list_for_review(ports, None, claim)
    rows = [*due_rows(None, claim, now), *message_id_expiries(None, claim)]
    return [*of_act(rows, claim.version, now), follow_anew_row(stored, claim.created_at, now)]


async def _ends(ports: Ports, tenant_id: str, claims: Iterable[Claim], now: datetime) -> Sequence[DueRow]:
    """Return the due rows that end the items that are no longer on the tenant. Empty if there are no such items."""
    known = await ports.registry.customer(tenant_id)
    if known is None:
        return ()
    gone = (subscription_ends.gone_items(claim, known.value) for claim in claims)
    return subscription_ends.due_rows(tenant_id, now) if any(gone) else ()


async def _keys(ports: Ports, rebuilt: Rebuilt) -> None:
    async for organisation, hashed, record in ports.requests.all():
        key = IdempotencyKey(hashed, record.body, organisation)
        await _add(ports, [record_expiry(ports, key, record.claim_id or organisation, record.at)], rebuilt)


async def _feeds(ports: Ports, now: datetime, rebuilt: Rebuilt) -> None:
    async for organisation in ports.changes.organisations():
        if (await ports.changes.head(organisation)).last == 0:
            continue  # an empty feed gets its due row with its first change
        oldest = await ports.changes.page(organisation, after=0, limit=1)
        await _add(ports, [trim_row(organisation, oldest[0].at if oldest else now)], rebuilt)


async def _programme(ports: Ports, rebuilt: Rebuilt) -> None:
    """Write the due rows that trim the programme's feeds. An empty feed gets its due row with its first change."""
    for shard in range(SHARDS):
        for oldest in await ports.programme.changes(shard, after=0, limit=1) or ():
            await _add(ports, [follow.trim_row(shard, oldest.at)], rebuilt)


async def _webhooks(ports: Ports, now: datetime, rebuilt: Rebuilt) -> None:
    async for organisation in ports.webhooks.organisations():
        rows = {deliveries.due_row(organisation, now)}
        async for webhook, delivery in ports.webhooks.kept(organisation):
            rows.add(deliveries.deliveries_expiry(ports, organisation, webhook, delivery.created_at))
            if delivery.next_attempt is not None:
                rows.add(deliveries.attempt_row(organisation, delivery.next_attempt))
        await _add(ports, rows, rebuilt)


async def _batches(ports: Ports, now: datetime, rebuilt: Rebuilt) -> None:
    bodies = set()
    async for batch in ports.batches.all():
        await ports.batches.enlist(batch)
        await _add(ports, batches.due_rows(ports, batch), rebuilt)
        bodies.add(batch.blob)
    async for export in ports.exports.all():
        await _add(ports, csv_export.due_rows(ports, export), rebuilt)
        bodies |= {export.blob(page) for page in range(1, len(export.pages) + 1)}
    async for name in ports.batch_bodies.names():
        batch_id, _, keeping = name.partition("-")
        is_ours = is_batch_id(batch_id) or is_export_id(batch_id)
        if name not in bodies and is_ours:  # not deleted at once, because a batch can be arriving now
            await _add(ports, [expiry(Kind.DELETE_BATCH, batch_id, now, label=keeping)], rebuilt)


async def _files(ports: Ports, evidence: set[str], now: datetime, rebuilt: Rebuilt) -> None:
    """Write due rows that delete blobs without a claim. The handler looks for the claim again before it deletes."""
    async for name in ports.blobs.names():
        claim_id = name.partition("-")[0]
        if name not in evidence and is_claim_id(claim_id):
            await _add(ports, [blob_expiry(claim_id, name, now)], rebuilt)


async def _mails_failures_and_erasures(ports: Ports, now: datetime, rebuilt: Rebuilt) -> None:
    """Write due rows that delete Message-IDs and failed messages, and due rows that continue erasures."""
    async for message_id, sent in ports.mails.all():
        await _add(ports, [message_id_expiry(ports, sent.claim_id, message_id, now)], rebuilt)
    after = ""
    while page := await ports.failures.page(after=after, limit=FAILURES_AT_ONCE):
        for failure in page:
            await _add(ports, [failed_messages.failure_expiry(ports, failure, failure.at)], rebuilt)
        after = ports.failures.position(page[-1])
    for erasure in await ports.erasures.all():
        if erasure.finished_at is None:
            await _add(ports, [DueRow(now, erasure.id, Kind.ERASE_PERSON)], rebuilt)


async def _add(ports: Ports, rows: Iterable[DueRow], rebuilt: Rebuilt) -> None:
    wanted = list(rows)
    for first in range(0, len(wanted), ROWS_AT_ONCE):
        await ports.duework.add(wanted[first : first + ROWS_AT_ONCE])
    rebuilt.due_rows += len(wanted)
