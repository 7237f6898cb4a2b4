"""The claim's life: every act in every state, the deadline to the microsecond, and one partner for each item."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cpor_core.errors import Refused
from cpor_core.model.claim import (
    NOT_DISPUTABLE,
    OPEN,
    REJECTION_REASONS,
    THE_ADMINISTRATOR,
    Claim,
    Item,
    MailKind,
    No,
    Reason,
    Speaker,
    Status,
    Voice,
)
from cpor_core.model.history import CLOCK, PROGRAMME, Act, digest, spoken_by
from cpor_core.model.slot import MAX_CLAIMANTS, Awaiting, Holder
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import DISPUTE_PERIOD, settle
from tests.core.builders import (
    ACKNOWLEDGED,
    ADATUM,
    ANNE,
    ANNES,
    BENOIT,
    DAY,
    ENDS_AT,
    EXCHANGE,
    FABRIKAM,
    HOUR,
    IT,
    LAW,
    LITWARE,
    MICROSECOND,
    MONDAY,
    PERSON,
    REGISTERED,
    SHAREPOINT,
    SUBMITTED_AT,
    TEAMS,
    TOLD_AT,
    a_promise,
    answer_by,
    approved,
    as_of,
    at_slots,
    awaiting,
    claim_id,
    disputed,
    draft,
    in_state,
    notified,
    official,
    promised,
    rejected,
    stored,
    submitted,
    under_review,
    unreachable,
    with_rivals,
)

LATER = TOLD_AT + HOUR
A, B, C = claim_id("a"), claim_id("b"), claim_id("c")


def acts_of(case: Case, claim: str | None = None) -> list[Act]:
    """Return the types of a claim's entries, in order."""
    return [entry.act for of, entry in case.entries if of == (claim or case.claim.id)]


def mails(claim: Claim) -> list[tuple[MailKind, str | None]]:
    """Return the due mails to a claim's recipients."""
    return [(mail.kind, mail.reason) for mail in claim.mails]


def winner_over(incumbent: Case, *, items: tuple[Item, ...] = (TEAMS,), name: str = "b", days: int = 30) -> Case:
    """Return another organisation's claim that was approved over an official one. Its window ends *days* later."""
    case = at_slots(draft(name, organisation=FABRIKAM, items=items), incumbent.slots)
    return notified(approved(case, ENDS_AT), ENDS_AT, ends_at=ENDS_AT + days * DAY)


# --- every act from every state ---------------------------------------------------------------------------------------

ACTS: dict[str, tuple[Callable[[Case], Case], frozenset[Status]]] = {
    "delete": (lambda case: life.delete(case, PERSON, LATER), frozenset({Status.DRAFT})),
    "submit": (submitted, frozenset({Status.DRAFT})),
    "withdraw": (lambda case: life.withdraw(case, PERSON, LATER), OPEN - {Status.DISPUTED}),
    "start_review": (
        lambda case: life.start_review(case, PROGRAMME, LATER, decide_by=LATER + DAY),
        frozenset({Status.SUBMITTED}),
    ),
    "release_review": (
        lambda case: life.release_review(case, PROGRAMME, LATER, decide_by=LATER + DAY),
        frozenset({Status.UNDER_REVIEW}),
    ),
    "resubmit": (
        lambda case: life.resubmit(case, PERSON, LATER, start_review_by=LATER + DAY),
        frozenset({Status.PARTNER_ACTION_REQUIRED}),
    ),
    "dispute": (lambda case: life.dispute(case, PERSON, LATER, decide_by=LATER + DAY), frozenset({Status.REJECTED})),
    "request_information": (
        lambda case: life.request_information(
            case, PROGRAMME, LATER, [Reason.EVIDENCE_MISSING], answer_by=answer_by(LATER + DAY)
        ),
        frozenset({Status.UNDER_REVIEW}),
    ),
    "strike_items": (
        lambda case: life.strike_items(case, PROGRAMME, LATER, {"teams"}, Reason.PRODUCTS_MISSING),
        frozenset({Status.UNDER_REVIEW, Status.DISPUTED}),
    ),
    "approve": (lambda case: life.approve(case, PROGRAMME, LATER), frozenset({Status.UNDER_REVIEW, Status.DISPUTED})),
    "reject": (
        lambda case: life.reject(case, PROGRAMME, LATER, Reason.INSUFFICIENT_EVIDENCE),
        frozenset({Status.UNDER_REVIEW, Status.DISPUTED}),
    ),
    "revoke": (
        lambda case: life.revoke(case, PROGRAMME, LATER),
        frozenset({Status.AWAITING_CUSTOMER, Status.OFFICIAL}),
    ),
    "promise": (lambda case: life.promise(case, a_promise(2), (ANNES,)), frozenset({Status.AWAITING_CUSTOMER})),
    "customer_unreachable": (
        lambda case: life.customer_unreachable(case, LATER, answer_by=answer_by(LATER + DAY), failed=(1,)),
        frozenset({Status.AWAITING_CUSTOMER}),
    ),
    "decline": (lambda case: life.decline(case, ANNE, LATER), OPEN | {Status.OFFICIAL}),
    "undo_decline": (lambda case: life.undo_decline(case, ANNE, LATER), frozenset({Status.DECLINED})),
    "end": (lambda case: life.end(case, PERSON, LATER, Reason.PARTNER_DISASSOCIATED), frozenset({Status.OFFICIAL})),
}


@pytest.mark.parametrize(
    ("act", "status"), [(name, status) for name, (_, legal) in ACTS.items() for status in Status if status not in legal]
)
def test_an_act_is_refused_in_every_other_state(act: str, status: Status) -> None:
    """The refusal names the state, and the claim does not change."""
    case = in_state(status)

    with pytest.raises(Refused) as refusal:
        ACTS[act][0](case)

    assert refusal.value.code == "InvalidState"
    assert status.value in refusal.value.message
    assert refusal.value.resolution is not None


@pytest.mark.parametrize(
    ("act", "status", "to"),
    [
        ("delete", Status.DRAFT, Status.DELETED),
        ("submit", Status.DRAFT, Status.SUBMITTED),
        ("withdraw", Status.SUBMITTED, Status.WITHDRAWN),
        ("withdraw", Status.UNDER_REVIEW, Status.WITHDRAWN),
        ("withdraw", Status.PARTNER_ACTION_REQUIRED, Status.WITHDRAWN),
        ("withdraw", Status.AWAITING_CUSTOMER, Status.WITHDRAWN),
        ("start_review", Status.SUBMITTED, Status.UNDER_REVIEW),
        ("release_review", Status.UNDER_REVIEW, Status.SUBMITTED),
        ("resubmit", Status.PARTNER_ACTION_REQUIRED, Status.AWAITING_CUSTOMER),
        ("dispute", Status.REJECTED, Status.DISPUTED),
        ("request_information", Status.UNDER_REVIEW, Status.PARTNER_ACTION_REQUIRED),
        ("strike_items", Status.UNDER_REVIEW, Status.REJECTED),
        ("strike_items", Status.DISPUTED, Status.REJECTED_FINAL),
        ("approve", Status.UNDER_REVIEW, Status.AWAITING_CUSTOMER),
        ("approve", Status.DISPUTED, Status.AWAITING_CUSTOMER),
        ("reject", Status.UNDER_REVIEW, Status.REJECTED),
        ("reject", Status.DISPUTED, Status.REJECTED_FINAL),
        ("revoke", Status.AWAITING_CUSTOMER, Status.REJECTED),
        ("revoke", Status.OFFICIAL, Status.ENDED),
        ("promise", Status.AWAITING_CUSTOMER, Status.AWAITING_CUSTOMER),
        ("customer_unreachable", Status.AWAITING_CUSTOMER, Status.PARTNER_ACTION_REQUIRED),
        ("decline", Status.SUBMITTED, Status.DECLINED),
        ("decline", Status.UNDER_REVIEW, Status.DECLINED),
        ("decline", Status.PARTNER_ACTION_REQUIRED, Status.DECLINED),
        ("decline", Status.AWAITING_CUSTOMER, Status.DECLINED),
        ("decline", Status.DISPUTED, Status.DECLINED),
        ("decline", Status.OFFICIAL, Status.ENDED),
        ("undo_decline", Status.DECLINED, Status.AWAITING_CUSTOMER),
        ("end", Status.OFFICIAL, Status.ENDED),
    ],
)
def test_an_act_leads_to_the_state_in_the_diagram(act: str, status: Status, to: Status) -> None:
    """Each legal act leads to one state. Its history entry names both states."""
    before = in_state(status)

    after = ACTS[act][0](before)

    assert after.claim.status is to
    for _, entry in after.entries[len(before.entries) :]:
        assert (entry.from_, entry.to) == (status, to)


def test_the_table_of_acts_has_every_legal_start() -> None:
    """No act is legal in a state that the test above leaves out."""
    assert sum(len(legal) for _, legal in ACTS.values()) == 29


@pytest.mark.parametrize("status", Status)
def test_history_is_a_chain_in_every_state(status: Status) -> None:
    """Each entry has its number and the hash of the entry before. The claim has the newest hash."""
    case = in_state(status)
    entries = [entry for _, entry in case.entries]

    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.previous_hash for entry in entries] == [None, *(entry.hash for entry in entries[:-1])]
    assert [entry.hash for entry in entries] == [
        digest(entry.model_dump(mode="json", by_alias=True)) for entry in entries
    ]
    assert (case.claim.history_length, case.claim.history_hash) == (len(entries), entries[-1].hash)


def test_the_first_entry_has_no_earlier_state() -> None:
    """The entry records the creation."""
    assert draft().entries[0][1].from_ is None


# --- changes by time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distance", "status"),
    [
        (-MICROSECOND, Status.AWAITING_CUSTOMER),
        (timedelta(0), Status.OFFICIAL),
        (MICROSECOND, Status.OFFICIAL),
        (400 * DAY, Status.OFFICIAL),
    ],
)
def test_a_claim_is_official_from_the_end_of_the_window_on(distance: timedelta, status: Status) -> None:
    """The customer can decline in the last microsecond of the window, and not at its end."""
    case = awaiting(draft())

    shown = as_of(case, ENDS_AT + distance).claim

    assert shown.status is status
    assert shown.official_since == (ENDS_AT if status is Status.OFFICIAL else None)


def test_the_entry_of_becoming_official_has_the_instant_of_the_deadline() -> None:
    """This holds however late the claim is read. The entry names no actor."""
    late = as_of(awaiting(draft()), ENDS_AT + 40 * DAY)

    entry = late.entries[-1][1]
    assert (entry.act, entry.at, entry.actor) == (Act.MADE_OFFICIAL, ENDS_AT, CLOCK)
    assert late.slots["teams"].holder == Holder(claim=A, organisation=ADATUM, since=ENDS_AT)
    assert mails(late.claim) == [(MailKind.OFFICIAL_CONFIRMATION, None)]


def test_without_a_hand_over_no_customer_is_bound() -> None:
    """A stored promise without a sent notice opens no window."""
    case = promised(submitted(draft(), automatic=True))

    assert as_of(case, ENDS_AT + 4000 * DAY).claim.status is Status.AWAITING_CUSTOMER
    assert case.claim.window_ends_at is None


def test_without_a_promise_no_customer_is_bound() -> None:
    """A claim that waits for its notice stays in its state."""
    case = submitted(draft(), automatic=True)

    assert as_of(case, ENDS_AT + 4000 * DAY).claim.status is Status.AWAITING_CUSTOMER


@pytest.mark.parametrize(("distance", "status"), [(-MICROSECOND, Status.DRAFT), (timedelta(0), Status.DELETED)])
def test_a_draft_lapses_at_its_due_instant(distance: timedelta, status: Status) -> None:
    """A draft that is not submitted in time lapses."""
    due = MONDAY + timedelta(days=90)

    case = as_of(draft(), due + distance)

    assert case.claim.status is status
    if status is Status.DELETED:
        assert (case.entries[-1][1].act, case.entries[-1][1].at) == (Act.LAPSED, due)


@pytest.mark.parametrize(
    ("distance", "status"), [(-MICROSECOND, Status.PARTNER_ACTION_REQUIRED), (timedelta(0), Status.REJECTED)]
)
def test_an_unanswered_request_is_rejected_at_its_due_instant(distance: timedelta, status: Status) -> None:
    """The partner's time ends without an act, and the claim leaves its slots."""
    case = unreachable(draft())
    due = case.claim.due
    assert due is not None

    settled = as_of(case, due + distance)

    assert settled.claim.status is status
    if status is Status.REJECTED:
        assert (settled.claim.status_reason, settled.claim.status_since) == (Reason.NO_PARTNER_RESPONSE, due)
        assert settled.claim.due == due + timedelta(days=30)
        assert settled.slots["teams"].claimants == ()


@pytest.mark.parametrize(
    ("distance", "status"), [(-MICROSECOND, Status.REJECTED), (timedelta(0), Status.REJECTED_FINAL)]
)
def test_a_rejection_is_final_after_thirty_times_24_hours(distance: timedelta, status: Status) -> None:
    """The partner's time to dispute counts hours and not local days (decision 28)."""
    case = rejected(draft())

    settled = as_of(case, TOLD_AT + timedelta(hours=30 * 24) + distance)

    assert settled.claim.status is status
    assert settled.claim.status_reason is Reason.INSUFFICIENT_EVIDENCE


def test_two_time_limits_that_ended_make_two_entries() -> None:
    """
    A request without an answer is rejected.

    Thirty days later the rejection is final. Each entry has its own instant.
    """
    case = unreachable(draft())
    due = case.claim.due
    assert due is not None

    settled = as_of(case, due + 31 * DAY)

    assert [(entry.act, entry.at) for _, entry in settled.entries[-2:]] == [
        (Act.REJECTED, due),
        (Act.FINALLY_REJECTED, due + 30 * DAY),
    ]
    assert settled.claim.status_reason is Reason.NO_PARTNER_RESPONSE


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.UNDER_REVIEW, Status.DISPUTED])
def test_a_reviewers_overdue_limit_changes_no_state(status: Status) -> None:
    """The claim is shown and counted as overdue."""
    case = in_state(status)

    assert as_of(case, MONDAY + 4000 * DAY).claim == case.claim


INSTANTS = [
    SUBMITTED_AT,
    TOLD_AT,
    ENDS_AT - MICROSECOND,
    ENDS_AT,
    ENDS_AT + DAY,
    MONDAY + 20 * DAY,
    MONDAY + 60 * DAY,
    MONDAY + 200 * DAY,
]


@pytest.mark.parametrize("status", Status)
def test_settling_twice_equals_settling_once(status: Status) -> None:
    """The second time adds nothing."""
    for now in INSTANTS:
        settled = as_of(in_state(status), now)

        assert as_of(settled, now) == settled


@pytest.mark.parametrize("status", Status)
def test_settling_at_other_instants_gives_the_same_result(status: Status) -> None:
    """The timer can run early, late or never. The claim, its history and its slots are the same."""
    case = in_state(status)
    for now in INSTANTS:
        at_once = as_of(case, now)
        for earlier in (instant for instant in INSTANTS if instant < now):
            in_two_steps = as_of(as_of(case, earlier), now)

            assert in_two_steps.claim == at_once.claim
            assert in_two_steps.entries == at_once.entries
            assert {key: slot.at(now) for key, slot in in_two_steps.slots.items()} == {
                key: slot.at(now) for key, slot in at_once.slots.items()
            }


# --- drafts and submission --------------------------------------------------------------------------------------------


def test_automatic_review_leads_to_the_customer_at_once() -> None:
    """
    The history has two entries: the partner submitted, and the programme validated.

    The claim awaits the customer at its slots.
    """
    case = submitted(draft(items=(TEAMS, EXCHANGE)), automatic=True)

    assert case.claim.status is Status.AWAITING_CUSTOMER
    assert acts_of(case) == [Act.CREATED, Act.SUBMITTED, Act.VALIDATED]
    assert [entry.actor for _, entry in case.entries[1:]] == [PERSON, PROGRAMME]
    assert case.claim.automatic_review
    assert case.claim.due is None
    for slot in case.slots.values():
        assert slot.awaiting == Awaiting(claim=A, organisation=ADATUM)


def test_a_submission_stores_the_confirmations_and_the_partners_name() -> None:
    """The claim stores the acknowledgements, the partner's name from the registry, and the reviewer's time limit."""
    case = life.submit(
        draft(),
        PERSON,
        SUBMITTED_AT,
        acknowledgements=ACKNOWLEDGED,
        partner_name="Adatum SA",
        automatic_review=False,
        start_review_by=SUBMITTED_AT + 7 * DAY,
    )

    claim = case.claim
    assert (claim.acknowledgements, claim.partner_name) == (ACKNOWLEDGED, "Adatum SA")
    assert (claim.submitted_at, claim.due) == (SUBMITTED_AT, SUBMITTED_AT + 7 * DAY)
    assert not claim.automatic_review
    assert [claimant.claim for claimant in case.slots["teams"].claimants] == [A]


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.AWAITING_CUSTOMER, Status.OFFICIAL, Status.DECLINED])
def test_a_competing_claim_is_reviewed_by_a_person(status: Status) -> None:
    """
    A claim competes with a claimant, an awaiting claim, a holder, and a declined claim whose no can be undone (decision
    13).
    """
    slots = in_state(status).slots

    case = submitted(at_slots(draft("b", organisation=FABRIKAM), slots), automatic=True)

    assert case.claim.status is Status.SUBMITTED
    assert not case.claim.automatic_review
    assert case.claim.due is not None


def test_one_contested_item_leads_to_a_review_by_a_person() -> None:
    """A claim is reviewed as a whole."""
    slots = official(draft()).slots

    case = submitted(at_slots(draft("b", organisation=FABRIKAM, items=(EXCHANGE, TEAMS)), slots), automatic=True)

    assert case.claim.status is Status.SUBMITTED


@pytest.mark.parametrize("status", [Status.WITHDRAWN, Status.REJECTED, Status.ENDED])
def test_a_slot_without_a_claim_is_free_at_once(status: Status) -> None:
    """The next claim is reviewed automatically again."""
    slots = in_state(status).slots

    case = submitted(at_slots(draft("b", organisation=FABRIKAM), slots), automatic=True)

    assert case.claim.status is Status.AWAITING_CUSTOMER


@pytest.mark.parametrize(
    ("at", "status"), [(ENDS_AT - MICROSECOND, Status.SUBMITTED), (ENDS_AT, Status.AWAITING_CUSTOMER)]
)
def test_a_declined_claim_keeps_its_place_until_the_windows_end(at: datetime, status: Status) -> None:
    """As long as the no can be undone, a later claim competes. Then the slot is free (decision 13)."""
    slots = in_state(Status.DECLINED).slots

    case = submitted(at_slots(draft("b", organisation=FABRIKAM), slots), at, automatic=True)

    assert case.claim.status is status


def test_the_thirty_first_claimant_of_a_slot_is_refused() -> None:
    """The limit keeps an approval within one transaction (decision 6)."""
    case = draft()
    slot = case.slots["teams"]
    for number in range(MAX_CLAIMANTS):
        slot = slot.with_claimant(f"claim {number}", LITWARE)
    crowded = case.with_slots({"teams": slot})

    with pytest.raises(Refused) as refusal:
        submitted(crowded)

    assert (refusal.value.code, refusal.value.target) == ("SlotCrowded", "teams")


def test_lapsed_claimants_do_not_count_at_a_slot() -> None:
    """Claimants are counted as of now. The next submission stores that the others have left."""
    case = draft()
    slot = case.slots["teams"]
    for number in range(MAX_CLAIMANTS):
        slot = slot.with_claimant(f"claim {number}", LITWARE, SUBMITTED_AT)

    case = submitted(case.with_slots({"teams": slot}))

    assert [claimant.claim for claimant in case.slots["teams"].claimants] == [A]


# --- withdrawal and revocation ----------------------------------------------------------------------------------------


def test_withdrawing_leaves_every_slot_and_sends_a_closing_mail() -> None:
    """The mail gives no reason, because the partner withdrew the claim."""
    case = life.withdraw(awaiting(draft(items=(TEAMS, EXCHANGE))), PERSON, LATER)

    for slot in case.slots.values():
        assert (slot.holder, slot.awaiting, slot.claimants) == (None, None, ())
    assert mails(case.claim) == [(MailKind.CLOSING, None)]


def test_a_customer_who_was_not_notified_gets_no_closing_mail() -> None:
    """The claim was withdrawn or revoked before the notice was sent."""
    assert mails(life.withdraw(submitted(draft()), PERSON, LATER).claim) == []
    assert mails(life.revoke(submitted(draft(), automatic=True), PROGRAMME, LATER).claim) == []


def test_revoking_an_awaiting_claim_frees_the_slots_and_sends_a_closing_mail() -> None:
    """The claim is rejected, and the rejection cannot be disputed (decision 29)."""
    case = life.revoke(awaiting(draft()), PROGRAMME, LATER)

    assert (case.claim.status, case.claim.status_reason) == (Status.REJECTED, Reason.REVOKED_BY_PROGRAMME)
    assert not life.is_disputable(case.claim)
    assert case.slots["teams"].awaiting is None
    assert mails(case.claim) == [(MailKind.CLOSING, Reason.REVOKED_BY_PROGRAMME)]
    assert as_of(case, ENDS_AT).claim.status is Status.REJECTED


def test_revoking_an_association_ends_it_at_once() -> None:
    """Every item ends, and the reason is the revocation."""
    case = life.revoke(official(draft(items=(TEAMS, EXCHANGE))), PROGRAMME, ENDS_AT + DAY)

    claim = case.claim
    assert (claim.status, claim.end_reason, claim.ended_at) == (
        Status.ENDED,
        Reason.REVOKED_BY_PROGRAMME,
        ENDS_AT + DAY,
    )
    assert acts_of(case)[-1] is Act.REVOKED
    assert {ended.key for ended in claim.ended_items} == {"teams", "exchange"}
    assert all(slot.holder is None for slot in case.slots.values())


# --- promise and hand-over --------------------------------------------------------------------------------------------


def test_a_promise_makes_no_history_entry() -> None:
    """The claim has not changed for its partner or customer. The recipients are stored with the promise."""
    before = submitted(draft(), automatic=True)

    after = life.promise(before, a_promise(), (ANNES,))

    assert after.entries == before.entries
    assert (after.claim.promise, after.claim.recipients) == (a_promise(), (ANNES,))


def test_the_hand_over_opens_the_window_and_sets_the_instant_of_the_takeover() -> None:
    """One write does both (decision 17)."""
    case = notified(submitted(draft(), automatic=True))

    assert (case.claim.opened_at, case.claim.window_ends_at, case.claim.told) == (TOLD_AT, ENDS_AT, True)
    assert case.slots["teams"].awaiting == Awaiting(claim=A, organisation=ADATUM, takes_over_at=ENDS_AT)
    assert acts_of(case)[-1] is Act.CUSTOMER_TOLD


def test_a_hand_over_is_recorded_once() -> None:
    """A second process that sends the same mail writes nothing."""
    case = notified(submitted(draft(), automatic=True))

    assert life.hand_over(case, 1, LATER) == case


def test_the_hand_over_of_another_promise_opens_nothing() -> None:
    """Only the newest notice can open a window."""
    case = promised(submitted(draft(), automatic=True), number=2)

    assert life.hand_over(case, 1, LATER) == case


def test_a_hand_over_without_a_promise_opens_no_window() -> None:
    """The claim has no window to open."""
    case = submitted(draft(), automatic=True)

    assert life.hand_over(case, 1, LATER) == case


def test_a_refused_recipient_is_marked_and_keeps_the_number() -> None:
    """The other recipients are notified, and the window opens for them."""
    case = life.promise(submitted(draft(), automatic=True), a_promise(recipients=(1, 2)), (ANNES, REGISTERED))

    case = life.hand_over(case, 1, TOLD_AT, failed=(1,))

    assert [(r.number, r.failed) for r in case.claim.recipients] == [(1, True), (2, False)]
    assert [r.number for r in case.claim.notified_recipients()] == [2]
    assert case.claim.window_ends_at == ENDS_AT


def test_a_recipient_whose_server_defers_has_a_due_notice() -> None:
    """The window opens when the first recipient is notified. The others get the same notice later."""
    case = life.promise(submitted(draft(), automatic=True), a_promise(recipients=(1, 2)), (ANNES, REGISTERED))

    case = life.hand_over(case, 1, TOLD_AT, waiting=(2,))

    assert [(mail.kind, mail.number, mail.sent_to) for mail in case.claim.mails] == [(MailKind.NOTICE, 1, (1,))]


def test_a_hand_over_after_a_withdrawal_makes_a_closing_mail_due() -> None:
    """The partner withdrew the claim while the notice was being sent (decision 17)."""
    withdrawn = life.withdraw(promised(submitted(draft(), automatic=True)), PERSON, TOLD_AT)
    assert mails(withdrawn.claim) == []

    case = life.hand_over(withdrawn, 1, LATER)

    assert case.claim.status is Status.WITHDRAWN
    assert (acts_of(case)[-1], case.claim.told) == (Act.CUSTOMER_TOLD, True)
    assert mails(case.claim) == [(MailKind.CLOSING, None)]
    assert case.slots["teams"].awaiting is None


def test_a_hand_over_after_a_revocation_makes_a_closing_mail_due() -> None:
    """The claim was rejected while the notice was being sent."""
    revoked = life.revoke(promised(submitted(draft(), automatic=True)), PROGRAMME, TOLD_AT)

    case = life.hand_over(revoked, 1, LATER)

    assert case.claim.status is Status.REJECTED
    assert mails(case.claim) == [(MailKind.CLOSING, Reason.REVOKED_BY_PROGRAMME)]
    assert as_of(case, ENDS_AT).claim.status is Status.REJECTED


def test_a_hand_over_after_a_no_keeps_the_no_and_its_window() -> None:
    """
    The customer answered before our record of the mail.

    No closing mail is due, and the no can be undone until the window's end.
    """
    declined = life.decline(promised(submitted(draft(), automatic=True)), ANNE, TOLD_AT)

    case = life.hand_over(declined, 1, LATER)

    assert case.claim.status is Status.DECLINED
    assert mails(case.claim) == [(MailKind.DECLINE_CONFIRMATION, None)]
    undone = life.undo_decline(case, ANNE, LATER)
    assert undone.slots["teams"].awaiting == Awaiting(claim=A, organisation=ADATUM, takes_over_at=ENDS_AT)


def test_a_hand_over_recorded_after_no_and_undo_opens_the_window() -> None:
    """The use of the link proved that the notice had arrived. Our record of the hand-over comes third."""
    case = life.decline(promised(submitted(draft(), automatic=True)), ANNE, TOLD_AT)
    case = life.undo_decline(case, ANNE, TOLD_AT)
    assert as_of(case, ENDS_AT).claim.status is Status.AWAITING_CUSTOMER

    case = life.hand_over(case, 1, LATER)

    assert as_of(case, ENDS_AT).claim.status is Status.OFFICIAL


def test_a_hand_over_after_the_window_was_stopped_sends_no_closing_mail() -> None:
    """A claim that waits for another contact is open."""
    case = life.hand_over(unreachable(draft()), 1, LATER)

    assert case.claim.status is Status.PARTNER_ACTION_REQUIRED
    assert mails(case.claim) == []
    assert as_of(case, ENDS_AT).claim.official_since is None


# --- no recipient can be reached --------------------------------------------------------------------------------------


def test_without_a_reachable_recipient_the_window_stops_and_the_partner_is_asked() -> None:
    """The claim keeps its place at the slots until the partner's time ends (decisions 14, 25)."""
    case = life.customer_unreachable(awaiting(draft()), LATER, answer_by=answer_by(LATER + 7 * DAY), failed=(1,))

    claim = case.claim
    assert (claim.status, claim.status_reason) == (Status.PARTNER_ACTION_REQUIRED, Reason.CUSTOMER_UNREACHABLE)
    assert (claim.due, claim.window_ends_at) == (LATER + 7 * DAY, None)
    assert [recipient.failed for recipient in claim.recipients] == [True]
    slot = case.slots["teams"]
    assert slot.awaiting is None
    assert [(claimant.claim, claimant.until) for claimant in slot.claimants] == [(A, LATER + 7 * DAY)]
    assert slot.at(LATER + 7 * DAY).claimants == ()


# --- the customer's no ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(OPEN))
def test_a_no_is_accepted_in_every_open_state(status: Status) -> None:
    """The customer's no ends every other work on the claim (decision 20)."""
    case = life.decline(in_state(status), ANNE, LATER)

    claim = case.claim
    assert (claim.status, claim.due, claim.told) == (Status.DECLINED, None, True)
    assert mails(claim)[-1] == (MailKind.DECLINE_CONFIRMATION, None)
    assert case.slots["teams"].awaiting is None
    for now in (LATER, ENDS_AT, ENDS_AT + 4000 * DAY):
        assert settle(StoredCase(claim, case.slots), now).claim.status is Status.DECLINED


@pytest.mark.parametrize("status", sorted(OPEN - {Status.AWAITING_CUSTOMER}))
def test_a_no_outside_the_window_leaves_the_slots_and_cannot_be_undone(status: Status) -> None:
    """Only a no in `awaitingCustomer` can be undone (decision 20)."""
    case = life.decline(in_state(status), ANNE, LATER)

    assert list(case.slots["teams"].others("somebody else")) == []
    with pytest.raises(Refused, match="InvalidState"):
        life.undo_decline(case, ANNE, LATER)


def test_a_no_at_the_last_microsecond_declines() -> None:
    """A no before `endsAt` declines."""
    case = as_of(awaiting(draft()), ENDS_AT - MICROSECOND)

    assert life.decline(case, ANNE, ENDS_AT - MICROSECOND).claim.status is Status.DECLINED


@pytest.mark.parametrize("late", [timedelta(0), MICROSECOND, 400 * DAY])
def test_a_no_from_the_deadline_on_ends_the_association(late: timedelta) -> None:
    """The claim was official when the customer pressed the button, and therefore the association ends (decision 20)."""
    arrived = ENDS_AT + late

    case = life.decline(as_of(awaiting(draft()), arrived), ANNE, arrived)

    claim = case.claim
    assert (claim.status, claim.end_reason, claim.ended_at) == (Status.ENDED, Reason.CUSTOMER_OPTED_OUT, arrived)
    assert acts_of(case)[-2:] == [Act.MADE_OFFICIAL, Act.ENDED]
    assert case.slots["teams"].holder is None


def test_a_no_that_lost_the_race_with_the_timer_ends_the_association_as_it_began() -> None:
    """
    The no arrived before the deadline, but the row is official.

    `endedAt` equals `since` and is never earlier (decision 20).
    """
    arrived = ENDS_AT - MICROSECOND

    case = life.decline(as_of(official(draft()), arrived), ANNE, arrived)

    assert (case.claim.status, case.claim.ended_at) == (Status.ENDED, ENDS_AT)
    assert case.entries[-1][1].at == ENDS_AT


def test_a_no_to_a_winner_that_lost_the_race_leaves_the_incumbent_superseded() -> None:
    """The incumbent stays superseded, and the slot is free (decision 20)."""
    incumbent = official(draft())
    winner = winner_over(incumbent)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None
    written = as_of(with_rivals(winner, incumbent), takes_over)

    declined = life.decline(as_of(written, takes_over - MICROSECOND), ANNE, takes_over - MICROSECOND)

    assert declined.claim.ended_at == takes_over
    assert declined.rivals[A].end_reason is Reason.SUPERSEDED
    assert declined.slots["teams"].holder is None


def test_a_no_is_undone_within_the_window() -> None:
    """The claim awaits the customer again, with the promised window."""
    case = life.undo_decline(in_state(Status.DECLINED), ANNE, ENDS_AT - MICROSECOND)

    assert (case.claim.status, case.claim.undoable) == (Status.AWAITING_CUSTOMER, False)
    assert case.slots["teams"].awaiting == Awaiting(claim=A, organisation=ADATUM, takes_over_at=ENDS_AT)
    assert as_of(case, ENDS_AT).claim.status is Status.OFFICIAL


def test_a_no_cannot_be_undone_from_the_windows_end_on() -> None:
    """A no at the end of the window is final."""
    with pytest.raises(Refused, match="InvalidState"):
        life.undo_decline(in_state(Status.DECLINED), ANNE, ENDS_AT)


def test_a_no_can_be_undone_and_said_again() -> None:
    """The customer can do both as often as they like. The last act counts."""
    case = life.undo_decline(in_state(Status.DECLINED), ANNE, LATER)

    case = life.decline(case, ANNE, LATER)

    assert case.claim.undoable
    assert as_of(case, ENDS_AT).claim.status is Status.DECLINED


def test_a_no_cannot_be_undone_when_another_claim_awaits_the_customer() -> None:
    """At most one claim awaits the customer for an item (decisions 11, 13)."""
    declined = in_state(Status.DECLINED)
    assert not life.is_given_away(declined, LATER)
    other = approved(at_slots(draft("b", organisation=FABRIKAM), declined.slots), LATER)
    declined = declined.with_slots(other.slots)

    assert life.is_given_away(declined, LATER)
    with pytest.raises(Refused) as refusal:
        life.undo_decline(declined, ANNE, LATER)

    assert refusal.value.code == "SlotAwaitsCustomer"


def test_a_no_cannot_be_undone_when_another_claim_became_the_holder_since() -> None:
    """An incumbent from before does not prevent the undo, because the claim would supersede it."""
    declined = in_state(Status.DECLINED)
    since = Holder(claim=B, organisation=FABRIKAM, since=LATER)
    before = since.model_copy(update={"since": TOLD_AT - HOUR})
    held = declined.with_slots({"teams": declined.slots["teams"].changed(holder=since)})
    contested = declined.with_slots({"teams": declined.slots["teams"].changed(holder=before)})

    with pytest.raises(Refused, match="Another claim has the item"):
        life.undo_decline(held, ANNE, LATER + HOUR)

    assert life.undo_decline(contested, ANNE, LATER + HOUR).claim.status is Status.AWAITING_CUSTOMER


# --- the voices that can undo a no (decision 20a) ---------------------------------------------------------------------

WHO_MAY = {
    ANNE: {ANNE, IT, LAW, THE_ADMINISTRATOR},
    IT: {IT, THE_ADMINISTRATOR},
    THE_ADMINISTRATOR: {THE_ADMINISTRATOR},
}
"""By whom a no can be taken back, by who said it."""
EVERYBODY = (ANNE, BENOIT, IT, LAW, THE_ADMINISTRATOR)


@pytest.mark.parametrize(("said_by", "taken_back_by"), [(one, other) for one in WHO_MAY for other in EVERYBODY])
def test_a_no_is_undone_by_its_own_voice_or_a_higher_voice(said_by: Speaker, taken_back_by: Speaker) -> None:
    """
    The voices are contact, registered notice address and administrator.

    Two people of one voice are not the same person.
    """
    declined = life.decline(awaiting(draft()), said_by, LATER)

    if taken_back_by in WHO_MAY[said_by]:
        undone = life.undo_decline(declined, taken_back_by, LATER + HOUR)
        assert (undone.claim.status, undone.claim.no) == (Status.AWAITING_CUSTOMER, None)
        assert undone.entries[-1][1].actor == spoken_by(taken_back_by)
    else:
        with pytest.raises(Refused) as refusal:
            life.undo_decline(declined, taken_back_by, LATER + HOUR)
        assert refusal.value.code == "DeclineNotYours"


def test_a_voice_that_is_no_longer_registered_can_still_undo_its_no() -> None:
    """The person who said the no can undo it. The address still ranks above the contact."""
    declined = life.decline(awaiting(draft()), IT, LATER)
    former = IT.model_copy(update={"voice": Voice.CONTACT})

    assert life.undo_decline(declined, former, LATER + HOUR).claim.status is Status.AWAITING_CUSTOMER
    with pytest.raises(Refused, match="DeclineNotYours"):
        life.undo_decline(declined, ANNE, LATER + HOUR)


@pytest.mark.parametrize("speaker", [ANNE, IT])
def test_a_no_without_a_known_voice_belongs_to_the_administrator(speaker: Speaker) -> None:
    """An earlier release did not store the voice, and this is the safe reading."""
    declined = life.decline(awaiting(draft()), ANNE, LATER).changed(no=None)

    with pytest.raises(Refused, match="DeclineNotYours"):
        life.undo_decline(declined, speaker, LATER + HOUR)
    assert life.undo_decline(declined, THE_ADMINISTRATOR, LATER + HOUR).claim.status is Status.AWAITING_CUSTOMER


@pytest.mark.parametrize(("below", "above"), [(ANNE, IT), (ANNE, THE_ADMINISTRATOR), (IT, THE_ADMINISTRATOR)])
def test_a_higher_voice_can_take_over_a_no(below: Speaker, above: Speaker) -> None:
    """After that the first voice cannot undo it. The claim stays declined from the first no on."""
    declined = life.decline(awaiting(draft()), below, LATER)

    case = life.decline(declined, above, LATER + HOUR)

    assert (case.claim.status, case.claim.status_since, case.claim.undoable) == (Status.DECLINED, LATER, True)
    assert case.claim.no == No(by=above, at=LATER + HOUR)
    made = case.entries[-1][1]
    assert (made.act, made.from_, made.to, made.actor) == (
        Act.DECLINED,
        Status.DECLINED,
        Status.DECLINED,
        spoken_by(above),
    )
    with pytest.raises(Refused, match="DeclineNotYours"):
        life.undo_decline(case, below, LATER + HOUR)
    assert life.undo_decline(case, above, LATER + HOUR).claim.status is Status.AWAITING_CUSTOMER


def test_a_no_that_a_higher_voice_took_over_is_confirmed_again_to_the_customer_only() -> None:
    """The first confirmation offered the contact an undo that is closed now. For the partner nothing has changed."""
    declined = life.decline(awaiting(draft()), ANNE, LATER)
    told = declined.claim.partner_mails

    case = life.decline(declined, THE_ADMINISTRATOR, LATER + HOUR)

    assert [(mail.kind, mail.since) for mail in case.claim.mails] == [(MailKind.DECLINE_CONFIRMATION, LATER + HOUR)]
    assert case.claim.mails[0].number != declined.claim.mails[0].number
    assert case.claim.partner_mails == told


@pytest.mark.parametrize(
    ("said_by", "again_by"),
    [(ANNE, ANNE), (ANNE, BENOIT), (IT, ANNE), (IT, LAW), (THE_ADMINISTRATOR, IT), (THE_ADMINISTRATOR,) * 2],
)
def test_a_second_no_of_the_same_or_a_lower_voice_is_refused(said_by: Speaker, again_by: Speaker) -> None:
    """The refusal names the instant of the first no."""
    declined = life.decline(awaiting(draft()), said_by, LATER)

    with pytest.raises(Refused) as refusal:
        life.decline(declined, again_by, LATER + HOUR)

    assert refusal.value.code == "InvalidState"
    assert "declined already since 2026-11-02T12:00:00Z" in refusal.value.message


@pytest.mark.parametrize("status", [Status.UNDER_REVIEW, Status.AWAITING_CUSTOMER])
def test_a_no_that_cannot_be_undone_cannot_be_taken_over(status: Status) -> None:
    """The no came outside the window, or the window has ended."""
    declined = life.decline(in_state(status), ANNE, LATER)

    with pytest.raises(Refused, match="InvalidState"):
        life.decline(declined, THE_ADMINISTRATOR, ENDS_AT)


# --- competition ------------------------------------------------------------------------------------------------------


def test_a_second_claim_cannot_be_approved_while_the_first_awaits_the_customer() -> None:
    """At most one claim at a slot awaits the customer. The refusal names the end of its window (decision 11)."""
    first = awaiting(draft())
    second = under_review(at_slots(draft("b", organisation=FABRIKAM), first.slots))

    with pytest.raises(Refused) as refusal:
        life.approve(second, PROGRAMME, LATER)

    assert (refusal.value.code, refusal.value.target) == ("SlotAwaitsCustomer", "teams")
    assert "2026-11-09T23:00:00Z" in refusal.value.message


def test_a_refused_approval_names_no_unknown_instant() -> None:
    """The first claim's customer was not notified yet."""
    first = submitted(draft(), automatic=True)
    second = under_review(at_slots(draft("b", organisation=FABRIKAM), first.slots))

    with pytest.raises(Refused, match="another claim for this item\\."):
        life.approve(second, PROGRAMME, LATER)


def test_a_second_claim_can_be_approved_from_the_first_ones_deadline_on() -> None:
    """
    The first claim is then official, whether or not that is stored.

    It no longer awaits the customer and holds the slot.
    """
    first = awaiting(draft())
    second = under_review(at_slots(draft("b", organisation=FABRIKAM), first.slots))

    assert life.approve(second, PROGRAMME, ENDS_AT).claim.status is Status.AWAITING_CUSTOMER


def test_an_approval_takes_the_contested_items_from_every_other_claimant() -> None:
    """A claim without any item left is rejected and can be disputed. It leaves the slot (decision 12)."""
    loser = under_review(draft())
    winner = under_review(at_slots(draft("b", organisation=FABRIKAM), loser.slots))
    assert life.claimants_to_refuse(stored(winner), LATER) == {A}

    case = life.approve(with_rivals(winner, loser), PROGRAMME, LATER)

    lost = case.rivals[A]
    assert (lost.status, lost.status_reason, lost.due) == (
        Status.REJECTED,
        Reason.LOST_ARBITRATION,
        LATER + DISPUTE_PERIOD,
    )
    assert life.is_disputable(lost)
    assert acts_of(case, A) == [Act.REJECTED]
    slot = case.slots["teams"]
    assert slot.awaiting is not None
    assert (slot.awaiting.claim, {claimant.claim for claimant in slot.claimants}) == (B, {B})


def test_a_claimant_with_other_items_goes_on_with_those() -> None:
    """Only the contested items are struck, each with its reason (decision 12)."""
    loser = under_review(draft(items=(TEAMS, EXCHANGE, SHAREPOINT)))
    winner = under_review(at_slots(draft("b", organisation=FABRIKAM, items=(EXCHANGE,)), loser.slots))

    case = life.approve(with_rivals(winner, loser), PROGRAMME, LATER)

    rest = case.rivals[A]
    assert (rest.status, rest.items) == (Status.UNDER_REVIEW, (TEAMS, SHAREPOINT))
    assert [(struck.item, struck.at, struck.reason) for struck in rest.struck] == [
        (EXCHANGE, LATER, Reason.LOST_ARBITRATION)
    ]
    assert acts_of(case, A) == [Act.ITEM_STRUCK]


def test_a_loser_that_had_disputed_before_is_rejected_finally() -> None:
    """A partner can dispute once."""
    loser = disputed(draft())
    winner = under_review(at_slots(draft("b", organisation=FABRIKAM), loser.slots))

    lost = life.approve(with_rivals(winner, loser), PROGRAMME, LATER).rivals[A]

    assert (lost.status, lost.due) == (Status.REJECTED_FINAL, None)


def test_an_approval_changes_only_undecided_claimants() -> None:
    """A declined claim whose no can be undone keeps its place. The undo is refused while the winner waits."""
    declined = in_state(Status.DECLINED)
    winner = under_review(at_slots(draft("b", organisation=FABRIKAM), declined.slots))

    case = life.approve(with_rivals(winner, declined), PROGRAMME, LATER)

    assert case.rivals[A] == declined.claim
    assert {claimant.claim for claimant in case.slots["teams"].claimants} == {A, B}


def test_an_incumbent_stays_until_the_winners_window_has_ended() -> None:
    """The incumbent is official to the last microsecond and superseded at the winner's instant (decision 12)."""
    incumbent = official(draft())
    winner = winner_over(incumbent)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None

    before = settle(StoredCase(incumbent.claim, winner.slots), takes_over - MICROSECOND).claim
    after = settle(StoredCase(incumbent.claim, winner.slots), takes_over).claim

    assert before.status is Status.OFFICIAL
    assert (after.status, after.end_reason, after.ended_at) == (Status.ENDED, Reason.SUPERSEDED, takes_over)


def test_an_incumbent_stays_when_the_winner_is_declined() -> None:
    """The incumbent does not change."""
    incumbent = official(draft())
    winner = winner_over(incumbent)

    declined = life.decline(winner, ANNE, ENDS_AT + DAY)

    assert settle(StoredCase(incumbent.claim, declined.slots), ENDS_AT + 400 * DAY).claim == incumbent.claim
    holder = declined.slots["teams"].at(ENDS_AT + 400 * DAY).holder
    assert holder is not None
    assert holder.claim == A


def test_a_superseded_claim_reads_the_same_before_and_after_the_write() -> None:
    """The entries and hashes are the same, whichever claim is settled first (decision 14)."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    winner = winner_over(incumbent, items=(EXCHANGE, TEAMS))
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None

    read = as_of(replace(incumbent, slots=winner.slots), takes_over + 5 * DAY)
    written = as_of(with_rivals(winner, incumbent), takes_over + DAY)

    assert written.rivals[A] == read.claim
    assert [entry for of, entry in written.entries if of == A] == [entry for _, entry in read.entries[-2:]]


def test_items_are_superseded_one_by_one() -> None:
    """An association loses the taken item and keeps the others (decision 14)."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    winner = winner_over(incumbent, items=(EXCHANGE,))
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None

    read = as_of(replace(incumbent, slots={**incumbent.slots, **winner.slots}), takes_over)

    assert read.claim.status is Status.OFFICIAL
    assert (read.claim.holds("teams"), read.claim.holds("exchange")) == (True, False)
    assert acts_of(read)[-1] is Act.ITEM_ENDED
    assert mails(read.claim) == mails(incumbent.claim)


def test_an_association_ends_with_its_last_item_and_for_that_items_reason() -> None:
    """One item is taken over first, and the other later."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    first = winner_over(incumbent, items=(EXCHANGE,), days=30)
    second = winner_over(incumbent, items=(TEAMS,), name="c", days=60)
    slots = {**first.slots, **second.slots}

    read = settle(StoredCase(incumbent.claim, slots), ENDS_AT + 60 * DAY).claim

    assert (read.status, read.end_reason, read.ended_at) == (Status.ENDED, Reason.SUPERSEDED, ENDS_AT + 60 * DAY)
    assert [(ended.key, ended.at) for ended in read.ended_items] == [
        ("exchange", ENDS_AT + 30 * DAY),
        ("teams", ENDS_AT + 60 * DAY),
    ]
    assert mails(read) == [*mails(incumbent.claim), (MailKind.CLOSING, Reason.SUPERSEDED)]


def test_the_partner_ends_the_remaining_items_of_an_association() -> None:
    """The item that was taken over keeps its own end."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    winner = winner_over(incumbent, items=(EXCHANGE,))
    now = ENDS_AT + 40 * DAY
    case = as_of(replace(incumbent, slots={**incumbent.slots, **as_of(winner, now).slots}), now)

    ended = life.end(case, PERSON, now, Reason.PARTNER_DISASSOCIATED)

    assert [(item.key, item.reason) for item in ended.claim.ended_items] == [
        ("exchange", Reason.SUPERSEDED),
        ("teams", Reason.PARTNER_DISASSOCIATED),
    ]
    assert ended.claim.end_reason is Reason.PARTNER_DISASSOCIATED
    assert ended.slots["teams"].holder is None
    holder = ended.slots["exchange"].holder
    assert holder is not None
    assert holder.claim == B


def test_an_end_frees_the_slots_at_once() -> None:
    """A successor that awaits the customer then takes over a free slot."""
    incumbent = official(draft())
    winner = winner_over(incumbent)
    incumbent = incumbent.with_slots(winner.slots)

    ended = life.end(incumbent, PERSON, ENDS_AT + DAY, Reason.PARTNER_DISASSOCIATED)

    slot = ended.slots["teams"]
    assert slot.holder is None
    assert slot.awaiting == winner.slots["teams"].awaiting
    assert mails(ended.claim)[-1] == (MailKind.CLOSING, Reason.PARTNER_DISASSOCIATED)


def test_a_takeover_names_its_claims_before_anything_is_written() -> None:
    """The successor names the holders that it ends. The holder names the successors that must be settled first."""
    incumbent = official(draft())
    winner = winner_over(incumbent)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None
    winners, seen_by_incumbent = stored(winner), StoredCase(incumbent.claim, winner.slots)

    assert life.holders_to_supersede(winners, takes_over - MICROSECOND) == frozenset()
    assert life.holders_to_supersede(winners, takes_over) == {A}
    assert life.taken_over_by_others(seen_by_incumbent, takes_over - MICROSECOND) == frozenset()
    assert life.taken_over_by_others(seen_by_incumbent, takes_over) == {B}
    assert life.taken_over_by_others(winners, takes_over) == frozenset()


def test_a_rival_without_the_item_loses_nothing_more() -> None:
    """The partner ended it between the approval and the takeover."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    winner = winner_over(incumbent)
    ended = life.end(incumbent, PERSON, ENDS_AT + DAY, Reason.PARTNER_DISASSOCIATED)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None

    case = as_of(with_rivals(winner, ended), takes_over)

    assert case.rivals[A] == ended.claim


def test_the_holder_of_a_contested_item_can_be_asked_for_evidence() -> None:
    """
    Each reason has one entry, and the association goes on (decision 15).

    A holder without a rival cannot be asked.
    """
    incumbent = official(draft())
    rival = submitted(at_slots(draft("b", organisation=FABRIKAM), incumbent.slots), ENDS_AT)
    contested = incumbent.with_slots(rival.slots)
    reasons = [Reason.EVIDENCE_MISSING, Reason.DATES_MISSING_OR_OLD]
    time = answer_by(ENDS_AT + 7 * DAY)

    case = life.request_information(contested, PROGRAMME, ENDS_AT, reasons, answer_by=time)

    assert (case.claim.status, case.claim.evidence_by) == (Status.OFFICIAL, time.ends_at)
    assert [entry.reason for _, entry in case.entries[-2:]] == reasons
    with pytest.raises(Refused, match="InvalidState"):
        life.request_information(incumbent, PROGRAMME, ENDS_AT, reasons, answer_by=time)


# --- disputes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(REJECTION_REASONS))
def test_every_rejection_but_three_kinds_can_be_disputed(reason: Reason) -> None:
    """The three are the partner's own request, the subscription's end, and the programme's revocation (decision 28)."""
    claim = rejected(draft(), reason).claim

    assert life.is_disputable(claim) is (reason not in NOT_DISPUTABLE)
    assert not life.is_disputable(claim.model_copy(update={"disputed_before": True}))


def test_an_upheld_dispute_enters_the_slots_again() -> None:
    """An upheld dispute acts like an approval (decision 28)."""
    case = life.approve(disputed(draft()), PROGRAMME, LATER)

    assert case.claim.status is Status.AWAITING_CUSTOMER
    assert case.slots["teams"].awaiting == Awaiting(claim=A, organisation=ADATUM)


def test_a_refused_dispute_has_no_further_time_limit() -> None:
    """The claim is closed."""
    claim = in_state(Status.REJECTED_FINAL).claim

    assert (claim.due, life.is_disputable(claim)) == (None, False)


def test_a_claim_under_review_is_not_whole_with_the_slots_of_its_approval() -> None:
    """The claim was read before the approval, and its slots after it. Such a read is made again."""
    before = under_review(draft())
    after = approved(draft())

    assert life.is_whole(stored(before))
    assert not life.is_whole(stored(before.with_slots(after.slots)))
