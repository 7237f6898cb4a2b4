"""The programme's calls about figures of all claims: as JSON or CSV, as a page with charts, and a new count."""

from collections.abc import Iterator, Sequence

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from cpor_app.http.request import Call
from cpor_app.http.route_table import JSON, OPERATOR, PROGRAMME_AND_READER, Answer
from cpor_app.http.server import operation
from cpor_core.model.base import Instant, LateModel, Value
from cpor_core.model.insight import Figures, Grouping, Insight, Step
from cpor_core.rules.spreadsheet import spreadsheet
from cpor_core.use_cases.insight import recount

CSV, HTML = "text/csv", "text/html"


class GroupBy(LateModel):
    """The grouping of the figures."""

    group_by: Grouping = Field(default=Grouping.ENGAGEMENT, description="What the claims are grouped by.")

    model_config = ConfigDict(alias_generator=to_camel)


class RecountAsked(Value):
    """The time of the count that is shown until the new count has ended."""

    as_of: Instant | None


@operation(
    summary="Figures about claims and associations",
    tag="Insight",
    roles=PROGRAMME_AND_READER,
    query=GroupBy,
    answers={200: {JSON: Insight, CSV: bytes}},
)
async def get_insight(call: Call) -> Answer:
    """
    The figures are from the last full count, at `asOf`. Before the first count `asOf` is null. The service counts each
    hour.

    With `Accept: text/csv` the answer is a table. Half of the claims took at most `medianHours`, and 90 of 100 took at
    most `p90Hours`. If you group by workload or product, a claim counts once for each of its workloads or products.
    """
    wanted = call.query(GroupBy).group_by
    if call.services.settings.sandbox:
        found = next(one for one in await _counted(call) if one.group_by is wanted)
    else:
        found = await recount.read_one(call.ports, wanted)
    if CSV in call.headers.get("accept", "").lower():
        return Answer(200, spreadsheet(COLUMNS, map(_cells, found.value)), CSV)
    return Answer(200, found)


@operation(
    summary="The figures as a page with charts",
    tag="Insight",
    roles=PROGRAMME_AND_READER,
    answers={200: {HTML: str}},
)
async def get_insight_page(call: Call) -> Answer:
    """Each grouping shows its 20 largest groups. The page has no script and loads nothing from other hosts."""
    policy = {"Content-Security-Policy": call.services.pages.csp()}
    return Answer(200, call.services.pages.insight(await _counted(call)).encode(), HTML, policy)


@operation(
    summary="Ask for a new count",
    tag="Insight",
    roles=OPERATOR,
    answers={202: RecountAsked},
)
async def recount_insight_now(call: Call) -> Answer:
    """The count begins within five minutes. Until the count has ended, the figures of the last count are shown."""
    call.verify_no_fields()
    asked = RecountAsked(as_of=await recount.ask(call.ports))
    return Answer(202, asked, headers={"Operation-Location": call.url("insight")})


async def _counted(call: Call) -> Sequence[Insight]:
    """Return every grouping. In the sandbox the claims are counted now, because its time is moved (decision 50)."""
    if call.services.settings.sandbox:
        return await recount.count_now(call.ports, await call.now())
    return await recount.read(call.ports)


PLAIN = tuple(field.alias or name for name, field in Figures.model_fields.items() if name != "steps")
COLUMNS = (*PLAIN, *(f"{step}{what}" for step in Step for what in ("Count", "MedianHours", "P90Hours")))


def _cells(one: Figures) -> Iterator[str]:
    said = one.model_dump(mode="json", by_alias=True)
    yield from (_cell(said[name]) for name in PLAIN)
    for time in one.steps:
        yield from (str(time.count), _cell(time.median_hours), _cell(time.p90_hours))


def _cell(value: object) -> str:
    return "" if value is None else str(value)
