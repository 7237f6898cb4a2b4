"""
Table `settings`, partition `mail`: the one row by which all instances keep to what the mail service takes.

Without limits (SMTP, unless set) nothing is read or counted; only a pause that the mail system asks for is written.
"""

from collections.abc import Callable
from datetime import datetime

from cpor_app.adapters.ids import new_id
from cpor_app.adapters.rows import Cell, Insert, Replace, Row, Rows
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.rules.mail_budget import MOST_AT_ONCE, Budget, Drawn, Limits, Urgency, budget_at, draw, paused

TABLE, PARTITION, ROW = "settings", "mail", "budget"
ATTEMPTS = 20
SHARE_DRAWN_AHEAD = 3
"""One instance draws a third of a minute's mails ahead at most, so that none empties the window of the others."""


class MailBudgetRow:
    """`cpor_core.ports.MailBudget` over rows."""

    def __init__(self, rows: Rows, limits: Limits, real_now: Callable[[], datetime]) -> None:
        """Keep *rows*; nothing is sent. The mail service counts in real time."""
        self._rows = rows
        self._limits = limits
        self._real_now = real_now
        self._not_before: datetime | None = None
        self._minute: datetime | None = None
        self._kept = 0

    async def draw(self, wanted: int, urgency: Urgency) -> Drawn:
        """
        Return how many of *wanted* mails may be handed over now: two requests, none for permits that are at hand.

        Notices draw ahead. Permits at hand are good for their minute, even when another instance is told to pause.
        """
        now = self._real_now()
        if self._not_before is not None and now < self._not_before:
            return Drawn(0, self._not_before)
        if not self._limits.are_set:
            return Drawn(wanted)
        if urgency is Urgency.NOTICE and self._minute == budget_at(None, now).minute and self._kept >= wanted:
            self._kept -= wanted
            return Drawn(wanted)
        ahead = self._ahead(wanted) if urgency is Urgency.NOTICE else 0
        drawn: Drawn | None = None

        def take(budget: Budget | None) -> Budget:
            nonlocal drawn
            after, drawn = draw(budget, self._limits, urgency, wanted, now, ahead=ahead)
            return after

        await self._change(take)
        assert drawn is not None  # noqa: S101 - `_change` has called `take`
        if drawn.permits > wanted:
            self._minute, self._kept = budget_at(None, now).minute, drawn.permits - wanted
        return Drawn(min(drawn.permits, wanted), drawn.next_turn)

    async def pause(self, until: datetime) -> None:
        """Let nobody hand a mail over before *until*: the mail system asked for it."""
        self._not_before = max(until, self._not_before or until)
        self._kept = 0
        now = self._real_now()
        await self._change(lambda budget: paused(budget, until, now))

    def _ahead(self, wanted: int) -> int:
        a_minute = self._limits.per_minute
        most = MOST_AT_ONCE if a_minute is None else min(MOST_AT_ONCE, a_minute // SHARE_DRAWN_AHEAD)
        return max(most - wanted, 0)

    async def _change(self, change: Callable[[Budget | None], Budget]) -> None:
        """Write what *change* makes of the newest row, under its ETag."""
        act = new_id()
        for _ in range(ATTEMPTS):
            row = await self._rows.get(TABLE, PARTITION, ROW)
            if row is not None and row.values.get("actId") == act:
                return  # the write was ours; its answer was lost
            values = _values(change(_budget(row)), act)
            try:
                op = Insert(ROW, values) if row is None else Replace(ROW, values, row.etag)
                await self._rows.write(TABLE, PARTITION, op)
            except Conflict:
                continue
            return
        raise StorageBusy("too many senders draw from the mail budget at once", retry_after_seconds=1)


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
