"""Brings changes in the registry into what the programme sees: names, and the countries of customers."""

from datetime import datetime

from cpor_core.due_work import SHARDS
from cpor_core.errors import Conflict
from cpor_core.model.registry import Customer
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.programme import Followed, RegisterRange
from cpor_core.rules.identifiers import shard_of
from cpor_core.rules.tally import EFFECT_AFTER, customer_tally, moved
from cpor_core.use_cases.programme.follow import ATTEMPTS, FIGURES, begun, follow_anew_row
from cpor_core.use_cases.together import together

ROWS_AT_ONCE = 90
"""The most rows of the register that get a new name in one transaction."""


async def follow_customer(ports: Ports, row: DueRow, now: datetime) -> int | None:
    """
    Leave a due row for each claim of a tenant, because its customer has changed, and count the customer.

    Returns the version of the customer that was read. Makes four or five requests, and one for each claim.
    """
    customer = await ports.registry.customer(row.subject)
    if customer is not None:
        await count_customer(ports, row.subject, customer.value)
    cases = await ports.claims.of_tenant(row.subject)
    await ports.duework.add([follow_anew_row(case, row.at or now, now) for case in cases])
    return customer.version if customer is not None else None


async def count_customer(ports: Ports, tenant_id: str, customer: Customer) -> None:
    """
    Move the sums of insight by what a registered customer adds, in one request if nothing has changed, or in two.

    Raises `Conflict` after too many lost races.
    """
    shard, after = shard_of(tenant_id), customer_tally(customer, ports.catalogue)
    for lost in range(ATTEMPTS):
        head = await (ports.programme.head(shard) if lost else ports.programme.known_head(shard))
        former = await ports.programme.customer(shard, tenant_id)
        if former == after:
            return
        followed = Followed(customers={tenant_id: after}, moves=moved([(former, after)]))
        try:
            await ports.programme.write(shard, begun(ports, head), followed)
        except Conflict:
            continue
        return
    message = f"shard {shard} of the programme: lost {ATTEMPTS} races in a row"
    raise Conflict(message)


async def follow_figures(ports: Ports, tenant_id: str, now: datetime) -> None:
    """
    Leave a due row for each association of a tenant that is old enough to have an effect, also for an ended one.

    Makes two requests, and one for each of these associations. Figures that were loaded earlier are read by the pass
    after a later load.
    """
    cases = await ports.claims.of_tenant(tenant_id)
    old = (case for case in cases if (since := case.claim.official_since) is not None and since + EFFECT_AFTER <= now)
    await ports.duework.add([follow_anew_row(case, None, now, FIGURES) for case in old])


async def follow_partner(ports: Ports, row: DueRow) -> int | None:
    """
    Write the name of a location into its rows of the register. Each shard learns the name for later claims.

    Returns the version of the location that was read. Raises `Conflict` after too many lost races.
    """
    partner = await ports.registry.partner(row.subject)
    if partner is None:
        return None
    wanted = RegisterRange(partner.value.entra_tenant_id, row.subject)
    await together(_rename(ports, shard, wanted, partner.value.name) for shard in range(SHARDS))
    return partner.version


async def _rename(ports: Ports, shard: int, wanted: RegisterRange, name: str) -> None:
    lost, after, is_last = 0, "", False
    while not is_last:
        head = begun(ports, await ports.programme.head(shard))
        page = await ports.programme.register(shard, wanted, after=after, limit=ROWS_AT_ONCE)
        rows = [found.model_copy(update={"partner_name": name}) for _, found in page]
        try:
            await ports.programme.write(shard, head, Followed(rows=rows, partners={str(wanted.partner_id): name}))
        except Conflict:
            lost += 1
            if lost == ATTEMPTS:
                raise
            continue
        is_last = len(page) < ROWS_AT_ONCE
        after = page[-1][0] if page else after
