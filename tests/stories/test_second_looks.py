"""Claims that take a longer way: a reviewer asks for more, items are struck, and rejections are disputed."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.service import (
    OTHER_PARTNER,
    PDF,
    Service,
)

WORKLOADS: dict[str, Any] = {
    "engagement": "modern-work-security-usage",
    "items": [{"workload": "teams"}, {"workload": "exchange"}],
}


async def under_review(service: Service, **changes: Any) -> Any:
    """Start the review of a claim for two workloads."""
    claim = await service.submitted(**{**WORKLOADS, **changes})
    answer = await service.review("POST", f"/reviews/{claim['id']}/start")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_partner_answers_in_time_and_is_reviewed_again(service: Service) -> None:
    """
    The claim shows the questions and the time limit.

    The partner can change items, and the slots follow at the resubmission.
    """
    claim = await under_review(service)
    asked = await service.review(
        "POST",
        f"/reviews/{claim['id']}/request-information",
        json={"reasons": ["productsMissing", "datesMissingOrOld"], "comment": "Teams is not in the statement of work."},
    )
    assert asked.json()["status"] == "partnerActionRequired"
    assert asked.json()["nextStep"] == {"owner": "partner", "action": "answer", "due": "2026-11-09T23:00:00Z"}

    patched = await service.request(
        "PATCH",
        f"/claims/{claim['id']}",
        json={"items": [{"workload": "exchange"}, {"workload": "sharepoint"}]},
        headers={"If-Match": asked.json()["etag"]},
    )
    fixed = await service.request(
        "PATCH", f"/claims/{claim['id']}", json={"name": "x"}, headers={"If-Match": patched.json()["etag"]}
    )
    evidence = await service.request("PUT", f"/claims/{claim['id']}/evidence/more.pdf", content=PDF)
    again = await service.request("POST", f"/claims/{claim['id']}/resubmit")
    rival = await service.submitted(tenant=OTHER_PARTNER, **{**WORKLOADS, "items": [{"workload": "teams"}]})
    competitor = await service.submitted(tenant=OTHER_PARTNER, **{**WORKLOADS, "items": [{"workload": "sharepoint"}]})

    assert patched.status_code == 200, patched.text
    assert (fixed.status_code, fixed.json()["error"]["code"]) == (400, "Immutable")
    assert evidence.status_code == 201
    assert again.json()["status"] == "submitted"
    assert rival["competing"] is False
    assert competitor["competing"] is True


async def test_a_partner_without_an_answer_is_rejected_at_the_time_limit(service: Service) -> None:
    """
    Five business days without an answer reject the claim, with or without a run of the timer.

    The rejection can be disputed.
    """
    claim = await under_review(service)
    asked = await service.review(
        "POST", f"/reviews/{claim['id']}/request-information", json={"reasons": ["evidenceMissing"]}
    )
    due = datetime.fromisoformat(asked.json()["nextStep"]["due"])
    service.clock.set(due - timedelta(microseconds=1))
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "partnerActionRequired"
    service.clock.set(due)

    rejected = (await service.request("GET", f"/claims/{claim['id']}")).json()
    await service.sweep()
    written = (await service.request("GET", f"/claims/{claim['id']}")).json()
    late = await service.request("POST", f"/claims/{claim['id']}/resubmit")
    disputed = await service.request(
        "POST", f"/claims/{claim['id']}/dispute", json={"justification": "We answered by mail."}
    )
    upheld = await service.review("POST", f"/reviews/{claim['id']}/approve")

    assert (rejected["status"], rejected["statusReason"]) == ("rejected", "noPartnerResponse")
    assert rejected["nextStep"]["action"] == "dispute"
    assert written["historyHash"] == rejected["historyHash"]
    assert late.status_code == 409
    assert disputed.json()["status"] == "disputed"
    assert upheld.json()["status"] == "awaitingCustomer"


@pytest.mark.parametrize(
    ("after", "status"), [(timedelta(days=30) - timedelta(microseconds=1), 200), (timedelta(days=30), 409)]
)
async def test_dispute_is_open_for_thirty_times_24_hours(service: Service, after: timedelta, status: int) -> None:
    """The time is exact to the microsecond. Then the rejection is final."""
    claim = await under_review(service)
    rejected = await service.review(
        "POST", f"/reviews/{claim['id']}/reject", json={"reason": "insufficientEvidence", "comment": "No signature."}
    )
    service.clock.advance(after)

    disputed = await service.request("POST", f"/claims/{claim['id']}/dispute", json={"justification": "See page 3."})

    assert rejected.json()["status"] == "rejected"
    assert disputed.status_code == status, disputed.text
    if status == 409:
        assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "rejectedFinal"


async def test_dispute_needs_a_text_or_new_evidence_and_is_possible_once(service: Service) -> None:
    """Without both it is refused. Evidence added since the rejection is enough. A second rejection is final."""
    claim = await under_review(service)
    service.clock.advance(timedelta(hours=1))
    await service.review("POST", f"/reviews/{claim['id']}/reject", json={"reason": "insufficientEvidence"})
    service.clock.advance(timedelta(hours=1))
    bare = await service.request("POST", f"/claims/{claim['id']}/dispute")
    await service.request("PUT", f"/claims/{claim['id']}/evidence/new.pdf", content=PDF)
    disputed = await service.request("POST", f"/claims/{claim['id']}/dispute")
    refused = await service.review("POST", f"/reviews/{claim['id']}/reject", json={"reason": "insufficientEvidence"})
    again = await service.request("POST", f"/claims/{claim['id']}/dispute", json={"justification": "x"})

    assert (bare.status_code, bare.json()["error"]["code"]) == (400, "JustificationMissing")
    assert disputed.status_code == 200
    assert refused.json()["status"] == "rejectedFinal"
    assert again.status_code == 409


async def test_striking_the_last_item_rejects_the_claim(service: Service) -> None:
    """
    A reviewer can strike single items, and their slots are free at once.

    Striking the last item rejects the claim.
    """
    claim = await under_review(service)
    strange = await service.review(
        "POST", f"/reviews/{claim['id']}/strike-items", json={"items": [{"workload": "sharepoint"}]}
    )
    one = await service.review("POST", f"/reviews/{claim['id']}/strike-items", json={"items": [{"workload": "teams"}]})
    last = await service.review(
        "POST", f"/reviews/{claim['id']}/strike-items", json={"items": [{"workload": "exchange"}]}
    )

    assert strange.status_code == 400
    assert one.json()["items"] == [{"workload": "exchange"}]
    assert (last.json()["status"], last.json()["statusReason"]) == ("rejected", "allItemsStruck")


async def test_unreachable_customer_stops_the_window_and_another_contact_opens_a_new_one(service: Service) -> None:
    """When no recipient can be notified, the partner names another contact, who gets five full days."""
    service.mailbox.refused.add("anne.durand@contoso.fr")
    claim = await service.submitted()
    await service.deliver()
    stopped = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert (stopped["status"], stopped["statusReason"]) == ("partnerActionRequired", "customerUnreachable")
    assert stopped["window"] is None
    contacts = {"customer": {"name": "Luc Moreau", "email": "luc.moreau@contoso.fr"}}
    patched = await service.request(
        "PATCH", f"/claims/{claim['id']}", json={"contacts": contacts}, headers={"If-Match": stopped["etag"]}
    )
    assert patched.status_code == 200, patched.text

    again = await service.request("POST", f"/claims/{claim['id']}/resubmit")
    await service.deliver()

    told = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert again.json()["status"] == "awaitingCustomer"
    assert told["window"]["lastDay"] == "2026-11-09"
    assert [mail.to_address for mail in service.mailbox.sent] == ["luc.moreau@contoso.fr"]


async def test_not_the_right_person_counts_as_a_bounced_mail(service: Service) -> None:
    """If the only recipient says so, the window stops. If another recipient is left, the window goes on."""
    await service.register(noticeAddresses=["it@contoso.fr"])
    claim = await service.notified()
    links = list(service.mailbox.links())
    assert len(links) == 2

    async def not_me(link: str) -> Any:
        path = link.removeprefix("http://127.0.0.1:7071/api")
        page = (await service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()
        nonce = next(one["nonce"] for one in page["acts"] if one["act"] == "not-me")
        form = {"t": link.partition("?t=")[2], "nonce": nonce}
        answer = await service.request("POST", f"/customer/requests/{claim['id']}/not-me", role=None, data=form)
        assert answer.status_code == 303, answer.text
        return (await service.request("GET", f"/claims/{claim['id']}")).json()["status"]

    assert await not_me(links[0]) == "awaitingCustomer"
    assert await not_me(links[1]) == "partnerActionRequired"


async def test_a_no_is_accepted_while_the_partner_names_another_contact(service: Service) -> None:
    """A recipient who was notified can say no in every open state. That no is final."""
    claim = await service.notified()
    link = next(service.mailbox.links())
    path = link.removeprefix("http://127.0.0.1:7071/api")
    token = link.partition("?t=")[2]

    async def act(name: str) -> None:
        page = (await service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()
        nonce = next(one["nonce"] for one in page["acts"] if one["act"] == name)
        await service.request(
            "POST", f"/customer/requests/{claim['id']}/{name}", role=None, data={"t": token, "nonce": nonce}
        )

    await act("not-me")
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "partnerActionRequired"
    await act("decline")

    declined = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert declined["status"] == "declined"
    assert declined["nextStep"]["owner"] == "nobody"


async def test_a_reviewer_sees_the_rivals_of_a_draft_before_it_is_submitted(service: Service) -> None:
    """The slots of a draft are read only for its submission and for the reviewer."""
    holder = await service.official()
    draft = await service.draft(tenant=OTHER_PARTNER)

    review = (await service.review("GET", f"/reviews/{draft['id']}")).json()

    assert [other["claim"]["id"] for one in review["contested"] for other in one["others"]] == [holder["id"]]
    assert review["claim"]["etag"] == draft["etag"]


async def test_holder_of_a_contested_item_is_asked_for_evidence_and_keeps_the_association(service: Service) -> None:
    """
    The association goes on.

    It shows the request until the partner has added evidence or the time limit has ended.
    """
    holder = await service.official()
    alone = await service.review(
        "POST", f"/reviews/{holder['id']}/request-information", json={"reasons": ["datesMissingOrOld"]}
    )
    await service.submitted(tenant=OTHER_PARTNER)

    asked = await service.review(
        "POST", f"/reviews/{holder['id']}/request-information", json={"reasons": ["datesMissingOrOld"]}
    )
    added = await service.request("PUT", f"/claims/{holder['id']}/evidence/new.pdf", content=PDF)

    assert alone.status_code == 409
    assert (asked.json()["status"], asked.json()["nextStep"]["action"]) == ("official", "answer")
    assert added.json()["nextStep"]["action"] == "none"
