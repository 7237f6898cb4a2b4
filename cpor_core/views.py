"""What callers are shown: the shapes of the API's answers, made from effective claims only."""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import (
    CLOSED,
    LEFT_OUT,
    OPEN,
    Acknowledgements,
    Claim,
    ClaimedCustomer,
    Contacts,
    Item,
    Reason,
    Revenue,
    SkippedDay,
    Status,
    Voice,
)
from cpor_core.model.slot import Slot
from cpor_core.rules.next_step import NextStep, next_step, stands_still
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle


class EvidenceView(Value):
    """One evidence file, without its bytes; `size` in bytes, `sha256` in hex."""

    file_name: str
    content_type: str
    size: int
    sha256: str
    signed_on: date | None
    added_at: Instant


class WindowView(Value):
    """The customer's window: they may decline while now < `endsAt`."""

    opened_at: Instant
    ends_at: Instant
    time_zone: str
    calendar: str | None
    last_day: date
    skipped_days: tuple[SkippedDay, ...]


class NoView(Value):
    """The customer's no that stands: when it arrived, and from whom."""

    at: Instant
    by: Voice


class AssociatedItem(Value):
    """An item of an association, with its own end where it ended alone."""

    workload: str | None = LEFT_OUT
    product: str | None = LEFT_OUT
    subscription_id: str | None = LEFT_OUT
    since: Instant
    ended_at: Instant | None = None
    end_reason: Reason | None = None


class AssociationPart(Value):
    """The association as the claim shows it."""

    id: str
    since: Instant
    ended_at: Instant | None
    end_reason: Reason | None
    items: tuple[AssociatedItem, ...]


class ClaimView(Value):
    """A claim as it stands now."""

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


def shown(case: Case, now: datetime, terms: Terms) -> ClaimView:
    """Return what callers see of a stored case at *now*."""
    return claim_view(case.claim, settle(case, now).claim, case.slots, now, terms)


def entity_tag(case: Case, now: datetime) -> str:
    """Return the ETag of a stored case at *now*."""
    return etag(case.claim, settle(case, now).claim, case.slots, now)


def etag(stored: Claim, shown: Claim, slots: Mapping[str, Slot], now: datetime) -> str:
    """Return the entity tag of a claim: stored versions of claim and slots, and the effective state (rulings 40)."""
    versions = []
    if stored.status is not Status.DRAFT and stored.status not in CLOSED:  # else nobody reads, or needs, the slots
        versions = [f"{item.key}:{slots[item.key].version}" for item in stored.items]
    ended = ",".join(item.key for item in shown.ended_items)
    others = f"{is_competing(shown, slots, now)}|{stands_still(shown, slots, now)}"
    told = f"{stored.id}|{stored.version}|{'|'.join(sorted(versions))}|{shown.status}|{ended}|{others}"
    return f'"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'


def is_competing(shown: Claim, slots: Mapping[str, Slot], now: datetime) -> bool:
    """Whether somebody else holds, awaits or claims one of the items of an open or official claim."""
    if shown.status not in OPEN and shown.status is not Status.OFFICIAL:
        return False
    return any(
        party.claim != shown.id
        for item in shown.items
        if item.key in slots and (shown.status is not Status.OFFICIAL or shown.holds(item.key))
        for party in slots[item.key].at(now).others(shown.id)
    )


def claim_view(stored: Claim, shown: Claim, slots: Mapping[str, Slot], now: datetime, terms: Terms) -> ClaimView:
    """Return what a caller sees of the effective claim *shown*, of which *stored* is kept."""
    return ClaimView(
        id=shown.id,
        name=shown.name,
        partner_id=shown.partner_id,
        engagement=shown.engagement,
        filed_as=shown.filed_as,
        customer=ClaimedCustomer(tenant_id=shown.tenant_id, domain=shown.domain),
        items=shown.items,
        contacts=shown.contacts,
        waive_incentive=bool(shown.waive_incentive),
        revenue=shown.revenue,
        comment=shown.comment,
        status=shown.status,
        status_reason=shown.status_reason,
        competing=is_competing(shown, slots, now),
        next_step=next_step(shown, slots, now, terms),
        evidence=tuple(EvidenceView(**evidence.model_dump(exclude={"blob"})) for evidence in shown.evidence),
        acknowledgements=shown.acknowledgements,
        window=window_view(shown),
        association=_association_part(shown),
        created_at=shown.created_at,
        submitted_at=shown.submitted_at,
        updated_at=shown.updated_at,
        history_hash=shown.history_hash,
        etag=etag(stored, shown, slots, now),
    )


def window_view(shown: Claim) -> WindowView | None:
    """Return the customer's window; None until the notice was handed over (rulings 17)."""
    promised, opened_at = shown.promise, shown.opened_at
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


def no_view(shown: Claim) -> NoView | None:
    """Return the no that stands; None for a claim that is not declined, or was by an earlier release."""
    if shown.status is not Status.DECLINED or shown.no is None:
        return None
    return NoView(at=shown.no.at, by=shown.no.by.voice)


def associated_items(shown: Claim) -> tuple[AssociatedItem, ...]:
    """Return the items of an association, each with its own end."""
    ends = {ended.key: ended for ended in shown.ended_items}
    since = shown.official_since
    if since is None:
        return ()
    return tuple(
        AssociatedItem(
            **item.model_dump(),
            since=since,
            ended_at=ends[item.key].at if item.key in ends else None,
            end_reason=ends[item.key].reason if item.key in ends else None,
        )
        for item in shown.items
    )


def _association_part(shown: Claim) -> AssociationPart | None:
    if shown.official_since is None:
        return None
    return AssociationPart(
        id=shown.id,
        since=shown.official_since,
        ended_at=shown.ended_at,
        end_reason=shown.end_reason,
        items=associated_items(shown),
    )


def association_view(shown: Claim) -> AssociationView | None:
    """Return the association of a claim; None where it never became official."""
    if shown.official_since is None:
        return None
    return AssociationView(
        id=shown.id,
        claim_id=shown.id,
        partner_id=shown.partner_id,
        partner_name=shown.partner_name,
        engagement=shown.engagement,
        customer=ClaimedCustomer(tenant_id=shown.tenant_id, domain=shown.domain),
        items=associated_items(shown),
        since=shown.official_since,
        ended_at=shown.ended_at,
        end_reason=shown.end_reason,
    )
