"""Insight: figures about all claims together, for the programme."""

from enum import StrEnum

from cpor_core.model.base import Instant, Value


class Grouping(StrEnum):
    """The property by which claims are grouped."""

    ENGAGEMENT = "engagement"
    WORKLOAD = "workload"
    """A workload or a product. A claim counts once for each of its workloads and products."""
    COUNTRY = "country"
    """The country of the customer."""
    PARTNER = "partner"
    """The partner's location, with the name that is in the claim."""
    STATUS = "status"
    MONTH = "month"
    """The month in which the claim was created, in UTC."""


class Step(StrEnum):
    """A part of a claim's life. The insight shows how long it takes."""

    DRAFT = "draft"
    WAIT_FOR_REVIEW = "waitForReview"
    REVIEW = "review"
    ANSWER = "answer"
    NOTICE = "notice"
    WINDOW = "window"
    SUBMISSION_TO_OFFICIAL = "submissionToOfficial"


class StepTime(Value):
    """How long a step took, in hours. The hours are null if no claim has finished the step."""

    step: Step
    count: int
    median_hours: float | None
    p90_hours: float | None


class Figures(Value):
    """
    A group of claims.

    `associations` counts the claims that are official now. `declineRate` is the share of notified customers who said
    no. `disputeRate` is the share of rejected claims that were disputed. `overdueRate` is the share of claims with a
    reviewer that are overdue. A rate is null if there is no claim of that kind.
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
    """The groups of one grouping, and all claims together. `asOf` is the instant of the last full count, or null."""

    as_of: Instant | None
    group_by: Grouping
    total: Figures | None
    value: tuple[Figures, ...]


class Counting(Value):
    """The state of the count: which figures are shown now, and the progress of the next count."""

    as_of: Instant | None = None
    """The instant of the figures that are shown; None before the first count has ended."""
    shown: str = ""
    """The name under which the shown figures are stored."""
    began: Instant | None = None
    """When the running count began; None if no count is running."""
    pages: int = 0
    """How many pages of the running count are stored."""
    after: str = ""
    """The last tenant that the running count has counted."""
    is_asked_for: bool = False
    """Whether an operator has asked for a new count before the next hour."""
