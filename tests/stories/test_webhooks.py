"""A partner's own server is called about each change of its claims and can check that the call is ours."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from cpor_app.queue_names import PARTNER_NOTICES
from devhost.stack.issuer import LocalIssuer
from tests.doubles.clock import FixedClock
from tests.support.receiver import Received, Receiver, running_receiver, says
from tests.support.service import OTHER_PARTNER, Service, running_service

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
Z = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture
async def service(storage_connection: str, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """The whole service at the present time, because receivers refuse signatures that are older than five minutes."""
    clock = FixedClock(datetime.now(UTC))
    async with running_service(storage_connection, issuer, clock=clock) as running:
        await running.register()
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """The partner's server."""
    async with running_receiver() as running:
        yield running


async def hook(service: Service, receiver: Receiver, name: str = "main", **more: Any) -> str:
    """Create a webhook, and return its secret."""
    answer = await service.request("PUT", f"/webhooks/{name}", json={"url": f"{receiver.url}/{name}", **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"].endswith(f"/webhooks/{name}")
    return str(answer.json()["secret"])


async def seen(service: Service, path: str = "/webhooks/main") -> Any:
    """Read something as a person of the partner."""
    answer = await service.request("GET", path, role="Incentives.User")
    assert answer.status_code == 200, answer.text
    return answer.json()


def types(received: list[Received]) -> list[str]:
    """Return the types of events in the order of their changes."""
    events = sorted((one.event for one in received), key=lambda event: event["data"].get("sequence", 0))
    return [event["type"] for event in events]


async def test_a_partner_is_called_on_every_change(service: Service, receiver: Receiver) -> None:
    """
    The signed calls begin with the draft.

    The feed has the same changes, and the deliveries have the results. Changes of other partners are not sent.
    """
    secret = await hook(service, receiver)

    claim = await service.submitted()
    await service.draft(tenant=OTHER_PARTNER)
    await service.deliver()

    for received in receiver.received:
        received.verify(secret)
        assert received.event["subject"] == claim["id"]
    told = types(receiver.received)
    assert told[0] == "cpor.claim.created"
    assert "cpor.claim.submitted" in told
    feed = (await seen(service, "/changes"))["value"]
    assert [f"cpor.{change['type']}" for change in feed] == told
    assert sorted((one.event["data"] for one in receiver.received), key=lambda data: data["sequence"]) == feed
    deliveries = (await seen(service, "/webhooks/main/deliveries"))["value"]
    assert {delivery["state"] for delivery in deliveries} == {"delivered"}
    assert {delivery["webhookId"] for delivery in deliveries} == {
        one.headers["webhook-id"] for one in receiver.received
    }
    assert [delivery["sequence"] for delivery in deliveries] == sorted((c["sequence"] for c in feed), reverse=True)
    assert [attempt["status"] for delivery in deliveries for attempt in delivery["attempts"]] == [204] * len(feed)


async def test_no_event_has_personal_data(service: Service, receiver: Receiver) -> None:
    """Events have ids, codes and instants. A receiver reads the claim for more."""
    await hook(service, receiver)

    claim = await service.notified()
    await service.deliver()

    sent = b"".join(received.body for received in receiver.received).decode()
    for person in claim["contacts"].values():
        assert person["email"] not in sent
        assert person["name"] not in sent
    assert "contoso" not in sent.lower()


async def test_a_secret_is_replaced_without_a_gap(service: Service, receiver: Receiver) -> None:
    """For a day both secrets sign, and then only the new one. The old secret is never shown again."""
    old = await hook(service, receiver)
    key = {"Idempotency-Key": "rotate-once"}

    first = await service.request("POST", "/webhooks/main/rotate-secret", headers=key)
    again = await service.request("POST", "/webhooks/main/rotate-secret", headers=key)
    new = first.json()["secret"]
    await service.request("POST", "/webhooks/main/test")
    await service.deliver()
    service.clock.shift(DAY)
    await service.request("POST", "/webhooks/main/test")
    await service.deliver()

    during, after = receiver.received
    assert again.json()["secret"] == new != old
    during.verify(old)
    during.verify(new)
    after.verify(new)
    with pytest.raises(WebhookVerificationError):
        after.verify(old)
    assert types(receiver.received) == ["cpor.webhook.test"] * 2
    assert "secret" not in await seen(service)
    assert "secret" not in (await seen(service, "/webhooks"))["value"][0]


async def test_missed_events_can_be_sent_again(service: Service, receiver: Receiver) -> None:
    """The replay has a range of time and keeps the webhook-ids."""
    secret = await hook(service, receiver, events=["claim.submitted", "claim.created"])
    now = await service.clock.now()
    await service.submitted()
    await service.deliver()
    first = {received.headers["webhook-id"] for received in receiver.received}
    receiver.received.clear()

    service.clock.advance(timedelta(seconds=1))
    asked = {"from": now.strftime(Z), "to": (now + HOUR).strftime(Z)}
    answer = await service.request("POST", "/webhooks/main/replay", json=asked)
    await service.deliver()

    assert answer.json()["replay"] == asked
    assert types(receiver.received) == ["cpor.claim.created", "cpor.claim.submitted"]
    assert {received.headers["webhook-id"] for received in receiver.received} == first
    for received in receiver.received:
        received.verify(secret)
    assert (await seen(service))["replay"] is None
    deliveries = await seen(service, "/webhooks/main/deliveries?maxpagesize=2")
    assert [delivery["replayed"] for delivery in deliveries["value"]] == [True, True]
    rest = await service.request("GET", deliveries["nextLink"], role="Incentives.User")
    assert [delivery["replayed"] for delivery in rest.json()["value"]] == [False, False]


async def test_a_receiver_that_fails_gets_the_event_later(service: Service, receiver: Receiver) -> None:
    """The event and the webhook-id are the same. Another receiver is not delayed."""
    secret = await hook(service, receiver)
    await hook(service, receiver, "other")
    receiver.answers["/main"] = says(503, Retry_After="600")
    await service.draft()
    await service.deliver()
    assert len(receiver.of("/other")) > 0
    waiting = (await seen(service, "/webhooks/main/deliveries"))["value"]
    assert {delivery["state"] for delivery in waiting} == {"pending"}
    due = datetime.fromisoformat(waiting[0]["nextAttempt"])
    assert due == await service.clock.now() + timedelta(seconds=600)
    failed = {received.headers["webhook-id"] for received in receiver.of("/main")}
    receiver.received.clear()
    receiver.answers.clear()

    service.clock.shift(timedelta(seconds=660))
    await service.sweep()
    await service.deliver()

    for received in receiver.of("/main"):
        received.verify(secret)
    assert {received.headers["webhook-id"] for received in receiver.of("/main")} == failed
    assert receiver.of("/other") == []
    done = (await seen(service, "/webhooks/main/deliveries"))["value"]
    assert {delivery["state"] for delivery in done} == {"delivered"}
    assert [attempt["status"] for attempt in done[0]["attempts"]] == [503, 204]


async def test_a_receiver_that_has_gone_is_not_called_until_it_is_switched_on(
    service: Service, receiver: Receiver
) -> None:
    """410 switches the webhook off, and its view shows that. The same PUT switches it on."""
    await hook(service, receiver)
    receiver.answers["/main"] = says(410)
    test = (await service.request("POST", "/webhooks/main/test")).json()
    await service.deliver()
    await service.draft()
    await service.deliver()

    off = await seen(service)
    refused = await service.request("POST", "/webhooks/main/test")
    receiver.answers.clear()
    on = await service.request("PUT", "/webhooks/main", json={"url": f"{receiver.url}/main"})
    await service.request("POST", "/webhooks/main/test")
    await service.deliver()

    assert [received.headers["webhook-id"] for received in receiver.received[:1]] == [test["webhookId"]]
    assert (off["status"], off["why"]) == ("disabled", "gone")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "InvalidState")
    assert (on.status_code, on.json()["status"], "secret" in on.json()) == (200, "active", False)
    assert types(receiver.received) == ["cpor.webhook.test"] * 2


async def test_a_foreign_message_goes_to_the_poison_queue(service: Service) -> None:
    """Its function fails, as for all foreign messages. A message without need does not fail."""
    await service.run("notify_partner", '{"organisation": "aaaaaaaa-0000-4000-8000-00000000abcd"}')

    with pytest.raises(AssertionError):
        await service.run("notify_partner", '{"organisation": "nobody"}')
    assert await service.services.queues.take(PARTNER_NOTICES, 1) == []
