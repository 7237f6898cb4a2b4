"""Sends mails to a notified customer: the reminder before the window's end, and the due mails of the claim."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from cpor_core.due_work import Outcome
from cpor_core.model.claim import Claim, DueMail, MailKind, Promise, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.ports import Ports
from cpor_core.rules.mail_budget import Urgency
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import IN_DUE_WORK, change_claim
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by
from cpor_core.use_cases.notices.send import Sent, delayed_by, messages_to, permits, send

NOTIFIES = frozenset({MailKind.NOTICE, MailKind.IMPORTED})
"""The mails that first notify their recipients. Other mails go only to people who were notified before."""


async def remind_customer(ports: Ports, case: Case, now: datetime) -> Case | Outcome:
    """Send one reminder of the last day to each recipient of the promise who can be reached."""
    claim = case.claim
    promised = claim.promise
    assert promised is not None  # noqa: S101 - a reminder is due only after a promise
    numbers = reminded_recipients(claim, promised)
    allowed = await permits(ports, len(numbers), Urgency.REMINDER)
    messages = messages_to(claim, MailKind.REMINDER, promised.number, numbers)
    sent = await send(ports, messages, allowed, now, promised.reminder_at)
    if not sent.delivered and sent.delayed is not None:
        return delayed_by(now, sent.delayed)

    def reminded(current: Case) -> Case:
        same = current.claim.promise is not None and current.claim.promise.number == promised.number
        return current.changed(reminded=True) if same else current

    return await change_claim(ports, case, now, reminded, IN_DUE_WORK)


async def send_due_mail(ports: Ports, case: Case, mail: DueMail, now: datetime) -> Case | Outcome:
    """Send a due mail to all its recipients who have not got it yet. The mail stays due for the recipients who wait."""
    claim = case.stored.claim  # only stored mails are due
    notifies = mail.kind in NOTIFIES
    waiting = waiting_recipients(claim, mail)
    allowed = await permits(ports, len(waiting), Urgency.NOTICE if mail.kind is MailKind.NOTICE else Urgency.OTHER)
    messages = messages_to(claim, mail.kind, mail.number, waiting, due_mail=mail)
    sent = await send(ports, messages, allowed, now, mail.since)
    if sent.delayed is not None and not sent.delivered and not sent.refused:
        return delayed_by(now, sent.delayed)
    late = sent.refused if notifies else ()
    answer_by = await partner_answers_by(ports, claim, now) if late else None

    def record(current: Case) -> Case:
        current = current.changed(mails=tuple(_still_due(current.claim.mails, mail, sent)))
        if notifies:
            current = current.changed(recipients=life.mark_notified(current.claim.recipients, sent.delivered))
        promised = current.claim.promise
        asked = promised is not None and promised.number == mail.number
        if answer_by is not None and (asked or mail.kind is MailKind.IMPORTED):
            for number in late:  # a refused address counts like a mail that came back (decision 25)
                current = life.recipient_failed(current, PROGRAMME, now, number, answer_by=answer_by)
        return current

    recorded = await change_claim(ports, case, now, record, IN_DUE_WORK)
    return delayed_by(now, sent.delayed) if sent.delayed is not None else recorded


def waiting_recipients(claim: Claim, mail: DueMail) -> list[int]:
    """Return the numbers of the recipients who must still get a due mail."""
    present = claim.promise is not None and claim.promise.number == mail.number
    if mail.kind is MailKind.NOTICE and (claim.status is not Status.AWAITING_CUSTOMER or not present):
        return []  # the claim no longer awaits its customer, or a newer promise has another notice
    if mail.kind is MailKind.IMPORTED and claim.status is not Status.OFFICIAL:
        return []  # the association has ended, and another mail says so
    candidates = claim.reachable() if mail.kind in NOTIFIES else claim.notified_recipients()
    return [recipient.number for recipient in candidates if recipient.number not in mail.sent_to]


def reminded_recipients(claim: Claim, promised: Promise) -> list[int]:
    """Return the numbers of the recipients who get the reminder of a promise."""
    reachable = [recipient.number for recipient in claim.reachable()]
    return [number for number in promised.recipients if number in reachable]


def _still_due(due: Iterable[DueMail], mail: DueMail, sent: Sent) -> Iterator[DueMail]:
    """
    Yield the mails that are still due after *mail* was sent to some or all of its recipients.

    *due* are the newest stored mails, because another process can have sent some of them too.
    """
    for one in due:
        if (one.kind, one.number) != (mail.kind, mail.number):
            yield one
        elif sent.delayed is not None:
            done = {*one.sent_to, *sent.delivered, *sent.refused}
            yield one.model_copy(update={"sent_to": tuple(sorted(done))})
