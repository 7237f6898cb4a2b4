"""The meaning of an association's figures."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from cpor_core.model.claim import EndedItem, Reason
from cpor_core.model.usage import Figure, MonthFigures, UsageLine
from cpor_core.rules.usage_figures import (
    ACTIVE_DAYS,
    merged,
    month_of,
    months_between,
    shown_months,
    usage_rows,
)
from tests.core.builders import DAY, ENDS_AT, EXCHANGE, SUBSCRIPTION, TEAMS, draft, official

TODAY, YESTERDAY = date(2026, 12, 2), date(2026, 12, 1)


def figures(active: int | None = None, available: int | None = None, assigned: int | None = None) -> MonthFigures:
    """Return the figures of a month, all with today's date."""
    values = {"active_users": active, "available_seats": available, "assigned_seats": assigned}
    return MonthFigures.model_validate(
        {name: Figure(value=value, as_of=TODAY) for name, value in values.items() if value is not None}
    )


def line(**given: Any) -> UsageLine:
    """Return a line of the feed."""
    return UsageLine.model_validate({"month": "2026-12", "item": "teams", **given})


def test_a_month_follows_utc() -> None:
    """The offset of the instant does not matter."""
    assert month_of(datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))) == "2026-11"
    assert month_of(datetime(2026, 12, 1, tzinfo=UTC)) == "2026-12"


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        ("2026-11", "2027-02", ["2026-11", "2026-12", "2027-01", "2027-02"]),
        ("2026-11", "2026-11", ["2026-11"]),
        ("2026-12", "2026-11", []),
    ],
)
def test_months_continue_over_the_year(first: str, last: str, months: list[str]) -> None:
    """Both ends are included."""
    assert list(months_between(first, last)) == months


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        (None, None, ("2026-11", "2027-01")),
        ("2026-01", "2028-01", ("2026-11", "2027-01")),
        ("2026-12", "2026-12", ("2026-12", "2026-12")),
        ("2026-01", "2026-02", ("2026-11", "2026-02")),
    ],
)
def test_a_partner_sees_months_from_the_associations_first_on(
    first: str | None, last: str | None, shown: tuple[str, str]
) -> None:
    """Earlier and future months are never shown. The query can only narrow the range."""
    assert shown_months(official(draft()).claim, first, last, datetime(2027, 1, 15, tzinfo=UTC)) == shown


def test_rows_are_those_of_the_associated_items_and_shown_months() -> None:
    """Other stored items and months are not shown."""
    claim = official(draft(items=(TEAMS, EXCHANGE))).claim
    kept = {
        ("2026-11", "teams"): figures(5, 10, 8),
        ("2026-11", "sharepoint"): figures(1, 1, 1),
        ("2026-10", "teams"): figures(9, 9, 9),
        ("2026-11", "exchange"): figures(2, 4, 4),
    }

    rows = usage_rows(claim, kept, ["2026-11", "2026-12"])

    assert [(row.month, row.item) for row in rows] == [("2026-11", "exchange"), ("2026-11", "teams")]
    assert rows[1].model_dump(mode="json", by_alias=True) == {
        "month": "2026-11",
        "item": "teams",
        "activeUsers": 5,
        "activeDays": ACTIVE_DAYS,
        "availableSeats": 10,
        "assignedSeats": 8,
        "activeShare": 0.5,
        "highWaterMark": 5,
    }


def test_an_item_that_was_taken_over_shows_no_figures() -> None:
    """The figures end with the item."""
    claim = official(draft(items=(TEAMS, EXCHANGE))).claim
    ended = EndedItem(key="exchange", at=ENDS_AT + DAY, reason=Reason.SUPERSEDED)
    claim = claim.model_copy(update={"ended_items": (ended,)})
    kept = {("2026-11", "exchange"): figures(1), ("2026-11", "teams"): figures(2)}

    assert [row.item for row in usage_rows(claim, kept, ["2026-11"])] == ["teams"]


def test_the_high_water_mark_is_the_highest_value_so_far() -> None:
    """Only shown months count. A month without active users keeps the mark."""
    kept = {
        (f"2026-{month:02d}", "teams"): figures(active)
        for month, active in ((7, None), (8, 3), (9, 7), (10, 5), (11, None), (12, 9))
    }
    months = [f"2026-{month:02d}" for month in range(7, 13)]

    rows = usage_rows(official(draft()).claim, kept, months)

    assert [row.high_water_mark for row in rows] == [None, 3, 7, 7, 7, 9]
    assert [row.high_water_mark for row in usage_rows(official(draft()).claim, kept, months[3:])] == [5, 5, 9]


def test_no_active_users_give_a_mark_of_zero() -> None:
    """Zero is a figure."""
    row = usage_rows(official(draft()).claim, {("2026-11", "teams"): figures(0, 10)}, ["2026-11"])[0]

    assert (row.high_water_mark, row.active_share) == (0, 0.0)


@pytest.mark.parametrize(
    ("active", "available", "share"),
    [(1, 3, 0.3333), (2, 3, 0.6667), (5, 4, 1.25), (5, 0, None), (5, None, None), (None, 5, None), (0, 5, 0.0)],
)
def test_the_active_share_has_four_decimals(active: int | None, available: int | None, share: float | None) -> None:
    """It is null without seats (decision 34)."""
    row = usage_rows(official(draft()).claim, {("2026-11", "teams"): figures(active, available)}, ["2026-11"])[0]

    assert row.active_share == share


# --- the feed ---------------------------------------------------------------------------------------------------------


def test_fields_are_merged_one_by_one() -> None:
    """A line without a field leaves that field unchanged."""
    kept = merged(None, line(active_users=5), TODAY)

    both = merged(kept, line(available_seats=10), YESTERDAY)

    assert both == MonthFigures(
        active_users=Figure(value=5, as_of=TODAY), available_seats=Figure(value=10, as_of=YESTERDAY)
    )


@pytest.mark.parametrize(("as_of", "value"), [(YESTERDAY, 5), (TODAY, 6), (date(2027, 1, 1), 6)])
def test_the_newer_day_wins(as_of: date, value: int) -> None:
    """An older feed that comes late changes nothing. A feed of the same day replaces the value."""
    kept = merged(None, line(active_users=5), TODAY)

    after = merged(kept, line(active_users=6), as_of)

    assert after.active_users == Figure(value=value, as_of=max(as_of, TODAY))


def test_the_same_line_twice_changes_nothing() -> None:
    """Loads are idempotent."""
    once = merged(None, line(active_users=5, available_seats=6, assigned_seats=7), TODAY)

    assert merged(once, line(active_users=5, available_seats=6, assigned_seats=7), TODAY) == once


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("teams", "teams"),
        (SUBSCRIPTION.upper(), SUBSCRIPTION),
        ({"workload": "teams"}, "teams"),
        ({"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION.upper()}, SUBSCRIPTION),
    ],
)
def test_a_line_names_its_item_by_key_or_like_a_claim(sent: object, key: str) -> None:
    """GUIDs in capitals are accepted and lowered here too."""
    assert line(item=sent).item == key


@pytest.mark.parametrize("sent", ["", "a b", "a|b", 7, None, {"workload": "teams", "product": "x"}, {}, "x" * 101])
def test_an_item_that_cannot_be_a_key_is_refused(sent: object) -> None:
    """The item becomes a part of a storage key."""
    with pytest.raises(ValidationError):
        line(item=sent)


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "", None])
def test_a_month_has_one_form(month: object) -> None:
    """Other forms are refused."""
    with pytest.raises(ValidationError):
        line(month=month)


def test_a_line_without_figures_is_empty() -> None:
    """Zero is a figure."""
    assert line().is_empty
    assert not line(active_users=0).is_empty
