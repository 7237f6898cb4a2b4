"""What every folder of tests may use: storage and mail that are real, local, and nobody else's."""

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from devhost.stack.issuer import LocalIssuer
from tests.support.azurite import Azurite, running_azurite
from tests.support.service import Service, running_service
from tests.support.smtp import SmtpServer, running_smtp_server
from tests.support.thorough import THOROUGH
from tools import swagger_ui

TESTS = Path(__file__).parent
SLOW_FOLDERS = {"browser", "budgets", "conformance", "devhost", "faults", "stack", "stories", "upgrade"}
"""All of their tests need storage, mail, a browser, another process, or minutes."""
STARTS_SOMETHING = {"azurite", "browser", "smtp_server"}
"""Fixtures that start storage, a browser or a mail server, by themselves or for other fixtures."""


hypothesis.settings.register_profile("a busy machine may be slow", deadline=None)
hypothesis.settings.load_profile("a busy machine may be slow")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers even on one core: most tests wait for storage."""
    return max(2, os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark what needs Chromium, so that `-m 'not browser'` leaves it out, and what is slow, which `make quick` leaves out.

    Slow is a test that uses a fixture of `STARTS_SOMETHING`, lies in one of `SLOW_FOLDERS` or is marked by hand. Every
    other test is refused a socket, so that nothing slow is left unmarked. The slow tests run first: no worker is left
    with a long one when the others have ended.
    """
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if "browser" in used:
            item.add_marker("browser")
        if used & STARTS_SOMETHING or _folder(item.path) in SLOW_FOLDERS:
            item.add_marker("slow")
        if item.get_closest_marker("slow") is None and not THOROUGH:
            item.add_marker("disable_socket")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the slow folders unread where nothing slow is wanted."""
    return True if config.option.markexpr == "not slow" and _folder(collection_path) in SLOW_FOLDERS else None


def _folder(path: Path) -> str:
    return path.relative_to(TESTS).parts[0] if path != TESTS and path.is_relative_to(TESTS) else ""


def pytest_collection_finish() -> None:
    """
    Put what is imported by now out of the collector's sight, and keep what a test makes young until that test ends.

    The collector then has little to look at after each test: a generation has 50,000 objects in place of 700, and the
    second generation is left to `nothing_is_left_open`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 1_000)


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """
    Find what a test has left open while it is still that test's turn, which fails by it.

    The warning comes when the thing is collected; without this that would be in the middle of some later test.
    """
    yield
    gc.collect(1)


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left_open_by_a_module() -> Iterator[None]:
    """Find the same of what several tests of a file have shared."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Azurite, one for each test process; `fresh_account()` gives a connection string that nobody has used."""
    with running_azurite() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _page_of_docs() -> None:
    """Put Swagger UI where the app serves it from, as `make test` does, whoever starts the tests."""
    if swagger_ui.PUBLISHED.is_dir():
        swagger_ui.copy()


@pytest.fixture
def storage_connection(azurite: Azurite) -> str:
    """The connection string of a storage account (tables, queues, blobs) that is empty and this test's own."""
    return azurite.fresh_account()


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    """A mail server that keeps what it is sent in `received`, and refuses, falls silent or goes down when told to."""
    with running_smtp_server() as server:
        yield server


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> LocalIssuer:
    """The sandbox's issuer of tokens, with a key of its own."""
    return LocalIssuer.open(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
async def service(storage_connection: str, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """The whole service over an empty storage account, with two partners and a French customer registered."""
    async with running_service(storage_connection, issuer) as running:
        await running.register()
        yield running
