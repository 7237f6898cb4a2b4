"""
The due work of a claim, and when it is due.

A due row makes sure that the work is done. A queue message makes the work happen sooner. The handlers of both ask here
again before they act, so work that is no longer due is not done.
"""

from datetime import datetime

from cpor_core.due_work import DueWork, Kind
from cpor_core.model.claim import Claim, Status
from cpor_core.rules.grace import GRACE

TO_PARTNERS = frozenset({Kind.NOTIFY_PARTNER, Kind.REMIND_PARTNER})
"""Mails to partners, which are sent last (decision 42)."""

CLOCK_DECIDES = frozenset({Status.DRAFT, Status.PARTNER_ACTION_REQUIRED, Status.REJECTED})
"""States that time ends at `claim.due`. In other states callers see that instant, but nothing happens then."""


def due_work_of(claim: Claim) -> frozenset[DueWork]:
    """Return all due work of the stored *claim*, whether it is due now or later."""
    work = {DueWork(Kind.SEND_MAIL, about=f"{mail.kind}-{mail.number}") for mail in claim.mails}
    work |= {DueWork(Kind.NOTIFY_PARTNER, about=f"{mail.kind}-{mail.number}-{mail.to}") for mail in claim.partner_mails}
    if claim.status in CLOCK_DECIDES and claim.due is not None:
        work.add(DueWork(Kind.WRITE_DOWN, claim.due))
    if claim.status is Status.AWAITING_CUSTOMER:
        work |= _about_the_window(claim)
    if claim.status is Status.PARTNER_ACTION_REQUIRED:
        work |= _about_the_answer(claim)
    if claim.status is Status.DELETED:
        work.add(DueWork(Kind.DELETE_DRAFT))
    if claim.people_until is not None and not claim.people_forgotten:
        work.add(DueWork(Kind.ERASE_PEOPLE, claim.people_until))
    return frozenset(work)


def _about_the_window(claim: Claim) -> set[DueWork]:
    if claim.promise is None or claim.opened_at is None:
        return {DueWork(Kind.NOTIFY_CUSTOMER)}
    work = {DueWork(Kind.WRITE_DOWN, claim.promise.ends_at + GRACE)}
    reminder_at = claim.promise.reminder_at
    if not claim.reminded and claim.opened_at < reminder_at < claim.promise.ends_at:
        work.add(DueWork(Kind.REMIND_CUSTOMER, reminder_at))
    return work


def _about_the_answer(claim: Claim) -> set[DueWork]:
    time = claim.time_to_answer
    if claim.answer_reminded or time is None or not claim.status_since < time.reminder_at < time.ends_at:
        return set()
    return {DueWork(Kind.REMIND_PARTNER, time.reminder_at)}


def due_now(claim: Claim, now: datetime) -> frozenset[Kind]:
    """
    Return the kinds of work that are due at *now*.

    A reminder is due only before its deadline (decision 19). After the deadline it is dropped.
    """
    due = {work.kind for work in due_work_of(claim) if work.due is None or work.due <= now}
    if Kind.WRITE_DOWN in due:
        due -= {Kind.REMIND_CUSTOMER, Kind.REMIND_PARTNER}
    if claim.window_ends_at is not None and claim.window_ends_at <= now:
        due -= {Kind.REMIND_CUSTOMER}
    return frozenset(due)
