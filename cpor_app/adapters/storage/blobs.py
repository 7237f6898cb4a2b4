"""Stores evidence, the bodies of batches and the rows of large exports as blobs. Each blob is written once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

from cpor_app.adapters.storage.connection import as_fault, close
from cpor_core.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.storage.blob.aio import BlobClient, BlobServiceClient

    from cpor_app.adapters.storage.connection import StorageConnection, Transport

NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,254}")
HASH = "sha256"


class AzureBlobs:
    """Implements `ports.claims.Blobs` and `ports.batches.Bodies` with one container."""

    def __init__(
        self, connection: StorageConnection, container: str = "evidence", *, transport: Transport | None = None
    ) -> None:
        """Send no request yet. The client belongs to the event loop in which it is first used."""
        self._connection = connection
        self._container = container
        self._transport = transport
        self._client: BlobServiceClient | None = None

    async def close(self) -> None:
        """Close the connections. The next call opens new connections."""
        client, self._client = self._client, None
        if client is not None:
            await close(client)

    async def names(self) -> AsyncIterator[str]:
        """Yield as the port says, with one request for each 5,000 names."""
        try:
            async for name in self._service().get_container_client(self._container).list_blob_names():
                yield name
        except AzureError as error:
            raise as_fault(error) from error

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """
        Write as the port says. The SDK repeats a write when the answer was lost, so the blob can exist already.

        Raises `Conflict` when the blob has other bytes, `StorageBusy`, and ValueError for a name that we never choose.
        """
        from azure.storage.blob import ContentSettings  # slow to load; the client loads it too

        blob = self._blob(name)
        digest = hashlib.sha256(data).hexdigest()
        try:
            try:
                await blob.upload_blob(
                    data,
                    overwrite=False,
                    metadata={HASH: digest},
                    content_settings=ContentSettings(content_type=content_type),
                )
            except (ResourceExistsError, ResourceModifiedError) as error:
                there = await blob.get_blob_properties()
                if (there.size, (there.metadata or {}).get(HASH)) != (len(data), digest):
                    raise Conflict(f"{name}: the blob has other bytes") from error
        except AzureError as error:
            raise as_fault(error) from error

    async def get(self, name: str) -> bytes | None:
        """Return as the port says."""
        return await self._read(name, None, None)

    async def part(self, name: str, start: int, length: int) -> bytes | None:
        return await self._read(name, start, length)

    async def _read(self, name: str, start: int | None, length: int | None) -> bytes | None:
        try:
            return await (await self._blob(name).download_blob(start, length)).readall()
        except ResourceNotFoundError as error:
            if getattr(error, "error_code", None) == "ContainerNotFound":
                raise as_fault(error) from error
            return None
        except AzureError as error:
            raise as_fault(error) from error

    async def delete(self, name: str) -> None:
        try:
            await self._blob(name).delete_blob()
        except ResourceNotFoundError:
            return
        except AzureError as error:
            raise as_fault(error) from error

    def _blob(self, name: str) -> BlobClient:
        verify_name(name)
        return self._service().get_blob_client(self._container, name)

    def _service(self) -> BlobServiceClient:
        if self._client is None:
            self._client = self._connection.blobs(self._transport)
        return self._client


def verify_name(name: str) -> None:
    """Raise ValueError for a name that we never choose. Our names consist of claim ids and random letters."""
    if not NAME.fullmatch(name):
        raise ValueError(f"A blob's name consists of [0-9A-Za-z._-]; this one is {name!r}.")
