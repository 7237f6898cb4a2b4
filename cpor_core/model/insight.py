"""Insight: figures about all claims together, for the programme."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import Reason


class Grouping(StrEnum):
    """The property by which claims are grouped."""

    ENGAGEMENT = "engagement"
    WORKLOAD = "workload"
    """A workload or a product. A claim counts once for each of its workloads and products."""
    COUNTRY = "country"
    """The country of the customer."""
    PARTNER = "partner"
    """The partner's location."""
    STATUS = "status"
    MONTH = "month"
    """The month in which the claim was created, in UTC."""


class Measure(StrEnum):
    """What the figures are about."""

    CLAIMS = "claims"
    IMPACT = "impact"
    COVERAGE = "coverage"
    REASONS = "reasons"
    FUNNEL = "funnel"


class Step(StrEnum):
    """A part of a claim's life. The insight shows how long it takes."""

    DRAFT = "draft"
    WAIT_FOR_REVIEW = "waitForReview"
    REVIEW = "review"
    ANSWER = "answer"
    NOTICE = "notice"
    WINDOW = "window"
    SUBMISSION_TO_OFFICIAL = "submissionToOfficial"


class Stage(StrEnum):
    """A stage that a claim reaches on its way to an association, in order."""

    CREATED = "created"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    """A reviewer approved the claim, or the service validated it."""
    CUSTOMER_TOLD = "customerTold"
    OFFICIAL = "official"


class StepTime(Value):
    """
    How long a step took, to 3 percent. The lengths are null if no claim has finished the step.

    Half of the claims took at most the median, and 90 of 100 claims took at most `p90`.
    """

    step: Step
    count: int
    median_hours: float | None
    p90_hours: float | None
    median_days: float | None
    p90_days: float | None


class GroupFigures(Value):
    """Figures of one group, or of all claims. Then key and name are empty."""

    key: str
    name: str


class Figures(GroupFigures):
    """
    A group of claims.

    `associations` counts the claims that are official now. `declineRate` is the share of notified customers who said
    no. `disputeRate` is the share of rejected claims that were disputed. `overdueRate` is the share of claims with a
    reviewer that are overdue. A rate is null if there is no claim of that kind.
    """

    claims: int
    associations: int
    declined: int
    decline_rate: float | None
    disputed: int
    dispute_rate: float | None
    overdue: int
    overdue_rate: float | None
    steps: tuple[StepTime, ...]


class Impact(GroupFigures):
    """
    The active users of associated items before and after the beginning of the association.

    `baseline` and `now` are sums over the `counted` items, which have both figures. `growth` is their difference, and
    `growthShare` is the growth divided by the baseline. `growthShare` is null if the baseline is 0. `withoutBaseline`
    counts the items that only have a figure from 28 days or more after the beginning. `withoutNow` counts the items
    that have no such figure.
    """

    baseline: int
    now: int
    growth: int
    growth_share: float | None
    counted: int
    without_baseline: int
    without_now: int


class Coverage(GroupFigures):
    """
    The items of registered customers that can be claimed, and how many of them have a holder.

    An item of a tenant counts once for each engagement under which it can be claimed.
    """

    claimable: int
    held: int
    share: float | None
    customers: int
    """The registered customers that have such an item."""


class Declines(Value):
    """Claims that the customer has declined, with and without a reason in words."""

    given: int
    none: int


class Reasons(GroupFigures):
    """
    Why claims did not become associations, and why associations have ended.

    `rejected` counts each claim that was ever rejected, by the reason of its newest rejection. `ended` counts the
    associations that have ended. In a group by workload or product it counts the associations that have lost the item.
    """

    rejected: Mapping[Reason, int]
    declined: Declines
    ended: Mapping[Reason, int]


class StageCount(Value):
    """How many claims have reached a stage. `share` is their share of the created claims, null without claims."""

    stage: Stage
    claims: int
    share: float | None


class Funnel(GroupFigures):
    """How many claims have reached each stage. Imported associations are not counted."""

    stages: tuple[StageCount, ...]


class Answered(Value):
    """What the answers of all measures have in common."""

    as_of: Instant
    """Each act that arrived before this instant is counted."""
    group_by: Grouping


class Insight(Answered):
    """The groups of one grouping, and all claims together."""

    total: Figures
    value: tuple[Figures, ...]


class FunnelInsight(Answered):
    """The stages that claims reach, by group and for all claims together."""

    measure: Literal[Measure.FUNNEL] = Measure.FUNNEL
    total: Funnel
    value: tuple[Funnel, ...]


class ReasonsInsight(Answered):
    """Reasons, by group and for all claims together."""

    measure: Literal[Measure.REASONS] = Measure.REASONS
    total: Reasons
    value: tuple[Reasons, ...]


class _OfTenants(Answered):
    hidden: int = Field(
        description="The number of groups that are not shown, because they have fewer than five customers."
    )


class ImpactInsight(_OfTenants):
    """Impact by group. `total` is null if a group is hidden that has counted items."""

    measure: Literal[Measure.IMPACT] = Measure.IMPACT
    total: Impact | None
    value: tuple[Impact, ...]


class CoverageInsight(_OfTenants):
    """Coverage by group. `total` is null if a group is hidden."""

    measure: Literal[Measure.COVERAGE] = Measure.COVERAGE
    total: Coverage | None
    value: tuple[Coverage, ...]


AnyInsight = Insight | ImpactInsight | CoverageInsight | ReasonsInsight | FunnelInsight
