"""Describes one line of the table of operations in OpenAPI."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from openapi_pydantic import Link, MediaType, Parameter, Reference, RequestBody, Response
from openapi_pydantic import Operation as Described

from cpor_app.http import queries
from cpor_app.http.route_table import JSON, Operation
from cpor_app.http.status_codes import STATUSES
from cpor_app.triggers.claims import Verdict
from tools.openapi.examples import example
from tools.openapi.schemas import Models, has_a_form
from tools.openapi.words import PATH_PARAMETERS, PHRASES, SCHEMAS, Json

JSON_LINES: Final = "application/x-ndjson"


def operation(line: Operation, schemas: Models, lines: Sequence[Operation]) -> Described:
    """Return the description of an operation; *lines* are all operations, to which its links can lead."""
    return Described.model_validate(
        {
            "operationId": line.name,
            "tags": [line.tag],
            "summary": line.summary,
            "description": _description(line),
            "parameters": [*_path_parameters(line), *_query_parameters(line, schemas), *_header_parameters(line)],
            "requestBody": _request_body(line, schemas) if line.body is not None else None,
            "responses": _responses(line, schemas, lines),
            "security": _security(line),
        }
    )


def head(line: Operation, schemas: Models) -> Described:
    """Return the description of HEAD for an operation that people open in a browser."""
    made = operation(line, schemas, ())
    made.operationId = f"{line.name}_head"
    made.summary = f"{line.summary}: headers only"
    for response in (made.responses or {}).values():
        if isinstance(response, Response):
            response.content = None
    return made


def _security(line: Operation) -> Sequence[dict[str, list[str]]]:
    """Return an alternative for each role. Empty without a token."""
    if line.roles is None:
        return []
    return [{"bearer": [role.value]} for role in sorted(line.roles)] or [{"bearer": []}]


def _description(line: Operation) -> str:
    parts = [line.description]
    if line.roles:
        parts.append("Roles: " + ", ".join(f"`{role.value}`" for role in sorted(line.roles)) + ".")
    return "\n\n".join(parts)


def _path_parameters(line: Operation) -> Iterator[Parameter]:
    for name in re.findall(r"\{(\w+)\}", line.route):
        known = {"schema": {"type": "string"}, **PATH_PARAMETERS.get(name, {})}
        yield Parameter.model_validate({**known, "name": name, "in": "path", "required": True})


def _query_parameters(line: Operation, schemas: Models) -> Iterator[Parameter | Reference]:
    for model in queries.models(line):
        yield from schemas.parameters(model)
    yield _reference("parameters", "ApiVersion")


def _header_parameters(line: Operation) -> Iterator[Reference]:
    yield _reference("parameters", "ClientRequestId")
    if line.in_words:
        yield _reference("parameters", "AcceptLanguage")
    if line.if_match is not None:
        yield _reference("parameters", "IfMatchNeeded" if line.if_match == "required" else "IfMatch")
    if "NotRecordedYet" in line.refusals and not line.in_words:
        yield _reference("parameters", "Arrival")
    if line.keyed:
        for name in ("IdempotencyKey", "RepeatabilityRequestId", "RepeatabilityFirstSent"):
            yield _reference("parameters", name)


def _request_body(line: Operation, schemas: Models) -> RequestBody:
    return RequestBody(
        description=f"At most {line.size_in_words}.",
        required=line.body_needed,
        content={kind: _taken(line, kind, schemas) for kind in line.body_types or ("*/*",)},
    )


def _taken(line: Operation, kind: str, schemas: Models) -> MediaType:
    body = line.taken(kind)
    if body is not str and not has_a_form(body):
        return MediaType()  # the body is bytes of any kind
    schema = {"type": "string"} if body is str else schemas.taken(body)
    if line.method == "PATCH":
        schema = {**schemas.patch(schema), "type": "object"}
    if kind == JSON_LINES:
        schema = _lines(schema)
    return MediaType.model_validate({"schema": schema, "example": example(line.name, kind)})


def _lines(schema: Json) -> Json:
    """Return the schema of a text whose lines have *schema*."""
    return {"type": "string", "description": "Each line is one JSON document.", "contentSchema": schema}


# --- the answers of an operation --------------------------------------------------------------------------------------


def _responses(line: Operation, schemas: Models, lines: Sequence[Operation]) -> dict[str, Response | Reference]:
    codes = _codes(line)
    made: dict[str, Response | Reference] = {}
    for status in sorted({*line.answers, *codes}):
        refused = codes.get(status, [])
        if status in line.answers:
            made[str(status)] = _answer(line, status, schemas, lines, refused)
        elif len(refused) == 1:
            made[str(status)] = _reference("responses", name_alone(refused[0], line.in_words))
        else:
            made[str(status)] = refusal(refused, in_words=line.in_words)
    return made


def _codes(line: Operation) -> Mapping[int, Sequence[str]]:
    """Return the codes of an operation by status."""
    codes: dict[int, list[str]] = {}
    for code in line.codes:
        codes.setdefault(int(STATUSES[code]), []).append(code)
    return codes


def alone(lines: Iterable[Operation]) -> set[tuple[str, bool]]:
    """
    Return each code that is the only code of its status in some operation.

    The second value says whether that operation refuses with a page.
    """
    return {
        (codes[0], line.in_words)
        for line in lines
        for status, codes in _codes(line).items()
        if len(codes) == 1 and status not in line.answers
    }


def name_alone(code: str, in_words: bool) -> str:  # noqa: FBT001 - one of two kinds of the same answer
    """Return the name of the shared answer that has only this code."""
    return f"{code}InWords" if in_words else code


def _answer(
    line: Operation, status: int, schemas: Models, lines: Sequence[Operation], refused: Sequence[str]
) -> Response:
    answer = line.answers[status]
    by_type: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {JSON: answer}
    content = (
        {kind: _media(kind, model, schemas, refused) for kind, model in by_type.items()} if answer is not None else None
    )
    made = status in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED) and line.roles is not None
    links = _links(line, lines) if made and (line.location or status == HTTPStatus.ACCEPTED) else None
    return Response(
        description=_phrase(status, refused),
        headers=dict(_headers(line, status)),
        content=content or None,
        links=links or None,
    )


def _media(kind: str, model: Any, schemas: Models, refused: Sequence[str]) -> MediaType:
    if model is bytes:
        return MediaType()
    schema = schemas.sent(model)
    if kind == JSON_LINES:
        schema = _lines(schema)
    if refused:
        schema = {"oneOf": [schema, _error(refused)]}
    return MediaType.model_validate({"schema": schema})


def _headers(line: Operation, status: int) -> Iterator[tuple[str, Reference]]:
    yield from _every_answers_headers()
    answer = line.answers[status]
    if line.etag and answer is not Verdict:
        dry = isinstance(answer, tuple) and Verdict in answer
        yield "ETag", _reference("headers", "ETagUnlessDryRun" if dry else "ETag")
    if line.location and status in (HTTPStatus.CREATED, HTTPStatus.SEE_OTHER):
        yield "Location", _reference("headers", "Location")
    if status == HTTPStatus.ACCEPTED:
        yield "Operation-Location", _reference("headers", "OperationLocation")
    if line.keyed and answer is not Verdict:
        yield "Repeatability-Result", _reference("headers", "RepeatabilityResult")
    if line.paged and isinstance(answer, Mapping):
        yield "Link", _reference("headers", "Link")
        yield "Cpor-As-Of", _reference("headers", "AsOf")
        yield "Cpor-Complete-To", _reference("headers", "CompleteTo")
    if isinstance(answer, Mapping) and set(answer.values()) == {bytes}:
        yield "Content-Disposition", _reference("headers", "ContentDisposition")


def _every_answers_headers() -> Iterator[tuple[str, Reference]]:
    yield "x-ms-request-id", _reference("headers", "RequestId")
    yield "x-ms-client-request-id", _reference("headers", "ClientRequestId")


def _links(line: Operation, lines: Sequence[Operation]) -> dict[str, Link | Reference]:
    """Return links to the operations on the new entry. A link says where request and answer have the parameters."""
    places = {name: f"$request.path.{name}" for name in _parameters(line.route)}
    if line.method == "POST":
        places |= {
            name: "$response.body#/id"
            for other in lines
            for name in _parameters(other.route)
            if other.route == f"{line.route}/{{{name}}}"
        }
        if "claimId" in places:
            places |= {"associationId": "$response.body#/id", "tenantId": "$response.body#/customer/tenantId"}
    about = set(places) - {"tenantId"} or set(places)
    return {
        other.name: Link(operationId=other.name, parameters=_given(line, other, places))
        for other in lines
        if (wanted := _parameters(other.route)) & about
        and wanted <= set(places)
        and (line.method == "POST" or (other is not line and wanted == set(places)))
    }


def _given(line: Operation, other: Operation, places: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a link. An operation that needs the version gets the ETag of the answer."""
    tag = {"header.If-Match": "$response.header.ETag"} if line.etag and other.if_match == "required" else {}
    return {name: places[name] for name in sorted(_parameters(other.route))} | tag


def _parameters(route: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", route))


PASSES = {"RequestInProgress", "FiguresNotYet"}
"""Conflicts that end by themselves. Their refusals always say when."""
MAY_PASS = PASSES | {"CustomerNotTold"}
"""The conflicts of `PASSES`, and one that ends by itself only while a mail is on its way."""


def refusal(codes: Sequence[str], *, in_words: bool = False) -> Response:
    """Return the answer that refuses with one of *codes*. All these codes have the same status."""
    status = int(STATUSES[codes[0]])
    headers = dict([*_every_answers_headers(), ("x-ms-error-code", _reference("headers", "ErrorCode"))])
    match status:
        case HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = _reference("headers", "WwwAuthenticate")
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = _reference("headers", "RetryAfter")
        case HTTPStatus.CONFLICT if MAY_PASS & set(codes):
            all_pass = set(codes) <= PASSES
            headers["Retry-After"] = _reference("headers", "RetryAfter" if all_pass else "RetryAfterOfSome")
        case _:
            pass
    content = {JSON: MediaType.model_validate({"schema": _error(codes)})}
    if in_words:
        content["text/html"] = MediaType.model_validate({"schema": {"type": "string"}})
    return Response.model_validate(
        {"description": _phrase(status, codes), "headers": headers, "content": content},
    )


def _error(codes: Sequence[str]) -> Json:
    with_codes = {"properties": {"error": {"properties": {"code": {"enum": sorted(codes)}}}}}
    return {"allOf": [{"$ref": f"{SCHEMAS}Error"}, with_codes]}


def _phrase(status: int, codes: Sequence[str]) -> str:
    names = ", ".join(f"`{code}`" for code in sorted(codes))
    return f"{PHRASES[status]}: {names}" if names else PHRASES[status]


def _reference(kind: str, name: str) -> Reference:
    return Reference.model_validate({"$ref": f"#/components/{kind}/{name}"})
