"""What every folder of tests may use: storage and mail that are real, local, and nobody else's."""

import gc
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from devhost.stack.issuer import LocalIssuer
from tests.support.azurite import Azurite, running_azurite
from tests.support.service import Service, running_service
from tests.support.smtp import SmtpServer, running_smtp_server
from tools import swagger_ui


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers even on one core: most tests wait for storage."""
    return max(2, os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Chromium, so that `-m 'not browser'` leaves it out."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


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
