"""One service for the tests of a file that leave nothing behind which another of them could see."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cpor_app import bootstrap
from devhost.stack.issuer import LocalIssuer
from tests.support.azurite import Azurite
from tests.support.service import Service, running_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(azurite: Azurite, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """The service of a file, with two partners and a French customer registered; its clock is not to be moved."""
    async with running_service(azurite.fresh_account(), issuer) as running:
        await running.register()
        yield running


@pytest.fixture
def shared(standing: Service) -> Service:
    """
    The service of the file, in use for this test.

    A test that asks for it bears `shares_its_service`, so that it runs in the loop in which the service was started.
    """
    bootstrap.use(standing.services)
    return standing
