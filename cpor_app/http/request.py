"""One request on its way through the mechanism, as a handler meets it."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote, urlencode

import azure.functions as func
from pydantic import BaseModel, JsonValue, ValidationError

from cpor_app.bootstrap import Services
from cpor_app.http import queries
from cpor_app.http.parsing import BeyondForm, Model, Nothing, Paging, length_required, read, verify_http_date
from cpor_app.http.route_table import PARTNER_ADMIN, Answer, Operation
from cpor_core.errors import Refused
from cpor_core.model.caller import Caller, CallerKind, Role
from cpor_core.model.claim import Status
from cpor_core.model.history import Actor, ActorKind
from cpor_core.ports.claims import Comment
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.rules.forms import not_in_form
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import ActContext, find, verify_match
from cpor_core.use_cases.claims.customer_decision import Opened
from cpor_core.views import ClaimView, claim_view


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
        self.standing: Opened | None = None
        """The request as it stands when a customer's act on it was refused."""
        self.arrival: str | None = None
        """The signed instant of arrival of a no that could not be written; it comes back with the same no."""
        self.unsent: Mapping[str, str] = {}
        """The fields of the form that sends that no again."""
        self.estimate = services.clock.estimate()
        """When the request came in, where the clock can't be read either."""
        self._began = services.clock.real()
        self._now: datetime | None = None
        self._body: bytes | None = None

    # --- who and when -----------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        """Return the instant at which this request came in, by the service's clock; reading may take long."""
        if self._now is None:
            read = await self.ports.now()
            self._now = read - (self.ports.real_now() - self._began)
        return self._now

    @property
    def came_in(self) -> datetime | None:
        """When the request came in, as far as that is known."""
        return self._now or self.estimate

    @property
    def organisation(self) -> str:
        """The caller's Entra tenant."""
        return self._known_caller.tenant_id

    @property
    def _known_caller(self) -> Caller:
        assert self.caller is not None  # noqa: S101 - `_admit` sets it before any handler with roles runs
        return self.caller

    @property
    def person_id(self) -> str:
        """The caller's `oid`."""
        return self._known_caller.object_id

    @property
    def kind(self) -> CallerKind:
        """Whether a person or a client calls."""
        return self._known_caller.kind

    def actor(self) -> Actor:
        """Return who the caller is in the history."""
        return Actor(kind=ActorKind(self.kind.value), id=self.person_id)

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
        empty = {name: value for name, value in queries.sent(self.request.url) if not value}
        return {**empty, **self.request.params}

    def query(self, model: type[Model]) -> Model:
        """Return the query's parameters; `queries.verify` has judged their names. Raises `ValidationFailed`."""
        try:
            return model.model_validate(dict(self.params))
        except ValidationError as error:
            raise not_in_form(error, "query") from None

    @property
    def claim_id(self) -> str:
        """The claim of the address; an association and a customer's request have their claim's id."""
        names = ("claimId", "associationId", "requestId")
        return next((self.path(name).lower() for name in names if self.path(name)), "")

    async def own_case(self, exists: Callable[[Case], object] | None = None) -> Case:
        """
        Return the claim of the address, if it is the caller's organisation's; another's is not found.

        *exists* raises `NotFound` where the address is of something that the claim has not: it goes before If-Match.
        """
        case = await find(self.ports, self.claim_id, await self.now())
        if case is None or case.claim.organisation != self.organisation:
            raise not_found("claim")
        if exists is not None:
            exists(case)
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
            verify_match(case, if_match, self.path("fileName"))
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
            raise length_required()
        body = self.request.get_body() or b""
        if not body and length is None and self.operation.body_needed:
            raise length_required()
        if len(body) > self.operation.max_bytes:
            raise self._too_large()
        if body or self.operation.body_needed:
            self.require_type(*self.operation.body_types)
        self._body = body
        return body

    def _too_large(self) -> Refused:
        line = self.operation
        if line.body is bytes:
            message, resolution = (
                f"A file may have {line.size_in_words}.",
                "Compress the file, or split it into several.",
            )
        else:
            message = f"The body may have {line.size_in_words}."
            resolution = "Send fewer or shorter fields." if line.takes_json else "Send it in several requests."
        return Refused("PayloadTooLarge", message, target="body", resolution=resolution)

    def require_type(self, *media_types: str) -> None:
        """Raise `UnsupportedMediaType` unless the body is of one of these; of none named, any will do."""
        if media_types and self.media_type not in media_types:
            raise Refused(
                "UnsupportedMediaType",
                f"The body must be {' or '.join(media_types)}.",
                target="Content-Type",
                resolution="Send the body in that form, with its Content-Type.",
            )

    def nothing(self) -> None:
        """Take a body that has nothing to say. Raises as `bytes` and `read`."""
        sent = self.bytes()
        if sent.strip():
            read(Nothing, sent)

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def body(self, model: type[Model], beyond_form: BeyondForm | None = None) -> Model:
        """Return the body as *model*, an empty one that is not needed as its defaults. Raises as `bytes` and `read`."""
        body = self.bytes()
        return read(model, body if body or self.operation.body_needed else b"{}", beyond_form)

    # --- acting -----------------------------------------------------------------------------------------------------

    def act_context(
        self,
        *,
        comment: str | None = None,
        author: str = "partner",
        at: datetime | None = None,
        answers: Callable[[Case, Terms], BaseModel] = claim_view,
    ) -> ActContext:
        """Return what comes with the act: who, under which key, with which words."""
        return ActContext(
            person_id=self.person_id,
            idempotency_key=self.idempotency_key(),
            if_match=self.if_match,
            file_name=self.path("fileName"),
            comment=Comment(author, self.person_id, comment, at) if comment and at is not None else None,
            answers=answers,
        )

    def idempotency_key(self) -> IdempotencyKey | None:
        """Return the caller's idempotency key and what it is used for, both hashed. Raises `ValidationFailed`."""
        alias = self.headers.get("repeatability-request-id")
        given = self.headers.get("idempotency-key", alias)
        if given is None or not self.operation.keyed:
            return None
        if re.fullmatch(r"[\x21-\x7e]{1,255}", given) is None or alias not in (None, given):
            raise Refused(
                "ValidationFailed",
                "An idempotency key has 1 to 255 printable characters, the same under both names of the header.",
                target="Idempotency-Key",
                resolution="Use a GUID.",
            )
        first_sent = self.headers.get("repeatability-first-sent")
        if first_sent is not None:
            verify_http_date(first_sent)
        asked = {name: value for name, value in self.params.items() if name != "api-version"}
        what = json.dumps([self.operation.name, dict(self.request.route_params), asked], sort_keys=True)
        return IdempotencyKey(
            hash=hashlib.sha256(f"{self.organisation}|{given}".encode()).hexdigest(),
            body=hashlib.sha256(what.encode() + self.bytes()).hexdigest(),
            organisation=self.organisation,
        )

    async def claim(self, case: Case, status: int = 200) -> Answer:
        """Answer with the claim as it stands now."""
        return self.view(claim_view(case, await self.ports.current_terms()), status)

    def view(self, view: ClaimView, status: int = 200) -> Answer:
        """Answer with a claim that is made already."""
        headers = {"ETag": view.etag, **self.repeatability()}
        if status == 201:  # noqa: PLR2004 - created
            headers["Location"] = self.url(f"claims/{view.id}")
        return Answer(status, view, headers=headers)

    def repeatability(self) -> dict[str, str]:
        """Return the header that says an idempotency key was taken."""
        return {"Repeatability-Result": "accepted"} if self.idempotency_key() is not None else {}

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


def role_required(roles: frozenset[Role]) -> Refused:
    """Return the refusal that names the roles which open an operation."""
    return Refused(
        "RoleRequired",
        f"This needs the role {' or '.join(sorted(role.value for role in roles))}.",
        resolution="Ask your administrator for the role.",
    )


def admins_only_but_in_drafts(call: Call, case: Case) -> None:
    """Raise `RoleRequired` for a user without the administrator's role, but for a draft (rulings 2)."""
    if case.claim.status is not Status.DRAFT:
        call.require(PARTNER_ADMIN)


def not_found(what: str) -> Refused:
    """Return the refusal for what is not there, or is somebody else's."""
    return Refused("NotFound", f"There is no such {what}.", resolution="Check the id; the lists name what is yours.")
