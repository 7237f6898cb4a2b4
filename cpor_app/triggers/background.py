"""Queue messages and the timer: both ask what is owed and pay it."""

import json
import logging
import re

import azure.functions as func

from cpor_app.bootstrap import CUSTOMER_NOTICES, MAIL_EVENTS, STORAGE, ready
from cpor_app.triggers.mail_events import reports
from cpor_core.errors import Retryable
from cpor_core.ports import Failure
from cpor_core.rules.identifiers import is_claim_id
from cpor_core.use_cases.debts import pay
from cpor_core.use_cases.sweep import sweep

blueprint = func.Blueprint()
log = logging.getLogger("cpor.background")


@blueprint.function_name("notify_customer")
@blueprint.queue_trigger(arg_name="message", queue_name=CUSTOMER_NOTICES, connection=STORAGE)
async def notify_customer(message: func.QueueMessage) -> None:
    """
    Pay what one claim owes to its customer: a notice, a reminder, a confirmation.

    What can't be paid for now is not an error: the due row tries again (rulings 42). A message that is none of ours
    goes to the poison queue.
    """
    claim_id = _claim_id(message.get_body())
    try:
        services = await ready()
        paid = await pay(services.ports, claim_id, await services.ports.now())
    except Retryable as fault:
        log.warning("claim %s: %s, its due row tries again", claim_id, type(fault).__name__)
        return
    if paid.delayed:
        log.info("claim %s: delayed, its due row tries again", claim_id)


@blueprint.function_name("record_failed_customer_notice")
@blueprint.queue_trigger(arg_name="message", queue_name=f"{CUSTOMER_NOTICES}-poison", connection=STORAGE)
async def record_failed_customer_notice(message: func.QueueMessage) -> None:
    """Keep a message that could not be processed, where the operator sees it and can put it back."""
    await _record_failed(message, CUSTOMER_NOTICES, ("claimId",))


@blueprint.function_name("record_failed_mail_event")
@blueprint.queue_trigger(arg_name="message", queue_name=f"{MAIL_EVENTS}-poison", connection=STORAGE)
async def record_failed_mail_event(message: func.QueueMessage) -> None:
    """
    Keep a delivery report that could not be taken; of its content only ids and the kind of event.

    One that can be read is kept in the plain form: put back, it still tells what became of which mail.
    """
    await _record_failed(message, MAIL_EVENTS, ("messageId", "event", "eventType"), _plain_reports(message.get_body()))


def _plain_reports(body: bytes) -> str | None:
    try:
        sent = json.loads(body)
        found = list(reports(sent if isinstance(sent, list) else [sent]))
    except ValueError:
        return None
    plain = [{"messageId": one.message_id, "event": one.outcome.value} for one in found if one.message_id]
    text = json.dumps(plain[0] if len(plain) == 1 else plain)
    return text if plain and len(text) <= LONGEST_KEPT else None


async def _record_failed(
    message: func.QueueMessage, queue: str, names: tuple[str, ...], body: str | None = None
) -> None:
    services = await ready()
    failure = Failure(
        id=re.sub(r"[^0-9A-Za-z-]", "", message.id or "") or services.ports.new_id(),
        queue=queue,
        body=body if body is not None else _ids_only(message.get_body(), names),
        at=message.insertion_time or await services.ports.now(),
    )
    await services.ports.failures.keep(failure)
    log.error("failed message recorded: queue %s, message %s", failure.queue, failure.id)


@blueprint.function_name("finalise_uncontested")
@blueprint.timer_trigger(arg_name="timer", schedule="%FINALISE_SCHEDULE%", run_on_startup=False, use_monitor=True)
async def finalise_uncontested(timer: func.TimerRequest) -> None:
    """Pay everything that is due: finalise, remind, lapse, resend, forget."""
    services = await ready()
    swept = await sweep(services.ports, await services.ports.now())
    log.info(
        "sweep: %d paid, %d delayed, %d failed%s",
        swept.paid,
        swept.delayed,
        swept.failed,
        ", late" if timer.past_due else "",
    )


def _claim_id(body: bytes) -> str:
    """Return the claim that a message names. Raises ValueError for a message that is none of ours."""
    claim_id = json.loads(body)["claimId"]
    if not isinstance(claim_id, str) or not is_claim_id(claim_id):
        msg = "not a message of ours: claimId is missing or malformed"
        raise ValueError(msg)
    return claim_id


def _ids_only(body: bytes, names: tuple[str, ...]) -> str:
    """Return the ids of a message: what else somebody has put into the queue, addresses above all, is not kept."""
    try:
        sent = json.loads(body)
    except ValueError:
        return "{}"
    kept = {name: sent[name] for name in names if name in sent} if isinstance(sent, dict) else {}
    return json.dumps({name: value for name, value in kept.items() if isinstance(value, str) and ID.fullmatch(value)})


ID = re.compile(r"[0-9A-Za-z.-]{1,100}", re.ASCII)
LONGEST_KEPT = 30_000
"""Characters of a failed message that fit one cell of a table."""
