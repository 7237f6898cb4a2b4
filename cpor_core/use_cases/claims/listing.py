"""
Lists of claims. A list reads a page of keys, and then the claims of these keys.

So a list always shows the newest state of each claim, and leaves out keys without a claim (decision 37).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim, Status
from cpor_core.model.export import ClaimFilter
from cpor_core.ports import Ports
from cpor_core.ports.claims import IndexRow
from cpor_core.rules.identifiers import list_position
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.transitions.next_step import Owner, next_step
from cpor_core.use_cases.together import read_together

KEYS_AT_ONCE = 100
"""A full page of keys."""
MOST_LOOKED_AT = 500
"""The most claims that one call reads. So a page with filters can be short or empty although it is not the last."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of cases, in order."""

    cases: Sequence[Case]
    position: str | None
    """The next page begins after this position. None at the end of the list."""


class ClaimSummary(Value):
    """
    How many claims an organisation has by status, and how many of them the partner must act on next.

    `complete` is false if the organisation has more claims than one call reads. Then only the newest are counted.
    """

    status: Mapping[Status, int]
    needs_me: int
    complete: bool


async def load_all(ports: Ports, claim_ids: Sequence[str], now: datetime) -> Mapping[str, Case]:
    """Return the claims that exist at *now*, by claim id. They are read in parallel, without the slots of drafts."""
    loaded = await read_together(ports.claims.load(claim_id) for claim_id in dict.fromkeys(claim_ids))
    cases = (settle(stored, now) for stored in loaded if stored is not None)
    return {case.claim.id: case for case in cases if case.claim.status is not Status.DELETED}


async def load_own(ports: Ports, organisation: str, rows: Sequence[IndexRow], now: datetime) -> Sequence[Case]:
    """Return the organisation's claims of these keys, in the order of the keys. Makes two requests for each claim."""
    cases = await load_all(ports, [row.claim_id for row in rows], now)
    found = [(row.position, cases[row.claim_id]) for row in rows if row.claim_id in cases]
    return [
        case
        for position, case in found
        if case.claim.organisation == organisation
        # If a creation was tried twice, the claim has a second key, which is left out here.
        and position == position_of(case.claim)
    ]


async def matching(
    read: Callable[[str, int], Awaitable[Page]],
    position_of: Callable[[Claim], str | None],
    *,
    after: str,
    limit: int,
    wanted: Callable[[Case], bool] | None = None,
) -> Page:
    """
    Return the next *limit* cases that are *wanted*, in as few rounds as possible.

    `read(after, size)` returns the cases of the next *size* keys. The first round reads *limit* keys. With *wanted*,
    each further round reads a full page of keys, because wanted claims can be far apart. If a round finds more cases
    than are missing, the surplus is cut off, and the next page begins with the first case of the surplus.
    """
    found: list[Case] = []
    looked_at, position = 0, after
    while len(found) < limit and looked_at < MOST_LOOKED_AT:
        missing = limit - len(found)
        size = max(missing, KEYS_AT_ONCE) if wanted is not None and looked_at else missing
        size = min(size, MOST_LOOKED_AT - looked_at)
        page = await read(position, size)
        found += [case for case in page.cases if wanted is None or wanted(case)]
        if len(found) > limit:
            return Page(found[:limit], position_of(found[limit - 1].claim))
        if page.position is None:
            return Page(found, None)
        looked_at, position = looked_at + size, page.position
    return Page(found, position)


async def own_claims(
    ports: Ports, organisation: str, now: datetime, *, after: str, limit: int, wanted: Callable[[Case], bool] | None
) -> Page:
    """
    Return a page of an organisation's claims as of *now*, newest first. Only *wanted* claims are in the page.

    If *wanted* is None, the page has all claims. Makes one request for each page of keys, and two for each claim that
    is read.
    """

    async def read(behind: str, size: int) -> Page:
        rows = await ports.partner_claims.page(organisation, after=behind, limit=size)
        return Page(await load_own(ports, organisation, rows, now), rows[-1].position if len(rows) == size else None)

    return await matching(read, position_of, after=after, limit=limit, wanted=wanted)


def fits(wanted: ClaimFilter, case: Case, terms: Terms) -> bool:
    """Whether a claim fits the filters at the case's instant."""
    claim = case.claim
    return (
        (not wanted.statuses or claim.status in wanted.statuses)
        and wanted.engagement in (None, claim.engagement, claim.filed_as)
        and wanted.partner_id in (None, claim.partner_id)
        and wanted.tenant_id in (None, claim.tenant_id)
        and wanted.reference in (None, claim.reference)
        and (not wanted.needs_me or _needs_partner(case, terms))
    )


async def summary(ports: Ports, organisation: str, now: datetime) -> ClaimSummary:
    """Count an organisation's 500 newest claims. Makes one request for the keys, and at most two for each claim."""
    keys = await ports.partner_claims.page(organisation, after="", limit=MOST_LOOKED_AT + 1)
    cases = await load_own(ports, organisation, keys[:MOST_LOOKED_AT], now)
    terms = await ports.current_terms()
    found = Counter(case.claim.status for case in cases)
    return ClaimSummary(
        status={status: found[status] for status in Status if status is not Status.DELETED},
        needs_me=sum(_needs_partner(case, terms) for case in cases),
        complete=len(keys) <= MOST_LOOKED_AT,
    )


def _needs_partner(case: Case, terms: Terms) -> bool:
    return next_step(case, terms).owner is Owner.PARTNER


def position_of(claim: Claim) -> str:
    """Return a claim's position in the list of its organisation."""
    return list_position(claim.created_at, claim.id)
