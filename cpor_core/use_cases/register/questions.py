"""
Questions to the register: the rows that hold at an instant, and the rows that ended in a period (decision 53).

The answer to a question about one tenant comes from the tenant's claims. All other answers come from the rows that the
follower has stored. If time can have changed a stored row, the claim itself is read. So the answers are right even when
every timer is dead.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cpor_core.due_work import FOLLOWS, FOLLOWS_AHEAD, SHARDS, SOON
from cpor_core.model.base import Guid, Instant, Value
from cpor_core.model.programme import RegisterRow
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.programme import RegisterRange
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.transitions.register_rows import register_rows
from cpor_core.use_cases.claims.listing import load_all
from cpor_core.use_cases.together import read_together, together

MOST_LOOKED_AT = 1_000
"""The most rows that one page reads. So a page can be short or empty although it is not the last."""
ROWS_OF_SHARD = -(-MOST_LOOKED_AT // SHARDS)
UNFOLLOWED = timedelta(minutes=6)
"""Acts of the last minutes can be missing in an answer. The time is longer than any function can run."""
JUST_BEFORE = timedelta(microseconds=1)
DUE_ROWS_AT_ONCE = 1_000


class Question(Value):
    """
    A question: the rows that hold at `as_of`, or with `ended` the rows that ended in a period. Each filter must fit.

    The period begins with `ended_from` and lasts until `as_of`, where `as_of` is not included. Without `ended_from` it
    has no beginning.
    """

    as_of: Instant
    ended: bool = False
    ended_from: Instant | None = None
    tenant_id: Guid | None = None
    organisation: Guid | None = None
    partner_id: str | None = None
    engagement: str | None = None
    item: str | None = None
    country: str | None = None

    def fits(self, row: RegisterRow) -> bool:
        """Whether the row is a part of the answer."""
        return self._passes_filters(row) and self._is_in_time(row)

    def can_fit(self, row: RegisterRow) -> bool:
        """Whether the stored row is a part of the answer, or can be one after a change that time has made."""
        can_have_ended = self.ended and row.open_from is not None and row.open_from < self.as_of
        return self._passes_filters(row) and (can_have_ended or self._is_in_time(row))

    def _passes_filters(self, row: RegisterRow) -> bool:
        return all(
            getattr(self, name) in (None, getattr(row, name))
            for name in ("tenant_id", "organisation", "partner_id", "engagement", "item", "country")
        )

    def _is_in_time(self, row: RegisterRow) -> bool:
        if not self.ended:
            return row.covers(self.as_of)
        return (
            row.until is not None
            and row.until < self.as_of
            and (self.ended_from is None or self.ended_from <= row.until)
        )


@dataclass(frozen=True, slots=True)
class RegisterPage:
    """A page of an answer, in the order of organisation, location, tenant, engagement, item and beginning."""

    rows: Sequence[RegisterRow]
    position: str | None
    """The next page begins after this position. None at the end of the answer."""


async def complete_to(ports: Ports, question: Question, now: datetime) -> datetime:
    """
    Return the instant up to which all acts are in the answer. It must be known before the first page is read.

    A claim that cannot be followed holds the instant back. Makes 16 requests, or more if a shard has more than
    1,000 rows that are due in the next hour. Makes no request for a question about one tenant.
    """
    latest = now - UNFOLLOWED
    if question.tenant_id is not None:
        return latest
    oldest = await together(_oldest_unfollowed(ports, shard, now) for shard in range(SHARDS))
    return min([latest, *(at - JUST_BEFORE for at in oldest if at is not None)])


async def _oldest_unfollowed(ports: Ports, shard: int, now: datetime) -> datetime | None:
    """Return the arrival of the oldest act that the follower has not taken in. Release 1 stored no arrival."""
    arrivals = [
        row.at or (row.since or row.due) - SOON
        async for row in _due_rows(ports, shard, now + FOLLOWS_AHEAD)
        if row.kind in FOLLOWS
    ]
    return min(arrivals, default=None)


async def _due_rows(ports: Ports, shard: int, until: datetime) -> AsyncIterator[DueRow]:
    last: DueRow | None = None
    while True:
        rows = await ports.duework.due(shard, until, after=last, limit=DUE_ROWS_AT_ONCE)
        for row in rows:
            yield row
        if len(rows) < DUE_ROWS_AT_ONCE:
            return
        last = rows[-1]


async def page_of(ports: Ports, question: Question, now: datetime, *, after: str, limit: int) -> RegisterPage:
    """
    Return the next page of an answer, as it is known at *now*. The page has at most *limit* rows.

    Makes 16 requests, two for each row that time can have changed, and often one for the location of `partner_id`. For
    a question about one tenant, makes three requests and at most one for each location in the answer.
    """
    if question.tenant_id is not None:
        return await _page_of_tenant(ports, question, question.tenant_id, now, after=after, limit=limit)
    wanted = await _range(ports, question)
    if wanted is None:
        return RegisterPage((), None)
    pages = await together(
        ports.programme.register(shard, wanted, after=after, limit=ROWS_OF_SHARD) for shard in range(SHARDS)
    )
    # The next row of a shard with more rows comes after the last row that was read. So the order is known up to there.
    known_to = min((page[-1][0] for page in pages if len(page) == ROWS_OF_SHARD), default=None)
    rows = sorted((key, row) for page in pages for key, row in page if known_to is None or key <= known_to)
    found = [(key, row) for key, row in rows if question.can_fit(row)]
    true_rows = await _verified(ports, [row for _, row in found[:limit]], now)
    return RegisterPage(
        [row for row in true_rows if question.fits(row)],
        found[limit - 1][0] if len(found) > limit else known_to,
    )


async def _range(ports: Ports, question: Question) -> RegisterRange | None:
    """Return the range of the register that has the answer. None if the location is not registered."""
    if question.partner_id is None or question.organisation is not None:
        return RegisterRange(question.organisation, question.partner_id)
    partner = await ports.registry.recent_partner(question.partner_id)
    return RegisterRange(partner.value.entra_tenant_id, question.partner_id) if partner is not None else None


async def _verified(ports: Ports, rows: Sequence[RegisterRow], now: datetime) -> Sequence[RegisterRow]:
    """Replace each row that time can have changed by the true row. A row that is no longer true is left out."""
    changeable = [row.association_id for row in rows if _can_have_changed(row, now)]
    cases = await load_all(ports, changeable, now)
    true_rows = (_true_row(cases, row) if _can_have_changed(row, now) else row for row in rows)
    return [row for row in true_rows if row is not None]


def _can_have_changed(row: RegisterRow, now: datetime) -> bool:
    return row.open_from is not None and row.open_from <= now


def _true_row(cases: Mapping[str, Case], row: RegisterRow) -> RegisterRow | None:
    case = cases.get(row.association_id)
    if case is None:
        return None
    derived = register_rows(case, partner_name=row.partner_name, customer_name=row.customer_name, country=row.country)
    return next((one for one in derived if one.item == row.item), None)


# --- a question about one tenant -------------------------------------------------------------------------------------


async def _page_of_tenant(
    ports: Ports, question: Question, tenant_id: str, now: datetime, *, after: str, limit: int
) -> RegisterPage:
    """Return a page of a tenant's rows. They follow from all claims of the tenant as of *now*."""
    customer = await ports.registry.customer(tenant_id)
    customer_name, country = (customer.value.name, customer.value.country) if customer is not None else ("", None)
    cases = [settle(stored, now) for stored in await ports.claims.of_tenant(tenant_id)]
    rows = sorted(
        (_position(row), row)
        for case in cases
        for row in register_rows(
            case, partner_name=case.claim.partner_name, customer_name=customer_name, country=country
        )
        if question.fits(row) and _position(row) > after
    )
    page = [row for _, row in rows[:limit]]
    names = await _partner_names(ports, sorted({row.partner_id for row in page}))
    return RegisterPage(
        [row.model_copy(update={"partner_name": names.get(row.partner_id, row.partner_name)}) for row in page],
        rows[limit - 1][0] if len(rows) > limit else None,
    )


def _position(row: RegisterRow) -> str:
    """Return the place of the row among all rows of its tenant, in the same order as in the stored register."""
    since = f"{row.since:%Y%m%dT%H%M%S.%f}"
    return f"{row.organisation}|{row.partner_id}|{row.engagement}|{row.item}|{since}|{row.association_id}"


async def _partner_names(ports: Ports, partner_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the registered names of locations."""
    found = await read_together(map(ports.registry.recent_partner, partner_ids))
    return {one: entry.value.name for one, entry in zip(partner_ids, found, strict=True) if entry is not None}
