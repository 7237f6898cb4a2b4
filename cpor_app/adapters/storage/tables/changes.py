"""
Table `changes`, one partition for each partner organisation: the change feed.

| row key | what |
|---|---|
| `head` | the numbers of the newest and the oldest change, and whether the organisation has webhooks |
| `entry|{sequence}` | one change |
| `told|{claim}|{number}` | the feed has that history entry; the number counts down, so that the newest comes first |
| `note|{claim}|{number}` | the same for the partner's notes |
| `rival|{claim}|{other}|{time}` | the feed has a change that says that the other claim competes |

One transaction writes the changes and the number of the newest one. So no number is missing, and no history entry is
announced twice or in the wrong order.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from weakref import WeakValueDictionary

from cpor_app.adapters.remembered import remember
from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Op, Replace, Require, Row, Rows, partitions
from cpor_app.adapters.storage.tables import packed, unpacked
from cpor_core.model.change import Change
from cpor_core.ports.feed import Announcement, FeedHead

TABLE = "changes"
HEAD = "head"
MOST_AT_ONCE = 90
"""Changes that one request deletes. A transaction has at most 100 rows."""
MOST_KNOWN_HEADS = 1_000
"""The most heads that a process remembers. A head has about 200 bytes."""
MOST_KNOWN_CLAIMS = 10_000
"""A process remembers the newest announced entry of so many claims. Each takes about 200 bytes."""
_HIGHEST = 999_999


class ChangesTable:
    """Implements `ports.feed.Changes` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known_heads: dict[str, FeedHead] = {}
        self._announced: dict[str, int] = {}

    def turn(self, organisation: str) -> asyncio.Lock:
        return self._turns.setdefault(organisation, asyncio.Lock())

    def organisations(self) -> AsyncIterator[str]:
        return partitions(self._rows, TABLE)

    async def head(self, organisation: str) -> FeedHead:
        row = await self._rows.get(TABLE, organisation, HEAD)
        return self._remember(organisation, _feed_head(row) if row is not None else FeedHead())

    async def known_head(self, organisation: str) -> FeedHead:
        return self._known_heads.get(organisation) or await self.head(organisation)

    def _remember(self, organisation: str, head: FeedHead) -> FeedHead:
        remember(self._known_heads, organisation, head, most=MOST_KNOWN_HEADS)
        return head

    async def page(self, organisation: str, *, after: int, limit: int) -> Sequence[Change]:
        rows = await self._rows.page(TABLE, organisation, start=_entry(after + 1), before="entry|~", limit=limit)
        return [Change.model_validate_json(unpacked(row.values["document"])) for row in rows]

    async def announced_up_to(self, organisation: str, claim_id: str) -> int:
        return await self._newest(organisation, f"told|{claim_id}|")

    def known_announced(self, claim_id: str) -> int:
        return self._announced.get(claim_id, 0)

    async def notes_announced_up_to(self, organisation: str, claim_id: str) -> int:
        return await self._newest(organisation, f"note|{claim_id}|")

    async def _newest(self, organisation: str, start: str) -> int:
        rows = await self._rows.page(TABLE, organisation, start=start, before=f"{start}~", limit=1)
        return _HIGHEST - int(rows[0].key.rpartition("|")[2]) if rows else 0

    async def rivals_of(self, organisation: str, claim_id: str) -> Sequence[str]:
        start = f"rival|{claim_id}|"
        rows = self._rows.query(TABLE, organisation, start=start, before=f"{start}~")
        return list(dict.fromkeys([row.key.split("|")[2] async for row in rows]))

    async def has_announced_rival(self, organisation: str, claim_id: str, rival: str, time: int) -> bool:
        return await self._rows.get(TABLE, organisation, _rival(claim_id, rival, time)) is not None

    async def append(self, organisation: str, head: FeedHead, news: Sequence[Announcement]) -> FeedHead:
        after = replace(head, last=head.last + len(news))
        written = await self._write(organisation, head, after, *_requirements(news), *_inserts(news))
        for one in news:
            if one.competes_with is None and not one.is_note:
                remember(self._announced, one.change.claim_id, one.number, most=MOST_KNOWN_CLAIMS)
        return written

    async def _write(self, organisation: str, head: FeedHead, after: FeedHead, *ops: Op) -> FeedHead:
        written = await self._rows.write(TABLE, organisation, _head_op(head, after), *ops)
        return self._remember(organisation, replace(after, etag=written[HEAD]))

    async def note_webhooks(self, organisation: str, *, has_webhooks: bool) -> None:
        head = await self.head(organisation)
        if head.has_webhooks is not has_webhooks:
            await self._write(organisation, head, replace(head, has_webhooks=has_webhooks))

    async def trim(self, organisation: str, *, before: datetime) -> datetime | None:
        head = await self.head(organisation)
        entries = await self.page(organisation, after=head.oldest - 1, limit=MOST_AT_ONCE + 1)
        # Only the first changes of the feed: a change that was announced late can be older than the changes before it.
        old = list(takewhile(lambda entry: entry.at < before, entries[:MOST_AT_ONCE]))
        if old:
            gone = (Delete(_entry(entry.sequence)) for entry in old)
            await self._write(organisation, head, replace(head, oldest=old[-1].sequence + 1), *gone)
        remaining = entries[len(old) :]
        return remaining[0].at if remaining else None


def _feed_head(row: Row) -> FeedHead:
    values = row.values
    return FeedHead(
        last=int(str(values["last"])),
        oldest=int(str(values["oldest"])),
        has_webhooks=bool(values["hasWebhooks"]),
        etag=row.etag,
    )


def _entry(sequence: int) -> str:
    return f"entry|{sequence:012d}"


def _rival(claim_id: str, rival: str, time: int) -> str:
    return f"rival|{claim_id}|{rival}|{time:06d}"


def _announced_key(claim_id: str, number: int, *, is_note: bool) -> str:
    return f"{'note' if is_note else 'told'}|{claim_id}|{_HIGHEST - number:06d}"


def _head_op(head: FeedHead, after: FeedHead) -> Op:
    values: dict[str, Cell] = {"last": after.last, "oldest": after.oldest, "hasWebhooks": after.has_webhooks}
    return Insert(HEAD, values) if head.etag is None else Replace(HEAD, values, head.etag)


def _requirements(news: Sequence[Announcement]) -> Iterator[Op]:
    """Require that each claim's history entry and note before those in *news* were announced."""
    now = {(one.change.claim_id, one.number, one.is_note) for one in news if one.competes_with is None}
    for claim_id, number, is_note in now:
        if number > 1 and (claim_id, number - 1, is_note) not in now:
            yield Require(_announced_key(claim_id, number - 1, is_note=is_note))


def _inserts(news: Sequence[Announcement]) -> Iterator[Op]:
    for one in news:
        claim_id = one.change.claim_id
        yield Insert(_entry(one.change.sequence), {"document": packed(one.change)})
        if one.competes_with is not None:
            yield Insert(_rival(claim_id, one.competes_with, one.number), {"sequence": one.change.sequence})
        else:
            key = _announced_key(claim_id, one.number, is_note=one.is_note)
            yield Insert(key, {"sequence": one.change.sequence})
