"""
Table `programme`, 16 partitions: what the programme sees of all claims. A claim is in the shard of its due rows.

| row key | what |
|---|---|
| `a|head` | the numbers of the newest and the oldest change of the shard's feed |
| `claim|{id}` | what is known of one claim, so that the next pass finds the difference |
| `entry|{sequence}` | one change of the programme's feed |
| `made|{newest first}|{id}` | the key of a claim in the list of all claims |
| `row|{organisation}|{partnerId}|{tenant}|{engagement}|{item}|{since}|{id}` | one row of the register |
| `sum|{partnerId}` | a partner's location with its registered name |

Only the follower writes here. Each pass is one transaction that replaces `a|head`. So a pass that has read older rows
fails, and reads them again.
"""

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile

from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Op, Put, Replace, Row, Rows
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.due_work import SHARDS
from cpor_core.model.programme import FollowedClaim, ProgrammeChange, RegisterRow
from cpor_core.ports.programme import Followed, RegisterRange, ShardHead
from cpor_core.rules.identifiers import list_position

TABLE = "programme"
HEAD = "a|head"
MOST_AT_ONCE = 90
"""Changes that one request deletes. A transaction has at most 100 rows."""


class ProgrammeTable:
    """Implements `ports.programme.Programme` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows
        self._known_heads: dict[int, ShardHead] = {}

    async def head(self, shard: int) -> ShardHead:
        row = await self._rows.get(TABLE, _partition(shard), HEAD)
        self._known_heads[shard] = head = _shard_head(row) if row is not None else ShardHead()
        return head

    async def known_head(self, shard: int) -> ShardHead:
        return self._known_heads.get(shard) or await self.head(shard)

    async def claim(self, shard: int, claim_id: str) -> FollowedClaim | None:
        row = await self._rows.get(TABLE, _partition(shard), _claim(claim_id))
        return FollowedClaim.model_validate_json(unpacked(row.values["document"])) if row is not None else None

    async def partner_name(self, shard: int, partner_id: str) -> str | None:
        row = await self._rows.get(TABLE, _partition(shard), _partner(partner_id))
        return str(row.values["name"]) if row is not None else None

    async def write(self, shard: int, head: ShardHead, followed: Followed) -> ShardHead:
        after = replace(head, last=head.last + len(followed.changes))
        return await self._write(shard, head, after, *_ops(followed))

    async def _write(self, shard: int, head: ShardHead, after: ShardHead, *ops: Op) -> ShardHead:
        values: dict[str, Cell] = {"last": after.last, "oldest": after.oldest}
        first = Insert(HEAD, values) if head.etag is None else Replace(HEAD, values, head.etag)
        written = await self._rows.write(TABLE, _partition(shard), first, *ops)
        self._known_heads[shard] = after = replace(after, etag=written[HEAD])
        return after

    async def register(
        self, shard: int, wanted: RegisterRange, *, after: str, limit: int
    ) -> Sequence[tuple[str, RegisterRow]]:
        prefix = "|".join(("row", *(part for part in wanted if part is not None), ""))
        rows = await self._rows.page(
            TABLE,
            _partition(shard),
            start=just_after(after) if after else prefix,
            before=f"{prefix}~",
            limit=limit,
        )
        return [(row.key, RegisterRow.model_validate_json(unpacked(row.values["document"]))) for row in rows]

    async def changes(self, shard: int, *, after: int, limit: int) -> Sequence[ProgrammeChange] | None:
        """Return as the port says. The change *after* is read too, because without it older changes are deleted."""
        found = await self._entries(shard, start=after, limit=limit + 1)
        if not after:
            return found[:limit]
        return found[1:] if found and found[0].sequence == after else None

    async def _entries(self, shard: int, *, start: int, limit: int) -> Sequence[ProgrammeChange]:
        rows = await self._rows.page(TABLE, _partition(shard), start=_entry(start), before="entry|~", limit=limit)
        return [ProgrammeChange.model_validate_json(unpacked(row.values["document"])) for row in rows]

    async def trim(self, shard: int, *, before: datetime) -> datetime | None:
        head = await self.head(shard)
        entries = await self._entries(shard, start=head.oldest, limit=MOST_AT_ONCE + 1)
        old = list(takewhile(lambda entry: entry.at < before, entries[:-1]))
        if old:
            gone = (Delete(_entry(entry.sequence)) for entry in old)
            await self._write(shard, head, replace(head, oldest=old[-1].sequence + 1), *gone)
        remaining = entries[len(old) :]
        return remaining[0].at if remaining else None

    async def newest_claims(self, *, after: str, limit: int) -> Sequence[tuple[str, str]]:
        start = just_after(f"made|{after}") if after else "made|"
        pages = await asyncio.gather(
            *(
                self._rows.page(TABLE, _partition(shard), start=start, before="made|~", limit=limit)
                for shard in range(SHARDS)
            )
        )
        positions = heapq.merge(*([row.key.removeprefix("made|") for row in page] for page in pages))
        return [(position, position.rpartition("|")[2]) for position, _ in zip(positions, range(limit), strict=False)]


def _partition(shard: int) -> str:
    return f"{shard:02d}"


def _shard_head(row: Row) -> ShardHead:
    return ShardHead(last=int(str(row.values["last"])), oldest=int(str(row.values["oldest"])), etag=row.etag)


def _claim(claim_id: str) -> str:
    return f"claim|{claim_id}"


def _entry(sequence: int) -> str:
    return f"entry|{sequence:016d}"


def _made(claim: FollowedClaim) -> str:
    return f"made|{list_position(claim.created_at, claim.claim_id)}"


def _partner(partner_id: str) -> str:
    return f"sum|{partner_id}"


def _register_key(row: RegisterRow) -> str:
    since = f"{row.since.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z"
    place = (row.organisation, row.partner_id, row.tenant_id, row.engagement, row.item, since, row.association_id)
    return "|".join(("row", *place))


def _ops(followed: Followed) -> Iterator[Op]:
    for change in followed.changes:
        yield Insert(_entry(change.sequence), {"document": packed(change)})
    for claim in followed.claims:
        yield Put(_claim(claim.claim_id), {"document": packed(claim)})
    for claim in followed.new:
        yield Put(_made(claim), {})
    for claim in followed.erased:
        yield Delete(_claim(claim.claim_id))
        yield Delete(_made(claim))
    for row in followed.rows:
        yield Put(_register_key(row), {"document": packed(row)})
    for row in followed.gone:
        yield Delete(_register_key(row))
    for partner_id, name in followed.partners.items():
        yield Put(_partner(partner_id), {"name": name})
