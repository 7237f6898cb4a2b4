"""The address of the data account, and the tables that only the sandbox makes."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cpor_app.adapters.storage import connection as storage
from cpor_app.adapters.storage.blobs import AzureBlobs
from cpor_app.adapters.storage.connection import StorageConnection, close, provision
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows, Put
from cpor_core.errors import StorageBusy
from tests.support.silent import silent_storage

pytestmark = pytest.mark.slow  # it starts servers of its own

CLOUD = {
    "CPOR_STORAGE__tableServiceUri": "https://cpordata.table.core.windows.net",
    "CPOR_STORAGE__queueServiceUri": "https://cpordata.queue.core.windows.net",
    "CPOR_STORAGE__blobServiceUri": "https://cpordata.blob.core.windows.net",
    "CPOR_STORAGE__credential": "managedidentity",
    "CPOR_STORAGE__clientId": "11111111-2222-4333-8444-555555555555",
}
KEYED = "DefaultEndpointsProtocol=https;AccountName=cpordata;AccountKey=a2V5;EndpointSuffix=core.windows.net"


def test_the_cloud_is_reached_with_a_managed_identity() -> None:
    """The settings are three addresses and the identity's client id."""
    connection = StorageConnection.from_environment(CLOUD)

    assert connection.table_uri == "https://cpordata.table.core.windows.net"
    assert connection.queue_uri == "https://cpordata.queue.core.windows.net"
    assert connection.blob_uri == "https://cpordata.blob.core.windows.net"
    assert connection.client_id == "11111111-2222-4333-8444-555555555555"
    assert not connection.is_emulator


def test_the_exact_name_comes_before_the_prefix() -> None:
    """The Functions host has the same order, and triggers and clients therefore use one account."""
    connection = StorageConnection.from_environment({**CLOUD, "CPOR_STORAGE": KEYED})

    assert connection == StorageConnection.from_text(KEYED)


@pytest.mark.parametrize("missing", [name for name in CLOUD if not name.endswith("clientId")])
def test_an_incomplete_connection_is_refused_by_name(missing: str) -> None:
    """The refusal names the missing setting."""
    with pytest.raises(ValueError, match=missing):
        StorageConnection.from_environment({name: value for name, value in CLOUD.items() if name != missing})


def test_a_connection_string_without_an_account_is_refused() -> None:
    """It fails the start and not the first request."""
    with pytest.raises(ValueError, match="AccountName"):
        StorageConnection.from_environment({"CPOR_STORAGE": "nonsense"})


def test_a_key_is_never_shown() -> None:
    """A connection can reach a log."""
    assert "a2V5" not in repr(StorageConnection.from_text(KEYED))


@pytest.mark.parametrize(
    ("text", "is_emulator"),
    [
        ("UseDevelopmentStorage=true", True),
        ("usedevelopmentstorage=TRUE;", True),
        ("AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:10002/a", True),
        ("AccountName=a;AccountKey=a2V5;QueueEndpoint=http://localhost:10001/a;", True),
        ("AccountName=cporsandbox7;AccountKey=a2V5;EndpointSuffix=core.windows.net", True),
        (KEYED, False),
    ],
)
def test_only_a_sandbox_account_gets_tables_from_us(text: str, *, is_emulator: bool) -> None:
    """It is Azurite, or an account with a sandbox name."""
    assert StorageConnection.from_text(text).is_emulator is is_emulator


async def test_missing_tables_are_made_and_existing_ones_stay(storage_connection: str) -> None:
    """Two processes can start at once, and every start asks again."""
    connection = StorageConnection.from_text(storage_connection)
    wanted = (["claims", "duework"], ["notices", "notices-poison"], ["evidence"])
    rows = AzureRows(connection)

    await asyncio.gather(provision(connection, *wanted), provision(connection, *wanted))
    await rows.write("claims", "p", Put("k", {}))
    await provision(connection, *wanted)

    assert await rows.get("claims", "p", "k") is not None
    assert await rows.get("duework", "p", "k") is None
    await rows.close()
    async with connection.queues() as queues, connection.blobs() as blobs:
        assert {queue.name async for queue in queues.list_queues()} == {"notices", "notices-poison"}
        assert {container.name async for container in blobs.list_containers()} == {"evidence"}


async def test_a_cloud_account_gets_no_tables_from_us() -> None:
    """The deployment makes the tables, and the app is not allowed to."""
    with pytest.raises(ValueError, match="deployment"):
        await provision(StorageConnection.from_environment(CLOUD), ["claims"], [], [])


async def test_every_client_uses_the_identity() -> None:
    """The identity is made without a request and closed with the clients."""
    connection = StorageConnection.from_environment(CLOUD)

    for client in (connection.tables(), connection.queues(), connection.blobs()):
        assert type(client.credential).__name__ == "ManagedIdentityCredential"
        await close(client)


async def test_an_operator_uses_the_log_in_of_the_terminal() -> None:
    """Only the addresses are set: the app's identity cannot be used there."""
    addresses = {name: value for name, value in CLOUD.items() if name.endswith("Uri")}

    client = StorageConnection.from_environment(addresses, as_operator=True).tables()

    assert type(client.credential).__name__ == "AzureCliCredential"
    await close(client)
    with pytest.raises(ValueError, match="managedidentity"):
        StorageConnection.from_environment(addresses)


async def test_an_identity_out_of_reach_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that starts can ask for its token too early."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/token")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    rows = AzureRows(replace(StorageConnection.from_environment(CLOUD), retry_pause_seconds=0))

    with pytest.raises(StorageBusy):
        await rows.get("claims", "p", "k")

    await rows.close()


CALLS: Mapping[str, tuple[type[AzureRows | AzureQueues | AzureBlobs], Callable[[Any], Awaitable[object]]]] = {
    "a row": (AzureRows, lambda rows: rows.get("claims", "p", "k")),
    "a ping": (AzureQueues, lambda queues: queues.ping()),
    "a message": (AzureQueues, lambda queues: queues.send("notices", "x")),
    "a blob": (AzureBlobs, lambda blobs: blobs.get("a")),
}


@pytest.mark.parametrize("call", CALLS)
async def test_no_client_waits_for_a_silent_account_for_long(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """After the time limit no further attempt begins, in any client. In this test the third does not."""
    monkeypatch.setattr(storage, "SILENCE_SECONDS", 0.4)
    monkeypatch.setattr(storage, "NO_NEW_TRY_AFTER_SECONDS", 0.6)
    made, ask = CALLS[call]
    with silent_storage() as silent:
        adapter = made(replace(StorageConnection.from_text(silent.connection_string), retry_pause_seconds=0))
        with pytest.raises(StorageBusy):
            await ask(adapter)
        await adapter.close()

        assert 1 <= len(silent.taken) <= 2


def test_importing_the_adapters_loads_no_large_library() -> None:
    """A cold start pays for imports: the queue, blob and identity libraries are loaded at their first use."""
    adapters = [
        f"cpor_app.adapters.{name}"
        for name in ("storage.connection", "storage.row_store", "storage.queues", "storage.blobs", "content_types")
    ]
    heavy = ["azure.storage.queue", "azure.storage.blob", "azure.identity", "cryptography", "aiohttp", "requests"]
    code = (
        f"import sys, {', '.join(adapters)}; print([m for m in {[*heavy, 'filetype', 'olefile']} if m in sys.modules])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert loaded.strip() == "[]"
