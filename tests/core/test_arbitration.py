"""The rule that speaks for one of several claims at an item: the facts decide, and nothing else (decision 12)."""

from datetime import date

import pytest

from cpor_core.model.claim import Claim, Evidence
from cpor_core.model.slot import Awaiting, Claimant, Holder, Slot
from cpor_core.rules.arbitration import Fact, Place, RuleCode, rule_at
from tests.core.builders import ADATUM, ENDS_AT, FABRIKAM, LITWARE, MONDAY, USAGE, claim_id, draft

A, B, C = claim_id("a"), claim_id("b"), claim_id("c")
OLD, NEW = date(2026, 3, 3), date(2026, 10, 12)


def claim(name: str, *signed: date | None) -> Claim:
    """Return a claim with one file for each date."""
    files = tuple(
        Evidence(
            file_name=f"{number}.pdf",
            content_type="application/pdf",
            size=1,
            sha256="0",
            signed_on=day,
            added_at=MONDAY,
            blob="b",
        )
        for number, day in enumerate(signed)
    )
    return draft(name).claim.model_copy(update={"evidence": files})


def held(*claimants: str, declined: tuple[str, ...] = (), awaiting: Awaiting | None = None) -> Slot:
    """Return a slot that A holds and that others claim."""
    return Slot(
        engagement=USAGE,
        key="teams",
        holder=Holder(claim=A, organisation=ADATUM, since=MONDAY),
        awaiting=awaiting,
        claimants=tuple(Claimant(claim=one, organisation=FABRIKAM, declined=one in declined) for one in claimants),
    )


@pytest.mark.parametrize(
    ("of_holder", "of_claimant", "favoured"),
    [
        ((OLD,), (NEW,), B),
        ((OLD, NEW), (OLD,), A),
        ((NEW, None), (OLD, None), A),
        ((), (OLD,), B),
        ((OLD,), (None,), A),
        ((NEW,), (OLD, NEW), None),
        ((), (None,), None),
    ],
)
def test_the_newest_acknowledgement_decides(
    of_holder: tuple[date | None, ...], of_claimant: tuple[date | None, ...], favoured: str | None
) -> None:
    """Each claim counts with its newest date. If the dates are equal or missing, the rule speaks for none."""
    rule = rule_at(held(B), {A: claim("a", *of_holder), B: claim("b", *of_claimant)})

    assert (rule.code, rule.favours) == (RuleCode.NEWEST_ACKNOWLEDGEMENT, favoured)


def test_the_facts_name_each_claim_with_its_place_and_date() -> None:
    """A reviewer can check the rule by them."""
    rule = rule_at(held(B, C), {A: claim("a", OLD), B: claim("b", NEW), C: claim("c")})

    assert rule.facts == (
        Fact(claim_id=A, place=Place.HOLDER, signed_on=OLD, takes_over_at=None),
        Fact(claim_id=B, place=Place.CLAIMANT, signed_on=NEW, takes_over_at=None),
        Fact(claim_id=C, place=Place.CLAIMANT, signed_on=None, takes_over_at=None),
    )


def test_while_a_claim_awaits_the_customer_the_rule_speaks_for_it() -> None:
    """No other claim can be approved, however new its evidence is. A claim is in the facts once."""
    awaiting = Awaiting(claim=B, organisation=LITWARE, takes_over_at=ENDS_AT)

    rule = rule_at(held(B, C, awaiting=awaiting), {A: claim("a"), B: claim("b", OLD), C: claim("c", NEW)})

    assert (rule.code, rule.favours) == (RuleCode.AWAITS_CUSTOMER, B)
    assert [(fact.claim_id, fact.place, fact.takes_over_at) for fact in rule.facts] == [
        (A, Place.HOLDER, None),
        (B, Place.AWAITING, ENDS_AT),
        (C, Place.CLAIMANT, None),
    ]


def test_a_claim_with_a_no_of_the_customer_does_not_count() -> None:
    """It keeps its place until its window ends, but it is not open. The same holds for a claim that does not exist."""
    rule = rule_at(held(B, C, declined=(C,)), {A: claim("a", OLD), C: claim("c", NEW)})

    assert rule.favours == A
    assert [fact.claim_id for fact in rule.facts] == [A]
