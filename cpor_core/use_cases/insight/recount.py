"""
Counts all claims once an hour, for the programme (decision 50).

A count takes one run of the timer or several. It reads the claims tenant by tenant and stores its progress page by
page. If a run dies or has used its time, the next run continues after the last page. The shown figures change all at
once, when the count is complete.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cpor_core.errors import Conflict
from cpor_core.model.claim import Status
from cpor_core.model.insight import Counting, Grouping, Insight
from cpor_core.ports import Ports
from cpor_core.ports.claims import TenantClaims
from cpor_core.rules.insight import Counted, figures, in_order, tally_of
from cpor_core.transitions.life import settle
from cpor_core.transitions.next_step import next_step

PAGE_CLAIMS = 500
"""The number of claims after which a run stores a page with their counts, and the progress."""
ATTEMPTS = 4
"""The most tries to read figures that change at the same time."""
TIME_LIMIT = timedelta(minutes=4)
"""A run stops after this real time, before `functionTimeout` stops the worker. The next run continues."""


async def recount(ports: Ports, now: datetime) -> None:
    """
    If a count is due at *now*, begin or continue the count for at most `TIME_LIMIT`. Otherwise make only one request.

    Raises `Conflict` when another run is counting.
    """
    progress = await ports.insight.progress()
    if not _is_due(progress.value, now):
        return
    if progress.value.began is None:
        begun = progress.value.model_copy(update={"began": now, "pages": 0, "after": "", "is_asked_for": False})
        progress = await ports.insight.start(begun, progress.etag)
    stop_at = ports.real_now() + TIME_LIMIT
    counted = Counted()
    async for tenant in ports.claims.tenants(after=progress.value.after):
        await _add(ports, counted, tenant, now)
        if counted.total.claims >= PAGE_CLAIMS:
            further = progress.value.model_copy(update={"pages": progress.value.pages + 1, "after": tenant.tenant_id})
            progress = await ports.insight.store_page(further, counted, progress.etag)
            counted = Counted()
            if ports.real_now() >= stop_at:
                return
    for number in range(1, progress.value.pages + 1):
        page = await ports.insight.page(progress.value, number)
        if page is None:  # the page is lost, or another release wrote it: the next run begins a new count
            again = progress.value.model_copy(update={"began": None, "is_asked_for": True})
            await ports.insight.write(again, progress.etag)
            return
        counted.add(page)
    ended = Counting(as_of=progress.value.began, shown=ports.new_id(), is_asked_for=progress.value.is_asked_for)
    await ports.insight.end(ended, _insights(counted, progress.value.began), progress.etag)


def _is_due(counting: Counting, now: datetime) -> bool:
    """Whether a count is running or was asked for, or whether no count has begun in this hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return counting.began is not None or counting.is_asked_for or counting.as_of is None or counting.as_of < hour


async def _add(ports: Ports, counted: Counted, tenant: TenantClaims, now: datetime) -> None:
    customer = await ports.registry.customer(tenant.tenant_id) if tenant.cases else None
    country = customer.value.country if customer is not None else None
    terms = await ports.current_terms()
    for stored in tenant.cases:
        case = settle(stored, now)
        claim = case.claim
        if claim.status is not Status.DELETED:  # a draft that has lapsed and is not erased yet
            by_time = (entry for claim_id, entry in case.entries if claim_id == claim.id)
            history = (*tenant.histories.get(claim.id, ()), *by_time)
            due = next_step(case, terms).due
            tally = tally_of(claim, history, is_overdue=due is not None and due <= now)
            counted.add_claim(claim, tally, country, ports.catalogue)


def _insights(counted: Counted, as_of: datetime | None) -> Sequence[Insight]:
    total = figures("", "", counted.total)
    return [
        Insight(as_of=as_of, group_by=grouping, total=total, value=tuple(in_order(grouping, counted)))
        for grouping in Grouping
    ]


async def ask(ports: Ports) -> datetime | None:
    """
    Ask for a count before the next hour.

    Returns the instant at which the shown figures were counted. None if no count has ended yet.
    """
    while True:
        progress = await ports.insight.progress()
        try:
            await ports.insight.write(progress.value.model_copy(update={"is_asked_for": True}), progress.etag)
        except Conflict:  # a count has stored a page since the read
            continue
        return progress.value.as_of


async def read(ports: Ports) -> Sequence[Insight]:
    """Return the figures of the last count, one insight for each grouping. Each insight takes two requests."""
    return [await read_one(ports, grouping) for grouping in Grouping]


async def read_one(ports: Ports, grouping: Grouping) -> Insight:
    """Return the figures of the last count for one grouping, in two requests."""
    for _ in range(ATTEMPTS):
        progress = await ports.insight.progress()
        if progress.value.as_of is None:  # no count has ended yet
            break
        shown = await ports.insight.shown(progress.value, grouping)
        if shown is not None:  # None means that a count has ended between the two requests, or that rows were lost
            return shown
    return Insight(as_of=None, group_by=grouping, total=None, value=())


async def count_now(ports: Ports, now: datetime) -> Sequence[Insight]:
    """Count all claims as of *now* and store nothing. A sandbox does this, because its clock can move (decision 50)."""
    counted = Counted()
    async for tenant in ports.claims.tenants():
        await _add(ports, counted, tenant, now)
    return _insights(counted, now)
