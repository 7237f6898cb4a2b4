"""A local tenant that behaves like Microsoft Entra ID: its claims, its key set over HTTP, and the ways it can fail."""

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from devhost.issuer import new_key, public_jwk, thumbprint

ISSUER = "https://login.microsoftonline.com/{tenantid}/v2.0"
AUDIENCE = "d6a1c7f2-0b52-4a57-8c67-2c8f9a1e4b30"
TENANT = "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"
PERSON = "0f9e8d7c-6b5a-4c3d-9e2f-1a0b9c8d7e6f"


@cache
def signing_key(number: int) -> rsa.RSAPrivateKey:
    """Return one of a few keys, which are made once a run because making one is slow."""
    del number
    return new_key()


def claims(at: datetime, **overrides: object) -> dict[str, object]:
    """Return what Entra says of a person who signed in at *at*; None leaves a claim out."""
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
    """Return what Entra says of a client that calls in its own name."""
    return claims(at, **{"scp": None, "name": None, "idtyp": "app", **overrides})


def signed(said: Mapping[str, object], key: rsa.RSAPrivateKey | None = None, /, **header: object) -> str:
    """Return the token that says so, as it stands behind `Bearer `."""
    return signed_octets(json.dumps(dict(said)).encode(), key, **header)


def signed_octets(payload: bytes, key: rsa.RSAPrivateKey | None = None, /, **header: object) -> str:
    """Return a token whose payload is just these octets."""
    signer = key or signing_key(0)
    return jwt.PyJWS().encode(payload, signer, "RS256", {"kid": thumbprint(signer), **header})


def segment(content: object) -> str:
    """Return one part of a token: *content* as base64url of its JSON."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@dataclass
class KeyServer:
    """
    Entra's address for keys, on a free port.

    `answer` is what it says and may be changed at any time; `requests` counts how often it was asked. It answers only
    while `open_gate` is set.
    """

    answer: bytes = b""
    status: int = 200
    location: str | None = None
    requests: int = 0
    open_gate: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    def publish(self, *keys: Mapping[str, object]) -> None:
        """Answer with these JSON Web Keys from now on."""
        self.answer = json.dumps({"keys": list(keys)}).encode()

    @property
    def url(self) -> str:
        """Where the keys lie."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/common/discovery/v2.0/keys"

    def stop(self) -> None:
        """Be out of reach from now on."""
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
                outside.requests += 1
                outside.open_gate.wait()
                self.send_response(outside.status)
                if outside.location is not None:
                    self.send_header("Location", outside.location)
                self.send_header("Content-Length", str(len(outside.answer)))
                self.end_headers()
                self.wfile.write(outside.answer)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """Take it as it is that a caller went away."""

        self._server = Server(("127.0.0.1", 0), Handler)
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
    """Return a key as Entra publishes it."""
    return public_jwk(key, issuer)
