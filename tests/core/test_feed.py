"""The change feed has every history entry once and in order, through crashes and races (decision 38)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables import changes as changes_table
from cpor_app.adapters.storage.tables.changes import ChangesTable
from cpor_app.queue_names import PARTNER_NOTICES
from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.model.change import Change
from cpor_core.model.claim import Reason, Status
from cpor_core.model.webhook import COMPETING
from cpor_core.ports import Ports
from cpor_core.ports.claims import Comment
from cpor_core.rules.grace import GRACE
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext
from cpor_core.use_cases.claims import comments, drafts, partner_acts, reviews
from cpor_core.use_cases.feed import changes as feed
from tests.core.builders import ADATUM, DAY, FABRIKAM, LITWARE, MONDAY, PERSON, TEAMS, USAGE
from tests.core.memory_core import Core
from tests.doubles.requests import Answer, Request

MINUTE = timedelta(minutes=1)


async def feed_of(core: Core, organisation: str = ADATUM) -> Sequence[Change]:
    """Return the whole feed of an organisation."""
    page = await feed.read(core.ports, organisation, after=None, limit=1000)
    assert page is not None
    return page.changes


def types(changes: Sequence[Change]) -> list[str]:
    """Return the types of the changes without the prefix `claim.`."""
    return [change.type.removeprefix("claim.") for change in changes]


async def comment(core: Core, case: Case, ports: Ports | None = None) -> Case:
    """Write a comment, perhaps through another instance."""
    now_case = await core.case(case)
    return await comments.add_comment(ports or core.ports, now_case, PERSON, await core.now(), NO_CONTEXT)


def elsewhere(core: Core) -> Ports:
    """Return the ports of another instance, which shares no locks with this one."""
    return replace(core.ports, changes=ChangesTable(core.rows))


async def dies() -> None:
    """Act as a storage that cannot be reached."""
    raise StorageBusy("gone", retry_after_seconds=1)


async def test_the_head_of_a_feed_is_read_once_and_again_after_each_change_by_another_process(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another process no change needs a read. A lost race costs one read, not two."""
    case = await core.draft()
    read: list[str] = []
    carry = core.rows.carry

    async def counted(request: Request, do: Callable[[], Answer]) -> Answer:
        read.extend([request.table] if request.table == "changes" and not request.is_write else [])
        return await carry(request, do)

    monkeypatch.setattr(core.rows, "carry", counted)
    case = await comment(core, case)
    assert read == []

    await comment(core, case, elsewhere(core))
    assert read == ["changes"], "the other process reads it for the first time"
    read.clear()
    await comment(core, case)

    assert read == ["changes"]
    assert [change.sequence for change in await feed_of(core)] == [1, 2, 3, 4, 5]


async def test_a_process_remembers_a_limited_number_of_heads(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head of the feed that was written longest ago is forgotten, and read again."""
    monkeypatch.setattr(changes_table, "MOST_KNOWN_HEADS", 1)
    table = ChangesTable(core.rows)
    for organisation in (ADATUM, FABRIKAM, ADATUM):
        await table.known_head(organisation)

    assert list(table._known_heads) == [ADATUM]


async def test_each_change_is_in_the_feed_at_once(core: Core) -> None:
    """Entries begin with the draft's creation and have numbers without gaps, the claim's state and its tag."""
    case = await core.draft()
    assert types(await feed_of(core)) == ["created", "evidenceAdded"]

    case = await core.submit(case)

    changes = await feed_of(core)
    assert types(changes) == ["created", "evidenceAdded", "submitted", "validated"]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]
    assert {change.claim_id for change in changes} == {case.claim.id}
    assert [change.status for change in changes][2:] == [Status.SUBMITTED, Status.AWAITING_CUSTOMER]
    assert changes[-1].etag == (await core.seen(case)).etag
    assert changes[-1].association_id is None
    assert changes[-1].at == await core.now()


async def test_an_association_is_named_from_its_begin_on(core: Core) -> None:
    """The association's id is the claim's id."""
    case = await core.official()

    official = next(change for change in await feed_of(core) if change.type == "claim.madeOfficial")

    assert (official.association_id, official.status, official.at) == (
        case.claim.id,
        Status.OFFICIAL,
        case.claim.official_since,
    )


async def test_the_partner_of_a_superseded_claim_reads_it_in_the_feed(core: Core) -> None:
    """Their feed gets the entry from the successor's act."""
    held = await core.official(ADATUM, items=(TEAMS,), engagement=USAGE)
    winner = await core.notified(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    assert winner.claim.window_ends_at is not None
    core.clock.set(winner.claim.window_ends_at + GRACE)
    await core.sweep()

    assert types(await feed_of(core))[-1] == "ended"
    assert (await feed_of(core))[-1].claim_id == held.claim.id
    assert types(await feed_of(core, FABRIKAM))[-1] == "madeOfficial"


async def test_the_partner_of_a_contested_claim_reads_it_once(core: Core) -> None:
    """The entry does not name the other partner (decision 15)."""
    first = await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    second = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    competing = [change for change in await feed_of(core) if change.type == COMPETING]

    assert [(change.claim_id, change.status) for change in competing] == [(first.claim.id, Status.SUBMITTED)]
    assert second.claim.id not in competing[0].model_dump_json()
    assert COMPETING not in [change.type for change in await feed_of(core, FABRIKAM)]
    await feed.catch_up(core.ports, await core.stored(second), await core.now())
    assert types(await feed_of(core)).count("competing") == 1


async def test_the_partner_of_a_claim_contested_again_reads_it_again(core: Core) -> None:
    """A rejected claim had left the slot. Its dispute takes the slot again."""
    await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    case = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, await core.case(case), now, NO_CONTEXT)
    case = await reviews.reject(core.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)
    why = Comment("partner", PERSON.id, "We were first.", now)
    await partner_acts.dispute(core.ports, case, PERSON, now, ActContext(comment=why))

    assert types(await feed_of(core)).count("competing") == 2
    await feed.catch_up(core.ports, await core.stored(case), now)
    assert types(await feed_of(core)).count("competing") == 2


async def test_a_rivals_feed_that_fails_gets_its_entry_later(core: Core) -> None:
    """The entry comes before the challenger's own entry, which records it."""
    await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    challenger = await core.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def refuses() -> None:
        raise Conflict("changes: ConditionNotMet")

    async with core.rows.once_before("changes", refuses):
        await core.submit(challenger)

    assert types(await feed_of(core))[-1] == "competing"
    assert types(await feed_of(core, FABRIKAM))[-1] == "submitted"


async def test_after_a_process_died_the_timer_writes_the_feed(core: Core) -> None:
    """The due row existed before. Later entries come after the missing one."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        await comment(core, case)
    assert types(await feed_of(core)) == ["created"]
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert types(await feed_of(core)) == ["created", "commented"]


async def note(core: Core, case: Case, reference: str | None) -> Case:
    """Set the partner's reference."""
    now_case = await core.case(case)
    return await drafts.edit(core.ports, now_case, PERSON, await core.now(), {"reference": reference}, NO_CONTEXT)


async def test_a_new_reference_is_in_the_feed_without_its_value(core: Core) -> None:
    """Each change of it has one entry of the feed, and no entry of the history. The same value again has none."""
    case = await core.draft(evidence=False)

    for reference in ("CRM-1", "CRM-2", "CRM-2", None):
        case = await note(core, case, reference)

    changes = await feed_of(core)
    assert types(changes) == ["created", *3 * ["noteChanged"]]
    assert "CRM" not in "".join(change.model_dump_json() for change in changes)
    assert (changes[-1].at, changes[-1].etag) == (await core.now(), (await core.seen(case)).etag)
    assert [entry.act for entry in await core.history(case)] == ["created"]
    await feed.catch_up(core.ports, await core.stored(case), await core.now())
    assert len(await feed_of(core)) == 4


async def test_notes_of_a_process_that_died_are_written_by_the_timer_once_each(core: Core) -> None:
    """The due row existed before. Entries of the history that are missing too come first."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        case = await note(core, case, "CRM-1")
    async with core.rows.once_before("changes", dies):
        case = await note(core, case, "CRM-2")
    async with core.rows.once_before("changes", dies):
        await comment(core, case)
    assert types(await feed_of(core)) == ["created"]
    for _ in range(2):
        core.clock.advance(2 * MINUTE)
        await core.sweep()

    assert types(await feed_of(core)) == ["created", "commented", "noteChanged", "noteChanged"]


async def test_a_missing_note_is_written_before_the_next_one(core: Core) -> None:
    """The timer is not needed."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        case = await note(core, case, "CRM-1")
    await note(core, case, "CRM-2")

    assert types(await feed_of(core)) == ["created", "noteChanged", "noteChanged"]


async def test_a_lost_answer_doubles_no_note(core: Core) -> None:
    """The second attempt finds the first write."""
    case = await core.draft(evidence=False)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with core.rows.once_after("changes", loses):
        await note(core, case, "CRM-1")

    assert types(await feed_of(core)) == ["created", "noteChanged"]


async def test_a_missing_entry_is_written_before_the_next_one(core: Core) -> None:
    """The order is that of the history, and the timer is not needed."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        await comment(core, case)
    await comment(core, case)

    assert types(await feed_of(core)) == ["created", "commented", "commented"]


async def test_a_lost_answer_doubles_no_entry(core: Core) -> None:
    """The second attempt finds the first write."""
    case = await core.draft(evidence=False)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with core.rows.once_after("changes", loses):
        await comment(core, case)

    assert types(await feed_of(core)) == ["created", "commented"]


async def test_the_loser_of_a_race_for_a_number_takes_the_next_number(core: Core) -> None:
    """Another instance has written another entry."""
    one, other = await core.draft(evidence=False), await core.draft(evidence=False)

    async def goes_first() -> None:
        await comment(core, other, elsewhere(core))

    async with core.rows.once_before("changes", goes_first):
        await comment(core, one)

    changes = await feed_of(core)
    assert [change.claim_id for change in changes[2:]] == [other.claim.id, one.claim.id]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]


async def test_after_many_lost_races_the_timer_writes_the_entry(core: Core) -> None:
    """The act has succeeded, and its caller does not wait."""
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
    assert case.claim.id not in [change.claim_id for change in (await feed_of(core))[2:]]
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert (await feed_of(core))[-1].claim_id == case.claim.id


async def test_a_rivals_feed_has_one_entry_after_a_lost_answer(core: Core) -> None:
    """The second attempt finds the first write."""
    await core.submitted(ADATUM, items=(TEAMS,), engagement=USAGE)
    challenger = await core.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def loses() -> None:
        raise Conflict("changes: EntityAlreadyExists")

    async with core.rows.once_after("changes", loses):
        await core.submit(challenger)

    assert types(await feed_of(core)).count("competing") == 1
    assert types(await feed_of(core, FABRIKAM))[-1] == "submitted"


async def test_a_feed_in_a_storage_that_goes_down_fails_no_act(core: Core) -> None:
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

    assert types(await feed_of(core)) == ["created"]


async def test_a_long_missing_history_is_written_in_parts(core: Core) -> None:
    """One part has as many entries as one transaction takes."""
    case = await untold(core)

    async def dead(table: str, _: Sequence[Op]) -> None:
        if table == "changes":
            await dies()

    core.rows.before = dead
    for _ in range(feed.MOST_AT_ONCE):
        await comment(core, case)
    core.rows.before = None
    await feed.catch_up(core.ports, await core.stored(case), await core.now())

    assert types(await feed_of(core)) == ["created", *["commented"] * feed.MOST_AT_ONCE]


async def test_a_hint_is_sent_to_webhooks_when_there_are_any(core: Core) -> None:
    """One message is sent for each write to the feed."""
    await core.draft(evidence=False)
    assert not await core.queues.take(PARTNER_NOTICES, 32)
    await core.ports.changes.note_webhooks(ADATUM, has_webhooks=True)

    await core.draft(evidence=False)

    messages = await core.queues.take(PARTNER_NOTICES, 32)
    assert [message.text for message in messages] == [f'{{"organisation": "{ADATUM}"}}']


async def test_a_run_stops_when_a_feed_always_changes_and_a_later_run_goes_on(core: Core) -> None:
    """A run stops after some attempts, and the due row stays."""
    case = await core.draft(evidence=False)
    async with core.rows.once_before("changes", dies):
        await comment(core, case)

    async def always(table: str, _: Sequence[Op]) -> None:
        if table == "changes":
            raise Conflict("changes: ConditionNotMet")

    core.rows.before = always
    with pytest.raises(Conflict):
        await feed.catch_up(core.ports, await core.stored(case), await core.now())
    core.rows.before = None
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert types(await feed_of(core)) == ["created", "commented"]


async def test_many_entries_at_once_are_each_written_once(core: Core) -> None:
    """The numbers give the order. The entries of one claim keep the order of its history."""
    cases = [await core.draft(evidence=False) for _ in range(6)]

    await asyncio.gather(*(comment(core, case) for case in cases))

    changes = await feed_of(core)
    assert [change.sequence for change in changes] == list(range(1, 13))
    assert sorted(change.claim_id for change in changes[6:]) == sorted(case.claim.id for case in cases)


async def test_a_deleted_draft_is_in_the_feed_before_it_is_erased(core: Core) -> None:
    """This also holds when the deleting process died before its feed entry."""
    case = await core.draft(evidence=False)

    async with core.rows.once_before("changes", dies):
        await drafts.delete(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)
    core.clock.advance(2 * MINUTE)
    await core.sweep()

    assert types(await feed_of(core)) == ["created", "deleted"]
    assert await core.ports.claims.load(case.claim.id) is None


async def test_drafts_created_together_get_their_entries_together(core: Core) -> None:
    """Drafts that already have their entry are left out."""
    cases = [await untold(core) for _ in range(feed.MOST_AT_ONCE + 3)]
    await feed.catch_up(core.ports, await core.stored(cases[1]), await core.now())

    await feed.announce_created(core.ports, ADATUM, cases, await core.now())

    changes = await feed_of(core)
    assert sorted(change.claim_id for change in changes) == sorted(case.claim.id for case in cases)
    assert [change.sequence for change in changes] == list(range(1, len(cases) + 1))


async def test_a_feed_that_cannot_be_written_stops_no_creation(core: Core) -> None:
    """The due rows of the drafts exist."""
    case = await untold(core)

    async with core.rows.once_before("changes", dies):
        await feed.announce_created(core.ports, ADATUM, [case], await core.now())

    assert not await feed_of(core)


async def untold(core: Core) -> Case:
    """Return a new draft that is not in the feed yet."""
    async with core.rows.once_before("changes", dies):
        case = await core.draft(evidence=False)
    return replace(case, entries=tuple((case.claim.id, entry) for entry in await core.history(case)))


async def test_a_reader_goes_on_where_they_stopped(core: Core) -> None:
    """The answer has a position, also when there is no new entry."""
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


async def test_entries_are_deleted_after_four_hundred_days_and_older_positions_expire(core: Core) -> None:
    """The timer deletes them. A caller who reads from the beginning gets the remaining entries."""
    old = await core.draft(evidence=False)
    core.clock.advance(30 * DAY)
    await comment(core, old)
    core.clock.set(MONDAY + RETENTION[Kind.TRIM_CHANGES] + MINUTE)
    await core.sweep()

    assert await feed.read(core.ports, ADATUM, after=0, limit=10) is None
    assert await feed.read(core.ports, ADATUM, after=1, limit=10) is not None
    left = await feed_of(core)
    assert types(left)[0] == "commented"
    core.clock.set(MONDAY + 2 * RETENTION[Kind.TRIM_CHANGES])
    await core.sweep()
    last = (await core.ports.changes.head(ADATUM)).last
    assert await feed.read(core.ports, ADATUM, after=1, limit=10) is None
    assert await feed.read(core.ports, ADATUM, after=last, limit=10) == feed.FeedPage((), last)
