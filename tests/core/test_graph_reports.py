"""Figures from Microsoft Graph's own reports about workloads and subscriptions."""

import codecs
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from pydantic import JsonValue

from cpor_app.adapters.catalogue import load_licensing
from cpor_core.errors import Refused
from cpor_core.model.base import MAX_COUNT
from cpor_core.rules.graph_reports import (
    Given,
    Report,
    directory_subscriptions,
    service_user_counts,
    subscribed_skus,
)
from tests.core.builders import OTHER_SUBSCRIPTION, SUBSCRIPTION

TODAY = date(2026, 11, 18)
TEAMS1, MAILBOX, FOUNDATION = (
    "57ff2da0-773e-42df-b2af-ffb7a2317929",
    "efb87545-963c-4e0d-99df-69c6916d9eb0",
    "113feb6c-3fe4-4440-bddc-54d774bf0318",
)
ATP, THREATS = "f20fedf3-f3c3-43c3-8267-2bfdd51c0939", "8e0c0a52-6a6c-4d40-8370-dd62790dcd70"
E5, EXPLORATORY, SALES_SKU, FLOW_FREE = (
    "06ebc4ee-1bb5-47dd-8120-11324bc54e06",
    "710779e8-3d4a-4c88-adb9-386c958d1fdf",
    "1e1a282c-9c54-43a2-9310-98ef728faace",
    "f30db892-07e9-47e9-837c-80727f46fd3d",
)
HEADINGS = (
    "Report Refresh Date,Exchange Active,Exchange Inactive,OneDrive Active,OneDrive Inactive,SharePoint Active,"
    "SharePoint Inactive,Skype For Business Active,Skype For Business Inactive,Yammer Active,Yammer Inactive,"
    "Teams Active,Teams Inactive,Office 365 Active,Office 365 Inactive,Report Period"
)
ROW = "2026-11-16,41,9,30,20,28,22,1,49,3,47,35,15,44,6,30"


def sku(sku_id: str = E5, *plans: str, enabled: int = 25, consumed: int = 14, **changes: Any) -> JsonValue:
    """Return a SKU in the form of `GET /subscribedSkus`."""
    return {
        "accountName": "contoso",
        "accountId": "48a80680-7326-48cd-9935-b556b81d3a4e",
        "capabilityStatus": "Enabled",
        "consumedUnits": consumed,
        "id": f"48a80680-7326-48cd-9935-b556b81d3a4e_{sku_id}",
        "prepaidUnits": {"enabled": enabled, "suspended": 3, "warning": 0, "lockedOut": 2},
        "servicePlans": [
            {
                "servicePlanId": plan,
                "servicePlanName": "A name that says nothing",
                "provisioningStatus": "Success",
                "appliesTo": "User",
            }
            for plan in plans
        ],
        "skuId": sku_id,
        "skuPartNumber": "SPE_E5",
        "appliesTo": "User",
        "subscriptionIds": [],
        **changes,
    }


def seats(*rows: JsonValue, workloads: Sequence[str] = (), subscriptions: Sequence[str] = (SUBSCRIPTION,)) -> Report:
    """Return the figures of subscribed SKUs."""
    return subscribed_skus(rows, load_licensing(), TODAY, workloads=workloads, subscriptions=subscriptions)


def bought(*rows: JsonValue) -> Report:
    """Return the figures of subscriptions."""
    return directory_subscriptions(rows, load_licensing(), TODAY, subscriptions=(SUBSCRIPTION,))


def counted(text: str) -> Report:
    """Return the figures of a CSV."""
    return service_user_counts(text.encode(), load_licensing(), TODAY)


def figures(report: Report) -> dict[str, tuple[int | None, int | None]]:
    """Return item → available and assigned seats."""
    return {one.line.item: (one.line.available_seats, one.line.assigned_seats) for one in report.given}


def active(report: Report) -> dict[str, int | None]:
    """Return item → active users."""
    return {one.line.item: one.line.active_users for one in report.given}


def wrong(report: Report) -> list[tuple[int, str]]:
    """Return the rows that were refused."""
    return [(bad.row, bad.code) for bad in report.rejected]


# --- seats of workloads -----------------------------------------------------------------------------------------------


def test_seats_are_summed_over_the_skus_that_hold_a_plan() -> None:
    """Enabled seats and seats in the warning state count. Suspended and locked seats do not."""
    report = seats(
        sku(E5, TEAMS1, MAILBOX, enabled=25, consumed=14),
        sku("dcf0408c-aaec-446c-afd4-43e3683943ea", TEAMS1, prepaidUnits={"enabled": 5, "warning": 2}, consumedUnits=7),
    )

    assert figures(report) == {
        "teams": (32, 21),
        "teams-meetings": (32, 21),
        "teams-platform": (32, 21),
        "exchange": (25, 14),
    }
    teams = next(one for one in report.given if one.line.item == "teams")
    assert (teams.line.month, teams.as_of, teams.rows) == ("2026-11", TODAY, (1, 2))
    assert (report.rows, report.rejected) == ([1, 2], [])


def test_a_sku_with_several_plans_of_a_workload_counts_once() -> None:
    """A licence with plan 1 and plan 2 is one seat."""
    assert figures(seats(sku(E5, ATP, THREATS))) == {"defender-for-office-365": (25, 14)}


@pytest.mark.parametrize(
    "row",
    [
        sku(E5, FOUNDATION),
        sku(E5),
        sku(E5, TEAMS1, appliesTo="Company"),
        sku(E5, TEAMS1, capabilityStatus="Suspended"),
        sku(E5, TEAMS1, capabilityStatus="Deleted"),
        sku(E5, TEAMS1, capabilityStatus="LockedOut"),
        sku(E5, TEAMS1, capabilityStatus="SomethingNew"),
        sku(EXPLORATORY, TEAMS1, MAILBOX),
        sku(EXPLORATORY.upper(), TEAMS1),
        sku(FLOW_FREE, FOUNDATION),
    ],
)
def test_some_rows_give_no_seats(row: JsonValue) -> None:
    """
    A row gives none without a plan of a workload, or if it is not for users, not usable or not bought.

    The row is still correct.
    """
    report = seats(row)

    assert (report.given, report.rejected, report.rows) == ([], [], [1])


@pytest.mark.parametrize("status", ["Enabled", "Warning"])
def test_ids_in_capitals_count_too(status: str) -> None:
    """Some tools write ids in capitals."""
    assert figures(seats(sku(E5.upper(), MAILBOX.upper(), capabilityStatus=status))) == {"exchange": (25, 14)}


def test_a_workload_of_the_tenant_without_a_sku_has_no_seats() -> None:
    """Zero seats is a figure from Graph. A workload without a plan gets no figure."""
    report = seats(workloads=("teams", "viva-connections", "no-such"))

    assert figures(report) == {"teams": (0, 0)}
    assert report.given[0].rows == ()


@pytest.mark.parametrize(
    "row",
    [
        None,
        7,
        [],
        {},
        sku(E5, TEAMS1, prepaidUnits=None),
        {name: value for name, value in dict(sku(E5, TEAMS1)).items() if name != "prepaidUnits"},  # type: ignore[arg-type]
        sku(E5, TEAMS1, prepaidUnits={"warning": 1}),
        sku(E5, TEAMS1, prepaidUnits={"enabled": -1}),
        sku(E5, TEAMS1, prepaidUnits={"enabled": "25"}),
        sku(E5, TEAMS1, consumedUnits=None),
        sku(E5, TEAMS1, skuId=None),
        sku(E5, TEAMS1, servicePlans=None),
        sku(E5, TEAMS1, prepaidUnits={"enabled": MAX_COUNT, "warning": 1}),
    ],
)
def test_a_bad_row_is_reported_and_the_others_are_stored(row: JsonValue) -> None:
    """The report has its number, counted from 1."""
    report = seats(row, sku(E5, MAILBOX))

    assert wrong(report) == [(1, "InvalidRow")]
    assert figures(report) == {"exchange": (25, 14)}
    assert report.rows == [2]


def test_a_repeated_sku_is_refused() -> None:
    """Two answers in one file must not double the seats."""
    report = seats(sku(E5, MAILBOX), sku(E5.upper(), MAILBOX))

    assert wrong(report) == [(2, "DuplicateRow")]
    assert figures(report) == {"exchange": (25, 14)}


@pytest.mark.parametrize("read", [seats, bought])
def test_json_about_single_people_is_refused(read: Any) -> None:
    """Nothing of it is stored."""
    with pytest.raises(Refused, match="WrongReport"):
        read(sku(E5, TEAMS1), {"userPrincipalName": "ana@contoso.fr", "skuId": E5})


# --- seats of subscriptions -------------------------------------------------------------------------------------------


def test_a_sku_of_one_registered_subscription_gives_it_its_seats() -> None:
    """The target of the SKU does not matter. A subscription that is not registered gets no figure."""
    report = seats(
        sku(SALES_SKU, subscriptionIds=[SUBSCRIPTION.upper()], appliesTo="Company", enabled=9, consumed=4),
        sku(E5, subscriptionIds=[OTHER_SUBSCRIPTION]),
        sku("055", subscriptionIds=None),
    )

    assert figures(report) == {SUBSCRIPTION: (9, 4)}
    assert (report.rows, report.ambiguous) == ([1, 2, 3], [])


@pytest.mark.parametrize("changes", [{"capabilityStatus": "Suspended"}, {"skuId": FLOW_FREE}])
def test_a_subscription_that_is_suspended_or_free_has_no_seats(changes: Any) -> None:
    """The figure is zero, because the subscription can have had seats before."""
    row = dict(sku(SALES_SKU, subscriptionIds=[SUBSCRIPTION]))  # type: ignore[arg-type]

    assert figures(seats({**row, **changes})) == {SUBSCRIPTION: (0, 0)}


def test_a_sku_of_several_subscriptions_gives_none_of_them_seats() -> None:
    """
    The answer names the SKU only if one of the subscriptions is registered.

    Its workloads get their seats in both cases.
    """
    both = [SUBSCRIPTION, OTHER_SUBSCRIPTION]

    report = seats(sku(SALES_SKU, MAILBOX, subscriptionIds=both), sku(E5, subscriptionIds=[E5, OTHER_SUBSCRIPTION]))

    assert [(one.row, one.month, one.subscriptions) for one in report.ambiguous] == [(1, "2026-11", (SUBSCRIPTION,))]
    assert figures(report) == {"exchange": (25, 14)}


def subscription(**changes: Any) -> JsonValue:
    """Return a subscription in the form of `GET /directory/subscriptions`."""
    return {
        "createdDateTime": "2023-01-01T00:00:00Z",
        "commerceSubscriptionId": SUBSCRIPTION,
        "id": "860697e3-b0aa-4196-a6c6-7ec361ed58f7",
        "isTrial": False,
        "nextLifecycleDateTime": "2027-02-01T00:00:00Z",
        "serviceStatus": [],
        "skuId": SALES_SKU,
        "skuPartNumber": "DYN365_ENTERPRISE_SALES",
        "status": "Enabled",
        "totalLicenses": 25,
        "ownerId": None,
        "ownerTenantId": None,
        "ownerType": "User",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        ({}, 25),
        ({"commerceSubscriptionId": SUBSCRIPTION.upper(), "isTrial": None, "status": "Warning"}, 25),
        ({"commerceSubscriptionId": None, "id": SUBSCRIPTION}, 25),
        ({"status": "Suspended"}, 0),
        ({"status": "LockedOut"}, 0),
        ({"isTrial": True}, 0),
        ({"skuId": FLOW_FREE.upper()}, 0),
    ],
)
def test_a_subscription_has_its_licences_as_seats(changes: Any, total: int) -> None:
    """A trial has no sold licences, and a subscription that cannot be used has no seats."""
    assert figures(bought(subscription(**changes))) == {SUBSCRIPTION: (total, None)}


def test_subscriptions_that_are_not_registered_have_no_figures() -> None:
    """Their rows are correct. Bad rows are reported."""
    report = bought(
        subscription(commerceSubscriptionId=OTHER_SUBSCRIPTION),
        subscription(),
        subscription(),
        subscription(totalLicenses=None),
        {},
        subscription(commerceSubscriptionId=None, id=None),
        subscription(commerceSubscriptionId=None, id=None),
    )

    assert wrong(report) == [(3, "DuplicateRow"), (4, "InvalidRow"), (5, "InvalidRow")]
    assert (figures(report), report.rows) == ({SUBSCRIPTION: (25, None)}, [1, 2, 6, 7])


# --- active users -----------------------------------------------------------------------------------------------------

EXPECTED = {"exchange": 41, "sharepoint": 28, "yammer": 3, "teams": 35}


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADINGS}\n{ROW}\n",
        f"{HEADINGS}\r\n{ROW}\r\n",
        f"{HEADINGS}\n{ROW}",
        f"{HEADINGS}\n\n{ROW}\n\n",
        ",".join(f'"{cell}"' for cell in HEADINGS.split(",")) + "\n" + ",".join(f'"{cell}"' for cell in ROW.split(",")),
        f"{HEADINGS.upper()}\n{ROW.replace(',', ' , ')}\n",
        f"{HEADINGS},Something New\n{ROW},x\n",
        "\ufeff" + f"{HEADINGS}\n{ROW}\n",
    ],
)
def test_active_users_are_read_by_the_headings(text: str) -> None:
    """The file can have a byte order mark, quotes and CR. OneDrive, Skype and Office 365 cannot be claimed."""
    report = counted(text)

    assert active(report) == EXPECTED
    assert report.rejected == []
    assert {(one.line.month, one.as_of, one.rows) for one in report.given} == {("2026-11", date(2026, 11, 16), (1,))}


def test_the_refresh_date_replaces_the_given_day() -> None:
    """The figure's month follows that date. Without a refresh date the given day counts."""
    report = counted(f"{HEADINGS}\n{ROW.replace('2026-11-16', '2026-10-31')}\n{ROW.replace('2026-11-16', '')}\n")

    assert [(one.line.month, one.as_of) for one in report.given if one.line.item == "teams"] == [
        ("2026-10", date(2026, 10, 31)),
        ("2026-11", TODAY),
    ]


def test_only_periods_of_thirty_days_count() -> None:
    """Rows of other periods are bad rows."""
    rows = "\n".join(ROW.removesuffix("30") + period for period in ("7", "30", "90", "180", ""))

    report = counted(f"{HEADINGS}\n{rows}\n")

    assert wrong(report) == [(1, "WrongPeriod"), (3, "WrongPeriod"), (4, "WrongPeriod"), (5, "WrongPeriod")]
    assert active(report) == EXPECTED
    assert report.rows == [2]


@pytest.mark.parametrize(
    "row",
    [
        ROW.replace("41", "many"),
        ROW.replace("41", "-1"),
        ROW.replace("41", "4.1"),
        ROW.replace("41", str(MAX_COUNT + 1)),
        ROW.replace("41", "9" * 30),
        ROW.replace("2026-11-16", "16/11/2026"),
        ROW.replace("2026-11-16", "2026-11-31"),
        ROW + ",1",
        "2026-11-16",
    ],
)
def test_a_bad_row_of_a_csv_is_reported_and_the_others_are_stored(row: str) -> None:
    """The row's number is counted below the headings."""
    report = counted(f"{HEADINGS}\n{row}\n{ROW}\n")

    assert wrong(report) == [(1, "InvalidRow")]
    assert (active(report), report.rows) == (EXPECTED, [2])


def test_an_open_quote_ends_the_readable_part() -> None:
    """Rows before the quote are stored."""
    report = counted(f'{HEADINGS}\n{ROW}\n"2026-11-16,41\n{ROW}\n')

    assert wrong(report) == [(2, "InvalidRow")]
    assert active(report) == EXPECTED


def test_a_workload_without_a_number_has_no_figure() -> None:
    """An empty cell is not zero."""
    report: Report = counted(f"{HEADINGS}\n{ROW.replace('41', '')}\n")

    assert active(report) == {name: count for name, count in EXPECTED.items() if name != "exchange"}
    assert all(isinstance(one, Given) for one in report.given)


@pytest.mark.parametrize(
    "headings",
    [
        "Report Refresh Date,User Principal Name,Display Name,Is Deleted,Has Exchange License,Report Period",
        "\ufeffReport Refresh Date,user  principal name,Exchange Active,Report Period",
        "Report Refresh Date,User Id,Teams Active,Report Period",
        "Report Refresh Date,Site Id,Owner Display Name,Teams Active,Report Period",
        "Report Refresh Date,Office 365,Exchange,OneDrive,SharePoint,Yammer,Teams,Report Date,Report Period",
        "Exchange Active,Teams Active",
        '"Report Refresh Date',
        "",
        "{}",
    ],
)
def test_another_report_is_refused_as_a_whole(headings: str) -> None:
    """Examples are a report about single people, a report with other columns, and an empty file."""
    with pytest.raises(Refused, match="WrongReport"):
        counted(f"{headings}\n2026-11-16,ana@contoso.fr,Ana,False,,True,30\n" if headings else "")


def test_a_report_in_another_encoding_is_refused() -> None:
    """Some spreadsheets write such encodings."""
    with pytest.raises(Refused, match="WrongReport"):
        service_user_counts(codecs.BOM_UTF16_LE + HEADINGS.encode("utf-16-le"), load_licensing(), TODAY)
