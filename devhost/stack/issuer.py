"""
The local issuer of the sandbox. It signs the tokens that Microsoft Entra ID signs in the cloud.

The issuer's key pair is in the state directory. The app trusts this issuer only in the sandbox. The app verifies tokens
of Entra and tokens of this issuer with the same code.
"""

import base64
import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from cpor_app.adapters.clock import Clock
from cpor_app.adapters.ids import new_id

ISSUER = "https://local-issuer.invalid/{tenantid}/v2.0"
AUDIENCE = "5a9db0c5-7b1e-4c0e-9d55-0000000c0de5"
PROGRAMME_TENANT = "00000000-0000-4000-8000-00000000c0de"
TOKEN_LIFETIME = timedelta(hours=1)

_RSA_BITS = 2048
_PRIVATE_KEY, _KEY_SET = "private.pem", "jwks.json"


class IssuerBroken(Exception):
    """The key pair in the state directory cannot be read."""


@dataclass(frozen=True, slots=True)
class LocalIssuer:
    """The issuer's key pair. It signs tokens in the form of Entra, for any tenant."""

    directory: Path
    private_key: rsa.RSAPrivateKey

    @classmethod
    def open(cls, state_dir: Path) -> "LocalIssuer":
        """
        Return the issuer of *state_dir*. Make a key pair if there is none.

        Two processes that start at the same time get the same key pair. Raises IssuerBroken, OSError.
        """
        directory = state_dir.resolve() / "issuer"
        if not (directory / _PRIVATE_KEY).exists():
            _make_key_pair(directory)
        try:
            key = load_pem_private_key((directory / _PRIVATE_KEY).read_bytes(), password=None)
        except (FileNotFoundError, ValueError):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey) or not (directory / _KEY_SET).exists():
            raise IssuerBroken(
                f"The local issuer's keys in {directory} are damaged. Delete that directory: new ones are made."
            )
        return cls(directory, key)

    @property
    def jwks_url(self) -> str:
        """The address of the public key: a `file:` URL, which the app accepts in the sandbox only."""
        return (self.directory / _KEY_SET).as_uri()

    def sign(
        self,
        roles: Sequence[str],
        tenant: str,
        *,
        app: bool = False,
        lifetime: timedelta = TOKEN_LIFETIME,
        now: datetime | None = None,
        **overrides: object,
    ) -> str:
        """
        Return a bearer token for *roles* in *tenant*. It is valid from *now* for *lifetime*.

        The same tenant, roles and *app* always give the same person or client. *overrides* replace claims of the token.
        The value None removes a claim.
        """
        at = now or Clock().real()
        caller_id = object_id(roles, tenant, app=app)
        claims: dict[str, object] = {
            "aud": AUDIENCE,
            "iss": ISSUER.replace("{tenantid}", tenant),
            "iat": int(at.timestamp()),
            "nbf": int(at.timestamp()),
            "exp": int((at + lifetime).timestamp()),
            "azp": caller_id if app else AUDIENCE,
            "oid": caller_id,
            "sub": caller_id,
            "tid": tenant,
            "roles": list(roles),
            "uti": new_id(),
            "ver": "2.0",
            **({"idtyp": "app"} if app else {"scp": "access"}),
            **overrides,
        }
        payload = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(payload, self.private_key, "RS256", {"kid": thumbprint(self.private_key)})


def object_id(roles: Sequence[str], tenant: str, *, app: bool = False) -> str:
    """Return the object id of the person or client that has exactly these roles in *tenant*."""
    kind = "app" if app else "person"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{tenant.lower()}/{','.join(sorted(set(roles)))}"))


def thumbprint(key: rsa.RSAPrivateKey) -> str:
    """Return the key id. It is the thumbprint of RFC 7638, so each key pair has another id."""
    numbers = key.public_key().public_numbers()
    members = {"e": _base64url_number(numbers.e), "kty": "RSA", "n": _base64url_number(numbers.n)}
    return _base64url(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())


def public_jwk(key: rsa.RSAPrivateKey, issuer: str | None = ISSUER) -> dict[str, str]:
    """Return the public key in the form in which Entra publishes keys. *issuer* is the issuer that signs with it."""
    numbers = key.public_key().public_numbers()
    jwk = {
        "kty": "RSA",
        "use": "sig",
        "kid": thumbprint(key),
        "n": _base64url_number(numbers.n),
        "e": _base64url_number(numbers.e),
    }
    return jwk if issuer is None else {**jwk, "issuer": issuer}


def new_key() -> rsa.RSAPrivateKey:
    """Return a new private key of the size that Entra uses."""
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)


def _make_key_pair(directory: Path) -> None:
    """Create a key pair at *directory* in one step. If another process was first, the other pair stays."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="issuer-", dir=directory.parent))
    try:
        key = new_key()
        private = made / _PRIVATE_KEY
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (made / _KEY_SET).write_text(json.dumps({"keys": [public_jwk(key)]}, indent=2) + "\n", encoding="utf-8")
        made.rename(directory)  # fails if another process was first
    except OSError:
        if not directory.is_dir():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _base64url_number(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")
