"""Questions to the register: order, pages, instants, rows that time has changed, and `completeTo` (decision 53)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_core.due_work import FOLLOWS, Kind
from cpor_core.model.claim import Reason
from cpor_core.model.programme import RegisterRow
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.programme import Followed
from cpor_core.rules.identifiers import new_claim_id, shard_of
from cpor_core.transitions.register_rows import register_rows
from cpor_core.use_cases.register import questions
from cpor_core.use_cases.register.questions import Question
from tests.core.builders import (
    ADATUM,
    DAY,
    EXCHANGE,
    FABRIKAM,
    HOUR,
    MICROSECOND,
    MONDAY,
    PARTNER_IDS,
    TEAMS,
    TENANT,
    USAGE,
)
from tests.core.memory_core import Core
from tests.doubles.requests import Request

OTHER_TENANT = "bbbbbbbb-0000-4000-8000-000000000002"
MINUTE = timedelta(minutes=1)


def row(number: int = 1, **changes: Any) -> RegisterRow:
    """Return a row of the register. Rows with different numbers are about different associations."""
    tenant = changes.get("tenant_id", TENANT)
    made = {
        "association_id": new_claim_id(tenant, f"{number:020x}"),
        "tenant_id": tenant,
        "organisation": ADATUM,
        "partner_id": PARTNER_IDS[ADATUM],
        "engagement": USAGE,
        "item": "teams",
        "since": MONDAY - 10 * DAY,
        "partner_name": "Adatum Conseil",
        "customer_name": "Contoso France",
        "country": "FR",
        **changes,
    }
    return RegisterRow.model_validate(made)


async def store(core: Core, *rows: RegisterRow) -> None:
    """Store rows as the follower does, each in the shard of its claim."""
    for one in rows:
        shard = shard_of(one.association_id)
        await core.ports.programme.write(shard, await core.ports.programme.head(shard), Followed(rows=[one]))


async def walk(core: Core, question: Question, *, limit: int = 1000) -> list[RegisterRow]:
    """Return all rows of an answer, page by page."""
    found: list[RegisterRow] = []
    position: str | None = ""
    while position is not None:
        page = await questions.page_of(core.ports, question, await core.now(), after=position, limit=limit)
        assert len(page.rows) <= limit
        found += page.rows
        position = page.position
    return found


async def held(core: Core, as_of: datetime | None = None, *, limit: int = 1000, **filters: Any) -> list[RegisterRow]:
    """Return the rows that hold at an instant."""
    return await walk(core, Question(as_of=as_of or await core.now(), **filters), limit=limit)


async def ended(core: Core, since: datetime | None, until: datetime, **filters: Any) -> list[RegisterRow]:
    """Return the rows that ended in a period."""
    return await walk(core, Question(as_of=until, ended=True, ended_from=since, **filters))


async def counted(core: Core, doing: Callable[[], Awaitable[Any]]) -> list[str]:
    """Return the table of each request that *doing* makes."""
    made: list[str] = []
    carry = core.rows.carry

    async def count(request: Request, do: Callable[[], Any]) -> Any:
        made.append(request.table)
        return await carry(request, do)

    core.rows.carry = count
    await doing()
    core.rows.carry = carry
    return made


# --- order and pages -------------------------------------------------------------------------------------------------


def many(count: int) -> list[RegisterRow]:
    """Return rows of many tenants and two partners, in the order of the register."""
    rows = [
        row(
            number,
            tenant_id=f"bbbbbbbb-0000-4000-8000-{number // 3:012d}",
            item=("teams", "exchange", "sharepoint")[number % 3],
            organisation=(ADATUM, FABRIKAM)[number % 2],
            partner_id=PARTNER_IDS[(ADATUM, FABRIKAM)[number % 2]],
        )
        for number in range(count)
    ]
    return sorted(rows, key=lambda one: (one.organisation, one.partner_id, one.tenant_id, one.engagement, one.item))


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
async def test_an_answer_has_each_row_once_and_in_one_order(core: Core, limit: int) -> None:
    """The rows of the 16 shards are merged, whatever the length of a page is."""
    rows = many(120)
    await store(core, *rows)

    assert await held(core, limit=limit) == rows


@pytest.mark.parametrize("filters", [{}, {"tenant_id": TENANT}])
async def test_a_last_page_that_is_full_has_no_successor(core: Core, filters: dict[str, Any]) -> None:
    """Nobody asks for an empty page after it."""
    case = await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
    await follow(core, case.claim.id)
    question, now = Question(as_of=await core.now(), **filters), await core.now()

    pages = [await questions.page_of(core.ports, question, now, after="", limit=limit) for limit in (1, 2)]

    assert [(len(page.rows), page.position is None) for page in pages] == [(1, False), (2, True)]


async def test_a_page_reads_up_to_a_thousand_rows(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page can be short or empty and have a successor, and the pages together have each row once."""
    monkeypatch.setattr(questions, "ROWS_OF_SHARD", 2)
    rows = many(120)
    await store(core, *rows)
    last = rows[-1]

    assert await held(core) == rows
    assert await held(core, tenant_id=None, item=last.item, organisation=last.organisation) == [
        one for one in rows if (one.item, one.organisation) == (last.item, last.organisation)
    ]
    first = await questions.page_of(core.ports, Question(as_of=MONDAY, country="CZ"), MONDAY, after="", limit=50)
    assert (first.rows, first.position is None) == ([], False)


@pytest.mark.parametrize("count", [1, 1200])
async def test_a_page_takes_sixteen_requests_for_any_number_of_rows(core: Core, count: int) -> None:
    """A row that time cannot have changed takes no request of its own."""
    await store(core, *many(count))
    question = Question(as_of=MONDAY)

    made = await counted(core, lambda: questions.page_of(core.ports, question, MONDAY, after="", limit=50))

    assert made == ["programme"] * 16


async def test_filters(core: Core) -> None:
    """Each row of the answer fits all filters."""
    other = {"organisation": FABRIKAM, "partner_id": PARTNER_IDS[FABRIKAM]}
    rows = [
        row(1),
        row(2, item="exchange"),
        row(3, engagement="bizapps-revenue", item="cccccccc-0000-4000-8000-000000000001"),
        row(4, tenant_id=OTHER_TENANT, country="CZ", **other),
        row(5, tenant_id=OTHER_TENANT, country="CZ", item="exchange"),
    ]
    await store(core, *rows)

    async def numbers(**filters: Any) -> set[int]:
        found = await held(core, **filters)
        return {rows.index(one) + 1 for one in found}

    assert await numbers() == {1, 2, 3, 4, 5}
    assert await numbers(organisation=FABRIKAM) == {4}
    assert await numbers(partner_id=PARTNER_IDS[ADATUM]) == {1, 2, 3, 5}
    assert await numbers(partner_id=PARTNER_IDS[ADATUM], organisation=FABRIKAM) == set()
    assert await numbers(partner_id="99990000") == set()
    assert await numbers(engagement="bizapps-revenue") == {3}
    assert await numbers(item="exchange") == {2, 5}
    assert await numbers(country="CZ") == {4, 5}
    assert await numbers(item="exchange", country="CZ") == {5}


async def test_the_rows_of_a_partner_are_read_alone(core: Core) -> None:
    """The rows of other partners are not looked at."""
    await store(core, *many(1500))
    question = Question(as_of=MONDAY, partner_id=PARTNER_IDS[FABRIKAM], country="CZ")
    await core.ports.registry.recent_partner(PARTNER_IDS[FABRIKAM])

    page = await questions.page_of(core.ports, question, MONDAY, after="", limit=50)
    made = await counted(core, lambda: questions.page_of(core.ports, question, MONDAY, after="", limit=50))

    assert page.position is None
    assert made == ["programme"] * 16


# --- instants --------------------------------------------------------------------------------------------------------


async def test_a_row_holds_from_its_beginning_until_just_before_its_end(core: Core) -> None:
    """`since` ≤ instant < `until`."""
    one = row(since=MONDAY - 5 * DAY, until=MONDAY - DAY, end_reason=Reason.SUPERSEDED)
    await store(core, one)

    assert await held(core, one.since - MICROSECOND) == []
    assert await held(core, one.since) == [one]
    assert await held(core, MONDAY - DAY - MICROSECOND) == [one]
    assert await held(core, MONDAY - DAY) == []


async def test_a_period_has_its_first_instant_and_not_its_last(core: Core) -> None:
    """`from` ≤ `until` < `to`. Without `from` there is no limit. Rows that still hold are in no period."""
    until = MONDAY - DAY
    one = row(until=until, end_reason=Reason.CUSTOMER_OPTED_OUT)
    await store(core, one, row(2))

    assert await ended(core, until, MONDAY) == [one]
    assert await ended(core, None, MONDAY) == [one]
    assert await ended(core, until + MICROSECOND, MONDAY) == []
    assert await ended(core, until - DAY, until) == []
    assert await ended(core, until - DAY, until + MICROSECOND) == [one]


# --- rows that time can have changed ---------------------------------------------------------------------------------


async def follow(core: Core, *claim_ids: str) -> None:
    """Store the register's rows of claims as they are stored now."""
    for claim_id in claim_ids:
        case = await core.stored(claim_id)
        await store(core, *register_rows(case, partner_name="Adatum", customer_name="Contoso", country="FR"))


async def test_a_window_that_ended_counts_without_a_timer(core: Core) -> None:
    """The row was stored while the customer could still decline."""
    case = await core.notified(items=(TEAMS, EXCHANGE), engagement=USAGE)
    await follow(core, case.claim.id)
    ends_at = case.claim.window_ends_at
    assert ends_at is not None

    assert await held(core) == []
    core.clock.set(ends_at)
    assert [(one.item, one.since, one.until) for one in await held(core)] == [
        ("exchange", ends_at, None),
        ("teams", ends_at, None),
    ]
    assert await held(core, ends_at - MICROSECOND) == []


async def test_a_no_counts_before_the_follower_knows_it(core: Core) -> None:
    """The row of a declined claim is not in the answer, although it is stored."""
    case = await core.notified(items=(TEAMS,), engagement=USAGE)
    await follow(core, case.claim.id)
    await core.decline(case)
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at + DAY)

    assert await held(core) == []


async def test_a_takeover_counts_without_a_timer(core: Core) -> None:
    """The incumbent ends at the instant at which the challenger begins, also in answers about the time before."""
    incumbent = await core.official(items=(TEAMS,), engagement=USAGE)
    challenger = await core.notified(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    await follow(core, incumbent.claim.id, challenger.claim.id)
    at = challenger.claim.window_ends_at
    assert at is not None

    before = await held(core)
    core.clock.set(at + DAY)
    after, ends = await held(core), await ended(core, at, at + MICROSECOND)

    assert [(one.association_id, one.until) for one in before] == [(incumbent.claim.id, None)]
    assert [(one.association_id, one.since, one.until) for one in after] == [(challenger.claim.id, at, None)]
    assert [(one.association_id, one.until, one.end_reason) for one in ends] == [
        (incumbent.claim.id, at, Reason.SUPERSEDED)
    ]
    assert await held(core, at - HOUR) == ends
    assert await ended(core, None, at) == []


async def test_each_changeable_row_takes_two_requests(core: Core) -> None:
    """Rows of one association are verified together."""
    first = await core.notified(items=(TEAMS, EXCHANGE), engagement=USAGE)
    await follow(core, first.claim.id)
    await store(core, *many(100))
    assert first.claim.window_ends_at is not None
    core.clock.set(first.claim.window_ends_at)
    now = await core.now()

    made = await counted(core, lambda: questions.page_of(core.ports, Question(as_of=now), now, after="", limit=1000))

    assert made.count("programme") == 16
    assert made.count("claims") == 2
    assert len(made) == 18


async def test_a_changeable_row_without_a_claim_is_left_out(core: Core) -> None:
    """The claim says what is true, not the row."""
    await store(core, row(open_from=MONDAY - DAY))

    assert await held(core) == []


# --- completeTo ------------------------------------------------------------------------------------------------------


async def complete_to(core: Core, **filters: Any) -> datetime:
    """Return the `completeTo` of a question that is asked now."""
    now = await core.now()
    return await questions.complete_to(core.ports, Question(as_of=now, **filters), now)


async def test_all_is_complete_up_to_six_minutes_ago(core: Core) -> None:
    """An act can commit for as long as a function can run. Newer due rows, and those of other work, do not count."""
    recent, other = MONDAY - 5 * MINUTE, MONDAY - DAY
    await core.ports.duework.add([DueRow(MONDAY, "a", Kind.ANNOUNCE, at=recent)])
    await core.ports.duework.add([DueRow(MONDAY, "b", Kind.DELIVER, at=other)])

    assert await complete_to(core) == MONDAY - 6 * MINUTE


@pytest.mark.parametrize("kind", sorted(FOLLOWS))
async def test_a_change_that_is_not_followed_holds_the_answer_back(core: Core, kind: Kind) -> None:
    """The answer is complete up to just before the oldest arrival, also of a row that was put off by an hour."""
    for number, at in enumerate((MONDAY - HOUR, MONDAY - 3 * HOUR, MONDAY - 2 * HOUR)):
        await core.ports.duework.add([DueRow(MONDAY + HOUR, f"claim-{number}", kind, at=at, attempt=9)])

    assert await complete_to(core) == MONDAY - 3 * HOUR - MICROSECOND


async def test_a_due_row_of_release_1_counts_from_two_minutes_before_it_fell_due(core: Core) -> None:
    """Release 1 stored no arrival. It wrote the row for two minutes later."""
    old = DueRow(MONDAY - HOUR, "a", Kind.ANNOUNCE)
    await core.ports.duework.add([old])
    assert await complete_to(core) == MONDAY - HOUR - 2 * MINUTE - MICROSECOND

    await core.ports.duework.add([replace(old, subject="b", due=MONDAY, since=MONDAY - DAY)])
    assert await complete_to(core) == MONDAY - DAY - 2 * MINUTE - MICROSECOND


@pytest.mark.parametrize("other", [0, 500])
async def test_complete_to_takes_sixteen_requests(core: Core, other: int) -> None:
    """Other due work makes it no dearer until a shard has more than 1,000 rows for the next hour."""
    rows = [DueRow(MONDAY + MINUTE, f"{number}", Kind.DELETE_IDEMPOTENCY_RECORD) for number in range(other)]
    await core.ports.duework.add(rows)

    assert await counted(core, lambda: complete_to(core)) == ["duework"] * 16


async def test_all_pages_of_due_rows_are_read(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row that holds the answer back can be the last."""
    monkeypatch.setattr(questions, "DUE_ROWS_AT_ONCE", 2)
    rows = [DueRow(MONDAY + number * MINUTE, "a", Kind.ANNOUNCE, at=MONDAY - number * HOUR) for number in range(5)]
    await core.ports.duework.add(rows)

    assert await complete_to(core) == MONDAY - 4 * HOUR - MICROSECOND


# --- a question about one tenant -------------------------------------------------------------------------------------


async def test_a_tenants_answer_follows_from_its_claims(core: Core) -> None:
    """Nothing is followed. The names are those that are registered now."""
    incumbent = await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
    challenger = await core.notified(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    at = challenger.claim.window_ends_at
    assert at is not None
    core.clock.set(at)
    former = await core.ports.registry.partner(PARTNER_IDS[ADATUM])
    assert former is not None
    renamed = former.value.model_copy(update={"name": "Adatum Europe"})
    await core.ports.registry.put_partner(PARTNER_IDS[ADATUM], renamed, former)

    found = await held(core, tenant_id=TENANT)
    superseded = await ended(core, None, at + DAY, tenant_id=TENANT)

    assert [(one.association_id, one.item, one.partner_name) for one in found] == [
        (incumbent.claim.id, "exchange", "Adatum Europe"),
        (challenger.claim.id, "teams", "Fabrikam Services"),
    ]
    assert {(one.customer_name, one.country) for one in found} == {("Contoso France", "FR")}
    assert [(one.item, one.until, one.end_reason) for one in superseded] == [("teams", at, Reason.SUPERSEDED)]
    assert await held(core, tenant_id=TENANT, limit=1) == found
    assert await held(core, tenant_id=TENANT, partner_id=PARTNER_IDS[FABRIKAM]) == found[1:]
    assert await held(core, tenant_id=TENANT, country="CZ") == []
    assert await held(core, tenant_id=OTHER_TENANT) == []


async def test_a_tenants_answer_takes_few_requests(core: Core) -> None:
    """Two for the claims and slots, one for the customer. No due row is read."""
    await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
    now = await core.now()
    question = Question(as_of=now, tenant_id=TENANT)
    await core.ports.registry.recent_partner(PARTNER_IDS[ADATUM])

    made = await counted(core, lambda: questions.page_of(core.ports, question, now, after="", limit=50))

    assert sorted(made) == ["claims", "claims", "registry"]
    assert await counted(core, lambda: complete_to(core, tenant_id=TENANT)) == []
    assert await complete_to(core, tenant_id=TENANT) == now - 6 * MINUTE
