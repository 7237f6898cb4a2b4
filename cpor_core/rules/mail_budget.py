"""
How many mails the whole deployment may hand over, and when.

A mail service counts each call, refused calls too. So all instances share one budget: the mails of this minute and of
this hour, and an instant before which no instance sends.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

MOST_AT_ONCE = 10
"""Permits that one sender can draw at once."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Urgency(Enum):
    """
    How much of each minute and hour a kind of mail may use, in percent.

    The rest is for more urgent mails. Without a notice no window begins. A reminder is useless after the window. Other
    mails can wait.
    """

    NOTICE = 100
    REMINDER = 80
    OTHER = 60

    def allowance(self, limit: int | None) -> int | None:
        """Return how many of *limit* mails this kind may use, at least one. None means no limit."""
        return None if limit is None else max(1, limit * self.value // 100)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the mail service. None means no limit."""

    per_minute: int | None = None
    per_hour: int | None = None

    @property
    def are_set(self) -> bool:
        """Whether there is any limit."""
        return self.per_minute is not None or self.per_hour is not None


@dataclass(frozen=True, slots=True)
class Budget:
    """The mails that were handed over in the minute and the hour that began at these instants."""

    minute: datetime
    hour: datetime
    sent: int = 0
    sent_in_hour: int = 0
    turned_away: int = 0
    """Mails that got no permit in this minute. They form the queue."""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many mails may be handed over now. `next_turn` is when the others may ask again."""

    permits: int
    next_turn: datetime | None = None


def budget_at(budget: Budget | None, now: datetime) -> Budget:
    """Return the budget at *now*. A new minute or hour begins at zero."""
    minute = now.replace(second=0, microsecond=0)
    hour = minute.replace(minute=0)
    if budget is None:
        return Budget(minute, hour)
    if budget.minute != minute:
        budget = replace(budget, minute=minute, sent=0, turned_away=0)
    if budget.hour != hour:
        budget = replace(budget, hour=hour, sent_in_hour=0)
    return budget


def draw(budget: Budget | None, limits: Limits, urgency: Urgency, wanted: int, now: datetime) -> tuple[Budget, Drawn]:
    """Return the budget after a request for *wanted* permits at *now*, and the permits given."""
    budget = budget_at(budget, now)
    permits = min(wanted, _free(budget, limits, urgency, now))
    missing = wanted - permits
    after = replace(
        budget,
        sent=budget.sent + permits,
        sent_in_hour=budget.sent_in_hour + permits,
        turned_away=budget.turned_away + missing,
    )
    return after, Drawn(permits, _turn(after, limits, urgency, budget.turned_away, now) if missing else None)


def paused(budget: Budget | None, until: datetime, now: datetime) -> Budget:
    """Return the budget with a pause until *until*. A longer pause stays."""
    budget = budget_at(budget, now)
    return replace(budget, not_before=max(until, budget.not_before or until))


def _free(budget: Budget, limits: Limits, urgency: Urgency, now: datetime) -> int:
    """Return how many mails of this urgency one sender may hand over now."""
    if budget.not_before is not None and now < budget.not_before:
        return 0
    in_minute = _left(urgency.allowance(limits.per_minute), budget.sent)
    return min(MOST_AT_ONCE, in_minute, _left(urgency.allowance(limits.per_hour), budget.sent_in_hour))


def _left(allowance: int | None, used: int) -> int:
    return MOST_AT_ONCE if allowance is None else max(allowance - used, 0)


def _turn(budget: Budget, limits: Limits, urgency: Urgency, place: int, now: datetime) -> datetime:
    """Return the beginning of the minute or hour in which number *place* of the queue, from 0, may ask again."""
    a_minute, an_hour = urgency.allowance(limits.per_minute), urgency.allowance(limits.per_hour)
    begin = budget.minute + MINUTE
    if an_hour is not None and place >= (left := max(an_hour - budget.sent_in_hour, 0)):
        hours, place = divmod(place - left, an_hour)
        begin = budget.hour + (1 + hours) * HOUR
    if budget.not_before is not None and now < budget.not_before:
        begin = max(begin, budget.not_before)
    return begin + (place // a_minute) * MINUTE if a_minute is not None else begin
