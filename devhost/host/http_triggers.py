"""Serves HTTP functions: finds the function of a request, calls it with the data of the real host, and answers."""

import logging
from collections.abc import Iterable, Mapping

from azure.functions.meta import Datum
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from devhost.host import url_decoding
from devhost.host.functions import Function, HttpTrigger
from devhost.host.invocations import Invoker

log = logging.getLogger("devhost")

BODY_LIMIT_BYTES = 100 * 1024 * 1024

# The server sets the headers of the connection. The same headers of a function are dropped.
_HEADERS_OF_THE_SERVER = frozenset({"connection", "content-length", "transfer-encoding"})
_STATUSES_WITHOUT_BODY = frozenset({204, 304})


class BodyTooLarge(Exception):
    """The body is larger than the host's limit. The answer is 413, and no function is called."""


class HttpTriggers:
    """The ASGI app for every path except the paths of the host itself."""

    def __init__(self, functions: Iterable[Function], invoker: Invoker, custom_headers: Mapping[str, str]) -> None:
        """Keep the functions in the given order. A request goes to the first function that matches."""
        self._routes = [(each, each.trigger) for each in functions if isinstance(each.trigger, HttpTrigger)]
        self._invoker = invoker
        self._custom_headers = dict(custom_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return  # the client has closed the connection
        except url_decoding.BadPath:
            response = Response(status_code=400)
        except BodyTooLarge:
            response = Response(status_code=413)
        for name, value in self._custom_headers.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = url_decoding.decoded_path(request.scope["raw_path"])
        body = await _body(request)
        function, parameters = self._find(request.method, path)
        if function is None or function.disabled:
            return Response(status_code=404)
        headers = url_decoding.joined_headers(request.headers.raw)
        ended = await self._invoker.run(function, _datum(request, path, parameters, headers, body), headers=headers)
        return Response(status_code=500) if ended.answer is None else _response(function, ended.answer)

    def _find(self, method: str, path: str) -> tuple[Function | None, dict[str, str]]:
        """Return the first function that takes the path and the method. A match of the path alone does not count."""
        for function, trigger in self._routes:
            parameters = trigger.template.match(path)
            if parameters is not None and (not trigger.methods or method in trigger.methods):
                return function, parameters
        return None, {}


async def _body(request: Request) -> bytes:
    """Return the body. Without a Content-Length it is empty, as on the real host. Raises BodyTooLarge."""
    announced = request.headers.get("content-length")
    if announced is not None and int(announced) > BODY_LIMIT_BYTES:
        raise BodyTooLarge
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > BODY_LIMIT_BYTES:
            raise BodyTooLarge
    if announced is None and received:
        log.warning("a request without Content-Length: the function gets an empty body, as it would in Azure")
        return b""
    return bytes(received)


def _datum(
    request: Request, path: str, parameters: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> Datum:
    query = request.scope["query_string"]
    url = f"{request.url.scheme}://{headers.get('host', '')}{url_decoding.encoded_path(path)}"
    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(f"{url}?{query.decode('latin-1')}" if query else url, "string"),
            "headers": _strings(headers),
            "query": _strings(url_decoding.joined_query(query)),
            "params": _strings(parameters),
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _response(function: Function, answer: Datum) -> Response:
    """Return the response. For an answer that the real host could not send, it is an empty 500."""
    status, body = int(answer.value["status_code"].value), answer.value["body"].value
    headers = {name: datum.value for name, datum in answer.value["headers"].items()}
    if fault := _fault(status, body, headers, answer.value["cookies"]):
        log.error("%s: %s", function.name, fault)
        return Response(status_code=500)
    own_headers = {name: value for name, value in headers.items() if name.lower() not in _HEADERS_OF_THE_SERVER}
    return Response(body, status, own_headers)


def _fault(status: int, body: bytes, headers: Mapping[str, str], cookies: object) -> str | None:
    if cookies:
        return "cookies are not known to this host"
    if body and status in _STATUSES_WITHOUT_BODY:
        return f"an answer {status} cannot have a body"
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            return f"the header {name} has a character that no header can have"
    return None
