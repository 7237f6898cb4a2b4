"""Partners, customers and closed days, and whose a domain is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Protocol

from cpor_core.model.registry import ClosedDay, Customer, Partner, RegisteredClosedDay
from cpor_core.ports.stored import Registered
from cpor_core.rules.business_days import ClosedDays


class Registry(Protocol):
    """Partners by location, customers by tenant, closed days by place; each call is one request."""

    async def partner(self, partner_id: str) -> Registered[Partner] | None:
        """Return a partner's location."""

    async def put_partner(self, partner_id: str, partner: Partner, former: Registered[Partner] | None) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""

    async def customer(self, tenant_id: str) -> Registered[Customer] | None:
        """Return a customer's tenant."""

    async def put_customer(self, tenant_id: str, customer: Customer, former: Registered[Customer] | None) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""

    def customers(self, *, after: str = "") -> AsyncIterator[tuple[str, Registered[Customer]]]:
        """Yield every customer's tenant behind *after*, in order: a scan, for what must see everything."""

    async def closed_days(self) -> ClosedDays:
        """Return all closed days as they were at most five minutes ago: one request in that time, or none."""

    async def all_closed_days(self) -> Sequence[RegisteredClosedDay]:
        """Return all closed days as they are now, the last one first."""

    async def closed_day(self, calendar: str, day: date) -> Registered[ClosedDay] | None:
        """Return a place's closed day."""

    async def put_closed_day(
        self, calendar: str, day: date, closed_day: ClosedDay, former: Registered[ClosedDay] | None
    ) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""

    async def delete_closed_day(self, calendar: str, day: date, former: Registered[ClosedDay]) -> None:
        """Delete what was read. Raises `Conflict`."""


class Domains(Protocol):
    """Whose a domain is, by those who know: the issuer of the tokens."""

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        """Return the tenant of each domain, None for one that no tenant has."""
