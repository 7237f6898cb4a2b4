"""
The one mechanism behind every HTTP operation.

`operation` enters a handler into the table of operations and wraps it: identity, throttling, version, role, errors,
entity tags, idempotency and headers are the same for all, in the order of rulings 3. A handler loads what the request
is about, reads the body, calls one use case and returns an `Answer`.
"""

import asyncio
import hashlib
import inspect
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import azure.functions as func
from pydantic import BaseModel, BeforeValidator, Field, JsonValue, TypeAdapter, ValidationError

from cpor_app.bootstrap import Services, ready
from cpor_app.triggers.refusals import STATUSES
from cpor_core.errors import Refused, Retryable
from cpor_core.model.claim import Status
from cpor_core.model.history import Actor, ActorKind
from cpor_core.model.people import Caller, CallerKind, Role, Unauthenticated
from cpor_core.ports import Answered, KeptAnswer, Keyed, Remark
from cpor_core.rules.forms import not_in_form
from cpor_core.rules.terms import Terms
from cpor_core.transitions.case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.acts import Intent, find, verify_match
from cpor_core.use_cases.keys import Repeated, key_reused, once
from cpor_core.views import ClaimView, shown

log = logging.getLogger("cpor.http")

API_VERSION = "2026-11-01"
ONE_MIB = 2**20
DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
JSON = "application/json"
JSON_TYPES = (JSON,)
PATCH_TYPES = ("application/merge-patch+json", JSON)
PARTNER = frozenset({Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER})
PARTNER_ADMIN = frozenset({Role.INCENTIVES_ADMIN})
REVIEWER = frozenset({Role.PROGRAM_REVIEWER})
PROGRAMME = frozenset({Role.PROGRAM_REVIEWER, Role.PROGRAM_OPERATOR})
OPERATOR = frozenset({Role.PROGRAM_OPERATOR})
CUSTOMER_ADMIN = frozenset({Role.CUSTOMER_ADMIN})
MAIL_REPORTERS = frozenset({Role.PROGRAM_OPERATOR, Role.MAIL_EVENTS})
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a model, JSON values, text or bytes."""

    status: int = 200
    body: BaseModel | JsonValue | bytes = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    A line of the table of operations: what is served, to whom, with which bodies, answers and refusals.

    `answers` holds a model for each status, the first of them for the act that the operation is named for; None where
    there is no body, several models in a tuple, and a mapping where the media type is not JSON alone. Of a PATCH,
    `body` is what the patch must make; of JSON lines, one line; where media types differ in form, a mapping.
    """

    name: str
    method: str
    route: str
    summary: str
    description: str
    tag: str
    roles: frozenset[Role] | None
    answers: Mapping[int, Any]
    query: type[BaseModel] | None
    body: Any
    body_types: tuple[str, ...]
    body_needed: bool
    max_bytes: int
    key_kept_by_handler: bool
    """The use case keeps the answer to a key with what it writes; of other POSTs the answer is kept here."""
    if_match: str | None
    etag: bool
    location: bool
    paged: bool
    refusals: tuple[str, ...]
    in_words: bool

    @property
    def is_throttled(self) -> bool:
        """Whether it is a partner's write (rulings 4)."""
        return self.roles is not None and self.method != "GET" and bool(self.roles & PARTNER)

    @property
    def keyed(self) -> bool:
        """Whether it takes an idempotency key: every POST with a token does (rulings 39)."""
        return self.method == "POST" and self.roles is not None

    def taken(self, media_type: str) -> Any:
        """Return the model of a body of that media type."""
        return self.body[media_type] if isinstance(self.body, Mapping) else self.body

    @property
    def takes_json(self) -> bool:
        """Whether the body is, or may be, one JSON document."""
        return bool({JSON, *PATCH_TYPES} & set(self.body_types))

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code that a caller may be refused with: those of the line, and what follows from its columns."""
        follow = {
            ("UnsupportedApiVersionValue", "InternalError", "ServerBusy"): True,
            ("Unauthenticated", "RoleRequired"): self.roles is not None,
            ("TooManyRequests",): self.is_throttled,
            ("PreconditionFailed",): self.if_match is not None,
            ("PreconditionRequired",): self.if_match == "required",
            ("LengthRequired", "PayloadTooLarge"): self.body is not None,
            ("UnsupportedMediaType",): bool(self.body_types),
            ("InvalidJson", "ValidationFailed"): self.takes_json,
            ("ValidationFailed",): self.query is not None or self.paged or self.keyed,
            ("InvalidCursor",): self.paged,
            ("IdempotencyKeyReused", "RequestInProgress"): self.keyed,
        }
        return tuple(
            dict.fromkeys([*self.refusals, *(code for codes, does in follow.items() if does for code in codes)])
        )


Handler = Callable[["Call"], Awaitable[Answer]]
OPERATIONS: list[Operation] = []
"""Every operation, in the order in which the modules of this package declare them."""


def _is_true(sent: object) -> object:
    match sent:
        case str() if sent.lower() in ("true", "false"):
            return sent.lower() == "true"
        case bool():
            return sent
        case _:
            raise ValueError("must be true or false")


def _in_digits(sent: object) -> object:
    if isinstance(sent, str) and re.fullmatch(r"[0-9]{1,10}", sent) is None:
        raise ValueError("must be a whole number")
    return sent


QueryFlag = Annotated[bool, BeforeValidator(_is_true)]
"""`true` or `false` in a query."""
QueryNumber = Annotated[int, BeforeValidator(_in_digits)]
"""A whole number in a query."""


class Paging(BaseModel):
    """The query of every list."""

    maxpagesize: Annotated[
        QueryNumber, Field(ge=1, le=LARGEST_PAGE, description="How many entries a page may have.")
    ] = DEFAULT_PAGE
    cursor: Annotated[str | None, Field(description="Where the page begins; taken from nextLink as it is.")] = None


class Call:
    """One request on its way through: who asks, for what, and everything that the handler needs to answer."""

    def __init__(self, operation: Operation, request: func.HttpRequest, services: Services) -> None:
        """Take the request; nothing is judged yet."""
        self.operation = operation
        self.request = request
        self.services = services
        self.ports = services.ports
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in request.headers.items()}
        self.caller: Caller | None = None
        self.back: str | None = None
        """The page that a person can go back to when the request is refused."""
        self._now: datetime | None = None
        self._body: bytes | None = None

    # --- who and when -----------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        """Return the instant of this request by the service's clock, read once."""
        if self._now is None:
            self._now = await self.ports.now()
        return self._now

    @property
    def organisation(self) -> str:
        """The caller's Entra tenant."""
        return self._known_caller.tenant_id

    @property
    def _known_caller(self) -> Caller:
        assert self.caller is not None  # noqa: S101 - `_admit` sets it before any handler with roles runs
        return self.caller

    @property
    def who(self) -> str:
        """The caller's `oid`."""
        return self._known_caller.object_id

    @property
    def kind(self) -> CallerKind:
        """Whether a person or a client calls."""
        return self._known_caller.kind

    def actor(self) -> Actor:
        """Return who the caller is in the history."""
        return Actor(kind=ActorKind(self.kind.value), id=self.who)

    def require(self, roles: frozenset[Role]) -> None:
        """Raise `RoleRequired` unless the caller has one of *roles*: in some states the operation's own are too few."""
        if not roles & self._known_caller.roles:
            raise role_required(roles)

    # --- what it is about -------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """Return a part of the address."""
        return str(self.request.route_params.get(name) or "")

    @property
    def params(self) -> Mapping[str, str]:
        """The query's parameters. The host leaves out those without a value, which are as wrong as any other."""
        sent = dict(parse_qsl(urlsplit(self.request.url).query, keep_blank_values=True))
        return {**{name: value for name, value in sent.items() if not value}, **self.request.params}

    def query(self, model: type[Model]) -> Model:
        """Return the query's parameters; unknown ones are left alone. Raises `ValidationFailed`."""
        try:
            return model.model_validate(dict(self.params))
        except ValidationError as error:
            raise not_in_form(error) from None

    @property
    def claim_id(self) -> str:
        """The claim of the address; an association and a customer's request have their claim's id."""
        names = ("claimId", "associationId", "requestId")
        return next((self.path(name).lower() for name in names if self.path(name)), "")

    async def own_case(self, exists: Callable[[Case, datetime], object] | None = None) -> Case:
        """
        Return the claim of the address, if it is the caller's organisation's; another's is not found.

        *exists* raises `NotFound` where the address is of something that the claim has not: it goes before If-Match.
        """
        case = await find(self.ports, self.claim_id, await self.now())
        if case is None or case.claim.organisation != self.organisation:
            raise not_found("claim")
        if exists is not None:
            exists(case, await self.now())
        return await self._matched(case)

    async def any_case(self) -> Case:
        """Return the claim of the address, whoever's it is: for the programme."""
        case = await find(self.ports, self.claim_id, await self.now())
        if case is None:
            raise not_found("claim")
        return await self._matched(case)

    async def _matched(self, case: Case) -> Case:
        if_match = self.if_match
        if self.operation.if_match == "required" and if_match is None:
            raise Refused(
                "PreconditionRequired",
                "This request needs If-Match.",
                target="If-Match",
                resolution="Send the ETag that you read, so that nobody's change is overwritten.",
            )
        if if_match is not None and self.request.method not in ("GET", "HEAD"):
            verify_match(case, await self.now(), if_match, self.path("fileName"))
        return case

    @property
    def if_match(self) -> str | None:
        """The caller's If-Match, if any."""
        return self.headers.get("if-match")

    # --- the body ---------------------------------------------------------------------------------------------------

    def bytes(self) -> bytes:
        """Return the body. Raises `LengthRequired`, `PayloadTooLarge`, `UnsupportedMediaType`."""
        if self._body is not None:
            return self._body
        length = self.headers.get("content-length")
        if "transfer-encoding" in self.headers:
            raise _length_required()
        body = self.request.get_body() or b""
        if not body and length is None and self.operation.body_needed:
            raise _length_required()
        if len(body) > self.operation.max_bytes:
            raise Refused(
                "PayloadTooLarge",
                f"The body may have {self.operation.max_bytes} bytes.",
                resolution="Send less, or in several requests.",
            )
        if body or self.operation.body_needed:
            self.require_type(*self.operation.body_types)
        self._body = body
        return body

    def require_type(self, *media_types: str) -> None:
        """Raise `UnsupportedMediaType` unless the body is of one of these; of none named, any will do."""
        if media_types and self.media_type not in media_types:
            raise Refused(
                "UnsupportedMediaType",
                f"The body must be {' or '.join(media_types)}.",
                target="Content-Type",
                resolution="Send the body in that form, with its Content-Type.",
            )

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def body(self, model: type[Model]) -> Model:
        """Return the body as *model*, an empty one that is not needed as its defaults. Raises as `bytes` and `read`."""
        body = self.bytes()
        return read(model, body if body or self.operation.body_needed else b"{}")

    # --- acting -----------------------------------------------------------------------------------------------------

    def intent(
        self,
        *,
        words: str | None = None,
        author: str = "partner",
        at: datetime | None = None,
        decides: bool = False,
        answers: Callable[[Case, datetime, Terms], BaseModel] = shown,
    ) -> Intent:
        """Return what comes with the act: who, under which key, with which words."""
        remark = Remark(author, self.who, words, at) if words and at is not None else None
        return Intent(
            who=self.who,
            keyed=self.keyed(),
            if_match=self.if_match,
            file_name=self.path("fileName"),
            remark=remark,
            decides_claimants=decides,
            answers=answers,
        )

    def keyed(self) -> Keyed | None:
        """Return the caller's idempotency key and what it is used for, both hashed. Raises `ValidationFailed`."""
        given = self.headers.get("idempotency-key") or self.headers.get("repeatability-request-id")
        if given is None or not self.operation.keyed:
            return None
        if re.fullmatch(r"[\x21-\x7e]{1,255}", given) is None:
            raise Refused(
                "ValidationFailed",
                "An idempotency key has 1 to 255 printable characters.",
                target="Idempotency-Key",
                resolution="Use a GUID.",
            )
        first_sent = self.headers.get("repeatability-first-sent")
        if first_sent is not None:
            _verify_http_date(first_sent)
        asked = {name: value for name, value in self.params.items() if name != "api-version"}
        what = json.dumps([self.operation.name, dict(self.request.route_params), asked], sort_keys=True)
        return Keyed(
            key=hashlib.sha256(f"{self.organisation}|{given}".encode()).hexdigest(),
            body=hashlib.sha256(what.encode() + self.bytes()).hexdigest(),
            organisation=self.organisation,
        )

    async def claim(self, case: Case, status: int = 200) -> Answer:
        """Answer with the claim as it stands now."""
        view = shown(case, await self.now(), self.ports.terms)
        return self.view(view, status)

    def view(self, view: ClaimView, status: int = 200) -> Answer:
        """Answer with a claim that is made already."""
        headers = {"ETag": view.etag, **self.repeatability()}
        if status == 201:  # noqa: PLR2004 - created
            headers["Location"] = self.url(f"claims/{view.id}")
        return Answer(status, view, headers=headers)

    def repeatability(self) -> dict[str, str]:
        """Return the header that says an idempotency key was taken."""
        return {"Repeatability-Result": "accepted"} if self.keyed() is not None else {}

    def url(self, path: str) -> str:
        """Return the public address of *path*: no header of a request has a say in it (rulings 26)."""
        return f"{self.services.settings.public_url}/{path}"

    # --- lists ------------------------------------------------------------------------------------------------------

    def page(self, filters: Mapping[str, str | None] | None = None) -> tuple[str, int]:
        """Return where the page begins and how long it is. Raises `ValidationFailed`, `InvalidCursor`."""
        paging = self.query(Paging)
        after = ""
        if paging.cursor is not None:
            after = str(self.services.links.read_cursor(self._list_kind(filters), paging.cursor)["after"])
        return after, paging.maxpagesize

    def listed(
        self, values: Sequence[BaseModel], position: str | None, filters: Mapping[str, str | None] | None = None
    ) -> Answer:
        """Answer with a page of a list, and the link to the next one."""
        body: dict[str, JsonValue] = {"value": [value.model_dump(mode="json", by_alias=True) for value in values]}
        if position is not None:
            body["nextLink"] = self.next_link(position, filters)
        return Answer(200, body)

    def next_link(self, position: str, filters: Mapping[str, str | None] | None = None) -> str:
        """Return the address of the next page."""
        kept = {name: value for name, value in (filters or {}).items() if value is not None}
        for name in ("maxpagesize", "api-version"):
            if name in self.request.params:
                kept[name] = self.request.params[name]
        kept["cursor"] = self.cursor(position, filters)
        return self.url(f"{self._address()}?{urlencode(kept)}")

    def cursor(self, position: str, filters: Mapping[str, str | None] | None = None) -> str:
        """Return what the next page begins with, signed."""
        return self.services.links.cursor(self._list_kind(filters), {"after": position})

    def _list_kind(self, filters: Mapping[str, str | None] | None) -> str:
        """Return what must stay the same from page to page, so that a cursor fits no other list."""
        kept = {name: value for name, value in (filters or {}).items() if value is not None}
        return json.dumps([self._address(), self.caller.tenant_id if self.caller else "", kept], sort_keys=True)

    def _address(self) -> str:
        return re.sub(r"\{(\w+)(:[^}]*)?\}", lambda part: quote(self.path(part[1]), safe=""), self.operation.route)


def read(model: type[Model], text: bytes) -> Model:
    """Return JSON as *model*. Raises `InvalidJson`, `ValidationFailed` with one detail a field."""
    try:
        value: Model = adapter(model).validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise not_in_form(error) from None
    return value


@cache
def adapter(form: Any) -> TypeAdapter[Any]:
    """Return what validates *form*, made once."""
    return TypeAdapter(form)


def read_object(text: bytes) -> Mapping[str, JsonValue]:
    """Return a JSON object. Raises `InvalidJson`, `ValidationFailed`."""
    try:
        value: Mapping[str, JsonValue] = adapter(dict[str, JsonValue]).validate_json(text)
    except ValidationError as error:
        raise not_in_form(error) from None
    return value


def read_json(text: bytes) -> JsonValue:
    """Return any JSON. Raises `InvalidJson`."""
    try:
        value: JsonValue = adapter(JsonValue).validate_json(text)
    except ValidationError as error:
        raise not_in_form(error) from None
    return value


@contextmanager
def validated() -> Iterator[None]:
    """Turn what a model says about values that were put together here into the refusal that the caller gets."""
    try:
        yield
    except ValidationError as error:
        raise not_in_form(error) from None


def role_required(roles: frozenset[Role]) -> Refused:
    """Return the refusal that names the roles which open an operation."""
    return Refused(
        "RoleRequired",
        f"This needs the role {' or '.join(sorted(role.value for role in roles))}.",
        resolution="Ask your administrator for the role.",
    )


def admins_only_but_in_drafts(call: Call, case: Case, now: datetime) -> None:
    """Raise `RoleRequired` for a user without the administrator's role, but for a draft (rulings 2)."""
    if settle(case, now).claim.status is not Status.DRAFT:
        call.require(PARTNER_ADMIN)


def not_found(what: str) -> Refused:
    """Return the refusal for what is not there, or is somebody else's."""
    return Refused("NotFound", f"There is no such {what}.", resolution="Check the id; the lists name what is yours.")


def _verify_http_date(text: str) -> None:
    try:
        parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        raise Refused(
            "ValidationFailed",
            "Repeatability-First-Sent must be an HTTP date.",
            target="Repeatability-First-Sent",
            resolution="Send it as in RFC 9110, 5.6.7, or leave it out.",
        ) from None


def _length_required() -> Refused:
    return Refused(
        "LengthRequired",
        "The request needs a Content-Length.",
        target="Content-Length",
        resolution="Send the body at once, with its length, not chunked.",
    )


def operation(  # noqa: PLR0913 - a line of the table has as many columns
    blueprint: func.Blueprint,
    *,
    name: str,
    method: str,
    route: str,
    summary: str,
    tag: str,
    answers: Mapping[int, Any],
    roles: frozenset[Role] | None = None,
    query: type[BaseModel] | None = None,
    body: Any = None,
    body_types: tuple[str, ...] = JSON_TYPES,
    body_needed: bool = True,
    max_bytes: int = ONE_MIB,
    keyed: bool = False,
    if_match: str | None = None,
    etag: bool = False,
    location: bool = False,
    paged: bool = False,
    refusals: tuple[str, ...] = (),
    in_words: bool = False,
) -> Callable[[Handler], Handler]:
    """
    Enter a handler into the table and serve it.

    `in_words`: refusals are pages unless JSON is asked for. `keyed`: the use case keeps the answer to an idempotency
    key together with what it writes; of every other POST with a token it is kept here.
    """

    def enter(handler: Handler) -> Handler:
        line = Operation(
            name=name,
            method=method,
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
            key_kept_by_handler=keyed,
            if_match=if_match,
            etag=etag,
            location=location,
            paged=paged,
            refusals=refusals,
            in_words=in_words,
        )
        OPERATIONS.append(line)
        methods = (
            [func.HttpMethod(method), func.HttpMethod.HEAD]
            if in_words and method == "GET"
            else [func.HttpMethod(method)]
        )

        @blueprint.function_name(name)
        @blueprint.route(route=route, methods=methods, auth_level=func.AuthLevel.ANONYMOUS)
        async def serve(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            return await respond(line, handler, req, context)

        return handler

    return enter


async def respond(
    line: Operation, handler: Handler, request: func.HttpRequest, context: func.Context
) -> func.HttpResponse:
    """Answer a request; whatever happens, the caller gets the envelope and the security headers."""
    request_id = context.invocation_id
    call: Call | None = None
    try:
        call = Call(line, request, await ready())
        answer = await _served(call, handler)
    except Unauthenticated as unknown:
        log.info("%s: 401 %s", line.name, unknown.reason_code)
        answer = _unauthenticated(unknown)
    except Refused as refused:
        answer = await _refusal(call, refused)
    except Retryable as fault:
        log.warning("%s: 503 %s", line.name, type(fault).__name__)
        answer = await _refusal(call, _busy(), retry_after=fault.retry_after_seconds or 1)
    except Exception:
        log.exception("%s: 500, request %s", line.name, request_id)
        answer = await _refusal(call, _internal(request_id))
    return _response(answer, request, request_id)


async def _served(call: Call, handler: Handler) -> Answer:
    await _admit(call)
    if call.operation.max_bytes > ONE_MIB:
        if _LARGE_BODIES.locked():  # a few large bodies at once fill the memory of an instance
            message = "two large bodies are being taken in already"
            raise Retryable(message, retry_after_seconds=2)
        async with _LARGE_BODIES:
            return await _answered(call, handler)
    return await _answered(call, handler)


_LARGE_BODIES = asyncio.Semaphore(2)


async def _answered(call: Call, handler: Handler) -> Answer:
    if call.operation.keyed and not call.operation.key_kept_by_handler and (keyed := call.keyed()) is not None:
        return await _answered_once(call, handler, keyed)
    try:
        return await handler(call)
    except Repeated as repeated:
        return _first_answer(call, repeated.answered)
    except Refused as refused:
        if (
            refused.code in ("InvalidState", "PreconditionFailed", "ItemNotInClaim")
            and (first := await _answered_before(call)) is not None
        ):
            return _first_answer(call, first)
        raise


async def _answered_once(call: Call, handler: Handler, keyed: Keyed) -> Answer:
    """Answer a request that is about no claim; its repetition gets the same bytes and headers."""

    async def run() -> KeptAnswer:
        answer = await handler(call)
        return KeptAnswer(answer.status, _body(answer), answer.media_type, answer.headers)

    kept = await once(call.ports, keyed, await call.now(), run)
    return Answer(kept.status, kept.body, kept.media_type, {**kept.headers, "Repeatability-Result": "accepted"})


async def _admit(call: Call) -> None:
    """Judge identity, rate, version and role, in that order (rulings 3)."""
    line = call.operation
    if line.roles is not None:
        call.caller = await call.services.tokens.verify(call.headers.get("authorization"))
        if line.is_throttled and not call.services.throttle.admits(call.caller.tenant_id, time.monotonic()):
            raise Refused(
                "TooManyRequests",
                "Your organisation writes faster than one instance takes.",
                resolution="Wait as Retry-After says.",
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
    if line.roles is not None and call.caller is not None and not line.roles & call.caller.roles:
        raise role_required(line.roles)


async def _answered_before(call: Call) -> Answered | None:
    """Return the first answer when the act was refused because the same request has done it before."""
    try:
        keyed = call.keyed()
    except Refused:
        return None  # a body or key that can't be read has never been answered
    return await call.ports.claims.answered(call.claim_id, keyed.key) if keyed is not None and call.claim_id else None


def _first_answer(call: Call, answered: Answered) -> Answer:
    keyed = call.keyed()
    if keyed is None or keyed.body != answered.body:
        raise key_reused()
    status = next(iter(call.operation.answers))
    headers = {"Repeatability-Result": "accepted"}
    if answered.etag is not None and call.operation.etag:
        headers["ETag"] = answered.etag
    if call.operation.location:
        headers["Location"] = call.url(f"claims/{json.loads(answered.answer)['id']}")
    return Answer(status, answered.answer.encode(), headers=headers)


def _unauthenticated(unknown: Unauthenticated) -> Answer:
    challenge = "Bearer"  # RFC 6750, 3: who sent no token is told no error
    if unknown.reason_code != "TokenMissing":
        challenge += f' error="invalid_token", error_description="{unknown.description}"'
    refused = Refused("Unauthenticated", unknown.description, resolution="Send a valid bearer token.")
    return Answer(401, envelope(refused), headers={"WWW-Authenticate": challenge, "x-ms-error-code": refused.code})


def _busy() -> Refused:
    return Refused("ServerBusy", "A part of the service is busy.", resolution="Send the same request again later.")


def _internal(request_id: str) -> Refused:
    return Refused(
        "InternalError",
        f"Something went wrong inside; the request's id is {request_id}.",
        resolution="Send the request again; if it fails again, tell the programme this id.",
    )


async def _refusal(call: Call | None, refused: Refused, retry_after: int | None = None) -> Answer:
    status = int(STATUSES[refused.code])
    headers = {"x-ms-error-code": refused.code}
    retry_after = refused.retry_after_seconds or retry_after
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if call is not None and call.operation.in_words and not wants_json(call.headers):
        page = call.services.pages.refusal(
            refused.code,
            accepted=call.headers.get("accept-language"),
            chosen=call.request.params.get("lang"),
            back=call.back,
        )
        headers["Content-Security-Policy"] = call.services.pages.csp()
        return Answer(status, page.encode(), "text/html", headers)
    return Answer(status, envelope(refused), headers=headers)


def refuse(
    refused: Refused, request: func.HttpRequest, context: func.Context, headers: Mapping[str, str]
) -> func.HttpResponse:
    """Return the envelope for a request that no operation answers."""
    given = {"x-ms-error-code": refused.code, **headers}
    answer = Answer(int(STATUSES[refused.code]), envelope(refused), headers=given)
    return _response(answer, request, context.invocation_id)


def envelope(refused: Refused) -> dict[str, JsonValue]:
    """Return the error object of `api.md`."""
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
    return {"error": error}


def wants_json(headers: Mapping[str, str]) -> bool:
    """Whether the caller prefers JSON to a page."""
    accept = headers.get("accept", "").lower()
    return JSON in accept and "text/html" not in accept


def _body(answer: Answer) -> bytes:
    match answer.body:
        case BaseModel() as model:
            return model.model_dump_json(by_alias=True).encode()
        case bytes() as raw:
            return raw
        case None if answer.status in (204, 303, 304):
            return b""
        case value:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _response(answer: Answer, request: func.HttpRequest, request_id: str) -> func.HttpResponse:
    headers = {**SECURITY_HEADERS, **answer.headers, "x-ms-request-id": request_id}
    client_id = request.headers.get("x-ms-client-request-id")
    if client_id is not None and re.fullmatch(r"[\x21-\x7e]{1,100}", client_id):
        headers["x-ms-client-request-id"] = client_id
    return func.HttpResponse(body=_body(answer), status_code=answer.status, headers=headers, mimetype=answer.media_type)
