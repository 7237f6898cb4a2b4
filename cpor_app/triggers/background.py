"""The functions of queues and timers. They do due work and record failed messages."""

import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import azure.functions as func

from cpor_app.bootstrap import ready, telemetry
from cpor_app.queue_names import (
    CLAIM_BATCHES,
    CUSTOMER_NOTICES,
    DUE_PAGES,
    MAIL_EVENTS,
    PARTNER_NOTICES,
    POISON,
    QUEUES,
)
from cpor_app.triggers.mail_events import in_plain_form, reports
from cpor_core.due_work import SHARDS, Outcome
from cpor_core.errors import Conflict, Retryable
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DuePage, Failure
from cpor_core.rules.identifiers import is_batch_id, is_claim_id, is_export_id
from cpor_core.use_cases.claims import batches, csv_export
from cpor_core.use_cases.claims.reviews import overdue
from cpor_core.use_cases.due_work import failed_messages
from cpor_core.use_cases.due_work.process_claim import process_for_customer, process_for_partner
from cpor_core.use_cases.due_work.sweep import Swept, process_page, sweep
from cpor_core.use_cases.feed.deliveries import deliver_webhooks

ProcessPage = Callable[[Ports, str, int, datetime], Awaitable[None]]
"""Processes one page of a batch or of an export."""

log = logging.getLogger("cpor.background")


async def notify_customer(message: func.QueueMessage) -> None:
    """
    Send the due mails of one claim to its customer, such as a notice or a confirmation, and then to its partner.

    Work that cannot be done now is not an error: its due row leads to the next attempt (decision 42). A message of
    another form goes to the poison queue.
    """
    with (await telemetry()).doing("notify_customer", parent=_trace(message)):
        await _process(process_for_customer, _claim_id(message.get_body()))


async def notify_partner(message: func.QueueMessage) -> None:
    """
    Send the mails of one claim to its partner and to competing partners, or call the webhooks of an organisation.

    A mail that cannot be sent now is not an error: its due row leads to the next attempt. A message of another form
    goes to the poison queue.
    """
    with (await telemetry()).doing("notify_partner", parent=_trace(message)):
        organisation = _organisation(message.get_body())
        if organisation is None:
            await _process(process_for_partner, _claim_id(message.get_body()))
        else:
            await _call_webhooks(organisation)


async def _call_webhooks(organisation: str) -> None:
    try:
        await deliver_webhooks((await ready()).ports, organisation)
    except (Retryable, Conflict) as fault:
        log.warning("webhooks of %s: %s, a due row goes on", organisation, type(fault).__name__)


async def _process(process: Callable[[Ports, str, datetime], Awaitable[Outcome]], claim_id: str) -> None:
    try:
        services = await ready()
        outcome = await process(services.ports, claim_id, await services.ports.now())
    except (Retryable, Conflict) as fault:
        log.warning("claim %s: %s, its due row tries again", claim_id, type(fault).__name__)
        return
    if outcome.delayed:
        log.info("claim %s: delayed, its due row tries again", claim_id)


async def process_claim_batch(message: func.QueueMessage) -> None:
    """
    Make drafts of one page of a batch and store the outcome of each row, or store one page of a large export.

    A page that is done does not change. If a page cannot be finished now, a due row leads to a new message. A message
    of another form goes to the poison queue.
    """
    with (await telemetry()).doing("process_claim_batch", parent=_trace(message)):
        await _processed(*_page(message.get_body()))


async def _processed(process_page: ProcessPage, subject: str, page: int) -> None:
    try:
        services = await ready()
        await process_page(services.ports, subject, page, await services.ports.now())
    except (Retryable, Conflict) as fault:
        log.warning("batch or export %s, page %d: %s, its due row tries again", subject, page, type(fault).__name__)


async def process_due_page(message: func.QueueMessage) -> None:
    """
    Do the due work of one page of due rows. The timer sends a message for each full page, so that instances share it.

    Rows that are not done stay, and the timer finds them again. A message of another form goes to the poison queue.
    """
    with (await telemetry()).doing("process_due_page", parent=_trace(message)):
        page = _due_page(message.get_body())
        services = await ready()
        try:
            now = await services.ports.now()
            swept = await process_page(services.ports, page, now)
        except (Retryable, Conflict) as fault:
            log.warning("page of shard %d: %s, the timer tries again", page.shard, type(fault).__name__)
            return
    _log_age(swept, now)
    log.info("page of shard %d: %d paid, %d delayed, %d failed", page.shard, swept.done, swept.delayed, swept.failed)


async def record_failed_customer_notice(message: func.QueueMessage) -> None:
    """Store a message that could not be processed, so that an operator sees it and can put it back."""
    await _record_failed(message, CUSTOMER_NOTICES)


async def record_failed_partner_notice(message: func.QueueMessage) -> None:
    """Store a message that could not be processed, so that an operator sees it and can put it back."""
    await _record_failed(message, PARTNER_NOTICES)


async def record_failed_claim_batch(message: func.QueueMessage) -> None:
    """Store a message that could not be processed, so that an operator sees it and can put it back."""
    await _record_failed(message, CLAIM_BATCHES)


async def record_failed_due_page(message: func.QueueMessage) -> None:
    """Store a message that could not be processed, so that an operator sees it and can put it back."""
    await _record_failed(message, DUE_PAGES)


async def record_failed_mail_event(message: func.QueueMessage) -> None:
    """
    Store the ids, the kind and the instant of a delivery report that could not be processed.

    A report that can be read is stored in the plain form. So it still names its mail when an operator puts it back.
    """
    await _record_failed(message, MAIL_EVENTS)


def _plain_reports(body: bytes) -> str | None:
    try:
        sent = _read(body)
        found = list(reports(sent if isinstance(sent, list) else [sent]))
    except ValueError:
        return None
    plain = [in_plain_form(one) for one in found if one.message_id]
    text = json.dumps(plain[0] if len(plain) == 1 else plain)
    return text if plain and len(text) <= LONGEST_KEPT else None


async def _record_failed(message: func.QueueMessage, queue: str) -> None:
    await _record(queue, message.id or "", message.get_body(), message.insertion_time)


async def _record(queue: str, message_id: str, body: bytes, at: datetime | None) -> None:
    """Store a failed message with its ids only, because free text in the message can be personal data."""
    ports = (await ready()).ports
    plain = _plain_reports(body) if queue == MAIL_EVENTS else None
    failure = Failure(
        id=re.sub(r"[^0-9A-Za-z-]", "", message_id) or ports.new_id(),
        queue=queue,
        body=plain if plain is not None else _ids_only(body, IDS[queue]),
        at=at or await ports.now(),
    )
    await failed_messages.record(ports, failure, await ports.now())
    log.error("failed message recorded: queue %s, message %s", failure.queue, failure.id)


async def _record_unreadable() -> None:
    """
    Count the messages in the poison queues, and record the messages that no function gets.

    The host decodes a message before it calls a function. A message that is not base64 or not UTF-8 reaches no
    function, and would stay in the poison queue for ever.
    """
    queues = (await ready()).queues
    left = {poison: await queues.length(poison) for poison in POISON}
    log.info("poison queues: %d messages", sum(left.values()))
    for queue, poison in zip(QUEUES, POISON, strict=True):
        for taken in await queues.take(poison, MOST_RECORDED_AT_ONCE) if left[poison] else ():
            await _record(queue, taken.id, taken.text.encode(), None)
            await queues.done(taken)


async def finalise_uncontested(timer: func.TimerRequest) -> None:
    """Do all due work: make claims official, remind, lapse, send again, and delete expired data."""
    with (await telemetry()).doing("finalise_uncontested"):
        services = await ready()
        now = await services.ports.now()
        swept = await sweep(services.ports, now)
    _log_age(swept, now)
    log.info(
        "sweep: %d paid, %d delayed, %d failed%s",
        swept.done,
        swept.delayed,
        swept.failed,
        ", late" if timer.past_due else "",
    )


def _log_age(swept: Swept, now: datetime) -> None:
    waits = now - swept.due_since if swept.due_since is not None else timedelta(0)
    log.info("oldest unpaid debt: %d s", waits.total_seconds())


async def recount_insight(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the host binds it by its name
    """
    Record the messages in the poison queues that no other function gets, and count the overdue reviews for an alert.

    Its name is from a release in which it counted all claims for the programme.
    """
    try:
        services = await ready()
        await _record_unreadable()
        now = await services.ports.now()
        log.info("reviews: %d overdue", await overdue(services.ports, now))
    except (Retryable, Conflict) as fault:
        log.warning("poison queues and reviews: %s, the next run goes on", type(fault).__name__)


def _read(body: bytes) -> Any:
    """Return the JSON of a message. Raises ValueError if it is not JSON, or is nested too deep."""
    try:
        return json.loads(body)
    except RecursionError:
        msg = "not a message of ours: nested too deep"
        raise ValueError(msg) from None


def _trace(message: func.QueueMessage) -> object:
    """Return the `traceparent` of a message, unverified; telemetry ignores a malformed one."""
    try:
        sent = _read(message.get_body())
    except ValueError:
        return None
    return sent.get("traceparent") if isinstance(sent, dict) else None


def _claim_id(body: bytes) -> str:
    """Return the id of the claim in a message. Raises ValueError for a message of another form."""
    claim_id = _read(body)["claimId"]
    if not isinstance(claim_id, str) or not is_claim_id(claim_id):
        msg = "not a message of ours: claimId is missing or malformed"
        raise ValueError(msg)
    return claim_id


def _organisation(body: bytes) -> str | None:
    """Return the organisation in a message about webhooks; None for a message about a claim. Raises ValueError."""
    sent = _read(body).get("organisation")
    return str(uuid.UUID(sent)) if sent is not None else None


def _page(body: bytes) -> tuple[ProcessPage, str, int]:
    """Return what processes the page in a message, its batch or export, and its number. Raises ValueError."""
    sent = _read(body)
    export_id, batch_id, page = sent.get("exportId"), sent.get("batchId"), sent.get("page")
    if isinstance(page, int) and isinstance(export_id, str) and is_export_id(export_id):
        return csv_export.process_page, export_id, page
    if isinstance(page, int) and isinstance(batch_id, str) and is_batch_id(batch_id):
        return batches.process_page, batch_id, page
    msg = "not a message of ours: batchId, exportId or page is missing or malformed"
    raise ValueError(msg)


def _due_page(body: bytes) -> DuePage:
    """Return the page of due rows in a message. Raises ValueError for a message of another form."""
    sent = _read(body)
    shard, first, last = sent.get("shard"), sent.get("first"), sent.get("last")
    keys = [key for key in (first, last) if isinstance(key, str) and ID.fullmatch(key)]
    if not isinstance(shard, int) or shard not in range(SHARDS) or len(keys) != 2:  # noqa: PLR2004 - first and last
        msg = "not a message of ours: shard, first or last is missing or malformed"
        raise ValueError(msg)
    return DuePage(shard, *keys)


def _ids_only(body: bytes, names: tuple[str, ...]) -> str:
    """Return the ids in a message as JSON. Everything else is dropped, because it can be personal data."""
    try:
        sent = _read(body)
    except ValueError:
        return "{}"
    ids = {name: sent[name] for name in names if name in sent} if isinstance(sent, dict) else {}
    return json.dumps(
        {name: value for name, value in ids.items() if isinstance(value, str | int) and ID.fullmatch(str(value))}
    )


IDS = {
    CUSTOMER_NOTICES: ("claimId",),
    PARTNER_NOTICES: ("claimId", "organisation"),
    CLAIM_BATCHES: ("batchId", "exportId", "page"),
    DUE_PAGES: ("shard", "first", "last"),
    MAIL_EVENTS: ("messageId", "event", "eventType"),
}
"""The fields of a failed message that are stored, for each queue."""
MOST_RECORDED_AT_ONCE = 32
ID = re.compile(r"[0-9A-Za-z._|~-]{1,250}", re.ASCII)
"""An id, or a key of a due row."""
LONGEST_KEPT = 30_000
"""The most characters of a failed message that are stored. They fit one cell of a table."""
