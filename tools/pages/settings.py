"""The table of settings, from `cpor_app/settings.py`."""

from collections.abc import Iterator, Mapping
from typing import Any

from cpor_app.settings import Settings
from tools.pages.markdown import code, table


def settings_table() -> str:
    """Return each setting with its default, what it may be, and what it does."""
    schema = Settings.model_json_schema()
    needed = set(schema["required"])
    return "\n".join(
        table(
            ("setting", "default", "may be", "what it does"),
            (_row(name, wanted, needed=name in needed) for name, wanted in schema["properties"].items()),
        )
    )


def _row(name: str, wanted: Mapping[str, Any], *, needed: bool) -> tuple[str, str, str, str]:
    default = "**needed**" if needed else _shown(wanted["default"])
    kinds = [kind for kind in wanted.get("anyOf", [wanted]) if kind["type"] != "null"]
    bounds = ", or ".join(", ".join(_bounds(kind)) for kind in kinds)
    return code(name), default, bounds, wanted["description"]


def _shown(default: object) -> str:
    match default:
        case None:
            return "left out"
        case bool():
            return code(int(default))
        case _:
            return code(default)


def _bounds(kind: Mapping[str, Any]) -> Iterator[str]:
    match kind["type"]:
        case "boolean":
            yield "`0` or `1`"
        case "integer" if "maximum" in kind:
            yield f"{kind['minimum']} to {kind['maximum']}"
        case "integer" if "minimum" in kind:
            yield f"{kind['minimum']} or more"
        case "integer":
            yield "a whole number"
        case _ if "format" in kind:
            yield {"date-time": "an instant such as `2026-11-01T00:00:00Z`", "date": "a day such as `2026-11-01`"}[
                kind["format"]
            ]
        case _ if "pattern" in kind:
            yield code(kind["pattern"])
        case _ if kind.get("minLength", 1) > 1:
            yield f"{kind['minLength']} characters or more"
        case _:
            yield "text"
