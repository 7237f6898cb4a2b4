"""
`make openapi`: writes the description of the API, OpenAPI 3.1, from the table of operations.

The description lies in the repository and is served as a file, so that no run has to make it; a test keeps it equal to
what this makes.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

from openapi_pydantic import (
    Components,
    Header,
    Info,
    Link,
    MediaType,
    OpenAPI,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Response,
    Schema,
    SecurityScheme,
    Server,
    Tag,
)
from openapi_pydantic import Operation as Described
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

import function_app  # noqa: F401 - it loads every module that enters operations into the table
from cpor_app.triggers.claims import Verdict
from cpor_app.triggers.http import API_VERSION, JSON, OPERATIONS, Operation, Paging
from cpor_app.triggers.refusals import DETAIL_CODES, STATUSES

FILE: Final = Path(__file__).resolve().parents[1] / "cpor_app" / "openapi.json"
JSON_LINES: Final = "application/x-ndjson"
SCHEMAS: Final = "#/components/schemas/"

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

INTRODUCTION: Final = f"""\
A partner claims to be partner of record for what it helped a customer with, the customer may say no within five
business days, and an official association shows usage figures.

- **Identity**: a bearer token of Microsoft Entra ID on every call, but where `security` is empty. A role counts only
  where it belongs: `Program.*` and `Mail.Events` in the programme's tenant, `Incentives.*` for partnerIds of the
  token's tenant, `Customer.Admin` for the token's own. What belongs to another organisation is not found.
- **Version**: `api-version={API_VERSION}` in the query, or none for the newest.
- **Errors**: every refusal is an `Error`, with its code in `x-ms-error-code` too, and each operation lists its codes.
  An address that is not described here is 404 `NotFound`; a method that is not, 405 `MethodNotAllowed` with `Allow`.
  Refusals are judged in this order: 401, 429, 400 for the version, 403, 404, 428 and 412, 411, 413 and 415, 400 for the
  form of what was sent, 409, 400 for what it says.
- **Idempotency**: `Idempotency-Key` on the POSTs that list it. The same key and body within 48 hours get the first
  answer again; another body 422.
- **Concurrency**: `ETag`, and `If-Match` where it is listed.
- **Lists**: `value` and, while there is more, `nextLink`; a page may be short or empty and still have one.
- **Bodies**: JSON in UTF-8, with a `Content-Length`; unknown fields are refused.
- **Tracing**: every answer has `x-ms-request-id`; a request's `x-ms-client-request-id` is given back.
- **Headers of every answer**: `Cache-Control: no-store`, `Content-Security-Policy`, `Cross-Origin-Opener-Policy`,
  `Cross-Origin-Resource-Policy`, `Referrer-Policy`, `X-Content-Type-Options`, `X-Frame-Options`.
"""

TAGS: Final = {
    "Anyone": "What anybody may ask.",
    "Claims": "The partner's claims.",
    "Evidence": "The proof of execution: files that belong to a claim.",
    "Associations": "What a partner has: associations and their figures.",
    "Reviews": "The programme's reviewers.",
    "Customer": "The page behind a mailed link; JSON when asked for.",
    "Registry": "Partners and customers, as the operator registers them.",
    "Usage": "Usage figures come in.",
    "Operations": "What the operator looks after.",
    "Sandbox": "On a developer's machine only; elsewhere 404.",
}

PATH_PARAMETERS: Final[Mapping[str, Json]] = {
    "claimId": {"description": "The claim's id."},
    "associationId": {"description": "The association's id, which is its claim's."},
    "requestId": {"description": "The request's id, as it stands in the mailed link. It opens nothing by itself."},
    "engagementId": {"description": "The engagement's id.", "example": "modern-work-security-usage"},
    "fileName": {
        "description": "The file's name: none of / \\ : * ? \" < > | and no control characters.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "example": "statement of work.pdf",
    },
    "partnerId": {
        "description": "The number of a partner's location.",
        "schema": {"type": "string", "pattern": "^[0-9]{4,10}$"},
        "example": "4782913",
    },
    "tenantId": {
        "description": "The customer's Entra tenant.",
        "schema": {"type": "string", "format": "uuid"},
        "example": "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b",
    },
}

PARAMETERS: Final[Mapping[str, Json]] = {
    "ApiVersion": {
        "name": "api-version",
        "in": "query",
        "description": "Left out: the newest.",
        "schema": {"type": "string", "enum": [API_VERSION]},
    },
    "ClientRequestId": {
        "name": "x-ms-client-request-id",
        "in": "header",
        "description": "The caller's own id of the request; given back if it has 1 to 100 printable characters.",
        "schema": {"type": "string"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that was read, or `*`: do it only if nothing has changed since.",
        "schema": {"type": "string"},
    },
    "IfMatchNeeded": {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": "The ETag that was read, or `*`.",
        "schema": {"type": "string"},
        "example": "*",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names the request, so that it can be repeated; kept for 48 hours.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "2f1d4d0e-9f0c-4f0e-8f57-3d1f7f3ad0a1",
    },
    "RepeatabilityRequestId": {
        "name": "Repeatability-Request-ID",
        "in": "header",
        "description": "Another name of Idempotency-Key, which goes before it.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "RepeatabilityFirstSent": {
        "name": "Repeatability-First-Sent",
        "in": "header",
        "description": "An HTTP date; its form is checked, nothing else.",
        "schema": {"type": "string"},
        "example": "Mon, 02 Nov 2026 09:00:00 GMT",
    },
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "description": "The page's language where neither the query nor the customer says one.",
        "schema": {"type": "string"},
    },
}

HEADERS: Final[Mapping[str, Json]] = {
    "RequestId": {
        "required": True,
        "description": "Our id of the request: tell it when you ask about one.",
        "schema": {"type": "string"},
    },
    "ClientRequestId": {"description": "As it was sent.", "schema": {"type": "string"}},
    "ErrorCode": {
        "required": True,
        "description": "The code of the error.",
        "schema": {"$ref": f"{SCHEMAS}ErrorCode"},
    },
    "ETag": {
        "required": True,
        "description": "The version of what is answered, quotes included.",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
    },
    "ETagUnlessDryRun": {
        "description": "The version of the claim, quotes included; none on a dry run.",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
    },
    "Location": {
        "required": True,
        "description": "The absolute address of what was made, or of the page to go to.",
        "schema": {"type": "string", "format": "uri"},
    },
    "RepeatabilityResult": {
        "description": "There when the request had a key.",
        "schema": {"type": "string", "const": "accepted"},
    },
    "RetryAfter": {
        "required": True,
        "description": "Seconds to wait before the same request is sent again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "RetryAfterInProgress": {
        "description": "With RequestInProgress: seconds to wait before the same request is sent again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WwwAuthenticate": {
        "required": True,
        "description": "What is wrong with the token, after RFC 6750.",
        "schema": {"type": "string", "pattern": "^Bearer"},
    },
    "ContentDisposition": {
        "required": True,
        "description": "An attachment, under the file's name.",
        "schema": {"type": "string", "pattern": "^attachment;"},
    },
}

ERROR_SCHEMAS: Final[Mapping[str, Json]] = {
    "Error": {
        "description": "Why a request was refused, and what the caller can do about it.",
        "type": "object",
        "required": ["error"],
        "additionalProperties": False,
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "additionalProperties": False,
                "properties": {
                    "code": {"$ref": f"{SCHEMAS}ErrorCode"},
                    "message": {"type": "string"},
                    "target": {
                        "type": "string",
                        "description": "What it is about: a JSON path such as contacts.customer.email, or a header.",
                    },
                    "details": {"type": "array", "items": {"$ref": f"{SCHEMAS}ErrorDetail"}},
                    "resolution": {"type": "string", "description": "What the caller can do about it."},
                },
            }
        },
    },
    "ErrorDetail": {
        "description": "One of several reasons.",
        "type": "object",
        "required": ["code", "message"],
        "additionalProperties": False,
        "properties": {
            "code": {"$ref": f"{SCHEMAS}DetailCode"},
            "message": {"type": "string"},
            "target": {"type": "string"},
            "resolution": {"type": "string"},
        },
    },
    "ErrorCode": {
        "description": "Every code of an error. `MethodNotAllowed` is of no operation: it answers a method that the "
        "address has not.",
        "type": "string",
        "enum": sorted(STATUSES),
    },
    "DetailCode": {
        "description": "What is wrong with a field, and the checks at submission.",
        "type": "string",
        "enum": sorted(DETAIL_CODES),
    },
}

TENANT: Final = "6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"
SUBSCRIPTION: Final = "9a1f0c2e-3b4d-4e5f-8a6b-7c8d9e0f1a2b"
EXAMPLES: Final[Mapping[str, Any]] = {
    "create_claim": {
        "name": "Contoso Teams adoption",
        "partnerId": "4782913",
        "engagement": "modern-work-security-usage",
        "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
        "items": [{"workload": "teams"}, {"workload": "exchange"}],
        "contacts": {
            "customer": {"name": "Anne Durand", "title": "DSI", "email": "anne.durand@contoso.fr"},
            "customerTechnical": {"name": "Luc Martin", "email": "luc.martin@contoso.fr"},
            "partner": {"name": "Paul Petit", "email": "paul.petit@adatum.example"},
        },
        "comment": "The statement of work is attached.",
    },
    "patch_claim": {"name": "Contoso Teams and Exchange adoption", "comment": None},
    "submit_claim": {"acknowledgements": {"accurate": True, "customerAware": True}},
    "resubmit_claim": {"comment": "The acknowledgement is signed now."},
    "dispute_claim": {"justification": "The statement of work names the workload on page 3."},
    "withdraw_claim": {"comment": "The customer goes another way."},
    "add_comment": {"text": "The signed acknowledgement follows tomorrow."},
    "end_association": {"reason": "The project is over."},
    "start_review": {},
    "approve_claim": {"comment": "The evidence is clear."},
    "request_information": {"reasons": ["evidenceMissing"], "comment": "The statement of work has no signature."},
    "strike_items": {"items": [{"workload": "exchange"}], "comment": "The evidence is about Teams only."},
    "reject_claim": {"reason": "insufficientEvidence", "comment": "The statement of work names no workload."},
    "revoke_claim": {"reason": "Filed by mistake", "comment": "The customer's contact has never heard of it."},
    "add_review_comment": {"text": "Which workloads does the statement of work cover?"},
    "put_partner": {
        "name": "Adatum Conseil",
        "entraTenantId": "1d2c3b4a-5e6f-4a7b-8c9d-0e1f2a3b4c5d",
        "country": "FR",
        "timeZone": "Europe/Paris",
        "language": "fr",
        "enrolledEngagements": ["modern-work-security-usage"],
    },
    "put_customer": {
        "name": "Contoso France",
        "domains": ["contoso.fr"],
        "country": "FR",
        "subdivision": None,
        "timeZone": "Europe/Paris",
        "language": "fr",
        "noticeAddresses": [],
        "workloads": ["teams", "exchange"],
        "subscriptions": [
            {
                "subscriptionId": SUBSCRIPTION,
                "product": "dynamics-365-sales",
                "channel": "EA",
                "state": "active",
                "seats": 50,
            }
        ],
    },
    "import_associations": (
        f'{{"engagement": "osu-m365", "partnerId": "4782913", "tenantId": "{TENANT}", "item": "teams", '
        '"since": "2024-03-01"}\n'
    ),
    "load_usage": '{"month": "2026-11", "item": "teams", "activeUsers": 30, "availableSeats": 50}\n',
    "move_clock": {"advance": "P1D"},
}


class _Schemas(GenerateJsonSchema):
    """JSON schemas that say what we send and take: no titles, and of what we send, whether it is always there."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Name nothing twice."""
        del schema
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - as it is overridden
        """Return whether a field is always there: of what we send, all but those that are left out when empty."""
        if self.mode == "serialization" and field["type"] == "model-field":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        """Return the schema of a field: one that is left out when empty is never null."""
        made = super().model_field_schema(schema)
        if self.mode == "serialization" and "serialization_exclude_if" in schema:
            made = _without_null(made)
        return made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema; a default is told of what we take, and only if it is a value."""
        if self.mode == "serialization" or schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _without_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    others = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    match others:
        case []:
            return schema
        case [one]:
            return {**one, **rest}
        case _:
            return {**rest, "anyOf": others}


def described() -> OpenAPI:
    """Return the description of everything that is served."""
    lines = sorted(OPERATIONS, key=lambda line: (line.route, line.method))
    schemas = Models(lines)
    paths: dict[str, PathItem] = {}
    for line in lines:
        item = paths.setdefault(f"/{line.route}", PathItem())
        setattr(item, line.method.lower(), _operation(line, schemas, lines))
        if line.in_words and line.method == "GET":
            item.head = _head(line, schemas)
    return OpenAPI(
        openapi="3.1.1",
        info=Info(
            title="Claiming partner of record",
            summary="Partners claim, customers may say no, usage follows.",
            description=INTRODUCTION,
            version=API_VERSION,
        ),
        servers=[Server(url="/api", description="Relative to where this description lies.")],
        tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
        paths=paths,
        components=Components(
            schemas={name: _schema(made) for name, made in sorted({**schemas.kept, **ERROR_SCHEMAS}.items())},
            responses={_name_alone(*alone): _refusal([alone[0]], in_words=alone[1]) for alone in sorted(_alone(lines))},
            parameters={name: Parameter.model_validate(given) for name, given in PARAMETERS.items()},
            headers={name: Header.model_validate(given) for name, given in HEADERS.items()},
            securitySchemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearerFormat="JWT",
                    description="A token of Microsoft Entra ID, version 2.0, for this service.",
                )
            },
        ),
    )


class Models:
    """The schemas of all models, by what they are for."""

    def __init__(self, lines: Sequence[Operation]) -> None:
        """Make them, all at once, so that names stay clear."""
        queries = {line.query for line in lines if line.query is not None} | {Paging}
        taken = queries | {line.body for line in lines if _has_a_form(line.body)}
        sent = {model for line in lines for answer in line.answers.values() for model in _models(answer)}
        wanted: list[tuple[Any, Mode, TypeAdapter[Any]]] = [
            *((model, "validation", TypeAdapter(model)) for model in sorted(taken, key=_name)),
            *((model, "serialization", TypeAdapter(model)) for model in sorted(sent, key=_name)),
        ]
        made, of_all = TypeAdapter.json_schemas(wanted, ref_template=SCHEMAS + "{model}", schema_generator=_Schemas)
        self._of: Mapping[Any, Json] = {key: _renamed(reference) for key, reference in made.items()}
        named = {_short(name): _tidied(_renamed(schema)) for name, schema in of_all["$defs"].items()}
        self._all: Mapping[str, Json] = {name: {**schema, **SHAPES.get(name, {})} for name, schema in named.items()}
        not_kept = {self.taken(model)["$ref"] for model in queries}
        self.kept = {name: schema for name, schema in self._all.items() if SCHEMAS + name not in not_kept}

    def taken(self, model: Any) -> Json:
        """Return the schema of what we take; of a model, as a reference."""
        return dict(self._of[model, "validation"])

    def sent(self, model: Any) -> Json:
        """Return the schema of what we send: a reference, or several to choose from."""
        if isinstance(model, tuple):
            return {"oneOf": [self.sent(one) for one in model]}
        if _has_a_form(model):
            return dict(self._of[model, "serialization"])
        return {"type": "object"} if model is dict else {"type": "string"}

    def parameters(self, model: type[BaseModel]) -> Iterator[Parameter]:
        """Yield what a query may hold."""
        schema = self.resolved(self.taken(model))
        for name, of_field in schema["properties"].items():
            described = {key: value for key, value in _without_null(of_field).items() if key != "description"}
            yield Parameter.model_validate(
                {
                    "name": name,
                    "in": "query",
                    **({"required": True} if name in schema.get("required", ()) else {}),
                    "description": of_field.get("description"),
                    "schema": described,
                }
            )

    def patch(self, schema: Json) -> Json:
        """Return what a merge patch (RFC 7396) may hold that is laid over *schema*: any part of it, and null."""
        whole = self.resolved(schema)
        if "anyOf" in whole:
            whole = self.resolved(_without_null(whole))
        if "properties" not in whole:
            return {"anyOf": [schema, {"type": "null"}]} if {"type": "null"} not in schema.get("anyOf", ()) else schema
        return {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {name: self.patch(part) for name, part in whole["properties"].items()},
        }

    def resolved(self, schema: Json) -> Json:
        """Return what a reference stands for."""
        return self._all[schema["$ref"].removeprefix(SCHEMAS)] if "$ref" in schema else schema


_ABSENT: Final = {"type": "null"}
_TEXT: Final = {"type": "string"}
_ONE_KIND_OF_ITEM: Final[Json] = {
    "oneOf": [
        {"required": ["workload"], "properties": {"workload": _TEXT, "product": _ABSENT, "subscriptionId": _ABSENT}},
        {
            "required": ["product", "subscriptionId"],
            "properties": {"workload": _ABSENT, "product": _TEXT, "subscriptionId": _TEXT},
        },
    ]
}
SHAPES: Final[Mapping[str, Json]] = {
    "Item": _ONE_KIND_OF_ITEM,
    "ItemInput": _ONE_KIND_OF_ITEM,
    "AssociatedItem": _ONE_KIND_OF_ITEM,
    "ClockChange": {
        "oneOf": [
            {"required": ["advance"], "properties": {"advance": _TEXT, "now": _ABSENT}},
            {"required": ["now"], "properties": {"advance": _ABSENT, "now": _TEXT}},
        ]
    },
    "Status": {"description": "Where a claim stands; `deleted` is never shown to anybody."},
}
"""What a model demands of its fields together, which its schema does not say."""


def _short(name: str) -> str:
    """Return a model's name; where we take another form than we send, the first is the model's `Input`."""
    return name.removesuffix("-Output").replace("-Input", "Input")


def _renamed(schema: Any) -> Any:
    match schema:
        case {"$ref": str(reference), **rest}:
            return {"$ref": _short(reference), **_renamed(rest)}
        case dict():
            return {name: _renamed(part) for name, part in schema.items()}
        case list():
            return [_renamed(part) for part in schema]
        case _:
            return schema


def _name(model: Any) -> str:
    return model.__name__ if isinstance(model, type) else str(model)


def _has_a_form(model: Any) -> bool:
    """Whether it is a model, or several to choose from: not bytes, text or any object at all."""
    return model not in (None, bytes, str, dict)


def _models(answer: Any) -> Iterator[Any]:
    match answer:
        case tuple():
            parts: Iterable[Any] = answer
        case Mapping():
            parts = answer.values()
        case _:
            parts = (answer,)
    yield from (part for part in parts if _has_a_form(part))


def _tidied(schema: Json) -> Json:
    """Return a schema without its title, and without references to pages that callers have not."""
    text = re.sub(r" \(rulings [^)]*\)", "", schema.get("description", ""))
    rest = {name: value for name, value in schema.items() if name not in ("title", "description")}
    return {"description": re.sub(r"\s+", " ", text).strip(), **rest} if text else rest


def _schema(made: Json) -> Schema:
    return Schema.model_validate(made)


def _reference(kind: str, name: str) -> Reference:
    return Reference.model_validate({"$ref": f"#/components/{kind}/{name}"})


# --- one operation ----------------------------------------------------------------------------------------------------


def _operation(line: Operation, schemas: Models, lines: Sequence[Operation]) -> Described:
    return Described.model_validate(
        {
            "operationId": line.name,
            "tags": [line.tag],
            "summary": line.summary,
            "description": _description(line),
            "parameters": [*_path_parameters(line), *_query_parameters(line, schemas), *_header_parameters(line)],
            "requestBody": _request_body(line, schemas) if line.body is not None else None,
            "responses": _responses(line, schemas, lines),
            "security": [{"bearer": [role.value]} for role in sorted(line.roles or ())],
        }
    )


def _head(line: Operation, schemas: Models) -> Described:
    made = _operation(line, schemas, ())
    made.operationId = f"{line.name}_head"
    made.summary = f"{line.summary}: its headers only"
    for response in (made.responses or {}).values():
        if isinstance(response, Response):
            response.content = None
    return made


def _description(line: Operation) -> str:
    parts = [re.sub(r" \(rulings [^)]*\)", "", line.description)]
    if line.roles is not None:
        parts.append("Roles: " + ", ".join(f"`{role.value}`" for role in sorted(line.roles)) + ".")
    return "\n\n".join(parts)


def _path_parameters(line: Operation) -> Iterator[Parameter]:
    for name in re.findall(r"\{(\w+)\}", line.route):
        given = {"schema": {"type": "string"}, **PATH_PARAMETERS[name], "name": name, "in": "path", "required": True}
        yield Parameter.model_validate(given)


def _query_parameters(line: Operation, schemas: Models) -> Iterator[Parameter | Reference]:
    if line.query is not None:
        yield from schemas.parameters(line.query)
    if line.paged:
        yield from schemas.parameters(Paging)
    yield _reference("parameters", "ApiVersion")


def _header_parameters(line: Operation) -> Iterator[Reference]:
    yield _reference("parameters", "ClientRequestId")
    if line.in_words:
        yield _reference("parameters", "AcceptLanguage")
    if line.if_match is not None:
        yield _reference("parameters", "IfMatchNeeded" if line.if_match == "required" else "IfMatch")
    if line.keyed:
        for name in ("IdempotencyKey", "RepeatabilityRequestId", "RepeatabilityFirstSent"):
            yield _reference("parameters", name)


def _request_body(line: Operation, schemas: Models) -> RequestBody:
    return RequestBody(
        description=f"At most {line.max_bytes // 2**20} MiB.",
        required=line.body_needed,
        content={kind: _taken(line, kind, schemas) for kind in line.body_types or ("*/*",)},
    )


def _taken(line: Operation, kind: str, schemas: Models) -> MediaType:
    if not _has_a_form(line.body):
        return MediaType()  # bytes of any kind: their content decides
    schema = schemas.taken(line.body)
    if line.method == "PATCH":
        schema = {**schemas.patch(schema), "type": "object"}
    if kind == JSON_LINES:
        schema = {"type": "string", "description": "One JSON document a line.", "contentSchema": schema}
    return MediaType.model_validate({"schema": schema, "example": EXAMPLES.get(line.name)})


# --- what it answers --------------------------------------------------------------------------------------------------


def _responses(line: Operation, schemas: Models, lines: Sequence[Operation]) -> dict[str, Response | Reference]:
    codes = _codes(line)
    made: dict[str, Response | Reference] = {}
    for status in sorted({*line.answers, *codes}):
        refused = codes.get(status, [])
        if status in line.answers:
            made[str(status)] = _answer(line, status, schemas, lines, refused)
        elif len(refused) == 1:
            made[str(status)] = _reference("responses", _name_alone(refused[0], line.in_words))
        else:
            made[str(status)] = _refusal(refused, in_words=line.in_words)
    return made


def _codes(line: Operation) -> Mapping[int, Sequence[str]]:
    """Return the codes of an operation by status."""
    codes: dict[int, list[str]] = {}
    for code in line.codes:
        codes.setdefault(int(STATUSES[code]), []).append(code)
    return codes


def _alone(lines: Iterable[Operation]) -> set[tuple[str, bool]]:
    """Return every code that is the only one of its status with some operation, and whether that answers in words."""
    return {
        (codes[0], line.in_words)
        for line in lines
        for status, codes in _codes(line).items()
        if len(codes) == 1 and status not in line.answers
    }


def _name_alone(code: str, in_words: bool) -> str:  # noqa: FBT001 - one of two kinds of the same answer
    return f"{code}InWords" if in_words else code


def _answer(
    line: Operation, status: int, schemas: Models, lines: Sequence[Operation], refused: Sequence[str]
) -> Response:
    answer = line.answers[status]
    by_type: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {JSON: answer}
    content = {kind: _media(model, schemas, refused) for kind, model in by_type.items()} if answer is not None else None
    links = _links(line, lines) if line.location and line.keyed and status == HTTPStatus.CREATED else None
    return Response(
        description=_phrase(status, refused),
        headers=dict(_headers(line, status)),
        content=content or None,
        links=links or None,
    )


def _media(model: Any, schemas: Models, refused: Sequence[str]) -> MediaType:
    if model is bytes:
        return MediaType()
    schema = schemas.sent(model)
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
    if line.keyed and answer is not Verdict:
        yield "Repeatability-Result", _reference("headers", "RepeatabilityResult")
    if isinstance(answer, Mapping) and bytes in answer.values():
        yield "Content-Disposition", _reference("headers", "ContentDisposition")


def _every_answers_headers() -> Iterator[tuple[str, Reference]]:
    yield "x-ms-request-id", _reference("headers", "RequestId")
    yield "x-ms-client-request-id", _reference("headers", "ClientRequestId")


def _links(line: Operation, lines: Sequence[Operation]) -> dict[str, Link | Reference]:
    return {
        other.name: Link(operationId=other.name, parameters={"claimId": "$response.body#/id"})
        for other in lines
        if re.findall(r"\{(\w+)\}", other.route) == ["claimId"] and other.route.startswith(line.route)
    }


def _refusal(codes: Sequence[str], *, in_words: bool = False) -> Response:
    status = int(STATUSES[codes[0]])
    headers = dict([*_every_answers_headers(), ("x-ms-error-code", _reference("headers", "ErrorCode"))])
    match status:
        case HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = _reference("headers", "WwwAuthenticate")
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = _reference("headers", "RetryAfter")
        case HTTPStatus.CONFLICT if "RequestInProgress" in codes:
            alone = len(codes) == 1
            headers["Retry-After"] = _reference("headers", "RetryAfter" if alone else "RetryAfterInProgress")
        case _:
            pass
    content = {JSON: MediaType.model_validate({"schema": _error(codes)})}
    if in_words:
        content["text/html"] = MediaType.model_validate({"schema": {"type": "string"}})
    return Response.model_validate(
        {"description": _phrase(status, codes), "headers": headers, "content": content},
    )


def _error(codes: Sequence[str]) -> Json:
    told = {"properties": {"error": {"properties": {"code": {"enum": sorted(codes)}}}}}
    return {"allOf": [{"$ref": f"{SCHEMAS}Error"}, told]}


def _phrase(status: int, codes: Sequence[str]) -> str:
    told = ", ".join(f"`{code}`" for code in sorted(codes))
    return f"{HTTPStatus(status).phrase}: {told}" if told else HTTPStatus(status).phrase


# --- the file ---------------------------------------------------------------------------------------------------------


def text() -> str:
    """Return the description as it lies in the repository: the same for the same table, byte by byte."""
    made = _whole(described().model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True))
    return json.dumps(made, ensure_ascii=False, indent=2) + "\n"


def _whole(value: Any) -> Any:
    """Return the value with 0 for 0.0: the library keeps every bound as a float."""
    match value:
        case dict():
            return {name: _whole(part) for name, part in value.items()}
        case list():
            return [_whole(part) for part in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def main() -> None:
    """Write the description."""
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name}: {len(OPERATIONS)} operations")


if __name__ == "__main__":
    main()
