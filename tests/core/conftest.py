"""What the tests of the core share."""

import pytest

from tests.core.memory_core import Core


@pytest.fixture
async def core() -> Core:
    """The service without its edge, with three partners and a French customer registered, on a Monday morning."""
    made = Core()
    await made.register()
    return made
