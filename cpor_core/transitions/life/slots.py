"""The slots of a claim's items: the places that it takes and leaves, and who else has one."""

from collections.abc import Callable
from datetime import datetime

from cpor_core.errors import Conflict, Refused
from cpor_core.model.claim import Claim, Status
from cpor_core.model.slot import MAX_CLAIMANTS, Slot
from cpor_core.transitions.claim_case import Case, StoredCase


def verify_places(case: StoredCase) -> None:
    """
    Raise `Conflict` for a stored case whose slots contradict its claim.

    One of the two is older: they were read at two instants, and somebody wrote both in between. An act that went by
    them would leave an ended association in its slot, or supersede itself.
    """
    if not is_whole(case):
        message = f"claim {case.claim.id} is {case.claim.status.value}, but a slot of it knows it otherwise"
        raise Conflict(message)


def is_whole(case: StoredCase) -> bool:
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


def competing_claims(case: Case, at: datetime) -> frozenset[str]:
    """Return the other claims, open or official, that stand at the same slots as this one."""
    found: set[str] = set()
    for key in case.claim.slot_keys:
        standing = {party.claim for party in case.slots[key].at(at).others("") if not party.declined}
        if case.claim.id in standing:
            found |= standing - {case.claim.id}
    return frozenset(found)


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


def each_slot(case: Case, change: Callable[[Slot], Slot]) -> Case:
    """Change every slot of the claim's items."""
    return case.with_slots({key: change(slot) for key, slot in case.own_slots().items()})


def take_place(case: Case, at: datetime) -> Case:
    """Enter the claim among the claimants of its items. Raises `SlotCrowded`."""
    for key, slot in case.own_slots().items():
        if len(slot.at(at).without(case.claim.id, at).claimants) >= MAX_CLAIMANTS:
            raise Refused(
                "SlotCrowded",
                f"{MAX_CLAIMANTS} undecided claims for this item are waiting already.",
                target=key,
                resolution="Try again when some of them have been decided.",
            )
    return each_slot(case, lambda slot: slot.at(at).with_claimant(case.claim.id, case.claim.organisation))


def leave_slots(case: Case, at: datetime) -> Case:
    """Take the claim out of every slot in which it has a place."""
    return case.with_slots({key: case.slots[key].without(case.claim.id, at) for key in case.claim.slot_keys})
