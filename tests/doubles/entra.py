"""Local tenants that act like Microsoft Entra ID: claims, key set and discovery over HTTP, and faults."""

import base64
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from devhost.stack.issuer import new_key, public_jwk, thumbprint

ISSUER = "https://login.microsoftonline.com/{tenantid}/v2.0"
AUDIENCE = "d6a1c7f2-0b52-4a57-8c67-2c8f9a1e4b30"
TENANT = "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"
PERSON = "0f9e8d7c-6b5a-4c3d-9e2f-1a0b9c8d7e6f"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@cache
def signing_key(number: int) -> rsa.RSAPrivateKey:
    """Return one of a few keys. They are made once in a run, because making a key is slow."""
    del number
    return new_key()


def claims(at: datetime, **overrides: object) -> dict[str, object]:
    """Return Entra's claims about a person who signed in at *at*. None leaves a claim out."""
    issued = int(at.timestamp())
    tenant = overrides.get("tid", TENANT)
    said: dict[str, object] = {
        "aud": AUDIENCE,
        "iss": ISSUER.replace("{tenantid}", str(tenant)),
        "iat": issued,
        "nbf": issued,
        "exp": issued + 3600,
        "azp": "a3f0c1de-1111-4222-8333-444455556666",
        "name": "Ana Novak",
        "oid": PERSON,
        "preferred_username": "ana@contoso.fr",
        "roles": ["Incentives.Admin"],
        "scp": "access",
        "sub": "pairwise-and-of-no-use",
        "tid": TENANT,
        "ver": "2.0",
        **overrides,
    }
    return {name: value for name, value in said.items() if value is not None}


def app_claims(at: datetime, **overrides: object) -> dict[str, object]:
    """Return Entra's claims about a client that calls in its own name."""
    return claims(at, **{"scp": None, "name": None, "idtyp": "app", **overrides})


def signed(said: Mapping[str, object], key: rsa.RSAPrivateKey | None = None, /, **header: object) -> str:
    """Return a token with these claims, in the form behind `Bearer `."""
    return signed_octets(json.dumps(dict(said)).encode(), key, **header)


def signed_octets(payload: bytes, key: rsa.RSAPrivateKey | None = None, /, **header: object) -> str:
    """Return a token whose payload is exactly these octets."""
    signer = key or signing_key(0)
    return jwt.PyJWS().encode(payload, signer, "RS256", {"kid": thumbprint(signer), **header})


def segment(content: object) -> str:
    """Return one part of a token: *content* as base64url of its JSON."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@dataclass
class LocalEntra:
    """
    Entra's addresses on a free port: the key set, and the discovery documents of each tenant and each domain.

    If `answer` is set, every address answers it. `status`, `location` and `halfway` cause other faults. `requests`
    counts the reads of the key set, and `discovered` has the other requested paths. The server answers only while
    `open_gate` is set.
    """

    keys: Sequence[Mapping[str, object]] = ()
    domains: dict[str, str] = field(default_factory=dict)
    """Which tenant has verified a domain."""
    answer: bytes | None = None
    status: int = 200
    location: str | None = None
    halfway: bool = False
    """Half of the answer, and then nothing until the gate is opened."""
    requests: int = 0
    discovered: list[str] = field(default_factory=list)
    open_gate: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None
    _port: int = 0

    def publish(self, *keys: Mapping[str, object]) -> None:
        """Serve these JSON Web Keys from now on."""
        self.keys = keys

    @property
    def base(self) -> str:
        """The address without a path. It stays the same after `stop`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def issuer(self) -> str:
        """The template of issuers in the form of a deployment's settings."""
        return self.base + "/{tenantid}/v2.0"

    @property
    def url(self) -> str:
        """The address of the key set."""
        return f"{self.base}/common/discovery/v2.0/keys"

    def said(self, path: str) -> tuple[int, bytes]:
        """Return the status and body for a path, in Entra's form."""
        if path.endswith("/discovery/v2.0/keys"):
            self.requests += 1
            return 200, json.dumps({"keys": list(self.keys)}).encode()
        name = unquote(path.removeprefix("/").removesuffix("/v2.0/.well-known/openid-configuration"))
        self.discovered.append(name)
        if "/" in name:
            return 404, b""
        if name in ("common", "organizations"):
            tenant: str | None = "{tenantid}"
        elif "." in name:
            tenant = self.domains.get(name)
        else:
            tenant = name if GUID.fullmatch(name) else None
        if tenant is not None:
            return 200, json.dumps(self._document(name, tenant)).encode()
        code, what = (90002, "invalid_tenant") if "." in name else (900023, "invalid_request")
        told = {
            "error": what,
            "error_description": f"AADSTS{code}: Tenant '{name}' not found.",
            "error_codes": [code],
            "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        }
        return 400, json.dumps(told).encode()

    def _document(self, name: str, tenant: str) -> dict[str, object]:
        return {
            "token_endpoint": f"{self.base}/{tenant.replace('{tenantid}', name)}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": self.url,
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": self.issuer.replace("{tenantid}", tenant),
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.open_gate.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        """Listen."""
        outside = self
        self.open_gate.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = outside.said(self.path)
                if not outside.halfway:
                    outside.open_gate.wait()
                body = body if outside.answer is None else outside.answer
                self.send_response(status if outside.status == 200 else outside.status)
                if outside.location is not None:
                    self.send_header("Location", outside.location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                sent = len(body) // 2 if outside.halfway else len(body)
                self.wfile.write(body[:sent])
                self.wfile.flush()
                outside.open_gate.wait()
                self.wfile.write(body[sent:])

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """Ignore that a caller hung up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.stop()


def published(key: rsa.RSAPrivateKey, issuer: str | None = ISSUER) -> dict[str, str]:
    """Return a key in the form in which Entra publishes it."""
    return public_jwk(key, issuer)
