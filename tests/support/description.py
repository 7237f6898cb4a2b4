"""
Compares every answer with the description of the API.

The description is made from the current table of operations. tests/triggers/test_description.py says when the file in
the repository is older.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from cpor_app.http.route_table import SECURITY_HEADERS
from devhost.host import url_decoding
from tools import openapi

HOME = "urn:description"
PREFIX = "/api"
METHODS = ("get", "put", "post", "delete", "patch", "head")


@cache
def description() -> dict[str, Any]:
    """Return the description."""
    made: dict[str, Any] = json.loads(openapi.text())
    return made


def found(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a reference."""
    while "$ref" in schema:
        place: Any = description()
        for part in schema["$ref"].removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
        schema = place
    return schema


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    """Return every path. If two match, the one with fewer parameters comes first."""
    paths = sorted(description()["paths"], key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path), re.IGNORECASE), path) for path in paths]


def path_of(address: str) -> str | None:
    """Return the described path of an address."""
    path = url_decoding.decoded_path(address.encode()).removeprefix(PREFIX).rstrip("/") or "/"
    return next((template for pattern, template in _templates() if pattern.fullmatch(path)), None)


def described(method: str, address: str) -> tuple[str, dict[str, Any]] | None:
    """Return the path and operation of a request, or None if nothing answers it."""
    path = path_of(address)
    if path is None or method.lower() not in description()["paths"][path]:
        return None
    return path, description()["paths"][path][method.lower()]


async def verify(response: httpx.Response) -> None:
    """Raise AssertionError if an answer differs from the description. This is a hook for httpx."""
    if "x-ms-request-id" not in response.headers:
        return  # the host's own answer without a function
    await response.aread()
    request = response.request
    where = f"{request.method} {request.url.raw_path.decode()} → {response.status_code}"
    _verify_headers_of_every_answer(response, where)
    operation = described(request.method, request.url.raw_path.decode().partition("?")[0])
    if operation is None:
        _verify_not_served(response, where)
        return
    answer = operation[1]["responses"].get(str(response.status_code))
    assert answer is not None, f"{where} is not described: {response.text[:500]}"
    answer = found(answer)
    _verify_headers(response, answer.get("headers", {}), where)
    content: Mapping[str, Any] = answer.get("content", {})
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    if not content or request.method == "HEAD":
        assert request.method == "HEAD" or response.content == b"", f"{where}: a body is not described"
        return
    assert media_type in content, f"{where}: {media_type} is not described"
    if media_type == "application/json":
        for error in validator(content[media_type]["schema"]).iter_errors(response.json()):
            raise AssertionError(f"{where}: {error.json_path}: {error.message}")


def _verify_headers_of_every_answer(response: httpx.Response, where: str) -> None:
    missing = [name for name in SECURITY_HEADERS if name not in response.headers]
    assert missing == [], f"{where} lacks {', '.join(missing)}"


def _verify_not_served(response: httpx.Response, where: str) -> None:
    code = response.headers.get("x-ms-error-code")
    path = path_of(response.request.url.raw_path.decode().partition("?")[0])
    if path is None and response.status_code == 303:
        assert response.headers["Location"] == "/api/docs", f"{where} leads somewhere and is not described"
        return
    if path is None:
        assert (response.status_code, code) == (404, "NotFound"), f"{where} is no path of the description"
        return
    served = sorted(method.upper() for method in description()["paths"][path] if method in METHODS)
    assert (response.status_code, code) == (405, "MethodNotAllowed"), f"{where} is no method of the description"
    assert response.headers["Allow"] == ", ".join(served), where


def _verify_headers(response: httpx.Response, headers: Mapping[str, Any], where: str) -> None:
    for name, told in headers.items():
        header = found(told)
        value = response.headers.get(name)
        assert value is not None or not header.get("required"), f"{where} lacks {name}"
        if value is not None:
            for error in validator(header["schema"]).iter_errors(value):
                raise AssertionError(f"{where}: {name}: {error.message}")
    meant = {"etag", "location", "retry-after", "www-authenticate", "x-ms-error-code", "repeatability-result"}
    more = meant & {name.lower() for name in response.headers} - {name.lower() for name in headers}
    assert more == set(), f"{where}: {', '.join(more)} is not described"


def validator(schema: dict[str, Any]) -> Any:
    """Return a validator of a schema that can refer to other schemas of the description."""
    return _validator_of(json.dumps(schema))


@cache
def _validator_of(schema: str) -> Any:
    """Return a validator of a schema with the references of the description."""
    registry: Registry[Any] = Registry().with_resource(HOME, DRAFT202012.create_resource(description()))
    local = json.loads(schema.replace('"$ref": "#/', f'"$ref": "{HOME}#/'))
    return OAS31Validator(local, registry=registry, format_checker=oas31_format_checker)
