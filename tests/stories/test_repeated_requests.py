"""
A caller whose request got no answer sends it again.

Where a key is not needed, the second request changes nothing.
"""

from datetime import timedelta
from typing import Any

from tests.support.service import OTHER_PARTNER, PDF, Service, claim_as_sent


async def acts(service: Service, claim: dict[str, Any]) -> list[str]:
    """Return the types of a claim's entries."""
    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    return [entry["act"] for entry in history]


async def test_the_same_file_again_is_stored_once(service: Service) -> None:
    """
    The name, the bytes and the day of the signature are the same.

    There is no entry and no new version, in a draft and later.
    """
    claim = await service.draft()
    path = f"/claims/{claim['id']}/evidence/sow.pdf?signedOn={claim['evidence'][0]['signedOn']}"

    again = await service.request("PUT", path, content=PDF)
    other_day = await service.request("PUT", f"/claims/{claim['id']}/evidence/sow.pdf", content=PDF)

    assert (again.status_code, again.headers["ETag"]) == (200, claim["etag"])
    assert other_day.headers["ETag"] != claim["etag"]
    assert await acts(service, claim) == ["created", "evidenceAdded", "evidenceAdded"]


async def test_the_same_file_again_defends_an_association_once(service: Service) -> None:
    """A file that cannot be replaced can be sent again unchanged."""
    claim = await service.official()
    signed = claim["evidence"][0]["signedOn"]

    again = await service.request("PUT", f"/claims/{claim['id']}/evidence/sow.pdf?signedOn={signed}", content=PDF)
    other = await service.request("PUT", f"/claims/{claim['id']}/evidence/sow.pdf", content=PDF + b"%")

    assert again.status_code == 200
    assert other.json()["error"]["code"] == "EvidenceExists"


async def test_the_same_patch_again_changes_nothing(service: Service) -> None:
    """There is no entry and no new version. Another patch is an edit."""
    claim = await service.draft()
    path, unconditional = f"/claims/{claim['id']}", {"If-Match": "*"}

    first = await service.request("PATCH", path, json={"name": "New"}, headers=unconditional)
    again = await service.request("PATCH", path, json={"name": "New"}, headers=unconditional)
    other = await service.request("PATCH", path, json={"name": "Newer"}, headers=unconditional)

    assert first.json() == again.json()
    assert other.headers["ETag"] != again.headers["ETag"]
    assert (await acts(service, claim))[2:] == ["edited", "edited"]


async def test_strike_repeated_with_its_key_gets_the_first_answer(service: Service) -> None:
    """The claim stays under review, and therefore only the key shows that the request is a repetition."""
    claim = await service.under_review()
    path, headers = f"/reviews/{claim['id']}/strike-items", {"Idempotency-Key": "k1"}
    first = await service.review("POST", path, json={"items": [{"workload": "teams"}]}, headers=headers)
    second = await service.review("POST", path, json={"items": [{"workload": "teams"}]}, headers=headers)
    assert first.status_code == 200
    assert (second.status_code, second.headers.get("repeatability-result")) == (200, "accepted"), second.text


async def test_creation_repeated_after_the_draft_was_erased(service: Service) -> None:
    """The same key and body within 48 hours get the first answer, and no second draft is made."""
    sent, headers = claim_as_sent(), {"Idempotency-Key": "once"}
    first = await service.request("POST", "/claims", json=sent, headers=headers)
    await service.request("DELETE", f"/claims/{first.json()['id']}")
    await service.deliver()
    service.clock.advance(timedelta(minutes=5))
    await service.sweep()

    again = await service.request("POST", "/claims", json=sent, headers=headers)

    assert again.json().get("id") == first.json()["id"], again.text
    assert again.headers.get("repeatability-result") == "accepted"
    assert (await service.request("GET", f"/claims/{first.json()['id']}")).status_code == 404


async def test_same_key_never_answers_another_organisation_or_operation(service: Service) -> None:
    """The stored reply is only for the same organisation and the same operation."""
    headers = {"Idempotency-Key": "shared"}
    first = await service.request("POST", "/claims", json=claim_as_sent(), headers=headers)
    other = await service.request(
        "POST", "/claims", tenant=OTHER_PARTNER, json=claim_as_sent(OTHER_PARTNER), headers=headers
    )
    act = await service.request("POST", f"/claims/{first.json()['id']}/comments", json={"text": "x"}, headers=headers)
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    assert act.status_code == 422
