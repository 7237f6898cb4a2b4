"""Ports for the registry of partners, customers and closed days, and for the tenants of domains."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Protocol

from cpor_core.model.registry import ClosedDay, Customer, Partner, RegisteredClosedDay
from cpor_core.ports.stored import Registered
from cpor_core.rules.business_days import ClosedDays


class Registry(Protocol):
    """Partners by location, customers by tenant, and closed days by calendar. A call makes at most one request."""

    async def partner(self, partner_id: str) -> Registered[Partner] | None:
        """Return a partner's location. None when it is not registered."""

    async def recent_partner(self, partner_id: str) -> Registered[Partner] | None:
        """
        Return a partner's location as it was registered at most 30 seconds ago, often without a request.

        A location that is not registered is looked up each time.
        """

    async def put_partner(self, partner_id: str, partner: Partner, former: Registered[Partner] | None) -> int:
        """Write over *former* (None: a new entry). Returns the new version. Raises `Conflict`."""

    async def add_location(self, organisation: str, partner_id: str) -> None:
        """Add a partnerId to the list of an organisation's locations, if it is not there already."""

    async def locations(self, organisation: str) -> Sequence[str]:
        """Return the partnerIds in an organisation's list. A listed location may not be registered (yet)."""

    def partners(self) -> AsyncIterator[tuple[str, Registered[Partner]]]:
        """Scan the table, and yield each location with its partnerId, in order."""

    async def customer(self, tenant_id: str) -> Registered[Customer] | None:
        """Return a customer's tenant. None when it is not registered."""

    async def put_customer(self, tenant_id: str, customer: Customer, former: Registered[Customer] | None) -> int:
        """Write over *former* (None: a new entry). Returns the new version. Raises `Conflict`."""

    def customers(self, *, after: str = "") -> AsyncIterator[tuple[str, Registered[Customer]]]:
        """Scan the table, and yield each customer's tenant after *after*, in order."""

    async def closed_days(self) -> ClosedDays:
        """Return all closed days. They are read once in five minutes, so the answer can be five minutes old."""

    async def all_closed_days(self) -> Sequence[RegisteredClosedDay]:
        """Return all closed days as they are stored now, the latest day first."""

    async def closed_day(self, calendar: str, day: date) -> Registered[ClosedDay] | None:
        """Return a closed day of a calendar. None when it is not registered."""

    async def put_closed_day(
        self, calendar: str, day: date, closed_day: ClosedDay, former: Registered[ClosedDay] | None
    ) -> int:
        """Write over *former* (None: a new entry). Returns the new version. Raises `Conflict`."""

    async def delete_closed_day(self, calendar: str, day: date, former: Registered[ClosedDay]) -> None:
        """Delete a closed day. Raises `Conflict` if it has changed since *former* was read."""


class Directory(Protocol):
    """
    The list of the partners, or of the customers, and the words by which a search finds an entry.

    An id is written before its entry. Each reader compares it with the entry.
    """

    async def add(self, entry_id: str, words: Sequence[str]) -> None:
        """Write an id with its words in one request. Words that earlier calls have written stay."""

    async def replace(self, entry_id: str, words: Sequence[str]) -> None:
        """Write an id, and make *words* its only words, usually in two requests."""

    async def page(self, *, after: str, limit: int) -> Sequence[str]:
        """Return up to *limit* ids after the id *after*, in order, with one request for each 1,000."""

    async def found(self, beginning: str, *, limit: int) -> Sequence[str]:
        """Return at most *limit* ids that have a word with this beginning, in no order. An id can come twice."""


class Domains(Protocol):
    """The tenants of domains, as the token issuer knows them."""

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        """Return the tenant of each domain. None for a domain without a tenant."""
