"""The programme's figures equal an independent count of the stored claims and their histories."""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, cast

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables.programme import ProgrammeTable
from cpor_core.due_work import SHARDS, Kind
from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import Act, Entry
from cpor_core.model.insight import Figures, Grouping, Impact, Insight, Measure, Step
from cpor_core.model.usage import UsageLine
from cpor_core.ports import Ports
from cpor_core.ports.programme import Followed
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import partner_acts, reviews
from cpor_core.use_cases.due_work.sweep import follow_now
from cpor_core.use_cases.insight import answers
from cpor_core.use_cases.programme import recount
from cpor_core.use_cases.programme.follow import follow_anew_row
from cpor_core.use_cases.registry import partners_and_customers
from cpor_core.use_cases.usage.figures import load_lines
from cpor_core.views import ClaimView, claim_view
from tests.core.builders import ADATUM, EXCHANGE, FABRIKAM, PERSON, TEAMS, TENANT, USAGE, customer
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
    """Return the claims as they are stored, with their whole histories."""
    found = []
    for claim_id in claim_ids:
        stored = await core.ports.claims.load(claim_id)
        if stored is not None and stored.claim.status is not Status.DELETED:
            case = Case(claim=stored.claim, slots=stored.slots, stored=stored, now=stored.claim.updated_at)
            history = await core.ports.claims.history(claim_id, after=0, limit=1_000)
            found.append((claim_view(case, core.ports.terms), history))
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
    """Allow for the steps of the histogram, which is true to 3 percent."""
    match value:
        case dict():
            return {name: about(one) for name, one in value.items()}
        case (int() as count, *shares):
            return (count, *(one if one is None else pytest.approx(one, rel=0.03, abs=0.02) for one in shares))
        case _:
            return value


async def verify(core: Core, claim_ids: Sequence[str]) -> None:
    """
    Compare each grouping with the independent count, and the sums with the stored tallies. Raises AssertionError.

    All claims must be followed.
    """
    now, claims = await core.now(), await known(core, claim_ids)
    sums = await answers.read(core.ports, list(Grouping), now)
    for grouping in Grouping:
        one = cast("Insight", sums.answer(Measure.CLAIMS, grouping, shows_small=True))
        assert {row.key: shown(row) for row in one.value} == about(counted(claims, grouping.value, now))
        assert shown(one.total) == about(said(claims, now))
    await verify_sums(core.ports)


async def verify_sums(ports: Ports) -> None:
    """In each shard, the sums are the sums of the stored tallies, with no count and no group more."""
    for shard in range(SHARDS):
        found = await ports.programme.sums(shard, list(Grouping))
        groups = {group: counts for group, counts in found.groups.items() if counts}
        assert groups == await ports.programme.tallies(shard)


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
    await core.rest()
    await follow_now(core.ports, await core.now())

    await verify(core, claims)
    total = (await ask(core, Measure.CLAIMS, Grouping.STATUS)).total
    assert (total.claims, total.associations, total.declined, total.overdue, total.overdue_rate) == (5, 1, 1, 1, 1.0)
    assert total.decline_rate == 0.5
    times = {time.step: time for time in total.steps}
    assert times[Step.REVIEW].p90_hours == pytest.approx(30, rel=0.03)
    assert times[Step.REVIEW].p90_days == pytest.approx(30 / 24, rel=0.03)


async def ask(core: Core, measure: Measure, grouping: Grouping = Grouping.ENGAGEMENT) -> Any:
    """Return the answer to an operator, after every act was followed."""
    now = await core.now()
    await follow_now(core.ports, now)
    return (await answers.read(core.ports, list(Grouping), now)).answer(measure, grouping, shows_small=True)


async def test_a_review_stands_still_while_another_claim_awaits_the_customer(core: Core) -> None:
    """The other claim's act changes its time limit. So the claim is followed again after that act."""
    first = await core.approve(await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE))
    second = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    core.clock.advance(timedelta(days=60))

    assert (await ask(core, Measure.CLAIMS)).total.overdue == 0

    await core.withdraw(first)
    core.clock.advance(timedelta(days=60))
    assert (await ask(core, Measure.CLAIMS)).total.overdue == 1
    await verify(core, [first.claim.id, second.claim.id])


async def test_a_deleted_draft_is_not_counted(core: Core) -> None:
    """This holds while its row still exists, and after it was erased."""
    case = await core.draft()
    assert (await ask(core, Measure.CLAIMS)).total.claims == 1

    core.clock.advance(timedelta(days=91))
    await core.rest()
    await core.rest()

    found = await ask(core, Measure.CLAIMS)
    assert (found.total.claims, found.value) == (0, ())
    await verify(core, [case.claim.id])


# --- reasons ----------------------------------------------------------------------------------------------------------


async def test_reasons_and_stages_of_claims(core: Core) -> None:
    """A rejection, a no and an end have their reasons, and each claim is in the stages that it has reached."""
    await lives(core)

    found = (await ask(core, Measure.REASONS)).total
    stages = (await ask(core, Measure.FUNNEL)).total.stages

    assert {reason: count for reason, count in found.rejected.items() if count} == {Reason.INSUFFICIENT_EVIDENCE: 1}
    assert (found.declined.given, found.declined.none) == (0, 1)
    assert [one.claims for one in stages] == [5, 4, 2, 2, 1]


# --- impact and coverage ----------------------------------------------------------------------------------------------


async def load(core: Core, item: str, day: date, users: int) -> None:
    """Load the active users of an item on a day."""
    line = UsageLine(month=f"{day:%Y-%m}", item=item, active_users=users).model_dump_json(by_alias=True)
    await load_lines(core.ports, [line.encode()], TENANT, day, await core.now())


async def test_impact_follows_the_figures(core: Core) -> None:
    """The figures are counted when they are loaded, whether the association exists before or after that."""
    began = (await core.now()).date()
    await load(core, "teams", began - timedelta(days=2), 100)
    case = await core.official(ADATUM, items=(TEAMS, EXCHANGE), engagement=USAGE)
    await core.rest()
    assert (await ask(core, Measure.IMPACT)).total == impact_of(without_now=2)

    core.clock.advance(timedelta(days=60))
    day = (await core.now()).date()
    await load(core, "teams", day, 130)
    await load(core, "exchange", day, 7)

    found = await ask(core, Measure.IMPACT, Grouping.WORKLOAD)
    assert {one.key: (one.baseline, one.now, one.growth) for one in found.value} == {
        "teams": (100, 130, 30),
        "exchange": (0, 0, 0),
    }
    assert found.total == impact_of(baseline=100, now=130, growth=30, growth_share=0.3, counted=1, without_baseline=1)

    core.clock.advance(timedelta(days=1))
    case = await core.case(case)
    await partner_acts.end(core.ports, case, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)
    core.clock.advance(timedelta(days=30))
    await load(core, "teams", (await core.now()).date(), 9_000)
    assert (await ask(core, Measure.IMPACT)).total.now == 130
    await verify_sums(core.ports)


async def test_figures_of_an_association_that_is_written_down_late_are_counted(core: Core) -> None:
    """They were loaded after its beginning, while the timer did not run."""
    await load(core, "teams", (await core.now()).date() - timedelta(days=2), 100)
    await core.notified(ADATUM, items=(TEAMS,), engagement=USAGE)
    core.clock.advance(timedelta(days=60))
    await load(core, "teams", (await core.now()).date(), 130)
    assert (await ask(core, Measure.IMPACT)).total.counted == 0
    await core.rest()

    total = (await ask(core, Measure.IMPACT)).total
    assert (total.baseline, total.now, total.counted) == (100, 130, 1)


async def test_a_late_figure_of_an_ended_association_is_counted(core: Core) -> None:
    """Its day is before the end, and it is loaded after the end."""
    await load(core, "teams", (await core.now()).date() - timedelta(days=2), 100)
    case = await core.official(ADATUM, items=(TEAMS,), engagement=USAGE)
    core.clock.advance(timedelta(days=60))
    day, now = (await core.now()).date() - timedelta(days=1), await core.now()
    await partner_acts.end(core.ports, await core.case(case), PERSON, now, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)
    await core.rest()
    await load(core, "teams", day, 130)

    total = (await ask(core, Measure.IMPACT)).total
    assert (total.baseline, total.now, total.counted) == (100, 130, 1)


def impact_of(**figures: Any) -> Impact:
    """Return the impact of all claims."""
    zeros = dict.fromkeys(("baseline", "now", "growth", "counted", "without_baseline", "without_now"), 0)
    return Impact(**{"key": "", "name": "", "growth_share": None, **zeros, **figures})


async def test_coverage_counts_every_registered_customer(core: Core) -> None:
    """A customer without claims counts too. A change in the registry moves the sums."""
    await put_customer(core, workloads=("teams", "exchange"), subscriptions=())
    assert (await ask(core, Measure.COVERAGE)).total.claimable == 2

    await core.official(ADATUM, items=(TEAMS,), engagement=USAGE)
    await core.rest()
    found = await ask(core, Measure.COVERAGE, Grouping.WORKLOAD)
    assert {one.key: (one.held, one.claimable) for one in found.value} == {"teams": (1, 1), "exchange": (0, 1)}

    await put_customer(core, workloads=("teams", "exchange", "sharepoint"), subscriptions=())
    found = await ask(core, Measure.COVERAGE, Grouping.COUNTRY)
    assert [(one.key, one.held, one.claimable, one.customers) for one in found.value] == [("FR", 1, 3, 1)]
    await verify_sums(core.ports)


async def test_an_association_that_has_ended_holds_nothing(core: Core) -> None:
    """Its items can be claimed as before."""
    case = await core.official(ADATUM, items=(TEAMS,), engagement=USAGE)
    await put_customer(core, workloads=("teams",), subscriptions=())
    assert (await ask(core, Measure.COVERAGE)).total.held == 1

    case = await core.case(case)
    await partner_acts.end(core.ports, case, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    total = (await ask(core, Measure.COVERAGE)).total
    assert (total.held, total.claimable) == (0, 1)


async def put_customer(core: Core, **changes: Any) -> None:
    """Register the customer as an operator does."""
    change = partners_and_customers.CustomerChange(TENANT, customer(**changes), None)
    await partners_and_customers.put_customer(core.ports, change, await core.now())


# --- a new count ------------------------------------------------------------------------------------------------------


async def test_a_recount_mends_sums_and_tallies(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on page by page, and the sums equal the independent count afterwards."""
    monkeypatch.setattr(recount, "CLAIMS_A_PAGE", 1)
    claims = await lives(core)
    await core.rest()
    await follow_now(core.ports, await core.now())
    for shard in range(SHARDS):
        head = await core.ports.programme.head(shard)
        for one in await core.ports.programme.followed(shard, after="", limit=9):
            assert one.tally is not None
            wrong = one.tally.model_copy(update={"every": {**one.tally.every, "claims": 7}})
            followed = Followed(claims=[one.model_copy(update={"tally": wrong})], moves={"country|XX": {"claims": 3}})
            head = await core.ports.programme.write(shard, head, followed)

    await recount.ask(core.ports, await core.now())
    for _ in range(6):
        await core.sweep()

    await verify(core, claims)
    assert Kind.RECOUNT not in {row.kind for row in await core.due_rows()}


async def test_a_recount_goes_on_beside_the_follower(core: Core) -> None:
    """A pass comes between the read of the tallies and the write of the sums. Then both are done again."""
    await core.draft()
    await follow_now(core.ports, await core.now())

    async def another() -> None:
        await core.draft()
        await follow_now(core.ports, await core.now())

    await recount.ask(core.ports, await core.now())
    async with core.rows.once_before("programme", another):
        await core.draft()
        await core.sweep()
        await follow_now(core.ports, await core.now())

    await verify_sums(core.ports)


# --- processes that die or meet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
async def test_a_pass_whose_process_dies_at_any_write_counts_nothing_twice(core: Core, *, done: bool) -> None:
    """The process dies before or after the write. Another process follows the same claims again."""
    await put_customer(core)
    claims = await lives(core)
    number = 0
    while True:
        number += 1
        tried = core.copied()
        if not await dies(tried, number, done=done):
            break
        tried.ports = replace(tried.ports, programme=ProgrammeTable(tried.rows))
        await follow_now(tried.ports, await tried.now())
        await verify(tried, claims)

    assert number > 5
    await verify(tried, claims)


async def dies(core: Core, at: int, *, done: bool) -> bool:
    """Let the process die at a write of the follower. Return whether there were so many writes."""
    count = 0

    async def die(table: str, _: Sequence[Op]) -> None:
        nonlocal count
        count += table == "programme"
        if count == at:
            raise ProcessDied("here")

    core.rows.before, core.rows.after = (None, die) if done else (die, None)
    try:
        await follow_now(core.ports, await core.now())
    except ProcessDied:
        return True
    finally:
        core.rows.before = core.rows.after = None
    return False


async def test_two_processes_move_the_same_sums(core: Core) -> None:
    """Each of them remembers the sums of its last pass, and reads them again when the other one has written."""
    other = replace(core.ports, programme=ProgrammeTable(core.rows))
    made = []
    for ports in [core.ports, other, other, core.ports, other, core.ports]:
        made.append(await core.draft())
        await follow_now(ports, await core.now())

    for case in made:
        rows = [follow_anew_row(await core.stored(case), await core.now(), await core.now())]
        await core.ports.duework.add(rows)
    await asyncio.gather(follow_now(core.ports, await core.now()), follow_now(other, await core.now()))

    await verify(core, [case.claim.id for case in made])
