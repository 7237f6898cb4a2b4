"""What every folder of tests may use: storage and mail that are real, local, and nobody else's."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from devhost.issuer import LocalIssuer
from tests.support.azurite import Azurite, running_azurite
from tests.support.service import Service, running_service
from tests.support.smtp import SmtpServer, running_smtp_server


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers even on one core: most tests wait for storage."""
    return max(2, os.cpu_count() or 1)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Azurite, one for each test process; `fresh_account()` gives a connection string that nobody has used."""
    with running_azurite() as running:
        yield running


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
