"""
How the data account is reached, and, in the sandbox, how its tables, queues and containers are made.

The SDK's own retries are kept, but short: whoever calls has a due row or a queue message that comes again, and a person
who waits is better told to try later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.data.tables.aio import TableServiceClient

from cpor_core.errors import Fault, StorageBusy, Terminal

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse
    from azure.identity.aio import AzureCliCredential, ManagedIdentityCredential
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

Transport: TypeAlias = Callable[[], AsyncHttpTransport[Any, Any]]

CONNECT_SECONDS = 5
SILENCE_SECONDS = 20
MORE_TRIES = 3
NO_NEW_TRY_AFTER_SECONDS = 10
LONGEST_OBEYED_RETRY_AFTER_SECONDS = 3

# 401 and 403 are here because role assignments take minutes: a new deployment starts into them and must get over it.
PASSING_STATUSES = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
EMULATOR_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"


@dataclass(frozen=True, slots=True)
class StorageConnection:
    """
    Where the data account is and who we are to it: a connection string, or three addresses and a managed identity.

    `as_operator`: in the managed identity's place whoever has logged in with the Azure CLI at this terminal.
    `retry_pause_seconds` scales the pauses between the SDK's tries; 0 is for tests, which never wait.
    """

    text: str | None = field(default=None, repr=False)
    table_uri: str = ""
    queue_uri: str = ""
    blob_uri: str = ""
    client_id: str | None = None
    as_operator: bool = False
    retry_pause_seconds: int = 1

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the connection that the connection string *text* describes."""
        text = text.strip().rstrip(";")
        if text.lower() == DEVELOPMENT_STORAGE.lower():
            return cls(text=DEVELOPMENT_STORAGE)
        if "accountname" not in _parts(text):
            raise ValueError("A storage connection string needs an AccountName.")
        return cls(text=text)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], name: str = "CPOR_STORAGE", *, as_operator: bool = False
    ) -> Self:
        """
        Return the connection of the setting *name*, read as the Functions host reads it: the exact name wins.

        An operator needs the addresses only.

        Raises ValueError, naming the setting, when it is incomplete.
        """
        if text := environ.get(name):
            return cls.from_text(text)
        uris = {service: environ.get(f"{name}__{service}ServiceUri", "") for service in ("table", "queue", "blob")}
        if missing := [service for service, uri in uris.items() if not uri]:
            raise ValueError(f"Set {name} to a connection string, or {name}__{missing[0]}ServiceUri to an address.")
        if not as_operator and environ.get(f"{name}__credential", "").lower() != "managedidentity":
            raise ValueError(f"Set {name}__credential to managedidentity: nothing else opens the data account.")
        return cls(
            table_uri=uris["table"],
            queue_uri=uris["queue"],
            blob_uri=uris["blob"],
            client_id=environ.get(f"{name}__clientId") or None,
            as_operator=as_operator,
        )

    @property
    def is_emulator(self) -> bool:
        """Whether tables may be made by us: Azurite, or an account that bears `sandbox` in its name."""
        if self.text is not None:
            parts = _parts(self.text)
            uris = [value for name, value in parts.items() if name.endswith("endpoint")]
            names = [parts.get("accountname", "")]
        else:
            uris = [self.table_uri, self.queue_uri, self.blob_uri]
            names = []
        hosts = [urlsplit(uri).hostname or "" for uri in uris]
        names += [host.partition(".")[0] for host in hosts]
        return (
            self.text == DEVELOPMENT_STORAGE
            or any(host in EMULATOR_HOSTS for host in hosts)
            or any("sandbox" in name for name in names)
        )

    def without_pauses(self) -> Self:
        """Return the same connection whose repeated tries follow at once, for tests."""
        return replace(self, retry_pause_seconds=0)

    def tables(self, transport: Transport | None = None) -> TableServiceClient:
        """Return a new client of the tables; made inside the running loop, closed with `close`."""
        # `timeout`: no new try is begun after so many seconds.
        # `raw_response_hook`: the SDK would sleep as long as a throttled server asks, however long that is.
        options: dict[str, Any] = {
            "transport": pipeline_transport(transport),
            "retry_total": MORE_TRIES,
            "retry_backoff_factor": 0.2 * self.retry_pause_seconds,
            "timeout": NO_NEW_TRY_AFTER_SECONDS,
            "raw_response_hook": _refuse_long_waits,
        }
        if self.text is not None:
            return TableServiceClient.from_connection_string(self.text, **options)
        return TableServiceClient(self.table_uri, credential=self.identity(), **options)

    def queues(self, transport: Transport | None = None) -> QueueServiceClient:
        """Return a new client of the queues; made inside the running loop, closed with `close`."""
        # Loads `cryptography`, `requests` and a quarter of a second: only where a message is sent.
        from azure.storage.queue._shared.policies_async import ExponentialRetry
        from azure.storage.queue.aio import QueueServiceClient

        options = self._patience(transport, ExponentialRetry)
        if self.text is not None:
            return QueueServiceClient.from_connection_string(self.text, **options)
        return QueueServiceClient(self.queue_uri, credential=self.identity(), **options)

    def blobs(self, transport: Transport | None = None) -> BlobServiceClient:
        """Return a new client of the blobs; made inside the running loop, closed with `close`."""
        # As heavy as the queues' client, and needed by evidence alone.
        from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

        options = self._patience(transport, ExponentialRetry)
        if self.text is not None:
            return BlobServiceClient.from_connection_string(self.text, **options)
        return BlobServiceClient(self.blob_uri, credential=self.identity(), **options)

    def _patience(self, transport: Transport | None, retry: type[Any]) -> dict[str, Any]:
        """Return what queues and blobs share: three pauses of about 1.4, 1.6 and 1.9 seconds, if there is time."""
        policy = _soon_tired(retry)(
            retry_total=MORE_TRIES,
            initial_backoff=0.2 * self.retry_pause_seconds,
            increment_base=1.2 * self.retry_pause_seconds,
            random_jitter_range=0.2 * self.retry_pause_seconds,
        )
        return {"transport": pipeline_transport(transport), "retry_policy": policy}

    def identity(self) -> ManagedIdentityCredential | AzureCliCredential:
        """Return the identity that opens the account, and whatever else the deployment gave it roles for."""
        from azure.identity.aio import AzureCliCredential, ManagedIdentityCredential  # 280 ms, in the cloud only

        if self.as_operator:
            return AzureCliCredential()
        return ManagedIdentityCredential(
            client_id=self.client_id, retry_total=MORE_TRIES, retry_backoff_factor=0.2 * self.retry_pause_seconds
        )


async def close(client: TableServiceClient | QueueServiceClient | BlobServiceClient) -> None:
    """Close *client* and the identity that it was given, which no client closes by itself."""
    await client.close()
    credential: Any = getattr(client, "credential", None)
    if hasattr(credential, "get_token"):
        await credential.close()


def as_fault(error: AzureError) -> Fault:
    """Return *error* in our own terms: `StorageBusy` for what may pass, `Terminal` for what will not."""
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return StorageBusy(f"Storage did not answer ({type(error).__name__}).")
    code = getattr(error, "error_code", None)
    told = f"Storage answered {error.status_code} {getattr(code, 'value', code) or error.reason}."
    if error.status_code in PASSING_STATUSES:
        return StorageBusy(told, retry_after_seconds=_retry_after(getattr(error.response, "headers", {})))
    return Terminal(told)


async def provision(
    connection: StorageConnection,
    tables: Iterable[str],
    queues: Iterable[str],
    containers: Iterable[str],
    transport: Transport | None = None,
) -> None:
    """
    Make the tables, queues and containers that are missing; what is there stays as it is.

    Raises ValueError for an account in the cloud, where Bicep makes them and nobody else may.
    """
    if not connection.is_emulator:
        raise ValueError("Only the sandbox makes its own tables; in the cloud the deployment does.")
    clients = connection.tables(transport), connection.queues(transport), connection.blobs(transport)
    table_service, queue_service, blob_service = clients
    try:
        await asyncio.gather(
            *(_make(table_service.create_table(name)) for name in tables),
            *(_make(queue_service.create_queue(name)) for name in queues),
            *(_make(blob_service.create_container(name)) for name in containers),
        )
    finally:
        for client in clients:
            await close(client)


async def _make(creation: Awaitable[object]) -> None:
    try:
        await creation
    except ResourceExistsError:
        return
    except AzureError as error:
        raise as_fault(error) from error


def pipeline_transport(transport: Transport | None) -> AsyncHttpTransport[Any, Any]:
    """Return what one client sends with: the transport of a test, or one that soon notices silence."""
    if transport is not None:
        return transport()
    from azure.core.pipeline.transport import AioHttpTransport  # aiohttp: not before it is needed

    made: AsyncHttpTransport[Any, Any] = AioHttpTransport(
        connection_timeout=CONNECT_SECONDS, read_timeout=SILENCE_SECONDS
    )
    return made


def _soon_tired(retry: type[Any]) -> type[Any]:
    """Return *retry*, of the queues' or the blobs' SDK, with the time limit that the tables' has as an option."""

    class SoonTired(retry):  # type: ignore[misc]  # the two SDKs have a class each, of the same shape
        def configure_retries(self, request: object) -> dict[str, Any]:
            return {**super().configure_retries(request), "began": time.monotonic()}

        def increment(self, settings: dict[str, Any], *args: object, **kwargs: object) -> bool:
            is_late = time.monotonic() - settings["began"] >= NO_NEW_TRY_AFTER_SECONDS
            return not is_late and bool(super().increment(settings, *args, **kwargs))

    return SoonTired


def _refuse_long_waits(response: PipelineResponse[Any, Any]) -> None:
    seconds = _retry_after(response.http_response.headers)
    if seconds is not None and seconds > LONGEST_OBEYED_RETRY_AFTER_SECONDS:
        raise StorageBusy(
            f"Storage answered {response.http_response.status_code} and asks for {seconds} seconds of peace.",
            retry_after_seconds=seconds,
        )


def _retry_after(headers: Mapping[str, str]) -> int | None:
    value = headers.get("Retry-After", "")
    return int(value) if value.isdecimal() else None


def _parts(text: str) -> dict[str, str]:
    """Return the parts of a connection string by their names in lower case."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
