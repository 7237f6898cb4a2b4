"""Makes advice for a customer from the figures of an association."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

from cpor_core.model.base import Value
from cpor_core.rules.usage_figures import UsageRow

SPARE_SHARE = 0.1
"""From this share of free seats on there is advice. A smaller share is normal, for new people."""
IDLE_SHARE = 0.2
"""From this share of unused seats on there is advice. A smaller share is normal: people are ill or on leave."""
TREND_MONTHS = 3
"""The newest months that make a trend. If there are only two months with figures, two are enough."""
FALL_SHARE = 0.1
"""A fall of less than a tenth is normal."""


class AdviceCode(StrEnum):
    """The kinds of advice."""

    SEATS_NOT_ASSIGNED = "SeatsNotAssigned"
    SEATS_NOT_USED = "SeatsNotUsed"
    USE_FALLING = "UseFalling"


class Advice(Value):
    """One piece of advice about one item. `figures` are the rows of `/usage` that led to it."""

    code: AdviceCode
    message: str
    figures: tuple[UsageRow, ...]


def advice(rows: Sequence[UsageRow]) -> Sequence[Advice]:
    """Return the advice for each item. *rows* are in the order of months, and the newest figures decide."""
    items = dict.fromkeys(row.item for row in rows)
    return [piece for item in items for piece in _about([row for row in rows if row.item == item])]


def _about(rows: Sequence[UsageRow]) -> Iterator[Advice]:
    yield from _not_assigned(rows)
    yield from _not_used(rows)
    yield from _falling(rows)


def _not_assigned(rows: Sequence[UsageRow]) -> Iterator[Advice]:
    for row in reversed(rows):
        bought, assigned = row.available_seats, row.assigned_seats
        if bought is None or assigned is None:
            continue
        spare = bought - assigned
        if spare > 0 and spare >= bought * SPARE_SHARE:
            yield Advice(
                code=AdviceCode.SEATS_NOT_ASSIGNED,
                message=f"{spare} of {bought} seats of {row.item} are assigned to nobody.",
                figures=(row,),
            )
        return


def _not_used(rows: Sequence[UsageRow]) -> Iterator[Advice]:
    for row in reversed(rows):
        assigned, active = row.assigned_seats, row.active_users
        if assigned is None or active is None:
            continue
        idle = assigned - active
        if idle > 0 and idle >= assigned * IDLE_SHARE:
            yield Advice(
                code=AdviceCode.SEATS_NOT_USED,
                message=f"{idle} of {assigned} assigned seats of {row.item} were not used in {row.active_days} days.",
                figures=(row,),
            )
        return


def _falling(rows: Sequence[UsageRow]) -> Iterator[Advice]:
    months = [row for row in rows if row.active_users is not None][-TREND_MONTHS:]
    active = [row.active_users or 0 for row in months]
    if not months or any(later > earlier for earlier, later in pairwise(active)):
        return
    first, last = active[0], active[-1]
    if last < first and first - last >= first * FALL_SHARE:
        since, until = months[0].month, months[-1].month
        yield Advice(
            code=AdviceCode.USE_FALLING,
            message=f"Active users of {months[0].item} fell from {first} in {since} to {last} in {until}.",
            figures=tuple(months),
        )
