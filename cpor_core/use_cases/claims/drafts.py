"""Creates, edits and deletes drafts, and adds and removes evidence."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from cpor_core.due_work import Kind, RowRef
from cpor_core.errors import Conflict, Detail, Refused, StorageBusy
from cpor_core.model.catalogue import Engagement
from cpor_core.model.claim import MAX_EVIDENCE_FILES, Claim, ClaimedCustomer, Evidence, Item, NewClaim, Note, Status
from cpor_core.model.history import Act, Actor
from cpor_core.ports import Ports
from cpor_core.ports.claims import Commit
from cpor_core.ports.due_work import DueRow, expiry, of_act
from cpor_core.ports.idempotency import IdempotencyKey, IdempotencyRecord, StoredReply
from cpor_core.rules import file_names
from cpor_core.rules.identifiers import derived_claim_id, new_claim_id
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase, invalid_state
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import (
    NO_CONTEXT,
    ActContext,
    change_claim,
    creation_row,
    due_rows,
    list_for_partner,
)
from cpor_core.use_cases.feed.changes import announce, follow_row
from cpor_core.use_cases.idempotency import Repeated, begin_request, record_expiry, reply_expiry
from cpor_core.use_cases.together import together
from cpor_core.views import own_claim_view

EVIDENCE = "evidence"
"""The name of the blob container. A due row that deletes a blob has this name in place of a table's name."""


@dataclass(frozen=True, slots=True)
class Filed:
    """A valid claim as it was sent, with its engagement. `filed_as` is the older engagement name in the request."""

    sent: NewClaim
    engagement: Engagement
    filed_as: str | None


def file(ports: Ports, sent: NewClaim) -> Filed:
    """
    Return the engagement under which a claim is filed.

    Raises `EngagementUnknown`, `DuplicateItem`, `NotForThisEngagement`, `ValidationFailed` for items of the wrong kind.
    """
    found = ports.catalogue.filed_under(sent.engagement)
    if found is None:
        raise Refused(
            "EngagementUnknown",
            f"There is no engagement {sent.engagement!r}.",
            target="engagement",
            resolution="GET /engagements lists them.",
        )
    engagement, filed_as = found
    _verify_items(sent.items, engagement)
    if sent.revenue is not None and not engagement.extra_fields:
        raise _not_for_this("revenue", engagement)
    if sent.waive_incentive and not engagement.incentive_may_be_waived:
        raise _not_for_this("waiveIncentive", engagement)
    return Filed(sent, engagement, filed_as)


def _verify_items(items: tuple[Item, ...], engagement: Engagement) -> None:
    wants_workloads = engagement.item_kind == "workload"
    wrong = [n for n, item in enumerate(items) if (item.workload is not None) is not wants_workloads]
    if wrong:
        form = "a workload" if wants_workloads else "a product and a subscriptionId"
        message = f"A claim under {engagement.name} is for {engagement.item_kind}s. Each item needs {form}."
        details = [Detail("ValidationFailed", message, f"items[{n}]", f"Send {form}.") for n in wrong]
        raise Refused("ValidationFailed", message, target="items", resolution=f"Send {form}.", details=details)
    offered = {thing.id for thing in engagement.workloads or engagement.products or ()}
    unknown = [n for n, item in enumerate(items) if (item.workload or item.product) not in offered]
    if unknown:
        message = f"This item is not in the list of {engagement.name}."
        resolution = f"GET /engagements/{engagement.id} lists the items that can be claimed."
        details = [Detail("ValidationFailed", message, f"items[{n}]", resolution) for n in unknown]
        raise Refused("ValidationFailed", message, target="items", resolution=resolution, details=details)
    keys = [item.key for item in items]
    twice = [n for n, key in enumerate(keys) if key in keys[:n]]
    if twice:
        raise Refused(
            "DuplicateItem",
            "The same item is named twice.",
            target=f"items[{twice[0]}]",
            resolution="Name each item once.",
        )


def _not_for_this(field: str, engagement: Engagement) -> Refused:
    return Refused(
        "NotForThisEngagement", f"{engagement.name} has no {field}.", target=field, resolution="Leave the field out."
    )


async def draft(ports: Ports, organisation: str, sent: NewClaim, now: datetime, claim_id: str) -> Claim:
    """
    Return the draft that a request asks for, without storing it. Creation and dry run use this function.

    Raises the errors of `file`, and `PartnerIdNotYours`.
    """
    filed = file(ports, sent)
    partner_name = await _own_partners_name(ports, organisation, sent.partner_id)
    return Claim(
        id=claim_id,
        tenant_id=sent.customer.tenant_id,
        organisation=organisation,
        partner_id=sent.partner_id,
        partner_name=partner_name,
        engagement=filed.engagement.id,
        filed_as=filed.filed_as,
        name=sent.name,
        domain=sent.customer.domain,
        items=sent.items,
        contacts=sent.contacts,
        waive_incentive=sent.waive_incentive,
        revenue=sent.revenue,
        comment=sent.comment,
        reference=sent.reference,
        status_since=now,
        created_at=now,
        updated_at=now,
        due=ports.terms.draft_lapses_at(now),
    )


async def _own_partners_name(ports: Ports, organisation: str, partner_id: str) -> str:
    found = await ports.registry.recent_partner(partner_id)  # its organisation never changes
    if found is None or found.value.entra_tenant_id != organisation:
        raise Refused(
            "PartnerIdNotYours",
            f"{partner_id} is not a location of your organisation.",
            target="partnerId",
            resolution="Use a partnerId that the programme has registered for your Entra tenant.",
        )
    return found.value.name


async def create(
    ports: Ports, organisation: str, actor: Actor, sent: NewClaim, now: datetime, key: IdempotencyKey | None
) -> Case:
    """
    Create a draft, in four requests, or five with an idempotency key.

    One request more reads the partner's location, if it was not read recently.

    Raises the errors of `draft` and `begin_request`, and `Repeated` if the reply for the key is stored.
    """
    act_id = ports.new_id()
    if key is None:
        claim_id = new_claim_id(sent.customer.tenant_id, ports.new_id())
    else:
        # The instant is part of the id, because a key can be used again after the key's record was deleted.
        claim_id = derived_claim_id(sent.customer.tenant_id, organisation, f"{key.hash}|{now.isoformat()}")
    made = await draft(ports, organisation, sent, now, claim_id)
    if key is not None:
        claim_id = (await begin_request(ports, key, IdempotencyRecord(key.body, claim_id, act_id, now))).claim_id
        made = made.model_copy(update={"id": claim_id})
    commit = created(made, actor, now, act_id)
    case = commit.after
    if key is not None:
        view = own_claim_view(case, await ports.current_terms())
        reply = StoredReply(key.body, view.model_dump_json(by_alias=True), view.etag)
        commit = replace(commit, key=key.hash, reply=reply)
    try:
        rows = creation_row(made, now), *_expiry_rows(ports, key, made, now)
        await store_draft(ports, commit, now, rows)
    except Conflict:
        if not await ports.claims.wrote(claim_id, act_id, 1):
            if key is not None and (first := await ports.claims.stored_reply(claim_id, key.hash)) is not None:
                raise Repeated(first) from None
            message = "a claim of this id exists already"
            raise StorageBusy(message, retry_after_seconds=1) from None
    await announce(ports, case, case.entries, now)
    return case


def created(made: Claim, actor: Actor, now: datetime, act_id: str) -> Commit:
    """Return the transaction that stores the new draft *made*."""
    before = StoredCase(made, {})
    case = settle(before, now).record(Act.CREATED, actor, now, to=Status.DRAFT, due=made.due, status_since=now)
    return Commit(act_id, before, case.written(), person_id=actor.id)


async def store_draft(ports: Ports, commit: Commit, now: datetime, also: Iterable[DueRow] = ()) -> None:
    """
    Store a new draft in three requests: the due rows and the key in the list, then the draft.

    Raises `Conflict` if a claim with this id exists.
    """
    made = commit.before.claim
    rows = (*due_rows(None, made, now), follow_row(made.id, now), *also)
    await together(
        (
            ports.duework.add(of_act(rows, commit.after.claim.version, now)),
            list_for_partner(ports, None, made),
        )
    )
    await ports.claims.commit(commit)


def _expiry_rows(ports: Ports, key: IdempotencyKey | None, made: Claim, now: datetime) -> tuple[DueRow, ...]:
    if key is None:
        return ()
    return record_expiry(ports, key, made.id, now), reply_expiry(ports, made.id, key.hash, now)


async def edit(
    ports: Ports, case: Case, actor: Actor, now: datetime, patch: Mapping[str, object], context: ActContext
) -> Case:
    """
    Change a draft, or a claim in `partnerActionRequired`, by a JSON merge patch (RFC 7396).

    The patch is merged into the newest stored claim. In `partnerActionRequired` all fields are fixed except partnerId,
    items and contacts. A patch of the reference alone is taken in every state, and makes no history entry.

    Raises `Immutable` for a fixed field, pydantic's `ValidationError` for a result that is not a valid claim,
    `InvalidState`, and the errors of `draft`.
    """
    if patch.keys() == {"reference"}:
        note = Note.model_validate(dict(patch))
        return await change_claim(ports, case, now, lambda current: current.noted(note.reference, now), context)
    first = _patched(case.claim, patch)
    file(ports, first)
    partner_name = await _own_partners_name(ports, case.claim.organisation, first.partner_id)

    def judge(current: Case) -> Case:
        sent = _patched(current.claim, patch)  # since the first merge another caller can have changed other fields
        filed = file(ports, sent)
        same_partner = sent.partner_id == first.partner_id
        changes: dict[str, Any] = {
            "name": sent.name,
            "partner_id": sent.partner_id,
            "partner_name": partner_name if same_partner else current.claim.partner_name,
            "domain": sent.customer.domain,
            "items": filed.sent.items,
            "contacts": sent.contacts,
            "waive_incentive": sent.waive_incentive,
            "revenue": sent.revenue,
            "comment": sent.comment,
        }
        if all(value == getattr(current.claim, name) for name, value in changes.items()):
            return current.noted(sent.reference, now)  # no other change: for example, the patch is a repetition
        if current.claim.status is not Status.DRAFT:
            changes = _answer(current.claim, changes)
        return current.record(Act.EDITED, actor, now, **changes).noted(sent.reference, now)

    after = await change_claim(ports, case, now, judge, context)
    if after.claim.status is Status.DRAFT:
        return after
    stored = await ports.claims.load(after.claim.id)  # the slots of new items were not read before
    return settle(stored, now) if stored is not None else after


def _patched(claim: Claim, patch: Mapping[str, object]) -> NewClaim:
    """Return the claim after the patch, in the form of a request. Raises the same errors as `edit`."""
    merged = merge_patch(_as_sent(claim), patch, keep_idle_nulls=True)
    sent = NewClaim.model_validate_json(json.dumps(merged), by_alias=True, by_name=False)
    if claim.status not in (Status.DRAFT, Status.PARTNER_ACTION_REQUIRED):
        raise invalid_state(claim, "edited")
    if sent.customer.tenant_id != claim.tenant_id:
        raise _immutable("customer.tenantId")
    if sent.engagement not in (claim.engagement, claim.filed_as):
        raise _immutable("engagement")
    return sent


EDITABLE = {
    "name": "name",
    "partner_id": "partnerId",
    "partner_name": "partnerId",
    "domain": "customer.domain",
    "items": "items",
    "contacts": "contacts",
    "waive_incentive": "waiveIncentive",
    "revenue": "revenue",
    "comment": "comment",
}
"""The fields that an edit of a draft can change, with their names in the API."""
EDITABLE_IN_ANSWER = frozenset({"partner_id", "partner_name", "items", "contacts"})
"""The fields that an edit in `partnerActionRequired` can change."""


def _answer(claim: Claim, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of an edit in `partnerActionRequired`. Raises `Immutable` for any other field."""
    changed = {name for name, value in changes.items() if value != getattr(claim, name)}
    fixed = changed - EDITABLE_IN_ANSWER - {"partner_name"}
    if fixed:
        raise _immutable(EDITABLE[min(fixed)])
    item_keys = {item.key for item in changes["items"]}
    return {
        **{name: changes[name] for name in EDITABLE_IN_ANSWER},
        "left_items": tuple(item for item in (*claim.left_items, *claim.items) if item.key not in item_keys),
        "only_contacts_changed": claim.only_contacts_changed and changed <= {"contacts", "partner_name"},
    }


def _as_sent(claim: Claim) -> dict[str, object]:
    """Return the claim in the form of a request, for a patch. Raises `InvalidState`."""
    if claim.contacts is None:  # the claim was imported, or its people were erased
        raise invalid_state(claim, "edited")
    sent = NewClaim(
        name=claim.name,
        partner_id=claim.partner_id,
        engagement=claim.engagement,
        customer=ClaimedCustomer(tenant_id=claim.tenant_id, domain=claim.domain),
        items=claim.items,
        contacts=claim.contacts,
        waive_incentive=claim.waive_incentive,
        revenue=claim.revenue,
        comment=claim.comment,
        reference=claim.reference,
    )
    return sent.model_dump(mode="json", by_alias=True)


def merge_patch(target: object, patch: object, *, keep_idle_nulls: bool = False) -> object:
    """
    Apply a merge patch (RFC 7396) to *target*, and return the result.

    A null removes a field, an object is merged, and every other value replaces a field. With *keep_idle_nulls*, a null
    for a field that *target* does not have stays in the result. So an unknown field can be refused later.
    """
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is not None:
            merged[name] = merge_patch(merged.get(name), value, keep_idle_nulls=keep_idle_nulls)
        elif name in merged:
            del merged[name]
        elif keep_idle_nulls:
            merged[name] = None
    return merged


def _immutable(field: str) -> Refused:
    return Refused(
        "Immutable",
        f"{field} can no longer be changed.",
        target=field,
        resolution="Leave the field as it is, or create a new claim.",
    )


def _verify_draft(case: Case, act_name: str) -> None:
    if case.claim.status is not Status.DRAFT:
        raise invalid_state(case.claim, act_name)


async def delete(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext = NO_CONTEXT) -> None:
    """Delete a draft. The due work of this act erases its rows and evidence. Raises `InvalidState`."""
    await change_claim(ports, case, now, lambda current: life.delete(current, actor, now), context)


@dataclass(frozen=True, slots=True)
class Upload:
    """An evidence file as it was sent. Its media type follows from its content, and not from a header."""

    file_name: str
    content_type: str
    data: bytes
    signed_on: date | None


def _verify_may_add(case: Case, upload: Upload, now: datetime) -> None:
    closed = case.claim.status is Status.REJECTED and not life.is_disputable(case.claim)
    if case.claim.status not in MAY_ADD_EVIDENCE or closed:
        raise invalid_state(case.claim, "given more evidence")
    exists = file_names.find(case.claim.evidence, upload.file_name) is not None
    if exists and case.claim.status is not Status.DRAFT and not _has_file(case.claim, upload):
        raise Refused(
            "EvidenceExists",
            "A file of a submitted claim cannot be replaced.",
            target="fileName",
            resolution="Upload the new file under another file name.",
        )
    if not exists and len(case.claim.evidence) >= MAX_EVIDENCE_FILES:
        raise Refused(
            "TooManyFiles",
            f"A claim has at most {MAX_EVIDENCE_FILES} evidence files.",
            target="evidence",
            resolution="Put several documents into one file, or delete a file from the draft.",
        )
    tomorrow = now.date() + timedelta(days=1)  # east of UTC this date can have begun
    if upload.signed_on is not None and upload.signed_on > tomorrow:
        raise Refused(
            "ValidationFailed",
            "signedOn must not lie in the future.",
            target="signedOn",
            resolution="Send the date of the customer's signature as YYYY-MM-DD.",
        )


def _has_file(claim: Claim, upload: Upload) -> bool:
    """Whether the claim has exactly this file, because the caller repeats an upload whose answer was lost."""
    sent = (upload.file_name, hashlib.sha256(upload.data).hexdigest(), upload.signed_on)
    return any((file.file_name, file.sha256, file.signed_on) == sent for file in claim.evidence)


MAY_ADD_EVIDENCE = frozenset({Status.DRAFT, Status.PARTNER_ACTION_REQUIRED, Status.OFFICIAL, Status.REJECTED})
"""In these states evidence can be added. Evidence can be replaced only in a draft (decisions 10, 28)."""


async def add_evidence(
    ports: Ports, case: Case, actor: Actor, now: datetime, upload: Upload, context: ActContext
) -> tuple[Case, bool]:
    """
    Store an evidence file. Returns the case, and whether the file name is new.

    In a draft, an upload replaces the file of the same name, also if the names differ in capitals. The due row that
    deletes an unused blob is written first, then the blob, then the claim. A repeated upload changes nothing. Raises
    `InvalidState`, `EvidenceExists`, `TooManyFiles`.
    """
    _verify_may_add(case, upload, now)
    if _has_file(case.claim, upload):
        return case, False
    blob = f"{case.claim.id}-{ports.new_id()}"
    made = Evidence(
        file_name=upload.file_name,
        content_type=upload.content_type,
        size=len(upload.data),
        sha256=hashlib.sha256(upload.data).hexdigest(),
        signed_on=upload.signed_on,
        added_at=now,
        blob=blob,
    )
    new = True

    def judge(current: Case) -> Case:
        nonlocal new
        _verify_may_add(current, upload, now)
        former = file_names.find(current.claim.evidence, upload.file_name)
        kept = tuple(evidence for evidence in current.claim.evidence if evidence is not former)
        new = former is None
        return current.record(
            Act.EVIDENCE_ADDED, actor, now, evidence=(*kept, made), only_contacts_changed=False, evidence_by=None
        )

    replaced = file_names.find(case.claim.evidence, upload.file_name)
    unused = [blob, replaced.blob] if replaced is not None else [blob]
    context = replace(
        context,
        expiries=[blob_expiry(case.claim.id, name, now) for name in unused],
        store_file=partial(ports.blobs.put, blob, upload.data, upload.content_type),
    )
    return await change_claim(ports, case, now, judge, context), new


async def remove_evidence(
    ports: Ports, case: Case, actor: Actor, now: datetime, file_name: str, context: ActContext
) -> Case:
    """Remove a file from a draft. Raises `InvalidState`, and `NotFound` for an unknown file."""
    found = find_evidence(case.claim, file_name)
    _verify_draft(case, "stripped of evidence")

    def judge(current: Case) -> Case:
        _verify_draft(current, "stripped of evidence")
        removed = find_evidence(current.claim, file_name)
        kept = tuple(evidence for evidence in current.claim.evidence if evidence is not removed)
        return current.record(Act.EVIDENCE_REMOVED, actor, now, evidence=kept)

    context = replace(context, expiries=[blob_expiry(case.claim.id, found.blob, now)])
    return await change_claim(ports, case, now, judge, context)


def find_evidence(claim: Claim, file_name: str) -> Evidence:
    """Return the claim's file with this name, in capitals or not. Raises `NotFound`."""
    found = file_names.find(claim.evidence, file_name)
    if found is None:
        raise Refused(
            "NotFound",
            "The claim has no file of this name.",
            target="fileName",
            resolution="Read the claim: `evidence` lists its files.",
        )
    return found


def blob_expiry(claim_id: str, blob: str, now: datetime) -> DueRow:
    """Return the due row that deletes a blob, unless the claim has a file with this blob at that time."""
    return expiry(Kind.DELETE_BLOB, claim_id, now, RowRef(EVIDENCE, claim_id, blob), blob[-16:])
