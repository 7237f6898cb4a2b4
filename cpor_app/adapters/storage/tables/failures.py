"""Table `failures`: messages that came from the poison queues."""

from collections.abc import Sequence
from datetime import datetime

from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import Cell, Delete, Put, Rows
from cpor_app.adapters.storage.tables import just_after
from cpor_core.due_work import RowRef
from cpor_core.ports.due_work import Failure
from cpor_core.rules.identifiers import newest_first

FAILURES, FAILED = "failures", "failed"


class FailuresTable:
    """Implements `ports.due_work.Failures` over rows and queues."""

    def __init__(self, rows: Rows, queues: AzureQueues) -> None:
        """Use *rows* and *queues*. This sends no request."""
        self._rows = rows
        self._queues = queues

    async def add(self, failure: Failure) -> None:
        values: dict[str, Cell] = {"id": failure.id, "queue": failure.queue, "body": failure.body, "at": failure.at}
        await self._rows.write(FAILURES, FAILED, Put(_position(failure), values))

    async def page(self, *, after: str, limit: int) -> Sequence[Failure]:
        start = just_after(after) if after else ""
        rows = await self._rows.page(FAILURES, FAILED, start=start, limit=limit)
        failures = []
        for row in rows:
            at = row.values["at"]
            assert isinstance(at, datetime)  # noqa: S101 - as `add` writes it
            failures.append(Failure(str(row.values["id"]), str(row.values["queue"]), str(row.values["body"]), at))
        return failures

    def position(self, failure: Failure) -> str:
        return _position(failure)

    def row_ref(self, failure: Failure) -> RowRef:
        return RowRef(FAILURES, FAILED, _position(failure))

    async def redrive(self, failure: Failure) -> None:
        await self._queues.send(failure.queue, failure.body)
        await self._rows.write(FAILURES, FAILED, Delete(_position(failure)))


def _position(failure: Failure) -> str:
    return f"{newest_first(failure.at)}|{failure.id}"
