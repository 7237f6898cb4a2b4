"""Requests to erase a person."""

from collections.abc import Sequence
from typing import Protocol

from cpor_core.model.erasure import Erasure
from cpor_core.ports.stored import Stored


class Erasures(Protocol):
    """Requests to erase a person, and how far each has come."""

    async def add(self, erasure: Erasure) -> None:
        """Write a new one; the same one again is no error."""

    async def find(self, erasure_id: str) -> Stored[Erasure] | None:
        """Return one: one request."""

    async def write(self, erasure: Erasure, former: Stored[Erasure]) -> Stored[Erasure]:
        """Write over *former*. Raises `Conflict`."""

    async def all(self) -> Sequence[Erasure]:
        """Return every one: one request."""
