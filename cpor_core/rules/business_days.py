"""
Business days of a place, and deadlines that are counted in business days (decisions 16 to 19).

Only this module computes with local time. All other code compares instants.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import SkippedDay
from cpor_core.model.registry import Customer, Partner
from cpor_core.rules.days_off_by_law import counted_in

if TYPE_CHECKING:
    from holidays import HolidayBase

REMINDER_LOCAL_TIME: Final = time(9)
WEEKEND: Final = "weekend"
HOLIDAY: Final = "holiday"

_ONE_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NORWEGIAN: Final = {"nb": "no", "nn": "no"}
"""Norwegian has two written forms. The holiday data has one language for both forms."""


ClosedDays: TypeAlias = Mapping[str, Mapping[date, str]]
"""The closed days that the operator has registered. The keys are a place (`FR`, `GB-SCT`) and then a date."""


class Calendar(Value):
    """
    A place with its weekends, public holidays and other days off by law, and with its time zone.

    If there is no country, or no holiday data for the country, only Saturdays and Sundays are days off. `closed` has
    the names of the closed days that the operator has registered for the place.
    """

    country: str | None
    subdivision: str | None = None
    time_zone: str
    closed: Mapping[date, str] = Field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The country and the subdivision, such as `FR` or `GB-SCT`. None if there is no holiday data."""
        return "-".join(filter(None, self._known_place())) or None

    def day_off(self, day: date, language: str = "en") -> SkippedDay | None:
        """
        Return why *day* does not count. None for a business day.

        If a holiday or closed day is on a weekend, the name of the holiday or closed day is returned. Half days are
        business days. Weekend days are never business days, even if a country declares one a working day.
        """
        off = self._by_the_calendar(day, language)
        if day in self.closed and (off is None or off.kind == WEEKEND):
            return SkippedDay(date=day, name=self.closed[day], kind=HOLIDAY)
        return off

    def _by_the_calendar(self, day: date, language: str) -> SkippedDay | None:
        country, subdivision = self._known_place()
        if country is None:
            return _on_weekend(day) if day.weekday() >= _SATURDAY else None
        return _days_off(country, subdivision, day.year, _language_of_names(country, language)).get(day)

    def has(self, day: date) -> bool:
        """Whether *day* exists in the place. A place that crosses the date line skips one (Samoa: 30 December 2011)."""
        return first_instant(day, self.time_zone) < first_instant(day + _ONE_DAY, self.time_zone)

    def is_business_day(self, day: date) -> bool:
        """Whether *day* counts as a business day."""
        return self.day_off(day) is None and self.has(day)

    def _known_place(self) -> tuple[str | None, str | None]:
        # If a later release of the holiday data does not have a registered subdivision, only the country is used.
        subdivisions = _subdivisions(self.country) if self.country is not None else None
        if subdivisions is None:
            return None, None
        return self.country, self.subdivision if self.subdivision in subdivisions else None


def calendar_of(place: Customer | Partner, closed: ClosedDays) -> Calendar:
    """Return the calendar of a registered partner or customer, with the closed days of country and subdivision."""
    return Calendar(
        country=place.country,
        subdivision=place.subdivision,
        time_zone=place.time_zone,
        closed=closed_in(closed, place.country, place.subdivision),
    )


def closed_in(closed: ClosedDays, country: str | None, subdivision: str | None = None) -> Mapping[date, str]:
    """Return the closed days of a country and, if *subdivision* is set, of this subdivision too."""
    return {**closed.get(f"{country}", {}), **closed.get(f"{country}-{subdivision}", {})}


class Deadline(Value):
    """
    The end of a number of business days. A stored deadline never changes.

    An act before `ends_at` is in time. An act at `ends_at` is too late.
    """

    last_day: date
    ends_at: Instant
    time_zone: str
    calendar: str | None
    skipped_days: tuple[SkippedDay, ...]


def count_business_days(day_zero: date, days: int, calendar: Calendar, language: str = "en") -> Deadline:
    """
    Return the deadline after *days* business days. The first one is the next business day after *day_zero*.

    The deadline is the end of the last day, as in Regulation (EEC, Euratom) 1182/71. `skipped_days` are the days until
    then that do not count. The names of holidays are in *language* if the holiday data has this language, otherwise in
    English. The names of weekend days are always in English.
    """
    if days < 1:
        raise ValueError(f"a deadline needs at least one business day, not {days}")
    skipped: list[SkippedDay] = []
    day = day_zero
    while days:
        day += _ONE_DAY
        if not calendar.has(day):
            continue
        day_off = calendar.day_off(day, language)
        if day_off is None:
            days -= 1
        else:
            skipped.append(day_off)
    return Deadline(
        last_day=day,
        ends_at=first_instant(day + _ONE_DAY, calendar.time_zone),
        time_zone=calendar.time_zone,
        calendar=calendar.label,
        skipped_days=tuple(skipped),
    )


def previous_business_day(day: date, calendar: Calendar) -> date:
    """Return the last business day before *day*."""
    day -= _ONE_DAY
    while not calendar.is_business_day(day):
        day -= _ONE_DAY
    return day


def reminder_at(last_day: date, calendar: Calendar) -> datetime:
    """Return when to send a reminder: at 09:00 local on the business day before *last_day* (decision 19)."""
    day = previous_business_day(last_day, calendar)
    return datetime.combine(day, REMINDER_LOCAL_TIME, ZoneInfo(calendar.time_zone)).astimezone(UTC)


def local_date(instant: datetime, time_zone: str) -> date:
    """Return the local date in *time_zone* at *instant*."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


@lru_cache(maxsize=4096)
def first_instant(day: date, time_zone: str) -> datetime:
    """
    Return the first instant of *day* in *time_zone*, in UTC.

    This is usually midnight. If the clocks skip midnight, the day begins at the change of the clocks. If midnight comes
    twice, the day begins at the first midnight. If the whole day is skipped, the first instant of the next day is
    returned.
    """
    midnight = datetime.combine(day, time.min, ZoneInfo(time_zone))
    earliest, latest = sorted(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    seconds = range(int((latest - earliest).total_seconds()))
    until_then = bisect_left(
        seconds, x=True, key=lambda second: local_date(earliest + timedelta(seconds=second), time_zone) >= day
    )
    return earliest + timedelta(seconds=until_then)


def verify_country(country: str, subdivision: str | None = None) -> None:
    """Raise ValueError unless *country* is in ISO 3166-1 alpha-2 and its holiday data has *subdivision*."""
    subdivisions = _subdivisions(country)
    if subdivisions is None and country not in _iso_countries():
        raise ValueError(f"{country!r} is not a country of ISO 3166-1 alpha-2, such as FR or GB")
    if subdivision is None or subdivision in (subdivisions or ()):
        return
    if not subdivisions:
        raise ValueError(f"{country} has no subdivisions with different holidays: leave the subdivision out")
    short = subdivision.removeprefix(f"{country}-")
    if short in subdivisions:
        raise ValueError(f"a subdivision is written without its country: {short}")
    raise ValueError(f"{subdivision!r} is not a subdivision of {country}; known are {', '.join(subdivisions)}")


def _on_weekend(day: date) -> SkippedDay:
    return SkippedDay(date=day, name=_WEEKDAYS[day.weekday()], kind=WEEKEND)


@lru_cache(maxsize=1024)
def _days_off(country: str, subdivision: str | None, year: int, language: str) -> Mapping[date, SkippedDay]:
    holidays = _holidays(country, subdivision, year, language)
    january_1 = date(year, 1, 1)
    days = (january_1 + timedelta(days=n) for n in range((date(year, 12, 31) - january_1).days + 1))
    off = {day: _on_weekend(day) for day in days if holidays.is_weekend(day)}
    named = {**dict(_off_by_law(country, subdivision, year, language)), **holidays}
    off |= {day: SkippedDay(date=day, name=name, kind=HOLIDAY) for day, name in named.items()}
    return MappingProxyType(off)


def _off_by_law(country: str, subdivision: str | None, year: int, language: str) -> Iterator[tuple[date, str]]:
    """Yield the date and name of each day that is no public holiday, but on which no statutory time limit ends."""
    for rule in counted_in(country, subdivision):
        if rule.category is not None:
            english = _holidays(country, subdivision, year, _language_of_names(country, "en"), rule.category)
            for day, name in _holidays(country, subdivision, year, language, rule.category).items():
                if rule.only is None or rule.only & set(english[day].split("; ")):
                    yield day, name
        for (month, number), name in rule.dates.items():
            yield date(year, month, number), name


def _holidays(
    country: str, subdivision: str | None, year: int | None, language: str, category: str = "public"
) -> "HolidayBase":
    from holidays import country_holidays  # imported here, because the import is slow and few requests need it

    return country_holidays(country, subdiv=subdivision, years=year, categories=category, language=language)


@lru_cache(maxsize=1024)
def _language_of_names(country: str, language: str) -> str:
    """Return the code of *language* in the holiday data of *country*. If the data has no such language, use English."""
    # The language is always explicit. Without it the library uses the language of the machine.
    known = _holidays(country, None, None, "en").supported_languages
    language_and_region = language.replace("-", "_").partition("_")
    wanted = language_and_region[0].lower() + "".join(language_and_region[1:])
    primary = _NORWEGIAN.get(wanted.partition("_")[0], wanted.partition("_")[0])
    for spoken in (primary, "en"):
        same = [name for name in known if name.partition("_")[0] == spoken]
        for name in (wanted, spoken, f"{spoken}_{country}", *same):
            if name in same:
                return name
    return "en"


@lru_cache(maxsize=1024)
def _subdivisions(country: str) -> tuple[str, ...] | None:
    from holidays import list_supported_countries  # imported here, because the import is slow

    listed = list_supported_countries(include_aliases=False).get(country)
    return tuple(listed) if listed is not None else None


@cache
def _iso_countries() -> frozenset[str]:
    lines = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8").splitlines()
    return frozenset(line.partition("\t")[0] for line in lines if not line.startswith("#"))
