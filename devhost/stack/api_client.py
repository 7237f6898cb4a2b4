"""Calls the local service over HTTP, with tokens of the local issuer."""

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from devhost.host.cannot_start import CannotStart
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer

_PROBE_SECONDS = 2
_PATIENCE_SECONDS = 30
_SHOWN_CHARACTERS = 800


class UnexpectedAnswer(Exception):
    """The service did not give the expected answer."""


class ApiClient:
    """A client of the API. It can make a call in any role."""

    def __init__(self, url: str, issuer: LocalIssuer) -> None:
        """Call the API at *url*, which must trust the keys of *issuer*."""
        self._issuer = issuer
        self._client = httpx.Client(base_url=url, timeout=_PATIENCE_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def verify_known(self, state_dir: Path) -> None:
        """Raise CannotStart if the service does not accept tokens that are signed with the keys in *state_dir*."""
        if self.ask("GET", "/sandbox/clock", role="Program.Operator", expect=(200, 401)).is_error:
            raise CannotStart(
                f"the stack at {self._client.base_url} does not know the keys in {state_dir}: "
                "set CPOR_STATE_DIR to the directory with which the stack was started"
            )

    def ask(
        self,
        method: str,
        path: str,
        *,
        role: str | None = None,
        tenant: str = PROGRAMME_TENANT,
        expect: Collection[int] = (200,),
        **more: Any,
    ) -> httpx.Response:
        """
        Send a request, with a token if *role* is given. *path* can be a whole address.

        Raises UnexpectedAnswer if there is no answer, or if its status is not in *expect*.
        """
        headers = dict(more.pop("headers", None) or {})
        if role is not None:
            headers["Authorization"] = f"Bearer {self._issuer.sign([role], tenant)}"
        try:
            answer = self._client.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            raise UnexpectedAnswer(f"{method} {path}: no answer ({type(error).__name__}: {error})") from error
        if answer.status_code not in expect:
            raise UnexpectedAnswer(f"{method} {path}: answered {answer.status_code}\n{_shown(answer)}")
        return answer


def answers(url: str) -> bool:
    """Return whether the API at *url* answers and is healthy."""
    with suppress(httpx.HTTPError, ValueError):
        answer = httpx.get(f"{url}/health", timeout=_PROBE_SECONDS, trust_env=False)
        return answer.status_code == httpx.codes.OK and answer.json()["status"] == "healthy"
    return False


def _shown(answer: httpx.Response) -> str:
    try:
        text = json.dumps(answer.json(), indent=2, ensure_ascii=False)
    except ValueError:
        text = answer.text
    return text[:_SHOWN_CHARACTERS]
