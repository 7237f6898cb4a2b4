"""The case: one claim with its slots, as an act finds it and as it leaves it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from cpor_core.errors import Refused
from cpor_core.model.claim import Claim, Reason, Status
from cpor_core.model.history import Act, Actor, Entry, entry
from cpor_core.model.slot import Party, Refusals, Slot
from cpor_core.rules.partner_mail import owed_after

REFUSALS = "refusals"
"""Under this name the ETag of the refusals' row lies in `Case.etags`."""
Versioned = TypeVar("Versioned", Claim, Slot, Refusals)


@dataclass(frozen=True, slots=True)
class Case:
    """
    A claim, the slots of its items, and the other claims that the act changes too (`rivals`).

    A transition takes a case and returns the next one; `entries` are the history entries it made, with the claim they
    belong to. Nothing is stored until the use case commits the result as one entity-group transaction.
    """

    claim: Claim
    slots: Mapping[str, Slot]
    rivals: Mapping[str, Claim] = field(default_factory=dict)
    entries: tuple[tuple[str, Entry], ...] = ()
    refusals: Refusals | None = None
    """The customer's earlier refusals of the same partner; read only for acts that count them."""
    etags: Mapping[str, str] = field(default_factory=dict)
    """ETags of the rows as they were read, by claim id or slot key: the store writes over no newer ones."""

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
        """Return the case with the claim changed and the entry that says so."""
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
        """Return the case with another claim changed and the entry that says so."""
        claim, made = _recorded(self.rivals[rival], act, actor, at, to=to, reason=reason, changes=changes)
        return replace(self, rivals={**self.rivals, rival: claim}, entries=(*self.entries, (rival, made)))

    def changed(self, **changes: object) -> "Case":
        """Return the case with the claim changed and no history entry: nothing happened that anybody must know."""
        return replace(self, claim=self.claim.model_copy(update=changes))

    def with_claims(self, claim: Claim, rivals: Mapping[str, Claim]) -> "Case":
        """Return the case with other versions of its claim and rivals."""
        return replace(self, claim=claim, rivals=rivals)

    def with_slots(self, slots: Mapping[str, Slot]) -> "Case":
        """Return the case with these slots in place of those of the same keys."""
        return replace(self, slots={**self.slots, **slots})

    def with_rivals(self, others: Iterable["Case"]) -> "Case":
        """Return the case with other claims beside it, to be changed in the same transaction."""
        rivals, etags = dict(self.rivals), dict(self.etags)
        for other in others:
            rivals[other.claim.id] = other.claim
            etags[other.claim.id] = other.etags[other.claim.id]
        return replace(self, rivals=rivals, etags=etags)

    def with_refusals(self, refusals: Refusals, etag: str | None) -> "Case":
        """Return the case with the customer's earlier refusals beside it; *etag* is the store's, of the row as read."""
        etags = self.etags if etag is None else {**self.etags, REFUSALS: etag}
        return replace(self, refusals=refusals, etags=etags)

    def own_slots(self) -> Mapping[str, Slot]:
        """Return the slots of the claim's own items."""
        return {item.key: self.slots[item.key] for item in self.claim.items}

    def rival_parties(self, now: datetime) -> tuple[Party, ...]:
        """Return everybody else who holds, awaits or claims one of the claim's items at *now*."""
        return tuple(party for slot in self.own_slots().values() for party in slot.at(now).others(self.claim.id))

    def written_over(self, before: "Case") -> "Case":
        """Return the case with the version of every claim and slot that differs from *before* raised by one."""
        return replace(
            self,
            claim=_raised(self.claim, before.claim),
            rivals={name: _raised(rival, before.rivals[name]) for name, rival in self.rivals.items()},
            slots={key: _raised(slot, before.slots[key]) for key, slot in self.slots.items()},
            refusals=_raised(self.refusals, before.refusals) if self.refusals and before.refusals else self.refusals,
        )


def _raised(after: Versioned, before: Versioned) -> Versioned:
    return after if after == before else after.model_copy(update={"version": before.version + 1})


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
        moved = {"status": to, "status_since": at, "status_reason": reason, "due": None}
    if claim.contacts is not None:  # else nobody named anybody who could be told
        moved["partner_mails"] = owed_after(claim.partner_mails, made)
    update = {**moved, "updated_at": at, "history_length": made.sequence, "history_hash": made.hash, **changes}
    return claim.model_copy(update=update), made


def invalid_state(claim: Claim, act: str) -> Refused:
    """Return the refusal that names the state which forbids *act*, and what can be done instead."""
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
    (Status.SUBMITTED, "approved"): "Take the review up first: POST /reviews/{claimId}/start.",
    (Status.SUBMITTED, "rejected"): "Take the review up first: POST /reviews/{claimId}/start.",
    (Status.SUBMITTED, "sent back to its partner"): "Take the review up first: POST /reviews/{claimId}/start.",
    (Status.SUBMITTED, "stripped of items"): "Take the review up first: POST /reviews/{claimId}/start.",
}
"""What a caller wants who tries an act in a state that has another one for it."""
