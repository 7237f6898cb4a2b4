"""The main job of the service for its users: a claim, a notice, five business days, figures."""

import json
from datetime import datetime, timedelta

from cpor_core.rules.grace import GRACE
from tests.support.service import ACKNOWLEDGED, CUSTOMER, OTHER_PARTNER, SUBSCRIPTION, Service


async def test_silence_makes_a_claim_official_and_opens_the_figures(service: Service) -> None:
    """From the end of the window on the claim reads as official and shows its figures without a run of the timer."""
    claim = await service.submitted()
    assert claim["status"] == "awaitingCustomer"
    assert claim["window"] is None
    await service.deliver()
    told = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert told["window"]["lastDay"] == "2026-11-09"
    assert told["nextStep"] == {"owner": "customer", "action": "decline", "due": "2026-11-09T23:00:00Z"}
    ends_at = datetime.fromisoformat(told["window"]["endsAt"])
    service.clock.set(ends_at - timedelta(microseconds=1))
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "awaitingCustomer"
    assert (await service.request("GET", f"/associations/{claim['id']}/usage")).status_code == 404
    service.clock.set(ends_at)

    official = (await service.request("GET", f"/claims/{claim['id']}")).json()
    numbers = {"activeUsers": 30, "availableSeats": 50, "assignedSeats": 40}
    line = json.dumps({"month": "2026-11", "item": SUBSCRIPTION, **numbers}) + "\n"
    fed = await service.programme(
        "POST",
        f"/usage/reports?tenantId={CUSTOMER}&format=jsonl",
        content=line * 2,
        headers={"Content-Type": "application/x-ndjson"},
    )
    early = await service.request("GET", f"/associations/{claim['id']}/usage")
    service.clock.advance(GRACE)
    figures = await service.request("GET", f"/associations/{claim['id']}/usage")

    assert (early.status_code, early.json()["error"]["code"]) == (409, "FiguresNotYet")
    assert official["status"] == "official"
    assert official["association"]["since"] == told["window"]["endsAt"]
    assert fed.json() == {"accepted": 1, "unchanged": 1, "rejected": []}
    assert figures.json()["value"] == [
        {
            "month": "2026-11",
            "item": SUBSCRIPTION,
            "activeUsers": 30,
            "activeDays": 30,
            "availableSeats": 50,
            "assignedSeats": 40,
            "activeShare": 0.6,
            "highWaterMark": 30,
        }
    ]
    assert (await service.request("GET", f"/associations/{claim['id']}/usage", tenant=OTHER_PARTNER)).status_code == 404


async def test_timer_stores_the_state_that_readers_saw(service: Service) -> None:
    """The timer changes no state, instant or hash. Then the customer gets a mail with a link to end the association."""
    claim = await service.official()
    before = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]

    service.clock.advance(timedelta(minutes=5))
    await service.sweep()
    await service.deliver()

    after = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert after["status"] == "official"
    assert after["historyHash"] == claim["historyHash"]
    assert (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"] == before
    assert len(service.mailbox.sent) == 2


async def test_customer_declines_undoes_and_declines_again(service: Service) -> None:
    """
    A GET changes nothing.

    A POST with the page's nonce declines, and the customer can undo that until the window ends.
    """
    claim = await service.notified()
    link = next(service.mailbox.links())
    path = link.removeprefix("http://127.0.0.1:7071/api")

    async def act(name: str) -> int:
        page = (await service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()
        nonce = next(one["nonce"] for one in page["acts"] if one["act"] == name)
        token = link.partition("?t=")[2]
        answer = await service.request(
            "POST", f"/customer/requests/{claim['id']}/{name}", role=None, data={"t": token, "nonce": nonce}
        )
        return answer.status_code

    assert (await service.request("GET", path, role=None)).status_code == 200
    assert (await service.request("HEAD", path, role=None)).status_code == 200
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "awaitingCustomer"
    assert await act("decline") == 303
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "declined"
    assert await act("undo") == 303
    assert await act("decline") == 303
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]) + timedelta(days=1))
    await service.sweep()
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "declined"


async def test_second_claim_on_a_held_slot_is_reviewed_and_takes_over_at_its_end(service: Service) -> None:
    """The incumbent stays until the winner's window has ended, and is superseded at that instant."""
    incumbent = await service.official()
    rival = await service.submitted(tenant=OTHER_PARTNER)
    assert (rival["status"], rival["competing"]) == ("submitted", True)
    assert (await service.request("GET", f"/claims/{incumbent['id']}")).json()["competing"] is True
    assert (await service.review("POST", f"/reviews/{rival['id']}/start")).status_code == 200
    approved = await service.review("POST", f"/reviews/{rival['id']}/approve")
    assert approved.json()["status"] == "awaitingCustomer"
    await service.deliver()
    told = (await service.request("GET", f"/claims/{rival['id']}", tenant=OTHER_PARTNER)).json()

    service.clock.set(datetime.fromisoformat(told["window"]["endsAt"]))

    assert (await service.request("GET", f"/claims/{rival['id']}", tenant=OTHER_PARTNER)).json()["status"] == "official"
    ended = (await service.request("GET", f"/claims/{incumbent['id']}")).json()
    assert (ended["status"], ended["association"]["endReason"]) == ("ended", "superseded")
    assert ended["association"]["endedAt"] == told["window"]["endsAt"]
    await service.sweep()
    written = (await service.request("GET", f"/claims/{incumbent['id']}")).json()
    assert written["association"] == ended["association"]
    assert written["historyHash"] == ended["historyHash"]


async def test_a_repeated_submission_gets_the_first_answer(service: Service) -> None:
    """The same key and body get the same answer. Another body is refused."""
    claim = await service.draft()
    headers = {"Idempotency-Key": "once"}
    first = await service.request("POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED, headers=headers)
    second = await service.request("POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED, headers=headers)
    other = await service.request("POST", f"/claims/{claim['id']}/submit", json={}, headers=headers)

    assert first.json() == second.json()
    assert second.headers["Repeatability-Result"] == "accepted"
    assert other.status_code == 422
