"""
Counting everything, once an hour, for the programme (rulings 50).

A count goes through the claims tenant by tenant and keeps what it has counted page by page: a process that dies, or
has worked long enough, is followed by one that goes on behind the last page. What is shown changes all at once, when
the count has ended.
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

PAGE_CLAIMS = 500
"""Claims after which what was counted is kept."""
ATTEMPTS = 4
TIME_LIMIT = timedelta(minutes=4)
"""A run stops itself before `functionTimeout` stops the whole worker; the next one goes on."""


async def recount(ports: Ports, now: datetime) -> None:
    """
    Count everything, if a count is owed at *now*, for as long as one run may take; one request where none is owed.

    Raises `Conflict` where another run is at work.
    """
    at = await ports.insight.standing()
    if not _is_owed(at.value, now):
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
        if page is None:  # lost, or of another release: the next run begins anew
            await ports.insight.write(at.value.model_copy(update={"began": None, "is_asked_for": True}), at.etag)
            return
        counted.add(page)
    ended = Counting(as_of=at.value.began, shown=ports.new_id(), is_asked_for=at.value.is_asked_for)
    await ports.insight.end(ended, _insights(counted, at.value.began), at.etag)


def _is_owed(at: Counting, now: datetime) -> bool:
    """Whether a count is under way, or asked for, or has not been made in this hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return at.began is not None or at.is_asked_for or at.as_of is None or at.as_of < hour


async def _add(ports: Ports, counted: Counted, tenant: TenantClaims, now: datetime) -> None:
    customer = await ports.registry.customer(tenant.tenant_id) if tenant.cases else None
    country = customer.value.country if customer is not None else None
    terms = await ports.current_terms()
    for case in tenant.cases:
        settled = settle(case, now)
        claim = settled.claim
        if claim.status is not Status.DELETED:  # a draft that has lapsed, and is not erased yet
            by_time = (entry for of, entry in settled.entries if of == claim.id)
            history = (*tenant.histories.get(claim.id, ()), *by_time)
            tally = tally_of(claim, case.slots, history, now, terms)
            counted.add_claim(claim, tally, country, ports.catalogue)


def _insights(counted: Counted, as_of: datetime | None) -> Sequence[Insight]:
    total = figures("", "", counted.total)
    return [
        Insight(as_of=as_of, group_by=grouping, total=total, value=tuple(in_order(grouping, counted)))
        for grouping in Grouping
    ]


async def ask(ports: Ports) -> datetime | None:
    """Want a count before the next hour begins; returns of when the figures are that are shown until then."""
    while True:
        at = await ports.insight.standing()
        try:
            await ports.insight.write(at.value.model_copy(update={"is_asked_for": True}), at.etag)
        except Conflict:  # a count has come a page further meanwhile
            continue
        return at.value.as_of


async def read(ports: Ports) -> Sequence[Insight]:
    """Return what the last count says, one for each grouping; two requests for each."""
    return [await read_one(ports, grouping) for grouping in Grouping]


async def read_one(ports: Ports, grouping: Grouping) -> Insight:
    """Return what the last count says of a grouping: two requests."""
    for _ in range(ATTEMPTS):
        at = await ports.insight.standing()
        shown = await ports.insight.shown(at.value, grouping) if at.value.as_of is not None else None
        if shown is not None:
            return shown
        if at.value.as_of is None:
            break  # else a count has ended between the two requests, unless rows were lost
    return Insight(as_of=None, group_by=grouping, total=None, value=())


async def count_now(ports: Ports, now: datetime) -> Sequence[Insight]:
    """Return what a count at *now* says, and keep nothing: for the sandbox, where time is moved (rulings 50)."""
    counted = Counted()
    async for tenant in ports.claims.tenants():
        await _add(ports, counted, tenant, now)
    return _insights(counted, now)
