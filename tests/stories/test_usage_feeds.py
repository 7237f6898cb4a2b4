"""The figures of an association from Microsoft Graph's own reports, advice, and a receipt for each read."""

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from cpor_core.errors import StorageBusy
from cpor_core.rules.grace import GRACE
from devhost.stack.issuer import PROGRAMME_TENANT
from tests.support.service import CUSTOMER, OTHER_PARTNER, SUBSCRIPTION, Service

TEAMS1, MAILBOX, SITES, FOUNDATION = (
    "57ff2da0-773e-42df-b2af-ffb7a2317929",
    "efb87545-963c-4e0d-99df-69c6916d9eb0",
    "5dbe027f-2339-4123-9542-606e4d348a72",
    "113feb6c-3fe4-4440-bddc-54d774bf0318",
)
SKUS = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#subscribedSkus",
    "value": [
        {
            "accountName": "contoso",
            "accountId": "48a80680-7326-48cd-9935-b556b81d3a4e",
            "appliesTo": "User",
            "capabilityStatus": "Enabled",
            "consumedUnits": 40,
            "id": "48a80680-7326-48cd-9935-b556b81d3a4e_c7df2760-2c81-4ef7-b578-5b5392b571df",
            "prepaidUnits": {"enabled": 50, "suspended": 0, "warning": 5, "lockedOut": 0},
            "servicePlans": [
                {"servicePlanId": plan, "servicePlanName": "X", "provisioningStatus": "Success", "appliesTo": "User"}
                for plan in (TEAMS1, MAILBOX, SITES)
            ],
            "skuId": "c7df2760-2c81-4ef7-b578-5b5392b571df",
            "skuPartNumber": "ENTERPRISEPREMIUM",
            "subscriptionIds": ["15df1a42-2cbd-4ad0-8b72-bcc2a0ec5a3d", "fbc6db7d-6d31-4b6f-a3cb-6a1c3f2d5b6f"],
        },
        {
            "appliesTo": "User",
            "capabilityStatus": "Enabled",
            "consumedUnits": 7,
            "id": "48a80680-7326-48cd-9935-b556b81d3a4e_710779e8-3d4a-4c88-adb9-386c958d1fdf",
            "prepaidUnits": {"enabled": 10000, "suspended": 0, "warning": 0},
            "servicePlans": [{"servicePlanId": TEAMS1, "servicePlanName": "TEAMS1"}],
            "skuId": "710779e8-3d4a-4c88-adb9-386c958d1fdf",
            "skuPartNumber": "TEAMS_EXPLORATORY",
        },
        {
            "appliesTo": "User",
            "capabilityStatus": "Enabled",
            "consumedUnits": 12,
            "id": "48a80680-7326-48cd-9935-b556b81d3a4e_1e1a282c-9c54-43a2-9310-98ef728faace",
            "prepaidUnits": {"enabled": 20, "suspended": 0, "warning": 0},
            "servicePlans": [{"servicePlanId": FOUNDATION, "servicePlanName": "EXCHANGE_S_FOUNDATION"}],
            "skuId": "1e1a282c-9c54-43a2-9310-98ef728faace",
            "skuPartNumber": "DYN365_ENTERPRISE_SALES",
            "subscriptionIds": [SUBSCRIPTION],
        },
        {"skuPartNumber": "BROKEN", "appliesTo": "User", "capabilityStatus": "Enabled"},
    ],
}
COUNTS = (
    "\ufeffReport Refresh Date,Exchange Active,Exchange Inactive,OneDrive Active,OneDrive Inactive,SharePoint Active,"
    "SharePoint Inactive,Skype For Business Active,Skype For Business Inactive,Yammer Active,Yammer Inactive,"
    "Teams Active,Teams Inactive,Office 365 Active,Office 365 Inactive,Report Period\r\n"
    "2026-11-16,38,2,30,10,28,12,0,40,3,37,{teams},5,40,0,30\r\n"
)
WORKLOADS = {"engagement": "modern-work-security-usage", "items": [{"workload": "teams"}, {"workload": "exchange"}]}
TYPES = {"graph-service-user-counts": "text/csv", "jsonl": "application/x-ndjson"}


async def feed(service: Service, format_: str, content: Any, query: str = "") -> Any:
    """Send a report, and return its result."""
    answer = await service.programme(
        "POST",
        f"/usage/reports?tenantId={CUSTOMER}&format={format_}{query}",
        content=content if isinstance(content, str) else json.dumps(content),
        headers={"Content-Type": TYPES.get(format_, "application/json")},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def official(service: Service, **changes: Any) -> str:
    """Bring a claim on workloads to official, by a reviewer and time, and return its id."""
    claim = await service.submitted(**{**WORKLOADS, **changes})
    for act in ("start", "approve"):
        answer = await service.review("POST", f"/reviews/{claim['id']}/{act}", json={})
        assert answer.status_code == 200, answer.text
    await service.deliver()
    told = (await service.request("GET", f"/claims/{claim['id']}")).json()
    service.clock.set(datetime.fromisoformat(told["window"]["endsAt"]) + GRACE)
    return str(claim["id"])


async def look(service: Service, path: str, **more: Any) -> httpx.Response:
    """Read something of an association."""
    return await service.request("GET", f"/associations/{path}", **more)


async def receipts(service: Service) -> list[Any]:
    """Return all receipts, as the customer's administrator sees them."""
    answer = await service.request(
        "GET", f"/customers/{CUSTOMER}/access-receipts", role="Customer.Admin", tenant=CUSTOMER
    )
    return list(answer.json()["value"])


async def test_graphs_reports_are_accepted_unchanged(service: Service) -> None:
    """
    The reports have seats of workloads and of a subscription, and active users.

    Bad rows are reported, and a repeated report counts once.
    """
    workloads = await official(service)
    sales = (await service.official())["id"]

    skus = await feed(service, "graph-subscribed-skus", SKUS, "&asOf=2026-11-17")
    counts = await feed(service, "graph-service-user-counts", COUNTS.format(teams=35))

    assert [(bad["row"], bad["code"]) for bad in skus["rejected"]] == [(4, "InvalidRow")]
    assert (skus["accepted"], skus["unchanged"]) == (2, 1)
    assert counts == {"accepted": 1, "unchanged": 0, "rejected": []}
    again = await feed(service, "graph-subscribed-skus", "\ufeff" + json.dumps(SKUS), "&asOf=2026-11-17")
    assert (again["accepted"], again["unchanged"]) == (0, 3)
    shown = (await look(service, f"{workloads}/usage")).json()["value"]
    assert [
        (row["item"], row["activeUsers"], row["availableSeats"], row["assignedSeats"], row["activeShare"])
        for row in shown
    ] == [("exchange", 38, 55, 40, 0.6909), ("teams", 35, 55, 40, 0.6364)]
    shown = (await look(service, f"{sales}/usage?from=2026-11&to=2026-11")).json()["value"]
    assert [(row["item"], row["activeUsers"], row["availableSeats"], row["assignedSeats"]) for row in shown] == [
        (SUBSCRIPTION, None, 20, 12)
    ]


async def test_seats_of_several_subscriptions_come_from_the_report_on_them(service: Service) -> None:
    """Until that report the row is reported as ambiguous."""
    sales = (await service.official())["id"]
    shared = json.loads(json.dumps(SKUS))
    shared["value"][2]["subscriptionIds"].append("15df1a42-2cbd-4ad0-8b72-bcc2a0ec5a3d")
    bought = {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#directory/subscriptions",
        "value": [
            {
                "createdDateTime": "2023-01-01T00:00:00Z",
                "commerceSubscriptionId": SUBSCRIPTION.upper(),
                "id": "860697e3-b0aa-4196-a6c6-7ec361ed58f7",
                "isTrial": False,
                "nextLifecycleDateTime": "2027-02-01T00:00:00Z",
                "ownerId": "fe04f19f-d924-42b7-9dee-edf4e3fab7f6",
                "ownerTenantId": "331af819-4e0b-49f7-a6bf-14e1165ad3a0",
                "ownerType": "User",
                "serviceStatus": [],
                "skuId": "1e1a282c-9c54-43a2-9310-98ef728faace",
                "skuPartNumber": "DYN365_ENTERPRISE_SALES",
                "status": "Enabled",
                "totalLicenses": 15,
            }
        ],
    }

    before = await feed(service, "graph-subscribed-skus", shared)
    told = await feed(service, "graph-subscriptions", bought)
    after = await feed(service, "graph-subscribed-skus", shared)

    assert [(bad["row"], bad["code"]) for bad in before["rejected"]] == [
        (3, "AmbiguousSubscription"),
        (4, "InvalidRow"),
    ]
    assert told == {"accepted": 1, "unchanged": 0, "rejected": []}
    assert [bad["row"] for bad in after["rejected"]] == [4]
    assert [row["availableSeats"] for row in (await look(service, f"{sales}/usage")).json()["value"]] == [15]


PEOPLE = """\
Report Refresh Date,User Principal Name,Display Name,Exchange Last Activity Date,Report Period
2026-11-16,ana@contoso.fr,Ana Lima,2026-11-15,30
"""


@pytest.mark.parametrize(
    ("format_", "content"),
    [
        ("graph-service-user-counts", PEOPLE),
        ("graph-service-user-counts", ""),
        ("graph-subscribed-skus", {"value": [{"userPrincipalName": "ana@contoso.fr"}]}),
    ],
)
async def test_a_report_about_single_people_is_refused_without_their_names(
    service: Service, format_: str, content: Any
) -> None:
    """The answer is 400 WrongReport and has no name."""
    answer = await service.programme(
        "POST",
        f"/usage/reports?tenantId={CUSTOMER}&format={format_}",
        content=content if isinstance(content, str) else json.dumps(content),
        headers={"Content-Type": TYPES.get(format_, "application/json")},
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "WrongReport")
    assert "contoso" not in answer.text


async def test_advice_has_its_figures(service: Service) -> None:
    """There is advice for bought and unassigned seats, for assigned and unused seats, and for falling use."""
    association = await official(service, items=[{"workload": "teams"}])
    await feed(service, "graph-subscribed-skus", SKUS, "&asOf=2026-11-17")
    await feed(service, "graph-service-user-counts", COUNTS.format(teams=35))
    later = COUNTS.format(teams=20).replace("2026-11-16", "2026-12-05")
    await feed(service, "graph-service-user-counts", later)
    service.clock.set(datetime.fromisoformat("2026-12-06T09:00:00+00:00"))

    found = (await look(service, f"{association}/advice")).json()["value"]

    assert [(one["code"], [row["month"] for row in one["figures"]]) for one in found] == [
        ("SeatsNotAssigned", ["2026-11"]),
        ("UseFalling", ["2026-11", "2026-12"]),
    ]
    assert found[0]["message"] == "15 of 55 seats of teams are assigned to nobody."
    assert found[0]["figures"] == (await look(service, f"{association}/usage?to=2026-11")).json()["value"]


async def test_each_read_has_one_receipt(service: Service) -> None:
    """
    Reads of usage and advice count, empty ones too.

    The mailed link shows the receipts of its own association only.
    """
    workloads = await official(service)
    sales = (await service.official())["id"]
    reads = [f"{workloads}/usage", f"{workloads}/advice", f"{sales}/advice", f"{workloads}/usage?to=2020-01"]

    assert [(await look(service, path)).status_code for path in reads] == [200] * 4
    assert (await look(service, f"{workloads}/usage?from=x")).status_code == 400
    assert (await look(service, f"{workloads}/advice", tenant=OTHER_PARTNER)).status_code == 404

    found = await receipts(service)
    assert sorted((one["associationId"], tuple(one["months"])) for one in found) == sorted(
        [(workloads, ("2026-11",)), (workloads, ("2026-11",)), (sales, ("2026-11",)), (workloads, ())]
    )
    assert {tuple(one["items"]) for one in found if one["associationId"] == workloads} == {("teams", "exchange")}
    links = {link.split("/requests/")[1].partition("?")[0]: link for link in service.mailbox.links()}
    page = await service.client.get(links[sales], headers={"Accept": "application/json"})
    assert [one["associationId"] for one in page.json()["accessReceipts"]] == [sales]
    assert page.json()["accessReceipts"][0]["objectId"] in (await service.client.get(links[sales])).text


@pytest.mark.parametrize("what", ["usage", "advice"])
async def test_without_a_receipt_no_figures_are_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The answer is 503 and has no figure."""
    association = await official(service)
    await feed(service, "graph-subscribed-skus", SKUS)

    async def busy(*_: object) -> None:
        raise StorageBusy("throttled")

    monkeypatch.setattr(type(service.services.ports.receipts), "add", busy)
    answer = await look(service, f"{association}/{what}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ServerBusy")
    assert "55" not in answer.text
    monkeypatch.undo()
    assert await receipts(service) == []


@pytest.mark.parametrize("what", ["usage", "advice"])
async def test_only_the_partner_of_an_official_association_sees_figures(service: Service, what: str) -> None:
    """Before it is official and after its end nobody sees figures, and at no time any other organisation does."""
    claim = await service.notified()
    path = f"{claim['id']}/{what}"
    assert (await look(service, path)).status_code == 404
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))
    early = await look(service, path)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "FiguresNotYet")
    assert early.headers["Retry-After"] == "60"
    service.clock.advance(GRACE)

    assert (await look(service, path, role="Incentives.User")).status_code == 200
    assert (await look(service, path, tenant=OTHER_PARTNER)).status_code == 404
    assert (await look(service, path, role="Program.Operator", tenant=PROGRAMME_TENANT)).status_code == 403
    assert (await look(service, path, role="Customer.Admin", tenant=CUSTOMER)).status_code == 403
    await service.request("POST", f"/associations/{claim['id']}/end", json={"reason": "We leave"})
    assert (await look(service, path)).status_code == 404
    assert len(await receipts(service)) == 1
