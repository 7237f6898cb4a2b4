"""`GET /changes`: everything once, in order, to nobody else."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from cpor_core.due_work import RETENTION, Kind
from tests.support.service import (
    ACKNOWLEDGED,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PDF,
    SUBSCRIPTION,
    Service,
    claim_as_sent,
)
from tests.triggers.refusals import refused


async def changes(service: Service, cursor: str | None = None, **who: Any) -> tuple[list[dict[str, Any]], str]:
    """Return the next changes, and where to go on."""
    query = f"?cursor={quote(cursor)}" if cursor is not None else ""
    answer = await service.request("GET", f"/changes{query}", **who)
    assert answer.status_code == 200, answer.text
    return answer.json()["value"], answer.json()["cursor"]


async def submitted(service: Service, **who: Any) -> dict[str, Any]:
    """Make and submit a claim; returns it."""
    items = [{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}]
    partner = {"partnerId": OTHER_PARTNER_ID} if who.get("tenant") == OTHER_PARTNER else {}
    made = await service.request("POST", "/claims", json=claim_as_sent(items=items, **partner), **who)
    path = f"/claims/{made.json()['id']}"
    await service.request("PUT", f"{path}/evidence/sow.pdf?signedOn=2026-10-02", content=PDF, **who)
    answer = await service.request("POST", f"{path}/submit", json=ACKNOWLEDGED, **who)
    assert answer.status_code == 200, answer.text
    claim: dict[str, Any] = answer.json()
    return claim


async def test_a_change_is_there_when_its_request_was_answered(service: Service) -> None:
    """With the claim's state and tag, and nothing of what the claim says."""
    await service.register()
    claim = await submitted(service)

    found, _ = await changes(service)

    assert [(one["sequence"], one["type"]) for one in found] == [
        (1, "claim.created"),
        (2, "claim.evidenceAdded"),
        (3, "claim.submitted"),
        (4, "claim.validated"),
    ]
    assert found[-1] == {
        "sequence": 4,
        "type": "claim.validated",
        "claimId": claim["id"],
        "associationId": None,
        "status": "awaitingCustomer",
        "at": claim["updatedAt"],
        "etag": claim["etag"],
    }


async def test_a_cursor_goes_on_where_it_was_taken(service: Service) -> None:
    """One change at a time, and then nothing until there is something new."""
    await service.register()
    await submitted(service)
    whole, last = await changes(service)

    seen, cursor = [], None
    for _ in whole:
        query = f"/changes?maxpagesize=1{f'&cursor={quote(cursor)}' if cursor else ''}"
        answer = (await service.request("GET", query)).json()
        seen += answer["value"]
        cursor = answer["cursor"]

    assert seen == whole
    assert await changes(service, cursor) == ([], last)
    await service.request("POST", "/claims", json=claim_as_sent())
    assert [one["type"] for one in (await changes(service, last))[0]] == ["claim.created"]


async def test_nobody_reads_another_organisations_changes(service: Service) -> None:
    """Nor is a cursor good for another organisation, nor one that was tampered with."""
    await service.register()
    await submitted(service)
    _, cursor = await changes(service)

    assert (await changes(service, tenant=OTHER_PARTNER))[0] == []
    refused(
        await service.request("GET", f"/changes?cursor={quote(cursor)}", tenant=OTHER_PARTNER), 400, "InvalidCursor"
    )
    refused(await service.request("GET", f"/changes?cursor={quote(cursor)}x"), 400, "InvalidCursor")


async def test_who_is_competed_with_is_told_that_and_not_by_whom(service: Service) -> None:
    """In their own feed, when the other has submitted."""
    await service.register()
    first = await submitted(service)
    second = await submitted(service, tenant=OTHER_PARTNER)

    found, _ = await changes(service)

    assert (found[-1]["type"], found[-1]["claimId"]) == ("claim.competing", first["id"])
    assert found[-1]["etag"] == (await service.request("GET", f"/claims/{first['id']}")).json()["etag"]
    assert second["id"] not in str(found)


async def test_a_cursor_of_more_than_400_days_ago_has_expired(service: Service) -> None:
    """What followed it is gone; from the beginning there is what is kept."""
    await service.register()
    await service.request("POST", "/claims", json=claim_as_sent())
    _, old = await changes(service)
    await service.request("POST", "/claims", json=claim_as_sent())
    service.clock.advance(RETENTION[Kind.TRIM_CHANGES] + timedelta(minutes=1))
    await service.request("POST", "/claims", json=claim_as_sent())
    await service.sweep()

    refused(await service.request("GET", f"/changes?cursor={quote(old)}"), 410, "CursorExpired")
    left, cursor = await changes(service)
    assert left[0]["sequence"] > 2
    assert await changes(service, cursor) == ([], cursor)


async def test_racing_writes_are_neither_skipped_nor_reordered(service: Service) -> None:
    """Two readers meanwhile see the same changes in the same order."""
    await service.register()
    read: list[list[dict[str, Any]]] = [[], []]
    writing = True

    async def reader(which: int) -> None:
        cursor = None
        while True:
            still = writing
            found, cursor = await changes(service, cursor)
            read[which] += found
            if not still and not found:
                return

    async def write(number: int) -> None:
        made = await service.request("POST", "/claims", json=claim_as_sent(name=f"Claim {number}"))
        await service.request("POST", f"/claims/{made.json()['id']}/comments", json={"text": "Hello"})

    readers = [asyncio.create_task(reader(which)) for which in (0, 1)]
    await asyncio.gather(*(write(number) for number in range(12)))
    writing = False
    await asyncio.gather(*readers)

    assert read[0] == read[1]
    assert [one["sequence"] for one in read[0]] == list(range(1, 25))
    for claim_id in {one["claimId"] for one in read[0]}:
        assert [one["type"] for one in read[0] if one["claimId"] == claim_id] == ["claim.created", "claim.commented"]
