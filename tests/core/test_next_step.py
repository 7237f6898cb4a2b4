"""The next actor, act and time limit in every state."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from cpor_core.model.claim import NOT_DISPUTABLE, REJECTION_REASONS, Reason, Status
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import Action, NextStep, Owner, next_step
from tests.core.builders import (
    ANNE,
    DAY,
    ENDS_AT,
    LITWARE,
    MICROSECOND,
    MONDAY,
    SUBMITTED_AT,
    TERMS,
    TOLD_AT,
    draft,
    in_state,
    promised,
    rejected,
    submitted,
)

NOBODY = (Owner.NOBODY, Action.NONE, None)


def step(case: Case, now: datetime) -> NextStep:
    """Return the next step of a claim at *now*."""
    return next_step(replace(case, now=now), TERMS)


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
def test_every_state_has_a_next_step(status: Status, owner: Owner, action: Action, due: datetime | None) -> None:
    """The step has an actor, an act and a time limit."""
    assert step(in_state(status), TOLD_AT) == NextStep(owner=owner, action=action, due=due)


@pytest.mark.parametrize("case", [submitted(draft(), automatic=True), promised(submitted(draft(), automatic=True))])
def test_before_the_hand_over_the_programme_acts_next(case: Case) -> None:
    """No date is known yet."""
    assert step(case, TOLD_AT) == NextStep(owner=Owner.PROGRAMME, action=Action.TELL_CUSTOMER)


@pytest.mark.parametrize(
    ("now", "action"), [(ENDS_AT - MICROSECOND, Action.UNDO), (ENDS_AT, Action.NONE), (ENDS_AT + DAY, Action.NONE)]
)
def test_a_no_can_be_undone_until_the_windows_end(now: datetime, action: Action) -> None:
    """Afterwards there is no next step."""
    assert step(in_state(Status.DECLINED), now).action is action


def test_a_no_outside_the_window_has_no_next_step() -> None:
    """The no cannot be undone."""
    declined = life.decline(in_state(Status.UNDER_REVIEW), ANNE, TOLD_AT)

    assert step(declined, TOLD_AT).action is Action.NONE


@pytest.mark.parametrize("reason", sorted(REJECTION_REASONS))
def test_a_rejection_can_be_disputed_for_thirty_days(reason: Reason) -> None:
    """A rejection that cannot be disputed, or was disputed before, has no next step."""
    case = rejected(draft(), reason)

    told = step(case, TOLD_AT)

    if reason in NOT_DISPUTABLE:
        assert told.owner is Owner.NOBODY
    else:
        assert (told.owner, told.action, told.due) == (Owner.PARTNER, Action.DISPUTE, TOLD_AT + 30 * DAY)
    assert step(case.changed(disputed_before=True), TOLD_AT).owner is Owner.NOBODY


@pytest.mark.parametrize(("now", "owner"), [(ENDS_AT + DAY, Owner.PARTNER), (ENDS_AT + 2 * DAY, Owner.NOBODY)])
def test_the_holder_of_a_contested_item_has_a_next_step_after_a_request_for_evidence(
    now: datetime, owner: Owner
) -> None:
    """The partner acts next until the time limit, and the association goes on (decision 15)."""
    case = in_state(Status.OFFICIAL).changed(evidence_by=ENDS_AT + 2 * DAY)

    assert step(case, now).owner is owner


def test_a_next_step_has_these_names_in_json() -> None:
    """`due` is in RFC 3339 form, or null."""
    told = step(in_state(Status.AWAITING_CUSTOMER), TOLD_AT)

    assert told.model_dump(mode="json", by_alias=True) == {
        "owner": "customer",
        "action": "decline",
        "due": "2026-11-09T23:00:00Z",
    }
    assert step(in_state(Status.OFFICIAL), ENDS_AT).model_dump(mode="json", by_alias=True) == {
        "owner": "nobody",
        "action": "none",
        "due": None,
    }


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.UNDER_REVIEW, Status.DISPUTED])
def test_a_review_has_no_time_limit_while_another_claim_awaits_the_customer(status: Status) -> None:
    """The claim could not be approved. No limit is shown, and nothing is overdue (decision 11)."""
    case = beside_one_that_awaits(status, takes_over_at=None)

    assert step(case, TOLD_AT + 60 * DAY).due is None


@pytest.mark.parametrize(
    ("status", "limit"),
    [
        (Status.SUBMITTED, TERMS.start_review_by),
        (Status.UNDER_REVIEW, TERMS.decide_by),
        (Status.DISPUTED, TERMS.decide_by),
    ],
)
def test_a_review_begins_again_when_the_slot_is_free(status: Status, limit: Callable[[datetime], datetime]) -> None:
    """It begins at the instant at which the other claim took over or left, whether or not that is stored."""
    waiting = beside_one_that_awaits(status, takes_over_at=ENDS_AT)
    left = waiting.with_slots({key: slot.without("other", ENDS_AT) for key, slot in waiting.slots.items()})

    assert step(waiting, ENDS_AT - MICROSECOND).due is None
    assert step(waiting, ENDS_AT).due == step(left, ENDS_AT).due == limit(ENDS_AT)


def test_a_slot_that_was_free_before_changes_no_limit() -> None:
    """The limit from the beginning of the review holds."""
    case = in_state(Status.SUBMITTED)
    before = case.claim.status_since - DAY
    case = case.with_slots({key: slot.changed(free_since=before) for key, slot in case.slots.items()})

    assert step(case, TOLD_AT).due == case.claim.due


def beside_one_that_awaits(status: Status, takes_over_at: datetime | None) -> Case:
    """Return a claim in a state, and another claim that awaits the customer for its first item."""
    case = in_state(status)
    key = case.claim.items[0].key
    return case.with_slots({key: case.slots[key].with_awaiting("other", LITWARE, takes_over_at)})
