"""
How many mails the whole deployment may hand over, and whose turn comes when.

A mail service counts what it is asked, refused calls too. So one budget is kept for all instances: how many mails were
handed over in this minute and in this hour, and an instant before which nobody sends at all.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

MOST_AT_ONCE = 10
"""Permits that one sender draws at once."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Urgency(Enum):
    """
    How much of each window a kind of mail may use, in percent.

    What is left free is there for what is more urgent: a customer who is not told is not bound, a reminder is worth
    nothing after the window, everything else can wait.
    """

    NOTICE = 100
    REMINDER = 80
    OTHER = 60

    def allowance(self, limit: int | None) -> int | None:
        """Return how many of *limit* mails this kind may use: one at least; None is no limit."""
        return None if limit is None else max(1, limit * self.value // 100)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the mail service takes of us; None is no limit."""

    per_minute: int | None = None
    per_hour: int | None = None

    @property
    def are_set(self) -> bool:
        """Whether there is anything to count."""
        return self.per_minute is not None or self.per_hour is not None


@dataclass(frozen=True, slots=True)
class Budget:
    """What was handed over in the minute and the hour that began at these instants."""

    minute: datetime
    hour: datetime
    sent: int = 0
    sent_in_hour: int = 0
    turned_away: int = 0
    """Mails that were refused a permit in this minute: they stand in line."""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many mails may be handed over now; `next_turn` is when the others may ask again."""

    permits: int
    next_turn: datetime | None = None


def budget_at(budget: Budget | None, now: datetime) -> Budget:
    """Return the budget as it stands at *now*: a new minute, or a new hour, begins with nothing sent."""
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
    """Return the budget after *wanted* mails asked for permits at *now*, and what they were given."""
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
    """Return the budget with nothing to be handed over before *until*; a longer pause stays."""
    budget = budget_at(budget, now)
    return replace(budget, not_before=max(until, budget.not_before or until))


def _free(budget: Budget, limits: Limits, urgency: Urgency, now: datetime) -> int:
    """Return how many mails of this urgency may be handed over now by one sender."""
    if budget.not_before is not None and now < budget.not_before:
        return 0
    in_minute = _left(urgency.allowance(limits.per_minute), budget.sent)
    return min(MOST_AT_ONCE, in_minute, _left(urgency.allowance(limits.per_hour), budget.sent_in_hour))


def _left(allowance: int | None, used: int) -> int:
    return MOST_AT_ONCE if allowance is None else max(allowance - used, 0)


def _turn(budget: Budget, limits: Limits, urgency: Urgency, place: int, now: datetime) -> datetime:
    """Return the beginning of the window in which the turn of the *place*-th in line comes, counted from 0."""
    a_minute, an_hour = urgency.allowance(limits.per_minute), urgency.allowance(limits.per_hour)
    begin = budget.minute + MINUTE
    if an_hour is not None and place >= (left := max(an_hour - budget.sent_in_hour, 0)):
        hours, place = divmod(place - left, an_hour)
        begin = budget.hour + (1 + hours) * HOUR
    if budget.not_before is not None and now < budget.not_before:
        begin = max(begin, budget.not_before)
    return begin + (place // a_minute) * MINUTE if a_minute is not None else begin
