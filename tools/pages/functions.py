"""Makes the tables of functions, as the Functions host indexes them, and the table of roles."""

import inspect
import json
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpor_app.functions import handler
from cpor_app.http.route_table import OPERATIONS, Operation, operations
from cpor_core.model.caller import Role
from tools.pages.markdown import code, listed, table

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Indexed:
    """A function with its trigger. `operation` is None if the function is not in the table of operations."""

    name: str
    trigger: Mapping[str, Any]
    summary: str
    operation: Operation | None


def indexed() -> Sequence[Indexed]:
    """Return every function of the app, in the order of the table of functions."""
    app = runpy.run_path(str(ROOT / "function_app.py"))["app"]  # a new app, because it lists its functions once
    return [_indexed(each) for each in app.get_functions()]


def _indexed(declared: Any) -> Indexed:
    name = declared.get_function_name()
    bindings = [json.loads(raw) for raw in declared.get_raw_bindings()]
    trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
    documented = inspect.getdoc(handler(name))  # this loads its module, which enters its operation into the table
    operation = OPERATIONS.get(name)
    if operation is None:
        return Indexed(name, trigger, first_paragraph(documented), None)
    return Indexed(name, trigger, f"{operation.summary}. {first_paragraph(operation.description)}", operation)


def first_paragraph(documented: str | None) -> str:
    """Return the first paragraph of a docstring, as one line."""
    return " ".join((documented or "").partition("\n\n")[0].split())


def functions_tables() -> str:
    """Return tables of the functions that callers reach, by subject, and of those that queues and the timer start."""
    functions = indexed()
    called: dict[str, list[Indexed]] = {}
    for one in functions:
        if one.trigger["type"] == "httpTrigger":
            called.setdefault(one.operation.tag if one.operation is not None else "Everything else", []).append(one)
    parts = []
    for subject, of_subject in called.items():
        parts += [f"### {subject}", "", *_called(of_subject), ""]
    parts += ["## Started by queues and the timer", "", *_started(functions)]
    return "\n".join(parts)


def _called(functions: Sequence[Indexed]) -> Iterator[str]:
    return table(
        ("function", "call", "roles", "what it does"),
        (
            (code(one.name), code(f"{_methods(one.trigger)} /{one.trigger['route']}"), _roles(one), one.summary)
            for one in functions
        ),
    )


def _methods(trigger: Mapping[str, Any]) -> str:
    return ", ".join(trigger.get("methods") or ["any method"])


def _roles(function: Indexed) -> str:
    line = function.operation
    if line is None:
        return "anyone"
    if line.roles is None:
        return "the mailed link" if line.in_words else "anyone"
    if not line.roles:
        return "anyone with a token"
    return listed(role for role in Role if role in line.roles)


def _started(functions: Sequence[Indexed]) -> Iterator[str]:
    rows = []
    for one in functions:
        match one.trigger:
            case {"type": "queueTrigger", "queueName": queue}:
                rows.append((code(one.name), f"queue {code(queue)}", one.summary))
            case {"type": "timerTrigger", "schedule": schedule}:
                rows.append((code(one.name), f"timer {code(schedule)}", one.summary))
            case _:
                pass
    return table(("function", "started by", "what it does"), rows)


def roles_table() -> str:
    """Return the table of roles with the operations that each role can call."""
    lines = operations()
    rows = ((code(role), listed(line.name for line in lines if line.roles and role in line.roles)) for role in Role)
    return "\n".join(table(("role", "opens"), rows))
