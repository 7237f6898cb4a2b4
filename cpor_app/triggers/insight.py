"""The programme's calls about figures of all claims: as JSON or CSV, as a page with charts, and a new count."""

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from cpor_app.http.request import Call
from cpor_app.http.route_table import JSON, OPERATOR, PROGRAMME_AND_READER, Answer
from cpor_app.http.server import operation
from cpor_app.triggers.register import follow_in_sandbox
from cpor_core.model.base import Instant, LateModel, Value
from cpor_core.model.caller import Role
from cpor_core.model.insight import (
    CoverageInsight,
    FunnelInsight,
    Grouping,
    ImpactInsight,
    Insight,
    Measure,
    ReasonsInsight,
)
from cpor_core.rules.insight import Group, groupings, one_group
from cpor_core.rules.spreadsheet import spreadsheet
from cpor_core.use_cases.insight import answers
from cpor_core.use_cases.programme import recount

CSV, HTML = "text/csv", "text/html"


class Asked(LateModel):
    """The figures that are asked for, and their grouping."""

    measure: Measure = Field(default=Measure.CLAIMS, description="What the figures are about.")
    group_by: Grouping = Field(default=Grouping.ENGAGEMENT, description="What the claims are grouped by.")

    model_config = ConfigDict(alias_generator=to_camel)

    @field_validator("group_by")
    @classmethod
    def _goes_with_the_measure(cls, group_by: Grouping, others: ValidationInfo) -> Grouping:
        measure = others.data.get("measure")
        if measure is not None and group_by not in (known := groupings(measure)):
            raise ValueError(f"must be one of: {', '.join(known)} for measure={measure}")
        return group_by


class RecountAsked(Value):
    """Each act that arrived before this instant is counted in the figures that are shown now."""

    as_of: Instant


@operation(
    summary="Figures about claims and associations",
    tag="Insight",
    roles=PROGRAMME_AND_READER,
    query=Asked,
    answers={
        200: {JSON: (Insight, ImpactInsight, CoverageInsight, ReasonsInsight, FunnelInsight), CSV: bytes},
    },
)
async def get_insight(call: Call) -> Answer:
    """
    Each act that arrived before `asOf` is counted. With `Accept: text/csv` the answer is a table.

    `measure` says what is counted:

    - `claims`: states, shares, and how long each step takes. Half of the claims took at most the median, and 90 of 100
      took at most `p90`.
    - `impact`: active users of associated items before the association and now.
    - `coverage`: the items that can be claimed, and how many have a holder. It can be grouped by engagement, workload
      or country.
    - `reasons`: why claims were rejected or declined, and why associations ended.
    - `funnel`: how many claims have reached each stage.

    If you group by workload or product, a claim counts once for each of its workloads or products. Only operators
    see impact and coverage of groups with fewer than five customers.
    """
    asked = call.query(Asked)
    sums = await _sums(call, [asked.group_by])
    found = sums.answer(asked.measure, asked.group_by, shows_small=_shows_small(call))
    if CSV in call.headers.get("accept", "").lower():
        empty = one_group(asked.measure, Group("", "", {}), sums.now)
        rows = ([cell for _, cell in _cells(one)] for one in found.value)
        return Answer(200, spreadsheet((name for name, _ in _cells(empty)), rows), CSV)
    return Answer(200, found)


@operation(
    summary="The figures as a page with charts",
    tag="Insight",
    roles=PROGRAMME_AND_READER,
    answers={200: {HTML: str}},
)
async def get_insight_page(call: Call) -> Answer:
    """Each chart shows the 12 largest groups. The page has no script and loads nothing from other hosts."""
    policy = {"Content-Security-Policy": call.services.pages.csp()}
    sums = await _sums(call, list(Grouping))
    page = call.services.pages.insight(sums, shows_small=_shows_small(call))
    return Answer(200, page.encode(), HTML, policy)


@operation(
    summary="Ask for a new count",
    tag="Insight",
    roles=OPERATOR,
    answers={202: RecountAsked},
)
async def recount_insight_now(call: Call) -> Answer:
    """Every claim is counted again from its history. Until the count has ended, answers have the present figures."""
    call.verify_no_fields()
    now = await call.now()
    await recount.ask(call.ports, now)
    asked = RecountAsked(as_of=await answers.as_of(call.ports, now))
    return Answer(202, asked, headers={"Operation-Location": call.url("insight")})


async def _sums(call: Call, wanted: Collection[Grouping]) -> answers.Sums:
    now = await call.now()
    await follow_in_sandbox(call, now)
    return await answers.read(call.ports, wanted, now)


def _shows_small(call: Call) -> bool:
    return Role.PROGRAM_OPERATOR in call.roles


def _cells(row: BaseModel) -> Iterator[tuple[str, str]]:
    """Yield the columns of a row of a table, with their cells. A nested figure gets a name of both names."""
    for name, value in row.model_dump(mode="json", by_alias=True).items():
        if isinstance(value, dict):
            yield from _nested(name, value)
        elif isinstance(value, list):
            for one in value:
                (_, which), *figures = one.items()
                yield from _nested(which, dict(figures))
        else:
            yield name, _cell(value)


def _nested(prefix: str, figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    return ((f"{prefix}{name[0].upper()}{name[1:]}", _cell(value)) for name, value in figures.items())


def _cell(value: object) -> str:
    return "" if value is None else str(value)
