"""
The life of a claim, as one state machine for people and for the clock.

`settle` makes the moves that time alone makes; every act begins with it, every read shows its result (`effective`), and
the timer only stores it. So a late, doubled or dead timer changes nothing. A successor's takeover is an instant in the
slot row, set when the customer was told: from that instant on it is the holder on every read.

Before an act writes slots, every other claim that has taken one over by now is settled (`taken_over_by_others`), so
that no instant which another claim has set there is ever lost.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cpor_core.errors import Conflict, Refused
from cpor_core.model.claim import (
    NOT_DISPUTABLE,
    OPEN,
    UNDECIDED,
    Acknowledgements,
    Claim,
    EndedItem,
    MailKind,
    No,
    OwedMail,
    Promise,
    Reason,
    Recipient,
    Speaker,
    Status,
    StruckItem,
    TimeToAnswer,
)
from cpor_core.model.history import CLOCK, PROGRAMME, Act, Actor, spoken_by
from cpor_core.model.slot import MAX_CLAIMANTS, Holder, Slot
from cpor_core.rules.partner_mail import owed_to_both
from cpor_core.rules.untold import Untold, untold
from cpor_core.transitions.case import Case, invalid_state

# --- what time alone makes of a claim -------------------------------------------------------------------------------


def effective(claim: Claim, slots: Mapping[str, Slot], now: datetime) -> Claim:
    """
    Return *claim* as it stands at *now*.

    A claim whose customer was told and whose window has ended is official, whether or not the timer has run; an item
    that a successor has taken over is no longer held; what lapses by itself has lapsed.
    """
    return settle(Case(claim, slots), now).claim


def settle(case: Case, now: datetime) -> Case:
    """Return the case with every move that time has made by *now*, each recorded at its own instant."""
    settled = _lapse(case, now)
    settled = _become_official(settled, now)
    return _lose_items_taken_over(settled, now)


def _lapse(case: Case, now: datetime) -> Case:
    """Drafts lapse, unanswered requests and undisputed rejections become final, each at the instant stored as `due`."""
    while (due := case.claim.due) is not None and due <= now:
        match case.claim.status:
            case Status.DRAFT:
                case = case.record(Act.LAPSED, CLOCK, due, to=Status.DELETED)
            case Status.PARTNER_ACTION_REQUIRED:
                case = _leave_slots(case, due).record(
                    Act.REJECTED,
                    CLOCK,
                    due,
                    to=Status.REJECTED,
                    reason=Reason.NO_PARTNER_RESPONSE,
                    due=due + DISPUTE_PERIOD,
                )
            case Status.REJECTED:
                case = case.record(
                    Act.FINALLY_REJECTED, CLOCK, due, to=Status.REJECTED_FINAL, reason=case.claim.status_reason
                )
            case _:  # a reviewer's time may run out; that is shown, never decided by a timer
                break
    return case


DISPUTE_PERIOD = timedelta(days=30)
"""How long a rejection can be disputed: 30 × 24 hours (rulings 28)."""


def _become_official(case: Case, now: datetime) -> Case:
    ends_at = case.claim.window_ends_at
    if case.claim.status is not Status.AWAITING_CUSTOMER or ends_at is None or now < ends_at:
        return case
    for key, slot in sorted(case.own_slots().items()):
        if slot.holder is not None and slot.holder.claim in case.rivals:
            case = _end_rivals_item(case, slot.holder.claim, key, ends_at)
    case = case.with_slots({key: slot.at(now) for key, slot in case.own_slots().items()})
    return _owe_mail(
        case.record(Act.MADE_OFFICIAL, CLOCK, ends_at, to=Status.OFFICIAL, official_since=ends_at),
        MailKind.OFFICIAL_CONFIRMATION,
        ends_at,
    )


def _end_rivals_item(case: Case, rival_id: str, key: str, at: datetime) -> Case:
    """End one item of the incumbent; the association ends with its last item."""
    rival = case.rivals[rival_id]
    if rival.status is not Status.OFFICIAL or not rival.holds(key):
        return case
    ended = (*rival.ended_items, EndedItem(key=key, at=at, reason=Reason.SUPERSEDED))
    if len(ended) < len(rival.items):
        return case.record_rival(rival_id, Act.ITEM_ENDED, CLOCK, at, reason=Reason.SUPERSEDED, ended_items=ended)
    mails, count = _with_mail(rival, MailKind.CLOSING, at, Reason.SUPERSEDED)
    return case.record_rival(
        rival_id,
        Act.ENDED,
        CLOCK,
        at,
        to=Status.ENDED,
        reason=Reason.SUPERSEDED,
        ended_items=ended,
        ended_at=at,
        end_reason=Reason.SUPERSEDED,
        mails=mails,
        mail_count=count,
    )


def _lose_items_taken_over(case: Case, now: datetime) -> Case:
    """
    An item whose slot has another holder ended when that one took over.

    In the order in which the successors write it down: by instant, claim and item.
    """
    if case.claim.status is not Status.OFFICIAL:
        return case
    since = case.claim.official_since
    lost = sorted(
        (slot.holder.since, slot.holder.claim, key)
        for key, stored in case.own_slots().items()
        if case.claim.holds(key)
        and (slot := stored.at(now)).holder is not None
        and slot.holder.claim != case.claim.id
        and (since is None or slot.holder.since >= since)
    )
    for at, _, key in lost:
        case = _end_items(case, (key,), CLOCK, at, Reason.SUPERSEDED)
    return case


def taken_over_by_others(case: Case, now: datetime) -> frozenset[str]:
    """
    Return the ids of other claims that have become official on this claim's slots without that being stored yet.

    Before this case's slots are written, those claims must be settled: else the instant of their takeover, and with it
    the end of whoever held the item before, would be overwritten.
    """
    return frozenset(
        slot.awaiting.claim
        for slot in case.own_slots().values()
        if slot.awaiting is not None
        and slot.awaiting.claim != case.claim.id
        and slot.awaiting.takes_over_at is not None
        and slot.awaiting.takes_over_at <= now
    )


def holders_to_supersede(case: Case, now: datetime) -> frozenset[str]:
    """Return the ids of the associations that end because this claim has become official by *now*."""
    ends_at = case.claim.window_ends_at
    if case.claim.status is not Status.AWAITING_CUSTOMER or ends_at is None or now < ends_at:
        return frozenset()
    return frozenset(slot.holder.claim for slot in case.own_slots().values() if slot.holder is not None)


def taken_over_before(holder: Case, successor: Claim) -> frozenset[str]:
    """
    Return the ids of claims that took other items of *holder* over before *successor* takes its own.

    They must be written down first, else the holder's history would not be the one that was read before.
    """
    ends_at = successor.window_ends_at
    return frozenset(
        slot.awaiting.claim
        for slot in holder.own_slots().values()
        if slot.awaiting is not None
        and slot.awaiting.takes_over_at is not None
        and ends_at is not None
        and (slot.awaiting.takes_over_at, slot.awaiting.claim) < (ends_at, successor.id)
    )


def verify_places(case: Case) -> None:
    """
    Raise `Conflict` for a stored case whose slots contradict its claim.

    One of the two is older: they were read at two instants, and somebody wrote both in between. An act that went by
    them would leave an ended association in its slot, or supersede itself.
    """
    if not is_whole(case):
        message = f"claim {case.claim.id} is {case.claim.status.value}, but a slot of it knows it otherwise"
        raise Conflict(message)


def is_whole(case: Case) -> bool:
    """Whether the slots of a stored case know its claim as what it is."""
    return all(_has_its_place(case.claim, key, slot) for key, slot in case.own_slots().items())


def _has_its_place(claim: Claim, key: str, slot: Slot) -> bool:
    match claim.status:
        case Status.OFFICIAL:
            return not claim.holds(key) or (slot.holder is not None and slot.holder.claim == claim.id)
        case Status.AWAITING_CUSTOMER:
            return slot.awaiting is not None and slot.awaiting.claim == claim.id
        case Status.SUBMITTED | Status.UNDER_REVIEW | Status.DISPUTED:
            return any(claimant.claim == claim.id for claimant in slot.claimants)
        case _:  # no place, or items whose places follow at the next submission
            return True


def beside(case: Case, at: datetime) -> frozenset[str]:
    """Return the other claims, open or official, that stand at the same slots as this one."""
    found: set[str] = set()
    for key in case.claim.slot_keys:
        standing = {party.claim for party in case.slots[key].at(at).others("") if not party.declined}
        if case.claim.id in standing:
            found |= standing - {case.claim.id}
    return frozenset(found)


# --- the partner ----------------------------------------------------------------------------------------------------


def delete(case: Case, actor: Actor, at: datetime) -> Case:
    """Delete a draft. Raises `InvalidState` for anything else."""
    _require(case, "deleted", Status.DRAFT)
    return case.record(Act.DELETED, actor, at, to=Status.DELETED)


def verify_draft(case: Case) -> None:
    """Raise `InvalidState` unless the claim can be submitted: for submission and dry run alike."""
    _require(case, "submitted", Status.DRAFT)


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
    Submit a draft that has passed every check.

    With automatic review and nobody else at any of its slots it goes to the customer at once; anything competing is
    always reviewed by a person. Raises `InvalidState`, `SlotCrowded`.
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
    case = _tell_both_sides(_take_place(case, at), at)
    return _await_customer(case, Act.VALIDATED, PROGRAMME, at) if automatic else case


def resubmit(case: Case, actor: Actor, at: datetime, *, start_review_by: datetime) -> Case:
    """
    Answer what the reviewer asked for; the claim's places in the slots follow its items.

    After `customerUnreachable`, when only contacts were changed, the customer is told at once (rulings 27), unless
    somebody competes by now for what no person has reviewed. Raises `InvalidState`, `SlotCrowded`,
    `SlotAwaitsCustomer`.
    """
    _require(case, "resubmitted", Status.PARTNER_ACTION_REQUIRED)
    straight_on = case.claim.status_reason is Reason.CUSTOMER_UNREACHABLE and case.claim.only_contacts_changed
    if case.claim.automatic_review and case.rival_parties(at):
        straight_on = False
    if straight_on:
        verify_no_other_awaits(case, at)
    known = beside(case, at)
    case = _take_place(_leave_slots(case, at).changed(left_items=()), at)
    case = _tell_both_sides(case, at, known)
    if straight_on:
        return _await_customer(case, Act.RESUBMITTED, actor, at)
    return case.record(Act.RESUBMITTED, actor, at, to=Status.SUBMITTED, due=start_review_by, automatic_review=False)


def dispute(case: Case, actor: Actor, at: datetime, *, decide_by: datetime) -> Case:
    """Dispute a rejection: once, within 30 days. Raises `InvalidState`, `NotDisputable`, `SlotCrowded`."""
    _require(case, "disputed", Status.REJECTED)
    if not is_disputable(case.claim):
        raise Refused(
            "NotDisputable",
            "This rejection cannot be disputed, or was disputed before.",
            target="statusReason",
            resolution="File a new claim with better evidence.",
        )
    case = _tell_both_sides(_take_place(case, at), at)
    return case.record(Act.DISPUTED, actor, at, to=Status.DISPUTED, disputed_before=True, due=decide_by)


def withdraw(case: Case, actor: Actor, at: datetime) -> Case:
    """Take an open claim back. Raises `InvalidState`; a dispute is answered, not withdrawn."""
    _require(case, "withdrawn", *(OPEN - {Status.DISPUTED}))
    return _tell_of_closing(_leave_slots(case, at).record(Act.WITHDRAWN, actor, at, to=Status.WITHDRAWN), at)


# --- the programme --------------------------------------------------------------------------------------------------


def start_review(case: Case, actor: Actor, at: datetime, *, decide_by: datetime) -> Case:
    """Begin to review a submitted claim. Raises `InvalidState`."""
    _require(case, "put under review", Status.SUBMITTED)
    return case.record(Act.REVIEW_STARTED, actor, at, to=Status.UNDER_REVIEW, due=decide_by)


def request_information(
    case: Case, actor: Actor, at: datetime, reasons: Sequence[Reason], *, answer_by: TimeToAnswer
) -> Case:
    """
    Ask the partner for more, for one or several reasons, each an entry of its own. Raises `InvalidState`.

    The holder of a contested item may be asked for evidence too; its association goes on meanwhile (rulings 15).
    """
    if case.claim.status is Status.OFFICIAL and case.rival_parties(at):
        for reason in reasons:
            case = case.record(Act.INFORMATION_REQUESTED, actor, at, reason=reason, evidence_by=answer_by.ends_at)
        return case
    _require(case, "sent back to its partner", Status.UNDER_REVIEW)
    asked = _asked(case.claim, reasons, answer_by)
    for reason in reasons:
        case = case.record(
            Act.INFORMATION_REQUESTED,
            actor,
            at,
            to=Status.PARTNER_ACTION_REQUIRED,
            reason=reason,
            **asked,
        )
    ends_at = answer_by.ends_at
    return _each_slot(case, lambda slot: slot.with_claimant(case.claim.id, case.claim.organisation, ends_at))


def _asked(claim: Claim, reasons: Sequence[Reason], answer_by: TimeToAnswer) -> Mapping[str, object]:
    """Return what changes in a claim whose partner is asked for more."""
    return {
        "due": answer_by.ends_at,
        "requested": tuple(reasons),
        "time_to_answer": answer_by,
        "times_asked": claim.times_asked + 1,
        "answer_reminded": False,
        "only_contacts_changed": True,
    }


def strike_items(case: Case, actor: Actor, at: datetime, keys: Collection[str], reason: Reason) -> Case:
    """Take items out that the evidence does not cover; with its last one the claim is rejected (`allItemsStruck`)."""
    _require(case, "stripped of items", Status.UNDER_REVIEW, Status.DISPUTED)
    return _strike(case, actor, at, keys, reason)


def _strike(case: Case, actor: Actor, at: datetime, keys: Collection[str], reason: Reason) -> Case:
    claim = case.claim
    gone = tuple(item for item in claim.items if item.key in keys)
    rest = tuple(item for item in claim.items if item.key not in keys)
    if not rest:
        final = claim.disputed_before
        return _leave_slots(case, at).record(
            Act.FINALLY_REJECTED if final else Act.REJECTED,
            actor,
            at,
            to=Status.REJECTED_FINAL if final else Status.REJECTED,
            reason=reason if reason is Reason.SUBSCRIPTION_ENDED else Reason.ALL_ITEMS_STRUCK,
            due=None if final else at + DISPUTE_PERIOD,
        )
    for item in gone:
        case = case.with_slots({item.key: case.slots[item.key].without(claim.id, at)})
        struck = (*case.claim.struck, StruckItem(item=item, at=at, reason=reason))
        left = tuple(one for one in case.claim.items if one != item)
        case = case.record(Act.ITEM_STRUCK, actor, at, reason=reason, items=left, struck=struck)
    return case


def approve(case: Case, actor: Actor, at: datetime) -> Case:
    """
    Approve a claim under review, or uphold a dispute: its customer is told next.

    Decides the arbitration: every other undecided claimant loses the contested items (`lostArbitration`), an official
    holder stays until this claim's window has ended undeclined. Raises `InvalidState`, and `SlotAwaitsCustomer` while
    another claim's customer is being asked for one of the items.
    """
    _require(case, "approved", Status.UNDER_REVIEW, Status.DISPUTED)
    verify_no_other_awaits(case, at)
    for rival in case.rivals:
        case = _lose_arbitration(case, rival, at)
    case = _each_slot(case, lambda slot: slot.with_claimant(case.claim.id, case.claim.organisation))
    return _await_customer(case, Act.APPROVED, actor, at)


def verify_no_other_awaits(case: Case, at: datetime) -> None:
    """At most one claim a slot awaits the customer (rulings 11). Raises `SlotAwaitsCustomer` with the instant."""
    for key, stored in case.own_slots().items():
        awaiting = stored.at(at).awaiting
        if awaiting is not None and awaiting.claim != case.claim.id:
            until = f" until {awaiting.takes_over_at:%Y-%m-%dT%H:%M:%SZ}" if awaiting.takes_over_at else ""
            raise Refused(
                "SlotAwaitsCustomer",
                f"The customer is being asked about another claim for this item{until}.",
                target=key,
                resolution="Wait until the customer's window of that claim is over.",
            )


def is_given_away(case: Case, now: datetime) -> bool:
    """
    Whether the place of a declined claim was given to another, so that the no can no longer be taken back.

    Another claim awaits the customer for one of the items, or has become its holder since the no was said.
    """
    slots = [slot.at(now) for slot in case.own_slots().values()]
    return any(slot.awaiting is not None and slot.awaiting.claim != case.claim.id for slot in slots) or any(
        slot.holder is not None and slot.holder.claim != case.claim.id and slot.holder.since > case.claim.status_since
        for slot in slots
    )


def claimants_to_refuse(case: Case, at: datetime) -> frozenset[str]:
    """Return the ids of the other claimants; an approval decides those of them that are undecided."""
    return frozenset(
        claimant.claim
        for slot in case.own_slots().values()
        for claimant in slot.at(at).claimants
        if claimant.claim != case.claim.id
    )


def _lose_arbitration(case: Case, rival_id: str, at: datetime) -> Case:
    """Take the contested items from another undecided claim; with its last item it is rejected, and may dispute."""
    rival = case.rivals[rival_id]
    contested = {item.key for item in case.claim.items}
    lost = tuple(item for item in rival.items if item.key in contested)
    if rival.status not in UNDECIDED or not lost:
        return case
    case = case.with_slots({item.key: case.slots[item.key].without(rival_id, at) for item in lost})
    if len(lost) == len(rival.items):
        return case.record_rival(
            rival_id,
            Act.REJECTED,
            PROGRAMME,
            at,
            to=Status.REJECTED_FINAL if rival.disputed_before else Status.REJECTED,
            reason=Reason.LOST_ARBITRATION,
            due=None if rival.disputed_before else at + DISPUTE_PERIOD,
        )
    struck = tuple(StruckItem(item=item, at=at, reason=Reason.LOST_ARBITRATION) for item in lost)
    return case.record_rival(
        rival_id,
        Act.ITEM_STRUCK,
        PROGRAMME,
        at,
        reason=Reason.LOST_ARBITRATION,
        items=tuple(item for item in rival.items if item not in lost),
        struck=(*rival.struck, *struck),
    )


def reject(case: Case, actor: Actor, at: datetime, reason: Reason) -> Case:
    """Refuse a claim under review, disputable for 30 days; or refuse its dispute for good. Raises `InvalidState`."""
    _require(case, "rejected", Status.UNDER_REVIEW, Status.DISPUTED)
    final = case.claim.status is Status.DISPUTED
    return _leave_slots(case, at).record(
        Act.FINALLY_REJECTED if final else Act.REJECTED,
        actor,
        at,
        to=Status.REJECTED_FINAL if final else Status.REJECTED,
        reason=reason,
        due=None if final else at + DISPUTE_PERIOD,
    )


def revoke(case: Case, actor: Actor, at: datetime) -> Case:
    """Stop a claim that awaits the customer, or end its association, by the programme. Raises `InvalidState`."""
    if case.claim.status is Status.OFFICIAL:
        return _end_items(case, _held(case.claim), actor, at, Reason.REVOKED_BY_PROGRAMME, act=Act.REVOKED)
    _require(case, "revoked", Status.AWAITING_CUSTOMER)
    case = _leave_slots(case, at).record(
        Act.REVOKED,
        actor,
        at,
        to=Status.REJECTED,
        reason=Reason.REVOKED_BY_PROGRAMME,
        due=at + DISPUTE_PERIOD,
    )
    return _tell_of_closing(case, at)


# --- the customer's window ------------------------------------------------------------------------------------------


def promise(case: Case, promised: Promise, recipients: tuple[Recipient, ...]) -> Case:
    """Store what the notice will say, before it is sent (rulings 17). Raises `InvalidState`."""
    _require(case, "announced", Status.AWAITING_CUSTOMER)
    return case.changed(promise=promised, recipients=recipients)


def hand_over(
    case: Case, number: int, at: datetime, *, failed: Iterable[int] = (), waiting: Iterable[int] = ()
) -> Case:
    """
    Record that the notice of promise *number* was handed over to the mail system: only this opens the window.

    *failed* will never get it; to those who are *waiting*, whose server would not take it yet, it is still owed.
    A hand-over is a fact whatever happened meanwhile: a claim that was closed before is recorded as told, and those who
    were told are owed a closing mail; a claim that was declined keeps its promise, until which the no can be undone.
    """
    if case.claim.promise is None or case.claim.promise.number != number or case.claim.opened_at is not None:
        return case
    promised, status = case.claim.promise, case.claim.status
    told = set(promised.recipients) - {*failed, *waiting}
    recipients = mark_told(_without(case.claim.recipients, failed), told)
    opened_at = None if status in UNDECIDED else at  # a report came back first: the window was stopped already
    case = case.record(Act.CUSTOMER_TOLD, PROGRAMME, at, opened_at=opened_at, told=True, recipients=recipients)
    if status in (Status.WITHDRAWN, Status.REJECTED, Status.REJECTED_FINAL):
        return _tell_of_closing(case, at)
    if status is not Status.AWAITING_CUSTOMER:
        return case
    reached = {recipient.number for recipient in recipients} - set(waiting)
    if set(waiting):
        notice = OwedMail(number=number, kind=MailKind.NOTICE, since=at, sent_to=tuple(sorted(reached)))
        case = case.changed(mails=(*case.claim.mails, notice))
    return _each_slot(case, lambda slot: slot.with_awaiting(case.claim.id, case.claim.organisation, promised.ends_at))


def mark_told(recipients: tuple[Recipient, ...], told: Collection[int]) -> tuple[Recipient, ...]:
    """Mark those who have heard of the claim."""
    return tuple(r.model_copy(update={"told": r.told or r.number in told}) for r in recipients)


def _without(recipients: tuple[Recipient, ...], failed: Iterable[int]) -> tuple[Recipient, ...]:
    """Mark those who can't be reached; they keep their number."""
    refused = set(failed)
    return tuple(r.model_copy(update={"failed": r.failed or r.number in refused}) for r in recipients)


def customer_unreachable(case: Case, at: datetime, *, answer_by: TimeToAnswer, failed: Iterable[int]) -> Case:
    """Stop the window: nobody is left who could be told, so the partner must name another contact (rulings 25)."""
    _require(case, "reported unreachable", Status.AWAITING_CUSTOMER)
    case = case.record(
        Act.CUSTOMER_UNREACHABLE,
        PROGRAMME,
        at,
        to=Status.PARTNER_ACTION_REQUIRED,
        reason=Reason.CUSTOMER_UNREACHABLE,
        opened_at=None,
        recipients=_without(case.claim.recipients, failed),
        **_asked(case.claim, (Reason.CUSTOMER_UNREACHABLE,), answer_by),
    )
    ends_at = answer_by.ends_at
    return _each_slot(
        case,
        lambda slot: slot.without(case.claim.id, at).with_claimant(case.claim.id, case.claim.organisation, ends_at),
    )


def recipient_failed(case: Case, actor: Actor, at: datetime, number: int, *, answer_by: TimeToAnswer) -> Case:
    """
    Record that a recipient can't be reached, or is not the right person (rulings 24, 25).

    While the claim awaits the customer and nobody else is left who was told, its window stops. Otherwise the failure is
    history, shown to the reviewer.
    """
    known = next((r for r in case.claim.recipients if r.number == number and not r.failed), None)
    if known is None:
        return case
    promised = case.claim.promise
    if case.claim.status is Status.AWAITING_CUSTOMER and promised is not None:
        left = {r.number for r in case.claim.reachable()} & set(promised.recipients) - {number}
        if not left:
            return customer_unreachable(case, at, answer_by=answer_by, failed=(number,))
    recipients = _without(case.claim.recipients, (number,))
    return case.record(Act.RECIPIENT_FAILED, actor, at, recipients=recipients)


def decline(case: Case, speaker: Speaker, at: datetime) -> Case:
    """
    Take the customer's no: in every open state once anybody was told, and from `official` on as an end.

    *at* is the instant at which it arrived. While a no can be taken back, somebody above the one who said it makes it
    theirs by saying it too (rulings 20a). Raises `InvalidState` for a claim that is closed, or declined already.
    """
    claim, no = case.claim, No(by=speaker, at=at)
    if claim.status is Status.OFFICIAL:
        return end(case, spoken_by(speaker), at, Reason.CUSTOMER_OPTED_OUT).changed(no=no)
    if claim.status is Status.DECLINED:
        return _confirm_no(case, no)
    if claim.status not in OPEN:
        raise invalid_state(claim, "declined")
    undoable = claim.status is Status.AWAITING_CUSTOMER and claim.promise is not None
    recipients = claim.recipients
    if claim.promise is not None and not claim.told:  # whoever says no has heard of it, recorded or not
        recipients = mark_told(recipients, claim.promise.recipients)
    case = case.record(
        Act.DECLINED,
        spoken_by(speaker),
        at,
        to=Status.DECLINED,
        undoable=undoable,
        no=no,
        told=True,
        recipients=recipients,
    )
    if case.refusals is not None:
        case = replace(case, refusals=case.refusals.with_refusal(claim.id, at))
    if undoable and claim.promise is not None:
        ends_at = claim.promise.ends_at
        case = _each_slot(
            case,
            lambda slot: slot.without(claim.id, at).with_claimant(claim.id, claim.organisation, ends_at, declined=True),
        )
    else:
        case = _leave_slots(case, at)
    return _owe_mail(case, MailKind.DECLINE_CONFIRMATION, at)


def may_make_no_theirs(claim: Claim, speaker: Speaker, now: datetime) -> bool:
    """Whether a declined claim's no can be made theirs by a speaker, because it was said by somebody below."""
    return claim.can_be_undone(now) and claim.no is not None and speaker.outranks(claim.no.by)


def _confirm_no(case: Case, no: No) -> Case:
    """
    Let somebody above say the no too: from then on it is theirs to take back.

    Those who were told are written to again, because the first confirmation may have offered them the way back.
    """
    claim = case.claim
    if not may_make_no_theirs(claim, no.by, no.at):
        since = f" since {claim.no.at:%Y-%m-%dT%H:%M:%SZ}" if claim.no is not None else ""
        raise Refused(
            "InvalidState",
            f"The request is declined already{since}.",
            target="status",
            resolution="Nothing needs to be done: the no stands.",
        )
    case = case.record(Act.DECLINED, spoken_by(no.by), no.at, to=Status.DECLINED, no=no, mails=_unconfirmed(claim))
    return _owe_mail(case, MailKind.DECLINE_CONFIRMATION, no.at)


def _unconfirmed(claim: Claim) -> tuple[OwedMail, ...]:
    """Return what is owed but the confirmation of a no, which says what is not so any more."""
    return tuple(mail for mail in claim.mails if mail.kind is not MailKind.DECLINE_CONFIRMATION)


def undo_decline(case: Case, speaker: Speaker, at: datetime) -> Case:
    """
    Take the customer's no back while the window has not ended: by who said it, or by somebody above.

    Raises `InvalidState`, `DeclineNotYours`, and `SlotAwaitsCustomer` when the place was given to another claim.
    """
    claim = case.claim
    if not claim.can_be_undone(at):
        raise invalid_state(claim, "taken back")
    if not speaker.may_take_back(claim.no):
        raise Refused(
            "DeclineNotYours",
            "The no was said by somebody else of the organisation, and stands.",
            resolution="It can be taken back by the one who said it, or by somebody above: a registered notice "
            "address is above the contact whom the partner named, the tenant's administrator above both.",
        )
    verify_no_other_awaits(case, at)
    if is_given_away(case, at):
        raise Refused(
            "SlotAwaitsCustomer",
            "The place was given to another claim meanwhile.",
            resolution="Nothing more can be done with this request.",
        )
    takes_over_at = claim.window_ends_at
    case = case.record(
        Act.UNDONE,
        spoken_by(speaker),
        at,
        to=Status.AWAITING_CUSTOMER,
        undoable=False,
        no=None,
        mails=_unconfirmed(claim),
    )
    if case.refusals is not None:
        case = replace(case, refusals=case.refusals.without(claim.id))
    return _each_slot(
        case,
        lambda slot: slot.with_claimant(claim.id, claim.organisation).with_awaiting(
            claim.id, claim.organisation, takes_over_at
        ),
    )


def end(case: Case, actor: Actor, at: datetime, reason: Reason) -> Case:
    """End the whole association: access stops with this write, its slots are free at once. Raises `InvalidState`."""
    _require(case, "ended", Status.OFFICIAL)
    return _end_items(case, _held(case.claim), actor, at, reason)


def enter_past(case: Case, actor: Actor, at: datetime, *, since: datetime, recipients: tuple[Recipient, ...]) -> Case:
    """
    Enter an association that was made in the past: official *since* then, it holds its items from now on (rulings 33).

    The customer is told by a mail to the *recipients*, if there are any. Raises `SlotHeld`, and `InvalidState` for a
    claim that has a history of its own.
    """
    claim = case.claim
    if claim.history_length:
        raise invalid_state(claim, "entered as an association of the past")
    for key, stored in case.own_slots().items():
        holder = stored.at(at).holder
        awaiting = stored.at(at).awaiting  # it would take the item over without anybody having compared the two
        if (holder is not None and holder.claim != claim.id) or awaiting is not None:  # not by itself: entered twice
            raise Refused(
                "SlotHeld",
                f"Another association holds {key} already, or its customer is being asked for one.",
                target="item",
                resolution="End that association first, if it is the wrong one.",
            )
    case = case.record(
        Act.IMPORTED,
        actor,
        at,
        to=Status.OFFICIAL,
        official_since=since,
        recipients=recipients,
        told=bool(recipients),
    )
    held = Holder(claim=claim.id, organisation=claim.organisation, since=since)
    case = _each_slot(case, lambda slot: slot.at(at).changed(holder=held))
    return _owe_mail(case, MailKind.IMPORTED, at)


def tell_others(case: Case, at: datetime, people: Sequence[Recipient]) -> Case:
    """
    Owe the mail about an imported association to *people*, when nobody is left who has it or will get it (rulings 65).

    Who was written to before is not written to again; their numbers are given anew, behind those that there are.
    """
    claim = case.claim
    if untold(claim) not in (Untold.NOBODY_TO_TELL, Untold.EVERYBODY_FAILED):
        return case
    known = {recipient.email.lower() for recipient in claim.recipients}
    new = [person for person in people if person.email.lower() not in known]
    if not new:
        return case
    numbered = (one.model_copy(update={"number": n}) for n, one in enumerate(new, start=len(known) + 1))
    mails = tuple(mail for mail in claim.mails if mail.kind is not MailKind.IMPORTED)
    case = case.changed(recipients=(*claim.recipients, *numbered), told=True, mails=mails)
    return _owe_mail(case, MailKind.IMPORTED, at)


def end_gone_items(case: Case, at: datetime, keys: Sequence[str]) -> Case:
    """
    Take away items that are no longer on the tenant: an association ends them, an open claim has them struck.

    With its last item the association ends and the claim is rejected (`subscriptionEnded`, not disputable).
    """
    if keys and case.claim.status is Status.OFFICIAL:
        return _end_items(case, tuple(keys), PROGRAMME, at, Reason.SUBSCRIPTION_ENDED)
    if not keys or case.claim.status not in OPEN:
        return case
    was_told = case.claim.status is Status.AWAITING_CUSTOMER
    case = _strike(case, PROGRAMME, at, keys, Reason.SUBSCRIPTION_ENDED)
    return _tell_of_closing(case, at) if was_told and case.claim.status is not Status.AWAITING_CUSTOMER else case


# --- shared steps ---------------------------------------------------------------------------------------------------


def is_disputable(claim: Claim) -> bool:
    """Whether the partner may still dispute: once, and not what they or the programme's revocation brought about."""
    return claim.status is Status.REJECTED and not claim.disputed_before and claim.status_reason not in NOT_DISPUTABLE


def _require(case: Case, act: str, *states: Status) -> None:
    if case.claim.status not in states:
        raise invalid_state(case.claim, act)


def _each_slot(case: Case, change: Callable[[Slot], Slot]) -> Case:
    return case.with_slots({key: change(slot) for key, slot in case.own_slots().items()})


def _take_place(case: Case, at: datetime) -> Case:
    """Enter the claim among the claimants of its items. Raises `SlotCrowded`."""
    for key, slot in case.own_slots().items():
        if len(slot.at(at).without(case.claim.id, at).claimants) >= MAX_CLAIMANTS:
            raise Refused(
                "SlotCrowded",
                f"{MAX_CLAIMANTS} undecided claims for this item are waiting already.",
                target=key,
                resolution="Try again when some of them have been decided.",
            )
    return _each_slot(case, lambda slot: slot.at(at).with_claimant(case.claim.id, case.claim.organisation))


def _tell_both_sides(case: Case, at: datetime, known: Collection[str] = ()) -> Case:
    """Owe the claim's partner, and those beside whom it has come to stand, the news of each other (rulings 15)."""
    rivals = beside(case, at) - set(known)
    return case.changed(partner_mails=owed_to_both(case.claim, rivals, at)) if rivals else case


def _leave_slots(case: Case, at: datetime) -> Case:
    return case.with_slots({key: case.slots[key].without(case.claim.id, at) for key in case.claim.slot_keys})


def _await_customer(case: Case, act: Act, actor: Actor, at: datetime) -> Case:
    """The customer is to be asked, anew if they were before: whose mail came back then is tried again (rulings 25)."""
    former = case.claim.promise
    case = case.record(
        act,
        actor,
        at,
        to=Status.AWAITING_CUSTOMER,
        promise=former.model_copy(update={"sending_until": None, "over": True}) if former is not None else None,
        recipients=tuple(r.model_copy(update={"failed": r.is_erased}) for r in case.claim.recipients),
        opened_at=None,
        reminded=False,
    )
    return _each_slot(case, lambda slot: slot.with_awaiting(case.claim.id, case.claim.organisation, None))


def _held(claim: Claim) -> tuple[str, ...]:
    return tuple(item.key for item in claim.items if claim.holds(item.key))


def _end_items(
    case: Case, keys: tuple[str, ...], actor: Actor, at: datetime, reason: Reason, act: Act = Act.ENDED
) -> Case:
    """End items of the association; it ends with its last one, at once and for that item's reason."""
    claim = case.claim
    at = max(at, claim.official_since) if claim.official_since is not None else at
    ended = (*claim.ended_items, *(EndedItem(key=key, at=at, reason=reason) for key in keys))
    if reason is not Reason.SUPERSEDED:  # else the successor holds them already
        case = case.with_slots({key: case.slots[key].without(claim.id, at) for key in keys})
    if len(ended) < len(claim.items):
        return case.record(Act.ITEM_ENDED, actor, at, reason=reason, ended_items=ended)
    case = case.record(
        act, actor, at, to=Status.ENDED, reason=reason, ended_items=ended, ended_at=at, end_reason=reason
    )
    return _owe_mail(case, MailKind.CLOSING, at, reason)


def _tell_of_closing(case: Case, at: datetime) -> Case:
    return _owe_mail(case, MailKind.CLOSING, at, case.claim.status_reason)


def _owe_mail(case: Case, kind: MailKind, at: datetime, reason: Reason | None = None) -> Case:
    mails, count = _with_mail(case.claim, kind, at, reason)
    return case.changed(mails=mails, mail_count=count)


def _with_mail(claim: Claim, kind: MailKind, at: datetime, reason: Reason | None) -> tuple[tuple[OwedMail, ...], int]:
    """Owe one mail to everybody who was told; nothing to those who never heard of the claim."""
    if not claim.told:
        return claim.mails, claim.mail_count
    count = claim.mail_count + 1
    return (*claim.mails, OwedMail(number=count, kind=kind, since=at, reason=reason)), count
