"""The slot: which claims hold, await and claim one item of one tenant under one engagement."""

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
    """The customer said no and can still take it back: the claim keeps its place, but it is not open."""


class Holder(Party):
    """The association that holds the item, and since when."""

    since: Instant


class Awaiting(Party):
    """The one claim that awaits the customer. From `takes_over_at` on it is the holder, even before that is stored."""

    takes_over_at: Instant | None = None


class Claimant(Party):
    """A claim that wants the item. If `until` is known, it lapses then by time alone."""

    until: Instant | None = None


class Refusal(Value):
    """A customer's no to one claim."""

    claim: str
    at: Instant


class Refusals(Value):
    """The noes of a tenant to an organisation under an engagement, without those taken back (decision 21)."""

    engagement: str
    organisation: Guid
    entries: tuple[Refusal, ...] = ()
    version: int = 0

    def since(self, day: date) -> tuple[Refusal, ...]:
        """Return the noes said on or after *day*, oldest first."""
        return tuple(refusal for refusal in self.entries if refusal.at.date() >= day)

    def with_refusal(self, claim: str, at: datetime) -> "Refusals":
        """Return the noes with one more."""
        return self.model_copy(update={"entries": (*self.without(claim).entries, Refusal(claim=claim, at=at))})

    def without(self, claim: str) -> "Refusals":
        """Return the noes without the one to *claim*."""
        return self.model_copy(update={"entries": tuple(one for one in self.entries if one.claim != claim)})


class Slot(Value):
    """
    The place that one partner can hold; its key is tenant, engagement and item.

    Its row is inserted at first use and never deleted (decision 11). `version` is 0 while there is no row.
    """

    engagement: str
    key: str
    holder: Holder | None = None
    awaiting: Awaiting | None = None
    claimants: tuple[Claimant, ...] = ()
    free_since: Instant | None = None
    """When the last claim that awaited the customer left. Review times start again then (decision 11)."""
    version: int = 0

    def at(self, now: datetime) -> "Slot":
        """Return the slot at *now*: the successor holds it from its instant on, and lapsed claimants are gone."""
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
        """Return the slot without *claim* in any place; *at* is when it left."""
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
        """Return the slot with *claim* among the claimants, once."""
        rest = tuple(c for c in self.claimants if c.claim != claim)
        claimant = Claimant(claim=claim, organisation=organisation, until=until, declined=declined)
        return self.changed(claimants=(*rest, claimant))

    def with_awaiting(self, claim: str, organisation: str, takes_over_at: datetime | None) -> "Slot":
        """Return the slot with *claim* as the one that awaits the customer."""
        return self.changed(awaiting=Awaiting(claim=claim, organisation=organisation, takes_over_at=takes_over_at))

    def changed(self, **changes: object) -> "Slot":
        """Return a copy with *changes*."""
        return self.model_copy(update=changes)
