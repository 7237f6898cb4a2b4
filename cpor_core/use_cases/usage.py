"""Figures come in by the operator's feed and go out to their partner of record, each read leaving its receipt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.base import Value
from cpor_core.model.claim import Status
from cpor_core.model.usage import MonthFigures, Receipt, UsageLine
from cpor_core.ports import Ports
from cpor_core.rules.usage_figures import UsageRow, merged, months_between, shown_months, usage_rows
from cpor_core.transitions.case import Case
from cpor_core.transitions.life import settle

ATTEMPTS = 5
MOST_ROWS = 100_000
"""Rows that one call takes."""


class BadRow(Value):
    """A row that was left out; the others are kept. `row` counts from 1."""

    row: int
    code: str
    message: str


class Loaded(Value):
    """What became of a feed's rows."""

    accepted: int
    unchanged: int
    rejected: Annotated[tuple[BadRow, ...], Field()]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks, for the receipt."""

    object_id: str
    kind: str


_LINE = TypeAdapter(UsageLine)


def parse_lines(lines: Iterable[bytes], tenant_id: str | None) -> tuple[list[tuple[int, str, UsageLine]], list[BadRow]]:
    """Return the good rows as (row number, tenant, line), and what is wrong with each bad one."""
    good: list[tuple[int, str, UsageLine]] = []
    bad: list[BadRow] = []
    for row, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = _LINE.validate_json(text, by_alias=True, by_name=False)
        except ValidationError as error:
            bad.append(invalid_row(row, error))
            continue
        if line.is_empty:
            bad.append(BadRow(row=row, code="NoFigures", message="The row has none of the three figures."))
            continue
        tenant = line.tenant_id or tenant_id
        if tenant is None:
            bad.append(BadRow(row=row, code="TenantMissing", message="Give tenantId in the row or in the query."))
        elif tenant_id is not None and line.tenant_id not in (None, tenant_id):
            bad.append(BadRow(row=row, code="TenantMismatch", message="The row is of another tenant than the query."))
        else:
            good.append((row, tenant, line))
    return good, bad


def invalid_row(row: int, error: ValidationError) -> BadRow:
    """Return what is wrong with the form of a line: the first of its faults."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return BadRow(row=row, code="InvalidRow", message=f"{where}: {first['msg']}" if where else first["msg"])


async def load_lines(ports: Ports, lines: Iterable[bytes], tenant_id: str | None, as_of: date) -> Loaded:
    """Merge a feed into what is kept: the same feed twice changes nothing, an older one changes nothing newer."""
    good, bad = parse_lines(lines, tenant_id)
    if len(good) > MOST_ROWS:
        raise Refused(
            "PayloadTooLarge",
            f"A feed has at most {MOST_ROWS} rows.",
            resolution="Send it in several calls.",
        )
    by_tenant: dict[str, list[tuple[int, UsageLine]]] = {}
    for row, tenant, line in good:
        by_tenant.setdefault(tenant, []).append((row, line))
    accepted = unchanged = 0
    for tenant, rows in by_tenant.items():
        if await ports.registry.customer(tenant) is None:
            bad += [BadRow(row=row, code="TenantUnknown", message="This tenant is not registered.") for row, _ in rows]
            continue
        changed = await _merge(ports, tenant, [line for _, line in rows], as_of)
        accepted += changed
        unchanged += len(rows) - changed
    return Loaded(accepted=accepted, unchanged=unchanged, rejected=tuple(sorted(bad, key=lambda one: one.row)))


async def _merge(ports: Ports, tenant: str, lines: Sequence[UsageLine], as_of: date) -> int:
    """Merge the lines of one tenant; returns how many of them changed something."""
    months = sorted({line.month for line in lines})
    for _ in range(ATTEMPTS):
        kept = await ports.usage.read(tenant, months[0], months[-1])
        figures = {key: found[0] for key, found in kept.items()}
        changed = 0
        for line in lines:
            key = (line.month, line.item)
            after = merged(figures.get(key), line, as_of)
            changed += after != figures.get(key)
            figures[key] = after
        marks = {key: found[1] for key, found in kept.items()}
        writes = {
            key: (value, marks.get(key)) for key, value in figures.items() if key not in kept or kept[key][0] != value
        }
        try:
            await ports.usage.write(tenant, writes)
        except Conflict:
            continue
        return changed
    message = "the figures of this tenant are being written by somebody else"
    raise StorageBusy(message, retry_after_seconds=1)


async def read_usage(
    ports: Ports, case: Case, reader: Reader, now: datetime, *, first: str | None, last: str | None
) -> Sequence[UsageRow]:
    """
    Return the figures of exactly the associated items, from the association's first month on; four requests in all.

    The receipt is written after the figures are read and before they are sent: no receipt, no figures. Raises
    `NotFound` unless the association is official.
    """
    shown = settle(case, now).claim
    if shown.status is not Status.OFFICIAL:
        raise Refused(
            "NotFound", "There is no official association of this id.", resolution="GET /associations lists yours."
        )
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
