"""The description of the API says exactly what is served, and the file in the repository is the newest."""

import json
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from cpor_app.adapters import content_types
from cpor_app.http import route_table
from cpor_app.http.route_table import SECURITY_HEADERS
from cpor_app.http.status_codes import DETAIL_CODES, STATUSES
from cpor_app.triggers.public import DESCRIPTION
from cpor_core.rules.file_names import ENDINGS
from tests.support import description
from tests.support.service import Service
from tests.triggers.test_indexing import HTTP
from tools import openapi
from tools.openapi.examples import EXAMPLES, example


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of every operation by its id."""
    return {
        operation["operationId"]: (method, path, operation)
        for path, item in description.description()["paths"].items()
        for method, operation in item.items()
    }


def test_file_in_the_repository_is_the_one_that_is_made() -> None:
    """Run `make openapi` after every change of the table of operations or of a model that it names."""
    assert DESCRIPTION.read_text("utf-8") == openapi.text(), "cpor_app/openapi.json is old: run `make openapi`"


def test_making_it_again_makes_the_same_bytes() -> None:
    """A description that differs from run to run could not be compared."""
    assert openapi.text() == openapi.text()


def test_it_holds_no_words_of_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phrases of http.HTTPStatus change with the version of Python: the file must be the same with each."""
    for status in HTTPStatus:
        monkeypatch.setattr(status, "phrase", "of another Python")

    assert "of another Python" not in openapi.text()


def test_it_is_valid_openapi_3_1() -> None:
    """By the validator of its own schema."""
    validate(description.description())


def test_every_function_is_described_and_nothing_else() -> None:
    """Operations, methods and paths are those of the functions."""
    told = {
        name: (method.upper(), path.removeprefix("/"))
        for name, (method, path, _) in operations().items()
        if not name.endswith("_head")
    }
    heads = {path.removeprefix("/") for name, (method, path, _) in operations().items() if method == "head"}

    assert told == {name: (methods.split()[0], route) for name, (methods, route) in HTTP.items() if methods}
    assert heads == {route for methods, route in HTTP.values() if "HEAD" in methods}


def test_every_code_is_of_some_operation_but_one() -> None:
    """Only MethodNotAllowed is not: it answers what is no operation, and stands in the list of all codes."""
    told = {code for line in route_table.operations() for code in line.codes}
    listed = description.description()["components"]["schemas"]["ErrorCode"]["enum"]

    assert set(STATUSES) - told == {"MethodNotAllowed"}
    assert listed == sorted(STATUSES)


def test_no_operation_tells_a_code_twice_or_one_that_has_no_status() -> None:
    """The table and the statuses fit together."""
    for line in route_table.operations():
        assert len(line.codes) == len(set(line.codes)), line.name
        assert set(line.codes) <= set(STATUSES), line.name


def test_codes_of_details_are_listed() -> None:
    """Of refusals and of the dry run alike."""
    schemas = description.description()["components"]["schemas"]

    assert schemas["DetailCode"]["enum"] == sorted(DETAIL_CODES)
    assert schemas["VerdictDetail"]["properties"]["code"] == {"$ref": "#/components/schemas/DetailCode"}
    assert schemas["BadRow"]["properties"]["code"] == {"$ref": "#/components/schemas/RowCode"}


def test_every_operation_says_who_may_call_it() -> None:
    """One alternative for each role; a token alone, if every role will do; none without a token."""
    for line in route_table.operations():
        security = operations()[line.name][2]["security"]
        roles = [[role.value] for role in sorted(line.roles)] or [[]] if line.roles is not None else []
        assert security == [{"bearer": role} for role in roles], line.name


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_are_what_their_schemas_ask_for(name: str) -> None:
    """An example that would be refused teaches the wrong thing."""
    for media_type, content in operations()[name][2]["requestBody"]["content"].items():
        assert content["example"] == example(name, media_type), media_type
        errors = list(description.validator(content["schema"]).iter_errors(content["example"]))
        assert errors == []


def test_every_json_body_has_an_example() -> None:
    """Apart from the forms, which are the page's own."""
    wanted = {
        line.name
        for line in route_table.operations()
        if line.body is not None and line.body_types and not line.in_words
    }

    assert wanted - set(EXAMPLES) == set()


def test_evidence_is_given_back_under_the_types_that_are_taken() -> None:
    """The description lists the types that an upload is told by its content."""
    taken = {content_types.PDF, content_types.PNG, content_types.JPEG, content_types.MSG, content_types.EML}
    taken |= {office.media_type for office in content_types.OFFICE}

    assert set(ENDINGS) == taken


def test_models_have_names_that_a_caller_can_read() -> None:
    """No module path and no suffix of a tool."""
    names = description.description()["components"]["schemas"]

    assert [name for name in names if not name.isalnum()] == []


async def test_description_is_served_as_it_lies_in_the_package(service: Service) -> None:
    """Anybody may read it."""
    answer = await service.request("GET", "/openapi.json", role=None)

    assert (answer.status_code, answer.content) == (200, DESCRIPTION.read_bytes())
    assert answer.json()["openapi"].startswith("3.1.")


HEALTH = {"status": "healthy", "checks": {}}
HEADERS = {
    "x-ms-request-id": "1",
    "Content-Type": "application/json",
    **SECURITY_HEADERS,
}


@pytest.mark.parametrize(
    ("status", "body", "left_out", "complaint"),
    [
        (200, HEALTH, "", None),
        (202, HEALTH, "", "is not described"),
        (200, {**HEALTH, "more": 1}, "", "Additional properties"),
        (200, {"status": "healthy"}, "", "'checks' is a required property"),
        (200, HEALTH, "Content-Type", "is not described"),
        (200, HEALTH, "X-Frame-Options", "lacks X-Frame-Options"),
        (404, {"error": {"code": "NotFound", "message": "no"}}, "", "is not described"),
    ],
)
async def test_an_answer_that_is_not_as_described_is_noticed(
    status: int, body: object, left_out: str, complaint: str | None
) -> None:
    """Every test over the `service` fixture holds each answer against the description; this shows that it bites."""
    headers = {name: value for name, value in HEADERS.items() if name != left_out}
    request = httpx.Request("GET", "http://127.0.0.1/api/health")
    answer = httpx.Response(status, headers=headers, content=json.dumps(body), request=request)

    if complaint is None:
        await description.verify(answer)
    else:
        with pytest.raises(AssertionError, match=complaint):
            await description.verify(answer)
