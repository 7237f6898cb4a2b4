"""A no is not lost: it is tried for a minute, and what can't be written then carries the instant of its arrival."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from cpor_app.http.request import Call
from cpor_core.errors import Refused, Retryable
from cpor_core.use_cases.claims.customer_decision import Said, insist

log = logging.getLogger("cpor.http")
ARRIVAL = "Cpor-Arrival"
"""The header in which a no by token brings back the instant of its arrival."""


async def said(call: Call, subject: str, sent: str | None, say_no: Callable[[datetime, bool], Awaitable[Said]]) -> Said:
    """
    Let *say_no* be done as of the arrival that was *sent* back, else of this request's.

    *subject* names who says no to what, and is what an arrival is signed for. Raises `ArrivalUnknown` for an arrival
    that is not of this no, or too old, and `NotRecordedYet` when storage could not take the no within a minute.
    """

    async def attempt(again: bool) -> Said:  # noqa: FBT001 - as `insist` calls it
        now = await call.now()
        return await say_no(_arrived(call, subject, sent, now), again or sent is not None)

    try:
        return await insist(call.ports, attempt)
    except Retryable as fault:
        now = call.came_in
        if now is None:
            raise
        log.warning("%s: a no could not be recorded: %s", call.operation.name, type(fault).__name__)
        arrived = _arrived(call, subject, sent, now)
        call.arrival = call.services.links.arrival(subject, arrived)
        raise Refused(
            "NotRecordedYet",
            f"The no is not recorded yet. It counts as of {arrived:%Y-%m-%dT%H:%M:%SZ} if it is sent again in time.",
            resolution="Send the same no within 24 hours, with the arrival of this answer.",
            retry_after_seconds=30,
        ) from None


def _arrived(call: Call, subject: str, sent: str | None, now: datetime) -> datetime:
    if sent is None:
        return now
    arrived = call.services.links.read_arrival(subject, sent, now)
    if arrived is None:
        raise Refused(
            "ArrivalUnknown",
            "This arrival is not of this no, or is older than 24 hours.",
            target="arrival",
            resolution="Say no without it; then it counts as of now.",
        )
    return arrived
