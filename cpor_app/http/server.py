"""
Serves every HTTP operation.

`operation` adds a handler to the table of operations and wraps it. This module handles identity, rate limit, API
version, role, errors, idempotency and headers for all operations, in one order (decision 3). A handler loads the claim
or entry that the address names, reads the body, calls one use case and returns an `Answer`.
"""

import asyncio
import inspect
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import azure.functions as func
from pydantic import BaseModel, JsonValue

from cpor_app.bootstrap import ready, telemetry
from cpor_app.functions import ROUTES
from cpor_app.http import queries
from cpor_app.http.request import Call
from cpor_app.http.route_table import (
    API_VERSION,
    JSON,
    JSON_TYPES,
    ONE_MIB,
    OPERATIONS,
    SECURITY_HEADERS,
    Answer,
    Operation,
)
from cpor_app.http.status_codes import STATUSES
from cpor_core.errors import Refused, Retryable
from cpor_core.model.caller import Role, Unauthenticated
from cpor_core.ports.idempotency import IdempotencyKey, StoredReply, StoredResponse
from cpor_core.use_cases.idempotency import Repeated, key_reused, once

log = logging.getLogger("cpor.http")
log_of_personal_data = logging.getLogger("cpor.personal_data")
IDS_IN_A_LINE = 500
"""Application Insights cuts a line after 32,768 characters. An id of a claim has 52."""

Handler = Callable[[Call], Awaitable[Answer]]
Served = Callable[[func.HttpRequest, func.Context], Awaitable[func.HttpResponse]]


def operation(  # noqa: PLR0913 - one parameter for each column of the table
    *,
    summary: str,
    tag: str,
    answers: Mapping[int, Any],
    roles: frozenset[Role] | None = None,
    query: type[BaseModel] | None = None,
    body: Any = None,
    body_types: tuple[str, ...] = JSON_TYPES,
    body_needed: bool = True,
    max_bytes: int = ONE_MIB,
    key_kept_by_handler: bool = False,
    if_match: str | None = None,
    etag: bool = False,
    location: bool = False,
    paged: bool = False,
    refusals: tuple[str, ...] = (),
    in_words: bool = False,
) -> Callable[[Handler], Served]:
    """
    Return a decorator that adds a handler to the table and serves it.

    The function in Azure has the handler's name, and `cpor_app.functions` has its method and its route. The parameters
    are the other columns of `Operation`.
    """

    def add(handler: Handler) -> Served:
        methods, route = ROUTES[handler.__name__]
        line = Operation(
            name=handler.__name__,
            method=methods[0],
            route=route,
            summary=summary,
            description=inspect.cleandoc(handler.__doc__ or ""),
            tag=tag,
            roles=roles,
            answers=answers,
            query=query,
            body=body,
            body_types=tuple(body) if isinstance(body, Mapping) else body_types if body is not None else (),
            body_needed=body is not None and body_needed,
            max_bytes=max_bytes,
            key_kept_by_handler=key_kept_by_handler,
            if_match=if_match,
            etag=etag,
            location=location,
            paged=paged,
            refusals=refusals,
            in_words=in_words,
        )
        OPERATIONS[line.name] = line

        async def serve(request: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            return await handle(line, handler, request, context)

        return serve

    return add


async def handle(
    line: Operation, handler: Handler, request: func.HttpRequest, context: func.Context
) -> func.HttpResponse:
    """Answer a request, within a span of the caller's trace."""
    attributes = {"http.request.method": line.method, "http.route": line.route}
    parent = context.trace_context.trace_parent
    with (await telemetry()).doing(line.name, parent=parent, attributes=attributes) as doing:
        response = await _catch_errors(line, handler, request, context)
        doing.note("http.response.status_code", response.status_code)
        return response


async def _catch_errors(
    line: Operation, handler: Handler, request: func.HttpRequest, context: func.Context
) -> func.HttpResponse:
    """Answer a request. After a failure the answer is an error with the security headers."""
    request_id = context.invocation_id
    call: Call | None = None
    try:
        call = Call(line, request, await ready())
        await _admit(call)
        answer = await _limit_large_bodies(call, handler)
        _log_personal_data(call)
    except Unauthenticated as error:
        log.info("%s: 401 %s", line.name, error.reason_code)
        answer = _unauthenticated(error, sandbox=call is not None and call.services.settings.sandbox)
    except Refused as refused:
        answer = _error_answer(call, refused)
    except Retryable as fault:
        log.warning("%s: 503 %s", line.name, type(fault).__name__)
        answer = _error_answer(call, _busy(), retry_after=fault.retry_after_seconds or 1)
    except Exception:
        log.exception("%s: 500, request %s", line.name, request_id)
        answer = _error_answer(call, _internal(request_id))
    return _http_response(answer, request, request_id)


def _log_personal_data(call: Call) -> None:
    """Log the reader of an answer with personal data, the claims or tenants, and the kind of data (decision 52)."""
    if call.shown is not None:
        data, ids = call.shown
        who = f"{call.person_id} of {call.organisation}"
        for first in range(0, len(ids), IDS_IN_A_LINE):
            about = ",".join(ids[first : first + IDS_IN_A_LINE])
            log_of_personal_data.info("%s: %s shown to %s, about %s", call.operation.name, data, who, about)


async def _limit_large_bodies(call: Call, handler: Handler) -> Answer:
    """
    Run the handler. Raises `Retryable` for a large body if two other requests with large bodies are running.

    Three large bodies at the same time could fill the memory of an instance.
    """
    if len(call.request.get_body() or b"") > ONE_MIB:
        if _LARGE_BODIES.locked():
            message = "two requests with large bodies are running"
            raise Retryable(message, retry_after_seconds=2)
        async with _LARGE_BODIES:
            return await _run(call, handler)
    return await _run(call, handler)


_LARGE_BODIES = asyncio.Semaphore(2)


async def _run(call: Call, handler: Handler) -> Answer:
    if call.operation.keyed and not call.operation.key_kept_by_handler and (key := call.idempotency_key()) is not None:
        return await _run_once(call, handler, key)
    try:
        return await handler(call)
    except Repeated as repeated:
        return _repeat_reply(call, repeated.reply)
    except Refused as refused:
        if (
            refused.code in ("InvalidState", "PreconditionFailed", "ItemNotInClaim")
            and (first := await _earlier_reply(call)) is not None
        ):
            return _repeat_reply(call, first)
        raise


async def _run_once(call: Call, handler: Handler, key: IdempotencyKey) -> Answer:
    """Run the handler once for each key. A repeated request with the same key gets the same bytes and headers."""

    async def run() -> StoredResponse:
        answer = await handler(call)
        return StoredResponse(answer.status, _body_bytes(answer), answer.media_type, answer.headers)

    stored = await once(call.ports, key, await call.now(), run)
    return Answer(stored.status, stored.body, stored.media_type, {**stored.headers, "Repeatability-Result": "accepted"})


async def _admit(call: Call) -> None:
    """Verify identity, rate, API version, query parameters and role, in this order (decisions 3, 55)."""
    line = call.operation
    if line.roles is not None:
        call.caller = await call.services.tokens.verify(call.headers.get("authorization"))
        if line.is_throttled and not call.services.throttle.admits(call.caller.tenant_id, time.monotonic()):
            raise Refused(
                "TooManyRequests",
                "Your organisation sends more writes per second than the limit allows.",
                resolution="Wait as long as Retry-After says, then send the request again.",
                retry_after_seconds=1,
            )
    version = call.params.get("api-version")
    if version is not None and version != API_VERSION:
        raise Refused(
            "UnsupportedApiVersionValue",
            f"There is no api-version {version[:40]!r}.",
            target="api-version",
            resolution=f"Use {API_VERSION}, or leave it out for the newest.",
        )
    queries.verify(line, call.request.url)
    if line.roles:
        call.require(line.roles)


async def _earlier_reply(call: Call) -> StoredReply | None:
    """
    Return the stored reply if a request with this key has done its act before.

    Many acts cannot be done twice. So a refusal of a repeated request can mean that the first request has succeeded.
    """
    try:
        key = call.idempotency_key()
    except Refused:
        return None  # the first request with such a body or key was refused too, so it has no stored reply
    return await call.ports.claims.stored_reply(call.claim_id, key.hash) if key is not None and call.claim_id else None


def _repeat_reply(call: Call, reply: StoredReply) -> Answer:
    key = call.idempotency_key()
    if key is None or key.body != reply.body:
        raise key_reused()
    status = next(iter(call.operation.answers))
    headers = {"Repeatability-Result": "accepted"}
    if reply.etag is not None and call.operation.etag:
        headers["ETag"] = reply.etag
    if call.operation.location:
        headers["Location"] = call.url(f"claims/{json.loads(reply.answer)['id']}")
    return Answer(status, reply.answer.encode(), headers=headers)


def _how_to_get_a_token(*, sandbox: bool) -> str:
    if sandbox:
        return (
            "Send a token of the sandbox: make token ROLE=Incentives.Admin TENANT=<guid> prints one, valid for an hour."
        )
    return "Send a bearer token of Microsoft Entra ID for this service. GET /docs describes the token under Identity."


def _unauthenticated(error: Unauthenticated, *, sandbox: bool) -> Answer:
    challenge = "Bearer"  # RFC 6750, section 3: without a token the challenge names no error
    if error.reason_code != "TokenMissing":
        challenge += f' error="invalid_token", error_description="{error.description}"'
    refused = Refused("Unauthenticated", error.description, resolution=_how_to_get_a_token(sandbox=sandbox))
    return Answer(401, envelope(refused), headers={"WWW-Authenticate": challenge, "x-ms-error-code": refused.code})


def _busy() -> Refused:
    return Refused("ServerBusy", "A part of the service is busy.", resolution="Send the same request again later.")


def _internal(request_id: str) -> Refused:
    return Refused(
        "InternalError",
        f"The service failed. The id of the request is {request_id}.",
        resolution="Send the request again. If it fails again, give this id to the programme.",
    )


def _error_answer(call: Call | None, refused: Refused, retry_after: int | None = None) -> Answer:
    status = int(STATUSES[refused.code])
    headers = {"x-ms-error-code": refused.code}
    retry_after = refused.retry_after_seconds or retry_after
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if call is not None and call.operation.in_words and not wants_json(call.headers):
        page = call.services.pages.refusal(
            refused.code,
            accepted=call.headers.get("accept-language"),
            chosen=call.params.get("lang"),
            back=call.back,
            refused_request=call.refused_request,
            action=call.url(f"customer/requests/{call.claim_id}/decline"),
            unsent=call.unsent,
        )
        headers["Content-Security-Policy"] = call.services.pages.csp()
        return Answer(status, page.encode(), "text/html", headers)
    return Answer(status, envelope(refused, call.arrival if call is not None else None), headers=headers)


def error_response(
    refused: Refused, request: func.HttpRequest, context: func.Context, headers: Mapping[str, str]
) -> func.HttpResponse:
    """Return the error for a request that fits no operation."""
    given = {"x-ms-error-code": refused.code, **headers}
    answer = Answer(int(STATUSES[refused.code]), envelope(refused), headers=given)
    return _http_response(answer, request, context.invocation_id)


def see_other(path: str, request: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Redirect the caller to another address of this host."""
    return _http_response(Answer(303, headers={"Location": path}), request, context.invocation_id)


def envelope(refused: Refused, arrival: str | None = None) -> dict[str, JsonValue]:
    """
    Return the error object of `docs/errors.md`.

    *arrival* is for `NotRecordedYet` only: the signed instant at which the customer's no arrived.
    """
    error: dict[str, JsonValue] = {"code": refused.code, "message": refused.message}
    if refused.target is not None:
        error["target"] = refused.target
    if refused.details:
        error["details"] = [
            {
                name: value
                for name, value in (
                    ("code", detail.code),
                    ("message", detail.message),
                    ("target", detail.target),
                    ("resolution", detail.resolution),
                )
                if value is not None
            }
            for detail in refused.details
        ]
    if refused.resolution is not None:
        error["resolution"] = refused.resolution
    if arrival is not None and refused.code == "NotRecordedYet":
        error["arrival"] = arrival
    return {"error": error}


def wants_json(headers: Mapping[str, str]) -> bool:
    """Whether the caller asks for JSON and not for a page."""
    accept = headers.get("accept", "").lower()
    return JSON in accept and "text/html" not in accept


def _body_bytes(answer: Answer) -> bytes:
    match answer.body:
        case BaseModel() as model:
            return model.model_dump_json(by_alias=True).encode()
        case bytes() as raw:
            return raw
        case None if answer.status in (204, 303, 304):
            return b""
        case value:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _http_response(answer: Answer, request: func.HttpRequest, request_id: str) -> func.HttpResponse:
    headers = {**SECURITY_HEADERS, **answer.headers, "x-ms-request-id": request_id}
    client_id = request.headers.get("x-ms-client-request-id")
    if client_id is not None and re.fullmatch(r"[\x21-\x7e]{1,100}", client_id):
        headers["x-ms-client-request-id"] = client_id
    return func.HttpResponse(
        body=_body_bytes(answer), status_code=answer.status, headers=headers, mimetype=answer.media_type
    )
