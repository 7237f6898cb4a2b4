"""Business days: checked by hand for some dates, and against a second way of counting for all dates."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpor_core.model.claim import SkippedDay
from cpor_core.rules.business_days import (
    Calendar,
    Deadline,
    count_business_days,
    first_instant,
    local_date,
    previous_business_day,
    reminder_at,
    verify_country,
)
from cpor_core.rules.days_off_by_law import COUNTED, NOT_COUNTED
from cpor_core.rules.terms import NOTICE_WINDOW_BUSINESS_DAYS
from cpor_core.rules.time_zones import verify_time_zone
from tests.core import statutes
from tests.support.thorough import THOROUGH

ONE_DAY = timedelta(days=1)
SATURDAY_AND_SUNDAY = {5, 6}
ONE_MICROSECOND = timedelta(microseconds=1)

FRANCE = Calendar(country="FR", time_zone="Europe/Paris")
CZECHIA = Calendar(country="CZ", time_zone="Europe/Prague")
SCOTLAND = Calendar(country="GB", subdivision="SCT", time_zone="Europe/London")
ENGLAND = Calendar(country="GB", subdivision="ENG", time_zone="Europe/London")
NOWHERE = Calendar(country=None, time_zone="UTC")


def window(day_zero: date, calendar: Calendar, language: str = "en") -> Deadline:
    """Return the customer's window that opens on *day_zero*."""
    return count_business_days(day_zero, NOTICE_WINDOW_BUSINESS_DAYS, calendar, language)


def days_off(calendar: Calendar, year: int) -> list[SkippedDay]:
    """Return the days of *year* that are not business days."""
    days = (date(year, 1, 1) + timedelta(days=number) for number in range(366))
    return [off for day in days if day.year == year and (off := calendar.day_off(day)) is not None]


def skipped(deadline: Deadline) -> list[tuple[str, str, str]]:
    """Return the skipped days in a short form for comparisons."""
    return [(day.date.strftime("%d %b"), day.name, day.kind) for day in deadline.skipped_days]


# ---------------------------------------------------------------------------------------------- by hand


def test_five_business_days_without_a_holiday_skip_one_weekend() -> None:
    """The first business day is the day after day zero, and the window ends at the end of the fifth."""
    deadline = window(date(2026, 9, 9), FRANCE)

    assert deadline.last_day == date(2026, 9, 16)
    assert deadline.ends_at == datetime(2026, 9, 16, 22, tzinfo=UTC)
    assert deadline.time_zone == "Europe/Paris"
    assert deadline.calendar == "FR"
    assert skipped(deadline) == [("12 Sep", "Saturday", "weekend"), ("13 Sep", "Sunday", "weekend")]


def test_the_first_of_may_is_skipped_in_france_in_french() -> None:
    """A holiday next to a weekend makes three days off. The holiday has its name in the customer's language."""
    deadline = window(date(2026, 4, 27), FRANCE, "fr")

    assert deadline.last_day == date(2026, 5, 5)
    assert deadline.ends_at == datetime(2026, 5, 5, 22, tzinfo=UTC)
    assert skipped(deadline) == [
        ("01 May", "Fête du Travail", "holiday"),
        ("02 May", "Saturday", "weekend"),
        ("03 May", "Sunday", "weekend"),
    ]


def test_the_fourteenth_of_july_pushes_the_end_over_a_second_weekend() -> None:
    """The window lists both weekends and the holiday between them, in the order of the calendar."""
    deadline = window(date(2026, 7, 10), FRANCE, "fr-FR")

    assert deadline.last_day == date(2026, 7, 20)
    assert skipped(deadline) == [
        ("11 Jul", "Saturday", "weekend"),
        ("12 Jul", "Sunday", "weekend"),
        ("14 Jul", "Fête nationale", "holiday"),
        ("18 Jul", "Saturday", "weekend"),
        ("19 Jul", "Sunday", "weekend"),
    ]


def test_a_window_over_christmas_ends_with_the_year() -> None:
    """In Paris the window ends at the first instant of the new year. In UTC the old year has not ended then."""
    deadline = window(date(2026, 12, 23), FRANCE, "fr")

    assert deadline.last_day == date(2026, 12, 31)
    assert deadline.ends_at == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert skipped(deadline)[0] == ("25 Dec", "Noël", "holiday")


def test_a_window_reaches_into_the_next_year_and_its_holidays() -> None:
    """The holidays of both years count."""
    deadline = window(date(2026, 12, 24), FRANCE, "fr")

    assert deadline.last_day == date(2027, 1, 4)
    assert [name for _, name, kind in skipped(deadline) if kind == "holiday"] == ["Noël", "Jour de l'an"]


def test_the_second_of_january_is_a_holiday_in_scotland_only() -> None:
    """The same five days end one day later in Scotland than in England."""
    in_england = window(date(2024, 12, 30), ENGLAND)
    in_scotland = window(date(2024, 12, 30), SCOTLAND)

    assert (in_england.calendar, in_england.last_day) == ("GB-ENG", date(2025, 1, 7))
    assert (in_scotland.calendar, in_scotland.last_day) == ("GB-SCT", date(2025, 1, 8))
    assert {day.date for day in in_scotland.skipped_days} - {day.date for day in in_england.skipped_days} == {
        date(2025, 1, 2)
    }


def test_the_seventeenth_of_november_is_skipped_in_czechia_in_czech() -> None:
    """The day is a Tuesday."""
    struggle_for_freedom = "Den boje za svobodu a demokracii a Mezinárodní den studentstva"

    deadline = window(date(2026, 11, 12), CZECHIA, "cs")

    assert deadline.last_day == date(2026, 11, 20)
    assert deadline.ends_at == datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert skipped(deadline)[-1] == ("17 Nov", struggle_for_freedom, "holiday")


@pytest.mark.parametrize(
    ("country", "time_zone", "day_zero", "last_day", "days_off"),
    [
        ("SA", "Asia/Riyadh", date(2026, 1, 11), date(2026, 1, 18), ["Friday", "Saturday"]),
        ("IL", "Asia/Jerusalem", date(2026, 1, 11), date(2026, 1, 18), ["Friday", "Saturday"]),
        ("AE", "Asia/Dubai", date(2026, 1, 12), date(2026, 1, 19), ["Saturday", "Sunday"]),
        ("AE", "Asia/Dubai", date(2021, 1, 10), date(2021, 1, 17), ["Friday", "Saturday"]),
        ("BN", "Asia/Brunei", date(2026, 1, 5), date(2026, 1, 12), ["Friday", "Sunday"]),
        ("IR", "Asia/Tehran", date(2026, 1, 5), date(2026, 1, 11), ["Friday"]),
    ],
)
def test_a_country_has_its_own_weekend(
    country: str, time_zone: str, day_zero: date, last_day: date, days_off: list[str]
) -> None:
    """
    The weekend is Friday and Saturday in Saudi Arabia and Israel, Friday and Sunday in Brunei.

    The Emirates changed theirs in 2022.
    """
    deadline = window(day_zero, Calendar(country=country, time_zone=time_zone))

    assert deadline.last_day == last_day
    assert [name for _, name, kind in skipped(deadline) if kind == "weekend"] == days_off


def test_a_substitute_for_a_holiday_on_a_weekend_is_a_holiday() -> None:
    """Independence Day 2026 falls on a Saturday, and the Friday before it is a day off."""
    deadline = window(date(2026, 6, 30), Calendar(country="US", time_zone="America/New_York"))

    assert skipped(deadline)[:2] == [
        ("03 Jul", "Independence Day (observed)", "holiday"),
        ("04 Jul", "Independence Day", "holiday"),
    ]


def test_a_holiday_on_a_weekend_goes_by_its_own_name() -> None:
    """The second day of Christmas 2026 is a Saturday. The holiday's name says more than the name of the weekday."""
    deadline = window(date(2026, 12, 21), CZECHIA, "cs")

    assert ("26 Dec", "2. svátek vánoční", "holiday") in skipped(deadline)


def test_a_half_day_is_a_business_day() -> None:
    """Iceland works until one o'clock on Christmas Eve, and the day counts."""
    deadline = window(date(2026, 12, 23), Calendar(country="IS", time_zone="Atlantic/Reykjavik"))

    assert date(2026, 12, 24) not in {day.date for day in deadline.skipped_days}


def test_a_saturday_declared_a_working_day_still_does_not_count() -> None:
    """In Hungary Saturday 8 August 2026 replaces Friday 21 August. Neither of the two days is a business day."""
    hungary = Calendar(country="HU", time_zone="Europe/Budapest")

    before = window(date(2026, 8, 6), hungary)
    after = window(date(2026, 8, 17), hungary)

    assert ("08 Aug", "Saturday", "weekend") in skipped(before)
    assert ("20 Aug", "State Foundation Day", "holiday") in skipped(after)
    assert ("21 Aug", "Day off (substituted from 08/08/2026)", "holiday") in skipped(after)


@pytest.mark.parametrize("country", [None, "XX"])
def test_a_country_without_holiday_data_has_saturdays_and_sundays_off(country: str | None) -> None:
    """Christmas counts as a business day there, and the answer names no holiday calendar."""
    deadline = window(date(2026, 12, 23), Calendar(country=country, time_zone="UTC"))

    assert deadline.last_day == date(2026, 12, 30)
    assert deadline.calendar is None
    assert skipped(deadline) == [("26 Dec", "Saturday", "weekend"), ("27 Dec", "Sunday", "weekend")]


def test_a_subdivision_that_left_the_holiday_data_counts_as_its_country() -> None:
    """Business days can be counted for every place that was ever registered."""
    gone = Calendar(country="GB", subdivision="GONE", time_zone="Europe/London")

    assert gone.label == "GB"
    assert window(date(2024, 12, 30), gone).last_day == date(2025, 1, 7)


def test_day_zero_may_be_a_day_off() -> None:
    """A notice that is sent on a Sunday opens a window from Monday to Friday."""
    deadline = window(date(2026, 9, 13), FRANCE)

    assert deadline.last_day == date(2026, 9, 18)
    assert deadline.skipped_days == ()


def test_other_lengths_are_counted_the_same_way() -> None:
    """One business day after a Friday ends at the end of Monday."""
    assert count_business_days(date(2026, 9, 11), 1, FRANCE).last_day == date(2026, 9, 14)


def test_a_length_below_one_day_is_a_fault() -> None:
    """A length below one is a fault of the program and not an empty window."""
    with pytest.raises(ValueError, match="at least one business day, not 0"):
        count_business_days(date(2026, 9, 11), 0, FRANCE)


# -------------------------------------------------------------------------------------------- languages


@pytest.mark.parametrize(
    ("country", "language", "christmas"),
    [
        ("FR", "fr", "Noël"),
        ("FR", "cs", "Christmas Day"),
        ("FR", "en", "Christmas Day"),
        ("CZ", "sk-SK", "1. sviatok vianočný"),
        ("BR", "pt", "Natal"),
        ("BR", "pt-PT", "Natal"),
        ("NO", "nb-NO", "Første juledag"),
        ("GB", "en", "Christmas Day"),
        ("NZ", "en", "Christmas Day"),
        ("NZ", "mi", "Christmas Day"),
    ],
)
def test_a_holiday_is_named_in_the_customers_language_else_in_english(
    country: str, language: str, christmas: str
) -> None:
    """The holiday data does not have every language for each country. English is the fallback."""
    calendar = Calendar(country=country, time_zone="UTC")

    day_off = calendar.day_off(date(2026, 12, 25), language)

    assert day_off is not None
    assert day_off.name == christmas


def test_the_language_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a language the library would read the environment. We always give a language."""
    monkeypatch.setenv("LANGUAGE", "uk")

    day_off = Calendar(country="LU", time_zone="UTC").day_off(date(2026, 12, 25), "pt")

    assert day_off is not None
    assert day_off.name == "Christmas Day"


# ---------------------------------------------------------------------------------- where the day begins


@pytest.mark.parametrize(
    ("time_zone", "day", "begins"),
    [
        pytest.param("UTC", date(2026, 9, 17), "2026-09-17T00:00:00+00:00", id="midnight"),
        pytest.param("Europe/Paris", date(2026, 10, 26), "2026-10-26T00:00:00+01:00", id="after the clock went back"),
        pytest.param("Asia/Kathmandu", date(2026, 9, 17), "2026-09-17T00:00:00+05:45", id="odd offset"),
        pytest.param("Africa/Cairo", date(2023, 4, 28), "2023-04-28T01:00:00+03:00", id="Cairo leaps over midnight"),
        pytest.param("Asia/Beirut", date(2026, 3, 29), "2026-03-29T01:00:00+03:00", id="Beirut leaps over midnight"),
        pytest.param("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T01:00:00-02:00", id="Brazil leapt over it"),
        pytest.param("America/Havana", date(2026, 11, 1), "2026-11-01T00:00:00-04:00", id="midnight comes twice"),
        pytest.param("Pacific/Apia", date(2011, 12, 30), "2011-12-31T00:00:00+14:00", id="Samoa leapt over a day"),
    ],
)
def test_a_day_begins_with_its_first_instant(time_zone: str, day: date, begins: str) -> None:
    """A day begins at midnight. If the day has no midnight, it begins at its first instant."""
    instant = first_instant(day, time_zone)

    assert instant == datetime.fromisoformat(begins)
    assert instant.utcoffset() == timedelta(0)
    assert local_date(instant, time_zone) >= day
    assert local_date(instant - ONE_MICROSECOND, time_zone) < day


@settings(deadline=None)
@given(
    day=st.dates(date(2000, 1, 1), date(2037, 12, 31)),
    time_zone=st.timezone_keys(allow_prefix=False).filter(lambda key: key not in {"Factory", "localtime"}),
)
def test_a_day_has_come_at_its_first_instant_and_not_before(day: date, time_zone: str) -> None:
    """The test compares the instant itself and one microsecond before it, in every time zone."""
    instant = first_instant(day, time_zone)

    assert local_date(instant - ONE_MICROSECOND, time_zone) < day
    assert local_date(instant, time_zone) >= day
    assert local_date(instant + ONE_MICROSECOND, time_zone) >= day


def test_a_window_whose_end_has_no_midnight_ends_at_the_change_of_clocks() -> None:
    """In Cairo Friday 28 April 2023 began at one o'clock. The last day, Thursday, ended at that instant."""
    deadline = window(date(2023, 4, 20), Calendar(country=None, time_zone="Africa/Cairo"))

    assert deadline.last_day == date(2023, 4, 27)
    assert deadline.ends_at == datetime(2023, 4, 27, 22, tzinfo=UTC)
    assert local_date(deadline.ends_at - ONE_MICROSECOND, "Africa/Cairo") == deadline.last_day
    assert local_date(deadline.ends_at, "Africa/Cairo") == deadline.last_day + ONE_DAY


def test_a_window_over_the_change_of_clocks_keeps_the_local_date() -> None:
    """The end moves by an hour in UTC and stays the same in Paris."""
    before = window(date(2026, 10, 15), FRANCE)
    after = window(date(2026, 10, 22), FRANCE)

    assert before.ends_at == datetime(2026, 10, 22, 22, tzinfo=UTC)
    assert after.ends_at == datetime(2026, 10, 29, 23, tzinfo=UTC)


def test_a_day_that_does_not_exist_is_neither_counted_nor_listed() -> None:
    """Samoa skipped Friday 30 December 2011, which would have been a business day."""
    samoa = Calendar(country=None, time_zone="Pacific/Apia")

    deadline = window(date(2011, 12, 27), samoa)

    assert deadline.last_day == date(2012, 1, 4)
    assert [day.date for day in deadline.skipped_days] == [date(2011, 12, 31), date(2012, 1, 1)]
    assert previous_business_day(date(2012, 1, 2), samoa) == date(2011, 12, 29)


@pytest.mark.parametrize(
    ("instant", "time_zone", "expected"),
    [
        ("2026-09-16T21:59:59.999999+00:00", "Europe/Paris", date(2026, 9, 16)),
        ("2026-09-16T22:00:00+00:00", "Europe/Paris", date(2026, 9, 17)),
        ("2026-09-16T22:00:00+00:00", "America/New_York", date(2026, 9, 16)),
        ("2026-09-16T22:00:00+00:00", "Pacific/Kiritimati", date(2026, 9, 17)),
    ],
)
def test_the_local_date_is_that_of_the_zone(instant: str, time_zone: str, expected: date) -> None:
    """One instant has two dates on earth."""
    assert local_date(datetime.fromisoformat(instant), time_zone) == expected


# ---------------------------------------------------------------------------------------------- reminder


@pytest.mark.parametrize(
    ("last_day", "calendar", "reminds"),
    [
        pytest.param(date(2026, 9, 16), FRANCE, "2026-09-15T07:00:00+00:00", id="the day before"),
        pytest.param(date(2026, 9, 14), FRANCE, "2026-09-11T07:00:00+00:00", id="over a weekend"),
        pytest.param(date(2027, 1, 4), FRANCE, "2026-12-31T08:00:00+00:00", id="over new year, in winter"),
        pytest.param(date(2025, 1, 3), SCOTLAND, "2024-12-31T09:00:00+00:00", id="over two holidays"),
        pytest.param(
            date(2026, 1, 18),
            Calendar(country="SA", time_zone="Asia/Riyadh"),
            "2026-01-15T06:00:00+00:00",
            id="over a weekend of Friday and Saturday",
        ),
    ],
)
def test_the_reminder_comes_at_nine_on_the_business_day_before_the_last(
    last_day: date, calendar: Calendar, reminds: str
) -> None:
    """Nine o'clock is the customer's local time."""
    assert reminder_at(last_day, calendar) == datetime.fromisoformat(reminds)


# -------------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    ("country", "subdivision"), [("FR", None), ("GB", "SCT"), ("US", "NY"), ("AQ", None), ("UA", None), ("XK", None)]
)
def test_a_country_and_its_subdivision_are_accepted(country: str, subdivision: str | None) -> None:
    """Countries without holiday data are accepted, and so is Kosovo with the code that is used for it."""
    verify_country(country, subdivision)


@pytest.mark.parametrize(
    ("country", "subdivision", "says"),
    [
        ("ZZ", None, "'ZZ' is not a country"),
        ("UK", None, "'UK' is not a country"),
        ("FRA", None, "'FRA' is not a country"),
        ("fr", None, "'fr' is not a country"),
        ("", None, "'' is not a country"),
        ("GB", "XX", "'XX' is not a subdivision of GB; known are ENG, NIR, SCT, WLS"),
        ("GB", "GB-SCT", "without its country: SCT"),
        ("CZ", "10", "leave the subdivision out"),
    ],
)
def test_an_unknown_country_or_subdivision_is_refused_with_what_to_do(
    country: str, subdivision: str | None, says: str
) -> None:
    """Aliases of the holiday library, such as UK and FRA, are not ISO codes."""
    with pytest.raises(ValueError, match=says):
        verify_country(country, subdivision)


@pytest.mark.parametrize("time_zone", ["Europe/Paris", "America/Argentina/Buenos_Aires", "UTC", "Etc/GMT+12"])
def test_a_zone_of_the_database_is_accepted(time_zone: str) -> None:
    """Every name in the pinned database is accepted and can be loaded."""
    verify_time_zone(time_zone)

    assert ZoneInfo(time_zone).key == time_zone


@pytest.mark.parametrize("time_zone", ["Mars/Olympus", "europe/paris", "Europe", "../UTC", "localtime", "Factory", ""])
def test_an_unknown_zone_is_refused(time_zone: str) -> None:
    """A name that only a file on this machine would answer is no time zone."""
    with pytest.raises(ValueError, match="is not a time zone"):
        verify_time_zone(time_zone)


# -------------------------------------------------------------------------------------- days off by law


@pytest.mark.parametrize("country", statutes.WHOLE)
def test_the_days_off_are_those_of_the_law(country: str) -> None:
    """The test compares twelve years with the statutes, without weekends. No day is missing, and none is too many."""
    calendar = Calendar(country=country, time_zone="UTC")

    for year in range(2024, 2036):
        off = {day.date for day in days_off(calendar, year) if day.date.weekday() not in SATURDAY_AND_SUNDAY}

        assert off == {day for day in statutes.WHOLE[country](year) if day.weekday() not in SATURDAY_AND_SUNDAY}, year


@pytest.mark.parametrize(("country", "subdivision"), statutes.BESIDES)
def test_what_the_law_adds_to_public_holidays_is_off(country: str, subdivision: str | None) -> None:
    """
    Some countries' lists follow the moon or yearly orders.

    There the test compares only the days that the law adds.
    """
    calendar = Calendar(country=country, subdivision=subdivision, time_zone="UTC")

    for year in range(2024, 2036):
        assert statutes.BESIDES[country, subdivision](year) <= {day.date for day in days_off(calendar, year)}, year


@pytest.mark.parametrize(
    ("day_zero", "last_day", "eve", "name"),
    [
        pytest.param(date(2026, 6, 12), date(2026, 6, 22), date(2026, 6, 19), "Midsommarafton", id="Midsummer Eve"),
        pytest.param(date(2026, 12, 17), date(2026, 12, 28), date(2026, 12, 24), "Julafton", id="Christmas Eve"),
        pytest.param(date(2026, 12, 30), date(2027, 1, 11), date(2026, 12, 31), "Nyårsafton", id="New Year's Eve"),
    ],
)
def test_no_window_ends_on_one_of_swedens_three_eves(day_zero: date, last_day: date, eve: date, name: str) -> None:
    """SFS 1930:173 § 2. The customer reads the eve's name among the skipped days."""
    deadline = window(day_zero, Calendar(country="SE", time_zone="Europe/Stockholm"), "sv")

    assert deadline.last_day == last_day
    assert (f"{eve:%d %b}", name, "holiday") in skipped(deadline)


def test_a_day_off_of_one_state_counts_in_another() -> None:
    """
    Banks in New South Wales close on the first Monday of August, and its law counts that as a day off.

    The law of Victoria does not.
    """
    in_new_south_wales = Calendar(country="AU", subdivision="NSW", time_zone="Australia/Sydney")
    in_victoria = Calendar(country="AU", subdivision="VIC", time_zone="Australia/Melbourne")

    assert not in_new_south_wales.is_business_day(date(2026, 8, 3))
    assert in_victoria.is_business_day(date(2026, 8, 3))


@pytest.mark.parametrize(
    ("country", "day"),
    [
        pytest.param("AT", date(2026, 12, 31), id="Austria's banks close on New Year's Eve"),
        pytest.param("CH", date(2026, 12, 24), id="an eve off by custom in Zurich"),
        pytest.param("DK", date(2026, 5, 1), id="Denmark's Labour Day is a matter of contracts"),
        pytest.param("SE", date(2026, 4, 30), id="Sweden's banks close early on Walpurgis Night"),
        pytest.param("BE", date(2026, 5, 15), id="Belgium's banks close on the Friday after Ascension"),
        pytest.param("MO", date(2026, 12, 31), id="Macao's public offices close in the afternoon"),
    ],
)
def test_a_day_off_that_no_law_on_time_limits_names_is_a_business_day(country: str, day: date) -> None:
    """Examples are bank holidays, days off by custom, and days off for public servants."""
    assert Calendar(country=country, time_zone="UTC").is_business_day(day)


def test_each_category_of_each_country_was_compared_with_its_law() -> None:
    """If a release of the data brings a new category, this test fails until a person has read that country's law."""
    counted = {(rule.country, rule.category) for rule in COUNTED if rule.category is not None}
    left = {
        (country, category)
        for each in NOT_COUNTED
        for category in each.categories.split()
        for country in each.countries.split()
    }
    offered = {
        (country, category)
        for country in holidays.list_supported_countries(include_aliases=False)
        for category in getattr(holidays, country)().supported_categories
        if category != "public"
    }
    of_communities = {name for each in NOT_COUNTED if " " in each.categories for name in each.categories.split()}

    assert not counted & left
    assert offered <= counted | left
    assert {pair for pair in counted | left if pair[1] not in of_communities} <= offered


def test_the_names_by_which_days_are_chosen_are_those_of_the_data() -> None:
    """A day that a release renames would silently become a business day."""
    for rule in COUNTED:
        if rule.category is not None and rule.only is not None:
            data = getattr(holidays, rule.country)(years=range(2024, 2036), categories=rule.category, language="en_US")

            assert rule.only <= set(data.values())


# ------------------------------------------------------------------------------------------------ oracle A second way
# of counting that shares no code with the first. It counts backwards from the last day, without a loop over "days
# left". It takes weekends from the library's list of weekdays, public holidays from one object for all years, and other
# days off from the statutes.

ORACLE_FROM, ORACLE_TO = date(2026, 1, 1), date(2027, 12, 31)
ORACLE_MARGIN = timedelta(days=60)
FRIDAY_AND_SATURDAY = {4, 5}
WEEKEND_OF_ITS_OWN = {("MY", subdivision): FRIDAY_AND_SATURDAY for subdivision in ("02", "03", "11")}
"""Kedah, Kelantan and Terengganu rest on other days than the rest of Malaysia."""


@cache
def every_date() -> tuple[date, ...]:
    """Return all dates of the two years and of some weeks after them."""
    length = (ORACLE_TO + ORACLE_MARGIN - ORACLE_FROM).days
    return tuple(ORACLE_FROM + timedelta(days=n) for n in range(length + 1))


def counted_backwards(country: str, subdivision: str | None) -> dict[date, tuple[date, frozenset[date]]]:
    """Return for each start day the last of its five business days and the skipped dates."""
    table = getattr(holidays, country)(subdiv=subdivision, language="en")
    off = frozenset(table[ORACLE_FROM : ORACLE_TO + ORACLE_MARGIN])
    for year in (ORACLE_FROM.year, ORACLE_TO.year, ORACLE_TO.year + 1):
        if country in statutes.WHOLE:
            off |= statutes.WHOLE[country](year)
        for place in {(country, None), (country, subdivision)} & statutes.BESIDES.keys():
            off |= statutes.BESIDES[place](year)
    weekend = WEEKEND_OF_ITS_OWN.get((country, subdivision or ""), table.weekend)
    off |= {day for day in every_date() if day.weekday() in weekend}
    ahead: deque[date] = deque(maxlen=NOTICE_WINDOW_BUSINESS_DAYS)
    counted = {}
    for day in reversed(every_date()):
        if day <= ORACLE_TO:
            last = ahead[-1]
            between = {day + timedelta(days=n) for n in range(1, (last - day).days + 1)}
            counted[day] = (last, frozenset(between & off))
        if day not in off:
            ahead.appendleft(day)
    return counted


def places(country: str) -> Sequence[str | None]:
    """Return each whole country and every third of its subdivisions, or all subdivisions with THOROUGH=1."""
    subdivisions = holidays.list_supported_countries()[country]
    return (None, *subdivisions[:: 1 if THOROUGH else 3])


def is_counted(day_zero: date, days_off: frozenset[date]) -> bool:
    """
    Return whether the test counts from a start day.

    It counts from each day off between Monday and Friday, and from every fifth of the other days. A window has seven
    days or more, and therefore each date is in a counted window. THOROUGH=1 counts from each day.
    """
    return (
        THOROUGH or day_zero.toordinal() % 5 == 0 or any(day.weekday() not in SATURDAY_AND_SUNDAY for day in days_off)
    )


@pytest.mark.parametrize("country", holidays.list_supported_countries(include_aliases=False))
def test_both_ways_of_counting_agree_for_each_start_day(country: str) -> None:
    """The test counts for two years in every country of the holiday data, with subdivisions."""
    for subdivision in places(country):
        calendar = Calendar(country=country, subdivision=subdivision, time_zone="UTC")
        for day_zero, (last_day, days_off) in counted_backwards(country, subdivision).items():
            if not is_counted(day_zero, days_off):
                continue
            deadline = window(day_zero, calendar)

            assert deadline.last_day == last_day, (subdivision, day_zero)
            assert deadline.ends_at.isoformat() == f"{last_day + ONE_DAY}T00:00:00+00:00"
            assert [day.date for day in deadline.skipped_days] == sorted(days_off), (subdivision, day_zero)
            assert all(day.name for day in deadline.skipped_days)
