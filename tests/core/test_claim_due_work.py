"""The due work of a claim in every state, with its instants."""

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
    notified,
    official,
    promised,
    rejected,
    submitted,
    unreachable,
)

ENDS = DueWork(Kind.WRITE_DOWN, ENDS_AT + GRACE)
REMINDER = DueWork(Kind.REMIND_CUSTOMER, REMINDER_AT)
PARTNERS_REMINDER_AT = TOLD_AT + 6 * DAY
PARTNERS_REMINDER = DueWork(Kind.REMIND_PARTNER, PARTNERS_REMINDER_AT)
ANSWERED_AT = PARTNERS_REMINDER_AT + MICROSECOND


def besides_news(claim: Claim) -> set[DueWork]:
    """Return the due work of a claim without mails to its partner."""
    return {one for one in due_work_of(claim) if one.kind is not Kind.NOTIFY_PARTNER}


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.UNDER_REVIEW, Status.DISPUTED, Status.REJECTED_FINAL])
def test_a_claim_that_waits_for_a_person_has_no_due_work(status: Status) -> None:
    """A reviewer's time limit is shown and counted, and causes no work. A closed claim has no due work."""
    assert besides_news(in_state(status).claim) == frozenset()


@pytest.mark.parametrize("case", [draft(), rejected(draft())], ids=["draft", "rejected"])
def test_an_end_by_time_is_due_work(case: Case) -> None:
    """The work is due at the stored instant."""
    assert besides_news(case.claim) == {DueWork(Kind.WRITE_DOWN, case.claim.due)}


@pytest.mark.parametrize("ask", [asked_for_more, unreachable])
def test_a_partner_who_was_asked_has_one_reminder_and_an_end_of_time(ask: Callable[[Case], Case]) -> None:
    """This holds for each kind of question. The end is due in any case."""
    case = ask(draft())

    assert besides_news(case.claim) == {DueWork(Kind.WRITE_DOWN, case.claim.due), PARTNERS_REMINDER}
    assert besides_news(case.changed(answer_reminded=True).claim) == {DueWork(Kind.WRITE_DOWN, case.claim.due)}


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.PARTNER_ACTION_REQUIRED}))
def test_a_partner_has_no_reminder_in_any_other_state(status: Status) -> None:
    """The question stays in the claim, and its reminder is due only while the answer is pending."""
    time = asked_for_more(draft()).claim.time_to_answer
    claim = in_state(status).changed(time_to_answer=time, times_asked=1).claim

    assert Kind.REMIND_PARTNER not in {one.kind for one in due_work_of(claim)}


def test_a_partner_asked_at_the_instant_of_the_reminder_gets_no_reminder() -> None:
    """The question itself is new enough."""
    case = asked_for_more(draft()).changed(status_since=PARTNERS_REMINDER_AT)

    assert PARTNERS_REMINDER not in due_work_of(case.claim)


def test_each_question_has_its_own_reminder() -> None:
    """Each question has its own time limit."""
    reminded = asked_for_more(draft()).changed(answer_reminded=True)
    answered = life.resubmit(reminded, PERSON, ANSWERED_AT, start_review_by=ENDS_AT)
    again = life.start_review(answered, PROGRAMME, ANSWERED_AT, decide_by=ENDS_AT)
    time = answer_by(ANSWERED_AT + 7 * DAY)

    case = life.request_information(again, PROGRAMME, ANSWERED_AT, [Reason.PRODUCTS_MISSING], answer_by=time)

    assert DueWork(Kind.REMIND_PARTNER, time.reminder_at) in due_work_of(case.claim)
    assert case.claim.times_asked == 2


def test_a_rejection_without_a_time_limit_does_not_end_by_time() -> None:
    """The claim stays as it is."""
    assert besides_news(rejected(draft()).claim.model_copy(update={"due": None})) == frozenset()


def test_a_deleted_draft_has_a_due_erasure() -> None:
    """Any function can do the work at once."""
    assert besides_news(in_state(Status.DELETED).claim) == {DueWork(Kind.DELETE_DRAFT)}


def test_a_customer_who_was_not_notified_has_a_due_notice() -> None:
    """The notice is due before the promise, and after the promise until the hand-over."""
    case = submitted(draft(), automatic=True)

    assert besides_news(case.claim) == {DueWork(Kind.NOTIFY_CUSTOMER)}
    assert besides_news(promised(case).claim) == {DueWork(Kind.NOTIFY_CUSTOMER)}


def test_after_the_notice_the_reminder_and_the_end_are_due() -> None:
    """Each has its own instant."""
    assert besides_news(awaiting(draft()).claim) == {ENDS, REMINDER}


def test_a_reminder_is_due_once() -> None:
    """A sent reminder is not due again."""
    assert besides_news(awaiting(draft()).changed(reminded=True).claim) == {ENDS}


@pytest.mark.parametrize("opened_at", [REMINDER_AT, REMINDER_AT + MICROSECOND, ENDS_AT - MICROSECOND])
def test_a_customer_notified_after_the_instant_of_the_reminder_gets_no_reminder(opened_at: datetime) -> None:
    """The notice itself is new enough."""
    case = notified(submitted(draft(), automatic=True), opened_at)

    assert besides_news(case.claim) == {ENDS}


def test_each_mail_is_due_work_of_its_own() -> None:
    """An association that then ended has a due confirmation and a due closing mail."""
    case = life.end(official(draft()), PERSON, ENDS_AT + DAY, Reason.PARTNER_DISASSOCIATED)

    assert besides_news(case.claim) == {
        DueWork(Kind.SEND_MAIL, about="officialConfirmation-1"),
        DueWork(Kind.SEND_MAIL, about="closing-2"),
    }


def test_each_partner_mail_is_due_work_of_its_own() -> None:
    """Each is due at once, also a mail to the partner of a competing claim."""
    mails = [DuePartnerMail(number=2, kind=PartnerMailKind.COMPETING, since=MONDAY, to=to) for to in (None, "another")]

    assert due_work_of(draft().changed(due=None, partner_mails=tuple(mails)).claim) == {
        DueWork(Kind.NOTIFY_PARTNER, about="competing-2-None"),
        DueWork(Kind.NOTIFY_PARTNER, about="competing-2-another"),
    }


def test_after_a_no_only_its_confirmation_is_due() -> None:
    """The reminder and the end of the window are not due."""
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
    """The reminder is due only while the window runs (decision 19)."""
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
    """The claim is rejected at that time."""
    assert due_now(asked_for_more(draft()).claim, now) - {Kind.NOTIFY_PARTNER} == due


def test_work_due_at_once_has_now_as_its_instant() -> None:
    """This holds however early *now* is."""
    assert due_now(submitted(draft(), automatic=True).claim, MONDAY - 400 * DAY) == {Kind.NOTIFY_CUSTOMER}
