"""The operator's feeds store figures row by row, and each read of figures has a receipt."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.claim import Reason, Status
from cpor_core.model.registry import SubscriptionState
from cpor_core.model.usage import BadRow
from cpor_core.rules.grace import GRACE
from cpor_core.rules.usage_advice import AdviceCode
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import partner_acts
from cpor_core.use_cases.usage import figures
from cpor_core.use_cases.usage.figures import (
    FeedFormat,
    Loaded,
    Reader,
    load_graph_report,
    load_lines,
    read_advice,
    read_usage,
)
from tests.core.builders import (
    ADATUM,
    DAY,
    EXCHANGE,
    MICROSECOND,
    OTHER_SUBSCRIPTION,
    PERSON,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
    customer,
    subscription,
)
from tests.core.memory_core import Core

TODAY = date(2026, 12, 2)
READER = Reader("oid", "person")


def line(**given: Any) -> bytes:
    """Return a line of the feed."""
    return json.dumps({"month": "2026-11", "item": "teams", **given}).encode()


async def load(core: Core, *lines: bytes, tenant: str | None = TENANT, as_of: date = TODAY) -> Loaded:
    """Load a feed."""
    return await load_lines(core.ports, lines, tenant, as_of, await core.now())


async def kept(core: Core, month: str = "2026-11", item: str = "teams") -> tuple[int | None, int | None, int | None]:
    """Return the three stored figures."""
    found = (await core.ports.usage.read(TENANT, month, month))[month, item][0]
    active, available, assigned = (
        figure.value if figure is not None else None
        for figure in (found.active_users, found.available_seats, found.assigned_seats)
    )
    return active, available, assigned


# --- in ---------------------------------------------------------------------------------------------------------------


async def test_good_rows_are_stored_and_bad_rows_are_reported(core: Core) -> None:
    """Each row has its number, counted from 1, and empty lines do not count (decision 34)."""
    loaded = await load(
        core,
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
    assert loaded.rejected[2].message.startswith("month must be ")
    assert await kept(core) == (5, None, None)


async def test_the_tenant_is_in_the_row_or_in_the_query(core: Core) -> None:
    """One of the two is needed, and the tenant must be registered."""
    loaded = await load(
        core,
        line(tenantId=TENANT.upper(), activeUsers=5),
        line(activeUsers=6),
        line(tenantId=ADATUM, activeUsers=7),
        tenant=None,
    )

    assert loaded.accepted == 1
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [(2, "TenantMissing"), (3, "TenantUnknown")]


async def test_a_line_about_an_item_that_is_not_on_the_tenant_is_reported(core: Core) -> None:
    """
    Otherwise a misspelt item would be stored for ever and never be shown.

    The state of a subscription does not matter.
    """
    await core.register_customer(workloads=("teams",), subscriptions=(subscription(state=SubscriptionState.DISABLED),))

    loaded = await load(
        core,
        line(item="team", activeUsers=1),
        line(item="teams", activeUsers=2),
        line(item="exchange", activeUsers=3),
        line(item=OTHER_SUBSCRIPTION, activeUsers=4),
        line(item=SUBSCRIPTION.upper(), activeUsers=5),
    )

    assert loaded.accepted == 2
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [(row, "ItemUnknown") for row in (1, 3, 4)]
    stored = await core.ports.usage.read(TENANT, "2000-01", "2099-12")
    assert {item for _, item in stored} == {"teams", SUBSCRIPTION}


async def test_report_columns_of_items_that_are_not_on_the_tenant_are_left_out(core: Core) -> None:
    """The report has a column for each service, and the operator cannot change that."""
    await core.register_customer(workloads=("exchange",))

    loaded = await graph(core, FeedFormat.SERVICE_USER_COUNTS, text=COUNTS)

    stored = await core.ports.usage.read(TENANT, "2000-01", "2099-12")
    assert {item for _, item in stored} == {"exchange"}
    assert [bad.code for bad in loaded.rejected] == ["WrongPeriod"]


async def test_the_same_feed_twice_changes_nothing(core: Core) -> None:
    """Loads are idempotent."""
    feed = [line(activeUsers=5, availableSeats=9), line(month="2026-10", item="exchange", activeUsers=3)]
    await load(core, *feed)

    assert await load(core, *feed) == Loaded(accepted=0, unchanged=2, rejected=())


async def test_an_older_feed_changes_no_newer_figure(core: Core) -> None:
    """Each field is compared."""
    await load(core, line(activeUsers=5))

    await load(core, line(activeUsers=4, assignedSeats=8), as_of=TODAY - timedelta(days=1))

    assert await kept(core) == (5, None, 8)


async def test_two_rows_of_one_item_and_month_merge(core: Core) -> None:
    """The later row wins."""
    loaded = await load(core, line(activeUsers=5), line(activeUsers=6), line(availableSeats=9))

    assert loaded.accepted == 3
    assert await kept(core) == (6, 9, None)


async def test_a_lost_race_is_merged_again(core: Core) -> None:
    """The figures of both feeds are stored."""

    async def another() -> None:
        await load(core, line(availableSeats=9))

    async with core.rows.once_before("usage", another):
        await load(core, line(activeUsers=5))

    assert await kept(core) == (5, 9, None)


async def test_a_feed_that_loses_every_race_is_a_busy_store(core: Core) -> None:
    """The operator can send it again."""

    async def lost(table: str, _: object) -> None:
        if table == "usage":
            raise Conflict("usage: UpdateConditionNotSatisfied")

    core.rows.before = lost

    with pytest.raises(StorageBusy):
        await load(core, line(activeUsers=5))


async def test_a_feed_has_a_limited_number_of_rows(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows need several calls."""
    monkeypatch.setattr(figures, "MOST_ROWS", 2)

    assert (await load(core, line(activeUsers=1), line(activeUsers=2))).accepted == 2
    with pytest.raises(Refused, match="PayloadTooLarge"):
        await load(core, *(line(activeUsers=n) for n in range(3)))


async def test_tenants_are_loaded_at_the_same_time(core: Core) -> None:
    """There are more tenants than simultaneous writes. A fault is raised after the other tenants have ended."""
    tenants = [f"eeeeeeee-0000-4000-8000-{n:012x}" for n in range(figures.TENANTS_IN_FLIGHT + 2)]
    for tenant in tenants:
        await core.ports.registry.put_customer(tenant, customer(), None)
    feed = [line(tenantId=tenant, activeUsers=n) for n, tenant in enumerate(tenants)] * 2

    assert (await load(core, *feed, tenant=None)) == Loaded(accepted=len(tenants), unchanged=len(tenants), rejected=())
    core.rows.before = out_of_reach
    with pytest.raises(StorageBusy):
        await load(core, *(line(tenantId=tenant, activeUsers=0) for tenant in tenants), tenant=None)
    core.rows.before = None
    assert (await load(core, *feed, tenant=None)).rejected == ()


async def out_of_reach(table: str, _: object) -> None:
    """Let writes of figures fail."""
    if table == "usage":
        raise StorageBusy("throttled")


async def test_a_feed_that_was_half_written_counts_all_its_changes(core: Core) -> None:
    """Another write came between. Rows that an earlier attempt wrote count as accepted."""

    async def another() -> None:
        await load(core, line(item="sharepoint", activeUsers=5))

    async with core.rows.once_before("usage", another):
        loaded = await load(core, line(item="sharepoint", activeUsers=5), line(activeUsers=1))

    assert (loaded.accepted, loaded.unchanged) == (2, 0)


async def test_a_long_feed_does_not_block_other_requests(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """It yields after a number of rows."""
    monkeypatch.setattr(figures, "YIELD_EVERY", 2)
    turns: list[int] = []

    async def other() -> None:
        for turn in range(5):
            turns.append(turn)
            await asyncio.sleep(0)

    def lines() -> Iterator[bytes]:
        yield from (b"x" for _ in range(9))
        assert len(turns) > 3

    task = asyncio.create_task(other())
    await load_lines(core.ports, lines(), TENANT, TODAY, await core.now())
    await task


# --- in, from Microsoft Graph -----------------------------------------------------------------------------------------

SALES_SKU = "1e1a282c-9c54-43a2-9310-98ef728faace"
COUNTS = b"Report Refresh Date,Exchange Active,Teams Active,Report Period\n2026-11-16,41,35,30\n2026-11-16,1,1,7\n"


def sku(*subscriptions: str, enabled: int = 25) -> JsonValue:
    """Return a SKU that has Teams."""
    return {
        "skuId": SALES_SKU,
        "appliesTo": "User",
        "capabilityStatus": "Enabled",
        "consumedUnits": 14,
        "prepaidUnits": {"enabled": enabled},
        "servicePlans": [{"servicePlanId": "57ff2da0-773e-42df-b2af-ffb7a2317929"}],
        "subscriptionIds": list(subscriptions),
    }


def bought(subscription: str) -> JsonValue:
    """Return a subscription."""
    return {
        "commerceSubscriptionId": subscription,
        "skuId": SALES_SKU,
        "isTrial": False,
        "status": "Enabled",
        "totalLicenses": 20,
    }


async def graph(
    core: Core, kind: FeedFormat, *rows: JsonValue, tenant: str = TENANT, text: bytes | None = None
) -> Loaded:
    """Load a report of Microsoft Graph."""
    return await load_graph_report(core.ports, kind, tenant, TODAY, rows if text is None else text, await core.now())


async def test_graphs_reports_become_figures(core: Core) -> None:
    """Seats have the given day, and users have the day in the report. The counts are counts of rows."""
    assert await graph(core, FeedFormat.SUBSCRIBED_SKUS, sku(SUBSCRIPTION), sku()) == Loaded(
        accepted=1,
        unchanged=0,
        rejected=(BadRow(row=2, code="DuplicateRow", message="An earlier row is about the same SKU."),),
    )
    loaded = await graph(core, FeedFormat.SERVICE_USER_COUNTS, text=COUNTS)

    assert (loaded.accepted, [(bad.row, bad.code) for bad in loaded.rejected]) == (1, [(2, "WrongPeriod")])
    assert await kept(core, "2026-12") == (None, 25, 14)
    assert await kept(core, "2026-12", SUBSCRIPTION) == (None, 25, 14)
    assert await kept(core, "2026-12", "exchange") == (None, 0, 0)
    assert await kept(core, "2026-11") == (35, None, None)


async def test_a_report_twice_changes_nothing(core: Core) -> None:
    """Loads are idempotent. A row without a stored figure changes nothing either."""
    for rows in ((sku(SUBSCRIPTION),), ()):
        first = await graph(core, FeedFormat.SUBSCRIBED_SKUS, *rows)
        again = await graph(core, FeedFormat.SUBSCRIBED_SKUS, *rows)
        assert (first.accepted, first.unchanged) == (len(rows), 0)
        assert (again.accepted, again.unchanged) == (0, len(rows))
    assert await kept(core, "2026-12") == (None, 0, 0)
    other = await graph(core, FeedFormat.SUBSCRIPTIONS, bought(OTHER_SUBSCRIPTION))
    assert (other.accepted, other.unchanged) == (0, 1)


async def test_seats_of_several_subscriptions_come_from_their_own_report(core: Core) -> None:
    """Until that report the SKU is a bad row, though its workloads have their seats."""
    row = sku(SUBSCRIPTION, OTHER_SUBSCRIPTION)

    before = await graph(core, FeedFormat.SUBSCRIBED_SKUS, row)
    told = await graph(core, FeedFormat.SUBSCRIPTIONS, bought(SUBSCRIPTION))
    after = await graph(core, FeedFormat.SUBSCRIBED_SKUS, row)

    assert [(bad.row, bad.code) for bad in before.rejected] == [(1, "AmbiguousSubscription")]
    assert (before.accepted, before.unchanged) == (0, 0)
    assert (told.accepted, after.rejected, after.unchanged) == (1, (), 1)
    assert await kept(core, "2026-12") == (None, 25, 14)
    assert await kept(core, "2026-12", SUBSCRIPTION) == (None, 20, None)


async def test_a_report_about_an_unknown_tenant_has_only_bad_rows(core: Core) -> None:
    """Each row is reported, and nothing is stored."""
    for kind, rows in ((FeedFormat.SUBSCRIBED_SKUS, (sku(), None)), (FeedFormat.SUBSCRIPTIONS, (bought(TENANT), 1))):
        loaded = await graph(core, kind, *rows, tenant=ADATUM)
        assert [(bad.row, bad.code) for bad in loaded.rejected] == [(1, "TenantUnknown"), (2, "InvalidRow")]
    loaded = await graph(core, FeedFormat.SERVICE_USER_COUNTS, tenant=ADATUM, text=COUNTS)
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [(1, "TenantUnknown"), (2, "WrongPeriod")]
    assert await core.ports.usage.read(ADATUM, "2000-01", "2099-12") == {}


async def test_a_report_has_a_limited_number_of_rows(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows need several calls."""
    monkeypatch.setattr(figures, "MOST_ROWS", 1)

    with pytest.raises(Refused, match="PayloadTooLarge"):
        await graph(core, FeedFormat.SUBSCRIBED_SKUS, sku(), sku())
    with pytest.raises(Refused, match="PayloadTooLarge"):
        await graph(core, FeedFormat.SERVICE_USER_COUNTS, text=COUNTS)


# --- out --------------------------------------------------------------------------------------------------------------


async def official(core: Core) -> Case:
    """Return an association of Teams, with figures of Teams and Exchange."""
    case = await core.official(items=(TEAMS,), engagement=USAGE)
    await load(
        core,
        line(activeUsers=5, availableSeats=10),
        line(month="2026-10", activeUsers=4),
        line(month="2026-12", activeUsers=7),
        line(item="exchange", activeUsers=9),
    )
    return case


async def read(core: Core, case: Case, first: str | None = None, last: str | None = None) -> list[tuple[str, str]]:
    """Return the months and items that are shown."""
    rows = await read_usage(core.ports, await core.case(case), READER, first=first, last=last)
    return [(row.month, row.item) for row in rows]


async def test_a_partner_sees_the_associated_items_from_the_first_month_on(core: Core) -> None:
    """No other item, no earlier month and no future month is shown."""
    case = await official(core)

    assert await read(core, case) == [("2026-11", "teams")]
    core.clock.advance(30 * DAY)
    assert await read(core, case) == [("2026-11", "teams"), ("2026-12", "teams")]
    assert await read(core, case, "2026-12", "2026-12") == [("2026-12", "teams")]


async def test_every_read_leaves_one_receipt(core: Core) -> None:
    """
    Empty reads have a receipt too.

    It has the reader, the instant, the items and the months, and never the figures (decision 35).
    """
    case = await official(core)

    await read(core, case)
    assert await read(core, case, "2026-12", "2026-10") == []

    receipts = [receipt for _, receipt in await core.ports.receipts.page(TENANT, after="", limit=9)]
    assert len(receipts) == 2
    assert {(one.organisation, one.object_id, one.kind, one.association_id) for one in receipts} == {
        (ADATUM, "oid", "person", case.claim.id)
    }
    assert sorted((one.items, one.months) for one in receipts) == [(("teams",), ()), (("teams",), ("2026-11",))]


async def test_without_a_receipt_no_figures_are_shown(core: Core) -> None:
    """The answer is 503."""
    case = await official(core)

    async def busy(table: str, _: object) -> None:
        if table == "receipts":
            raise StorageBusy("throttled")

    core.rows.before = busy

    with pytest.raises(StorageBusy):
        await read(core, case)


async def test_a_claim_that_is_not_official_shows_no_figures(core: Core) -> None:
    """Nor does an association in its first minute, in which a no can still be stored. Neither read leaves a receipt."""
    case = await core.notified(items=(TEAMS,), engagement=USAGE)
    assert case.claim.window_ends_at is not None

    core.clock.set(case.claim.window_ends_at - MICROSECOND)
    with pytest.raises(Refused, match="NotFound"):
        await read(core, case)
    for later, seconds in ((MICROSECOND, 60), (GRACE - MICROSECOND, 1)):
        core.clock.advance(later)
        assert (await core.seen(case)).status is Status.OFFICIAL
        with pytest.raises(Refused, match="FiguresNotYet") as refusal:
            await read(core, case)
        assert refusal.value.retry_after_seconds == seconds
    core.clock.advance(MICROSECOND)
    assert await read(core, case) == []

    assert len(await core.ports.receipts.page(TENANT, after="", limit=9)) == 1


async def test_figures_end_with_the_association(core: Core) -> None:
    """The next request is refused."""
    case = await official(core)
    now = await core.now()

    ended = await partner_acts.end(core.ports, case, PERSON, now, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    with pytest.raises(Refused, match="NotFound"):
        await read(core, ended)


async def test_advice_uses_the_shown_figures_and_leaves_the_same_receipt(core: Core) -> None:
    """One receipt covers all months. Without an official association there is no advice."""
    case = await official(core)
    await load(core, line(assignedSeats=8), line(item="exchange", availableSeats=9, assignedSeats=0))

    found = await read_advice(core.ports, await core.case(case), READER)

    assert [(one.code, [row.item for row in one.figures]) for one in found] == [
        (AdviceCode.SEATS_NOT_ASSIGNED, ["teams"]),
        (AdviceCode.SEATS_NOT_USED, ["teams"]),
    ]
    receipts = [receipt for _, receipt in await core.ports.receipts.page(TENANT, after="", limit=9)]
    assert [(one.items, one.months) for one in receipts] == [(("teams",), ("2026-11",))]
    ended = await partner_acts.end(core.ports, case, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)
    with pytest.raises(Refused, match="NotFound"):
        await read_advice(core.ports, ended, READER)
    assert len(await core.ports.receipts.page(TENANT, after="", limit=9)) == 1


# --- a random history -------------------------------------------------------------------------------------------------

ITEMS = ("teams", "exchange", "sharepoint")
MONTHS = ("2026-10", "2026-11", "2026-12", "2027-01", "2027-02")
FIELDS = ("activeUsers", "availableSeats", "assignedSeats")
COUNT = st.none() | st.integers(0, 60)
A_LINE = st.tuples(st.sampled_from(MONTHS), st.sampled_from(ITEMS), st.tuples(COUNT, COUNT, COUNT))
A_FEED = st.tuples(st.integers(0, 5).map(lambda days: TODAY + timedelta(days=days)), st.lists(A_LINE, max_size=6))
BOUND = st.none() | st.sampled_from(MONTHS)


@given(feeds=st.lists(A_FEED, max_size=8), first=BOUND, last=BOUND)
@settings(deadline=None, max_examples=25)
def test_figures_equal_an_independent_count(
    feeds: Sequence[tuple[date, Sequence[tuple[str, str, tuple[int | None, ...]]]]], first: str | None, last: str | None
) -> None:
    """The test loads feeds in random order. The newest value of each figure wins, and for one day the later load."""
    told = [
        (as_of, order, month, item, field, value)
        for order, (as_of, lines) in enumerate(feeds)
        for month, item, values in lines
        for field, value in zip(FIELDS, values, strict=True)
        if value is not None
    ]
    newest = {(month, item, field): value for _, _, month, item, field, value in sorted(told, key=lambda one: one[:2])}

    async def shown() -> list[Mapping[str, Any]]:
        core = Core()
        await core.register()
        case = await core.official(items=(TEAMS, EXCHANGE), engagement=USAGE)
        for as_of, lines in feeds:
            rows = (
                line(month=month, item=item, **dict(zip(FIELDS, values, strict=True))) for month, item, values in lines
            )
            await load(core, *rows, as_of=as_of)
        core.clock.set(datetime(2027, 1, 20, tzinfo=UTC))
        found = await read_usage(core.ports, await core.case(case), READER, first=first, last=last)
        return [row.model_dump(mode="json", by_alias=True) for row in found]

    expected: list[Mapping[str, Any]] = []
    for item in ("exchange", "teams"):
        mark: int | None = None
        for month in MONTHS[1:4]:
            counts = {field: newest.get((month, item, field)) for field in FIELDS}
            if (first or month) > month or (last or month) < month or not counts.keys() - _nulls(counts):
                continue
            active, available = counts["activeUsers"], counts["availableSeats"]
            mark = active if mark is None else max(mark, active or 0)
            share = round(active / available, 4) if active is not None and available else None
            row = {"month": month, "item": item, **counts, "activeDays": 30, "activeShare": share}
            expected.append({**row, "highWaterMark": mark})

    assert asyncio.run(shown()) == sorted(expected, key=lambda row: (row["month"], row["item"]))


def _nulls(counts: Mapping[str, int | None]) -> set[str]:
    return {field for field, count in counts.items() if count is None}
