"""
Table `settings`, partition `mail`: one row with which all instances share the limits of the mail service.

Without limits nothing is read or counted. Only a pause is written, if the mail system asks for one. SMTP has no limits
unless the settings give some.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from cpor_app.adapters.ids import new_id
from cpor_app.adapters.storage.row_store import Cell, Insert, Replace, Row, Rows
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.rules.mail_budget import Budget, Drawn, Limits, Urgency, draw, paused

TABLE, PARTITION, ROW = "settings", "mail", "budget"
ATTEMPTS = 20


class MailBudgetRow:
    """Implements `ports.notices.MailBudget` over rows."""

    def __init__(self, rows: Rows, limits: Limits, real_now: Callable[[], datetime]) -> None:
        """Use *rows*. This sends no request. The clock is *real_now*, because the mail service counts in real time."""
        self._rows = rows
        self._limits = limits
        self._real_now = real_now
        self._not_before: datetime | None = None
        self._one_at_a_time = asyncio.Lock()

    async def draw(self, wanted: int, urgency: Urgency) -> Drawn:
        """
        Draw as the port says, with two requests.

        Only *wanted* permits are drawn, and no reserve. Other instances could not use a reserve, and a later pause
        would not stop its use.
        """
        now = self._real_now()
        if self._not_before is not None and now < self._not_before:
            return Drawn(0, self._not_before)
        if not self._limits.are_set:
            return Drawn(wanted)
        drawn: Drawn | None = None

        def draw_from(budget: Budget | None) -> Budget:
            nonlocal drawn
            after, drawn = draw(budget, self._limits, urgency, wanted, now)
            return after

        await self._change(draw_from)
        assert drawn is not None  # noqa: S101 - `_change` has called `draw_from`
        return drawn

    async def pause(self, until: datetime) -> None:
        self._not_before = max(until, self._not_before or until)
        now = self._real_now()
        await self._change(lambda budget: paused(budget, until, now))

    async def _change(self, change: Callable[[Budget | None], Budget]) -> None:
        """Apply *change* to the newest row, under its ETag. A lock prevents races between mails of one instance."""
        async with self._one_at_a_time:
            await self._change_newest_row(change)

    async def _change_newest_row(self, change: Callable[[Budget | None], Budget]) -> None:
        act = new_id()
        for _ in range(ATTEMPTS):
            row = await self._rows.get(TABLE, PARTITION, ROW)
            if row is not None and row.values.get("actId") == act:
                return  # our earlier write was stored, but its answer was lost
            values = _values(change(_budget(row)), act)
            try:
                op = Insert(ROW, values) if row is None else Replace(ROW, values, row.etag)
                await self._rows.write(TABLE, PARTITION, op)
            except Conflict:
                continue
            return
        raise StorageBusy("too many functions draw from the mail budget at once", retry_after_seconds=1)


def _budget(row: Row | None) -> Budget | None:
    if row is None:
        return None
    minute, hour, not_before = row.values["minute"], row.values["hour"], row.values.get("notBefore")
    assert isinstance(minute, datetime)  # noqa: S101 - as `_values` writes them
    assert isinstance(hour, datetime)  # noqa: S101
    assert not_before is None or isinstance(not_before, datetime)  # noqa: S101
    sent, sent_in_hour, turned_away = (int(str(row.values[name])) for name in ("sent", "sentInHour", "turnedAway"))
    return Budget(minute, hour, sent, sent_in_hour, turned_away, not_before)


def _values(budget: Budget, act: str) -> dict[str, Cell]:
    values: dict[str, Cell] = {
        "minute": budget.minute,
        "sent": budget.sent,
        "hour": budget.hour,
        "sentInHour": budget.sent_in_hour,
        "turnedAway": budget.turned_away,
        "actId": act,
    }
    return values if budget.not_before is None else {**values, "notBefore": budget.not_before}
