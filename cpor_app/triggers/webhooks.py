"""The partner's calls about webhooks. The service calls a webhook on each change of the partner's claims."""

from pydantic import Field

from cpor_app.http.parsing import validated
from cpor_app.http.request import Call
from cpor_app.http.route_table import PARTNER, PARTNER_ADMIN, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Instant, LateModel, Slug, Value
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.webhook import (
    Attempt,
    Delivery,
    DeliveryState,
    Range,
    Webhook,
    WebhookStatus,
    WebhookWanted,
    WhyDisabled,
)
from cpor_core.use_cases.feed import webhooks


class WebhookView(Value):
    """A webhook, without its secret."""

    name: Slug
    url: str
    events: tuple[str, ...] | None = LEFT_OUT
    status: WebhookStatus
    why: WhyDisabled | None = Field(
        default=None, description="Why the webhook was switched off. `gone` means that your server answered 410."
    )
    since: Instant = Field(description="The instant since which the webhook has this status.")
    replay: Range | None = Field(default=None, description="The replay that is under way.")
    created_at: Instant


class WebhookWithSecret(WebhookView):
    """A webhook with its secret. The secret is shown only once."""

    secret: str = Field(description="Signs each call. It is `whsec_` and base64, as in Standard Webhooks.")


class ListedWebhooks(Value):
    """An organisation's webhooks, by name."""

    value: tuple[WebhookView, ...]


class DeliveryView(Value):
    """One event on its way to a webhook."""

    webhook_id: str = Field(description="The header `webhook-id`. It is the same on every attempt and replay.")
    event_id: str = Field(description="The event's `id`. It is the same at every webhook.")
    type: str
    sequence: int | None = Field(default=None, description="The number of the change; null for a test.")
    claim_id: str | None = None
    replayed: bool
    state: DeliveryState
    created_at: Instant
    next_attempt: Instant | None = None
    attempts: tuple[Attempt, ...] = Field(description="Oldest first.")


class ListedDeliveries(Value):
    """A page of deliveries, newest first."""

    value: tuple[DeliveryView, ...]
    next_link: str | None = LEFT_OUT


class _NamePath(LateModel):
    name: Slug


@operation(
    summary="Your organisation's webhooks",
    tag="Webhooks",
    roles=PARTNER,
    answers={200: ListedWebhooks},
)
async def list_webhooks(call: Call) -> Answer:
    """The webhooks are sorted by name. There are at most ten, all on one page."""
    stored = await webhooks.of_organisation(call.ports, call.organisation)
    return Answer(200, ListedWebhooks(value=tuple(_view(webhook) for webhook in stored)))


@operation(
    summary="One webhook",
    tag="Webhooks",
    roles=PARTNER,
    answers={200: WebhookView},
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
async def get_webhook(call: Call) -> Answer:
    """The answer has the reason if the webhook is switched off. The answer never has the secret."""
    webhook = await webhooks.find(call.ports, call.organisation, _name(call))
    return _answer(200, webhook)


@operation(
    summary="Make a webhook, change it, or switch it on again",
    tag="Webhooks",
    roles=PARTNER_ADMIN,
    body=WebhookWanted,
    answers={201: WebhookWithSecret, 200: WebhookView},
    if_match="honoured",
    etag=True,
    location=True,
    refusals=("UrlNotAllowed", "TooManyWebhooks"),
)
async def put_webhook(call: Call) -> Answer:
    """
    A new webhook gets every change from the next one on. Its secret is shown only in this answer.

    The address must be https, at a host with public addresses only. This call also switches a webhook on again. The
    webhook then continues with the next change. You can replay the changes that it missed.
    """
    name = _name(call)
    if call.if_match is not None:  # verified before the body is read (decision 3)
        await webhooks.verify_version(call.ports, call.organisation, name, call.if_match)
    wanted = call.body(WebhookWanted)
    made = await webhooks.put(call.ports, call.organisation, name, wanted, await call.now(), call.if_match)
    if not made.new:
        return _answer(200, made.webhook)
    answer = _with_secret(201, made.webhook)
    return Answer(201, answer.body, headers={**answer.headers, "Location": call.url(f"webhooks/{name}")})


@operation(
    summary="Delete a webhook",
    tag="Webhooks",
    roles=PARTNER_ADMIN,
    answers={204: None},
    if_match="honoured",
    refusals=("NotFound", "ValidationFailed"),
)
async def delete_webhook(call: Call) -> Answer:
    """Pending deliveries are not sent."""
    await webhooks.delete(call.ports, call.organisation, _name(call), call.if_match)
    return Answer(204)


@operation(
    summary="Send a test event",
    tag="Webhooks",
    roles=PARTNER_ADMIN,
    answers={200: DeliveryView},
    refusals=("NotFound", "ValidationFailed", "InvalidState"),
)
async def test_webhook(call: Call) -> Answer:
    """The type is `cpor.webhook.test`. The test is signed, sent and listed like any event. `events` has no effect."""
    name = _name(call)
    await webhooks.find(call.ports, call.organisation, name)
    call.verify_no_fields()
    return Answer(200, _delivery(await webhooks.send_test(call.ports, call.organisation, name, await call.now())))


@operation(
    summary="Get a new secret",
    tag="Webhooks",
    roles=PARTNER_ADMIN,
    answers={200: WebhookWithSecret},
    if_match="honoured",
    etag=True,
    refusals=("NotFound", "ValidationFailed"),
)
async def rotate_webhook_secret(call: Call) -> Answer:
    """For 24 hours the service signs with both secrets, so that you have time to change yours."""
    name, now = _name(call), await call.now()
    await webhooks.find(call.ports, call.organisation, name)
    if call.if_match is not None:
        await webhooks.verify_version(call.ports, call.organisation, name, call.if_match)
    call.verify_no_fields()
    return _with_secret(200, await webhooks.rotate_secret(call.ports, call.organisation, name, now, call.if_match))


@operation(
    summary="Send the changes of a time range again",
    tag="Webhooks",
    roles=PARTNER_ADMIN,
    body=Range,
    answers={200: WebhookView},
    etag=True,
    refusals=("NotFound", "InvalidState"),
)
async def replay_changes(call: Call) -> Answer:
    """
    The service sends the changes at or after `from` and before `to` that fit the webhook's `events`. Their webhook-ids
    are the same as before.

    Only one replay can run at a time. `replay` shows the replay until its deliveries are made. Changes are kept for 400
    days.
    """
    name = _name(call)
    await webhooks.find(call.ports, call.organisation, name)  # 404 comes before faults of the body (decision 3)
    wanted = call.body(Range)
    webhook = await webhooks.replay(call.ports, call.organisation, name, wanted, await call.now())
    return _answer(200, webhook)


@operation(
    summary="The deliveries to a webhook, sent and pending",
    tag="Webhooks",
    roles=PARTNER,
    answers={200: ListedDeliveries},
    paged=True,
    refusals=("NotFound",),
)
async def list_deliveries(call: Call) -> Answer:
    """Each delivery has its attempts. The newest delivery comes first. Deliveries are kept for 30 days."""
    webhook = await webhooks.find(call.ports, call.organisation, _name(call))
    after, limit = call.page()
    page = await call.ports.webhooks.deliveries(call.organisation, webhook, after=after, limit=limit)
    return call.listed([_delivery(one) for one in page], page[-1].place if len(page) == limit else None)


def _name(call: Call) -> str:
    with validated():
        return _NamePath.model_validate({"name": call.path("name")}).name


def _view(webhook: Webhook) -> WebhookView:
    return WebhookView(
        name=webhook.name,
        url=webhook.url,
        events=webhook.events,
        status=webhook.status,
        why=webhook.why,
        since=webhook.since,
        replay=webhook.replay.range if webhook.replay is not None else None,
        created_at=webhook.created_at,
    )


def _answer(status: int, webhook: Webhook) -> Answer:
    return Answer(status, _view(webhook), headers={"ETag": webhooks.webhook_tag(webhook)})


def _with_secret(status: int, webhook: Webhook) -> Answer:
    view = WebhookWithSecret(**dict(_view(webhook)), secret=webhook.secrets[0].text)
    return Answer(status, view, headers={"ETag": webhooks.webhook_tag(webhook)})


def _delivery(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        type=delivery.type,
        sequence=delivery.change.sequence if delivery.change is not None else None,
        claim_id=delivery.change.claim_id if delivery.change is not None else None,
        replayed=delivery.replayed,
        state=delivery.state,
        created_at=delivery.created_at,
        next_attempt=delivery.next_attempt,
        attempts=delivery.attempts,
    )
