"""Ports for claims, the keys that list claims, evidence files, and counts of dry runs."""

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
    """A person's comment on a claim. A comment is not stored in the history, so that it can be erased."""

    author: str
    """`partner`, `customer` or `programme`."""
    person_id: str
    """The person's `oid`, or the recipient's number. Only the operator sees this id."""
    text: str
    at: datetime
    sequence: int = 0
    """The number of the history entry to which the comment belongs."""


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
    """A text that is stored with a claim: a comment or a stored reply. A reply has no author."""

    key: str
    text: str
    author: str | None
    person_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class TenantClaims:
    """The claims of one customer's tenant with their slots, and their stored histories by claim id."""

    tenant_id: str
    cases: Sequence[StoredCase]
    histories: Mapping[str, Sequence[Entry]]
    slots: Sequence[tuple[Slot, str]] = ()
    """All slots with their ETags. The slots were read after the claims."""
    answers: Sequence[tuple[str, str]] = ()
    """The claim id and the key of each stored reply. Erased drafts can still have stored replies."""


class Claims(Protocol):
    """Claims with their slots, history, comments and stored replies. Each tenant is one partition."""

    async def load(self, claim_id: str) -> StoredCase | None:
        """
        Return a claim with its slots, in two requests.

        A draft or a closed claim takes one request, because its slots are not read. They count as empty.
        """

    async def prospect(self, claim: Claim) -> StoredCase:
        """Return a new claim with the slots of its items, in one request."""

    async def with_refusals(self, case: StoredCase) -> StoredCase:
        """
        Return the case with the earlier refusals of this partner by this customer, in one request.

        A draft gets the slots of its items too, by another request at the same time.
        """

    async def of_tenant(self, tenant_id: str) -> Sequence[StoredCase]:
        """Return every claim of a tenant with its slots, in two range queries of one partition."""

    def tenants(self, *, after: str = "") -> AsyncIterator[TenantClaims]:
        """Scan the table, and yield each tenant after *after* that has claims, in order."""

    async def commit(self, commit: Commit) -> StoredCase:
        """
        Write a new or changed case in one transaction. Returns the stored case, with the new ETags.

        Raises `Conflict` if another act has written one of its rows, and `Refused("TooManyCompetitors")` for more than
        95 rows.
        """

    async def wrote(self, claim_id: str, act_id: str, sequence: int) -> bool:
        """Whether this act has written the claim's stored row, or the history entry with the number *sequence*."""

    async def history(self, claim_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the stored entries with a sequence above *after*, in order."""

    async def comments(self, claim_id: str, *, after: int, limit: int) -> Sequence[Comment]:
        """Return the comments with a sequence above *after*, in order."""

    async def stored_reply(self, claim_id: str, key: str) -> StoredReply | None:
        """Return the stored reply to an act with an idempotency key."""

    def reply_ref(self, claim_id: str, key_hash: str) -> RowRef:
        """Return the reference to a stored reply, for the due row that deletes the reply."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, frozenset[str]]]:
        """
        Scan the table, and yield each tenant after *after*, in order, with the ids of its claims that contain *text*.

        Claims, comments and stored replies are searched, in capitals or not. A deleted claim can still have a reply.
        """

    async def texts(self, claim_id: str) -> Sequence[StoredText]:
        """Return the comments and stored replies of a claim, in two requests."""

    async def rewrite(self, claim_id: str, kept: StoredText, text: str | None) -> None:
        """Overwrite a text, or delete it if *text* is None. Raises `Conflict` if the row has changed since the read."""

    async def erase(self, claim_id: str) -> None:
        """Delete the rows of a deleted draft, the row of the claim last. Stored replies stay until they expire."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A claim's key in a list. `written_at` is an instant of the real clock."""

    position: str
    claim_id: str
    written_at: datetime


class ClaimIndex(Protocol):
    """Keys of claims, in order. A key is written before its claim. Each reader compares the key with the claim."""

    async def add(self, partition: str, position: str, claim_id: str) -> None:
        """Write a key. If the same key is stored already, this is no error."""

    async def page(self, partition: str, *, after: str, limit: int) -> Sequence[IndexRow]:
        """Return up to *limit* rows after the position *after*, in one request."""

    async def remove(self, partition: str, position: str) -> None:
        """Delete a key that is no longer true. A missing key is no error."""


class PartnerClaims(ClaimIndex, Protocol):
    """The lists of the organisations' own claims, and the words by which a search finds these claims."""

    async def add(self, partition: str, position: str, claim_id: str, words: Sequence[str] = ()) -> None:
        """Write a key with its words in one request. Words that earlier calls have written stay."""

    async def replace(self, partition: str, position: str, claim_id: str, words: Sequence[str]) -> None:
        """Write a key, and make *words* the only words of its claim, usually in two requests."""

    async def found(self, partition: str, beginning: str, *, limit: int) -> Sequence[IndexRow]:
        """
        Return at most *limit* keys of claims that have a word with this beginning, in no order.

        A key can come twice. Makes one request for each 1,000 keys.
        """

    async def at_tenants(self, partition: str, tenants: Sequence[str], *, limit: int) -> Sequence[IndexRow]:
        """
        Return at most *limit* keys of claims at these tenants, in no order. A key can come twice.

        Makes at most one request for each tenant, and fewer if there are fewer thousands of claims.
        """


@dataclass(frozen=True, slots=True)
class DryRunCount:
    """How many dry runs an organisation has made in the hour that starts at `hour`."""

    organisation: str
    hour: datetime
    count: int


class DryRuns(Protocol):
    """Counts of dry runs, so that no caller can search for customers with them."""

    async def count(self, organisation: str, now: datetime) -> int:
        """Add one to the count of this hour. Returns the new count."""

    def row_ref(self, organisation: str, now: datetime) -> RowRef:
        """Return the reference to the count of this hour, for the due row that deletes the count."""

    async def of_hour(self, now: datetime) -> Sequence[DryRunCount]:
        """Return the counts of the hour in which *now* lies."""


class Blobs(Protocol):
    """The bytes of evidence."""

    def names(self) -> AsyncIterator[str]:
        """Yield the names of all blobs, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write a new blob. If the same bytes are stored already, this is no error."""

    async def get(self, name: str) -> bytes | None:
        """Return the bytes of a blob. None for an unknown name."""

    async def delete(self, name: str) -> None:
        """Delete a blob. An unknown name is no error."""
