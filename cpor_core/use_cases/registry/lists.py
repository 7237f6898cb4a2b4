"""The lists of partners and customers: whole, or with a search (decision 55b)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cpor_core.model.registry import Customer, Partner
from cpor_core.ports import Ports
from cpor_core.ports.registry import Directory
from cpor_core.ports.stored import Registered
from cpor_core.rules.search_words import (
    MOST_FOUND,
    has_all,
    texts_of_customer,
    texts_of_partner,
    too_many,
    words_asked,
)
from cpor_core.use_cases.together import together

Entry = TypeVar("Entry", Partner, Customer)
IN_FLIGHT = 32
"""The most entries that are read at the same time."""
MOST_LOOKED_AT = 500
"""The most entries that one call reads."""


async def partners(
    ports: Ports, query: str | None, *, after: str, limit: int
) -> tuple[Sequence[tuple[str, Partner]], str | None]:
    """
    Return locations after the partnerId *after*, in the order of the partnerIds, and the position of the next page.

    Without *query* the list has all locations. Makes one request for the ids, and one for each location that is read,
    at most 500. So a page can be short although it is not the last. Raises `ValidationFailed` for a query whose longest
    word leads to more than 10,000 locations.
    """
    return await _page(ports.partners, ports.registry.partner, texts_of_partner, query, after=after, limit=limit)


async def customers(
    ports: Ports, query: str | None, *, after: str, limit: int
) -> tuple[Sequence[tuple[str, Customer]], str | None]:
    """Return customers after the tenant *after*, in the order of the tenants, like `partners`."""
    return await _page(ports.customers, ports.registry.customer, texts_of_customer, query, after=after, limit=limit)


async def _page(
    directory: Directory,
    read: Callable[[str], Awaitable[Registered[Entry] | None]],
    texts_of: Callable[[str, Entry], Sequence[str]],
    query: str | None,
    *,
    after: str,
    limit: int,
) -> tuple[Sequence[tuple[str, Entry]], str | None]:
    asked = words_asked(query) if query is not None else ()
    ids, is_end = await _ids(directory, asked, after, min(limit, MOST_LOOKED_AT))
    found: list[tuple[str, Entry]] = []
    at_once = min(limit, IN_FLIGHT)
    for first in range(0, len(ids), at_once):
        group = ids[first : first + at_once]
        entries = await together(map(read, group))
        for entry_id, entry in zip(group, entries, strict=True):
            if entry is None or not has_all(asked, texts_of(entry_id, entry.value)):
                continue
            found.append((entry_id, entry.value))
            if len(found) == limit:
                return found, None if is_end and entry_id == ids[-1] else entry_id
    return found, None if is_end else ids[-1]


async def _ids(directory: Directory, asked: Sequence[str], after: str, limit: int) -> tuple[Sequence[str], bool]:
    """Return the ids after *after* that one call reads, in order, and whether no id follows them."""
    if not asked:
        ids = await directory.page(after=after, limit=limit)
        return ids, len(ids) < limit
    found = await directory.found(asked[0], limit=MOST_FOUND + 1)
    if len(found) > MOST_FOUND:
        raise too_many(asked[0])
    rest = sorted({entry_id for entry_id in found if entry_id > after})
    return rest[:MOST_LOOKED_AT], len(rest) <= MOST_LOOKED_AT
