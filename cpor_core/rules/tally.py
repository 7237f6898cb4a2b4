"""
Works out what one claim or one customer adds to the sums of insight (decision 60).

All sums are counts, and a sum is the sum of tallies in any order. So the follower subtracts what a claim added before,
and adds what it adds now. What time alone changes is not counted. The sums have an instant in its place.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from operator import itemgetter
from typing import NamedTuple

from cpor_core.model.base import rfc3339
from cpor_core.model.catalogue import Catalogue, Engagement, ItemKind
from cpor_core.model.claim import Claim, Item, Status
from cpor_core.model.history import Act, Entry
from cpor_core.model.insight import Grouping, Stage, Step
from cpor_core.model.registry import Customer
from cpor_core.model.tally import ClaimTally, Counts, ItemImpact, Life, Tally
from cpor_core.model.usage import Figure, MonthFigures
from cpor_core.rules.checks import why_not_claimable

TOTAL = "total"
"""The group of all claims. Other groups are named by grouping and key, such as `country|FR`."""
UNKNOWN = "unknown"
"""The country of a tenant that is not registered."""
WITH_A_REVIEWER = frozenset({Status.SUBMITTED, Status.UNDER_REVIEW, Status.DISPUTED})
STEPS: Mapping[Step, tuple[frozenset[Act], frozenset[Act]]] = {
    Step.DRAFT: (frozenset({Act.CREATED}), frozenset({Act.SUBMITTED})),
    Step.WAIT_FOR_REVIEW: (frozenset({Act.SUBMITTED}), frozenset({Act.REVIEW_STARTED})),
    Step.REVIEW: (frozenset({Act.REVIEW_STARTED}), frozenset({Act.APPROVED, Act.REJECTED})),
    Step.ANSWER: (frozenset({Act.INFORMATION_REQUESTED}), frozenset({Act.RESUBMITTED})),
    Step.NOTICE: (frozenset({Act.APPROVED, Act.VALIDATED}), frozenset({Act.CUSTOMER_TOLD})),
    Step.WINDOW: (frozenset({Act.CUSTOMER_TOLD}), frozenset({Act.MADE_OFFICIAL})),
    Step.SUBMISSION_TO_OFFICIAL: (frozenset({Act.SUBMITTED}), frozenset({Act.MADE_OFFICIAL})),
}
"""The acts that begin and end a step. A claim counts once, from the last beginning before the first end."""
STAGES: Mapping[Stage, frozenset[Act]] = {
    Stage.CREATED: frozenset({Act.CREATED}),
    Stage.SUBMITTED: frozenset({Act.SUBMITTED}),
    Stage.APPROVED: frozenset({Act.APPROVED, Act.VALIDATED}),
    Stage.CUSTOMER_TOLD: frozenset({Act.CUSTOMER_TOLD}),
    Stage.OFFICIAL: frozenset({Act.MADE_OFFICIAL}),
}
"""The acts with which a claim reaches a stage."""
REJECTED = frozenset({Status.REJECTED, Status.REJECTED_FINAL})
BASELINE_AGE = timedelta(days=92)
"""The oldest baseline, counted back from the beginning of the association."""
EFFECT_AFTER = timedelta(days=28)
"""The earliest figure that shows an effect: after one month with the partner. Graph's figures look back 30 days."""
EXACT_BITS = 6
"""A length below 2 ** 6 minutes is exact. For longer ones the histogram has 2 ** (6 - 1) = 32 steps an octave."""
HASH_DIGITS = 3
"""Tenants are counted by 12 bits of a hash. So the number of tenants of a group is never too high."""

# The names of counts. A name with `|` at its end is followed by a value, such as a reason.
CLAIMS, ASSOCIATIONS, TOLD, DECLINED = "claims", "associations", "told", "declined"
EVER_REJECTED, DISPUTED, WITH_REVIEWER = "rejected", "disputed", "withReviewer"
DUE, TOOK, REACHED = "due|", "took|", "reached|"
REJECTION, DECLINE, GIVEN, NONE, END = "rejection|", "decline|", "given", "none", "end|"
BASELINE, NOW, COUNTED = "baseline", "now", "counted"
WITHOUT_BASELINE, WITHOUT_NOW, TENANT = "withoutBaseline", "withoutNow", "tenant|"
CLAIMABLE, HELD, CUSTOMERS = "claimable", "held", "customers"


# --- one claim --------------------------------------------------------------------------------------------------------


def life_after(former: Life, entries: Sequence[Entry], explained: Collection[int] = ()) -> Life:
    """
    Return the life with further entries. Entries that are in it already are left out.

    *explained* has the sequences of the entries for which the customer has given a reason in words.
    """
    acts, began, took = set(former.acts), dict(former.began), dict(former.took)
    rejection, has_reason, last = former.rejection, former.decline_has_reason, former.entries
    for entry in (entry for entry in entries if entry.sequence > former.entries):
        acts.add(entry.act)
        for step, (begins, ends) in STEPS.items():
            if step in took:
                continue
            if step in began and entry.act in ends:
                took[step] = histogram_step(int((entry.at - began.pop(step)).total_seconds()) // 60)
            elif entry.act in begins:
                began[step] = entry.at
        if entry.to in REJECTED and entry.reason is not None:
            rejection = entry.reason
        if entry.act is Act.DECLINED:
            has_reason = entry.sequence in explained
        last = entry.sequence
    return Life(
        entries=last,
        acts=tuple(act for act in Act if act in acts),
        began=began,
        took=took,
        rejection=rejection,
        decline_has_reason=has_reason,
    )


def histogram_step(minutes: int) -> int:
    """Return the lowest length, in minutes, of the histogram's step for this length."""
    surplus = max(0, minutes.bit_length() - EXACT_BITS)
    return max(0, minutes) >> surplus << surplus


def claim_tally(
    claim: Claim,
    life: Life,
    impact: Sequence[ItemImpact],
    *,
    covered: Collection[str],
    due: datetime | None,
    country: str | None,
) -> ClaimTally:
    """
    Return what a stored claim adds to the sums. A deleted draft adds nothing.

    *covered* is from `covered_items`. *due* is the time limit of the claim's reviewer. *country* is the country of the
    customer, None if the customer is not registered.
    """
    if claim.status is Status.DELETED:
        return ClaimTally(life=life)
    figures = {one.item: one for one in impact}
    by_item = {
        item.key: Counter(_impact_counts(figures.get(item.key), claim.tenant_id))
        + Counter([HELD] * (claim.status is Status.OFFICIAL and claim.holds(item.key) and item.key in covered))
        for item in claim.items
    }
    whole = _summed(by_item.values()) + Counter(_association_counts(claim, claim.items))
    keys = {
        Grouping.ENGAGEMENT: claim.engagement,
        Grouping.COUNTRY: country or UNKNOWN,
        Grouping.PARTNER: claim.partner_id,
        Grouping.STATUS: claim.status.value,
        Grouping.MONTH: f"{claim.created_at.astimezone(UTC):%Y-%m}",
    }
    groups = {TOTAL: whole, **{group_id(grouping, key): whole for grouping, key in keys.items()}}
    by_name: dict[str, list[Item]] = {}
    for item in claim.items:
        by_name.setdefault(item.workload or item.product or "", []).append(item)
    for name, items in by_name.items():
        counts = _summed(by_item[item.key] for item in items) + Counter(_association_counts(claim, items))
        groups[group_id(Grouping.WORKLOAD, name)] = counts
    every = Counter(_claim_counts(claim, life, due))
    return ClaimTally(every=every, groups=groups, life=life, impact=tuple(impact), covered=tuple(covered))


def group_id(grouping: Grouping, key: str) -> str:
    """Return the id of a group of the sums."""
    return f"{grouping.value}|{key}"


def _claim_counts(claim: Claim, life: Life, due: datetime | None) -> Iterator[str]:
    """Yield the counts that a claim adds to each of its groups."""
    declined = claim.status is Status.DECLINED
    yield CLAIMS
    if Act.CUSTOMER_TOLD in life.acts or declined:
        yield TOLD
    if declined:
        yield DECLINED
        yield f"{DECLINE}{GIVEN if life.decline_has_reason else NONE}"
    if Act.REJECTED in life.acts:
        yield EVER_REJECTED
    if life.rejection is not None:
        yield f"{REJECTION}{life.rejection}"
    if Act.DISPUTED in life.acts:
        yield DISPUTED
    if claim.status in WITH_A_REVIEWER:
        yield WITH_REVIEWER
        if due is not None:
            yield f"{DUE}{rfc3339(due)}"
    for stage, acts in STAGES.items():
        if not acts.isdisjoint(life.acts):
            yield f"{REACHED}{stage}"
    for step, minutes in life.took.items():
        yield f"{TOOK}{step}|{minutes}"


def _association_counts(claim: Claim, items: Iterable[Item]) -> Iterator[str]:
    """Yield whether the claim is an association that holds one of the items, or the reason why it has ended."""
    if claim.official_since is None:
        return
    ended = {one.key: one.reason for one in claim.ended_items}
    reasons = [ended.get(item.key, claim.end_reason) for item in items]
    if claim.status is Status.OFFICIAL and None in reasons:
        yield ASSOCIATIONS
    elif reasons and (reason := claim.end_reason or reasons[-1]) is not None:
        yield f"{END}{reason}"


def covered_items(claim: Claim, customer: Customer | None, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the items of a claim that its customer adds to the sums. So held items are never more than claimable."""
    engagement = catalogue.engagement(claim.engagement)
    return tuple(
        item.key
        for item in claim.items
        if customer is not None and not engagement.retired and why_not_claimable(item, engagement, customer) is None
    )


def _impact_counts(impact: ItemImpact | None, tenant_id: str) -> Mapping[str, int]:
    if impact is None:
        return {}
    if impact.now is None:
        return {WITHOUT_NOW: 1}
    if impact.baseline is None:
        return {WITHOUT_BASELINE: 1}
    tenant = hashlib.sha256(tenant_id.encode()).hexdigest()[:HASH_DIGITS]
    return {COUNTED: 1, BASELINE: impact.baseline, NOW: impact.now, f"{TENANT}{tenant}": 1}


# --- impact -----------------------------------------------------------------------------------------------------------


class Interval(NamedTuple):
    """The time in which an association held an item: `since` ≤ instant < `until`."""

    item: str
    since: datetime
    until: datetime | None


def impact_of(intervals: Iterable[Interval], figures: Mapping[tuple[str, str], MonthFigures]) -> Iterator[ItemImpact]:
    """
    Yield the active users of each item before and after the beginning of its association (decision 59).

    *figures* has the figures of the tenant by month and item. A day counts as its first instant in UTC.
    """
    for item, since, until in intervals:
        measured = [(_begin(one.as_of), one.value) for one in _active_users(item, figures)]
        baseline = [value for at, value in measured if since - BASELINE_AGE <= at < since]
        now = [value for at, value in measured if since + EFFECT_AFTER <= at and (until is None or at < until)]
        yield ItemImpact(item=item, baseline=baseline[-1] if baseline else None, now=now[-1] if now else None)


def _active_users(item: str, figures: Mapping[tuple[str, str], MonthFigures]) -> Sequence[Figure]:
    """Return the figures of an item in the order of their days. With the same day, the newest month is last."""
    in_months = (found.active_users for (_, key), found in sorted(figures.items(), key=itemgetter(0)) if key == item)
    return sorted((figure for figure in in_months if figure is not None), key=lambda figure: figure.as_of)


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# --- one customer -----------------------------------------------------------------------------------------------------


def customer_tally(customer: Customer, catalogue: Catalogue) -> Tally:
    """Return the items of a registered customer that can be claimed, for each engagement that takes them."""
    groups: dict[str, Counter[str]] = {}
    for engagement in catalogue.current:
        for item in _claimable(customer, engagement):
            named = {
                Grouping.ENGAGEMENT: engagement.id,
                Grouping.WORKLOAD: item.workload or item.product or "",
                Grouping.COUNTRY: customer.country,
            }
            for group in (TOTAL, *(group_id(grouping, key) for grouping, key in named.items())):
                groups.setdefault(group, Counter({CUSTOMERS: 1}))[CLAIMABLE] += 1
    return Tally(groups=groups)


def _claimable(customer: Customer, engagement: Engagement) -> Iterator[Item]:
    if engagement.item_kind is ItemKind.WORKLOAD:
        items = [Item(workload=workload) for workload in customer.workloads if engagement.lists(workload)]
    else:
        items = [Item(product=one.product, subscription_id=one.subscription_id) for one in customer.subscriptions]
    return (item for item in items if why_not_claimable(item, engagement, customer) is None)


# --- sums -------------------------------------------------------------------------------------------------------------


def moved(tallies: Iterable[tuple[Tally | None, Tally | None]]) -> dict[str, Counts]:
    """Return by how much the sums of each group move, from pairs of a former tally and the tally that replaces it."""
    moves: dict[str, Counter[str]] = {}
    for former, after in tallies:
        for tally, sign in ((former, -1), (after, 1)):
            if tally is not None:
                for group, own in tally.groups.items():
                    for name, count in (*own.items(), *tally.every.items()):
                        moves.setdefault(group, Counter())[name] += sign * count
    return {group: found for group, counts in moves.items() if (found := added({}, counts))}


def added(sums: Counts, counts: Counts) -> Counts:
    """Return the sums with further counts. No count is 0."""
    found = {name: sums.get(name, 0) + counts.get(name, 0) for name in sums.keys() | counts.keys()}
    return {name: count for name, count in found.items() if count}


def joined(sums: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Return several sums together, by group. A group without counts is left out."""
    found: dict[str, Counts] = {}
    for one in sums:
        for group, counts in one.items():
            found[group] = added(found.get(group, {}), counts)
    return {group: counts for group, counts in found.items() if counts}


def _summed(counts: Iterable[Counts]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
