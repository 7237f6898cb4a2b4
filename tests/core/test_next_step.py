"""Who owes what until when, in every state."""

from datetime import datetime

import pytest

from cpor_core.model.claim import NOT_DISPUTABLE, REJECTION_REASONS, Reason, Status
from cpor_core.rules.next_step import Action, NextStep, Owner, next_step
from cpor_core.transitions import life
from cpor_core.transitions.case import Case
from tests.core.making import (
    ANNE,
    DAY,
    ENDS_AT,
    MICROSECOND,
    MONDAY,
    SUBMITTED_AT,
    TOLD_AT,
    draft,
    in_state,
    promised,
    rejected,
    submitted,
)

NOBODY = (Owner.NOBODY, Action.NONE, None)


@pytest.mark.parametrize(
    ("status", "owner", "action", "due"),
    [
        (Status.DRAFT, Owner.PARTNER, Action.SUBMIT, MONDAY + 90 * DAY),
        (Status.SUBMITTED, Owner.PROGRAMME, Action.START_REVIEW, SUBMITTED_AT + 7 * DAY),
        (Status.UNDER_REVIEW, Owner.PROGRAMME, Action.DECIDE, SUBMITTED_AT + 7 * DAY),
        (Status.PARTNER_ACTION_REQUIRED, Owner.PARTNER, Action.ANSWER, TOLD_AT + 7 * DAY),
        (Status.AWAITING_CUSTOMER, Owner.CUSTOMER, Action.DECLINE, ENDS_AT),
        (Status.DECLINED, Owner.CUSTOMER, Action.UNDO, ENDS_AT),
        (Status.REJECTED, Owner.PARTNER, Action.DISPUTE, TOLD_AT + 30 * DAY),
        (Status.DISPUTED, Owner.PROGRAMME, Action.DECIDE, TOLD_AT + 7 * DAY),
        (Status.REJECTED_FINAL, *NOBODY),
        (Status.OFFICIAL, *NOBODY),
        (Status.ENDED, *NOBODY),
        (Status.WITHDRAWN, *NOBODY),
        (Status.DELETED, *NOBODY),
    ],
)
def test_every_state_says_who_acts_next(status: Status, owner: Owner, action: Action, due: datetime | None) -> None:
    """Whose turn it is, to do what, until when."""
    assert next_step(in_state(status).claim, TOLD_AT) == NextStep(owner=owner, action=action, due=due)


@pytest.mark.parametrize("case", [submitted(draft(), automatic=True), promised(submitted(draft(), automatic=True))])
def test_until_the_customer_was_told_it_is_the_programmes_turn(case: Case) -> None:
    """No date can be named yet."""
    assert next_step(case.claim, TOLD_AT) == NextStep(owner=Owner.PROGRAMME, action=Action.TELL_CUSTOMER)


@pytest.mark.parametrize(
    ("now", "action"), [(ENDS_AT - MICROSECOND, Action.UNDO), (ENDS_AT, Action.NONE), (ENDS_AT + DAY, Action.NONE)]
)
def test_a_no_can_be_taken_back_until_the_windows_end(now: datetime, action: Action) -> None:
    """Afterwards there is nothing to be done."""
    assert next_step(in_state(Status.DECLINED).claim, now).action is action


def test_a_no_from_another_state_cannot_be_taken_back() -> None:
    """Nobody's turn."""
    declined = life.decline(in_state(Status.UNDER_REVIEW), ANNE, TOLD_AT)

    assert next_step(declined.claim, TOLD_AT).action is Action.NONE


@pytest.mark.parametrize("reason", sorted(REJECTION_REASONS))
def test_a_rejection_can_be_disputed_for_thirty_days(reason: Reason) -> None:
    """Unless it is of a kind that cannot, or was disputed before: then it is nobody's turn."""
    claim = rejected(draft(), reason).claim

    step = next_step(claim, TOLD_AT)

    if reason in NOT_DISPUTABLE:
        assert step.owner is Owner.NOBODY
    else:
        assert (step.owner, step.action, step.due) == (Owner.PARTNER, Action.DISPUTE, TOLD_AT + 30 * DAY)
    assert next_step(claim.model_copy(update={"disputed_before": True}), TOLD_AT).owner is Owner.NOBODY


@pytest.mark.parametrize(("now", "owner"), [(ENDS_AT + DAY, Owner.PARTNER), (ENDS_AT + 2 * DAY, Owner.NOBODY)])
def test_the_holder_of_a_contested_item_may_be_asked_for_evidence(now: datetime, owner: Owner) -> None:
    """Until then it is the partner's turn; the association goes on (rulings 15)."""
    claim = in_state(Status.OFFICIAL).claim.model_copy(update={"evidence_by": ENDS_AT + 2 * DAY})

    assert next_step(claim, now).owner is owner


def test_a_next_step_is_shown_with_these_names() -> None:
    """Due as RFC 3339 writes it, null where there is none."""
    step = next_step(in_state(Status.AWAITING_CUSTOMER).claim, TOLD_AT)

    assert step.model_dump(mode="json", by_alias=True) == {
        "owner": "customer",
        "action": "decline",
        "due": "2026-11-09T23:00:00Z",
    }
    assert next_step(in_state(Status.OFFICIAL).claim, ENDS_AT).model_dump(mode="json", by_alias=True) == {
        "owner": "nobody",
        "action": "none",
        "due": None,
    }
