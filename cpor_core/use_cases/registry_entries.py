"""The registered partners and customers of claims, for lists that show or search their names."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from cpor_core.model.base import Value
from cpor_core.model.claim import Claim
from cpor_core.model.registry import Customer, Partner
from cpor_core.ports import Ports
from cpor_core.ports.stored import Registered
from cpor_core.rules.search_words import texts_of_customer, texts_of_partner
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


class Entries:
    """The entries of some claims, for one answer. Each registered entry is read once."""

    def __init__(self, ports: Ports) -> None:
        """Read nothing yet."""
        self._ports = ports
        self._partners: dict[str, Partner] = {}
        self._customers: dict[str, Customer] = {}

    async def read(self, claims: Iterable[Claim]) -> None:
        """Read the partners and customers of *claims* that were not read before."""
        claims = list(claims)
        partners, customers = await asyncio.gather(
            partners_of(self._ports, (claim for claim in claims if claim.partner_id not in self._partners)),
            customers_of(self._ports, (claim for claim in claims if claim.tenant_id not in self._customers)),
        )
        self._partners.update(partners)
        self._customers.update(customers)

    def partner_name(self, claim: Claim) -> str:
        """Return the registered name of a claim's location, or its name at the submission if it is not registered."""
        return partner_name(claim, self._partners)

    def customer_name(self, claim: Claim) -> str | None:
        """Return the registered name of a claim's customer. None if the tenant is not registered."""
        customer = self._customers.get(claim.tenant_id)
        return customer.name if customer is not None else None

    def texts_of(self, claim: Claim) -> Iterable[str]:
        """Yield the texts by which the programme finds a claim: ids, and names and domains of the registry."""
        yield from (claim.id, claim.tenant_id, claim.partner_id, claim.organisation)
        if claim.partner_id in self._partners:
            yield from texts_of_partner(claim.partner_id, self._partners[claim.partner_id])
        if claim.tenant_id in self._customers:
            yield from texts_of_customer(claim.tenant_id, self._customers[claim.tenant_id])


def partner_name(claim: Claim, partners: Mapping[str, Partner]) -> str:
    """Return the registered name of a claim's location, or its name at the submission if it is not registered."""
    return partners[claim.partner_id].name if claim.partner_id in partners else claim.partner_name
