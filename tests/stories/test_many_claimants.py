"""Many claims for one free item are submitted at the same moment."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest

from cpor_app import bootstrap
from cpor_app.adapters.clock import Clock
from tests.support.service import ACKNOWLEDGED, PARTNER, Service, claim_as_sent

ENGAGEMENT = "usage-recognition-bizapps"


def organisation(number: int) -> str:
    """Return the tenant of one of the partners."""
    return f"aaaaaaaa-0000-4000-8000-0000000001{number:02}"


async def draft_of(service: Service, number: int) -> str:
    """Register a partner that creates a draft, and return the claim's id."""
    partner_id = f"77700{number:02}"
    partner = {
        "name": f"Partner {number}",
        "entraTenantId": organisation(number),
        "country": "FR",
        "enrolledEngagements": [ENGAGEMENT],
    }
    registered = await service.programme("PUT", f"/partners/{partner_id}", json=partner)
    assert registered.status_code == 201, registered.text
    sent = claim_as_sent(partnerId=partner_id)
    return str((await service.draft(tenant=organisation(number), **sent))["id"])


async def submit_at_once(service: Service, drafts: Sequence[tuple[str, str]]) -> Sequence[httpx.Response]:
    """Submit claims, each a claim's id and its tenant, at the same moment. Lost races wait as in the cloud."""
    bootstrap.use(replace(service.services, ports=replace(service.services.ports, pause=Clock().pause)))
    return await asyncio.gather(
        *(
            service.request("POST", f"/claims/{claim}/submit", tenant=tenant, json=ACKNOWLEDGED)
            for claim, tenant in drafts
        )
    )


@pytest.mark.parametrize("count", [10, 16])
async def test_many_at_once_are_all_accepted(service: Service, count: int) -> None:
    """One claim goes to the customer and the others wait for a reviewer. No partner hears that storage is busy."""
    drafts = [(await draft_of(service, number), organisation(number)) for number in range(count)]

    answers = await submit_at_once(service, drafts)

    assert Counter(answer.status_code for answer in answers) == {200: count}
    states = Counter((answer.json()["status"], answer.json()["competing"]) for answer in answers)
    assert states[("submitted", True)] == count - 1
    assert states[("awaitingCustomer", False)] + states[("awaitingCustomer", True)] == 1


async def test_of_one_partners_many_claims_one_is_accepted(service: Service) -> None:
    """The others are refused, because the partner has a claim for the item. None hears that storage is busy."""
    drafts = [(str((await service.draft())["id"]), PARTNER) for _ in range(10)]

    answers = await submit_at_once(service, drafts)

    refused = [answer.json()["error"]["details"] for answer in answers if answer.status_code != 200]
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 9}
    assert {detail["code"] for details in refused for detail in details} == {"DuplicateClaim"}
