"""What the tests of the core share."""

import pytest

from tests.core.world import World


@pytest.fixture
async def world() -> World:
    """The service in memory, with three partners and a French customer registered, on a Monday morning."""
    made = World()
    await made.register()
    return made
