"""The tenant of a domain, asked of local tenants that act like Microsoft Entra ID."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cpor_app.adapters.identity import domains
from cpor_app.adapters.identity.domains import DomainsByDiscovery, DomainsUnreachable
from cpor_app.settings import ENTRA_ISSUER
from tests.doubles.clock import FixedClock
from tests.doubles.entra import TENANT, LocalEntra

pytestmark = pytest.mark.slow  # it starts servers of its own

OTHER = "11111111-2222-4333-8444-555566667777"


@pytest.fixture
def clock() -> FixedClock:
    """A clock that the test moves."""
    return FixedClock()


@pytest.fixture
def entra() -> Iterator[LocalEntra]:
    """Two tenants, each with domains."""
    with LocalEntra(domains={"contoso.fr": TENANT, "contoso.example": TENANT, "fabrikam.example": OTHER}) as listening:
        yield listening


@pytest.fixture
def looked_up(entra: LocalEntra, clock: FixedClock) -> DomainsByDiscovery:
    """The tested adapter."""
    return DomainsByDiscovery(entra.issuer, clock.monotonic, sandbox=True)


async def test_a_domain_belongs_to_the_tenant_that_has_verified_it(
    looked_up: DomainsByDiscovery, entra: LocalEntra
) -> None:
    """Capitals do not matter. An unverified domain belongs to no tenant."""
    told = await looked_up.tenants(["Contoso.FR", "fabrikam.example", "nosuch.example"])

    assert told == {"Contoso.FR": TENANT, "fabrikam.example": OTHER, "nosuch.example": None}
    assert entra.discovered == ["contoso.fr", "fabrikam.example", "nosuch.example"]


@pytest.mark.parametrize("name", ["common", "organizations", "nodots"])
async def test_the_address_of_all_tenants_names_no_tenant(looked_up: DomainsByDiscovery, name: str) -> None:
    """Its document has no tenant id."""
    assert await looked_up.tenants([name]) == {name: None}


@pytest.mark.parametrize("name", ["a/b", "../x", "a?b", "a#b", "a%2fb", "@evil.example", "a b", "a\r\nHost: b"])
async def test_a_domain_stays_one_part_of_the_path(looked_up: DomainsByDiscovery, entra: LocalEntra, name: str) -> None:
    """No domain can change the host or the rest of the path."""
    entra.answer = b"{}"  # an unclear answer: the test checks the requested path

    with pytest.raises(DomainsUnreachable):
        await looked_up.tenants([name])

    assert entra.discovered == [name.lower()]


async def test_an_issuer_of_another_cloud_names_no_tenant(looked_up: DomainsByDiscovery, entra: LocalEntra) -> None:
    """Its tokens are refused too."""
    entra.answer = b'{"issuer": "https://login.partner.microsoftonline.cn/' + TENANT.encode() + b'/v2.0"}'

    assert await looked_up.tenants(["contoso.fr"]) == {"contoso.fr": None}


async def test_answers_are_kept_for_ten_minutes(
    looked_up: DomainsByDiscovery, entra: LocalEntra, clock: FixedClock
) -> None:
    """This holds for every tenant and for unverified domains."""
    asked = []
    for minutes in (0, 9, 1, 1):
        clock.advance(timedelta(minutes=minutes))
        await looked_up.tenants(["contoso.fr", "CONTOSO.fr", "nosuch.example"])
        asked.append(len(entra.discovered))

    assert asked == [2, 2, 4, 4]


async def test_a_limited_number_of_answers_is_kept(
    looked_up: DomainsByDiscovery, entra: LocalEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is dropped first."""
    monkeypatch.setattr(domains, "KEPT_DOMAINS", 2)
    for name in ("contoso.fr", "contoso.example", "fabrikam.example", "contoso.example", "contoso.fr"):
        await looked_up.tenants([name])

    assert entra.discovered == ["contoso.fr", "contoso.example", "fabrikam.example", "contoso.fr"]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, None),
        (429, None),
        (404, None),
        (302, None),
        (200, b""),
        (200, b"<html>Sign in to this network</html>"),
        (200, b"[]"),
        (200, b'{"issuer": 7}'),
        (200, b'{"issuer": "x"}' + b" " * 64 * 1024),
        (400, b"<html>Bad Request</html>"),
        (400, b'{"error": "invalid_tenant"}'),
        (400, b'{"error": "server_error", "error_codes": [90033]}'),
    ],
)
async def test_an_unclear_answer_is_neither_yes_nor_no(
    looked_up: DomainsByDiscovery, entra: LocalEntra, status: int, answer: bytes | None
) -> None:
    """The caller must retry, and the answer is not kept. A redirect is not followed."""
    with LocalEntra(domains={"contoso.fr": OTHER}) as elsewhere:
        entra.status, entra.answer = status, answer
        entra.location = f"{elsewhere.base}/contoso.fr/v2.0/.well-known/openid-configuration" if status == 302 else None
        with pytest.raises(DomainsUnreachable) as caught:
            await looked_up.tenants(["contoso.fr"])
        assert elsewhere.discovered == []
    entra.status, entra.answer, entra.location = 200, None, None

    assert caught.value.retry_after_seconds == 5
    assert await looked_up.tenants(["contoso.fr"]) == {"contoso.fr": TENANT}


@pytest.mark.parametrize("halfway", [False, True])
async def test_a_silent_issuer_is_out_of_reach(
    entra: LocalEntra,
    clock: FixedClock,
    halfway: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Each question has a time limit. The first that reaches it stops the others."""
    entra.halfway = halfway
    entra.open_gate.clear()

    with pytest.raises(DomainsUnreachable):
        await DomainsByDiscovery(entra.issuer, clock.monotonic, sandbox=True, timeout_seconds=0.5).tenants(
            ["contoso.fr", "contoso.example"]
        )

    assert entra.discovered == ["contoso.fr"]


async def test_all_domains_together_have_a_time_limit_too(
    looked_up: DomainsByDiscovery, entra: LocalEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers up to then are kept."""
    await looked_up.tenants(["contoso.fr"])
    entra.open_gate.clear()
    monkeypatch.setattr(domains, "ALL_TIMEOUT_SECONDS", 0.5)

    with pytest.raises(DomainsUnreachable):
        await looked_up.tenants(["contoso.fr", "contoso.example"])

    assert entra.discovered == ["contoso.fr", "contoso.example"]


async def test_a_stopped_issuer_is_out_of_reach(looked_up: DomainsByDiscovery, entra: LocalEntra) -> None:
    """A refused connection has the same result."""
    entra.stop()

    with pytest.raises(DomainsUnreachable):
        await looked_up.tenants(["contoso.fr"])


@pytest.mark.parametrize(
    ("issuer", "sandbox"),
    [
        ("http://login.example/{tenantid}/v2.0", False),
        ("https://{tenantid}.login.example/v2.0", True),
        ("https://{tenantid}.login.example/{tenantid}/v2.0", True),
        ("https://login.example/v2.0", True),
        ("file:///{tenantid}", True),
        ("{tenantid}", True),
    ],
)
def test_an_issuer_that_cannot_be_asked_is_refused(issuer: str, sandbox: bool) -> None:  # noqa: FBT001 - a column
    """The host is always the issuer's host. In the cloud it must use https."""
    with pytest.raises(ValueError, match="looked up"):
        DomainsByDiscovery(issuer, sandbox=sandbox)


def test_the_issuer_of_the_cloud_can_be_asked() -> None:
    """It has one host. The domain is in the place of the tenant in its path."""
    address = "https://login.microsoftonline.com/{tenantid}/v2.0/.well-known/openid-configuration"

    assert DomainsByDiscovery(ENTRA_ISSUER)._address == address
