"""The catalogue: the contents of the file, and the refusals when an editor makes a mistake."""

import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from cpor_app.adapters.catalogue import load_catalogue, read_catalogue
from cpor_core.model.catalogue import Catalogue, Engagement, ExtraField, ItemKind, PurchaseChannel, Review
from cpor_core.model.registry import Channel

CATALOGUE = load_catalogue()
LISTED_KEYS = {
    "id",
    "name",
    "formerNames",
    "itemKind",
    "channels",
    "incentivised",
    "review",
    "retired",
    "successor",
}


def ids(engagement_id: str) -> set[str]:
    """Return the ids of the workloads or products that an engagement lists."""
    return {item.id for item in CATALOGUE.engagement(engagement_id).items}


# ------------------------------------------------------------------------------------- what the file says


def test_there_are_four_current_engagements_and_three_older_ones() -> None:
    """The source documents name these seven, and the current ones come first."""
    assert [engagement.id for engagement in CATALOGUE.current] == [
        "mci-bizapps-presales-advisor",
        "modern-work-security-usage",
        "usage-recognition-bizapps",
        "bizapps-revenue",
    ]
    assert {engagement.id: engagement.successor for engagement in CATALOGUE.engagements if engagement.retired} == {
        "osa-sell": "mci-bizapps-presales-advisor",
        "osu-m365": "modern-work-security-usage",
        "osu-bizapps": "usage-recognition-bizapps",
    }


@pytest.mark.parametrize(
    ("engagement_id", "item_kind", "channels", "incentivised", "waivable", "review"),
    [
        ("mci-bizapps-presales-advisor", "subscription", ["EA", "WebDirect"], True, False, "manual"),
        ("modern-work-security-usage", "workload", ["any"], True, True, "manual"),
        ("usage-recognition-bizapps", "subscription", ["EA", "WebDirect"], False, False, "automatic"),
        ("bizapps-revenue", "subscription", ["EA", "WebDirect"], False, False, "automatic"),
        ("osa-sell", "subscription", ["EA", "WebDirect"], True, False, "manual"),
        ("osu-m365", "workload", ["any"], True, True, "manual"),
        ("osu-bizapps", "subscription", ["EA", "WebDirect"], True, False, "automatic"),
    ],
)
def test_an_engagement_has_the_rules_of_its_programme(
    *, engagement_id: str, item_kind: str, channels: list[str], incentivised: bool, waivable: bool, review: str
) -> None:
    """Each line is checked. An older programme paid incentives, and its claims follow the rules of its successor."""
    engagement = CATALOGUE.engagement(engagement_id)

    assert engagement.item_kind is ItemKind(item_kind)
    assert engagement.channels == tuple(PurchaseChannel(channel) for channel in channels)
    assert engagement.incentivised is incentivised
    assert engagement.incentive_may_be_waived is waivable
    assert engagement.review is Review(review)
    assert engagement.evidence_needed


def test_only_the_revenue_engagement_needs_extra_fields() -> None:
    """The extra fields are solution seller, customer name and ISV solution."""
    needing = {e.id: e.extra_fields for e in CATALOGUE.engagements if e.extra_fields}

    assert needing == {
        "bizapps-revenue": (ExtraField.SOLUTION_SELLER, ExtraField.CUSTOMER_NAME, ExtraField.ISV_SOLUTION)
    }


def test_the_workloads_are_those_of_modern_work_and_of_security() -> None:
    """These are the two published lists. Intune is in both lists, and Entra ID Premium is its two plans."""
    modern_work = {
        *("exchange", "sharepoint", "teams", "teams-meetings", "teams-phone", "teams-phone-calling", "teams-platform"),
        *("microsoft-365-apps", "intune", "yammer", "viva-insights", "viva-topics", "viva-learning"),
        "viva-connections",
    }
    security = {
        *("entra-id-p1", "entra-id-p2", "defender-for-office-365", "defender-for-endpoint", "defender-for-identity"),
        *("information-protection", "intune"),
    }

    assert ids("modern-work-security-usage") == modern_work | security


def test_the_bundles_are_written_out_into_products() -> None:
    """All three Business Applications lists have the products of Customer Engagement and of Finance & Operations."""
    bundled = {
        *("dynamics-365-sales", "dynamics-365-sales-insights", "dynamics-365-customer-service"),
        *("dynamics-365-field-service", "dynamics-365-finance", "dynamics-365-project-operations"),
    }

    for engagement_id in ("mci-bizapps-presales-advisor", "usage-recognition-bizapps", "bizapps-revenue"):
        assert bundled | {"business-central"} <= ids(engagement_id)


def test_presales_and_revenue_count_for_the_same_products() -> None:
    """Both engagements use the one list of performance workloads."""
    assert ids("mci-bizapps-presales-advisor") == ids("bizapps-revenue")
    assert len(ids("bizapps-revenue")) == 22


def test_power_platform_cannot_be_claimed_for_usage() -> None:
    """Another link than this association attributes the usage of Power Platform and of Customer Insights."""
    for product in ("power-apps", "power-automate", "power-bi", "power-pages", "dynamics-365-customer-insights"):
        assert product in ids("bizapps-revenue")
        assert product not in ids("usage-recognition-bizapps")


@pytest.mark.parametrize("channel", Channel)
def test_only_modern_work_takes_subscriptions_bought_through_csp(channel: Channel) -> None:
    """Every engagement accepts all other channels."""
    taking = {engagement.id for engagement in CATALOGUE.current if engagement.takes(channel)}

    everyone = {engagement.id for engagement in CATALOGUE.current}
    assert taking == ({"modern-work-security-usage"} if channel is Channel.CSP else everyone)


def test_the_channels_are_those_of_the_registry_and_any() -> None:
    """If the registry gets a new channel, the catalogue must decide on it."""
    assert {channel.value for channel in PurchaseChannel} == {channel.value for channel in Channel} | {"any"}


# ------------------------------------------------------------------------------------------- how it is asked


def test_a_claim_under_a_current_engagement_is_filed_there() -> None:
    """The claim keeps no other name."""
    filed = CATALOGUE.filed_under("bizapps-revenue")

    assert filed == (CATALOGUE.engagement("bizapps-revenue"), None)


def test_a_claim_under_an_older_programme_is_filed_under_its_successor() -> None:
    """The claim keeps the older name too."""
    filed = CATALOGUE.filed_under("osa-sell")

    assert filed == (CATALOGUE.engagement("mci-bizapps-presales-advisor"), "osa-sell")


def test_an_unknown_engagement_is_found_nowhere() -> None:
    """
    For an id from a caller the answer is None.

    For an id that was checked before, a missing engagement is a fault.
    """
    assert CATALOGUE.filed_under("osu-azure") is None
    assert CATALOGUE.find("osu-azure") is None
    with pytest.raises(KeyError, match="osu-azure"):
        CATALOGUE.engagement("osu-azure")


def test_an_older_programme_has_the_rules_of_its_successor() -> None:
    """Associations of an older programme hold slots of its successor, and the successor's rules judge its claims."""
    own = {"id", "name", "former_names", "retired", "successor", "incentivised"}
    for engagement in CATALOGUE.engagements:
        if engagement.successor is not None:
            successor = CATALOGUE.engagement(engagement.successor)
            assert engagement.model_dump(exclude=own) == successor.model_dump(exclude=own)


def test_an_engagement_is_answered_with_exactly_the_promised_keys() -> None:
    """The answer has one of the two lists, and no field that only the checks need."""
    for engagement in CATALOGUE.engagements:
        answered = engagement.as_listed().model_dump(mode="json")

        kind = "workloads" if engagement.item_kind is ItemKind.WORKLOAD else "products"
        assert set(answered) == LISTED_KEYS | {kind}
        assert all(set(item) == {"id", "name"} for item in answered[kind])


def test_the_catalogue_is_read_once() -> None:
    """A process keeps the catalogue that it has read."""
    assert load_catalogue() is CATALOGUE


# ---------------------------------------------------------------------------------- what an editor may not do

NAMES = '[workloads]\nteams = "Teams"\n[products]\nsales = "Sales"\n'
WORKLOADS = (
    '[[engagements]]\nid = "work"\nname = "Work"\nitem_kind = "workload"\nchannels = ["any"]\n'
    'incentivised = true\nreview = "manual"\nworkloads = ["teams"]\n'
)
PRODUCTS = (
    '[[engagements]]\nid = "business"\nname = "Business"\nitem_kind = "subscription"\nchannels = ["EA"]\n'
    'incentivised = false\nreview = "automatic"\nproducts = ["sales"]\n'
)
RETIRED = '[[engagements]]\nid = "older"\nname = "Older"\nretired = true\nsuccessor = "work"\nincentivised = true\n'
SMALLEST = NAMES + WORKLOADS + PRODUCTS + RETIRED


def test_the_smallest_catalogue_is_fine() -> None:
    """Each of the next tests makes one mistake in this catalogue."""
    assert [engagement.id for engagement in read_catalogue(SMALLEST).engagements] == ["work", "business", "older"]


@pytest.mark.parametrize(
    ("instead_of", "written", "says"),
    [
        ('workloads = ["teams"]', 'workloads = ["taems"]', "no engagement lists"),
        ('workloads = ["teams"]', 'workloads = ["teams", "taems"]', "'taems' is in a list but has no name"),
        ('workloads = ["teams"]', 'workloads = ["teams", "teams"]', "item twice: teams"),
        ('workloads = ["teams"]', "workloads = []", "no engagement lists"),
        ('products = ["sales"]', 'workloads = ["teams"]', "no engagement lists"),
        ('item_kind = "subscription"', 'item_kind = "workload"', "must list `workloads` if the item kind is workload"),
        ('item_kind = "subscription"', 'item_kind = "licence"', "Input should be 'workload' or 'subscription'"),
        ('channels = ["EA"]', "channels = []", "at least 1 item"),
        ('channels = ["EA"]', 'channels = ["EA", "any"]', "cannot be combined"),
        ('channels = ["EA"]', 'channels = ["EA", "EA"]', "channel twice: EA"),
        ('channels = ["EA"]', 'channels = ["OEM"]', "Input should be"),
        ('id = "business"', 'id = "Business"', "small letters and digits"),
        ('id = "business"', 'id = "work"', "engagement twice: work"),
        ('id = "business"', 'id = "business"\nprice = 1', "Extra inputs are not permitted"),
        ('id = "business"', 'id = "business"\nincentive_may_be_waived = true', "no incentive to waive"),
        ('id = "business"', 'id = "business"\nextra_fields = ["colour"]', "Input should be"),
        ('review = "automatic"', 'review = "perhaps"', "Input should be 'manual' or 'automatic'"),
        ("incentivised = false", 'incentivised = "no"', "valid boolean"),
        ('name = "Business"', 'name = " "', "must not be blank"),
        ('successor = "work"', 'successor = "gone"', "older: the successor gone is not in the file"),
        ('channels = ["any"]', 'channels = ["EA"]', "nobody knows how a workload was bought"),
        ('successor = "work"', 'successor = "work"\nreview = "manual"', "go by its successor; leave out review"),
        ('successor = "work"', 'successor = "work"\nworkloads = ["teams"]', "go by its successor; leave out workloads"),
        ('successor = "work"', "", "Field required"),
        ("retired = true", "", "a retired engagement must name a successor"),
        ("[products]", "[prodcuts]", "unknown tables: prodcuts"),
        ("[products]", "[colours]\nred = 1\n[products]", "unknown tables: colours"),
        ("[products]", "[products", "Expected"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_its_reason(instead_of: str, written: str, says: str) -> None:
    """The service does not start with an inconsistent catalogue."""
    slipped = SMALLEST.replace(instead_of, written, 1)

    with pytest.raises(ValueError, match=says):
        read_catalogue(slipped)


def engagement(**changed: Any) -> dict[str, Any]:
    """Return a current engagement for workloads, before validation."""
    return {
        "id": "work",
        "name": "Work",
        "item_kind": "workload",
        "channels": ["any"],
        "incentivised": True,
        "review": "manual",
        "workloads": [{"id": "teams", "name": "Teams"}],
        **changed,
    }


OLDER = engagement(id="older", retired=True, successor="work")


@pytest.mark.parametrize(
    ("older", "says"),
    [
        (OLDER | {"successor": "gone"}, "the successor gone is no current engagement"),
        (OLDER | {"successor": "older"}, "the successor older is no current engagement"),
        (OLDER | {"workloads": [{"id": "yammer", "name": "Yammer"}]}, "the successor work does not list yammer"),
        (OLDER | {"workloads": [{"id": "teams", "name": "Taems"}]}, "name of one item twice: teams"),
        (
            OLDER | {"item_kind": "subscription", "workloads": None, "products": [{"id": "teams", "name": "Teams"}]},
            "the successor work does not list the same kind of item",
        ),
    ],
)
def test_a_successor_must_have_a_slot_for_what_it_takes_over(older: dict[str, Any], says: str) -> None:
    """An association of an older programme holds a slot of the successor."""
    with pytest.raises(ValidationError, match=says):
        Catalogue.model_validate({"engagements": [engagement(), older]})


def test_an_engagement_lists_workloads_or_products_and_never_both() -> None:
    """This holds for every id of an item."""
    both = engagement(products=[{"id": "sales", "name": "Sales"}])

    with pytest.raises(ValidationError, match="must list `workloads` if the item kind is workload"):
        Engagement.model_validate(both)


def test_ids_in_the_file_are_of_one_kind_only() -> None:
    """The id identifies a slot. A workload and a product with the same id would be mixed up."""
    workloads = [{item.id for item in e.items} for e in CATALOGUE.engagements if e.item_kind is ItemKind.WORKLOAD]
    products = [{item.id for item in e.items} for e in CATALOGUE.engagements if e.item_kind is ItemKind.SUBSCRIPTION]

    assert not any(left & right for left, right in itertools.product(workloads, products))
