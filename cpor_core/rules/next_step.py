"""The next step of a claim: who must do what until when. Each claim always shows it as `nextStep`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import NOT_DISPUTABLE, Claim, Status
from cpor_core.model.slot import Slot
from cpor_core.rules.terms import Terms


class Owner(StrEnum):
    """Who must act next."""

    PARTNER = "partner"
    PROGRAMME = "programme"
    CUSTOMER = "customer"
    NOBODY = "nobody"


class Action(StrEnum):  # rulings 30
    """What the owner may or must do."""

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


NOTHING = NextStep(owner=Owner.NOBODY, action=Action.NONE)


def next_step(claim: Claim, slots: Mapping[str, Slot], now: datetime, terms: Terms) -> NextStep:
    """Return the next step of a settled *claim* at *now*."""
    match claim.status:
        case Status.DRAFT:
            return NextStep(owner=Owner.PARTNER, action=Action.SUBMIT, due=claim.due)
        case Status.SUBMITTED:
            due = _reviewed_by(claim, slots, now, terms.start_review_by)
            return NextStep(owner=Owner.PROGRAMME, action=Action.START_REVIEW, due=due)
        case Status.UNDER_REVIEW | Status.DISPUTED:
            due = _reviewed_by(claim, slots, now, terms.decide_by)
            return NextStep(owner=Owner.PROGRAMME, action=Action.DECIDE, due=due)
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


def _reviewed_by(
    claim: Claim, slots: Mapping[str, Slot], now: datetime, limit: Callable[[datetime], datetime]
) -> datetime | None:
    """
    Return until when the reviewer should act. None while another claim awaits the customer for one of the items.

    Then the claim cannot be approved. Its time stops, and starts again when the slot is free (rulings 11).
    """
    if stands_still(claim, slots, now):
        return None
    free = [slots[item.key].at(now).free_since for item in claim.items if item.key in slots]
    free_since = max((at for at in free if at is not None), default=claim.status_since)
    return limit(free_since) if free_since > claim.status_since else claim.due


def stands_still(claim: Claim, slots: Mapping[str, Slot], now: datetime) -> bool:
    """Whether another claim awaits the customer for one of the items."""
    awaiting = [slots[item.key].at(now).awaiting for item in claim.items if item.key in slots]
    return any(party is not None and party.claim != claim.id for party in awaiting)


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
