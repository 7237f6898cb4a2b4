"""Bearer tokens, checked against a local tenant that acts like Microsoft Entra ID."""

import asyncio
import hashlib
import hmac
import itertools
import json
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from cpor_app.adapters.clock import Clock
from cpor_app.adapters.identity.tokens import CONSUMER_TENANT, IssuerUnreachable, TokenSettings, TokenVerifier
from cpor_core.model.caller import Caller, CallerKind, Role, Unauthenticated
from devhost.stack import issuer as local
from devhost.stack.issuer import LocalIssuer
from tests.doubles import entra
from tests.doubles.clock import FixedClock
from tests.doubles.entra import LocalEntra, app_claims, claims, published, segment, signed, signed_octets, signing_key

pytestmark = pytest.mark.slow  # it starts servers of its own

PROGRAMME = "11111111-2222-4333-8444-555566667777"

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def clock() -> FixedClock:
    """A clock that the test moves."""
    return FixedClock()


@pytest.fixture
def server() -> Iterator[LocalEntra]:
    """The issuer's address for keys, with one key."""
    with LocalEntra() as listening:
        listening.publish(published(signing_key(0)))
        yield listening


@pytest.fixture
def verifier(server: LocalEntra, clock: FixedClock) -> TokenVerifier:
    """The tested verifier."""
    return verifier_of(server.url, clock)


def verifier_of(url: str, clock: FixedClock, timeout_seconds: float = 5) -> TokenVerifier:
    """Return a verifier of Entra's tokens with the keys of a local address."""
    trusted = TokenSettings(
        entra.AUDIENCE, entra.ISSUER, url, PROGRAMME, sandbox=True, fetch_timeout_seconds=timeout_seconds
    )
    return TokenVerifier(trusted, clock.real, clock.monotonic)


async def refusal(verifier: TokenVerifier, authorization: str | None) -> str:
    """Return the reason code of a header's refusal."""
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(authorization)
    return caught.value.reason_code


def hs256(said: dict[str, object], secret: bytes, **header: object) -> str:
    """Return a token signed with a shared secret. No library signs with a public key as the secret."""
    text = f"{segment({'alg': 'HS256', 'typ': 'JWT', **header})}.{segment(said)}"
    mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


# Known callers


async def test_a_persons_token_names_organisation_person_and_roles(verifier: TokenVerifier, clock: FixedClock) -> None:
    """The caller has the `tid`, `oid` and `roles` of the delegated token."""
    caller = await verifier.verify(f"Bearer {signed(claims(clock.real()))}")

    assert caller == Caller(entra.TENANT, entra.PERSON, CallerKind.PERSON, frozenset({Role.INCENTIVES_ADMIN}))


async def test_a_clients_token_names_the_client(verifier: TokenVerifier, clock: FixedClock) -> None:
    """An app-only token makes a caller of kind `app`."""
    caller = await verifier.verify(f"Bearer {signed(app_claims(clock.real()))}")

    assert caller.kind is CallerKind.APP
    assert caller.object_id == entra.PERSON


async def test_the_scheme_is_accepted_in_any_case(verifier: TokenVerifier, clock: FixedClock) -> None:
    """`bearer` is the same as `Bearer` (RFC 9110)."""
    caller = await verifier.verify(f"bEARER  {signed(claims(clock.real()))} ")

    assert caller.tenant_id == entra.TENANT


async def test_capital_guids_are_lowered(verifier: TokenVerifier, clock: FixedClock) -> None:
    """An organisation is the same under every spelling of its GUID."""
    said = claims(clock.real(), tid=entra.TENANT.upper(), oid=entra.PERSON.upper())

    caller = await verifier.verify(f"Bearer {signed(said)}")

    assert (caller.tenant_id, caller.object_id) == (entra.TENANT, entra.PERSON)


async def test_one_right_scope_is_enough(verifier: TokenVerifier, clock: FixedClock) -> None:
    """`scp` is a list with spaces."""
    caller = await verifier.verify(f"Bearer {signed(claims(clock.real(), scp='other access more', idtyp='user'))}")

    assert caller.kind is CallerKind.PERSON


async def test_unknown_roles_are_ignored(verifier: TokenVerifier, clock: FixedClock) -> None:
    """A role in another spelling does not count."""
    said = claims(clock.real(), roles=["Incentives.User", "incentives.admin", "Owner", ""])

    caller = await verifier.verify(f"Bearer {signed(said)}")

    assert caller.roles == {Role.INCENTIVES_USER}


async def test_a_person_without_roles_is_known_without_rights(verifier: TokenVerifier, clock: FixedClock) -> None:
    """The token is accepted, and the person has no rights."""
    caller = await verifier.verify(f"Bearer {signed(claims(clock.real(), roles=None))}")

    assert caller.roles == frozenset()


@pytest.mark.parametrize(
    ("tenant", "counted"),
    [
        (PROGRAMME, set(Role)),
        (PROGRAMME.upper(), set(Role)),
        (entra.TENANT, {Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER, Role.CUSTOMER_ADMIN}),
    ],
)
async def test_the_programmes_roles_count_only_in_its_own_tenant(
    verifier: TokenVerifier, clock: FixedClock, tenant: str, counted: set[Role]
) -> None:
    """The administrator of any tenant can give out `Program.Operator`, and there it does not count."""
    caller = await verifier.verify(f"Bearer {signed(claims(clock.real(), tid=tenant, roles=list(Role)))}")

    assert caller.roles == counted


async def test_the_local_issuer_is_checked_by_the_same_code(tmp_path: Path) -> None:
    """The sandbox differs only in settings: the key set is a file, and issuer and audience are others."""
    issuer = LocalIssuer.open(tmp_path)
    trusted = TokenSettings(local.AUDIENCE, local.ISSUER, issuer.jwks_url, local.PROGRAMME_TENANT, sandbox=True)

    caller = await TokenVerifier(trusted, Clock().real).verify(
        f"Bearer {issuer.sign(['Program.Operator'], local.PROGRAMME_TENANT, app=True)}"
    )

    assert caller.kind is CallerKind.APP
    assert caller.roles == {Role.PROGRAM_OPERATOR}


# Unknown callers: the header


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Digest x", "token", "BearOff a.b.c"])
async def test_without_a_bearer_token_the_caller_is_unknown(verifier: TokenVerifier, authorization: str | None) -> None:
    """A missing header and other schemes have another code than bad tokens."""
    assert await refusal(verifier, authorization) == "TokenMissing"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer a.b.",
        "Bearera.b.c",
        "Bearer a.b.c, Bearer a.b.c",
        "Bearer é.b.c",
        "Bearer a\0.b.c",
        "Bearer a.b.c\n",
        "Bearer ====.b.c",
        "Bearer a.b.c",
        f"Bearer {'a' * 20_000}.b.c",
        f"Bearer {segment([])}.e30.c",
        f"Bearer {segment('text')}.e30.c",
        f"Bearer {segment(None)}.e30.c",
        f"Bearer {segment({'alg': 'RS256'})}.e30.c",
        f"Bearer {segment({'alg': 'RS256', 'kid': 7})}.e30.c",
        f"Bearer {segment({'alg': 'RS256', 'kid': None})}.e30.c",
        f"Bearer {segment({'alg': ['RS256'], 'kid': 'k'})}.e30.c",
        f"Bearer {segment({'kid': 'k'})}.e30.c",
        f"Bearer {urlsafe_b64encode(b'[' * 9000).decode()}.e30.c",
        f"Bearer {urlsafe_b64encode(b'1' * 9000).decode()}.e30.c",
        f"Bearer {urlsafe_b64encode(bytes(range(128, 256))).decode()}.e30.c",
    ],
    ids=itertools.count(),
)
async def test_a_text_that_is_no_token_is_refused(verifier: TokenVerifier, authorization: str) -> None:
    """Every header leads to 401 at most."""
    assert await refusal(verifier, authorization) == "TokenMalformed"


async def test_an_unsigned_token_is_refused(verifier: TokenVerifier, clock: FixedClock) -> None:
    """Algorithm `none` is refused with and without a signature."""
    kid = published(signing_key(0))["kid"]
    text = f"{segment({'alg': 'none', 'kid': kid})}.{segment(claims(clock.real()))}"

    assert await refusal(verifier, f"Bearer {text}.c2ln") == "TokenAlgorithm"
    assert await refusal(verifier, f"Bearer {text}.") == "TokenMalformed"


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
async def test_the_public_key_is_no_shared_secret(
    verifier: TokenVerifier, clock: FixedClock, form: PublicFormat
) -> None:
    """HS256 is refused, because everybody knows the public key."""
    secret = signing_key(0).public_key().public_bytes(Encoding.PEM, form)
    token = hs256(claims(clock.real()), secret, kid=published(signing_key(0))["kid"])

    assert await refusal(verifier, f"Bearer {token}") == "TokenAlgorithm"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
async def test_other_algorithms_of_the_same_key_are_refused(
    verifier: TokenVerifier, clock: FixedClock, algorithm: str
) -> None:
    """Only RS256 is accepted."""
    kid = published(signing_key(0))["kid"]
    token = jwt.encode(claims(clock.real()), signing_key(0), algorithm, {"kid": kid})

    assert await refusal(verifier, f"Bearer {token}") == "TokenAlgorithm"


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"crit": "b64"}, {"b64": True}, {"b64": "false"}]
)
async def test_critical_header_parameters_are_refused(
    verifier: TokenVerifier, clock: FixedClock, header: dict[str, object]
) -> None:
    """We support no extension, and therefore refuse a token that requires one (RFC 7515, 4.1.11)."""
    text = f"{segment({'alg': 'RS256', 'kid': 'k', **header})}.{segment(claims(clock.real()))}"

    assert await refusal(verifier, f"Bearer {text}.c2ln") == "TokenAlgorithm"


async def test_a_key_in_the_token_is_ignored(verifier: TokenVerifier, clock: FixedClock, server: LocalEntra) -> None:
    """`jwk`, `jku` and `x5u` in the header change neither the key nor the address of the keys."""
    stranger = signing_key(1)
    with LocalEntra() as elsewhere:
        elsewhere.publish(published(stranger))
        header = {"jwk": published(stranger), "jku": elsewhere.url, "x5u": elsewhere.url, "x5c": ["MIIB"]}
        known = signed(claims(clock.real()), stranger, **header, kid=published(signing_key(0))["kid"])
        unknown = signed(claims(clock.real()), stranger, **header)

        assert await refusal(verifier, f"Bearer {known}") == "TokenSignature"
        assert await refusal(verifier, f"Bearer {unknown}") == "TokenKeyUnknown"
        assert (server.requests, elsewhere.requests) == (1, 0)
    assert (await verifier.verify(f"Bearer {signed(claims(clock.real()), **header)}")).tenant_id == entra.TENANT


# Unknown callers: signature and claims


async def test_a_foreign_signature_is_refused(verifier: TokenVerifier, clock: FixedClock) -> None:
    """The id of our key does not help another key's signature."""
    token = signed(claims(clock.real()), signing_key(1), kid=published(signing_key(0))["kid"])

    assert await refusal(verifier, f"Bearer {token}") == "TokenSignature"


async def test_a_changed_claim_breaks_the_signature(verifier: TokenVerifier, clock: FixedClock) -> None:
    """Only the signed content counts."""
    header, _, signature = signed(claims(clock.real())).split(".")
    changed = segment(claims(clock.real(), roles=["Program.Operator"]))

    assert await refusal(verifier, f"Bearer {header}.{changed}.{signature}") == "TokenSignature"


async def test_a_signature_has_one_spelling(verifier: TokenVerifier, clock: FixedClock) -> None:
    """The spare bits of base64url's last character do not make another valid token."""
    token = signed(claims(clock.real()))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]

    assert await refusal(verifier, f"Bearer {other}") == "TokenMalformed"


HOUR = 3600
LONG_AGO, FAR_AHEAD = -(10**30), 10**30


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        # for another audience
        ({"aud": "api://" + entra.AUDIENCE}, "TokenAudience"),
        ({"aud": entra.AUDIENCE.upper()}, "TokenAudience"),
        ({"aud": ""}, "TokenAudience"),
        ({"aud": [entra.AUDIENCE]}, "TokenClaims"),
        ({"aud": None}, "TokenClaims"),
        # from another issuer
        ({"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"}, "TokenIssuer"),
        ({"iss": f"https://login.microsoftonline.com/{PROGRAMME}/v2.0"}, "TokenIssuer"),
        ({"iss": f"https://login.microsoftonline.com/{entra.TENANT}/v2.0/"}, "TokenIssuer"),
        ({"iss": f"https://login.microsoftonline.com/{entra.TENANT.upper()}/v2.0"}, "TokenIssuer"),
        ({"iss": f"https://login.microsoftonline.de/{entra.TENANT}/v2.0"}, "TokenIssuer"),
        ({"iss": [entra.ISSUER]}, "TokenClaims"),
        ({"iss": None}, "TokenClaims"),
        ({"tid": CONSUMER_TENANT}, "TokenTenant"),
        ({"tid": CONSUMER_TENANT.upper()}, "TokenTenant"),
        ({"tid": "common"}, "TokenTenant"),
        ({"tid": "contoso.onmicrosoft.com"}, "TokenTenant"),
        ({"tid": entra.TENANT + "\n"}, "TokenTenant"),
        ({"tid": ""}, "TokenTenant"),
        ({"tid": [entra.TENANT]}, "TokenClaims"),
        ({"tid": None}, "TokenClaims"),
        # of another version
        ({"ver": "1.0", "iss": f"https://sts.windows.net/{entra.TENANT}/"}, "TokenVersion"),
        ({"ver": 2.0}, "TokenClaims"),
        ({"ver": None}, "TokenClaims"),
        # times
        ({"exp": None}, "TokenClaims"),
        ({"nbf": None}, "TokenClaims"),
        ({"iat": None}, "TokenClaims"),
        ({"exp": "4102444800"}, "TokenClaims"),
        ({"exp": 4102444800.5}, "TokenClaims"),
        ({"exp": float("inf")}, "TokenClaims"),
        ({"exp": float("nan")}, "TokenClaims"),
        ({"exp": True}, "TokenClaims"),
        ({"exp": [1]}, "TokenClaims"),
        ({"exp": LONG_AGO}, "TokenExpired"),
        ({"exp": 0}, "TokenExpired"),
        ({"nbf": FAR_AHEAD}, "TokenNotYetValid"),
        ({"iat": FAR_AHEAD}, "TokenNotYetValid"),
        ({"nbf": "soon"}, "TokenClaims"),
        ({"iat": {}}, "TokenClaims"),
        # neither a person nor an app
        ({"scp": None}, "TokenSubject"),
        ({"scp": ""}, "TokenSubject"),
        ({"scp": "accessible"}, "TokenSubject"),
        ({"scp": "Access"}, "TokenSubject"),
        ({"scp": ["access"]}, "TokenClaims"),
        ({"oid": "ana@contoso.fr"}, "TokenSubject"),
        ({"oid": None}, "TokenClaims"),
        ({"oid": 7}, "TokenClaims"),
        ({"idtyp": "app"}, "TokenSubject"),
        ({"idtyp": "device"}, "TokenSubject"),
        ({"idtyp": "app", "scp": None, "roles": None}, "TokenSubject"),
        ({"idtyp": "app", "scp": None, "roles": []}, "TokenSubject"),
        ({"idtyp": "app", "scp": None, "oid": None}, "TokenClaims"),
        ({"idtyp": ["app"], "scp": None}, "TokenClaims"),
        ({"idtyp": "App", "scp": None}, "TokenSubject"),
        ({"idtyp": "app", "scp": None, "azp": None}, "TokenSubject"),
        ({"idtyp": "app", "scp": None, "azp": "curl"}, "TokenSubject"),
        ({"idtyp": "app", "scp": None, "azp": ["curl"]}, "TokenClaims"),
        # roles
        ({"roles": "Incentives.Admin"}, "TokenClaims"),
        ({"roles": {"Incentives.Admin": True}}, "TokenClaims"),
        ({"roles": ["Incentives.Admin", 1]}, "TokenClaims"),
        ({"roles": [["Incentives.Admin"]]}, "TokenClaims"),
    ],
)
async def test_a_signed_token_with_wrong_claims_is_refused(
    verifier: TokenVerifier, clock: FixedClock, overrides: dict[str, object], reason: str
) -> None:
    """Each claim that we use is checked. A claim of a wrong type is 401 and no fault of ours."""
    assert await refusal(verifier, f"Bearer {signed(claims(clock.real(), **overrides))}") == reason


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"\xff\xfe", b"{", b'{"exp":' + b"9" * 5000 + b"}", b"[" * 5000],
    ids=itertools.count(),
)
async def test_a_signed_payload_that_is_no_object_is_refused(verifier: TokenVerifier, payload: bytes) -> None:
    """Even the issuer cannot cause a fault."""
    assert await refusal(verifier, f"Bearer {signed_octets(payload)}") in {"TokenClaims", "TokenMalformed"}


@pytest.mark.parametrize(
    ("claim", "seconds_from_now", "reason"),
    [
        ("exp", -299, None),
        ("exp", -300, "TokenExpired"),
        ("nbf", 300, None),
        ("nbf", 301, "TokenNotYetValid"),
        ("iat", 300, None),
        ("iat", 301, "TokenNotYetValid"),
    ],
)
async def test_clocks_may_differ_by_five_minutes(
    verifier: TokenVerifier, clock: FixedClock, claim: str, seconds_from_now: int, reason: str | None
) -> None:
    """The difference is allowed on each side, to the second."""
    said = claims(clock.real(), **{claim: int(clock.real().timestamp()) + seconds_from_now})

    if reason is None:
        assert (await verifier.verify(f"Bearer {signed(said)}")).tenant_id == entra.TENANT
    else:
        assert await refusal(verifier, f"Bearer {signed(said)}") == reason


async def test_a_token_outlives_the_move_of_the_sandbox_clock(verifier: TokenVerifier, clock: FixedClock) -> None:
    """The real clock decides about token times, and the sandbox cannot move it."""
    token = signed(claims(clock.real()))

    clock.shift(timedelta(days=30))

    assert (await verifier.verify(f"Bearer {token}")).tenant_id == entra.TENANT


async def test_one_tenants_own_key_does_not_sign_for_the_others(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """A key whose `issuer` names a tenant counts for that tenant only."""
    server.publish(published(signing_key(0), issuer=f"https://login.microsoftonline.com/{PROGRAMME}/v2.0"))

    assert await refusal(verifier, f"Bearer {signed(claims(clock.real()))}") == "TokenIssuer"
    assert (await verifier.verify(f"Bearer {signed(claims(clock.real(), tid=PROGRAMME))}")).tenant_id == PROGRAMME


async def test_a_key_without_an_issuer_signs_for_every_tenant(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """`issuer` is optional in a key set."""
    server.publish(published(signing_key(0), issuer=None))

    assert (await verifier.verify(f"Bearer {signed(claims(clock.real()))}")).tenant_id == entra.TENANT


# The issuer's keys


async def test_keys_are_fetched_once_a_day(verifier: TokenVerifier, clock: FixedClock, server: LocalEntra) -> None:
    """A set is kept for 24 hours and then fetched again."""
    asked = []
    for hours in (0, 23, 1, 1):
        clock.advance(timedelta(hours=hours))
        await verifier.verify(f"Bearer {signed(claims(clock.real()))}")
        asked.append(server.requests)

    assert asked == [1, 1, 2, 2]


async def test_simultaneous_callers_share_one_fetch(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """A cold start under load asks the issuer once. A caller who hangs up does not fail the others."""
    server.open_gate.clear()
    calls = [asyncio.create_task(verifier.verify(f"Bearer {signed(claims(clock.real()))}")) for _ in range(50)]
    await asyncio.sleep(0)
    calls[0].cancel()
    server.open_gate.set()

    callers = await asyncio.gather(*calls[1:])

    assert {caller.tenant_id for caller in callers} == {entra.TENANT}
    assert server.requests == 1


async def test_a_fetch_does_not_block_the_event_loop(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """Other requests are served during the fetch."""
    server.open_gate.clear()
    call = asyncio.create_task(verifier.verify(f"Bearer {signed(claims(clock.real()))}"))

    for _ in range(20):
        await asyncio.sleep(0)

    assert not call.done()
    server.open_gate.set()
    await call


async def test_a_new_key_of_the_issuer_is_found(verifier: TokenVerifier, clock: FixedClock, server: LocalEntra) -> None:
    """An unknown key id leads to a fetch. A key that the issuer has withdrawn no longer counts."""
    await verifier.verify(f"Bearer {signed(claims(clock.real()))}")
    clock.advance(timedelta(seconds=30))
    server.publish(published(signing_key(1)))

    caller = await verifier.verify(f"Bearer {signed(claims(clock.real()), signing_key(1))}")

    assert caller.tenant_id == entra.TENANT
    assert await refusal(verifier, f"Bearer {signed(claims(clock.real()))}") == "TokenKeyUnknown"


async def test_unknown_key_ids_ask_the_issuer_once_in_thirty_seconds(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """Many unknown key ids at once are refused without a fetch."""
    asked = []
    for second in (0, 29, 30, 59, 60):
        clock.set(FixedClock().real() + timedelta(seconds=second))
        tokens = [signed(claims(clock.real()), kid=f"made-up-{number}") for number in range(20)]
        refused = await asyncio.gather(*(refusal(verifier, f"Bearer {token}") for token in tokens))
        assert set(refused) == {"TokenKeyUnknown"}
        asked.append(server.requests)

    assert asked == [1, 1, 2, 2, 3]
    assert (await verifier.verify(f"Bearer {signed(claims(clock.real()))}")).tenant_id == entra.TENANT


async def test_an_old_set_is_used_while_the_issuer_is_out_of_reach(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """Valid tokens are accepted during an outage of the issuer, and other tokens are not."""
    await verifier.verify(f"Bearer {signed(claims(clock.real()))}")
    server.stop()
    clock.advance(timedelta(days=3))

    assert (await verifier.verify(f"Bearer {signed(claims(clock.real()))}")).tenant_id == entra.TENANT
    assert await refusal(verifier, f"Bearer {signed(claims(clock.real()), signing_key(1))}") == "TokenKeyUnknown"


async def test_during_an_outage_the_issuer_is_asked_once_in_thirty_seconds(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """With an old set, callers do not wait for a failing issuer."""
    await verifier.verify(f"Bearer {signed(claims(clock.real()))}")
    server.status = 500
    clock.advance(timedelta(days=3))

    asked = []
    for seconds in (0, 29, 1):
        clock.advance(timedelta(seconds=seconds))
        for _ in range(5):
            await verifier.verify(f"Bearer {signed(claims(clock.real()))}")
        asked.append(server.requests)

    assert asked == [2, 2, 3]


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b'{"keys": 7}', b'{"keys": []}', b'{"keys": [1, {}, null]}'])
async def test_an_answer_without_keys_does_not_count(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra, answer: bytes
) -> None:
    """The answer of a broken gateway does not replace our keys."""
    await verifier.verify(f"Bearer {signed(claims(clock.real()))}")
    server.answer = answer
    clock.advance(timedelta(days=2))

    assert (await verifier.verify(f"Bearer {signed(claims(clock.real()))}")).tenant_id == entra.TENANT
    assert server.requests == 2


async def test_without_any_key_a_caller_is_asked_to_retry(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """The token can be valid. After five seconds the next fetch is allowed."""
    server.status = 503
    token = f"Bearer {signed(claims(clock.real()))}"
    for _ in range(5):
        with pytest.raises(IssuerUnreachable) as caught:
            await verifier.verify(token)
        assert caught.value.retry_after_seconds == 5
    assert server.requests == 1

    server.status = 200
    clock.advance(timedelta(seconds=5))

    assert (await verifier.verify(token)).tenant_id == entra.TENANT


@pytest.mark.parametrize("halfway", [False, True])
async def test_a_silent_issuer_is_out_of_reach(
    clock: FixedClock,
    server: LocalEntra,
    halfway: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """A fetch has a time limit, also after the answer has begun."""
    server.halfway = halfway
    server.open_gate.clear()
    verifier = verifier_of(server.url, clock, timeout_seconds=0.05)

    with pytest.raises(IssuerUnreachable):
        await verifier.verify(f"Bearer {signed(claims(clock.real()))}")


async def test_the_issuers_keys_are_fetched_from_its_address_only(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """A redirect is not followed."""
    with LocalEntra() as elsewhere:
        elsewhere.publish(published(signing_key(0)))
        server.status, server.location = 302, elsewhere.url

        with pytest.raises(IssuerUnreachable):
            await verifier.verify(f"Bearer {signed(claims(clock.real()))}")

        assert elsewhere.requests == 0


async def test_a_key_set_that_is_too_long_is_refused(
    verifier: TokenVerifier, clock: FixedClock, server: LocalEntra
) -> None:
    """At most 1 MiB is read."""
    server.answer = server.said("/common/discovery/v2.0/keys")[1] + b" " * 1024 * 1024

    with pytest.raises(IssuerUnreachable):
        await verifier.verify(f"Bearer {signed(claims(clock.real()))}")


async def test_unsuitable_keys_are_skipped(verifier: TokenVerifier, clock: FixedClock, server: LocalEntra) -> None:
    """Keys that are not RSA, not for signing, too short, nameless or broken do not count and do no harm."""
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
    curve = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    good = published(signing_key(0))
    server.publish(
        {**curve, "kid": "curve"},
        {**published(signing_key(1)), "use": "enc"},
        published(short),
        {name: value for name, value in published(signing_key(1)).items() if name != "kid"},
        {**published(signing_key(1)), "issuer": ["*"]},
        {**published(signing_key(1)), "n": "é"},
        {**published(signing_key(1)), "n": ""},
        {**published(signing_key(1)), "e": "AA"},
        {**good, "x5t": "abc", "x5c": ["MIIB"]},
    )

    assert (await verifier.verify(f"Bearer {signed(claims(clock.real()))}")).tenant_id == entra.TENANT
    assert await refusal(verifier, f"Bearer {signed(claims(clock.real()), signing_key(1))}") == "TokenKeyUnknown"
    assert await refusal(verifier, f"Bearer {signed(claims(clock.real()), kid=published(short)['kid'])}") == (
        "TokenKeyUnknown"
    )


# Settings


@pytest.mark.parametrize(
    ("audience", "issuer", "jwks_url", "sandbox"),
    [
        ("", entra.ISSUER, "https://issuer.example/keys", True),
        (entra.AUDIENCE, "https://issuer.example", "https://issuer.example/keys", True),
        (entra.AUDIENCE, entra.ISSUER, "file:///keys.json", False),
        (entra.AUDIENCE, entra.ISSUER, "http://issuer.example/keys", False),
        (entra.AUDIENCE, entra.ISSUER, "ftp://issuer.example/keys", True),
        (entra.AUDIENCE, entra.ISSUER, "", True),
    ],
)
def test_unsafe_settings_are_refused(
    audience: str,
    issuer: str,
    jwks_url: str,
    sandbox: bool,  # noqa: FBT001
) -> None:
    """Outside the sandbox keys need https, and the issuer must name its tenant."""
    with pytest.raises(ValueError, match=r"token|keys"):
        TokenSettings(audience, issuer, jwks_url, PROGRAMME, sandbox=sandbox)


def test_keys_over_https_are_accepted_in_the_cloud() -> None:
    """These are the settings of a deployment."""
    assert not TokenSettings(entra.AUDIENCE, entra.ISSUER, "https://issuer.example/keys", PROGRAMME).sandbox


# Random input


@pytest.fixture(scope="module")
def key_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key set in a file, for tests with many examples."""
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps({"keys": [published(signing_key(0))]}))
    return path.as_uri()


@settings(deadline=None)
@given(authorization=st.text() | st.from_regex(r"(?i)bearer [A-Za-z0-9_\-.]{0,80}", fullmatch=True))
def test_every_wrong_header_is_a_401(key_set: str, authorization: str) -> None:
    """The test sends random texts."""
    assert asyncio.run(refusal(verifier_of(key_set, FixedClock()), authorization))


@settings(deadline=None)
@given(header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]), any_json))
def test_every_wrong_token_header_is_a_401(key_set: str, header: dict[str, object]) -> None:
    """The test sends random JSON in the token's header."""
    named = {"alg": "RS256", "kid": published(signing_key(0))["kid"], **header}

    assert asyncio.run(refusal(verifier_of(key_set, FixedClock()), f"Bearer {segment(named)}.e30.c2ln"))


@settings(deadline=None)
@given(
    overrides=st.dictionaries(
        st.sampled_from(["aud", "iss", "tid", "oid", "ver", "exp", "nbf", "iat", "roles", "scp", "idtyp"]),
        any_json,
        min_size=1,
    )
)
def test_every_wrong_claim_is_a_401_or_is_ignored(key_set: str, overrides: dict[str, object]) -> None:
    """The test sends random JSON in a signed claim."""
    clock = FixedClock()
    token = signed({**claims(clock.real()), **overrides})
    try:
        caller = asyncio.run(verifier_of(key_set, clock).verify(f"Bearer {token}"))
    except Unauthenticated:
        return
    assert caller.tenant_id == entra.TENANT


async def test_a_refusal_has_no_part_of_the_token(verifier: TokenVerifier, clock: FixedClock) -> None:
    """Neither the answer to the caller nor the logged error has one."""
    for overrides in ({"aud": "SECRET"}, {"tid": "SECRET"}, {"exp": "SECRET"}, {"roles": "SECRET"}, {"oid": "SECRET"}):
        token = signed(claims(clock.real(), name="SECRET", **overrides))

        with pytest.raises(Unauthenticated) as caught:
            await verifier.verify(f"Bearer {token}")

        printed = "".join(traceback.format_exception(caught.value)) + caught.value.description
        assert "SECRET" not in printed
        assert not any(part in printed for part in token.split("."))
        assert not set('"\\') & set(caught.value.description)
