"""The shapes of the API's answers about claims. They are made from a `Case`, never from stored rows alone."""

import hashlib
from datetime import date

from cpor_core.model.base import Guid, Instant, Value
from cpor_core.model.claim import (
    CLOSED,
    LEFT_OUT,
    OPEN,
    Acknowledgements,
    ClaimedCustomer,
    Contacts,
    Item,
    Reason,
    Revenue,
    SkippedDay,
    Status,
    Voice,
)
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import NextStep, next_step, stands_still


class EvidenceView(Value):
    """One evidence file, without its content. `size` is in bytes, `sha256` in hex."""

    file_name: str
    content_type: str
    size: int
    sha256: str
    signed_on: date | None
    added_at: Instant


class WindowView(Value):
    """The customer's window. The customer can decline before `endsAt`."""

    opened_at: Instant
    ends_at: Instant
    time_zone: str
    calendar: str | None
    last_day: date
    skipped_days: tuple[SkippedDay, ...]


class NoView(Value):
    """The customer's no that is in force: when the no arrived, and who said it."""

    at: Instant
    by: Voice


class AssociatedItem(Value):
    """An item of an association. It can end earlier than the association."""

    workload: str | None = LEFT_OUT
    product: str | None = LEFT_OUT
    subscription_id: str | None = LEFT_OUT
    since: Instant
    ended_at: Instant | None = None
    end_reason: Reason | None = None


class AssociationPart(Value):
    """The association as part of a claim."""

    id: str
    since: Instant
    ended_at: Instant | None
    end_reason: Reason | None
    items: tuple[AssociatedItem, ...]


class ClaimView(Value):
    """A claim as it is now."""

    id: str
    name: str
    partner_id: str
    engagement: str
    filed_as: str | None
    customer: ClaimedCustomer
    items: tuple[Item, ...]
    contacts: Contacts | None
    waive_incentive: bool
    revenue: Revenue | None
    comment: str | None
    status: Status
    status_reason: Reason | None
    competing: bool
    next_step: NextStep
    evidence: tuple[EvidenceView, ...]
    acknowledgements: Acknowledgements | None
    window: WindowView | None
    association: AssociationPart | None
    created_at: Instant
    submitted_at: Instant | None
    updated_at: Instant
    history_hash: str | None
    etag: str


class OwnClaimView(ClaimView):
    """A claim as its partner sees it: with the partner's own reference."""

    reference: str | None


class ClosedCustomer(Value):
    """The customer's tenant, without the words of the claim."""

    tenant_id: Guid


class ClosedWindow(Value):
    """The instants of the customer's window."""

    opened_at: Instant
    ends_at: Instant
    last_day: date


class ClosedClaimView(Value):  # decision 52: a new field of a claim is not shown until it is named here
    """A claim as a reader of the programme sees it: ids, codes and instants, without personal data."""

    id: str
    partner_id: str
    engagement: str
    filed_as: str | None
    customer: ClosedCustomer
    items: tuple[Item, ...]
    waive_incentive: bool
    status: Status
    status_reason: Reason | None
    competing: bool
    next_step: NextStep
    window: ClosedWindow | None
    association: AssociationPart | None
    created_at: Instant
    submitted_at: Instant | None
    updated_at: Instant
    history_hash: str | None
    etag: str


class AssociationView(Value):
    """An association, in the same shape for partner and customer."""

    id: str
    claim_id: str
    partner_id: str
    partner_name: str
    engagement: str
    customer: ClaimedCustomer
    items: tuple[AssociatedItem, ...]
    since: Instant
    ended_at: Instant | None
    end_reason: Reason | None


def entity_tag(case: Case) -> str:
    """
    Return the entity tag of a claim for those who do not see the partner's reference (decision 40).

    The tag is made from the stored versions of the claim and its slots, and from the state at the case's instant.
    """
    return _entity_tag(case, str(case.stored.claim.shared_version))


def own_entity_tag(case: Case) -> str:
    """Return the entity tag of a claim for its partner. It also changes with the reference."""
    claim = case.stored.claim
    return _entity_tag(case, f"{claim.shared_version}+{claim.notes}" if claim.notes else str(claim.version))


def _entity_tag(case: Case, version: str) -> str:
    stored, claim = case.stored, case.claim
    versions = []
    if (
        stored.claim.status is not Status.DRAFT and stored.claim.status not in CLOSED
    ):  # for other states the slots are not read
        versions = [f"{item.key}:{stored.slots[item.key].version}" for item in stored.claim.items]
    ended = ",".join(item.key for item in claim.ended_items)
    others = f"{is_competing(case)}|{stands_still(case)}"
    shown = f"{claim.id}|{version}|{'|'.join(sorted(versions))}|{claim.status}|{ended}|{others}"
    return f'"{hashlib.sha256(shown.encode()).hexdigest()[:32]}"'


def is_competing(case: Case) -> bool:
    """Whether the claim is open or official, and has a rival for one of its items."""
    claim = case.claim
    if claim.status not in OPEN and claim.status is not Status.OFFICIAL:
        return False
    return any(
        party.claim != claim.id
        for item in claim.items
        if item.key in case.slots and (claim.status is not Status.OFFICIAL or claim.holds(item.key))
        for party in case.slots[item.key].at(case.now).others(claim.id)
    )


def claim_view(case: Case, terms: Terms) -> ClaimView:
    """Return what every caller sees of a claim."""
    claim = case.claim
    return ClaimView(
        id=claim.id,
        name=claim.name,
        partner_id=claim.partner_id,
        engagement=claim.engagement,
        filed_as=claim.filed_as,
        customer=ClaimedCustomer(tenant_id=claim.tenant_id, domain=claim.domain),
        items=claim.items,
        contacts=claim.contacts,
        waive_incentive=bool(claim.waive_incentive),
        revenue=claim.revenue,
        comment=claim.comment,
        status=claim.status,
        status_reason=claim.status_reason,
        competing=is_competing(case),
        next_step=next_step(case, terms),
        evidence=tuple(EvidenceView(**evidence.model_dump(exclude={"blob"})) for evidence in claim.evidence),
        acknowledgements=claim.acknowledgements,
        window=window_view(case),
        association=_association_part(case),
        created_at=claim.created_at,
        submitted_at=claim.submitted_at,
        updated_at=claim.updated_at,
        history_hash=claim.history_hash,
        etag=entity_tag(case),
    )


def own_claim_view(case: Case, terms: Terms) -> OwnClaimView:
    """Return what the claim's partner sees."""
    view = claim_view(case, terms)
    shown = {name: getattr(view, name) for name in ClaimView.model_fields if name != "etag"}
    return OwnClaimView.model_construct(**shown, reference=case.claim.reference, etag=own_entity_tag(case))


def closed_claim_view(case: Case, terms: Terms) -> ClosedClaimView:
    """Return what a reader of the programme sees of a claim."""
    claim, opened = case.claim, window_view(case)
    window = None
    if opened is not None:
        window = ClosedWindow(opened_at=opened.opened_at, ends_at=opened.ends_at, last_day=opened.last_day)
    return ClosedClaimView(
        id=claim.id,
        partner_id=claim.partner_id,
        engagement=claim.engagement,
        filed_as=claim.filed_as,
        customer=ClosedCustomer(tenant_id=claim.tenant_id),
        items=claim.items,
        waive_incentive=bool(claim.waive_incentive),
        status=claim.status,
        status_reason=claim.status_reason,
        competing=is_competing(case),
        next_step=next_step(case, terms),
        window=window,
        association=_association_part(case),
        created_at=claim.created_at,
        submitted_at=claim.submitted_at,
        updated_at=claim.updated_at,
        history_hash=claim.history_hash,
        etag=entity_tag(case),
    )


def window_view(case: Case) -> WindowView | None:
    """Return the customer's window. None if no notice was handed over (decision 17)."""
    promised, opened_at = case.claim.promise, case.claim.opened_at
    if promised is None or opened_at is None:
        return None
    return WindowView(
        opened_at=opened_at,
        ends_at=promised.ends_at,
        time_zone=promised.time_zone,
        calendar=promised.calendar,
        last_day=promised.last_day,
        skipped_days=promised.skipped_days,
    )


def no_view(case: Case) -> NoView | None:
    """Return the no in force. None if the claim is not declined, or was declined under release 1."""
    claim = case.claim
    if claim.status is not Status.DECLINED or claim.no is None:
        return None
    return NoView(at=claim.no.at, by=claim.no.by.voice)


def associated_items(case: Case) -> tuple[AssociatedItem, ...]:
    """Return the items of an association, each with its own end. Empty if the claim never became official."""
    claim = case.claim
    ends = {ended.key: ended for ended in claim.ended_items}
    since = claim.official_since
    if since is None:
        return ()
    return tuple(
        AssociatedItem(
            **item.model_dump(),
            since=since,
            ended_at=ends[item.key].at if item.key in ends else None,
            end_reason=ends[item.key].reason if item.key in ends else None,
        )
        for item in claim.items
    )


def _association_part(case: Case) -> AssociationPart | None:
    claim = case.claim
    if claim.official_since is None:
        return None
    return AssociationPart(
        id=claim.id,
        since=claim.official_since,
        ended_at=claim.ended_at,
        end_reason=claim.end_reason,
        items=associated_items(case),
    )


def association_view(case: Case) -> AssociationView | None:
    """Return the association of a claim. None if the claim never became official."""
    claim = case.claim
    if claim.official_since is None:
        return None
    return AssociationView(
        id=claim.id,
        claim_id=claim.id,
        partner_id=claim.partner_id,
        partner_name=claim.partner_name,
        engagement=claim.engagement,
        customer=ClaimedCustomer(tenant_id=claim.tenant_id, domain=claim.domain),
        items=associated_items(case),
        since=claim.official_since,
        ended_at=claim.ended_at,
        end_reason=claim.end_reason,
    )
