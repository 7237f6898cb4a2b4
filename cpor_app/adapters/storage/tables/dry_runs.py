"""Table `settings`, one partition for each hour: the number of dry runs of each organisation."""

from collections.abc import Sequence
from datetime import UTC, datetime

from cpor_app.adapters.storage.row_store import Cell, Insert, Replace, Rows
from cpor_core.due_work import RowRef
from cpor_core.errors import Conflict
from cpor_core.ports.claims import DryRunCount

SETTINGS = "settings"


class DryRunsTable:
    """Implements `ports.claims.DryRuns` over rows of `settings`. The row key is the organisation."""

    def __init__(self, rows: Rows) -> None:
        """Use *rows*. This sends no request."""
        self._rows = rows

    async def count(self, organisation: str, now: datetime) -> int:
        while True:
            row = await self._rows.get(SETTINGS, _hour(now), organisation)
            count = int(str(row.values["count"])) + 1 if row is not None else 1
            values: dict[str, Cell] = {"count": count}
            try:
                op = Insert(organisation, values) if row is None else Replace(organisation, values, row.etag)
                await self._rows.write(SETTINGS, _hour(now), op)
            except Conflict:
                continue
            return count

    def row_ref(self, organisation: str, now: datetime) -> RowRef:
        return RowRef(SETTINGS, _hour(now), organisation)

    async def of_hour(self, now: datetime) -> Sequence[DryRunCount]:
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return [
            DryRunCount(row.key, hour, int(str(row.values["count"])))
            async for row in self._rows.query(SETTINGS, _hour(now))
        ]


def _hour(now: datetime) -> str:
    return f"dryruns-{now.astimezone(UTC):%Y%m%dT%H}"
