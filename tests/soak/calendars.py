"""
Business days once more, counted from the laws on public holidays and not from the library that the product asks.

Only for the countries of the customers whom the soak has.

| country | law |
|---|---|
| FR | Code du travail, L3133-1 |
| CZ | zákon č. 245/2000 Sb., §§ 1 and 2 |
| PT | Código do Trabalho, artigo 234.º |
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WINDOW_DAYS = 5

_FIXED = {
    "FR": {(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)},
    "CZ": {(1, 1), (5, 1), (5, 8), (7, 5), (7, 6), (9, 28), (10, 28), (11, 17), (12, 24), (12, 25), (12, 26)},
    "PT": {(1, 1), (4, 25), (5, 1), (6, 10), (8, 15), (10, 5), (11, 1), (12, 1), (12, 8), (12, 25)},
}
_FROM_EASTER_SUNDAY = {"FR": {1, 39, 50}, "CZ": {-2, 1}, "PT": {-2, 0, 60}}
"""Easter Monday, Ascension and Whit Monday; Good Friday and Easter Monday; Good Friday, Easter, Corpus Christi."""


def is_business_day(day: date, country: str) -> bool:
    """Whether *day* counts. Raises KeyError for a country that is not listed above."""
    from_easter = (day - easter_sunday(day.year)).days
    off = (day.month, day.day) in _FIXED[country] or from_easter in _FROM_EASTER_SUNDAY[country]
    return day.weekday() < 5 and not off


def window_ends(day_zero: date, country: str, time_zone: str) -> datetime:
    """Return the end of five business days after *day_zero*: the midnight that ends the last of them, in UTC."""
    day, left = day_zero, WINDOW_DAYS
    while left:
        day += timedelta(days=1)
        left -= is_business_day(day, country)
    return datetime.combine(day + timedelta(days=1), time.min, ZoneInfo(time_zone)).astimezone(UTC)


def easter_sunday(year: int) -> date:
    """Return Easter Sunday of the western churches (Meeus, Jones, Butcher)."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    month, day = divmod(epact + weekday - 7 * ((golden + 11 * epact + 22 * weekday) // 451) + 114, 31)
    return date(year, month, day + 1)
