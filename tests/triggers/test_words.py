"""Refusals say what to do, in words that fit the caller's case."""

from dataclasses import replace
from typing import Any

import pytest

from cpor_app import bootstrap
from tests.support.service import Service, claim_as_sent
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused


@pytest.mark.parametrize(
    ("made", "method", "path", "what"),
    [
        ("draft", "POST", "/claims/{id}/withdraw", "DELETE /claims/{claimId}"),
        ("submitted", "DELETE", "/claims/{id}", "POST /claims/{claimId}/withdraw"),
        ("official", "POST", "/claims/{id}/withdraw", "POST /associations/{associationId}/end"),
        ("draft", "POST", "/claims/{id}/resubmit", "POST /claims/{claimId}/submit"),
    ],
)
async def test_the_act_that_fits_the_state_is_named(
    service: Service, made: str, method: str, path: str, what: str
) -> None:
    """In place of "read the claim again": what the caller wants has another name in this state."""
    claim = await getattr(service, made)()

    answer = await service.request(method, path.format(id=claim["id"]), content=b"{}", headers=JSON)

    assert what in refused(answer, 409, "InvalidState")["resolution"]


async def test_a_review_is_taken_up_before_it_is_decided(service: Service) -> None:
    """The reviewer is told the call."""
    claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])

    answer = await service.review("POST", f"/reviews/{claim['id']}/approve", json={})

    assert "/start" in refused(answer, 409, "InvalidState")["resolution"]


@pytest.mark.parametrize(
    ("act", "body", "target", "offered"),
    [
        (
            "reject",
            {"reason": "noPartnerResponse"},
            "reason",
            "customerConsentMissing, evidenceUnavailable, insufficientEvidence, lostArbitration, partnerRequest",
        ),
        ("reject", {"reason": "x"}, "reason", "customerConsentMissing, evidenceUnavailable, insufficientEvidence"),
        (
            "request-information",
            {"reasons": ["customerUnreachable"]},
            "reasons[0]",
            "customerAcknowledgementMissing, datesMissingOrOld, evidenceMissing, partnerServiceMissing",
        ),
        ("request-information", {"reasons": [1]}, "reasons[0]", "customerAcknowledgementMissing, datesMissingOrOld"),
    ],
)
async def test_only_reasons_that_can_be_given_are_offered(
    service: Service, act: str, body: dict[str, Any], target: str, offered: str
) -> None:
    """And each of them is taken."""
    claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    await service.review("POST", f"/reviews/{claim['id']}/start")
    path = f"/reviews/{claim['id']}/{act}"

    error = refused(await service.review("POST", path, json=body), 400, "ValidationFailed")

    detail = error["details"][0]
    assert detail["target"] == target
    assert detail["message"].startswith(f"{target} must be one of: {offered}")
    for reason in detail["message"].partition(": ")[2].rstrip(".").split(", "):
        sent = {"reason": reason} if act == "reject" else {"reasons": [reason]}
        answer = await service.review("POST", path, json={**sent, "comment": 1})
        assert [one["target"] for one in refused(answer, 400, "ValidationFailed")["details"]] == ["comment"]


@shares_its_service
async def test_who_has_no_token_is_told_how_to_get_one(shared: Service) -> None:
    """In the sandbox the command, elsewhere where it is described."""
    here = await shared.request("GET", "/claims", role=None)
    settings = shared.services.settings.model_copy(update={"sandbox": False})
    bootstrap.use(replace(shared.services, settings=settings))
    elsewhere = await shared.request("GET", "/claims", role=None)

    assert "make token ROLE=" in refused(here, 401, "Unauthenticated")["resolution"]
    assert "GET /docs" in refused(elsewhere, 401, "Unauthenticated")["resolution"]


@shares_its_service
async def test_one_failed_check_is_told_as_one(shared: Service) -> None:
    """And several with their number."""
    claim = (await shared.request("POST", "/claims", json=claim_as_sent())).json()
    confirmed = {"acknowledgements": {"accurate": True, "customerAware": True}}

    one = await shared.request("POST", f"/claims/{claim['id']}/submit", json=confirmed)
    more = await shared.request("POST", f"/claims/{claim['id']}/submit", json={})

    assert refused(one, 400, "ValidationFailed")["message"] == "One check at submission failed."
    assert refused(more, 400, "ValidationFailed")["message"] == "3 checks at submission failed."


JSON = {"Content-Type": "application/json"}
