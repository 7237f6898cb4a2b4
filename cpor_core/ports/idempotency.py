"""Keyed requests, and the first answers to them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's idempotency key for one act: key and body are hashes, neither is kept as it was sent."""

    hash: str
    body: str
    organisation: str
    """Within it, a key stands for one request."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The first answer to a keyed act: kept 48 hours, given again word for word."""

    body: str
    """Hash of the request's body, to tell a repetition from another request under the same key."""
    answer: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first answer to a keyed request that is about no claim, as it was sent."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A keyed request: what was asked for, and the claim that it leads to or is about; empty if it is about none."""

    body: str
    claim_id: str
    act_id: str
    at: datetime
    answer: StoredResponse | None = None
    """Of a request about no claim, once it is answered; otherwise the answer lies with the claim."""
    etag: str | None = None
    """What the store said when the row was read or written."""


class Requests(Protocol):
    """Keyed requests, by organisation and hashed key; each call is one request, a lost insert two."""

    async def begin(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        """Insert; returns the request that is there now: this one, or another that was there before."""

    async def overwrite(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        """Write over the row of that ETag. Raises `Conflict`."""

    async def release(self, organisation: str, key: str, etag: str) -> None:
        """Delete the row of that ETag: the key is free again. Raises `Conflict`."""

    def row_ref(self, organisation: str, key_hash: str) -> RowRef:
        """Return where a record is stored, for the due row that deletes it."""

    def all(self) -> AsyncIterator[tuple[str, str, IdempotencyRecord]]:
        """Yield every request that is kept, with its organisation and key: a scan."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, IdempotencyRecord]]]:
        """Yield every organisation behind *after*, in order, with its kept answers that hold *text*: a scan."""
