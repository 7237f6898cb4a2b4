"""
One claim with its slots, in two types: `StoredCase` has the values of the rows, `Case` is true at one instant.

A store returns a `StoredCase`. `settle` in `transitions/life/clock.py` makes a `Case` of it for an instant. Acts and
views take only a `Case`. mypy refuses a `StoredCase` there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from cpor_core.errors import Refused
from cpor_core.model.claim import Claim, Reason, Status
from cpor_core.model.history import Act, Actor, Entry, entry
from cpor_core.model.slot import Party, Refusals, Slot
from cpor_core.rules.partner_mail import still_due_after

REFUSALS = "refusals"
"""The key of the ETag of the refusals' row in `StoredCase.etags`."""
Versioned = TypeVar("Versioned", Slot, Refusals)


@dataclass(frozen=True, slots=True)
class _ClaimAndSlots:
    """The fields that a stored case and a case have in common."""

    claim: Claim
    slots: Mapping[str, Slot]
    """The slots of the claim's items, by item key."""
    rivals: Mapping[str, Claim] = field(default_factory=dict)
    """The other claims that the act can change too, by claim id."""
    refusals: Refusals | None = None
    """The customer's earlier refusals of the same partner. They are read only for acts that need them."""

    def own_slots(self) -> Mapping[str, Slot]:
        """Return the slots of the claim's present items, by item key."""
        return {item.key: self.slots[item.key] for item in self.claim.items}


@dataclass(frozen=True, slots=True)
class StoredCase(_ClaimAndSlots):
    """
    A claim and its slots with the values of their rows. Time may have changed the claim since the rows were written.

    Due work, indexes and transactions use this type, because they are about rows. Callers of the API see a `Case`.
    """

    etags: Mapping[str, str] = field(default_factory=dict)
    """The ETags of the rows that were read, by claim id or slot key. The store overwrites no row with another ETag."""

    def with_rivals(self, others: Iterable["StoredCase"]) -> "StoredCase":
        """Return the case with other claims, so that the same transaction can change them."""
        rivals, etags = dict(self.rivals), dict(self.etags)
        for other in others:
            rivals[other.claim.id] = other.claim
            etags[other.claim.id] = other.etags[other.claim.id]
        return replace(self, rivals=rivals, etags=etags)

    def with_refusals(self, refusals: Refusals, etag: str | None) -> "StoredCase":
        """Return the case with the customer's earlier refusals. *etag* is the ETag of their row, None without a row."""
        etags = self.etags if etag is None else {**self.etags, REFUSALS: etag}
        return replace(self, refusals=refusals, etags=etags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(_ClaimAndSlots):
    """
    A claim and its slots as they are at the instant `now`. `settle` makes a case.

    A transition takes a case and returns the next case. The use case stores the result in one entity-group transaction.
    """

    stored: StoredCase
    """The stored case from which `settle` made this case."""
    now: datetime
    """The instant of the case. All changes that time has made until then are in the case."""
    entries: tuple[tuple[str, Entry], ...] = ()
    """The history entries that are not stored yet, each with the id of its claim."""

    def record(
        self,
        act: Act,
        actor: Actor,
        at: datetime,
        *,
        to: Status | None = None,
        reason: Reason | None = None,
        **changes: object,
    ) -> "Case":
        """Return the case with the changed claim and a new history entry."""
        claim, made = _recorded(self.claim, act, actor, at, to=to, reason=reason, changes=changes)
        return replace(self, claim=claim, entries=(*self.entries, (claim.id, made)))

    def record_rival(
        self,
        rival: str,
        act: Act,
        actor: Actor,
        at: datetime,
        *,
        to: Status | None = None,
        reason: Reason | None = None,
        **changes: object,
    ) -> "Case":
        """Return the case with a changed rival and a new history entry of the rival."""
        claim, made = _recorded(self.rivals[rival], act, actor, at, to=to, reason=reason, changes=changes)
        return replace(self, rivals={**self.rivals, rival: claim}, entries=(*self.entries, (rival, made)))

    def changed(self, **changes: object) -> "Case":
        """Return the case with the changed claim and no history entry. Use it for facts that no caller needs."""
        return replace(self, claim=self.claim.model_copy(update=changes))

    def noted(self, reference: str | None, at: datetime) -> "Case":
        """Return the case with the partner's new reference. No history entry, because only the partner sees it."""
        if reference == self.claim.reference:
            return self
        return self.changed(reference=reference, notes=self.claim.notes + 1, noted_at=at)

    def with_claims(self, claim: Claim, rivals: Mapping[str, Claim]) -> "Case":
        """Return the case with this claim and these rivals instead of its own."""
        return replace(self, claim=claim, rivals=rivals)

    def with_slots(self, slots: Mapping[str, Slot]) -> "Case":
        """Return the case with these slots. They replace the slots with the same keys."""
        return replace(self, slots={**self.slots, **slots})

    def rival_parties(self, now: datetime) -> tuple[Party, ...]:
        """Return the other parties that hold, await or claim one of the claim's items at *now*."""
        return tuple(party for slot in self.own_slots().values() for party in slot.at(now).others(self.claim.id))

    def written(self) -> "Case":
        """Return the case as its transaction will store it. Each changed claim and slot gets the next version."""
        before = self.stored
        after = StoredCase(
            claim=_raised_claim(self.claim, before.claim),
            slots={key: _raised(slot, before.slots[key]) for key, slot in self.slots.items()},
            rivals={name: _raised_claim(rival, before.rivals[name]) for name, rival in self.rivals.items()},
            refusals=_raised(self.refusals, before.refusals) if self.refusals and before.refusals else self.refusals,
            etags=before.etags,
        )
        return replace(
            self, stored=after, claim=after.claim, slots=after.slots, rivals=after.rivals, refusals=after.refusals
        )

    def committed(self, stored: StoredCase) -> "Case":
        """Return the case after its transaction has stored *stored*. At `now`, time has made no further changes."""
        return Case(claim=stored.claim, slots=stored.slots, stored=stored, now=self.now)


def _raised(after: Versioned, before: Versioned) -> Versioned:
    return after if after == before else after.model_copy(update={"version": before.version + 1})


def _raised_claim(after: Claim, before: Claim) -> Claim:
    """Return the claim with its next version. A new note alone must not change `shared_version`."""
    if after == before:
        return after
    notes = after.notes - before.notes
    shared = after.model_copy(update={name: getattr(before, name) for name in ("reference", "notes", "noted_at")})
    return after.model_copy(update={"version": before.version + max(1, notes + (shared != before))})


def _recorded(
    claim: Claim,
    act: Act,
    actor: Actor,
    at: datetime,
    *,
    to: Status | None,
    reason: Reason | None,
    changes: Mapping[str, object],
) -> tuple[Claim, Entry]:
    made = entry(
        sequence=claim.history_length + 1,
        at=at,
        actor=actor,
        act=act,
        from_=claim.status if claim.history_length else None,
        to=to or claim.status,
        reason=reason,
        previous_hash=claim.history_hash,
    )
    moved: dict[str, object] = {}
    if to is not None and (to is not claim.status or not claim.history_length):
        moved = {
            "status": to,
            "status_since": at,
            "status_reason": reason,
            "due": None,
            "taken_by": None,
            "given_back": False,
        }
    if claim.contacts is not None:  # without contacts the claim has no address at the partner
        moved["partner_mails"] = still_due_after(claim.partner_mails, made)
    update = {**moved, "updated_at": at, "history_length": made.sequence, "history_hash": made.hash, **changes}
    return claim.model_copy(update=update), made


def invalid_state(claim: Claim, act: str) -> Refused:
    """Return a refusal of *act*. It names the present state, and what the caller can do instead."""
    return Refused(
        "InvalidState",
        f"A claim in the state {claim.status.value} cannot be {act}.",
        target="status",
        resolution=_INSTEAD.get((claim.status, act))
        or "Read the claim again: nextStep says who can do what, and until when.",
    )


_INSTEAD: Final[Mapping[tuple[Status, str], str]] = {
    (Status.DRAFT, "withdrawn"): "Delete the draft instead: DELETE /claims/{claimId}.",
    (Status.DRAFT, "resubmitted"): "Submit the draft: POST /claims/{claimId}/submit.",
    (Status.PARTNER_ACTION_REQUIRED, "submitted"): "Resubmit it: POST /claims/{claimId}/resubmit.",
    (Status.SUBMITTED, "deleted"): "Withdraw the claim instead: POST /claims/{claimId}/withdraw.",
    (Status.UNDER_REVIEW, "deleted"): "Withdraw the claim instead: POST /claims/{claimId}/withdraw.",
    (Status.PARTNER_ACTION_REQUIRED, "deleted"): "Withdraw the claim instead: POST /claims/{claimId}/withdraw.",
    (Status.AWAITING_CUSTOMER, "deleted"): "Withdraw the claim instead: POST /claims/{claimId}/withdraw.",
    (Status.OFFICIAL, "withdrawn"): "End the association instead: POST /associations/{associationId}/end.",
    (Status.OFFICIAL, "deleted"): "End the association instead: POST /associations/{associationId}/end.",
    (Status.SUBMITTED, "given back"): "No reviewer has taken the review up: POST /reviews/{claimId}/start does.",
    (Status.UNDER_REVIEW, "put under review"): (
        "A reviewer has taken the review up. You can decide the claim too. To take the review up yourself, first give "
        "it back: POST /reviews/{claimId}/release."
    ),
    (Status.SUBMITTED, "approved"): "Take the review up first: POST /reviews/{claimId}/start.",
    (Status.SUBMITTED, "rejected"): "Take the review up first: POST /reviews/{claimId}/start.",
    (Status.SUBMITTED, "sent back to its partner"): "Take the review up first: POST /reviews/{claimId}/start.",
    (Status.SUBMITTED, "stripped of items"): "Take the review up first: POST /reviews/{claimId}/start.",
}
"""The advice to the caller, by state and refused act."""
