"""Blobs in memory: the promises of `cpor_app.adapters.storage.blobs.AzureBlobs` without a storage account."""

from collections.abc import AsyncIterator

from cpor_app.adapters.storage.blobs import verify_name
from cpor_core.errors import Conflict
from tests.doubles.requests import Carry, Request, straight


class MemoryBlobs:
    """Blobs in a dictionary, each with its content type. `carry` carries each request."""

    def __init__(self) -> None:
        """Begin without blobs."""
        self.carry: Carry = straight
        self.blobs: dict[str, tuple[bytes, str]] = {}

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def names(self) -> AsyncIterator[str]:
        """Yield the name of each blob, in order."""
        for name in await self.carry(Request("blobs"), lambda: sorted(self.blobs)):
            yield name

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write the blob once. Raises `Conflict` if other bytes exist."""
        verify_name(name)

        def put() -> None:
            there = self.blobs.setdefault(name, (data, content_type))
            if there[0] != data:
                raise Conflict(f"{name}: BlobAlreadyExists")

        await self.carry(Request("blobs", keys=(name,), is_write=True), put)

    async def get(self, name: str) -> bytes | None:
        """Return the bytes, or None if there is no blob."""
        verify_name(name)
        there = await self.carry(Request("blobs", keys=(name,)), lambda: self.blobs.get(name))
        return None if there is None else there[0]

    async def part(self, name: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, or None if there is no blob."""
        whole = await self.get(name)
        return None if whole is None else whole[start : start + length]

    async def delete(self, name: str) -> None:
        """Delete the blob. A missing blob is no error."""
        verify_name(name)
        await self.carry(Request("blobs", keys=(name,), is_write=True), lambda: self.blobs.pop(name, None))
