"""
Idempotency keys: within an organisation a key stands for one request (decision 39).

The idempotency record says for which. The reply to an act on a claim is stored with the claim, in the transaction
of the act. The response to any other request is stored in the record.
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
"""A repetition takes over a request that has not ended by then."""
LONGEST_ANSWER = 60 * 2**10
"""Bytes of a response that is stored. After a longer one the key is free, and a repetition is done anew."""


class Repeated(Exception):
    """The key was used before, and there is a stored reply; it is given again if the request is the same."""

    def __init__(self, reply: StoredReply) -> None:
        """Carry the stored reply."""
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
    """Return the refusal of a repetition that came before the first request had ended."""
    return Refused(
        "RequestInProgress",
        "The first request with this key is still running.",
        target="Idempotency-Key",
        resolution="Wait as Retry-After says and send the same request again.",
        retry_after_seconds=1,
    )


def record_expiry(ports: Ports, key: IdempotencyKey, subject: str, now: datetime) -> DueRow:
    """Return the due row that frees the key again. It is written before, or with, the record."""
    row_ref = ports.requests.row_ref(key.organisation, key.hash)
    return expiry(Kind.DELETE_IDEMPOTENCY_RECORD, subject, now, row_ref, key.hash[:LABEL_LENGTH])


def reply_expiry(ports: Ports, claim_id: str, key_hash: str, now: datetime) -> DueRow:
    """Return the due row that deletes the reply that is stored with a claim."""
    return expiry(Kind.DELETE_REPLY, claim_id, now, ports.claims.reply_ref(claim_id, key_hash), key_hash[:LABEL_LENGTH])


async def begin_request(
    ports: Ports, key: IdempotencyKey, request: IdempotencyRecord, *, doubles_wait: bool = True
) -> IdempotencyRecord:
    """
    Take the key for *request*: one storage request if the key was free.

    Returns the record that is stored then:

    - this request, when the key was free or the request before it has never ended;
    - the earlier one, when its response is stored in the record;
    - the earlier one, when it is still running and *doubles_wait* is false.

    Raises `Repeated` when a reply is stored with the claim, `IdempotencyKeyReused` when the key was used for another
    request, and `RequestInProgress` while the same request is running.
    """
    kept = await ports.requests.begin(key.organisation, key.hash, request)
    if kept.act_id == request.act_id:  # our insert, maybe of an attempt that got no answer from storage
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
        request = replace(request, claim_id=kept.claim_id)  # the claim that the first request made is not made twice
    try:
        return await ports.requests.overwrite(key.organisation, key.hash, replace(request, etag=kept.etag))
    except Conflict:
        raise in_progress() from None  # another repetition has taken it over


async def once(
    ports: Ports, key: IdempotencyKey, now: datetime, run: Callable[[], Awaitable[StoredResponse]]
) -> StoredResponse:
    """
    Do a request that is about no claim, unless it was done before. Returns the response, or the stored one.

    Only successes are stored. Raises what *run* raises, `IdempotencyKeyReused`, `RequestInProgress`.
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
    with suppress(Conflict):  # after more than a minute a repetition has taken the request over
        await ports.requests.overwrite(key.organisation, key.hash, replace(kept, answer=answer))
    return answer


async def _release(ports: Ports, key: IdempotencyKey, kept: IdempotencyRecord) -> None:
    with suppress(Conflict):  # as above
        await ports.requests.release(key.organisation, key.hash, str(kept.etag))
