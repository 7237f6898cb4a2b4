"""Requests to storage by endpoint and function: no more than decision 45 allows, and as many as the page says."""

from collections.abc import Sequence

import pytest

from devhost.stack.issuer import LocalIssuer
from tests.budgets import whole_life
from tests.budgets.counting import BEGIN, BEGIN_LIFE, BUDGETS, NOT_COUNTED, WHOLE_LIFE, Counted, counts, page, table
from tests.support.azurite import ROOT, Azurite
from tests.support.service import functions

pytestmark = pytest.mark.xdist_group("budgets")  # one process counts for all tests of this file
SPEED = ROOT / "docs" / "speed.md"
_counted: list[Counted] = []
_lived: list[whole_life.Step] = []


@pytest.fixture
async def counted(azurite: Azurite, issuer: LocalIssuer) -> Sequence[Counted]:
    """Every line of the table, counted once."""
    if not _counted:
        _counted.extend(await counts(azurite.fresh_account, issuer))
    return _counted


@pytest.fixture
async def lived(azurite: Azurite, issuer: LocalIssuer) -> Sequence[whole_life.Step]:
    """Every step of a whole life, counted once."""
    if not _lived:
        _lived.extend(await whole_life.counted(azurite.fresh_account, issuer))
    return _lived


async def test_no_function_makes_more_requests_than_it_may(counted: Sequence[Counted]) -> None:
    """The table, and of each line that is above its budget the requests it made."""
    print(f"\n{table(counted)}")

    above = [
        "\n    ".join((f"{line.function} ({line.what}): {line.requests} for {line.budget}", *line.sent))
        for line in counted
        if line.budget is not None and line.requests > line.budget
    ]

    assert not above, "\n".join(above)


async def test_every_budget_is_held_against_a_count(counted: Sequence[Counted]) -> None:
    """A line that was renamed would have no budget any more."""
    assert set(BUDGETS) <= {(line.function, line.what) for line in counted}


async def test_every_function_is_counted(counted: Sequence[Counted]) -> None:
    """A new endpoint, queue or timer joins with one line in a flow of counting.py."""
    assert {each.name for each in functions()} - {line.function for line in counted} <= NOT_COUNTED


async def test_lists_and_sweeps_ask_in_parallel(counted: Sequence[Counted]) -> None:
    """A page of ten claims costs the time of three requests, not of twenty-one."""
    at_once = {(line.function, line.what): line.at_once for line in counted}

    assert at_once["list_claims", "10 open claims"] == 10
    assert at_once["list_associations", "10 associations"] == 10
    assert at_once["finalise_uncontested", "nothing is due"] == 16


async def test_an_idempotency_key_costs_one_request(counted: Sequence[Counted]) -> None:
    """No more, for creations and for acts."""
    lines = {(line.function, line.what): line.requests for line in counted}
    keyed = [place for place in lines if place[1].endswith("with an idempotency key")]

    assert keyed
    for function, what in keyed:
        without = what.removesuffix("with an idempotency key").rstrip(", ")
        assert lines[function, what] <= lines[function, without] + 1


async def test_a_whole_life_makes_no_more_requests_than_it_may(lived: Sequence[whole_life.Step]) -> None:
    """Housekeeping has a budget too. The message of a failed test has every request."""
    found = whole_life.totals(lived)
    steps = "\n".join("\n    ".join((step.what, *step.sent)) for step in lived)

    assert all(found[name] <= most for name, most in WHOLE_LIFE.items()), f"{found}\n{steps}"


async def test_the_page_about_speed_has_these_numbers(
    counted: Sequence[Counted], lived: Sequence[whole_life.Step]
) -> None:
    """`python -m tests.budgets` writes them."""
    text = SPEED.read_text("utf-8")

    assert text == page(text, BEGIN, table(counted))
    assert text == page(text, BEGIN_LIFE, whole_life.table(lived))
