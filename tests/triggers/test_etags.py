"""Nobody's change is overwritten unseen: entity tags and If-Match (decision 40)."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.service import ACKNOWLEDGED, CUSTOMER, OTHER_PARTNER, PDF, Service
from tests.triggers.refusals import refused


async def test_patch_needs_if_match(service: Service) -> None:
    """Without it 428; with a stale one 412; with the newest, or any, it is done."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}"

    none = await service.request("PATCH", path, json={"name": "1"})
    stale = await service.request("PATCH", path, json={"name": "2"}, headers={"If-Match": '"old"'})
    newest = await service.request("PATCH", path, json={"name": "3"}, headers={"If-Match": claim["etag"]})
    again = await service.request("PATCH", path, json={"name": "4"}, headers={"If-Match": claim["etag"]})
    any_at_all = await service.request("PATCH", path, json={"name": "5"}, headers={"If-Match": "*"})

    refused(none, 428, "PreconditionRequired")
    refused(stale, 412, "PreconditionFailed")
    assert newest.json()["name"] == "3"
    refused(again, 412, "PreconditionFailed")
    assert any_at_all.json()["name"] == "5"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/claims/{id}", None),
        ("POST", "/claims/{id}/submit", ACKNOWLEDGED),
        ("POST", "/claims/{id}/comments", {"text": "x"}),
        ("DELETE", "/claims/{id}/evidence/sow.pdf", None),
    ],
)
async def test_other_acts_honour_if_match(service: Service, method: str, path: str, body: object) -> None:
    """A stale one is 412 and nothing is done; the newest is right."""
    claim = await service.draft()
    path = path.format(id=claim["id"])

    stale = await service.request(method, path, json=body, headers={"If-Match": '"old"'})
    unchanged = (await service.request("GET", f"/claims/{claim['id']}")).json()
    newest = await service.request(method, path, json=body, headers={"If-Match": claim["etag"]})

    refused(stale, 412, "PreconditionFailed")
    assert unchanged == claim
    assert newest.status_code in (200, 201, 204)


async def test_upload_honours_if_match(service: Service) -> None:
    """Of the claim: a file belongs to its version."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/evidence/more.pdf"

    refused(await service.request("PUT", path, content=PDF, headers={"If-Match": '"old"'}), 412, "PreconditionFailed")
    assert (await service.request("PUT", path, content=PDF, headers={"If-Match": claim["etag"]})).status_code == 201


async def test_tag_is_the_same_wherever_the_claim_is_shown(service: Service) -> None:
    """In the answer's header, its body and the list."""
    claim = await service.submitted()

    read = await service.request("GET", f"/claims/{claim['id']}")
    listed = (await service.request("GET", "/claims")).json()["value"][0]

    assert read.headers["ETag"] == read.json()["etag"] == listed["etag"] == claim["etag"]


async def test_time_alone_changes_the_tag(service: Service) -> None:
    """At the window's end the claim is another one, though nobody has written; the timer then changes nothing."""
    claim = await service.notified()
    path, ends_at = f"/claims/{claim['id']}", datetime.fromisoformat(claim["window"]["endsAt"])

    service.clock.set(ends_at - timedelta(microseconds=1))
    before = (await service.request("GET", path)).headers["ETag"]
    service.clock.set(ends_at)
    after = (await service.request("GET", path)).headers["ETag"]

    assert before == claim["etag"] != after
    stale = {"If-Match": before}
    refused(await service.request("POST", f"{path}/withdraw", headers=stale), 412, "PreconditionFailed")


async def test_a_rivals_arrival_changes_the_tag(service: Service) -> None:
    """The claim is competing now: whoever acts on what they saw before is told."""
    claim = await service.notified()
    await service.submitted(tenant=OTHER_PARTNER)

    now = (await service.request("GET", f"/claims/{claim['id']}")).json()

    assert now["competing"]
    assert now["etag"] != claim["etag"]


@pytest.mark.parametrize("path", ["/partners/4782913", f"/customers/{CUSTOMER}"])
async def test_registry_entries_have_tags(service: Service, path: str) -> None:
    """A stale If-Match is 412, `*` means any that is there, and nothing there is 412 as well."""
    entry = await service.programme("GET", path)
    body = entry.json()
    changed = await service.programme(
        "PUT", path, json={**body, "name": "Renamed"}, headers={"If-Match": entry.headers["ETag"]}
    )
    stale = await service.programme("PUT", path, json=body, headers={"If-Match": entry.headers["ETag"]})
    any_at_all = await service.programme("PUT", path, json=body, headers={"If-Match": "*"})
    other = "/partners/7777" if "partners" in path else "/customers/bbbbbbbb-0000-4000-8000-00000000000f"
    absent = await service.programme("PUT", other, json=body, headers={"If-Match": "*"})

    assert (changed.status_code, changed.json()["name"]) == (200, "Renamed")
    assert changed.headers["ETag"] != entry.headers["ETag"]
    refused(stale, 412, "PreconditionFailed")
    assert any_at_all.status_code == 200
    refused(absent, 412, "PreconditionFailed")


async def test_if_match_may_list_tags_and_a_weak_one_never_matches(service: Service) -> None:
    """As RFC 9110 compares them (13.1.1), of claims and of registry entries alike."""
    claim = await service.draft()
    path, tag = f"/claims/{claim['id']}", claim["etag"]
    entry = await service.programme("GET", f"/customers/{CUSTOMER}")
    registered: Mapping[str, Any] = {"json": entry.json(), "path": f"/customers/{CUSTOMER}", "method": "PUT"}

    for given in (f"W/{tag}", f'"old", W/{tag}', tag.strip('"')):
        answer = await service.request("PATCH", path, json={"name": "x"}, headers={"If-Match": given})
        refused(answer, 412, "PreconditionFailed")
    listed = await service.request("PATCH", path, json={"name": "x"}, headers={"If-Match": f'"old,er" ,{tag}'})
    weak = await service.programme(headers={"If-Match": f"W/{entry.headers['ETag']}"}, **registered)
    several = await service.programme(headers={"If-Match": f'"old", {entry.headers["ETag"]}'}, **registered)

    assert listed.status_code == 200
    refused(weak, 412, "PreconditionFailed")
    assert several.status_code == 200


async def test_files_have_tags_of_their_own(service: Service) -> None:
    """Of their bytes; who replaces or deletes one may name it, or the claim."""
    claim = await service.draft()
    path = f"/claims/{claim['id']}/evidence/sow.pdf"
    tag = (await service.request("GET", path)).headers["ETag"]

    other = PDF + b"\n"
    replaced = await service.request("PUT", path, content=other, headers={"If-Match": tag})
    stale = [
        await service.request("PUT", path, content=PDF, headers={"If-Match": tag}),
        await service.request("DELETE", path, headers={"If-Match": tag}),
    ]
    newest = (await service.request("GET", path)).headers["ETag"]
    deleted = await service.request("DELETE", path, headers={"If-Match": newest})

    assert tag == f'"{hashlib.sha256(PDF).hexdigest()}"'
    assert newest == f'"{hashlib.sha256(other).hexdigest()}"'
    assert (replaced.status_code, deleted.status_code) == (200, 204)
    for answer in stale:
        refused(answer, 412, "PreconditionFailed")


async def test_concurrent_patches_of_any_version_lose_nothing(service: Service) -> None:
    """Each is laid over what the other has left, though both said that any version would do."""
    claim = await service.draft()
    patches: list[dict[str, object]] = [
        {"name": "Renamed"},
        {"comment": "A word."},
        {"contacts": {"customer": {"title": "CIO"}}},
        {"contacts": {"partner": {"name": "Petra Petit"}}},
    ]

    answers = await asyncio.gather(
        *(
            service.request("PATCH", f"/claims/{claim['id']}", json=patch, headers={"If-Match": "*"})
            for patch in patches
        )
    )

    assert {answer.status_code for answer in answers} == {200}
    after = (await service.request("GET", f"/claims/{claim['id']}")).json()
    assert (after["name"], after["comment"]) == ("Renamed", "A word.")
    assert (after["contacts"]["customer"]["title"], after["contacts"]["partner"]["name"]) == ("CIO", "Petra Petit")
