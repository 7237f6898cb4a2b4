"""The tables of error codes: statuses from the one table that knows them, words from where each is raised."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cpor_app.triggers.refusals import DETAIL_CODES, STATUSES
from tools.pages.functions import operations
from tools.pages.markdown import code, listed, table

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("cpor_core", "cpor_app")
MOST_ANSWERS = 4
"""A code with more answers than these is raised in many places, and each refusal says what to do itself."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A code that stands in the source, with what the caller is told to do."""

    code: str
    resolution: str | None


def raised() -> Sequence[Raised]:
    """Return every refusal and detail of the source, in the order of its files."""
    files = sorted(file for source in SOURCES for file in (ROOT / source).rglob("*.py"))
    return [found for file in files for found in _raised_in(ast.parse(file.read_text("utf-8")))]


def _raised_in(tree: ast.AST) -> Iterator[Raised]:
    """Yield what is made as `Refused(…)`, as `Detail(…)`, or by the `__init__` of a kind of `Refused`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Refused" | "Detail"), args=[ast.Constant(value=str(name)), *rest]):
                pass
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"),
                args=[ast.Constant(value=str(name)), _, *rest],
            ):
                pass
            case _:
                continue
        named = [keyword.value for keyword in node.keywords if keyword.arg == "resolution"]
        answers = [text for value in (*named, *rest[2:3]) if (text := _words(value)) is not None]
        yield Raised(name, answers[0] if answers else None)


def _words(node: ast.expr) -> str | None:
    """Return a literal text, with an ellipsis for what is put in when it is said; None for anything else."""
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
        return "not answered yet"
    words = list(dict.fromkeys(filter(None, told)))
    return " *or* ".join(words) if 0 < len(words) <= MOST_ANSWERS else "as `resolution` says"


def operations_table() -> str:
    """Return each operation with the codes of its own; what follows from its shape stands on the page in words."""
    rows = ((code(line.name), listed(name for name in STATUSES if name in line.refusals)) for line in operations())
    return "\n".join(table(("operation", "its own codes"), rows))


def everywhere() -> str:
    """Return the codes that every operation may answer, as one line."""
    lines = operations()
    return f"Any operation: {listed(name for name in STATUSES if all(name in line.codes for line in lines))}."
