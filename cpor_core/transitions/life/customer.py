"""What happens in the customer's window: the notice, the customer's no, and taking the no back."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from cpor_core.errors import Refused
from cpor_core.model.claim import (
    OPEN,
    UNDECIDED,
    Claim,
    DueMail,
    MailKind,
    No,
    Promise,
    Reason,
    Recipient,
    Speaker,
    Status,
    TimeToAnswer,
)
from cpor_core.model.history import PROGRAMME, Act, Actor, spoken_by
from cpor_core.transitions.claim_case import Case, invalid_state
from cpor_core.transitions.life.slots import each_slot, is_given_away, leave_slots, verify_no_other_awaits
from cpor_core.transitions.life.steps import add_closing_mail, add_mail, end, require, what_is_asked


def promise(case: Case, promised: Promise, recipients: tuple[Recipient, ...]) -> Case:
    """Record the content of the notice before the mail is sent (decision 17). Raises `InvalidState`."""
    require(case, "announced", Status.AWAITING_CUSTOMER)
    return case.changed(promise=promised, recipients=recipients)


def hand_over(
    case: Case, number: int, at: datetime, *, failed: Iterable[int] = (), waiting: Iterable[int] = ()
) -> Case:
    """
    Record that the notice of promise *number* was handed over to the mail system. Only a hand-over opens the window.

    The recipients *failed* will never get the notice. The recipients *waiting* must still get it, because their server
    did not take it yet. The hand-over is recorded even if the claim has changed meanwhile. If the claim was closed, the
    notified people get a closing mail. If the claim was declined, its promise stays: the customer can take the no back
    until the promised end.
    """
    if case.claim.promise is None or case.claim.promise.number != number or case.claim.opened_at is not None:
        return case
    promised, status = case.claim.promise, case.claim.status
    notified = set(promised.recipients) - {*failed, *waiting}
    recipients = mark_notified(_mark_failed(case.claim.recipients, failed), notified)
    opened_at = None if status in UNDECIDED else at  # a delivery report came earlier and stopped the window
    case = case.record(Act.CUSTOMER_TOLD, PROGRAMME, at, opened_at=opened_at, told=True, recipients=recipients)
    if status in (Status.WITHDRAWN, Status.REJECTED, Status.REJECTED_FINAL):
        return add_closing_mail(case, at)
    if status is not Status.AWAITING_CUSTOMER:
        return case
    reached = {recipient.number for recipient in recipients} - set(waiting)
    if set(waiting):
        notice = DueMail(number=number, kind=MailKind.NOTICE, since=at, sent_to=tuple(sorted(reached)))
        case = case.changed(mails=(*case.claim.mails, notice))
    return each_slot(case, lambda slot: slot.with_awaiting(case.claim.id, case.claim.organisation, promised.ends_at))


def mark_notified(recipients: tuple[Recipient, ...], numbers: Collection[int]) -> tuple[Recipient, ...]:
    """Mark the recipients with these numbers as notified."""
    return tuple(r.model_copy(update={"told": r.told or r.number in numbers}) for r in recipients)


def _mark_failed(recipients: tuple[Recipient, ...], numbers: Iterable[int]) -> tuple[Recipient, ...]:
    """Mark the recipients with these numbers as failed. All recipients keep their numbers."""
    failed = set(numbers)
    return tuple(r.model_copy(update={"failed": r.failed or r.number in failed}) for r in recipients)


def customer_unreachable(case: Case, at: datetime, *, answer_by: TimeToAnswer, failed: Iterable[int]) -> Case:
    """Stop the window, because no recipient can be notified. The partner must name another contact (decision 25)."""
    require(case, "reported unreachable", Status.AWAITING_CUSTOMER)
    case = case.record(
        Act.CUSTOMER_UNREACHABLE,
        PROGRAMME,
        at,
        to=Status.PARTNER_ACTION_REQUIRED,
        reason=Reason.CUSTOMER_UNREACHABLE,
        opened_at=None,
        recipients=_mark_failed(case.claim.recipients, failed),
        **what_is_asked(case.claim, (Reason.CUSTOMER_UNREACHABLE,), answer_by),
    )
    ends_at = answer_by.ends_at
    return each_slot(
        case,
        lambda slot: slot.without(case.claim.id, at).with_claimant(case.claim.id, case.claim.organisation, ends_at),
    )


def recipient_failed(case: Case, actor: Actor, at: datetime, number: int, *, answer_by: TimeToAnswer) -> Case:
    """
    Record that a recipient cannot be reached, or is not the right person (decisions 24, 25).

    If the claim awaits the customer and no other recipient of the notice is left, the window stops. Otherwise the
    failure only becomes a history entry, and the reviewer can see it there.
    """
    known = next((r for r in case.claim.recipients if r.number == number and not r.failed), None)
    if known is None:
        return case
    promised = case.claim.promise
    if case.claim.status is Status.AWAITING_CUSTOMER and promised is not None:
        remaining = {r.number for r in case.claim.reachable()} & set(promised.recipients) - {number}
        if not remaining:
            return customer_unreachable(case, at, answer_by=answer_by, failed=(number,))
    recipients = _mark_failed(case.claim.recipients, (number,))
    return case.record(Act.RECIPIENT_FAILED, actor, at, recipients=recipients)


def decline(case: Case, speaker: Speaker, at: datetime) -> Case:
    """
    Record the customer's no, which arrived at *at*. The no declines an open claim, and ends an association.

    While a no can be taken back, a higher voice can take it over by saying no too (decision 20a). Raises `InvalidState`
    if the claim is closed, or is declined and this speaker cannot take the no over.
    """
    claim, no = case.claim, No(by=speaker, at=at)
    if claim.status is Status.OFFICIAL:
        return end(case, spoken_by(speaker), at, Reason.CUSTOMER_OPTED_OUT).changed(no=no)
    if claim.status is Status.DECLINED:
        return _take_over_no(case, no)
    if claim.status not in OPEN:
        raise invalid_state(claim, "declined")
    undoable = claim.status is Status.AWAITING_CUSTOMER and claim.promise is not None
    recipients = claim.recipients
    if claim.promise is not None and not claim.told:
        # The person who says no has the notice, even if the hand-over is not recorded yet.
        recipients = mark_notified(recipients, claim.promise.recipients)
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
        case = each_slot(
            case,
            lambda slot: slot.without(claim.id, at).with_claimant(claim.id, claim.organisation, ends_at, declined=True),
        )
    else:
        case = leave_slots(case, at)
    return add_mail(case, MailKind.DECLINE_CONFIRMATION, at)


def can_take_over_no(claim: Claim, speaker: Speaker, now: datetime) -> bool:
    """Whether a speaker can take over the no of a declined claim: a lower voice said it, and it can be taken back."""
    return claim.can_be_undone(now) and claim.no is not None and speaker.outranks(claim.no.by)


def _take_over_no(case: Case, no: No) -> Case:
    """
    Let a higher voice take over the no. From then on only that person, or a higher voice, can take the no back.

    The notified people get another confirmation, because the first one may have offered to take the no back. Raises
    `InvalidState` if the speaker cannot take the no over.
    """
    claim = case.claim
    if not can_take_over_no(claim, no.by, no.at):
        since = f" since {claim.no.at:%Y-%m-%dT%H:%M:%SZ}" if claim.no is not None else ""
        raise Refused(
            "InvalidState",
            f"The request is declined already{since}.",
            target="status",
            resolution="Nothing needs to be done: the no is in force.",
        )
    case = case.record(
        Act.DECLINED, spoken_by(no.by), no.at, to=Status.DECLINED, no=no, mails=_mails_without_confirmation(claim)
    )
    return add_mail(case, MailKind.DECLINE_CONFIRMATION, no.at)


def _mails_without_confirmation(claim: Claim) -> tuple[DueMail, ...]:
    """Return the due mails without the confirmation of the former no, because it is no longer true."""
    return tuple(mail for mail in claim.mails if mail.kind is not MailKind.DECLINE_CONFIRMATION)


def undo_decline(case: Case, speaker: Speaker, at: datetime) -> Case:
    """
    Take the customer's no back before the window's end. The same person or a higher voice can do it.

    Raises `InvalidState` if the no cannot be taken back, and `DeclineNotYours` if this speaker must not take it
    back. Raises `SlotAwaitsCustomer` if another claim has one of the slots.
    """
    claim = case.claim
    if not claim.can_be_undone(at):
        raise invalid_state(claim, "taken back")
    if not speaker.may_take_back(claim.no):
        raise Refused(
            "DeclineNotYours",
            "Another person of the organisation said no, and that no is in force.",
            resolution="The person who said no can take it back, or a person of a higher rank: a registered notice "
            "address ranks above the contact whom the partner named, the tenant's administrator above both.",
        )
    verify_no_other_awaits(case, at)
    if is_given_away(case, at):
        raise Refused(
            "SlotAwaitsCustomer",
            "Another claim has the item now.",
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
        mails=_mails_without_confirmation(claim),
    )
    if case.refusals is not None:
        case = replace(case, refusals=case.refusals.without(claim.id))
    return each_slot(
        case,
        lambda slot: slot.with_claimant(claim.id, claim.organisation).with_awaiting(
            claim.id, claim.organisation, takes_over_at
        ),
    )
