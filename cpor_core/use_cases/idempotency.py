"""
Idempotency keys: within an organisation a key stands for one request, whatever that is about (rulings 39).

The row in `requests` says which. The answer lies with the claim that the request is about, written with the act itself;
of a request about no claim it lies in the row.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from cpor_core.due_work import Kind
from cpor_core.errors import Conflict, Refused
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, expiry
from cpor_core.ports.idempotency import IdempotencyKey, IdempotencyRecord, StoredReply, StoredResponse

LABEL_LENGTH = 16
"""Digits of a key's hash in the label of a due row."""
TAKE_OVER_AFTER = timedelta(minutes=1)
"""A request that has not ended by then is taken over by its repetition."""
LONGEST_ANSWER = 60 * 2**10
"""Bytes of an answer that are kept; after a longer one the key is free, and its repetition is done anew."""


class Repeated(Exception):
    """The caller's key was used before for this request: the first answer is given again, if it is the same one."""

    def __init__(self, reply: StoredReply) -> None:
        """Keep the first answer."""
        super().__init__("repeated request")
        self.reply = reply


def key_reused() -> Refused:
    """Return the refusal of a key that was used for another request."""
    return Refused(
        "IdempotencyKeyReused",
        "This key was used for a different request.",
        target="Idempotency-Key",
        resolution="Use a new key for a new request.",
    )


def in_progress() -> Refused:
    """Return the refusal of a repetition that came before the first answer."""
    return Refused(
        "RequestInProgress",
        "The first request with this key is still running.",
        target="Idempotency-Key",
        resolution="Wait as Retry-After says and send the same request again.",
        retry_after_seconds=1,
    )


def record_expiry(ports: Ports, key: IdempotencyKey, subject: str, now: datetime) -> DueRow:
    """Return the due row by which the key is free again; it is written before, or with, what it is about."""
    row_ref = ports.requests.row_ref(key.organisation, key.hash)
    return expiry(Kind.DELETE_IDEMPOTENCY_RECORD, subject, now, row_ref, key.hash[:LABEL_LENGTH])


def reply_expiry(ports: Ports, claim_id: str, key_hash: str, now: datetime) -> DueRow:
    """Return the due row that deletes the answer that is kept with a claim."""
    return expiry(Kind.DELETE_REPLY, claim_id, now, ports.claims.reply_ref(claim_id, key_hash), key_hash[:LABEL_LENGTH])


async def begin_request(
    ports: Ports, key: IdempotencyKey, request: IdempotencyRecord, *, doubles_wait: bool = True
) -> IdempotencyRecord:
    """
    Take the key for *request*: one storage request unless it was taken.

    Returns this request; one that came before and has never ended, for this to take over; one that is answered in its
    row; or, unless *doubles_wait*, the same one that is still running. Raises `Repeated`, `IdempotencyKeyReused`,
    `RequestInProgress`.
    """
    kept = await ports.requests.begin(key.organisation, key.hash, request)
    if kept.act_id == request.act_id:  # the insert was won, maybe by a try whose answer was lost
        return kept
    reply = await ports.claims.stored_reply(kept.claim_id, key.hash) if kept.claim_id else None
    ended = reply is not None or kept.answer is not None
    running = not ended and request.at - kept.at < TAKE_OVER_AFTER
    if kept.body != request.body:
        if ended or running:
            raise key_reused()
    elif reply is not None:
        raise Repeated(reply)
    elif ended or (running and not doubles_wait):
        return kept
    elif running:
        raise in_progress()
    elif kept.claim_id:
        request = replace(request, claim_id=kept.claim_id)  # what the first has made is not made twice
    try:
        return await ports.requests.overwrite(key.organisation, key.hash, replace(request, etag=kept.etag))
    except Conflict:
        raise in_progress() from None  # somebody else was faster to take it over


async def once(
    ports: Ports, key: IdempotencyKey, now: datetime, run: Callable[[], Awaitable[StoredResponse]]
) -> StoredResponse:
    """
    Return the answer to a request that is about no claim: the first, if it was answered before, else what *run* does.

    Only successes are kept. Raises what *run* raises, `IdempotencyKeyReused`, `RequestInProgress`.
    """
    await ports.duework.add([record_expiry(ports, key, key.organisation, now)])
    kept = await begin_request(ports, key, IdempotencyRecord(key.body, "", ports.new_id(), now))
    if kept.answer is not None:
        return kept.answer
    try:
        answer = await run()
    except Exception:
        await _release(ports, key, kept)
        raise
    if answer.status >= 300 or len(answer.body) > LONGEST_ANSWER:  # noqa: PLR2004 - a redirection or a refusal
        await _release(ports, key, kept)
        return answer
    with suppress(Conflict):  # it took longer than a minute, and a repetition has taken it over
        await ports.requests.overwrite(key.organisation, key.hash, replace(kept, answer=answer))
    return answer


async def _release(ports: Ports, key: IdempotencyKey, kept: IdempotencyRecord) -> None:
    with suppress(Conflict):  # as above
        await ports.requests.release(key.organisation, key.hash, str(kept.etag))
