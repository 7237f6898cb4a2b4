"""
Ends items that are no longer on the customer's tenant, in associations and in open claims (decision 32).

The operator's update of the customer writes two due rows. The first row is due at once. The second row is due ten
minutes later, because a submission can read the registry before the update and be stored after the work of the first
row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.due_work import Kind
from cpor_core.model.claim import OPEN, Claim, Item, Status
from cpor_core.model.registry import Customer
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.checks import is_alive
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import change_claim

AGAIN_AFTER = timedelta(minutes=10)
"""The time between the two due rows."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A claim that loses the items with these keys. `association` is true if the claim is official."""

    claim_id: str
    association: bool
    keys: tuple[str, ...]


def endings(cases: Iterable[StoredCase], customer: Customer, now: datetime) -> Sequence[Ending]:
    """Return the claims of a tenant that lose items if the tenant is registered as *customer*."""
    found = []
    for stored in cases:
        claim = settle(stored, now).claim
        keys = gone_items(claim, customer)
        if keys:
            found.append(Ending(claim.id, claim.status is Status.OFFICIAL, keys))
    return found


def takes_away(former: Customer, customer: Customer) -> bool:
    """
    Whether the new entry of a customer lacks an item that the former entry had.

    It does not matter whether the item is claimed now. A submission or an import can read the registry before the
    change and be committed after the change.
    """
    items = [
        *(Item(workload=workload) for workload in former.workloads),
        *(Item(product=one.product, subscription_id=one.subscription_id) for one in former.subscriptions),
    ]
    return any(is_alive(item, former) and not is_alive(item, customer) for item in items)


def gone_items(claim: Claim, customer: Customer) -> tuple[str, ...]:
    """Return the keys of a claim's items that are not on the tenant. A closed claim has none."""
    if claim.status is Status.OFFICIAL:
        return tuple(i.key for i in claim.items if claim.holds(i.key) and not is_alive(i, customer))
    if claim.status in OPEN:
        return tuple(item.key for item in claim.items if not is_alive(item, customer))
    return ()


def due_rows(tenant_id: str, now: datetime) -> Sequence[DueRow]:
    """Return the due rows of this work. They must be written before the registry's new entry."""
    return (DueRow(now, tenant_id, Kind.END_GONE_ITEMS), DueRow(now + AGAIN_AFTER, tenant_id, Kind.END_GONE_ITEMS))


async def end_gone_items(ports: Ports, tenant_id: str, now: datetime) -> None:
    """End the items that are not in the tenant's present entry in the registry. A repeated call does no harm."""
    known = await ports.registry.customer(tenant_id)
    if known is None:
        return
    for stored in await ports.claims.of_tenant(tenant_id):
        case = settle(stored, now)
        if gone_items(case.claim, known.value):
            await end_items_of(ports, case, known.value, now)


async def end_items_of(ports: Ports, case: Case, customer: Customer, now: datetime) -> Case:
    """End the items of one claim that are no longer on the tenant."""
    return await change_claim(
        ports, case, now, lambda current: life.end_gone_items(current, now, gone_items(current.claim, customer))
    )
