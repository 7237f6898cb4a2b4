"""
Idempotency keys. Within an organisation each key belongs to one request (decision 39).

The idempotency record has the hash of that request. The reply to an act on a claim is stored with the claim, in the
transaction of the act. The response to any other request is stored in the record.
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
"""The number of digits of a key's hash in the label of a due row."""
TAKE_OVER_AFTER = timedelta(minutes=1)
"""If a request has not ended after this time, a repetition takes the request over."""
LONGEST_ANSWER = 60 * 2**10
"""The most bytes of a stored response. After a longer response the key is free, and a repetition runs again."""


class Repeated(Exception):
    """The key was used before, and its reply is stored with the claim. The same request gets this reply again."""

    def __init__(self, reply: StoredReply) -> None:
        """Take the stored reply."""
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
        resolution="Wait as long as Retry-After says, then send the same request again.",
        retry_after_seconds=1,
    )


def record_expiry(ports: Ports, key: IdempotencyKey, subject: str, now: datetime) -> DueRow:
    """Return the due row that deletes the record, so that the key is free again. Write the row before the record."""
    row_ref = ports.requests.row_ref(key.organisation, key.hash)
    return expiry(Kind.DELETE_IDEMPOTENCY_RECORD, subject, now, row_ref, key.hash[:LABEL_LENGTH])


def reply_expiry(ports: Ports, claim_id: str, key_hash: str, now: datetime) -> DueRow:
    """Return the due row that deletes a stored reply of a claim."""
    return expiry(Kind.DELETE_REPLY, claim_id, now, ports.claims.reply_ref(claim_id, key_hash), key_hash[:LABEL_LENGTH])


async def begin_request(
    ports: Ports, key: IdempotencyKey, request: IdempotencyRecord, *, doubles_wait: bool = True
) -> IdempotencyRecord:
    """
    Take the key for *request*, in one storage request if the key was free.

    Returns the stored record:

    - the record of *request*, if the key was free or the earlier request has never ended;
    - the earlier record, if it has a response;
    - the earlier record, if the earlier request is still running and *doubles_wait* is false.

    Raises `Repeated` if a reply is stored with the claim, `IdempotencyKeyReused` if the key was used for another
    request, and `RequestInProgress` while the same request is running.
    """
    stored = await ports.requests.begin(key.organisation, key.hash, request)
    if stored.act_id == request.act_id:  # our insert, perhaps of an attempt whose answer was lost
        return stored
    reply = await ports.claims.stored_reply(stored.claim_id, key.hash) if stored.claim_id else None
    ended = reply is not None or stored.answer is not None
    running = not ended and request.at - stored.at < TAKE_OVER_AFTER
    if stored.body != request.body:
        if ended or running:
            raise key_reused()
    elif reply is not None:
        raise Repeated(reply)
    elif ended or (running and not doubles_wait):
        return stored
    elif running:
        raise in_progress()
    elif stored.claim_id:
        request = replace(request, claim_id=stored.claim_id)  # a repetition must not create a second claim
    try:
        return await ports.requests.overwrite(key.organisation, key.hash, replace(request, etag=stored.etag))
    except Conflict:
        raise in_progress() from None  # another repetition has taken the request over


async def once(
    ports: Ports, key: IdempotencyKey, now: datetime, run: Callable[[], Awaitable[StoredResponse]]
) -> StoredResponse:
    """
    Run a request about no claim, unless its response is stored. Returns the response.

    Only successful responses are stored. Raises the errors of *run*, `IdempotencyKeyReused`, `RequestInProgress`.
    """
    await ports.duework.add([record_expiry(ports, key, key.organisation, now)])
    record = await begin_request(ports, key, IdempotencyRecord(key.body, "", ports.new_id(), now))
    if record.answer is not None:
        return record.answer
    try:
        answer = await run()
    except Exception:
        await _release(ports, key, record)
        raise
    if answer.status >= 300 or len(answer.body) > LONGEST_ANSWER:  # noqa: PLR2004 - a redirection or a refusal
        await _release(ports, key, record)
        return answer
    with suppress(Conflict):  # after more than a minute, a repetition has taken the request over
        await ports.requests.overwrite(key.organisation, key.hash, replace(record, answer=answer))
    return answer


async def _release(ports: Ports, key: IdempotencyKey, record: IdempotencyRecord) -> None:
    with suppress(Conflict):  # after more than a minute, a repetition has taken the request over
        await ports.requests.release(key.organisation, key.hash, str(record.etag))
