"""The one way to change a claim: order of writes, lost races, lost answers, and all claims that an act changes."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.tables import unpacked
from cpor_core.due_work import RETENTION, SOON, Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.claim import Item, Reason, Status
from cpor_core.model.history import Act, spoken_by
from cpor_core.model.slot import Slot
from cpor_core.ports.claims import Comment, Commit
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.rules.grace import GRACE
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import (
    ATTEMPTS,
    NO_CONTEXT,
    REVIEWS,
    ActContext,
    change_claim,
    find,
    review_position,
    write_down,
)
from cpor_core.use_cases.claims import comments, customer_acts, drafts, partner_acts
from cpor_core.use_cases.claims.subscription_ends import end_gone_items
from cpor_core.use_cases.idempotency import Repeated
from cpor_core.views import claim_view, entity_tag
from tests.core.builders import (
    ADATUM,
    ANNE,
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
from tests.doubles.requests import Answer, Request
from tests.doubles.transport import ProcessDied

IDEMPOTENCY_KEY = IdempotencyKey("f00d" * 16, "body", ADATUM)


async def comment(core: Core, case: Case, context: ActContext = NO_CONTEXT) -> Case:
    """Do the smallest possible act."""
    return await comments.add_comment(core.ports, case, PERSON, await core.now(), context)


# --- order of writes --------------------------------------------------------------------------------------------------


async def test_an_act_is_written_in_this_order(core: Core) -> None:
    """The due row is written first, then the transaction, then the hint. The entries of the feed come last."""
    draft = await core.draft()
    core.rows.written.clear()

    async with core.rows.once_before("claims", lambda: nothing_sent(core)):
        await core.submit(draft)

    assert core.rows.written == ["duework", "claims", "changes"]
    assert len(core.queues.waiting) == 1


async def nothing_sent(core: Core) -> None:
    """Assert that no hint was sent."""
    assert core.queues.waiting == {}


async def test_a_reviewers_row_is_written_before_the_claim(core: Core) -> None:
    """The row has its due instant as key and is in the one partition."""
    draft = await core.draft(items=(TEAMS,), engagement=USAGE)
    core.rows.written.clear()

    case = await core.submit(draft)

    assert core.rows.written == ["duework", "reviews", "claims", "changes"]
    rows = await core.ports.reviews.page(REVIEWS, after="", limit=9)
    assert [(row.position, row.claim_id) for row in rows] == [(review_position(case.claim), case.claim.id)]


async def test_due_rows_name_each_kind_with_its_instant(core: Core) -> None:
    """Work that is due at once has a row two minutes ahead, because the queue does it sooner (decision 36)."""
    submitted = await core.submitted()
    now = await core.now()
    assert DueRow(now + SOON, submitted.claim.id, Kind.NOTIFY_CUSTOMER) in [
        unmarked(row) for row in await core.due_rows()
    ]

    await core.deliver()

    promised = (await core.stored(submitted)).claim.promise
    assert promised is not None
    rows = [unmarked(row) for row in await core.due_rows(submitted)]
    assert DueRow(promised.reminder_at, submitted.claim.id, Kind.REMIND_CUSTOMER) in rows
    assert DueRow(promised.ends_at + GRACE, submitted.claim.id, Kind.WRITE_DOWN) in rows


def unmarked(row: DueRow) -> DueRow:
    """Return a due row without the fields that only the store sets."""
    return DueRow(row.due, row.subject, row.kind, row.label, attempt=row.attempt, deletes=row.deletes)


@pytest.mark.parametrize("table", ["duework", "claims"])
async def test_a_process_that_dies_before_the_transaction_leaves_only_a_harmless_row(core: Core, table: str) -> None:
    """The reader judges the row, finds no due work, and deletes the row when it is old."""
    draft = await core.draft()

    async def die() -> None:
        raise ProcessDied

    async with core.rows.once_before(table, die):
        with pytest.raises(ProcessDied):
            await core.submit(draft)

    assert (await core.stored(draft)).claim.status is Status.DRAFT
    await core.rest(timedelta(minutes=20))
    assert [row.kind for row in await core.due_rows(draft) if row.deletes is None] == ["writeDown"]
    assert core.mailbox.sent == []


async def test_after_a_process_died_before_the_hint_the_due_row_does_the_work(core: Core) -> None:
    """Two minutes later the timer notifies the customer."""
    draft = await core.draft()

    async def die() -> None:
        raise ProcessDied

    async with core.rows.once_after("claims", die):
        with pytest.raises(ProcessDied):
            await core.submit(draft)
    assert core.queues.waiting == {}

    core.clock.advance(SOON - MICROSECOND)
    await core.sweep()
    assert core.mailbox.sent == []
    core.clock.advance(MICROSECOND)
    await core.sweep()
    assert core.mailbox.kinds() == ["notice"]


async def test_an_act_that_changes_nothing_writes_nothing(core: Core) -> None:
    """The act writes no due row either."""
    case = await core.notified()
    core.rows.written.clear()

    after = await change_claim(core.ports, case, await core.now(), lambda settled: settled)

    assert after.claim == case.claim
    assert core.rows.written == []


async def test_a_hint_is_sent_only_when_new_work_is_due_at_once(core: Core) -> None:
    """A comment on a claim with a due notice sends no second hint."""
    case = await core.submitted()
    core.lose_messages()

    await comment(core, case)

    assert core.queues.waiting == {}


async def test_the_person_of_the_programme_is_stored_apart_from_the_entry(core: Core) -> None:
    """The person and the comment have the entry's number and are never inside the hashed entry (decision 41)."""
    case = await core.submitted()
    why = Comment("partner", "oid", "Please hurry", await core.now())

    after = await comment(core, case, ActContext(person_id="somebody", comment=why))

    number = after.claim.history_length
    row = await core.rows.get("claims", TENANT, f"history|{case.claim.id}|{number:06d}")
    assert row is not None
    assert row.values["who"] == "somebody"
    kept = await core.ports.claims.comments(case.claim.id, after=0, limit=9)
    assert [(comment.text, comment.sequence) for comment in kept] == [("Please hurry", number)]
    entries = await core.ports.claims.history(case.claim.id, after=0, limit=99)
    assert "somebody" not in str([entry.model_dump_json() for entry in entries])


# --- races ------------------------------------------------------------------------------------------------------------


async def test_of_two_submissions_for_a_free_slot_one_competes(core: Core) -> None:
    """The other submission loses the race, is judged again, and is reviewed by a person (decision 11)."""
    drafts = [await core.draft(organisation) for organisation in (ADATUM, FABRIKAM, LITWARE)]

    results = await asyncio.gather(*(core.submit(draft) for draft in drafts))

    statuses = sorted(case.claim.status for case in results)
    assert statuses == [Status.AWAITING_CUSTOMER, Status.SUBMITTED, Status.SUBMITTED]
    assert [(await core.seen(case)).competing for case in results] == [True, True, True]


async def test_a_lost_race_is_judged_again_with_the_same_now(core: Core) -> None:
    """The timer overtakes a no that arrived in the last microsecond. The no ends the new association (decision 20)."""
    case = await core.notified()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    arrived = ends_at - MICROSECOND

    async def timer() -> None:
        core.clock.set(ends_at + GRACE)
        await core.sweep()

    async with core.rows.once_before("claims", timer):
        after = await core.decline(case, arrived)

    assert (after.claim.status, after.claim.end_reason) == (Status.ENDED, Reason.CUSTOMER_OPTED_OUT)
    assert (after.claim.official_since, after.claim.ended_at) == (ends_at, ends_at)
    assert [entry.act for entry in await core.history(case)][-2:] == [Act.MADE_OFFICIAL, Act.ENDED]


async def test_a_lost_race_is_refused_when_the_act_is_no_longer_possible(core: Core) -> None:
    """The customer acted before the partner."""
    case = await core.notified()

    async with core.rows.once_before("claims", lambda: decline(core, case)):
        with pytest.raises(Refused, match="declined cannot be withdrawn"):
            await core.withdraw(case)

    assert (await core.stored(case)).claim.status is Status.DECLINED


async def decline(core: Core, case: Case) -> None:
    """Decline as the customer."""
    await core.decline(case)


async def lost_answer() -> None:
    """Let the SDK repeat a finished write, which then meets its own row."""
    raise Conflict("claims: UpdateConditionNotSatisfied")


async def test_our_own_transaction_whose_answer_was_lost_is_a_success(core: Core) -> None:
    """No act is done twice (decision 36a)."""
    case = await core.notified()

    async with core.rows.once_after("claims", lost_answer):
        after = await core.decline(case)

    assert after.claim.status is Status.DECLINED
    assert [entry.act for entry in await core.history(case)].count(Act.DECLINED) == 1


async def test_our_own_transaction_is_recognised_after_a_later_write(core: Core) -> None:
    """Its entry in the history identifies it."""
    case = await core.notified()

    async def overtaken() -> None:
        await comment(core, await core.case(case))
        await lost_answer()

    async with core.rows.once_after("claims", overtaken):
        after = await core.decline(case)

    assert after.claim.status is Status.DECLINED
    acts = [entry.act for entry in await core.history(case)]
    assert acts[-2:] == [Act.DECLINED, Act.COMMENTED]


async def test_a_draft_whose_first_answer_was_lost_is_made_once(core: Core) -> None:
    """A creation is recognised as our own too."""
    async with core.rows.once_after("claims", lost_answer):
        case = await core.draft(evidence=False)

    assert (await core.stored(case)).claim.history_length == 1


async def test_an_act_that_loses_every_race_is_a_busy_store(core: Core) -> None:
    """After eight attempts the caller gets 503 and can retry after a second."""
    case = await core.submitted()
    tries = 0

    async def always_quicker(table: str, ops: object) -> None:
        nonlocal tries
        if table == "claims":
            tries += 1
            raise Conflict("claims: UpdateConditionNotSatisfied")

    core.rows.before = always_quicker
    with pytest.raises(StorageBusy) as fault:
        await comment(core, case)

    assert (tries, fault.value.retry_after_seconds) == (ATTEMPTS, 1)


async def test_an_act_on_a_claim_that_is_erased_at_the_same_time_finds_nothing(core: Core) -> None:
    """The answer is 404 and not a fault."""
    case = await core.draft()

    async with core.rows.once_before("claims", lambda: core.ports.claims.erase(case.claim.id)):
        with pytest.raises(Refused, match="NotFound"):
            await comment(core, case)


async def test_settling_a_claim_that_is_gone_is_no_error(core: Core) -> None:
    """There is nothing to store."""
    case = await core.draft()
    await core.ports.claims.erase(case.claim.id)

    await write_down(core.ports, case.claim.id, await core.now())


async def test_ten_comments_at_once_are_ten_comments(core: Core) -> None:
    """Each comment has its number in the chain, and no comment is lost."""
    case = await core.submitted()

    await asyncio.gather(*(comment(core, case) for _ in range(5)))

    entries = await core.history(case)
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.act for entry in entries].count(Act.COMMENTED) == 5
    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]


# --- If-Match and idempotency -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("if_match", [None, "*", "its own"])
async def test_an_act_under_a_matching_etag_is_done(core: Core, if_match: str | None) -> None:
    """An act is done without an ETag, with `*`, and with the ETag of the claim."""
    case = await core.submitted()
    etag = entity_tag(case) if if_match == "its own" else if_match

    after = await comment(core, case, ActContext(if_match=etag))

    assert after.claim.history_length == case.claim.history_length + 1


async def test_an_act_under_a_stale_etag_is_refused(core: Core) -> None:
    """This also holds when the ETag became stale between our read and our write."""
    case = await core.submitted()
    etag = entity_tag(case)

    async with core.rows.once_before("claims", lambda: commented(core, case)):
        with pytest.raises(Refused, match="PreconditionFailed"):
            await comment(core, case, ActContext(if_match=etag))

    with pytest.raises(Refused, match="PreconditionFailed"):
        await comment(core, await core.case(case), ActContext(if_match=etag))


async def commented(core: Core, case: Case) -> None:
    """Change the claim in another way."""
    await comment(core, await core.case(case))


async def test_the_first_answer_is_stored_with_the_act(core: Core) -> None:
    """The answer has its ETag, and a due row deletes it after 48 hours (decision 39)."""
    case = await core.submitted()

    after = await comment(core, case, ActContext(idempotency_key=IDEMPOTENCY_KEY))

    now = await core.now()
    kept = await core.ports.claims.stored_reply(case.claim.id, IDEMPOTENCY_KEY.hash)
    assert kept is not None
    view = claim_view(after, core.ports.terms)
    assert (kept.body, kept.answer, kept.etag) == (IDEMPOTENCY_KEY.body, view.model_dump_json(by_alias=True), view.etag)
    forget = {row.deletes for row in await core.due_rows(case) if row.due == now + RETENTION[Kind.DELETE_REPLY]}
    assert forget == {
        ("claims", TENANT, f"act|{case.claim.id}|{IDEMPOTENCY_KEY.hash}"),
        ("requests", ADATUM, IDEMPOTENCY_KEY.hash),
    }


async def test_the_answer_to_the_caller_is_stored(core: Core) -> None:
    """Some acts answer with another object than the claim."""
    case = await core.submitted()

    await comment(
        core, case, ActContext(idempotency_key=IDEMPOTENCY_KEY, answers=lambda after, _: after.claim.items[0])
    )

    kept = await core.ports.claims.stored_reply(case.claim.id, IDEMPOTENCY_KEY.hash)
    assert kept is not None
    assert kept.answer == case.claim.items[0].model_dump_json(by_alias=True)


async def test_an_answer_expires_after_48_hours(core: Core) -> None:
    """The timer deletes the answer and its due row."""
    case = await core.notified()
    await comment(core, case, ActContext(idempotency_key=IDEMPOTENCY_KEY))

    core.clock.advance(RETENTION[Kind.DELETE_REPLY])
    await core.sweep()

    assert await core.ports.claims.stored_reply(case.claim.id, IDEMPOTENCY_KEY.hash) is None
    assert not [row for row in await core.due_rows(case) if row.deletes is not None and row.due <= await core.now()]


async def test_a_repetition_that_overtakes_its_first_try_gets_that_answer(core: Core) -> None:
    """Of two equal requests at once one is done. The other gets the stored answer."""
    case = await core.submitted()
    context = ActContext(idempotency_key=IDEMPOTENCY_KEY)

    async with core.rows.once_before("claims", lambda: commented_under_key(core, case)):
        with pytest.raises(Repeated) as repeated:
            await comment(core, case, context)

    assert repeated.value.reply == await core.ports.claims.stored_reply(case.claim.id, IDEMPOTENCY_KEY.hash)
    assert [entry.act for entry in await core.history(case)].count(Act.COMMENTED) == 1


async def commented_under_key(core: Core, case: Case) -> None:
    """Do the same act under the same key."""
    await comment(core, await core.case(case), ActContext(idempotency_key=IDEMPOTENCY_KEY))


async def test_another_act_that_overtakes_is_no_repetition(core: Core) -> None:
    """The other act did not use the key, and this act is judged again."""
    case = await core.submitted()

    async with core.rows.once_before("claims", lambda: commented(core, case)):
        after = await comment(core, case, ActContext(idempotency_key=IDEMPOTENCY_KEY))

    assert after.claim.history_length == case.claim.history_length + 2


# --- what is found ----------------------------------------------------------------------------------------------------


async def test_what_is_deleted_or_has_lapsed_is_not_found(core: Core) -> None:
    """This holds before and after the timer has run."""
    case = await core.draft()
    lapses = case.claim.due
    assert lapses is not None

    assert await find(core.ports, case.claim.id, lapses - MICROSECOND) is not None
    assert await find(core.ports, case.claim.id, lapses) is None
    assert await find(core.ports, "nobody", MONDAY) is None


async def test_the_entries_of_time_are_written_before_a_later_act(core: Core) -> None:
    """One transaction writes them in order (decision 14)."""
    case = await core.notified()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    core.clock.set(ends_at + DAY)
    before = await core.history(case)

    await comment(core, await core.case(case))

    stored = await core.ports.claims.history(case.claim.id, after=0, limit=99)
    assert list(stored[:-1]) == list(before)
    assert [(entry.act, entry.at) for entry in stored[-2:]] == [
        (Act.MADE_OFFICIAL, ends_at),
        (Act.COMMENTED, ends_at + DAY),
    ]


# --- all claims of an act ---------------------------------------------------------------------------------------------


async def superseded(core: Core, *, items: tuple[Item, ...] = (TEAMS,)) -> tuple[Case, Case]:
    """Return an incumbent and a winner whose window is about to end."""
    incumbent = await core.official(items=items, engagement=USAGE)
    winner = await core.notified(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    return await core.case(incumbent), winner


async def test_a_takeover_ends_the_incumbent_in_the_same_transaction(core: Core) -> None:
    """The transaction writes both claims, the slot, both histories, and the due mails of both claims."""
    incumbent, winner = await superseded(core)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None
    core.clock.set(takes_over + GRACE)
    await core.sweep()

    ended, now_official = (await core.stored(incumbent)).claim, (await core.stored(winner)).claim

    assert (ended.status, ended.end_reason, ended.ended_at) == (Status.ENDED, Reason.SUPERSEDED, takes_over)
    assert (now_official.status, now_official.official_since) == (Status.OFFICIAL, takes_over)
    await core.rest()
    assert core.mailbox.kinds()[-2:].count("closing") == 1
    assert core.mailbox.kinds()[-2:].count("officialConfirmation") == 1


async def test_an_act_of_a_superseded_incumbent_first_writes_its_end(core: Core) -> None:
    """The partner's act comes an instant after the takeover."""
    incumbent, winner = await superseded(core)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None
    core.clock.set(takes_over)

    with pytest.raises(Refused, match="ended cannot be ended"):
        await partner_acts.end(core.ports, incumbent, PERSON, takes_over, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert (await core.stored(winner)).claim.status is Status.OFFICIAL
    assert (await core.stored(incumbent)).claim.end_reason is Reason.SUPERSEDED


async def test_a_third_claim_is_judged_after_the_takeover_is_written(core: Core) -> None:
    """The instant of the takeover and the end of the incumbent are never overwritten."""
    incumbent, winner = await superseded(core)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None
    third = await core.draft(LITWARE, items=(TEAMS,), engagement=USAGE)
    core.clock.set(takes_over + DAY)

    submitted = await core.submit(third)

    assert (await core.stored(incumbent)).claim.ended_at == takes_over
    holder = submitted.slots["teams"].holder
    assert holder is not None
    assert (holder.claim, holder.since) == (winner.claim.id, takes_over)


async def test_the_incumbent_that_ends_before_the_takeover_ends_by_its_own_reason(core: Core) -> None:
    """A microsecond before the takeover the partner can still end the incumbent. The winner then takes a free slot."""
    incumbent, winner = await superseded(core)
    takes_over = winner.claim.window_ends_at
    assert takes_over is not None

    await partner_acts.end(
        core.ports, incumbent, PERSON, takes_over - MICROSECOND, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT
    )
    core.clock.set(takes_over + GRACE)
    await core.sweep()

    assert (await core.stored(incumbent)).claim.end_reason is Reason.PARTNER_DISASSOCIATED
    assert (await core.stored(winner)).claim.status is Status.OFFICIAL


@pytest.mark.parametrize("later_first", [True, False])
async def test_successors_are_written_in_the_order_in_which_they_took_over(core: Core, later_first: bool) -> None:  # noqa: FBT001 - a column of the table
    """
    Two claims take over two items of one association at two instants.

    The history is the same, whichever claim is settled first.
    """
    incumbent = await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
    first = await core.notified(FABRIKAM, items=(EXCHANGE,), engagement=USAGE)
    core.clock.advance(3 * DAY)
    second = await core.notified(LITWARE, items=(TEAMS,), engagement=USAGE)
    last = second.claim.window_ends_at
    assert first.claim.window_ends_at is not None
    assert last is not None
    assert first.claim.window_ends_at < last
    core.clock.set(last)
    read = await core.history(incumbent)

    for successor in (second, first) if later_first else (first, second):
        await write_down(core.ports, successor.claim.id, last)

    stored = await core.ports.claims.history(incumbent.claim.id, after=0, limit=99)
    assert list(stored) == list(read)
    assert [ended.key for ended in (await core.stored(incumbent)).claim.ended_items] == ["exchange", "teams"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_successors_of_one_instant_are_written_in_one_order(core: Core, order: tuple[int, int]) -> None:
    """
    Windows end at midnight, and one instant for several claims is therefore usual.

    Each claim has several items, and the ids have any order.
    """
    incumbent = await core.official(items=(TEAMS, EXCHANGE, SHAREPOINT), engagement=USAGE)
    successors = [
        await core.notified(FABRIKAM, items=(TEAMS, EXCHANGE), engagement=USAGE),
        await core.notified(LITWARE, items=(SHAREPOINT,), engagement=USAGE),
    ]
    last = successors[0].claim.window_ends_at
    assert last is not None
    assert last == successors[1].claim.window_ends_at
    core.clock.set(last)
    read = await core.history(incumbent)
    seen = settle(await core.stored(incumbent), last).claim

    for n in order:
        await write_down(core.ports, successors[n].claim.id, last)

    assert list(await core.ports.claims.history(incumbent.claim.id, after=0, limit=99)) == list(read)
    stored = (await core.stored(incumbent)).claim
    assert stored.ended_items == seen.ended_items
    assert stored.history_hash == seen.history_hash


async def test_a_slot_that_names_a_missing_claim_blocks_nobody_for_ever(core: Core) -> None:
    """This never happens. If it did, one claim would be busy and no function would loop."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    ghost = case.slots["teams"].with_awaiting("b" * 52, FABRIKAM, now)
    await change_claim(core.ports, case, now - MICROSECOND, lambda current: current.with_slots({"teams": ghost}))

    with pytest.raises(StorageBusy):
        await comment(core, await core.case(case))


async def test_an_approval_loads_and_refuses_the_other_claimants(core: Core) -> None:
    """One transaction does both. The due rows are written before it."""
    loser = await core.submitted(items=(TEAMS, EXCHANGE), engagement=USAGE)
    partly = await core.submitted(LITWARE, items=(EXCHANGE, SHAREPOINT), engagement=USAGE)
    winner = await core.submitted(FABRIKAM, items=(TEAMS, EXCHANGE), engagement=USAGE)

    await core.approve(winner)

    lost, rest = (await core.stored(loser)).claim, (await core.stored(partly)).claim
    assert (lost.status, lost.status_reason) == (Status.REJECTED, Reason.LOST_ARBITRATION)
    assert (rest.status, rest.items) == (Status.SUBMITTED, (SHAREPOINT,))
    assert lost.due in [row.due for row in await core.due_rows(loser)]


async def test_a_claimant_that_arrives_during_an_approval_is_refused_too(core: Core) -> None:
    """The slot has changed, and the approval is judged again with all present claimants."""
    winner = await core.submitted(items=(TEAMS,), engagement=USAGE)
    late = await core.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async with core.rows.once_before("claims", lambda: submit(core, late)):
        now = await core.now()
        case = await change_claim(
            core.ports,
            winner,
            now,
            lambda current: current.record(Act.COMMENTED, PERSON, now),
            ActContext(decides_claimants=True),
        )
        assert case.claim.history_length == winner.claim.history_length + 1
    await core.approve(case)

    assert (await core.stored(late)).claim.status is Status.REJECTED


async def submit(core: Core, case: Case) -> None:
    """Submit a draft."""
    await core.submit(case)


async def test_the_customer_sees_one_state_and_the_timer_writes_the_same(core: Core) -> None:
    """
    From the deadline on each read shows `official`, although the timer stands still.

    After the timer has run, reads show the same.
    """
    case = await core.notified()
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    core.clock.set(ends_at + HOUR)
    seen, history = await core.seen(case), await core.history(case)

    await core.sweep()

    after = await core.seen(case)
    assert after.model_copy(update={"etag": seen.etag}) == seen
    assert await core.history(case) == history
    assert seen.status is Status.OFFICIAL


async def test_an_end_by_the_customer_frees_the_slot_with_the_same_write(core: Core) -> None:
    """The next claim can take the slot at once."""
    case = await core.official()

    await customer_acts.end(core.ports, case, spoken_by(ANNE), await core.now(), NO_CONTEXT)

    assert (await core.submitted(FABRIKAM)).claim.status is Status.AWAITING_CUSTOMER


# --- reads at two instants --------------------------------------------------------------------------------------------


async def test_an_association_stored_between_two_reads_frees_its_slot_when_it_ends(core: Core) -> None:
    """The timer stores the association between the reads of the two halves of the tenant. Then its item is removed."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at + HOUR)
    await core.register_customer(subscriptions=())
    reads = 0

    async def timer_runs_between(request: Request, do: Callable[[], Answer]) -> Answer:
        nonlocal reads
        reads += request.table == "claims" and not request.keys
        if reads == 2:
            reads += 1
            await write_down(core.ports, case.claim.id, await core.now())
        return do()

    core.rows.carry = timer_runs_between
    await end_gone_items(core.ports, TENANT, await core.now())

    ended = await core.stored(case)
    assert ended.claim.end_reason is Reason.SUBSCRIPTION_ENDED
    assert [slot.holder for slot in await slots_of(core)] == [None]


async def test_an_act_does_not_supersede_its_own_claim(core: Core) -> None:
    """
    The timer stores the association after the read of the claim and before the read of its slot.

    The slot then names the claim itself.
    """
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at)
    interrupted = False

    async def timer_runs_between(request: Request, do: Callable[[], Answer]) -> Answer:
        nonlocal interrupted
        if request.table == "claims" and not request.keys and not interrupted:
            interrupted = True
            await write_down(core.ports, case.claim.id, await core.now())
        return do()

    core.rows.carry = timer_runs_between
    torn = await core.case(case)
    await partner_acts.end(core.ports, torn, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert (await core.stored(case)).claim.end_reason is Reason.PARTNER_DISASSOCIATED
    assert [slot.holder for slot in await slots_of(core)] == [None]


async def slots_of(core: Core) -> list[Slot]:
    """Return every slot of the tenant."""
    (tenant,) = [one async for one in core.ports.claims.tenants()]
    return [slot for slot, _ in tenant.slots]


async def test_a_slot_that_contradicts_its_claim_is_read_again(core: Core) -> None:
    """A new claim and an old slot are never used together."""
    told = await core.notified()
    assert told.claim.window_ends_at is not None
    core.clock.set(told.claim.window_ends_at + GRACE)
    await core.sweep()
    stored = await core.stored(told)
    etags = {**stored.etags, **{key: told.stored.etags[key] for key in told.slots}}
    torn, now = replace(stored, slots=told.slots, etags=etags), await core.now()

    await partner_acts.end(core.ports, settle(torn, now), PERSON, now, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert [slot.holder for slot in await slots_of(core)] == [None]
    assert core.clock.pauses == [1]


async def test_a_slot_that_never_agrees_with_its_claim_is_a_busy_store(core: Core) -> None:
    """The caller gets 503, and nothing is written."""
    official = await core.official()
    free = {key: slot.changed(holder=None) for key, slot in official.slots.items()}
    await core.ports.claims.commit(Commit("by hand", official.stored, official.with_slots(free)))

    with pytest.raises(StorageBusy):
        await partner_acts.end(core.ports, official, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert (await core.stored(official)).claim.status is Status.OFFICIAL


async def test_the_loser_of_a_race_waits_before_it_tries_again(core: Core) -> None:
    """Each wait is random, and the limit grows with each try."""
    case = await core.submitted()

    async def another_comment() -> None:
        await comment(core, await core.case(case))

    async with core.rows.once_before("claims", another_comment):
        await comment(core, case)

    assert core.clock.pauses == [1]


async def test_a_claim_that_is_deleted_at_the_same_time_takes_no_comment(core: Core) -> None:
    """No reader could find the comment."""
    case = await core.draft()

    async def delete() -> None:
        await drafts.delete(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)

    async with core.rows.once_before("claims", delete):
        with pytest.raises(Refused, match="NotFound"):
            await comment(core, case)


async def test_an_entry_of_time_names_no_person(core: Core) -> None:
    """A person's act after the window's end stores the entry of the end. The person did not cause that end."""
    case = await core.notified()
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at)

    await comment(core, await core.case(case), ActContext(person_id="a reviewer"))

    rows = [row for place, row in core.rows._rows.items() if place[2].startswith("history|")]
    named = {json.loads(unpacked(row.values["document"]))["act"]: row.values.get("who") for row in rows}
    assert (named["commented"], named["madeOfficial"]) == ("a reviewer", None)
