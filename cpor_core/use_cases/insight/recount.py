"""
Counts all claims once an hour, for the programme (decision 50).

A count reads the claims tenant by tenant and stores its progress page by page. When a run dies or has used its time,
the next run continues after the last page. The shown figures change all at once, when the count is complete.
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
"""The progress is stored after so many claims."""
ATTEMPTS = 4
TIME_LIMIT = timedelta(minutes=4)
"""A run stops itself before `functionTimeout` stops the worker. The next run continues."""


async def recount(ports: Ports, now: datetime) -> None:
    """
    Count all claims if a count is due at *now*, within the time of one run. One request when none is due.

    Raises `Conflict` when another run is counting.
    """
    at = await ports.insight.progress()
    if not _is_due(at.value, now):
        return
    if at.value.began is None:
        begun = at.value.model_copy(update={"began": now, "pages": 0, "after": "", "is_asked_for": False})
        at = await ports.insight.start(begun, at.etag)
    stop_at = ports.real_now() + TIME_LIMIT
    counted = Counted()
    async for tenant in ports.claims.tenants(after=at.value.after):
        await _add(ports, counted, tenant, now)
        if counted.total.claims >= PAGE_CLAIMS:
            further = at.value.model_copy(update={"pages": at.value.pages + 1, "after": tenant.tenant_id})
            at, counted = await ports.insight.store_page(further, counted, at.etag), Counted()
            if ports.real_now() >= stop_at:
                return
    for number in range(1, at.value.pages + 1):
        page = await ports.insight.page(at.value, number)
        if page is None:  # lost, or of another release: the next run starts again
            await ports.insight.write(at.value.model_copy(update={"began": None, "is_asked_for": True}), at.etag)
            return
        counted.add(page)
    ended = Counting(as_of=at.value.began, shown=ports.new_id(), is_asked_for=at.value.is_asked_for)
    await ports.insight.end(ended, _insights(counted, at.value.began), at.etag)


def _is_due(at: Counting, now: datetime) -> bool:
    """Whether a count has begun or was asked for, or whether this hour has none yet."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return at.began is not None or at.is_asked_for or at.as_of is None or at.as_of < hour


async def _add(ports: Ports, counted: Counted, tenant: TenantClaims, now: datetime) -> None:
    customer = await ports.registry.customer(tenant.tenant_id) if tenant.cases else None
    country = customer.value.country if customer is not None else None
    terms = await ports.current_terms()
    for stored in tenant.cases:
        case = settle(stored, now)
        claim = case.claim
        if claim.status is not Status.DELETED:  # a draft that has lapsed, and is not erased yet
            by_time = (entry for of, entry in case.entries if of == claim.id)
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
    """Ask for a count before the next hour. Returns when the figures were counted that are shown until then."""
    while True:
        at = await ports.insight.progress()
        try:
            await ports.insight.write(at.value.model_copy(update={"is_asked_for": True}), at.etag)
        except Conflict:  # a count has stored a page meanwhile
            continue
        return at.value.as_of


async def read(ports: Ports) -> Sequence[Insight]:
    """Return the figures of the last count, by each grouping: two requests for each."""
    return [await read_one(ports, grouping) for grouping in Grouping]


async def read_one(ports: Ports, grouping: Grouping) -> Insight:
    """Return the figures of the last count by one grouping: two requests."""
    for _ in range(ATTEMPTS):
        at = await ports.insight.progress()
        shown = await ports.insight.shown(at.value, grouping) if at.value.as_of is not None else None
        if shown is not None:
            return shown
        if at.value.as_of is None:
            break  # else a count has ended between the two requests, or rows were lost
    return Insight(as_of=None, group_by=grouping, total=None, value=())


async def count_now(ports: Ports, now: datetime) -> Sequence[Insight]:
    """Count at *now* and store nothing, for the sandbox with its moved clock (decision 50)."""
    counted = Counted()
    async for tenant in ports.claims.tenants():
        await _add(ports, counted, tenant, now)
    return _insights(counted, now)
