"""Stores failed messages for the operator. They are deleted after the time in `RETENTION`."""

from datetime import datetime

from cpor_core.due_work import Kind
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, Failure, expiry


async def record(ports: Ports, failure: Failure, now: datetime) -> None:
    """Store a failed message, after the due row that will delete it."""
    await ports.duework.add([failure_expiry(ports, failure, now)])
    await ports.failures.add(failure)


def failure_expiry(ports: Ports, failure: Failure, since: datetime) -> DueRow:
    """Return the due row that deletes a failed message that is stored since *since*."""
    return expiry(Kind.DELETE_FAILURE, failure.id, since, ports.failures.row_ref(failure))
