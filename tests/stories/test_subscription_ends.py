"""The end of a subscription ends its associations, by the operator's update and its due work."""

import json
from datetime import datetime
from typing import Any

from tests.support.service import CUSTOMER, SUBSCRIPTION, Service


def subscriptions(state: str) -> list[dict[str, Any]]:
    """Return the customer's one subscription in a state."""
    return [
        {"subscriptionId": SUBSCRIPTION, "product": "dynamics-365-sales", "channel": "EA", "state": state, "seats": 50}
    ]


async def put(service: Service, query: str = "", **changes: Any) -> Any:
    """Register the customer again, with changes."""
    known = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()
    return await service.programme("PUT", f"/customers/{CUSTOMER}{query}", json={**known, **changes})


async def test_association_ends_with_its_subscription(service: Service) -> None:
    """The answer names the ends. The partner's access ends with that write, and the customer gets a closing mail."""
    claim = await service.official()
    await service.sweep()
    await service.deliver()

    shown = await put(service, "?validate=true", subscriptions=subscriptions("disabled"))
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "official"
    grace = await put(service, subscriptions=subscriptions("grace"))
    ended = await put(service, subscriptions=subscriptions("disabled"))
    await service.deliver()

    assert shown.json()["ends"] == [{"claimId": claim["id"], "association": True, "items": [SUBSCRIPTION]}]
    assert grace.json()["ends"] == []
    assert ended.json()["ends"] == shown.json()["ends"]
    after = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert (after["status"], after["association"]["endReason"]) == ("ended", "subscriptionEnded")
    assert len(service.mailbox.sent) == 3


async def test_open_claim_loses_the_item_and_with_the_last_one_is_rejected(service: Service) -> None:
    """
    A workload that is no longer listed is struck.

    Without any item left the claim is rejected, and the rejection cannot be disputed.
    """
    items = [{"workload": "teams"}, {"workload": "exchange"}]
    claim = await service.submitted(engagement="modern-work-security-usage", items=items)

    await put(service, workloads=["exchange"])
    one = (await service.request("GET", f"/claims/{claim['id']}")).json()
    await put(service, workloads=[])
    none = (await service.request("GET", f"/claims/{claim['id']}")).json()
    dispute = await service.request("POST", f"/claims/{claim['id']}/dispute", json={"justification": "x"})

    assert one["items"] == [{"workload": "exchange"}]
    assert (none["status"], none["statusReason"]) == ("rejected", "subscriptionEnded")
    assert dispute.json()["error"]["code"] == "NotDisputable"


async def test_more_than_five_ends_must_be_confirmed(service: Service) -> None:
    """The refusal names the number. With the number the update is accepted."""
    workloads = ["teams", "exchange", "sharepoint", "intune", "viva-insights", "yammer"]
    await put(service, workloads=workloads)
    for workload in workloads:
        line = {"workload": workload}
        claim = await service.submitted(engagement="modern-work-security-usage", items=[line])
        await service.review("POST", f"/reviews/{claim['id']}/start")
        await service.review("POST", f"/reviews/{claim['id']}/approve")
    await service.deliver()
    claims = (await service.request("GET", "/claims")).json()["value"]
    service.clock.set(max(datetime.fromisoformat(claim["window"]["endsAt"]) for claim in claims))

    refused = await put(service, workloads=[])
    confirmed = await put(service, "?confirmEnds=6", workloads=[])

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "WouldEndAssociations")
    assert confirmed.status_code == 200
    assert (await service.request("GET", "/associations")).json()["value"] == []
    assert json.dumps(confirmed.json()["ends"]).count("true") == 6
