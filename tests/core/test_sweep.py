"""The timer: it pays what is due and nothing else, whatever goes wrong, however often and late it runs."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.row_store import Op, Put
from cpor_core.due_work import SOON, Kind
from cpor_core.errors import StorageBusy
from cpor_core.model.claim import Status
from cpor_core.model.history import Act
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.late_truths import GRACE
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import drafts
from cpor_core.use_cases.due_work.sweep import LOOKED_AT_AGAIN, PAGE, SETTLED_AFTER, TIME_LIMIT
from tests.core.builders import (
    DAY,
    EXCHANGE,
    FABRIKAM,
    HOUR,
    LITWARE,
    MICROSECOND,
    MONDAY,
    PERSON,
    SHAREPOINT,
    TEAMS,
    TENANT,
    USAGE,
)
from tests.core.world import World

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def row_of(world: World, case: Case) -> DueRow:
    """Return the row that is about to write a claim down."""
    return next(row for row in await world.due_rows(case) if row.kind is Kind.WRITE_DOWN)


async def test_an_empty_store_is_swept_at_once(world: World) -> None:
    """Nothing is due."""
    swept = await world.sweep()

    assert (swept.done, swept.delayed, swept.failed) == (0, 0, 0)


async def test_nothing_is_paid_before_it_is_due(world: World) -> None:
    """Not a microsecond."""
    case = await world.told()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    world.clock.set(ends_at + GRACE - MICROSECOND)
    await world.sweep()
    assert (await world.stored(case)).claim.status is Status.AWAITING_CUSTOMER

    world.clock.set(ends_at + GRACE)
    await world.sweep()

    assert (await world.stored(case)).claim.status is Status.OFFICIAL


@pytest.mark.parametrize("late", [timedelta(0), SECOND, DAY, 400 * DAY])
async def test_a_late_timer_writes_what_was_true_in_time(world: World, late: timedelta) -> None:
    """The same history, however late."""
    case = await world.told()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    world.clock.set(ends_at + GRACE)
    read = await world.history(case)
    world.clock.advance(late)

    await world.sweep()

    assert list(await world.ports.claims.history(case.claim.id, after=0, limit=99))[: len(read)] == list(read)


async def test_a_second_run_changes_nothing(world: World) -> None:
    """Neither claims nor mails."""
    case = await world.official()
    await world.deliver()
    before, mails = await world.stored(case), len(world.mailbox.sent)

    await world.sweep()
    await world.sweep()

    after = await world.stored(case)
    assert (after.claim, after.slots, len(world.mailbox.sent)) == (before.claim, before.slots, mails)


async def test_timers_that_run_at_the_same_time_do_it_once(world: World) -> None:
    """Whoever loses the race finds it done."""
    case = await world.told()
    assert case.claim.window_ends_at is not None
    world.clock.set(case.claim.window_ends_at + GRACE)

    await asyncio.gather(world.sweep(), world.sweep(), world.sweep())
    await world.rest()

    acts = [entry.act for entry in await world.history(case)]
    assert acts.count(Act.MADE_OFFICIAL) == 1
    assert world.mailbox.kinds().count("officialConfirmation") == 1


async def test_timer_and_queue_at_the_same_time_send_one_mail(world: World) -> None:
    """Both found the same debt."""
    case = await world.submitted()
    world.clock.advance(SOON)

    await asyncio.gather(world.deliver(), world.sweep(), world.process(case))

    assert world.mailbox.kinds() == ["notice"]


async def test_one_bad_claim_does_not_stop_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by its id, counted and put off."""
    bad = await world.told()
    good = await world.told(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    assert bad.claim.window_ends_at is not None
    await world.rows.write("claims", TENANT, Put(f"claim|{bad.claim.id}", {"document": "{}", "actId": "x"}))
    world.clock.set(bad.claim.window_ends_at + GRACE)

    with caplog.at_level(logging.WARNING):
        swept = await world.sweep()

    assert (await world.stored(good)).claim.status is Status.OFFICIAL
    assert swept.failed >= 1
    assert bad.claim.id in caplog.text
    assert "anne.durand" not in caplog.text
    again = await row_of(world, bad)
    assert (again.due, again.attempt) == (bad.claim.window_ends_at + GRACE + MINUTE, 1)


async def test_a_claim_that_is_busy_is_put_off(world: World) -> None:
    """An expected fault is no error of the program."""
    case = await world.told()
    assert case.claim.window_ends_at is not None
    world.clock.set(case.claim.window_ends_at + GRACE)

    async def busy(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise StorageBusy("throttled")

    world.rows.before = busy
    swept = await world.sweep()
    world.rows.before = None

    assert swept.failed == swept.delayed >= 1
    assert (await world.seen(case)).status is Status.OFFICIAL
    world.clock.advance(10 * MINUTE)
    await world.sweep()
    assert (await world.stored(case)).claim.status is Status.OFFICIAL


async def test_a_row_is_put_off_until_the_mail_system_wants_to_be_asked_again(world: World) -> None:
    """That is no failed attempt: its turn comes."""
    case = await world.submitted()
    world.lose_messages()
    world.mailbox.down, world.mailbox.retry_after = True, 600
    world.clock.advance(SOON)
    now = await world.now()

    await world.sweep()

    row = next(row for row in await world.due_rows(case) if row.kind is Kind.NOTIFY_CUSTOMER)
    assert (row.due, row.attempt) == (now + timedelta(seconds=600), 0)


async def test_a_row_that_cannot_be_put_off_stays_where_it_is(world: World) -> None:
    """The next run finds it again."""
    case = await world.submitted()
    world.mailbox.down = True
    world.clock.advance(SOON)
    before = await world.due_rows(case)

    async def busy(table: str, _: Sequence[Op]) -> None:
        if table == "duework":
            raise StorageBusy("throttled")

    world.rows.before = busy
    await world.sweep()
    world.rows.before = None

    assert await world.due_rows(case) == before


async def test_a_shard_that_cannot_be_read_does_not_stop_the_others(world: World) -> None:
    """Its fault is raised when they are done, so that the run counts as failed."""
    cases = [await world.told(items=(item,), engagement=USAGE) for item in (TEAMS, EXCHANGE, SHAREPOINT)]
    shards = {await shard_of(world, case) for case in cases}
    broken = await shard_of(world, cases[0])
    assert len(shards) > 1
    read = world.ports.duework.due

    async def due(shard: int, *args: object, **more: object) -> Sequence[DueRow]:
        if shard == broken:
            raise StorageBusy("throttled")
        return await read(shard, *args, **more)  # type: ignore[arg-type]

    world.ports.duework.due = due  # type: ignore[method-assign]
    world.clock.set(MONDAY + 20 * DAY)
    with pytest.raises(StorageBusy):
        await world.sweep()

    for case in cases:
        written = (await world.stored(case)).claim.status is Status.OFFICIAL
        assert written == (await shard_of(world, case, read) != broken)


async def shard_of(world: World, case: Case, read: object = None) -> int:
    """Return the shard in which a claim's rows lie."""
    for shard in range(16):
        rows = await (read or world.ports.duework.due)(shard, MONDAY + 900 * DAY, after=None, limit=999)  # type: ignore[operator]
        if any(row.subject == case.claim.id for row in rows):
            return shard
    raise AssertionError(case.claim.id)


async def test_more_rows_than_a_page_are_swept_in_one_run(world: World) -> None:
    """A full page is followed by the next."""
    subject = "0" * 52
    rows = [DueRow(MONDAY, subject, Kind.WRITE_DOWN, f"{n:04d}") for n in range(2 * PAGE + 1)]
    for start in range(0, len(rows), PAGE):
        await world.ports.duework.add(rows[start : start + PAGE])

    swept = await world.sweep()

    assert swept.done == len(rows)


async def test_a_run_stops_itself_before_it_is_stopped(world: World) -> None:
    """After four minutes of real time; the next run goes on (the whole worker would be restarted after five)."""
    subject = "0" * 52
    rows = [DueRow(MONDAY, subject, Kind.WRITE_DOWN, f"{n:04d}") for n in range(2 * PAGE)]
    for start in range(0, len(rows), PAGE):
        await world.ports.duework.add(rows[start : start + PAGE])
    read = world.ports.claims.load

    async def slow(*args: object, **more: object) -> StoredCase | None:
        world.clock.advance(TIME_LIMIT)
        return await read(*args, **more)  # type: ignore[arg-type]

    world.ports.claims.load = slow  # type: ignore[method-assign]

    swept = await world.sweep()
    assert swept.done == 1
    assert swept.due_since == MONDAY


async def test_the_oldest_debt_is_told_of_for_as_long_as_it_is_unpaid(world: World) -> None:
    """Since it fell due, however often it was put off; once it is paid nothing is told."""
    world.mailbox.down = True
    await world.told()
    world.clock.advance(SOON)
    first = (await world.sweep()).due_since
    assert first is not None
    for pause in (2 * MINUTE, 6 * MINUTE, 16 * MINUTE):
        world.clock.advance(pause)
        assert (await world.sweep()).due_since == first
    world.mailbox.down = False
    world.clock.advance(2 * HOUR)

    assert (await world.sweep()).due_since is None


# --- when a row may be deleted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "left"), [(SETTLED_AFTER, 1), (SETTLED_AFTER + MICROSECOND, 0)])
async def test_a_settled_row_is_deleted_when_no_writer_can_be_at_work_any_more(
    world: World, age: timedelta, left: int
) -> None:
    """Older than ten minutes by the real clock (rulings 36)."""
    case = await world.told()
    rows = await world.due_rows(case)
    assert Kind.NOTIFY_CUSTOMER in [row.kind for row in rows]
    world.clock.advance(age)

    await world.sweep()

    assert [row.kind for row in await world.due_rows(case)].count(Kind.NOTIFY_CUSTOMER) == left


async def test_the_sandbox_clock_does_not_make_a_row_old(world: World) -> None:
    """Its age is real time: a writer may be at work still, however far the service's time was moved."""
    case = await world.told()
    world.clock.shift(3 * DAY)

    await world.sweep()

    assert Kind.NOTIFY_CUSTOMER in [row.kind for row in await world.due_rows(case)]


async def test_a_row_whose_writer_has_not_finished_yet_survives_the_sweep(world: World) -> None:
    """The row is there, the debt not yet: deleting it would lose the debt when the writer dies after its commit."""
    draft = await world.draft()

    async def sweep_in_between() -> None:
        world.clock.advance(SETTLED_AFTER)
        await world.sweep()

    async with world.rows.once_before("claims", sweep_in_between):
        await world.submit(draft)
    world.lose_messages()

    await world.rest(LOOKED_AT_AGAIN)

    assert world.mailbox.kinds() == ["notice"]


async def test_a_row_that_was_written_anew_is_not_deleted(world: World) -> None:
    """Every delete is under the version that was read."""
    case = await world.told()
    world.clock.advance(SETTLED_AFTER + SECOND)
    rows = {row.kind: row for row in await world.due_rows(case)}

    async def write_again() -> None:
        again = rows[Kind.NOTIFY_CUSTOMER]
        await world.ports.duework.add([DueRow(again.due, again.subject, again.kind)])

    async with world.rows.once_before("duework", write_again):
        await world.sweep()

    assert Kind.NOTIFY_CUSTOMER in [row.kind for row in await world.due_rows(case)]


async def test_rows_end_with_what_they_are_about(world: World) -> None:
    """Some time after a claim is closed not one of its rows is left, but those that delete."""
    case = await world.official()
    await world.rest()
    await drafts.delete(world.ports, await world.draft(LITWARE), PERSON, await world.now())
    await world.rest()

    for _ in range(5):
        world.clock.advance(30 * DAY)
        await world.sweep()

    assert [row for row in await world.due_rows() if row.deletes is None and row.kind is not Kind.TRIM_CHANGES] == []
    assert (await world.stored(case)).claim.status is Status.OFFICIAL


# --- what is to be forgotten ------------------------------------------------------------------------------------------


async def test_an_orphaned_blob_is_deleted_later(world: World) -> None:
    """The upload died before the claim pointed to it (rulings 10)."""
    case = await world.draft(evidence=False)
    upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.4", None)

    async def refused() -> None:
        raise StorageBusy("throttled")

    async with world.rows.once_before("claims", refused):
        with pytest.raises(StorageBusy):
            await drafts.add_evidence(world.ports, case, PERSON, MONDAY, upload, NO_CONTEXT)
    assert len(world.blobs.blobs) == 1

    world.clock.advance(HOUR)
    await world.sweep()

    assert world.blobs.blobs == {}


async def test_a_blob_to_which_its_claim_points_is_kept(world: World) -> None:
    """The row that would forget it finds the claim."""
    case = await world.draft()

    world.clock.advance(HOUR)
    await world.sweep()

    assert set(world.blobs.blobs) == {evidence.blob for evidence in case.claim.evidence}


async def test_a_replaced_blob_is_deleted_later(world: World) -> None:
    """And the new one kept."""
    case = await world.draft()
    upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.5", None)
    after, new = await drafts.add_evidence(world.ports, case, PERSON, MONDAY, upload, NO_CONTEXT)
    assert not new
    assert len(world.blobs.blobs) == 2

    world.clock.advance(HOUR)
    await world.sweep()

    assert set(world.blobs.blobs) == {evidence.blob for evidence in after.claim.evidence}


async def test_the_blobs_of_a_draft_that_is_gone_are_deleted(world: World) -> None:
    """Whoever erases it first."""
    case = await world.draft()
    await world.ports.claims.erase(case.claim.id)

    world.clock.advance(HOUR)
    await world.sweep()

    assert world.blobs.blobs == {}


async def test_a_row_that_names_nothing_to_delete_is_harmless(world: World) -> None:
    """It is deleted in time like any other."""
    await world.ports.duework.add([DueRow(MONDAY, "0" * 52, Kind.DELETE_MESSAGE_ID)])
    world.clock.advance(SETTLED_AFTER + SECOND)

    swept = await world.sweep()

    assert (swept.done, swept.failed) == (1, 0)
    assert await world.due_rows() == []


async def test_an_association_is_written_down_a_minute_after_its_window(world: World) -> None:
    """A no that arrived in time may still be on its way: what was superseded could not be brought back (rulings 73)."""
    case = await world.told()
    assert case.claim.window_ends_at is not None

    for early in (timedelta(0), GRACE - MICROSECOND):
        world.clock.set(case.claim.window_ends_at + early)
        await world.sweep()
        assert (await world.stored(case)).claim.status is Status.AWAITING_CUSTOMER
        assert (await world.seen(case)).status is Status.OFFICIAL
    world.clock.advance(MICROSECOND)
    await world.sweep()

    assert (await world.stored(case)).claim.status is Status.OFFICIAL


async def test_a_due_row_of_an_earlier_release_comes_a_minute_later(world: World) -> None:
    """It lies at the window's very end, days old: deleted there, nobody would write the association down."""
    case = await world.told()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    (new,) = [row for row in await world.due_rows(case) if row.due == ends_at + GRACE]
    await world.ports.duework.add([replace(new, due=ends_at)])
    await world.ports.duework.delete(new)
    world.clock.set(ends_at)

    await world.sweep()
    assert (await world.stored(case)).claim.status is Status.AWAITING_CUSTOMER
    world.clock.advance(GRACE)
    await world.sweep()

    assert (await world.stored(case)).claim.status is Status.OFFICIAL
