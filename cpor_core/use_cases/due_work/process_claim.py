"""
Does the due work of a claim; queues and timer call the same functions.

Load the claim, ask what is due at `now`, do it, store that it is done. Writing down and mails to the customer come
first, mails to partners last (decision 42). Neither waits for the other's mailbox.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from cpor_core.due_work import Kind, Outcome
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.claim_due_work import due_now, due_work_of
from cpor_core.rules.grace import GRACE
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, change_claim
from cpor_core.use_cases.feed.changes import catch_up
from cpor_core.use_cases.notices.customer_mail import remind_customer, send_due_mail
from cpor_core.use_cases.notices.notice import notify_customer
from cpor_core.use_cases.notices.partner_mail import notify_partner, remind_partner
from cpor_core.use_cases.privacy.erase_person import erase_people

MOST_STEPS = 8
"""Steps that one call takes for one side; the next call goes on."""
Step = Callable[[Ports, Case, datetime, ActContext], Awaitable[Case | Outcome]]
"""Returns the case as it is stored then, or an outcome when nothing more can be done now."""


async def process_claim(ports: Ports, claim_id: str, now: datetime, due_row: DueRow | None = None) -> Outcome:
    """Do all work of a claim that is due at *now*, the most important first; twice is harmless."""
    context = ActContext(due_row=due_row) if due_row is not None else NO_CONTEXT
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    case, first = await _process(ports, settle(stored, now), now, STEPS, context)
    if first.row_stays:
        return first
    case, last = await _process(ports, case, now, PARTNER_STEPS, context)
    waits = [outcome.not_before for outcome in (first, last) if outcome.delayed]
    if (
        due_row is not None
        and due_row.kind is Kind.WRITE_DOWN
        and (grace_ends := _written_down_at(case, now)) is not None
    ):
        waits.append(grace_ends)
    known = [wait for wait in waits if wait is not None]
    return Outcome(delayed=bool(waits), not_before=min(known) if known and known == waits else None)


def _written_down_at(case: Case, now: datetime) -> datetime | None:
    """Return when a window that ended just now is written down: release 1 put the due row at the end of the window."""
    ends = (one.due for one in due_work_of(case.stored.claim) if one.kind is Kind.WRITE_DOWN)
    return next((due for due in ends if due is not None and now < due <= now + GRACE), None)


async def process_for_customer(ports: Ports, claim_id: str, now: datetime) -> Outcome:
    """
    Do the work of a claim that is due at *now*, except its mails to partners: those have their own queue.

    Mails to partners that were due before get a message in that queue. Mails that become due now have one already.
    """
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    pass_on = Kind.NOTIFY_PARTNER in due_now(stored.claim, now)
    _, outcome = await _process(ports, settle(stored, now), now, STEPS, NO_CONTEXT)
    if pass_on:
        await ports.queue_messages.partner_notice(claim_id)
    return outcome


async def process_for_partner(ports: Ports, claim_id: str, now: datetime) -> Outcome:
    """Send the mails of a claim that are due at *now* to its partner and to the partners of its rivals."""
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    _, outcome = await _process(ports, settle(stored, now), now, PARTNER_STEPS, NO_CONTEXT)
    return outcome


async def _process(
    ports: Ports, case: Case, now: datetime, steps: Mapping[Kind, Step], context: ActContext
) -> tuple[Case, Outcome]:
    """Take one step after the other until none is due, or nothing more can be done now."""
    for _ in range(MOST_STEPS):
        due = due_now(case.stored.claim, now)
        step = next((steps[kind] for kind in steps if kind in due), None)
        if step is None:
            return case, Outcome()
        taken = await step(ports, case, now, context)
        if isinstance(taken, Outcome):
            return case, taken
        case = taken
    return case, Outcome(delayed=True)


async def _write_down(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case | Outcome:
    written = await change_claim(ports, case, now, lambda settled: settled, context)
    # A due row that led here was moved: it covers what is due from now on, and the queue sends the mails.
    return written if context.due_row is None else Outcome(row_stays=True)


async def _delete_draft(ports: Ports, case: Case, now: datetime, _: ActContext) -> Outcome:
    claim = case.stored.claim
    await catch_up(ports, claim.id, now)  # what is deleted can't be announced any more
    for evidence in claim.evidence:
        await ports.blobs.delete(evidence.blob)
    await ports.partner_claims.remove(claim.organisation, list_position(claim.created_at, claim.id))
    await ports.claims.erase(claim.id)
    return Outcome()


async def _send_mail(ports: Ports, case: Case, now: datetime, _: ActContext) -> Case | Outcome:
    return await send_due_mail(ports, case, case.stored.claim.mails[0], now)


async def _remind_customer(ports: Ports, case: Case, now: datetime, _: ActContext) -> Case | Outcome:
    return await remind_customer(ports, case, now)


async def _notify_partner(ports: Ports, case: Case, now: datetime, _: ActContext) -> Case | Outcome:
    return await notify_partner(ports, case, now)


async def _remind_partner(ports: Ports, case: Case, now: datetime, _: ActContext) -> Case | Outcome:
    return await remind_partner(ports, case, now)


STEPS: Mapping[Kind, Step] = {
    Kind.WRITE_DOWN: _write_down,
    Kind.DELETE_DRAFT: _delete_draft,
    Kind.ERASE_PEOPLE: erase_people,
    Kind.NOTIFY_CUSTOMER: notify_customer,
    Kind.SEND_MAIL: _send_mail,
    Kind.REMIND_CUSTOMER: _remind_customer,
}
"""What is done for each kind, the most important first."""
PARTNER_STEPS: Mapping[Kind, Step] = {
    Kind.NOTIFY_PARTNER: _notify_partner,
    Kind.REMIND_PARTNER: _remind_partner,
}
"""The same for mails to partners: news before reminders."""
