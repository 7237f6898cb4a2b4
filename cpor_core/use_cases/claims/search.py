"""
The search in an organisation's claims (decision 55b).

The longest word of the query leads to the keys of claims: by the claims' own words, and by the customers whose words
begin so. Index rows only lead to claims. Each claim is read, and is found only if it has all words of the query now.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime

from cpor_core.ports import Ports
from cpor_core.ports.claims import IndexRow
from cpor_core.rules.search_words import MOST_FOUND, has_all, texts_of_claim, too_many, words_asked
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.claims.listing import Page, load_own, matching, position_of
from cpor_core.use_cases.registry_entries import customers_of


async def search_own(
    ports: Ports,
    organisation: str,
    query: str,
    now: datetime,
    *,
    after: str,
    limit: int,
    wanted: Callable[[Case], bool] | None = None,
) -> Page:
    """
    Return a page of the organisation's claims that *query* finds, newest first. Only *wanted* claims are in the page.

    Makes two or three requests for the keys, and one more for each 1,000 keys. Makes two requests for each claim that
    is read, and one for each customer of a claim whose own texts do not have all words. Raises `ValidationFailed` if
    the longest word leads to more than 10,000 keys.
    """
    asked = words_asked(query)
    keys = await _keys(ports, organisation, asked[0])
    positions = sorted(keys)

    async def read(behind: str, size: int) -> Page:
        first = bisect_right(positions, behind)
        chosen = positions[first : first + size]
        cases = await load_own(ports, organisation, [keys[position] for position in chosen], now)
        found = await _with_all(ports, asked, [case for case in cases if wanted is None or wanted(case)])
        return Page(found, chosen[-1] if first + size < len(positions) else None)

    # With `wanted`, the further rounds read a full page of keys. A claim can lack a word of the query.
    return await matching(read, position_of, after=after, limit=limit, wanted=lambda _: True)


async def _keys(ports: Ports, organisation: str, beginning: str) -> dict[str, IndexRow]:
    """Return the keys of claims to which a word leads, by position. Raises `ValidationFailed` for too many keys."""
    own, tenants = await asyncio.gather(
        ports.partner_claims.found(organisation, beginning, limit=MOST_FOUND + 1),
        ports.customers.found(beginning, limit=MOST_FOUND + 1),
    )
    at_tenants = await ports.partner_claims.at_tenants(organisation, tenants, limit=MOST_FOUND + 1)
    if max(len(own), len(tenants), len(at_tenants)) > MOST_FOUND:
        raise too_many(beginning)
    return {row.position: row for row in (*own, *at_tenants)}


async def _with_all(ports: Ports, asked: Sequence[str], cases: Sequence[Case]) -> Sequence[Case]:
    """Return the cases that have all words, in the claim's own texts or in the customer's registered name."""
    lacking = [case for case in cases if not has_all(asked, texts_of_claim(case.claim))]
    customers = await customers_of(ports, (case.claim for case in lacking))
    names = {tenant_id: customer.name for tenant_id, customer in customers.items()}
    left_out = {
        case.claim.id
        for case in lacking
        if not has_all(asked, (*texts_of_claim(case.claim), names.get(case.claim.tenant_id)))
    }
    return [case for case in cases if case.claim.id not in left_out]
