"""
Makes deliveries from the changes of the feed. A delivery is tried until it arrives or until `TRIED_FOR` has passed.

Queue messages and due rows name an organisation. Only the function of the queue calls receivers. The timer makes
deliveries and sends a queue message. It calls no receiver, because a receiver that does not answer would delay the
sweep. Only one process at a time calls a webhook. This process sends a few events at the same time.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

from cpor_core.due_work import SOON, Kind
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.model.change import Change
from cpor_core.model.webhook import (
    Attempt,
    CallOutcome,
    Delivery,
    DeliveryState,
    Webhook,
    WebhookStatus,
    WhyDisabled,
)
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow, expiry
from cpor_core.ports.feed import CallAnswer
from cpor_core.ports.stored import Stored
from cpor_core.rules.identifiers import newest_first
from cpor_core.rules.webhook_calls import event_id, next_attempt, webhook_id
from cpor_core.use_cases.together import together

log = logging.getLogger("cpor.webhooks")
Result = TypeVar("Result")

MADE_AT_ONCE = 45
"""The most deliveries in one transaction. A transaction has 100 rows, and each delivery takes two of them."""
LOOKED_AT = 500
"""The number of changes in one read of the feed."""
MOST_STEPS = 20
"""The most transactions that make deliveries for one webhook in one call. Then the next webhook has its turn."""
CALLS_AT_ONCE = 4
"""The most calls of one webhook at the same time."""
TAKEN_AT_ONCE = 20
"""The number of due deliveries in one read."""
CALLING_FOR = timedelta(seconds=60)
"""After this real time a process begins no new call. Another queue message continues the work."""
HELD_FOR = timedelta(minutes=2)
"""The right to call a webhook ends after this real time. By then, the process that had the right has ended."""
BY_MESSAGE = timedelta(minutes=2)
"""An attempt within this time gets a queue message. The timer, which runs each minute, finds later attempts."""
MESSAGE_LATER = timedelta(seconds=1)
"""A queue message arrives this much after the instant of its attempt. An earlier message would find nothing due."""
ATTEMPTS = 8
"""The most tries of a write that loses races."""
MOST_ATTEMPTS_KEPT = 50
LAST_NUMBER = 10**12 - 1


def due_row(organisation: str, now: datetime) -> DueRow:
    """Return the due row that leads the timer to make deliveries, if the queue message is lost."""
    return attempt_row(organisation, now + SOON)


def attempt_row(organisation: str, at: datetime) -> DueRow:
    """Return the due row for an attempt at that instant."""
    return DueRow(_minute(at), organisation, Kind.DELIVER)


def _minute(instant: datetime) -> datetime:
    """Round up to a whole minute, so that an organisation has one row for all attempts within a minute."""
    whole = instant.replace(second=0, microsecond=0)
    return whole if whole == instant else whole + timedelta(minutes=1)


def delivery_of(
    webhook: Webhook, event: str, tail: str, now: datetime, *, change: Change | None = None, replayed: bool = False
) -> Delivery:
    """Return a new delivery, which is due at once."""
    return Delivery(
        place=f"{newest_first(now)}|{tail}",
        webhook_id=webhook_id(event, webhook.name, webhook.born),
        event_id=event,
        change=change,
        replayed=replayed,
        created_at=now,
        next_attempt=now,
    )


def deliveries_expiry(ports: Ports, organisation: str, webhook: tuple[str, str], now: datetime) -> DueRow:
    """Return the due row that deletes a webhook's deliveries of this hour and earlier. *webhook* is name and birth."""
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    row_ref = ports.webhooks.deliveries_before(organisation, webhook, hour)
    return expiry(Kind.DELETE_DELIVERIES, organisation, hour, row_ref, webhook[1])


@dataclass(frozen=True, slots=True)
class Made:
    """The active webhooks, and whether more deliveries must be made."""

    webhooks: Sequence[Webhook]
    unfinished: bool


async def make_deliveries(ports: Ports, organisation: str, now: datetime) -> Made:
    """Make deliveries for new changes and for replays. Calls no receiver. A repeated call does no harm."""
    active = [kept for kept in await ports.webhooks.all(organisation) if _is_active(kept.value)]
    if not active:
        return Made((), unfinished=False)
    last = (await ports.changes.head(organisation)).last
    unfinished, webhooks = False, []
    for kept in active:
        webhook = await _make(ports, organisation, kept, last, now)
        if webhook is not None:
            webhooks.append(webhook)
            unfinished = unfinished or _is_behind(webhook, last)
    return Made(webhooks, unfinished)


def _is_active(webhook: Webhook) -> bool:
    return webhook.status is WebhookStatus.ACTIVE


def _is_behind(webhook: Webhook, last: int) -> bool:
    return webhook.scheduled < last or webhook.replay is not None


async def _make(
    ports: Ports, organisation: str, kept: Stored[Webhook] | None, last: int, now: datetime
) -> Webhook | None:
    """Make deliveries of one webhook. Returns the webhook as it is stored then. None if it was deleted or disabled."""
    for _ in range(MOST_STEPS):
        if kept is None or not _is_active(kept.value):
            return None
        if not _is_behind(kept.value, last):
            break
        if kept.value.scheduled < last:
            after, made = await _next_of_feed(ports, organisation, kept.value, last, now)
        else:
            after, made = await _next_of_replay(ports, organisation, kept.value, now)
        if made:
            await ports.duework.add(
                [due_row(organisation, now), deliveries_expiry(ports, organisation, kept.value.key, now)]
            )
        try:
            kept = await ports.webhooks.write(organisation, after, kept, made)
        except Conflict:  # another process has made these deliveries, or has changed the webhook
            kept = await ports.webhooks.find(organisation, kept.value.name)
    return kept.value if kept is not None and _is_active(kept.value) else None


async def _next_of_feed(
    ports: Ports, organisation: str, webhook: Webhook, last: int, now: datetime
) -> tuple[Webhook, Sequence[Delivery]]:
    changes = await ports.changes.page(organisation, after=webhook.scheduled, limit=LOOKED_AT)
    wanted, read = _that_fit(changes, last, webhook.wants)
    made = [_delivery(organisation, webhook, change, now) for change in wanted]
    return webhook.model_copy(update={"scheduled": read}), made


async def _next_of_replay(
    ports: Ports, organisation: str, webhook: Webhook, now: datetime
) -> tuple[Webhook, Sequence[Delivery]]:
    replay = webhook.replay
    assert replay is not None  # noqa: S101 - as `_is_behind` says
    changes = await ports.changes.page(organisation, after=replay.after, limit=LOOKED_AT)
    inside = [change for change in changes if change.sequence <= replay.last]

    def is_asked_for(change: Change) -> bool:
        return webhook.wants(change) and replay.range.since <= change.at < replay.range.until

    wanted, read = _that_fit(inside, replay.last, is_asked_for)
    made = [_delivery(organisation, webhook, change, now, replayed=True) for change in wanted]
    if read >= replay.last:
        return webhook.model_copy(update={"replay": None, "version": webhook.version + 1}), made
    return webhook.model_copy(update={"replay": replay.model_copy(update={"after": read})}), made


def _that_fit(
    changes: Sequence[Change], last: int, is_wanted: Callable[[Change], bool]
) -> tuple[Sequence[Change], int]:
    """
    Return the wanted changes that fit into one transaction, and the number up to which the feed was then read.

    That number is *last* if there are no changes.
    """
    wanted: list[Change] = []
    read = last
    for change in changes:
        if is_wanted(change):
            if len(wanted) == MADE_AT_ONCE:
                break
            wanted.append(change)
        read = change.sequence
    return wanted, read


def _delivery(
    organisation: str, webhook: Webhook, change: Change, now: datetime, *, replayed: bool = False
) -> Delivery:
    tail = f"{LAST_NUMBER - change.sequence:012d}"
    event = event_id(organisation, str(change.sequence))
    return delivery_of(webhook, event, tail, now, change=change, replayed=replayed)


async def nudge_deliveries(ports: Ports, organisation: str, now: datetime) -> bool:
    """Make deliveries, and send a queue message if an attempt is due. Returns whether the message was sent."""
    made = await make_deliveries(ports, organisation, now)
    is_due = made.unfinished
    for webhook in made.webhooks:
        is_due = is_due or await ports.webhooks.is_waiting(organisation, webhook, now)
    if is_due:
        await ports.queue_messages.webhook_delivery(organisation)
    return is_due


async def deliver_webhooks(ports: Ports, organisation: str) -> None:
    """
    Make deliveries and call the receivers. A receiver does not wait for the other receivers.

    Raises the first fault after every receiver was called. Due rows lead the timer to the deliveries that are not done.
    """
    made = await make_deliveries(ports, organisation, await ports.now())
    again = made.unfinished
    for ended in await together(_call(ports, organisation, webhook) for webhook in made.webhooks):
        again = again or ended
    if again:
        await ports.queue_messages.webhook_delivery(organisation)


async def _call(ports: Ports, organisation: str, webhook: Webhook) -> bool:
    """
    Try the due deliveries of one webhook, unless another process does.

    Returns true if the time has run out before all due deliveries were tried.
    """
    stop_at = ports.real_now() + CALLING_FOR
    while await ports.webhooks.is_waiting(organisation, webhook, await ports.now()):
        if ports.real_now() >= stop_at:
            return True
        began = ports.real_now()
        etag = await ports.webhooks.begin_calls(organisation, webhook, began, began + HELD_FOR)
        if etag is None:
            return False  # the other process looks for due deliveries again before it ends
        try:
            still_active = await _try_waiting(ports, organisation, webhook, stop_at)
        finally:
            await ports.webhooks.end_calls(organisation, webhook, etag)
        if not still_active:
            return False
    return False


async def _try_waiting(ports: Ports, organisation: str, webhook: Webhook, stop_at: datetime) -> bool:
    """Try the due deliveries, a few at the same time. Returns whether the webhook is still active."""
    gate = asyncio.Semaphore(CALLS_AT_ONCE)
    while ports.real_now() < stop_at:
        now = await ports.now()  # read again, because other processes add deliveries
        kept = await ports.webhooks.find(organisation, webhook.name)
        if kept is None or kept.value.born != webhook.born or not _is_active(kept.value):
            return False
        waiting = await ports.webhooks.waiting(organisation, webhook, now, limit=TAKEN_AT_ONCE)
        if not waiting:
            break
        ended = await together(
            _try_one(ports, organisation, kept.value, delivery, gate, stop_at) for delivery in waiting
        )
        await _nudge_later(ports, organisation, {again for again in ended if again is not None}, await ports.now())
    return True


async def _nudge_later(ports: Ports, organisation: str, attempts: Iterable[datetime], now: datetime) -> None:
    """Send a queue message for each second that has an attempt. The timer finds the attempts after `BY_MESSAGE`."""
    waits = {max(math.ceil((again - now).total_seconds()), 0) for again in attempts if again - now <= BY_MESSAGE}
    for wait in sorted(waits):
        await ports.queue_messages.webhook_delivery(organisation, delay=timedelta(seconds=wait) + MESSAGE_LATER)


async def _try_one(
    ports: Ports,
    organisation: str,
    webhook: Webhook,
    kept: Stored[Delivery],
    gate: asyncio.Semaphore,
    stop_at: datetime,
) -> datetime | None:
    """Call the receiver once and record the attempt. Returns the instant of the next attempt, or None."""
    async with gate:
        if ports.real_now() >= stop_at:
            return None
        now = await ports.now()
        secrets = [secret.text for secret in webhook.secrets if secret.until is None or now < secret.until]
        answer = await ports.receivers.call(webhook.url, secrets, webhook.name, kept.value)
        now = await ports.now()
    after = judged(kept.value, answer, now)
    if answer.status == HTTPStatus.GONE:
        await _switch_off(ports, organisation, webhook, now)
    if after.next_attempt is not None:
        await ports.duework.add([attempt_row(organisation, after.next_attempt)])
    try:
        await ports.webhooks.record(organisation, webhook, kept, after)
    except Conflict:  # another process has called too, and its record counts
        log.info("webhook %s of %s: %s was tried twice", webhook.name, organisation, kept.value.webhook_id)
        return None
    return after.next_attempt


def judged(delivery: Delivery, answer: CallAnswer, now: datetime) -> Delivery:
    """Return a delivery after an attempt. It is delivered after 2xx, failed after 410 or three days, else pending."""
    attempt = Attempt(at=now, outcome=answer.outcome, status=answer.status)
    first = delivery.first_attempt_at or now
    failed = len(delivery.attempts) + 1
    again, state = next_attempt(first, failed, now, answer.wait), DeliveryState.PENDING
    if answer.outcome is CallOutcome.ANSWERED and answer.status is not None and answer.status // 100 == 2:  # noqa: PLR2004
        again, state = None, DeliveryState.DELIVERED
    elif answer.status == HTTPStatus.GONE or again is None:
        again, state = None, DeliveryState.FAILED
    return delivery.model_copy(
        update={
            "state": state,
            "first_attempt_at": first,
            "next_attempt": again,
            "attempts": (*delivery.attempts, attempt)[-MOST_ATTEMPTS_KEPT:],
        }
    )


async def _switch_off(ports: Ports, organisation: str, webhook: Webhook, now: datetime) -> None:
    """Disable a webhook. Raises `StorageBusy`."""
    for _ in range(ATTEMPTS):
        kept = await ports.webhooks.find(organisation, webhook.name)
        if kept is None or kept.value.born != webhook.born or kept.value.url != webhook.url:
            return  # since the call the webhook was deleted, or has got another URL
        if not _is_active(kept.value):
            return
        off = kept.value.model_copy(
            update={
                "status": WebhookStatus.DISABLED,
                "why": WhyDisabled.GONE,
                "since": now,
                "version": kept.value.version + 1,
            }
        )
        try:
            await ports.webhooks.write(organisation, off, kept)
        except Conflict:
            continue
        log.warning("webhook %s of %s: switched off, its receiver answered 410", webhook.name, organisation)
        return
    raise StorageBusy(f"webhook {webhook.name} of {organisation}: lost {ATTEMPTS} races in a row")
