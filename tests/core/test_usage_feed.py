"""Figures come in row by row, and go out with a receipt or not at all."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.claim import Reason
from cpor_core.transitions.case import Case
from cpor_core.use_cases import submission, usage
from cpor_core.use_cases.acts import NO_INTENT
from cpor_core.use_cases.usage import Loaded, Reader, load_lines, read_usage
from tests.core.making import ADATUM, DAY, MICROSECOND, PERSON, TEAMS, TENANT, USAGE
from tests.core.world import World

TODAY = date(2026, 12, 2)
READER = Reader("oid", "person")


def line(**given: Any) -> bytes:
    """Return a line of the feed."""
    return json.dumps({"month": "2026-11", "item": "teams", **given}).encode()


async def load(world: World, *lines: bytes, tenant: str | None = TENANT, as_of: date = TODAY) -> Loaded:
    """Load a feed."""
    return await load_lines(world.ports, lines, tenant, as_of)


async def kept(world: World, month: str = "2026-11", item: str = "teams") -> tuple[int | None, int | None, int | None]:
    """Return the three figures that are kept."""
    found = (await world.ports.usage.read(TENANT, month, month))[month, item][0]
    active, available, assigned = (
        figure.value if figure is not None else None
        for figure in (found.active_users, found.available_seats, found.assigned_seats)
    )
    return active, available, assigned


# --- in ---------------------------------------------------------------------------------------------------------------


async def test_good_rows_are_kept_and_bad_ones_told(world: World) -> None:
    """Each with its number, from 1; empty lines are none (rulings 34)."""
    loaded = await load(
        world,
        line(activeUsers=5),
        b"",
        b"not json",
        line(),
        line(month="2026-13", activeUsers=1),
        line(tenantId=ADATUM, activeUsers=1),
        line(activeUsers=-1),
        line(item="exchange", assignedSeats=0),
    )

    assert (loaded.accepted, loaded.unchanged) == (2, 0)
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [
        (3, "InvalidRow"),
        (4, "NoFigures"),
        (5, "InvalidRow"),
        (6, "TenantMismatch"),
        (7, "InvalidRow"),
    ]
    assert loaded.rejected[2].message.startswith("month: ")
    assert await kept(world) == (5, None, None)


async def test_a_tenant_stands_in_the_row_or_in_the_query(world: World) -> None:
    """One of them it must be, and a registered one."""
    loaded = await load(
        world,
        line(tenantId=TENANT.upper(), activeUsers=5),
        line(activeUsers=6),
        line(tenantId=ADATUM, activeUsers=7),
        tenant=None,
    )

    assert loaded.accepted == 1
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [(2, "TenantMissing"), (3, "TenantUnknown")]


async def test_the_same_feed_twice_changes_nothing(world: World) -> None:
    """Each load is idempotent."""
    feed = [line(activeUsers=5, availableSeats=9), line(month="2026-10", item="exchange", activeUsers=3)]
    await load(world, *feed)

    assert await load(world, *feed) == Loaded(accepted=0, unchanged=2, rejected=())


async def test_an_older_feed_changes_nothing_newer(world: World) -> None:
    """Field by field."""
    await load(world, line(activeUsers=5))

    await load(world, line(activeUsers=4, assignedSeats=8), as_of=TODAY - timedelta(days=1))

    assert await kept(world) == (5, None, 8)


async def test_two_rows_of_one_item_and_month_merge(world: World) -> None:
    """In their order."""
    loaded = await load(world, line(activeUsers=5), line(activeUsers=6), line(availableSeats=9))

    assert loaded.accepted == 3
    assert await kept(world) == (6, 9, None)


async def test_a_lost_race_is_merged_again(world: World) -> None:
    """Two feeds at once: both are there."""

    async def another() -> None:
        await load(world, line(availableSeats=9))

    async with world.rows.once_before("usage", another):
        await load(world, line(activeUsers=5))

    assert await kept(world) == (5, 9, None)


async def test_a_feed_that_loses_every_race_is_a_busy_store(world: World) -> None:
    """It can be sent again."""

    async def lost(table: str, _: object) -> None:
        if table == "usage":
            raise Conflict("usage: UpdateConditionNotSatisfied")

    world.rows.before = lost

    with pytest.raises(StorageBusy):
        await load(world, line(activeUsers=5))


async def test_a_feed_has_so_many_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More come in several calls."""
    monkeypatch.setattr(usage, "MOST_ROWS", 2)

    assert (await load(world, line(activeUsers=1), line(activeUsers=2))).accepted == 2
    with pytest.raises(Refused, match="PayloadTooLarge"):
        await load(world, *(line(activeUsers=n) for n in range(3)))


# --- out --------------------------------------------------------------------------------------------------------------


async def official(world: World) -> Case:
    """Return an association of Teams, and figures of Teams and Exchange."""
    case = await world.official(items=(TEAMS,), engagement=USAGE)
    await load(
        world,
        line(activeUsers=5, availableSeats=10),
        line(month="2026-10", activeUsers=4),
        line(month="2026-12", activeUsers=7),
        line(item="exchange", activeUsers=9),
    )
    return case


async def read(world: World, case: Case, first: str | None = None, last: str | None = None) -> list[tuple[str, str]]:
    """Return months and items that are shown."""
    rows = await read_usage(world.ports, case, READER, await world.now(), first=first, last=last)
    return [(row.month, row.item) for row in rows]


async def test_a_partner_sees_the_associated_items_from_the_first_month_on(world: World) -> None:
    """And nothing else: no other item, no earlier month, nothing of the future."""
    case = await official(world)

    assert await read(world, case) == [("2026-11", "teams")]
    world.clock.advance(30 * DAY)
    assert await read(world, case) == [("2026-11", "teams"), ("2026-12", "teams")]
    assert await read(world, case, "2026-12", "2026-12") == [("2026-12", "teams")]


async def test_every_read_leaves_one_receipt(world: World) -> None:
    """Empty ones too: who, when, which items and months; never the figures (rulings 35)."""
    case = await official(world)

    await read(world, case)
    assert await read(world, case, "2026-12", "2026-10") == []

    receipts = [receipt for _, receipt in await world.ports.receipts.page(TENANT, after="", limit=9)]
    assert len(receipts) == 2
    assert {(one.organisation, one.object_id, one.kind, one.association_id) for one in receipts} == {
        (ADATUM, "oid", "person", case.claim.id)
    }
    assert sorted((one.items, one.months) for one in receipts) == [(("teams",), ()), (("teams",), ("2026-11",))]


async def test_without_a_receipt_there_are_no_figures(world: World) -> None:
    """503, and nothing is shown."""
    case = await official(world)

    async def busy(table: str, _: object) -> None:
        if table == "receipts":
            raise StorageBusy("throttled")

    world.rows.before = busy

    with pytest.raises(StorageBusy):
        await read(world, case)


async def test_what_is_not_official_shows_nothing(world: World) -> None:
    """Not a microsecond before; and no receipt is left."""
    case = await world.told(items=(TEAMS,), engagement=USAGE)
    assert case.claim.window_ends_at is not None

    world.clock.set(case.claim.window_ends_at - MICROSECOND)
    with pytest.raises(Refused, match="NotFound"):
        await read(world, case)
    world.clock.advance(MICROSECOND)
    assert await read(world, case) == []

    assert len(await world.ports.receipts.page(TENANT, after="", limit=9)) == 1


async def test_when_an_association_ends_the_figures_are_gone(world: World) -> None:
    """On the next request."""
    case = await official(world)
    now = await world.now()

    ended = await submission.end(world.ports, case, PERSON, now, Reason.PARTNER_DISASSOCIATED, NO_INTENT)

    with pytest.raises(Refused, match="NotFound"):
        await read(world, ended)
