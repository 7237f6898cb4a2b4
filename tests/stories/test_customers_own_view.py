"""The requests of a customer's administrator, with a token of the customer's own tenant."""

from datetime import datetime, timedelta
from typing import Any

from tests.support.service import CUSTOMER, OTHER_PARTNER, PARTNER, SUBSCRIPTION, Service


async def admin(service: Service, method: str, path: str, tenant: str = CUSTOMER, **more: Any) -> Any:
    """Send a request as the administrator of a customer's tenant."""
    return await service.request(method, f"/customers/{CUSTOMER}{path}", role="Customer.Admin", tenant=tenant, **more)


async def test_administrator_sees_requests_declines_and_undoes(service: Service) -> None:
    """The list has only claims with a notice. The no and its undo are the same acts as behind a mailed link."""
    await service.draft()
    claim = await service.notified()

    listed = (await admin(service, "GET", "/requests")).json()["value"]
    declined = await admin(service, "POST", f"/requests/{claim['id']}/decline", json={"reason": "We know them not."})
    undone = await admin(service, "POST", f"/requests/{claim['id']}/undo")
    comments = (await service.request("GET", f"/claims/{claim['id']}/comments")).json()["value"]

    assert [entry["id"] for entry in listed] == [claim["id"]]
    assert listed[0]["nextStep"]["owner"] == "customer"
    assert declined.json()["status"] == "declined"
    assert undone.json()["status"] == "awaitingCustomer"
    assert [(one["author"], one["text"]) for one in comments] == [("customer", "We know them not.")]


async def test_administrator_sees_the_readers_and_ends_the_association(service: Service) -> None:
    """Each read has a receipt. From the end on the partner gets no figures, and the slot is free."""
    claim = await service.official()
    line = f'{{"month": "2026-11", "item": "{SUBSCRIPTION}", "activeUsers": 3}}'
    feed = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    await service.programme("POST", feed, content=line, headers={"Content-Type": "application/x-ndjson"})
    await service.request("GET", f"/associations/{claim['id']}/usage")

    receipts = (await admin(service, "GET", "/access-receipts")).json()["value"]
    associations = (await admin(service, "GET", "/associations")).json()["value"]
    ended = await admin(service, "POST", f"/associations/{claim['id']}/end", json={"reason": "We changed partners."})
    again = await service.submitted(tenant=OTHER_PARTNER)

    assert len(receipts) == 1
    assert (receipts[0]["organisation"], receipts[0]["items"]) == (PARTNER, [SUBSCRIPTION])
    assert [entry["id"] for entry in associations] == [claim["id"]]
    assert ended.json()["endReason"] == "customerOptedOut"
    assert (await service.request("GET", f"/associations/{claim['id']}/usage")).status_code == 404
    assert (again["status"], again["competing"]) == ("awaitingCustomer", False)
    assert (await admin(service, "GET", "/associations")).json()["value"] == []
    assert len((await admin(service, "GET", "/associations?includeEnded=true")).json()["value"]) == 1


async def test_role_counts_for_its_own_tenant_only(service: Service) -> None:
    """The administrator of another tenant has no role here, and a claim of another tenant is not found."""
    claim = await service.notified()

    stranger = await admin(service, "GET", "/requests", tenant=OTHER_PARTNER)
    foreign = await service.request(
        "POST",
        f"/customers/{OTHER_PARTNER}/requests/{claim['id']}/decline",
        role="Customer.Admin",
        tenant=OTHER_PARTNER,
    )

    assert (stranger.status_code, stranger.json()["error"]["code"]) == (403, "RoleRequired")
    assert foreign.status_code == 404


async def test_no_at_the_last_instant_declines_and_at_the_end_ends(service: Service) -> None:
    """At the window's end the same act ends the new association."""
    claim = await service.notified()
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))

    answer = await admin(service, "POST", f"/requests/{claim['id']}/decline")

    assert answer.json()["status"] == "ended"
    shown = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert shown["association"]["since"] == shown["association"]["endedAt"] == claim["window"]["endsAt"]


async def test_link_of_a_registered_address_ends_any_association_of_the_tenant(service: Service) -> None:
    """The contact's link shows and ends only its own claim. The registered address's link shows and ends all."""
    items = [{"workload": "teams"}]
    other = await service.submitted(tenant=OTHER_PARTNER, engagement="modern-work-security-usage", items=items)
    await service.review("POST", f"/reviews/{other['id']}/start")
    await service.review("POST", f"/reviews/{other['id']}/approve")
    await service.deliver()
    await service.register(noticeAddresses=["it@contoso.fr"])
    await service.official()
    link = {
        mail.to_address: address for mail, address in zip(service.mailbox.sent, service.mailbox.links(), strict=True)
    }

    async def page(address: str) -> Any:
        path = link[address].removeprefix("http://127.0.0.1:7071/api")
        return (await service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()

    async def end(address: str, nonce: str) -> int:
        url, _, token = link[address].removeprefix("http://127.0.0.1:7071/api").partition("?t=")
        form = {"t": token, "nonce": nonce, "associationId": other["id"]}
        return (await service.request("POST", f"{url}/end", role=None, data=form)).status_code

    contacts = await page("anne.durand@contoso.fr")
    everything = await page("it@contoso.fr")
    own_nonce = next(one["nonce"] for one in everything["acts"] if one["act"] == "end")

    assert contacts["associations"] == []
    assert [one["association"]["id"] for one in everything["associations"]] == [other["id"]]
    assert await end("it@contoso.fr", own_nonce) == 403
    assert await end("it@contoso.fr", everything["associations"][0]["nonce"]) == 303
    shown = (await service.request("GET", f"/claims/{other['id']}", tenant=OTHER_PARTNER)).json()
    assert (shown["status"], shown["association"]["endReason"]) == ("ended", "customerOptedOut")


def next_path(page: Any) -> str:
    """Return the path of the next page for `admin`, or an empty text after the last page."""
    return str(page.get("nextLink", "")).partition(f"/customers/{CUSTOMER}")[2]


async def three_associations(service: Service) -> list[str]:
    """Return the ids of three associations, the oldest first."""
    claims = []
    for workload in ("teams", "exchange", "sharepoint"):
        service.clock.advance(timedelta(seconds=1))
        claim = await service.under_review(items=[{"workload": workload}])
        await service.review("POST", f"/reviews/{claim['id']}/approve")
        claims.append(claim["id"])
    await service.deliver()
    service.clock.advance(timedelta(days=14))
    return claims


async def test_list_of_associations_continues_after_one_that_ended(service: Service) -> None:
    """The last association of each page ends before the next page is requested. The list continues."""
    claims = await three_associations(service)
    path, seen = "/associations?maxpagesize=1", []
    while path:
        page = (await admin(service, "GET", path)).json()
        seen += [one["id"] for one in page["value"]]
        for one in page["value"]:
            await admin(service, "POST", f"/associations/{one['id']}/end")
        path = next_path(page)

    assert seen == list(reversed(claims))


async def test_list_of_associations_does_not_begin_again(service: Service) -> None:
    """The association in the middle ends after the read of its page. The next page has the third association."""
    claims = await three_associations(service)
    first = (await admin(service, "GET", "/associations?maxpagesize=1")).json()
    second = (await admin(service, "GET", next_path(first))).json()
    await admin(service, "POST", f"/associations/{claims[1]}/end")
    third = (await admin(service, "GET", next_path(second))).json()

    assert [one["id"] for one in third["value"]] == [claims[0]]
