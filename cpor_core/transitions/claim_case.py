"""
One claim with its slots, in two types: what its rows say, and what is true at one instant.

`StoredCase` is what a store returns. `settle` in `transitions/life/clock.py` makes the `Case` of an instant from it.
Acts change a `Case`, and views show one: mypy refuses a `StoredCase` there.
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
"""The name under which `StoredCase.etags` has the ETag of the refusals' row."""
Versioned = TypeVar("Versioned", Claim, Slot, Refusals)


@dataclass(frozen=True, slots=True)
class _ClaimAndSlots:
    """What a stored case and a case have in common."""

    claim: Claim
    slots: Mapping[str, Slot]
    """The slots of the claim's items, by item key."""
    rivals: Mapping[str, Claim] = field(default_factory=dict)
    """The other claims that the act changes too, by claim id."""
    refusals: Refusals | None = None
    """The customer's earlier refusals of the same partner; read only for acts that count them."""

    def own_slots(self) -> Mapping[str, Slot]:
        """Return the slots of the claim's own items."""
        return {item.key: self.slots[item.key] for item in self.claim.items}


@dataclass(frozen=True, slots=True)
class StoredCase(_ClaimAndSlots):
    """
    A claim and its slots as their rows say. The rows do not know what time has changed since they were written.

    Due work, indexes and transactions are about rows and use this type. Callers are shown a `Case`.
    """

    etags: Mapping[str, str] = field(default_factory=dict)
    """The ETags of the rows as they were read, by claim id or slot key: the store overwrites no newer row."""

    def with_rivals(self, others: Iterable["StoredCase"]) -> "StoredCase":
        """Return the case with other claims, to be changed in the same transaction."""
        rivals, etags = dict(self.rivals), dict(self.etags)
        for other in others:
            rivals[other.claim.id] = other.claim
            etags[other.claim.id] = other.etags[other.claim.id]
        return replace(self, rivals=rivals, etags=etags)

    def with_refusals(self, refusals: Refusals, etag: str | None) -> "StoredCase":
        """Return the case with the customer's earlier refusals; *etag* is that of their row, None if there is none."""
        etags = self.etags if etag is None else {**self.etags, REFUSALS: etag}
        return replace(self, refusals=refusals, etags=etags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(_ClaimAndSlots):
    """
    A claim and its slots as they are at the instant `now`; `settle` makes it.

    A transition takes a case and returns the next one. Nothing is stored until the use case commits the result as one
    entity-group transaction.
    """

    stored: StoredCase
    """The rows from which the case was worked out."""
    now: datetime
    """The instant for which time was taken into account."""
    entries: tuple[tuple[str, Entry], ...] = ()
    """The history entries that the rows do not have yet, each with the id of its claim."""

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
        """Return the case with the claim changed and no history entry, for facts that no caller needs to know."""
        return replace(self, claim=self.claim.model_copy(update=changes))

    def with_claims(self, claim: Claim, rivals: Mapping[str, Claim]) -> "Case":
        """Return the case with other versions of its claim and rivals."""
        return replace(self, claim=claim, rivals=rivals)

    def with_slots(self, slots: Mapping[str, Slot]) -> "Case":
        """Return the case with these slots in place of those of the same keys."""
        return replace(self, slots={**self.slots, **slots})

    def rival_parties(self, now: datetime) -> tuple[Party, ...]:
        """Return the other parties that hold, await or claim one of the claim's items at *now*."""
        return tuple(party for slot in self.own_slots().values() for party in slot.at(now).others(self.claim.id))

    def written(self) -> "Case":
        """Return the case as its rows will be: the version of each claim and slot that changed is raised by one."""
        before = self.stored
        after = StoredCase(
            claim=_raised(self.claim, before.claim),
            slots={key: _raised(slot, before.slots[key]) for key, slot in self.slots.items()},
            rivals={name: _raised(rival, before.rivals[name]) for name, rival in self.rivals.items()},
            refusals=_raised(self.refusals, before.refusals) if self.refusals and before.refusals else self.refusals,
            etags=before.etags,
        )
        return replace(
            self, stored=after, claim=after.claim, slots=after.slots, rivals=after.rivals, refusals=after.refusals
        )

    def committed(self, stored: StoredCase) -> "Case":
        """Return the case after its transaction: the rows are *stored*, and time has nothing to add at its instant."""
        return Case(claim=stored.claim, slots=stored.slots, stored=stored, now=self.now)


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
    if claim.contacts is not None:  # without contacts nobody at the partner can get a mail
        moved["partner_mails"] = still_due_after(claim.partner_mails, made)
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
"""What to do instead, by state and act, where the state has another act for it."""
