"""The calls about usage figures. The operator feeds them, and the partner of an official association reads them."""

from codecs import BOM_UTF8
from datetime import date
from io import BytesIO

from pydantic import ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from cpor_app.http.parsing import read
from cpor_app.http.request import Call
from cpor_app.http.route_table import JSON, OPERATOR, PARTNER, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Detail, Refused
from cpor_core.model.base import Day, Guid, LateModel, Value
from cpor_core.model.usage import Month, UsageLine
from cpor_core.rules.usage_advice import Advice
from cpor_core.rules.usage_figures import UsageRow
from cpor_core.use_cases.usage import figures
from cpor_core.use_cases.usage.figures import FeedFormat, Loaded

USAGE_BYTES = 32 * 2**20
JSON_LINES, CSV = "application/x-ndjson", "text/csv"


class UsageFeed(LateModel):
    """The tenant, the day and the format of a feed."""

    tenant_id: Guid | None = Field(default=None, description="The tenant. The formats of Microsoft Graph need it.")
    as_of: Day | None = Field(default=None, description="The day of the figures. Without it the day is today.")
    format: FeedFormat = FeedFormat.JSONL

    model_config = ConfigDict(alias_generator=to_camel)


class GraphList(LateModel):
    """A list as Microsoft Graph answers it; other fields are ignored."""

    value: tuple[JsonValue, ...]

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Months(LateModel):
    """The first and the last month, both included."""

    first: Month | None = Field(default=None, alias="from")
    last: Month | None = Field(default=None, alias="to")


class ListedAdvice(Value):
    """The advice that a partner can give the customer."""

    value: tuple[Advice, ...]


class Usage(Value):
    """Figures by month and item."""

    value: tuple[UsageRow, ...]


@operation(
    summary="Feed usage figures, as an unchanged report of Microsoft Graph or as JSON lines",
    tag="Usage",
    roles=OPERATOR,
    query=UsageFeed,
    body={JSON: GraphList, JSON_LINES: UsageLine, CSV: str},
    max_bytes=USAGE_BYTES,
    answers={200: Loaded},
    refusals=("WrongReport",),
)
async def load_usage(call: Call) -> Answer:
    """
    The same feed twice changes nothing. A bad row is reported, and the other rows are stored. Figures of a newer day
    replace those of an older day.

    `graph-subscribed-skus` takes the JSON of `GET /subscribedSkus`. `graph-subscriptions` takes the JSON of
    `GET /directory/subscriptions`. `graph-service-user-counts` takes the CSV of `getOffice365ServicesUserCounts`.
    `jsonl` has a line for each item and month. `accepted`, `unchanged` and `rejected` count rows.
    """
    body = call.bytes()
    feed = call.query(UsageFeed)
    now = await call.now()
    as_of: date = feed.as_of or now.date()
    if feed.format is FeedFormat.JSONL:
        call.require_type(JSON_LINES)
        return Answer(200, await figures.load_lines(call.ports, BytesIO(body), feed.tenant_id, as_of, now))
    in_csv = feed.format is FeedFormat.SERVICE_USER_COUNTS
    call.require_type(CSV if in_csv else JSON)
    if feed.tenant_id is None:
        raise Refused(
            "ValidationFailed",
            "A report of Microsoft Graph does not name its tenant.",
            target="tenantId",
            resolution="Send tenantId in the query.",
            details=(Detail("FieldRequired", "tenantId is needed.", "tenantId", "Send it."),),
        )
    content = body if in_csv else read(GraphList, body.removeprefix(BOM_UTF8)).value
    return Answer(200, await figures.load_graph_report(call.ports, feed.format, feed.tenant_id, as_of, content, now))


@operation(
    summary="Active users and seats of the associated items, by month",
    tag="Associations",
    roles=PARTNER,
    query=Months,
    answers={200: Usage},
    refusals=("NotFound", "FiguresNotYet", "CustomerNotTold"),
)
async def get_usage(call: Call) -> Answer:
    """
    There are figures only while the association is official, only for its items, and only from its first month on. They
    are shown from a minute after the end of the window: in this minute the service can still record a no that arrived
    in time. For an imported association they are shown after the mail to the customer, and not while that mail has come
    back from every recipient.

    Each answer leaves a receipt that the customer can read. It names the reader, the time, the months and the items.
    """
    case = await call.own_case()
    months = call.query(Months)
    reader = figures.Reader(call.person_id, call.kind.value)
    rows = await figures.read_usage(call.ports, case, reader, first=months.first, last=months.last)
    return Answer(200, Usage(value=tuple(rows)))


@operation(
    summary="Advice for the customer, made from the usage figures",
    tag="Associations",
    roles=PARTNER,
    answers={200: ListedAdvice},
    refusals=("NotFound", "FiguresNotYet", "CustomerNotTold"),
)
async def get_advice(call: Call) -> Answer:
    """
    The advice is about unassigned seats, unused seats and falling use. Each advice has its figures.

    A call needs the same access as the usage figures, and leaves the same receipt.
    """
    case = await call.own_case()
    reader = figures.Reader(call.person_id, call.kind.value)
    return Answer(200, ListedAdvice(value=tuple(await figures.read_advice(call.ports, case, reader))))
