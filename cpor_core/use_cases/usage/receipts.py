"""Receipts for the customer's page: they show who has read figures of an association."""

from collections.abc import Sequence

from cpor_core.model.usage import Receipt
from cpor_core.ports import Ports
from cpor_core.transitions.claim_case import Case

SHOWN = 50
"""The most receipts that the page of a request shows."""
LOOKED_AT = 500
"""The most receipts of the tenant that one call reads."""


async def receipts_of(ports: Ports, case: Case) -> Sequence[Receipt]:
    """Return the newest receipts of this claim's association. A mailed link shows only these (decision 23)."""
    if case.claim.window_ends_at is None and case.claim.official_since is None:
        return ()
    found: list[Receipt] = []
    after = ""
    for _ in range(LOOKED_AT // SHOWN):
        page = await ports.receipts.page(case.claim.tenant_id, after=after, limit=SHOWN)
        found += [receipt for _, receipt in page if receipt.association_id == case.claim.id]
        if len(page) < SHOWN or len(found) >= SHOWN:
            break
        after = page[-1][0]
    return found[:SHOWN]
