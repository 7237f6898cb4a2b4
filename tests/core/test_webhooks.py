"""Webhooks as their owners use them: they are created, changed, tested, replayed, switched off and deleted."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.change import Change
from cpor_core.model.claim import Status
from cpor_core.model.webhook import (
    CallOutcome,
    Delivery,
    DeliveryState,
    Range,
    Webhook,
    WebhookStatus,
    WebhookWanted,
    WhyDisabled,
)
from cpor_core.ports.feed import Announcement, CallAnswer
from cpor_core.ports.stored import Stored
from cpor_core.rules.webhook_calls import DELAYS, MOST_SECRETS, TRIED_FOR, next_attempt
from cpor_core.use_cases.feed import deliveries, webhooks
from cpor_core.use_cases.feed.deliveries import deliver_webhooks, make_deliveries, nudge_deliveries
from tests.core.builders import ADATUM, DAY, FABRIKAM, HOUR, MICROSECOND, MONDAY, claim_id
from tests.core.memory_core import Called, Core


class Died(BaseException):
    """The end of the process, which no code catches."""


SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
URL, OTHER_URL = "https://adatum.example/cpor", "https://adatum.example/other"
DOWN = CallAnswer(CallOutcome.ANSWERED, 500)
GONE = CallAnswer(CallOutcome.ANSWERED, 410)


async def made(core: Core, name: str = "main", url: str = URL, **more: Any) -> Webhook:
    """Create a webhook."""
    wanted = WebhookWanted(url=url, **more)
    return (await webhooks.put(core.ports, ADATUM, name, wanted, await core.now(), None)).webhook


async def happened(
    core: Core, count: int = 1, *, kind: str = "claim.submitted", organisation: str = ADATUM, hint: bool = True
) -> None:
    """Write *count* changes to the feed."""
    for _ in range(count):
        head = await core.ports.changes.head(organisation)
        change = Change(
            sequence=head.last + 1,
            type=kind,
            claim_id=claim_id("a"),
            status=Status.SUBMITTED,
            at=await core.now(),
            etag='"1"',
        )
        await core.ports.changes.append(
            organisation, head, [Announcement(change, number=0, competes_with=f"{head.last}")]
        )
    if hint:
        await core.ports.queue_messages.webhook_delivery(organisation)


async def shown(core: Core, name: str = "main") -> list[Delivery]:
    """Return the deliveries of a webhook, the newest first."""
    webhook = await webhooks.find(core.ports, ADATUM, name)
    return list(await core.ports.webhooks.deliveries(ADATUM, webhook, after="", limit=10_000))


async def one(core: Core, name: str = "main") -> Delivery:
    """Return the only delivery."""
    (delivery,) = await shown(core, name)
    return delivery


def refusal(code: str) -> Any:
    """Expect a refusal with that code."""
    return pytest.raises(Refused, check=lambda refused: refused.code == code)


def sent(core: Core, url: str = URL) -> list[int | None]:
    """Return the sequence numbers of the calls to an address, in order, with None for a test."""
    called = (each.delivery.change for each in core.receivers.calls if each.url == url)
    return [change.sequence if change is not None else None for change in called]


# --- created and changed ----------------------------------------------------------------------------------------------


async def test_a_webhook_begins_with_the_next_change(core: Core) -> None:
    """Earlier changes are in the feed only."""
    await happened(core, 2)

    await made(core)
    await happened(core)
    await core.deliver()

    assert sent(core) == [3]


async def test_put_shows_the_secret_of_a_new_webhook_only(core: Core) -> None:
    """The same PUT again changes nothing, not even the version."""
    wanted = WebhookWanted(url=URL)

    first = await webhooks.put(core.ports, ADATUM, "main", wanted, MONDAY, None)
    again = await webhooks.put(core.ports, ADATUM, "main", wanted, MONDAY + HOUR, None)

    assert (first.new, again.new) == (True, False)
    assert first.webhook == again.webhook
    assert first.webhook.secrets[0].text.startswith("whsec_")


async def test_a_changed_address_is_called_at_once(core: Core) -> None:
    """Waiting deliveries go to the new address too."""
    core.receivers.answers[URL] = DOWN
    before = await made(core)
    await happened(core)
    await core.deliver()

    after = await made(core, url=OTHER_URL)
    core.clock.advance(5 * SECOND)
    await deliver_webhooks(core.ports, ADATUM)

    assert sent(core, OTHER_URL) == [1]
    assert (after.version, after.secrets, after.born) == (before.version + 1, before.secrets, before.born)


async def test_an_address_that_cannot_be_called_is_refused(core: Core) -> None:
    """Nothing is written."""
    core.receivers.never_called.add(URL)

    with refusal("UrlNotAllowed"):
        await made(core)

    assert await webhooks.of_organisation(core.ports, ADATUM) == []


async def test_an_organisation_has_at_most_ten_webhooks(core: Core) -> None:
    """Existing webhooks can still be changed, and each organisation has its own ten."""
    for number in range(webhooks.MOST_WEBHOOKS):
        await made(core, f"number-{number}")

    with refusal("TooManyWebhooks"):
        await made(core, "one-more")

    assert (await made(core, "number-3", OTHER_URL)).url == OTHER_URL
    assert (await webhooks.put(core.ports, FABRIKAM, "one-more", WebhookWanted(url=URL), MONDAY, None)).new


async def test_if_match_requires_the_version_that_was_read(core: Core) -> None:
    """A missing webhook, an older version, and a webhook that was deleted and created again do not match."""
    wanted, other = WebhookWanted(url=URL), WebhookWanted(url=OTHER_URL)
    with refusal("PreconditionFailed"):
        await webhooks.put(core.ports, ADATUM, "main", wanted, MONDAY, "*")
    first = webhooks.webhook_tag(await made(core))
    await webhooks.put(core.ports, ADATUM, "main", other, MONDAY, first)

    with refusal("PreconditionFailed"):
        await webhooks.put(core.ports, ADATUM, "main", wanted, MONDAY, first)
    with refusal("PreconditionFailed"):
        await webhooks.rotate_secret(core.ports, ADATUM, "main", MONDAY, first)
    with refusal("PreconditionFailed"):
        await webhooks.delete(core.ports, ADATUM, "main", first)
    with refusal("PreconditionFailed"):
        await webhooks.verify_version(core.ports, ADATUM, "main", first)
    await webhooks.delete(core.ports, ADATUM, "main", "*")

    assert webhooks.webhook_tag(await made(core)) != first


async def test_a_lost_answer_to_the_first_put_still_shows_the_secret(core: Core) -> None:
    """Storage did the write and answered that the row exists."""

    async def lose() -> None:
        raise Conflict("it is there already")

    async with core.rows.once_after("webhooks", lose):
        put = await webhooks.put(core.ports, ADATUM, "main", WebhookWanted(url=URL), MONDAY, None)

    assert put.new
    assert (await webhooks.find(core.ports, ADATUM, "main")).secrets == put.webhook.secrets


async def test_a_lost_answer_to_a_change_is_no_stale_version(core: Core) -> None:
    """The repetition meets its own row. A change by another caller in between is refused."""
    tag = webhooks.webhook_tag(await made(core))

    async def lose() -> None:
        raise Conflict("changed")

    async def intrude() -> None:
        await made(core, url=URL, events=("claim",))

    async with core.rows.once_after("webhooks", lose):
        put = await webhooks.put(core.ports, ADATUM, "main", WebhookWanted(url=OTHER_URL), MONDAY, tag)
    assert put.webhook.url == OTHER_URL

    async with core.rows.once_before("webhooks", intrude):
        with refusal("PreconditionFailed"):
            await webhooks.put(
                core.ports, ADATUM, "main", WebhookWanted(url=URL), MONDAY, webhooks.webhook_tag(put.webhook)
            )


async def always_overtaken(table: str, _: Any) -> None:
    """Let another write come first each time."""
    if table == "webhooks":
        raise Conflict("somebody else")


async def test_a_change_that_loses_every_race_is_a_busy_store(core: Core) -> None:
    """The caller can retry, and nothing is half done."""
    await made(core)
    core.rows.before = always_overtaken

    with pytest.raises(StorageBusy):
        await made(core, "second")
    with pytest.raises(StorageBusy):
        await webhooks.rotate_secret(core.ports, ADATUM, "main", MONDAY, None)
    with pytest.raises(StorageBusy):
        await webhooks.delete(core.ports, ADATUM, "main", None)


@pytest.mark.parametrize(
    ("events", "kinds", "expected"),
    [
        (None, ["claim.created", "claim.competing"], [1, 2]),
        (("claim",), ["claim.created", "claim.competing"], [1, 2]),
        (("claim.created",), ["claim.created", "claim.competing"], [1]),
        (("cpor.claim.competing", "claim.ended"), ["claim.created", "claim.competing", "claim.ended"], [2, 3]),
    ],
)
async def test_only_requested_types_are_sent(
    core: Core, events: tuple[str, ...] | None, kinds: list[str], expected: list[int]
) -> None:
    """A webhook names whole types or their prefixes."""
    webhook = await made(core, events=events)
    for kind in kinds:
        await happened(core, kind=kind)

    await core.deliver()

    assert sorted(filter(None, sent(core))) == expected
    assert not webhook.wants(
        Change(sequence=1, type="claims.x", claim_id="a", status=Status.DRAFT, at=MONDAY, etag="")
    ) or (events is None)


@pytest.mark.parametrize("event", ["claim.exploded", "clai", "", "claim.", "cpor", "CLAIM"])
def test_a_type_that_does_not_exist_is_refused(event: str) -> None:
    """A typing error would otherwise mean no calls for ever."""
    with pytest.raises(ValueError):
        WebhookWanted(url=URL, events=(event,))


async def test_a_deleted_webhook_gets_no_calls(core: Core) -> None:
    """Neither waiting nor later deliveries are sent. A later webhook of the same name has none of them."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    await happened(core)
    await core.deliver()

    await webhooks.delete(core.ports, ADATUM, "main", None)
    await happened(core)
    core.clock.advance(HOUR)
    await core.deliver()
    await made(core)

    assert sent(core) == [1]
    assert await shown(core) == []
    with refusal("NotFound"):
        await webhooks.delete(core.ports, ADATUM, "other", None)


async def test_a_webhook_can_vanish_during_its_deletion(core: Core) -> None:
    """
    Our own deletion had a lost answer, or another caller deleted it.

    A webhook whose row only changed is deleted too.
    """
    await made(core)

    async def lose() -> None:
        raise Conflict("gone")

    async def go_on() -> None:
        await happened(core, hint=False)
        await make_deliveries(core.ports, ADATUM, MONDAY)

    async with core.rows.once_after("webhooks", lose):
        await webhooks.delete(core.ports, ADATUM, "main", None)
    await made(core)
    async with core.rows.once_before("webhooks", go_on):
        await webhooks.delete(core.ports, ADATUM, "main", None)

    assert await webhooks.of_organisation(core.ports, ADATUM) == []


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_a_former_secret_signs_for_one_more_day(core: Core) -> None:
    """It signs up to, but not at, the instant."""
    old = (await made(core)).secrets[0].text
    new = (await webhooks.rotate_secret(core.ports, ADATUM, "main", MONDAY, None)).secrets[0].text

    for at in (MONDAY, MONDAY + DAY - MICROSECOND, MONDAY + DAY):
        core.clock.set(at)
        await happened(core)
        await core.deliver()

    assert [call.secrets for call in core.receivers.calls] == [[new, old], [new, old], [new]]


async def test_rotating_twice_leaves_the_secret_in_use_valid(core: Core) -> None:
    """
    A receiver without the second secret still uses the first.

    Expired secrets are dropped, and the row does not grow.
    """
    secrets = [(await made(core)).secrets[0].text]
    for hours in (0, 1, 25):
        at = MONDAY + hours * HOUR
        secrets.append((await webhooks.rotate_secret(core.ports, ADATUM, "main", at, None)).secrets[0].text)

    kept = (await webhooks.find(core.ports, ADATUM, "main")).secrets
    for _ in range(MOST_SECRETS):
        await webhooks.rotate_secret(core.ports, ADATUM, "main", MONDAY + 26 * HOUR, None)

    assert [secret.text for secret in kept] == [secrets[3], secrets[2]]
    assert len((await webhooks.find(core.ports, ADATUM, "main")).secrets) == MOST_SECRETS
    assert secrets[3] not in repr(kept)


async def test_a_lost_answer_to_a_rotation_makes_no_second_secret(core: Core) -> None:
    """The repetition recognises its own secret."""
    old = (await made(core)).secrets[0].text

    async def lose() -> None:
        raise Conflict("changed")

    async with core.rows.once_after("webhooks", lose):
        rotated = await webhooks.rotate_secret(core.ports, ADATUM, "main", MONDAY, None)

    assert [secret.text for secret in rotated.secrets][1:] == [old]


# --- delivered, retried, given up -------------------------------------------------------------------------------------


async def test_a_delivered_event_is_not_sent_again(core: Core) -> None:
    """This holds however often the queue and the timer run."""
    await made(core)
    await happened(core)
    await core.deliver()
    for _ in range(3):
        core.clock.advance(5 * MINUTE)
        await core.sweep()
        await core.deliver()

    delivery = await one(core)
    assert sent(core) == [1]
    assert (delivery.state, delivery.next_attempt) == (DeliveryState.DELIVERED, None)
    assert [(attempt.outcome, attempt.status) for attempt in delivery.attempts] == [(CallOutcome.ANSWERED, 204)]


async def test_a_receiver_that_fails_is_retried_with_growing_delays_for_three_days(core: Core) -> None:
    """The webhook-id stays the same. Then the delivery is given up and shows that."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    await happened(core)
    await core.deliver()
    instants = [MONDAY]

    while (due := (await one(core)).next_attempt) is not None:
        core.clock.set(due - MICROSECOND)
        await deliver_webhooks(core.ports, ADATUM)
        assert len(core.receivers.calls) == len(instants)
        core.clock.set(due)
        await deliver_webhooks(core.ports, ADATUM)
        instants.append(due)

    delivery = await one(core)
    assert tuple(later - earlier for earlier, later in pairwise(instants))[:-1] == DELAYS[:-1]
    assert instants[-1] == MONDAY + TRIED_FOR
    assert (delivery.state, [attempt.at for attempt in delivery.attempts]) == (DeliveryState.FAILED, instants)
    assert len(set(core.receivers.ids())) == 1


async def test_the_timer_alone_retries(core: Core) -> None:
    """Every message is lost. Each attempt comes in the minute after it is due."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    await happened(core)
    await core.deliver()

    for _ in range(7):
        core.lose_messages()
        core.clock.advance(MINUTE)
        await core.sweep()
        await core.deliver()

    assert [attempt.at - MONDAY for attempt in (await one(core)).attempts] == [
        timedelta(0),
        MINUTE,
        2 * MINUTE,
        7 * MINUTE,
    ]


async def test_messages_lead_to_the_first_attempts(core: Core) -> None:
    """They come up to a second late. The timer makes the later attempts."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    await happened(core)
    await core.deliver()
    for wait in (5 * SECOND, MINUTE):
        core.clock.advance(wait)
        await deliver_webhooks(core.ports, ADATUM)

    delays = [message.delay for message in core.queues.sent if message.delay is not None]
    assert delays == [6 * SECOND, MINUTE + SECOND]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, DeliveryState.DELIVERED),
        (299, DeliveryState.DELIVERED),
        (199, DeliveryState.PENDING),
        (301, DeliveryState.PENDING),
        (404, DeliveryState.PENDING),
        (410, DeliveryState.FAILED),
        (None, DeliveryState.PENDING),
    ],
)
async def test_any_2xx_is_a_delivery_and_410_is_final(core: Core, status: int | None, state: DeliveryState) -> None:
    """Every other answer leads to a retry."""
    outcome = CallOutcome.ANSWERED if status is not None else CallOutcome.TIMED_OUT
    core.receivers.answers[URL] = CallAnswer(outcome, status)
    await made(core)
    await happened(core)

    await core.deliver()

    assert (await one(core)).state is state


@pytest.mark.parametrize(
    ("failed", "passed", "wait", "expected"),
    [
        (1, timedelta(0), None, 5 * SECOND),
        (1, timedelta(0), SECOND, 5 * SECOND),
        (1, timedelta(0), HOUR, HOUR),
        (2, 5 * SECOND, 10 * SECOND, MINUTE + 5 * SECOND),
        (1, timedelta(0), 400 * DAY, TRIED_FOR),
        (99, 2 * DAY, None, 3 * DAY),
        (99, TRIED_FOR - MICROSECOND, HOUR, TRIED_FOR),
        (99, TRIED_FOR, None, None),
        (1, TRIED_FOR + DAY, HOUR, None),
    ],
)
def test_a_receiver_can_ask_for_more_time_within_the_three_days(
    failed: int, passed: timedelta, wait: timedelta | None, expected: timedelta | None
) -> None:
    """The retry is never earlier than our own delay and never later than the end."""
    after = next_attempt(MONDAY, failed, MONDAY + passed, wait)

    assert (after - MONDAY if after is not None else None) == expected


async def test_a_receiver_that_is_slow_or_down_delays_no_other(core: Core) -> None:
    """Each webhook has its own calls."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    await made(core, "other", OTHER_URL)
    await happened(core, 3)

    await core.deliver()

    assert sorted(filter(None, sent(core, OTHER_URL))) == [1, 2, 3]
    assert {delivery.state for delivery in await shown(core)} == {DeliveryState.PENDING}


async def test_a_fault_of_storage_for_one_webhook_stops_no_other(core: Core) -> None:
    """The fault is raised after all calls, and a due row leads to another run."""
    await made(core)
    await made(core, "other", OTHER_URL)
    await happened(core)

    async def fail(table: str, ops: Any) -> None:
        if table == "webhooks" and any(op.key.startswith("calls|main") for op in ops):
            raise StorageBusy("down")

    core.rows.before = fail
    with pytest.raises(StorageBusy):
        await deliver_webhooks(core.ports, ADATUM)
    core.rows.before = None

    assert sent(core, OTHER_URL) == [1]
    core.lose_messages()
    core.clock.advance(3 * MINUTE)
    await core.sweep()
    await core.deliver()
    assert sent(core) == [1]


async def test_a_process_that_dies_between_call_and_record_calls_again(core: Core) -> None:
    """The webhook-id is the same, and the receiver recognises it."""
    await made(core)
    await happened(core)

    async def die(called: Called) -> None:
        raise Died

    core.receivers.on_call = die
    with pytest.raises(Died):
        await core.deliver()
    core.receivers.on_call = None
    core.lose_messages()
    core.clock.advance(5 * MINUTE)
    await core.sweep()
    await core.deliver()

    first, second = core.receivers.ids()
    assert first == second
    assert (await one(core)).state is DeliveryState.DELIVERED


async def test_processes_at_the_same_time_call_once(core: Core) -> None:
    """One process calls and sees the deliveries that the others bring. The others stop."""
    await made(core)
    await happened(core)

    async def another(called: Called) -> None:
        core.receivers.on_call = None
        await happened(core, hint=False)
        await deliver_webhooks(core.ports, ADATUM)
        assert len(core.receivers.calls) == 1

    core.receivers.on_call = another
    await deliver_webhooks(core.ports, ADATUM)

    assert sent(core) == [1, 2]


async def test_a_process_that_died_during_a_call_is_replaced_after_two_minutes(core: Core) -> None:
    """No other process calls earlier. Of two replacements only one calls."""
    webhook = await made(core)
    now, until = core.clock.real(), core.clock.real() + deliveries.HELD_FOR
    assert await core.ports.webhooks.begin_calls(ADATUM, webhook, now, until) is not None

    assert await core.ports.webhooks.begin_calls(ADATUM, webhook, until - MICROSECOND, until) is None

    etag = await core.ports.webhooks.begin_calls(ADATUM, webhook, until, until + HOUR)
    assert etag is not None
    await core.ports.webhooks.end_calls(ADATUM, webhook, etag)
    await core.ports.webhooks.end_calls(ADATUM, webhook, etag)


async def test_an_attempt_that_another_process_recorded_stays(core: Core) -> None:
    """The slower process leaves the record as it is."""
    await made(core)
    await happened(core)

    async def faster(called: Called) -> None:
        webhook = await webhooks.find(core.ports, ADATUM, "main")
        (kept,) = await core.ports.webhooks.waiting(ADATUM, webhook, await core.now(), limit=9)
        done = deliveries.judged(kept.value, CallAnswer(CallOutcome.ANSWERED, 201), await core.now())
        await core.ports.webhooks.record(ADATUM, webhook, kept, done)

    core.receivers.on_call = faster
    core.receivers.answers[URL] = DOWN
    await core.deliver()

    assert [attempt.status for attempt in (await one(core)).attempts] == [201]


async def test_a_long_list_of_calls_to_a_slow_receiver_is_left_to_the_next_message(core: Core) -> None:
    """After a minute the process goes on with other webhooks, and nothing is lost."""
    core.receivers.takes = 7 * SECOND
    await made(core)
    await happened(core, 30, hint=False)

    await deliver_webhooks(core.ports, ADATUM)
    called, hints = len(core.receivers.calls), len(core.queues.sent)
    await core.deliver()

    assert called < 30
    assert hints == 1
    assert sorted(filter(None, sent(core))) == list(range(1, 31))


async def test_waiting_calls_are_not_begun_after_the_time_limit(core: Core) -> None:
    """They wait unchanged for the next message."""
    core.receivers.takes = deliveries.CALLING_FOR
    await made(core)
    await happened(core, 6, hint=False)

    await deliver_webhooks(core.ports, ADATUM)

    untried = [delivery for delivery in await shown(core) if not delivery.attempts]
    assert len(core.receivers.calls) + len(untried) == 6
    assert len(core.receivers.calls) <= deliveries.CALLS_AT_ONCE


async def test_many_changes_are_delivered_in_several_steps(core: Core) -> None:
    """They need more than one transaction, and each is delivered once."""
    await made(core)
    await happened(core, deliveries.MADE_AT_ONCE + 3)

    await core.deliver()

    assert sorted(filter(None, sent(core))) == list(range(1, deliveries.MADE_AT_ONCE + 4))


async def test_more_deliveries_than_one_call_makes_are_made_later(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue and the timer both go on with them."""
    monkeypatch.setattr(deliveries, "MOST_STEPS", 1)
    await made(core)
    await happened(core, 2 * deliveries.MADE_AT_ONCE + 1, hint=False)

    assert await nudge_deliveries(core.ports, ADATUM, await core.now())
    await core.deliver()

    assert len(sent(core)) == 2 * deliveries.MADE_AT_ONCE + 1
    assert not await nudge_deliveries(core.ports, ADATUM, await core.now())


async def test_two_processes_make_each_delivery_once(core: Core) -> None:
    """The slower process finds the deliveries."""
    await made(core)
    await happened(core, hint=False)

    async def another() -> None:
        await make_deliveries(core.ports, ADATUM, await core.now())

    async with core.rows.once_before("webhooks", another):
        await make_deliveries(core.ports, ADATUM, await core.now())

    assert len(await shown(core)) == 1


@pytest.mark.parametrize("off", [True, False])
async def test_a_webhook_that_vanishes_while_deliveries_are_made_gets_none(core: Core, *, off: bool) -> None:
    """It was deleted or switched off."""
    webhook = await made(core)
    await happened(core, hint=False)

    async def go() -> None:
        if off:
            await deliveries._switch_off(core.ports, ADATUM, webhook, MONDAY)
        else:
            await webhooks.delete(core.ports, ADATUM, "main", None)

    async with core.rows.once_before("webhooks", go):
        made_now = await make_deliveries(core.ports, ADATUM, await core.now())

    assert made_now.webhooks == []


async def test_an_organisation_without_webhooks_needs_few_requests(core: Core) -> None:
    """A message arrived without need."""
    await happened(core)

    assert await make_deliveries(core.ports, ADATUM, MONDAY) == deliveries.Made((), unfinished=False)
    await deliver_webhooks(core.ports, ADATUM)

    assert core.receivers.calls == []


# --- switched off -----------------------------------------------------------------------------------------------------


async def test_a_webhook_that_410_switched_off_can_be_switched_on_again(core: Core) -> None:
    """
    It shows the time and the reason.

    Then it gets the waiting deliveries and later changes, and not the changes in between.
    """
    await made(core)
    core.receivers.answers[URL] = DOWN
    await happened(core)
    await core.deliver()
    core.receivers.answers[URL] = GONE
    await happened(core)
    await core.deliver()
    off = await webhooks.find(core.ports, ADATUM, "main")
    await happened(core)
    core.clock.advance(HOUR)
    await core.sweep()
    await core.deliver()
    core.receivers.answers.clear()
    before = list(sent(core))

    on = await made(core)
    await happened(core)
    await core.deliver()

    assert (off.status, off.why, off.since) == (WebhookStatus.DISABLED, WhyDisabled.GONE, MONDAY)
    assert before == [1, 2]
    assert (on.status, on.why, on.since) == (WebhookStatus.ACTIVE, None, MONDAY + HOUR)
    assert sent(core) == [1, 2, 1, 4]


async def test_other_calls_of_a_webhook_stop_when_it_is_switched_off(core: Core) -> None:
    """They stop at the next read of its row."""
    core.receivers.answers[URL] = GONE
    await made(core)
    await happened(core, 2 * deliveries.TAKEN_AT_ONCE)

    await core.deliver()

    assert len(core.receivers.calls) <= deliveries.TAKEN_AT_ONCE


@pytest.mark.parametrize("what", ["deleted", "anew", "another address"])
async def test_a_410_does_not_switch_off_a_webhook_that_has_changed(core: Core, what: str) -> None:
    """The answer was for the former webhook."""
    await made(core)
    await happened(core)

    async def change(called: Called) -> None:
        core.receivers.on_call = None
        if what != "another address":
            await webhooks.delete(core.ports, ADATUM, "main", None)
        if what != "deleted":
            await made(core, url=OTHER_URL)

    core.receivers.on_call = change
    core.receivers.answers[URL] = GONE
    await core.deliver()

    assert [kept.status for kept in await webhooks.of_organisation(core.ports, ADATUM)] == (
        [] if what == "deleted" else [WebhookStatus.ACTIVE]
    )


async def test_switching_off_is_retried_after_a_lost_race(core: Core) -> None:
    """After many lost races it is a busy store."""
    webhook = await made(core)

    async def go_on() -> None:
        await happened(core, hint=False)
        await make_deliveries(core.ports, ADATUM, MONDAY)

    async with core.rows.once_before("webhooks", go_on):
        await deliveries._switch_off(core.ports, ADATUM, webhook, MONDAY)
    assert (await webhooks.find(core.ports, ADATUM, "main")).status is WebhookStatus.DISABLED
    await deliveries._switch_off(core.ports, ADATUM, webhook, MONDAY)

    await made(core)
    core.rows.before = always_overtaken
    with pytest.raises(StorageBusy):
        await deliveries._switch_off(core.ports, ADATUM, webhook, MONDAY)


async def test_a_webhook_that_is_off_cannot_be_tested_or_replayed(core: Core) -> None:
    """The refusal says how to switch it on."""
    webhook = await made(core)
    await deliveries._switch_off(core.ports, ADATUM, webhook, MONDAY)

    with refusal("InvalidState"):
        await webhooks.send_test(core.ports, ADATUM, "main", MONDAY)
    with refusal("InvalidState"):
        await webhooks.replay(core.ports, ADATUM, "main", Range(since=MONDAY, until=MONDAY + DAY), MONDAY)


# --- tests and replays ------------------------------------------------------------------------------------------------


async def test_a_test_event_is_delivered_like_any_other(core: Core) -> None:
    """The requested types do not matter. Two test events have two ids."""
    await made(core, events=("claim.ended",))

    first = await webhooks.send_test(core.ports, ADATUM, "main", MONDAY)
    second = await webhooks.send_test(core.ports, ADATUM, "main", MONDAY)
    await core.deliver()

    assert sorted(core.receivers.ids()) == sorted([first.webhook_id, second.webhook_id])
    assert first.webhook_id != second.webhook_id
    assert first.type == "cpor.webhook.test"
    assert {delivery.state for delivery in await shown(core)} == {DeliveryState.DELIVERED}


async def test_a_test_whose_message_was_lost_is_sent_by_the_timer(core: Core) -> None:
    """Its due row is written before the message."""
    await made(core)
    await webhooks.send_test(core.ports, ADATUM, "main", MONDAY)
    core.lose_messages()
    core.clock.advance(3 * MINUTE)

    await core.sweep()
    await core.deliver()

    assert sent(core) == [None]


async def replayed(core: Core, since: datetime, until: datetime) -> Webhook:
    """Ask for a replay."""
    wanted = Range(since=since, until=until)
    return await webhooks.replay(core.ports, ADATUM, "main", wanted, await core.now())


async def test_a_replay_sends_the_changes_of_its_range_under_their_ids(core: Core) -> None:
    """The range includes its begin and excludes its end. Only requested types are sent."""
    await made(core, events=("claim.submitted",))
    for kind in ("claim.submitted", "claim.submitted", "claim.created", "claim.submitted"):
        await happened(core, kind=kind)
        core.clock.advance(HOUR)
    await core.deliver()
    ids = {
        call.delivery.change.sequence: call.delivery.webhook_id for call in core.receivers.calls if call.delivery.change
    }
    core.receivers.calls.clear()

    asked = await replayed(core, MONDAY + HOUR, MONDAY + 3 * HOUR)
    await core.deliver()

    assert asked.replay is not None
    assert sent(core) == [2]
    assert core.receivers.ids() == [ids[2]]
    assert [delivery.replayed for delivery in await shown(core)].count(True) == 1
    assert (await webhooks.find(core.ports, ADATUM, "main")).replay is None


async def test_an_empty_range_is_refused_and_one_without_changes_is_done_at_once(core: Core) -> None:
    """This also holds when the feed is empty."""
    await made(core)
    with refusal("ValidationFailed"):
        await replayed(core, MONDAY, MONDAY)

    await replayed(core, MONDAY, MONDAY + HOUR)
    await core.deliver()

    assert (await webhooks.find(core.ports, ADATUM, "main")).replay is None
    assert core.receivers.calls == []


async def test_a_webhook_has_one_replay_at_a_time(core: Core) -> None:
    """A second one waits until the first is done. A lost message only delays it."""
    await made(core)
    await happened(core)
    await core.deliver()
    await replayed(core, MONDAY, MONDAY + HOUR)
    core.lose_messages()

    with refusal("InvalidState"):
        await replayed(core, MONDAY, MONDAY + DAY)

    core.clock.advance(3 * MINUTE)
    await core.sweep()
    await core.deliver()
    assert sent(core) == [1, 1]


async def test_a_long_replay_continues_where_it_stopped(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes after the request are not in it."""
    monkeypatch.setattr(deliveries, "MOST_STEPS", 1)
    await made(core)
    await happened(core, deliveries.MADE_AT_ONCE + 5)
    await core.deliver()
    core.receivers.calls.clear()
    await replayed(core, MONDAY, MONDAY + HOUR)
    await happened(core)

    await core.deliver()

    assert sorted(filter(None, sent(core))) == sorted(
        [*range(1, deliveries.MADE_AT_ONCE + 6), deliveries.MADE_AT_ONCE + 6]
    )


async def test_a_lost_answer_to_a_replay_starts_no_second_one(core: Core) -> None:
    """The repetition recognises its own replay."""
    await made(core)
    await happened(core)
    await core.deliver()

    async def lose() -> None:
        raise Conflict("changed")

    async with core.rows.once_after("webhooks", lose):
        asked = await replayed(core, MONDAY, MONDAY + HOUR)

    assert asked.version == 2


# --- expired ----------------------------------------------------------------------------------------------------------


async def test_deliveries_are_deleted_after_thirty_days(core: Core) -> None:
    """Those of one hour are deleted together, also those that wait for a webhook that is off."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    await happened(core)
    await core.deliver()
    await deliveries._switch_off(core.ports, ADATUM, await webhooks.find(core.ports, ADATUM, "main"), MONDAY)
    core.clock.set(MONDAY + HOUR + RETENTION[Kind.DELETE_DELIVERIES] - MICROSECOND)
    await core.sweep()
    assert len(await shown(core)) == 1

    core.clock.set(MONDAY + HOUR + RETENTION[Kind.DELETE_DELIVERIES])
    await core.sweep()
    await core.sweep()

    left = [key for table, _, key in core.rows._rows if table == "webhooks"]
    assert left == ["hook|main"]


async def test_due_rows_of_an_organisation_lie_on_whole_minutes(core: Core) -> None:
    """A receiver that is down for long does not fill the table of due work."""
    core.receivers.answers[URL] = DOWN
    await made(core)
    core.clock.set(MONDAY + SECOND)
    await happened(core, 20)
    await core.deliver()

    rows = [row.due for row in await core.due_rows() if row.kind is Kind.DELIVER]

    assert rows == [MONDAY + MINUTE, MONDAY + 3 * MINUTE]


async def test_the_feed_leaves_a_due_row_for_webhooks(core: Core) -> None:
    """The process dies directly after the feed entry, and the timer delivers the change."""
    await made(core)
    case = await core.draft(evidence=False)
    core.lose_messages()
    core.clock.advance(3 * MINUTE)

    await core.sweep()
    await core.deliver()

    (call,) = core.receivers.calls
    assert call.delivery.change is not None
    assert (call.delivery.type, call.delivery.change.claim_id) == ("cpor.claim.created", case.claim.id)


async def test_a_record_with_a_stale_etag_changes_nothing(core: Core) -> None:
    """The table reports it."""
    webhook = await made(core)
    await happened(core, hint=False)
    await make_deliveries(core.ports, ADATUM, MONDAY)
    (kept,) = await core.ports.webhooks.waiting(ADATUM, webhook, MONDAY, limit=1)
    stale = Stored(kept.value, kept.etag)
    await core.ports.webhooks.record(ADATUM, webhook, kept, kept.value)

    with pytest.raises(Conflict):
        await core.ports.webhooks.record(ADATUM, webhook, replace(stale), kept.value)


async def run_to_the_end(core: Core) -> None:
    """Let minutes pass with a timer, and without messages of the dead process."""
    core.rows.before = core.rows.after = None
    core.lose_messages()
    for _ in range(5):
        core.clock.advance(MINUTE)
        await core.sweep()
        await core.deliver()


@pytest.mark.parametrize("done", [False, True])
async def test_a_process_can_die_at_any_write(*, done: bool) -> None:
    """It dies before or after the write. In the end every change has arrived, and at most one of them twice."""
    number = 0
    while True:
        number += 1
        core = Core()
        await core.register()
        await made(core)
        case = await core.draft()
        await run_to_the_end(core)
        left = number

        async def die(table: str, ops: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Died

        if done:
            core.rows.after = die
        else:
            core.rows.before = die
        try:
            await core.submit(case)
            await core.deliver()
        except Died:
            await run_to_the_end(core)
        else:
            break
        told = [change.sequence for change in await core.ports.changes.page(ADATUM, after=0, limit=99)]
        arrived = sorted(filter(None, sent(core)))
        assert sorted(set(arrived)) == told
        assert len(arrived) - len(told) <= 1
        assert len(set(core.receivers.ids())) == len(told)
        assert {delivery.state for delivery in await shown(core)} == {DeliveryState.DELIVERED}
    assert number > 5
