"""The time limits of reviewers and partners, each in the calendar of the one who must act."""

from datetime import UTC, date, datetime, timedelta

from cpor_core.rules.business_days import Calendar
from cpor_core.rules.terms import Terms
from tests.core.builders import MONDAY, a_promise, claim_id, partner

TERMS = Terms(programme=Calendar(country="US", time_zone="UTC"))
THURSDAY = datetime(2026, 11, 26, tzinfo=UTC)
"""Thanksgiving Day."""


def test_a_reviewer_has_five_business_days_to_start_and_five_to_decide() -> None:
    """The days are those of the programme's calendar. Veterans Day and the weekend do not count."""
    assert TERMS.start_review_by(MONDAY) == datetime(2026, 11, 10, tzinfo=UTC)
    assert TERMS.start_review_by(MONDAY + timedelta(days=2)) == datetime(2026, 11, 13, tzinfo=UTC)
    assert TERMS.decide_by(MONDAY) == TERMS.start_review_by(MONDAY)


def test_no_partner_can_know_before_the_submission_whether_a_claim_is_in_the_sample() -> None:
    """The same claim is in the sample or not, by the instant of its promise. About one in ten is."""
    promises = [a_promise().model_copy(update={"made_at": MONDAY + timedelta(microseconds=n)}) for n in range(1_000)]

    drawn = [TERMS.is_sampled(claim_id("a"), each) for each in promises]

    assert 60 < sum(drawn) < 140
    assert drawn == [TERMS.is_sampled(claim_id("a"), each) for each in promises]


def test_a_limit_ends_with_the_last_of_its_days() -> None:
    """The hour at which the limit begins makes no difference."""
    assert TERMS.decide_by(THURSDAY) == TERMS.decide_by(THURSDAY + timedelta(hours=23, minutes=59))


def test_a_partner_has_five_business_days_in_its_own_calendar() -> None:
    """Armistice Day is a holiday in France, not in Czechia. The limit ends at midnight in Paris, or in Prague."""
    monday = datetime(2026, 11, 9, 9, tzinfo=UTC)

    assert TERMS.partner_answers_by(monday, partner()).ends_at == datetime(2026, 11, 17, 23, tzinfo=UTC)
    assert TERMS.partner_answers_by(monday, partner(country="CZ", time_zone="Europe/Prague")).ends_at == datetime(
        2026, 11, 16, 23, tzinfo=UTC
    )


def test_a_subdivision_has_holidays_of_its_own() -> None:
    """Saint Andrew's Day is a holiday in Scotland, not in England."""
    friday = datetime(2026, 11, 27, 9, tzinfo=UTC)
    scottish = partner(country="GB", subdivision="SCT", time_zone="Europe/London")
    english = partner(country="GB", subdivision="ENG", time_zone="Europe/London")

    assert TERMS.partner_answers_by(friday, scottish).ends_at == datetime(2026, 12, 8, tzinfo=UTC)
    assert TERMS.partner_answers_by(friday, english).ends_at == datetime(2026, 12, 5, tzinfo=UTC)


def test_a_partner_is_reminded_on_the_business_day_before_the_last() -> None:
    """
    The reminder comes at nine in the morning in the partner's time zone.

    If the last day is a Monday, the reminder comes on Friday. If the day before is a holiday, it comes a day earlier.
    """
    given = TERMS.partner_answers_by(MONDAY, partner())
    after_a_holiday = TERMS.partner_answers_by(MONDAY + timedelta(days=2), partner())

    assert (given.last_day, given.time_zone) == (date(2026, 11, 9), "Europe/Paris")
    assert given.reminder_at == datetime(2026, 11, 6, 8, tzinfo=UTC)
    assert after_a_holiday.last_day == date(2026, 11, 12)
    assert after_a_holiday.reminder_at == datetime(2026, 11, 10, 8, tzinfo=UTC)


def test_a_partner_who_is_not_registered_has_the_programmes_calendar() -> None:
    """Veterans Day does not count in the United States. The reminder comes at nine in the programme's time zone."""
    given = TERMS.partner_answers_by(datetime(2026, 11, 9, 9, tzinfo=UTC), None)

    assert (given.last_day, given.time_zone) == (date(2026, 11, 17), "UTC")
    assert given.reminder_at == datetime(2026, 11, 16, 9, tzinfo=UTC)


def test_a_programme_can_set_each_length() -> None:
    """Each length has its own setting."""
    terms = Terms(
        programme=Calendar(country="US", time_zone="UTC"),
        start_review_business_days=1,
        decide_business_days=2,
        partner_answer_business_days=3,
        draft_days=10,
    )

    assert terms.start_review_by(MONDAY) == datetime(2026, 11, 4, tzinfo=UTC)
    assert terms.decide_by(MONDAY) == datetime(2026, 11, 5, tzinfo=UTC)
    assert terms.partner_answers_by(MONDAY, partner(time_zone="UTC")).ends_at == datetime(2026, 11, 6, tzinfo=UTC)
    assert terms.draft_lapses_at(MONDAY) == MONDAY + timedelta(days=10)


def test_a_draft_has_ninety_times_24_hours() -> None:
    """The time begins when the draft is created. Holidays and weekends count."""
    assert TERMS.draft_lapses_at(MONDAY) == MONDAY + timedelta(days=90)
