"""How many claims wait for a reviewer past their day: told to the operator, decided by nobody."""

from datetime import timedelta

import pytest

from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import reviews
from tests.core.builders import TEAMS, USAGE
from tests.core.memory_core import Core

LONG = timedelta(days=30)


async def test_nothing_waits_in_an_empty_store(core: Core) -> None:
    """And that is seen with one request."""
    assert await reviews.overdue(core.ports, await core.now()) == 0


@pytest.mark.parametrize(("days", "count"), [(0, 0), (30, 1)])
async def test_a_claim_is_overdue_once_its_day_is_over(core: Core, days: int, count: int) -> None:
    """Not while its reviewer has time."""
    await core.submitted(engagement=USAGE, items=(TEAMS,))
    core.clock.advance(timedelta(days=days))

    assert await reviews.overdue(core.ports, await core.now()) == count


async def test_a_claim_that_was_decided_is_not_overdue(core: Core) -> None:
    """Though its old place in the list is still there."""
    case = await core.submitted(engagement=USAGE, items=(TEAMS,))
    started = await reviews.start(core.ports, case, await core.now(), NO_CONTEXT)
    await reviews.approve(core.ports, started, await core.now(), NO_CONTEXT)
    core.clock.advance(LONG)

    assert await reviews.overdue(core.ports, await core.now()) == 0
