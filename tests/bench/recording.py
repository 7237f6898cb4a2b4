"""Records what each call sends to storage: the requests, and which of them had ended before the next one began."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from tests.budgets.counting import Meter
from tests.doubles.transport import FaultyTransport


@dataclass(slots=True)
class Sent:
    """One request and its response. *ended_before* requests of the call had ended when this one began."""

    request: HttpRequest
    ended_before: int
    response: AsyncHttpResponse | None = None


@dataclass(slots=True)
class Recording:
    """The requests of one call in the order of their beginnings, and their positions in the order of their ends."""

    sent: list[Sent] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    _positions: dict[int, int] = field(default_factory=dict)

    def begin(self, request: HttpRequest) -> Sent:
        """Note a request. The SDK repeats a request with the very same object, which counts once."""
        position = self._positions.setdefault(id(request), len(self.sent))
        if position == len(self.sent):
            self.sent.append(Sent(request, len(self.ended)))
        return self.sent[position]

    def end(self, sent: Sent, response: AsyncHttpResponse) -> None:
        """Note the response to a request."""
        if sent.response is None:
            self.ended.append(self._positions[id(sent.request)])
        sent.response = response


_CURRENT: ContextVar[Recording | None] = ContextVar("recording", default=None)


async def recorded(doing: Callable[[], Awaitable[Any]]) -> Recording:
    """Await *doing*, and return the requests that it sent."""
    recording = Recording()
    token = _CURRENT.set(recording)
    try:
        await doing()
    finally:
        _CURRENT.reset(token)
    return recording


class Recorder(Meter):
    """A meter that also records the requests of the calls that `recorded` awaits."""

    def transport(self) -> AsyncHttpTransport[Any, Any]:
        """Return a new transport that records."""
        return _Recording(AioHttpTransport(), self)


class _Recording(FaultyTransport):
    async def _send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        recording = _CURRENT.get()
        if recording is None:
            return await super()._send(request, **kwargs)
        sent = recording.begin(request)
        response = await super()._send(request, **kwargs)
        recording.end(sent, response)
        return response
