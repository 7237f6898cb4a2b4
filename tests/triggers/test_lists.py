"""Lists: in order, page by page, each entry once, and no page for anybody else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from cpor_core.ports.due_work import Failure
from tests.support.service import (
    CUSTOMER,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER_ID,
    PUBLIC_URL,
    Service,
    claim_as_sent,
)
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused, targets


async def pages(service: Service, path: str, **who: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield page after page, by nextLink as it was answered."""
    while path:
        answer = await service.request("GET", path, **who)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        yield answer.json()["value"]
        path = answer.json().get("nextLink", "")
        assert path == "" or path.startswith(f"{PUBLIC_URL}/")


async def drafts(service: Service, count: int, **changes: Any) -> list[str]:
    """Make drafts, one each minute; returns their ids, newest first."""
    ids = []
    for n in range(count):
        service.clock.advance(timedelta(minutes=1))
        made = await service.request("POST", "/claims", json=claim_as_sent(name=f"Claim {n}", **changes))
        ids.append(made.json()["id"])
    return ids[::-1]


async def test_claims_are_listed_newest_first_each_once(service: Service) -> None:
    """Whatever the size of a page, and when a page ends with the last entry."""
    ids = await drafts(service, 7)

    for size in (1, 2, 3, 7, 8, 1000):
        found = [[claim["id"] for claim in page] async for page in pages(service, f"/claims?maxpagesize={size}")]
        assert [claim_id for page in found for claim_id in page] == ids
        assert all(len(page) <= size for page in found)


async def test_claims_of_one_instant_are_listed_each_once(service: Service) -> None:
    """The order is by id then; none is skipped at the border of a page."""
    made = [await service.request("POST", "/claims", json=claim_as_sent()) for _ in range(5)]

    found = [claim["id"] async for page in pages(service, "/claims?maxpagesize=2") for claim in page]

    assert sorted(found) == sorted(answer.json()["id"] for answer in made)


async def test_what_is_made_or_deleted_between_pages_moves_nothing(service: Service) -> None:
    """The cursor says behind which claim to go on, not how many to skip."""
    ids = await drafts(service, 6)
    walk = pages(service, "/claims?maxpagesize=2")

    first = [claim["id"] for claim in await anext(walk)]
    await service.request("DELETE", f"/claims/{ids[0]}")
    await service.request("DELETE", f"/claims/{ids[2]}")
    await drafts(service, 1)
    rest = [claim["id"] async for page in walk for claim in page]

    assert first + rest == [*ids[:2], *ids[3:]]


@pytest.mark.parametrize("size", ["0", "-1", "1001", "x", "1.0", "1e2", "+5", " 5", "1_0", "9" * 5000, "٣"])
@shares_its_service
async def test_page_size_is_1_to_1000(shared: Service, size: str) -> None:
    """Anything else is refused, not bent."""
    for path in ("/claims", "/associations"):
        answer = await shared.client.get(
            path,
            params={"maxpagesize": size},
            headers={"Authorization": f"Bearer {shared.token('Incentives.Admin', OTHER_PARTNER)}"},
        )
        assert targets(refused(answer, 400, "ValidationFailed")) == {"maxpagesize": "FieldInvalid"}


async def test_cursor_is_ours_for_this_list_caller_and_filter_only(service: Service) -> None:
    """Tampered, of another organisation, list or filter: InvalidCursor. Of another size of page: right."""
    await drafts(service, 3)
    link = (await service.request("GET", "/claims?maxpagesize=1&status=draft")).json()["nextLink"]
    cursor = link.partition("cursor=")[2]

    async def ask(path: str, **more: Any) -> Any:
        return await service.request("GET", path, **more)

    for changed in (
        cursor[:-1] + ("A" if cursor[-1] != "A" else "B"),
        "A" + cursor,
        cursor[1:],
        "x",
        "x.y",
        "x" * 5000,
        "%00",
        cursor.upper(),
    ):
        refused(await ask(f"/claims?maxpagesize=1&status=draft&cursor={changed}"), 400, "InvalidCursor")
    refused(await ask(link, tenant=OTHER_PARTNER), 400, "InvalidCursor")
    refused(await ask(f"/associations?cursor={cursor}"), 400, "InvalidCursor")
    refused(await ask(f"/claims?status=official&cursor={cursor}"), 400, "InvalidCursor")
    refused(await ask(f"/claims?cursor={cursor}"), 400, "InvalidCursor")
    more = await ask(f"/claims?maxpagesize=2&status=draft&cursor={cursor}")
    assert len(more.json()["value"]) == 2


async def test_cursor_lasts_and_its_link_keeps_what_was_asked(service: Service) -> None:
    """Days later it still goes on where it was; the link has size, filter and version in it."""
    ids = await drafts(service, 3)
    query = f"maxpagesize=1&partnerId={PARTNER_ID}&api-version=2026-11-01"
    link = (await service.request("GET", f"/claims?{query}")).json()["nextLink"]
    service.clock.advance(timedelta(days=30))

    again = await service.request("GET", link)

    assert [claim["id"] for claim in again.json()["value"]] == [ids[1]]
    assert all(part in link for part in query.split("&"))


async def test_filters_narrow_the_list_and_each_other(service: Service) -> None:
    """By state as it is now, engagement, location and tenant; a wrong one is refused, an unknown one finds nothing."""
    workload = await service.draft(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    service.clock.advance(timedelta(minutes=1))
    official = await service.official()

    async def found(query: str) -> list[str]:
        return [claim["id"] for claim in (await service.request("GET", f"/claims?{query}")).json()["value"]]

    assert await found("status=draft") == [workload["id"]]
    assert await found("status=official") == [official["id"]]
    assert await found("status=awaitingCustomer") == []
    assert await found("engagement=modern-work-security-usage") == [workload["id"]]
    assert await found("engagement=nobody-knows-it") == []
    assert await found(f"partnerId={PARTNER_ID}") == [official["id"], workload["id"]]
    assert await found(f"partnerId={OTHER_PARTNER_ID}") == []
    assert await found(f"customerTenantId={CUSTOMER.upper()}") == [official["id"], workload["id"]]
    assert await found("customerTenantId=bbbbbbbb-0000-4000-8000-00000000000f") == []
    assert await found(f"status=official&partnerId={PARTNER_ID}&engagement=usage-recognition-bizapps") == [
        official["id"]
    ]
    assert await found(f"status=draft&engagement=usage-recognition-bizapps&partnerId={PARTNER_ID}") == []
    for wrong in ("status=done", "status=Draft", "partnerId=x", "customerTenantId=1"):
        answer = await service.request("GET", f"/claims?{wrong}")
        assert targets(refused(answer, 400, "ValidationFailed")) == {wrong.partition("=")[0]: "FieldInvalid"}


async def test_needs_me_finds_the_claims_that_the_partner_must_act_on(service: Service) -> None:
    """The filter looks at `nextStep.owner` as it is now, also in the export, and stays through the pages."""
    first, second = await drafts(service, 2)
    service.clock.advance(timedelta(minutes=1))
    official = await service.official()

    found = [claim async for page in pages(service, "/claims?maxpagesize=1&needsMe=true") for claim in page]
    all_of_them = (await service.request("GET", "/claims?needsMe=false")).json()["value"]
    exported = await service.request("GET", "/claims/export?needsMe=true")

    assert [claim["id"] for claim in found] == [first, second]
    assert {claim["nextStep"]["owner"] for claim in found} == {"partner"}
    assert [claim["id"] for claim in all_of_them] == [official["id"], first, second]
    assert [first in exported.text, official["id"] in exported.text] == [True, False]


async def test_the_summary_counts_by_status_and_needs_me(service: Service) -> None:
    """It names every status, and each partner sees its own claims only."""
    await drafts(service, 2)
    await service.official()

    own = await service.request("GET", "/claims/summary")
    others = await service.request("GET", "/claims/summary", tenant=OTHER_PARTNER)

    assert own.status_code == 200, own.text
    assert own.json()["status"] == {**dict.fromkeys(others.json()["status"], 0), "draft": 2, "official": 1}
    assert own.json()["needsMe"] == 2
    assert set(others.json()["status"].values()) == {0}
    assert others.json()["complete"] is own.json()["complete"] is True


async def test_filters_hold_through_the_pages(service: Service) -> None:
    """A page behind a filter may be short; the walk finds all."""
    wanted = []
    for n in range(6):
        service.clock.advance(timedelta(minutes=1))
        claim = await service.request("POST", "/claims", json=claim_as_sent())
        if n % 2:
            wanted.append(claim.json()["id"])
        else:
            await service.request("DELETE", f"/claims/{claim.json()['id']}")

    found = [claim["id"] async for page in pages(service, "/claims?maxpagesize=1&status=draft") for claim in page]

    assert found == wanted[::-1]


async def test_history_and_comments_go_page_by_page(service: Service) -> None:
    """Oldest first, as the chain of hashes runs; what time has made is on the last page."""
    claim = await service.official()
    for n in range(3):
        await service.request("POST", f"/claims/{claim['id']}/comments", json={"text": f"{n}"})

    history = [entry async for page in pages(service, f"/claims/{claim['id']}/history?maxpagesize=2") for entry in page]
    comments = [one async for page in pages(service, f"/claims/{claim['id']}/comments?maxpagesize=2") for one in page]

    assert [entry["sequence"] for entry in history] == list(range(1, len(history) + 1))
    assert history == (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    assert all(entry["previousHash"] == before["hash"] for before, entry in pairwise(history))
    assert [comment["text"] for comment in comments] == ["0", "1", "2"]


async def test_history_that_time_has_made_goes_page_by_page(service: Service) -> None:
    """The entry that no timer has written yet is listed like the others."""
    claim = await service.official()

    history = [entry async for page in pages(service, f"/claims/{claim['id']}/history?maxpagesize=1") for entry in page]

    assert history[-1]["to"] == "official"
    assert history[-1]["hash"] == claim["historyHash"]
    assert [entry["sequence"] for entry in history] == list(range(1, len(history) + 1))


async def test_associations_are_the_official_ones_unless_asked(service: Service) -> None:
    """With includeEnded the others too."""
    claim = await service.official()

    async def found(query: str = "") -> list[str]:
        return [one["id"] for one in (await service.request("GET", f"/associations{query}")).json()["value"]]

    assert await found() == [claim["id"]]
    await service.request("POST", f"/associations/{claim['id']}/end", json={"reason": "over"})
    assert await found() == []
    assert await found("?includeEnded=false") == []
    assert await found("?includeEnded=true") == [claim["id"]]
    assert await found("?includeEnded=true&engagement=bizapps-revenue") == []
    refused(await service.request("GET", "/associations?includeEnded=ja"), 400, "ValidationFailed")


async def test_reviews_are_listed_most_urgent_first(service: Service) -> None:
    """Page by page, and what was decided is gone."""
    ids = []
    for workload in ("teams", "exchange", "sharepoint"):
        service.clock.advance(timedelta(days=1))
        claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": workload}])
        ids.append(claim["id"])
    reviewer = {"role": "Program.Reviewer", "tenant": service.services.settings.programme_tenant}

    async def found() -> list[str]:
        return [one["claimId"] async for page in pages(service, "/reviews?maxpagesize=2", **reviewer) for one in page]

    assert await found() == ids
    await service.review("POST", f"/reviews/{ids[0]}/start")
    await service.review("POST", f"/reviews/{ids[0]}/reject", json={"reason": "insufficientEvidence"})
    assert await found() == ids[1:]
    overdue = await service.review("GET", "/reviews?overdue=true")
    assert overdue.json()["value"] == []
    service.clock.advance(timedelta(days=60))
    overdue = await service.review("GET", "/reviews?overdue=true&competing=false")
    assert [one["claimId"] for one in overdue.json()["value"]] == ids[1:]


async def test_failed_messages_are_listed_newest_first_and_put_back(service: Service) -> None:
    """Page by page, with ids only; after the redrive they are in their queue and no longer in the list."""
    claim = await service.submitted()
    await service.deliver()
    for n in range(3):
        at = service.clock.real() + timedelta(minutes=n)
        failure = Failure(id=f"message-{n}", queue="customer-notices", body=f'{{"claimId": "{claim["id"]}"}}', at=at)
        await service.services.ports.failures.add(failure)
    operator = {"role": "Program.Operator", "tenant": service.services.settings.programme_tenant}
    path = "/operations/failed-messages"

    listed = [one["id"] async for page in pages(service, f"{path}?maxpagesize=2", **operator) for one in page]
    redriven = await service.programme("POST", f"{path}/redrive")

    assert listed == ["message-2", "message-1", "message-0"]
    assert redriven.json() == {"redriven": 3}
    assert (await service.programme("GET", path)).json() == {"value": []}
    assert await service.deliver() == 3
