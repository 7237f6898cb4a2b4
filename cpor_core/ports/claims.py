"""Claims, their keys in lists, their evidence, and the counts of dry runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cpor_core.due_work import RowRef
from cpor_core.model.claim import Claim
from cpor_core.model.history import Entry
from cpor_core.model.slot import Slot
from cpor_core.ports.idempotency import StoredReply
from cpor_core.transitions.claim_case import Case, StoredCase


@dataclass(frozen=True, slots=True)
class Comment:
    """A person's comment on a claim. It has a row of its own, apart from the history, so that it can be erased."""

    author: str
    """`partner`, `customer` or `programme`."""
    person_id: str
    """The person's `oid`, or the recipient's number; only the operator sees it."""
    text: str
    at: datetime
    sequence: int = 0
    """The history entry that it belongs to."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one act writes in one entity-group transaction."""

    act_id: str
    before: StoredCase
    after: Case
    person_id: str | None = None
    comment: Comment | None = None
    key: str | None = None
    reply: StoredReply | None = None


@dataclass(frozen=True, slots=True)
class StoredText:
    """A text stored with a claim: a comment (`author` and `person_id` say of whom), or a stored reply."""

    key: str
    text: str
    author: str | None
    person_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class TenantClaims:
    """All about one customer's tenant: its claims with their slots, and their stored histories by claim id."""

    tenant_id: str
    cases: Sequence[StoredCase]
    histories: Mapping[str, Sequence[Entry]]
    slots: Sequence[tuple[Slot, str]] = ()
    """All slots with their ETags; they were read after the claims."""
    answers: Sequence[tuple[str, str]] = ()
    """Claim id and key of each stored reply, also of erased drafts."""


class Claims(Protocol):
    """Claims with their slots, history, comments and stored replies; each tenant is one partition."""

    async def load(self, claim_id: str, *, slots_of_drafts: bool = True) -> StoredCase | None:
        """Return a claim with its slots: two requests; one for a closed claim, and for a draft if asked so."""

    async def prospect(self, claim: Claim) -> StoredCase:
        """Return a new claim with the slots of its items: one request."""

    async def with_refusals(self, case: StoredCase) -> StoredCase:
        """Return the case with the customer's earlier refusals of the same partner: one request."""

    async def of_tenant(self, tenant_id: str) -> Sequence[StoredCase]:
        """Return every claim of a tenant with its slots: two range queries of one partition."""

    def tenants(self, *, after: str = "") -> AsyncIterator[TenantClaims]:
        """Yield each tenant behind *after* that has claims, in order: a scan."""

    async def commit(self, commit: Commit) -> StoredCase:
        """
        Write a new or changed case in one transaction; returns it as a read would, ready for the next act.

        Raises `Conflict` if another act has written one of its rows, and `Refused("TooManyCompetitors")` for more than
        95 rows.
        """

    async def wrote(self, claim_id: str, act_id: str, sequence: int) -> bool:
        """Whether this act has written the claim's newest row, or its history entry with that sequence."""

    async def history(self, claim_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the stored entries with a sequence above *after*, in order."""

    async def comments(self, claim_id: str, *, after: int, limit: int) -> Sequence[Comment]:
        """Return the comments with a sequence above *after*, in order."""

    async def stored_reply(self, claim_id: str, key: str) -> StoredReply | None:
        """Return the stored reply to an act with an idempotency key."""

    def reply_ref(self, claim_id: str, key_hash: str) -> RowRef:
        """Return where a stored reply lies, for the due row that deletes it."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, frozenset[str]]]:
        """
        Yield each tenant behind *after*, in order, with the ids of its claims that contain *text*: a scan.

        Claims, comments and stored replies are searched; capitals do not matter. A deleted claim may have left a reply.
        """

    async def texts(self, claim_id: str) -> Sequence[StoredText]:
        """Return the comments and stored replies of a claim: two requests."""

    async def rewrite(self, claim_id: str, kept: StoredText, text: str | None) -> None:
        """Overwrite or delete a text as it was read: two requests. Raises `Conflict`."""

    async def erase(self, claim_id: str) -> None:
        """Delete the rows of a deleted draft, its own row last. Stored replies stay until they expire."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A key of a claim; `written_at` is an instant of the real clock."""

    position: str
    claim_id: str
    written_at: datetime


class ClaimIndex(Protocol):
    """Keys of claims in order. A key is written before its claim, and compared with it on each read."""

    async def add(self, partition: str, position: str, claim_id: str) -> None:
        """Write a key; the same key again is no error."""

    async def page(self, partition: str, *, after: str, limit: int) -> Sequence[IndexRow]:
        """Return up to *limit* rows behind *after*: one request."""

    async def remove(self, partition: str, position: str) -> None:
        """Delete a key without a claim; a missing key is no error."""


@dataclass(frozen=True, slots=True)
class DryRunCount:
    """How many dry runs an organisation has made in the hour that starts at `hour`."""

    organisation: str
    hour: datetime
    count: int


class DryRuns(Protocol):
    """Counts of dry runs, so that no caller can search for customers with them."""

    async def count(self, organisation: str, now: datetime) -> int:
        """Count one more; returns the new count of this hour."""

    def row_ref(self, organisation: str, now: datetime) -> RowRef:
        """Return where the count is stored, for the due row that deletes it."""

    async def of_hour(self, now: datetime) -> Sequence[DryRunCount]:
        """Return the counts of the hour in which *now* lies."""


class Blobs(Protocol):
    """The bytes of evidence."""

    def names(self) -> AsyncIterator[str]:
        """Yield the names of all blobs, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write once; the same bytes again are no error."""

    async def get(self, name: str) -> bytes | None:
        """Return the bytes; None for an unknown name."""

    async def delete(self, name: str) -> None:
        """Delete; an unknown name is no error."""
