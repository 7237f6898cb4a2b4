"""Makes the JSON schemas of all bodies and answers, from the models with which the service reads and writes them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from openapi_pydantic import Parameter
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from cpor_app.http.parsing import Paging
from cpor_app.http.route_table import Operation
from tools.openapi.words import SCHEMAS, Json

Mode = Literal["validation", "serialization"]


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
    "Status": {"description": "The state of a claim. No answer ever has `deleted`."},
}
"""The parts of a schema that the library cannot derive, such as rules about several fields together."""
CODES: Final = (("VerdictDetail", "code", "DetailCode"), ("BadRow", "code", "RowCode"))
"""Fields that are plain text in the core, with the schema of the codes that they can have."""


class _Schemas(GenerateJsonSchema):
    """Makes schemas without titles. The schema of an answer says which fields are always there."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: a title would only repeat the name of the field."""
        del schema
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - as it is overridden
        """Return whether a field is always there. An answer leaves out only fields that say so when they are empty."""
        if self.mode == "serialization" and field["type"] == "model-field":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        """Return the schema of a field. A field that is left out when empty is never null."""
        made = super().model_field_schema(schema)
        if self.mode == "serialization" and "serialization_exclude_if" in schema:
            made = _without_null(made)
        return made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema. Only the schema of a body or query shows a default, and only a default that is a value."""
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


class Models:
    """The schemas of all models, for bodies and for answers."""

    def __init__(self, lines: Sequence[Operation]) -> None:
        """Make all schemas together, so that each gets a name of its own."""
        queries = {line.query for line in lines if line.query is not None} | {Paging}
        taken = queries | {body for line in lines for kind in line.body_types if has_a_form(body := line.taken(kind))}
        sent = {model for line in lines for answer in line.answers.values() for model in _models(answer)}
        wanted: list[tuple[Any, Mode, TypeAdapter[Any]]] = [
            *((model, "validation", TypeAdapter(model)) for model in sorted(taken, key=_name)),
            *((model, "serialization", TypeAdapter(model)) for model in sorted(sent, key=_name)),
        ]
        made, of_all = TypeAdapter.json_schemas(wanted, ref_template=SCHEMAS + "{model}", schema_generator=_Schemas)
        self._of: Mapping[Any, Json] = {key: _renamed(reference) for key, reference in made.items()}
        named = {_short(name): _tidied(_renamed(schema)) for name, schema in of_all["$defs"].items()}
        for model, field, schema in CODES:
            named[model]["properties"][field] = {"$ref": SCHEMAS + schema}
        self._all: Mapping[str, Json] = {name: {**schema, **SHAPES.get(name, {})} for name, schema in named.items()}
        not_kept = {self.taken(model)["$ref"] for model in queries}
        self.kept = {name: schema for name, schema in self._all.items() if SCHEMAS + name not in not_kept}

    def taken(self, model: Any) -> Json:
        """Return the schema of a body or a query; for a model this is a reference."""
        return dict(self._of[model, "validation"])

    def sent(self, model: Any) -> Json:
        """Return the schema of an answer; for a model this is a reference, for a tuple a choice of several."""
        if isinstance(model, tuple):
            return {"oneOf": [self.sent(one) for one in model]}
        if has_a_form(model):
            return dict(self._of[model, "serialization"])
        return {"type": "object"} if model is dict else {"type": "string"}

    def parameters(self, model: Any) -> Iterator[Parameter]:
        """Yield the parameters of a query."""
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
        """Return the schema of a merge patch (RFC 7396): it has any part of *schema*, or null for a part."""
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
        """Return the schema that a reference names; any other schema is returned as it is."""
        return self._all[schema["$ref"].removeprefix(SCHEMAS)] if "$ref" in schema else schema


def _short(name: str) -> str:
    """Return a model's name. If a model has one schema for bodies and one for answers, the first gets `Input`."""
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


def has_a_form(model: Any) -> bool:
    """Whether *model* is a model or a choice of models, and not bytes, text or just any object."""
    return model not in (None, bytes, str, dict)


def _models(answer: Any) -> Iterator[Any]:
    if isinstance(answer, tuple | Mapping):
        for part in answer.values() if isinstance(answer, Mapping) else answer:
            yield from _models(part)
    elif has_a_form(answer):
        yield answer


def _tidied(schema: Json) -> Json:
    """Return a schema without its title, and with its description on one line."""
    text = schema.get("description", "")
    rest = {name: value for name, value in schema.items() if name not in ("title", "description")}
    return {"description": re.sub(r"\s+", " ", text).strip(), **rest} if text else rest
