"""
Days off by the laws of some countries, written from the laws and not from the holiday data.

Each function returns the days of a year on which no time limit ends, without weekends. The functions in `WHOLE` return
the complete list of the country. The functions in `BESIDES` return only the days that the law adds to the public
holidays. The lists are right from 2024 on.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final

ONE_DAY: Final = timedelta(days=1)
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


def easter(year: int) -> date:
    """Return Easter Sunday by the method of Meeus, Jones and Butcher."""
    century, of_century = divmod(year, 100)
    golden = year % 19
    skipped = (century - (century + 8) // 25 + 1) // 3
    moon = (19 * golden + century - century // 4 - skipped + 15) % 30
    sunday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - moon - of_century % 4) % 7
    back = (golden + 11 * moon + 22 * sunday) // 451
    month, day = divmod(moon + sunday - 7 * back + 114, 31)
    return date(year, month, day + 1)


def from_easter(year: int, *days: int) -> set[date]:
    """Return the days at these distances from Easter Sunday."""
    return {easter(year) + timedelta(days=number) for number in days}


def fixed(year: int, *days: tuple[int, int]) -> set[date]:
    """Return fixed days, each given as month and day."""
    return {date(year, month, day) for month, day in days}


def first(weekday: int, day: date) -> date:
    """Return the first such weekday on or after *day*."""
    return day + timedelta(days=(weekday - day.weekday()) % 7)


GOOD_FRIDAY, EASTER_MONDAY, ASCENSION, WHIT_MONDAY, CORPUS_CHRISTI = -2, 1, 39, 50, 60


def sweden(year: int) -> set[date]:
    """SFS 1989:253 lists the public holidays, SFS 1930:173 § 2 adds three eves."""
    midsummer_eve = first(SATURDAY, date(year, 6, 20)) - ONE_DAY
    return (
        fixed(year, (1, 1), (1, 6), (5, 1), (6, 6), (12, 24), (12, 25), (12, 26), (12, 31))
        | from_easter(year, GOOD_FRIDAY, EASTER_MONDAY, ASCENSION)
        | {midsummer_eve}
    )


def finland(year: int) -> set[date]:
    """Act 150/1930 § 5: holidays, 6 December, 1 May, Christmas Eve and Midsummer Eve."""
    midsummer_eve = first(SATURDAY, date(year, 6, 20)) - ONE_DAY
    return (
        fixed(year, (1, 1), (1, 6), (5, 1), (12, 6), (12, 24), (12, 25), (12, 26))
        | from_easter(year, GOOD_FRIDAY, EASTER_MONDAY, ASCENSION)
        | {midsummer_eve}
    )


def denmark(year: int) -> set[date]:
    """Forældelsesloven § 27: church holidays, Constitution Day, 24 and 31 December; no Great Prayer Day since 2024."""
    return fixed(year, (1, 1), (6, 5), (12, 24), (12, 25), (12, 26), (12, 31)) | from_easter(
        year, -3, GOOD_FRIDAY, EASTER_MONDAY, ASCENSION, WHIT_MONDAY
    )


def austria(year: int) -> set[date]:
    """Arbeitsruhegesetz § 7 lists the holidays, AVG § 33 (2) adds Good Friday and 24 December."""
    return fixed(
        year, (1, 1), (1, 6), (5, 1), (8, 15), (10, 26), (11, 1), (12, 8), (12, 24), (12, 25), (12, 26)
    ) | from_easter(year, GOOD_FRIDAY, EASTER_MONDAY, ASCENSION, WHIT_MONDAY, CORPUS_CHRISTI)


def netherlands(year: int) -> set[date]:
    """Algemene termijnenwet article 3. King's Day moves to the Saturday when it falls on a Sunday."""
    kings_day = date(year, 4, 27)
    return (
        fixed(year, (1, 1), (5, 5), (12, 25), (12, 26))
        | from_easter(year, GOOD_FRIDAY, EASTER_MONDAY, ASCENSION, WHIT_MONDAY)
        | {kings_day - ONE_DAY if kings_day.weekday() == SUNDAY else kings_day}
    )


def liechtenstein(year: int) -> set[date]:
    """The days that Liechtenstein has notified under the European Convention on the Calculation of Time-Limits."""
    many = (1, 1), (1, 2), (1, 6), (2, 2), (3, 19), (5, 1), (8, 15), (9, 8), (11, 1), (12, 8)
    christmas = (12, 24), (12, 25), (12, 26), (12, 31)
    return fixed(year, *many, *christmas) | from_easter(
        year, -47, GOOD_FRIDAY, EASTER_MONDAY, ASCENSION, WHIT_MONDAY, CORPUS_CHRISTI
    )


def japan_at_new_year(year: int) -> set[date]:
    """Code of Civil Procedure article 95 (3): 29 December to 3 January."""
    return fixed(year, (1, 1), (1, 2), (1, 3), (12, 29), (12, 30), (12, 31))


def new_south_wales(year: int) -> set[date]:
    """Banks and Bank Holidays Act: the first Monday of August."""
    return {first(MONDAY, date(year, 8, 1))}


def hong_kong(year: int) -> set[date]:
    """General Holidays Ordinance: Good Friday and the day after it, which the Employment Ordinance does not list."""
    return from_easter(year, GOOD_FRIDAY, GOOD_FRIDAY + 1)


def macao(year: int) -> set[date]:
    """Executive Order 60/2000: the days that the labour law does not list."""
    by_the_moon_and_the_sun = fixed(year, *BUDDHA_DRAGON_BOAT_SOLSTICE.get(year, ()))
    return (
        by_the_moon_and_the_sun
        | fixed(year, (10, 2), (11, 2), (12, 8), (12, 24), (12, 25))
        | from_easter(year, GOOD_FRIDAY, -1)
    )


BUDDHA_DRAGON_BOAT_SOLSTICE: Final[Mapping[int, tuple[tuple[int, int], ...]]] = {
    2026: ((5, 24), (6, 19), (12, 22)),
    2027: ((5, 13), (6, 9), (12, 22)),
    2028: ((5, 2), (5, 28), (12, 21)),
}
"""Days of Macao that go by the lunar calendar and the solstice, as almanacs have them."""


WHOLE: Final[Mapping[str, Callable[[int], set[date]]]] = {
    "AT": austria,
    "DK": denmark,
    "FI": finland,
    "LI": liechtenstein,
    "NL": netherlands,
    "SE": sweden,
}
BESIDES: Final[Mapping[tuple[str, str | None], Callable[[int], set[date]]]] = {
    ("AU", "NSW"): new_south_wales,
    ("HK", None): hong_kong,
    ("JP", None): japan_at_new_year,
    ("MO", None): macao,
}
