"""Brings changes in the registry into what the programme sees: names, and the countries of customers."""

from datetime import datetime

from cpor_core.due_work import SHARDS
from cpor_core.errors import Conflict
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.programme import Followed, RegisterRange
from cpor_core.use_cases.programme.follow import ATTEMPTS, begun, follow_anew_row
from cpor_core.use_cases.together import together

ROWS_AT_ONCE = 90
"""The most rows of the register that get a new name in one transaction."""


async def follow_customer(ports: Ports, row: DueRow, now: datetime) -> int | None:
    """
    Leave a due row for each claim of a tenant, because its customer has changed.

    Returns the version of the customer that was read. Makes two requests, and one for each claim.
    """
    customer = await ports.registry.customer(row.subject)
    cases = await ports.claims.of_tenant(row.subject)
    await ports.duework.add([follow_anew_row(case, row.at or now, now) for case in cases])
    return customer.version if customer is not None else None


async def follow_partner(ports: Ports, row: DueRow, now: datetime) -> int | None:
    """
    Write the name of a location into its rows of the register. Each shard learns the name for later claims.

    Returns the version of the location that was read. Raises `Conflict` after too many lost races.
    """
    partner = await ports.registry.partner(row.subject)
    if partner is None:
        return None
    wanted = RegisterRange(partner.value.entra_tenant_id, row.subject)
    await together(_rename(ports, shard, wanted, partner.value.name, now) for shard in range(SHARDS))
    return partner.version


async def _rename(ports: Ports, shard: int, wanted: RegisterRange, name: str, now: datetime) -> None:
    lost, after, is_last = 0, "", False
    while not is_last:
        head = await begun(ports, shard, await ports.programme.head(shard), now)
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
