"""
Computes the figures about all claims: counts, shares, and how long each step takes (decision 50).

Each claim gives a tally. The sum of tallies is the same in any order, so claims can be counted in parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Status
from cpor_core.model.history import Act, Entry
from cpor_core.model.insight import Figures, Grouping, Step, StepTime

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
EXACT_BITS = 10
"""Times below 2 ** 10 minutes (17 hours) are exact to the minute. Longer times are at most 0.2 percent too short."""


@dataclass(slots=True)
class Tally:
    """Sums over the claims of a group. For each step, `minutes` has the number of claims by their minutes."""

    claims: int = 0
    associations: int = 0
    told: int = 0
    declined: int = 0
    rejected: int = 0
    disputed: int = 0
    with_reviewer: int = 0
    overdue: int = 0
    minutes: dict[Step, dict[int, int]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add the counts of another tally."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for step, times in other.minutes.items():
            sums = self.minutes.setdefault(step, {})
            for minutes, count in times.items():
                sums[minutes] = sums.get(minutes, 0) + count


COUNTS = ("claims", "associations", "told", "declined", "rejected", "disputed", "with_reviewer", "overdue")


@dataclass(slots=True)
class Group:
    """A group of claims, with its name and the tally of its claims."""

    name: str
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Counted:
    """The tallies of some or all claims: one tally of all these claims, and one tally of each group."""

    total: Tally = field(default_factory=Tally)
    groups: dict[Grouping, dict[str, Group]] = field(default_factory=lambda: {grouping: {} for grouping in Grouping})

    def add_claim(self, claim: Claim, tally: Tally, country: str | None, catalogue: Catalogue) -> None:
        """Count one claim. *country* is the country of its customer, None if the customer is not registered."""
        self.total.add(tally)
        for grouping, key, name in _keys(claim, country, catalogue):
            is_held = grouping is not Grouping.WORKLOAD or any(
                claim.holds(item.key) for item in claim.items if (item.workload or item.product) == key
            )
            group = self.groups[grouping].setdefault(key, Group(name))
            group.tally.add(tally if is_held else replace(tally, associations=0))

    def add(self, other: "Counted") -> None:
        """Add the tallies of other claims."""
        self.total.add(other.total)
        for grouping, groups in other.groups.items():
            for key, group in groups.items():
                self.groups[grouping].setdefault(key, Group(group.name)).tally.add(group.tally)


def tally_of(claim: Claim, history: Sequence[Entry], *, is_overdue: bool) -> Tally:
    """Return the tally of one claim from its whole history. *is_overdue* is true if its next step is overdue."""
    acts = {entry.act for entry in history}
    declined = claim.status is Status.DECLINED
    return Tally(
        claims=1,
        associations=int(claim.status is Status.OFFICIAL),
        told=int(Act.CUSTOMER_TOLD in acts or declined),
        declined=int(declined),
        rejected=int(Act.REJECTED in acts),
        disputed=int(Act.DISPUTED in acts),
        with_reviewer=int(claim.status in WITH_A_REVIEWER),
        overdue=int(claim.status in WITH_A_REVIEWER and is_overdue),
        minutes={step: {minutes: 1} for step, minutes in _times(history)},
    )


def _times(history: Sequence[Entry]) -> Iterator[tuple[Step, int]]:
    for step, (begins, ends) in STEPS.items():
        began: datetime | None = None
        for entry in history:
            if began is not None and entry.act in ends:
                yield step, resolved(int((entry.at - began).total_seconds()) // 60)
                break
            if entry.act in begins:
                began = entry.at


def resolved(minutes: int) -> int:
    """Return *minutes* rounded down. So a tally of many claims has few different values."""
    surplus = max(0, minutes.bit_length() - EXACT_BITS)
    return minutes >> surplus << surplus


def _keys(claim: Claim, country: str | None, catalogue: Catalogue) -> Iterator[tuple[Grouping, str, str]]:
    engagement = catalogue.engagement(claim.engagement)
    yield Grouping.ENGAGEMENT, engagement.id, engagement.name
    names = {listed.id: listed.name for listed in engagement.items}
    for key in dict.fromkeys(item.workload or item.product or "" for item in claim.items):
        yield Grouping.WORKLOAD, key, names.get(key, key)
    yield Grouping.COUNTRY, country or UNKNOWN, country or UNKNOWN
    yield Grouping.PARTNER, claim.partner_id, claim.partner_name
    yield Grouping.STATUS, claim.status.value, claim.status.value
    month = f"{claim.created_at.astimezone(UTC):%Y-%m}"
    yield Grouping.MONTH, month, month


def figures(key: str, name: str, tally: Tally) -> Figures:
    """Return the figures of a tally."""
    return Figures(
        key=key,
        name=name,
        claims=tally.claims,
        associations=tally.associations,
        declined=tally.declined,
        decline_rate=_share(tally.declined, tally.told),
        disputed=tally.disputed,
        dispute_rate=_share(tally.disputed, tally.rejected),
        overdue=tally.overdue,
        overdue_rate=_share(tally.overdue, tally.with_reviewer),
        steps=tuple(_step_time(step, tally.minutes.get(step, {})) for step in Step),
    )


def in_order(grouping: Grouping, counted: Counted) -> list[Figures]:
    """Return the groups in order: months by date, states in the order of a claim's life, other groups by size."""
    groups = counted.groups[grouping]
    made = [figures(key, group.name, group.tally) for key, group in groups.items()]
    if grouping is Grouping.MONTH:
        return sorted(made, key=lambda one: one.key)
    if grouping is Grouping.STATUS:
        return sorted(made, key=lambda one: list(Status).index(Status(one.key)))
    return sorted(made, key=lambda one: (-one.claims, one.key))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _step_time(step: Step, times: Mapping[int, int]) -> StepTime:
    return StepTime(
        step=step,
        count=sum(times.values()),
        median_hours=_hours(times, 50),
        p90_hours=_hours(times, 90),
    )


def _hours(times: Mapping[int, int], percent: int) -> float | None:
    """Return the shortest time, in hours, in which *percent* of the claims finished a step. None without claims."""
    wanted = sum(times.values()) * percent
    reached = 0
    for minutes, count in sorted(times.items()):
        reached += count * 100
        if reached >= wanted:
            return round(minutes / 60, 2)
    return None
