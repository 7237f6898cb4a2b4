"""
What Bicep says of each resource, as far as it can be known without running it.

pycep's result does not tell a text from a name, so this reads the parts that `bicep` finds. A literal is its value,
an object is a dictionary and an array a list. Of a loop its body stands once; of a choice (`a ? b : c`) both ends are
kept. Everything else that is worked out at deployment is `Unknown`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.infra.bicep import _PART

Part: TypeAlias = "re.Match[str]"
OPENING, CLOSING = frozenset("{[("), frozenset("}])")
EXCUSED = "#disable-next-line BCP037"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is worked out at deployment."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two values."""

    ends: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Excused:
    """A value whose property the compiler was told not to look for."""

    value: Any


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that is made: its name in the file, its type with version, and its body."""

    name: str
    kind: str
    body: Mapping[str, Any]


def resources(text: str) -> Iterator[Resource]:
    """Yield the resources that a file makes; those that must exist already are left out."""
    parts = [part for part in _PART.finditer(text) if part.lastgroup != "space"]
    parts = [part for part in parts if part.lastgroup != "comment" or part[0].startswith(EXCUSED)]
    for index, part in enumerate(parts):
        if part[0] == "resource" and (index == 0 or parts[index - 1][0] == "\n") and parts[index + 3][0] == "=":
            body = next(_split(parts[index + 4 :], {"\n"}))
            if body[0][0] == "if":
                body = body[_end_of(body, 1) + 1 :]
            made = _value(body)
            yield Resource(
                parts[index + 1][0], parts[index + 2][0].strip("'"), made[0] if isinstance(made, list) else made
            )


def _end_of(parts: Sequence[Part], opening: int) -> int:
    """Return where the bracket that opens at *opening* closes."""
    depth = 0
    for index in range(opening, len(parts)):
        depth += (parts[index][0] in OPENING) - (parts[index][0] in CLOSING)
        if depth == 0:
            return index
    raise ValueError("a bracket is not closed")


def _split(parts: Sequence[Part], marks: set[str]) -> Iterator[Sequence[Part]]:
    """Yield what stands between the *marks* that are in no bracket; what is empty is left out."""
    depth = begin = 0
    for index, part in enumerate(parts):
        depth += (part[0] in OPENING) - (part[0] in CLOSING)
        if depth == 0 and part[0] in marks:
            if index > begin:
                yield parts[begin:index]
            begin = index + 1
    if parts[begin:]:
        yield parts[begin:]


def _value(parts: Sequence[Part]) -> Any:
    first = parts[0][0]
    if first in ("{", "[") and _end_of(parts, 0) == len(parts) - 1:
        return _object(parts[1:-1]) if first == "{" else _array(parts[1:-1])
    if all(part[0].isdecimal() for part in parts):
        return int("".join(part[0] for part in parts))
    if len(parts) == 1:
        return _literal(parts[0])
    if (choice := _choice(parts)) is not None:
        return choice
    return Unknown()


def _literal(part: Part) -> Any:
    if part.lastgroup == "text" and "${" not in part[0]:
        return part[0][1:-1].replace("\\'", "'")
    return {"true": True, "false": False, "null": None}.get(part[0], Unknown())


def _choice(parts: Sequence[Part]) -> Choice | None:
    ends = list(_split(parts, {"?"}))
    if len(ends) != 2 or any(part[0] == "?" for part in parts[len(ends[0]) + 1 : len(ends[0]) + 2]):
        return None
    branches = list(_split(ends[1], {":"}))
    return Choice(tuple(_value(branch) for branch in branches)) if len(branches) == 2 else None


def _object(parts: Sequence[Part]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    excused = False
    for entry in _split(parts, {"\n", ","}):
        if entry[0].lastgroup == "comment":
            excused = True
            continue
        value = _value(entry[2:])
        found[entry[0][0].strip("'")] = Excused(value) if excused else value
        excused = False
    return found


def _array(parts: Sequence[Part]) -> list[Any]:
    entries = list(_split(parts, {"\n", ","}))
    if entries and entries[0][0][0] == "for":
        head = next(_split(entries[0], {":"}))
        return [_value(entries[0][len(head) + 1 :])]
    return [_value(entry) for entry in entries]
