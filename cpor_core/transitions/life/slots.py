"""The slots of a claim's items: how the claim enters and leaves them, and which other claims are in them."""

from collections.abc import Callable
from datetime import datetime

from cpor_core.errors import Conflict, Refused
from cpor_core.model.claim import Claim, Status
from cpor_core.model.slot import MAX_CLAIMANTS, Slot
from cpor_core.transitions.claim_case import Case, StoredCase


def verify_places(case: StoredCase) -> None:
    """
    Raise `Conflict` if the slots of a case contradict its claim.

    A claim and its slots are read one after the other. If another act writes both rows between the two reads, the case
    mixes rows of two instants. An act on such a case could leave an ended association in its slot, or let a claim
    supersede itself.
    """
    if not is_whole(case):
        message = f"claim {case.claim.id} is {case.claim.status.value}, but one of its slots contradicts that"
        raise Conflict(message)


def is_whole(case: StoredCase) -> bool:
    """Whether each slot of the claim names the claim in the role that the state of the claim requires."""
    return all(_has_its_place(case.claim, key, slot) for key, slot in case.own_slots().items())


def _has_its_place(claim: Claim, key: str, slot: Slot) -> bool:
    match claim.status:
        case Status.OFFICIAL:
            return not claim.holds(key) or (slot.holder is not None and slot.holder.claim == claim.id)
        case Status.AWAITING_CUSTOMER:
            return slot.awaiting is not None and slot.awaiting.claim == claim.id
        case Status.SUBMITTED | Status.UNDER_REVIEW | Status.DISPUTED:
            awaits = slot.awaiting is not None and slot.awaiting.claim == claim.id  # it would have been approved since
            return not awaits and any(claimant.claim == claim.id for claimant in slot.claimants)
        case _:  # the claim is in no slot, or enters its slots at the next submission
            return True


def competing_claims(case: Case, at: datetime) -> frozenset[str]:
    """Return the ids of the other open or official claims at the slots that this claim is in."""
    found: set[str] = set()
    for key in case.claim.slot_keys:
        present = {party.claim for party in case.slots[key].at(at).others("") if not party.declined}
        if case.claim.id in present:
            found |= present - {case.claim.id}
    return frozenset(found)


def verify_no_other_awaits(case: Case, at: datetime) -> None:
    """Raise `SlotAwaitsCustomer` while another claim awaits the customer for one of the items (decision 11)."""
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
    Whether a no can no longer be taken back, because another claim has one of the slots.

    The other claim awaits the customer for one of the items, or has become the holder of an item after the no.
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
    """Add the claim to the claimants of all its slots. Raises `SlotCrowded`."""
    for key, slot in case.own_slots().items():
        if len(slot.at(at).without(case.claim.id, at).claimants) >= MAX_CLAIMANTS:
            raise Refused(
                "SlotCrowded",
                f"There are already {MAX_CLAIMANTS} undecided claims for this item.",
                target=key,
                resolution="Try again when some of them have been decided.",
            )
    return each_slot(case, lambda slot: slot.at(at).with_claimant(case.claim.id, case.claim.organisation))


def leave_slots(case: Case, at: datetime) -> Case:
    """Remove the claim from all its slots."""
    return case.with_slots({key: case.slots[key].without(case.claim.id, at) for key in case.claim.slot_keys})
