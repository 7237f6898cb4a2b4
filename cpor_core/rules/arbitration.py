"""
Names the rule that speaks for one of several claims for an item, and the facts behind it (decision 12).

The answer helps the reviewer. It decides nothing.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import Claim
from cpor_core.model.slot import Slot


class RuleCode(StrEnum):
    """The rules of arbitration. The first one that fits applies."""

    AWAITS_CUSTOMER = "awaitsCustomer"
    """A claim awaits the customer. No other claim for the item can be approved until then (decision 11)."""
    NEWEST_ACKNOWLEDGEMENT = "newestAcknowledgement"
    """The most recent evidence of work decides: the newest date on which the customer acknowledged the work."""


class Place(StrEnum):
    """What a claim is at a slot."""

    HOLDER = "holder"
    AWAITING = "awaiting"
    CLAIMANT = "claimant"


class Fact(Value):
    """The facts of one claim. `signedOn` is null if no file of the claim has a date."""

    claim_id: str
    place: Place
    signed_on: date | None
    takes_over_at: Instant | None


class Rule(Value):
    """The rule for an item. `favours` is the id of a claim, or null if the rule speaks for none."""

    code: RuleCode
    favours: str | None
    facts: tuple[Fact, ...]


def rule_at(slot: Slot, claims: Mapping[str, Claim]) -> Rule:
    """
    Return the rule for the claims that hold, await or claim an item. Claims with a no of the customer do not count.

    *slot* is the slot as of now, and *claims* are the claims at it by claim id. If two claims have the same newest
    date, or no claim has a date, the rule favours none.
    """
    places = {claimant.claim: Place.CLAIMANT for claimant in slot.claimants if not claimant.declined}
    if slot.awaiting is not None:
        places[slot.awaiting.claim] = Place.AWAITING
    if slot.holder is not None:
        places[slot.holder.claim] = Place.HOLDER
    facts = tuple(
        Fact(
            claim_id=name,
            place=place,
            signed_on=_signed_on(claims[name]),
            takes_over_at=slot.awaiting.takes_over_at if slot.awaiting and place is Place.AWAITING else None,
        )
        for name, place in sorted(places.items())
        if name in claims
    )
    if slot.awaiting is not None:
        return Rule(code=RuleCode.AWAITS_CUSTOMER, favours=slot.awaiting.claim, facts=facts)
    newest = max((fact.signed_on for fact in facts if fact.signed_on is not None), default=None)
    best = [fact.claim_id for fact in facts if newest is not None and fact.signed_on == newest]
    return Rule(
        code=RuleCode.NEWEST_ACKNOWLEDGEMENT,
        favours=best[0] if len(best) == 1 else None,
        facts=facts,
    )


def _signed_on(claim: Claim) -> date | None:
    return max((file.signed_on for file in claim.evidence if file.signed_on is not None), default=None)
