"""The promises of the change feed's store, asked of the real table over storage and over its stand-in in memory."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows
from cpor_app.adapters.storage.tables.changes import MOST_AT_ONCE, TABLE, ChangesTable
from cpor_core.errors import Conflict
from cpor_core.model.change import Change
from cpor_core.model.claim import Status
from cpor_core.ports.feed import Announcement, FeedHead
from tests.core.builders import ADATUM, DAY, FABRIKAM, MONDAY, claim_id
from tests.doubles.memory_rows import MemoryRows

A, B = claim_id("a"), claim_id("b")


def news(claim: str, number: int, sequence: int, days: int = 0) -> Announcement:
    """Return the announcement of a history entry, some days after that Monday."""
    change = Change(
        sequence=sequence,
        type="claim.edited",
        claim_id=claim,
        status=Status.DRAFT,
        at=MONDAY + timedelta(days=days),
        etag='"1"',
    )
    return Announcement(change, number)


def numbers(page: Sequence[Change]) -> list[tuple[int, str]]:
    """Return sequence and claim of each change."""
    return [(change.sequence, change.claim_id) for change in page]


class ChangesContract(ABC):
    """What a store of the feed promises; a subclass says which one is asked."""

    @pytest.fixture
    @abstractmethod
    def changes(self) -> Any:
        """Return the store."""

    async def test_a_feed_of_which_nothing_was_told_is_empty(self, changes: ChangesTable) -> None:
        """It begins with number one."""
        assert await changes.head(ADATUM) == FeedHead(last=0, oldest=1, has_webhooks=False, etag=None)
        assert await changes.page(ADATUM, after=0, limit=10) == []
        assert await changes.announced_up_to(ADATUM, A) == 0

    async def test_news_come_back_in_the_order_in_which_they_were_told(self, changes: ChangesTable) -> None:
        """As they were, each organisation's apart from the others'."""
        head = await changes.append(ADATUM, FeedHead(), [news(A, 1, 1), news(B, 1, 2)])
        head = await changes.append(ADATUM, head, [news(A, 2, 3)])

        assert (head.last, head.etag) == (3, (await changes.head(ADATUM)).etag)
        page = await changes.page(ADATUM, after=0, limit=10)
        assert page == [one.change for one in (news(A, 1, 1), news(B, 1, 2), news(A, 2, 3))]
        assert numbers(await changes.page(ADATUM, after=1, limit=1)) == [(2, B)]
        assert await changes.page(FABRIKAM, after=0, limit=10) == []
        assert (await changes.announced_up_to(ADATUM, A), await changes.announced_up_to(ADATUM, B)) == (2, 1)

    async def test_nothing_is_told_twice(self, changes: ChangesTable) -> None:
        """Whoever comes second is refused, with the head as it stands by now too."""
        head = await changes.append(ADATUM, FeedHead(), [news(A, 1, 1)])

        with pytest.raises(Conflict):
            await changes.append(ADATUM, head, [news(A, 1, 2)])

        assert (await changes.head(ADATUM)).last == 1

    async def test_nothing_is_told_before_what_came_before_it(self, changes: ChangesTable) -> None:
        """A claim's entries are told in their order, and none is left out."""
        head = await changes.append(ADATUM, FeedHead(), [news(A, 1, 1)])

        with pytest.raises(Conflict):
            await changes.append(ADATUM, head, [news(A, 3, 2)])
        await changes.append(ADATUM, head, [news(A, 2, 2), news(A, 3, 3)])

        assert await changes.announced_up_to(ADATUM, A) == 3

    async def test_two_who_tell_at_the_same_time_do_not_share_a_number(self, changes: ChangesTable) -> None:
        """One of them is refused, and nothing of it is there."""
        done = await asyncio.gather(
            changes.append(ADATUM, FeedHead(), [news(A, 1, 1)]),
            changes.append(ADATUM, FeedHead(), [news(B, 1, 1)]),
            return_exceptions=True,
        )

        assert {type(one) for one in done} == {FeedHead, Conflict}
        assert len(await changes.page(ADATUM, after=0, limit=10)) == 1

    async def test_a_rival_is_told_of_once(self, changes: ChangesTable) -> None:
        """It is no entry of the claim's own history, and comes between any two of them."""
        head = await changes.append(ADATUM, FeedHead(), [news(A, 1, 1)])
        rival = Announcement(news(A, 0, 2).change, number=0, competes_with=B)
        head = await changes.append(ADATUM, head, [rival])

        assert await changes.has_announced_rival(ADATUM, A, B, 0)
        assert not await changes.has_announced_rival(ADATUM, A, B, 5)
        assert not await changes.has_announced_rival(ADATUM, B, A, 0)
        with pytest.raises(Conflict):
            await changes.append(ADATUM, head, [Announcement(news(A, 0, 3).change, number=0, competes_with=B)])
        await changes.append(ADATUM, head, [Announcement(news(A, 0, 3).change, number=5, competes_with=B)])
        assert await changes.announced_up_to(ADATUM, A) == 1

    async def test_notes_have_numbers_of_their_own(self, changes: ChangesTable) -> None:
        """The feed has each note once and in order. The notes do not change the numbers of history entries."""
        head = await changes.append(ADATUM, FeedHead(), [news(A, 1, 1)])

        def note(number: int) -> Announcement:
            return Announcement(news(A, 0, head.last + 1).change, number, is_note=True)

        with pytest.raises(Conflict):
            await changes.append(ADATUM, head, [note(2)])
        head = await changes.append(ADATUM, head, [note(1)])
        with pytest.raises(Conflict):
            await changes.append(ADATUM, head, [note(1)])
        head = await changes.append(ADATUM, head, [note(2)])
        await changes.append(ADATUM, head, [news(A, 2, head.last + 1)])

        assert await changes.announced_up_to(ADATUM, A) == 2
        assert await changes.notes_announced_up_to(ADATUM, A) == 2
        assert await changes.notes_announced_up_to(ADATUM, B) == 0

    async def test_whether_anybody_is_to_be_called_is_kept_with_the_head(self, changes: ChangesTable) -> None:
        """Before the first entry and after it; telling does not change it."""
        await changes.note_webhooks(ADATUM, has_webhooks=True)
        head = await changes.head(ADATUM)
        assert (head.last, head.has_webhooks) == (0, True)

        await changes.append(ADATUM, head, [news(A, 1, 1)])

        assert (await changes.head(ADATUM)).has_webhooks
        await changes.note_webhooks(ADATUM, has_webhooks=False)
        await changes.note_webhooks(ADATUM, has_webhooks=False)
        assert not (await changes.head(ADATUM)).has_webhooks

    async def test_old_entries_go_and_the_numbers_go_on(self, changes: ChangesTable) -> None:
        """The head says which is the oldest that is kept."""
        await changes.append(ADATUM, FeedHead(), [news(A, n, n, days=n) for n in (1, 2, 3)])

        assert await changes.trim(ADATUM, before=MONDAY + 3 * DAY) == MONDAY + 3 * DAY

        head = await changes.head(ADATUM)
        assert (head.oldest, head.last) == (3, 3)
        assert numbers(await changes.page(ADATUM, after=0, limit=10)) == [(3, A)]
        await changes.append(ADATUM, head, [news(A, 4, 4, days=4)])
        assert await changes.trim(ADATUM, before=MONDAY + 9 * DAY) is None
        assert (await changes.head(ADATUM)).oldest == 5
        assert await changes.trim(ADATUM, before=MONDAY + 9 * DAY) is None

    async def test_an_entry_goes_only_after_those_before_it(self, changes: ChangesTable) -> None:
        """One that was told late is older than what stands before it: a reader must never find a gap between them."""
        await changes.append(ADATUM, FeedHead(), [news(A, 1, 1), news(A, 2, 2, days=5), news(A, 3, 3)])

        assert await changes.trim(ADATUM, before=MONDAY + DAY) == MONDAY + 5 * DAY

        assert numbers(await changes.page(ADATUM, after=0, limit=10)) == [(2, A), (3, A)]

    async def test_more_than_one_request_deletes_is_left_for_the_next(self, changes: ChangesTable) -> None:
        """The oldest that is left tells when to come back."""
        head = FeedHead()
        for first in range(1, MOST_AT_ONCE + 12, 40):
            group = [news(A, n, n) for n in range(first, min(first + 40, MOST_AT_ONCE + 12))]
            head = await changes.append(ADATUM, head, group)

        assert await changes.trim(ADATUM, before=MONDAY + DAY) == MONDAY
        assert (await changes.head(ADATUM)).oldest == MOST_AT_ONCE + 1
        assert await changes.trim(ADATUM, before=MONDAY + DAY) is None

    async def test_a_feeds_tasks_take_turns(self, changes: ChangesTable) -> None:
        """Each organisation's for itself."""
        async with changes.turn(ADATUM), changes.turn(FABRIKAM):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(changes.turn(ADATUM).acquire(), timeout=0.01)


class TestInMemory(ChangesContract):
    """The stand-in for storage."""

    @pytest.fixture
    def changes(self) -> ChangesTable:
        """Return the store over rows in memory."""
        return ChangesTable(MemoryRows())


class TestInStorage(ChangesContract):
    """Table Storage, by its emulator."""

    @pytest.fixture
    async def changes(self, storage_connection: str) -> AsyncIterator[ChangesTable]:
        """Return the store over a new account."""
        connection = StorageConnection.from_text(storage_connection)
        await provision(connection, [TABLE], [], [])
        rows = AzureRows(connection)
        yield ChangesTable(rows)
        await rows.close()
