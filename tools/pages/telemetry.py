"""Makes the tables of counters, of attributes of spans, and of the log lines that alerts query."""

import json
from pathlib import Path

from cpor_app.adapters.telemetry.recording import INSTRUMENTS, SPAN_ATTRIBUTES
from tools.pages.markdown import code, table

ALERTS = Path(__file__).resolve().parents[2] / "infra" / "alerts.json"


def counters_table() -> str:
    """Return the table of counters and histograms."""
    rows = ((code(one.name), code(one.attribute) if one.attribute else "", one.meaning) for one in INSTRUMENTS)
    return "\n".join(table(("counter", "attribute", "counts"), rows))


def attributes_table() -> str:
    """Return the table of attributes that a span can have."""
    return "\n".join(table(("attribute", "what it is"), ((code(name), said) for name, said in SPAN_ATTRIBUTES.items())))


def lines_table() -> str:
    """Return the table of log lines that alerts query."""
    alerts = json.loads(ALERTS.read_text("utf-8"))
    return "\n".join(table(("line", "alert"), ((code(one["example"]), code(one["name"])) for one in alerts)))
