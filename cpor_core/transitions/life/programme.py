"""The acts of the programme on a claim."""

from collections.abc import Collection, Sequence
from datetime import datetime

from cpor_core.errors import Refused
from cpor_core.model.claim import OPEN, UNDECIDED, MailKind, Reason, Recipient, Status, StruckItem, TimeToAnswer
from cpor_core.model.history import PROGRAMME, Act, Actor
from cpor_core.model.slot import Holder
from cpor_core.rules.untold import Untold, untold
from cpor_core.transitions.claim_case import Case, StoredCase, invalid_state
from cpor_core.transitions.life.slots import each_slot, leave_slots, verify_no_other_awaits
from cpor_core.transitions.life.steps import (
    DISPUTE_PERIOD,
    add_closing_mail,
    add_mail,
    await_customer,
    end_items,
    held,
    require,
    strike,
    what_is_asked,
)


def start_review(case: Case, actor: Actor, at: datetime, *, decide_by: datetime, taken_by: str | None = None) -> Case:
    """Start the review of a submitted claim. *taken_by* is the reviewer's `oid`. Raises `InvalidState`."""
    require(case, "put under review", Status.SUBMITTED)
    return case.record(Act.REVIEW_STARTED, actor, at, to=Status.UNDER_REVIEW, due=decide_by, taken_by=taken_by)


def release_review(case: Case, actor: Actor, at: datetime, *, decide_by: datetime | None) -> Case:
    """
    Give a review back, so that another reviewer can start it. The time to decide goes on (decision 52).

    *decide_by* is the end of this time. Raises `InvalidState`.
    """
    require(case, "given back", Status.UNDER_REVIEW)
    return case.record(Act.REVIEW_RELEASED, actor, at, to=Status.SUBMITTED, due=decide_by, given_back=True)


def request_information(
    case: Case, actor: Actor, at: datetime, reasons: Sequence[Reason], *, answer_by: TimeToAnswer
) -> Case:
    """
    Ask the partner for more information. Each reason becomes one history entry. Raises `InvalidState`.

    The holder of a contested item can be asked for evidence too. Its association stays official (decision 15).
    """
    if case.claim.status is Status.OFFICIAL and case.rival_parties(at):
        for reason in reasons:
            case = case.record(Act.INFORMATION_REQUESTED, actor, at, reason=reason, evidence_by=answer_by.ends_at)
        return case
    require(case, "sent back to its partner", Status.UNDER_REVIEW)
    asked = what_is_asked(case.claim, reasons, answer_by)
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
    return each_slot(case, lambda slot: slot.with_claimant(case.claim.id, case.claim.organisation, ends_at))


def strike_items(case: Case, actor: Actor, at: datetime, keys: Collection[str], reason: Reason) -> Case:
    """Remove items that the evidence does not cover. If no item is left, the claim is rejected (`allItemsStruck`)."""
    require(case, "stripped of items", Status.UNDER_REVIEW, Status.DISPUTED)
    return strike(case, actor, at, keys, reason)


def approve(case: Case, actor: Actor, at: datetime) -> Case:
    """
    Approve a claim under review, or uphold a dispute; the customer is notified next.

    The approval decides the arbitration: the other undecided claimants lose the contested items (`lostArbitration`). An
    official holder stays until this claim's window has ended without a no. Raises `InvalidState`. Raises
    `SlotAwaitsCustomer` while another claim awaits the customer for one of the items.
    """
    require(case, "approved", Status.UNDER_REVIEW, Status.DISPUTED)
    verify_no_other_awaits(case, at)
    for rival in case.rivals:
        case = _lose_arbitration(case, rival, at)
    case = each_slot(case, lambda slot: slot.with_claimant(case.claim.id, case.claim.organisation))
    return await_customer(case, Act.APPROVED, actor, at)


def claimants_to_refuse(case: StoredCase, at: datetime) -> frozenset[str]:
    """Return the ids of the other claimants. An approval refuses those that are undecided."""
    return frozenset(
        claimant.claim
        for slot in case.own_slots().values()
        for claimant in slot.at(at).claimants
        if claimant.claim != case.claim.id
    )


def _lose_arbitration(case: Case, rival_id: str, at: datetime) -> Case:
    """Remove the contested items from another undecided claim. If no item is left, this claim is rejected."""
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
    """Reject a claim under review, or reject a disputed claim for ever. Raises `InvalidState`."""
    require(case, "rejected", Status.UNDER_REVIEW, Status.DISPUTED)
    final = case.claim.status is Status.DISPUTED
    return leave_slots(case, at).record(
        Act.FINALLY_REJECTED if final else Act.REJECTED,
        actor,
        at,
        to=Status.REJECTED_FINAL if final else Status.REJECTED,
        reason=reason,
        due=None if final else at + DISPUTE_PERIOD,
    )


def revoke(case: Case, actor: Actor, at: datetime) -> Case:
    """Revoke a claim that awaits the customer, or end an association. Raises `InvalidState`."""
    if case.claim.status is Status.OFFICIAL:
        return end_items(case, held(case.claim), actor, at, Reason.REVOKED_BY_PROGRAMME, act=Act.REVOKED)
    require(case, "revoked", Status.AWAITING_CUSTOMER)
    case = leave_slots(case, at).record(
        Act.REVOKED,
        actor,
        at,
        to=Status.REJECTED,
        reason=Reason.REVOKED_BY_PROGRAMME,
        due=at + DISPUTE_PERIOD,
    )
    return add_closing_mail(case, at)


def enter_past(case: Case, actor: Actor, at: datetime, *, since: datetime, recipients: tuple[Recipient, ...]) -> Case:
    """
    Store an association of the past. It is official since *since*, and holds its items from now on (decision 33).

    The *recipients* get a mail. Raises `SlotHeld`. Raises `InvalidState` for a claim that already has a history.
    """
    claim = case.claim
    if claim.history_length:
        raise invalid_state(claim, "entered as an association of the past")
    for key, stored in case.own_slots().items():
        holder = stored.at(at).holder
        awaiting = stored.at(at).awaiting  # this claim would take the item over without a reviewer's decision
        if (
            holder is not None and holder.claim != claim.id
        ) or awaiting is not None:  # its own holder means a second import
            raise Refused(
                "SlotHeld",
                f"Another association already holds {key}, or the customer is being asked about a claim for it.",
                target="item",
                resolution="If the other association is wrong, end it first.",
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
    case = each_slot(case, lambda slot: slot.at(at).changed(holder=held))
    return add_mail(case, MailKind.IMPORTED, at)


def notify_others(case: Case, at: datetime, people: Sequence[Recipient]) -> Case:
    """
    Add a due mail about an imported association to *people*, if no other person has it or will get it (decision 65).

    Addresses that are recipients already get no second mail. The new recipients get the next numbers.
    """
    claim = case.claim
    if untold(claim) not in (Untold.NOBODY_TO_TELL, Untold.EVERYBODY_FAILED):
        return case
    known = {recipient.email.lower() for recipient in claim.recipients}
    new = [person for person in people if person.email.lower() not in known]
    if not new:
        return case
    numbered = (person.model_copy(update={"number": n}) for n, person in enumerate(new, start=len(known) + 1))
    mails = tuple(mail for mail in claim.mails if mail.kind is not MailKind.IMPORTED)
    case = case.changed(recipients=(*claim.recipients, *numbered), told=True, mails=mails)
    return add_mail(case, MailKind.IMPORTED, at)


def end_gone_items(case: Case, at: datetime, keys: Sequence[str]) -> Case:
    """
    Remove items that are no longer on the tenant from an association or an open claim.

    If no item is left, the association ends, or the claim is rejected. This rejection (`subscriptionEnded`) cannot be
    disputed.
    """
    if keys and case.claim.status is Status.OFFICIAL:
        return end_items(case, tuple(keys), PROGRAMME, at, Reason.SUBSCRIPTION_ENDED)
    if not keys or case.claim.status not in OPEN:
        return case
    was_notified = case.claim.status is Status.AWAITING_CUSTOMER
    case = strike(case, PROGRAMME, at, keys, Reason.SUBSCRIPTION_ENDED)
    return add_closing_mail(case, at) if was_notified and case.claim.status is not Status.AWAITING_CUSTOMER else case
