"""After a customer's no a person reviews the next claim. After two noes the customer is not asked again."""

from datetime import timedelta
from typing import Any

from tests.support.service import ACKNOWLEDGED, CUSTOMER, Service


async def refused(service: Service) -> Any:
    """Bring a claim to the customer's no, past the time in which it could be undone."""
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
    """A claim that would be reviewed automatically waits for a reviewer, who sees the date of the no."""
    await refused(service)

    again = await service.submitted()
    review = (await service.review("GET", f"/reviews/{again['id']}")).json()

    assert again["status"] == "submitted"
    assert review["refusedBefore"] == "2026-11-02T09:00:00Z"


async def test_a_no_that_was_undone_does_not_count(service: Service) -> None:
    """The next claim is treated as if there had been no no."""
    claim = await service.notified()
    path = f"/customers/{CUSTOMER}/requests/{claim['id']}"
    for act in ("decline", "undo"):
        answer = await service.request("POST", f"{path}/{act}", role="Customer.Admin", tenant=CUSTOMER)
        assert answer.status_code == 200, answer.text
    await service.request("POST", f"/claims/{claim['id']}/withdraw")

    again = await service.submitted()

    assert again["status"] == "awaitingCustomer"


async def test_after_two_noes_submission_is_refused_until_one_is_a_year_old(service: Service) -> None:
    """The dry run refuses it too. One year after the first no a person reviews the claim."""
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
