"""
Sends the notice to the customer: promise, mail, hand-over.

The order of the writes is in `docs/order-of-writes.md`, under "Two writes".
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from cpor_core.due_work import Outcome
from cpor_core.model.claim import Claim, MailKind, Promise, Recipient, RecipientKind, Status
from cpor_core.model.registry import Customer
from cpor_core.ports import Ports
from cpor_core.rules.business_days import (
    ClosedDays,
    calendar_of,
    count_business_days,
    local_date,
    reminder_at,
)
from cpor_core.rules.mail_budget import Urgency
from cpor_core.rules.terms import NOTICE_WINDOW_BUSINESS_DAYS
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import IN_DUE_WORK, ActContext, change_claim
from cpor_core.use_cases.claims.subscription_ends import end_items_of, gone_items
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by
from cpor_core.use_cases.notices.send import delayed_by, messages_to, permits, send

SENDING = timedelta(minutes=2)
"""
After a promise, only one process can send its notice for this time.

Day 0 is the customer's local date at the end of this time (decision 17).
"""


async def notify_customer(
    ports: Ports, case: Case, now: datetime, context: ActContext, late_promise: Promise | None = None
) -> Case | Outcome:
    """
    Store the promise, send the notice, and record the hand-over, in six requests for one recipient.

    The promise is stored before the notice that states it. If the hand-over is on a later local date than day 0, it is
    not recorded, and a corrected notice with a new promise is sent. *late_promise* is then the promise that was too
    late.
    """
    real_now, former = ports.real_now(), case.claim.promise
    people = (case.claim.contacts, case.claim.recipients)
    sending_until = former.sending_until if former is not None and former != late_promise else None
    if sending_until is not None and real_now < sending_until:
        return Outcome(delayed=True)  # another process is sending the notice
    known = await ports.registry.customer(case.claim.tenant_id)
    if known is None:
        return Outcome(delayed=True)
    if gone_items(case.claim, known.value):  # the registry has changed since the submission
        return await end_items_of(ports, case, known.value, now)
    incumbents = await _incumbents(ports, case, now)
    closed = await ports.registry.closed_days()
    promised, recipients = _promise(
        case.claim, known.value, now, real_now, closed=closed, incumbents=incumbents, corrected=late_promise is not None
    )
    allowed = await permits(ports, len(promised.recipients), Urgency.NOTICE)
    if not allowed.permits and allowed.delay is not None:
        return delayed_by(now, allowed.delay)  # without a permit for its notice no promise is made

    is_stored = False

    def store_promise(current: Case) -> Case:
        nonlocal is_stored
        untold = current.claim.status is Status.AWAITING_CUSTOMER and current.claim.opened_at is None
        same_people = (current.claim.contacts, current.claim.recipients) == people  # false if a person was erased
        is_stored = untold and same_people and current.claim.promise == former
        return life.promise(current, promised, recipients) if is_stored else current

    case = await change_claim(ports, case, now, store_promise, IN_DUE_WORK)
    if not is_stored:
        return case  # another process has stored a promise first, or no notice is due any more
    messages = messages_to(case.claim, MailKind.NOTICE, promised.number, promised.recipients)
    sent = await send(ports, messages, allowed, now, case.claim.status_since)
    if not sent.delivered and sent.delayed is not None:
        await change_claim(ports, case, now, lambda current: _let_others_send(current, promised), IN_DUE_WORK)
        return delayed_by(now, sent.delayed)
    if not sent.delivered:
        return await _customer_unreachable(ports, case, promised, sent.refused, now, context)
    handed_over = await ports.now()
    if local_date(handed_over, promised.time_zone) > promised.day_zero:
        return await notify_customer(ports, case, handed_over, context, late_promise=promised)
    waiting = set(promised.recipients) - {*sent.delivered, *sent.refused}

    def hand_over(current: Case) -> Case:
        return life.hand_over(current, promised.number, handed_over, failed=sent.refused, waiting=waiting)

    notified = await change_claim(ports, case, now, hand_over, context)
    return delayed_by(now, sent.delayed) if sent.delayed is not None else notified


async def _customer_unreachable(
    ports: Ports, case: Case, promised: Promise, refused: Iterable[int], now: datetime, context: ActContext
) -> Case:
    """Ask the partner for another contact, unless another act has changed the promise or the state of the claim."""
    answer_by = await partner_answers_by(ports, case.claim, now)

    def unreachable(current: Case) -> Case:
        claim = current.claim
        if claim.status is not Status.AWAITING_CUSTOMER or claim.promise != promised or claim.opened_at is not None:
            return current
        return life.customer_unreachable(current, now, answer_by=answer_by, failed=refused)

    return await change_claim(ports, case, now, unreachable, context)


def _let_others_send(case: Case, promised: Promise) -> Case:
    """Let other processes send the notice of this promise at once."""
    if case.claim.promise != promised or case.claim.opened_at is not None:
        return case
    return case.changed(promise=promised.model_copy(update={"sending_until": None}))


def _promise(
    claim: Claim,
    customer: Customer,
    now: datetime,
    real_now: datetime,
    *,
    closed: ClosedDays,
    incumbents: tuple[str, ...],
    corrected: bool,
) -> tuple[Promise, tuple[Recipient, ...]]:
    """
    Return the promise of the notice, and the claim's recipients.

    If day 0, the end and the recipients have not changed, the new promise has the number of the former one. So the
    notice has the same Message-ID on each retry.
    """
    calendar = calendar_of(customer, closed)
    day_zero = local_date(now + SENDING, customer.time_zone)
    deadline = count_business_days(day_zero, NOTICE_WINDOW_BUSINESS_DAYS, calendar, customer.language)
    recipients = _recipients(claim, customer)
    addressed = tuple(r.number for r in recipients if not r.failed and _is_current(r, claim, customer))
    former = claim.promise
    same = (
        former is not None
        and not former.over
        and (former.day_zero, former.ends_at, former.recipients)
        == (
            day_zero,
            deadline.ends_at,
            addressed,
        )
    )
    number = (former.number if same else former.number + 1) if former is not None else 1
    promised = Promise(
        number=number,
        made_at=now,
        day_zero=day_zero,
        ends_at=deadline.ends_at,
        last_day=deadline.last_day,
        reminder_at=reminder_at(deadline.last_day, calendar),
        time_zone=deadline.time_zone,
        calendar=deadline.calendar,
        skipped_days=deadline.skipped_days,
        sending_until=real_now + SENDING,
        recipients=addressed,
        customer_name=customer.name,
        incumbents=incumbents,
        corrected=corrected or (former is not None and former.corrected and former.recipients == addressed),
    )
    return promised, recipients


def _recipients(claim: Claim, customer: Customer) -> tuple[Recipient, ...]:
    """Return the claim's recipients with their numbers, and the contact and notice addresses that are new."""
    recipients = list(claim.recipients)
    contact = claim.customer_contact
    wanted: list[tuple[RecipientKind, str, str | None]] = []
    if contact is not None:
        wanted.append((RecipientKind.CONTACT, contact.email, contact.name))
    wanted += [(RecipientKind.NOTICE_ADDRESS, address, None) for address in customer.notice_addresses]
    for kind, email, name in wanted:
        if all(recipient.email.lower() != email.lower() for recipient in recipients):
            recipients.append(
                Recipient(number=len(recipients) + 1, kind=kind, email=email, name=name, language=customer.language)
            )
    return tuple(recipients)


def _is_current(recipient: Recipient, claim: Claim, customer: Customer) -> bool:
    contact = claim.customer_contact
    current = {address.lower() for address in customer.notice_addresses}
    return recipient.email.lower() in current | ({contact.email.lower()} if contact is not None else set())


async def _incumbents(ports: Ports, case: Case, now: datetime) -> tuple[str, ...]:
    """Return the names of the partners that this claim would replace. The notice shows them (decision 24)."""
    holders = {
        slot.holder.claim
        for stored in case.own_slots().values()
        if (slot := stored.at(now)).holder is not None and slot.holder.claim != case.claim.id
    }
    loaded = [await ports.claims.load(holder) for holder in sorted(holders)]
    return tuple(sorted({holder.claim.partner_name for holder in loaded if holder is not None}))
