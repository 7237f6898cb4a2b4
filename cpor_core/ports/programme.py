"""The port for what the programme sees of all claims. Only the follower writes it (decision 75)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from cpor_core.model.insight import Grouping
from cpor_core.model.programme import FollowedClaim, ProgrammeChange, RegisterRow
from cpor_core.model.tally import Counts, Tally
from cpor_core.rules.tally import joined


@dataclass(frozen=True, slots=True)
class ShardHead:
    """The state of one shard. `etag` is None while nothing of the shard is followed."""

    last: int = 0
    """The number of the newest change in the shard's feed."""
    oldest: int = 1
    """The number of the oldest change that is stored."""
    etag: str | None = None


@dataclass(slots=True)
class Followed:
    """Everything that one transaction of the follower writes in a shard."""

    changes: list[ProgrammeChange] = field(default_factory=list)
    """The changes to append, with their numbers."""
    claims: list[FollowedClaim] = field(default_factory=list)
    new: list[FollowedClaim] = field(default_factory=list)
    """The claims that the shard did not have before."""
    erased: list[FollowedClaim] = field(default_factory=list)
    rows: list[RegisterRow] = field(default_factory=list)
    """Rows of the register that are new or have changed."""
    gone: list[RegisterRow] = field(default_factory=list)
    """Rows that are no longer in the register."""
    partners: dict[str, str] = field(default_factory=dict)
    """The names of locations that are new in the shard, or have a new name."""
    customers: dict[str, Tally] = field(default_factory=dict)
    """What registered customers add to the sums, by tenant id."""
    moves: dict[str, Counts] = field(default_factory=dict)
    """By how much the sums of insight move, by group."""

    def __len__(self) -> int:
        """Return the number of rows that are written or deleted, without the head of the shard."""
        return (
            len(self.changes)
            + len(self.claims)
            + len(self.new)
            + 2 * len(self.erased)
            + len(self.rows)
            + len(self.gone)
            + len(self.partners)
            + len(self.customers)
            + len(self.moves)
        )

    def add(self, other: "Followed") -> None:
        """Write the rows of *other* in the same transaction. Its changes get the numbers that follow."""
        self.changes += other.changes
        self.claims += other.claims
        self.new += other.new
        self.erased += other.erased
        self.rows += other.rows
        self.gone += other.gone
        self.partners |= other.partners
        self.customers |= other.customers
        self.moves = joined([self.moves, other.moves])


@dataclass(frozen=True, slots=True)
class ShardSums:
    """The sums of insight in one shard."""

    groups: Mapping[str, Counts]
    partners: Mapping[str, str]
    """The names of locations. Empty if groups by partner were not asked for."""


class RegisterRange(NamedTuple):
    """A range of the register. Without a partner, it is the whole register."""

    organisation: str | None = None
    partner_id: str | None = None


class Programme(Protocol):
    """The programme's table. It has 16 shards, and a claim is in the shard of its due rows."""

    async def head(self, shard: int) -> ShardHead:
        """Return the state of a shard, in one request."""

    async def known_head(self, shard: int) -> ShardHead:
        """
        Return the state of a shard as this process read or wrote it last, usually without a request.

        Another process can have written since. Then `write` raises `Conflict`.
        """

    async def claim(self, shard: int, claim_id: str) -> FollowedClaim | None:
        """Return a claim as it was followed, in one request."""

    async def partner_name(self, shard: int, partner_id: str) -> str | None:
        """
        Return the name of a location as the shard knows it. None if the shard has no such claim.

        Like the head, the name is usually known without a request. If it is too old, `write` raises `Conflict`.
        """

    async def customer(self, shard: int, tenant_id: str) -> Tally | None:
        """Return what a customer has added to the sums, in one request. None for nothing."""

    async def write(self, shard: int, head: ShardHead, followed: Followed) -> ShardHead:
        """
        Write a pass in one transaction. Returns the new head.

        Raises `Conflict` if another pass has written to the shard since *head* was read.
        """

    async def register(
        self, shard: int, wanted: RegisterRange, *, after: str, limit: int
    ) -> Sequence[tuple[str, RegisterRow]]:
        """
        Return up to *limit* rows of a range with their keys, after the key *after*, in one request.

        The keys sort rows by organisation, location, tenant, engagement, item and beginning. So the rows of the shards
        can be merged.
        """

    async def changes(self, shard: int, *, after: int, limit: int) -> Sequence[ProgrammeChange] | None:
        """
        Return up to *limit* changes after the number *after*, in one request. After 0 the oldest change is the first.

        Returns None if changes after *after* were deleted.
        """

    async def trim(self, shard: int, *, before: datetime) -> datetime | None:
        """
        Delete changes from before that instant, as many as one request can delete. The newest change always stays.

        Returns the instant of the oldest change that is to be deleted later. None if there is none: the feed is empty,
        or has only a change from before that instant. Raises `Conflict`.
        """

    async def newest_claims(self, *, after: str, limit: int) -> Sequence[tuple[str, str]]:
        """
        Return up to *limit* pairs of position and claim id after the position *after*, the newest claim first.

        Makes one request for each shard. A deleted claim can still be in the list.
        """

    async def sums(self, shard: int, groupings: Collection[Grouping]) -> ShardSums:
        """
        Return the sums of these groupings and of all claims, in one request.

        Groups by partner take a second request, and another one for each thousand locations.
        """

    async def followed(self, shard: int, *, after: str, limit: int) -> Sequence[FollowedClaim]:
        """Return up to *limit* claims of a shard after the claim id *after*, in one request."""

    async def tallies(self, shard: int) -> Mapping[str, Counts]:
        """Return the sums of all stored tallies of a shard. Makes one request for each thousand claims or customers."""

    async def replace_sums(self, shard: int, head: ShardHead, sums: Mapping[str, Counts]) -> int:
        """
        Replace the sums of a shard. Returns the number of groups that have changed.

        Makes two requests, and one for each 90 changed groups. Raises `Conflict` if another pass has written to the
        shard since *head* was read.
        """
