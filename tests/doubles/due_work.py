"""Due rows with ages by the test's clock."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from cpor_core.due_work import Kind, RowRef
from cpor_core.ports.due_work import DuePage, DueRow, DueRows, LookedAt
from tests.doubles.clock import FixedClock

Written: TypeAlias = dict[tuple[datetime, str, Kind, str], datetime]
"""When each row was written, by its due instant, subject, kind and label."""


class DueWorkOfThisClock:
    """
    Due rows with ages by the test's clock.

    The emulator uses the machine's clock. In a test months pass in a second, and the age of a row decides whether it
    can be deleted.
    """

    def __init__(self, inner: DueRows, clock: FixedClock, written: Written) -> None:
        """Share *written* with every other process."""
        self._inner, self._clock, self._written = inner, clock, written
        self.settled = 0
        """How often rows of a shard were put off or deleted."""

    def _note(self, *rows: DueRow) -> None:
        self._written |= {(row.due, row.subject, row.kind, row.label): self._clock.real() for row in rows}

    async def add(self, rows: Sequence[DueRow]) -> None:
        self._note(*rows)
        await self._inner.add(rows)

    async def due(self, shard: int, now: datetime, *, after: DueRow | None, limit: int) -> Sequence[DueRow]:
        return self._with_ages(await self._inner.due(shard, now, after=after, limit=limit))

    def _with_ages(self, rows: Sequence[DueRow]) -> Sequence[DueRow]:
        return [replace(row, written_at=self._written[row.due, row.subject, row.kind, row.label]) for row in rows]

    def page_of(self, shard: int, rows: Sequence[DueRow]) -> DuePage:
        return self._inner.page_of(shard, rows)

    async def of_page(self, page: DuePage, *, limit: int) -> Sequence[DueRow]:
        return self._with_ages(await self._inner.of_page(page, limit=limit))

    async def move(self, row: DueRow, also: Sequence[DueRow], *, due: datetime, attempt: int) -> DueRow:
        self._note(*also, replace(row, due=due))
        return await self._inner.move(row, also, due=due, attempt=attempt)

    async def settle(self, rows: Sequence[LookedAt]) -> None:
        self.settled += bool(rows)
        self._note(*(one.again for one in rows if one.again is not None))
        await self._inner.settle(rows)

    async def delete_expired(self, row_ref: RowRef) -> None:
        await self._inner.delete_expired(row_ref)
