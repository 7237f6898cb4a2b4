"""The change feed: every history entry once and in order, whoever dies or races (decision 38)."""

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
from cpor_core.rules.grace import GRACE
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext
from cpor_core.use_cases.claims import comments, drafts, partner_acts, reviews
from cpor_core.use_cases.feed import changes as feed
from tests.core.builders import ADATUM, DAY, FABRIKAM, LITWARE, MONDAY, PERSON, TEAMS, USAGE
from tests.core.memory_core import Core

MINUTE = timedelta(minutes=1)


async def told(core: Core, organisation: str = ADATUM) -> Sequence[Change]:
    """Return an organisation's whole feed."""
    page = await feed.read(core.ports, organisation, after=None, limit=1000)
    assert page is not None
    return page.changes


def types(changes: Sequence[Change]) -> list[str]:
    """Return the types of changes, without `claim.`."""
    return [change.type.removeprefix("claim.") for change in changes]


async def comment(core: Core, case: Case, ports: Ports | None = None) -> Case:
    """Let somebody write a comment, maybe through another instance."""
    now_case = await core.case(case)
    return await comments.add_comment(ports or core.ports, now_case, PERSON, await core.now(), NO_CONTEXT)


def elsewhere(core: Core) -> Ports:
    """Return the ports of another instance, which takes no turns with this one."""
    return replace(core.ports, changes=ChangesTable(core.rows))


async def dies() -> None:
    """Be a storage that cannot be reached."""
    raise StorageBusy("gone", retry_after_seconds=1)


async def test_each_thing_that_happens_is_told_at_once(core: Core) -> None:
    """From the draft's creation on, numbered without gaps, with the claim's state and tag."""
    case = await core.draft()
    assert types(await told(core)) == ["created", "evidenceAdded"]

    case = await core.submit(case)

    changes = await told(core)
    assert types(changes) == ["created", "evidenceAdded", "submitted", "validated"]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]
    assert {change.claim_id for change in changes} == {case.claim.id}
    assert [change.status for change in changes][2:] == [Status.SUBMITTED, Status.AWAITING_CUSTOMER]
    assert changes[-1].etag == (await core.seen(case)).etag
    assert changes[-1].association_id is None
    assert changes[-1].at == await core.now()


async def test_an_association_is_named_from_its_beginning_on(core: Core) -> None:
    """Its id is the claim's."""
    case = await core.official()

    official = next(change for change in await told(core) if change.type == "claim.madeOfficial")

    assert (official.association_id, official.status, official.at) == (
        case.claim.id,
        Status.OFFICIAL,
        case.claim.official_since,
    )


async def test_who_is_superseded_hears_of_it(core: Core) -> None:
    """In their own feed, by the act of the successor."""
    held = await core.official(ADATUM, items=(TEAMS,), engagement=USAGE)
    winner = await core.told(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    assert winner.claim.window_ends_at is not None
    core.clock.set(winner.claim.window_ends_at + GRACE)
    await core.sweep()

    assert types(await told(core))[-1] == "ended"
    assert (await told(core))[-1].claim_id == held.claim.id
    assert types(await told(core, FABRIKAM))[-1] == "madeOfficial"


async def test_who_is_competed_with_hears_of_it_once(core: Core) -> None:
    """Not who the other is (decision 15)."""
    first = await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    second = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    competing = [change for change in await told(core) if change.type == feed.COMPETING]

    assert [(change.claim_id, change.status) for change in competing] == [(first.claim.id, Status.SUBMITTED)]
    assert second.claim.id not in competing[0].model_dump_json()
    assert feed.COMPETING not in [change.type for change in await told(core, FABRIKAM)]
    await feed.catch_up(core.ports, second.claim.id, await core.now())
    assert types(await told(core)).count("competing") == 1


async def test_who_is_competed_with_anew_hears_of_it_again(core: Core) -> None:
    """A claim that was rejected had left the place; its dispute takes it once more."""
    await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    case = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, await core.case(case), now, NO_CONTEXT)
    case = await reviews.reject(core.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)
    why = Comment("partner", PERSON.id, "We were first.", now)
    await partner_acts.dispute(core.ports, case, PERSON, now, ActContext(comment=why))

    assert types(await told(core)).count("competing") == 2
    await feed.catch_up(core.ports, case.claim.id, now)
    assert types(await told(core)).count("competing") == 2


async def test_a_rival_that_cannot_be_told_is_told_later(core: Core) -> None:
    """Before the challenger's own entry, which says that it was done."""
    await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    challenger = await core.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def refuses() -> None:
        raise Conflict("changes: ConditionNotMet")

    async with core.rows.once_before("changes", refuses):
        await core.submit(challenger)

    assert types(await told(core))[-1] == "competing"
    assert types(await told(core, FABRIKAM))[-1] == "submitted"


async def test_who_died_before_telling_is_made_good_by_the_timer(core: Core) -> None:
    """The due row was there before; what somebody says meanwhile comes after it."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        await comment(core, case)
    assert types(await told(core)) == ["created"]
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert types(await told(core)) == ["created", "commented"]


async def test_what_was_left_out_is_told_before_what_comes_next(core: Core) -> None:
    """In the order of the history, without waiting for the timer."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        await comment(core, case)
    await comment(core, case)

    assert types(await told(core)) == ["created", "commented", "commented"]


async def test_an_answer_that_was_lost_tells_nothing_twice(core: Core) -> None:
    """The write that we took for lost is met again."""
    case = await core.draft(evidence=False)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with core.rows.once_after("changes", loses):
        await comment(core, case)

    assert types(await told(core)) == ["created", "commented"]


async def test_who_loses_a_race_for_the_next_number_takes_the_one_behind_it(core: Core) -> None:
    """Another instance has told something else meanwhile."""
    one, other = await core.draft(evidence=False), await core.draft(evidence=False)

    async def goes_first() -> None:
        await comment(core, other, elsewhere(core))

    async with core.rows.once_before("changes", goes_first):
        await comment(core, one)

    changes = await told(core)
    assert [change.claim_id for change in changes[2:]] == [other.claim.id, one.claim.id]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]


async def test_who_always_loses_leaves_it_to_the_timer(core: Core) -> None:
    """The act itself has succeeded; its caller is not kept."""
    case, other = await core.draft(evidence=False), await core.draft(evidence=False)
    lost = 0

    async def goes_first(table: str, _: Sequence[Op]) -> None:
        nonlocal lost
        if table == "changes":
            core.rows.before = None
            await comment(core, other, elsewhere(core))
            core.rows.before = goes_first
            lost += 1

    core.rows.before = goes_first
    await comment(core, case)
    core.rows.before = None
    assert lost == feed.ATTEMPTS
    assert case.claim.id not in [change.claim_id for change in (await told(core))[2:]]
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert (await told(core))[-1].claim_id == case.claim.id


async def test_a_rival_is_told_once_although_the_answer_was_lost(core: Core) -> None:
    """The write that we took for lost is met again."""
    await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    challenger = await core.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with core.rows.once_after("changes", loses):
        await core.submit(challenger)

    assert types(await told(core)).count("competing") == 1
    assert types(await told(core, FABRIKAM))[-1] == "submitted"


async def test_a_storage_that_goes_down_meanwhile_fails_nobodys_act(core: Core) -> None:
    """The due row stays."""
    case = await core.draft(evidence=False)

    refused = False

    async def refuses_then_dies(table: str, _: Sequence[Op]) -> None:
        nonlocal refused
        if table == "changes" and refused:
            await dies()
        if table == "changes":
            refused = True
            raise Conflict("changes: ConditionNotMet")

    core.rows.before = refuses_then_dies
    await comment(core, case)

    assert types(await told(core)) == ["created"]


async def test_a_long_history_that_was_never_told_is_told_in_parts(core: Core) -> None:
    """As many entries at once as one transaction takes."""
    case = await untold(core)

    async def dead(table: str, _: Sequence[Op]) -> None:
        if table == "changes":
            await dies()

    core.rows.before = dead
    for _ in range(feed.MOST_AT_ONCE):
        await comment(core, case)
    core.rows.before = None
    await feed.catch_up(core.ports, case.claim.id, await core.now())

    assert types(await told(core)) == ["created", *["commented"] * feed.MOST_AT_ONCE]


async def test_webhooks_are_hurried_when_there_are_any(core: Core) -> None:
    """By one message for each time that something was told."""
    await core.draft(evidence=False)
    assert not await core.queues.take(PARTNER_NOTICES, 32)
    await core.ports.changes.note_webhooks(ADATUM, has_webhooks=True)

    await core.draft(evidence=False)

    messages = await core.queues.take(PARTNER_NOTICES, 32)
    assert [message.text for message in messages] == [f'{{"organisation": "{ADATUM}"}}']


async def test_a_feed_that_goes_on_all_the_time_is_told_by_a_later_run(core: Core) -> None:
    """Whoever catches up gives way after some attempts; the due row stays."""
    case = await core.draft(evidence=False)
    async with core.rows.once_before("changes", dies):
        await comment(core, case)

    async def always(table: str, _: Sequence[Op]) -> None:
        if table == "changes":
            raise Conflict("changes: ConditionNotMet")

    core.rows.before = always
    with pytest.raises(Conflict):
        await feed.catch_up(core.ports, case.claim.id, await core.now())
    core.rows.before = None
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert types(await told(core)) == ["created", "commented"]


async def test_many_at_once_are_each_told_once(core: Core) -> None:
    """Their order is that of the numbers; each claim's own is that of its history."""
    cases = [await core.draft(evidence=False) for _ in range(6)]

    await asyncio.gather(*(comment(core, case) for case in cases))

    changes = await told(core)
    assert [change.sequence for change in changes] == list(range(1, 13))
    assert sorted(change.claim_id for change in changes[6:]) == sorted(case.claim.id for case in cases)


async def test_a_deleted_draft_is_told_before_it_is_erased(core: Core) -> None:
    """Also when whoever deleted it died before."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        await drafts.delete(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert types(await told(core)) == ["created", "deleted"]
    assert await core.ports.claims.load(case.claim.id) is None
    await feed.catch_up(core.ports, case.claim.id, await core.now())


async def test_drafts_that_were_made_together_are_told_together(core: Core) -> None:
    """Those of them that were told before are left out."""
    cases = [await untold(core) for _ in range(feed.MOST_AT_ONCE + 3)]
    await feed.catch_up(core.ports, cases[1].claim.id, await core.now())

    await feed.announce_created(core.ports, ADATUM, cases, await core.now())

    changes = await told(core)
    assert sorted(change.claim_id for change in changes) == sorted(case.claim.id for case in cases)
    assert [change.sequence for change in changes] == list(range(1, len(cases) + 1))


async def test_a_feed_that_cannot_be_written_holds_back_nobody(core: Core) -> None:
    """The due rows of the drafts are there."""
    case = await untold(core)

    async with core.rows.once_before("changes", dies):
        await feed.announce_created(core.ports, ADATUM, [case], await core.now())

    assert not await told(core)


async def untold(core: Core) -> Case:
    """Return a draft as it was made, of which the feed was not told."""
    async with core.rows.once_before("changes", dies):
        case = await core.draft(evidence=False)
    return replace(case, entries=tuple((case.claim.id, entry) for entry in await core.history(case)))


async def test_a_reader_goes_on_where_they_stopped(core: Core) -> None:
    """The position is given also when there is nothing new."""
    await core.draft()

    first = await feed.read(core.ports, ADATUM, after=None, limit=1)
    assert first is not None
    rest = await feed.read(core.ports, ADATUM, after=first.last, limit=10)
    assert rest is not None
    nothing = await feed.read(core.ports, ADATUM, after=rest.last, limit=10)

    assert (types(first.changes), first.last) == (["created"], 1)
    assert (types(rest.changes), rest.last) == (["evidenceAdded"], 2)
    assert nothing == feed.FeedPage((), 2)
    assert await feed.read(core.ports, LITWARE, after=None, limit=10) == feed.FeedPage((), 0)


async def test_entries_go_after_four_hundred_days_and_older_positions_expire(core: Core) -> None:
    """The timer deletes them; who reads from the beginning gets what is left."""
    old = await core.draft(evidence=False)
    core.clock.advance(30 * DAY)
    await comment(core, old)
    core.clock.set(MONDAY + RETENTION[Kind.TRIM_CHANGES] + MINUTE)
    await core.sweep()

    assert await feed.read(core.ports, ADATUM, after=0, limit=10) is None
    assert await feed.read(core.ports, ADATUM, after=1, limit=10) is not None
    left = await told(core)
    assert types(left)[0] == "commented"
    core.clock.set(MONDAY + 2 * RETENTION[Kind.TRIM_CHANGES])
    await core.sweep()
    last = (await core.ports.changes.head(ADATUM)).last
    assert await feed.read(core.ports, ADATUM, after=1, limit=10) is None
    assert await feed.read(core.ports, ADATUM, after=last, limit=10) == feed.FeedPage((), last)
