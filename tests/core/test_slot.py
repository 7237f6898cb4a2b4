"""The slot: one holder, one awaiting claim and some claimants, as of an instant."""

from datetime import timedelta

import pytest

from cpor_core.model.slot import Awaiting, Claimant, Holder, Slot
from tests.core.builders import ADATUM, DAY, ENDS_AT, FABRIKAM, LITWARE, MICROSECOND, MONDAY

SLOT = Slot(engagement="modern-work-security-usage", key="teams")
HELD = SLOT.changed(holder=Holder(claim="held", organisation=ADATUM, since=MONDAY))
CONTESTED = HELD.with_awaiting("winner", FABRIKAM, ENDS_AT)


def test_a_slot_without_claims_is_empty() -> None:
    """It is inserted at its first use, and until then it reads as empty (decision 11)."""
    assert (SLOT.holder, SLOT.awaiting, SLOT.claimants, SLOT.version) == (None, None, (), 0)
    assert list(SLOT.others("anybody")) == []


@pytest.mark.parametrize(
    ("distance", "holder"), [(-MICROSECOND, "held"), (timedelta(0), "winner"), (MICROSECOND, "winner"), (DAY, "winner")]
)
def test_a_successor_holds_the_slot_from_its_instant_on(distance: timedelta, holder: str) -> None:
    """This holds whether or not the takeover is stored."""
    slot = CONTESTED.at(ENDS_AT + distance)

    assert slot.holder is not None
    assert slot.holder.claim == holder


def test_a_takeover_has_its_own_instant() -> None:
    """The instant of the read does not matter. The successor is no longer awaiting or a claimant."""
    slot = CONTESTED.with_claimant("winner", FABRIKAM).at(ENDS_AT + DAY)

    assert slot.holder == Holder(claim="winner", organisation=FABRIKAM, since=ENDS_AT)
    assert (slot.awaiting, slot.claimants) == (None, ())


def test_without_an_instant_there_is_no_takeover() -> None:
    """The winner's customer was not notified."""
    assert HELD.with_awaiting("winner", FABRIKAM, None).at(ENDS_AT + 4000 * DAY).holder == HELD.holder


@pytest.mark.parametrize(("distance", "there"), [(-MICROSECOND, True), (timedelta(0), False), (MICROSECOND, False)])
def test_a_claimant_lapses_at_its_instant(distance: timedelta, there: bool) -> None:  # noqa: FBT001 - a column of the table
    """A claim that lapses by time leaves the slot by time (decision 14). A claimant without an instant stays."""
    slot = SLOT.with_claimant("lapsing", ADATUM, ENDS_AT).with_claimant("staying", FABRIKAM)

    claims = [claimant.claim for claimant in slot.at(ENDS_AT + distance).claimants]

    assert claims == (["lapsing", "staying"] if there else ["staying"])


def test_a_slot_that_time_has_not_changed_stays_the_same_value() -> None:
    """A read is no change."""
    slot = CONTESTED.with_claimant("other", LITWARE)

    assert slot.at(MONDAY) is slot


def test_all_other_claims_are_named() -> None:
    """The list has the holder, the awaiting claim and the claimants, without the claim that asks."""
    slot = CONTESTED.with_claimant("other", LITWARE)

    assert [party.claim for party in slot.others("winner")] == ["held", "other"]
    assert [party.claim for party in slot.others("held")] == ["winner", "other"]
    assert [party.claim for party in slot.others("stranger")] == ["held", "winner", "other"]


@pytest.mark.parametrize("claim", ["held", "winner", "other"])
def test_a_claim_that_leaves_is_removed_from_every_place(claim: str) -> None:
    """The other claims stay."""
    slot = CONTESTED.with_claimant("other", LITWARE).without(claim, MONDAY)

    assert [party.claim for party in slot.others("")] == [name for name in ("held", "winner", "other") if name != claim]


def test_a_claimant_is_listed_once() -> None:
    """A second entry replaces the first, at the end of the list."""
    slot = SLOT.with_claimant("a", ADATUM, ENDS_AT).with_claimant("b", FABRIKAM)

    slot = slot.with_claimant("a", ADATUM, declined=True)

    assert slot.claimants == (
        Claimant(claim="b", organisation=FABRIKAM),
        Claimant(claim="a", organisation=ADATUM, declined=True),
    )


def test_a_new_awaiting_claim_replaces_the_former_one() -> None:
    """A slot has at most one. The approval checks before whether that is allowed."""
    slot = CONTESTED.with_awaiting("winner", FABRIKAM, ENDS_AT + DAY)

    assert slot.awaiting == Awaiting(claim="winner", organisation=FABRIKAM, takes_over_at=ENDS_AT + DAY)
