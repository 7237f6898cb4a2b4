"""
Does the due work of a claim. The functions of the queues and the timer call this module.

It loads the claim, asks what is due at `now`, does the work, and stores that the work is done. First it stores what
time has changed, and sends the mails to the customer. The mails to partners come last (decision 42). Mails to the
customer do not wait for a partner's mailbox, and mails to partners do not wait for the customer's mailbox.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cpor_core.due_work import Kind, Outcome
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.claim_due_work import due_now, due_work_of
from cpor_core.rules.grace import GRACE
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import IN_DUE_WORK, ActContext, change_claim
from cpor_core.use_cases.notices.customer_mail import remind_customer, send_due_mail
from cpor_core.use_cases.notices.notice import notify_customer
from cpor_core.use_cases.notices.partner_mail import notify_partner, remind_partner
from cpor_core.use_cases.privacy.erase_person import erase_people
from cpor_core.use_cases.programme.follow import Wanted, follow

MOST_STEPS = 8
"""The most steps that one call takes of `STEPS`, and of `PARTNER_STEPS`. The next call takes further steps."""
Step = Callable[[Ports, Case, datetime, ActContext], Awaitable[Case | Outcome]]
"""One step. It returns the case that it has stored, or an outcome if no other step can follow now."""


@dataclass
class DueClaim:
    """The claim of some due rows. It is loaded once, and its due work is done once for all these rows."""

    ports: Ports
    id: str
    version: int | None = None
    """The newest version that was read or stored. None before the subject is read, or if it does not exist."""
    _stored: StoredCase | None = None
    _is_loaded: bool = False
    _outcome: Outcome | None = None

    async def load(self) -> StoredCase | None:
        """Return the claim as it is stored. None if it does not exist."""
        if not self._is_loaded:
            self._set(await self.ports.claims.load(self.id))
            self._is_loaded = True
        return self._stored

    async def process(self, row: DueRow, now: datetime) -> Outcome:
        """
        Do all work of the claim that is due at *now*. Returns the outcome for *row*.

        The first row leads to all work. It stays while any work is delayed. Another row stays only if its own kind of
        work is still due.
        """
        stored = await self.load()
        if stored is None:
            if row.kind is Kind.DELETE_DRAFT:  # a process that died has erased it
                await follow(self.ports, [Wanted(self.id)], now, {self.id: None})
            return Outcome()
        if self._outcome is None:
            self._outcome = Outcome(delayed=True)  # unless the work ends
            after, self._outcome = await process_claim(self.ports, stored, now, row)
            self._set(after)
            return self._outcome
        is_owed = self._stored is not None and row.kind in due_now(self._stored.claim, now)
        return self._outcome if is_owed else Outcome()

    def _set(self, stored: StoredCase | None) -> None:
        self._stored = stored
        if stored is not None:
            self.version = stored.claim.version


async def process_claim(
    ports: Ports, stored: StoredCase, now: datetime, due_row: DueRow | None = None
) -> tuple[StoredCase, Outcome]:
    """
    Do all work of a claim that is due at *now*, the most important kind first. A repeated call does no harm.

    Returns the claim as it is stored after the work.
    """
    case = settle(stored, now)
    if due_row is not None and Kind.WRITE_DOWN in due_now(stored.claim, now):
        # The write moves the due row to the next due work of the claim. The queue sends the mails.
        written = await change_claim(ports, case, now, lambda settled: settled, ActContext(due_row=due_row))
        return written.stored, Outcome(row_stays=True)
    context = replace(IN_DUE_WORK, due_row=due_row)
    case, first = await _process(ports, case, now, STEPS, context)
    case, last = await _process(ports, case, now, PARTNER_STEPS, context)
    waits = [outcome.not_before for outcome in (first, last) if outcome.delayed]
    if due_row is not None and due_row.kind is Kind.WRITE_DOWN and (grace_ends := _end_of_grace(case, now)) is not None:
        waits.append(grace_ends)
    known = [wait for wait in waits if wait is not None]
    # If another process has stored an act during the last step, work of that act can be due.
    is_done = not waits and due_now(case.stored.claim, now) <= {Kind.DELETE_DRAFT}
    return case.stored, Outcome(delayed=not is_done, not_before=min(known) if known and known == waits else None)


def _end_of_grace(case: Case, now: datetime) -> datetime | None:
    """
    Return the end of the minute of grace, if *now* is in this minute. Otherwise return None.

    The timer stores the association at that instant. A due row of release 1 comes earlier, at the end of the window.
    """
    ends = (work.due for work in due_work_of(case.stored.claim) if work.kind is Kind.WRITE_DOWN)
    return next((due for due in ends if due is not None and now < due <= now + GRACE), None)


async def process_for_customer(ports: Ports, claim_id: str, now: datetime) -> Outcome:
    """
    Do the work of a claim that is due at *now*, its mails to partners last.

    If other work is delayed, the mails to partners are left to their own queue, so that they do not wait for it.
    """
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    case, outcome = await _process(ports, settle(stored, now), now, STEPS, IN_DUE_WORK)
    if not outcome.delayed:
        _, outcome = await _process(ports, case, now, PARTNER_STEPS, IN_DUE_WORK)
    elif Kind.NOTIFY_PARTNER in due_now(case.stored.claim, now):
        await ports.queue_messages.partner_notice(claim_id)
    return outcome


async def process_for_partner(ports: Ports, claim_id: str, now: datetime) -> Outcome:
    """
    Send the mails that are due for a claim at *now* to its partner, and to the partners of its rivals.

    If an act of this call makes other work due, a message is sent for that work.
    """
    stored = await ports.claims.load(claim_id)
    if stored is None:
        return Outcome()
    case, outcome = await _process(ports, settle(stored, now), now, PARTNER_STEPS, IN_DUE_WORK)
    if not STEPS.keys().isdisjoint(due_now(case.stored.claim, now) - due_now(stored.claim, now)):
        await ports.queue_messages.customer_notice(claim_id)
    return outcome


async def _process(
    ports: Ports, case: Case, now: datetime, steps: Mapping[Kind, Step], context: ActContext
) -> tuple[Case, Outcome]:
    """Take one step after another until no step is due, until a step returns an outcome, or until `MOST_STEPS`."""
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
    return await change_claim(ports, case, now, lambda settled: settled, context)


async def _delete_draft(ports: Ports, case: Case, now: datetime, _: ActContext) -> Outcome:
    claim = case.stored.claim
    await follow(ports, [Wanted(claim.id)], now, {claim.id: case.stored})  # a deleted claim can no longer be followed
    for evidence in claim.evidence:
        await ports.blobs.delete(evidence.blob)
    await ports.partner_claims.remove(claim.organisation, list_position(claim.created_at, claim.id))
    await ports.claims.erase(claim.id)
    await follow(ports, [Wanted(claim.id)], now, {claim.id: None})
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
"""The step for each kind of due work, the most important kind first."""
PARTNER_STEPS: Mapping[Kind, Step] = {
    Kind.NOTIFY_PARTNER: _notify_partner,
    Kind.REMIND_PARTNER: _remind_partner,
}
"""The steps that send mails to partners: news before reminders."""
