"""Advice that a partner could give the customer, from figures alone."""

from collections.abc import Sequence

import pytest

from cpor_core.rules.usage_advice import AdviceCode, advice
from cpor_core.rules.usage_figures import UsageRow


def row(
    month: int, active: int | None = None, bought: int | None = None, assigned: int | None = None, item: str = "teams"
) -> UsageRow:
    """Return the figures of a month."""
    return UsageRow(
        month=f"2026-{month:02d}",
        item=item,
        active_users=active,
        available_seats=bought,
        assigned_seats=assigned,
        active_share=None,
        high_water_mark=None,
    )


def codes_of(*rows: UsageRow) -> list[AdviceCode]:
    """Return the advice."""
    return [one.code for one in advice(rows)]


@pytest.mark.parametrize(
    ("bought", "assigned", "advised"),
    [(50, 40, True), (50, 45, True), (50, 46, False), (50, 50, False), (50, 60, False), (1, 0, True), (0, 0, False)],
)
def test_seats_without_an_assignment(bought: int, assigned: int, advised: bool) -> None:  # noqa: FBT001 - a fact of the case
    """The advice begins at a tenth of the bought seats."""
    assert codes_of(row(11, None, bought, assigned)) == [AdviceCode.SEATS_NOT_ASSIGNED] * advised


@pytest.mark.parametrize(
    ("assigned", "active", "advised"),
    [(50, 40, True), (50, 41, False), (50, 0, True), (50, 60, False), (0, 0, False)],
)
def test_seats_without_use(assigned: int, active: int, advised: bool) -> None:  # noqa: FBT001 - a fact of the case
    """The advice begins at a fifth of the assigned seats."""
    assert codes_of(row(11, active, None, assigned)) == [AdviceCode.SEATS_NOT_USED] * advised


@pytest.mark.parametrize(
    ("active", "advised"),
    [
        ([40, 36], True),
        ([40, 37], False),
        ([40, 40, 36], True),
        ([40, 30, 31], False),
        ([90, 40, 39, 36], True),
        ([30, 40, 38, 36], True),
        ([40, 38, 37], False),
        ([40], False),
        ([0, 0, 0], False),
        ([40, 40, 40], False),
        ([1, 0], True),
        ([], False),
        ([40, None, 30, None], True),
        ([None, None], False),
    ],
)
def test_falling_use(active: Sequence[int | None], advised: bool) -> None:  # noqa: FBT001 - a fact of the case
    """Over the last three months with figures the use never rises, and it ends a tenth or more below its beginning."""
    rows = [row(month, count) for month, count in enumerate(active, start=1)]

    assert codes_of(*rows) == [AdviceCode.USE_FALLING] * advised


def test_advice_uses_the_newest_month_with_figures() -> None:
    """Each advice has its figures. A month without figures is skipped."""
    rows = [row(9, 60, 50, 10), row(10, 40, 50, 45), row(11, None, 50, None), row(12, 35)]

    found = advice(rows)

    assert [(one.code, [shown.month for shown in one.figures]) for one in found] == [
        (AdviceCode.SEATS_NOT_ASSIGNED, ["2026-10"]),
        (AdviceCode.USE_FALLING, ["2026-09", "2026-10", "2026-12"]),
    ]
    assert found[0].message == "5 of 50 seats of teams are assigned to nobody."
    assert found[1].message == "Active users of teams fell from 60 in 2026-09 to 35 in 2026-12."


def test_each_item_gets_its_own_advice() -> None:
    """The rows of the items are mixed."""
    rows = [row(11, 10, 10, 10, "exchange"), row(11, 5, 10, 10), row(12, 9, 10, 10, "exchange"), row(12, 9, 10, 5)]

    assert [(one.code, one.figures[0].item) for one in advice(rows)] == [
        (AdviceCode.USE_FALLING, "exchange"),
        (AdviceCode.SEATS_NOT_ASSIGNED, "teams"),
    ]


def test_without_figures_there_is_no_advice() -> None:
    """The association can be new."""
    assert advice([]) == []
