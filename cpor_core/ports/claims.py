"""Claims, the keys by which they are listed, their evidence, and counts of dry runs."""

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
    """The person's `oid`, or the recipient's number; shown to nobody but the operator."""
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
    """Everything about one customer's tenant: its claims with their slots, and the stored history of each by its id."""

    tenant_id: str
    cases: Sequence[StoredCase]
    histories: Mapping[str, Sequence[Entry]]
    slots: Sequence[tuple[Slot, str]] = ()
    """Every slot as it was read after the claims, with the store's ETag of its row."""
    answers: Sequence[tuple[str, str]] = ()
    """Claim's id and key of each first answer that is kept for a keyed act, of erased drafts too."""


class Claims(Protocol):
    """Claims with their slots, history, comments and answers to keyed acts; one partition for each tenant."""

    async def load(self, claim_id: str, *, slots_of_drafts: bool = True) -> StoredCase | None:
        """Return a claim with the slots of its items: two requests, one for a closed claim or, if asked so, a draft."""

    async def prospect(self, claim: Claim) -> StoredCase:
        """Return a claim that is not stored yet with the slots of its items: one request."""

    async def with_refusals(self, case: StoredCase) -> StoredCase:
        """Return the case with the customer's earlier refusals of the same partner: one request."""

    async def of_tenant(self, tenant_id: str) -> Sequence[StoredCase]:
        """Return every claim of a tenant with its slots: two range queries of one partition."""

    def tenants(self, *, after: str = "") -> AsyncIterator[TenantClaims]:
        """Yield every tenant behind *after* that has claims, in order: a scan, for what must see everything."""

    async def commit(self, commit: Commit) -> StoredCase:
        """
        Write a new or changed case as one transaction; returns it as if read again, ready for the next act.

        Raises `Conflict` when a row of it was written by somebody else, and `Refused("TooManyCompetitors")` when it
        would take more than 95 rows.
        """

    async def wrote(self, claim_id: str, act_id: str, sequence: int) -> bool:
        """Whether the claim's newest row, or its history entry of that sequence, was written by this act of ours."""

    async def history(self, claim_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the stored entries whose sequence is above *after*, in order."""

    async def comments(self, claim_id: str, *, after: int, limit: int) -> Sequence[Comment]:
        """Return the comments whose sequence is above *after*, in order."""

    async def stored_reply(self, claim_id: str, key: str) -> StoredReply | None:
        """Return the first answer to a keyed act."""

    def reply_ref(self, claim_id: str, key_hash: str) -> RowRef:
        """Return where a stored reply lies, for the due row that deletes it."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, frozenset[str]]]:
        """
        Yield every tenant behind *after*, in order, with the ids of its claims that hold *text*: a scan.

        In the claim itself, in words or in a kept answer, in whatever case; of a deleted claim an answer may be left.
        """

    async def texts(self, claim_id: str) -> Sequence[StoredText]:
        """Return the words and kept answers of a claim: two requests."""

    async def rewrite(self, claim_id: str, kept: StoredText, text: str | None) -> None:
        """Write over a text as it was read, or delete it: two requests. Raises `Conflict`."""

    async def erase(self, claim_id: str) -> None:
        """Delete every row of a deleted draft but its first answers, which are kept their time; its own row last."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A key of a claim; `written_at` by the real clock."""

    position: str
    claim_id: str
    written_at: datetime


class ClaimIndex(Protocol):
    """Keys of claims in order; rows are written before the claim and verified on read."""

    async def add(self, partition: str, position: str, claim_id: str) -> None:
        """Write a key; the same one again is no error."""

    async def page(self, partition: str, *, after: str, limit: int) -> Sequence[IndexRow]:
        """Return up to *limit* rows behind *after*: one request."""

    async def remove(self, partition: str, position: str) -> None:
        """Delete a key that no longer leads anywhere; a missing one is no error."""


@dataclass(frozen=True, slots=True)
class DryRunCount:
    """How often an organisation has tried in an hour, named by its beginning."""

    organisation: str
    hour: datetime
    count: int


class DryRuns(Protocol):
    """Counts of dry runs, so that nobody can probe for customers by them."""

    async def count(self, organisation: str, now: datetime) -> int:
        """Count one more; returns how many there are in this hour with it."""

    def row_ref(self, organisation: str, now: datetime) -> RowRef:
        """Return where the count is stored, for the due row that deletes it."""

    async def of_hour(self, now: datetime) -> Sequence[DryRunCount]:
        """Return the counts of the hour in which *now* lies."""


class Blobs(Protocol):
    """The bytes of evidence."""

    def names(self) -> AsyncIterator[str]:
        """Yield the name of each, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write once; the same bytes again are no error."""

    async def get(self, name: str) -> bytes | None:
        """Return the bytes, None where there are none."""

    async def delete(self, name: str) -> None:
        """Delete; a missing one is no error."""
