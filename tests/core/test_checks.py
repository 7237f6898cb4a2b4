"""The checks at submission: each check alone, all together, and the facts that they keep secret."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from cpor_app.adapters.catalogue import load_catalogue
from cpor_core.errors import Detail
from cpor_core.model.catalogue import PurchaseChannel
from cpor_core.model.claim import Acknowledgements, Item, Revenue, Status
from cpor_core.model.registry import Channel, SubscriptionState
from cpor_core.model.slot import Slot
from cpor_core.rules.checks import failed_checks, why_not_claimable
from cpor_core.transitions.claim_case import Case
from tests.core.builders import (
    ACKNOWLEDGED,
    ADATUM,
    ENDS_AT,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MICROSECOND,
    MONDAY,
    OTHER_SUBSCRIPTION,
    RECOGNITION,
    REVENUE,
    SALES,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
    contacts,
    customer,
    draft,
    evidence,
    in_state,
    partner,
    subscription,
)

NOWHERE = Item(workload="viva-topics")


def failures(case: Case, now: datetime = MONDAY, **known: Any) -> tuple[Detail, ...]:
    """Judge a draft against a registry in which only *known* differs from the right values."""
    given = {
        "partner": partner(case.claim.organisation),
        "customer": customer(),
        "slots": case.slots,
        "refusals": None,
        "acknowledgements": ACKNOWLEDGED,
        **known,
    }
    return failed_checks(case.claim, load_catalogue().engagement(case.claim.engagement), now=now, **given)


def codes(details: tuple[Detail, ...]) -> list[tuple[str, str | None]]:
    """Return the code and field of each failure."""
    return [(detail.code, detail.target) for detail in details]


@pytest.mark.parametrize(
    "case",
    [
        draft(items=(TEAMS, EXCHANGE)),
        draft(items=(SALES,), engagement=RECOGNITION),
        draft(
            items=(SALES,),
            engagement=REVENUE,
            revenue=Revenue(solution_seller="Ann", customer_name="Contoso", isv_solution="None"),
        ),
    ],
    ids=["workloads", "subscription", "revenue"],
)
def test_a_correct_claim_fails_no_check(case: Case) -> None:
    """The claim can be submitted."""
    assert failures(case) == ()


def test_every_failure_names_its_field_code_and_resolution() -> None:
    """The answer has all failures at once."""
    case = draft(
        items=(Item(product="business-central", subscription_id=OTHER_SUBSCRIPTION), SALES),
        engagement=REVENUE,
        organisation=ADATUM,
        evidence=(),
    )
    slot = Slot(engagement=REVENUE, key=SUBSCRIPTION).with_claimant("another claim", ADATUM)

    details = failures(case, partner=None, slots={SUBSCRIPTION: slot}, acknowledgements=None)

    assert codes(details) == [
        ("PartnerNotEnrolled", "partnerId"),
        ("ItemNotClaimable", "items[0]"),
        ("FieldMissing", "revenue.solutionSeller"),
        ("FieldMissing", "revenue.customerName"),
        ("FieldMissing", "revenue.isvSolution"),
        ("EvidenceMissing", "evidence"),
        ("AcknowledgementMissing", "acknowledgements.accurate"),
        ("AcknowledgementMissing", "acknowledgements.customerAware"),
        ("DuplicateClaim", "items[1]"),
    ]
    assert all(detail.message and detail.resolution for detail in details)


# --- the partner ------------------------------------------------------------------------------------------------------


def test_a_partner_must_be_enrolled_in_the_engagement() -> None:
    """The enrolment is judged by location and not by organisation."""
    assert codes(failures(draft(), partner=partner(enrolled_engagements=(RECOGNITION,)))) == [
        ("PartnerNotEnrolled", "partnerId")
    ]


def test_an_enrolment_under_the_older_name_counts_for_a_claim_filed_under_it() -> None:
    """A renamed programme is the same programme."""
    old = partner(enrolled_engagements=("osu-m365",))

    assert failures(draft(filed_as="osu-m365"), partner=old) == ()
    assert codes(failures(draft(), partner=old)) == [("PartnerNotEnrolled", "partnerId")]


def test_nobody_is_partner_of_record_of_their_own_tenant() -> None:
    """The claiming organisation and the customer must be two organisations."""
    case = draft(tenant_id=ADATUM)

    assert ("PartnerIsCustomer", "customer.tenantId") in codes(failures(case))


# --- the customer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, {"customer": None}),
        ({"domain": "fabrikam.example"}, {}),
        ({"contacts": contacts("anne.durand@adatum.example")}, {}),
        ({"contacts": contacts("anne.durand@sub.contoso.fr")}, {}),
        ({"domain": "fabrikam.example", "contacts": contacts("x@fabrikam.example")}, {}),
    ],
    ids=["unknown tenant", "another domain", "another contact", "a subdomain", "both"],
)
def test_all_mismatches_give_one_failure(changes: dict[str, Any], known: dict[str, Any]) -> None:
    """A caller who does not know the customer cannot find out whether the tenant exists or what it has."""
    details = failures(draft(items=(NOWHERE, TEAMS), **changes), **known)

    assert codes(details) == [("TenantDomainMismatch", "customer")]


def test_every_mismatch_reads_the_same() -> None:
    """An unknown tenant and a wrong domain give the same answer."""
    unknown = failures(draft(), customer=None)
    wrong = failures(draft(domain="fabrikam.example"))

    assert unknown == wrong


def test_a_contact_is_needed() -> None:
    """An association that the operator imported has no contact."""
    assert codes(failures(draft(contacts=None))) == [("ContactMissing", "contacts")]


def test_domains_are_compared_without_case() -> None:
    """Mail and DNS compare domains in the same way."""
    case = draft(domain="Contoso.FR", contacts=contacts("Anne.Durand@CONTOSO.fr"))

    assert failures(case, customer=customer(domains=("CONTOSO.fr", "contoso.com"))) == ()


def test_domain_and_contact_may_be_of_two_domains_of_the_tenant() -> None:
    """Both domains belong to the customer."""
    case = draft(domain="contoso.com")

    assert failures(case, customer=customer(domains=("contoso.fr", "contoso.com"))) == ()


@pytest.mark.parametrize(
    ("item", "known", "reason"),
    [
        (SALES, {"subscriptions": ()}, "notASubscription"),
        (SALES, {"subscriptions": (subscription(product="business-central"),)}, "wrongProduct"),
        (Item(product="business-central", subscription_id=SUBSCRIPTION), {}, "wrongProduct"),
        (
            Item(product="viva-topics", subscription_id=SUBSCRIPTION),
            {"subscriptions": (subscription(product="viva-topics"),)},
            "wrongProduct",
        ),
        (SALES, {"subscriptions": (subscription(channel=Channel.CSP),)}, "csp"),
        (SALES, {"subscriptions": (subscription(state=SubscriptionState.NOT_PROVISIONED),)}, "notProvisioned"),
        (SALES, {"subscriptions": (subscription(state=SubscriptionState.DISABLED),)}, "inactive"),
    ],
)
def test_a_subscription_that_cannot_be_claimed_says_why(item: Item, known: dict[str, Any], reason: str) -> None:
    """
    The product must be registered and in the engagement's list.

    The channel and the state of the subscription count too.
    """
    details = failures(draft(items=(item,), engagement=RECOGNITION), customer=customer(**known))

    assert codes(details) == [("ItemNotClaimable", "items[0]")]
    assert details[0].message.endswith(f": {reason}.")
    assert details[0].resolution


@pytest.mark.parametrize(
    ("channels", "bought", "reason"),
    [("EA", Channel.EA, None), ("EA", Channel.WEB_DIRECT, "wrongChannel"), ("CSP", Channel.CSP, None)],
)
def test_the_catalogue_says_which_channels_an_engagement_takes(
    channels: str, bought: Channel, reason: str | None
) -> None:
    """CSP is accepted by each engagement that lists it, and by no other."""
    engagement = load_catalogue().engagement(RECOGNITION).model_copy(update={"channels": (PurchaseChannel(channels),)})
    registered = customer(subscriptions=(subscription(channel=bought),))

    assert why_not_claimable(SALES, engagement, registered) == reason


@pytest.mark.parametrize("state", [SubscriptionState.ACTIVE, SubscriptionState.GRACE])
def test_a_subscription_lives_while_it_is_active_or_in_grace(state: SubscriptionState) -> None:
    """Decision 32."""
    case = draft(items=(SALES,), engagement=RECOGNITION)

    assert failures(case, customer=customer(subscriptions=(subscription(state=state),))) == ()


def test_a_workload_must_be_on_the_tenant() -> None:
    """The check judges each item."""
    details = failures(draft(items=(TEAMS, NOWHERE)))

    assert codes(details) == [("ItemNotClaimable", "items[1]")]
    assert "notOnTenant" in details[0].message


# --- fields and evidence ----------------------------------------------------------------------------------------------


def test_the_engagements_extra_fields_are_needed_at_submission() -> None:
    """A part of the fields is not enough."""
    case = draft(items=(SALES,), engagement=REVENUE, revenue=Revenue(customer_name="Contoso"))

    assert codes(failures(case)) == [
        ("FieldMissing", "revenue.solutionSeller"),
        ("FieldMissing", "revenue.isvSolution"),
    ]


@pytest.mark.parametrize(
    ("today", "signed", "old_enough"),
    [
        (date(2026, 11, 2), date(2025, 11, 2), False),
        (date(2026, 11, 2), date(2025, 11, 1), True),
        (date(2028, 2, 29), date(2027, 2, 28), False),
        (date(2028, 2, 29), date(2027, 2, 27), True),
        (date(2029, 2, 28), date(2028, 2, 28), False),
        (date(2029, 2, 28), date(2028, 2, 27), True),
        (date(2029, 3, 1), date(2028, 2, 29), True),
        (date(2027, 1, 31), date(2026, 1, 31), False),
        (date(2026, 11, 2), date(2026, 11, 3), False),
    ],
)
def test_an_acknowledgement_counts_for_twelve_months(today: date, signed: date, old_enough: bool) -> None:  # noqa: FBT001 - a column of the table
    """
    A date exactly twelve months ago counts, and a date one day earlier does not.

    From a leap day the twelve months end on 28 February.
    """
    now = datetime(today.year, today.month, today.day, 23, 59, tzinfo=UTC)

    details = failures(draft(evidence=(evidence(signed),)), now)

    assert codes(details) == ([("AcknowledgementTooOld", "evidence")] if old_enough else [])


def test_the_newest_acknowledgement_counts() -> None:
    """One file within twelve months is enough (decision 10)."""
    case = draft(
        evidence=(evidence(date(2020, 1, 1)), evidence(None, "plan.pdf"), evidence(date(2026, 1, 1), "new.pdf"))
    )

    assert failures(case) == ()


def test_evidence_without_a_date_of_signature_is_no_acknowledgement() -> None:
    """An acknowledgement needs a signature from a person at the customer."""
    assert codes(failures(draft(evidence=(evidence(None),)))) == [("AcknowledgementMissing", "evidence")]


def test_evidence_is_needed() -> None:
    """A draft without files has one failure and not two."""
    assert codes(failures(draft(evidence=()))) == [("EvidenceMissing", "evidence")]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (None, ["accurate", "customerAware"]),
        (Acknowledgements(accurate=False, customer_aware=False), ["accurate", "customerAware"]),
        (Acknowledgements(accurate=True, customer_aware=False), ["customerAware"]),
        (Acknowledgements(accurate=False, customer_aware=True), ["accurate"]),
    ],
)
def test_both_acknowledgements_must_be_true(given: Acknowledgements | None, missing: list[str]) -> None:
    """The answer names each acknowledgement that is false."""
    details = failures(draft(), acknowledgements=given)

    assert codes(details) == [("AcknowledgementMissing", f"acknowledgements.{name}") for name in missing]


# --- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "duplicate"),
    [
        (Status.SUBMITTED, True),
        (Status.UNDER_REVIEW, True),
        (Status.PARTNER_ACTION_REQUIRED, True),
        (Status.AWAITING_CUSTOMER, True),
        (Status.OFFICIAL, True),
        (Status.DECLINED, False),
        (Status.REJECTED, False),
        (Status.WITHDRAWN, False),
        (Status.ENDED, False),
    ],
)
def test_an_organisation_has_one_open_claim_an_item(status: Status, duplicate: bool) -> None:  # noqa: FBT001 - a column of the table
    """The claim is open or official. A declined claim is not open, though it keeps its place at the slot."""
    slots = in_state(status).slots

    details = failures(draft("b"), slots=slots)

    assert codes(details) == ([("DuplicateClaim", "items[0]")] if duplicate else [])


def test_locations_of_one_organisation_count_as_one_partner() -> None:
    """Two locations with different partnerIds are the same partner (decision 2)."""
    slots = in_state(Status.SUBMITTED).slots

    assert codes(failures(draft("b", partner_id="9999"), slots=slots)) == [("DuplicateClaim", "items[0]")]


@pytest.mark.parametrize("organisation", [FABRIKAM, LITWARE])
def test_another_organisations_claim_is_no_failure(organisation: str) -> None:
    """Two organisations can claim one slot, and the check says nothing about the other claim."""
    slots = in_state(Status.OFFICIAL).slots

    assert failures(draft("b", organisation=organisation), slots=slots) == ()


def test_slots_are_judged_as_of_now() -> None:
    """A claim of the organisation that has lapsed is no duplicate."""
    slot = Slot(engagement=USAGE, key="teams").with_claimant("lapsing", ADATUM, ENDS_AT)

    assert codes(failures(draft(), ENDS_AT - MICROSECOND, slots={"teams": slot})) == [("DuplicateClaim", "items[0]")]
    assert failures(draft(), ENDS_AT, slots={"teams": slot}) == ()


def test_a_dry_run_without_slots_says_nothing_about_them() -> None:
    """A dry run never says whether a slot is held (decision 8)."""
    assert failures(draft(), slots={}) == ()


def test_the_tenant_of_the_tests_is_no_partners() -> None:
    """The tests above depend on it."""
    assert TENANT not in (ADATUM, FABRIKAM, LITWARE)
