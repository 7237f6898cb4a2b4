"""The HTTP request that a handler gets."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote, urlencode

import azure.functions as func
from pydantic import BaseModel, JsonValue, ValidationError

from cpor_app.bootstrap import Services
from cpor_app.http import queries
from cpor_app.http.parsing import BeyondForm, Model, Nothing, Paging, length_required, read, verify_http_date
from cpor_app.http.route_table import PARTNER_ADMIN, PROGRAMME, Answer, Operation
from cpor_core.errors import Refused
from cpor_core.model.caller import Caller, CallerKind, Role
from cpor_core.model.claim import Status
from cpor_core.model.history import Actor, ActorKind
from cpor_core.ports.claims import Comment
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.rules.input_faults import not_in_form
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import ActContext, find, verify_match
from cpor_core.use_cases.claims.customer_acts import Opened
from cpor_core.views import ClaimView, entity_tag, own_claim_view, own_entity_tag


class PersonalData(StrEnum):
    """The kinds of personal data that answers to reviewers and operators have, for the log."""

    CONTACTS = "contacts"
    """A whole claim: the people, and all texts that the partner wrote."""
    COMMENTS = "comments"
    EVIDENCE = "evidence"
    MAILS = "mails"
    """The recipients of mails."""
    NOTICE_ADDRESSES = "noticeAddresses"


class Call:
    """One request. It has the caller, the operation and the services, and reads address, query and body."""

    def __init__(self, operation: Operation, request: func.HttpRequest, services: Services) -> None:
        """Keep the request. `server` verifies it later."""
        self.operation = operation
        self.request = request
        self.services = services
        self.ports = services.ports
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in request.headers.items()}
        self.params: Mapping[str, str] = queries.joined(request.url)
        self.caller: Caller | None = None
        self.back: str | None = None
        """The address of the customer's page. A page that shows a refusal links back to it."""
        self.refused_request: Opened | None = None
        """The customer's request after a refused act. The page with the refusal says who has declined the request."""
        self.arrival: str | None = None
        """The signed arrival of a no that could not be stored. The caller sends it again with the no."""
        self.unsent: Mapping[str, str] = {}
        """The fields of the form that sends this no again."""
        self.shown: tuple[PersonalData, Sequence[str]] | None = None
        """The personal data in the answer, and the claims or tenants to which it belongs (see `shows`)."""
        self.estimate = services.clock.estimate()
        """The instant of arrival, known without storage; used if storage does not answer. None if it is unknown."""
        self._began = services.clock.real()
        self._now: datetime | None = None
        self._body: bytes | None = None

    # --- who and when -----------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        """Return the instant at which this request came in, by the service's clock."""
        if self._now is None:
            read = await self.ports.now()
            self._now = read - (self.ports.real_now() - self._began)  # minus the time since the request came in
        return self._now

    @property
    def came_in(self) -> datetime | None:
        """The instant at which the request came in: exact, else estimated. None if there is no estimate yet."""
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
        """Whether the caller is a person or a client."""
        return self._known_caller.kind

    def actor(self) -> Actor:
        """Return the caller in the form of the history."""
        return Actor(kind=ActorKind(self.kind.value), id=self.person_id)

    @property
    def roles(self) -> frozenset[Role]:
        """The caller's roles that count."""
        return self._known_caller.roles

    def require(self, roles: frozenset[Role]) -> None:
        """Raise `RoleRequired` unless the caller has one of *roles*. In some states an act needs a higher role."""
        if not roles & self.roles:
            raise role_required(roles)

    def shows(self, data: PersonalData, about: Iterable[str]) -> None:
        """
        Note that the answer has personal data of these claims or tenants. `server` logs it once (decision 52).

        Only answers to reviewers and operators are logged. A refusal is not logged, and neither is an empty list.
        """
        ids = tuple(dict.fromkeys(about))
        if ids and self.roles & PROGRAMME:
            self.shown = data, ids

    # --- the address and the query ----------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """Return a parameter of the route, or an empty text if the route has none of this name."""
        return str(self.request.route_params.get(name) or "")

    def query(self, model: type[Model]) -> Model:
        """Return the query as *model*. `queries.verify` has checked the names already. Raises `ValidationFailed`."""
        try:
            return model.model_validate(dict(self.params))
        except ValidationError as error:
            raise not_in_form(error, "query") from None

    @property
    def claim_id(self) -> str:
        """The id of the claim in the address. An association and a customer's request have their claim's id."""
        names = ("claimId", "associationId", "requestId")
        return next((self.path(name).lower() for name in names if self.path(name)), "")

    async def own_case(self, exists: Callable[[Case], object] | None = None) -> Case:
        """
        Return the claim that the address names. Raises `NotFound` unless the caller's organisation owns such a claim.

        *exists* is called before If-Match is compared. It raises `NotFound` if the claim lacks the part that the
        address names, for example an association.
        """
        case = await find(self.ports, self.claim_id, await self.now())
        if case is None or case.claim.organisation != self.organisation:
            raise not_found("claim")
        if exists is not None:
            exists(case)
        return await self._matched(case, own_entity_tag)

    async def any_case(self) -> Case:
        """Return the claim that the address names, of any organisation. Only the programme's operations call this."""
        case = await find(self.ports, self.claim_id, await self.now())
        if case is None:
            raise not_found("claim")
        return await self._matched(case, entity_tag)

    async def _matched(self, case: Case, tag: Callable[[Case], str]) -> Case:
        if_match = self.if_match
        if self.operation.if_match == "required" and if_match is None:
            raise Refused(
                "PreconditionRequired",
                "This request needs If-Match.",
                target="If-Match",
                resolution="Send the ETag that you read, so that you overwrite no other change.",
            )
        if if_match is not None and self.request.method not in ("GET", "HEAD"):
            verify_match(case, if_match, self.path("fileName"), tag=tag)
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
                f"A file can have at most {line.size_in_words}.",
                "Compress the file, or split it into several.",
            )
        else:
            message = f"The body can have at most {line.size_in_words}."
            resolution = "Send fewer or shorter fields." if line.takes_json else "Send it in several requests."
        return Refused("PayloadTooLarge", message, target="body", resolution=resolution)

    def accepts(self, media_type: str) -> bool:
        """Whether the caller's Accept has this media type. An answer in several media types is JSON without it."""
        return media_type in self.headers.get("accept", "").lower()

    def require_type(self, *media_types: str) -> None:
        """Raise `UnsupportedMediaType` unless the body has one of *media_types*. An empty list accepts every type."""
        if media_types and self.media_type not in media_types:
            raise Refused(
                "UnsupportedMediaType",
                f"The body must be {' or '.join(media_types)}.",
                target="Content-Type",
                resolution="Send the body in that form, with its Content-Type.",
            )

    def verify_no_fields(self) -> None:
        """Verify that the body is empty, or a JSON object without fields. Raises the errors of `bytes` and `read`."""
        sent = self.bytes()
        if sent.strip():
            read(Nothing, sent)

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def body(self, model: type[Model], beyond_form: BeyondForm | None = None) -> Model:
        """
        Return the body as *model*. If an optional body is empty, the model's defaults count.

        Raises the errors of `bytes` and `read`.
        """
        body = self.bytes()
        return read(model, body if body or self.operation.body_needed else b"{}", beyond_form)

    # --- acting -----------------------------------------------------------------------------------------------------

    def act_context(
        self,
        *,
        comment: str | None = None,
        author: str = "partner",
        at: datetime | None = None,
        answers: Callable[[Case, Terms], BaseModel] = own_claim_view,
    ) -> ActContext:
        """Return the facts of the request that an act needs: person, idempotency key, If-Match and comment."""
        return ActContext(
            person_id=self.person_id,
            idempotency_key=self.idempotency_key(),
            if_match=self.if_match,
            file_name=self.path("fileName"),
            comment=Comment(author, self.person_id, comment, at) if comment and at is not None else None,
            tag=own_entity_tag if author == "partner" else entity_tag,
            answers=answers,
        )

    def idempotency_key(self) -> IdempotencyKey | None:
        """Return the idempotency key with a hash of the request, or None without a key. Raises `ValidationFailed`."""
        alias = self.headers.get("repeatability-request-id")
        given = self.headers.get("idempotency-key", alias)
        if given is None or not self.operation.keyed:
            return None
        if re.fullmatch(r"[\x21-\x7e]{1,255}", given) is None or alias not in (None, given):
            raise Refused(
                "ValidationFailed",
                "An idempotency key has 1 to 255 printable characters. If both headers are sent, they must be equal.",
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
        """Answer its partner with the claim in its present state."""
        return self.view(own_claim_view(case, await self.ports.current_terms()), status)

    def view(self, view: ClaimView, status: int = 200) -> Answer:
        """Answer with *view* and its ETag. For a new claim (201) also give the address."""
        headers = {"ETag": view.etag, **self.repeatability()}
        if status == 201:  # noqa: PLR2004 - created
            headers["Location"] = self.url(f"claims/{view.id}")
        return Answer(status, view, headers=headers)

    def repeatability(self) -> dict[str, str]:
        """Return the header that confirms the idempotency key, if the request has one."""
        return {"Repeatability-Result": "accepted"} if self.idempotency_key() is not None else {}

    def url(self, path: str) -> str:
        """Return the public address of *path*. Its host comes from the settings, never from a header (decision 26)."""
        return f"{self.services.settings.public_url}/{path}"

    # --- lists ------------------------------------------------------------------------------------------------------

    def page(self, filters: Mapping[str, str | None] | None = None) -> tuple[str, int]:
        """
        Return the position after which the page begins, and the page's length.

        Raises `ValidationFailed`, `InvalidCursor`.
        """
        paging = self.query(Paging)
        after = ""
        if paging.cursor is not None:
            after = str(self.services.links.read_cursor(self._list_kind(filters), paging.cursor)["after"])
        return after, paging.maxpagesize

    def listed(
        self, values: Sequence[BaseModel], position: str | None, filters: Mapping[str, str | None] | None = None
    ) -> Answer:
        """Answer with a page of a list, and the link to the next page."""
        body: dict[str, JsonValue] = {"value": [value.model_dump(mode="json", by_alias=True) for value in values]}
        if position is not None:
            body["nextLink"] = self.next_link(position, filters)
        return Answer(200, body)

    def next_link(self, position: str, filters: Mapping[str, str | None] | None = None) -> str:
        """Return the address of the next page."""
        parameters = {name: value for name, value in (filters or {}).items() if value is not None}
        for name in ("maxpagesize", "api-version"):
            if name in self.params:
                parameters[name] = self.params[name]
        parameters["cursor"] = self.cursor(position, filters)
        return self.url(f"{self._address()}?{urlencode(parameters)}")

    def cursor(self, position: str, filters: Mapping[str, str | None] | None = None) -> str:
        """Return a signed cursor for the page after *position*."""
        return self.services.links.cursor(self._list_kind(filters), {"after": position})

    def _list_kind(self, filters: Mapping[str, str | None] | None) -> str:
        """Return address, organisation and filters of a list. They are signed with its cursors, which fit no other."""
        filter_values = {name: value for name, value in (filters or {}).items() if value is not None}
        return json.dumps(
            [self._address(), self.caller.tenant_id if self.caller else "", filter_values], sort_keys=True
        )

    def _address(self) -> str:
        return re.sub(r"\{(\w+)(:[^}]*)?\}", lambda part: quote(self.path(part[1]), safe=""), self.operation.route)


def role_required(roles: frozenset[Role]) -> Refused:
    """Return the refusal that names the needed roles."""
    return Refused(
        "RoleRequired",
        f"This call needs {'one of the roles' if len(roles) > 1 else 'the role'} {', '.join(sorted(roles))}.",
        resolution="Ask your administrator for the role. GET /me shows the roles that you have.",
    )


def require_admin_unless_draft(call: Call, case: Case) -> None:
    """Raise `RoleRequired` unless the claim is a draft or the caller is a partner administrator (decision 2)."""
    if case.claim.status is not Status.DRAFT:
        call.require(PARTNER_ADMIN)


def not_found(what: str) -> Refused:
    """Return the refusal for a thing that does not exist, or that belongs to another organisation."""
    return Refused(
        "NotFound", f"There is no such {what}.", resolution="Check the id. The lists show everything that you can read."
    )
