"""The mail budget counts permits, and a refused sender learns the time of its next try."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpor_core.rules.mail_budget import HOUR, MINUTE, MOST_AT_ONCE, Budget, Drawn, Limits, Urgency, draw, paused

NOW = datetime(2026, 11, 2, 9, 30, 20, tzinfo=UTC)
THIS_MINUTE, THIS_HOUR = datetime(2026, 11, 2, 9, 30, tzinfo=UTC), datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
LIMITS = Limits(per_minute=5, per_hour=10)


def test_the_first_mail_opens_the_window_of_its_minute_and_of_its_hour() -> None:
    """Windows are whole minutes and hours, so that all instances count the same windows."""
    budget, drawn = draw(None, LIMITS, Urgency.NOTICE, 2, NOW)

    assert drawn == Drawn(2)
    assert budget == Budget(THIS_MINUTE, THIS_HOUR, sent=2, sent_in_hour=2)


def test_a_sender_in_a_used_up_minute_waits_for_the_next_minute() -> None:
    """Behind a full minute of waiting mails, a sender waits one minute longer."""
    budget, drawn = draw(None, LIMITS, Urgency.NOTICE, 7, NOW)
    line = []
    for _ in range(5):
        budget, behind = draw(budget, Limits(per_minute=5), Urgency.NOTICE, 1, NOW)
        line.append(behind.next_turn)

    assert drawn == Drawn(5, THIS_MINUTE + MINUTE)
    assert line == [*3 * [THIS_MINUTE + MINUTE], *2 * [THIS_MINUTE + 2 * MINUTE]]
    assert budget.turned_away == 7


def test_a_sender_in_a_used_up_hour_waits_for_the_next_hour() -> None:
    """Five senders a minute have their turn in that hour."""
    used_up = Budget(THIS_MINUTE, THIS_HOUR, sent=5, sent_in_hour=10, turned_away=5)

    _, drawn = draw(used_up, LIMITS, Urgency.NOTICE, 1, NOW)
    _, far_behind = draw(replace(used_up, turned_away=12), LIMITS, Urgency.NOTICE, 1, NOW)

    assert drawn == Drawn(0, THIS_HOUR + HOUR + MINUTE)
    assert far_behind == Drawn(0, THIS_HOUR + 2 * HOUR)


def test_only_the_hour_can_have_a_limit() -> None:
    """The turn is then the beginning of the hour."""
    used_up = Budget(THIS_MINUTE, THIS_HOUR, sent=10, sent_in_hour=10)

    assert draw(used_up, Limits(per_hour=10), Urgency.NOTICE, 1, NOW)[1] == Drawn(0, THIS_HOUR + HOUR)
    assert draw(None, Limits(per_hour=10), Urgency.NOTICE, 4, NOW)[1] == Drawn(4)


def test_each_minute_and_each_hour_begins_with_no_permits_drawn() -> None:
    """A minute's count ends with the minute, and the hour's count goes on."""
    used_up = Budget(THIS_MINUTE, THIS_HOUR, sent=5, sent_in_hour=9, turned_away=3)

    next_minute, drawn = draw(used_up, LIMITS, Urgency.NOTICE, 2, NOW + MINUTE)
    next_hour, all_of_it = draw(used_up, LIMITS, Urgency.NOTICE, 2, NOW + HOUR)

    assert (drawn.permits, next_minute.sent, next_minute.sent_in_hour, next_minute.turned_away) == (1, 1, 10, 1)
    assert (all_of_it, next_hour.sent_in_hour) == (Drawn(2), 2)


@pytest.mark.parametrize(("urgency", "permits"), [(Urgency.NOTICE, 10), (Urgency.REMINDER, 8), (Urgency.OTHER, 6)])
def test_less_urgent_mails_leave_permits_for_more_urgent_mails(urgency: Urgency, permits: int) -> None:
    """Notices can use the whole window, reminders most of it, and other mails a little more than half."""
    assert draw(None, Limits(per_minute=10), urgency, 20, NOW)[1].permits == permits


def test_a_limit_of_one_counts_for_every_kind() -> None:
    """Even with the smallest budget each mail gets its turn."""
    assert draw(None, Limits(per_minute=1, per_hour=1), Urgency.OTHER, 1, NOW)[1] == Drawn(1)


def test_no_permit_is_given_before_a_pause_ends() -> None:
    """Senders who ask during the pause get a turn after its end, and get their permits then."""
    until = NOW + timedelta(minutes=3)
    budget = paused(None, until, NOW)

    budget, drawn = draw(budget, LIMITS, Urgency.NOTICE, 6, NOW)
    _, behind = draw(budget, LIMITS, Urgency.NOTICE, 1, NOW)

    assert drawn == Drawn(0, until)
    assert behind == Drawn(0, until + MINUTE)
    assert draw(budget, LIMITS, Urgency.NOTICE, 1, until)[1] == Drawn(1)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Two instances can receive different times from the mail service."""
    long = paused(None, NOW + HOUR, NOW)

    assert paused(long, NOW + MINUTE, NOW).not_before == NOW + HOUR
    assert paused(long, NOW + 2 * HOUR, NOW).not_before == NOW + 2 * HOUR


@given(
    per_minute=st.integers(1, 40),
    per_hour=st.integers(1, 120),
    mails=st.lists(
        st.tuples(st.integers(0, 900), st.integers(1, 15), st.sampled_from(list(Urgency))),
        max_size=60,
    ),
)
def test_no_window_gives_more_permits_than_its_limit(
    per_minute: int, per_hour: int, mails: list[tuple[int, int, Urgency]]
) -> None:
    """The test draws in random order. A refused sender always gets a later time."""
    limits, budget, now = Limits(per_minute, per_hour), None, NOW
    in_minutes: dict[datetime, int] = {}
    in_hours: dict[datetime, int] = {}
    for seconds, wanted, urgency in mails:
        now += timedelta(seconds=seconds)
        budget, drawn = draw(budget, limits, urgency, wanted, now)
        in_minutes[budget.minute] = in_minutes.get(budget.minute, 0) + drawn.permits
        in_hours[budget.hour] = in_hours.get(budget.hour, 0) + drawn.permits

        assert drawn.permits <= MOST_AT_ONCE
        assert (drawn.next_turn is None) == (drawn.permits >= wanted)
        assert drawn.next_turn is None or drawn.next_turn > now

    assert max(in_minutes.values(), default=0) <= per_minute
    assert max(in_hours.values(), default=0) <= per_hour
