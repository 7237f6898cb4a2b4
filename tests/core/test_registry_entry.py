"""What is wrong with an entry of the registry, and what is merely new in it (decisions 57, 74)."""

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
    """Return everything that is wrong with a customer."""
    return list(faults_of_customer(value.model_dump(mode="json", by_alias=True), CATALOGUE))


def of_partner(value: Partner) -> list[Detail]:
    """Return everything that is wrong with a partner."""
    return list(faults_of_partner(value.model_dump(mode="json", by_alias=True), CATALOGUE))


def faults(**changes: Any) -> list[tuple[str, str | None]]:
    """Return code and target of everything that is wrong with a customer."""
    return [(fault.code, fault.target) for fault in of_customer(customer(**changes))]


# --- time zones -------------------------------------------------------------------------------------------------------


def pairs_of_zone_tab() -> Iterator[tuple[str, str]]:
    """Yield every country with each of its zones, as the database lists them."""
    for line in files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            yield country, zone


def test_every_zone_is_taken_for_the_country_that_lists_it() -> None:
    """Over four hundred pairs: Stockholm lies in Sweden, though `zone1970.tab` knows only Berlin there."""
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
def test_a_zone_of_the_country_by_another_name_is_taken(country: str, zone: str) -> None:
    """Links are followed on both sides."""
    assert faults(country=country, time_zone=zone) == []


@pytest.mark.parametrize(
    ("country", "zone"),
    [("FR", "Asia/Tokyo"), ("FR", "UTC"), ("FR", "Etc/GMT-1"), ("GB", "GMT"), ("US", "Europe/Paris"), ("FR", "Zulu")],
)
def test_a_zone_elsewhere_is_refused_unless_it_is_said_to_be_right(country: str, zone: str) -> None:
    """One slip would end the customer's window hours too early."""
    assert faults(country=country, time_zone=zone) == [("TimeZoneElsewhere", "timeZone")]
    assert faults(country=country, time_zone=zone, time_zone_elsewhere=True) == []


def test_the_refusal_names_zones_of_the_country() -> None:
    """Three of many."""
    (one,) = of_customer(customer(country="FR", time_zone="UTC"))
    (many,) = of_customer(customer(country="US", time_zone="UTC"))

    assert one.resolution == "Use one of Europe/Paris, or send timeZoneElsewhere as true if the zone is right."
    assert many.resolution is not None
    assert "America/New_York, America/Detroit, America/Kentucky/Louisville, …" in many.resolution


def test_a_partners_zone_may_lie_anywhere() -> None:
    """UTC is what a partner has who names none."""
    assert of_partner(partner(time_zone="UTC")) == []


# --- languages --------------------------------------------------------------------------------------------------------


TAGS = """
    fr cs fr-CA FR-ca es-419 zh-Hant-TW zh-min-nan de-CH-1996 sl-rozaj-biske de-DE-u-co-phonebk x-klingon i-klingon
    en-GB-oed sgn-BE-FR art-lojban hsb cs-x-own
"""


@pytest.mark.parametrize("tag", TAGS.split())
def test_a_tag_of_bcp_47_is_taken(tag: str) -> None:
    """Whether or not there is a translation (decision 74)."""
    assert faults(language=tag) == []


@pytest.mark.parametrize(
    "tag", ["french", "fr_FR", "", "f", "fr-", "-fr", "fr--CA", "fr-99", "123", "französisch", "i-x"]
)
def test_what_is_no_tag_of_bcp_47_is_refused(tag: str) -> None:
    """For partners and customers."""
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
def test_a_slip_in_a_workload_is_refused_and_the_right_name_said(name: str, near: str) -> None:
    """Else nobody could claim it, and nobody would know why."""
    (fault,) = of_customer(customer(workloads=("intune", name)))

    assert (fault.code, fault.target) == ("ItemMisspelt", "workloads[1]")
    assert fault.message == f"There is no workload {name!r}; {near!r} is near."


def test_a_slip_in_a_product_is_refused_and_the_right_name_said() -> None:
    """The nearest of several."""
    sent = customer(subscriptions=(subscription(product="dynamics365-sales"),))

    (fault,) = of_customer(sent)

    assert (fault.code, fault.target) == ("ItemMisspelt", "subscriptions[0].product")
    assert fault.resolution == "Send 'dynamics-365-sales'."


@pytest.mark.parametrize("written", ["Teams", "TEAMS", " teams", "Teams."])
def test_a_name_as_people_write_it_is_a_slip_too(written: str) -> None:
    """Capitals and blanks are no form of an id, and the id is known."""
    (fault,) = faults_of_customer({"workloads": [written]}, CATALOGUE)

    assert (fault.code, fault.resolution) == ("ItemMisspelt", "Send 'teams'.")


def test_a_product_by_its_name_is_a_slip_of_its_id() -> None:
    """The name that GET /engagements shows."""
    (fault,) = faults_of_customer({"subscriptions": [{"product": "Dynamics 365 Sales"}]}, CATALOGUE)

    assert fault.resolution == "Send 'dynamics-365-sales'."


def test_new_names_are_taken_and_told() -> None:
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
    """A name that is listed is never taken for a slip; and two that are near would be mistaken by people too."""
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
def test_a_name_is_near_by_one_slip_or_two_in_a_longer_one(name: str, other: str, near: object) -> None:
    """A swap of two neighbours is one slip; digits never are."""
    assert is_near(name, other) is is_near(other, name) is near


def test_all_faults_come_at_once() -> None:
    """Each with its own target."""
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
