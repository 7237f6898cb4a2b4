"""Fixtures of the core's tests."""

import pytest

from tests.core.memory_core import Core


@pytest.fixture
async def core() -> Core:
    """The service without HTTP, with three partners and a French customer, on a Monday morning."""
    made = Core()
    await made.register()
    return made
