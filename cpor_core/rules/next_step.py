"""Who owes what until when: the `nextStep` that every claim shows at every moment."""

from datetime import datetime
from enum import StrEnum
from typing import assert_never

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import NOT_DISPUTABLE, Claim, Status


class Owner(StrEnum):
    """Whose turn it is."""

    PARTNER = "partner"
    PROGRAMME = "programme"
    CUSTOMER = "customer"
    NOBODY = "nobody"


class Action(StrEnum):
    """What they may or must do (rulings 30)."""

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
    """Whose turn it is, to do what, until when."""

    owner: Owner
    action: Action
    due: Instant | None = None


NOTHING = NextStep(owner=Owner.NOBODY, action=Action.NONE)


def next_step(claim: Claim, now: datetime) -> NextStep:
    """Return the next step of an effective *claim* at *now*."""
    match claim.status:
        case Status.DRAFT:
            return NextStep(owner=Owner.PARTNER, action=Action.SUBMIT, due=claim.due)
        case Status.SUBMITTED:
            return NextStep(owner=Owner.PROGRAMME, action=Action.START_REVIEW, due=claim.due)
        case Status.UNDER_REVIEW | Status.DISPUTED:
            return NextStep(owner=Owner.PROGRAMME, action=Action.DECIDE, due=claim.due)
        case Status.PARTNER_ACTION_REQUIRED:
            return NextStep(owner=Owner.PARTNER, action=Action.ANSWER, due=claim.due)
        case Status.AWAITING_CUSTOMER:
            return _while_awaiting(claim)
        case Status.DECLINED:
            return _after_a_no(claim, now)
        case Status.REJECTED:
            return _after_a_rejection(claim)
        case Status.OFFICIAL:
            return _while_official(claim, now)
        case Status.ENDED | Status.WITHDRAWN | Status.REJECTED_FINAL | Status.DELETED:
            return NOTHING
        case _:
            assert_never(claim.status)


def _while_awaiting(claim: Claim) -> NextStep:
    if claim.window_ends_at is None:
        return NextStep(owner=Owner.PROGRAMME, action=Action.TELL_CUSTOMER)
    return NextStep(owner=Owner.CUSTOMER, action=Action.DECLINE, due=claim.window_ends_at)


def _after_a_no(claim: Claim, now: datetime) -> NextStep:
    if claim.undoable and claim.promise is not None and now < claim.promise.ends_at:
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
