"""What a claim owes and when, in every state."""

from collections.abc import Callable
from datetime import datetime

import pytest

from cpor_core.due_work import DueWork, Kind
from cpor_core.model.claim import Claim, DuePartnerMail, PartnerMailKind, Reason, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.rules.claim_due_work import due_now, due_work_of
from cpor_core.rules.grace import GRACE
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from tests.core.builders import (
    ANNE,
    DAY,
    ENDS_AT,
    MICROSECOND,
    MONDAY,
    PERSON,
    REMINDER_AT,
    TOLD_AT,
    answer_by,
    asked_for_more,
    awaiting,
    draft,
    in_state,
    official,
    promised,
    rejected,
    submitted,
    told,
    unreachable,
)

ENDS = DueWork(Kind.WRITE_DOWN, ENDS_AT + GRACE)
REMINDER = DueWork(Kind.REMIND_CUSTOMER, REMINDER_AT)
PARTNERS_REMINDER_AT = TOLD_AT + 6 * DAY
PARTNERS_REMINDER = DueWork(Kind.REMIND_PARTNER, PARTNERS_REMINDER_AT)
ANSWERED_AT = PARTNERS_REMINDER_AT + MICROSECOND


def besides_news(claim: Claim) -> set[DueWork]:
    """Return what a claim owes besides telling its partner what has happened."""
    return {one for one in due_work_of(claim) if one.kind is not Kind.NOTIFY_PARTNER}


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.UNDER_REVIEW, Status.DISPUTED, Status.REJECTED_FINAL])
def test_nothing_is_owed_where_only_people_act(status: Status) -> None:
    """A reviewer's limit is shown and counted, never a debt; what is closed owes nothing."""
    assert besides_news(in_state(status).claim) == frozenset()


@pytest.mark.parametrize("case", [draft(), rejected(draft())], ids=["draft", "rejected"])
def test_what_ends_by_itself_is_to_be_written_down(case: Case) -> None:
    """At the instant that is stored."""
    assert besides_news(case.claim) == {DueWork(Kind.WRITE_DOWN, case.claim.due)}


@pytest.mark.parametrize("ask", [asked_for_more, unreachable])
def test_a_partner_who_was_asked_is_reminded_once_and_then_out_of_time(ask: Callable[[Case], Case]) -> None:
    """Whoever asks; the end is owed in any case."""
    case = ask(draft())

    assert besides_news(case.claim) == {DueWork(Kind.WRITE_DOWN, case.claim.due), PARTNERS_REMINDER}
    assert besides_news(case.changed(answer_reminded=True).claim) == {DueWork(Kind.WRITE_DOWN, case.claim.due)}


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.PARTNER_ACTION_REQUIRED}))
def test_a_partner_is_reminded_of_nothing_in_any_other_state(status: Status) -> None:
    """What was once asked stays with the claim; it is a debt only while the answer is awaited."""
    time = asked_for_more(draft()).claim.time_to_answer
    claim = in_state(status).changed(time_to_answer=time, times_asked=1).claim

    assert Kind.REMIND_PARTNER not in {one.kind for one in due_work_of(claim)}


def test_a_partner_asked_at_the_reminders_instant_gets_none() -> None:
    """The question is fresh enough."""
    case = asked_for_more(draft()).changed(status_since=PARTNERS_REMINDER_AT)

    assert PARTNERS_REMINDER not in due_work_of(case.claim)


def test_who_is_asked_again_is_reminded_again() -> None:
    """Each question has its own time."""
    reminded = asked_for_more(draft()).changed(answer_reminded=True)
    answered = life.resubmit(reminded, PERSON, ANSWERED_AT, start_review_by=ENDS_AT)
    again = life.start_review(answered, PROGRAMME, ANSWERED_AT, decide_by=ENDS_AT)
    time = answer_by(ANSWERED_AT + 7 * DAY)

    case = life.request_information(again, PROGRAMME, ANSWERED_AT, [Reason.PRODUCTS_MISSING], answer_by=time)

    assert DueWork(Kind.REMIND_PARTNER, time.reminder_at) in due_work_of(case.claim)
    assert case.claim.times_asked == 2


def test_a_claim_whose_time_is_not_set_ends_not_by_itself() -> None:
    """A rejection without a limit stays as it is."""
    assert besides_news(rejected(draft()).claim.model_copy(update={"due": None})) == frozenset()


def test_a_deleted_draft_is_to_be_erased() -> None:
    """At once, by whomever comes first."""
    assert besides_news(in_state(Status.DELETED).claim) == {DueWork(Kind.DELETE_DRAFT)}


def test_a_customer_who_was_not_told_is_to_be_told() -> None:
    """Before the promise, and after it until the hand-over."""
    case = submitted(draft(), automatic=True)

    assert besides_news(case.claim) == {DueWork(Kind.NOTIFY_CUSTOMER)}
    assert besides_news(promised(case).claim) == {DueWork(Kind.NOTIFY_CUSTOMER)}


def test_once_told_the_reminder_and_the_end_are_owed() -> None:
    """Each at its own instant."""
    assert besides_news(awaiting(draft()).claim) == {ENDS, REMINDER}


def test_a_reminder_is_owed_once() -> None:
    """Sent is sent."""
    assert besides_news(awaiting(draft()).changed(reminded=True).claim) == {ENDS}


@pytest.mark.parametrize("opened_at", [REMINDER_AT, REMINDER_AT + MICROSECOND, ENDS_AT - MICROSECOND])
def test_who_was_told_after_the_reminders_instant_gets_none(opened_at: datetime) -> None:
    """The notice is fresh enough."""
    case = told(submitted(draft(), automatic=True), opened_at)

    assert besides_news(case.claim) == {ENDS}


def test_each_mail_is_a_debt_of_its_own() -> None:
    """Official, then ended: a confirmation and a closing mail."""
    case = life.end(official(draft()), PERSON, ENDS_AT + DAY, Reason.PARTNER_DISASSOCIATED)

    assert besides_news(case.claim) == {
        DueWork(Kind.SEND_MAIL, about="officialConfirmation-1"),
        DueWork(Kind.SEND_MAIL, about="closing-2"),
    }


def test_each_of_the_partners_mails_is_a_debt_of_its_own() -> None:
    """Due at once; what the claim owes a competitor's partner too."""
    mails = [DuePartnerMail(number=2, kind=PartnerMailKind.COMPETING, since=MONDAY, to=to) for to in (None, "another")]

    assert due_work_of(draft().changed(due=None, partner_mails=tuple(mails)).claim) == {
        DueWork(Kind.NOTIFY_PARTNER, about="competing-2-None"),
        DueWork(Kind.NOTIFY_PARTNER, about="competing-2-another"),
    }


def test_a_no_leaves_only_its_confirmation() -> None:
    """Neither reminder nor end of a window."""
    assert besides_news(life.decline(awaiting(draft()), ANNE, TOLD_AT).claim) == {
        DueWork(Kind.SEND_MAIL, about="declineConfirmation-1")
    }


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (MONDAY, set()),
        (REMINDER_AT - MICROSECOND, set()),
        (REMINDER_AT, {Kind.REMIND_CUSTOMER}),
        (ENDS_AT - MICROSECOND, {Kind.REMIND_CUSTOMER}),
        (ENDS_AT, set()),
        (ENDS_AT + GRACE - MICROSECOND, set()),
        (ENDS_AT + GRACE, {Kind.WRITE_DOWN}),
        (ENDS_AT + DAY, {Kind.WRITE_DOWN}),
    ],
)
def test_a_reminder_that_comes_too_late_is_dropped(now: datetime, due: set[Kind]) -> None:
    """It is owed only while the window runs (decision 19)."""
    assert due_now(awaiting(draft()).claim, now) - {Kind.NOTIFY_PARTNER} == due


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (PARTNERS_REMINDER_AT - MICROSECOND, set()),
        (PARTNERS_REMINDER_AT, {Kind.REMIND_PARTNER}),
        (PARTNERS_REMINDER_AT + DAY - MICROSECOND, {Kind.REMIND_PARTNER}),
        (PARTNERS_REMINDER_AT + DAY, {Kind.WRITE_DOWN}),
    ],
)
def test_a_partners_reminder_that_comes_too_late_is_dropped(now: datetime, due: set[Kind]) -> None:
    """The claim is rejected then."""
    assert due_now(asked_for_more(draft()).claim, now) - {Kind.NOTIFY_PARTNER} == due


def test_what_is_owed_at_once_is_due_now() -> None:
    """However early."""
    assert due_now(submitted(draft(), automatic=True).claim, MONDAY - 400 * DAY) == {Kind.NOTIFY_CUSTOMER}
