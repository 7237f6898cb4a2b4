"""After a customer's no: a person looks at the next claim, and after two it is not asked again."""

from datetime import timedelta
from typing import Any

from tests.support.service import ACKNOWLEDGED, CUSTOMER, Service


async def refused(service: Service) -> Any:
    """Bring a claim to the customer's no, and past the time in which it could be taken back."""
    claim = await service.submitted()
    if claim["status"] == "submitted":
        await service.review("POST", f"/reviews/{claim['id']}/start")
        await service.review("POST", f"/reviews/{claim['id']}/approve")
    await service.deliver()
    answer = await service.request(
        "POST", f"/customers/{CUSTOMER}/requests/{claim['id']}/decline", role="Customer.Admin", tenant=CUSTOMER
    )
    assert answer.json()["status"] == "declined"
    service.clock.advance(timedelta(days=30))
    return answer.json()


async def test_next_claim_is_reviewed_by_a_person_who_sees_the_no(service: Service) -> None:
    """What would have been reviewed automatically waits for a reviewer, who sees when it was refused before."""
    await refused(service)

    again = await service.submitted()
    review = (await service.review("GET", f"/reviews/{again['id']}")).json()

    assert again["status"] == "submitted"
    assert review["refusedBefore"] == "2026-11-02T09:00:00Z"


async def test_a_no_that_was_taken_back_does_not_count(service: Service) -> None:
    """The customer changed their mind; the next claim is as if nothing had been."""
    claim = await service.told()
    path = f"/customers/{CUSTOMER}/requests/{claim['id']}"
    for act in ("decline", "undo"):
        answer = await service.request("POST", f"{path}/{act}", role="Customer.Admin", tenant=CUSTOMER)
        assert answer.status_code == 200, answer.text
    await service.request("POST", f"/claims/{claim['id']}/withdraw")

    again = await service.submitted()

    assert again["status"] == "awaitingCustomer"


async def test_after_two_refusals_submission_is_refused_until_one_is_a_year_old(service: Service) -> None:
    """The dry run says so too; a year after the first, a person looks again."""
    await refused(service)
    await refused(service)
    claim = await service.draft()

    dry = await service.request("POST", f"/claims/{claim['id']}/submit?validate=true", json=ACKNOWLEDGED)
    answer = await service.request("POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED)
    service.clock.advance(timedelta(days=310))
    later = await service.submitted()

    assert [detail["code"] for detail in dry.json()["details"]] == ["CustomerRefused"]
    assert [detail["code"] for detail in answer.json()["error"]["details"]] == ["CustomerRefused"]
    assert later["status"] == "submitted"
