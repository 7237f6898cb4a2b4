"""The next step of a claim: who must act, what to do, and until when. Each claim shows it as `nextStep`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import NOT_DISPUTABLE, Claim, Status
from cpor_core.model.slot import Slot
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case, StoredCase


class Owner(StrEnum):
    """Who must act next."""

    PARTNER = "partner"
    PROGRAMME = "programme"
    CUSTOMER = "customer"
    NOBODY = "nobody"


class Action(StrEnum):  # decision 30
    """What the owner must do, or is allowed to do."""

    SUBMIT = "submit"
    START_REVIEW = "startReview"
    DECIDE = "decide"
    ANSWER = "answer"
    TELL_CUSTOMER = "tellCustomer"
    DECLINE = "decline"
    DISPUTE = "dispute"
    UNDO = "undo"
    NONE = "none"


class NextStep(Value):
    """Who must act next, what to do, and until when."""

    owner: Owner
    action: Action
    due: Instant | None = None


NOTHING = NextStep.model_construct(owner=Owner.NOBODY, action=Action.NONE)


def next_step(case: Case, terms: Terms) -> NextStep:
    """Return the next step of a claim at the case's instant."""
    claim = case.claim
    match claim.status:
        case Status.DRAFT:
            return NextStep(owner=Owner.PARTNER, action=Action.SUBMIT, due=claim.due)
        case Status.SUBMITTED:
            due = _reviewed_by(case, terms.start_review_by)
            return NextStep(owner=Owner.PROGRAMME, action=Action.START_REVIEW, due=due)
        case Status.UNDER_REVIEW | Status.DISPUTED:
            due = _reviewed_by(case, terms.decide_by)
            return NextStep(owner=Owner.PROGRAMME, action=Action.DECIDE, due=due)
        case Status.PARTNER_ACTION_REQUIRED:
            return NextStep(owner=Owner.PARTNER, action=Action.ANSWER, due=claim.due)
        case Status.AWAITING_CUSTOMER:
            return _while_awaiting(claim)
        case Status.DECLINED:
            return _after_a_no(claim, case.now)
        case Status.REJECTED:
            return _after_a_rejection(claim)
        case Status.OFFICIAL:
            return _while_official(claim, case.now)
        case Status.ENDED | Status.WITHDRAWN | Status.REJECTED_FINAL | Status.DELETED:
            return NOTHING
        case _:
            assert_never(claim.status)


def stored_review_due(case: StoredCase, terms: Terms) -> datetime | None:
    """Return until when the reviewer should act, by the stored rows alone. None if no reviewer has the claim."""
    match case.claim.status:
        case Status.SUBMITTED:
            return _review_due(case.claim, _stored_slots(case), terms.start_review_by)
        case Status.UNDER_REVIEW | Status.DISPUTED:
            return _review_due(case.claim, _stored_slots(case), terms.decide_by)
        case _:
            return None


def _reviewed_by(case: Case, limit: Callable[[datetime], datetime]) -> datetime | None:
    return _review_due(case.claim, _slots(case), limit)


def _review_due(claim: Claim, slots: Sequence[Slot], limit: Callable[[datetime], datetime]) -> datetime | None:
    """
    Return until when the reviewer should act. None while another claim awaits the customer for one of the items.

    The reviewer cannot approve the claim while another claim awaits the customer. So the reviewer gets new time when
    the item is free (decision 11).
    """
    if _is_awaited(claim, slots):
        return None
    instants = [slot.free_since for slot in slots]
    free_since = max((at for at in instants if at is not None), default=claim.status_since)
    return limit(free_since) if free_since > claim.status_since else claim.due


def stands_still(case: Case) -> bool:
    """Whether another claim awaits the customer for one of the items."""
    return _is_awaited(case.claim, _slots(case))


def _is_awaited(claim: Claim, slots: Sequence[Slot]) -> bool:
    return any(slot.awaiting is not None and slot.awaiting.claim != claim.id for slot in slots)


def _stored_slots(case: Case | StoredCase) -> Sequence[Slot]:
    return [case.slots[item.key] for item in case.claim.items if item.key in case.slots]


def _slots(case: Case) -> Sequence[Slot]:
    """Return the slots of the claim's items at the case's instant."""
    return [slot.at(case.now) for slot in _stored_slots(case)]


def _while_awaiting(claim: Claim) -> NextStep:
    if claim.window_ends_at is None:
        return NextStep(owner=Owner.PROGRAMME, action=Action.TELL_CUSTOMER)
    return NextStep(owner=Owner.CUSTOMER, action=Action.DECLINE, due=claim.window_ends_at)


def _after_a_no(claim: Claim, now: datetime) -> NextStep:
    if claim.promise is not None and claim.can_be_undone(now):
        return NextStep(owner=Owner.CUSTOMER, action=Action.UNDO, due=claim.promise.ends_at)
    return NOTHING


def _after_a_rejection(claim: Claim) -> NextStep:
    if claim.disputed_before or claim.status_reason in NOT_DISPUTABLE:
        return NOTHING
    return NextStep(owner=Owner.PARTNER, action=Action.DISPUTE, due=claim.due)


def _while_official(claim: Claim, now: datetime) -> NextStep:
    if claim.evidence_by is not None and now < claim.evidence_by:
        return NextStep(owner=Owner.PARTNER, action=Action.ANSWER, due=claim.evidence_by)
    return NOTHING
