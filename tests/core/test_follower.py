"""The follower derives what the programme sees, once and completely, through all faults (decision 75)."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables.programme import ProgrammeTable
from cpor_core.due_work import FOLLOWS, SHARDS, SOON, Kind
from cpor_core.errors import StorageBusy
from cpor_core.model.claim import Reason, Status
from cpor_core.model.programme import ProgrammeChange, RegisterRow
from cpor_core.ports.claims import Comment
from cpor_core.ports.due_work import LookedAt
from cpor_core.ports.programme import RegisterRange
from cpor_core.rules.identifiers import shard_of
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext
from cpor_core.use_cases.claims import comments, drafts, partner_acts, reviews
from cpor_core.use_cases.claims.subscription_ends import end_gone_items
from cpor_core.use_cases.due_work.handlers import follow_claims
from cpor_core.use_cases.due_work.process_claim import DueClaim
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.use_cases.due_work.sweep import follow_now
from cpor_core.use_cases.programme import follow as follow_module
from cpor_core.use_cases.programme import registry
from cpor_core.use_cases.programme.follow import MOST_ENTRIES, Wanted, follow
from cpor_core.use_cases.registry import partners_and_customers
from tests.core.builders import (
    ADATUM,
    DAY,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    TEAMS,
    TENANT,
    USAGE,
    customer,
    partner,
)
from tests.core.memory_core import Core
from tests.core.test_insight import verify_sums
from tests.doubles.requests import Answer, Request, straight
from tests.doubles.transport import ProcessDied
from tests.support.programme_table import faults_of_programme

MINUTE = timedelta(minutes=1)


def faults(core: Core) -> list[str]:
    """Return what is wrong with the programme's table."""
    return list(faults_of_programme(core.rows._rows))


async def register(core: Core, organisation: str | None = None) -> list[RegisterRow]:
    """Return the register, in the order of shards and keys."""
    found: list[RegisterRow] = []
    for shard in range(SHARDS):
        page = await core.ports.programme.register(shard, RegisterRange(organisation), after="", limit=1000)
        found += [row for _, row in page]
    return found


async def feed(core: Core, case: Case | StoredCase | None = None) -> list[ProgrammeChange]:
    """Return the changes of one claim, or of all claims, in the order of the feeds."""
    found: list[ProgrammeChange] = []
    for shard in range(SHARDS):
        found += await core.ports.programme.changes(shard, after=0, limit=1000) or ()
    return [change for change in found if case is None or change.claim_id == case.claim.id]


async def counted(core: Core, doing: Callable[[], Awaitable[None]]) -> list[str]:
    """Return the requests of *doing*, without the reads that find due rows."""
    sent: list[str] = []

    async def note(request: Request, do: Callable[[], Answer]) -> Answer:
        if not (request.table == "duework" and not request.is_write):
            sent.append(str(request))
        return do()

    core.rows.carry = note
    try:
        await doing()
    finally:
        core.rows.carry = straight
    return sent


async def test_the_programme_sees_what_partners_see_of_a_claim(core: Core) -> None:
    """Each history entry is one change, in order, with the partner, the tenant and the state after the act."""
    case = await core.official()
    await core.rest()

    changes = await feed(core, case)
    history = await core.history(case)
    assert [(one.type, one.status, one.at) for one in changes] == [
        (f"claim.{entry.act}", entry.to, entry.at) for entry in history
    ]
    assert {(one.organisation, one.tenant_id, one.partner_id, one.feed) for one in changes} == {
        (ADATUM, TENANT, PARTNER_IDS[ADATUM], shard_of(case.claim.id))
    }
    assert changes[-1].association_id == case.claim.id
    assert faults(core) == []


async def test_an_association_has_one_row_for_each_item_with_registered_names(core: Core) -> None:
    """A row has beginning, end, names and country. An ended item keeps its row."""
    await core.register_customer(workloads=("teams", "exchange"))
    case = await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
    await core.rest()
    await core.register_customer(workloads=("exchange",))
    await end_gone_items(core.ports, TENANT, await core.now())
    await core.rest()

    rows = {row.item: row for row in await register(core)}
    claim = (await core.stored(case)).claim
    assert {item: (row.since, row.until is None, row.end_reason) for item, row in rows.items()} == {
        "teams": (claim.official_since, False, Reason.SUBSCRIPTION_ENDED),
        "exchange": (claim.official_since, True, None),
    }
    assert {(row.partner_name, row.customer_name, row.country) for row in rows.values()} == {
        (partner().name, customer().name, "FR")
    }
    assert faults(core) == []


async def test_a_window_that_ends_later_is_in_the_register_from_the_hand_over(core: Core) -> None:
    """A reader must look at the claim itself from the window's end on. A no removes the row."""
    case = await core.notified()
    await core.rest()
    [row] = await register(core)
    assert row.since == row.open_from == case.claim.window_ends_at

    await core.decline(case)
    await core.rest()

    assert await register(core) == []
    assert faults(core) == []


async def test_the_incumbents_row_says_when_another_partner_takes_over(core: Core) -> None:
    """The hand-over to the customer of the challenger changes the incumbent's row, and the challenger's end too."""
    await core.official(ADATUM)
    challenger = await core.notified(FABRIKAM)
    await core.rest()
    takes_over_at = (await core.stored(challenger)).claim.window_ends_at
    [row] = await register(core, ADATUM)
    assert row.open_from == takes_over_at

    await core.withdraw(challenger)
    await core.rest()

    [row] = await register(core, ADATUM)
    assert row.open_from is None
    assert faults(core) == []


async def test_rivals_are_named_once_in_the_feed(core: Core) -> None:
    """Each of two claims for one item that were followed together names the other, after its own entries."""
    one = await core.submitted(ADATUM, engagement=USAGE, items=(TEAMS,))
    other = await core.submitted(FABRIKAM, engagement=USAGE, items=(TEAMS,))
    await core.rest()
    await core.rest()

    for case in (one, other):
        types = [change.type for change in await feed(core, case)]
        assert types.index("claim.submitted") < types.index("claim.competing")
        assert types.count("claim.competing") == 1
    assert faults(core) == []


async def test_a_dispute_names_a_claim_to_its_competitor_again(core: Core) -> None:
    """A rejected claim leaves the competition, and a dispute brings it back."""
    one = await core.submitted(ADATUM, engagement=USAGE, items=(TEAMS,))
    other = await core.submitted(FABRIKAM, engagement=USAGE, items=(TEAMS,))
    await core.rest()
    now = await core.now()
    case = await reviews.start(core.ports, await core.case(other), now, NO_CONTEXT)
    case = await reviews.reject(core.ports, case, now, Reason.EVIDENCE_MISSING, NO_CONTEXT)
    await core.rest()
    why = ActContext(comment=Comment("partner", PERSON.id, "Look again.", await core.now()))
    await partner_acts.dispute(core.ports, await core.case(case), PERSON, await core.now(), why)
    await core.rest()

    assert [change.type for change in await feed(core, one)].count("claim.competing") == 2
    assert faults(core) == []


async def test_a_declined_claim_has_no_new_competitors(core: Core) -> None:
    """It keeps its place in the slot until the end of its window, because its customer can take the no back."""
    declined = await core.decline(await core.notified(ADATUM))
    await core.rest()
    await core.submitted(FABRIKAM)
    await core.rest()

    assert "claim.competing" not in [change.type for change in await feed(core, declined)]


async def test_a_claim_that_was_followed_for_another_claim_is_still_followed_for_its_own_acts(core: Core) -> None:
    """A pass for another claim takes its entries. The other claims at its slots are followed by its own pass."""
    await core.official(ADATUM)
    await core.rest()
    challenger = await core.notified(FABRIKAM)
    core.lose_messages()

    await follow(core.ports, [Wanted(challenger.claim.id, is_other=True)], await core.now())
    await follow(core.ports, [Wanted(challenger.claim.id)], await core.now())

    assert [row.open_from for row in await register(core, ADATUM)] == [challenger.claim.window_ends_at]
    assert [change.type for change in await feed(core, challenger)].count("claim.submitted") == 1


async def test_no_transaction_has_more_rows_than_the_storage_takes(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """One claim can need two transactions, and several claims share one only if they fit."""
    monkeypatch.setattr(follow_module, "MOST_ROWS", most := 12)
    sizes: list[int] = []

    async def measure(table: str, ops: Sequence[Op]) -> None:
        if table == "programme":
            sizes.append(len(ops))

    core.rows.after = measure
    for organisation in (ADATUM, FABRIKAM, LITWARE) * 12:
        await core.draft(organisation)
    await core.official(ADATUM)
    await core.rest()

    assert max(sizes) <= most + 1  # the head of the shard
    assert faults(core) == []
    await verify_sums(core.ports)


async def test_a_claim_with_many_entries_is_followed_to_the_end(core: Core) -> None:
    """A transaction takes only some of them, and the next one takes the others."""
    case = await core.submitted()
    for _ in range(2 * MOST_ENTRIES):
        await comments.add_comment(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)
    await core.rest()

    assert len(await feed(core, case)) == len(await core.history(case)) > 2 * MOST_ENTRIES
    assert faults(core) == []


async def test_a_deleted_draft_stays_in_the_feed_only(core: Core) -> None:
    """Its deletion is the last change. Nothing else is kept of it."""
    case = await core.draft()
    await drafts.delete(core.ports, case, PERSON, await core.now())
    await core.rest()
    await core.rest()

    assert [change.type for change in await feed(core)][-1] == "claim.deleted"
    assert await core.ports.programme.claim(shard_of(case.claim.id), case.claim.id) is None
    assert await core.ports.programme.newest_claims(after="", limit=9) == []
    assert faults(core) == []


async def test_claims_are_listed_newest_first_over_all_shards(core: Core) -> None:
    """A page begins after the position of the page before."""
    made = []
    for organisation in (ADATUM, FABRIKAM, LITWARE) * 3:
        made.append((await core.draft(organisation)).claim.id)
        core.clock.advance(MINUTE)
    await core.rest()

    found, after = [], ""
    while page := await core.ports.programme.newest_claims(after=after, limit=2):
        found += [claim_id for _, claim_id in page]
        after = page[-1][0]
    assert found == made[::-1]


async def test_a_changed_customer_changes_the_rows_of_its_associations(core: Core) -> None:
    """Name and country are those that are registered now. The due row is deleted at once."""
    await core.official()
    await core.rest()
    moved = customer(name="Contoso AG", country="CH", time_zone="Europe/Zurich")
    await partners_and_customers.put_customer(
        core.ports, partners_and_customers.CustomerChange(TENANT, moved), await core.now()
    )
    core.clock.advance(SOON)
    await core.sweep()
    await core.sweep()

    assert {(row.customer_name, row.country) for row in await register(core)} == {("Contoso AG", "CH")}
    assert [row for row in await core.due_rows() if row.kind in FOLLOWS] == []
    assert faults(core) == []


async def test_a_changed_partner_changes_the_rows_of_its_associations(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later claims get the new name too, also in shards in which the partner had no claim."""
    monkeypatch.setattr(registry, "ROWS_AT_ONCE", 1)
    await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
    await core.rest()
    renamed = partner(name="Adatum & Söhne")
    await partners_and_customers.put_partner(core.ports, PARTNER_IDS[ADATUM], renamed, None, await core.now())
    core.clock.advance(SOON)
    await core.sweep()

    assert {row.partner_name for row in await register(core)} == {"Adatum & Söhne"}
    names = [await core.ports.programme.partner_name(shard, PARTNER_IDS[ADATUM]) for shard in range(SHARDS)]
    assert set(names) == {"Adatum & Söhne"}
    assert [row for row in await core.due_rows() if row.kind in FOLLOWS] == []


async def test_a_pass_that_has_read_older_rows_reads_them_again(core: Core) -> None:
    """Another process follows a later act between the reads and the write of the first."""
    case = await core.submitted()
    core.lose_messages()
    other = replace(core.ports, programme=ProgrammeTable(core.rows))

    async def meddle() -> None:
        await core.withdraw(case)
        await follow(other, [Wanted(case.claim.id)], await core.now())

    async with core.rows.once_before("programme", meddle):
        await follow(core.ports, [Wanted(case.claim.id)], await core.now())

    assert [change.type for change in await feed(core, case)].count("claim.submitted") == 1
    assert faults(core) == []


async def test_a_pass_that_has_read_older_slots_reads_them_again(core: Core) -> None:
    """Another process follows a hand-over to a challenger's customer after the first has read the incumbent."""
    incumbent = await core.official(ADATUM)
    await core.rest()
    challenger = await core.approve(await core.submitted(FABRIKAM))
    await comments.add_comment(core.ports, await core.case(incumbent), PERSON, await core.now(), NO_CONTEXT)
    stored = await core.stored(incumbent)
    await core.deliver()
    await follow(core.ports, [Wanted(challenger.claim.id)], await core.now())
    await follow(core.ports, [Wanted(incumbent.claim.id)], await core.now(), {incumbent.claim.id: stored})

    takes_over_at = (await core.stored(challenger)).claim.window_ends_at
    assert [row.open_from for row in await register(core, ADATUM)] == [takes_over_at]
    assert takes_over_at is not None


@pytest.mark.parametrize("dies_after", [False, True])
async def test_a_process_can_die_at_each_write(core: Core, dies_after: bool) -> None:  # noqa: FBT001
    """The next run of the timer finds the due rows, and the table is complete and has nothing twice."""
    await core.official(ADATUM)
    challenger = await core.notified(FABRIKAM)
    kept = dict(core.rows._rows)
    now = core.clock.real()
    number = 0
    while True:
        number += 1
        core.rows._rows = dict(kept)
        core.clock.set(now)
        core.ports = replace(core.ports, programme=ProgrammeTable(core.rows))
        left = number

        async def die(table: str, _: Sequence[Op]) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise ProcessDied

        core.rows.before, core.rows.after = (None, die) if dies_after else (die, None)
        core.clock.advance(SOON)
        with suppress(ProcessDied):
            await core.sweep()
        core.rows.before = core.rows.after = None
        if left > 0:
            break
        await core.rest(timedelta(minutes=15))
        await core.rest(timedelta(minutes=15))
        assert faults(core) == [], number
    assert number > 3
    assert (await core.stored(challenger)).claim.status is Status.AWAITING_CUSTOMER


async def test_one_claim_that_cannot_be_followed_does_not_stop_the_others(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is put off, and says since when the programme does not see the claim."""
    cases = [await core.draft(organisation) for organisation in (ADATUM, FABRIKAM, LITWARE) * 12]
    bad = cases[7].claim.id
    read = core.ports.programme.claim

    async def claim(shard: int, claim_id: str) -> object:
        if claim_id == bad:
            raise StorageBusy("this row cannot be read")
        return await read(shard, claim_id)

    monkeypatch.setattr(core.ports.programme, "claim", claim)
    core.clock.advance(SOON)
    swept = await core.sweep()

    assert swept.failed == 1
    assert {change.claim_id for change in await feed(core)} == {case.claim.id for case in cases} - {bad}
    left = [row for row in await core.due_rows() if row.kind in FOLLOWS]
    assert {(row.subject, row.at) for row in left} == {(bad, MONDAY)}


async def test_a_developer_sees_an_act_at_once(core: Core) -> None:
    """A sandbox's read follows rows that are not due yet. A second read has nothing to follow."""
    await core.submitted()
    core.lose_messages()
    await follow_now(core.ports, await core.now())

    assert faults(core) == []
    assert [row for row in await core.due_rows() if row.kind in FOLLOWS] == []


async def test_a_lost_table_is_made_again_by_a_rebuild(core: Core) -> None:
    """All claims are followed from their beginning. A rebuild of a whole table changes no row of it."""
    await core.official(ADATUM)
    await core.notified(FABRIKAM)
    await core.rest()
    before = sorted(map(repr, await register(core)))
    await rebuild(core.ports, await core.now())
    await follow_now(core.ports, await core.now())
    assert (sorted(map(repr, await register(core))), faults(core)) == (before, [])

    newest = max(change.sequence for change in await feed(core))
    core.clock.advance(MINUTE)
    for place in [place for place in core.rows._rows if place[0] == "programme"]:
        del core.rows._rows[place]
    core.ports = replace(core.ports, programme=ProgrammeTable(core.rows))
    await rebuild(core.ports, await core.now())
    await follow_now(core.ports, await core.now())

    assert sorted(map(repr, await register(core))) == before
    assert faults(core) == []
    assert min(change.sequence for change in await feed(core)) > newest  # a cursor from before is not a number of now


async def test_a_rebuild_writes_a_lost_row_of_the_register_again(core: Core) -> None:
    """It does not trust what the table says about itself."""
    await core.official()
    await core.rest()
    before = await register(core)
    for place in [place for place in core.rows._rows if place[0] == "programme" and place[2].startswith("row|")]:
        del core.rows._rows[place]

    await rebuild(core.ports, await core.now())
    await follow_now(core.ports, await core.now())

    assert await register(core) == before != []


async def test_old_changes_are_deleted_after_400_days_but_not_the_newest(core: Core) -> None:
    """A cursor of a reader from before then has expired. The newest cursor is good for ever."""
    case = await core.submitted()
    await core.rest()
    shard = shard_of(case.claim.id)
    last = (await feed(core, case))[-1].sequence
    core.clock.advance(401 * DAY)
    await core.sweep()

    assert [change.sequence for change in await feed(core) if change.feed == shard][-1] >= last
    assert await core.ports.programme.changes(shard, after=last - 1, limit=9) is None
    newest = (await core.ports.programme.head(shard)).last
    assert await core.ports.programme.changes(shard, after=newest, limit=9) == []
    trims = [row for row in await core.due_rows() if row.kind is Kind.TRIM_PROGRAMME]
    assert len({row.subject for row in trims}) == len(trims)


async def test_a_pass_makes_at_most_nine_requests_alone_and_seven_a_claim_in_company(core: Core) -> None:
    """The numbers are those of decision 75. They do not depend on the number of stored claims."""
    case = await core.official()
    core.clock.advance(SOON)
    await follow_now(core.ports, await core.now())
    reason = Reason.PARTNER_DISASSOCIATED
    case = await partner_acts.end(core.ports, await core.case(case), PERSON, await core.now(), reason, NO_CONTEXT)
    core.ports = replace(core.ports, programme=ProgrammeTable(core.rows))
    alone = await counted(core, lambda: _follow_alone(core, case))
    assert len(alone) <= 9, alone

    in_one_shard: dict[int, list[Case]] = {}
    shard = None
    while shard is None:
        made = await core.draft(ADATUM)
        of_shard = in_one_shard.setdefault(shard_of(made.claim.id), [])
        of_shard.append(made)
        shard = shard_of(made.claim.id) if len(of_shard) == 8 else None
    core.ports = replace(core.ports, programme=ProgrammeTable(core.rows))
    together = await counted(core, lambda: _follow_page(core, in_one_shard[shard]))
    assert len(together) <= 7 * 8, together


async def _follow_alone(core: Core, case: Case) -> None:
    await _follow_page(core, [case])


async def _follow_page(core: Core, cases: Sequence[Case]) -> None:
    rows = [row for case in cases for row in await core.due_rows(case) if row.kind is Kind.FOLLOW]
    subjects = [(DueClaim(core.ports, case.claim.id), rows) for case in cases]
    await follow_claims(core.ports, subjects, await core.now())
    await core.ports.duework.settle([LookedAt(row) for row in rows])


async def test_a_feed_without_new_changes_is_seldom_trimmed(core: Core) -> None:
    """Its newest change stays, and is no reason to look at the feed each minute."""
    await core.draft()
    await follow_now(core.ports, await core.now())
    core.clock.advance(timedelta(days=401))

    await core.sweep()

    (row,) = [row for row in await core.due_rows() if row.kind is Kind.TRIM_PROGRAMME]
    assert row.due >= await core.now() + timedelta(days=29)
