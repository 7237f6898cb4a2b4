"""The time limits of a programme with their defaults, and the programme's calendar (decisions 16, 31)."""

import hashlib
from calendar import monthrange
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from cpor_core.model.claim import Promise, TimeToAnswer
from cpor_core.model.registry import Partner
from cpor_core.rules.business_days import (
    Calendar,
    ClosedDays,
    Deadline,
    calendar_of,
    closed_in,
    count_business_days,
    local_date,
    reminder_at,
)

NOTICE_WINDOW_BUSINESS_DAYS: Final = 5
"""Business days that a customer has to decline. A constant, not a setting (decision 16)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The time limits and other values that a programme can set."""

    programme: Calendar
    start_review_business_days: int = 5
    decide_business_days: int = 5
    partner_answer_business_days: int = 5
    draft_days: int = 90
    retention_months: int = 24
    """How long a closed claim keeps personal data."""
    dry_runs_per_hour: int = 100
    """The most dry runs of an organisation in one hour (decision 8)."""
    imports_before: datetime | None = None
    """An imported association of a claimable engagement must have begun before. None forbids such an import."""
    sample_percent: int = 10
    """The percentage of automatically validated claims that a reviewer checks while the customer can decline."""
    closed: ClosedDays = field(default_factory=dict)
    """The closed days of all places."""

    def observing(self, closed: ClosedDays) -> "Terms":
        """Return the same terms with these closed days, for all calendars."""
        programme = self.programme
        off = closed_in(closed, programme.country, programme.subdivision)
        return replace(self, programme=programme.model_copy(update={"closed": off}), closed=closed)

    def start_review_by(self, at: datetime) -> datetime:
        """Return until when the review of a claim submitted *at* should start. A late review is shown as overdue."""
        return _deadline(at, self.start_review_business_days, self.programme).ends_at

    def decide_by(self, at: datetime) -> datetime:
        """Return until when a review that started *at* should end."""
        return _deadline(at, self.decide_business_days, self.programme).ends_at

    def partner_answers_by(self, at: datetime, partner: Partner | None) -> TimeToAnswer:
        """Return the time limit of a partner who is asked *at*, in the partner's calendar or else the programme's."""
        calendar = self.programme
        if partner is not None:
            calendar = calendar_of(partner, self.closed)
        deadline = _deadline(at, self.partner_answer_business_days, calendar)
        return TimeToAnswer(
            ends_at=deadline.ends_at,
            last_day=deadline.last_day,
            time_zone=deadline.time_zone,
            reminder_at=reminder_at(deadline.last_day, calendar),
        )

    def is_sampled(self, claim_id: str, promise: Promise) -> bool:
        """
        Whether a claim is in the sample. The answer never changes while the promise stands.

        The hash of the claim's id and of the instant of the promise decides. A partner knows the id before the
        submission, but nobody outside knows the instant.
        """
        lot = hashlib.sha256(f"{claim_id}|{promise.made_at.isoformat()}".encode()).hexdigest()
        return int(lot[:8], 16) % 100 < self.sample_percent

    def draft_lapses_at(self, at: datetime) -> datetime:
        """Return when a draft lapses that was created *at*."""
        return at + timedelta(days=self.draft_days)

    def people_kept_until(self, at: datetime) -> datetime:
        """Return when the people of a claim closed *at* are erased: `retention_months` months later."""
        months = at.month - 1 + self.retention_months
        year, month = at.year + months // 12, months % 12 + 1
        return at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))


def _deadline(at: datetime, days: int, calendar: Calendar) -> Deadline:
    return count_business_days(local_date(at, calendar.time_zone), days, calendar)
