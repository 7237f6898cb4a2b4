"""The faults of a registry entry, and names that are only new (decisions 57, 74)."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from cpor_app.adapters.catalogue import load_catalogue
from cpor_core.errors import Detail
from cpor_core.model.registry import Customer, Partner
from cpor_core.rules.registry_entry import faults_of_customer, faults_of_partner, is_near, unknown_items
from cpor_core.rules.time_zones import lies_elsewhere
from tests.core.builders import OTHER_SUBSCRIPTION, SUBSCRIPTION, customer, partner, subscription

CATALOGUE = load_catalogue()


def of_customer(value: Customer) -> list[Detail]:
    """Return the faults of a customer."""
    return list(faults_of_customer(value.model_dump(mode="json", by_alias=True), CATALOGUE))


def of_partner(value: Partner) -> list[Detail]:
    """Return the faults of a partner."""
    return list(faults_of_partner(value.model_dump(mode="json", by_alias=True), CATALOGUE))


def faults(**changes: Any) -> list[tuple[str, str | None]]:
    """Return the codes and targets of a customer's faults."""
    return [(fault.code, fault.target) for fault in of_customer(customer(**changes))]


# --- time zones -------------------------------------------------------------------------------------------------------


def pairs_of_zone_tab() -> Iterator[tuple[str, str]]:
    """Yield every country with each of its zones, from the database."""
    for line in files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            yield country, zone


def test_every_zone_is_accepted_for_the_country_that_lists_it() -> None:
    """
    The test has more than four hundred pairs.

    Stockholm is in Sweden, though `zone1970.tab` has only Berlin for Sweden.
    """
    pairs = list(pairs_of_zone_tab())

    assert len(pairs) > 400
    assert ("SE", "Europe/Stockholm") in pairs
    assert [pair for pair in pairs if lies_elsewhere(pair[1], pair[0])] == []


@pytest.mark.parametrize(
    ("country", "zone"),
    [
        pytest.param("SE", "Europe/Berlin", id="of zone1970.tab"),
        pytest.param("US", "US/Eastern", id="a former name"),
        pytest.param("IN", "Asia/Calcutta", id="a former spelling"),
        pytest.param("UA", "Europe/Kiev", id="another former spelling"),
        pytest.param("GB", "GB-Eire", id="a link"),
        pytest.param("XK", "Europe/Belgrade", id="a country that the database does not list"),
    ],
)
def test_a_zone_of_the_country_under_another_name_is_accepted(country: str, zone: str) -> None:
    """Links are followed on both sides."""
    assert faults(country=country, time_zone=zone) == []


@pytest.mark.parametrize(
    ("country", "zone"),
    [("FR", "Asia/Tokyo"), ("FR", "UTC"), ("FR", "Etc/GMT-1"), ("GB", "GMT"), ("US", "Europe/Paris"), ("FR", "Zulu")],
)
def test_a_zone_of_another_country_is_refused_without_confirmation(country: str, zone: str) -> None:
    """A typing error would end the customer's window hours too early."""
    assert faults(country=country, time_zone=zone) == [("TimeZoneElsewhere", "timeZone")]
    assert faults(country=country, time_zone=zone, time_zone_elsewhere=True) == []


def test_the_refusal_names_zones_of_the_country() -> None:
    """The refusal names three of them."""
    (one,) = of_customer(customer(country="FR", time_zone="UTC"))
    (many,) = of_customer(customer(country="US", time_zone="UTC"))

    assert one.resolution == "Use one of Europe/Paris, or send timeZoneElsewhere as true if the zone is right."
    assert many.resolution is not None
    assert "America/New_York, America/Detroit, America/Kentucky/Louisville, …" in many.resolution


def test_a_partners_zone_can_be_in_any_country() -> None:
    """A partner without a zone has UTC."""
    assert of_partner(partner(time_zone="UTC")) == []


# --- languages --------------------------------------------------------------------------------------------------------


TAGS = """
    fr cs fr-CA FR-ca es-419 zh-Hant-TW zh-min-nan de-CH-1996 sl-rozaj-biske de-DE-u-co-phonebk x-klingon i-klingon
    en-GB-oed sgn-BE-FR art-lojban hsb cs-x-own
"""


@pytest.mark.parametrize("tag", TAGS.split())
def test_a_language_tag_of_bcp_47_is_accepted(tag: str) -> None:
    """A translation need not exist (decision 74)."""
    assert faults(language=tag) == []


@pytest.mark.parametrize(
    "tag", ["french", "fr_FR", "", "f", "fr-", "-fr", "fr--CA", "fr-99", "123", "französisch", "i-x"]
)
def test_other_language_tags_are_refused(tag: str) -> None:
    """This holds for partners and customers."""
    if tag:
        assert faults(language=tag) == [("ValidationFailed", "language")]
        assert [fault.target for fault in of_partner(partner(language=tag))] == ["language"]
    else:
        with pytest.raises(ValueError, match="at least 1 character"):
            customer(language=tag)


# --- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"), [("team", "teams"), ("temas", "teams"), ("exchnage", "exchange"), ("share-point", "sharepoint")]
)
def test_a_typing_error_in_a_workload_is_refused_with_the_right_name(name: str, near: str) -> None:
    """Otherwise nobody could claim the workload, and nobody would know the reason."""
    (fault,) = of_customer(customer(workloads=("intune", name)))

    assert (fault.code, fault.target) == ("ItemMisspelt", "workloads[1]")
    assert fault.message == f"There is no workload {name!r}; {near!r} is near."


def test_a_typing_error_in_a_product_is_refused_with_the_right_name() -> None:
    """The answer has the nearest of several names."""
    sent = customer(subscriptions=(subscription(product="dynamics365-sales"),))

    (fault,) = of_customer(sent)

    assert (fault.code, fault.target) == ("ItemMisspelt", "subscriptions[0].product")
    assert fault.resolution == "Send 'dynamics-365-sales'."


@pytest.mark.parametrize("written", ["Teams", "TEAMS", " teams", "Teams."])
def test_a_name_with_capitals_or_blanks_is_a_typing_error_too(written: str) -> None:
    """An id has neither capitals nor blanks, and the id is known."""
    (fault,) = faults_of_customer({"workloads": [written]}, CATALOGUE)

    assert (fault.code, fault.resolution) == ("ItemMisspelt", "Send 'teams'.")


def test_a_products_name_is_a_typing_error_of_its_id() -> None:
    """`GET /engagements` shows the name."""
    (fault,) = faults_of_customer({"subscriptions": [{"product": "Dynamics 365 Sales"}]}, CATALOGUE)

    assert fault.resolution == "Send 'dynamics-365-sales'."


def test_new_names_are_accepted_and_reported() -> None:
    """A nightly synchronisation must not stop at Microsoft's next product."""
    sent = customer(
        workloads=("teams", "entra-id-p3", "copilot"),
        subscriptions=(
            subscription(product="microsoft-365-e7"),
            subscription(subscription_id=OTHER_SUBSCRIPTION, product="microsoft-365-e7"),
        ),
    )

    assert of_customer(sent) == []
    assert unknown_items(sent, CATALOGUE) == ("entra-id-p3", "copilot", "microsoft-365-e7")
    assert unknown_items(customer(), CATALOGUE) == ()


def test_no_item_of_the_catalogue_is_near_another_one() -> None:
    """A listed name is never taken for a typing error. People would also mix up two names that are near."""
    for kind in ("workloads", "products"):
        names = {item.id for each in CATALOGUE.engagements for item in getattr(each, kind) or ()}

        assert [(one, two) for one in names for two in names if one < two and is_near(one, two)] == []


@pytest.mark.parametrize(
    ("name", "other", "near"),
    [
        ("teams", "teams", True),
        ("tems", "teams", True),
        ("etams", "teams", True),
        ("etmas", "teams", False),
        ("exchagne", "exchange", True),
        ("excahgne", "exchange", True),
        ("exhcagne", "exchange", True),
        ("intne", "intune", True),
        ("office-365", "office-356", False),
        ("viva-goals", "viva-topics", False),
    ],
)
def test_a_name_is_near_with_one_typing_error_or_two_in_a_longer_name(name: str, other: str, near: object) -> None:
    """A swap of two neighbours is one error. Names with other digits are never near."""
    assert is_near(name, other) is is_near(other, name) is near


def test_all_faults_come_at_once() -> None:
    """Each fault has its own target."""
    twice = (subscription(), subscription(product="dynamic-365-sales"))

    assert faults(
        country="XX", time_zone="Mars/Olympus", language="french", workloads=("team",), subscriptions=twice
    ) == [
        ("ValidationFailed", "country"),
        ("ValidationFailed", "timeZone"),
        ("ValidationFailed", "language"),
        ("ItemMisspelt", "workloads[0]"),
        ("ItemMisspelt", "subscriptions[1].product"),
        ("ValidationFailed", "subscriptions[1].subscriptionId"),
    ]
    assert twice[0].subscription_id == SUBSCRIPTION
