"""Takes delivery reports from Communication Services through Event Grid, or from other mail systems in a plain form."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import azure.functions as func
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from cpor_app.bootstrap import ready
from cpor_app.http.parsing import read_json, validated
from cpor_app.http.request import Call
from cpor_app.http.route_table import MAIL_REPORTERS, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Refused, Retryable
from cpor_core.model.base import Email, Instant, LateModel, Text1000, Value, rfc3339
from cpor_core.model.mail import MailOutcome
from cpor_core.use_cases.notices.delivery_reports import MailEvent, record

log = logging.getLogger("cpor.mail_events")

DELIVERY_REPORT = "Microsoft.Communication.EmailDeliveryReportReceived"
HANDSHAKE = "Microsoft.EventGrid.SubscriptionValidationEvent"
FAILURES = frozenset({"Bounced", "Failed", "Suppressed", "FilteredSpam", "Quarantined"})
"""The statuses of a failed delivery. `Expanded` is no failure: it means that the address was a list of addresses."""
LOCAL_PART = re.compile(r"<?([0-9A-Fa-f-]{36})(@[^>]*)?>?", re.ASCII)
MOST_EVENTS = 1000


class PlainOutcome(StrEnum):
    """The events in the plain form."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class PlainEvent(Value):
    """A report in the plain form. `messageId` is the Message-ID of the mail, with or without brackets and domain."""

    message_id: Annotated[str, Field(min_length=1, max_length=300)]
    recipient: Email | None = None
    event: PlainOutcome
    reason: Text1000 | None = None
    at: Instant | None = None


class GridEvent(LateModel):
    """An event of Azure Event Grid. The service reads delivery reports and the handshake, and ignores other events."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)

    event_type: str
    data: JsonValue = None


class CountedReports(Value):
    """The number of reports about mails of this service, and the number of other reports."""

    accepted: int
    unknown: int


class Handshake(Value):
    """The answer that Event Grid needs before it sends events."""

    validation_response: str


@operation(
    summary="Report the delivery of mails",
    tag="Operations",
    roles=MAIL_REPORTERS,
    body=PlainEvent | GridEvent | tuple[PlainEvent | GridEvent, ...],
    answers={200: (CountedReports, Handshake)},
)
async def take_mail_events(call: Call) -> Answer:
    """Send one report or an array, in the plain form or in Event Grid's schema. The service answers its handshake."""
    body = read_json(call.bytes())
    found: list[JsonValue] = body if isinstance(body, list) else [body]
    if len(found) > MOST_EVENTS:
        raise Refused(
            "PayloadTooLarge",
            f"An array has at most {MOST_EVENTS} reports.",
            resolution="Send them in several requests.",
        )
    for event in found:
        code = handshake_code(event)
        if code is not None:
            return Answer(200, Handshake(validation_response=code))
    now = await call.now()
    with validated():
        events = list(reports(found))
    ours = [await record(call.ports, event, now) for event in events]
    return Answer(200, CountedReports(accepted=sum(ours), unknown=len(ours) - sum(ours)))


async def record_mail_event(message: func.QueueMessage) -> None:
    """Record a report that Event Grid put into the queue. A report that cannot be read goes to the poison queue."""
    body = json.loads(message.get_body())
    try:
        services = await ready()
        now = await services.ports.now()
        for event in reports(body if isinstance(body, list) else [body]):
            await record(services.ports, event, now)
    except Retryable as fault:
        raise RuntimeError(f"storage is busy, the queue tries again: {type(fault).__name__}") from fault


def handshake_code(event: JsonValue) -> str | None:
    """Return the code of a validation handshake; None for another event."""
    if not isinstance(event, dict) or event.get("eventType") != HANDSHAKE:
        return None
    data = event.get("data")
    code = data.get("validationCode") if isinstance(data, dict) else None
    return code if isinstance(code, str) else None


_PLAIN = TypeAdapter(PlainEvent)
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant, config=ConfigDict(defer_build=True))
_OUTCOMES = {
    PlainOutcome.DELIVERED: MailOutcome.DELIVERED,
    PlainOutcome.BOUNCED: MailOutcome.FAILED,
    PlainOutcome.COMPLAINED: MailOutcome.COMPLAINED,
}


def reports(events: list[JsonValue]) -> Iterator[MailEvent]:
    """Yield the reports among *events*, and ignore other events. Raises pydantic's ValidationError."""
    for event in events:
        if isinstance(event, dict) and "eventType" in event:
            made = _from_event_grid(event)
            if made is not None:
                yield made
        else:
            plain = _PLAIN.validate_json(json.dumps(event), by_alias=True, by_name=False)
            yield MailEvent(local_part(plain.message_id), _OUTCOMES[plain.event], plain.at)


def in_plain_form(event: MailEvent) -> dict[str, str]:
    """Return a report in the plain form, without the recipient."""
    name = next(name for name, outcome in _OUTCOMES.items() if outcome is event.outcome)
    at = {"at": rfc3339(event.at)} if event.at is not None else {}
    return {"messageId": event.message_id, "event": name.value, **at}


def _from_event_grid(event: Mapping[str, Any]) -> MailEvent | None:
    made = GridEvent.model_validate(event)
    data = made.data
    if made.event_type != DELIVERY_REPORT or not isinstance(data, dict):
        return None
    message_id = data.get("internetMessageId") or data.get("messageId")
    if not isinstance(message_id, str):
        return None
    status = data.get("status")
    failed = isinstance(status, str) and status in FAILURES
    outcome = MailOutcome.FAILED if failed else MailOutcome.DELIVERED
    return MailEvent(local_part(message_id), outcome, _tried_at(data))


def _tried_at(data: Mapping[str, Any]) -> datetime | None:
    """Return when the mail system tried to deliver the mail. None if the event does not say so in a known form."""
    try:
        return _INSTANT.validate_python(data.get("deliveryAttemptTimeStamp"))
    except ValidationError:
        return None


def local_part(message_id: str) -> str:
    """Return the part of a Message-ID before the `@`; an empty text if the service cannot have made the Message-ID."""
    match = LOCAL_PART.fullmatch(message_id.strip())
    return match[1].lower() if match is not None else ""
