"""
Items that are no longer on the customer's tenant: their associations end, open claims lose them (rulings 32).

The operator's update of the customer carries the debt: due rows run it at once, and again ten minutes later for claims
that were being submitted on what the registry said before.
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


@dataclass(frozen=True, slots=True)
class Ending:
    """A claim that loses items, by their keys; `association` tells an official one."""

    claim_id: str
    association: bool
    keys: tuple[str, ...]


def endings(cases: Iterable[StoredCase], customer: Customer, now: datetime) -> Sequence[Ending]:
    """Return which of a tenant's claims lose items if the tenant is as *customer* says."""
    found = []
    for stored in cases:
        claim = settle(stored, now).claim
        keys = gone_items(claim, customer)
        if keys:
            found.append(Ending(claim.id, claim.status is Status.OFFICIAL, keys))
    return found


def takes_away(former: Customer, customer: Customer) -> bool:
    """
    Whether an item that was on the tenant is no longer there, if anybody has claimed it or not.

    A submission or an import may have read the registry before the change, and be committed after it.
    """
    items = [
        *(Item(workload=workload) for workload in former.workloads),
        *(Item(product=one.product, subscription_id=one.subscription_id) for one in former.subscriptions),
    ]
    return any(is_alive(item, former) and not is_alive(item, customer) for item in items)


def gone_items(claim: Claim, customer: Customer) -> tuple[str, ...]:
    """Return the keys of the items of an open claim, or of a running association, that are not on the tenant."""
    if claim.status is Status.OFFICIAL:
        return tuple(i.key for i in claim.items if claim.holds(i.key) and not is_alive(i, customer))
    if claim.status in OPEN:
        return tuple(item.key for item in claim.items if not is_alive(item, customer))
    return ()


def due_rows(tenant_id: str, now: datetime) -> Sequence[DueRow]:
    """Return the rows that make sure of it; written before the registry is."""
    return (DueRow(now, tenant_id, Kind.END_GONE_ITEMS), DueRow(now + AGAIN_AFTER, tenant_id, Kind.END_GONE_ITEMS))


async def end_gone_items(ports: Ports, tenant_id: str, now: datetime) -> None:
    """End whatever is no longer on the tenant, by what the registry says now; twice is harmless."""
    known = await ports.registry.customer(tenant_id)
    if known is None:
        return
    for stored in await ports.claims.of_tenant(tenant_id):
        case = settle(stored, now)
        if gone_items(case.claim, known.value):
            await end_items_of(ports, case, known.value, now)


async def end_items_of(ports: Ports, case: Case, customer: Customer, now: datetime) -> Case:
    """End the gone items of one claim."""
    return await change_claim(
        ports, case, now, lambda current: life.end_gone_items(current, now, gone_items(current.claim, customer))
    )
