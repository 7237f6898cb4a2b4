"""The port for what the programme sees of all claims. Only the follower writes it (decision 75)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from cpor_core.model.programme import FollowedClaim, ProgrammeChange, RegisterRow


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
        """Return the name of a location as the shard knows it, in one request. None if the shard has no such claim."""

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

        Returns the instant of the oldest change that is still stored, or None. Raises `Conflict`.
        """

    async def newest_claims(self, *, after: str, limit: int) -> Sequence[tuple[str, str]]:
        """
        Return up to *limit* pairs of position and claim id after the position *after*, the newest claim first.

        Makes one request for each shard. A deleted claim can still be in the list.
        """
