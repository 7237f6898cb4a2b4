"""
Paying what a claim owes: queues and timer call the same functions.

Load the claim, ask what is due at `now`, do it, store that it is done. What is written down and what customers are told
comes first, what partners are told last (rulings 42); neither waits for a mailbox of the other.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from cpor_core.due_work import Kind, Outcome
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.claim_due_work import TO_PARTNERS, due_now, due_work_of
from cpor_core.rules.identifiers import list_position
from cpor_core.rules.late_truths import GRACE
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, change_claim
from cpor_core.use_cases.feed.changes import catch_up
from cpor_core.use_cases.notices.customer_mail import remind_customer, send_owed_mail
from cpor_core.use_cases.notices.notice import notify_customer
from cpor_core.use_cases.notices.partner_mail import notify_partner, remind_partner
from cpor_core.use_cases.privacy.erase_person import erase_people

MOST_STEPS = 8
"""Debts to one side that one call pays; more are done by the next."""
Step = Callable[[Ports, Case, datetime, ActContext], Awaitable[Case | Outcome]]


async def process_claim(ports: Ports, claim_id: str, now: datetime, due_row: DueRow | None = None) -> Outcome:
    """Pay everything that the claim owes at *now*, in the order in which it matters; twice is harmless."""
    context = ActContext(due_row=due_row) if due_row is not None else NO_CONTEXT
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    case, first = await _process(ports, settle(stored, now), now, _take_step, context)
    if first.row_stays:
        return first
    case, last = await _process(ports, case, now, _notify_partner, context)
    waits = [outcome.not_before for outcome in (first, last) if outcome.delayed]
    if (
        due_row is not None
        and due_row.kind == Kind.WRITE_DOWN
        and (grace_ends := _written_down_at(case, now)) is not None
    ):
        waits.append(grace_ends)
    known = [wait for wait in waits if wait is not None]
    return Outcome(delayed=bool(waits), not_before=min(known) if known and known == waits else None)


def _written_down_at(case: Case, now: datetime) -> datetime | None:
    """Return when a window that has ended just now is written down: earlier releases put the due row at its end."""
    ends = (one.due for one in due_work_of(case.stored.claim) if one.kind is Kind.WRITE_DOWN)
    return next((due for due in ends if due is not None and now < due <= now + GRACE), None)


async def process_for_customer(ports: Ports, claim_id: str, now: datetime) -> Outcome:
    """
    Pay what the claim owes at *now* but its partner's mails, which have a queue of their own.

    Those that were owed before are passed on to it; whatever is owed from now on has its own hint.
    """
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    pass_on = Kind.NOTIFY_PARTNER in due_now(stored.claim, now)
    _, outcome = await _process(ports, settle(stored, now), now, _take_step, NO_CONTEXT)
    if pass_on:
        await ports.queue_messages.partner_notice(claim_id)
    return outcome


async def process_for_partner(ports: Ports, claim_id: str, now: datetime) -> Outcome:
    """Send the mails that the claim owes at *now* to its partner, and to those with whom it competes."""
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    _, outcome = await _process(ports, settle(stored, now), now, _notify_partner, NO_CONTEXT)
    return outcome


async def _process(ports: Ports, case: Case, now: datetime, step: Step, context: ActContext) -> tuple[Case, Outcome]:
    """Take one step after the other until nothing is owed, or nothing more can be done now."""
    for _ in range(MOST_STEPS):
        taken = await step(ports, case, now, context)
        if isinstance(taken, Outcome):
            return case, taken
        case = taken
    return case, Outcome(delayed=True)


async def _take_step(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case | Outcome:
    """Pay what matters most; returns the case as stored then, or what came of it where nothing more can be done."""
    due = due_now(case.stored.claim, now) - TO_PARTNERS
    if Kind.WRITE_DOWN in due:
        written = await change_claim(ports, case, now, lambda settled: settled, context)
        # With a row to cover it, what is owed from here on has its rows; mails go out by the queue.
        return written if context.due_row is None else Outcome(row_stays=True)
    if Kind.DELETE_DRAFT in due:
        await _erase(ports, case, now)
        return Outcome()
    if Kind.ERASE_PEOPLE in due:
        return await erase_people(ports, case, now, context)
    if Kind.NOTIFY_CUSTOMER in due:
        return await notify_customer(ports, case, now, context)
    if Kind.SEND_MAIL in due:
        return await send_owed_mail(ports, case, case.stored.claim.mails[0], now)
    if due:
        return await remind_customer(ports, case, now)
    return Outcome()


async def _notify_partner(ports: Ports, case: Case, now: datetime, _: ActContext) -> Case | Outcome:
    """Send what is told before what is reminded of."""
    due = due_now(case.stored.claim, now) & TO_PARTNERS
    if Kind.NOTIFY_PARTNER in due:
        return await notify_partner(ports, case, now)
    if due:
        return await remind_partner(ports, case, now)
    return Outcome()


async def _erase(ports: Ports, case: Case, now: datetime) -> None:
    claim = case.stored.claim
    await catch_up(ports, claim.id, now)  # what is erased can't be told any more
    for evidence in claim.evidence:
        await ports.blobs.delete(evidence.blob)
    await ports.partner_claims.remove(claim.organisation, list_position(claim.created_at, claim.id))
    await ports.claims.erase(claim.id)
