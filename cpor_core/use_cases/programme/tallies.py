"""Counts what the follower reads of claims and customers, for the sums of insight (decision 60)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cpor_core.model.claim import Status
from cpor_core.model.history import Act, Entry
from cpor_core.model.programme import FollowedClaim
from cpor_core.model.registry import Customer
from cpor_core.model.tally import ClaimTally, ItemImpact, Life
from cpor_core.ports import Ports
from cpor_core.rules.tally import (
    EFFECT_AFTER,
    WITH_A_REVIEWER,
    Interval,
    claim_tally,
    covered_items,
    impact_of,
    life_after,
)
from cpor_core.transitions.claim_case import StoredCase
from cpor_core.transitions.next_step import stored_review_due

MOST_ENTRIES = 1_000
MOST_COMMENTS = 100
ALL_MONTHS = ("0000-01", "9999-12")


@dataclass(frozen=True, slots=True)
class Counting:
    """One claim to count, as it is stored and as it was followed before."""

    stored: StoredCase
    before: FollowedClaim | None
    after: FollowedClaim
    entries: Sequence[Entry]
    """The history entries since the last pass."""
    anew: bool = False
    """The customer or the registry has changed."""
    figures: bool = False
    """Figures of the tenant were loaded."""
    recount: bool = False
    """Everything is counted again from the whole history."""


async def count(
    ports: Ports, counting: Counting, customer: Callable[[str], Awaitable[Customer | None]], now: datetime
) -> ClaimTally:
    """
    Return what the claim adds to the sums.

    Makes no request, with four exceptions. A no takes one to find its reason. An edited claim takes one for its
    customer. An association takes one for the figures after they were loaded. The closed days may take one.
    """
    claim = counting.stored.claim
    former = counting.before.tally if counting.before is not None else None
    life = await _life(ports, counting, former.life if former is not None else Life())
    covered = former.covered if former is not None else ()
    is_edited = any(entry.act is Act.EDITED for entry in counting.entries)
    if former is None or counting.anew or counting.recount or is_edited:
        covered = covered_items(claim, await customer(claim.tenant_id), ports.catalogue)
    due = None
    if claim.status in WITH_A_REVIEWER:
        due = stored_review_due(counting.stored, await ports.current_terms())
    impact = await _impact(ports, counting, former.impact if former is not None else (), now)
    return claim_tally(claim, life, impact, covered=covered, due=due, country=counting.after.country)


async def _life(ports: Ports, counting: Counting, former: Life) -> Life:
    claim, entries, taken = counting.stored.claim, counting.entries, counting.after.taken
    first = entries[0].sequence if entries else taken + 1
    if counting.recount:
        former, first = Life(), taken + 1
    if former.entries + 1 < first:  # entries are lacking that an earlier pass has taken
        found = await ports.claims.history(claim.id, after=former.entries, limit=MOST_ENTRIES)
        entries = [entry for entry in found if entry.sequence <= taken]
    noes = [entry.sequence for entry in entries if entry.act is Act.DECLINED and entry.sequence > former.entries]
    explained: set[int] = set()
    if noes and claim.status is Status.DECLINED:
        comments = await ports.claims.comments(claim.id, after=noes[-1] - 1, limit=MOST_COMMENTS)
        explained = {comment.sequence for comment in comments if comment.author == "customer"}
    return life_after(former, entries, explained)


async def _impact(
    ports: Ports, counting: Counting, former: Sequence[ItemImpact], now: datetime
) -> Sequence[ItemImpact]:
    """Return the impact of the association. The figures are read only if they can have changed it."""
    claim = counting.stored.claim
    if claim.official_since is None:
        return ()
    intervals = _intervals(counting.after)
    known = _intervals(counting.before) if counting.before is not None else ()
    is_new = any(one not in known and one.since + EFFECT_AFTER <= now for one in intervals)
    if counting.figures or counting.recount or is_new:
        found = await ports.usage.read(claim.tenant_id, *ALL_MONTHS)
        return tuple(impact_of(intervals, {key: figures for key, (figures, _) in found.items()}))
    by_item = {one.item: one for one in former}
    return [by_item.get(one.item) or ItemImpact(item=one.item) for one in intervals]


def _intervals(claim: FollowedClaim) -> Sequence[Interval]:
    return [Interval(row.item, row.since, row.until) for row in claim.rows]
