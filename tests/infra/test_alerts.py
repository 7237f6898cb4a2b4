"""Every alert asks for a line that our code writes, or for what the platform counts."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from cpor_app.adapters.identity.tokens import Flaw
from tests.infra.bicep import INFRA, ROOT

ALERTS: list[dict[str, Any]] = json.loads((INFRA / "alerts.json").read_text("utf-8"))
METRICS: list[dict[str, Any]] = json.loads((INFRA / "metric-alerts.json").read_text("utf-8"))
PUBLISHED_METRICS = {
    "AdvancedFilterEvaluationCount",
    "DeadLetteredCount",
    "DeliveryAttemptFailCount",
    "DeliverySuccessCount",
    "DestinationProcessingDurationInMs",
    "DroppedEventCount",
    "MatchedEventCount",
    "PublishFailCount",
    "PublishSuccessCount",
    "PublishSuccessLatencyInMs",
    "UnmatchedEventCount",
}
"""Of Microsoft.EventGrid/systemTopics, from Microsoft's reference of supported metrics, read in November 2026."""
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


@cache
def _log_lines() -> tuple[tuple[str, str], ...]:
    """Return level and format of every line that the code can log."""
    return tuple(_found_log_lines())


def _found_log_lines() -> Iterator[tuple[str, str]]:
    for folder in ("cpor_app", "cpor_core"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                match node:
                    case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(value=str(line)), *_]):
                        if level in LEVELS:
                            yield level, line
                    case _:
                        pass


def _asked_for(query: str) -> re.Pattern[str]:
    """Return what a row's message must match, as the query has it."""
    found = re.fullmatch(r'AppTraces \| where Message (contains|matches regex) "([^"]+)"', query)
    assert found is not None, query
    return re.compile(re.escape(found[2]) if found[1] == "contains" else found[2])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["name"]))
def test_an_alert_asks_for_a_line_that_the_code_writes(alert: dict[str, Any]) -> None:
    """Its example is such a line, at a level that is kept, and the query finds it."""
    writing = [
        level for level, line in _log_lines() if re.fullmatch(re.sub(r"%[sd]", ".*", re.escape(line)), alert["example"])
    ]

    assert _asked_for(alert["query"]).search(alert["example"])
    assert set(writing) - {"debug"}, f"nothing in the code writes {alert['example']!r}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["name"]))
def test_an_alert_is_complete_and_says_what_to_do(alert: dict[str, Any]) -> None:
    """A rule that tells of silence fires on fewer than one row; no rule looks less far back than it looks often."""
    minutes = {"PT5M": 5, "PT10M": 10, "PT15M": 15, "PT1H": 60}

    assert set(alert) == {
        *("name", "title", "meaning", "severity", "example"),
        *("query", "operator", "threshold", "window", "every"),
    }
    assert minutes[alert["every"]] <= minutes[alert["window"]]
    assert (alert["operator"] == "LessThan") == (alert["threshold"] == 1)
    assert alert["meaning"].endswith(".")


def test_every_alert_is_on_the_page_that_says_what_to_do() -> None:
    """And none that is not there any more."""
    page = (ROOT / "docs" / "deploying.md").read_text("utf-8").partition("\n## Alerts\n")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == [alert["name"] for alert in ALERTS + METRICS]


def test_every_reason_for_a_refused_token_is_counted() -> None:
    """The alert looks for their common beginning."""
    asked = next(_asked_for(alert["query"]) for alert in ALERTS if alert["name"] == "tokens-refused")

    assert [flaw for flaw in Flaw if not asked.search(f"list_claims: 401 {flaw}")] == []


def test_lines_of_the_lowest_level_that_an_alert_needs_are_kept() -> None:
    """The host keeps what is information and above unless host.json says otherwise."""
    host = json.loads((ROOT / "host.json").read_text("utf-8"))

    assert "logging" not in host


def test_alerts_about_reports_watch_what_the_platform_counts() -> None:
    """Each is complete, its metric is published, and no name is given twice."""
    names = [alert["name"] for alert in ALERTS + METRICS]

    assert len(set(names)) == len(names)
    assert {alert["metric"] for alert in METRICS} <= PUBLISHED_METRICS
    for alert in METRICS:
        assert set(alert) == {"name", "title", "meaning", "severity", "metric", "threshold"}
        assert alert["meaning"].endswith(".")
