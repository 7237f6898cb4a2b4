"""The change feed: every history entry once and in order, whoever dies or races (rulings 38)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables.changes import ChangesTable
from cpor_app.queue_names import PARTNER_NOTICES
from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.model.change import Change
from cpor_core.model.claim import Reason, Status
from cpor_core.ports import Ports
from cpor_core.ports.claims import Comment
from cpor_core.rules.late_truths import GRACE
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext
from cpor_core.use_cases.claims import comments, drafts, reviews, submission
from cpor_core.use_cases.feed import changes as feed
from tests.core.builders import ADATUM, DAY, FABRIKAM, LITWARE, MONDAY, PERSON, TEAMS, USAGE
from tests.core.world import World

MINUTE = timedelta(minutes=1)


async def told(world: World, organisation: str = ADATUM) -> Sequence[Change]:
    """Return an organisation's whole feed."""
    page = await feed.read(world.ports, organisation, after=None, limit=1000)
    assert page is not None
    return page.changes


def types(changes: Sequence[Change]) -> list[str]:
    """Return the types of changes, without `claim.`."""
    return [change.type.removeprefix("claim.") for change in changes]


async def comment(world: World, case: Case, ports: Ports | None = None) -> Case:
    """Let somebody write a comment, maybe through another instance."""
    now_case = await world.case(case)
    return await comments.add_comment(ports or world.ports, now_case, PERSON, await world.now(), NO_CONTEXT)


def elsewhere(world: World) -> Ports:
    """Return the ports of another instance, which takes no turns with this one."""
    return replace(world.ports, changes=ChangesTable(world.rows))


async def dies() -> None:
    """Be a storage that cannot be reached."""
    raise StorageBusy("gone", retry_after_seconds=1)


async def test_each_thing_that_happens_is_told_at_once(world: World) -> None:
    """From the draft's creation on, numbered without gaps, with the claim's state and tag."""
    case = await world.draft()
    assert types(await told(world)) == ["created", "evidenceAdded"]

    case = await world.submit(case)

    changes = await told(world)
    assert types(changes) == ["created", "evidenceAdded", "submitted", "validated"]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]
    assert {change.claim_id for change in changes} == {case.claim.id}
    assert [change.status for change in changes][2:] == [Status.SUBMITTED, Status.AWAITING_CUSTOMER]
    assert changes[-1].etag == (await world.seen(case)).etag
    assert changes[-1].association_id is None
    assert changes[-1].at == await world.now()


async def test_an_association_is_named_from_its_beginning_on(world: World) -> None:
    """Its id is the claim's."""
    case = await world.official()

    official = next(change for change in await told(world) if change.type == "claim.madeOfficial")

    assert (official.association_id, official.status, official.at) == (
        case.claim.id,
        Status.OFFICIAL,
        case.claim.official_since,
    )


async def test_who_is_superseded_hears_of_it(world: World) -> None:
    """In their own feed, by the act of the successor."""
    held = await world.official(ADATUM, items=(TEAMS,), engagement=USAGE)
    winner = await world.told(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    assert winner.claim.window_ends_at is not None
    world.clock.set(winner.claim.window_ends_at + GRACE)
    await world.sweep()

    assert types(await told(world))[-1] == "ended"
    assert (await told(world))[-1].claim_id == held.claim.id
    assert types(await told(world, FABRIKAM))[-1] == "madeOfficial"


async def test_who_is_competed_with_hears_of_it_once(world: World) -> None:
    """Not who the other is (rulings 15)."""
    first = await world.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    second = await world.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    competing = [change for change in await told(world) if change.type == feed.COMPETING]

    assert [(change.claim_id, change.status) for change in competing] == [(first.claim.id, Status.SUBMITTED)]
    assert second.claim.id not in competing[0].model_dump_json()
    assert feed.COMPETING not in [change.type for change in await told(world, FABRIKAM)]
    await feed.catch_up(world.ports, second.claim.id, await world.now())
    assert types(await told(world)).count("competing") == 1


async def test_who_is_competed_with_anew_hears_of_it_again(world: World) -> None:
    """A claim that was rejected had left the place; its dispute takes it once more."""
    await world.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    case = await world.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    now = await world.now()
    case = await reviews.start(world.ports, await world.case(case), now, NO_CONTEXT)
    case = await reviews.reject(world.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)
    why = Comment("partner", PERSON.id, "We were first.", now)
    await submission.dispute(world.ports, case, PERSON, now, ActContext(comment=why))

    assert types(await told(world)).count("competing") == 2
    await feed.catch_up(world.ports, case.claim.id, now)
    assert types(await told(world)).count("competing") == 2


async def test_a_rival_that_cannot_be_told_is_told_later(world: World) -> None:
    """Before the challenger's own entry, which says that it was done."""
    await world.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    challenger = await world.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def refuses() -> None:
        raise Conflict("changes: ConditionNotMet")

    async with world.rows.once_before("changes", refuses):
        await world.submit(challenger)

    assert types(await told(world))[-1] == "competing"
    assert types(await told(world, FABRIKAM))[-1] == "submitted"


async def test_who_died_before_telling_is_made_good_by_the_timer(world: World) -> None:
    """The due row was there before; what somebody says meanwhile comes after it."""
    case = await world.draft(evidence=False)

    async with world.rows.once_before("changes", dies):
        await comment(world, case)
    assert types(await told(world)) == ["created"]
    world.clock.advance(2 * MINUTE)
    await world.sweep()

    assert types(await told(world)) == ["created", "commented"]


async def test_what_was_left_out_is_told_before_what_comes_next(world: World) -> None:
    """In the order of the history, without waiting for the timer."""
    case = await world.draft(evidence=False)

    async with world.rows.once_before("changes", dies):
        await comment(world, case)
    await comment(world, case)

    assert types(await told(world)) == ["created", "commented", "commented"]


async def test_an_answer_that_was_lost_tells_nothing_twice(world: World) -> None:
    """The write that we took for lost is met again."""
    case = await world.draft(evidence=False)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with world.rows.once_after("changes", loses):
        await comment(world, case)

    assert types(await told(world)) == ["created", "commented"]


async def test_who_loses_a_race_for_the_next_number_takes_the_one_behind_it(world: World) -> None:
    """Another instance has told something else meanwhile."""
    one, other = await world.draft(evidence=False), await world.draft(evidence=False)

    async def goes_first() -> None:
        await comment(world, other, elsewhere(world))

    async with world.rows.once_before("changes", goes_first):
        await comment(world, one)

    changes = await told(world)
    assert [change.claim_id for change in changes[2:]] == [other.claim.id, one.claim.id]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]


async def test_who_always_loses_leaves_it_to_the_timer(world: World) -> None:
    """The act itself has succeeded; its caller is not kept."""
    case, other = await world.draft(evidence=False), await world.draft(evidence=False)
    lost = 0

    async def goes_first(table: str, _: Sequence[Op]) -> None:
        nonlocal lost
        if table == "changes":
            world.rows.before = None
            await comment(world, other, elsewhere(world))
            world.rows.before = goes_first
            lost += 1

    world.rows.before = goes_first
    await comment(world, case)
    world.rows.before = None
    assert lost == feed.ATTEMPTS
    assert case.claim.id not in [change.claim_id for change in (await told(world))[2:]]
    world.clock.advance(2 * MINUTE)
    await world.sweep()

    assert (await told(world))[-1].claim_id == case.claim.id


async def test_a_rival_is_told_once_although_the_answer_was_lost(world: World) -> None:
    """The write that we took for lost is met again."""
    await world.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    challenger = await world.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with world.rows.once_after("changes", loses):
        await world.submit(challenger)

    assert types(await told(world)).count("competing") == 1
    assert types(await told(world, FABRIKAM))[-1] == "submitted"


async def test_a_storage_that_goes_down_meanwhile_fails_nobodys_act(world: World) -> None:
    """The due row stays."""
    case = await world.draft(evidence=False)

    refused = False

    async def refuses_then_dies(table: str, _: Sequence[Op]) -> None:
        nonlocal refused
        if table == "changes" and refused:
            await dies()
        if table == "changes":
            refused = True
            raise Conflict("changes: ConditionNotMet")

    world.rows.before = refuses_then_dies
    await comment(world, case)

    assert types(await told(world)) == ["created"]


async def test_a_long_history_that_was_never_told_is_told_in_parts(world: World) -> None:
    """As many entries at once as one transaction takes."""
    case = await untold(world)

    async def dead(table: str, _: Sequence[Op]) -> None:
        if table == "changes":
            await dies()

    world.rows.before = dead
    for _ in range(feed.MOST_AT_ONCE):
        await comment(world, case)
    world.rows.before = None
    await feed.catch_up(world.ports, case.claim.id, await world.now())

    assert types(await told(world)) == ["created", *["commented"] * feed.MOST_AT_ONCE]


async def test_webhooks_are_hurried_when_there_are_any(world: World) -> None:
    """By one message for each time that something was told."""
    await world.draft(evidence=False)
    assert not await world.queues.take(PARTNER_NOTICES, 32)
    await world.ports.changes.note_webhooks(ADATUM, has_webhooks=True)

    await world.draft(evidence=False)

    messages = await world.queues.take(PARTNER_NOTICES, 32)
    assert [message.text for message in messages] == [f'{{"organisation": "{ADATUM}"}}']


async def test_a_feed_that_goes_on_all_the_time_is_told_by_a_later_run(world: World) -> None:
    """Whoever catches up gives way after some attempts; the due row stays."""
    case = await world.draft(evidence=False)
    async with world.rows.once_before("changes", dies):
        await comment(world, case)

    async def always(table: str, _: Sequence[Op]) -> None:
        if table == "changes":
            raise Conflict("changes: ConditionNotMet")

    world.rows.before = always
    with pytest.raises(Conflict):
        await feed.catch_up(world.ports, case.claim.id, await world.now())
    world.rows.before = None
    world.clock.advance(2 * MINUTE)
    await world.sweep()

    assert types(await told(world)) == ["created", "commented"]


async def test_many_at_once_are_each_told_once(world: World) -> None:
    """Their order is that of the numbers; each claim's own is that of its history."""
    cases = [await world.draft(evidence=False) for _ in range(6)]

    await asyncio.gather(*(comment(world, case) for case in cases))

    changes = await told(world)
    assert [change.sequence for change in changes] == list(range(1, 13))
    assert sorted(change.claim_id for change in changes[6:]) == sorted(case.claim.id for case in cases)


async def test_a_deleted_draft_is_told_before_it_is_erased(world: World) -> None:
    """Also when whoever deleted it died before."""
    case = await world.draft(evidence=False)

    async with world.rows.once_before("changes", dies):
        await drafts.delete(world.ports, await world.case(case), PERSON, await world.now(), NO_CONTEXT)
    world.clock.advance(2 * MINUTE)
    await world.sweep()

    assert types(await told(world)) == ["created", "deleted"]
    assert await world.ports.claims.load(case.claim.id) is None
    await feed.catch_up(world.ports, case.claim.id, await world.now())


async def test_drafts_that_were_made_together_are_told_together(world: World) -> None:
    """Those of them that were told before are left out."""
    cases = [await untold(world) for _ in range(feed.MOST_AT_ONCE + 3)]
    await feed.catch_up(world.ports, cases[1].claim.id, await world.now())

    await feed.announce_created(world.ports, ADATUM, cases, await world.now())

    changes = await told(world)
    assert sorted(change.claim_id for change in changes) == sorted(case.claim.id for case in cases)
    assert [change.sequence for change in changes] == list(range(1, len(cases) + 1))


async def test_a_feed_that_cannot_be_written_holds_back_nobody(world: World) -> None:
    """The due rows of the drafts are there."""
    case = await untold(world)

    async with world.rows.once_before("changes", dies):
        await feed.announce_created(world.ports, ADATUM, [case], await world.now())

    assert not await told(world)


async def untold(world: World) -> Case:
    """Return a draft as it was made, of which the feed was not told."""
    async with world.rows.once_before("changes", dies):
        case = await world.draft(evidence=False)
    return replace(case, entries=tuple((case.claim.id, entry) for entry in await world.history(case)))


async def test_a_reader_goes_on_where_they_stopped(world: World) -> None:
    """The position is given also when there is nothing new."""
    await world.draft()

    first = await feed.read(world.ports, ADATUM, after=None, limit=1)
    assert first is not None
    rest = await feed.read(world.ports, ADATUM, after=first.last, limit=10)
    assert rest is not None
    nothing = await feed.read(world.ports, ADATUM, after=rest.last, limit=10)

    assert (types(first.changes), first.last) == (["created"], 1)
    assert (types(rest.changes), rest.last) == (["evidenceAdded"], 2)
    assert nothing == feed.FeedPage((), 2)
    assert await feed.read(world.ports, LITWARE, after=None, limit=10) == feed.FeedPage((), 0)


async def test_entries_go_after_four_hundred_days_and_older_positions_expire(world: World) -> None:
    """The timer deletes them; who reads from the beginning gets what is left."""
    old = await world.draft(evidence=False)
    world.clock.advance(30 * DAY)
    await comment(world, old)
    world.clock.set(MONDAY + RETENTION[Kind.TRIM_CHANGES] + MINUTE)
    await world.sweep()

    assert await feed.read(world.ports, ADATUM, after=0, limit=10) is None
    assert await feed.read(world.ports, ADATUM, after=1, limit=10) is not None
    left = await told(world)
    assert types(left)[0] == "commented"
    world.clock.set(MONDAY + 2 * RETENTION[Kind.TRIM_CHANGES])
    await world.sweep()
    last = (await world.ports.changes.head(ADATUM)).last
    assert await feed.read(world.ports, ADATUM, after=1, limit=10) is None
    assert await feed.read(world.ports, ADATUM, after=last, limit=10) == feed.FeedPage((), last)
