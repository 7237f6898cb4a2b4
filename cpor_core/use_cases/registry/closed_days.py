"""Closed days. The operator registers days off that are not in the holiday data."""

from collections.abc import Sequence
from datetime import date

from cpor_core.errors import Conflict, Detail, Refused
from cpor_core.model.registry import ClosedDay, RegisteredClosedDay
from cpor_core.ports import Ports
from cpor_core.ports.stored import Registered
from cpor_core.rules.business_days import verify_country
from cpor_core.use_cases.registry.partners_and_customers import Written, changed_meanwhile, own_write, verify_match


async def page(ports: Ports, *, after: str, limit: int) -> tuple[Sequence[RegisteredClosedDay], str | None]:
    """Return closed days after the position *after*, the latest day first, and the position of the next page."""
    everything = await ports.registry.all_closed_days()
    rest = [one for one in everything if not after or _position(one) < after]
    return rest[:limit], _position(rest[limit - 1]) if len(rest) > limit else None


async def find(ports: Ports, calendar: str, day: date) -> Registered[ClosedDay]:
    """Return a closed day. Raises `NotFound`."""
    found = await ports.registry.closed_day(calendar, day)
    if found is None:
        raise Refused("NotFound", "There is no such closed day.", resolution="GET /closed-days lists them.")
    return found


async def put(ports: Ports, calendar: str, day: date, closed_day: ClosedDay, if_match: str | None) -> Written:
    """
    Register a closed day of a country (`FR`) or of one subdivision (`GB-SCT`). Windows that were promised do not move.

    Raises `PreconditionFailed`.
    """
    former = await ports.registry.closed_day(calendar, day)
    verify_match(if_match, former)
    try:
        return Written(await ports.registry.put_closed_day(calendar, day, closed_day, former), former is None)
    except Conflict:
        return own_write(await ports.registry.closed_day(calendar, day), closed_day, former)


async def delete(ports: Ports, calendar: str, day: date, if_match: str | None) -> None:
    """Delete a closed day. Windows that were promised do not move. Raises `NotFound`, `PreconditionFailed`."""
    former = await find(ports, calendar, day)
    verify_match(if_match, former)
    try:
        await ports.registry.delete_closed_day(calendar, day, former)
    except Conflict:
        if await ports.registry.closed_day(calendar, day) is not None:  # otherwise the closed day is deleted already
            raise changed_meanwhile() from None


def verify_calendar(calendar: str) -> None:
    """Raise `ValidationFailed` unless *calendar* is a country, or a subdivision that the holiday data has."""
    country, dash, subdivision = calendar.partition("-")
    try:
        verify_country(country, subdivision if dash else None)
    except ValueError as error:
        detail = Detail("ValidationFailed", str(error), "calendar", "Use ISO 3166 codes, such as FR or GB-SCT.")
        raise Refused(
            "ValidationFailed",
            detail.message,
            target=detail.target,
            resolution=detail.resolution,
            details=(detail,),
        ) from None


def _position(one: RegisteredClosedDay) -> str:
    return f"{one.date}|{one.calendar}"
