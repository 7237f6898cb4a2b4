"""The notice: the order of promise, mail and record, and mails that fail."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cpor_app.adapters.storage.row_store import Delete, Op
from cpor_app.adapters.storage.tables.mail_budget import MailBudgetRow
from cpor_core.due_work import SOON
from cpor_core.model.claim import DueMail, MailKind, Reason, Status
from cpor_core.model.history import Act
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.identifiers import message_id
from cpor_core.rules.mail_budget import Limits
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, change_claim
from cpor_core.use_cases.claims import drafts, partner_acts, reviews
from cpor_core.use_cases.due_work.process_claim import MOST_STEPS, DueClaim
from cpor_core.use_cases.notices.notice import SENDING
from cpor_core.use_cases.notices.send import REFUSED_FOR_GOOD_AFTER
from tests.core.builders import (
    DAY,
    EXCHANGE,
    FABRIKAM,
    HOUR,
    MICROSECOND,
    MONDAY,
    PERSON,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
    subscription,
)
from tests.core.memory_core import Core
from tests.doubles.transport import ProcessDied

ANNE, IT, LAW = "anne.durand@contoso.fr", "it@contoso.fr", "law@contoso.fr"
MINUTE = timedelta(minutes=1)


def ends_at(case: Case) -> datetime:
    """Return the end of a window that was opened."""
    assert case.claim.window_ends_at is not None
    return case.claim.window_ends_at


def on_first_letter(core: Core, happens: Callable[[], Awaitable[None]]) -> None:
    """Do *act* while the first message is being sent."""

    async def send(_: MailMessage) -> None:
        core.mailbox.on_send = None
        await happens()

    core.mailbox.on_send = send


# --- promise, mail, hand-over -----------------------------------------------------------------------------------------


async def test_the_promise_is_stored_before_the_mail_is_sent(core: Core) -> None:
    """The message has the promise of the row. Its id already leads to the claim."""
    case = await core.submitted()
    found: list[bool] = []

    async def look(message: MailMessage) -> None:
        core.mailbox.on_send = None
        stored = (await core.stored(case)).claim
        kept = await core.ports.mails.find(message.message_id)
        found.append(stored.promise == message.claim.promise and stored.opened_at is None)
        found.append(kept is not None and (kept.mail.claim_id, kept.mail.recipient) == (case.claim.id, 1))

    core.mailbox.on_send = look
    await core.deliver()

    assert found == [True, True]
    assert core.mailbox.addressed("notice") == [ANNE]


async def test_the_hand_over_opens_the_promised_window(core: Core) -> None:
    """The window has five business days after the local day: from Monday to the end of the next Monday, in Paris."""
    case = await core.notified()

    claim = case.claim
    assert claim.promise is not None
    assert (claim.opened_at, ends_at(case)) == (MONDAY, datetime.fromisoformat("2026-11-09T23:00:00Z"))
    assert [entry.act for entry in await core.history(case)][-1] is Act.CUSTOMER_TOLD
    assert [day.kind for day in claim.promise.skipped_days] == ["weekend", "weekend"]
    assert case.slots[SUBSCRIPTION].awaiting is not None


async def test_day_zero_is_the_local_date_two_minutes_later(core: Core) -> None:
    """A notice in the last two minutes of a day counts from the next day (decision 17)."""
    just_before = datetime.fromisoformat("2026-11-02T22:57:59.999999Z")

    for now, day in ((just_before, 2), (just_before + MICROSECOND, 3)):
        core.clock.set(now)
        case = await core.notified(email=f"anne.{day}@contoso.fr")
        assert case.claim.promise is not None
        assert case.claim.promise.day_zero.day == day
        await core.withdraw(case)


async def test_the_promise_names_the_customer_and_the_partner_to_be_replaced(core: Core) -> None:
    """The customer can see the partner's name. The promise stores the names in the mail (decision 24)."""
    await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)

    winner = await core.notified(FABRIKAM, items=(TEAMS, EXCHANGE), engagement=USAGE)

    assert winner.claim.promise is not None
    assert (winner.claim.promise.customer_name, winner.claim.promise.incumbents) == (
        "Contoso France",
        ("Adatum Conseil",),
    )


async def test_each_recipient_gets_a_notice_with_an_id_of_its_own(core: Core) -> None:
    """The contact and each registered address get one mail, with its own number and Message-ID (decision 25)."""
    await core.register_customer(notice_addresses=(IT, "Anne.Durand@Contoso.FR", LAW))

    case = await core.notified()

    assert core.mailbox.addressed("notice") == [ANNE, IT, LAW]
    assert [message.recipient.number for message in core.mailbox.sent] == [1, 2, 3]
    assert [message.message_id for message in core.mailbox.sent] == [
        message_id(case.claim.id, "notice", 1, number) for number in (1, 2, 3)
    ]


async def test_a_message_that_comes_twice_sends_one_notice(core: Core) -> None:
    """Queues deliver a message at least once."""
    case = await core.submitted()

    await core.process(case)
    await core.process(case)

    assert core.mailbox.kinds() == ["notice"]


async def test_two_processes_at_once_send_one_notice(core: Core) -> None:
    """The queue and the timer run at once. The first to store the promise sends the notice."""
    case = await core.submitted()

    outcomes = await asyncio.gather(*(core.process(case) for _ in range(4)))

    assert core.mailbox.kinds() == ["notice"]
    assert [one.delayed for one in outcomes].count(False) >= 1


async def test_while_one_process_sends_no_other_does(core: Core) -> None:
    """The promise reserves the mail for two minutes of real time (decision 17)."""
    case = await core.submitted()

    async def another() -> None:
        assert (await core.process(case)).delayed
        core.clock.advance(SENDING - MICROSECOND)
        assert (await core.process(case)).delayed

    on_first_letter(core, another)
    await core.deliver()

    assert core.mailbox.kinds() == ["notice"]


async def test_a_sender_that_died_is_replaced_after_two_minutes(core: Core) -> None:
    """The first send was not recorded. The same notice is sent again with the same Message-ID."""
    case = await core.submitted()

    async def die(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            core.rows.before = None
            raise ProcessDied

    async def die_afterwards() -> None:
        core.rows.before = die

    on_first_letter(core, die_afterwards)
    with pytest.raises(ProcessDied):
        await core.process(case)
    assert (await core.stored(case)).claim.opened_at is None
    core.clock.advance(SENDING - MICROSECOND)
    assert (await core.process(case)).delayed

    core.clock.advance(MICROSECOND)
    await core.process(case)

    first, second = core.mailbox.sent
    assert first.message_id == second.message_id
    assert (await core.stored(case)).claim.opened_at == MONDAY + SENDING


async def test_after_a_lost_message_the_timer_sends_the_notice(core: Core) -> None:
    """The timer does it after two minutes."""
    case = await core.submitted()
    core.lose_messages()

    core.clock.advance(SOON)
    await core.sweep()

    assert (await core.stored(case)).claim.opened_at == MONDAY + SOON


# --- mails that fail --------------------------------------------------------------------------------------------------


async def test_a_retry_on_the_same_day_is_the_same_notice(core: Core) -> None:
    """The number, the end and the Message-ID are the same. The next process need not wait for a failed one."""
    case = await core.submitted()
    core.mailbox.down = True
    assert (await core.process(case)).delayed
    first = (await core.stored(case)).claim.promise
    core.mailbox.down = False
    core.clock.advance(MINUTE)

    assert not (await core.process(case)).delayed

    second = (await core.stored(case)).claim.promise
    assert first is not None
    assert second is not None
    assert (second.number, second.ends_at) == (first.number, first.ends_at)
    assert core.mailbox.sent[0].message_id == message_id(case.claim.id, "notice", 1, 1)


async def test_a_mail_server_that_is_down_past_a_promised_end_binds_nobody(core: Core) -> None:
    """Only a hand-over opens a window. A new promise follows, with a later date and the next number."""
    case = await core.submitted()
    core.mailbox.down = True
    await core.process(case)
    promised = (await core.stored(case)).claim.promise
    assert promised is not None

    for now in (promised.ends_at, promised.ends_at + DAY, promised.ends_at + 30 * DAY):
        core.clock.set(now)
        await core.sweep()
        seen = await core.seen(case)
        assert (seen.status, seen.window) == (Status.AWAITING_CUSTOMER, None)

    core.mailbox.down = False
    core.clock.advance(2 * HOUR)
    await core.sweep()
    case = await core.case(case)
    assert case.claim.promise is not None
    assert case.claim.promise.number > promised.number
    assert ends_at(case) > promised.ends_at + 30 * DAY
    assert not case.claim.promise.corrected
    assert (await core.seen(case)).status is Status.AWAITING_CUSTOMER
    core.clock.set(ends_at(case))
    assert (await core.seen(case)).status is Status.OFFICIAL


async def test_a_delayed_mail_is_retried_with_longer_waits(core: Core) -> None:
    """Retries come after 1, 5, 15 and 60 minutes, and then each hour (decision 36)."""
    case = await core.submitted()
    core.lose_messages()
    core.mailbox.down = True
    waits = []

    for _ in range(6):
        due = next(row.due for row in await core.due_rows(case) if row.kind == "tellCustomer")
        core.clock.set(due)
        await core.sweep()
        again = next(row.due for row in await core.due_rows(case) if row.kind == "tellCustomer")
        waits.append((again - due) // MINUTE)

    assert waits == [1, 5, 15, 60, 60, 60]


async def test_a_mail_system_that_names_a_time_is_called_again_then(core: Core) -> None:
    """No call comes earlier."""
    case = await core.submitted()
    core.mailbox.down, core.mailbox.retry_after = True, 600

    outcome = await core.process(case)

    assert (outcome.delayed, outcome.not_before) == (True, MONDAY + timedelta(seconds=600))


async def test_a_hand_over_on_a_later_day_makes_a_new_promise_and_a_corrected_notice(core: Core) -> None:
    """The first mail names a day that is one day too early. Its hand-over is not recorded (decision 17)."""
    case = await core.submitted()
    midnight = datetime.fromisoformat("2026-11-02T23:00:00Z")

    async def slow() -> None:
        core.clock.set(midnight)

    on_first_letter(core, slow)
    core.clock.set(midnight - SENDING - MICROSECOND)
    await core.process(case)

    case = await core.case(case)
    first, second = (message.claim.promise for message in core.mailbox.sent)
    assert first is not None
    assert second is not None
    assert (first.number, first.corrected, second.number, second.corrected) == (1, False, 2, True)
    assert second.ends_at == first.ends_at + DAY == ends_at(case)
    assert case.claim.opened_at == midnight
    assert [entry.act for entry in await core.history(case)].count(Act.CUSTOMER_TOLD) == 1


async def test_a_correction_names_the_replaced_notice_until_its_hand_over(core: Core) -> None:
    """This holds however long the mail system is down."""
    case = await core.submitted()
    midnight = datetime.fromisoformat("2026-11-02T23:00:00Z")

    async def slow_then_down(_: MailMessage) -> None:
        if core.mailbox.sent:
            core.mailbox.down = True
        else:
            core.clock.set(midnight)

    core.mailbox.on_send = slow_then_down
    core.clock.set(midnight - SENDING - MICROSECOND)
    assert (await core.process(case)).delayed
    core.mailbox.on_send, core.mailbox.down = None, False

    core.clock.advance(2 * DAY)
    await core.process(case)

    last = core.mailbox.sent[-1].claim.promise
    assert last is not None
    assert (last.number, last.corrected) == (3, True)


async def test_a_refused_recipient_stops_the_window_before_it_opens(core: Core) -> None:
    """No recipient can be notified, and the partner is asked for another contact."""
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)

    await core.deliver()

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.status_reason) == (Status.PARTNER_ACTION_REQUIRED, Reason.CUSTOMER_UNREACHABLE)
    assert claim.due == datetime.fromisoformat("2026-11-09T23:00:00Z")
    assert [recipient.failed for recipient in claim.recipients] == [True]
    assert claim.due in [row.due for row in await core.due_rows(case)]


async def test_a_recipient_who_could_not_be_reached_gets_the_next_notice(core: Core) -> None:
    """A failure counts for its own notice only (decision 25). A mailbox can be repaired."""
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)
    await core.deliver()
    core.mailbox.refused.clear()

    await partner_acts.resubmit(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)
    await core.deliver()

    notice = next(message for message in core.mailbox.sent if message.kind == "notice")
    assert (notice.recipient.email, notice.number) == (ANNE, 2)
    assert (await core.stored(case)).claim.opened_at is not None


async def test_another_contact_gets_a_new_notice(core: Core) -> None:
    """
    Its numbers are the next ones.

    A recipient who is no longer named gets no mail and does not count as failed (decision 25).
    """
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)
    await core.deliver()
    core.clock.advance(DAY)
    patch = {"contacts": {"customer": {"name": "Bruno", "email": "bruno@contoso.fr"}}}
    case = await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)

    await partner_acts.resubmit(core.ports, case, PERSON, await core.now(), NO_CONTEXT)
    await core.deliver()

    case = await core.case(case)
    message = core.mailbox.sent[-1]
    assert (message.recipient.email, message.recipient.number, message.number) == ("bruno@contoso.fr", 2, 2)
    assert [recipient.failed for recipient in case.claim.recipients] == [False, False]
    assert core.mailbox.addressed("notice") == ["bruno@contoso.fr"]
    assert ends_at(case) == datetime.fromisoformat("2026-11-10T23:00:00Z")


async def test_one_refused_recipient_of_several_is_marked(core: Core) -> None:
    """The window opens for the others. The refused recipient gets no more mails."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)

    await core.deliver()

    case = await core.case(case)
    assert [recipient.failed for recipient in case.claim.recipients] == [True, False]
    core.clock.set(ends_at(case))
    await core.rest()
    assert core.mailbox.addressed("officialConfirmation") == [IT]


async def test_a_recipient_whose_server_defers_gets_the_same_notice_later(core: Core) -> None:
    """The window opens when the first recipient is notified. The other notice stays due until it is sent."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.submitted()
    core.mailbox.put_off.add(IT)
    assert (await core.process(case)).delayed
    case = await core.case(case)
    assert case.claim.window_ends_at is not None
    assert core.mailbox.addressed("notice") == [ANNE]

    core.mailbox.put_off.clear()
    core.clock.advance(DAY)
    await core.sweep()

    assert core.mailbox.addressed("notice") == [ANNE, IT]
    assert core.mailbox.sent[-1].message_id == message_id(case.claim.id, "notice", 1, 2)
    assert (await core.stored(case)).claim.mails == ()


async def test_a_deferred_notice_is_dropped_after_a_no(core: Core) -> None:
    """The other recipient has said no."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.submitted()
    core.mailbox.put_off.add(IT)
    await core.process(case)
    await core.decline(case)
    core.mailbox.put_off.clear()

    await core.rest()

    assert core.mailbox.addressed("notice") == [ANNE]


async def test_a_recipient_who_is_deferred_for_three_days_cannot_be_reached(core: Core) -> None:
    """After three days a 4xx counts as a failure (decision 25)."""
    case = await core.submitted()
    core.mailbox.put_off.add(ANNE)
    assert (await core.process(case)).delayed
    core.clock.advance(REFUSED_FOR_GOOD_AFTER - MICROSECOND)
    assert (await core.process(case)).delayed

    core.clock.advance(MICROSECOND)
    await core.process(case)

    assert (await core.stored(case)).claim.status is Status.PARTNER_ACTION_REQUIRED


async def test_one_of_several_who_is_deferred_for_three_days_cannot_be_reached(core: Core) -> None:
    """The failure is recorded. If the mails to the others bounce too, the window stops."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.submitted()
    core.mailbox.put_off.add(IT)
    await core.process(case)

    core.clock.advance(REFUSED_FOR_GOOD_AFTER)
    await core.process(case)

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.mails) == (Status.AWAITING_CUSTOMER, ())
    assert [recipient.failed for recipient in claim.recipients] == [False, True]
    assert [entry.act for entry in await core.history(case)][-1] is Act.RECIPIENT_FAILED


async def test_a_silent_server_is_no_failure_of_a_recipient(core: Core) -> None:
    """This holds however long the server is down."""
    case = await core.submitted()
    core.mailbox.down = True
    core.clock.advance(30 * DAY)

    assert (await core.process(case)).delayed
    assert (await core.stored(case)).claim.status is Status.AWAITING_CUSTOMER


async def test_a_customer_who_is_not_registered_is_notified_after_registration(core: Core) -> None:
    """The notice stays due."""
    case = await core.submitted()
    await core.rows.write("registry", f"customer|{TENANT}", Delete("registered"))

    assert (await core.process(case)).delayed

    await core.register_customer()
    assert not (await core.process(case)).delayed
    assert core.mailbox.kinds() == ["notice"]


async def test_the_partners_calendar_counts_for_the_partners_answer(core: Core) -> None:
    """If the partner is no longer registered, the programme's calendar counts."""
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)
    await core.rows.write("registry", f"partner|{case.claim.partner_id}", Delete("registered"))

    await core.deliver()

    assert (await core.stored(case)).claim.due == datetime.fromisoformat("2026-11-10T00:00:00Z")


async def test_a_subscription_that_ended_before_the_notice_is_not_in_it(core: Core) -> None:
    """The items are checked again before the promise (decision 32)."""
    case = await core.submitted()
    await core.register_customer(subscriptions=(subscription(state="disabled"),))

    await core.deliver()

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.status_reason) == (Status.REJECTED, Reason.SUBSCRIPTION_ENDED)
    assert core.mailbox.sent == []


async def test_without_a_permit_no_promise_is_made(core: Core) -> None:
    """The notice is due again at its turn."""
    core.ports = replace(core.ports, mail_budget=MailBudgetRow(core.rows, Limits(per_minute=1), core.ports.real_now))
    first = await core.submitted(items=(TEAMS,), engagement=USAGE)
    await core.approve(first)
    await core.deliver()
    second = await core.submitted()

    outcome = await core.process(second)

    assert outcome.delayed
    assert outcome.not_before is not None
    assert outcome.not_before > await core.now()
    assert (await core.stored(second)).claim.promise is None


# --- acts while the notice is being sent ------------------------------------------------------------------------------


async def test_a_withdrawal_during_the_notice_makes_a_closing_mail_due(core: Core) -> None:
    """The hand-over is recorded, and the notified recipients get a closing mail."""
    case = await core.submitted()

    async def withdraw() -> None:
        await core.withdraw(case)

    on_first_letter(core, withdraw)
    await core.rest()

    assert core.mailbox.kinds() == ["notice", "closing"]
    assert (await core.seen(case)).status is Status.WITHDRAWN


async def test_a_revocation_during_the_notice_makes_a_closing_mail_due(core: Core) -> None:
    """It acts like a withdrawal."""
    case = await core.submitted()

    async def revoke() -> None:
        await reviews.revoke(core.ports, await core.case(case), await core.now(), NO_CONTEXT)

    on_first_letter(core, revoke)
    await core.rest()

    assert core.mailbox.kinds() == ["notice", "closing"]
    assert core.mailbox.sent[-1].reason == "revokedByProgramme"


async def test_a_no_before_our_own_record_counts(core: Core) -> None:
    """The customer used the link before we had stored the hand-over (decision 20)."""
    case = await core.submitted()

    async def decline() -> None:
        await core.decline(case)

    on_first_letter(core, decline)
    await core.rest()

    case = await core.case(case)
    assert (case.claim.status, case.claim.opened_at) == (Status.DECLINED, MONDAY)
    core.clock.set(ends_at(case))
    assert (await core.seen(case)).status is Status.DECLINED
    assert sorted(core.mailbox.kinds()) == ["declineConfirmation", "notice"]


async def test_a_no_and_its_undo_before_our_own_record_open_the_window(core: Core) -> None:
    """The last act counts, and the mail was sent."""
    case = await core.submitted()

    async def decline_and_undo() -> None:
        await core.decline(case)
        await core.undo(case)

    on_first_letter(core, decline_and_undo)
    await core.deliver()

    case = await core.case(case)
    core.clock.set(ends_at(case))
    assert (await core.seen(case)).status is Status.OFFICIAL


async def test_a_no_while_a_refused_notice_is_recorded_counts(core: Core) -> None:
    """The mail system refuses an address whose owner has said no, with the link of an earlier copy of the mail."""
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)

    async def decline() -> None:
        await core.decline(case)

    on_first_letter(core, decline)
    await core.deliver()

    assert (await core.stored(case)).claim.status is Status.DECLINED


async def test_a_delay_of_a_notice_of_a_withdrawn_claim_changes_nothing(core: Core) -> None:
    """The server is down, and the claim has no promise to release."""
    case = await core.submitted()
    core.mailbox.down = True

    async def tell_another_way() -> None:
        current = await core.case(case)
        promised = current.claim.promise
        assert promised is not None
        newer = promised.model_copy(update={"number": promised.number + 1})
        await change_claim(core.ports, current, MONDAY, lambda found: found.changed(promise=newer))

    on_first_letter(core, tell_another_way)
    assert (await core.process(case)).delayed

    promised = (await core.stored(case)).claim.promise
    assert promised is not None
    assert (promised.number, promised.sending_until) == (2, MONDAY + SENDING)


async def test_a_customer_is_not_notified_of_a_withdrawn_claim(core: Core) -> None:
    """The message comes after the withdrawal."""
    case = await core.submitted()
    await core.withdraw(case)

    await core.rest()

    assert core.mailbox.sent == []


# --- the reminder -----------------------------------------------------------------------------------------------------


async def test_a_reminder_is_sent_on_the_business_day_before_the_last(core: Core) -> None:
    """
    The notified recipients get it once, at 09:00 in the customer's zone.

    For a window that ends on Monday this is Friday.
    """
    case = await core.notified()
    at = datetime.fromisoformat("2026-11-06T08:00:00Z")

    core.clock.set(at - MICROSECOND)
    await core.sweep()
    assert core.mailbox.kinds() == ["notice"]
    core.clock.set(at)
    await core.sweep()
    await core.sweep()
    await core.rest()

    assert core.mailbox.kinds() == ["notice", "reminder"]
    assert core.mailbox.sent[-1].message_id == message_id(case.claim.id, "reminder", 1, 1)


async def test_a_reminder_that_would_come_too_late_is_dropped(core: Core) -> None:
    """The timer did not run until after the window's end."""
    case = await core.notified()

    core.clock.set(ends_at(case))
    await core.rest()

    assert "reminder" not in core.mailbox.kinds()
    assert (await core.stored(case)).claim.status is Status.OFFICIAL


async def test_a_late_reminder_is_sent(core: Core) -> None:
    """This holds as long as the window runs."""
    case = await core.notified()

    core.clock.set(ends_at(case) - MINUTE)
    await core.sweep()

    assert core.mailbox.kinds() == ["notice", "reminder"]


async def test_after_a_no_no_reminder_is_sent(core: Core) -> None:
    """The reminder is not due."""
    case = await core.notified()
    await core.decline(case)

    core.clock.set(ends_at(case) - MINUTE)
    await core.rest()

    assert "reminder" not in core.mailbox.kinds()


async def test_a_recipient_who_cannot_be_reached_gets_no_reminder(core: Core) -> None:
    """The notified recipients get it."""
    await core.register_customer(notice_addresses=(IT,))
    core.mailbox.refused.add(ANNE)
    case = await core.notified()
    core.mailbox.refused.clear()

    core.clock.set(ends_at(case) - MINUTE)
    await core.sweep()

    assert core.mailbox.addressed("reminder") == [IT]


async def test_a_reminder_that_fails_is_tried_again(core: Core) -> None:
    """The promise does not move."""
    case = await core.notified()
    core.mailbox.down = True
    core.clock.set(ends_at(case) - 3 * HOUR)
    assert (await core.process(case)).delayed

    core.mailbox.down = False
    core.clock.advance(HOUR)
    await core.sweep()

    assert core.mailbox.kinds() == ["notice", "reminder"]


async def test_a_reminder_that_some_recipients_got_is_not_sent_again(core: Core) -> None:
    """A recipient whose server defers the reminder has had the notice."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()
    core.mailbox.put_off.add(IT)
    core.clock.set(ends_at(case) - 3 * HOUR)

    await core.sweep()
    core.mailbox.put_off.clear()
    await core.rest()

    assert core.mailbox.addressed("reminder") == [ANNE]


async def test_a_window_that_was_closed_during_the_reminder_is_not_reopened(core: Core) -> None:
    """The record of the reminder changes nothing else."""
    case = await core.notified()
    core.clock.set(ends_at(case) - 3 * HOUR)

    async def decline() -> None:
        await core.decline(case)

    on_first_letter(core, decline)
    await core.process(case)

    assert (await core.stored(case)).claim.status is Status.DECLINED


# --- confirmations and closing mails ----------------------------------------------------------------------------------


async def test_a_no_is_confirmed(core: Core) -> None:
    """Every notified recipient gets the confirmation."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()

    await core.decline(case)
    await core.rest()

    assert core.mailbox.addressed("declineConfirmation") == [ANNE, IT]


async def test_an_association_is_confirmed(core: Core) -> None:
    """The mail follows after the timer has stored it."""
    case = await core.official()

    await core.deliver()

    assert core.mailbox.kinds()[-1] == "officialConfirmation"
    assert (await core.stored(case)).claim.mails == ()


async def test_a_confirmation_is_sent_again_only_to_recipients_without_it(core: Core) -> None:
    """A recipient gets it once."""
    await core.register_customer(notice_addresses=(IT, LAW))
    case = await core.notified()
    core.mailbox.put_off.add(IT)
    core.mailbox.refused.add(LAW)
    await core.decline(case)
    await core.deliver()
    assert core.mailbox.addressed("declineConfirmation") == [ANNE]

    core.mailbox.put_off.clear()
    await core.rest()

    assert core.mailbox.addressed("declineConfirmation") == [ANNE, IT]


async def test_a_no_that_was_undone_is_not_confirmed(core: Core) -> None:
    """
    The no and its undo come while the mail system is down.

    No mail says that the claim was declined. A later no is confirmed.
    """
    case = await core.notified()
    core.mailbox.down = True
    await core.decline(case)
    await core.deliver()
    await core.undo(case)
    assert not (await core.stored(case)).claim.mails
    await core.decline(case)
    await core.deliver()

    core.mailbox.down = False
    core.clock.advance(DAY)
    await core.sweep()

    assert core.mailbox.addressed("declineConfirmation") == [ANNE]
    assert len({message.message_id for message in core.mailbox.sent}) == 2


async def test_closing_mails_go_only_to_notified_recipients(core: Core) -> None:
    """This holds for a withdrawn claim."""
    told = await core.notified()
    await core.withdraw(told)
    await core.rest()
    assert core.mailbox.addressed("closing") == [ANNE]

    untold = await core.submitted(items=(TEAMS,), engagement=USAGE)
    await core.withdraw(untold)
    await core.rest()
    assert core.mailbox.addressed("closing") == [ANNE]


async def test_more_due_mails_than_one_call_sends_are_left_to_the_next_call(core: Core) -> None:
    """The call reports it, and no mail is lost."""
    case = await core.notified()
    owed = tuple(DueMail(number=n, kind=MailKind.CLOSING, since=MONDAY) for n in range(100, 100 + MOST_STEPS + 1))
    await change_claim(core.ports, case, MONDAY, lambda current: current.changed(mails=owed))

    assert (await core.process(case)).delayed
    assert not (await core.process(case)).delayed
    assert core.mailbox.kinds().count("closing") == MOST_STEPS + 1


async def test_a_claim_without_due_work_is_done(core: Core) -> None:
    """The same holds for a claim that does not exist."""
    case = await core.notified()
    [row, *_] = await core.due_rows(case)

    assert not (await core.process(case)).delayed
    assert not (await DueClaim(core.ports, "nobody").process(row, MONDAY)).delayed


# --- the partner's reminder -------------------------------------------------------------------------------------------


async def asked(core: Core) -> Case:
    """Return a claim whose partner a reviewer has asked for more."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)
    return await reviews.request_information(core.ports, case, now, [Reason.EVIDENCE_MISSING], NO_CONTEXT)


async def test_a_partner_is_reminded_on_the_business_day_before_the_last(core: Core) -> None:
    """Each question has one reminder. It goes to the partner's contact in the partner's language."""
    case = await asked(core)
    assert case.claim.time_to_answer is not None

    core.clock.set(case.claim.time_to_answer.reminder_at)
    await core.sweep()
    await core.sweep()
    await core.rest()

    assert core.mailbox.news()[-1:] == ["answerReminder"]
    contact = core.mailbox.to_partners[-1].recipient
    assert (contact.email, contact.language) == ("paul@adatum.example", "en")


async def test_a_partner_who_is_no_longer_registered_is_reminded_in_english(core: Core) -> None:
    """The programme's calendar counts. A mail that fails is sent later."""
    case = await asked(core)
    await core.rows.write("registry", f"partner|{case.claim.partner_id}", Delete("registered"))
    assert case.claim.time_to_answer is not None
    core.mailbox.down = True
    core.clock.set(case.claim.time_to_answer.reminder_at)
    assert (await core.process(case)).delayed

    core.mailbox.down = False
    await core.rest()

    assert core.mailbox.to_partners[0].recipient.language == "en"


async def test_an_answer_during_the_partners_reminder_counts(core: Core) -> None:
    """The next question has its own reminder."""
    case = await asked(core)
    await core.deliver()
    assert case.claim.time_to_answer is not None
    core.clock.set(case.claim.time_to_answer.reminder_at)

    async def answer_and_be_asked_again() -> None:
        now = await core.now()
        current = await partner_acts.resubmit(core.ports, await core.case(case), PERSON, now, NO_CONTEXT)
        current = await reviews.start(core.ports, current, now, NO_CONTEXT)
        await reviews.request_information(core.ports, current, now, [Reason.EVIDENCE_MISSING], NO_CONTEXT)

    on_first_letter(core, answer_and_be_asked_again)
    await core.process(case)
    again = (await core.stored(case)).claim
    assert not again.answer_reminded
    assert again.time_to_answer is not None

    core.clock.set(again.time_to_answer.reminder_at)
    await core.rest()

    reminders = [message for message in core.mailbox.to_partners if message.kind == "answerReminder"]
    assert len({message.message_id for message in reminders}) == len(reminders) == 2


# --- drafts and the partner -------------------------------------------------------------------------------------------


async def test_an_erased_draft_leaves_nothing(core: Core) -> None:
    """The claim, its history, its list entry and its evidence are deleted."""
    case = await core.draft()
    await drafts.delete(core.ports, case, PERSON, await core.now())
    assert core.blobs.blobs != {}

    await core.deliver()

    assert await core.ports.claims.load(case.claim.id) is None
    assert core.blobs.blobs == {}
    assert await core.ports.partner_claims.page(case.claim.organisation, after="", limit=9) == []


async def test_a_draft_that_nobody_submits_lapses_and_is_erased(core: Core) -> None:
    """Only the timer runs."""
    case = await core.draft()
    assert case.claim.due is not None

    core.clock.set(case.claim.due)
    await core.rest()

    assert await core.ports.claims.load(case.claim.id) is None


async def test_a_request_without_an_answer_is_rejected_by_the_timer(core: Core) -> None:
    """Thirty days later the rejection is final."""
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)
    await core.deliver()
    due = (await core.stored(case)).claim.due
    assert due is not None

    core.clock.set(due)
    await core.rest()
    assert (await core.stored(case)).claim.status_reason is Reason.NO_PARTNER_RESPONSE
    core.clock.set(due + 30 * DAY)
    await core.rest()

    assert (await core.stored(case)).claim.status is Status.REJECTED_FINAL


# --- queue and timer at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", [False, True])
async def test_a_mail_is_sent_by_one_process_at_a_time(core: Core, *, dies: bool) -> None:
    """
    Another process leaves the mail to the first.

    If the first died, another process sends the mail again two minutes later.
    """
    case = await core.notified()
    await core.decline(case)

    async def the_timer_comes() -> None:
        assert (await core.process(case)).delayed
        if dies:
            raise ProcessDied("while it sends")

    on_first_letter(core, the_timer_comes)
    try:
        await core.deliver()
    except ProcessDied:
        assert dies
    before = (core.mailbox.kinds(), core.mailbox.news())
    await core.rest(timedelta(minutes=1))
    assert not dies or (core.mailbox.kinds(), core.mailbox.news()) == before
    await core.rest()

    assert core.mailbox.kinds() == ["notice", "declineConfirmation"]
    assert core.mailbox.news().count("declined") == 1


async def test_a_failed_process_does_not_undo_the_mails_of_another(core: Core) -> None:
    """A process that could not send every mail keeps the records of the sent mails."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()
    case = await core.decline(case)
    core.mailbox.put_off = {IT}

    async def the_timer_comes() -> None:
        core.mailbox.put_off = set()
        await core.process(case)
        core.mailbox.put_off = {IT}

    on_first_letter(core, the_timer_comes)
    await core.process(case)
    core.mailbox.put_off = set()
    await core.rest()

    confirmed = [message.recipient.email for message in core.mailbox.sent if message.kind == "declineConfirmation"]
    assert sorted(confirmed) == [ANNE, IT]
    assert (await core.stored(case)).claim.mails == ()
