"""Use cases of a partner's administrator for webhooks: create, change, test, replay, read, delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.webhook import Delivery, Range, Replay, Secret, Webhook, WebhookStatus, WebhookWanted
from cpor_core.ports import Ports
from cpor_core.ports.stored import Stored
from cpor_core.rules.entity_tags import matches
from cpor_core.rules.webhook_calls import BOTH_SECRETS_SIGN, MOST_SECRETS, event_id, new_secret
from cpor_core.use_cases.feed.deliveries import deliveries_expiry, delivery_of, due_row

ATTEMPTS = 8
MOST_WEBHOOKS = 10
BORN_DIGITS = 8


@dataclass(frozen=True, slots=True)
class PutWebhook:
    """The result of a PUT: the stored webhook, and whether it is new."""

    webhook: Webhook
    new: bool


def webhook_tag(webhook: Webhook) -> str:
    """Return the ETag of a webhook. A webhook that is deleted and created again never has an earlier ETag."""
    return f'"{webhook.born}-{webhook.version}"'


async def put(
    ports: Ports, organisation: str, name: str, wanted: WebhookWanted, now: datetime, if_match: str | None
) -> PutWebhook:
    """
    Create a webhook that begins with the next change, or change a webhook and enable it.

    A webhook that was disabled first gets its pending deliveries, and then the changes from now on. A replay can send
    the changes that came while the webhook was disabled. Raises `UrlNotAllowed`, `TooManyWebhooks`,
    `PreconditionFailed`.
    """
    await ports.receivers.verify(wanted.url)
    born = ports.new_id()[:BORN_DIGITS]
    secret = Secret(text=_drawn(ports))
    for attempt in range(ATTEMPTS):
        hooks = {kept.value.name: kept for kept in await ports.webhooks.all(organisation)}
        former = hooks.get(name)
        if former is not None and former.value.born == born:  # our insert, if its answer was lost
            return PutWebhook(former.value, new=True)
        if attempt == 0 or former is None or not _is_as(former.value, wanted):  # otherwise it is our earlier write
            verify_match(if_match, former)
        if former is None and len(hooks) >= MOST_WEBHOOKS:
            raise Refused(
                "TooManyWebhooks",
                f"An organisation has at most {MOST_WEBHOOKS} webhooks.",
                resolution="Delete a webhook that is no longer needed.",
            )
        try:
            if former is not None:
                return PutWebhook(await _changed(ports, organisation, former, wanted, now), new=False)
            last = await _feed_calls(ports, organisation)
            made = Webhook(
                name=name,
                born=born,
                url=wanted.url,
                events=wanted.events,
                secrets=(secret,),
                since=now,
                created_at=now,
                scheduled=last,
            )
            await ports.webhooks.write(organisation, made, None)
        except Conflict:
            continue
        return PutWebhook(made, new=True)
    raise _busy(organisation)


async def _feed_calls(ports: Ports, organisation: str) -> int:
    """Note in the feed that it has webhooks. Returns the number of the feed's last change. Raises `Conflict`."""
    # This is noted before the webhook exists. So the webhook misses no change after the returned number.
    await ports.changes.note_webhooks(organisation, has_webhooks=True)
    return (await ports.changes.head(organisation)).last


async def _changed(
    ports: Ports, organisation: str, former: Stored[Webhook], wanted: WebhookWanted, now: datetime
) -> Webhook:
    """Write *wanted* over *former*, unless nothing changes. Raises `Conflict`."""
    webhook = former.value
    if _is_as(webhook, wanted):
        return webhook
    off = webhook.status is WebhookStatus.DISABLED
    changed: dict[str, object] = {"url": wanted.url, "events": wanted.events, "version": webhook.version + 1}
    if off:
        last = await _feed_calls(ports, organisation)
        changed |= {"status": WebhookStatus.ACTIVE, "why": None, "since": now, "scheduled": last}
        await ports.duework.add([due_row(organisation, now)])
    after = webhook.model_copy(update=changed)
    await ports.webhooks.write(organisation, after, former)
    if off:
        await ports.queue_messages.webhook_delivery(organisation)
    return after


def _is_as(webhook: Webhook, wanted: WebhookWanted) -> bool:
    same = (webhook.url, webhook.events) == (wanted.url, wanted.events)
    return same and webhook.status is WebhookStatus.ACTIVE


async def find(ports: Ports, organisation: str, name: str) -> Webhook:
    """Return a webhook. Raises `NotFound`."""
    return (await _found(ports, organisation, name)).value


async def verify_version(ports: Ports, organisation: str, name: str, if_match: str) -> None:
    """Raise `PreconditionFailed` unless *if_match* has the ETag of the stored webhook."""
    verify_match(if_match, await ports.webhooks.find(organisation, name))


async def of_organisation(ports: Ports, organisation: str) -> Sequence[Webhook]:
    """Return an organisation's webhooks, by name."""
    return [kept.value for kept in await ports.webhooks.all(organisation)]


async def delete(ports: Ports, organisation: str, name: str, if_match: str | None) -> None:
    """Delete a webhook. Its pending deliveries are not sent. Raises `NotFound`, `PreconditionFailed`."""
    former = await _found(ports, organisation, name)
    for _ in range(ATTEMPTS):
        verify_match(if_match, former)
        try:
            await ports.webhooks.delete(organisation, former)
        except Conflict:
            again = await ports.webhooks.find(organisation, name)
            if again is None or again.value.born != former.value.born:
                return  # the webhook was deleted, by us or by another process
            former = again
            continue
        return
    raise _busy(organisation)


async def rotate_secret(ports: Ports, organisation: str, name: str, now: datetime, if_match: str | None) -> Webhook:
    """Add a new secret. The former secret also signs for 24 hours. Raises `NotFound`, `PreconditionFailed`."""
    secret = Secret(text=_drawn(ports))

    def judge(webhook: Webhook) -> Webhook:
        if webhook.secrets[0] == secret:
            return webhook
        newest, *others = webhook.secrets
        former = newest.model_copy(update={"until": now + BOTH_SECRETS_SIGN})
        valid = (other for other in others if other.until is not None and now < other.until)
        return webhook.model_copy(
            update={"secrets": (secret, former, *valid)[:MOST_SECRETS], "version": webhook.version + 1}
        )

    return await _change(ports, organisation, name, judge, if_match)


async def send_test(ports: Ports, organisation: str, name: str, now: datetime) -> Delivery:
    """Send a test event like any other event. Raises `NotFound`, and `InvalidState` for a disabled webhook."""
    webhook = await find(ports, organisation, name)
    _verify_active(webhook)
    drawn = ports.new_id()
    delivery = delivery_of(webhook, event_id(organisation, drawn), drawn[:12], now)
    await ports.duework.add([due_row(organisation, now), deliveries_expiry(ports, organisation, webhook.key, now)])
    await ports.webhooks.add(organisation, webhook, delivery)
    await ports.queue_messages.webhook_delivery(organisation)
    return delivery


async def replay(ports: Ports, organisation: str, name: str, wanted: Range, now: datetime) -> Webhook:
    """
    Deliver the changes of a range of time again, with the same ids.

    Raises `NotFound`, `ValidationFailed` for an empty range, and `InvalidState` for a disabled webhook or while another
    replay is running.
    """
    if wanted.since >= wanted.until:
        raise Refused(
            "ValidationFailed",
            "`from` must lie before `to`.",
            target="from",
            resolution="Send the earlier instant as `from`.",
        )
    head = await ports.changes.head(organisation)
    asked = Replay(id=ports.new_id(), range=wanted, after=head.oldest - 1, last=head.last)

    def judge(webhook: Webhook) -> Webhook:
        if webhook.replay is not None and webhook.replay.id == asked.id:
            return webhook
        _verify_active(webhook)
        if webhook.replay is not None:
            raise Refused(
                "InvalidState",
                "A replay of this webhook is still running.",
                resolution="Wait until GET /webhooks/{name} shows no replay.",
            )
        return webhook.model_copy(update={"replay": asked, "version": webhook.version + 1})

    await ports.duework.add([due_row(organisation, now)])
    webhook = await _change(ports, organisation, name, judge, None)
    await ports.queue_messages.webhook_delivery(organisation)
    return webhook


async def _change(
    ports: Ports, organisation: str, name: str, judge: Callable[[Webhook], Webhook], if_match: str | None
) -> Webhook:
    """Change a webhook. After a lost race *judge* decides again. It must not repeat a change that it finds stored."""
    former = await _found(ports, organisation, name)
    for _ in range(ATTEMPTS):
        after = judge(former.value)
        if after == former.value:
            return after
        verify_match(if_match, former)
        try:
            await ports.webhooks.write(organisation, after, former)
        except Conflict:
            former = await _found(ports, organisation, name)
            continue
        return after
    raise _busy(organisation)


async def _found(ports: Ports, organisation: str, name: str) -> Stored[Webhook]:
    kept = await ports.webhooks.find(organisation, name)
    if kept is None:
        raise Refused("NotFound", "There is no such webhook.", resolution="GET /webhooks lists yours.")
    return kept


def _drawn(ports: Ports) -> str:
    return new_secret(ports.new_id() + ports.new_id())


def _verify_active(webhook: Webhook) -> None:
    if webhook.status is not WebhookStatus.ACTIVE:
        raise Refused(
            "InvalidState",
            "The webhook is disabled. No events are sent to it.",
            resolution="Enable the webhook with PUT.",
        )


def verify_match(if_match: str | None, former: Stored[Webhook] | None) -> None:
    """Raise `PreconditionFailed` unless If-Match has the webhook's ETag. `*` fits every webhook that exists."""
    if if_match is not None and (former is None or not matches(if_match, webhook_tag(former.value))):
        raise Refused(
            "PreconditionFailed",
            "The webhook has changed since you read it.",
            target="If-Match",
            resolution="Read the webhook again and repeat the request with its new ETag.",
        )


def _busy(organisation: str) -> StorageBusy:
    return StorageBusy(f"webhooks of {organisation}: lost {ATTEMPTS} races in a row", retry_after_seconds=1)
