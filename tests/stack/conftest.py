"""Stacks for tests: one to look at, and places for others."""

from collections.abc import Iterator

import pytest

from devhost.stack.tcp_ports import StackPorts
from tests.browser.conftest import browser as browser  # noqa: PLC0414 - a fixture for this folder too
from tests.stack.stack_process import MAKE_RUN, Place, RunningStack, running_stack


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Ports and a state directory that nothing else uses."""
    return Place(StackPorts.free(), tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """What `make run` gives, with a timer that never fires by itself; what goes wrong in it fails the last test."""
    with running_stack(Place(StackPorts.free(), tmp_path_factory.mktemp("state")), MAKE_RUN) as running:
        yield running
    assert not any(level in line for line in running.warned for level in ("WARNING", "ERROR", "Traceback"))
