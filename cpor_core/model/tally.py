"""Tallies: what one claim or one customer adds to the sums of insight (decision 60)."""

from collections.abc import Mapping

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import Reason
from cpor_core.model.history import Act
from cpor_core.model.insight import Step

Counts = Mapping[str, int]
"""Counts by name. `rules/tally.py` makes the names. No count is 0."""


class Tally(Value):
    """
    What one subject adds to the sums.

    The stored counts are exactly what was added. So a later release can subtract them, also if it counts otherwise.
    """

    every: Counts = Field(default_factory=dict)
    """What the subject adds to each of its groups."""
    groups: Mapping[str, Counts] = Field(default_factory=dict)
    """The groups of the subject, and what it adds to one group only."""


class Life(Value):
    """What insight needs of a claim's history. New entries are added without a look at the old ones."""

    entries: int = 0
    """How many entries of the history are in it."""
    acts: tuple[Act, ...] = ()
    """The kinds of acts in the history."""
    began: Mapping[Step, Instant] = Field(default_factory=dict)
    """The last beginning of each step that has not ended."""
    took: Mapping[Step, int] = Field(default_factory=dict)
    """The length of each step that has ended, in minutes, rounded down to its step of the histogram."""
    rejection: Reason | None = None
    """The reason of the newest rejection."""
    decline_has_reason: bool = False
    """The newest no has a reason in words."""


class ItemImpact(Value):
    """The figures of one associated item. A figure is None if there is none, or if it was not looked for yet."""

    item: str
    baseline: int | None = None
    now: int | None = None


class ClaimTally(Tally):
    """What a claim adds, and what is needed to count its next history entries."""

    life: Life
    impact: tuple[ItemImpact, ...] = ()
    covered: tuple[str, ...] = ()
    """The held items that the customer adds to the sums too. They are found when the customer is read."""
