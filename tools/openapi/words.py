"""The texts of the description, and the parameters, headers and schemas that several operations share."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from cpor_app.http.route_table import API_VERSION
from cpor_app.http.status_codes import DETAIL_CODES, ROW_CODES, STATUSES

SCHEMAS: Final = "#/components/schemas/"

Json = dict[str, Any]

INTRODUCTION: Final = f"""\
A partner claims to be partner of record for its work with a customer. The customer can say no within five business
days. After that the association is official, and the partner can read usage figures.

- **Identity**: a bearer token of Microsoft Entra ID on every call, except where `security` is empty. `Program.*` and
  `Mail.Events` count in the programme's tenant, `Incentives.*` for partnerIds of the token's tenant, `Customer.Admin`
  for the token's own tenant. An entry of another organisation is 404.
- **Version**: `api-version={API_VERSION}` in the query. A call without it gets the newest version.
- **Errors**: every refusal is an `Error`. The header `x-ms-error-code` has the code too. Each operation lists its
  codes. An address that is not described here gets 404 `NotFound`. A method that an address does not have gets 405
  `MethodNotAllowed` with `Allow`. The order of the checks is: 401, 429, 400 for the version and the names of the
  parameters, 403, 404, 428 and 412, 411, 413 and 415, 400 for the form of the body, 409, 400 for its content.
- **Idempotency**: every POST with a token takes an `Idempotency-Key`. Within an organisation a key means one request.
  The same address and body get the first answer again for 48 hours. Another request with that key gets 422. While the
  first request is running, the answer is 409. Only successes up to 60 KiB are stored: after a refusal the key is free.
- **Concurrency**: answers have an `ETag`. Send it in `If-Match` where an operation lists that header.
- **Queries**: an operation with a token refuses a parameter that it does not list: 400 `QueryUnknown`. If a parameter
  takes several values, separate them with commas or repeat the parameter. Send any other parameter once.
- **Lists**: an answer has `value`, and `nextLink` if there is more. A short or empty page can have a `nextLink` too.
- **Bodies**: a body is JSON in UTF-8, with a `Content-Length`. Unknown fields are refused.
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
    "Customer": "The page behind a mailed link, as HTML or JSON, and the calls of the customer's administrator.",
    "Registry": "The partners, customers and closed days that the operator registers.",
    "Usage": "The usage figures that the operator feeds.",
    "Register": "The programme's register, and the changes of all claims: docs/register.md.",
    "Insight": "Figures about all claims: docs/insight.md.",
    "Operations": "The operator's tools.",
    "Sandbox": "These calls exist only in the sandbox. Elsewhere they are 404.",
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
"""The phrase of each status in RFC 9110 and RFC 6585. The standard library's phrases depend on the Python version."""

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
        "description": "The file's name. Case is ignored. The ending of a new name fits the content, such as .pdf. The "
        'name has none of / \\ : * ? " < > |, no invisible characters, and no dot or blank at either end.',
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
        "description": "The version of the API. Without it the call gets the newest version.",
        "schema": {"type": "string", "enum": [API_VERSION]},
    },
    "ClientRequestId": {
        "name": "x-ms-client-request-id",
        "in": "header",
        "description": "The caller's own id of the request. The answer repeats an id of 1 to 100 printable characters.",
        "schema": {"type": "string"},
    },
    "Arrival": {
        "name": "Cpor-Arrival",
        "in": "header",
        "description": "The `arrival` from an answer `NotRecordedYet`. It says when this no arrived first, and counts "
        "for 24 hours.",
        "schema": {"type": "string"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that you read, several ETags, or `*`. The call is refused if the entry has another "
        "ETag now. Weak ETags never match.",
        "schema": {"type": "string"},
    },
    "IfMatchNeeded": {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": "The ETag that you read, or `*`.",
        "schema": {"type": "string"},
        "example": "*",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names the request, so that you can repeat it within 48 hours. Use a new key, such as a GUID, "
        "for each new request. An empty key counts as no key.",
        "schema": {"type": "string", "pattern": "^[!-~]{0,255}$"},
    },
    "RepeatabilityRequestId": {
        "name": "Repeatability-Request-ID",
        "in": "header",
        "description": "Another name of Idempotency-Key. If both are sent, they must be equal.",
        "schema": {"type": "string", "pattern": "^[!-~]{0,255}$"},
    },
    "RepeatabilityFirstSent": {
        "name": "Repeatability-First-Sent",
        "in": "header",
        "description": "An HTTP date. Only its form is checked.",
        "schema": {"type": "string"},
        "example": "Mon, 02 Nov 2026 09:00:00 GMT",
    },
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "description": "The language of the page if neither the query nor the customer's entry names one.",
        "schema": {"type": "string"},
    },
}

HEADERS: Final[Mapping[str, Json]] = {
    "RequestId": {
        "required": True,
        "description": "The service's id of the request. Name it when you ask about the request.",
        "schema": {"type": "string"},
    },
    "ClientRequestId": {"description": "The caller's id of the request, as it was sent.", "schema": {"type": "string"}},
    "ErrorCode": {
        "required": True,
        "description": "The code of the error.",
        "schema": {"$ref": f"{SCHEMAS}ErrorCode"},
    },
    "ETag": {
        "required": True,
        "description": "The version of the entry, with its quotes.",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
    },
    "ETagUnlessDryRun": {
        "description": "The version of the claim, with its quotes. A dry run has none.",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
    },
    "Location": {
        "required": True,
        "description": "The absolute address of the new entry, or of the page to open next.",
        "schema": {"type": "string", "format": "uri"},
    },
    "OperationLocation": {
        "required": True,
        "description": "The absolute address that shows the progress of the work.",
        "schema": {"type": "string", "format": "uri"},
    },
    "RepeatabilityResult": {
        "description": "The answer has this header if the request had an idempotency key.",
        "schema": {"type": "string", "const": "accepted"},
    },
    "RetryAfter": {
        "required": True,
        "description": "Seconds to wait before the same request is sent again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "RetryAfterOfSome": {
        "description": "Seconds to wait before the same request is sent again. Only codes for which waiting helps, "
        "such as `RequestInProgress`, have it.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WwwAuthenticate": {
        "required": True,
        "description": "What is wrong with the token, in the form of RFC 6750.",
        "schema": {"type": "string", "pattern": "^Bearer"},
    },
    "Link": {
        "description": "`<…>; rel=next` (RFC 8288): the address of the next page. The last page has none.",
        "schema": {"type": "string", "pattern": "; rel=next$"},
    },
    "AsOf": {"description": "`asOf` of a JSON answer.", "schema": {"type": "string", "format": "date-time"}},
    "CompleteTo": {
        "description": "`completeTo` of a JSON answer.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "ContentDisposition": {
        "required": True,
        "description": "`attachment`, and the name of the file.",
        "schema": {"type": "string", "pattern": "^attachment;"},
    },
}


def _codes_of_refused_lines() -> Iterator[str]:
    """Yield the codes of status 400 and 409: a use case can refuse a single line with them."""
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
                        "description": "The part of the request that is wrong: a JSON path such as "
                        "contacts.customer.email, or a header.",
                    },
                    "details": {"type": "array", "items": {"$ref": f"{SCHEMAS}ErrorDetail"}},
                    "resolution": {"type": "string", "description": "What the caller can do about it."},
                    "arrival": {
                        "type": "string",
                        "description": "Only with `NotRecordedYet`: the signed arrival of the no. Send it with the "
                        "same no again.",
                    },
                },
            }
        },
    },
    "ErrorDetail": {
        "description": "One reason of a refusal that can have several.",
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
        "description": "Every code of an error. No operation lists `MethodNotAllowed`: it answers a method that the "
        "address does not have.",
        "type": "string",
        "enum": sorted(STATUSES),
    },
    "RowCode": {
        "description": "What is wrong with a line of a feed or an import.",
        "type": "string",
        "enum": sorted({*ROW_CODES, *DETAIL_CODES, *_codes_of_refused_lines()}),
    },
    "DetailCode": {
        "description": "A fault of a field, or a failed check at submission.",
        "type": "string",
        "enum": sorted(DETAIL_CODES),
    },
}
