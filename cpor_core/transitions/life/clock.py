"""What time alone changes in a claim."""

from datetime import datetime

from cpor_core.model.claim import Claim, EndedItem, MailKind, Reason, Status
from cpor_core.model.history import CLOCK, Act
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life.slots import leave_slots
from cpor_core.transitions.life.steps import DISPUTE_PERIOD, add_mail, end_items, with_mail


def settle(stored: StoredCase, now: datetime) -> Case:
    """
    Return the case as it is at *now*: each move that time has made is recorded at its own instant.

    A claim whose customer was notified and whose window has ended is official, whether or not the timer has run. An
    item that a successor has taken over is no longer held. What lapses by itself has lapsed.
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
    """Return the case at *now*; at another instant than its own it is worked out again from its rows."""
    return case if case.now == now else settle(case.stored, now)


def _lapse(case: Case, now: datetime) -> Case:
    """Let drafts and unanswered questions lapse, and rejections become final, each at its stored instant `due`."""
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
            case _:  # a reviewer's time may run out: callers see that, and time decides nothing
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
    """End one item of the incumbent; the association ends with its last item."""
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
    End each item whose slot has another holder by now, at the instant of the takeover.

    The order is that in which the successors write it down: by instant, claim and item.
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
    Return the ids of other claims that have become official on this claim's slots, before that is stored.

    These claims must be settled before this case's slots are written. Otherwise the instant of their takeover would be
    overwritten, and with it the end of the former holder.
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
    Return the ids of claims that took over other items of *holder* before *successor* takes over its own.

    These claims must be written down first. Otherwise the holder's history would differ from what callers have read.
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
