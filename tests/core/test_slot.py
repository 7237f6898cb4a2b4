"""The slot: one holder, one that awaits, some claimants, as they stand at an instant."""

from datetime import timedelta

import pytest

from cpor_core.model.slot import Awaiting, Claimant, Holder, Slot
from tests.core.builders import ADATUM, DAY, ENDS_AT, FABRIKAM, LITWARE, MICROSECOND, MONDAY

SLOT = Slot(engagement="modern-work-security-usage", key="teams")
HELD = SLOT.changed(holder=Holder(claim="held", organisation=ADATUM, since=MONDAY))
CONTESTED = HELD.with_awaiting("winner", FABRIKAM, ENDS_AT)


def test_a_slot_that_nobody_used_is_empty() -> None:
    """It is inserted at first use; until then it is as if it were there (decision 11)."""
    assert (SLOT.holder, SLOT.awaiting, SLOT.claimants, SLOT.version) == (None, None, (), 0)
    assert list(SLOT.others("anybody")) == []


@pytest.mark.parametrize(
    ("distance", "holder"), [(-MICROSECOND, "held"), (timedelta(0), "winner"), (MICROSECOND, "winner"), (DAY, "winner")]
)
def test_a_successor_holds_the_slot_from_its_instant_on(distance: timedelta, holder: str) -> None:
    """Whoever wrote that down, and whether anybody did."""
    slot = CONTESTED.at(ENDS_AT + distance)

    assert slot.holder is not None
    assert slot.holder.claim == holder


def test_a_takeover_bears_its_own_instant() -> None:
    """Not that of the reading; the successor is neither awaited nor a claimant any more."""
    slot = CONTESTED.with_claimant("winner", FABRIKAM).at(ENDS_AT + DAY)

    assert slot.holder == Holder(claim="winner", organisation=FABRIKAM, since=ENDS_AT)
    assert (slot.awaiting, slot.claimants) == (None, ())


def test_without_an_instant_nobody_takes_over() -> None:
    """The winner's customer was never told."""
    assert HELD.with_awaiting("winner", FABRIKAM, None).at(ENDS_AT + 4000 * DAY).holder == HELD.holder


@pytest.mark.parametrize(("distance", "there"), [(-MICROSECOND, True), (timedelta(0), False), (MICROSECOND, False)])
def test_a_claimant_lapses_at_its_instant(distance: timedelta, there: bool) -> None:  # noqa: FBT001 - a column of the table
    """A claim that lapses by itself leaves its place by itself (decision 14); one without an instant stays."""
    slot = SLOT.with_claimant("lapsing", ADATUM, ENDS_AT).with_claimant("staying", FABRIKAM)

    claims = [claimant.claim for claimant in slot.at(ENDS_AT + distance).claimants]

    assert claims == (["lapsing", "staying"] if there else ["staying"])


def test_a_slot_that_time_has_not_changed_stays_the_same_value() -> None:
    """Reading is no change."""
    slot = CONTESTED.with_claimant("other", LITWARE)

    assert slot.at(MONDAY) is slot


def test_everybody_else_is_named() -> None:
    """Holder, the one that awaits, claimants: all but the claim that asks."""
    slot = CONTESTED.with_claimant("other", LITWARE)

    assert [party.claim for party in slot.others("winner")] == ["held", "other"]
    assert [party.claim for party in slot.others("held")] == ["winner", "other"]
    assert [party.claim for party in slot.others("stranger")] == ["held", "winner", "other"]


@pytest.mark.parametrize("claim", ["held", "winner", "other"])
def test_who_leaves_is_out_of_every_place(claim: str) -> None:
    """The others stay where they are."""
    slot = CONTESTED.with_claimant("other", LITWARE).without(claim, MONDAY)

    assert [party.claim for party in slot.others("")] == [name for name in ("held", "winner", "other") if name != claim]


def test_a_claimant_stands_there_once() -> None:
    """Claiming again replaces the place, at the end of the line."""
    slot = SLOT.with_claimant("a", ADATUM, ENDS_AT).with_claimant("b", FABRIKAM)

    slot = slot.with_claimant("a", ADATUM, declined=True)

    assert slot.claimants == (
        Claimant(claim="b", organisation=FABRIKAM),
        Claimant(claim="a", organisation=ADATUM, declined=True),
    )


def test_who_awaits_replaces_whoever_awaited() -> None:
    """At most one; whether that is allowed is judged before."""
    slot = CONTESTED.with_awaiting("winner", FABRIKAM, ENDS_AT + DAY)

    assert slot.awaiting == Awaiting(claim="winner", organisation=FABRIKAM, takes_over_at=ENDS_AT + DAY)
