"""Messages that could not be processed: kept where the operator sees them, and not for ever."""

from datetime import datetime, timedelta

from cpor_core.due_work import FORGET
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, Failure

KEPT = timedelta(days=90)


async def record(ports: Ports, failure: Failure, now: datetime) -> None:
    """Keep a failed message; the due row that forgets it comes first."""
    await ports.duework.add([failure_expiry(ports, failure, now)])
    await ports.failures.add(failure)


def failure_expiry(ports: Ports, failure: Failure, since: datetime) -> DueRow:
    """Return the due row that forgets a failed message, which is kept *since* then."""
    return DueRow(since + KEPT, failure.id, f"{FORGET}-failure", deletes=ports.failures.row_ref(failure))
