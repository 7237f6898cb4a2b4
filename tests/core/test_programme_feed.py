"""The programme's feed: 16 feeds behind one cursor (decision 54)."""

from collections.abc import Callable
from typing import Any

import pytest

from cpor_core.due_work import SHARDS
from cpor_core.model.claim import Status
from cpor_core.model.programme import ProgrammeChange
from cpor_core.ports.programme import Followed
from cpor_core.use_cases.programme import feed
from tests.core.builders import ADATUM, DAY, MONDAY, PARTNER_IDS, TENANT
from tests.core.memory_core import Core
from tests.doubles.requests import Request


async def change(core: Core, shard: int, count: int = 1) -> None:
    """Append changes to one feed, as the follower does. Each change is a day later than the change before."""
    for _ in range(count):
        head = await core.ports.programme.head(shard)
        made = ProgrammeChange(
            sequence=head.last + 1,
            feed=shard,
            type="claim.created",
            claim_id=f"claim-of-{shard}",
            status=Status.DRAFT,
            at=MONDAY + head.last * DAY,
            etag="",
            organisation=ADATUM,
            tenant_id=TENANT,
            partner_id=PARTNER_IDS[ADATUM],
        )
        await core.ports.programme.write(shard, head, Followed(changes=[made]))


async def read(core: Core, after: Any = None, limit: int = 50) -> tuple[list[tuple[int, int]], Any]:
    """Return the feed and the number of each change, and where to go on."""
    page = await feed.read(core.ports, await core.now(), after=after, limit=limit)
    assert page is not None
    return [(one.feed, one.sequence) for one in page.changes], page.position


@pytest.mark.parametrize("limit", [1, 16, 17, 50, 1000])
async def test_each_change_comes_once_and_in_the_order_of_its_feed(core: Core, limit: int) -> None:
    """Whatever the length of a page is. No answer has more changes than `maxpagesize`, or 16 if that is less."""
    for shard in range(SHARDS):
        await change(core, shard, count=shard % 5)

    seen: list[tuple[int, int]] = []
    found, after = await read(core, limit=limit)
    while found:
        assert len(found) <= max(limit, SHARDS)
        seen += found
        found, after = await read(core, after, limit)

    assert len(seen) == len(set(seen)) == sum(shard % 5 for shard in range(SHARDS))
    for shard in range(SHARDS):
        assert [number for one, number in seen if one == shard] == list(range(1, shard % 5 + 1))


async def test_a_page_is_full_if_there_are_enough_changes(core: Core) -> None:
    """The feeds take turns, and a feed with few changes leaves its turns to the others."""
    await change(core, 3, count=40)
    await change(core, 7, count=2)

    found, _ = await read(core, limit=20)

    assert len(found) == 20
    assert found[:5] == [(3, 1), (7, 1), (3, 2), (7, 2), (3, 3)]


async def test_a_busy_feed_does_not_keep_the_others_back(core: Core) -> None:
    """Each page has at least one change of each feed that has any."""
    await change(core, 3, count=40)
    for shard in (0, 7, 15):
        await change(core, shard)

    found, _ = await read(core, limit=1)

    assert found == [(0, 1), (3, 1), (7, 1), (15, 1)]


@pytest.mark.parametrize("count", [0, 3])
async def test_a_poll_takes_sixteen_requests(core: Core, count: int) -> None:
    """Also if there is nothing new."""
    for shard in range(SHARDS):
        await change(core, shard, count)
    _, after = await read(core)
    made: list[str] = []

    async def carry(request: Request, do: Callable[[], Any]) -> Any:
        made.append(request.table)
        return do()

    core.rows.carry = carry
    for cursor in (None, after):
        await feed.read(core.ports, MONDAY, after=cursor, limit=50)

    assert made == ["programme"] * 16 * 2


async def test_a_cursor_whose_next_change_is_deleted_is_refused(core: Core) -> None:
    """It is refused as a whole. Without a cursor the list begins with the oldest stored changes."""
    await change(core, 4, count=2)
    _, after = await read(core)
    await change(core, 4, count=3)
    await change(core, 5)
    await core.ports.programme.trim(4, before=MONDAY + 3 * DAY)

    assert await feed.read(core.ports, await core.now(), after=after, limit=50) is None
    assert (await read(core))[0] == [(4, 4), (5, 1), (4, 5)]


async def test_a_cursor_from_before_the_first_change_can_expire_too(core: Core) -> None:
    """The feed was empty when the cursor was given. Its first changes are deleted since."""
    await change(core, 5)
    _, after = await read(core)
    await change(core, 4, count=3)
    assert (await read(core, after))[0] == [(4, 1), (4, 2), (4, 3)]
    core.clock.advance(400 * DAY)
    assert (await read(core, after))[0] == [(4, 1), (4, 2), (4, 3)]
    core.clock.advance(DAY)

    assert await feed.read(core.ports, await core.now(), after=after, limit=50) is None


async def test_a_cursor_at_the_newest_change_never_expires(core: Core) -> None:
    """The newest change is never deleted, so nothing was missed."""
    await change(core, 4, count=3)
    _, after = await read(core)
    await core.ports.programme.trim(4, before=MONDAY + 900 * DAY)

    assert await read(core, after) == ([], after)
