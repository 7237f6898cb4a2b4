"""
Handing mails over: permits of the one budget, a kept Message-ID for each letter, and what came of it.

A mail is kept in `mails` before it is sent, under a Message-ID that stays the same on every retry. Whoever owes it
records on the claim that it was sent.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.errors import MailDelayed, RecipientRefused
from cpor_core.model.claim import Claim, OwedMail, OwedPartnerMail, Status
from cpor_core.ports import DueRow, Letter, Ports, SentMail
from cpor_core.rules.identifiers import message_id
from cpor_core.rules.mail_budget import Urgency
from cpor_core.use_cases.keys import FORGET

HELD_FOR = timedelta(minutes=2)
"""By then whoever was sending a mail is done, or dead; in real time."""
REFUSED_FOR_GOOD_AFTER = timedelta(days=3)
"""A recipient whose server puts us off (4xx) for so long counts as one who can't be reached (rulings 25)."""


NOTICE, REMINDER, ANSWER_REMINDER = "notice", "reminder", "answerReminder"
"""Kinds of mails beside those that a claim owes."""
PARTNER_CONTACT = 0
"""The number of the partner's contact; recipients at the customer are counted from 1."""
MAILS = "mails"
"""The table of Message-IDs, in a due row that forgets one."""
LOOKED_AT_AFTER = timedelta(days=90)
"""A mail is forgotten so long after its claim is closed; no sooner than this it is worth asking whether it was."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What came of it: `delayed` when something is still owed now and could not be paid."""

    delayed: bool = False
    row_stays: bool = False
    """The due row that led here was moved on, or its turn comes again: leave it alone."""
    not_before: datetime | None = None
    """When the mail system asked us to come back, by the service's clock."""


def letters_to(
    claim: Claim, kind: str, number: int, recipients: Iterable[int], owed: OwedMail | None = None
) -> Sequence[Letter]:
    """Return the letters that say the same to each of these recipients."""
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
class Allowed:
    """How many mails may be handed over now; `delay` is for the others."""

    permits: int
    delay: MailDelayed | None = None


async def permits(ports: Ports, wanted: int, urgency: Urgency) -> Allowed:
    """Draw from the budget of the whole deployment; whose turn it is not comes back when it is (rulings 42)."""
    if not wanted:
        return Allowed(0)
    drawn = await ports.mail_budget.draw(wanted, urgency)
    if drawn.next_turn is None:
        return Allowed(drawn.permits)
    wait = math.ceil((drawn.next_turn - ports.real_now()).total_seconds())
    return Allowed(drawn.permits, MailDelayed("the mail budget is used up", retry_after_seconds=max(wait, 1)))


@dataclass(frozen=True, slots=True)
class Sent:
    """Recipients by number; `delayed` where at least one could not be written to now."""

    delivered: tuple[int, ...]
    refused: tuple[int, ...]
    delayed: MailDelayed | None


def forget_rows(ports: Ports, before: Claim, after: Claim, now: datetime) -> tuple[DueRow, ...]:
    """Return the due rows by which the Message-IDs of the mails that an act leads to are forgotten one day."""
    names = sorted({message_id(after.id, *mail) for mail in _mails_led_to(before, after)})
    return tuple(forget_row(ports, after.id, name, now) for name in names)


def forget_row(ports: Ports, claim_id: str, name: str, now: datetime) -> DueRow:
    """Return the due row by which one Message-ID of a mail about a claim is forgotten, if it may be by then."""
    return DueRow(now + LOOKED_AT_AFTER, claim_id, f"{FORGET}-mail-{name}", forget=ports.mails.place(name))


def _mails_led_to(before: Claim, after: Claim) -> Iterable[tuple[str, int, int]]:
    """Yield kind, number and recipient of each mail that is owed from now on, and of a notice that was tried."""
    owed = {(mail.kind, mail.number) for mail in before.mails}
    for mail in after.mails:
        if (mail.kind, mail.number) not in owed:
            yield from ((mail.kind, mail.number, recipient.number) for recipient in after.recipients)
    for news in set(after.partner_mails) - set(before.partner_mails):
        yield partner_mail_kind(news), news.number, PARTNER_CONTACT
    if after.times_asked != before.times_asked:
        yield ANSWER_REMINDER, after.times_asked, PARTNER_CONTACT
    was_told = before.opened_at is None and after.opened_at is not None
    was_stopped = before.status is Status.AWAITING_CUSTOMER and after.status is not Status.AWAITING_CUSTOMER
    if after.promise is not None and (was_told or was_stopped):
        number = after.promise.number
        yield from ((kind, number, to) for kind in (NOTICE, REMINDER) for to in after.promise.recipients)


def partner_mail_kind(mail: OwedPartnerMail) -> str:
    """Return the kind under which a mail to a partner is numbered: each of those it competes with gets its own."""
    return f"{mail.kind}-{mail.to}" if mail.to is not None else str(mail.kind)


async def send(ports: Ports, letters: Sequence[Letter], allowed: Allowed, now: datetime, since: datetime) -> Sent:
    """
    Hand letters over, each after its Message-ID is kept: a report that comes back at once finds its claim.

    A letter that another process is sending counts as delayed: queue and timer may come to one claim together. A mail
    system that is silent, or asks for peace, is not asked again for the other recipients.
    """
    delivered, refused, delayed, sender = [], [], allowed.delay, ports.new_id()
    for letter in letters[: allowed.permits]:
        number, began = letter.recipient.number, ports.real_now()
        kept = SentMail(letter.claim.id, letter.kind, letter.number, number)
        mark = await ports.mails.begin(letter.message_id, kept, sender, began, began + HELD_FOR)
        if mark is None:
            delayed = MailDelayed("another process is sending it")
            continue
        try:
            await ports.post.send(letter)
        except RecipientRefused:
            refused.append(number)
        except MailDelayed as fault:
            if fault.recipient_refused_for_now and now - since >= REFUSED_FOR_GOOD_AFTER:
                refused.append(number)
                continue
            delayed = fault
            await ports.mails.release(letter.message_id, kept, mark)
            if fault.recipient_refused_for_now:
                continue
            if fault.retry_after_seconds is not None:
                await ports.mail_budget.pause(ports.real_now() + timedelta(seconds=fault.retry_after_seconds))
            break
        else:
            delivered.append(number)
    return Sent(tuple(delivered), tuple(refused), delayed)


def delayed_by(now: datetime, fault: MailDelayed) -> Paid:
    """Return what came of a mail that could not go now; the mail system may have said when it can."""
    wait = fault.retry_after_seconds
    return Paid(delayed=True, not_before=now + timedelta(seconds=wait) if wait is not None else None)
