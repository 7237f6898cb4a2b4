"""The programme's calls about the register: its rows at any instant, and the changes of all claims."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from cpor_app.http.parsing import QueryFlag
from cpor_app.http.request import Call
from cpor_app.http.route_table import JSON, PROGRAMME_AND_READER, Answer
from cpor_app.http.server import operation
from cpor_core.errors import Detail, Refused
from cpor_core.model.base import Guid, Instant, InstantOrDay, LateModel, PartnerId, Value, rfc3339
from cpor_core.model.claim import LEFT_OUT, ItemKey, Reason
from cpor_core.model.programme import ProgrammeChange, RegisterRow
from cpor_core.model.registry import Country
from cpor_core.rules.input_faults import refused_fields
from cpor_core.rules.spreadsheet import spreadsheet
from cpor_core.use_cases.due_work.sweep import follow_now
from cpor_core.use_cases.programme import feed
from cpor_core.use_cases.register import questions
from cpor_core.use_cases.register.questions import Question

CSV, JSON_LINES = "text/csv", "application/x-ndjson"


class RegisterFilters(LateModel):
    """What is asked of the register. A row must fit each filter."""

    as_of: InstantOrDay | None = Field(default=None, description="The instant of the answer. Without it, now.")
    ended: QueryFlag = Field(default=False, description="`true`: the rows that ended in a period, and no others.")
    ended_from: InstantOrDay | None = Field(
        default=None,
        alias="from",
        description="The first instant of the period. Without it, the period has no beginning.",
    )
    ended_to: InstantOrDay | None = Field(
        default=None, alias="to", description="The end of the period, which is not in the period. Without it, now."
    )
    tenant_id: Guid | None = None
    organisation: Guid | None = None
    partner_id: PartnerId | None = None
    engagement: str | None = None
    item: ItemKey | None = Field(default=None, description="The id of a workload or of a subscription.")
    country: Country | None = None

    model_config = ConfigDict(alias_generator=to_camel)

    def question(self, now: datetime) -> Question:
        """Return the question. Raises `ValidationFailed` for parameters that do not go together."""
        faults = list(self._faults(now))
        if faults:
            raise refused_fields(faults)
        return Question(
            as_of=(self.ended_to if self.ended else self.as_of) or now,
            **{name: getattr(self, name) for name in Question.model_fields if name != "as_of"},
        )

    def _faults(self, now: datetime) -> Iterator[Detail]:
        unfit = {"asOf": self.as_of} if self.ended else {"from": self.ended_from, "to": self.ended_to}
        for name in (name for name, value in unfit.items() if value is not None):
            what = "the period has from and to" if self.ended else "only ended rows have a period"
            instead = "Send from and to instead of asOf." if self.ended else "Send ended=true too, or asOf instead."
            yield Detail("FieldInvalid", f"{name} does not fit: {what}.", name, instead)
        for name, value in (("asOf", self.as_of), ("from", self.ended_from), ("to", self.ended_to)):
            if value is not None and value > now:
                instead = "Send an earlier instant." if name == "from" else f"Leave {name} out. Then it is now."
                yield Detail("FieldInvalid", f"{name} is in the future.", name, instead)
        if self.ended_from is not None and self.ended_to is not None and self.ended_from > self.ended_to:
            yield Detail("FieldInvalid", "from is after to.", "from", "Send an earlier instant.")


class RegisterEntry(Value):
    """One item of one association for one unbroken time. The names and the country are registered now."""

    tenant_id: Guid
    customer_name: str | None
    country: str | None
    engagement: str
    item: str
    item_name: str
    partner_id: str
    partner_name: str
    organisation: Guid
    since: Instant
    until: Instant | None
    end_reason: Reason | None
    association_id: str


class ListedRegister(Value):
    """A page of the register."""

    as_of: Instant = Field(description="The instant of the answer. For ended rows it is the end of the period.")
    complete_to: Instant = Field(description="All acts that arrived up to this instant are in the answer.")
    value: tuple[RegisterEntry, ...]
    next_link: str | None = LEFT_OUT


class ListedProgrammeChanges(Value):
    """The next changes."""

    value: tuple[ProgrammeChange, ...]
    cursor: str = Field(description="Send it with the next call, even if `value` is empty.")


@operation(
    summary="Who is partner of record for which item, at any instant",
    tag="Register",
    roles=PROGRAMME_AND_READER,
    query=RegisterFilters,
    answers={200: {JSON: ListedRegister, CSV: bytes, JSON_LINES: RegisterEntry}},
    paged=True,
)
async def list_register(call: Call) -> Answer:
    """
    The answer is what is known now about `asOf`. All pages of an answer have the same `asOf` and `completeTo`. After
    `completeTo`, rows can be missing or out of date.

    With `ended=true` the answer has the rows with an `until` at or after `from` and before `to`.

    One call looks at up to 1,000 rows. So a page with filters can be short or empty and still have a nextLink. With
    `Accept: text/csv` or `application/x-ndjson` the answer has rows only, and the headers `Link`, `Cpor-As-Of` and
    `Cpor-Complete-To`.
    """
    filters = call.query(RegisterFilters)
    sent = {name: call.params[name] for name in FILTER_NAMES if name in call.params}
    now = await call.now()
    await follow_in_sandbox(call, now)
    question = filters.question(now)
    after, limit = call.page(sent)
    if after:
        as_of, known_to, after = after.split("|", 2)
        question = question.model_copy(update={"as_of": datetime.fromisoformat(as_of)})
        complete_to = datetime.fromisoformat(known_to)
    else:
        complete_to = await questions.complete_to(call.ports, question, now)
    page = await questions.page_of(call.ports, question, now, after=after, limit=limit)
    link = None
    if page.position is not None:
        position = "|".join((rfc3339(question.as_of), rfc3339(complete_to), page.position))
        link = call.next_link(position, sent)
    names = call.ports.catalogue.item_names
    entries = tuple(_entry(row, names) for row in page.rows)
    headers = {"Cpor-As-Of": rfc3339(question.as_of), "Cpor-Complete-To": rfc3339(complete_to)}
    if link is not None:
        headers["Link"] = f"<{link}>; rel=next"
    if call.accepts(CSV):
        return Answer(200, spreadsheet(COLUMNS, map(_cells, entries)), CSV, headers)
    if call.accepts(JSON_LINES):
        return Answer(200, "".join(f"{one.model_dump_json()}\n" for one in entries).encode(), JSON_LINES, headers)
    return Answer(200, ListedRegister(as_of=question.as_of, complete_to=complete_to, value=entries, next_link=link))


@operation(
    summary="The changes of all claims since the cursor",
    tag="Register",
    roles=PROGRAMME_AND_READER,
    answers={200: ListedProgrammeChanges},
    paged=True,
    refusals=("CursorExpired",),
)
async def list_register_changes(call: Call) -> Answer:
    """
    The list has every change of every claim once, three minutes after the change at the latest. The changes of one
    claim come in order. There is no order between claims.

    Without a cursor the list begins with the oldest stored changes. Changes are kept for 400 days. An answer has up to
    `maxpagesize` changes, or 16 if `maxpagesize` is less.
    """
    after, limit = call.page()
    now = await call.now()
    await follow_in_sandbox(call, now)
    page = await feed.read(call.ports, now, after=_position(after) if after else None, limit=limit)
    if page is None:
        raise Refused(
            "CursorExpired",
            "Changes after this cursor are no longer kept.",
            target="cursor",
            resolution="Read the register once, then begin without a cursor.",
        )
    cursor = call.cursor("|".join((rfc3339(page.position.at), *map(str, page.position.numbers))))
    return Answer(200, ListedProgrammeChanges(value=tuple(page.changes), cursor=cursor))


def _position(cursor: str) -> feed.Position:
    at, *numbers = cursor.split("|")
    return feed.Position([int(number) for number in numbers], datetime.fromisoformat(at))


async def follow_in_sandbox(call: Call, now: datetime) -> None:
    """In the sandbox, let the follower take in all acts before an answer, because a sandbox's time is moved."""
    if call.services.settings.sandbox:
        await follow_now(call.ports, now)


FILTER_NAMES = tuple(field.alias or name for name, field in RegisterFilters.model_fields.items())
COLUMNS = tuple(field.alias or name for name, field in RegisterEntry.model_fields.items())


def _entry(row: RegisterRow, names: Mapping[str, str]) -> RegisterEntry:
    product = row.product or row.item
    return RegisterEntry.model_construct(
        tenant_id=row.tenant_id,
        customer_name=row.customer_name or None,
        country=row.country,
        engagement=row.engagement,
        item=row.item,
        item_name=names.get(product, product),
        partner_id=row.partner_id,
        partner_name=row.partner_name,
        organisation=row.organisation,
        since=row.since,
        until=row.until,
        end_reason=row.end_reason,
        association_id=row.association_id,
    )


def _cells(entry: RegisterEntry) -> Iterator[str]:
    values = entry.model_dump(mode="json")
    yield from ("" if values[name] is None else str(values[name]) for name in COLUMNS)
