"""Evidence blobs are written once, read whole, and deleted for good."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from cpor_app.adapters.storage.blobs import AzureBlobs
from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_core.errors import Conflict, StorageBusy, Terminal
from tests.doubles.memory_blobs import MemoryBlobs
from tests.doubles.transport import Plan, Trouble, answer, lose_answer

NAME = "0123456789abcdef-3f9c"
PDF = "application/pdf"

Blobs = AzureBlobs | MemoryBlobs


@pytest.fixture
def plan() -> Plan:
    """The plan of the transport. Without faults it only counts."""
    return Plan()


@pytest.fixture
async def connection(storage_connection: str) -> StorageConnection:
    """A connection to an account with one empty container."""
    connection = replace(StorageConnection.from_text(storage_connection), retry_pause_seconds=0)
    await provision(connection, [], [], ["evidence"])
    return connection


@pytest.fixture
async def azure(connection: StorageConnection, plan: Plan) -> AsyncIterator[AzureBlobs]:
    """The real container."""
    blobs = AzureBlobs(connection, transport=plan.transport)
    yield blobs
    await blobs.close()


@pytest.fixture(params=["memory", pytest.param("azure", marks=pytest.mark.slow)])
def blobs(request: pytest.FixtureRequest) -> Blobs:
    """The real container and its double, which keeps the same promises."""
    found: Blobs = MemoryBlobs() if request.param == "memory" else request.getfixturevalue("azure")
    return found


async def test_a_blob_is_read_as_it_was_written(blobs: Blobs) -> None:
    """Every byte is the same."""
    data = bytes(range(256)) * 64

    await blobs.put(NAME, data, PDF)

    assert await blobs.get(NAME) == data


async def test_a_missing_blob_is_none(blobs: Blobs) -> None:
    """A missing blob is no error."""
    assert await blobs.get(NAME) is None


async def test_a_part_of_a_blob_can_be_read(blobs: Blobs) -> None:
    """A page of a batch is read without the other pages. Without a blob there is no part."""
    assert await blobs.part(NAME, 0, 5) is None

    await blobs.put(NAME, b"one\ntwo\nthree", PDF)

    assert await blobs.part(NAME, 4, 4) == b"two\n"
    assert await blobs.part(NAME, 8, 5) == b"three"


async def test_a_blob_is_written_once(blobs: Blobs) -> None:
    """Other bytes under its name are refused. The same bytes change nothing."""
    await blobs.put(NAME, b"first", PDF)

    await blobs.put(NAME, b"first", PDF)
    for other in (b"other", b"longer than the first"):
        with pytest.raises(Conflict):
            await blobs.put(NAME, other, PDF)

    assert await blobs.get(NAME) == b"first"


async def test_a_deleted_blob_is_gone(blobs: Blobs) -> None:
    """A second deletion is no error."""
    await blobs.put(NAME, b"x", PDF)

    await blobs.delete(NAME)
    await blobs.delete(NAME)

    assert await blobs.get(NAME) is None


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "a?b", "é", "x" * 256])
async def test_a_foreign_name_is_refused(blobs: Blobs, name: str) -> None:
    """A caller's file name never becomes a blob's name."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: blobs.put(name, b"x", PDF),
        lambda: blobs.get(name),
        lambda: blobs.delete(name),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            await call()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp warns from 1 MiB on
async def test_the_largest_evidence_is_one_request_each_way(azure: AzureBlobs, plan: Plan) -> None:
    """20 MiB are neither cut into blocks nor read in pieces."""
    data = b"\x00\xff" * (10 * 1024 * 1024)

    await azure.put(NAME, data, PDF)
    assert await azure.get(NAME) == data
    await azure.delete(NAME)

    assert [str(request) for request in plan.requests] == [
        f"1 blobs PUT /evidence/{NAME}",
        f"2 blobs GET /evidence/{NAME}",
        f"3 blobs DELETE /evidence/{NAME}",
    ]


async def test_a_blob_has_its_content_type(azure: AzureBlobs, connection: StorageConnection) -> None:
    """The portal shows the type of the bytes."""
    await azure.put(NAME, b"x", PDF)

    async with connection.blobs() as service:
        properties = await service.get_blob_client("evidence", NAME).get_blob_properties()
    assert properties.content_settings.content_type == PDF


@pytest.mark.parametrize("trouble", [answer(503), lose_answer()], ids=["503", "silence"])
async def test_a_put_whose_answer_was_lost_is_done(azure: AzureBlobs, plan: Plan, trouble: Trouble) -> None:
    """The SDK's second attempt meets the first, which has the same bytes."""
    plan.at(1, trouble)

    await azure.put(NAME, b"x", PDF)

    assert await azure.get(NAME) == b"x"


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_temporary_fault_is_a_busy_store(azure: AzureBlobs, plan: Plan, status: int) -> None:
    """Examples are roles that are still being assigned, throttling, and failing servers."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: azure.put(NAME, b"x", PDF),
        lambda: azure.get(NAME),
        lambda: azure.delete(NAME),
    ]
    for call in calls:
        plan.clear()
        plan.at(1, answer(status, done=False, every_try=True))
        with pytest.raises(StorageBusy):
            await call()


async def test_a_missing_container_is_a_lasting_fault(connection: StorageConnection) -> None:
    """It is not a missing blob: the deployment forgot to make the container."""
    blobs = AzureBlobs(connection, "nowhere")

    with pytest.raises(Terminal):
        await blobs.put(NAME, b"x", PDF)
    with pytest.raises(Terminal):
        await blobs.get(NAME)

    await blobs.close()
