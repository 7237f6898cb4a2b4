"""Records a no. If a no cannot be stored within a minute, the answer has the signed arrival of the no."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from cpor_app.http.request import Call
from cpor_core.errors import Refused, Retryable
from cpor_core.use_cases.claims.customer_acts import Said, insist

log = logging.getLogger("cpor.http")
ARRIVAL = "Cpor-Arrival"
"""The header in which an administrator's no is sent again with its signed arrival."""


async def record_no(
    call: Call, subject: str, sent: str | None, say_no: Callable[[datetime, bool], Awaitable[Said]]
) -> Said:
    """
    Call *say_no* with the instant at which the no arrived.

    If *sent*, the arrival from an earlier answer, is given, that instant counts. Else the no arrived with this request.
    The arrival is signed for *subject*, which names the speaker and the claim. Raises `ArrivalUnknown` for an arrival
    that is too old or belongs to another no. Raises `NotRecordedYet` if the no could not be stored within a minute.
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
            f"The no is not recorded yet. If it is sent again in time, it counts as of {arrived:%Y-%m-%dT%H:%M:%SZ}.",
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
            "This arrival belongs to another no, or is older than 24 hours.",
            target="arrival",
            resolution="Say no without it. The no then counts as of now.",
        )
    return arrived
