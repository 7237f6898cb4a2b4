"""
Send a deployed service a few requests from outside: `python -m tools.smoke https://…/api`.

The requests change nothing and need no token. A request that fails is repeated for five minutes, because a new
deployment starts cold, and its role assignments take minutes.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

PATIENCE_SECONDS = 300
PAUSE_SECONDS = 10
ANSWER_SECONDS = 60  # enough for the first answer after a cold start
SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A request, with the expected status and content of its answer."""

    method: str
    path: str
    status: int
    holds: Callable[[Any], object] = bool
    headers: Mapping[str, str] = field(default_factory=dict)


def _error(code: str) -> Callable[[Any], object]:
    return lambda answer: answer["error"]["code"] == code


QUESTIONS = (
    Question("GET", "/health", 200, lambda answer: answer["status"] == "healthy"),
    Question("GET", "/engagements", 200, lambda answer: answer["value"]),
    Question("GET", "/openapi.json", 200, lambda answer: answer["openapi"].startswith("3.1")),
    Question("GET", "/claims", 401, _error("Unauthenticated")),
    Question("GET", "/nowhere/at/all", 404, _error("NotFound")),
    Question("DELETE", "/engagements", 405, _error("MethodNotAllowed")),
    Question("POST", "/sandbox/clock", 404),  # nobody can move the clock of the cloud
)


def main() -> int:
    """Repeat the requests until all answers are right or the time is over. Print the wrong answers."""
    if len(sys.argv) != 2 or not sys.argv[1].endswith("/api"):  # noqa: PLR2004 - the program and the address
        print("Give the address of a service. It ends in /api.", file=sys.stderr)
        return 2
    url = sys.argv[1]
    give_up = time.monotonic() + PATIENCE_SECONDS
    while complaints := list(complaints_about(url)):
        if time.monotonic() > give_up:
            print("\n".join(complaints))
            return 1
        print(f"not yet: {complaints[0]}", file=sys.stderr, flush=True)
        time.sleep(PAUSE_SECONDS)
    print(f"{url}: {len(QUESTIONS)} answers are right", file=sys.stderr)
    return 0


def complaints_about(url: str) -> Iterator[str]:
    """Yield each wrong answer. For an https address also report an answer to plain http, and an open admin endpoint."""
    with httpx.Client(timeout=ANSWER_SECONDS) as client:
        for question in QUESTIONS:
            asked = f"{question.method} {question.path}"
            try:
                answer = client.request(question.method, url + question.path)
            except httpx.HTTPError as fault:
                yield f"{asked}: {type(fault).__name__}"
                continue
            yield from (f"{asked}: {wrong}" for wrong in _wrong(question, answer))
        if urlsplit(url).scheme == "https":
            yield from _open_doors(client, urlsplit(url).netloc)


def _wrong(question: Question, answer: httpx.Response) -> Iterator[str]:
    if answer.status_code != question.status:
        yield f"{answer.status_code} instead of {question.status}"
        return
    try:
        if not question.holds(answer.json()):
            yield "has another content"
    except (ValueError, KeyError, TypeError):
        yield "has another form"
    for name, value in SECURITY_HEADERS.items():
        if answer.headers.get(name) != value:
            yield f"lacks {name}: {value}"


def _open_doors(client: httpx.Client, host: str) -> Iterator[str]:
    try:
        if not client.get(f"http://{host}/api/health").is_redirect:
            yield "plain http is answered"
        if client.get(f"https://{host}/admin/host/status").is_success:
            yield "the admin endpoint is open"
    except httpx.HTTPError as fault:
        yield f"{host}: {type(fault).__name__}"


if __name__ == "__main__":
    sys.exit(main())
