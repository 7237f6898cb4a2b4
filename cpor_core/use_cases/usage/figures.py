"""Figures: the operator loads them, and the partner of record reads them. Each read writes a receipt."""

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from cpor_core.due_work import Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.base import Value
from cpor_core.model.claim import Claim, Status
from cpor_core.model.licensing import Licensing
from cpor_core.model.registry import Customer
from cpor_core.model.usage import BadRow, MonthFigures, Receipt, UsageLine
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.grace import figures_from
from cpor_core.rules.graph_reports import (
    Ambiguous,
    Given,
    Report,
    directory_subscriptions,
    invalid_row,
    service_user_counts,
    subscribed_skus,
)
from cpor_core.rules.untold import Untold, untold
from cpor_core.rules.usage_advice import Advice, advice
from cpor_core.rules.usage_figures import UsageRow, merged, months_between, shown_months, usage_rows
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.together import together

ATTEMPTS = 5
MOST_ROWS = 100_000
"""The most rows in one call."""
YIELD_EVERY = 500
"""After so many lines the event loop can run other tasks."""
TENANTS_IN_FLIGHT = 16
"""The most tenants that are written at the same time."""
MAIL_TAKES_SECONDS = 60
"""A caller asks again after this time whether the customer was notified."""
COUNTED_AFTER = timedelta(minutes=11)
"""When the follower looks at loaded figures. No process that has written the due row is still writing figures then."""
Item = TypeVar("Item")


class FeedFormat(StrEnum):
    """The formats of a feed. A format with `graph` in its name is an unchanged report of Microsoft Graph."""

    JSONL = "jsonl"
    SUBSCRIBED_SKUS = "graph-subscribed-skus"
    SERVICE_USER_COUNTS = "graph-service-user-counts"
    SUBSCRIPTIONS = "graph-subscriptions"


class Loaded(Value):
    """The outcome of a feed: the counts of its good rows, and the bad rows."""

    accepted: int
    unchanged: int
    rejected: Annotated[tuple[BadRow, ...], Field()]


@dataclass(frozen=True, slots=True)
class Reader:
    """The reader of figures, for the receipt."""

    object_id: str
    kind: str


_LINE = TypeAdapter(UsageLine)


# --- in ---------------------------------------------------------------------------------------------------------------


async def load_lines(ports: Ports, lines: Iterable[bytes], tenant_id: str | None, as_of: date, now: datetime) -> Loaded:
    """
    Merge JSON lines into the stored figures. Repeated lines change nothing, and older lines never change newer figures.

    Bad lines are reported, and the other lines are stored. Raises `PayloadTooLarge`. Raises `StorageBusy`, perhaps
    half-way. After that the caller can send the same lines again.
    """
    by_tenant: dict[str, list[Given]] = {}
    bad: list[BadRow] = []
    count = 0
    for row, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        count += 1
        _verify_not_too_many(count)
        if count % YIELD_EVERY == 0:
            await asyncio.sleep(0)  # so that this instance can serve other requests
        read = _read_line(row, text, tenant_id)
        if isinstance(read, BadRow):
            bad.append(read)
        else:
            tenant, line = read
            by_tenant.setdefault(tenant, []).append(Given(line, as_of, (row,)))
    accepted = unchanged = 0
    for group in _in_groups(list(by_tenant.items()), TENANTS_IN_FLIGHT):
        for outcome in await together(_load_tenant(ports, *one, now) for one in group):
            accepted += outcome.accepted
            unchanged += outcome.unchanged
            bad += outcome.rejected
    return _loaded(accepted, unchanged, bad)


async def load_graph_report(
    ports: Ports,
    kind: FeedFormat,
    tenant_id: str,
    as_of: date,
    content: bytes | Sequence[JsonValue],
    now: datetime,
) -> Loaded:
    """
    Merge a report of Microsoft Graph. *content* is the bytes of a CSV report, or the list of a JSON report.

    Bad rows are reported, and the other rows are stored. Raises `WrongReport` and `PayloadTooLarge`. Raises
    `StorageBusy`, perhaps half-way. After that the caller can send the same report again.
    """
    registered = await ports.registry.customer(tenant_id)
    report = _read_report(kind, content, as_of, registered.value if registered is not None else None, ports.licensing())
    _verify_not_too_many(len(report.rows) + len(report.rejected))
    if registered is None:
        return _loaded(0, 0, (*report.rejected, *map(_of_an_unknown_tenant, report.rows)))
    items = registered.value.item_keys  # a report also has columns for workloads that the tenant does not have
    given = [one for one in report.given if one.line.item in items]
    changed = await _merge(ports, tenant_id, given, now)
    bad = [*report.rejected, *await _undecided(ports, tenant_id, report.ambiguous)]
    good = set(report.rows) - {one.row for one in bad}
    touched = good & {row for at in changed for row in given[at].rows}
    return _loaded(len(touched), len(good - touched), bad)


def _read_report(
    kind: FeedFormat,
    content: bytes | Sequence[JsonValue],
    as_of: date,
    customer: Customer | None,
    licensing: Licensing,
) -> Report:
    if isinstance(content, bytes):
        return service_user_counts(content, licensing, as_of)
    _verify_not_too_many(len(content))
    ids = frozenset(one.subscription_id for one in customer.subscriptions) if customer is not None else frozenset()
    if kind is FeedFormat.SUBSCRIPTIONS:
        return directory_subscriptions(content, licensing, as_of, subscriptions=ids)
    workloads = customer.workloads if customer is not None else ()
    return subscribed_skus(content, licensing, as_of, workloads=workloads, subscriptions=ids)


def _loaded(accepted: int, unchanged: int, bad: Iterable[BadRow]) -> Loaded:
    return Loaded(accepted=accepted, unchanged=unchanged, rejected=tuple(sorted(bad, key=lambda one: one.row)))


def _verify_not_too_many(count: int) -> None:
    if count > MOST_ROWS:
        raise Refused(
            "PayloadTooLarge",
            f"A feed has at most {MOST_ROWS} rows.",
            resolution="Send the rows in several calls.",
        )


def _in_groups(everything: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (everything[start : start + size] for start in range(0, len(everything), size))


def _read_line(row: int, text: bytes, tenant_id: str | None) -> tuple[str, UsageLine] | BadRow:
    """Return the tenant and the figures of a line, or the error of a bad line."""
    try:
        line = _LINE.validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        return invalid_row(row, error)
    if line.is_empty:
        return BadRow(row=row, code="NoFigures", message="The row has none of the three figures.")
    tenant = line.tenant_id or tenant_id
    if tenant is None:
        return BadRow(row=row, code="TenantMissing", message="Send tenantId in the row or in the query.")
    if tenant_id is not None and tenant != tenant_id:
        return BadRow(row=row, code="TenantMismatch", message="The row and the query name different tenants.")
    return tenant, line


def _of_an_unknown_tenant(row: int) -> BadRow:
    return BadRow(row=row, code="TenantUnknown", message="This tenant is not registered.")


def _of_an_unknown_item(row: int) -> BadRow:
    return BadRow(row=row, code="ItemUnknown", message="This tenant has no such workload or subscription.")


async def _load_tenant(ports: Ports, tenant: str, given: Sequence[Given], now: datetime) -> Loaded:
    registered = await ports.registry.customer(tenant)
    if registered is None:
        return _loaded(0, 0, (_of_an_unknown_tenant(row) for one in given for row in one.rows))
    items = registered.value.item_keys
    known = [one for one in given if one.line.item in items]
    bad = [_of_an_unknown_item(row) for one in given if one.line.item not in items for row in one.rows]
    changed = await _merge(ports, tenant, known, now)
    return _loaded(len(changed), len(known) - len(changed), bad)


async def _merge(ports: Ports, tenant: str, given: Sequence[Given], now: datetime) -> set[int]:
    """
    Merge figures of one tenant in as few transactions as possible. Returns the positions of changed lines.

    A due row is written first. It leads the follower to the tenant's associations, whose impact can have changed.
    """
    changed: set[int] = set()
    if not given:
        return changed
    months = sorted({one.line.month for one in given})
    for attempt in range(ATTEMPTS):
        kept = await ports.usage.read(tenant, months[0], months[-1])
        figures = {key: found[0] for key, found in kept.items()}
        for at, one in enumerate(given):
            key = (one.line.month, one.line.item)
            after = merged(figures.get(key), one.line, one.as_of)
            if after != figures.get(key):  # false if an earlier attempt has written this line already
                changed.add(at)
            figures[key] = after
        etags = {key: found[1] for key, found in kept.items()}
        writes = {
            key: (value, etags.get(key)) for key, value in figures.items() if key not in kept or kept[key][0] != value
        }
        if writes and attempt == 0:
            await ports.duework.add([DueRow(now + COUNTED_AFTER, tenant, Kind.FOLLOW_FIGURES)])
        try:
            await ports.usage.write(tenant, writes)
        except Conflict:
            continue
        return changed
    message = "another request is writing the figures of this tenant"
    raise StorageBusy(message, retry_after_seconds=1)


async def _undecided(ports: Ports, tenant: str, ambiguous: Sequence[Ambiguous]) -> Sequence[BadRow]:
    """Return the rows with the seats of several subscriptions, unless the seats of each subscription are stored."""
    if not ambiguous:
        return ()
    months = sorted({one.month for one in ambiguous})
    kept = await ports.usage.read(tenant, months[0], months[-1])

    def has_seats(month: str, item: str) -> bool:
        found = kept.get((month, item))
        return found is not None and found[0].available_seats is not None

    return [
        BadRow(
            row=one.row,
            code="AmbiguousSubscription",
            message="The SKU belongs to several subscriptions. Send graph-subscriptions, which has the seats of each.",
        )
        for one in ambiguous
        if not all(has_seats(one.month, item) for item in one.subscriptions)
    ]


# --- out --------------------------------------------------------------------------------------------------------------


async def read_advice(ports: Ports, case: Case, reader: Reader) -> Sequence[Advice]:
    """
    Return the advice that follows from the figures of `read_usage`.

    Writes the receipt of `read_usage`, and raises the errors of `read_usage`.
    """
    return advice(await read_usage(ports, case, reader, first=None, last=None))


async def read_usage(
    ports: Ports, case: Case, reader: Reader, *, first: str | None, last: str | None
) -> Sequence[UsageRow]:
    """
    Return the figures of the associated items, from the association's first month on, in four requests.

    The receipt is written after the figures are read and before they are sent. Without a receipt no figures are sent.

    Raises `NotFound` unless the association is official, `FiguresNotYet` during the minute of grace, and
    `CustomerNotTold` while the customer of an imported association is not notified.
    """
    shown, now = case.claim, case.now
    if shown.status is not Status.OFFICIAL:
        raise Refused(
            "NotFound", "There is no official association of this id.", resolution="GET /associations lists yours."
        )
    _verify_given_out(shown, now)
    _verify_customer_notified(shown)
    start, end = shown_months(shown, first, last, now)
    figures: Mapping[tuple[str, str], tuple[MonthFigures, str]] = {}
    if start <= end:
        figures = await ports.usage.read(shown.tenant_id, start, end)
    months = tuple(months_between(start, end))
    rows = usage_rows(shown, {key: found[0] for key, found in figures.items()}, months)
    await ports.receipts.add(
        shown.tenant_id,
        Receipt(
            at=now,
            organisation=shown.organisation,
            partner_id=shown.partner_id,
            object_id=reader.object_id,
            kind=reader.kind,
            association_id=shown.id,
            items=tuple(item.key for item in shown.items if shown.holds(item.key)),
            months=months,
        ),
    )
    return rows


def _verify_given_out(shown: Claim, now: datetime) -> None:
    begins = figures_from(shown)
    if begins is not None and now < begins:
        raise Refused(
            "FiguresNotYet",
            f"The association is official. Its figures are available from {begins:%Y-%m-%dT%H:%M:%SZ} on.",
            resolution="Wait as long as Retry-After says, then send the same request again.",
            retry_after_seconds=math.ceil((begins - now).total_seconds()),
        )


def _verify_customer_notified(shown: Claim) -> None:
    why = untold(shown)
    if why is Untold.ON_ITS_WAY:
        raise Refused(
            "CustomerNotTold",
            "The customer has not been notified of this association yet. The mail is on its way.",
            resolution="Wait as long as Retry-After says, then ask again.",
            retry_after_seconds=MAIL_TAKES_SECONDS,
        )
    if why is not None:
        raise Refused(
            "CustomerNotTold",
            "Nobody at the customer could be notified of this association.",
            resolution="Ask the programme to register a notice address. You get figures after a mail to this address.",
        )
