"""The texts of the description, and the parts that several operations share."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from cpor_app.http.route_table import API_VERSION
from cpor_app.http.status_codes import DETAIL_CODES, ROW_CODES, STATUSES

SCHEMAS: Final = "#/components/schemas/"

Json = dict[str, Any]

INTRODUCTION: Final = f"""\
A partner claims to be partner of record for its work with a customer. The customer may say no within five business
days. After that the association is official, and shows usage figures.

- **Identity**: a bearer token of Microsoft Entra ID on every call, except where `security` is empty. `Program.*` and
  `Mail.Events` count in the programme's tenant, `Incentives.*` for partnerIds of the token's tenant, `Customer.Admin`
  for the token's own tenant. An entry of another organisation is 404.
- **Version**: `api-version={API_VERSION}` in the query, or none for the newest.
- **Errors**: every refusal is an `Error`. Its code is in `x-ms-error-code` too, and each operation lists its codes. An
  address that is not described here is 404 `NotFound`, a method 405 `MethodNotAllowed` with `Allow`. The order of the
  checks is: 401, 429, 400 for version and names of the query, 403, 404, 428 and 412, 411, 413 and 415, 400 for the form
  of the body, 409, 400 for its content.
- **Idempotency**: every POST with a token takes an `Idempotency-Key`. Within an organisation a key means one request.
  The same address and body get the first answer again for 48 hours; another request with that key is 422. While the
  first request is running the answer is 409. Only successes up to 60 KiB are stored: after a refusal the key is free.
- **Concurrency**: `ETag`, and `If-Match` where an operation lists it.
- **Queries**: an operation with a token refuses a parameter that it does not list: 400 `QueryUnknown`. A parameter with
  several values takes them with commas or repeated; any other parameter may be sent once.
- **Lists**: `value`, and `nextLink` if there is more. A page may be short or empty and still have a `nextLink`.
- **Bodies**: JSON in UTF-8, with a `Content-Length`. Unknown fields are refused.
- **Tracing**: every answer has `x-ms-request-id`, and repeats the request's `x-ms-client-request-id`.
- **Headers of every answer**: `Cache-Control: no-store`, `Content-Security-Policy`, `Cross-Origin-Opener-Policy`,
  `Cross-Origin-Resource-Policy`, `Referrer-Policy`, `X-Content-Type-Options`, `X-Frame-Options`.
"""

TAGS: Final = {
    "Anyone": "Operations without a token.",
    "Claims": "The partner's claims.",
    "Bulk": "Many claims at once.",
    "Evidence": "The files that prove what a claim says.",
    "Associations": "The associations of a partner, and their usage figures.",
    "Webhooks": "The service calls your server on each change. Headers and events: docs/webhooks.md.",
    "Reviews": "The programme's reviewers.",
    "Customer": "The page behind a mailed link, as HTML or JSON; and the customer's administrator.",
    "Registry": "Partners, customers and closed days, registered by the operator.",
    "Usage": "Usage figures, fed by the operator.",
    "Insight": "Figures about all claims: docs/insight.md.",
    "Operations": "The operator's tools.",
    "Sandbox": "Only on a developer's machine; 404 elsewhere.",
}

PHRASES: Final[Mapping[int, str]] = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    303: "See Other",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    428: "Precondition Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""The phrase of each status, after RFC 9110 and RFC 6585. The standard library's change with the version of Python."""

PATH_PARAMETERS: Final[Mapping[str, Json]] = {
    "claimId": {"description": "The claim's id."},
    "calendar": {
        "description": "A country of ISO 3166-1, or one of its subdivisions that has holidays of its own.",
        "schema": {"type": "string", "pattern": "^[A-Z]{2}(-[A-Za-z0-9]{1,6})?$"},
        "example": "GB-SCT",
    },
    "date": {"description": "The day.", "schema": {"type": "string", "format": "date"}, "example": "2026-11-30"},
    "erasureId": {"description": "The erasure's id, from Operation-Location."},
    "batchId": {"description": "The batch's id, from Operation-Location."},
    "associationId": {"description": "The association's id, which is the id of its claim."},
    "requestId": {"description": "The request's id, from the mailed link. The id alone opens nothing."},
    "engagementId": {"description": "The engagement's id.", "example": "modern-work-security-usage"},
    "fileName": {
        "description": "The file's name; case is ignored. A new name ends as its content asks, such as .pdf, and has "
        'none of / \\ : * ? " < > |, no invisible characters, and no dot or blank at either end.',
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "example": "statement of work.pdf",
    },
    "name": {
        "description": "The webhook's name: lower-case letters and digits with single hyphens between them.",
        "schema": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength": 100},
        "example": "main",
    },
    "docsFile": {
        "description": "The file's name.",
        "schema": {"type": "string", "enum": ["start.js", "swagger-ui.css", "swagger-ui.js"]},
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
    "Arrival": {
        "name": "Cpor-Arrival",
        "in": "header",
        "description": "When this no arrived first: the `arrival` of an answer NotRecordedYet, for 24 hours.",
        "schema": {"type": "string"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that was read, several of them, or `*`: do it only if nothing has changed since. Weak "
        "ones never match.",
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
        "description": "Names the request, so that it can be repeated; kept for 48 hours. A GUID does well; use a new "
        "one for each new request. Empty is none.",
        "schema": {"type": "string", "pattern": "^[!-~]{0,255}$"},
    },
    "RepeatabilityRequestId": {
        "name": "Repeatability-Request-ID",
        "in": "header",
        "description": "Another name of Idempotency-Key, which goes before it.",
        "schema": {"type": "string", "pattern": "^[!-~]{0,255}$"},
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
    "OperationLocation": {
        "required": True,
        "description": "The absolute address at which to see how far it has come.",
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
    "RetryAfterOfSome": {
        "description": "Where waiting helps, as with RequestInProgress: seconds until the same request is sent again.",
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


def _of_what_is_asked() -> Iterator[str]:
    """Yield the codes that a single line can be refused with."""
    for code, status in STATUSES.items():
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT):
            yield code


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
                    "arrival": {
                        "type": "string",
                        "description": "With NotRecordedYet: when the no arrived, signed; it is sent back with the no.",
                    },
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
    "RowCode": {
        "description": "What is wrong with a line of a feed or an import: what it lacks, or what refuses it.",
        "type": "string",
        "enum": sorted({*ROW_CODES, *DETAIL_CODES, *_of_what_is_asked()}),
    },
    "DetailCode": {
        "description": "What is wrong with a field, and the checks at submission.",
        "type": "string",
        "enum": sorted(DETAIL_CODES),
    },
}
