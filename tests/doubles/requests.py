"""Requests to the stores in memory, and the carrier between caller and store, in which a test can act."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a store. No partition means all partitions. No keys mean the range from *start* to *before*."""

    table: str
    partition: str = ""
    keys: tuple[str, ...] = ()
    start: str = ""
    before: str | None = None
    is_write: bool = False

    def __str__(self) -> str:
        what = "write" if self.is_write else "read"
        return f"{what} {self.table} {', '.join(self.keys) or f'{self.start} … {self.before}'}"

    def meets(self, other: "Request") -> bool:
        """Return whether the order of two requests matters: both touch one row or its key, and one of them writes."""
        if not (self.is_write or other.is_write) or self.table != other.table:
            return False
        if self.partition and other.partition and self.partition != other.partition:
            return False
        if self.keys and other.keys:
            return not set(self.keys).isdisjoint(other.keys)
        if self.keys:
            return any(other._covers(key) for key in self.keys)
        return other.meets(self) if other.keys else True

    def _covers(self, key: str) -> bool:
        return self.start <= key and (self.before is None or key < self.before)


class Carry(Protocol):
    """
    Carries a request to its store: it calls *do*, which does the request and returns its answer.

    The sender gets the errors of the carrier. A carrier can call *do* twice, as the SDK does after a lost answer.
    """

    async def __call__(self, request: Request, do: Callable[[], Answer], /) -> Answer: ...


async def straight(_: Request, do: Callable[[], Answer]) -> Answer:
    """Let other tasks run first, so that races happen in memory too, and then do the request."""
    await asyncio.sleep(0)
    return do()
