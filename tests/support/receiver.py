"""A partner's own server on this machine. It keeps its requests and gives the answers that a test sets."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook as StandardWebhook


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The event in the request."""
        return json.loads(self.body)

    def verify(self, secret: str) -> None:
        """Raise WebhookVerificationError unless it was signed with *secret* just now."""
        StandardWebhook(secret).verify(self.body, dict(self.headers))


Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """
    The server.

    `received` has every request, `answer` is the reply, and `url` is its address. `answers` has other replies for
    single paths.
    """

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: dict[str, Answers] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep a request, and answer it."""
        self.received.append(Received(request.path, dict(request.headers), await request.read()))
        answer = self.answers.get(request.path)
        return await answer(request) if answer is not None else web.Response(status=204)

    def of(self, path: str) -> list[Received]:
        """Return the requests to a path."""
        return [one for one in self.received if one.path == path]


def says(status: int, **headers: str) -> Answers:
    """Return an answer with a status and headers, whose `_` means `-`."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def is_silent(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def never_ends(request: web.Request) -> web.StreamResponse:
    """Answer 200 at once with a body that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65_536)


@asynccontextmanager
async def running_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Start a receiver on a free port of this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield receiver
    finally:
        await runner.cleanup()
