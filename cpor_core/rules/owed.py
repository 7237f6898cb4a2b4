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


class Debt(StrEnum):
    """Something that somebody must be told, or that must be written down."""

    WRITE_DOWN = "writeDown"
    TELL_CUSTOMER = "tellCustomer"
    REMIND_CUSTOMER = "remindCustomer"
    REMIND_PARTNER = "remindPartner"
    SEND_MAIL = "sendMail"
    TELL_PARTNER = "tellPartner"
    ERASE = "erase"
    FORGET_PEOPLE = "forgetPeople"


TO_PARTNERS = frozenset({Debt.TELL_PARTNER, Debt.REMIND_PARTNER})
"""Debts to partners, who come last (rulings 42)."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One debt; `due` is None when it is due at once, `about` tells mails apart."""

    debt: Debt
    due: datetime | None = None
    about: str = ""


CLOCK_DECIDES = frozenset({Status.DRAFT, Status.PARTNER_ACTION_REQUIRED, Status.REJECTED})
"""States that end by themselves at `claim.due`; a reviewer's time is shown and counted, never decided by the clock."""


def owed(claim: Claim) -> frozenset[Owed]:
    """Return everything that the stored *claim* owes, now or later."""
    debts = {Owed(Debt.SEND_MAIL, about=f"{mail.kind}-{mail.number}") for mail in claim.mails}
    debts |= {Owed(Debt.TELL_PARTNER, about=f"{mail.kind}-{mail.number}-{mail.to}") for mail in claim.partner_mails}
    if claim.status in CLOCK_DECIDES and claim.due is not None:
        debts.add(Owed(Debt.WRITE_DOWN, claim.due))
    if claim.status is Status.AWAITING_CUSTOMER:
        debts |= _owed_to_customer(claim)
    if claim.status is Status.PARTNER_ACTION_REQUIRED:
        debts |= _owed_to_partner(claim)
    if claim.status is Status.DELETED:
        debts.add(Owed(Debt.ERASE))
    if claim.people_until is not None and not claim.people_forgotten:
        debts.add(Owed(Debt.FORGET_PEOPLE, claim.people_until))
    return frozenset(debts)


def _owed_to_customer(claim: Claim) -> set[Owed]:
    if claim.promise is None or claim.opened_at is None:
        return {Owed(Debt.TELL_CUSTOMER)}
    debts = {Owed(Debt.WRITE_DOWN, claim.promise.ends_at + GRACE)}
    reminder_at = claim.promise.reminder_at
    if not claim.reminded and claim.opened_at < reminder_at < claim.promise.ends_at:
        debts.add(Owed(Debt.REMIND_CUSTOMER, reminder_at))
    return debts


def _owed_to_partner(claim: Claim) -> set[Owed]:
    time = claim.time_to_answer
    if claim.answer_reminded or time is None or not claim.status_since < time.reminder_at < time.ends_at:
        return set()
    return {Owed(Debt.REMIND_PARTNER, time.reminder_at)}


def due_now(claim: Claim, now: datetime) -> frozenset[Debt]:
    """
    Return what is to be paid at *now*.

    A reminder is owed only while the time that it speaks of runs (rulings 19): one that comes too late is dropped.
    """
    due = {debt.debt for debt in owed(claim) if debt.due is None or debt.due <= now}
    if Debt.WRITE_DOWN in due:
        due -= {Debt.REMIND_CUSTOMER, Debt.REMIND_PARTNER}
    if claim.window_ends_at is not None and claim.window_ends_at <= now:
        due -= {Debt.REMIND_CUSTOMER}
    return frozenset(due)
