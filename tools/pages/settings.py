"""Makes the table of settings from `cpor_app/settings.py`."""

from collections.abc import Iterator, Mapping
from typing import Any

from cpor_app.settings import Settings
from tools.pages.markdown import code, table


def settings_table() -> str:
    """Return a table of all settings: default, allowed values and effect."""
    schema = Settings.model_json_schema()
    required = set(schema["required"])
    return "\n".join(
        table(
            ("setting", "default", "allowed values", "what it does"),
            (_row(name, field, required=name in required) for name, field in schema["properties"].items()),
        )
    )


def _row(name: str, field: Mapping[str, Any], *, required: bool) -> tuple[str, str, str, str]:
    default = "**required**" if required else _shown(field["default"])
    kinds = [kind for kind in field.get("anyOf", [field]) if kind["type"] != "null"]
    bounds = ", or ".join(", ".join(_bounds(kind)) for kind in kinds)
    return code(name), default, bounds, field["description"]


def _shown(default: object) -> str:
    match default:
        case None:
            return "not set"
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
