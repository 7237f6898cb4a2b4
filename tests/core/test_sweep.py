"""The timer does all due work and no other work, through all faults, and however often and late it runs."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.row_store import Op, Put
from cpor_app.queue_names import DUE_PAGES
from cpor_core.due_work import SETTLED_AFTER, SHARDS, SOON, Kind
from cpor_core.errors import StorageBusy
from cpor_core.model.claim import Status
from cpor_core.model.history import Act
from cpor_core.ports.due_work import DuePage, DueRow, LookedAt
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.grace import GRACE
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import comments, drafts
from cpor_core.use_cases.due_work.process_claim import STEPS
from cpor_core.use_cases.due_work.sweep import LOOKED_AT_AGAIN, PAGE, TIME_LIMIT, process_page
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
from tests.core.memory_core import Core
from tests.doubles.requests import Answer, Request, straight

PAUL = "paul@adatum.example"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def row_of(core: Core, case: Case) -> DueRow:
    """Return the row that leads to settling a claim."""
    return next(row for row in await core.due_rows(case) if row.kind is Kind.WRITE_DOWN)


async def test_an_empty_store_is_swept_at_once(core: Core) -> None:
    """An empty table has no due rows."""
    swept = await core.sweep()

    assert (swept.done, swept.delayed, swept.failed) == (0, 0, 0)


async def test_no_work_is_done_before_it_is_due(core: Core) -> None:
    """A microsecond before is too early."""
    case = await core.notified()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    core.clock.set(ends_at + GRACE - MICROSECOND)
    await core.sweep()
    assert (await core.stored(case)).claim.status is Status.AWAITING_CUSTOMER

    core.clock.set(ends_at + GRACE)
    await core.sweep()

    assert (await core.stored(case)).claim.status is Status.OFFICIAL


@pytest.mark.parametrize("late", [timedelta(0), SECOND, DAY, 400 * DAY])
async def test_a_late_timer_stores_the_same_history(core: Core, late: timedelta) -> None:
    """This holds however late it runs."""
    case = await core.notified()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    core.clock.set(ends_at + GRACE)
    read = await core.history(case)
    core.clock.advance(late)

    await core.sweep()

    assert list(await core.ports.claims.history(case.claim.id, after=0, limit=99))[: len(read)] == list(read)


async def test_a_second_run_changes_nothing(core: Core) -> None:
    """Neither claims nor mails change."""
    case = await core.official()
    await core.deliver()
    before, mails = await core.stored(case), len(core.mailbox.sent)

    await core.sweep()
    await core.sweep()

    after = await core.stored(case)
    assert (after.claim, after.slots, len(core.mailbox.sent)) == (before.claim, before.slots, mails)


async def test_timers_that_run_at_the_same_time_do_the_work_once(core: Core) -> None:
    """The loser of the race finds the work done."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at + GRACE)

    await asyncio.gather(core.sweep(), core.sweep(), core.sweep())
    await core.rest()

    acts = [entry.act for entry in await core.history(case)]
    assert acts.count(Act.MADE_OFFICIAL) == 1
    assert core.mailbox.kinds().count("officialConfirmation") == 1


async def test_timer_and_queue_at_the_same_time_send_one_mail(core: Core) -> None:
    """Both found the same due work."""
    case = await core.submitted()
    core.clock.advance(SOON)

    await asyncio.gather(core.deliver(), core.sweep(), core.process(case))

    assert core.mailbox.kinds() == ["notice"]


async def test_one_bad_claim_does_not_stop_the_others(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    """The claim's id is logged, the failure is counted, and the row is postponed."""
    bad = await core.notified()
    good = await core.notified(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    assert bad.claim.window_ends_at is not None
    await core.rows.write("claims", TENANT, Put(f"claim|{bad.claim.id}", {"document": "{}", "actId": "x"}))
    core.clock.set(bad.claim.window_ends_at + GRACE)

    with caplog.at_level(logging.WARNING):
        swept = await core.sweep()

    assert (await core.stored(good)).claim.status is Status.OFFICIAL
    assert swept.failed >= 1
    assert bad.claim.id in caplog.text
    assert "anne.durand" not in caplog.text
    again = await row_of(core, bad)
    assert (again.due, again.attempt) == (bad.claim.window_ends_at + GRACE + MINUTE, 1)


async def test_a_claim_that_is_busy_is_postponed(core: Core) -> None:
    """An expected fault is no error of the program."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at + GRACE)

    async def busy(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise StorageBusy("throttled")

    core.rows.before = busy
    swept = await core.sweep()
    core.rows.before = None

    assert swept.failed == swept.delayed >= 1
    assert (await core.seen(case)).status is Status.OFFICIAL
    core.clock.advance(10 * MINUTE)
    await core.sweep()
    assert (await core.stored(case)).claim.status is Status.OFFICIAL


async def test_a_row_is_postponed_to_the_time_that_the_mail_system_names(core: Core) -> None:
    """This counts as no failed attempt."""
    case = await core.submitted()
    core.lose_messages()
    core.mailbox.down, core.mailbox.retry_after = True, 600
    core.clock.advance(SOON)
    now = await core.now()

    await core.sweep()

    row = next(row for row in await core.due_rows(case) if row.kind is Kind.NOTIFY_CUSTOMER)
    assert (row.due, row.attempt) == (now + timedelta(seconds=600), 0)


async def test_a_row_that_cannot_be_postponed_stays(core: Core) -> None:
    """The next run finds it again."""
    case = await core.submitted()
    core.mailbox.down = True
    core.clock.advance(SOON)
    before = await core.due_rows(case)

    async def busy(table: str, _: Sequence[Op]) -> None:
        if table == "duework":
            raise StorageBusy("throttled")

    core.rows.before = busy
    await core.sweep()
    core.rows.before = None

    assert await core.due_rows(case) == before


async def test_a_shard_that_cannot_be_read_does_not_stop_the_others(core: Core) -> None:
    """The fault is raised after the other shards, so that the run counts as failed."""
    cases = [await core.notified(items=(item,), engagement=USAGE) for item in (TEAMS, EXCHANGE, SHAREPOINT)]
    shards = {await shard_of(core, case) for case in cases}
    broken = await shard_of(core, cases[0])
    assert len(shards) > 1
    read = core.ports.duework.due

    async def due(shard: int, *args: object, **more: object) -> Sequence[DueRow]:
        if shard == broken:
            raise StorageBusy("throttled")
        return await read(shard, *args, **more)  # type: ignore[arg-type]

    core.ports.duework.due = due  # type: ignore[method-assign]
    core.clock.set(MONDAY + 20 * DAY)
    with pytest.raises(StorageBusy):
        await core.sweep()

    for case in cases:
        written = (await core.stored(case)).claim.status is Status.OFFICIAL
        assert written == (await shard_of(core, case, read) != broken)


async def shard_of(core: Core, case: Case, read: object = None) -> int:
    """Return the shard of a claim's rows."""
    for shard in range(16):
        rows = await (read or core.ports.duework.due)(shard, MONDAY + 900 * DAY, after=None, limit=999)  # type: ignore[operator]
        if any(row.subject == case.claim.id for row in rows):
            return shard
    raise AssertionError(case.claim.id)


MANY = 2 * PAGE + 1
"""Rows of one shard: two full pages and one more row."""


async def many_rows(core: Core) -> None:
    """Write the rows of one subject, each due a second after the one before."""
    rows = [DueRow(MONDAY + n * SECOND, "0" * 52, Kind.WRITE_DOWN, f"{n:04d}") for n in range(MANY)]
    for start in range(0, MANY, PAGE):
        await core.ports.duework.add(rows[start : start + PAGE])
    core.clock.advance(MANY * SECOND + SETTLED_AFTER + SECOND)


async def test_each_full_page_of_a_shard_is_left_to_the_queue(core: Core) -> None:
    """All instances share the work. The messages name instants and subjects, and no kind of work."""
    await many_rows(core)

    swept = await core.sweep()

    messages = [message.text for message in core.queues.waiting.values()]
    assert (swept.done, swept.due_since, len(messages)) == (1, MONDAY, 2)
    assert not any(Kind.WRITE_DOWN in message for message in messages)
    await core.deliver()
    assert await core.due_rows() == []


async def test_while_pages_wait_the_timer_does_all_pages_itself(core: Core) -> None:
    """No page is sent twice, and a page that nobody takes does not wait."""
    await many_rows(core)
    await core.sweep()

    swept = await core.sweep()

    assert (swept.done, len(core.queues.waiting)) == (2 * PAGE, 2)
    assert await core.due_rows() == []


@pytest.mark.parametrize("broken", ["length", "send"])
async def test_a_timer_whose_queue_does_not_answer_does_all_pages_itself(
    core: Core, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A queue that does not exist has no messages, and takes none. The rows of the pages must not wait for it."""
    await many_rows(core)

    async def fail(*_: object, **__: object) -> int:
        raise StorageBusy("throttled")

    monkeypatch.setattr(core.queues, broken, fail)
    swept = await core.sweep()

    assert (swept.done, len(core.queues.waiting)) == (MANY, 0)


async def test_a_page_is_sent_again_if_its_message_was_lost(core: Core) -> None:
    """The rows are still there."""
    await many_rows(core)
    await core.sweep()
    core.lose_messages()

    await core.sweep()

    assert len(core.queues.waiting) == 2


async def test_rows_of_a_page_that_are_not_due_yet_stay(core: Core) -> None:
    """
    The clock of the instance that sent the page was ahead.

    If such a row were deleted, nobody would ever store the association.
    """
    case = await core.notified()
    row = await row_of(core, case)
    core.clock.set(row.due - MICROSECOND)
    [shard] = [n for n in range(SHARDS) if row in await core.ports.duework.due(n, row.due, after=None, limit=PAGE)]

    await process_page(core.ports, core.ports.duework.page_of(shard, [row]), await core.now())

    assert await row_of(core, case) == row


async def test_a_page_stops_before_its_time_limit(core: Core) -> None:
    """The rows that it did not reach stay, and the timer finds them."""
    await many_rows(core)
    await core.sweep()
    [message, _] = await core.queues.take(DUE_PAGES, 32)
    clock = iter([MONDAY, MONDAY + TIME_LIMIT])
    core.ports = replace(core.ports, real_now=clock.__next__)

    swept = await process_page(core.ports, DuePage(**json.loads(message.text)), await core.now())

    assert swept.done == 0
    assert len(await core.due_rows()) == 2 * PAGE


async def test_a_run_stops_before_its_time_limit(core: Core) -> None:
    """
    It stops after four minutes of real time, and the next run goes on.

    After five minutes the host would restart the worker.
    """
    await core.ports.duework.add([DueRow(MONDAY, f"{n:052x}", Kind.WRITE_DOWN) for n in range(20)])
    read = core.ports.claims.load

    async def slow(*args: object, **more: object) -> StoredCase | None:
        core.clock.advance(TIME_LIMIT)
        return await read(*args, **more)  # type: ignore[arg-type]

    core.ports.claims.load = slow  # type: ignore[method-assign]

    swept = await core.sweep()
    assert swept.done == 1
    assert swept.due_since == MONDAY


async def test_the_oldest_due_work_is_reported_until_it_is_done(core: Core) -> None:
    """The age counts from the first instant at which the work was due, however often it was postponed."""
    core.mailbox.down = True
    await core.notified()
    core.clock.advance(SOON)
    first = (await core.sweep()).due_since
    assert first is not None
    for pause in (2 * MINUTE, 6 * MINUTE, 16 * MINUTE):
        core.clock.advance(pause)
        assert (await core.sweep()).due_since == first
    core.mailbox.down = False
    core.clock.advance(2 * HOUR)

    assert (await core.sweep()).due_since is None


async def test_a_newer_row_of_the_claim_does_not_make_old_work_look_young(core: Core) -> None:
    """The first row of a claim leads to all of its work. The row of the delayed work stays too, with its age."""
    core.mailbox.down = True
    case = await core.notified()
    core.clock.advance(SOON)
    first = (await core.sweep()).due_since
    core.clock.advance(HOUR)
    await core.ports.duework.add([DueRow(await core.now(), case.claim.id, Kind.WRITE_DOWN)])

    assert (await core.sweep()).due_since == first
    core.clock.advance(2 * HOUR)
    assert (await core.sweep()).due_since == first


async def test_a_row_whose_own_work_was_done_is_deleted_while_other_work_of_its_claim_is_delayed(core: Core) -> None:
    """The partner's mail was sent, so its row goes."""
    case = await core.decline(await core.notified())
    core.lose_messages()
    core.mailbox.put_off.add("anne.durand@contoso.fr")
    core.clock.advance(SOON)

    await core.sweep()

    left = {row.kind for row in await core.due_rows(case)}
    assert core.mailbox.news()[-1:] == ["declined"]
    assert (Kind.SEND_MAIL in left, Kind.NOTIFY_PARTNER in left) == (True, False)


async def test_work_that_failed_is_tried_once_a_run(core: Core) -> None:
    """The other rows of its claim do not lead to it again."""
    core.mailbox.down = True
    case = await core.notified()
    core.clock.advance(SOON)
    await core.ports.duework.add([DueRow(await core.now(), case.claim.id, kind) for kind in STEPS])
    tries: list[str] = []

    async def fail(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            tries.append(table)
            raise StorageBusy("throttled")

    core.rows.before = fail
    swept = await core.sweep()

    assert (swept.failed, len(tries)) == (1, 1)


@pytest.mark.parametrize("kind", [Kind.DELETE_MESSAGE_IDS, Kind.DELIVER, Kind.ERASE_PERSON])
async def test_work_that_nobody_waits_for_can_be_late(core: Core, kind: Kind) -> None:
    """A deletion that fails, a partner's server that is down, and a long erasure lead to no alert."""
    await core.ports.duework.add([DueRow(MONDAY, "0" * 52, kind)])

    async def unreadable(request: Request, do: Callable[[], Answer]) -> Answer:
        if request.table != "duework":
            raise StorageBusy("throttled")
        return await straight(request, do)

    core.rows.carry = unreadable
    swept = await core.sweep()

    assert (swept.failed, swept.due_since) == (1, None)


# --- when a row may be deleted ----------------------------------------------------------------------------------------


async def of_the_first_release(core: Core, case: Case, kind: Kind) -> None:
    """Write a row again as the first release did: without the version that its act stores."""
    [row] = [row for row in await core.due_rows(case) if row.kind is kind]
    await core.ports.duework.add([DueRow(row.due, row.subject, row.kind)])


async def test_a_done_row_is_deleted_at_once_when_its_act_is_stored(core: Core) -> None:
    """The rows of all acts of the claim are deleted by one request, after one load of the claim (decision 36b)."""
    case = await core.notified()
    core.clock.advance(SOON)
    due = [row.kind for row in await core.due_rows(case) if row.due <= core.clock.real()]
    core.rows.written.clear()
    loads, load = [], core.ports.claims.load

    async def counted(claim_id: str) -> StoredCase | None:
        loads.append(claim_id)
        return await load(claim_id)

    core.ports.claims.load = counted  # type: ignore[method-assign]
    await core.sweep()

    assert loads == [case.claim.id]
    assert {Kind.NOTIFY_CUSTOMER, Kind.NOTIFY_PARTNER, Kind.FOLLOW} <= set(due)
    assert [row for row in await core.due_rows(case) if row.due <= core.clock.real() + HOUR / 2] == []
    assert core.rows.written == ["duework", "programme", "duework"]  # the first is the row that trims a new feed


@pytest.mark.parametrize(("age", "left"), [(SETTLED_AFTER, 1), (SETTLED_AFTER + MICROSECOND, 0)])
async def test_a_done_row_without_a_version_is_deleted_when_no_writer_can_need_it(
    core: Core, age: timedelta, left: int
) -> None:
    """It must be older than ten minutes by the real clock (decision 36)."""
    case = await core.notified()
    await of_the_first_release(core, case, Kind.NOTIFY_CUSTOMER)
    core.clock.advance(age)

    await core.sweep()

    assert [row.kind for row in await core.due_rows(case)].count(Kind.NOTIFY_CUSTOMER) == left


async def test_the_sandbox_clock_does_not_make_a_row_old(core: Core) -> None:
    """The age is real time, because a writer can still be at work however far the service's time was moved."""
    case = await core.notified()
    await of_the_first_release(core, case, Kind.NOTIFY_CUSTOMER)
    core.clock.shift(3 * DAY)

    await core.sweep()

    assert Kind.NOTIFY_CUSTOMER in [row.kind for row in await core.due_rows(case)]


async def test_each_try_of_an_act_writes_its_rows_again(core: Core) -> None:
    """
    The first try lost a race, and the timer deleted its rows, because that try can never be stored.

    If the second try wrote no rows, and its process died after the commit, the notice would never be sent.
    """
    draft = await core.draft()

    async def lose_the_race() -> None:
        await comments.add_comment(core.ports, draft, PERSON, await core.now(), NO_CONTEXT)
        core.clock.advance(SOON)
        await core.sweep()
        assert Kind.NOTIFY_CUSTOMER not in [row.kind for row in await core.due_rows(draft)]

    async with core.rows.once_before("claims", lose_the_race):
        await core.submit(draft)
    core.lose_messages()

    await core.rest(SOON)

    assert core.mailbox.kinds() == ["notice"]


async def test_a_mail_that_became_due_during_the_timers_last_step_is_sent(core: Core) -> None:
    """
    While the timer sends a mail to a partner, the customer's no is stored. The no makes a confirmation due.

    The timer then knows the version of the no. If it deleted the rows of the no, and the messages of the no were lost,
    nobody would ever send the confirmation.
    """
    core.mailbox.put_off.add(PAUL)
    case = await core.notified()
    core.mailbox.put_off.clear()
    rows_are_written, timer_sends = asyncio.Event(), asyncio.Event()

    async def wait_for_the_timer(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            core.rows.before = None
            rows_are_written.set()
            await timer_sends.wait()

    async def let_the_no_be_stored(_: MailMessage) -> None:
        core.mailbox.on_send = None
        timer_sends.set()
        await no

    core.rows.before = wait_for_the_timer
    no = asyncio.create_task(core.decline(case))
    await rows_are_written.wait()
    core.mailbox.on_send = let_the_no_be_stored
    core.clock.advance(SOON)
    await core.sweep()
    assert (await core.stored(case)).claim.status is Status.DECLINED
    core.lose_messages()

    await core.rest(LOOKED_AT_AGAIN)

    assert core.mailbox.kinds() == ["notice", "declineConfirmation"]


async def test_rows_of_a_claim_that_cannot_be_read_stay(core: Core) -> None:
    """Nothing is known about them, however old they are."""
    case = await core.notified()
    core.clock.advance(SETTLED_AFTER + DAY)
    before = {row.kind for row in await core.due_rows(case)}

    async def unreadable(request: Request, do: Callable[[], Answer]) -> Answer:
        if request.table == "claims":
            raise StorageBusy("throttled")
        return await straight(request, do)

    core.rows.carry = unreadable
    await core.sweep()
    core.rows.carry = straight

    assert {row.kind for row in await core.due_rows(case)} == before


async def test_a_row_whose_writer_has_not_finished_yet_survives_the_sweep(core: Core) -> None:
    """
    The row exists, and the claim does not need it yet.

    If it were deleted, and the writer died after its commit, the work would be lost.
    """
    draft = await core.draft()

    async def sweep_in_between() -> None:
        core.clock.advance(SETTLED_AFTER)
        await core.sweep()

    async with core.rows.once_before("claims", sweep_in_between):
        await core.submit(draft)
    core.lose_messages()

    await core.rest(LOOKED_AT_AGAIN)

    assert core.mailbox.kinds() == ["notice"]


async def test_a_row_that_was_rewritten_is_not_deleted(core: Core) -> None:
    """Each delete requires the ETag of the read."""
    case = await core.notified()
    core.clock.advance(SETTLED_AFTER + SECOND)
    rows = {row.kind: row for row in await core.due_rows(case)}

    async def write_again() -> None:
        again = rows[Kind.NOTIFY_CUSTOMER]
        await core.ports.duework.add([DueRow(again.due, again.subject, again.kind)])

    async with core.rows.once_before("duework", write_again):
        await core.sweep()

    assert Kind.NOTIFY_CUSTOMER in [row.kind for row in await core.due_rows(case)]


async def test_a_closed_claim_soon_has_only_rows_that_delete(core: Core) -> None:
    """The other due rows are deleted some time after the close."""
    case = await core.official()
    await core.rest()
    await drafts.delete(core.ports, await core.draft(LITWARE), PERSON, await core.now())
    await core.rest()

    for _ in range(5):
        core.clock.advance(30 * DAY)
        await core.sweep()

    trims = {Kind.TRIM_CHANGES, Kind.TRIM_PROGRAMME}
    assert [row for row in await core.due_rows() if row.deletes is None and row.kind not in trims] == []
    assert (await core.stored(case)).claim.status is Status.OFFICIAL


# --- deletions --------------------------------------------------------------------------------------------------------


async def test_a_blob_without_a_claim_is_deleted_later(core: Core) -> None:
    """The upload died before the claim named the blob (decision 10)."""
    case = await core.draft(evidence=False)
    upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.4", None)

    async def refused() -> None:
        raise StorageBusy("throttled")

    async with core.rows.once_before("claims", refused):
        with pytest.raises(StorageBusy):
            await drafts.add_evidence(core.ports, case, PERSON, MONDAY, upload, NO_CONTEXT)
    assert len(core.blobs.blobs) == 1

    core.clock.advance(HOUR)
    await core.sweep()

    assert core.blobs.blobs == {}


async def test_a_blob_of_a_claim_stays(core: Core) -> None:
    """The due row of the deletion finds that the claim names the blob."""
    case = await core.draft()

    core.clock.advance(HOUR)
    await core.sweep()

    assert set(core.blobs.blobs) == {evidence.blob for evidence in case.claim.evidence}


async def test_a_replaced_blob_is_deleted_later(core: Core) -> None:
    """The new blob stays."""
    case = await core.draft()
    upload = drafts.Upload("sow.pdf", "application/pdf", b"%PDF-1.5", None)
    after, new = await drafts.add_evidence(core.ports, case, PERSON, MONDAY, upload, NO_CONTEXT)
    assert not new
    assert len(core.blobs.blobs) == 2

    core.clock.advance(HOUR)
    await core.sweep()

    assert set(core.blobs.blobs) == {evidence.blob for evidence in after.claim.evidence}


async def test_the_blobs_of_an_erased_draft_are_deleted(core: Core) -> None:
    """This holds whether the queue or the timer erases it."""
    case = await core.draft()
    await core.ports.claims.erase(case.claim.id)

    core.clock.advance(HOUR)
    await core.sweep()

    assert core.blobs.blobs == {}


async def test_a_row_without_anything_to_delete_is_harmless(core: Core) -> None:
    """It is deleted in time like other rows."""
    await core.ports.duework.add([DueRow(MONDAY, "0" * 52, Kind.DELETE_MESSAGE_ID)])
    core.clock.advance(SETTLED_AFTER + SECOND)

    swept = await core.sweep()

    assert (swept.done, swept.failed) == (1, 0)
    assert await core.due_rows() == []


async def test_an_association_is_stored_a_minute_after_its_window(core: Core) -> None:
    """A no that arrived in time can still be in work, and a superseded claim cannot come back (decision 73)."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None

    for early in (timedelta(0), GRACE - MICROSECOND):
        core.clock.set(case.claim.window_ends_at + early)
        await core.sweep()
        assert (await core.stored(case)).claim.status is Status.AWAITING_CUSTOMER
        assert (await core.seen(case)).status is Status.OFFICIAL
    core.clock.advance(MICROSECOND)
    await core.sweep()

    assert (await core.stored(case)).claim.status is Status.OFFICIAL


async def test_a_due_row_of_an_earlier_release_is_postponed_by_a_minute(core: Core) -> None:
    """
    It lies at the window's end and is days old.

    If it were deleted then, no row would lead to storing the association.
    """
    case = await core.notified()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    (new,) = [row for row in await core.due_rows(case) if row.due == ends_at + GRACE]
    await core.ports.duework.add([replace(new, due=ends_at)])
    await core.ports.duework.settle([LookedAt(new)])
    core.clock.set(ends_at)

    await core.sweep()
    assert (await core.stored(case)).claim.status is Status.AWAITING_CUSTOMER
    core.clock.advance(GRACE)
    await core.sweep()

    assert (await core.stored(case)).claim.status is Status.OFFICIAL
