"""The number of claims with an overdue review. The operator reads it, and the number decides nothing."""

from datetime import timedelta

import pytest

from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import reviews
from tests.core.builders import TEAMS, USAGE
from tests.core.memory_core import Core

LONG = timedelta(days=30)


async def test_an_empty_store_has_no_overdue_review(core: Core) -> None:
    """One request is enough to see it."""
    assert await reviews.overdue(core.ports, await core.now()) == 0


@pytest.mark.parametrize(("days", "count"), [(0, 0), (30, 1)])
async def test_a_claim_is_overdue_after_its_time_limit(core: Core, days: int, count: int) -> None:
    """Before that the reviewer has time."""
    await core.submitted(engagement=USAGE, items=(TEAMS,))
    core.clock.advance(timedelta(days=days))

    assert await reviews.overdue(core.ports, await core.now()) == count


async def test_a_claim_that_was_decided_is_not_overdue(core: Core) -> None:
    """Its former row in the list can still exist."""
    case = await core.submitted(engagement=USAGE, items=(TEAMS,))
    started = await reviews.start(core.ports, case, await core.now(), NO_CONTEXT)
    await reviews.approve(core.ports, started, await core.now(), NO_CONTEXT)
    core.clock.advance(LONG)

    assert await reviews.overdue(core.ports, await core.now()) == 0
