"""What keeps strangers from probing for customers, and lets the programme look at what no person has reviewed."""

from datetime import datetime

from tests.support.service import ACKNOWLEDGED, OTHER_PARTNER, PARTNER, Service, claim_as_sent


async def test_dry_runs_are_limited_and_listed_for_the_operator(service: Service) -> None:
    """A hundred an hour for an organisation; the next hour has its own."""
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


async def test_dry_run_is_no_oracle(service: Service) -> None:
    """Unknown tenant, wrong domain, foreign contact: one and the same answer; another's slot is not told."""
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
    """A drawn claim can be looked at, and revoked, while its customer can decline; then it is gone from the list."""
    claim = await service.told()
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
