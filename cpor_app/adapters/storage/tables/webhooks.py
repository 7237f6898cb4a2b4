"""
Table `webhooks`, one partition for each partner organisation.

| row key | what |
|---|---|
| `hook|{name}` | a webhook with its secrets, and the number of the last change for which it has deliveries |
| `delivery|{name}|{born}|{place}` | a pending, delivered or failed delivery; the newest comes first |
| `pending|{name}|{born}|{next attempt}|{place}` | no cells, because the key says when the next attempt is due |
| `calls|{name}|{born}` | the instant until which one process is allowed to call the receiver |

One transaction writes new deliveries together with that number. So each change has exactly one delivery.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cpor_app.adapters.storage.row_store import Cell, Delete, Insert, Op, Put, Replace, Row, Rows, partitions
from cpor_app.adapters.storage.tables import just_after, packed, unpacked
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.model.webhook import Delivery, Webhook
from cpor_core.ports.stored import Stored
from cpor_core.rules.identifiers import newest_first

TABLE = "webhooks"
DELETED_AT_ONCE = 50
"""Deliveries that one transaction deletes. A delivery has at most two rows, and a transaction takes 100 rows."""


class WebhooksTable:
    """Implements `ports.feed.Webhooks` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    def organisations(self) -> AsyncIterator[str]:
        return partitions(self._rows, TABLE)

    async def kept(self, organisation: str) -> AsyncIterator[tuple[tuple[str, str], Delivery]]:
        async for row in self._rows.query(TABLE, organisation, start="delivery|", before="delivery|~"):
            _, name, born, _ = row.key.split("|", 3)
            yield (name, born), _read(row).value

    async def all(self, organisation: str) -> Sequence[Stored[Webhook]]:
        rows = self._rows.query(TABLE, organisation, start="hook|", before="hook|~")
        return [_webhook(row) async for row in rows]

    async def find(self, organisation: str, name: str) -> Stored[Webhook] | None:
        row = await self._rows.get(TABLE, organisation, _hook(name))
        return _webhook(row) if row is not None else None

    async def write(
        self, organisation: str, webhook: Webhook, former: Stored[Webhook] | None, made: Sequence[Delivery] = ()
    ) -> Stored[Webhook]:
        key, values = _hook(webhook.name), {"document": packed(webhook)}
        op = Insert(key, values) if former is None else Replace(key, values, former.etag)
        inserts = (each for delivery in made for each in _added(webhook, delivery))
        written = await self._rows.write(TABLE, organisation, op, *inserts)
        return Stored(webhook, written[key])

    async def delete(self, organisation: str, former: Stored[Webhook]) -> None:
        await self._rows.write(
            TABLE, organisation, Delete(_hook(former.value.name), former.etag), Delete(_calls(former.value))
        )

    async def add(self, organisation: str, webhook: Webhook, delivery: Delivery) -> None:
        await self._rows.write(TABLE, organisation, *_added(webhook, delivery))

    async def deliveries(self, organisation: str, webhook: Webhook, *, after: str, limit: int) -> Sequence[Delivery]:
        first = _delivery(webhook, "")
        start = just_after(first + after) if after else first
        rows = await self._rows.page(TABLE, organisation, start=start, before=f"{first}~", limit=limit)
        return [_read(row).value for row in rows]

    async def is_waiting(self, organisation: str, webhook: Webhook, now: datetime) -> bool:
        return bool(await self._places_due(organisation, webhook, now, limit=1))

    async def waiting(
        self, organisation: str, webhook: Webhook, now: datetime, *, limit: int
    ) -> Sequence[Stored[Delivery]]:
        places = await self._places_due(organisation, webhook, now, limit=limit)
        keys = (_delivery(webhook, place) for place in places)
        rows = await asyncio.gather(*(self._rows.get(TABLE, organisation, key) for key in keys))
        return [_read(row) for row in rows if row is not None]

    async def _places_due(self, organisation: str, webhook: Webhook, now: datetime, limit: int) -> Sequence[str]:
        """Return the places of the deliveries whose next attempt is due at *now*, oldest first, with one request."""
        first, before = _pending(webhook, ""), _pending(webhook, _stamp(now + timedelta(microseconds=1)))
        rows = await self._rows.page(TABLE, organisation, start=first, before=before, limit=limit)
        return [row.key.removeprefix(first).partition("|")[2] for row in rows]

    async def record(self, organisation: str, webhook: Webhook, before: Stored[Delivery], after: Delivery) -> None:
        ops: list[Op] = [Replace(_delivery(webhook, after.place), {"document": packed(after)}, before.etag)]
        former_keys = _pending_keys(webhook.name, webhook.born, before.value)
        new_keys = _pending_keys(webhook.name, webhook.born, after)
        if former_keys != new_keys:
            ops += [Delete(key) for key in former_keys]
            ops += [Put(key, {}) for key in new_keys]
        await self._rows.write(TABLE, organisation, *ops)

    async def begin_calls(self, organisation: str, webhook: Webhook, now: datetime, until: datetime) -> str | None:
        key, values = _calls(webhook), {"until": until}
        try:
            return (await self._rows.write(TABLE, organisation, Insert(key, values)))[key]
        except Conflict:
            row = await self._rows.get(TABLE, organisation, key)
        if row is None or _instant(row.values["until"]) > now:
            return None
        try:  # the time of the former process is over, because it died or was too slow
            return (await self._rows.write(TABLE, organisation, Replace(key, values, row.etag)))[key]
        except Conflict:
            return None

    async def end_calls(self, organisation: str, webhook: Webhook, etag: str) -> None:
        try:
            await self._rows.write(TABLE, organisation, Delete(_calls(webhook), etag))
        except Conflict:
            return

    def deliveries_before(self, organisation: str, webhook: tuple[str, str], instant: datetime) -> RowRef:
        name, born = webhook
        return RowRef(
            TABLE, organisation, f"delivery|{name}|{born}|{newest_first(instant - timedelta(microseconds=1))}"
        )

    async def delete_deliveries(self, row_ref: RowRef) -> None:
        organisation, first_key = row_ref.partition, row_ref.key
        _, name, born, _ = first_key.split("|")
        before = f"delivery|{name}|{born}|~"
        while rows := await self._rows.page(TABLE, organisation, start=first_key, before=before, limit=DELETED_AT_ONCE):
            pending = (key for row in rows for key in _pending_keys(name, born, _read(row).value))
            await self._rows.write(TABLE, organisation, *(Delete(row.key) for row in rows), *map(Delete, pending))


def _hook(name: str) -> str:
    return f"hook|{name}"


def _delivery(webhook: Webhook, place: str) -> str:
    return f"delivery|{webhook.name}|{webhook.born}|{place}"


def _pending(webhook: Webhook, rest: str) -> str:
    return f"pending|{webhook.name}|{webhook.born}|{rest}"


def _calls(webhook: Webhook) -> str:
    return f"calls|{webhook.name}|{webhook.born}"


def _pending_keys(name: str, born: str, delivery: Delivery) -> Sequence[str]:
    """Return the key of a delivery's `pending` row, or nothing if no further attempt is due."""
    due = delivery.next_attempt
    return () if due is None else (f"pending|{name}|{born}|{_stamp(due)}|{delivery.place}",)


def _added(webhook: Webhook, delivery: Delivery) -> Iterator[Op]:
    # `Put`, not `Insert`, because the row can exist: the SDK repeats a request when its answer was lost.
    yield Put(_delivery(webhook, delivery.place), {"document": packed(delivery)})
    yield from (Put(key, {}) for key in _pending_keys(webhook.name, webhook.born, delivery))


def _webhook(row: Row) -> Stored[Webhook]:
    return Stored(Webhook.model_validate_json(unpacked(row.values["document"])), row.etag)


def _read(row: Row) -> Stored[Delivery]:
    return Stored(Delivery.model_validate_json(unpacked(row.values["document"])), row.etag)


def _stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z"


def _instant(cell: Cell) -> datetime:
    assert isinstance(cell, datetime)  # noqa: S101 - as `begin_calls` writes it
    return cell
