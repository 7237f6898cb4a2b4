"""A running host, shared by the tests that leave it as it is."""

from collections.abc import Iterator

import pytest
from azure.storage.queue import QueueServiceClient

from tests.devhost.host_process import RunningHost, running_host
from tests.support.azurite import Azurite


@pytest.fixture(scope="session")
def storage(azurite: Azurite) -> str:
    """The connection string of the account that the shared host listens to."""
    return azurite.fresh_account()


@pytest.fixture(scope="session")
def host(storage: str) -> Iterator[RunningHost]:
    """The sample app, running."""
    with running_host(storage) as running:
        yield running


@pytest.fixture
def queues(storage: str) -> Iterator[QueueServiceClient]:
    """The queues that the shared host listens to."""
    with QueueServiceClient.from_connection_string(storage) as client:
        yield client
