"""The promises of the core's stores, asked of the real tables over storage and over its stand-in in memory."""

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows, Rows
from cpor_app.adapters.storage.tables import TABLES
from cpor_app.adapters.storage.tables.claims import MOST_ROWS, ClaimsTable
from cpor_app.adapters.storage.tables.directories import DirectoryTable
from cpor_app.adapters.storage.tables.due_work import DueWorkTable
from cpor_app.adapters.storage.tables.failures import FailuresTable
from cpor_app.adapters.storage.tables.idempotency import RequestsTable
from cpor_app.adapters.storage.tables.indexes import IndexTable, PartnerClaimsTable
from cpor_app.adapters.storage.tables.mails import MailsTable
from cpor_app.adapters.storage.tables.registry import RegistryTable
from cpor_app.adapters.storage.tables.usage import ReceiptsTable, UsageTable
from cpor_core.due_work import SHARDS, Kind, RowRef
from cpor_core.errors import Conflict, Refused
from cpor_core.model.claim import Evidence, Item, Status
from cpor_core.model.history import Act
from cpor_core.model.mail import MailOutcome
from cpor_core.model.registry import Channel, ClosedDay, Subscription, SubscriptionState
from cpor_core.model.slot import Slot
from cpor_core.model.usage import Figure, MonthFigures, Receipt
from cpor_core.ports.claims import Comment, Commit
from cpor_core.ports.due_work import DueRow, Failure, LookedAt, of_act
from cpor_core.ports.idempotency import IdempotencyRecord, StoredReply, StoredResponse
from cpor_core.ports.notices import MailRecord, SentMail
from cpor_core.rules.search_words import word_key
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from tests.core.builders import (
    ADATUM,
    DAY,
    ENDS_AT,
    EXCHANGE,
    FABRIKAM,
    MICROSECOND,
    MONDAY,
    PERSON,
    SHAREPOINT,
    TEAMS,
    TENANT,
    TOLD_AT,
    USAGE,
    awaiting,
    claim_id,
    customer,
    draft,
    in_state,
    partner,
    submitted,
    under_review,
)
from tests.doubles.memory_queues import MemoryQueues
from tests.doubles.memory_rows import MemoryRows
from tests.doubles.transport import Plan

A, B = claim_id("a"), claim_id("b")
LATER = TENANT.replace("b", "c")
QUEUE = "customer-notices"
MAIL = "5d0f3a52-9f0e-5a53-9c39-6a7f8f6d2f11"


@dataclass(frozen=True)
class Stores:
    """Every store over the same rows."""

    rows: Rows
    queues: AzureQueues

    @property
    def claims(self) -> ClaimsTable:
        return ClaimsTable(self.rows)

    @property
    def duework(self) -> DueWorkTable:
        return DueWorkTable(self.rows)

    @property
    def index(self) -> IndexTable:
        return IndexTable(self.rows, "reviews")

    @property
    def partner_claims(self) -> PartnerClaimsTable:
        return PartnerClaimsTable(self.rows)

    @property
    def partners(self) -> DirectoryTable:
        return DirectoryTable(self.rows, "partners")

    @property
    def customers(self) -> DirectoryTable:
        return DirectoryTable(self.rows, "customers")

    @property
    def registry(self) -> RegistryTable:
        return RegistryTable(self.rows)

    @property
    def requests(self) -> RequestsTable:
        return RequestsTable(self.rows)

    @property
    def mails(self) -> MailsTable:
        return MailsTable(self.rows)

    @property
    def usage(self) -> UsageTable:
        return UsageTable(self.rows)

    @property
    def receipts(self) -> ReceiptsTable:
        return ReceiptsTable(self.rows)

    @property
    def failures(self) -> FailuresTable:
        return FailuresTable(self.rows, self.queues)

    async def write(self, after: Case, act_id: str = "act", **more: Any) -> Case:
        """Write a case that was made anew, as one act; returns it as it is read back."""
        unused = {key: Slot(engagement=slot.engagement, key=key) for key, slot in after.slots.items()}
        before = StoredCase(after.claim.model_copy(update={"version": -1}), unused)
        await self.claims.commit(Commit(act_id, before, after, **more))
        return await self.read(after.claim.id)

    async def read(self, claim: str = A) -> Case:
        """Return a case that must be there, a draft with its slots."""
        stored = await self.claims.load(claim)
        assert stored is not None
        if stored.claim.status is Status.DRAFT:
            stored = replace(await self.claims.with_refusals(stored), refusals=None)
        return life.settle(stored, TOLD_AT)

    async def change(self, before: Case, after: Case, act_id: str = "act 2", **more: Any) -> Case:
        """Write a change of what was read; returns it as it is read back."""
        await self.claims.commit(Commit(act_id, before.stored, replace(after, stored=before.stored).written(), **more))
        return await self.read(after.claim.id)


def row(due: datetime, subject: str = A, kind: Kind = Kind.WRITE_DOWN, label: str = "", **more: Any) -> DueRow:
    """Return a due row as it is written."""
    return DueRow(due, subject, kind, label, **more)


def plain(rows: Iterable[DueRow]) -> list[DueRow]:
    """Return due rows without what only the store knows."""
    return [replace(one, etag=None, written_at=None) for one in rows]


async def all_due(stores: Stores, now: datetime, limit: int = 100) -> list[DueRow]:
    """Return what is due in every shard, page by page."""
    found: list[DueRow] = []
    for shard in range(SHARDS):
        after = None
        while page := await stores.duework.due(shard, now, after=after, limit=limit):
            assert len(page) <= limit
            found += page
            after = page[-1]
    return found


class StoresContract(ABC):
    """What the stores promise; a subclass says over which rows they are asked."""

    @pytest.fixture
    @abstractmethod
    def stores(self) -> Any:
        """Return the stores."""

    # --- claims -------------------------------------------------------------------------------------------------------

    async def test_a_claim_that_is_not_there_is_none(self, stores: Stores) -> None:
        """Nor is what is no claim id at all."""
        assert await stores.claims.load(A) is None
        assert await stores.claims.load("../secrets") is None
        assert await stores.claims.history(A, after=0, limit=10) == []
        assert await stores.claims.comments(A, after=0, limit=10) == []
        assert await stores.claims.stored_reply(A, "key") is None
        assert not await stores.claims.wrote(A, "act", 1)

    @pytest.mark.parametrize("status", [s for s in Status if s is not Status.DELETED])
    async def test_a_claim_comes_back_as_it_was_written(self, stores: Stores, status: Status) -> None:
        """In every state, with every part; its slots as they are, or empty where nobody may need them."""
        case = in_state(status, items=(TEAMS, EXCHANGE), comment="Žluťoučký 日本語 𝄞\nsecond line")

        read = await stores.write(case)

        assert read.claim == case.claim
        closed = {Status.REJECTED_FINAL, Status.ENDED, Status.WITHDRAWN}
        empty = {key: Slot(engagement=USAGE, key=key) for key in ("teams", "exchange")}
        assert read.slots == (empty if status in closed else case.slots)
        assert read.entries == ()

    async def test_every_tenant_comes_with_all_that_is_known_of_its_claims(self, stores: Stores) -> None:
        """Claims with their slots, and their histories, tenant by tenant; it can begin behind any of them."""
        mine = await stores.write(submitted(draft("a"), automatic=True))
        other = await stores.write(draft("b", items=(EXCHANGE,)))
        elsewhere = await stores.write(draft(id=LATER.replace("-", "") + "a" * 20, tenant_id=LATER))

        found = [tenant async for tenant in stores.claims.tenants()]

        assert [(tenant.tenant_id, list(tenant.cases)) for tenant in found] == [
            (TENANT, [mine.stored, other.stored]),
            (LATER, [elsewhere.stored]),
        ]
        for tenant in found:
            for case in tenant.cases:
                told = await stores.claims.history(case.claim.id, after=0, limit=100)
                assert list(tenant.histories[case.claim.id]) == told
        assert [tenant.tenant_id async for tenant in stores.claims.tenants(after=TENANT)] == [LATER]

    async def test_the_largest_claim_fits_its_row(self, stores: Stores) -> None:
        """Thirty items, twenty files, the longest comment of characters that nothing compresses."""
        random.seed(1)
        letters = "".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(4000))
        files = tuple(
            Evidence(
                file_name=f"{n}{letters[n * 100 : n * 100 + 98]}",
                content_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                size=20 * 2**20,
                sha256=f"{random.getrandbits(256):064x}",
                added_at=MONDAY,
                blob=f"{random.getrandbits(256):064x}",
            )
            for n in range(20)
        )
        items = tuple(
            Item.model_validate(
                {"product": "dynamics-365-sales", "subscription_id": f"{n:08x}-0000-4000-8000-000000000001"}
            )
            for n in range(30)
        )
        case = draft(
            items=items, engagement="usage-recognition-bizapps", comment=letters, evidence=files, name=letters[:200]
        )

        read = await stores.write(case)

        assert read.claim == case.claim

    async def test_only_the_slots_of_the_claims_own_items_are_read(self, stores: Stores) -> None:
        """Neither one between them, nor one of another engagement."""
        other = draft("b", organisation=FABRIKAM, items=(SHAREPOINT, Item(workload="teams-phone"), TEAMS))
        await stores.write(submitted(other))

        read = await stores.write(submitted(draft(items=(Item(workload="viva-topics"), EXCHANGE))))

        assert set(read.slots) == {"viva-topics", "exchange"}
        assert [claimant.claim for claimant in read.slots["exchange"].claimants] == [A]

    async def test_claims_of_one_slot_see_each_other(self, stores: Stores) -> None:
        """The slot row is theirs together."""
        await stores.write(submitted(draft()))
        second = await stores.write(draft("b", organisation=FABRIKAM))
        assert [party.claim for party in second.rival_parties(TOLD_AT)] == [A]

        await stores.change(second, submitted(second))

        first = await stores.read(A)
        assert [party.claim for party in first.rival_parties(TOLD_AT)] == [B]

    async def test_the_slots_of_a_draft_are_read_only_for_its_submission(self, stores: Stores) -> None:
        """Until then they are as if nobody had used them."""
        await stores.write(submitted(draft("b", organisation=FABRIKAM)))
        await stores.write(draft())

        asked = await stores.claims.load(A)
        assert asked is not None
        whole = await stores.claims.with_refusals(asked)

        assert asked.slots["teams"].claimants == ()
        assert [claimant.claim for claimant in whole.slots["teams"].claimants] == [B]

    async def test_a_change_over_something_newer_is_a_conflict_and_changes_nothing(self, stores: Stores) -> None:
        """Of two who read the same, the first wins; nothing of the second is there."""
        case = await stores.write(submitted(draft()))
        first = life.start_review(case, PERSON, TOLD_AT, decide_by=ENDS_AT)
        second = life.withdraw(case, PERSON, TOLD_AT)
        await stores.change(case, first, "first")

        with pytest.raises(Conflict):
            await stores.change(case, second, "second", comment=Comment("partner", "me", "No more", TOLD_AT, 4))

        read = await stores.read()
        assert read.claim.status is Status.UNDER_REVIEW
        assert [claimant.claim for claimant in read.slots["teams"].claimants] == [A]
        assert [entry.act for entry in await stores.claims.history(A, after=2, limit=10)] == [Act.REVIEW_STARTED]
        assert await stores.claims.comments(A, after=0, limit=10) == []

    async def test_a_change_over_a_newer_slot_is_a_conflict(self, stores: Stores) -> None:
        """Two claims submitted at once for one slot: one of them must be judged again (decision 11)."""
        one, other = await stores.write(draft()), await stores.write(draft("b", organisation=FABRIKAM))
        await stores.change(one, submitted(one, automatic=True))

        with pytest.raises(Conflict):
            await stores.change(other, submitted(other, automatic=True))

        again = await stores.read(B)
        written = await stores.change(again, submitted(again, automatic=True))
        assert (written.claim.status, (await stores.read(A)).claim.status) == (
            Status.SUBMITTED,
            Status.AWAITING_CUSTOMER,
        )

    async def test_a_claim_is_made_once(self, stores: Stores) -> None:
        """The second of the same id is a conflict."""
        await stores.write(draft(), "first")

        with pytest.raises(Conflict):
            await stores.write(draft(comment="again"), "second")

        assert await stores.claims.wrote(A, "first", 1)
        assert not await stores.claims.wrote(A, "second", 1)

    async def test_our_own_act_is_recognised_on_the_row_and_in_the_history(self, stores: Stores) -> None:
        """On the row while it is the newest, in the history for ever; never inside a hashed entry (decision 36a)."""
        case = await stores.write(submitted(draft()), "first")
        changed = await stores.change(case, life.start_review(case, PERSON, TOLD_AT, decide_by=ENDS_AT), "second")
        await stores.change(changed, changed.changed(reminded=True), "third")

        assert await stores.claims.wrote(A, "third", 99)
        assert await stores.claims.wrote(A, "second", 3)
        assert not await stores.claims.wrote(A, "second", 4)
        assert await stores.claims.wrote(A, "first", 1)
        assert not await stores.claims.wrote(A, "nobody", 1)
        entries = await stores.claims.history(A, after=0, limit=10)
        assert not any("second" in entry.model_dump_json() for entry in entries)

    async def test_rivals_and_their_history_are_written_with_the_act(self, stores: Stores) -> None:
        """An approval refuses another claimant in the same transaction (decision 12)."""
        await stores.write(under_review(draft()))
        winner = await stores.write(draft("b", organisation=FABRIKAM))
        winner = await stores.change(winner, under_review(winner))
        loser = await stores.read(A)
        before = life.settle(winner.stored.with_rivals([loser.stored]), TOLD_AT)

        await stores.change(before, life.approve(before, PERSON, TOLD_AT), "approval")

        lost = await stores.read(A)
        assert (lost.claim.status, lost.claim.version) == (Status.REJECTED, loser.claim.version + 1)
        entries = await stores.claims.history(A, after=0, limit=10)
        assert (entries[-1].act, entries[-1].hash) == (Act.REJECTED, lost.claim.history_hash)
        assert await stores.claims.wrote(A, "approval", lost.claim.history_length)

    async def test_a_rival_that_has_changed_since_is_a_conflict(self, stores: Stores) -> None:
        """Nothing of the approval is there."""
        await stores.write(under_review(draft()))
        winner = await stores.write(draft("b", organisation=FABRIKAM))
        winner = await stores.change(winner, under_review(winner))
        loser = await stores.read(A)
        before = life.settle(winner.stored.with_rivals([loser.stored]), TOLD_AT)
        await stores.change(loser, loser.changed(reminded=True))

        with pytest.raises(Conflict):
            await stores.change(before, life.approve(before, PERSON, TOLD_AT))

        assert (await stores.read(B)).claim.status is Status.UNDER_REVIEW

    async def test_what_has_not_changed_is_not_written(self, stores: Stores) -> None:
        """Somebody else's newer slot is no conflict for an act that leaves it alone."""
        case = await stores.write(awaiting(draft()))
        other = await stores.write(draft("b", organisation=FABRIKAM))
        await stores.change(other, submitted(other))

        await stores.change(case, case.record(Act.COMMENTED, PERSON, TOLD_AT))

        slot = (await stores.read()).slots["teams"]
        assert {claimant.claim for claimant in slot.claimants} == {A, B}

    async def test_an_act_of_too_many_rows_is_refused(self, stores: Stores) -> None:
        """A transaction has a hundred; ours end at 95, and nothing is written (decision 6)."""
        case = await stores.write(draft())
        crowded, fitting = case, case
        for n in range(MOST_ROWS):
            crowded = crowded.record(Act.COMMENTED, PERSON, TOLD_AT)
            if n < MOST_ROWS - 2:
                fitting = fitting.record(Act.COMMENTED, PERSON, TOLD_AT)

        with pytest.raises(Refused, match="TooManyCompetitors"):
            await stores.change(case, crowded)

        assert (await stores.read()).claim == case.claim
        assert (await stores.change(case, fitting)).claim.history_length == MOST_ROWS - 1

    async def test_history_comes_in_order_and_in_pages(self, stores: Stores) -> None:
        """Behind a sequence, at most so many; the entries are those that were hashed."""
        case = draft()
        for _ in range(11):
            case = case.record(Act.COMMENTED, PERSON, TOLD_AT)
        await stores.write(case)
        await stores.write(draft("b"))

        whole = await stores.claims.history(A, after=0, limit=100)
        page = await stores.claims.history(A, after=9, limit=2)

        assert list(whole) == [entry for _, entry in case.entries]
        assert [entry.sequence for entry in page] == [10, 11]
        assert await stores.claims.history(A, after=12, limit=5) == []

    async def test_comments_stand_beside_their_entry(self, stores: Stores) -> None:
        """Whose words, when, to which entry; in order, in pages."""
        first = Comment("partner", "oid", "Größe\nzweite Zeile 日本 𝄞", TOLD_AT, 1)
        case = await stores.write(draft(), comment=first)
        second = Comment("programme", "reviewer", "x" * 4000, TOLD_AT + MICROSECOND, 2)
        await stores.change(case, case.record(Act.COMMENTED, PERSON, TOLD_AT), comment=second)

        assert await stores.claims.comments(A, after=0, limit=10) == [first, second]
        assert await stores.claims.comments(A, after=1, limit=10) == [second]
        assert await stores.claims.comments(A, after=0, limit=1) == [first]

    @pytest.mark.parametrize(
        "reply", [StoredReply("hash", '{"long": "' + "é𝄞" * 40_000 + '"}', '"etag"'), StoredReply("", "", None)]
    )
    async def test_the_first_answer_comes_back_word_for_word(self, stores: Stores, reply: StoredReply) -> None:
        """However long; under its own key only."""
        await stores.write(draft(), key="f00d", reply=reply)

        assert await stores.claims.stored_reply(A, "f00d") == reply
        assert await stores.claims.stored_reply(A, "beef") is None
        assert await stores.claims.stored_reply(B, "f00d") is None

    async def test_a_key_is_answered_once(self, stores: Stores) -> None:
        """The second act under it is a conflict, and nothing of it is there."""
        case = await stores.write(draft(), key="f00d", reply=StoredReply("1", "first", None))

        with pytest.raises(Conflict):
            await stores.change(
                case, case.record(Act.COMMENTED, PERSON, TOLD_AT), key="f00d", reply=StoredReply("2", "second", None)
            )

        assert await stores.claims.stored_reply(A, "f00d") == StoredReply("1", "first", None)
        assert (await stores.read()).claim.history_length == 1

    async def test_nothing_of_an_erased_draft_is_left(self, stores: Stores) -> None:
        """Neither history nor words; its first answers keep their time; again is no error; its neighbour stays."""
        case = draft()
        for _ in range(MOST_ROWS - 5):
            case = case.record(Act.COMMENTED, PERSON, TOLD_AT)
        read = await stores.write(
            case,
            key="f00d",
            reply=StoredReply("1", "first", None),
            comment=Comment("partner", "me", "words", TOLD_AT, 1),
        )
        for _ in range(30):
            read = await stores.change(read, read.record(Act.COMMENTED, PERSON, TOLD_AT))
        await stores.write(draft("b"))

        await stores.claims.erase(A)
        await stores.claims.erase(A)

        assert await stores.claims.load(A) is None
        assert await stores.claims.history(A, after=0, limit=10) == []
        assert await stores.claims.comments(A, after=0, limit=10) == []
        assert await stores.claims.stored_reply(A, "f00d") == StoredReply("1", "first", None)
        assert await stores.claims.load(B) is not None
        assert len(await stores.claims.history(B, after=0, limit=10)) == 1

    # --- due work -----------------------------------------------------------------------------------------------------

    async def test_only_what_is_due_comes_and_in_order(self, stores: Stores) -> None:
        """At the very instant, not a microsecond before; oldest first within a shard."""
        rows = [row(MONDAY + n * DAY, label=f"{n}") for n in (2, 0, 1)]
        await stores.duework.add(rows)

        assert await all_due(stores, MONDAY - MICROSECOND) == []
        assert plain(await all_due(stores, MONDAY)) == [rows[1]]
        assert plain(await all_due(stores, MONDAY + DAY - MICROSECOND)) == [rows[1]]
        assert plain(await all_due(stores, MONDAY + 9 * DAY)) == [rows[1], rows[2], rows[0]]

    async def test_a_due_row_comes_back_as_it_was_written(self, stores: Stores) -> None:
        """With its attempt and with what is to be deleted; the store adds its ETag and its own time."""
        kept = row(
            MONDAY + MICROSECOND, A, Kind.DELETE_MESSAGE_ID, "1", attempt=3, deletes=RowRef("mails", "1", "sent")
        )
        await stores.duework.add([kept])

        found = await all_due(stores, MONDAY + DAY)

        assert plain(found) == [kept]
        assert found[0].etag is not None
        assert found[0].written_at is not None
        assert abs(datetime.now(UTC) - found[0].written_at) < timedelta(minutes=5)

    async def test_every_shard_is_asked_for_its_own(self, stores: Stores) -> None:
        """Each row lies in one of sixteen, and they are used about evenly."""
        rows = [row(MONDAY, subject=f"{n:052x}") for n in range(160)]
        await stores.duework.add(rows)

        by_shard = [await stores.duework.due(shard, MONDAY, after=None, limit=100) for shard in range(SHARDS)]

        assert sorted(one.subject for shard in by_shard for one in shard) == sorted(one.subject for one in rows)
        assert all(2 <= len(shard) <= 25 for shard in by_shard)

    async def test_due_rows_come_in_pages(self, stores: Stores) -> None:
        """The next page begins behind the last row of the one before, also within one instant."""
        rows = [row(MONDAY, label=f"{n:02d}") for n in range(25)]
        await stores.duework.add(rows)

        assert plain(await all_due(stores, MONDAY, limit=4)) == rows

    async def test_a_row_of_the_same_kind_and_instant_is_one(self, stores: Stores) -> None:
        """Writing it again is no error, even in one call."""
        await stores.duework.add([row(MONDAY), row(MONDAY, attempt=1)])
        await stores.duework.add([row(MONDAY)])

        assert plain(await all_due(stores, MONDAY)) == [row(MONDAY)]

    async def test_a_moved_row_is_there_once_with_the_others(self, stores: Stores) -> None:
        """Put off in one transaction with what is added, keeping what is to be forgotten."""
        await stores.duework.add([row(MONDAY, deletes=RowRef("mails", "m", "sent"))])
        found = (await all_due(stores, MONDAY))[0]

        moved = await stores.duework.move(found, [row(ENDS_AT, kind=Kind.REMIND_CUSTOMER)], due=MONDAY + DAY, attempt=2)

        expected = row(MONDAY + DAY, attempt=2, deletes=RowRef("mails", "m", "sent"))
        assert moved == expected
        assert plain(await all_due(stores, ENDS_AT)) == [expected, row(ENDS_AT, kind=Kind.REMIND_CUSTOMER)]

    async def test_a_row_that_was_moved_once_can_be_moved_again(self, stores: Stores) -> None:
        """By who moved it, before it was read again; to the same instant too."""
        await stores.duework.add([row(MONDAY)])
        found = (await all_due(stores, MONDAY))[0]
        moved = await stores.duework.move(found, [], due=MONDAY + DAY, attempt=0)

        same = await stores.duework.move(moved, [row(ENDS_AT)], due=MONDAY + DAY, attempt=0)

        assert plain(await all_due(stores, ENDS_AT)) == [same, row(ENDS_AT)]

    async def test_a_row_that_has_changed_since_is_neither_moved_nor_deleted(self, stores: Stores) -> None:
        """Somebody wrote it anew between our reading and now: the debt must not be lost (decision 36)."""
        await stores.duework.add([row(MONDAY)])
        found = (await all_due(stores, MONDAY))[0]
        await stores.duework.add([row(MONDAY)])

        await stores.duework.settle([LookedAt(found)])
        await stores.duework.settle([LookedAt(found, row(MONDAY, since=MONDAY))])
        await stores.duework.settle([LookedAt(found, row(ENDS_AT))])
        with pytest.raises(Conflict):
            await stores.duework.move(found, [row(ENDS_AT)], due=MONDAY + DAY, attempt=1)

        assert plain(await all_due(stores, ENDS_AT)) == [row(MONDAY)]

    async def test_a_row_that_is_gone_is_a_conflict(self, stores: Stores) -> None:
        """Somebody else has paid it."""
        await stores.duework.add([row(MONDAY)])
        found = (await all_due(stores, MONDAY))[0]
        await stores.duework.settle([LookedAt(found)])

        await stores.duework.settle([LookedAt(found, row(ENDS_AT))])
        with pytest.raises(Conflict):
            await stores.duework.move(found, [], due=MONDAY + DAY, attempt=1)

        assert await all_due(stores, ENDS_AT) == []

    async def test_rows_are_put_off_and_deleted_together(self, stores: Stores) -> None:
        """More than a hundred changes take more than one request. A row that has changed holds up no other row."""
        rows = [row(MONDAY + timedelta(seconds=n)) for n in range(150)]
        await stores.duework.add(rows[:100])
        await stores.duework.add(rows[100:])
        found = sorted(await all_due(stores, ENDS_AT), key=lambda one: one.due)
        await stores.duework.add([replace(rows[7], attempt=3)])
        put_off = [replace(one, due=one.due + DAY, attempt=1, since=MONDAY) for one in found[:60]]

        await stores.duework.settle(
            [*(map(LookedAt, found[:60], put_off)), *map(LookedAt, found[60:]), LookedAt(found[100])]
        )

        left = sorted(plain(await all_due(stores, ENDS_AT + DAY)), key=lambda one: one.due)
        assert left == [replace(rows[7], attempt=3), *plain(one for n, one in enumerate(put_off) if n != 7)]

    async def test_a_row_can_be_put_off_to_where_it_is(self, stores: Stores) -> None:
        """Two rows can also come to lie at one place: they lead to the same work."""
        await stores.duework.add([row(MONDAY), row(MONDAY + DAY)])
        first, second = sorted(await all_due(stores, ENDS_AT), key=lambda one: one.due)

        await stores.duework.settle([LookedAt(first, replace(first, attempt=1))])
        [first] = [one for one in await all_due(stores, ENDS_AT) if one.due == MONDAY]
        await stores.duework.settle([LookedAt(first, row(ENDS_AT)), LookedAt(second, row(ENDS_AT, attempt=2))])

        assert first.attempt == 1
        assert plain(await all_due(stores, ENDS_AT)) == [row(ENDS_AT, attempt=2)]

    async def test_a_page_has_its_rows_that_are_still_there(self, stores: Stores) -> None:
        """It has no row of another instant, and no row that has moved."""
        rows = [
            row(MONDAY + timedelta(seconds=n), kind=kind) for n in range(4) for kind in (Kind.WRITE_DOWN, Kind.FOLLOW)
        ]
        await stores.duework.add(rows)
        found = [one for one in await all_due(stores, ENDS_AT) if MONDAY < one.due < MONDAY + timedelta(seconds=3)]
        [shard] = [n for n in range(SHARDS) if await stores.duework.due(n, ENDS_AT, after=None, limit=1)]
        page = stores.duework.page_of(shard, found)

        await stores.duework.settle([LookedAt(found[0])])

        assert await stores.duework.of_page(page, limit=100) == found[1:]
        assert len(found) == 4

    async def test_a_row_keeps_the_version_and_the_arrival_of_its_act(self, stores: Stores) -> None:
        """A row of the first release has neither."""
        await stores.duework.add([*of_act([row(MONDAY)], 3, MONDAY), row(ENDS_AT)])

        found = sorted(await all_due(stores, ENDS_AT), key=lambda one: one.due)

        assert [(one.version, one.at) for one in found] == [(3, MONDAY), (None, None)]

    async def test_a_row_of_another_table_is_forgotten(self, stores: Stores) -> None:
        """One that is not there is no error."""
        await stores.mails.start_sending("message", SentMail(A, "notice", 1, 1), "me", MONDAY, MONDAY, MONDAY)

        await stores.duework.delete_expired(RowRef("mails", "message", "sent"))
        await stores.duework.delete_expired(RowRef("mails", "message", "sent"))

        assert await stores.rows.get("mails", "message", "sent") is None

    # --- indexes ------------------------------------------------------------------------------------------------------

    async def test_an_index_comes_in_order_and_in_pages(self, stores: Stores) -> None:
        """Each page begins behind the last position of the one before; partitions do not mix."""
        for n in (3, 1, 2):
            await stores.index.add(ADATUM, f"{n}|{A}", A)
        await stores.index.add(FABRIKAM, f"0|{B}", B)

        first = await stores.index.page(ADATUM, after="", limit=2)
        second = await stores.index.page(ADATUM, after=first[-1].position, limit=2)

        assert [one.position for one in (*first, *second)] == [f"{n}|{A}" for n in (1, 2, 3)]
        assert {one.claim_id for one in first} == {A}
        assert all(abs(datetime.now(UTC) - one.written_at) < timedelta(minutes=5) for one in first)

    async def test_an_index_key_is_there_once(self, stores: Stores) -> None:
        """Adding it again and removing it again are no errors."""
        await stores.index.add(ADATUM, "1|x", A)
        await stores.index.add(ADATUM, "1|x", A)
        assert len(await stores.index.page(ADATUM, after="", limit=9)) == 1

        await stores.index.remove(ADATUM, "1|x")
        await stores.index.remove(ADATUM, "1|x")

        assert await stores.index.page(ADATUM, after="", limit=9) == []

    async def test_words_lead_to_the_keys_of_claims(self, stores: Stores) -> None:
        """By their beginnings; in their own partition; and no list has them."""
        await stores.partner_claims.add(ADATUM, f"1|{A}", A, ["teams", "žluť"])
        await stores.partner_claims.add(ADATUM, f"2|{B}", B, ["team"])
        await stores.partner_claims.add(FABRIKAM, f"3|{B}", B, ["teams"])

        async def found(beginning: str, limit: int = 9) -> list[tuple[str, str]]:
            rows = await stores.partner_claims.found(ADATUM, beginning, limit=limit)
            return sorted((row.position, row.claim_id) for row in rows)

        assert await found("tea") == [(f"1|{A}", A), (f"2|{B}", B)]
        assert await found("teams") == await found("ž") == [(f"1|{A}", A)]
        assert len(await found("tea", limit=1)) == 1
        assert await found("eams") == await found("teamsx") == []
        assert len(await stores.partner_claims.page(ADATUM, after="", limit=9)) == 2
        at_tenant = await stores.partner_claims.at_tenants(ADATUM, [TENANT, LATER], limit=9)
        assert sorted((row.position, row.claim_id) for row in at_tenant) == [(f"1|{A}", A), (f"2|{B}", B)]
        assert await stores.partner_claims.at_tenants(ADATUM, [LATER], limit=9) == []

    async def test_words_are_replaced_and_removed_exactly(self, stores: Stores) -> None:
        """Also those of several writes; nothing of another claim goes, and a second time is no error."""
        await stores.partner_claims.add(ADATUM, f"1|{A}", A, [f"a{n}" for n in range(24)])
        await stores.partner_claims.add(ADATUM, f"1|{A}", A, [f"b{n}" for n in range(24)])
        await stores.partner_claims.add(ADATUM, f"1|{A}", A, [f"c{n}" for n in range(24)])
        await stores.partner_claims.add(ADATUM, f"2|{B}", B, ["a1", "b1"])
        for _ in range(2):
            await stores.partner_claims.replace(ADATUM, f"1|{A}", A, ["a1", "d"])

            keys = {row.key async for row in stores.rows.query("partnerclaims", ADATUM) if "|" + A in row.key}
            assert {key for key in keys if key.startswith("word|")} == {
                f"word|{word_key(word)}|1|{A}" for word in ("a1", "d")
            }
            assert len(keys) == 4, "two words, the row that names them, and the key"
        for _ in range(2):
            await stores.partner_claims.remove(ADATUM, f"1|{A}")

        left = [row.claim_id for row in await stores.partner_claims.found(ADATUM, "a", limit=9)]
        assert left == [B]
        assert [row.claim_id for row in await stores.partner_claims.page(ADATUM, after="", limit=9)] == [B]

    # --- registry -----------------------------------------------------------------------------------------------------

    async def test_a_directory_has_ids_in_order_and_words(self, stores: Stores) -> None:
        """The scans of the registry do not meet its rows."""
        for name in ("3", "1", "2"):
            await stores.partners.add(name, ["litware", f"n{name}"])
        await stores.partners.replace("2", ["fabrikam"])
        await stores.registry.put_partner("4782913", partner(), None)
        await stores.registry.put_customer(TENANT, customer(), None)
        await stores.customers.add(TENANT, ["litware"])

        assert await stores.partners.page(after="", limit=2) == ["1", "2"]
        assert await stores.partners.page(after="2", limit=2) == ["3"]
        assert sorted(await stores.partners.found("lit", limit=9)) == ["1", "3"]
        assert await stores.partners.found("fab", limit=9) == ["2"]
        assert await stores.customers.page(after="", limit=9) == [TENANT]
        assert [name async for name, _ in stores.registry.partners()] == ["4782913"]
        assert [tenant async for tenant, _ in stores.registry.customers()] == [TENANT]

    async def test_who_is_not_registered_is_none(self, stores: Stores) -> None:
        """Neither as partner nor as customer."""
        assert await stores.registry.partner("4782913") is None
        assert await stores.registry.customer(TENANT) is None

    async def test_an_entry_comes_back_with_its_version(self, stores: Stores) -> None:
        """One more with each write."""
        assert await stores.registry.put_partner("4782913", partner(), None) == 1
        first = await stores.registry.partner("4782913")
        assert first is not None
        assert await stores.registry.put_partner("4782913", partner(name="Renamed"), first) == 2

        second = await stores.registry.partner("4782913")

        assert (first.value, first.version) == (partner(), 1)
        assert second is not None
        assert (second.value, second.version) == (partner(name="Renamed"), 2)

    async def test_an_organisation_has_a_list_of_locations(self, stores: Stores) -> None:
        """In order, each once. The entries themselves are found by a scan, without those of customers."""
        for partner_id in ("6660001", "4782913", "4782913"):
            await stores.registry.add_location(ADATUM, partner_id)
        await stores.registry.put_partner("4782913", partner(), None)
        await stores.registry.put_customer(TENANT, customer(), None)

        assert await stores.registry.locations(ADATUM) == ["4782913", "6660001"]
        assert await stores.registry.locations(TENANT) == []
        assert [(key, found.value) async for key, found in stores.registry.partners()] == [("4782913", partner())]
        assert [key async for key, _ in stores.registry.customers()] == [TENANT]

    async def test_the_largest_customer_fits_its_row(self, stores: Stores) -> None:
        """Five hundred subscriptions, fifty domains, ten addresses, two hundred workloads."""
        random.seed(2)
        whole = customer(
            domains=tuple(f"{random.getrandbits(200):050x}.{random.getrandbits(200):050x}.example" for _ in range(50)),
            notice_addresses=tuple(f"{random.getrandbits(200):050x}@contoso.fr" for _ in range(10)),
            workloads=tuple(f"{random.getrandbits(200):050x}" for _ in range(200)),
            subscriptions=tuple(
                Subscription(
                    subscription_id=f"{random.getrandbits(128):032x}"[:8]
                    + f"-0000-4000-8000-{random.getrandbits(48):012x}",
                    product="dynamics-365-intelligent-order-management",
                    channel=random.choice(list(Channel)),
                    state=random.choice(list(SubscriptionState)),
                    seats=random.randrange(10**6),
                )
                for _ in range(500)
            ),
        )

        await stores.registry.put_customer(TENANT, whole, None)

        found = await stores.registry.customer(TENANT)
        assert found is not None
        assert found.value == whole

    async def test_of_two_who_write_over_the_same_entry_one_wins(self, stores: Stores) -> None:
        """The first write too."""
        await stores.registry.put_customer(TENANT, customer(), None)
        former = await stores.registry.customer(TENANT)
        await stores.registry.put_customer(TENANT, customer(name="First"), former)

        with pytest.raises(Conflict):
            await stores.registry.put_customer(TENANT, customer(name="Second"), former)
        with pytest.raises(Conflict):
            await stores.registry.put_customer(TENANT, customer(name="Third"), None)

        found = await stores.registry.customer(TENANT)
        assert found is not None
        assert found.value.name == "First"

    async def test_closed_days_are_kept_by_place_and_date(self, stores: Stores) -> None:
        """One of a subdivision is another than one of its country; the last comes first."""
        first, last = date(2026, 11, 30), date(2026, 12, 24)
        for calendar, day in (("GB", last), ("GB-SCT", first), ("GB", first)):
            assert await stores.registry.put_closed_day(calendar, day, ClosedDay(name="Closed"), None) == 1

        assert await stores.registry.closed_days() == {
            "GB": {first: "Closed", last: "Closed"},
            "GB-SCT": {first: "Closed"},
        }
        assert [(one.date, one.calendar) for one in await stores.registry.all_closed_days()] == [
            (last, "GB"),
            (first, "GB-SCT"),
            (first, "GB"),
        ]

    async def test_of_two_who_change_a_closed_day_one_wins(self, stores: Stores) -> None:
        """Writing over it, and deleting it."""
        day = date(2026, 11, 30)
        await stores.registry.put_closed_day("FR", day, ClosedDay(name="First"), None)
        former = await stores.registry.closed_day("FR", day)
        assert former is not None
        await stores.registry.put_closed_day("FR", day, ClosedDay(name="Second"), former)

        with pytest.raises(Conflict):
            await stores.registry.put_closed_day("FR", day, ClosedDay(name="Third"), former)
        with pytest.raises(Conflict):
            await stores.registry.put_closed_day("FR", day, ClosedDay(name="Third"), None)
        with pytest.raises(Conflict):
            await stores.registry.delete_closed_day("FR", day, former)

        newest = await stores.registry.closed_day("FR", day)
        assert newest is not None
        assert (newest.value.name, newest.version) == ("Second", 2)
        await stores.registry.delete_closed_day("FR", day, newest)
        assert await stores.registry.closed_day("FR", day) is None
        assert await stores.registry.closed_days() == {}

    # --- requests and mails -------------------------------------------------------------------------------------------

    async def test_the_first_request_under_a_key_wins(self, stores: Stores) -> None:
        """The second is told of the first; another organisation's key is another."""
        first = IdempotencyRecord("body", A, "act", MONDAY + MICROSECOND)
        second = IdempotencyRecord("other body", B, "other act", MONDAY + DAY)

        won = await stores.requests.begin(ADATUM, "f00d", first)

        assert won == replace(first, etag=won.etag)
        assert await stores.requests.begin(ADATUM, "f00d", second) == won
        assert (await stores.requests.begin(FABRIKAM, "f00d", second)).act_id == "other act"
        assert (await stores.requests.begin(ADATUM, "beef", second)).act_id == "other act"

    async def test_an_answer_is_kept_with_its_request(self, stores: Stores) -> None:
        """As it was sent; whoever has not seen the newest row writes nothing, and frees nothing."""
        answer = StoredResponse(200, b'{"redriven": 1}', "application/json", {"ETag": '"1"'})
        first = await stores.requests.begin(ADATUM, "f00d", IdempotencyRecord("body", "", "act", MONDAY))

        kept = await stores.requests.overwrite(ADATUM, "f00d", replace(first, answer=answer))

        assert await stores.requests.begin(ADATUM, "f00d", IdempotencyRecord("body", "", "another", MONDAY)) == kept
        assert kept.answer == answer
        with pytest.raises(Conflict):
            await stores.requests.overwrite(ADATUM, "f00d", first)
        with pytest.raises(Conflict):
            await stores.requests.release(ADATUM, "f00d", str(first.etag))
        await stores.requests.release(ADATUM, "f00d", str(kept.etag))
        assert (await stores.requests.begin(ADATUM, "f00d", first)).answer is None

    async def test_a_forgotten_key_can_be_used_again(self, stores: Stores) -> None:
        """It is a new request then."""
        first = IdempotencyRecord("body", A, "act", MONDAY)
        await stores.requests.begin(ADATUM, "f00d", first)

        await stores.duework.delete_expired(RowRef("requests", ADATUM, "f00d"))

        assert (await stores.requests.begin(ADATUM, "f00d", replace(first, body="another"))).body == "another"

    async def test_a_message_id_leads_to_its_claim_and_recipient(self, stores: Stores) -> None:
        """Kept before it is sent, and again on every retry."""
        kept = SentMail(A, "notice", 2, 3)
        for sender in ("first", "second"):
            await stores.mails.start_sending(MAIL, kept, sender, TOLD_AT, MONDAY, MONDAY)

        assert await stores.mails.find(MAIL) == MailRecord(kept, MailOutcome.HANDED_OVER, TOLD_AT)

    async def test_a_mail_that_was_not_handed_over_says_so(self, stores: Stores) -> None:
        """It was put off, or its recipient was refused."""
        kept = SentMail(A, "notice", 2, 3)
        for outcome in (MailOutcome.PENDING, MailOutcome.FAILED):
            etag = await stores.mails.start_sending(MAIL, kept, "me", MONDAY, MONDAY, MONDAY)
            await stores.mails.stop_sending(MAIL, kept, str(etag), outcome, TOLD_AT)

            assert await stores.mails.find(MAIL) == MailRecord(kept, outcome, TOLD_AT)

    async def test_a_report_is_stored_with_its_mail(self, stores: Stores) -> None:
        """A failure counts more than a complaint, a complaint more than a delivery. Another try keeps the report."""
        kept = SentMail(A, "notice", 2, 3)
        await stores.mails.start_sending(MAIL, kept, "me", MONDAY, MONDAY, MONDAY)
        reported = (MailOutcome.DELIVERED, MailOutcome.FAILED, MailOutcome.COMPLAINED, MailOutcome.FAILED)
        for hours, outcome in enumerate(reported):
            assert await stores.mails.report(MAIL, outcome, TOLD_AT + timedelta(hours=hours)) == kept
        await stores.mails.start_sending(MAIL, kept, "another", ENDS_AT, MONDAY, MONDAY)

        failed_at = TOLD_AT + timedelta(hours=1)
        expected = MailRecord(kept, MailOutcome.HANDED_OVER, ENDS_AT, MailOutcome.FAILED, failed_at)
        assert await stores.mails.find(MAIL) == expected
        assert await stores.mails.report("unknown", MailOutcome.FAILED, TOLD_AT) is None

    async def test_a_report_lets_nobody_else_send(self, stores: Stores) -> None:
        """It comes while the mail is being sent. The sender cannot undo it."""
        kept, until = SentMail(A, "notice", 1, 1), MONDAY + timedelta(minutes=2)
        etag = await stores.mails.start_sending(MAIL, kept, "first", MONDAY, MONDAY, until)

        await stores.mails.report(MAIL, MailOutcome.DELIVERED, MONDAY)
        await stores.mails.stop_sending(MAIL, kept, str(etag), MailOutcome.PENDING, MONDAY)

        assert await stores.mails.start_sending(MAIL, kept, "second", MONDAY, MONDAY, until) is None
        record = await stores.mails.find(MAIL)
        assert record is not None
        assert record.reported is MailOutcome.DELIVERED

    async def test_one_sender_at_a_time_holds_a_mail(self, stores: Stores) -> None:
        """Another may try once its time is over, or at once when it lets go; who asks again still holds it."""
        kept, until = SentMail(A, "notice", 1, 1), MONDAY + timedelta(minutes=2)
        etag = await stores.mails.start_sending(MAIL, kept, "first", MONDAY, MONDAY, until)
        assert etag is not None

        assert await stores.mails.start_sending(MAIL, kept, "second", MONDAY, until - MICROSECOND, ENDS_AT) is None
        assert await stores.mails.start_sending(MAIL, kept, "first", MONDAY, MONDAY, until) == etag
        after = await stores.mails.start_sending(MAIL, kept, "second", MONDAY, until, ENDS_AT)
        assert after is not None
        await stores.mails.stop_sending(MAIL, kept, etag, MailOutcome.PENDING, MONDAY)
        assert await stores.mails.start_sending(MAIL, kept, "third", MONDAY, until, ENDS_AT) is None
        await stores.mails.stop_sending(MAIL, kept, after, MailOutcome.PENDING, MONDAY)
        assert await stores.mails.start_sending(MAIL, kept, "third", MONDAY, until, ENDS_AT) is not None

    # --- usage and receipts -------------------------------------------------------------------------------------------

    async def test_figures_come_back_by_month_and_item(self, stores: Stores) -> None:
        """Those of the months asked for, both ends included; tenants do not mix."""
        figures = MonthFigures(active_users=Figure(value=7, as_of=date(2026, 12, 1)))
        months = ("2026-09", "2026-10", "2026-11", "2026-12")
        written = {(month, item): (figures, None) for month in months for item in ("teams", "viva-topics")}
        await stores.usage.write(TENANT, written)
        await stores.usage.write(ADATUM, {("2026-10", "exchange"): (figures, None)})

        found = await stores.usage.read(TENANT, "2026-10", "2026-11")

        assert {key: value for key, (value, _) in found.items()} == {
            (month, item): figures for month in months[1:3] for item in ("teams", "viva-topics")
        }
        assert await stores.usage.read(TENANT, "2027-01", "2027-02") == {}

    async def test_more_figures_than_a_transaction_takes_are_written(self, stores: Stores) -> None:
        """In as few transactions as may be."""
        figures = MonthFigures(assigned_seats=Figure(value=1, as_of=date(2026, 12, 1)))
        written = {("2026-12", f"item-{n}"): (figures, None) for n in range(250)}

        await stores.usage.write(TENANT, written)

        assert len(await stores.usage.read(TENANT, "2026-12", "2026-12")) == 250

    async def test_figures_that_have_changed_since_are_a_conflict(self, stores: Stores) -> None:
        """Two feeds at once: one of them is judged again."""
        old, new = (MonthFigures(active_users=Figure(value=n, as_of=date(2026, 12, n))) for n in (1, 2))
        await stores.usage.write(TENANT, {("2026-12", "teams"): (old, None)})
        found = await stores.usage.read(TENANT, "2026-12", "2026-12")
        etag = found["2026-12", "teams"][1]
        await stores.usage.write(TENANT, {("2026-12", "teams"): (new, etag)})

        with pytest.raises(Conflict):
            await stores.usage.write(TENANT, {("2026-12", "teams"): (old, etag)})
        with pytest.raises(Conflict):
            await stores.usage.write(TENANT, {("2026-12", "teams"): (old, None)})

        assert (await stores.usage.read(TENANT, "2026-12", "2026-12"))["2026-12", "teams"][0] == new

    async def test_nothing_to_write_is_no_request(self, stores: Stores) -> None:
        """A feed that changes nothing."""
        await stores.usage.write(TENANT, {})

        assert await stores.usage.read(TENANT, "2000-01", "2099-12") == {}

    async def test_receipts_come_newest_first_and_in_pages(self, stores: Stores) -> None:
        """Two of one instant are two."""
        receipts = [
            Receipt(
                at=MONDAY + (n // 2) * DAY,
                organisation=ADATUM,
                partner_id="4782913",
                object_id="oid",
                kind="person",
                association_id=A,
                items=("teams",),
                months=(f"2026-{n + 1:02d}",),
            )
            for n in range(6)
        ]
        for one in receipts:
            await stores.receipts.add(TENANT, one)

        first = await stores.receipts.page(TENANT, after="", limit=4)
        second = await stores.receipts.page(TENANT, after=first[-1][0], limit=4)

        found = [receipt for _, receipt in (*first, *second)]
        assert [receipt.at for receipt in found] == sorted((receipt.at for receipt in receipts), reverse=True)
        assert sorted(receipt.months for receipt in found) == sorted(receipt.months for receipt in receipts)
        assert await stores.receipts.page(FABRIKAM, after="", limit=4) == []

    # --- failures -----------------------------------------------------------------------------------------------------

    async def test_failures_come_newest_first_and_in_pages(self, stores: Stores) -> None:
        """Each knows where it stands."""
        failures = [Failure(f"id-{n}", QUEUE, '{"claimId": "x"}', MONDAY + n * DAY) for n in range(3)]
        for one in failures:
            await stores.failures.add(one)
            await stores.failures.add(one)

        first = await stores.failures.page(after="", limit=2)
        second = await stores.failures.page(after=stores.failures.position(first[-1]), limit=2)

        assert [*first, *second] == failures[::-1]

    async def test_a_redriven_failure_is_back_in_its_queue_and_forgotten(self, stores: Stores) -> None:
        """Its ids only; redriving it twice sends it twice, which is harmless."""
        failure = Failure("id-1", QUEUE, '{"claimId": "x"}', MONDAY)
        await stores.failures.add(failure)

        await stores.failures.redrive(failure)

        assert [taken.text for taken in await stores.queues.take(QUEUE, 9)] == ['{"claimId": "x"}']
        assert await stores.failures.page(after="", limit=2) == []


class TestInMemory(StoresContract):
    """Over the stand-in."""

    @pytest.fixture
    def stores(self) -> Stores:
        """Return stores over empty memory."""
        return Stores(MemoryRows(), cast("AzureQueues", MemoryQueues()))


class TestInStorage(StoresContract):
    """Over the real thing, through the SDK and over HTTP."""

    @pytest.fixture
    def plan(self) -> Plan:
        """Return the plan that the transport obeys; without faults it only counts."""
        return Plan()

    @pytest.fixture
    async def stores(self, storage_connection: str, plan: Plan) -> AsyncIterator[Stores]:
        """Return stores over an empty account."""
        connection = replace(StorageConnection.from_text(storage_connection), retry_pause_seconds=0)
        await provision(connection, TABLES, (QUEUE,), ())
        rows = AzureRows(connection, transport=plan.transport)
        queues = AzureQueues(connection, transport=plan.transport)
        yield Stores(rows, queues)
        await rows.close()
        await queues.close()

    async def test_each_promise_of_one_request_is_one(self, stores: Stores, plan: Plan) -> None:
        """What the budgets are made of."""
        case = in_state(Status.AWAITING_CUSTOMER, items=(TEAMS, EXCHANGE, SHAREPOINT))
        await stores.write(case)
        await stores.write(draft("b"))
        await stores.write(in_state(Status.WITHDRAWN, which="c"))
        await stores.duework.add([row(MONDAY)])
        found = await all_due(stores, MONDAY)

        async def requests(call: Any) -> int:
            before = len(plan.requests)
            await call
            return len(plan.requests) - before

        assert await requests(stores.claims.load(A)) == 2
        assert await requests(stores.claims.load(B)) == 1
        assert await requests(stores.claims.with_refusals((await stores.read(B)).stored)) == 2
        assert await requests(stores.claims.load(claim_id("c"))) == 1
        assert await requests(stores.claims.load("no claim id")) == 0
        assert await requests(stores.duework.due(0, MONDAY, after=None, limit=100)) == 1
        assert await requests(stores.duework.add([row(ENDS_AT), row(ENDS_AT, kind=Kind.REMIND_CUSTOMER)])) == 1
        assert await requests(stores.duework.add([row(ENDS_AT), row(ENDS_AT, subject=B)])) == 2
        assert await requests(stores.duework.move(found[0], [row(TOLD_AT)], due=ENDS_AT, attempt=1)) == 1
        assert await requests(stores.index.page(ADATUM, after="", limit=9)) == 1
        assert await requests(stores.registry.customer(TENANT)) == 1
        assert await requests(stores.usage.read(TENANT, "2026-01", "2026-12")) == 1
        assert await requests(stores.usage.write(TENANT, {})) == 0
        assert (
            await requests(stores.mails.start_sending("m", SentMail(A, "notice", 1, 1), "me", MONDAY, MONDAY, MONDAY))
            == 1
        )
