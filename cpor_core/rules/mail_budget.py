"""
How many mails the whole deployment may hand over, and when (decision 42).

A mail service counts each call, refused calls too. So all instances share one budget. It counts the permits of this
minute and of this hour. It can also hold a pause: an instant before which no instance hands over a mail.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

MOST_AT_ONCE = 10
"""The most permits that one call of `draw` can give."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Urgency(Enum):
    """
    The share of a limit, in percent, that a kind of mail can use. The rest is for more urgent mails.

    Notices come first, because a window opens only with its notice. Reminders come second, because a reminder is
    useless after the window. Other mails can wait.
    """

    NOTICE = 100
    REMINDER = 80
    OTHER = 60

    def allowance(self, limit: int | None) -> int | None:
        """Return how many of *limit* mails this kind can use, at least one. None means no limit."""
        return None if limit is None else max(1, limit * self.value // 100)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the mail service. None means no limit."""

    per_minute: int | None = None
    per_hour: int | None = None

    @property
    def are_set(self) -> bool:
        """Whether at least one limit is set."""
        return self.per_minute is not None or self.per_hour is not None


@dataclass(frozen=True, slots=True)
class Budget:
    """The permits that were given in one minute and in one hour."""

    minute: datetime
    """The instant at which the minute began."""
    hour: datetime
    """The instant at which the hour began."""
    sent: int = 0
    """Permits that were given in this minute."""
    sent_in_hour: int = 0
    """Permits that were given in this hour."""
    turned_away: int = 0
    """Mails that asked in this minute and got no permit. A later mail without a permit gets its turn after them."""
    not_before: datetime | None = None
    """The end of a pause: no mail gets a permit before this instant."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The number of mails that can be handed over now. At `next_turn` the other mails can ask again."""

    permits: int
    next_turn: datetime | None = None


def budget_at(budget: Budget | None, now: datetime) -> Budget:
    """Return the budget at *now*. The counts of a new minute or hour begin at zero."""
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
    """Return the budget with a pause that ends at *until*. A longer pause that is already in the budget stays."""
    budget = budget_at(budget, now)
    return replace(budget, not_before=max(until, budget.not_before or until))


def _free(budget: Budget, limits: Limits, urgency: Urgency, now: datetime) -> int:
    """Return how many permits one call can give for this urgency at *now*."""
    if budget.not_before is not None and now < budget.not_before:
        return 0
    in_minute = _left(urgency.allowance(limits.per_minute), budget.sent)
    return min(MOST_AT_ONCE, in_minute, _left(urgency.allowance(limits.per_hour), budget.sent_in_hour))


def _left(allowance: int | None, used: int) -> int:
    return MOST_AT_ONCE if allowance is None else max(allowance - used, 0)


def _turn(budget: Budget, limits: Limits, urgency: Urgency, place: int, now: datetime) -> datetime:
    """
    Return when a mail without a permit can ask again: at the beginning of a minute, of an hour, or after a pause.

    *place* is the number of earlier mails in this minute that got no permit.
    """
    per_minute, per_hour = urgency.allowance(limits.per_minute), urgency.allowance(limits.per_hour)
    begin = budget.minute + MINUTE
    if per_hour is not None and place >= (left := max(per_hour - budget.sent_in_hour, 0)):
        hours, place = divmod(place - left, per_hour)
        begin = budget.hour + (1 + hours) * HOUR
    if budget.not_before is not None and now < budget.not_before:
        begin = max(begin, budget.not_before)
    return begin + (place // per_minute) * MINUTE if per_minute is not None else begin
