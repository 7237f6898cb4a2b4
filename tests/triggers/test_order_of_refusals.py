"""Of several things that are wrong, the caller is told the first in the order of decision 3."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cpor_app import bootstrap
from cpor_app.adapters.throttle import Throttle
from tests.support.service import ACKNOWLEDGED, OTHER_PARTNER, PARTNER, Service
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused

MERGE_PATCH = "application/merge-patch+json"


class Spent(Throttle):
    """A throttle that admits nobody."""

    def admits(self, organisation: str, at: float) -> bool:
        return False


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body without saying how long it is."""
    yield body


async def test_a_patch_with_everything_wrong_is_refused_step_by_step(service: Service) -> None:
    """Each time one fault is mended, the next one in the order is told."""
    claim = await service.submitted()
    large = b'"' + b"x" * 2**16 + b'"'
    wrong: dict[str, Any] = {
        "authorization": "Bearer none",
        "throttled": True,
        "version": "2020-01-01",
        "query": "&state=official",
        "role": "Customer.Admin",
        "id": "0" * 52,
        "if_match": None,
        "chunked": True,
        "content_type": "text/plain",
        "body": large,
    }
    steps: list[tuple[dict[str, Any], int, str]] = [
        ({}, 401, "Unauthenticated"),
        ({"authorization": None}, 429, "TooManyRequests"),
        ({"throttled": False}, 400, "UnsupportedApiVersionValue"),
        ({"version": "2026-11-01"}, 400, "QueryUnknown"),
        ({"query": ""}, 403, "RoleRequired"),
        ({"role": "Incentives.Admin"}, 404, "NotFound"),
        ({"id": claim["id"]}, 428, "PreconditionRequired"),
        ({"if_match": '"another"'}, 412, "PreconditionFailed"),
        ({"if_match": "*"}, 411, "LengthRequired"),
        ({"chunked": False}, 413, "PayloadTooLarge"),
        ({"body": b'{"name": '}, 415, "UnsupportedMediaType"),
        ({"content_type": MERGE_PATCH}, 400, "InvalidJson"),
        ({"body": b'{"name": 1}'}, 400, "ValidationFailed"),
        ({"body": b'{"engagement": "bizapps-revenue"}'}, 409, "InvalidState"),
    ]

    for mended, status, code in steps:
        wrong |= mended
        bootstrap.use(replace(service.services, throttle=Spent(1)) if wrong["throttled"] else service.services)
        headers = {"Content-Type": wrong["content_type"]}
        if wrong["if_match"] is not None:
            headers["If-Match"] = wrong["if_match"]
        headers["Authorization"] = wrong["authorization"] or f"Bearer {service.token(wrong['role'], PARTNER)}"
        answer = await service.client.patch(
            f"/claims/{wrong['id']}?api-version={wrong['version']}{wrong['query']}",
            headers=headers,
            content=chunks(wrong["body"]) if wrong["chunked"] else wrong["body"],
        )
        refused(answer, status, code)


async def test_state_goes_before_what_the_body_says(service: Service) -> None:
    """A draft would be told Immutable; a submitted claim is told that it can't be edited at all."""
    draft, submitted = await service.draft(), await service.submitted()
    patch = {"customer": {"tenantId": "bbbbbbbb-0000-4000-8000-00000000000f"}}

    of_draft = await service.request("PATCH", f"/claims/{draft['id']}", json=patch, headers={"If-Match": "*"})
    of_submitted = await service.request("PATCH", f"/claims/{submitted['id']}", json=patch, headers={"If-Match": "*"})

    refused(of_draft, 400, "Immutable")
    refused(of_submitted, 409, "InvalidState")


async def test_state_goes_before_the_checks_of_a_submission(service: Service) -> None:
    """A claim that was submitted already is told so, not that its evidence is missing."""
    claim = await service.submitted()

    answer = await service.request("POST", f"/claims/{claim['id']}/submit", json={})

    refused(answer, 409, "InvalidState")


async def test_malformed_body_goes_before_the_state(service: Service) -> None:
    """What can't be read is not judged."""
    claim = await service.submitted()

    answer = await service.request("POST", f"/claims/{claim['id']}/submit", json={"acknowledgements": 1})

    refused(answer, 400, "ValidationFailed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/claims/{id}"),
        ("POST", "/claims/{id}/submit"),
        ("POST", "/claims/{id}/comments"),
        ("PUT", "/claims/{id}/evidence/a.pdf"),
        ("POST", "/associations/{id}/end"),
    ],
)
@shares_its_service
async def test_what_is_not_yours_is_not_found_whatever_you_send(shared: Service, method: str, path: str) -> None:
    """A stale If-Match or an unreadable body must not tell that there is something."""
    claim = await shared.draft()

    answer = await shared.request(
        method,
        path.format(id=claim["id"]),
        tenant=OTHER_PARTNER,
        content=b"{",
        headers={"If-Match": '"another"', "Content-Type": "text/plain"},
    )

    refused(answer, 404, "NotFound")


async def test_an_association_that_never_was_is_not_found_before_if_match(service: Service) -> None:
    """A claim has the id of its association before there is one."""
    claim = await service.draft()

    answer = await service.request(
        "POST", f"/associations/{claim['id']}/end", json={"reason": "x"}, headers={"If-Match": '"another"'}
    )

    refused(answer, 404, "NotFound")


@pytest.mark.parametrize("path", ["/partners/4782913", "/customers/bbbbbbbb-0000-4000-8000-000000000001"])
async def test_registry_judges_if_match_before_the_body(service: Service, path: str) -> None:
    """As all the others do."""
    answer = await service.programme("PUT", path, content=b"{", headers={"If-Match": '"99"'})

    refused(answer, 412, "PreconditionFailed")


async def test_evidence_is_judged_by_the_user_role_before_anything_is_read(service: Service) -> None:
    """After submission only an administrator adds evidence; a user is told so, whatever was sent."""
    claim = await service.submitted()

    answer = await service.request(
        "PUT", f"/claims/{claim['id']}/evidence/a.pdf", role="Incentives.User", content=b"", headers={"If-Match": "x"}
    )

    refused(answer, 403, "RoleRequired")


async def test_key_that_was_used_goes_before_the_state(service: Service) -> None:
    """The same key with another body is 422 even where the state has moved on."""
    claim = await service.draft()
    path, headers = f"/claims/{claim['id']}/submit", {"Idempotency-Key": "once"}
    assert (await service.request("POST", path, json=ACKNOWLEDGED, headers=headers)).status_code == 200

    refused(await service.request("POST", path, json={}, headers=headers), 422, "IdempotencyKeyReused")
