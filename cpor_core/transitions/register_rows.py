"""The rows of the register that follow from a claim and its slots (decision 53)."""

from collections.abc import Iterator
from datetime import datetime

from cpor_core.model.claim import Claim, Status
from cpor_core.model.programme import RegisterRow
from cpor_core.model.slot import Slot
from cpor_core.transitions.claim_case import Case, StoredCase


def register_rows(
    case: Case | StoredCase, *, partner_name: str, customer_name: str, country: str | None
) -> tuple[RegisterRow, ...]:
    """
    Return the rows of one claim, in the order of its items. A time without length has no row.

    A stored case also gives the rows of an association that awaits the end of its window. Time can still change rows
    with `open_from`. A case that is settled at an instant gives the rows as they are known at that instant.
    """
    claim = case.claim
    since = claim.official_since or (claim.window_ends_at if claim.status is Status.AWAITING_CUSTOMER else None)
    if since is None:
        return ()
    ends = {ended.key: (ended.at, ended.reason) for ended in claim.ended_items}
    rows = []
    for item in claim.items:
        until, reason = ends.get(item.key, (claim.ended_at, claim.end_reason))
        if until is not None and until <= since:
            continue
        rows.append(
            RegisterRow(
                association_id=claim.id,
                tenant_id=claim.tenant_id,
                organisation=claim.organisation,
                partner_id=claim.partner_id,
                engagement=claim.engagement,
                item=item.key,
                product=item.product,
                since=since,
                until=until,
                end_reason=reason,
                open_from=_open_from(claim, case.slots[item.key]) if until is None else None,
                partner_name=partner_name,
                customer_name=customer_name,
                country=country,
            )
        )
    return tuple(rows)


def _open_from(claim: Claim, slot: Slot) -> datetime | None:
    """Return the end of the window, or the instant at which another claim takes the item over."""
    if claim.official_since is None:
        return claim.window_ends_at
    return min(_takeovers(claim, slot), default=None)


def _takeovers(claim: Claim, slot: Slot) -> Iterator[datetime]:
    awaiting, holder = slot.awaiting, slot.holder
    if awaiting is not None and awaiting.claim != claim.id and awaiting.takes_over_at is not None:
        yield awaiting.takes_over_at
    if holder is not None and holder.claim != claim.id:
        yield holder.since
