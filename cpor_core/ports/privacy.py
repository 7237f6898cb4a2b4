"""The port for requests to erase a person."""

from collections.abc import Sequence
from typing import Protocol

from cpor_core.model.erasure import Erasure
from cpor_core.ports.stored import Stored


class Erasures(Protocol):
    """Requests to erase a person, each with its progress."""

    async def add(self, erasure: Erasure) -> None:
        """Write a new request. If the same request is stored already, this is no error."""

    async def find(self, erasure_id: str) -> Stored[Erasure] | None:
        """Return a request, in one request to storage."""

    async def write(self, erasure: Erasure, former: Stored[Erasure]) -> Stored[Erasure]:
        """Write a request over *former*. Raises `Conflict`."""

    async def page(self, *, after: str, limit: int) -> Sequence[Erasure]:
        """Return up to *limit* requests after the id *after*, newest first, in one request to storage."""

    async def all(self) -> Sequence[Erasure]:
        """Return all requests, in one request to storage."""
