"""The registered partners and customers of claims, for lists that show their names."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports import Ports
from cpor_core.ports.stored import Registered
from cpor_core.use_cases.together import read_together

Entry = TypeVar("Entry", bound=Value)


async def partners_of(ports: Ports, claims: Iterable[Claim]) -> Mapping[str, Partner]:
    """Return the registered locations of claims, by partnerId. A location that was read recently takes no request."""
    return await _read(ports.registry.recent_partner, (claim.partner_id for claim in claims))


async def customers_of(ports: Ports, claims: Iterable[Claim]) -> Mapping[str, Customer]:
    """Return the registered customers of claims, by tenant id. Makes one request for each tenant."""
    return await _read(ports.registry.customer, (claim.tenant_id for claim in claims))


async def _read(read: Callable[[str], Awaitable[Registered[Entry] | None]], ids: Iterable[str]) -> Mapping[str, Entry]:
    entry_ids = tuple(dict.fromkeys(ids))
    found = zip(entry_ids, await read_together(map(read, entry_ids)), strict=True)
    return {entry_id: entry.value for entry_id, entry in found if entry is not None}
