"""Protection against strangers who probe for customers, and the sample of claims that no person has reviewed."""

from datetime import datetime

from tests.support.service import ACKNOWLEDGED, OTHER_PARTNER, PARTNER, Service, claim_as_sent


async def test_dry_runs_are_limited_and_listed_for_the_operator(service: Service) -> None:
    """An organisation has a hundred in each hour."""
    for _ in range(100):
        answer = await service.request("POST", "/claims?validate=true", json=claim_as_sent())
        assert answer.status_code == 200

    refused = await service.request("POST", "/claims?validate=true", json=claim_as_sent())
    listed = (await service.programme("GET", "/operations/dry-runs")).json()["value"]
    service.clock.set(datetime.fromisoformat("2026-11-02T10:00:00Z"))
    later = await service.request("POST", "/claims?validate=true", json=claim_as_sent())

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "TooManyDryRuns")
    assert listed == [{"organisation": PARTNER, "hour": "2026-11-02T09:00:00Z", "count": 101}]
    assert later.status_code == 200


async def test_dry_run_gives_one_answer_for_all_mismatches(service: Service) -> None:
    """
    An unknown tenant, a wrong domain and a foreign contact get the same answer.

    The answer does not say whether another claim holds the slot.
    """
    held = await service.official(tenant=OTHER_PARTNER)
    bodies = [
        claim_as_sent(customer={"tenantId": "dddddddd-0000-4000-8000-000000000001", "domain": "contoso.fr"}),
        claim_as_sent(customer={"tenantId": held["customer"]["tenantId"], "domain": "fabrikam.fr"}),
    ]

    answers = [(await service.request("POST", "/claims?validate=true", json=body)).json() for body in bodies]
    told = (await service.request("POST", "/claims?validate=true", tenant=PARTNER, json=claim_as_sent())).json()

    assert answers[0] == answers[1]
    assert "TenantDomainMismatch" in {detail["code"] for detail in answers[0]["details"]}
    assert "ItemNotClaimable" not in {detail["code"] for detail in answers[0]["details"]}
    assert {detail["code"] for detail in told["details"]} == {"EvidenceMissing", "AcknowledgementMissing"}


async def test_sample_shows_automatically_reviewed_claims_in_their_window(service: Service) -> None:
    """A claim in the sample can be read and revoked while its customer can decline. Then it leaves the list."""
    claim = await service.notified()
    listed = (await service.review("GET", "/reviews?sample=true")).json()["value"]
    assert [entry["id"] for entry in listed] == [claim["id"]]

    revoked = await service.review("POST", f"/reviews/{claim['id']}/revoke", json={"reason": "forged", "comment": "x"})
    disputed = await service.request("POST", f"/claims/{claim['id']}/dispute", json={"justification": "x"})
    await service.deliver()

    assert (revoked.json()["status"], revoked.json()["statusReason"]) == ("rejected", "revokedByProgramme")
    assert disputed.json()["error"]["code"] == "NotDisputable"
    assert (await service.review("GET", "/reviews?sample=true")).json()["value"] == []
    assert len(service.mailbox.sent) == 2
    again = await service.request("POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED)
    assert again.status_code == 409
