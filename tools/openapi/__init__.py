"""
Makes the description of the API, in OpenAPI 3.1, from the table of operations.

`make openapi` writes the description to a file in the repository. The app serves this file, so that it need not make
the description. A test verifies that the file is the same as a new one.
"""

import json
from pathlib import Path
from typing import Any, Final

from openapi_pydantic import Components, Header, Info, OpenAPI, Parameter, PathItem, Schema, SecurityScheme, Server, Tag

from cpor_app.http import route_table
from tools.openapi.events import webhooks
from tools.openapi.operations import alone, head, name_alone, operation, refusal
from tools.openapi.schemas import Models
from tools.openapi.words import ERROR_SCHEMAS, HEADERS, INTRODUCTION, PARAMETERS, TAGS

FILE: Final = Path(__file__).resolve().parents[2] / "cpor_app" / "openapi.json"


def described() -> OpenAPI:
    """Return the description of every operation."""
    lines = sorted(route_table.operations(), key=lambda line: (line.route, line.method))
    schemas = Models(lines)
    paths: dict[str, PathItem] = {}
    for line in lines:
        item = paths.setdefault(f"/{line.route}", PathItem())
        setattr(item, line.method.lower(), operation(line, schemas, lines))
        if line.in_words and line.method == "GET":
            item.head = head(line, schemas)
    return OpenAPI(
        openapi="3.1.1",
        info=Info(
            title="Claiming partner of record",
            summary="Partners claim, customers can say no, partners see usage figures.",
            description=INTRODUCTION,
            version=route_table.API_VERSION,
        ),
        servers=[Server(url="/api", description="This is relative to the address of this description.")],
        tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
        paths=paths,
        webhooks=dict(webhooks()),
        components=Components(
            schemas={
                name: Schema.model_validate(made) for name, made in sorted({**schemas.kept, **ERROR_SCHEMAS}.items())
            },
            responses={
                name_alone(code, in_words): refusal([code], in_words=in_words)
                for code, in_words in sorted(alone(lines))
            },
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


def text() -> str:
    """Return the text of the file. The same table always gives the same bytes."""
    made = _whole(described().model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True))
    return json.dumps(made, ensure_ascii=False, indent=2) + "\n"


def _whole(value: Any) -> Any:
    """Return the value with each whole float as an integer: the library makes every bound a float."""
    match value:
        case dict():
            return {name: _whole(part) for name, part in value.items()}
        case list():
            return [_whole(part) for part in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
