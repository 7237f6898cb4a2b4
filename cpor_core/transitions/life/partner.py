"""The acts of the partner on a claim."""

from datetime import datetime

from cpor_core.errors import Refused
from cpor_core.model.claim import NOT_DISPUTABLE, OPEN, Acknowledgements, Claim, Reason, Status
from cpor_core.model.history import PROGRAMME, Act, Actor
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life.slots import competing_claims, leave_slots, take_place, verify_no_other_awaits
from cpor_core.transitions.life.steps import add_closing_mail, add_competition_mails, await_customer, require


def delete(case: Case, actor: Actor, at: datetime) -> Case:
    """Delete a draft. Raises `InvalidState` if the claim is not a draft."""
    require(case, "deleted", Status.DRAFT)
    return case.record(Act.DELETED, actor, at, to=Status.DELETED)


def verify_draft(case: Case) -> None:
    """Raise `InvalidState` unless the claim is a draft. Submission and dry run both need a draft."""
    require(case, "submitted", Status.DRAFT)


def submit(
    case: Case,
    actor: Actor,
    at: datetime,
    *,
    acknowledgements: Acknowledgements,
    partner_name: str,
    automatic_review: bool,
    start_review_by: datetime,
    refused_before: datetime | None = None,
) -> Case:
    """
    Submit a draft that has passed all checks.

    If the review is automatic and the claim has no rivals, the customer is notified next. A claim with rivals is always
    reviewed by a person. Raises `InvalidState`, `SlotCrowded`.
    """
    verify_draft(case)
    automatic = automatic_review and not case.rival_parties(at)
    case = case.record(
        Act.SUBMITTED,
        actor,
        at,
        to=Status.SUBMITTED,
        acknowledgements=acknowledgements,
        partner_name=partner_name,
        refused_before=refused_before,
        submitted_at=at,
        automatic_review=automatic,
        due=None if automatic else start_review_by,
    )
    case = add_competition_mails(take_place(case, at), at)
    return await_customer(case, Act.VALIDATED, PROGRAMME, at) if automatic else case


def resubmit(case: Case, actor: Actor, at: datetime, *, start_review_by: datetime) -> Case:
    """
    Answer the reviewer's question. The claim leaves the slots of removed items, and enters the slots of new items.

    If the reason was `customerUnreachable` and only contacts were changed, the customer is notified next (decision 27).
    But if the claim has rivals now and was validated automatically, a reviewer must act first. Raises `InvalidState`,
    `SlotCrowded`, `SlotAwaitsCustomer`.
    """
    require(case, "resubmitted", Status.PARTNER_ACTION_REQUIRED)
    skips_review = case.claim.status_reason is Reason.CUSTOMER_UNREACHABLE and case.claim.only_contacts_changed
    if case.claim.automatic_review and case.rival_parties(at):
        skips_review = False
    if skips_review:
        verify_no_other_awaits(case, at)
    known = competing_claims(case, at)
    case = take_place(leave_slots(case, at).changed(left_items=()), at)
    case = add_competition_mails(case, at, known)
    if skips_review:
        return await_customer(case, Act.RESUBMITTED, actor, at)
    return case.record(Act.RESUBMITTED, actor, at, to=Status.SUBMITTED, due=start_review_by, automatic_review=False)


def dispute(case: Case, actor: Actor, at: datetime, *, decide_by: datetime) -> Case:
    """Dispute a rejection, once and within 30 days. Raises `InvalidState`, `NotDisputable`, `SlotCrowded`."""
    require(case, "disputed", Status.REJECTED)
    if not is_disputable(case.claim):
        raise Refused(
            "NotDisputable",
            "This rejection cannot be disputed, or the claim was disputed before.",
            target="statusReason",
            resolution="File a new claim with better evidence.",
        )
    case = add_competition_mails(take_place(case, at), at)
    return case.record(Act.DISPUTED, actor, at, to=Status.DISPUTED, disputed_before=True, due=decide_by)


def withdraw(case: Case, actor: Actor, at: datetime) -> Case:
    """Withdraw an open claim that is not disputed. Raises `InvalidState`."""
    require(case, "withdrawn", *(OPEN - {Status.DISPUTED}))
    return add_closing_mail(leave_slots(case, at).record(Act.WITHDRAWN, actor, at, to=Status.WITHDRAWN), at)


def is_disputable(claim: Claim) -> bool:
    """Whether the partner can dispute the rejection. Only one dispute is possible, and not for `NOT_DISPUTABLE`."""
    return claim.status is Status.REJECTED and not claim.disputed_before and claim.status_reason not in NOT_DISPUTABLE
