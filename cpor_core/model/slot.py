"""The slot: one item of one tenant under one engagement, with the claims that hold, await or claim it."""

from collections.abc import Iterator
from datetime import date, datetime

from cpor_core.model.base import Guid, Instant, Value

MAX_CLAIMANTS = 30
"""The most undecided claimants that a slot can have (decision 6)."""


class Party(Value):
    """A claim at a slot, with its organisation."""

    claim: str
    organisation: Guid
    declined: bool = False
    """The customer said no and can still take the no back. The claim stays at the slot, but it is not open."""


class Holder(Party):
    """The association that holds the item since the instant `since`."""

    since: Instant


class Awaiting(Party):
    """The claim that awaits the customer. From `takes_over_at` on it is the holder, even before a row says so."""

    takes_over_at: Instant | None = None


class Claimant(Party):
    """An undecided claim for the item. If `until` is set, the claim lapses at that instant."""

    until: Instant | None = None


class Refusal(Value):
    """The customer's no to one claim."""

    claim: str
    at: Instant


class Refusals(Value):
    """The noes of one tenant to one organisation under one engagement, except those taken back (decision 21)."""

    engagement: str
    organisation: Guid
    entries: tuple[Refusal, ...] = ()
    version: int = 0

    def since(self, day: date) -> tuple[Refusal, ...]:
        """Return the noes said on or after *day*, oldest first."""
        return tuple(refusal for refusal in self.entries if refusal.at.date() >= day)

    def with_refusal(self, claim: str, at: datetime) -> "Refusals":
        """Return the noes together with a no to *claim* at *at*."""
        return self.model_copy(update={"entries": (*self.without(claim).entries, Refusal(claim=claim, at=at))})

    def without(self, claim: str) -> "Refusals":
        """Return the noes without the no to *claim*."""
        return self.model_copy(update={"entries": tuple(refusal for refusal in self.entries if refusal.claim != claim)})


class Slot(Value):
    """
    One item of one tenant under one engagement, which only one partner can hold.

    The row of a slot is inserted at its first use and never deleted (decision 11). `version` is 0 without a row.
    """

    engagement: str
    key: str
    holder: Holder | None = None
    awaiting: Awaiting | None = None
    claimants: tuple[Claimant, ...] = ()
    free_since: Instant | None = None
    """When the last claim that awaited the customer left. Reviews of other claims get new time then (decision 11)."""
    version: int = 0

    def at(self, now: datetime) -> "Slot":
        """Return the slot at *now*. The awaiting claim holds from `takes_over_at` on. Lapsed claimants are gone."""
        slot = self
        if slot.awaiting is not None and slot.awaiting.takes_over_at is not None and slot.awaiting.takes_over_at <= now:
            taken = slot.awaiting
            holder = Holder(claim=taken.claim, organisation=taken.organisation, since=slot.awaiting.takes_over_at)
            slot = slot.without(taken.claim, holder.since).changed(holder=holder)
        if any(claimant.until is not None and claimant.until <= now for claimant in slot.claimants):
            slot = slot.changed(claimants=tuple(c for c in slot.claimants if c.until is None or c.until > now))
        return slot

    def others(self, claim: str) -> Iterator[Party]:
        """Return the other claims that hold, await or claim the item."""
        for party in (self.holder, self.awaiting, *self.claimants):
            if party is not None and party.claim != claim:
                yield party

    def without(self, claim: str, at: datetime) -> "Slot":
        """Return the slot without *claim*, which leaves at *at*."""
        awaited = self.awaiting is not None and self.awaiting.claim == claim
        return self.changed(
            holder=None if self.holder is not None and self.holder.claim == claim else self.holder,
            awaiting=None if awaited else self.awaiting,
            free_since=at if awaited else self.free_since,
            claimants=tuple(c for c in self.claimants if c.claim != claim),
        )

    def with_claimant(
        self, claim: str, organisation: str, until: datetime | None = None, *, declined: bool = False
    ) -> "Slot":
        """Return the slot with *claim* as a claimant. An earlier entry of the claim is replaced."""
        rest = tuple(c for c in self.claimants if c.claim != claim)
        claimant = Claimant(claim=claim, organisation=organisation, until=until, declined=declined)
        return self.changed(claimants=(*rest, claimant))

    def with_awaiting(self, claim: str, organisation: str, takes_over_at: datetime | None) -> "Slot":
        """Return the slot with *claim* as the claim that awaits the customer."""
        return self.changed(awaiting=Awaiting(claim=claim, organisation=organisation, takes_over_at=takes_over_at))

    def changed(self, **changes: object) -> "Slot":
        """Return a copy with *changes*."""
        return self.model_copy(update=changes)
