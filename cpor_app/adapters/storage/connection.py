"""
Connects to the data account. In the sandbox it also creates tables, queues and containers.

The SDK retries for a few seconds only. Its due row or queue message repeats a background job. A person who waits should
soon get the answer that storage is busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
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

# 401 and 403 can be temporary: a role assignment takes minutes, and a new deployment starts before it works.
TEMPORARY_STATUSES = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
EMULATOR_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"


@dataclass(frozen=True, slots=True)
class StorageConnection:
    """
    How to reach the data account: a connection string, or three addresses and a managed identity.

    With `as_operator` the login of the Azure CLI replaces the managed identity. `retry_pause_seconds` scales the pauses
    between the SDK's tries. Tests use 0.
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
        """Return the connection for the connection string *text*."""
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
        Return the connection of the setting *name*.

        If both *name* and the addresses are set, *name* counts, as in the Functions host. An operator needs the
        addresses only. Raises ValueError with the name of the setting that is missing.
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
        """Whether we may create tables: in Azurite, or in an account with `sandbox` in its name."""
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

    def tables(self, transport: Transport | None = None) -> TableServiceClient:
        """Return a new client of the tables. Call it in the running loop, and close the client with `close`."""
        # `timeout`: after these seconds no new try begins.
        # `raw_response_hook`: without it the SDK sleeps for as long as a throttling server asks.
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
        """Return a new client of the queues. Call it in the running loop, and close the client with `close`."""
        # The import also loads `cryptography` and `requests`, which takes 250 ms. Only messages need it.
        from azure.storage.queue._shared.policies_async import ExponentialRetry
        from azure.storage.queue.aio import QueueServiceClient

        options = self._patience(transport, ExponentialRetry)
        if self.text is not None:
            return QueueServiceClient.from_connection_string(self.text, **options)
        return QueueServiceClient(self.queue_uri, credential=self.identity(), **options)

    def blobs(self, transport: Transport | None = None) -> BlobServiceClient:
        """Return a new client of the blobs. Call it in the running loop, and close the client with `close`."""
        # This import takes as long as that of the queues. Only evidence and batches need it.
        from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

        options = self._patience(transport, ExponentialRetry)
        if self.text is not None:
            return BlobServiceClient.from_connection_string(self.text, **options)
        return BlobServiceClient(self.blob_uri, credential=self.identity(), **options)

    def _patience(self, transport: Transport | None, retry: type[Any]) -> dict[str, Any]:
        """Return the retry options of queues and blobs: up to three pauses of about 1.4, 1.6 and 1.9 seconds."""
        policy = _with_time_limit(retry)(
            retry_total=MORE_TRIES,
            initial_backoff=0.2 * self.retry_pause_seconds,
            increment_base=1.2 * self.retry_pause_seconds,
            random_jitter_range=0.2 * self.retry_pause_seconds,
        )
        return {"transport": pipeline_transport(transport), "retry_policy": policy}

    def identity(self) -> ManagedIdentityCredential | AzureCliCredential:
        """Return the identity that has roles for the account and for other resources of the deployment."""
        from azure.identity.aio import (
            AzureCliCredential,
            ManagedIdentityCredential,
        )  # the import takes 280 ms; only the cloud needs it

        if self.as_operator:
            return AzureCliCredential()
        return ManagedIdentityCredential(
            client_id=self.client_id, retry_total=MORE_TRIES, retry_backoff_factor=0.2 * self.retry_pause_seconds
        )


async def close(client: TableServiceClient | QueueServiceClient | BlobServiceClient) -> None:
    """Close *client* and its identity. The client does not close the identity itself."""
    await client.close()
    credential: Any = getattr(client, "credential", None)
    if hasattr(credential, "get_token"):
        await credential.close()


def as_fault(error: AzureError) -> Fault:
    """Return *error* as one of our faults: `StorageBusy` if the error can be temporary, else `Terminal`."""
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return StorageBusy(f"Storage did not answer ({type(error).__name__}).")
    code = getattr(error, "error_code", None)
    told = f"Storage answered {error.status_code} {getattr(code, 'value', code) or error.reason}."
    if error.status_code in TEMPORARY_STATUSES:
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
    Create the missing tables, queues and containers. Existing ones do not change.

    Raises ValueError for an account in the cloud, where only Bicep may create them.
    """
    if not connection.is_emulator:
        raise ValueError("Only the sandbox creates its own tables. In the cloud the deployment creates them.")
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
    """Return the transport of one client: the transport of a test, or one with short time limits."""
    if transport is not None:
        return transport()
    from azure.core.pipeline.transport import AioHttpTransport  # the import also loads aiohttp

    made: AsyncHttpTransport[Any, Any] = AioHttpTransport(
        connection_timeout=CONNECT_SECONDS, read_timeout=SILENCE_SECONDS
    )
    return made


def _with_time_limit(retry: type[Any]) -> type[Any]:
    """Return *retry* with a time limit. Only the SDK of tables has an option for that."""

    class RetryWithTimeLimit(retry):  # type: ignore[misc]  # the SDKs of queues and blobs have a class each
        def configure_retries(self, request: object) -> dict[str, Any]:
            return {**super().configure_retries(request), "began": time.monotonic()}

        def increment(self, settings: dict[str, Any], *args: object, **kwargs: object) -> bool:
            is_late = time.monotonic() - settings["began"] >= NO_NEW_TRY_AFTER_SECONDS
            return not is_late and bool(super().increment(settings, *args, **kwargs))

    return RetryWithTimeLimit


def _refuse_long_waits(response: PipelineResponse[Any, Any]) -> None:
    seconds = _retry_after(response.http_response.headers)
    if seconds is not None and seconds > LONGEST_OBEYED_RETRY_AFTER_SECONDS:
        raise StorageBusy(
            f"Storage answered {response.http_response.status_code} and asks for a pause of {seconds} seconds.",
            retry_after_seconds=seconds,
        )


def _retry_after(headers: Mapping[str, str]) -> int | None:
    value = headers.get("Retry-After", "")
    return int(value) if value.isdecimal() else None


def _parts(text: str) -> dict[str, str]:
    """Return the parts of a connection string by their names in lower case."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
