"""
Checks the bearer token of each call, from Microsoft Entra ID.

With other settings, the same code checks tokens of the sandbox's local issuer. A message about a refused token is a
fixed text. No message or log contains a part of a token.
"""

import asyncio
import base64
import logging
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field, JsonValue, ValidationError

from cpor_app.adapters.identity.issuer_client import FetchFailed, fetch
from cpor_core.errors import Retryable
from cpor_core.model.base import LateModel
from cpor_core.model.caller import Caller, CallerKind, Role, Unauthenticated, roles_that_count

if TYPE_CHECKING:
    import jwt

_log = logging.getLogger(__name__)

CONSUMER_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
DELEGATED_SCOPE = "access"
LEEWAY = timedelta(minutes=5)
KEYS_KEPT_SECONDS = 24 * 3600.0
REFRESH_INTERVAL_SECONDS = 30.0
FIRST_FETCH_INTERVAL_SECONDS = 5.0
FETCH_TIMEOUT_SECONDS = 5.0
KEY_SET_MAX_BYTES = 1024 * 1024
TOKEN_MAX_CHARACTERS = 16 * 1024
RSA_MIN_BITS = 2048

_TENANT_PLACE = "{tenantid}"
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+) *", re.ASCII | re.IGNORECASE)


class Flaw(StrEnum):
    """Why a token was refused, as a code that operators can count."""

    MISSING = "TokenMissing"
    MALFORMED = "TokenMalformed"
    ALGORITHM = "TokenAlgorithm"
    KEY = "TokenKeyUnknown"
    SIGNATURE = "TokenSignature"
    CLAIMS = "TokenClaims"
    VERSION = "TokenVersion"
    AUDIENCE = "TokenAudience"
    TENANT = "TokenTenant"
    ISSUER = "TokenIssuer"
    EXPIRED = "TokenExpired"
    NOT_YET_VALID = "TokenNotYetValid"
    SUBJECT = "TokenSubject"


# Each text becomes a quoted string in a header, so it is ASCII without quotation marks and backslashes.
_DESCRIPTIONS: Mapping[Flaw, str] = {
    Flaw.MISSING: "A bearer token is needed.",
    Flaw.MALFORMED: "This is not a JSON Web Token.",
    Flaw.ALGORITHM: "Only tokens signed with RS256 and without critical header parameters are accepted.",
    Flaw.KEY: "The issuer has no such signing key.",
    Flaw.SIGNATURE: "The signature is wrong.",
    Flaw.CLAIMS: "A claim is missing or of the wrong type.",
    Flaw.VERSION: "Only tokens of version 2.0 are accepted.",
    Flaw.AUDIENCE: "The token is for another audience.",
    Flaw.TENANT: "The token is not from the tenant of an organisation.",
    Flaw.ISSUER: "The token is from another issuer.",
    Flaw.EXPIRED: "The token has expired.",
    Flaw.NOT_YET_VALID: "The token is not valid yet.",
    Flaw.SUBJECT: "The token is neither a person's with the scope access nor an application's with a role.",
}


class IssuerUnreachable(Retryable):
    """No token can be checked, because no signing key is known yet and the issuer does not answer."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """
    The issuer whose tokens are accepted, and the audience that a token must have.

    `issuer` has the placeholder `{tenantid}`. Keys are read over https. With `sandbox`, `file:` and plain `http:` are
    allowed too.
    """

    audience: str
    issuer: str
    jwks_url: str
    programme_tenant: str
    sandbox: bool = False
    fetch_timeout_seconds: float = FETCH_TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        """Refuse settings with which anybody could make valid tokens. Raises ValueError."""
        if not self.audience:
            raise ValueError("The token audience is empty.")
        if _TENANT_PLACE not in self.issuer:
            raise ValueError(f"The token issuer {self.issuer!r} lacks the placeholder {_TENANT_PLACE}.")
        allowed = ("https", "http", "file") if self.sandbox else ("https",)
        if urllib.parse.urlsplit(self.jwks_url).scheme not in allowed:
            raise ValueError(
                f"The address of the issuer's keys, {self.jwks_url!r}, must be one of {', '.join(allowed)}."
            )


class TokenVerifier:
    """Identifies the caller by a token of the trusted issuer."""

    def __init__(
        self,
        settings: TokenSettings,
        real: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check a token's times by the clock *real*, and the age of the issuer's keys by *monotonic*."""
        self._settings = settings
        self._real = real
        self._keys = SigningKeys(settings.jwks_url, settings.fetch_timeout_seconds, monotonic)

    async def verify(self, authorization: str | None) -> Caller:
        """
        Return the caller that the token in the header `Authorization` names.

        Raises Unauthenticated when there is no valid token, and IssuerUnreachable when no key is known.
        """
        token = _bearer_token(authorization)
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise _unauthenticated(Flaw.KEY)
        claims = _signed_claims(token, key)
        self._verify_made_for_us(claims)
        self._verify_issuer(claims, key)
        self._verify_times(claims)
        return Caller(
            tenant_id=claims.tid.lower(),
            object_id=claims.oid.lower(),
            kind=_kind(claims),
            roles=self._roles(claims),
        )

    def _verify_made_for_us(self, claims: "_Claims") -> None:
        if claims.ver != "2.0":
            raise _unauthenticated(Flaw.VERSION)
        if claims.aud != self._settings.audience:
            raise _unauthenticated(Flaw.AUDIENCE)

    def _verify_issuer(self, claims: "_Claims", key: "SigningKey") -> None:
        if _GUID.fullmatch(claims.tid) is None or claims.tid.lower() == CONSUMER_TENANT:
            raise _unauthenticated(Flaw.TENANT)
        # If the issuer names a tenant for a key, the key must not sign tokens of other tenants.
        for template in (self._settings.issuer, key.issuer):
            if template is not None and template.replace(_TENANT_PLACE, claims.tid) != claims.iss:
                raise _unauthenticated(Flaw.ISSUER)

    def _verify_times(self, claims: "_Claims") -> None:
        # Numbers are compared, because a claim can hold more seconds than a datetime.
        now, leeway = self._real().timestamp(), LEEWAY.total_seconds()
        if claims.exp <= now - leeway:
            raise _unauthenticated(Flaw.EXPIRED)
        if max(claims.nbf, claims.iat) > now + leeway:
            raise _unauthenticated(Flaw.NOT_YET_VALID)

    def _roles(self, claims: "_Claims") -> frozenset[Role]:
        return roles_that_count(claims.roles, claims.tid, self._settings.programme_tenant)


class _Claims(LateModel):
    """The claims of a token that are read. Other types are refused, such as 1.5 for a time."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    aud: str
    iss: str
    ver: str
    tid: str
    oid: str
    exp: int
    nbf: int
    iat: int
    roles: list[str] = Field(default_factory=list)
    scp: str | None = None
    idtyp: str | None = None
    azp: str | None = None


class _Header(LateModel):
    """The fields of a token's header that are read. Fields that give a key (`jku`, `x5u`, `jwk`) are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    alg: str
    kid: str


def _kind(claims: _Claims) -> CallerKind:
    """Return whether a person or an app calls. Raises Unauthenticated if the token does not say exactly one of them."""
    if _GUID.fullmatch(claims.oid) is None:
        raise _unauthenticated(Flaw.SUBJECT)
    if claims.idtyp == "app" and claims.scp is None and claims.roles and _GUID.fullmatch(claims.azp or ""):
        return CallerKind.APP
    if claims.idtyp in (None, "user") and claims.scp is not None and DELEGATED_SCOPE in claims.scp.split(" "):
        return CallerKind.PERSON
    raise _unauthenticated(Flaw.SUBJECT)


def _bearer_token(authorization: str | None) -> str:
    if authorization is None or not authorization[:7].lower().startswith("bearer"):
        raise _unauthenticated(Flaw.MISSING)
    if len(authorization) > TOKEN_MAX_CHARACTERS:
        raise _unauthenticated(Flaw.MALFORMED)
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise _unauthenticated(Flaw.MALFORMED)
    return ".".join(match.groups())


def _key_id(token: str) -> str:
    """Return the id of the key that the header names. Raises Unauthenticated for an algorithm other than RS256."""
    segment = token.partition(".")[0]
    try:
        header = _Header.model_validate_json(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError:
        raise _unauthenticated(Flaw.MALFORMED) from None  # the error would quote the token
    if header.alg != "RS256" or {"crit", "b64"} & (header.model_extra or {}).keys():
        raise _unauthenticated(Flaw.ALGORITHM)
    return header.kid


def _signed_claims(token: str, key: "SigningKey") -> _Claims:
    import jwt

    try:
        payload: bytes = jwt.PyJWS(algorithms=["RS256"]).decode_complete(token, key.public, ["RS256"])["payload"]
    except jwt.InvalidSignatureError:
        raise _unauthenticated(Flaw.SIGNATURE) from None
    except jwt.PyJWTError:
        raise _unauthenticated(Flaw.MALFORMED) from None
    try:
        return _Claims.model_validate_json(payload)
    except ValidationError:
        raise _unauthenticated(Flaw.CLAIMS) from None


def _unauthenticated(flaw: Flaw) -> Unauthenticated:
    return Unauthenticated(flaw.value, _DESCRIPTIONS[flaw])


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of the issuer. If the key set names an issuer for it, the key signs only that issuer's tokens."""

    public: "jwt.PyJWK"
    issuer: str | None


class SigningKeys:
    """
    The issuer's public keys. They are fetched when they are needed, and kept for a day.

    When the issuer cannot be reached, the older keys stay in use, so that valid tokens are still accepted.
    """

    def __init__(self, url: str, timeout_seconds: float, monotonic: Callable[[], float]) -> None:
        """Use the key set at *url*. This sends no request."""
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> SigningKey | None:
        """Return the key *kid*, or None if the issuer has no such key. Raises IssuerUnreachable."""
        if kid not in self._keys or self._is_old():
            await self._refresh()
        if not self._keys:
            raise IssuerUnreachable(
                "The token issuer's keys cannot be fetched.", retry_after_seconds=int(FIRST_FETCH_INTERVAL_SECONDS)
            )
        return self._keys.get(kid)

    def _is_old(self) -> bool:
        return self._monotonic() - self._fetched_at >= KEYS_KEPT_SECONDS

    async def _refresh(self) -> None:
        """Fetch the key set again. Concurrent callers share one request. Does nothing right after an earlier try."""
        if self._fetch is None or self._fetch.done():
            # Anybody can invent key ids. So an unknown id causes a request to the issuer only once in a while.
            interval = REFRESH_INTERVAL_SECONDS if self._keys else FIRST_FETCH_INTERVAL_SECONDS
            if self._monotonic() - self._tried_at < interval:
                return
            self._tried_at = self._monotonic()
            self._fetch = asyncio.create_task(self._fetch_once())
        await asyncio.shield(self._fetch)  # a caller that is cancelled must not cancel the request for other callers

    async def _fetch_once(self) -> None:
        try:
            answer = await fetch(self._url, self._timeout_seconds, KEY_SET_MAX_BYTES)
            if answer.status != HTTPStatus.OK:
                raise FetchFailed(str(answer.status))
            keys = await asyncio.to_thread(_usable_keys, answer.body)
        except (FetchFailed, ValidationError) as error:
            why = str(error) if isinstance(error, FetchFailed) else "the answer is not a key set"
            _log.warning("The token issuer's keys could not be fetched from %s: %s", self._url, why)
            return
        if not keys:
            _log.warning("The token issuer's answer from %s holds no usable key.", self._url)
            return
        self._keys = keys
        self._fetched_at = self._monotonic()


class _KeySet(LateModel):
    keys: list[JsonValue]


class _Key(LateModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    kty: str
    kid: str
    n: str
    e: str
    use: str = "sig"
    issuer: str | None = None


def _usable_keys(text: bytes) -> Mapping[str, SigningKey]:
    """Return the RSA signing keys of a JSON Web Key Set. Keys of other kinds are ignored."""
    import jwt

    usable = {}
    for member in _KeySet.model_validate_json(text).keys:
        try:
            key = _Key.model_validate(member)
            public = jwt.PyJWK({"kty": "RSA", "n": key.n, "e": key.e}, algorithm="RS256")
        except (ValueError, jwt.PyJWTError):
            continue
        if key.kty == "RSA" and key.use == "sig" and public.key.key_size >= RSA_MIN_BITS:
            usable[key.kid] = SigningKey(public, key.issuer)
    return usable
