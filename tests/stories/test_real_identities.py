"""The service with tokens of Entra ID, as in the cloud. Keys and domains come over HTTP from this machine."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from cpor_app import bootstrap
from cpor_app.adapters.identity.tokens import TokenSettings, TokenVerifier
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer
from tests.doubles import entra
from tests.doubles.entra import LocalEntra, app_claims, claims, published, signed, signing_key
from tests.support.service import CUSTOMER, PARTNER, PARTNER_ID, Service, claim_as_sent, running_service

CUSTOMER_ENTRY = {
    "name": "Contoso France",
    "domains": ["contoso.fr"],
    "country": "FR",
    "timeZone": "Europe/Paris",
    "workloads": ["teams"],
}


@pytest.fixture
def tenants() -> Iterator[LocalEntra]:
    """Entra ID with its key and the customer's domain."""
    with LocalEntra(domains={"contoso.fr": CUSTOMER, "adatum.example": PARTNER}) as listening:
        listening.publish(published(signing_key(0), listening.issuer))
        yield listening


@pytest.fixture
async def cloud(storage_connection: str, issuer: LocalIssuer, tenants: LocalEntra) -> AsyncIterator[Service]:
    """The service with the settings of a deployment, with look-ups of domains."""
    async with running_service(
        storage_connection,
        issuer,
        CPOR_TOKEN_AUDIENCE=entra.AUDIENCE,
        CPOR_TOKEN_ISSUER=tenants.issuer,
        CPOR_TOKEN_JWKS_URL=tenants.url,
        CPOR_DOMAIN_CHECK="1",
    ) as running:
        trusted = TokenSettings(entra.AUDIENCE, tenants.issuer, tenants.url, PROGRAMME_TENANT, sandbox=True)
        tokens = TokenVerifier(trusted, running.clock.real, running.clock.monotonic)
        running.services = replace(running.services, tokens=tokens)  # the test decides the age of keys
        bootstrap.use(running.services)
        yield running


@pytest.fixture
def said(cloud: Service, tenants: LocalEntra) -> Any:
    """Return Entra's claims about a person in a tenant, with changes, or about an application with `app`."""

    def say(role: str, tenant: str, *, app: bool = False, **changes: Any) -> dict[str, object]:
        issued = {"tid": tenant, "iss": tenants.issuer.replace("{tenantid}", tenant), "roles": [role], **changes}
        return (app_claims if app else claims)(cloud.clock.real(), **issued)

    return say


async def ask(cloud: Service, method: str, path: str, token: str, **more: Any) -> httpx.Response:
    """Send a request with a token."""
    return await cloud.client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)


async def test_programme_partner_and_customer_come_with_tokens_of_their_own_tenants(cloud: Service, said: Any) -> None:
    """The programme's operator registers, the partner's application claims, the customer's administrator reads."""
    operator = signed(said("Program.Operator", PROGRAMME_TENANT))
    location = {
        "name": "Adatum Conseil",
        "entraTenantId": PARTNER,
        "country": "FR",
        "enrolledEngagements": ["usage-recognition-bizapps"],
    }
    assert (await ask(cloud, "PUT", f"/partners/{PARTNER_ID}", operator, json=location)).status_code == 201
    assert (await ask(cloud, "PUT", f"/customers/{CUSTOMER}", operator, json=CUSTOMER_ENTRY)).status_code == 201

    client = signed(said("Incentives.Admin", PARTNER, app=True))
    made = await ask(cloud, "POST", "/claims", client, json=claim_as_sent())
    history = await ask(cloud, "GET", f"/claims/{made.json()['id']}/history", client)
    seen = await ask(cloud, "GET", f"/customers/{CUSTOMER}/requests", signed(said("Customer.Admin", CUSTOMER)))

    assert made.status_code == 201, made.text
    assert history.json()["value"][0]["actor"] == {"kind": "app", "id": entra.PERSON}
    assert (seen.status_code, seen.json()["value"]) == (200, [])


async def test_a_token_for_another_service_is_refused_with_its_reason(cloud: Service, said: Any) -> None:
    """The answer is 401 with a challenge in fixed words. For a role that does not count it is 403."""
    elsewhere = said("Incentives.Admin", PARTNER, iss=entra.ISSUER.replace("{tenantid}", PARTNER))
    refused = await ask(cloud, "GET", "/claims", signed(elsewhere))
    stranger = await ask(cloud, "GET", f"/customers/{CUSTOMER}", signed(said("Program.Operator", PARTNER)))

    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token", error_description="The token is from another issuer."',
    )
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (403, "RoleRequired")


async def test_while_keys_cannot_be_fetched_a_caller_is_asked_to_retry(
    cloud: Service, said: Any, tenants: LocalEntra
) -> None:
    """
    The answer is 503 with Retry-After.

    Later requests succeed, also after a change of the key and when Entra is down.
    """
    tenants.answer = b"<html>Sign in to this network</html>"
    too_early = await ask(cloud, "GET", "/claims", signed(said("Incentives.User", PARTNER)))
    assert (too_early.status_code, too_early.headers["Retry-After"]) == (503, "5")

    tenants.answer = None
    cloud.clock.advance(timedelta(seconds=5))
    assert (await ask(cloud, "GET", "/claims", signed(said("Incentives.User", PARTNER)))).status_code == 200

    tenants.publish(*(published(signing_key(number), tenants.issuer) for number in (0, 1)))
    cloud.clock.advance(timedelta(seconds=30))
    rolled_over = signed(said("Incentives.User", PARTNER), signing_key(1))
    assert (await ask(cloud, "GET", "/claims", rolled_over)).status_code == 200

    tenants.stop()
    cloud.clock.advance(timedelta(days=2))
    for number in (0, 1):
        token = signed(said("Incentives.User", PARTNER), signing_key(number))
        assert (await ask(cloud, "GET", "/claims", token)).status_code == 200


async def test_a_typing_error_of_the_operator_binds_no_other_tenant(
    cloud: Service, said: Any, tenants: LocalEntra
) -> None:
    """
    A domain that another tenant or no tenant has verified is refused.

    While Entra is down, the operator must retry.
    """
    operator = signed(said("Program.Operator", PROGRAMME_TENANT))
    path = f"/customers/{CUSTOMER}"

    slips = ["contoso.fr", "adatum.example", "contosso.fr"]

    refused = await ask(cloud, "PUT", path, operator, json={**CUSTOMER_ENTRY, "domains": slips})
    tenants.status = 500
    later = await ask(cloud, "PUT", path, operator, json={**CUSTOMER_ENTRY, "domains": ["contoso.fr", "contoso.cz"]})
    missing = await ask(cloud, "GET", path, operator)
    registered = await ask(cloud, "PUT", path, operator, json=CUSTOMER_ENTRY)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "DomainNotOnTenant")
    assert [(one["code"], one["target"]) for one in refused.json()["error"]["details"]] == [
        ("DomainOfAnotherTenant", "domains[1]"),
        ("DomainUnknown", "domains[2]"),
    ]
    assert (later.status_code, later.headers["Retry-After"]) == (503, "5")
    assert missing.status_code == 404
    assert registered.status_code == 201  # from an earlier answer
    assert tenants.discovered == ["contoso.fr", "adatum.example", "contosso.fr", "contoso.cz"]
