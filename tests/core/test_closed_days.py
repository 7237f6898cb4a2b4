"""Closed days that the operator registers: every count of business days skips them, and no promise moves."""

from datetime import UTC, date, datetime, timedelta

import pytest

from cpor_app.adapters.storage.tables.registry import REMEMBERED_SECONDS, RegistryTable
from cpor_core.errors import Refused
from cpor_core.model.claim import Reason, SkippedDay, Status
from cpor_core.model.registry import ClosedDay
from cpor_core.ports.claims import Comment
from cpor_core.rules.business_days import Calendar, calendar_of, count_business_days
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext
from cpor_core.use_cases.claims import partner_acts, reviews
from cpor_core.use_cases.registry import closed_days
from tests.core.builders import DAY, ENDS_AT, FABRIKAM, HOUR, MONDAY, PERSON, TEAMS, USAGE, customer, partner
from tests.core.memory_core import Core

THURSDAY, FRIDAY = date(2026, 11, 5), date(2026, 11, 6)
MOURNING = "National day of mourning"


@pytest.fixture
async def core() -> Core:
    """The service with three partners and a customer, all of them in France."""
    made = Core()
    await made.register()
    return made


async def close(core: Core, day: date, calendar: str = "FR") -> None:
    """Register a closed day."""
    await closed_days.put(core.ports, calendar, day, ClosedDay(name=MOURNING), None)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_a_closed_day_is_skipped_like_a_holiday() -> None:
    """The day has its registered name, also on a weekend. A public holiday keeps its own name."""
    days = {THURSDAY: MOURNING, date(2026, 11, 7): MOURNING, date(2026, 11, 11): MOURNING}
    calendar = Calendar(country="FR", time_zone="Europe/Paris", closed=days)

    deadline = count_business_days(date(2026, 11, 2), 6, calendar, "fr")

    assert deadline.last_day == date(2026, 11, 12)
    assert [(day.date.day, day.name, day.kind) for day in deadline.skipped_days] == [
        (5, MOURNING, "holiday"),
        (7, MOURNING, "holiday"),
        (8, "Sunday", "weekend"),
        (11, "Armistice", "holiday"),
    ]


def test_a_closed_day_of_a_subdivision_counts_only_there() -> None:
    """A closed day of a country counts everywhere in it. A closed day of a subdivision counts nowhere else."""
    closed = {"GB": {THURSDAY: "All"}, "GB-SCT": {FRIDAY: "Scotland"}, "FR": {date(2026, 11, 4): "France"}}
    scottish, english = customer(country="GB", subdivision="SCT"), customer(country="GB", subdivision="ENG")

    assert calendar_of(scottish, closed).closed == {THURSDAY: "All", FRIDAY: "Scotland"}
    assert (
        calendar_of(english, closed).closed == calendar_of(customer(country="GB"), closed).closed == {THURSDAY: "All"}
    )


def test_a_country_without_holiday_data_has_closed_days() -> None:
    """Antarctica has no holidays and can have closed days."""
    assert not calendar_of(partner(country="AQ"), {"AQ": {THURSDAY: "Storm"}}).is_business_day(THURSDAY)


# --- what is promised -------------------------------------------------------------------------------------------------


async def test_a_closed_day_moves_the_customers_window_and_its_reminder(core: Core) -> None:
    """The fifth business day comes one day later, and the customer reads the reason."""
    await close(core, THURSDAY)
    await close(core, date(2026, 11, 9))

    promise = (await core.notified()).claim.promise

    assert promise is not None
    assert promise.ends_at == datetime(2026, 11, 12, 23, tzinfo=UTC)  # Wednesday the eleventh is a holiday
    assert promise.reminder_at == datetime(2026, 11, 10, 8, tzinfo=UTC)
    assert SkippedDay(date=THURSDAY, name=MOURNING, kind="holiday") in promise.skipped_days


async def test_no_promised_window_moves(core: Core) -> None:
    """Neither a new closed day nor a deleted closed day moves a promised window."""
    before = await core.notified()
    await close(core, THURSDAY)

    assert (await core.stored(before)).claim.window_ends_at == ENDS_AT
    await core.sweep()
    core.clock.set(ENDS_AT - timedelta(microseconds=1))
    assert (await core.seen(before)).status is Status.AWAITING_CUSTOMER
    core.clock.set(ENDS_AT)
    assert (await core.seen(before)).status is Status.OFFICIAL


async def test_a_day_that_is_no_longer_closed_is_a_business_day_for_the_next_promise(core: Core) -> None:
    """A window that was promised before the deletion still skips the day."""
    await close(core, THURSDAY)
    await closed_days.delete(core.ports, "FR", THURSDAY, None)

    assert (await core.notified()).claim.window_ends_at == ENDS_AT


async def test_closed_days_of_the_programmes_country_move_its_time_limits(core: Core) -> None:
    """They move the limits for starting and for deciding a review. A closed day of the customer's country does not."""
    await close(core, THURSDAY, "US")
    await close(core, FRIDAY, "FR")

    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    started = await reviews.start(core.ports, case, MONDAY, NO_CONTEXT)
    rejected = await reviews.reject(core.ports, started, MONDAY, Reason.EVIDENCE_MISSING, NO_CONTEXT)
    why = ActContext(comment=Comment("partner", PERSON.id, "Look again.", MONDAY))
    disputed = await partner_acts.dispute(core.ports, rejected, PERSON, MONDAY, why)

    assert [one.claim.due for one in (case, started, disputed)] == [datetime(2026, 11, 11, tzinfo=UTC)] * 3


async def test_a_closed_day_gives_the_partner_a_day_more_to_answer(core: Core) -> None:
    """
    The time limit and the reminder follow the partner's calendar.

    The programme's review of the answer follows its own.
    """
    await close(core, FRIDAY)
    await close(core, THURSDAY, "US")
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    case = await reviews.start(core.ports, case, MONDAY, NO_CONTEXT)

    asked = await reviews.request_information(core.ports, case, MONDAY, [Reason.EVIDENCE_MISSING], NO_CONTEXT)
    answered = await partner_acts.resubmit(core.ports, asked, PERSON, MONDAY, NO_CONTEXT)

    assert asked.claim.due == ENDS_AT + DAY
    assert asked.claim.time_to_answer is not None
    assert asked.claim.time_to_answer.reminder_at == datetime(2026, 11, 9, 8, tzinfo=UTC)
    assert answered.claim.due == datetime(2026, 11, 11, tzinfo=UTC)


async def test_a_review_that_begins_again_skips_closed_days(core: Core) -> None:
    """Its time limit is computed at each read, from the instant at which the slot became free."""
    await close(core, THURSDAY, "US")
    first = await core.notified()
    second = await core.submitted(FABRIKAM, email="bruno@contoso.fr")
    core.clock.advance(HOUR)
    await core.decline(first)

    assert (await core.seen(second)).next_step.due == datetime(2026, 11, 11, tzinfo=UTC)


# --- the operator -----------------------------------------------------------------------------------------------------


async def test_registering_the_same_again_changes_nothing(core: Core) -> None:
    """A second registration changes nothing, and another name replaces the first."""
    await close(core, THURSDAY)
    await close(core, THURSDAY)
    await closed_days.put(core.ports, "FR", THURSDAY, ClosedDay(name="Another name"), None)

    listed, _ = await closed_days.page(core.ports, after="", limit=10)

    assert [(one.calendar, one.date, one.name) for one in listed] == [("FR", THURSDAY, "Another name")]


async def test_pages_of_closed_days_follow_one_another(core: Core) -> None:
    """The list begins with the last day. It has all places of one date, once each."""
    for place in ("FR", "GB", "GB-SCT"):
        for day in (THURSDAY, FRIDAY):
            await close(core, day, place)

    first, after = await closed_days.page(core.ports, after="", limit=4)
    assert after is not None
    rest, end = await closed_days.page(core.ports, after=after, limit=4)

    assert end is None
    assert [(one.date, one.calendar) for one in (*first, *rest)] == [
        (day, place) for day in (FRIDAY, THURSDAY) for place in ("GB-SCT", "GB", "FR")
    ]


async def test_of_two_who_register_one_day_at_once_one_is_refused(core: Core) -> None:
    """A lost race never overwrites the first registration silently."""
    await close(core, THURSDAY)

    async def somebody_renames_it() -> None:
        former = await core.ports.registry.closed_day("FR", THURSDAY)
        await core.ports.registry.put_closed_day("FR", THURSDAY, ClosedDay(name="Theirs"), former)

    async with core.rows.once_before("registry", somebody_renames_it):
        with pytest.raises(Refused, match="changed since you read it"):
            await closed_days.put(core.ports, "FR", THURSDAY, ClosedDay(name="Ours"), None)
    async with core.rows.once_before("registry", somebody_renames_it):
        with pytest.raises(Refused, match="changed since you read it"):
            await closed_days.delete(core.ports, "FR", THURSDAY, None)


async def test_a_day_that_two_delete_at_the_same_time_is_gone(core: Core) -> None:
    """Both callers wanted the deletion."""
    await close(core, THURSDAY)

    async def somebody_deletes_it() -> None:
        former = await core.ports.registry.closed_day("FR", THURSDAY)
        assert former is not None
        await core.ports.registry.delete_closed_day("FR", THURSDAY, former)

    async with core.rows.once_before("registry", somebody_deletes_it):
        await closed_days.delete(core.ports, "FR", THURSDAY, None)

    with pytest.raises(Refused, match="no such closed day"):
        await closed_days.find(core.ports, "FR", THURSDAY)


async def test_a_registry_reads_closed_days_again_after_five_minutes(core: Core) -> None:
    """The registry of another instance reads them once, keeps them for five minutes, and reads them again."""
    elapsed = 0.0
    other = RegistryTable(core.rows, lambda: elapsed)
    assert await other.closed_days() == {}
    await close(core, THURSDAY)

    elapsed = REMEMBERED_SECONDS
    assert await other.closed_days() == {}
    elapsed += 0.001
    assert await other.closed_days() == {"FR": {THURSDAY: MOURNING}}
