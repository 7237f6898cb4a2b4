"""Webhooks at the edge: who may, what is refused, and how it is said."""

from typing import Any

import pytest

from cpor_app import bootstrap
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_core.errors import Refused
from devhost.stack.issuer import LocalIssuer
from tests.support.service import OTHER_PARTNER, Service, settings
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused, targets

URL = "http://127.0.0.1:9/hook"
RANGE = {"from": "2026-11-02T00:00:00Z", "to": "2026-11-03T00:00:00Z"}


async def hook(service: Service, name: str, **more: Any) -> dict[str, Any]:
    """Make a webhook."""
    answer = await service.request("PUT", f"/webhooks/{name}", json={"url": URL, **more})
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    return made


@shares_its_service
async def test_a_webhook_is_shown_without_its_secret(shared: Service) -> None:
    """That is in the answer to the PUT that made it, and nowhere else."""
    made = await hook(shared, "shown", events=["cpor.claim.submitted", "claim.ended"])

    read = await shared.request("GET", "/webhooks/shown", role="Incentives.User")

    assert made.pop("secret").startswith("whsec_")
    assert read.json() == made
    assert (made["events"], made["status"], made["why"]) == (["claim.submitted", "claim.ended"], "active", None)
    assert made in (await shared.request("GET", "/webhooks")).json()["value"]
    assert "events" not in await hook(shared, "every")


@shares_its_service
async def test_users_read_and_administrators_write(shared: Service) -> None:
    """A secret is a key to the partner's server."""
    await hook(shared, "roles")

    for path in ("/webhooks", "/webhooks/roles", "/webhooks/roles/deliveries"):
        assert (await shared.request("GET", path, role="Incentives.User")).status_code == 200
    for method, path in (
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
        ("POST", "/replay"),
    ):
        refused(await shared.request(method, f"/webhooks/roles{path}", role="Incentives.User"), 403, "RoleRequired")


@shares_its_service
async def test_nothing_of_another_organisation_is_found(shared: Service) -> None:
    """The same name is another webhook there."""
    await hook(shared, "mine")

    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
        ("POST", "/replay"),
        ("GET", "/deliveries"),
    ):
        answer = await shared.request(method, f"/webhooks/mine{path}", tenant=OTHER_PARTNER)
        refused(answer, 404, "NotFound")
    assert (await shared.request("GET", "/webhooks", tenant=OTHER_PARTNER)).json() == {"value": []}


@shares_its_service
@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "http://a b/"}, "url"),
        ({"url": "http://x/" + "a" * 2000}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["claim.exploded"]}, "events[0]"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused(shared: Service, body: dict[str, Any], target: str) -> None:
    """Each with what is wrong."""
    error = refused(await shared.request("PUT", "/webhooks/bad", json=body), 400, "ValidationFailed")

    assert list(targets(error)) == [target]


@shares_its_service
@pytest.mark.parametrize("name", ["Main", "a_b", "-a", "a" * 101, "a%7Cb"])
async def test_a_name_is_a_slug(shared: Service, name: str) -> None:
    """It is part of addresses and keys."""
    for method, path in (("PUT", ""), ("GET", ""), ("POST", "/test")):
        refused(await shared.request(method, f"/webhooks/{name}{path}", json={"url": URL}), 400, "ValidationFailed")


@shares_its_service
async def test_an_address_that_cannot_be_called_is_refused(shared: Service) -> None:
    """In the sandbox this is one without host, or with a user name; tests/adapters has what is refused elsewhere."""
    for url in ("ftp://127.0.0.1/", "http://user@127.0.0.1/", "http:///x"):
        error = refused(await shared.request("PUT", "/webhooks/url", json={"url": url}), 400, "UrlNotAllowed")
        assert error["target"] == "url"


@shares_its_service
async def test_an_older_version_is_neither_changed_nor_deleted(shared: Service) -> None:
    """Judged before the body is read."""
    await hook(shared, "tagged")
    tag = (await shared.request("GET", "/webhooks/tagged")).headers["ETag"]
    changed = await shared.request("PUT", "/webhooks/tagged", json={"url": URL + "2"}, headers={"If-Match": tag})
    assert changed.headers["ETag"] != tag

    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/rotate-secret")):
        answer = await shared.request(method, f"/webhooks/tagged{path}", content=b"{", headers={"If-Match": tag})
        refused(answer, 412, "PreconditionFailed")
    deleted = await shared.request("DELETE", "/webhooks/tagged", headers={"If-Match": changed.headers["ETag"]})
    assert deleted.status_code == 204
    refused(await shared.request("DELETE", "/webhooks/tagged"), 404, "NotFound")


@shares_its_service
async def test_a_range_ends_after_it_begins(shared: Service) -> None:
    """And both ends are needed."""
    await hook(shared, "replayed")

    wrong = await shared.request("POST", "/webhooks/replayed/replay", json={"from": RANGE["to"], "to": RANGE["from"]})
    half = await shared.request("POST", "/webhooks/replayed/replay", json={"from": RANGE["from"]})

    assert refused(wrong, 400, "ValidationFailed")["target"] == "from"
    assert targets(refused(half, 400, "ValidationFailed")) == {"to": "FieldRequired"}


async def test_an_organisation_has_at_most_ten_webhooks(service: Service) -> None:
    """The eleventh is refused with what to do."""
    for number in range(10):
        await hook(service, f"hook-{number}")

    refused(await service.request("PUT", "/webhooks/hook-10", json={"url": URL}), 409, "TooManyWebhooks")


async def test_a_test_with_the_same_key_is_one_test(service: Service) -> None:
    """Its repetition gets the first answer, byte for byte."""
    await hook(service, "main")
    key = {"Idempotency-Key": "one-test"}

    first = await service.request("POST", "/webhooks/main/test", headers=key)
    again = await service.request("POST", "/webhooks/main/test", headers=key)

    listed = (await service.request("GET", "/webhooks/main/deliveries")).json()["value"]
    assert (first.status_code, first.content) == (200, again.content)
    assert listed == [first.json()]
    assert (listed[0]["state"], listed[0]["type"], listed[0]["attempts"]) == ("pending", "cpor.webhook.test", [])


async def test_outside_the_sandbox_only_public_https_is_called(storage_connection: str, issuer: LocalIssuer) -> None:
    """The setting decides; tests/adapters has all that is refused."""
    connection = StorageConnection.from_text(storage_connection)
    sandbox = bootstrap.build(settings(issuer), connection)
    cloud = bootstrap.build(
        settings(issuer, CPOR_SANDBOX="0", CPOR_TOKEN_JWKS_URL="https://issuer.invalid/keys"), connection
    )

    for url in (URL, "https://10.0.0.1/"):
        await sandbox.ports.receivers.verify(url)
        with pytest.raises(Refused, check=lambda error: error.code == "UrlNotAllowed"):
            await cloud.ports.receivers.verify(url)
