"""Writes the programme's page of counts. Each chart has a table with the same figures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cpor_app.adapters.texts.charts import bars
from cpor_app.adapters.texts.texts import Texts
from cpor_core.model.base import rfc3339
from cpor_core.model.insight import Figures, Grouping, Insight, Step

SHOWN = 20
"""The most groups in a chart and its table. A chart with more groups is hard to read."""
TITLES: Mapping[Grouping, str] = {
    Grouping.ENGAGEMENT: "engagement",
    Grouping.WORKLOAD: "workload or product",
    Grouping.COUNTRY: "customer's country",
    Grouping.PARTNER: "partner's location",
    Grouping.STATUS: "state",
    Grouping.MONTH: "month of creation",
}
STEPS: Mapping[Step, str] = {
    Step.DRAFT: "Creation to submission",
    Step.WAIT_FOR_REVIEW: "Submission to start of review",
    Step.REVIEW: "Start of review to decision",
    Step.ANSWER: "Question to the partner's answer",
    Step.NOTICE: "Approval to the customer's notice",
    Step.WINDOW: "Notice to official",
    Step.SUBMISSION_TO_OFFICIAL: "Submission to official",
}


class _Section(NamedTuple):
    title: str
    group_by: str
    charts: Sequence[str]
    rows: Sequence[Figures]
    more: int


def insight_page(texts: Texts, insights: Sequence[Insight]) -> str:
    """Return the page in HTML."""
    total, as_of = insights[0].total, insights[0].as_of
    times = [(STEPS[time.step], time.median_hours or 0.0) for time in total.steps] if total is not None else []
    return texts.insight_page(
        {
            "as_of": rfc3339(as_of) if as_of is not None else None,
            "total": total,
            "step_names": STEPS,
            "steps_chart": bars("Hours within which half of the claims came through a step", times),
            "sections": [_section(insight) for insight in insights],
        }
    )


def _section(insight: Insight) -> _Section:
    title = TITLES[insight.group_by]
    # If there are more months than `SHOWN`, the newest are shown.
    rows = insight.value[-SHOWN:] if insight.group_by is Grouping.MONTH else insight.value[:SHOWN]
    charts = [bars(f"Claims by {title}", [(_label(row), row.claims) for row in rows])]
    if insight.group_by is not Grouping.STATUS:
        charts.append(bars(f"Official associations by {title}", [(_label(row), row.associations) for row in rows]))
    return _Section(title, insight.group_by.value, charts, rows, len(insight.value) - len(rows))


def _label(row: Figures) -> str:
    """Return the label of a bar. The label includes the key, because two partners can have the same name."""
    return row.name if row.name == row.key else f"{row.name} ({row.key})"
