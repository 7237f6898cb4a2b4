"""
Items that are no longer on the customer's tenant: associations end, and open claims lose the item (decision 32).

The operator's update of the customer writes two due rows. One is due at once. The other one is due ten minutes later,
for claims that were submitted meanwhile on the former state of the registry.
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
    """A claim that loses items, by key; `association` says whether it is official."""

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
    Whether an item has left the tenant, claimed or not.

    A submission or an import may read the registry before the change and be committed after it.
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
    """Return the due rows of this work; they are written before the registry."""
    return (DueRow(now, tenant_id, Kind.END_GONE_ITEMS), DueRow(now + AGAIN_AFTER, tenant_id, Kind.END_GONE_ITEMS))


async def end_gone_items(ports: Ports, tenant_id: str, now: datetime) -> None:
    """End the items that are no longer on the tenant, by the registry of now; twice is harmless."""
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
