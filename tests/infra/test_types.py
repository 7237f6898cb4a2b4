"""
Every resource is as Microsoft publishes its type: no property that it has not, none missing, no value that is none.

A compiler would say so; where none can be had, the types themselves can. `BICEP_TYPES` names a folder with one file for
each type and version, `microsoft.storage_storageaccounts@2024-01-01.json`: a list in which the first entry is the
resource and `{"$ref": "#/n"}` is entry n, cut from https://github.com/Azure/bicep-types-az, `generated/`.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep import FILES, INFRA
from tests.infra.bodies import Choice, Excused, Resource, Unknown, resources

TYPES = os.environ.get("BICEP_TYPES")
REQUIRED, READ_ONLY = 1, 2
OF_BICEP = {"parent", "scope", "dependsOn"}
"""Properties that the language has, and no resource."""
NOT_AT_HAND = {
    "Microsoft.Insights/metricAlerts@2018-03-01",
    "Microsoft.Security/defenderForStorageSettings@2025-06-01",
    "Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01",
}
"""Types whose file a folder may lack; they are checked where it is there."""
UNPUBLISHED = {"WorkspaceTransforms"}
"""Values that Microsoft's documentation names and its types do not: the kind of a workspace's own rule."""
LEFT_OUT = {"description"}
"""Properties that a folder may lack everywhere: one cut without descriptions lacks those of that name too."""
MADE = [
    (file, resource)
    for file in FILES
    if file.parent.name != "entra"  # of Microsoft Graph, which publishes its types elsewhere
    for resource in resources(file.read_text("utf-8"))
]
SAID: Mapping[type, str] = {bool: "BooleanType", int: "IntegerType", str: "StringType"}


def _file(kind: str) -> Path:
    return Path(TYPES or "") / f"{kind.replace('/', '_').lower()}.json"


@cache
def _types(file: Path) -> Sequence[Mapping[str, Any]]:
    read: list[Mapping[str, Any]] = json.loads(file.read_text("utf-8"))
    return read


def flaws(value: Any, wanted: Mapping[str, Any], types: Sequence[Mapping[str, Any]], path: str) -> Iterator[str]:
    """Yield what is wrong with a value that should be of the type *wanted*; what is not known is left alone."""
    match value:
        case Unknown() | None:
            pass
        case Choice(ends):
            for end in ends:
                yield from flaws(end, wanted, types, path)
        case dict():
            yield from _flaws_of_object(value, wanted, types, path)
        case list() if wanted["$type"] == "ArrayType":
            for index, item in enumerate(value):
                yield from flaws(item, _at(wanted["itemType"], types), types, f"{path}[{index}]")
        case _ if not _may_be(value, wanted, types):
            yield f"{path}: {value!r} is no {_named(wanted, types)}"
        case _:
            pass


def _may_be(value: Any, wanted: Mapping[str, Any], types: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a literal is one that the type has."""
    match wanted["$type"]:
        case "UnionType":
            ends = [_at(element, types) for element in wanted["elements"]]
            # Most unions end with any text, for values to come; one that nobody has published is a misspelling.
            named = [end for end in ends if "value" in end]
            return value in UNPUBLISHED or any(_may_be(value, end, types) for end in named or ends)
        case "StringLiteralType":
            return bool(value == wanted["value"])
        case "AnyType":
            return True
        case kind:
            return bool(SAID.get(type(value)) == kind)


def _named(wanted: Mapping[str, Any], types: Sequence[Mapping[str, Any]]) -> str:
    """Return a type in words: of a union, the values that it has."""
    if wanted["$type"] == "UnionType":
        ends = [_at(element, types) for element in wanted["elements"]]
        return " or ".join(str(end["value"]) for end in ends if "value" in end)
    return str(wanted.get("value", wanted["$type"]))


def _at(reference: Mapping[str, str], types: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return types[int(reference["$ref"].removeprefix("#/"))]


def _flaws_of_object(
    value: Mapping[str, Any], wanted: Mapping[str, Any], types: Sequence[Mapping[str, Any]], path: str
) -> Iterator[str]:
    """Judge an object: by its properties, and where the type has several kinds, by those of the kind that it says."""
    match wanted["$type"]:
        case "ObjectType":
            yield from _flaws_of_properties(value, wanted, types, path)
        case "DiscriminatedObjectType":
            said = value.get(wanted["discriminator"])
            if said in wanted["elements"]:
                kind = _at(wanted["elements"][said], types)
                both = {"properties": wanted["baseProperties"] | kind["properties"]}
                yield from _flaws_of_properties(value, both, types, path)
            elif not isinstance(said, Unknown):
                yield f"{path}.{wanted['discriminator']}: {said!r} is no {' or '.join(wanted['elements'])}"
        case "AnyType":
            pass
        case kind:
            yield f"{path}: an object is no {kind}"


def _flaws_of_properties(
    value: Mapping[str, Any], wanted: Mapping[str, Any], types: Sequence[Mapping[str, Any]], path: str
) -> Iterator[str]:
    properties, others = wanted["properties"], wanted.get("additionalProperties")
    for name, given in value.items():
        here = f"{path}.{name}"
        if name in properties and properties[name]["flags"] & READ_ONLY and name != "name":
            yield f"{here}: is read-only"
        elif name in properties:
            yield from flaws(given, _at(properties[name]["type"], types), types, here)
        elif others is not None:
            yield from flaws(given, _at(others, types), types, here)
        elif not isinstance(given, Excused) and name not in LEFT_OUT:
            yield f"{here}: is not known"
    missing = {name for name, about in properties.items() if about["flags"] & REQUIRED} - set(value)
    yield from (f"{path}.{name}: is missing" for name in sorted(missing))


def flaws_of(resource: Resource, types: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with a resource; the first entry of *types* says what it should be."""
    body = {name: value for name, value in resource.body.items() if name not in OF_BICEP}
    return list(flaws(body, _at(types[0]["body"], types), types, resource.name))


@pytest.mark.skipif(TYPES is None, reason="BICEP_TYPES names no folder with Microsoft's published types")
@pytest.mark.parametrize(
    ("file", "resource"), MADE, ids=[f"{file.relative_to(INFRA)}-{resource.name}" for file, resource in MADE]
)
def test_every_resource_is_as_its_published_type(file: Path, resource: Resource) -> None:
    """Names and required properties, nothing unknown or read-only, closed values."""
    if resource.kind in NOT_AT_HAND and not _file(resource.kind).exists():
        pytest.skip(f"the folder lacks {resource.kind}")

    assert flaws_of(resource, _types(_file(resource.kind))) == [], file


def test_every_resource_was_read() -> None:
    """The reader of bodies is our own: it finds as many resources as there are words for them."""
    made = sum(
        line.startswith("resource ") and not line.endswith(" existing = {")
        for file in FILES
        if file.parent.name != "entra"
        for line in file.read_text("utf-8").splitlines()
        if " existing = [" not in line
    )

    assert len(MADE) == made > 30
    assert all(resource.body for _, resource in MADE)


BODY = """
resource a 'Some.Thing/doors@1' = if (has(b)) {
  parent: c
  name: 'x-${d}'
  kind: e ? 'Front' : 'Back'
  properties: {
    #disable-next-line BCP037
    secret: 1
    height: 120
    width: 'wide' // not a number
    locks: [
      for f in g: {
        type: 'Key'
        teeth: f.teeth
      }
    ]
    open: true
    made: f ?? 'today'
  }
}
"""
SMALL: Sequence[Mapping[str, Any]] = [
    {"$type": "ResourceType", "body": {"$ref": "#/1"}},
    {
        "$type": "ObjectType",
        "properties": {
            "name": {"type": {"$ref": "#/2"}, "flags": REQUIRED},
            "kind": {"type": {"$ref": "#/3"}, "flags": 0},
            "properties": {"type": {"$ref": "#/6"}, "flags": REQUIRED},
        },
    },
    {"$type": "StringType"},
    {"$type": "UnionType", "elements": [{"$ref": "#/4"}, {"$ref": "#/5"}, {"$ref": "#/2"}]},
    {"$type": "StringLiteralType", "value": "Front"},
    {"$type": "StringLiteralType", "value": "Side"},
    {
        "$type": "ObjectType",
        "properties": {
            "width": {"type": {"$ref": "#/7"}, "flags": 0},
            "height": {"type": {"$ref": "#/2"}, "flags": 0},
            "locks": {"type": {"$ref": "#/8"}, "flags": 0},
            "made": {"type": {"$ref": "#/2"}, "flags": READ_ONLY},
            "colour": {"type": {"$ref": "#/2"}, "flags": REQUIRED},
        },
    },
    {"$type": "IntegerType"},
    {"$type": "ArrayType", "itemType": {"$ref": "#/9"}},
    {
        "$type": "DiscriminatedObjectType",
        "discriminator": "type",
        "baseProperties": {},
        "elements": {"Key": {"$ref": "#/10"}},
    },
    {"$type": "ObjectType", "properties": {"type": {"type": {"$ref": "#/2"}, "flags": REQUIRED}}},
]


def test_what_a_compiler_would_find_is_found() -> None:
    """Each kind of flaw once, in a resource that has them all; what it was told to pass over is passed over."""
    [resource] = resources(BODY)

    assert flaws_of(resource, SMALL) == [
        "a.kind: 'Back' is no Front or Side",
        "a.properties.height: 120 is no StringType",
        "a.properties.width: 'wide' is no IntegerType",
        "a.properties.locks[0].teeth: is not known",
        "a.properties.open: is not known",
        "a.properties.made: is read-only",
        "a.properties.colour: is missing",
    ]
