"""
The programme's list of claims in any state, newest first (decision 52), and the search in it (decision 55).

The keys of the list come from a tenant's partition, from the lists of organisations, or from the list of all claims.
Each claim is read, and is in the list only if it fits now.
"""

import asyncio
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cpor_core.model.claim import Status
from cpor_core.ports import Ports
from cpor_core.rules.identifiers import tenant_of
from cpor_core.rules.search_words import has_all, words_asked
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.claims.listing import Page, load_all, matching, position_of
from cpor_core.use_cases.registry_entries import Entries
from cpor_core.use_cases.together import together

FEW_SOURCES = 20
"""A search reads the lists of so many tenants and organisations. If it leads to more, it reads the list of all."""
_HEX = re.compile("[0-9a-f]{32,}")
"""A tenant's id, or the beginning of a claim id with the tenant in it. The tenant may not be registered."""
Key = tuple[str, str]
"""A claim's position in the list, and its id."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which claims are in the list; all by default. `query` finds ids, and names and domains of the registry."""

    tenant_id: str | None = None
    partner_id: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class _Sources:
    """The tenants and organisations that have all claims of a search."""

    tenants: Collection[str] = ()
    organisations: Collection[str] = ()


async def in_any_state(
    ports: Ports,
    search: Search,
    entries: Entries,
    now: datetime,
    *,
    after: str,
    limit: int,
    wanted: Callable[[Case], bool] | None = None,
) -> Page:
    """
    Return a page of the claims that *search* finds, newest first. Only *wanted* claims are in the page.

    A tenant takes two requests for all its claims. Otherwise two requests are made for each claim that is read. The
    keys take one request for an organisation, and 16 for the list of all claims, which may lag by some minutes. A
    search also reads the claims' *entries*. Raises `ValidationFailed` for a query that cannot be searched.
    """
    asked = words_asked(search.query) if search.query is not None else ()
    sources = await _sources(ports, search, asked)
    known = await _cases_of(ports, sources.tenants, now) if sources is not None else {}
    positions = sorted((position_of(case.claim), claim_id) for claim_id, case in known.items())

    async def keys(behind: str, size: int) -> Sequence[Key]:
        if sources is None:
            return await ports.programme.newest_claims(after=behind, limit=size)
        first = bisect_right(positions, behind, key=lambda key: key[0])
        found = set(positions[first : first + size])
        of_organisations = (ports.partner_claims.page(one, after=behind, limit=size) for one in sources.organisations)
        for rows in await together(of_organisations):
            found |= {(row.position, row.claim_id) for row in rows}
        return sorted(found)[:size]

    async def read(behind: str, size: int) -> Page:
        page = await keys(behind, size)
        cases = {**known, **await load_all(ports, [claim_id for _, claim_id in page if claim_id not in known], now)}
        found = [cases[claim_id] for position, claim_id in page if _is_at(cases.get(claim_id), position)]
        found = [case for case in found if _fits(search, case) and (wanted is None or wanted(case))]
        if asked:
            await entries.read(case.claim for case in found)
            found = [case for case in found if has_all(asked, entries.texts_of(case.claim))]
        return Page(found, page[-1][0] if len(page) == size else None)

    narrowed = search != Search() or wanted is not None
    return await matching(read, position_of, after=after, limit=limit, wanted=(lambda _: True) if narrowed else None)


async def _sources(ports: Ports, search: Search, asked: Sequence[str]) -> _Sources | None:
    """Return the tenants and organisations that have all claims of a search. None: the list of all claims is read."""
    if search.tenant_id is not None:
        return _Sources(tenants=[search.tenant_id])
    if search.partner_id is not None:
        return _Sources(organisations=await _organisations(ports, [search.partner_id]))
    if not asked:
        return None
    tenants, partner_ids = await asyncio.gather(
        ports.customers.found(asked[0], limit=FEW_SOURCES + 1),
        ports.partners.found(asked[0], limit=FEW_SOURCES + 1),
    )
    at_tenants = {*tenants, *([tenant_of(asked[0])] if _HEX.fullmatch(asked[0]) else [])}
    if len(at_tenants) + len(set(partner_ids)) > FEW_SOURCES:
        return None
    return _Sources(at_tenants, await _organisations(ports, partner_ids))


async def _organisations(ports: Ports, partner_ids: Sequence[str]) -> Collection[str]:
    found = await together(map(ports.registry.recent_partner, dict.fromkeys(partner_ids)))
    return {partner.value.entra_tenant_id for partner in found if partner is not None}


async def _cases_of(ports: Ports, tenants: Collection[str], now: datetime) -> Mapping[str, Case]:
    """Return all claims of some tenants, by claim id. Makes two requests for each tenant."""
    stored = await together(map(ports.claims.of_tenant, tenants))
    cases = (settle(one, now) for of_tenant in stored for one in of_tenant)
    return {case.claim.id: case for case in cases if case.claim.status is not Status.DELETED}


def _is_at(case: Case | None, position: str) -> bool:
    """Whether a claim exists, and has its key at this position. A creation that was tried twice left a second key."""
    return case is not None and position_of(case.claim) == position


def _fits(search: Search, case: Case) -> bool:
    return search.tenant_id in (None, case.claim.tenant_id) and search.partner_id in (None, case.claim.partner_id)
