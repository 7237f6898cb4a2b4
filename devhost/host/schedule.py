"""
Timer schedules in UTC. A schedule has six fields, and the first field is the second.

If a schedule has a day and a weekday, the real host fires only when both match. `day_or=False` does the same here. This
host refuses the forms that only croniter knows.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from croniter import CroniterBadDateError, CroniterError, croniter

from devhost.host.cannot_start import CannotStart

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_WEEKDAYS = "sun|mon|tue|wed|thu|fri|sat"
_FIELDS = (r"\d+", r"\d+", r"\d+", r"\d+", rf"\d+|{_MONTHS}", rf"[0-6]|{_WEEKDAYS}")
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of a timer."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a schedule. Raises CannotStart if the real host would not take it, or if it never fires."""
        fields = text.split()
        if len(fields) != len(_FIELDS) or not all(map(_is_field, fields, _FIELDS)):
            raise CannotStart(f"schedule {text!r} does not have six plain fields: second minute hour day month weekday")
        schedule = cls(text)
        try:
            schedule.after(_SOME_DAY)
        except CroniterBadDateError as error:
            raise CannotStart(f"schedule {text!r} never fires") from error
        except CroniterError as error:
            raise CannotStart(f"schedule {text!r}: {error}") from error
        return schedule

    def after(self, instant: datetime) -> datetime:
        """Return the first time after *instant* at which the timer fires."""
        turns = croniter(self.text, instant.astimezone(UTC), second_at_beginning=True, day_or=False)
        return turns.get_next(datetime)


def _is_field(text: str, value: str) -> bool:
    part = rf"(?:\*|(?:{value})(?:-(?:{value}))?)(?:/[1-9]\d*)?"
    return re.fullmatch(rf"{part}(?:,{part})*", text, re.IGNORECASE) is not None
