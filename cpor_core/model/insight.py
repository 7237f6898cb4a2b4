"""Insight: what the programme sees of all claims taken together."""

from enum import StrEnum

from cpor_core.model.base import Instant, Value


class Grouping(StrEnum):
    """What claims are grouped by."""

    ENGAGEMENT = "engagement"
    WORKLOAD = "workload"
    """Products of Business Applications too. A claim counts once for each that it names."""
    COUNTRY = "country"
    """The customer's."""
    PARTNER = "partner"
    """By location, as claims name it."""
    STATUS = "status"
    MONTH = "month"
    """In which the claim was made, in UTC."""


class Step(StrEnum):
    """A part of a claim's life whose length is counted."""

    DRAFT = "draft"
    WAIT_FOR_REVIEW = "waitForReview"
    REVIEW = "review"
    ANSWER = "answer"
    NOTICE = "notice"
    WINDOW = "window"
    SUBMISSION_TO_OFFICIAL = "submissionToOfficial"


class StepTime(Value):
    """How long a step took, in hours; null if no claim took it."""

    step: Step
    count: int
    median_hours: float | None
    p90_hours: float | None


class Figures(Value):
    """
    A group of claims.

    `associations` are those that are official now. `declineRate` is the share of the customers told who said no,
    `disputeRate` that of the rejected claims that were disputed, `overdueRate` that of the claims with a reviewer that
    are past their time; null where there is nothing to have a share of.
    """

    key: str
    name: str
    claims: int
    associations: int
    declined: int
    decline_rate: float | None
    disputed: int
    dispute_rate: float | None
    overdue: int
    overdue_rate: float | None
    steps: tuple[StepTime, ...]


class Insight(Value):
    """Every group of one grouping, and all claims together; as of the last full count, null before the first."""

    as_of: Instant | None
    group_by: Grouping
    total: Figures | None
    value: tuple[Figures, ...]


class Counting(Value):
    """The state of the count: which figures are shown now, and the progress of the next count."""

    as_of: Instant | None = None
    """The instant of the figures that are shown; None before the first count has ended."""
    shown: str = ""
    """The name under which they are stored."""
    began: Instant | None = None
    """When the running count began; None if no count is running."""
    pages: int = 0
    """How many pages of it are stored."""
    after: str = ""
    """The last tenant that was counted."""
    is_asked_for: bool = False
    """An operator asked for a count before the next hour."""
