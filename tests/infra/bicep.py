"""
What the tests of the infrastructure read in Bicep.

No compiler can be had everywhere, so pycep checks the syntax and tells what is declared, and a small reader of names,
of our own, tells what is used: pycep's result does not say which of its texts were names.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pycep import BicepParser

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
FILES = sorted(INFRA.rglob("*.bicep"))
MAIN = INFRA / "main.bicep"

_PART = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/|\#[^\n]*)
    |(?P<long>'{3}.*?'{3})
    |(?P<text>'(?:\\.|\$\{(?:[^'{}]|'[^']*')*\}|[^'\\])*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<line>\n)
    |(?P<space>[^\S\n]+)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"\$\{((?:[^'{}]|'[^']*')*)\}")
_KEYWORDS = frozenset(
    """
    targetScope param var resource module output type func existing if for in as extension true false null string
    int bool object array
    """.split()  # noqa: SIM905 - words read better than a list of them
)
_FUNCTIONS = frozenset(
    """
    dateTimeAdd dateTimeToEpoch empty guid items loadJsonContent newGuid replace resourceGroup string
    subscription subscriptionResourceId tenant toLower union uniqueString utcNow
    """.split()  # noqa: SIM905 - words read better than a list of them
)
_DECORATORS = frozenset(
    """
    description minLength maxLength minValue maxValue secure onlyIfNotExists
    """.split()  # noqa: SIM905 - words read better than a list of them
)


@dataclass(frozen=True, slots=True)
class Used:
    """A name that stands for something: how it is used, and the line."""

    name: str
    line: int
    calls: bool


@cache
def parsed(file: Path) -> Mapping[str, Any]:
    """Return what pycep makes of a file. Raises lark's UnexpectedInput for one that is not Bicep."""
    result: Mapping[str, Any] = BicepParser().parse(text=file.read_text("utf-8"))
    return result


def declared(file: Path, *kinds: str) -> Mapping[str, Any]:
    """Return what a file declares of those kinds: parameters, variables, resources, modules, outputs, types."""
    return {name: what for kind in kinds for name, what in parsed(file).get(kind, {}).items()}


def undeclared(file: Path) -> list[str]:
    """Return each name that a file uses and neither it nor Bicep has, with its line."""
    known = set(declared(file, "parameters", "variables", "resources", "modules", "types")) | _types(file)
    text = file.read_text("utf-8")
    known |= {name for loop in re.findall(r"\bfor (\w+|\(\w+, \w+\)) in\b", text) for name in re.findall(r"\w+", loop)}
    known |= set(re.findall(r"^extension (\w+)", text, re.MULTILINE))
    functions = _FUNCTIONS | _DECORATORS
    return [
        f"{file.relative_to(ROOT)}:{one.line} {one.name}"
        for one in used(text)
        if one.name not in (functions if one.calls else known)
    ]


def unused(file: Path) -> set[str]:
    """Return the parameters, variables and types that nothing in the file uses."""
    names = {one.name for one in used(file.read_text("utf-8"), declarations=False)}
    return (set(declared(file, "parameters", "variables")) | _types(file)) - names


def _types(file: Path) -> set[str]:
    return set(re.findall(r"^type (\w+)", file.read_text("utf-8"), re.MULTILINE))


def used(text: str, *, declarations: bool = True, first_line: int = 1) -> Iterator[Used]:
    """
    Yield the names that stand for something: no keys, no properties, no words of the language.

    Without *declarations* the name that is being declared is left out.
    """
    parts = [part for part in _PART.finditer(text) if part.lastgroup not in ("space", "comment")]
    line = first_line
    for index, part in enumerate(parts):
        kind, found = part.lastgroup, part[0]
        before = parts[index - 1][0] if index else "\n"
        after = parts[index + 1][0] if index + 1 < len(parts) else "\n"
        if kind == "text":
            for inside in _INSIDE.findall(found):
                yield from used(inside, first_line=line)
        elif kind == "name" and found not in _KEYWORDS:
            is_key = after == ":" and before in ("\n", "{", ",")
            is_property = before == "." or (before == "?" and index > 1 and parts[index - 2][0] == ".")
            is_declared = before in ("param", "var", "resource", "module", "output", "type")
            if not is_key and not is_property and not (is_declared and (not declarations or before == "output")):
                yield Used(found, line, calls=after == "(")
        line += found.count("\n")


def decorators(what: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the decorators of what is declared, by name, each with what it is given."""
    return {one["type"]: one.get("argument") for one in what["decorators"]}
