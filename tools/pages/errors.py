"""Makes the tables of error codes. The words come from the lines of code that raise the errors."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cpor_app.http.route_table import operations
from cpor_app.http.status_codes import DETAIL_CODES, STATUSES
from tools.pages.markdown import code, listed, table

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("cpor_core", "cpor_app")
MOST_ANSWERS = 4
"""The most resolutions that the table shows for a code. For a code with more, it refers to `resolution`."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A code in the source, with the texts that a caller gets."""

    code: str
    message: str | None
    resolution: str | None


def raised() -> Sequence[Raised]:
    """Return every refusal and detail in the source, in the order of the files."""
    files = sorted(file for source in SOURCES for file in (ROOT / source).rglob("*.py"))
    return [found for file in files for found in _raised_in(ast.parse(file.read_text("utf-8")))]


def _raised_in(tree: ast.AST) -> Iterator[Raised]:
    """Yield each call of `Refused(…)`, `Detail(…)` or `BadRow(…)`, and of `__init__` in a subclass of `Refused`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Refused" | "Detail" | "BadRow"), args=given):
                pass
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"), args=given):
                pass
            case _:
                continue
        told = {name: _words(value) for name, value in zip(_PARAMETERS, given, strict=False)}
        told |= {keyword.arg: _words(keyword.value) for keyword in node.keywords if keyword.arg in _PARAMETERS}
        name, message = told.get("code"), told.get("message")
        if name is not None and "message" in told:
            yield Raised(name, message, told.get("resolution"))


_PARAMETERS = ("code", "message", "target", "resolution")


def _words(node: ast.expr) -> str | None:
    """Return a literal text, with an ellipsis in place of each inserted value. None for any other expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_words(part) or "…" for part in parts)
        case _:
            return None


def codes_table() -> str:
    """Return each code with its status and what callers can do about it."""
    answers = raised()
    rows = ((code(name), str(int(status)), _what_to_do(name, answers)) for name, status in STATUSES.items())
    return "\n".join(table(("code", "status", "what to do"), rows))


def details_table() -> str:
    """Return each code of a detail with what callers can do about it."""
    answers = raised()
    return "\n".join(table(("code", "what to do"), ((code(name), _what_to_do(name, answers)) for name in DETAIL_CODES)))


def _what_to_do(name: str, answers: Sequence[Raised]) -> str:
    told = [one.resolution for one in answers if one.code == name]
    if not told:
        return "not used yet"
    words = list(dict.fromkeys(filter(None, told)))
    return " *or* ".join(words) if 0 < len(words) <= MOST_ANSWERS else "as `resolution` says"


def rows_table() -> str:
    """Return the codes that only a row of a feed or an import can have, with the fault of such a row."""
    wrong: dict[str, dict[str, None]] = {}
    for one in raised():
        if one.code not in STATUSES and one.code not in DETAIL_CODES:
            wrong.setdefault(one.code, {})[one.message or "as `message` says"] = None
    return "\n".join(
        table(("code", "what is wrong"), ((code(name), " *or* ".join(wrong[name])) for name in sorted(wrong)))
    )


def operations_table() -> str:
    """Return each operation with its own codes. The page explains in words the codes that many operations have."""
    rows = ((code(line.name), listed(name for name in STATUSES if name in line.refusals)) for line in operations())
    return "\n".join(table(("operation", "its own codes"), rows))


def everywhere() -> str:
    """Return one line with the codes that every operation can answer."""
    lines = operations()
    return f"Any operation: {listed(name for name in STATUSES if all(name in line.codes for line in lines))}."
