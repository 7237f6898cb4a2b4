"""
Turns reports of Microsoft Graph into lines of a usage feed, about workloads and subscriptions.

Each function returns a `Report`: the figures of one tenant, and the fault of each bad row. Unknown fields are ignored,
because Graph adds fields each year.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from cpor_core.errors import Refused
from cpor_core.model.base import MAX_COUNT, Count, Day, LateModel
from cpor_core.model.licensing import Licensing
from cpor_core.model.usage import BadRow, UsageLine
from cpor_core.rules.input_faults import not_in_form
from cpor_core.rules.usage_figures import ACTIVE_DAYS

SEATS_COUNT_WHILE = frozenset({"Enabled", "Warning"})
"""The states of a SKU or subscription with usable seats. In all other states, such as suspended, no seat counts."""
REFRESHED, PERIOD = "report refresh date", "report period"
ACTIVE_COLUMNS = MappingProxyType(
    {
        "exchange active": "exchange",
        "onedrive active": "onedrive",
        "sharepoint active": "sharepoint",
        "skype for business active": "skype-for-business",
        "yammer active": "yammer",
        "teams active": "teams",
        "office 365 active": "office-365",
    }
)
"""The columns of `getOffice365ServicesUserCounts`, with their workloads. Only workloads of the catalogue count."""
PERSONAL = re.compile(r"user ?(principal ?name|id)|owner ?(principal|display) ?name|display ?name|e?mail( ?address)?")
"""The names of columns that only a report about single people has."""


@dataclass(frozen=True, slots=True)
class Given:
    """Figures of one item from a report, with their day and the rows that contain them."""

    line: UsageLine
    as_of: date
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A row with the seats of several subscriptions together. Another report can have the seats of each of them."""

    row: int
    month: str
    subscriptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A report about one tenant. `rows` are the numbers of its good rows, also of rows without figures to store."""

    rows: Sequence[int]
    given: Sequence[Given]
    rejected: Sequence[BadRow]
    ambiguous: Sequence[Ambiguous] = ()


class _Form(LateModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True)


class _Units(_Form):
    enabled: Count
    warning: Count | None = None


class _Plan(_Form):
    service_plan_id: str


class _Sku(_Form):
    sku_id: str
    applies_to: str
    capability_status: str
    consumed_units: Count
    prepaid_units: _Units
    service_plans: tuple[_Plan, ...]
    subscription_ids: tuple[str, ...] | None = None


class _Subscription(_Form):
    id: str | None = None
    commerce_subscription_id: str | None
    sku_id: str
    status: str
    is_trial: bool | None
    total_licenses: Count


Form = TypeVar("Form", bound=_Form)
_DAY = TypeAdapter(Day, config=ConfigDict(defer_build=True))
_DIGITS = re.compile(r"[0-9]{1,10}")


def invalid_row(row: int, error: ValidationError) -> BadRow:
    """Return a refused row with the first fault in its form."""
    refused = not_in_form(error, "row")
    return BadRow(row=row, code="InvalidRow", message=(refused.details or (refused,))[0].message)


def _wrong_report(message: str, resolution: str) -> Refused:
    return Refused("WrongReport", message, resolution=resolution)


def _on_people() -> Refused:
    return _wrong_report(
        "This is a report about single people. Nothing was stored.",
        "Send the report about the whole tenant, as the format requires.",
    )


def _in_form(rows: Sequence[JsonValue], form: type[Form], bad: list[BadRow]) -> Iterator[tuple[int, Form]]:
    """Yield the rows in the right form. Raises `WrongReport` for a row about a single person."""
    for row, sent in enumerate(rows, start=1):
        if isinstance(sent, dict) and "userPrincipalName" in sent:
            raise _on_people()
        try:
            yield row, form.model_validate(sent)
        except ValidationError as error:
            bad.append(invalid_row(row, error))


# --- seats ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seats:
    available: int = 0
    assigned: int = 0
    rows: tuple[int, ...] = ()

    def holds(self, available: int, assigned: int) -> bool:
        return self.available + available <= MAX_COUNT and self.assigned + assigned <= MAX_COUNT

    def add(self, row: int, available: int, assigned: int) -> None:
        self.available += available
        self.assigned += assigned
        self.rows += (row,)


def subscribed_skus(
    rows: Sequence[JsonValue],
    licensing: Licensing,
    as_of: date,
    *,
    workloads: Collection[str],
    subscriptions: Collection[str],
) -> Report:
    """
    Return the seats in an answer of `GET /subscribedSkus`.

    A SKU's seats count for a workload if the SKU has one of the workload's plans, is for users, was bought and is
    usable. A SKU counts once. If no SKU has a plan of a workload in *workloads*, the workload gets zero seats.

    If a SKU has only one subscription, and it is in *subscriptions*, the seats count for this subscription. If a SKU
    has several subscriptions, the report cannot say how the seats are divided. Raises `WrongReport`.
    """
    month = f"{as_of:%Y-%m}"
    found = {name: _Seats() for name in sorted(workloads) if licensing.workloads.get(name)}
    bad: list[BadRow] = []
    good: list[int] = []
    ambiguous: list[Ambiguous] = []
    seen: set[str] = set()
    for row, sku in _in_form(rows, _Sku, bad):
        sku_id = sku.sku_id.lower()
        if sku_id in seen:
            bad.append(BadRow(row=row, code="DuplicateRow", message="An earlier row is about the same SKU."))
            continue
        counts = sku.capability_status in SEATS_COUNT_WHILE and sku_id not in licensing.free_skus
        available = sku.prepaid_units.enabled + (sku.prepaid_units.warning or 0) if counts else 0
        assigned = sku.consumed_units if counts else 0
        plans = frozenset(plan.service_plan_id.lower() for plan in sku.service_plans)
        items = set(licensing.workloads_of(plans)) if counts and sku.applies_to == "User" else set()
        listed = tuple(dict.fromkeys(name.lower() for name in sku.subscription_ids or ()))
        registered = tuple(name for name in listed if name in subscriptions)
        if len(listed) == 1:
            items.update(registered)
        if not all(found.get(item, _Seats()).holds(available, assigned) for item in items):
            bad.append(
                BadRow(
                    row=row,
                    code="InvalidRow",
                    message=f"The seats of this row and the rows before are more than {MAX_COUNT}.",
                )
            )
            continue
        seen.add(sku_id)
        good.append(row)
        for item in items:
            found.setdefault(item, _Seats()).add(row, available, assigned)
        if registered and len(listed) > 1:
            ambiguous.append(Ambiguous(row, month, registered))
    given = [
        Given(
            UsageLine(month=month, item=item, available_seats=seats.available, assigned_seats=seats.assigned),
            as_of,
            seats.rows,
        )
        for item, seats in found.items()
    ]
    return Report(good, given, bad, ambiguous)


def directory_subscriptions(
    rows: Sequence[JsonValue], licensing: Licensing, as_of: date, *, subscriptions: Collection[str]
) -> Report:
    """
    Return the seats of the registered *subscriptions* in an answer of `GET /directory/subscriptions`.

    A trial counts as zero seats, because nobody bought it. A subscription that is not usable counts as zero seats too.
    Raises `WrongReport`.
    """
    bad: list[BadRow] = []
    good: list[int] = []
    given: dict[str, Given] = {}
    for row, one in _in_form(rows, _Subscription, bad):
        names = [name.lower() for name in (one.commerce_subscription_id, one.id) if name is not None]
        item = next((name for name in names if name in subscriptions), None)
        if item in given:
            bad.append(BadRow(row=row, code="DuplicateRow", message="An earlier row is about the same subscription."))
            continue
        good.append(row)
        if item is not None:
            counts = one.status in SEATS_COUNT_WHILE and not one.is_trial
            counts = counts and one.sku_id.lower() not in licensing.free_skus
            seats = one.total_licenses if counts else 0
            given[item] = Given(UsageLine(month=f"{as_of:%Y-%m}", item=item, available_seats=seats), as_of, (row,))
    return Report(good, list(given.values()), bad)


# --- active users -----------------------------------------------------------------------------------------------------


def service_user_counts(text: bytes, licensing: Licensing, as_of: date) -> Report:
    """
    Return the active users in the CSV of `getOffice365ServicesUserCounts`. Their day is the refresh date of the row.

    The first row below the headings has the number 1. Raises `WrongReport` for any other report.
    """
    lines = csv.reader(io.StringIO(_in_utf_8(text), newline=""), strict=True)
    headings = _headings(lines)
    bad: list[BadRow] = []
    good: list[int] = []
    given: list[Given] = []
    row = 0
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            row += 1
            found = _counts(row, headings, cells, licensing, as_of)
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                good.append(row)
                given += found
    except csv.Error as error:  # after an open quote, the rest of the file cannot be read as rows
        bad.append(BadRow(row=row + 1, code="InvalidRow", message=f"This is no CSV: {error}."))
    return Report(good, given, bad)


def _in_utf_8(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong_report("The report is not in UTF-8.", "Send the file as Graph gives it.") from None


def _headings(lines: Iterator[list[str]]) -> Sequence[str]:
    """Return the headings in lower case. Raises `WrongReport`."""
    try:
        headings = [" ".join(cell.split()).lower() for cell in next(lines, [])]
    except csv.Error:
        headings = []
    if any(PERSONAL.fullmatch(heading) for heading in headings):
        raise _on_people()
    if not {REFRESHED, PERIOD} <= set(headings) or not set(ACTIVE_COLUMNS) & set(headings):
        raise _wrong_report(
            "These are not the headings of getOffice365ServicesUserCounts.",
            "Send the report getOffice365ServicesUserCounts with its headings in the first line.",
        )
    return headings


def _counts(
    row: int, headings: Sequence[str], cells: Sequence[str], licensing: Licensing, as_of: date
) -> Sequence[Given] | BadRow:
    if len(cells) != len(headings):
        return BadRow(row=row, code="InvalidRow", message="The row does not have one cell for each heading.")
    named = dict(zip(headings, (cell.strip() for cell in cells), strict=True))
    if named[PERIOD] != str(ACTIVE_DAYS):
        return BadRow(row=row, code="WrongPeriod", message=f"The report period must be {ACTIVE_DAYS} days.")
    if named[REFRESHED]:
        try:
            as_of = _DAY.validate_python(named[REFRESHED])
        except ValidationError:
            return BadRow(row=row, code="InvalidRow", message="Report Refresh Date must be a date as YYYY-MM-DD.")
    given = []
    for column, workload in ACTIVE_COLUMNS.items():
        cell = named.get(column, "")
        if not cell:
            continue
        if _DIGITS.fullmatch(cell) is None or int(cell) > MAX_COUNT:
            return BadRow(row=row, code="InvalidRow", message=f"{column} must be a whole number.")
        if workload in licensing.workloads:
            line = UsageLine(month=f"{as_of:%Y-%m}", item=workload, active_users=int(cell))
            given.append(Given(line, as_of, (row,)))
    return given
