"""The service over memory, or over real storage with THOROUGH=1: what is asked here is the edge, not the stores."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from cpor_app import bootstrap
from devhost.stack.issuer import LocalIssuer
from tests.support import description
from tests.support.azurite import Azurite
from tests.support.memory_service import memory_service
from tests.support.service import Service, running_service
from tests.support.thorough import THOROUGH


@asynccontextmanager
async def _registered(request: pytest.FixtureRequest, issuer: LocalIssuer) -> AsyncIterator[Service]:
    if THOROUGH:
        azurite: Azurite = request.getfixturevalue("azurite")
        async with running_service(azurite.fresh_account(), issuer) as running:
            await running.register()
            yield running
    else:
        async with memory_service(issuer) as made:
            made.service.client.event_hooks = {"response": [description.verify]}
            await made.service.register()
            yield made.service


@pytest.fixture
async def service(request: pytest.FixtureRequest, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """The whole service, with two partners and a French customer registered."""
    async with _registered(request, issuer) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(request: pytest.FixtureRequest, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """The service of a file, with two partners and a French customer registered; its clock is not to be moved."""
    async with _registered(request, issuer) as running:
        yield running


@pytest.fixture
def shared(standing: Service) -> Service:
    """
    The service of the file, in use for this test.

    A test that asks for it bears `shares_its_service`, so that it runs in the loop in which the service was started.
    """
    bootstrap.use(standing.services)
    return standing
