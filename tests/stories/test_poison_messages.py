"""Every message in a poison queue is recorded for the operator and removed, also one that nobody can read."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from cpor_app.queue_names import POISON, QUEUES
from tests.support.service import Service

FUNCTIONS = {
    "customer-notices": ("notify_customer", "record_failed_customer_notice"),
    "partner-notices": ("notify_partner", "record_failed_partner_notice"),
    "claim-batches": ("process_claim_batch", "record_failed_claim_batch"),
    "due-pages": ("process_due_page", "record_failed_due_page"),
    "mail-events": ("record_mail_event", "record_failed_mail_event"),
}
UNREADABLE: Mapping[str, str] = {
    "nothing": "",
    "no JSON": "<&\u0000 anne.durand@contoso.fr",
    "20,000 lists, one in the other": "[" * 20_000,
    "20,000 objects, one in the other": '{"claimId": ' * 20_000,
    "a report with 20,000 lists": '[{"eventType": "Microsoft.Communication.EmailDeliveryReportReceived", "data": '
    + "[" * 20_000,
    "a number of 20,000 digits": "1" * 20_000,
    "JSON of another kind": "[[null, {}], 7]",
    "an event of another kind": '{"eventType": 7, "data": {"messageId": ["a"]}}',
}
NOT_BASE64 = "no base64! anne.durand@contoso.fr"


async def failed_messages(service: Service) -> list[dict[str, Any]]:
    """Return the list of failed messages that the operator reads."""
    answer = await service.programme("GET", "/operations/failed-messages")
    listed: list[dict[str, Any]] = answer.json()["value"]
    return listed


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("text", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_a_failed_message_is_recorded_with_any_content(service: Service, queue: str, text: str) -> None:
    """The function succeeds, so the host removes the message. No free text of the message is stored."""
    await service.run(FUNCTIONS[queue][1], text)

    [failure] = await failed_messages(service)
    assert failure["queue"] == queue
    assert "anne" not in json.dumps(failure)


@pytest.mark.parametrize("queue", ["customer-notices", "partner-notices", "claim-batches", "due-pages"])
async def test_a_message_that_is_nested_too_deep_fails_with_a_clear_error(
    service: Service, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The function raises the ValueError that rejects every foreign message, and no RecursionError."""
    with pytest.raises(AssertionError, match="failed"):
        await service.run(FUNCTIONS[queue][0], UNREADABLE["20,000 objects, one in the other"])

    assert "not a message of ours" in caplog.text


async def put_raw(service: Service, queue: str, content: str) -> None:
    """Put a message into a queue as it is, without base64."""
    async with service.services.connection.queues() as queues:
        await queues.get_queue_client(queue).send_message(content)


async def test_the_timer_records_messages_that_the_host_cannot_decode(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """The host calls no function for such a message. The timer counts, records and removes it without its text."""
    caplog.set_level(logging.INFO)
    for queue in POISON:
        await put_raw(service, queue, NOT_BASE64)

    await service.fire("recount_insight")

    assert "poison queues: 5 messages" in caplog.text
    assert sorted(failure["queue"] for failure in await failed_messages(service)) == sorted(QUEUES)
    assert "anne" not in json.dumps(await failed_messages(service))
    caplog.clear()
    await service.fire("recount_insight")
    assert "poison queues: 0 messages" in caplog.text
    assert len(await failed_messages(service)) == len(POISON)


async def test_a_run_records_at_most_32_messages_and_the_next_run_goes_on(service: Service) -> None:
    """So many messages in one queue do not stop the timer's other work."""
    for _ in range(40):
        await put_raw(service, "mail-events-poison", NOT_BASE64)

    await service.fire("recount_insight")
    first = len(await failed_messages(service))
    await service.fire("recount_insight")

    assert (first, len(await failed_messages(service))) == (32, 40)


async def test_a_readable_message_that_the_timer_finds_can_be_sent_again(service: Service) -> None:
    """The timer stores the same parts of the message as the function of the poison queue."""
    claim = await service.draft()
    await service.services.queues.send("customer-notices-poison", json.dumps({"claimId": claim["id"], "to": "a@b.cz"}))

    await service.fire("recount_insight")
    await service.programme("POST", "/operations/failed-messages/redrive", json={})

    [message] = await service.services.queues.take("customer-notices", 32)
    assert json.loads(message.text) == {"claimId": claim["id"]}
