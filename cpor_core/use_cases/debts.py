"""
Paying what a claim owes: the queue and the timer call the same function.

Load the claim, ask what is due at `now`, do it, store that it is done. A mail is kept in `mails` before it is sent and
recorded on the claim afterwards, under a Message-ID that stays the same on every retry.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.errors import MailDelayed, RecipientRefused
from cpor_core.model.claim import (
    Claim,
    MailKind,
    OwedMail,
    Promise,
    Recipient,
    RecipientKind,
    Status,
    TimeToAnswer,
)
from cpor_core.model.history import PROGRAMME
from cpor_core.model.registry import Customer
from cpor_core.ports import DueRow, Letter, Ports, SentMail
from cpor_core.rules.business_days import (
    NOTICE_WINDOW_BUSINESS_DAYS,
    Calendar,
    count_business_days,
    local_date,
    reminder_at,
)
from cpor_core.rules.identifiers import list_position, message_id
from cpor_core.rules.mail_budget import Urgency
from cpor_core.rules.owed import Debt, due_now
from cpor_core.transitions import life
from cpor_core.transitions.case import Case
from cpor_core.use_cases.acts import NO_INTENT, Intent, act
from cpor_core.use_cases.subscription_ends import end_items_of, gone_items

SENDING = timedelta(minutes=2)
"""For so long after a promise nobody else sends; day 0 is the local date at its end (rulings 17)."""
REFUSED_FOR_GOOD_AFTER = timedelta(days=3)
"""A recipient whose server puts us off (4xx) for so long counts as one who can't be reached (rulings 25)."""
MOST_STEPS = 8
"""Debts that one call pays; more are paid by the next."""
NOTICE = "notice"
REMINDER = "reminder"
ANSWER_REMINDER = "answerReminder"
PARTNER_CONTACT = 0
"""The number of the partner's contact; recipients at the customer are counted from 1."""
NO_PARTNERS_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Paid:
    """What came of it: `delayed` when something is still owed now and could not be paid."""

    delayed: bool = False
    row_stays: bool = False
    """The due row that led here was moved on, or its turn comes again: leave it alone."""
    not_before: datetime | None = None
    """When the mail system asked us to come back, by the service's clock."""


async def pay(ports: Ports, claim_id: str, now: datetime, cover: DueRow | None = None) -> Paid:
    """Pay everything that the claim owes at *now*, in the order in which it matters; twice is harmless."""
    intent = Intent(cover=cover) if cover is not None else NO_INTENT
    case = await ports.claims.load(claim_id)
    if case is None:
        return Paid()
    for _ in range(MOST_STEPS):
        step = await _pay_one(ports, case, now, intent)
        if isinstance(step, Paid):
            return step
        case = step
    return Paid(delayed=True)


async def _pay_one(ports: Ports, case: Case, now: datetime, intent: Intent) -> Case | Paid:
    """Pay what matters most; returns the case as stored then, or what came of it where nothing more can be done."""
    debts = due_now(case.claim, now)
    if Debt.WRITE_DOWN in debts:
        written = await act(ports, case, now, lambda settled: settled, intent)
        # With a row to cover it, what is owed from here on has its rows; mails go out by the queue.
        return written if intent.cover is None else Paid(row_stays=True)
    if Debt.ERASE in debts:
        await _erase(ports, case)
        return Paid()
    if Debt.TELL_CUSTOMER in debts:
        return await _tell_customer(ports, case, now, intent)
    if debts:
        return await _send_what_is_due(ports, case, debts, now)
    return Paid()


async def _erase(ports: Ports, case: Case) -> None:
    claim = case.claim
    for evidence in claim.evidence:
        await ports.blobs.delete(evidence.blob)
    await ports.partner_claims.remove(claim.organisation, list_position(claim.created_at, claim.id))
    await ports.claims.erase(claim.id)


# --- the notice -----------------------------------------------------------------------------------------------------


async def _tell_customer(
    ports: Ports, case: Case, now: datetime, intent: Intent, mine: Promise | None = None
) -> Case | Paid:
    """
    Promise, send, record the hand-over: six requests for one recipient, after two for the claim.

    The promise is stored before the mail that states it. When the hand-over falls on a later local date than the one
    promised, it is not recorded: a new promise (*mine* is the one that came too late) goes out as a corrected notice.
    """
    real_now, former = ports.real_now(), case.claim.promise
    sending_until = former.sending_until if former is not None and former != mine else None
    if sending_until is not None and real_now < sending_until:
        return Paid(delayed=True)  # somebody else is sending it
    known = await ports.registry.customer(case.claim.tenant_id)
    if known is None:
        return Paid(delayed=True)
    if gone_items(case.claim, known.value):  # the registry has changed since the submission
        return await end_items_of(ports, case, known.value, now)
    incumbents = await _incumbents(ports, case, now)
    promised, recipients = _promise(
        case.claim, known.value, now, real_now, incumbents=incumbents, corrected=mine is not None
    )
    allowed = await _permits(ports, len(promised.recipients), Urgency.NOTICE)
    if not allowed.permits and allowed.delay is not None:
        return _delayed(now, allowed.delay)  # nothing is promised that could not be sent now

    ours = False

    def store_promise(current: Case) -> Case:
        nonlocal ours
        untold = current.claim.status is Status.AWAITING_CUSTOMER and current.claim.opened_at is None
        ours = untold and current.claim.promise == former
        return life.promise(current, promised, recipients) if ours else current

    case = await act(ports, case, now, store_promise)
    if not ours:
        return case  # somebody else promised first, be it the same, or nobody is to be told any more
    letters = _letters(case.claim, NOTICE, promised.number, promised.recipients)
    sent = await _send(ports, letters, allowed, now, case.claim.status_since)
    if not sent.delivered and sent.delayed is not None:
        await act(ports, case, now, lambda current: _let_others_send(current, promised))
        return _delayed(now, sent.delayed)
    if not sent.delivered:
        return await _nobody_is_left(ports, case, promised, sent.refused, now, intent)
    handed_over = await ports.now()
    if local_date(handed_over, promised.time_zone) > promised.day_zero:
        return await _tell_customer(ports, case, handed_over, intent, mine=promised)
    waiting = set(promised.recipients) - {*sent.delivered, *sent.refused}

    def hand_over(current: Case) -> Case:
        return life.hand_over(current, promised.number, handed_over, failed=sent.refused, waiting=waiting)

    told = await act(ports, case, now, hand_over, intent)
    return _delayed(now, sent.delayed) if sent.delayed is not None else told


async def _nobody_is_left(
    ports: Ports, case: Case, promised: Promise, refused: Iterable[int], now: datetime, intent: Intent
) -> Case:
    """Ask the partner for another contact, unless somebody else found it out, or the customer said no meanwhile."""
    answer_by = await partner_answers_by(ports, case.claim, now)

    def unreachable(current: Case) -> Case:
        claim = current.claim
        if claim.status is not Status.AWAITING_CUSTOMER or claim.promise != promised or claim.opened_at is not None:
            return current
        return life.customer_unreachable(current, now, answer_by=answer_by, failed=refused)

    return await act(ports, case, now, unreachable, intent)


def _let_others_send(case: Case, promised: Promise) -> Case:
    """Give the promise free: whoever pays next need not wait for us."""
    if case.claim.promise != promised or case.claim.opened_at is not None:
        return case
    return case.changed(promise=promised.model_copy(update={"sending_until": None}))


def _promise(
    claim: Claim,
    customer: Customer,
    now: datetime,
    real_now: datetime,
    *,
    incumbents: tuple[str, ...],
    corrected: bool,
) -> tuple[Promise, tuple[Recipient, ...]]:
    """
    Return what the notice will state, and to whom it goes.

    While the local date stays the same so does the promise's number, and with it the Message-ID of each retry.
    """
    calendar = Calendar(country=customer.country, subdivision=customer.subdivision, time_zone=customer.time_zone)
    day_zero = local_date(now + SENDING, customer.time_zone)
    deadline = count_business_days(day_zero, NOTICE_WINDOW_BUSINESS_DAYS, calendar, customer.language)
    recipients = _recipients(claim, customer)
    addressed = tuple(r.number for r in recipients if not r.failed and _is_current(r, claim, customer))
    former = claim.promise
    same = former is not None and (former.day_zero, former.ends_at, former.recipients) == (
        day_zero,
        deadline.ends_at,
        addressed,
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
    """Everybody told so far keeps their number; the contact and the tenant's notice addresses are added where new."""
    recipients = list(claim.recipients)
    contact = claim.named.customer
    wanted: list[tuple[RecipientKind, str, str | None]] = [(RecipientKind.CONTACT, contact.email, contact.name)]
    wanted += [(RecipientKind.NOTICE_ADDRESS, address, None) for address in customer.notice_addresses]
    for kind, email, name in wanted:
        if all(recipient.email.lower() != email.lower() for recipient in recipients):
            recipients.append(
                Recipient(number=len(recipients) + 1, kind=kind, email=email, name=name, language=customer.language)
            )
    return tuple(recipients)


def _is_current(recipient: Recipient, claim: Claim, customer: Customer) -> bool:
    current = {claim.named.customer.email.lower(), *(address.lower() for address in customer.notice_addresses)}
    return recipient.email.lower() in current


async def _incumbents(ports: Ports, case: Case, now: datetime) -> tuple[str, ...]:
    """Return the names of the partners who would be replaced; the customer may know them (rulings 24)."""
    holders = {
        slot.holder.claim
        for stored in case.own_slots().values()
        if (slot := stored.at(now)).holder is not None and slot.holder.claim != case.claim.id
    }
    loaded = [await ports.claims.load(holder) for holder in sorted(holders)]
    return tuple(sorted({holder.claim.partner_name for holder in loaded if holder is not None}))


async def partner_answers_by(ports: Ports, claim: Claim, now: datetime) -> TimeToAnswer:
    """Return how long the claim's partner has time when they are asked *now*."""
    found = await ports.registry.partner(claim.partner_id)
    return ports.terms.partner_answers_by(now, found.value if found is not None else None)


# --- reminders and other mails --------------------------------------------------------------------------------------


async def _send_what_is_due(ports: Ports, case: Case, debts: Collection[Debt], now: datetime) -> Case | Paid:
    """Send one of the mails that are due: what is told before what is reminded of, customers before partners."""
    if Debt.SEND_MAIL in debts:
        return await _send_owed_mail(ports, case, case.claim.mails[0], now)
    if Debt.REMIND_CUSTOMER in debts:
        return await _remind(ports, case, now)
    return await _remind_partner(ports, case, now)


async def _remind(ports: Ports, case: Case, now: datetime) -> Case | Paid:
    promised = case.claim.promise
    assert promised is not None  # noqa: S101 - a reminder is owed only of what was promised
    reachable = [recipient.number for recipient in case.claim.reachable()]
    numbers = [number for number in promised.recipients if number in reachable]
    allowed = await _permits(ports, len(numbers), Urgency.REMINDER)
    letters = _letters(case.claim, REMINDER, promised.number, numbers)
    sent = await _send(ports, letters, allowed, now, promised.reminder_at)
    if not sent.delivered and sent.delayed is not None:
        return _delayed(now, sent.delayed)

    def reminded(current: Case) -> Case:
        same = current.claim.promise is not None and current.claim.promise.number == promised.number
        return current.changed(reminded=True) if same else current

    return await act(ports, case, now, reminded)


async def _remind_partner(ports: Ports, case: Case, now: datetime) -> Case | Paid:
    """Remind the partner's contact, once for each time they are asked; one who refuses the mail is not tried again."""
    claim = case.claim
    assert claim.time_to_answer is not None  # noqa: S101 - a reminder is owed only of a time that runs
    letter = await _letter_to_partner(ports, claim, ANSWER_REMINDER, claim.times_asked)
    sent = await _send(ports, (letter,), await _permits(ports, 1, Urgency.OTHER), now, claim.time_to_answer.reminder_at)
    if sent.delayed is not None:
        return _delayed(now, sent.delayed)

    def reminded(current: Case) -> Case:
        same = current.claim.times_asked == claim.times_asked
        return current.changed(answer_reminded=True) if same else current

    return await act(ports, case, now, reminded)


async def _letter_to_partner(ports: Ports, claim: Claim, kind: str, number: int) -> Letter:
    """Return a letter to the claim's partner contact, in the language that is registered for the partner."""
    contact = claim.named.partner
    found = await ports.registry.partner(claim.partner_id)
    recipient = Recipient(
        number=PARTNER_CONTACT,
        kind=RecipientKind.PARTNER_CONTACT,
        email=contact.email,
        name=contact.name,
        language=found.value.language if found is not None else NO_PARTNERS_LANGUAGE,
    )
    return Letter(kind, number, message_id(claim.id, kind, number, recipient.number), recipient, claim)


async def _send_owed_mail(ports: Ports, case: Case, mail: OwedMail, now: datetime) -> Case | Paid:
    tells = mail.kind in (MailKind.NOTICE, MailKind.IMPORTED)
    candidates = case.claim.reachable() if tells else case.claim.recipients_told()
    waiting = [recipient.number for recipient in candidates if recipient.number not in mail.sent_to]
    present = case.claim.promise is not None and case.claim.promise.number == mail.number
    if mail.kind is MailKind.NOTICE and (case.claim.status is not Status.AWAITING_CUSTOMER or not present):
        waiting = []  # there is nothing left to ask them, or another notice asks it
    if mail.kind is MailKind.IMPORTED and case.claim.status is not Status.OFFICIAL:
        waiting = []  # it has ended, which is another mail
    allowed = await _permits(ports, len(waiting), Urgency.NOTICE if mail.kind is MailKind.NOTICE else Urgency.OTHER)
    letters = _letters(case.claim, mail.kind, mail.number, waiting, owed=mail)
    sent = await _send(ports, letters, allowed, now, mail.since)
    done = tuple(sorted({*mail.sent_to, *sent.delivered, *sent.refused}))
    rest = (mail.model_copy(update={"sent_to": done}),) if sent.delayed is not None else ()

    late = sent.refused if mail.kind is MailKind.NOTICE else ()
    answer_by = await partner_answers_by(ports, case.claim, now) if late else None

    def record(current: Case) -> Case:
        others = [owed for owed in current.claim.mails if (owed.kind, owed.number) != (mail.kind, mail.number)]
        current = current.changed(mails=(*others, *rest))
        if tells:
            current = current.changed(recipients=life.mark_told(current.claim.recipients, sent.delivered))
        promised = current.claim.promise
        if answer_by is not None and promised is not None and promised.number == mail.number:
            for number in late:  # it counts as a notice that came back (rulings 25)
                current = life.recipient_failed(current, PROGRAMME, now, number, answer_by=answer_by)
        return current

    recorded = await act(ports, case, now, record)
    return _delayed(now, sent.delayed) if sent.delayed is not None else recorded


def _letters(
    claim: Claim, kind: str, number: int, recipients: Iterable[int], owed: OwedMail | None = None
) -> Sequence[Letter]:
    wanted = set(recipients)
    return tuple(
        Letter(
            kind=kind,
            number=number,
            message_id=message_id(claim.id, kind, number, recipient.number),
            recipient=recipient,
            claim=claim,
            happened_at=owed.since if owed is not None else None,
            reason=owed.reason if owed is not None else None,
        )
        for recipient in claim.recipients
        if recipient.number in wanted
    )


@dataclass(frozen=True, slots=True)
class _Allowed:
    """How many mails may be handed over now; `delay` is for the others."""

    permits: int
    delay: MailDelayed | None = None


async def _permits(ports: Ports, wanted: int, urgency: Urgency) -> _Allowed:
    """Draw from the budget of the whole deployment; whose turn it is not comes back when it is (rulings 42)."""
    if not wanted:
        return _Allowed(0)
    drawn = await ports.mail_budget.draw(wanted, urgency)
    if drawn.next_turn is None:
        return _Allowed(drawn.permits)
    wait = math.ceil((drawn.next_turn - ports.real_now()).total_seconds())
    return _Allowed(drawn.permits, MailDelayed("the mail budget is used up", retry_after_seconds=max(wait, 1)))


@dataclass(frozen=True, slots=True)
class _Sent:
    """Recipients by number; `delayed` where at least one could not be written to now."""

    delivered: tuple[int, ...]
    refused: tuple[int, ...]
    delayed: MailDelayed | None


async def _send(ports: Ports, letters: Sequence[Letter], allowed: _Allowed, now: datetime, since: datetime) -> _Sent:
    """
    Hand letters over, each after its Message-ID is kept: a report that comes back at once finds its claim.

    A mail system that is silent, or asks for peace, is not asked again for the other recipients.
    """
    delivered, refused, delayed = [], [], allowed.delay
    for letter in letters[: allowed.permits]:
        number = letter.recipient.number
        await ports.mails.keep(letter.message_id, SentMail(letter.claim.id, letter.kind, letter.number, number))
        try:
            await ports.post.send(letter)
        except RecipientRefused:
            refused.append(number)
        except MailDelayed as fault:
            if fault.recipient_refused_for_now and now - since >= REFUSED_FOR_GOOD_AFTER:
                refused.append(number)
                continue
            delayed = fault
            if fault.recipient_refused_for_now:
                continue
            if fault.retry_after_seconds is not None:
                await ports.mail_budget.pause(ports.real_now() + timedelta(seconds=fault.retry_after_seconds))
            break
        else:
            delivered.append(number)
    return _Sent(tuple(delivered), tuple(refused), delayed)


def _delayed(now: datetime, fault: MailDelayed) -> Paid:
    wait = fault.retry_after_seconds
    return Paid(delayed=True, not_before=now + timedelta(seconds=wait) if wait is not None else None)
