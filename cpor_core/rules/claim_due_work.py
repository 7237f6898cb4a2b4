"""
What a claim owes, and when.

The one answer to "is there anything to do?": a due row makes it happen surely, a queue message makes it happen soon,
and both ask here again before they act.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cpor_core.model.claim import Claim, Status
from cpor_core.rules.late_truths import GRACE

SOON = timedelta(minutes=2)
"""The due row of something owed at once is due then: the request itself, or the queue, does it sooner (rulings 36)."""


class Kind(StrEnum):
    """Something that somebody must be told, or that must be written down."""

    WRITE_DOWN = "writeDown"
    NOTIFY_CUSTOMER = "tellCustomer"
    REMIND_CUSTOMER = "remindCustomer"
    REMIND_PARTNER = "remindPartner"
    SEND_MAIL = "sendMail"
    NOTIFY_PARTNER = "tellPartner"
    ERASE = "erase"
    ERASE_PEOPLE = "forgetPeople"


TO_PARTNERS = frozenset({Kind.NOTIFY_PARTNER, Kind.REMIND_PARTNER})
"""Debts to partners, who come last (rulings 42)."""


@dataclass(frozen=True, slots=True)
class DueWork:
    """One debt; `due` is None when it is due at once, `about` tells mails apart."""

    kind: Kind
    due: datetime | None = None
    about: str = ""


CLOCK_DECIDES = frozenset({Status.DRAFT, Status.PARTNER_ACTION_REQUIRED, Status.REJECTED})
"""States that end by themselves at `claim.due`; a reviewer's time is shown and counted, never decided by the clock."""


def due_work_of(claim: Claim) -> frozenset[DueWork]:
    """Return everything that the stored *claim* owes, now or later."""
    work = {DueWork(Kind.SEND_MAIL, about=f"{mail.kind}-{mail.number}") for mail in claim.mails}
    work |= {DueWork(Kind.NOTIFY_PARTNER, about=f"{mail.kind}-{mail.number}-{mail.to}") for mail in claim.partner_mails}
    if claim.status in CLOCK_DECIDES and claim.due is not None:
        work.add(DueWork(Kind.WRITE_DOWN, claim.due))
    if claim.status is Status.AWAITING_CUSTOMER:
        work |= _due_to_customer(claim)
    if claim.status is Status.PARTNER_ACTION_REQUIRED:
        work |= _due_to_partner(claim)
    if claim.status is Status.DELETED:
        work.add(DueWork(Kind.ERASE))
    if claim.people_until is not None and not claim.people_forgotten:
        work.add(DueWork(Kind.ERASE_PEOPLE, claim.people_until))
    return frozenset(work)


def _due_to_customer(claim: Claim) -> set[DueWork]:
    if claim.promise is None or claim.opened_at is None:
        return {DueWork(Kind.NOTIFY_CUSTOMER)}
    work = {DueWork(Kind.WRITE_DOWN, claim.promise.ends_at + GRACE)}
    reminder_at = claim.promise.reminder_at
    if not claim.reminded and claim.opened_at < reminder_at < claim.promise.ends_at:
        work.add(DueWork(Kind.REMIND_CUSTOMER, reminder_at))
    return work


def _due_to_partner(claim: Claim) -> set[DueWork]:
    time = claim.time_to_answer
    if claim.answer_reminded or time is None or not claim.status_since < time.reminder_at < time.ends_at:
        return set()
    return {DueWork(Kind.REMIND_PARTNER, time.reminder_at)}


def due_now(claim: Claim, now: datetime) -> frozenset[Kind]:
    """
    Return what is to be paid at *now*.

    A reminder is owed only while the time that it speaks of runs (rulings 19): one that comes too late is dropped.
    """
    due = {one.kind for one in due_work_of(claim) if one.due is None or one.due <= now}
    if Kind.WRITE_DOWN in due:
        due -= {Kind.REMIND_CUSTOMER, Kind.REMIND_PARTNER}
    if claim.window_ends_at is not None and claim.window_ends_at <= now:
        due -= {Kind.REMIND_CUSTOMER}
    return frozenset(due)
