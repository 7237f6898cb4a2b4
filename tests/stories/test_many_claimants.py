"""Many partners claim one free item at the same moment."""

import asyncio
from collections import Counter
from dataclasses import replace

from cpor_app import bootstrap
from cpor_app.adapters.clock import Clock
from tests.support.service import ACKNOWLEDGED, Service, claim_as_sent

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


async def test_ten_at_once_are_all_accepted(service: Service) -> None:
    """One claim goes to the customer and nine wait for a reviewer. No partner hears that storage is busy."""
    drafts = [await draft_of(service, number) for number in range(10)]
    bootstrap.use(replace(service.services, ports=replace(service.services.ports, pause=Clock().pause)))

    answers = await asyncio.gather(
        *(
            service.request("POST", f"/claims/{claim}/submit", tenant=organisation(number), json=ACKNOWLEDGED)
            for number, claim in enumerate(drafts)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {200: 10}
    states = Counter((answer.json()["status"], answer.json()["competing"]) for answer in answers)
    assert states[("submitted", True)] == 9
    assert states[("awaitingCustomer", False)] + states[("awaitingCustomer", True)] == 1
