"""How many claims wait for a reviewer past their day: told to the operator, decided by nobody."""

from datetime import timedelta

import pytest

from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import reviews
from tests.core.builders import TEAMS, USAGE
from tests.core.world import World

LONG = timedelta(days=30)


async def test_nothing_waits_in_an_empty_store(world: World) -> None:
    """And that is seen with one request."""
    assert await reviews.overdue(world.ports, await world.now()) == 0


@pytest.mark.parametrize(("days", "count"), [(0, 0), (30, 1)])
async def test_a_claim_is_overdue_once_its_day_is_over(world: World, days: int, count: int) -> None:
    """Not while its reviewer has time."""
    await world.submitted(engagement=USAGE, items=(TEAMS,))
    world.clock.advance(timedelta(days=days))

    assert await reviews.overdue(world.ports, await world.now()) == count


async def test_a_claim_that_was_decided_is_not_overdue(world: World) -> None:
    """Though its old place in the list is still there."""
    case = await world.submitted(engagement=USAGE, items=(TEAMS,))
    started = await reviews.start(world.ports, case, await world.now(), NO_CONTEXT)
    await reviews.approve(world.ports, started, await world.now(), NO_CONTEXT)
    world.clock.advance(LONG)

    assert await reviews.overdue(world.ports, await world.now()) == 0
