"""Makes the answers of insight from sums of tallies. `rules/tally.py` says what is counted (decisions 59 and 60)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from cpor_core.model.claim import END_REASONS, REJECTION_REASONS, Reason, Status
from cpor_core.model.insight import (
    AnyInsight,
    Coverage,
    CoverageInsight,
    Declines,
    Figures,
    Funnel,
    FunnelInsight,
    GroupFigures,
    Grouping,
    Impact,
    ImpactInsight,
    Insight,
    Measure,
    Reasons,
    ReasonsInsight,
    Stage,
    StageCount,
    Step,
    StepTime,
)
from cpor_core.model.tally import Counts
from cpor_core.rules import tally
from cpor_core.rules.tally import EXACT_BITS, TOTAL, group_id

FEWEST_TENANTS = 5
"""Only the operator sees impact and coverage of fewer tenants, because they would be figures of a few customers."""
COVERAGE_GROUPINGS = (Grouping.ENGAGEMENT, Grouping.WORKLOAD, Grouping.COUNTRY)
"""An item that nobody has claimed has no partner, no status and no month."""
MINUTES_AN_HOUR, HOURS_A_DAY = 60, 24


@dataclass(frozen=True, slots=True)
class Group:
    """A group of claims with its counts. Key and name are empty for all claims."""

    key: str
    name: str
    counts: Counts

    def __getitem__(self, name: str) -> int:
        """Return a count, 0 if nothing was counted."""
        return self.counts.get(name, 0)

    def values(self, prefix: str) -> dict[str, int]:
        """Return the counts whose names begin with *prefix*, by the rest of the name."""
        return {name.removeprefix(prefix): count for name, count in self.counts.items() if name.startswith(prefix)}


def groupings(measure: Measure) -> tuple[Grouping, ...]:
    """Return the groupings that go with a measure."""
    return COVERAGE_GROUPINGS if measure is Measure.COVERAGE else tuple(Grouping)


def insight(
    measure: Measure,
    grouping: Grouping,
    sums: Mapping[str, Counts],
    *,
    name: Callable[[Grouping, str], str],
    as_of: datetime,
    now: datetime,
    shows_small: bool,
) -> AnyInsight:
    """
    Return the answer for a measure and a grouping. *name* returns the name of a group from its key.

    Reviews whose time limit is not after *now* are overdue. Without *shows_small*, impact and coverage of groups under
    five tenants are left out.
    """
    prefix = group_id(grouping, "")
    made = (
        Group(key := group.removeprefix(prefix), name(grouping, key), counts)
        for group, counts in sums.items()
        if group.startswith(prefix)
    )
    groups = _in_order(measure, grouping, made)
    total = Group("", "", sums.get(TOTAL, {}))
    match measure:
        case Measure.CLAIMS:
            value = tuple(figures(one, now) for one in groups)
            return Insight(as_of=as_of, group_by=grouping, total=figures(total, now), value=value)
        case Measure.FUNNEL:
            return FunnelInsight(as_of=as_of, group_by=grouping, total=funnel(total), value=tuple(map(funnel, groups)))
        case Measure.REASONS:
            return ReasonsInsight(
                as_of=as_of, group_by=grouping, total=reasons(total), value=tuple(map(reasons, groups))
            )
        case Measure.IMPACT | Measure.COVERAGE:
            small = [] if shows_small else [one for one in (*groups, total) if _tenants(measure, one) < FEWEST_TENANTS]
            shown = [one for one in groups if one not in small]
            # A total without a hidden group would show the figures of that group as a difference.
            shows_total = not any(_tenants(measure, one) for one in small)
            hidden = len(groups) - len(shown)
            if measure is Measure.IMPACT:
                return ImpactInsight(
                    as_of=as_of,
                    group_by=grouping,
                    total=impact(total) if shows_total else None,
                    value=tuple(map(impact, shown)),
                    hidden=hidden,
                )
            return CoverageInsight(
                as_of=as_of,
                group_by=grouping,
                total=coverage(total) if shows_total else None,
                value=tuple(map(coverage, shown)),
                hidden=hidden,
            )
        case _:
            assert_never(measure)


def one_group(measure: Measure, group: Group, now: datetime) -> GroupFigures:
    """Return the figures of one group."""
    match measure:
        case Measure.CLAIMS:
            return figures(group, now)
        case Measure.IMPACT:
            return impact(group)
        case Measure.COVERAGE:
            return coverage(group)
        case Measure.REASONS:
            return reasons(group)
        case Measure.FUNNEL:
            return funnel(group)
        case _:
            assert_never(measure)


def _tenants(measure: Measure, group: Group) -> int:
    """Return the number of tenants of a group. For impact it can be a little too low, but never too high."""
    return group[tally.CUSTOMERS] if measure is Measure.COVERAGE else len(group.values(tally.TENANT))


def _in_order(measure: Measure, grouping: Grouping, groups: Iterable[Group]) -> Sequence[Group]:
    """Return the groups that have something to show: months by date, states in the order of life, others by size."""
    shown = [group for group in groups if _size(measure, group)]
    if grouping is Grouping.MONTH:
        return sorted(shown, key=lambda one: one.key)
    if grouping is Grouping.STATUS:
        return sorted(shown, key=lambda one: list(Status).index(Status(one.key)))
    return sorted(shown, key=lambda one: (-_size(measure, one), one.key))


def _size(measure: Measure, group: Group) -> int:
    match measure:
        case Measure.CLAIMS:
            return group[tally.CLAIMS]
        case Measure.IMPACT:
            return group[tally.COUNTED] + group[tally.WITHOUT_BASELINE] + group[tally.WITHOUT_NOW]
        case Measure.COVERAGE:
            return group[tally.CLAIMABLE]
        case Measure.REASONS:
            return sum(sum(group.values(prefix).values()) for prefix in (tally.REJECTION, tally.DECLINE, tally.END))
        case Measure.FUNNEL:
            return group[f"{tally.REACHED}{Stage.CREATED}"]
        case _:
            assert_never(measure)


# --- one group --------------------------------------------------------------------------------------------------------


def figures(group: Group, now: datetime) -> Figures:
    """Return the figures about the claims of a group at *now*."""
    overdue = sum(count for due, count in group.values(tally.DUE).items() if datetime.fromisoformat(due) <= now)
    return Figures(
        key=group.key,
        name=group.name,
        claims=group[tally.CLAIMS],
        associations=group[tally.ASSOCIATIONS],
        declined=group[tally.DECLINED],
        decline_rate=_share(group[tally.DECLINED], group[tally.TOLD]),
        disputed=group[tally.DISPUTED],
        dispute_rate=_share(group[tally.DISPUTED], group[tally.EVER_REJECTED]),
        overdue=overdue,
        overdue_rate=_share(overdue, group[tally.WITH_REVIEWER]),
        steps=tuple(_step_time(step, group.values(f"{tally.TOOK}{step}|")) for step in Step),
    )


def impact(group: Group) -> Impact:
    """Return the impact of a group."""
    baseline, now = group[tally.BASELINE], group[tally.NOW]
    return Impact(
        key=group.key,
        name=group.name,
        baseline=baseline,
        now=now,
        growth=now - baseline,
        growth_share=_share(now - baseline, baseline),
        counted=group[tally.COUNTED],
        without_baseline=group[tally.WITHOUT_BASELINE],
        without_now=group[tally.WITHOUT_NOW],
    )


def coverage(group: Group) -> Coverage:
    """Return the coverage of a group."""
    return Coverage(
        key=group.key,
        name=group.name,
        claimable=group[tally.CLAIMABLE],
        held=group[tally.HELD],
        share=_share(group[tally.HELD], group[tally.CLAIMABLE]),
        customers=group[tally.CUSTOMERS],
    )


def reasons(group: Group) -> Reasons:
    """Return the reasons of a group, also those that no claim has."""
    return Reasons(
        key=group.key,
        name=group.name,
        rejected={reason: group[f"{tally.REJECTION}{reason}"] for reason in Reason if reason in REJECTION_REASONS},
        declined=Declines(given=group[f"{tally.DECLINE}{tally.GIVEN}"], none=group[f"{tally.DECLINE}{tally.NONE}"]),
        ended={reason: group[f"{tally.END}{reason}"] for reason in Reason if reason in END_REASONS},
    )


def funnel(group: Group) -> Funnel:
    """Return how many claims of a group have reached each stage."""
    reached = {stage: group[f"{tally.REACHED}{stage}"] for stage in Stage}
    return Funnel(
        key=group.key,
        name=group.name,
        stages=tuple(
            StageCount(stage=stage, claims=count, share=_share(count, reached[Stage.CREATED]))
            for stage, count in reached.items()
        ),
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _step_time(step: Step, lengths: Mapping[str, int]) -> StepTime:
    counts = sorted((int(minutes), count) for minutes, count in lengths.items())
    median, p90 = _hours(counts, 50), _hours(counts, 90)
    return StepTime(
        step=step,
        count=sum(count for _, count in counts),
        median_hours=median,
        p90_hours=p90,
        median_days=_days(median),
        p90_days=_days(p90),
    )


def _hours(counts: Sequence[tuple[int, int]], percent: int) -> float | None:
    """Return the length, in hours, in which *percent* of the claims finished a step. None without claims."""
    wanted = sum(count for _, count in counts) * percent
    reached = 0
    for minutes, count in counts:
        reached += count * 100
        if reached >= wanted:
            return round(_middle(minutes) / MINUTES_AN_HOUR, 2)
    return None


def _middle(lowest: int) -> float:
    """Return the middle of the histogram's step that begins at *lowest*. It is less than 3 percent from any length."""
    return lowest + ((1 << max(0, lowest.bit_length() - EXACT_BITS)) - 1) / 2


def _days(hours: float | None) -> float | None:
    return round(hours / HOURS_A_DAY, 2) if hours is not None else None
