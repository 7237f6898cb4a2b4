"""Computes the figures of an association: its months, shares and high-water mark (decision 34)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim
from cpor_core.model.usage import Figure, MonthFigures, UsageLine

ACTIVE_DAYS = 30
"""`activeUsers` counts the users of the last 30 days, like Microsoft Graph."""


class UsageRow(Value):
    """
    The figures of one item in one month. `item` is the id of the workload or of the subscription.

    `activeShare` is the number of active users divided by the number of available seats, with four decimals. It is null
    without seats. `highWaterMark` is the highest `activeUsers` of the shown months until this month.
    """

    month: str
    item: str
    active_users: int | None
    active_days: int = ACTIVE_DAYS
    available_seats: int | None
    assigned_seats: int | None
    active_share: float | None
    high_water_mark: int | None


def month_of(instant: datetime) -> str:
    """Return the month of an instant, in UTC."""
    return f"{instant.astimezone(UTC):%Y-%m}"


def months_between(first: str, last: str) -> Iterator[str]:
    """Yield the months from *first* to *last*, both included."""
    year, month = int(first[:4]), int(first[5:])
    while (text := f"{year:04d}-{month:02d}") <= last:
        yield text
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)  # noqa: PLR2004 - months of a year


def shown_months(shown: Claim, first: str | None, last: str | None, now: datetime) -> tuple[str, str]:
    """Return the first and last shown month: at most from the month of `official_since` to the present month."""
    since = shown.official_since or now
    start = max(month_of(since), first) if first is not None else month_of(since)
    end = min(month_of(now), last) if last is not None else month_of(now)
    return start, end


def usage_rows(
    shown: Claim, figures: Mapping[tuple[str, str], MonthFigures], months: Sequence[str]
) -> Sequence[UsageRow]:
    """Return one row for each item that the association holds and each month with figures."""
    rows = []
    for item in shown.items:
        if not shown.holds(item.key):
            continue
        highest: int | None = None
        for month in months:
            found = figures.get((month, item.key))
            if found is None:
                continue
            active, available = _value(found.active_users), _value(found.available_seats)
            if active is not None:
                highest = max(active, highest or 0)
            rows.append(
                UsageRow(
                    month=month,
                    item=item.key,
                    active_users=active,
                    available_seats=available,
                    assigned_seats=_value(found.assigned_seats),
                    active_share=round(active / available, 4) if active is not None and available else None,
                    high_water_mark=highest,
                )
            )
    return sorted(rows, key=lambda row: (row.month, row.item))


def _value(figure: Figure | None) -> int | None:
    return figure.value if figure is not None else None


def merged(stored: MonthFigures | None, line: UsageLine, as_of: date) -> MonthFigures:
    """Return the stored figures with the figures of *line*. In each field, the figure with the newer day stays."""
    former = stored or MonthFigures()
    return MonthFigures(
        active_users=_newer(former.active_users, line.active_users, as_of),
        available_seats=_newer(former.available_seats, line.available_seats, as_of),
        assigned_seats=_newer(former.assigned_seats, line.assigned_seats, as_of),
    )


def _newer(stored: Figure | None, value: int | None, as_of: date) -> Figure | None:
    if value is None or (stored is not None and stored.as_of > as_of):
        return stored
    return Figure(value=value, as_of=as_of)
