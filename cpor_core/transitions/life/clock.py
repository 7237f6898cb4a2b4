"""The changes of a claim that time alone makes."""

from datetime import datetime

from cpor_core.model.claim import Claim, EndedItem, MailKind, Reason, Status
from cpor_core.model.history import CLOCK, Act
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life.slots import leave_slots
from cpor_core.transitions.life.steps import DISPUTE_PERIOD, add_mail, end_items, with_mail


def settle(stored: StoredCase, now: datetime) -> Case:
    """
    Return the case as it is at *now*, with a history entry for each change that time has made to the stored case.

    Each entry has the instant of its change. If the window has ended, the claim is official, even if the timer has not
    run yet. An association no longer holds an item that another claim has taken over. Drafts, unanswered questions and
    the time to dispute end at their stored instants.
    """
    case = Case(
        claim=stored.claim,
        slots=stored.slots,
        rivals=stored.rivals,
        refusals=stored.refusals,
        stored=stored,
        now=now,
    )
    return _lose_items_taken_over(_become_official(_lapse(case, now), now), now)


def as_of(case: Case, now: datetime) -> Case:
    """Return the case as it is at *now*. If *case* is of another instant, its stored rows are settled again."""
    return case if case.now == now else settle(case.stored, now)


def _lapse(case: Case, now: datetime) -> Case:
    """End a draft, an unanswered question or the time to dispute, each at the stored instant `due` of the claim."""
    while (due := case.claim.due) is not None and due <= now:
        match case.claim.status:
            case Status.DRAFT:
                case = case.record(Act.LAPSED, CLOCK, due, to=Status.DELETED)
            case Status.PARTNER_ACTION_REQUIRED:
                case = leave_slots(case, due).record(
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
            case _:  # the reviewer is late: the claim is shown as overdue, and stays in its state
                break
    return case


def _become_official(case: Case, now: datetime) -> Case:
    ends_at = case.claim.window_ends_at
    if case.claim.status is not Status.AWAITING_CUSTOMER or ends_at is None or now < ends_at:
        return case
    for key, slot in sorted(case.own_slots().items()):
        if slot.holder is not None and slot.holder.claim in case.rivals:
            case = _end_rivals_item(case, slot.holder.claim, key, ends_at)
    case = case.with_slots({key: slot.at(now) for key, slot in case.own_slots().items()})
    return add_mail(
        case.record(Act.MADE_OFFICIAL, CLOCK, ends_at, to=Status.OFFICIAL, official_since=ends_at),
        MailKind.OFFICIAL_CONFIRMATION,
        ends_at,
    )


def _end_rivals_item(case: Case, rival_id: str, key: str, at: datetime) -> Case:
    """End one item of the incumbent. If the item is the last one, the association ends too."""
    rival = case.rivals[rival_id]
    if rival.status is not Status.OFFICIAL or not rival.holds(key):
        return case
    ended = (*rival.ended_items, EndedItem(key=key, at=at, reason=Reason.SUPERSEDED))
    if len(ended) < len(rival.items):
        return case.record_rival(rival_id, Act.ITEM_ENDED, CLOCK, at, reason=Reason.SUPERSEDED, ended_items=ended)
    mails, count = with_mail(rival, MailKind.CLOSING, at, Reason.SUPERSEDED)
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
    End each item that another claim has taken over by *now*, at the instant of the takeover.

    The items end in the order of instant, claim id and item key. The claims that took them over write their history
    entries in the same order.
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
        case = end_items(case, (key,), CLOCK, at, Reason.SUPERSEDED)
    return case


def taken_over_by_others(case: StoredCase, now: datetime) -> frozenset[str]:
    """
    Return the ids of other claims that have become official at this claim's slots, but whose rows do not say so yet.

    These claims must be settled before this case's slots are written. Otherwise the write would lose the instants of
    their takeovers, and the former holders would never end.
    """
    return frozenset(
        slot.awaiting.claim
        for slot in case.own_slots().values()
        if slot.awaiting is not None
        and slot.awaiting.claim != case.claim.id
        and slot.awaiting.takes_over_at is not None
        and slot.awaiting.takes_over_at <= now
    )


def holders_to_supersede(case: StoredCase, now: datetime) -> frozenset[str]:
    """Return the ids of the associations that end because this claim has become official by *now*."""
    ends_at = case.claim.window_ends_at
    if case.claim.status is not Status.AWAITING_CUSTOMER or ends_at is None or now < ends_at:
        return frozenset()
    return frozenset(slot.holder.claim for slot in case.own_slots().values() if slot.holder is not None)


def taken_over_before(holder: StoredCase, successor: Claim) -> frozenset[str]:
    """
    Return the ids of the claims that took over an item of *holder* before *successor* took over another one.

    These claims must be stored first. Otherwise the holder's stored history would differ from the history that callers
    have read.
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
