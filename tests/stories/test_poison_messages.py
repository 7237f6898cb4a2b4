"""Whatever lies in a poison queue is recorded, seen by the operator and removed, whether or not it can be read."""

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
    "mail-events": ("record_mail_event", "record_failed_mail_event"),
}
UNREADABLE: Mapping[str, str] = {
    "nothing": "",
    "no JSON": "<&\u0000 anne.durand@contoso.fr",
    "nested without end": "[" * 20_000,
    "an object nested without end": '{"claimId": ' * 20_000,
    "a report nested without end": '[{"eventType": "Microsoft.Communication.EmailDeliveryReportReceived", "data": '
    + "[" * 20_000,
    "a number without end": "1" * 20_000,
    "JSON of another kind": "[[null, {}], 7]",
    "an event of another kind": '{"eventType": 7, "data": {"messageId": ["a"]}}',
}
NOT_BASE64 = "no base64! anne.durand@contoso.fr"


async def failed_messages(service: Service) -> list[dict[str, Any]]:
    """Return what the operator sees."""
    answer = await service.programme("GET", "/operations/failed-messages")
    listed: list[dict[str, Any]] = answer.json()["value"]
    return listed


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("text", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_a_failed_message_is_recorded_whatever_it_holds(service: Service, queue: str, text: str) -> None:
    """The function succeeds, so the host removes it; nothing of what somebody wrote is kept."""
    await service.run(FUNCTIONS[queue][1], text)

    [failure] = await failed_messages(service)
    assert failure["queue"] == queue
    assert "anne" not in json.dumps(failure)


@pytest.mark.parametrize("queue", ["customer-notices", "partner-notices", "claim-batches"])
async def test_a_message_nested_without_end_fails_as_any_foreign_one(
    service: Service, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By a ValueError that says so, and not by the depth of Python's stack."""
    with pytest.raises(AssertionError, match="failed"):
        await service.run(FUNCTIONS[queue][0], UNREADABLE["an object nested without end"])

    assert "not a message of ours" in caplog.text


async def put_raw(service: Service, queue: str, content: str) -> None:
    """Put a message into a queue as it is, without base64."""
    async with service.services.connection.queues() as queues:
        await queues.get_queue_client(queue).send_message(content)


async def test_what_the_host_cannot_decode_is_recorded_by_the_timer(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """No function is ever given such a message; it is counted, recorded and removed, and its text is not kept."""
    caplog.set_level(logging.INFO)
    for queue in POISON:
        await put_raw(service, queue, NOT_BASE64)

    await service.fire("recount_insight")

    assert "poison queues: 4 messages" in caplog.text
    assert sorted(failure["queue"] for failure in await failed_messages(service)) == sorted(QUEUES)
    assert "anne" not in json.dumps(await failed_messages(service))
    caplog.clear()
    await service.fire("recount_insight")
    assert "poison queues: 0 messages" in caplog.text
    assert len(await failed_messages(service)) == len(POISON)


async def test_more_than_one_run_takes_are_taken_by_the_next(service: Service) -> None:
    """Each run records up to 32 of a queue; a flood is no reason to stop the timer."""
    for _ in range(40):
        await put_raw(service, "mail-events-poison", NOT_BASE64)

    await service.fire("recount_insight")
    first = len(await failed_messages(service))
    await service.fire("recount_insight")

    assert (first, len(await failed_messages(service))) == (32, 40)


async def test_a_readable_message_that_the_timer_finds_can_be_put_back(service: Service) -> None:
    """It is kept as the function of its queue would have kept it."""
    claim = await service.draft()
    await service.services.queues.send("customer-notices-poison", json.dumps({"claimId": claim["id"], "to": "a@b.cz"}))

    await service.fire("recount_insight")
    await service.programme("POST", "/operations/failed-messages/redrive", json={})

    [message] = await service.services.queues.take("customer-notices", 32)
    assert json.loads(message.text) == {"claimId": claim["id"]}
