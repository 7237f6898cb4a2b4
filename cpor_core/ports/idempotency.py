"""The port for idempotency records, with the types of keys and stored replies."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The hash of a caller's idempotency key, and the hash of the request with that key."""

    hash: str
    body: str
    organisation: str
    """The caller's organisation. Two organisations can use the same key."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The first reply to an act on a claim. A repeated request gets the same bytes."""

    body: str
    """The hash of the request. A request with the same key and another hash is another request."""
    answer: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first response to a request about no claim, as the service sent it."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A request with an idempotency key."""

    body: str
    """The hash of the request."""
    claim_id: str
    """The claim that the request creates or changes. Empty for a request about no claim."""
    act_id: str
    at: datetime
    answer: StoredResponse | None = None
    """The response, when a request about no claim has ended. The reply to an act is stored with the claim."""
    etag: str | None = None
    """The ETag that the row had when it was read or written."""


class Requests(Protocol):
    """Idempotency records by organisation and hashed key. A call makes one request, or two after a lost insert."""

    async def begin(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        """Insert a record, unless the key has one. Returns the stored record."""

    async def overwrite(self, organisation: str, key: str, request: IdempotencyRecord) -> IdempotencyRecord:
        """Write over the row that has the ETag of *request*. Raises `Conflict`."""

    async def release(self, organisation: str, key: str, etag: str) -> None:
        """Delete the row with that ETag, so that the key is free again. Raises `Conflict`."""

    def row_ref(self, organisation: str, key_hash: str) -> RowRef:
        """Return the reference to a record, for the due row that deletes the record."""

    def all(self) -> AsyncIterator[tuple[str, str, IdempotencyRecord]]:
        """Scan the table, and yield the organisation, the hashed key and the record of every request."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, IdempotencyRecord]]]:
        """Scan the table, and yield each organisation after *after*, in order, with its records that contain *text*."""
