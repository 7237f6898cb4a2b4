"""Lists: a page of keys, then the claims. So a list is never stale, and keys without a claim drop out (decision 37)."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cpor_core.model.claim import Claim, Status
from cpor_core.ports import Ports
from cpor_core.ports.claims import IndexRow
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle

IN_FLIGHT = 32
"""Claims read at the same time."""
MOST_LOOKED_AT = 500
"""The most claims that one call reads. With filters a page may be short or empty, and still not the last."""


@dataclass(frozen=True, slots=True)
class Page:
    """Cases in order, and the position of the last key that was read; None at the end of the list."""

    cases: Sequence[Case]
    position: str | None


async def load_all(ports: Ports, claim_ids: Sequence[str], now: datetime) -> Mapping[str, Case]:
    """Return the claims that exist at *now*, read in parallel. Slots of drafts are not read."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def load(claim_id: str) -> StoredCase | None:
        async with gate:
            return await ports.claims.load(claim_id, slots_of_drafts=False)

    loaded = await asyncio.gather(*(load(claim_id) for claim_id in dict.fromkeys(claim_ids)))
    cases = (settle(stored, now) for stored in loaded if stored is not None)
    return {case.claim.id: case for case in cases if case.claim.status is not Status.DELETED}


async def load_own(ports: Ports, organisation: str, rows: Sequence[IndexRow], now: datetime) -> Sequence[Case]:
    """Return the organisation's claims of these keys, in their order: two requests a claim."""
    cases = await load_all(ports, [row.claim_id for row in rows], now)
    found = [(row.position, cases[row.claim_id]) for row in rows if row.claim_id in cases]
    return [
        case
        for position, case in found
        if case.claim.organisation == organisation
        # A creation that was tried twice leaves a second key.
        and position == list_position(case.claim.created_at, case.claim.id)
    ]


async def own_claims(
    ports: Ports, organisation: str, now: datetime, *, after: str, limit: int, wanted: Callable[[Claim], bool]
) -> Page:
    """
    Return a page of an organisation's claims, newest first, whose state as of *now* is *wanted*.

    1 + 2n requests for n claims.
    """
    kept: list[Case] = []
    looked_at, position = 0, after
    while len(kept) < limit and looked_at < MOST_LOOKED_AT:
        want = min(limit - len(kept), MOST_LOOKED_AT - looked_at)
        rows = await ports.partner_claims.page(organisation, after=position, limit=want)
        kept += [case for case in await load_own(ports, organisation, rows, now) if wanted(case.claim)]
        looked_at += len(rows)
        if len(rows) < want:
            return Page(kept, None)
        position = rows[-1].position
    return Page(kept, position)
