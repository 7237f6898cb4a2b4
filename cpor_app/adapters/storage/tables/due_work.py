"""
Table `duework`: due rows in 16 shards. The hash of the subject decides the shard.

The row key is the due instant, the subject, and the kind with its label. The sweep reads from each shard the rows that
are due.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cpor_app.adapters.storage.row_store import MAX_OPS, Cell, Delete, Op, Put, Replace, Row, Rows
from cpor_app.adapters.storage.tables import just_after
from cpor_app.adapters.tracing import as_trace_parent, trace_parent
from cpor_core.due_work import Kind, RowRef
from cpor_core.errors import Conflict
from cpor_core.ports.due_work import DuePage, DueRow, LookedAt
from cpor_core.rules.identifiers import shard_of

TABLE = "duework"
BY_TABLE = {"claims": Kind.DELETE_REPLY, "webhooks": Kind.DELETE_DELIVERIES, "evidence": Kind.DELETE_BLOB}
"""Kinds that are stored as `forget-{label}`, as in release 1. The table of what the row deletes gives the kind."""
FORGET = "forget-"


class DueWorkTable:
    """Implements `ports.due_work.DueRows` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def add(self, rows: Sequence[DueRow]) -> None:
        for subject in dict.fromkeys(row.subject for row in rows):
            puts = [Put(_key(row), _values(row)) for row in rows if row.subject == subject]
            await self._rows.write(TABLE, _shard(subject), *{put.key: put for put in puts}.values())

    async def due(self, shard: int, now: datetime, *, after: DueRow | None, limit: int) -> Sequence[DueRow]:
        start = just_after(_key(after)) if after is not None else ""
        before = _stamp(now + timedelta(microseconds=1))
        rows = await self._rows.page(TABLE, f"{shard:02d}", start=start, before=before, limit=limit)
        return [_due_row(row) for row in rows]

    def page_of(self, shard: int, rows: Sequence[DueRow]) -> DuePage:
        return DuePage(shard, f"{_place(rows[0])}|", f"{_place(rows[-1])}|~")

    async def of_page(self, page: DuePage, *, limit: int) -> Sequence[DueRow]:
        rows = await self._rows.page(TABLE, f"{page.shard:02d}", start=page.first, before=page.last, limit=limit)
        return [_due_row(row) for row in rows]

    async def move(self, row: DueRow, also: Sequence[DueRow], *, due: datetime, attempt: int) -> DueRow:
        moved = replace(row, due=due, attempt=attempt, since=None, etag=None, written_at=None)
        puts = {put.key: put for put in (Put(_key(one), _values(one)) for one in (moved, *also))}
        if _key(moved) == _key(row):
            await self._rows.write(TABLE, _shard(row.subject), *puts.values())
        else:
            puts.pop(_key(row), None)
            await self._rows.write(TABLE, _shard(row.subject), Delete(_key(row), row.etag), *puts.values())
        return moved

    async def settle(self, rows: Sequence[LookedAt]) -> None:
        for group in _in_groups(rows):
            try:
                await self._settle(group)
            except Conflict:  # halves find the rows that have changed with few requests
                half = len(group) // 2
                if half:
                    await self.settle(group[:half])
                    await self.settle(group[half:])

    async def _settle(self, rows: Sequence[LookedAt]) -> None:
        ops = [op for one in rows for op in _ops(one)]
        await self._rows.write(TABLE, _shard(rows[0].row.subject), *ops)

    async def delete_expired(self, row_ref: RowRef) -> None:
        await self._rows.write(row_ref.table, row_ref.partition, Delete(row_ref.key))


def _ops(one: LookedAt) -> Sequence[Op]:
    row, again = one.row, one.again
    if again is None:
        return (Delete(_key(row), row.etag),)
    if _key(again) == _key(row):
        return (Replace(_key(row), _values(again), str(row.etag)),)
    return Delete(_key(row), row.etag), Put(_key(again), _values(again))


def _in_groups(rows: Sequence[LookedAt]) -> Iterator[Sequence[LookedAt]]:
    """Split rows into as few transactions as storage accepts. A transaction names each row only once."""
    group: list[LookedAt] = []
    keys: set[str] = set()
    for one in rows:
        more = {op.key for op in _ops(one)}
        if len(keys | more) > MAX_OPS or not keys.isdisjoint(more):
            yield group
            group, keys = [], set()
        group.append(one)
        keys |= more
    if group:
        yield group


def _shard(subject: str) -> str:
    return f"{shard_of(subject):02d}"


def _stamp(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z"


def _key(row: DueRow) -> str:
    return f"{_place(row)}|{_name(row)}"


def _place(row: DueRow) -> str:
    return f"{_stamp(row.due)}|{row.subject}"


def _name(row: DueRow) -> str:
    """Return the kind with its label, as `_kind_and_label` reads them."""
    if row.kind in BY_TABLE.values():
        return f"{FORGET}{row.label}"
    return "-".join(part for part in (row.kind, row.label) if part)


def _kind_and_label(name: str, deletes: RowRef | None) -> tuple[Kind, str]:
    if deletes is not None and deletes.table in BY_TABLE and name.startswith(FORGET):
        return BY_TABLE[deletes.table], name.removeprefix(FORGET)
    for kind in Kind:
        if kind and (name == kind or name.startswith(f"{kind}-")):
            return kind, name[len(kind) + 1 :]
    return Kind.OF_ANOTHER_RELEASE, name


def _values(row: DueRow) -> Mapping[str, Cell]:
    values: dict[str, Cell] = {"due": row.due, "subject": row.subject, "debt": _name(row), "attempt": row.attempt}
    optional = {"since": row.since, "version": row.version, "at": row.at}
    values |= {name: value for name, value in optional.items() if value is not None}
    trace = row.trace or trace_parent()
    if trace is not None:
        values["traceparent"] = trace
    if row.deletes is not None:
        values |= dict(zip(("forgetTable", "forgetPartition", "forgetKey"), row.deletes, strict=True))
    return values


def _due_row(row: Row) -> DueRow:
    values = row.values
    due, version = values["due"], values.get("version")
    assert isinstance(due, datetime)  # noqa: S101 - as `_values` writes it
    deletes = None
    if "forgetTable" in values:
        deletes = RowRef(str(values["forgetTable"]), str(values["forgetPartition"]), str(values["forgetKey"]))
    kind, label = _kind_and_label(str(values["debt"]), deletes)
    return DueRow(
        due,
        str(values["subject"]),
        kind,
        label,
        attempt=int(str(values["attempt"])),
        deletes=deletes,
        since=_instant(values.get("since")),
        version=int(str(version)) if version is not None else None,
        at=_instant(values.get("at")),
        trace=as_trace_parent(values.get("traceparent")),
        etag=row.etag,
        written_at=row.timestamp,
    )


def _instant(cell: Cell | None) -> datetime | None:
    return cell if isinstance(cell, datetime) else None
