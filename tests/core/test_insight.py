"""The programme's figures equal an independent count of the claims that callers see."""

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Delete, Op, Put
from cpor_core.errors import Conflict
from cpor_core.model.claim import ClaimedCustomer, NewClaim, Reason
from cpor_core.model.history import Act, Entry
from cpor_core.model.insight import Figures, Grouping, Insight, Step
from cpor_core.ports import Ports
from cpor_core.rules.grace import GRACE
from cpor_core.rules.insight import Counted, Group, Tally, figures, resolved
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, find
from cpor_core.use_cases.claims import drafts, reviews
from cpor_core.use_cases.insight import recount as insight
from cpor_core.use_cases.insight.recount import PAGE_CLAIMS, ask, count_now, read, read_one, recount
from cpor_core.views import ClaimView, claim_view
from tests.core.builders import ADATUM, EXCHANGE, FABRIKAM, MONDAY, PARTNER_IDS, PERSON, SALES, TEAMS, USAGE, contacts
from tests.core.memory_core import Core
from tests.doubles.transport import ProcessDied

HOUR = timedelta(hours=1)


@pytest.fixture
async def core() -> Core:
    """The service with partners and a customer."""
    made = Core()
    await made.register()
    return made


# --- the independent count --------------------------------------------------------------------------------------------

Known = tuple[ClaimView, Sequence[Entry]]
BETWEEN = {
    "draft": ({"created"}, {"submitted"}),
    "waitForReview": ({"submitted"}, {"reviewStarted"}),
    "review": ({"reviewStarted"}, {"approved", "rejected"}),
    "answer": ({"informationRequested"}, {"resubmitted"}),
    "notice": ({"approved", "validated"}, {"customerTold"}),
    "window": ({"customerTold"}, {"madeOfficial"}),
    "submissionToOfficial": ({"submitted"}, {"madeOfficial"}),
}


async def known(core: Core, claim_ids: Sequence[str]) -> list[Known]:
    """Return the claims that callers see now."""
    now, found = await core.now(), []
    for claim_id in claim_ids:
        case = await find(core.ports, claim_id, now)
        if case is not None:
            found.append((claim_view(case, core.ports.terms), await core.history(case)))
    return found


def keys(view: ClaimView, grouping: str) -> set[str]:
    """Return the groups of a claim."""
    one = {
        "engagement": view.engagement,
        "country": "FR",
        "partner": view.partner_id,
        "status": view.status.value,
        "month": view.created_at.strftime("%Y-%m"),
    }
    return {one[grouping]} if grouping in one else {str(item.workload or item.product) for item in view.items}


def hours(history: Sequence[Entry], begins: set[str], ends: set[str]) -> float | None:
    """Return the hours of a step, or None if the step has not ended."""
    last = next((n for n, e in enumerate(history) if e.act in ends and any(b.act in begins for b in history[:n])), None)
    if last is None:
        return None
    first = [entry.at for entry in history[:last] if entry.act in begins][-1]
    return (history[last].at - first) / HOUR


def counted(claims: Sequence[Known], grouping: str, now: datetime) -> dict[str, dict[str, Any]]:
    """Return the expected figures of each group."""
    groups: dict[str, list[Known]] = defaultdict(list)
    for claim in claims:
        for key in keys(claim[0], grouping):
            groups[key].append(claim)
    return {key: said(group, now, key if grouping == "workload" else None) for key, group in groups.items()}


def said(claims: Sequence[Known], now: datetime, item: str | None = None) -> dict[str, Any]:
    """Return the expected figures of some claims."""
    views = [view for view, _ in claims]
    acts = [{entry.act for entry in history} for _, history in claims]
    states = Counter(view.status.value for view in views)
    told = sum(Act.CUSTOMER_TOLD in done or view.status == "declined" for view, done in zip(views, acts, strict=True))
    rejected, disputed = (sum(act in done for done in acts) for act in (Act.REJECTED, Act.DISPUTED))
    reviewed = [view for view in views if view.status in ("submitted", "underReview", "disputed")]
    overdue = sum(view.next_step.due is not None and view.next_step.due <= now for view in reviewed)
    steps = {}
    for step, (begins, ends) in BETWEEN.items():
        took = [t for _, history in claims if (t := hours(history, begins, ends)) is not None]
        steps[step] = (len(took), *(ranked(took, share) for share in (0.5, 0.9)))
    return {
        "claims": len(views),
        "associations": sum(is_official(view, item) for view in views),
        "declined": (states["declined"], states["declined"] / told if told else None),
        "disputed": (disputed, disputed / rejected if rejected else None),
        "overdue": (overdue, overdue / len(reviewed) if reviewed else None),
        "steps": steps,
    }


def is_official(view: ClaimView, item: str | None) -> bool:
    """Return whether a claim is official now, with that item if one is given."""
    if view.status != "official" or view.association is None:
        return False
    held = {str(one.workload or one.product) for one in view.association.items if one.ended_at is None}
    return item is None or item in held


def ranked(took: Sequence[float], share: float) -> float | None:
    """Return the shortest time within which that share of the claims had ended."""
    return sorted(took)[math.ceil(len(took) * share) - 1] if took else None


def shown(one: Figures) -> dict[str, Any]:
    """Return the service's figures of a group, for a comparison."""
    return {
        "claims": one.claims,
        "associations": one.associations,
        "declined": (one.declined, one.decline_rate),
        "disputed": (one.disputed, one.dispute_rate),
        "overdue": (one.overdue, one.overdue_rate),
        "steps": {time.step.value: (time.count, time.median_hours, time.p90_hours) for time in one.steps},
    }


def about(value: Any) -> Any:
    """Allow for the rounding of the service: seconds, and less than 0.2 percent of a long time."""
    match value:
        case dict():
            return {name: about(one) for name, one in value.items()}
        case (int() as count, *shares):
            return (count, *(one if one is None else pytest.approx(one, rel=2e-3, abs=0.02) for one in shares))
        case _:
            return value


async def verify(core: Core, claim_ids: Sequence[str], insights: Sequence[Insight]) -> None:
    """Compare each grouping with the independent count. Raises AssertionError."""
    now, claims = await core.now(), await known(core, claim_ids)
    for one in insights:
        assert {row.key: shown(row) for row in one.value} == about(counted(claims, one.group_by.value, now))
        assert one.total is not None
        assert shown(one.total) == about(said(claims, now))


# --- one claim for each end -------------------------------------------------------------------------------------------


async def lives(core: Core) -> list[str]:
    """Bring claims to ends of many kinds, and return their ids."""
    made: list[Case] = [await core.official(ADATUM)]
    first = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    core.clock.advance(3 * HOUR)
    first = await reviews.start(core.ports, await core.case(first), await core.now(), NO_CONTEXT)
    core.clock.advance(30 * HOUR)
    await reviews.reject(core.ports, first, await core.now(), Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)
    made.append(first)
    declined = await core.notified(ADATUM, items=(EXCHANGE,), engagement=USAGE)
    await core.decline(declined)
    made += [declined, await core.draft(FABRIKAM), await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)]
    core.clock.advance(timedelta(days=20))
    return [case.claim.id for case in made]


async def test_figures_equal_an_independent_count(core: Core) -> None:
    """The test compares every grouping and the total. `test_machine.py` compares them after random histories."""
    claims = await lives(core)

    insights = await count_now(core.ports, await core.now())

    await verify(core, claims, insights)
    total = insights[0].total
    assert total is not None
    assert (total.claims, total.associations, total.declined, total.overdue, total.overdue_rate) == (5, 1, 1, 1, 1.0)
    assert total.decline_rate == 0.5
    times = {time.step: time for time in total.steps}
    assert times[Step.REVIEW].p90_hours == pytest.approx(30, rel=1e-3)
    assert times[Step.WAIT_FOR_REVIEW].p90_hours == 3
    assert [one.group_by for one in insights] == list(Grouping)


async def test_a_window_that_has_ended_counts_without_a_timer(core: Core) -> None:
    """The figures are the same before and after the timer stores the end."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at + GRACE)

    before = await count_now(core.ports, await core.now())
    await core.sweep()

    assert before == await count_now(core.ports, await core.now())
    assert before[0].total is not None
    assert before[0].total.associations == 1
    assert {time.step for time in before[0].total.steps if time.count} >= {Step.WINDOW, Step.SUBMISSION_TO_OFFICIAL}


async def test_a_draft_that_has_lapsed_is_not_counted(core: Core) -> None:
    """This also holds before the timer deletes the draft."""
    await core.draft()
    core.clock.advance(timedelta(days=91))

    (first, *_) = await count_now(core.ports, await core.now())

    assert first.total is not None
    assert (first.total.claims, first.value) == (0, ())


def test_a_time_below_seventeen_hours_is_exact_and_a_longer_one_loses_little() -> None:
    """A longer time loses less than 0.2 percent. So there are few different times, however many claims there are."""
    assert [resolved(minutes) for minutes in (0, 1, 1023)] == [0, 1, 1023]
    assert all(0 <= minutes - resolved(minutes) < minutes / 500 for minutes in range(1024, 600_000, 97))
    assert len({resolved(minutes) for minutes in range(2_000_000)}) < 7_000


@pytest.mark.parametrize(
    ("times", "median", "p90"),
    [
        ({}, None, None),
        ({60: 1}, 1.0, 1.0),
        ({60: 1, 120: 1}, 1.0, 2.0),
        ({0: 9, 600: 1}, 0.0, 0.0),
        ({0: 8, 600: 2}, 0.0, 10.0),
    ],
)
def test_half_of_the_claims_and_nine_of_ten_took_no_longer(
    times: dict[int, int], median: float | None, p90: float | None
) -> None:
    """The figure is the shortest time, in hours, within which that share of the claims had ended."""
    step = next(one for one in figures("", "", Tally(minutes={Step.REVIEW: times})).steps if one.step is Step.REVIEW)

    assert (step.count, step.median_hours, step.p90_hours) == (sum(times.values()), median, p90)


# --- counting on ------------------------------------------------------------------------------------------------------


async def spread(core: Core, tenants: int) -> None:
    """Create a draft at each of many tenants. The tenants are not registered."""
    for number in range(tenants):
        sent = NewClaim(
            name="Many",
            partner_id=PARTNER_IDS[ADATUM],
            engagement="usage-recognition-bizapps",
            customer=ClaimedCustomer(tenant_id=f"{number:08d}-0000-4000-8000-000000000000", domain="contoso.fr"),
            items=(SALES,),
            contacts=contacts(),
        )
        await drafts.create(core.ports, ADATUM, PERSON, sent, await core.now(), None)


async def test_a_count_runs_once_an_hour(core: Core) -> None:
    """Its figures stay until the next count has ended, and they name the instant of the count."""
    await lives(core)
    assert await read_one(core.ports, Grouping.MONTH) == Insight(
        as_of=None, group_by=Grouping.MONTH, total=None, value=()
    )
    began = await core.now()

    await recount(core.ports, began)
    assert await read(core.ports) == await count_now(core.ports, began)
    await core.draft()
    core.clock.set(began.replace(minute=59, second=59))
    await recount(core.ports, await core.now())
    assert (await read_one(core.ports, Grouping.STATUS)).as_of == began

    core.clock.set(began.replace(minute=0) + HOUR)
    await recount(core.ports, await core.now())
    assert await read(core.ports) == await count_now(core.ports, await core.now())


async def test_a_count_can_be_requested(core: Core) -> None:
    """The next run makes one count, at any time of the hour."""
    await recount(core.ports, MONDAY)
    await core.draft()
    assert await ask(core.ports) == MONDAY

    await recount(core.ports, MONDAY + timedelta(seconds=5))
    await recount(core.ports, MONDAY + timedelta(seconds=10))

    assert (await read_one(core.ports, Grouping.STATUS)).as_of == MONDAY + timedelta(seconds=5)


async def test_a_request_during_a_count_is_not_lost(core: Core) -> None:
    """The request is retried. The running count began before the request, and therefore another count follows."""
    await recount(core.ports, MONDAY)

    async def another() -> None:
        await ask(core.ports)

    async with core.rows.once_before("insight", another):
        await ask(core.ports)

    assert (await core.ports.insight.progress()).value.is_asked_for


async def test_a_count_continues_after_its_time_limit(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on page by page in as many runs as it needs. Nothing is shown before its end."""
    monkeypatch.setattr(insight, "PAGE_CLAIMS", 2)
    monkeypatch.setattr(insight, "TIME_LIMIT", timedelta(0))
    await spread(core, 5)

    for pages in (1, 2):
        await recount(core.ports, MONDAY)
        assert (await core.ports.insight.progress()).value.pages == pages
        assert (await read_one(core.ports, Grouping.STATUS)).as_of is None
    await recount(core.ports, MONDAY + HOUR)

    found = await read_one(core.ports, Grouping.COUNTRY)
    assert found.as_of == MONDAY
    assert [(row.key, row.claims) for row in found.value] == [("unknown", 5)]


@pytest.mark.parametrize("done", [False, True])
async def test_a_count_whose_process_dies_at_any_write_is_ended_by_another_run(
    core: Core, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    """The process dies before or after the write. The figures are the same, and the table has no other rows."""
    monkeypatch.setattr(insight, "PAGE_CLAIMS", 2)
    await spread(core, 5)
    await recount(core.ports, MONDAY - HOUR)
    later = MONDAY + HOUR
    expected = await count_now(core.ports, later)
    number = 0
    while True:
        number += 1
        tried = core.copied()
        if not await dies(tried.ports, tried, number, later, done=done):
            break
        await recount(tried.ports, later)
        await recount(tried.ports, later + HOUR)
        assert [one.model_copy(update={"as_of": later}) for one in await read(tried.ports)] == list(expected)
        await recount(tried.ports, later + 2 * HOUR)
        assert len([row async for row in tried.rows.scan("insight")]) == 2 * len(Grouping) + 1 + 2  # pages
    assert number > len(Grouping)


async def dies(ports: Ports, core: Core, at: int, now: datetime, *, done: bool) -> bool:
    """Let the process die at a write of a count. Return whether the count had so many writes."""
    count = 0

    async def die(table: str, _: Sequence[Op]) -> None:
        nonlocal count
        count += table == "insight"
        if count == at:
            raise ProcessDied("here")

    core.rows.before, core.rows.after = (None, die) if done else (die, None)
    try:
        await recount(ports, now)
    except ProcessDied:
        return True
    finally:
        core.rows.before = core.rows.after = None
    return False


async def test_of_two_runs_at_once_one_ends_the_count(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run stops when it finds newer progress."""
    monkeypatch.setattr(insight, "PAGE_CLAIMS", 2)
    await spread(core, 3)

    async def overtake() -> None:
        await recount(core.ports, MONDAY)

    with pytest.raises(Conflict):
        async with core.rows.once_before("insight", overtake):
            await recount(core.ports, MONDAY)

    assert [row.claims for row in (await read_one(core.ports, Grouping.STATUS)).value] == [3]


@pytest.mark.parametrize("values", [None, {"part": b"no zlib"}, {"part": zlib.compress(b"[]")}])
async def test_a_count_that_has_lost_a_page_starts_again(
    core: Core, monkeypatch: pytest.MonkeyPatch, values: dict[str, bytes] | None
) -> None:
    """The same holds if a page cannot be read. A count never uses only the other pages."""
    monkeypatch.setattr(insight, "PAGE_CLAIMS", 2)
    monkeypatch.setattr(insight, "TIME_LIMIT", timedelta(0))
    await spread(core, 3)
    await recount(core.ports, MONDAY)
    (key,) = [row.key async for row in core.rows.scan("insight") if row.key.startswith("page|")]
    await core.rows.write("insight", "all", Delete(key) if values is None else Put(key, values))
    monkeypatch.setattr(insight, "TIME_LIMIT", HOUR)

    await recount(core.ports, MONDAY)
    assert (await read_one(core.ports, Grouping.STATUS)).as_of is None
    await recount(core.ports, MONDAY + HOUR)

    assert [row.claims for row in (await read_one(core.ports, Grouping.STATUS)).value] == [3]


async def test_lost_figures_are_missing_until_the_next_count(core: Core) -> None:
    """Only a part of the table was restored."""
    await recount(core.ports, MONDAY)
    keys = [row.key async for row in core.rows.scan("insight") if row.key.startswith("shown|")]
    await core.rows.write("insight", "all", *map(Delete, keys))

    assert (await read_one(core.ports, Grouping.STATUS)).as_of is None


async def test_a_reader_during_the_end_of_a_count_reads_the_new_figures(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer never mixes two counts."""
    await recount(core.ports, MONDAY)
    await core.draft()
    store = core.ports.insight
    looked: Mapping[str, Any] = {"at": await store.progress()}
    await recount(core.ports, MONDAY + HOUR)
    await recount(core.ports, MONDAY + 2 * HOUR)
    answers = [looked["at"], await store.progress()]

    async def progress() -> Any:
        return answers.pop(0)

    monkeypatch.setattr(store, "progress", progress)

    assert [row.claims for row in (await read_one(core.ports, Grouping.STATUS)).value] == [1]


async def test_a_page_of_very_different_claims_can_be_stored(core: Core) -> None:
    """One transaction stores hundreds of partners and times. A tenant with many claims makes a page larger."""
    page = Counted()
    for number in range(6 * PAGE_CLAIMS):
        tally = Tally(claims=1, minutes={step: {resolved(number * 7919): 1} for step in Step})
        page.total.add(tally)
        for grouping in Grouping:
            page.groups[grouping][f"{number:032x}"] = Group(f"{number:0200x}", tally)
    at = (await core.ports.insight.progress()).value.model_copy(update={"began": MONDAY, "pages": 1})

    await core.ports.insight.store_page(at, page, None)

    assert await core.ports.insight.page(at, 1) == page
