"""Idempotency keys, their records, and stored replies."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's idempotency key and the request that it came with, both as hashes."""

    hash: str
    body: str
    organisation: str
    """A key stands for one request within its organisation."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The first reply to an act on a claim; a repetition gets the same bytes."""

    body: str
    """Hash of the request, to tell a repetition from another request with the same key."""
    answer: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first response to a request that is about no claim, as it was sent."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A request with an idempotency key: its hash, and the claim that it makes or is about (empty if none)."""

    body: str
    claim_id: str
    act_id: str
    at: datetime
    answer: StoredResponse | None = None
    """Set when a request about no claim has ended. The reply to an act is stored with the claim."""
    etag: str | None = None
    """The ETag with which the row was read or written."""


class Requests(Protocol):
    """Idempotency records by organisation and hashed key: one request a call, two after a lost insert."""

    async def begin(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        """Insert. Returns the record that is stored then: this one, or one that was there before."""

    async def overwrite(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        """Write over the row of that ETag. Raises `Conflict`."""

    async def release(self, organisation: str, key: str, etag: str) -> None:
        """Delete the row of that ETag: the key is free again. Raises `Conflict`."""

    def row_ref(self, organisation: str, key_hash: str) -> RowRef:
        """Return where a record is stored, for the due row that deletes it."""

    def all(self) -> AsyncIterator[tuple[str, str, IdempotencyRecord]]:
        """Yield organisation, hashed key and record of every request: a scan."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, IdempotencyRecord]]]:
        """Yield every organisation behind *after*, in order, with its records whose response has *text*: a scan."""
