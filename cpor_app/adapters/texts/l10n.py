"""Writes dates, times and lists in the reader's language and time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from babel import Locale


@dataclass(frozen=True, slots=True)
class LocalFormat:
    """The forms of one language, for a reader in one time zone (a name in the tz database)."""

    locale: "Locale"
    time_zone: str

    def day(self, day: date) -> str:
        """Return a day in full, with its weekday. For an instant it is the day in the reader's time zone."""
        from babel.dates import format_date

        local = day.astimezone(ZoneInfo(self.time_zone)) if isinstance(day, datetime) else day
        return format_date(local, "full", self.locale)

    def moment(self, at: datetime) -> str:
        """Return an instant to the minute, in the reader's time zone. Each text names the zone once, with `zone`."""
        from babel.dates import format_date, format_time, get_datetime_format

        local = at.astimezone(ZoneInfo(self.time_zone))
        pattern = str(get_datetime_format("long", locale=self.locale)).replace("'", "")
        time = format_time(local.timetz(), "short", tzinfo=local.tzinfo, locale=self.locale)
        return pattern.replace("{0}", time).replace("{1}", format_date(local, "long", self.locale))

    def months(self, months: Sequence[str]) -> str:
        """Return months (`YYYY-MM`) as a list in words. Consecutive months become one range."""
        from babel.dates import format_date

        runs: list[tuple[date, date]] = []
        for month in (date.fromisoformat(f"{text}-01") for text in sorted(set(months))):
            if runs and _follows(month, runs[-1][1]):
                runs[-1] = (runs[-1][0], month)
            else:
                runs.append((month, month))
        words = [[format_date(month, "LLLL y", self.locale) for month in run] for run in runs]
        return self.listed([first if first == last else f"{first} – {last}" for first, last in words])

    def listed(self, names: Sequence[str]) -> str:
        """Return names as a list for a sentence: `a, b and c`."""
        from babel.lists import format_list

        return format_list(list(names), locale=self.locale)

    def number(self, number: int) -> str:
        """Return a whole number. The language decides how its digits are grouped."""
        from babel.numbers import format_decimal

        return format_decimal(number, locale=self.locale)

    def zone(self) -> str:
        """Return the time zone in words, and its name in the tz database, because words alone can be ambiguous."""
        from babel.dates import get_timezone_name

        if "/" not in self.time_zone or self.time_zone.startswith("Etc/"):
            return self.time_zone
        zone = ZoneInfo(self.time_zone)
        words = get_timezone_name(zone, "long", locale=self.locale, zone_variant="generic")
        return f"{words}, {self.time_zone}"


def _follows(month: date, before: date) -> bool:
    return month.year * 12 + month.month == before.year * 12 + before.month + 1
