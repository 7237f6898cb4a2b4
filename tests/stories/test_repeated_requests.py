"""A caller whose request got no answer sends it again; where a key is not needed, the second time changes nothing."""

from typing import Any

from tests.support.service import PDF, Service


async def acts(service: Service, claim: dict[str, Any]) -> list[str]:
    """Return what has happened to a claim."""
    history = (await service.request("GET", f"/claims/{claim['id']}/history")).json()["value"]
    return [entry["act"] for entry in history]


async def test_the_same_file_again_is_kept_once(service: Service) -> None:
    """Same name, same bytes, same day of signing: no entry, no new version, in a draft and afterwards."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/evidence/sow.pdf?signedOn={claim['evidence'][0]['signedOn']}"

    again = await service.request("PUT", path, content=PDF)
    other_day = await service.request("PUT", f"/claims/{claim['id']}/evidence/sow.pdf", content=PDF)

    assert (again.status_code, again.headers["ETag"]) == (200, claim["etag"])
    assert other_day.headers["ETag"] != claim["etag"]
    assert await acts(service, claim) == ["created", "evidenceAdded", "evidenceAdded"]


async def test_the_same_file_again_defends_an_association_once(service: Service) -> None:
    """What may only be added to is not refused to the one who adds the very same."""
    claim = await service.official()
    signed = claim["evidence"][0]["signedOn"]

    again = await service.request("PUT", f"/claims/{claim['id']}/evidence/sow.pdf?signedOn={signed}", content=PDF)
    other = await service.request("PUT", f"/claims/{claim['id']}/evidence/sow.pdf", content=PDF + b"%")

    assert again.status_code == 200
    assert other.json()["error"]["code"] == "EvidenceExists"


async def test_the_same_patch_again_changes_nothing(service: Service) -> None:
    """No entry, no new version; another patch is one more edit."""
    claim = await service.draft()
    path, unconditional = f"/claims/{claim['id']}", {"If-Match": "*"}

    first = await service.request("PATCH", path, json={"name": "New"}, headers=unconditional)
    again = await service.request("PATCH", path, json={"name": "New"}, headers=unconditional)
    other = await service.request("PATCH", path, json={"name": "Newer"}, headers=unconditional)

    assert first.json() == again.json()
    assert other.headers["ETag"] != again.headers["ETag"]
    assert (await acts(service, claim))[2:] == ["edited", "edited"]
