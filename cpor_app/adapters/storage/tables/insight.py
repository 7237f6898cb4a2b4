"""
Table `insight`, one partition: the progress of the count, the pages counted so far, and the figures that are shown.

Pages and figures are compressed and split, because a cell has at most 64 KiB.
"""

import zlib
from collections.abc import Iterator, Sequence
from functools import cache

from pydantic import TypeAdapter

from cpor_app.adapters.storage.row_store import Delete, Insert, Put, Replace, Rows
from cpor_app.adapters.storage.tables import packed, unpacked
from cpor_core.model.insight import Counting, Grouping, Insight
from cpor_core.ports.insight import CountProgress
from cpor_core.rules.insight import Counted

TABLE = "insight"
ALL = "all"
PROGRESS, PAGE, SHOWN = "standing", "page", "shown"
PART_BYTES = 60_000
DELETED_AT_ONCE = 100


class InsightTable:
    """Implements `ports.insight.InsightStore` over rows."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def progress(self) -> CountProgress:
        row = await self._rows.get(TABLE, ALL, PROGRESS)
        if row is None:
            return CountProgress(Counting())
        return CountProgress(Counting.model_validate_json(unpacked(row.values["document"])), row.etag)

    async def write(self, value: Counting, etag: str | None) -> CountProgress:
        return await self._write(value, etag)

    async def store_page(self, value: Counting, page: Counted, etag: str | None) -> CountProgress:
        """Store as the port says, in one transaction."""
        return await self._write(value, etag, *_parts(_page(value, value.pages), _counted().dump_json(page)))

    async def _write(self, value: Counting, etag: str | None, *parts: Put) -> CountProgress:
        values = {"document": packed(value)}
        head = Insert(PROGRESS, values) if etag is None else Replace(PROGRESS, values, etag)
        written = await self._rows.write(TABLE, ALL, head, *parts)
        return CountProgress(value, written[PROGRESS])

    async def start(self, value: Counting, etag: str | None) -> CountProgress:
        """
        Start as the port says.

        The progress is written before old rows are deleted. After that write no other run can store its progress.
        """
        progress = await self._write(value, etag)
        prefix_to_keep = f"{SHOWN}|{value.shown}|"
        keys = [row.key async for row in self._rows.query(TABLE, ALL, start=PAGE, before=PROGRESS)]
        old = [key for key in keys if not key.startswith(prefix_to_keep)]
        for first in range(0, len(old), DELETED_AT_ONCE):
            await self._rows.write(TABLE, ALL, *map(Delete, old[first : first + DELETED_AT_ONCE]))
        return progress

    async def page(self, value: Counting, number: int) -> Counted | None:
        try:
            found = await self._read(_page(value, number))
            return _counted().validate_json(found) if found is not None else None
        except (ValueError, zlib.error):
            return None

    async def end(self, value: Counting, insights: Sequence[Insight], etag: str | None) -> None:
        for insight in insights:
            for part in _parts(_shown(value, insight.group_by), insight.model_dump_json(by_alias=True).encode()):
                await self._rows.write(TABLE, ALL, part)
        await self._write(value, etag)

    async def shown(self, value: Counting, grouping: Grouping) -> Insight | None:
        try:
            found = await self._read(_shown(value, grouping))
            return Insight.model_validate_json(found) if found is not None else None
        except (ValueError, zlib.error):  # a part was deleted during the read
            return None

    async def _read(self, prefix: str) -> bytes | None:
        rows = [row async for row in self._rows.query(TABLE, ALL, start=prefix, before=f"{prefix}~")]
        parts = [part for row in rows if isinstance(part := row.values["part"], bytes)]
        return zlib.decompress(b"".join(parts)) if parts else None


def _page(value: Counting, number: int) -> str:
    began = value.began
    assert began is not None  # noqa: S101 - only a running count has pages
    return f"{PAGE}|{began:%Y%m%dT%H%M%S.%f}|{number:06d}|"


def _shown(value: Counting, grouping: Grouping) -> str:
    return f"{SHOWN}|{value.shown}|{grouping.value}|"


def _parts(prefix: str, content: bytes) -> Iterator[Put]:
    text = zlib.compress(content)
    for number, start in enumerate(range(0, len(text), PART_BYTES)):
        yield Put(f"{prefix}{number:04d}", {"part": text[start : start + PART_BYTES]})


@cache
def _counted() -> TypeAdapter[Counted]:
    """Return the validator of a page. It is built at its first use."""
    return TypeAdapter(Counted)
