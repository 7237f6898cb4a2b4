"""
Storage that fails where a test says: a transport below the SDK's retries, in front of the real emulator.

    plan = Plan()
    rows = AzureRows(connection, transport=plan.transport)   # retry_pause_seconds=0, so that no test waits
    queues = AzureQueues(connection, transport=plan.transport)     # one count over all of them

    plan.at(3, die_after())           # the third HTTP request from here on is done, then the process is dead
    plan.when(lambda r: r.is_transaction, answer(503))     # or the first request of a kind

    with pytest.raises(ProcessDied):
        await act()
    [str(r) for r in plan.requests]   # "1 tables POST /$batch", "2 queues POST /notices/messages", ...

Every HTTP request counts, so each repetition by the SDK has a number of its own. What is not planned for goes to the
emulator untouched. To stop at every request in turn: run once without faults, then for n in 1..len(plan.requests) run
again on fresh storage with `die_before()` or `die_after()` at n, and let the next run find its way from there.

After a death nothing more is sent, whichever task tries, until `revive()`: a dead process is dead in all its tasks.
Make new adapters for the next "process", or go on with the old ones.

What the SDK makes of it (tables): a 500 or 503 and a missing answer are sent again, at once in tests, up to three more
times. So `answer(503)` and `lose_answer()` on one try make the SDK repeat a write that was done; with
`every_try=True` they end in `StorageBusy`, although the write was done.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.rest._aiohttp import RestAioHttpTransportResponse  # the SDKs decode no other class fully
from multidict import CIMultiDict

SERVICES = {"data-tables": "tables", "storage-queue": "queues", "storage-blob": "blobs"}
CONTINUATION = "a-page-without-rows"
_EMPTY_PAGE = (
    200,
    b'{"value": []}',
    {
        "Content-Type": "application/json",
        "x-ms-continuation-NextPartitionKey": CONTINUATION,
        "x-ms-continuation-NextRowKey": "-",
    },
)


class ProcessDied(BaseException):
    """The process ended here. Not an Exception: nothing in the app may catch it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it was sent; `path` is without the account's name."""

    number: int
    service: str
    method: str
    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.number} {self.service} {self.method} {self.path}"

    @property
    def is_transaction(self) -> bool:
        """Whether this is an entity-group transaction."""
        return self.path == "/$batch"

    @property
    def is_write(self) -> bool:
        """Whether this changes anything."""
        return self.method not in {"GET", "HEAD"}


class _Kind(Enum):
    DIE = auto()
    ANSWER = auto()
    SILENCE = auto()
    EMPTY_PAGE = auto()


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with a request; made by the functions below."""

    kind: _Kind
    done: bool = True
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    every_try: bool = False


def die_before() -> Trouble:
    """End the process before the request is sent."""
    return Trouble(_Kind.DIE, done=False)


def die_after() -> Trouble:
    """End the process when the request is done and before its answer is seen."""
    return Trouble(_Kind.DIE)


def answer(status: int, *, done: bool = True, every_try: bool = False, retry_after: int | None = None) -> Trouble:
    """Answer *status* although the request was done (or, with `done=False`, without sending it)."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return Trouble(_Kind.ANSWER, done, status, headers, every_try)


def answer_429(*, retry_after: int | None = None, every_try: bool = True) -> Trouble:
    """Throttle: refuse the request unseen, and by default every repetition of it."""
    return answer(429, done=False, every_try=every_try, retry_after=retry_after)


def lose_answer(*, done: bool = True, every_try: bool = False) -> Trouble:
    """Break the connection: the request is done (or, with `done=False`, never arrives) and no answer comes."""
    return Trouble(_Kind.SILENCE, done, every_try=every_try)


def empty_page() -> Trouble:
    """Answer a query with no row and a continuation token, as the cloud does and the emulator never; then go on."""
    return Trouble(_Kind.EMPTY_PAGE, done=False)


@dataclass(slots=True)
class Plan:
    """What was sent over all transports of this plan, and what goes wrong when."""

    requests: list[Request] = field(default_factory=list)
    is_dead: bool = False
    _at: dict[int, Trouble] = field(default_factory=dict)
    _when: list[tuple[Callable[[Request], bool], Trouble]] = field(default_factory=list)
    _repeated: list[tuple[HttpRequest, Trouble]] = field(default_factory=list)

    def transport(self) -> AsyncHttpTransport[Any, Any]:
        """Return a new transport that obeys this plan; the adapters take this method itself as `transport`."""
        return FaultyTransport(AioHttpTransport(), self)

    def at(self, number: int, trouble: Trouble) -> Self:
        """Plan *trouble* for the *number*-th request, counted from 1 since the plan was made or cleared."""
        self._at[number] = trouble
        return self

    def when(self, is_meant: Callable[[Request], bool], trouble: Trouble) -> Self:
        """Plan *trouble* for the next request that *is_meant*; plan it twice to meet the next two."""
        self._when.append((is_meant, trouble))
        return self

    def revive(self) -> None:
        """Let requests through again after a death, with nothing planned; the count goes on."""
        self.is_dead = False
        self._at.clear()
        self._when.clear()
        self._repeated.clear()

    def clear(self) -> None:
        """Forget what was sent and planned, so that the next request is number 1."""
        self.revive()
        self.requests.clear()

    def count(self, service: str | None = None) -> int:
        """Return how many requests were sent, to *service* or to all three."""
        return sum(service in {None, request.service} for request in self.requests)

    def note(self, request: HttpRequest) -> Trouble | None:
        """Count *request* and return what goes wrong with it."""
        if self.is_dead:
            raise ProcessDied("A dead process sends nothing.")
        url = urlsplit(request.url)
        path = "/" + unquote(url.path).lstrip("/").partition("/")[2]  # the emulator has the account's name in the path
        agent = request.headers.get("User-Agent", "")
        service = next((name for part, name in SERVICES.items() if part in agent), "unknown")
        self.requests.append(noted := Request(len(self.requests) + 1, service, request.method, path, url.query))
        # The SDK repeats a request with the very same object.
        for repeated, again in self._repeated:
            if repeated is request:
                return again
        trouble = self._planned(noted)
        if trouble is not None and trouble.every_try:
            self._repeated.append((request, trouble))
        return trouble

    def _planned(self, request: Request) -> Trouble | None:
        if request.number in self._at:
            return self._at.pop(request.number)
        for planned in self._when:
            if planned[0](request):
                self._when.remove(planned)
                return planned[1]
        return None


class FaultyTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """A transport that counts what passes and does what the plan says, over *inner*, which really sends."""

    def __init__(self, inner: AsyncHttpTransport[Any, Any], plan: Plan) -> None:
        """Stand before *inner*."""
        self._inner = inner
        self._plan = plan

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        """Send *request*, or do to it what is planned."""
        _without_our_token(request)
        trouble = self._plan.note(request)
        if trouble is None:
            return await self._send(request, **kwargs)
        if trouble.done:
            response = await self._send(request, **kwargs)
            await response.read()
            await response.close()
        if trouble.kind is _Kind.DIE:
            self._plan.is_dead = True
            raise ProcessDied(str(self._plan.requests[-1]))
        if trouble.kind is _Kind.SILENCE:
            raise ServiceResponseError("The connection was closed before the answer came.")
        answered = _EMPTY_PAGE if trouble.kind is _Kind.EMPTY_PAGE else (trouble.status, b"", dict(trouble.headers))
        response = _canned(request, *answered)
        if not kwargs.get("stream"):  # then the SDK expects the body at hand
            await response.read()
        return response

    async def _send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        response: AsyncHttpResponse = await self._inner.send(request, **kwargs)
        return response

    async def sleep(self, duration: float) -> None:
        """Return at once."""

    async def open(self) -> None:
        """Open the real transport."""
        await self._inner.open()

    async def close(self) -> None:
        """Close the real transport."""
        await self._inner.close()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)


def _without_our_token(request: HttpRequest) -> None:
    """Let the query that follows an empty page begin where the empty page began."""
    if CONTINUATION in request.url:
        url = urlsplit(request.url)
        kept = [(name, value) for name, value in parse_qsl(url.query) if not name.startswith("Next")]
        request.url = urlunsplit(url._replace(query=urlencode(kept)))


class _Canned:
    """What the SDK asks of an answer of aiohttp, with a body that is at hand."""

    def __init__(self, url: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.url = url
        self.status = status
        self.reason = "As planned"
        self.headers: CIMultiDict[str] = CIMultiDict({"Content-Length": str(len(body)), **headers})
        self.content = self
        self._chunks = itertools.chain([body], itertools.repeat(b""))
        self._body = body

    async def read(self, size: int | None = None) -> bytes:
        return self._body if size is None else next(self._chunks)

    def close(self) -> None:
        pass


def _canned(request: HttpRequest, status: int, body: bytes, headers: dict[str, str]) -> AsyncHttpResponse:
    response: AsyncHttpResponse = RestAioHttpTransportResponse(
        request=request, internal_response=_Canned(request.url, status, body, headers), block_size=None
    )
    return response
