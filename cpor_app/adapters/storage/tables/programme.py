"""
Table `programme`, 16 partitions: what the programme sees of all claims. A claim is in the shard of its due rows.

| row key | what |
|---|---|
| `a|head` | the numbers of the newest and the oldest change of the shard's feed |
| `a|sums|{group}` | the sums of insight for one group, such as `country|FR`, or for all claims (`total`) |
| `claim|{id}` | what is known of one claim, so that the next pass finds the difference |
| `customer|{tenantId}` | what a registered customer adds to the sums |
| `entry|{sequence}` | one change of the programme's feed |
| `made|{newest first}|{id}` | the key of a claim in the list of all claims |
| `row|{organisation}|{partnerId}|{tenant}|{engagement}|{item}|{since}|{id}` | one row of the register |
| `sum|{partnerId}` | a partner's location with its registered name, and its sums |

Only the follower writes here. Each pass is one transaction that replaces `a|head`. So a pass that has read older rows
fails, and reads them again.
"""

import asyncio
import heapq
import json
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile

from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Op, Put, Replace, Row, Rows
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.due_work import SHARDS
from cpor_core.errors import Conflict
from cpor_core.model.insight import Grouping
from cpor_core.model.programme import FollowedClaim, ProgrammeChange, RegisterRow
from cpor_core.model.tally import Counts, Tally
from cpor_core.ports.programme import Followed, RegisterRange, ShardHead, ShardSums
from cpor_core.rules.identifiers import list_position
from cpor_core.rules.tally import TOTAL, added, group_id, joined, moved

TABLE = "programme"
HEAD, SUMS = "a|head", "a|sums|"
MOST_AT_ONCE = 90
"""Changes that one request deletes. A transaction has at most 100 rows."""
MOST_KNOWN = 500
"""The most locations of one shard that a process remembers."""
OF_PARTNER = group_id(Grouping.PARTNER, "")


@dataclass(slots=True)
class _Known:
    """
    What this process knows of a shard at one head, so that a pass reads it only once.

    The values hold as long as nobody else writes to the shard. After that, no write over this head succeeds. A write
    of this process makes a new object, so that a read that began before it cannot add older values to newer ones.
    """

    head: ShardHead
    sums: Mapping[str, Cell] = field(default_factory=dict)
    """The packed sums by group."""
    partners: dict[str, Mapping[str, Cell]] = field(default_factory=dict)
    """The cells of locations. Empty for a location that the shard does not have."""


class ProgrammeTable:
    """Implements `ports.programme.Programme` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows
        self._known: dict[int, _Known] = {}

    async def head(self, shard: int) -> ShardHead:
        """Return as the port says. The same request reads the sums, because a pass needs both."""
        rows = {row.key: row async for row in self._rows.query(TABLE, _partition(shard), start=HEAD, before=f"{SUMS}~")}
        row = rows.pop(HEAD, None)
        head = _shard_head(row) if row is not None else ShardHead()
        known = self._known.get(shard)
        if known is None or known.head != head:
            sums = {key.removeprefix(SUMS): found.values["counts"] for key, found in rows.items()}
            self._known[shard] = _Known(head, sums)
        return head

    async def known_head(self, shard: int) -> ShardHead:
        known = self._known.get(shard)
        return known.head if known is not None else await self.head(shard)

    def _known_at(self, shard: int, head: ShardHead) -> _Known:
        """Return what is known at a head that was read. Raises `Conflict` if this process has written since."""
        known = self._known.get(shard)
        if known is None or known.head.etag != head.etag:
            raise Conflict(f"shard {shard} of the programme has a newer head")
        return known

    async def claim(self, shard: int, claim_id: str) -> FollowedClaim | None:
        row = await self._rows.get(TABLE, _partition(shard), _claim(claim_id))
        return _followed(row) if row is not None else None

    async def partner_name(self, shard: int, partner_id: str) -> str | None:
        known = self._known_at(shard, await self.known_head(shard))
        cells = await self._location(shard, known, partner_id)
        return str(cells["name"]) if cells else None

    async def _location(self, shard: int, known: _Known, partner_id: str) -> Mapping[str, Cell]:
        if partner_id not in known.partners:
            row = await self._rows.get(TABLE, _partition(shard), _partner(partner_id))
            if len(known.partners) >= MOST_KNOWN:
                known.partners.clear()
            known.partners[partner_id] = row.values if row is not None else {}
        return known.partners[partner_id]

    async def customer(self, shard: int, tenant_id: str) -> Tally | None:
        row = await self._rows.get(TABLE, _partition(shard), _customer(tenant_id))
        return _tally(row) if row is not None else None

    async def write(self, shard: int, head: ShardHead, followed: Followed) -> ShardHead:
        known = self._known_at(shard, head)
        after = replace(head, last=head.last + len(followed.changes))
        sums, partners = await self._moved(shard, known, followed)
        return await self._write(shard, known, after, *_ops(followed), sums=sums, partners=partners)

    async def _moved(
        self, shard: int, known: _Known, followed: Followed
    ) -> tuple[Mapping[str, Cell | None], Mapping[str, Mapping[str, Cell]]]:
        """Return the packed sums of the groups that move, None for a group without counts, and the locations."""
        sums, moves_of_partners = {}, {}
        for group, counts in followed.moves.items():
            if group.startswith(OF_PARTNER):
                moves_of_partners[group.removeprefix(OF_PARTNER)] = counts
            else:
                sums[group] = _packed_counts(added(_counts(known.sums.get(group)), counts))
        partners = {}
        for partner_id in followed.partners.keys() | moves_of_partners.keys():
            cells = await self._location(shard, known, partner_id)
            counts = added(_counts(cells.get("counts")), moves_of_partners.get(partner_id, {}))
            name = followed.partners.get(partner_id) or cells.get("name", "")
            partners[partner_id] = _location_cells(name, counts)
        return sums, partners

    def _sums(self, shard: int) -> AsyncIterator[Row]:
        return self._rows.query(TABLE, _partition(shard), start=SUMS, before=f"{SUMS}~")

    async def _write(
        self,
        shard: int,
        known: _Known,
        after: ShardHead,
        *ops: Op,
        sums: Mapping[str, Cell | None] | None = None,
        partners: Mapping[str, Mapping[str, Cell]] | None = None,
    ) -> ShardHead:
        head, values = known.head, {"last": after.last, "oldest": after.oldest}
        first = Insert(HEAD, values) if head.etag is None else Replace(HEAD, values, head.etag)
        of_sums = (
            Put(f"{SUMS}{group}", {"counts": cell}) if cell is not None else Delete(f"{SUMS}{group}")
            for group, cell in (sums or {}).items()
        )
        of_partners = (Put(_partner(partner_id), cells) for partner_id, cells in (partners or {}).items())
        written = await self._rows.write(TABLE, _partition(shard), first, *ops, *of_sums, *of_partners)
        kept = {group: cell for group, cell in {**known.sums, **(sums or {})}.items() if cell is not None}
        self._known[shard] = _Known(
            after := replace(after, etag=written[HEAD]),
            kept,
            {**known.partners, **(partners or {})},
        )
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
        known = self._known_at(shard, head)
        entries = await self._entries(shard, start=head.oldest, limit=MOST_AT_ONCE + 1)
        old = list(takewhile(lambda entry: entry.at < before, entries[:-1]))
        if old:
            gone = (Delete(_entry(entry.sequence)) for entry in old)
            await self._write(shard, known, replace(head, oldest=old[-1].sequence + 1), *gone)
        remaining = entries[len(old) :]
        is_done = len(remaining) < 2 and all(entry.at < before for entry in remaining)  # noqa: PLR2004 - the newest stays
        return None if is_done else remaining[0].at

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

    async def sums(self, shard: int, groupings: Collection[Grouping]) -> ShardSums:
        wanted = {TOTAL, *groupings}
        groups = {
            group: _counts(row.values["counts"])
            async for row in self._sums(shard)
            if (group := row.key.removeprefix(SUMS)).partition("|")[0] in wanted
        }
        names = {}
        if Grouping.PARTNER in wanted:
            async for row in self._rows.query(TABLE, _partition(shard), start="sum|", before="sum|~"):
                partner_id = row.key.removeprefix("sum|")
                names[partner_id] = str(row.values["name"])
                groups[OF_PARTNER + partner_id] = _counts(row.values.get("counts"))
        return ShardSums(groups, names)

    async def followed(self, shard: int, *, after: str, limit: int) -> Sequence[FollowedClaim]:
        start = just_after(_claim(after)) if after else "claim|"
        rows = await self._rows.page(TABLE, _partition(shard), start=start, before="claim|~", limit=limit)
        return [_followed(row) for row in rows]

    async def tallies(self, shard: int) -> Mapping[str, Counts]:
        claims = self._rows.query(TABLE, _partition(shard), start="claim|", before="claim|~")
        customers = self._rows.query(TABLE, _partition(shard), start="customer|", before="customer|~")
        tallies: list[tuple[None, Tally | None]] = [(None, _followed(row).tally) async for row in claims]
        tallies += [(None, _tally(row)) async for row in customers]
        return moved(tallies)

    async def replace_sums(self, shard: int, head: ShardHead, sums: Mapping[str, Counts]) -> int:
        found = await self.sums(shard, tuple(Grouping))
        negative = {group: {name: -count for name, count in counts.items()} for group, counts in found.groups.items()}
        moves = list(joined([sums, negative]).items())
        for first in range(0, len(moves), MOST_AT_ONCE):
            head = await self.write(shard, head, Followed(moves=dict(moves[first : first + MOST_AT_ONCE])))
        return len(moves)


def _partition(shard: int) -> str:
    return f"{shard:02d}"


def _shard_head(row: Row) -> ShardHead:
    return ShardHead(last=int(str(row.values["last"])), oldest=int(str(row.values["oldest"])), etag=row.etag)


def _followed(row: Row) -> FollowedClaim:
    return FollowedClaim.model_validate_json(unpacked(row.values["document"]))


def _tally(row: Row) -> Tally:
    return Tally.model_validate_json(unpacked(row.values["document"]))


def _claim(claim_id: str) -> str:
    return f"claim|{claim_id}"


def _entry(sequence: int) -> str:
    return f"entry|{sequence:016d}"


def _made(claim: FollowedClaim) -> str:
    return f"made|{list_position(claim.created_at, claim.claim_id)}"


def _customer(tenant_id: str) -> str:
    return f"customer|{tenant_id}"


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
    for tenant_id, tally in followed.customers.items():
        yield Put(_customer(tenant_id), {"document": packed(tally)})


def _location_cells(name: Cell, counts: Counts) -> Mapping[str, Cell]:
    packed_counts = _packed_counts(counts)
    return {"name": name} if packed_counts is None else {"name": name, "counts": packed_counts}


def _packed_counts(counts: Counts) -> Cell | None:
    """Return the counts as one cell, None without counts. A group fits, because its histograms have few steps."""
    return zlib.compress(json.dumps(counts, separators=(",", ":")).encode()) if counts else None


def _counts(cell: Cell | None) -> Counts:
    return json.loads(zlib.decompress(cell)) if isinstance(cell, bytes) else {}
