"""The registry of partners and customers. A partner is registered by location, and a customer by tenant."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cpor_core.due_work import Kind
from cpor_core.errors import Conflict, Detail, Refused
from cpor_core.model.registry import ClosedDay, Customer, Partner
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.registry import Directory
from cpor_core.ports.stored import Registered
from cpor_core.rules.entity_tags import matches
from cpor_core.rules.input_faults import refused_fields
from cpor_core.rules.registry_entry import faults_of_customer, faults_of_partner
from cpor_core.rules.search_words import texts_of_customer, texts_of_partner, words_stored
from cpor_core.use_cases.claims.subscription_ends import Ending, due_rows, end_gone_items, endings, takes_away
from cpor_core.use_cases.programme.follow import registered_row
from cpor_core.use_cases.register.untold import due_row, notify_others, people_to_notify, waiting_for_others
from cpor_core.use_cases.together import read_together

Entry = TypeVar("Entry", Partner, Customer, ClosedDay)


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a write: the entry's version, and whether the entry is new."""

    version: int
    new: bool


async def put_partner(ports: Ports, partner_id: str, partner: Partner, if_match: str | None, now: datetime) -> Written:
    """
    Register a partner's location.

    Raises `ValidationFailed` with all faults, `EngagementUnknown`, `PreconditionFailed`, and `OrganisationFixed` when
    the location would move to another organisation.
    """
    _verify(faults_of_partner(_as_sent(partner), ports.catalogue))
    former = await ports.registry.partner(partner_id)
    if former is not None and former.value.entra_tenant_id != partner.entra_tenant_id:
        raise Refused(
            "OrganisationFixed",
            "A partnerId stays with its organisation.",
            target="entraTenantId",
            resolution="Register a new partnerId for the other organisation.",
        )
    verify_match(if_match, former)
    words = words_stored(texts_of_partner(partner_id, partner))
    former_words = words_stored(texts_of_partner(partner_id, former.value)) if former is not None else None
    await ports.registry.add_location(partner.entra_tenant_id, partner_id)  # first, so that no location lacks it
    if former is not None and former.value.name != partner.name:
        await ports.duework.add([registered_row(Kind.FOLLOW_PARTNER, partner_id, former.version + 1, now)])
    async with _listed(ports.partners, partner_id, former_words, words):
        try:
            return Written(await ports.registry.put_partner(partner_id, partner, former), former is None)
        except Conflict:
            return own_write(await ports.registry.partner(partner_id), partner, former)


@asynccontextmanager
async def _listed(
    directory: Directory, entry_id: str, former: Sequence[str] | None, words: Sequence[str]
) -> AsyncIterator[None]:
    """
    Write an entry's id and *words* before the entry is stored inside, and delete the *former* words after it.

    If the process dies in between, the list has words that are not true. A search reads the entry before it shows it.
    Equal words cost no request. Otherwise this makes one request for a new entry, and three for a change.
    """
    if words == former:
        yield
        return
    await directory.add(entry_id, words)
    yield
    if former is not None:
        await directory.replace(entry_id, words)


async def locations(ports: Ports, organisation: str) -> Sequence[tuple[str, Partner]]:
    """
    Return the registered locations of an organisation with their partnerIds, in the order of these.

    Makes a request, and one for each location. A location that was registered before the list of locations existed is
    missing until its next PUT or a rebuild.
    """
    listed = await ports.registry.locations(organisation)
    found = await read_together(map(ports.registry.partner, listed))
    return [
        (partner_id, entry.value)
        for partner_id, entry in zip(listed, found, strict=True)
        if entry is not None and entry.value.entra_tenant_id == organisation
    ]


@dataclass(frozen=True, slots=True)
class CustomerChange:
    """
    A customer as the operator sends it.

    With `only_validate`, nothing is stored. `confirmed_ends` is the number of associations that the operator agrees to
    end.
    """

    tenant_id: str
    customer: Customer
    if_match: str | None = None
    only_validate: bool = False
    confirmed_ends: int | None = None


MOST_UNCONFIRMED_ENDS = 5
"""The most associations that can end without the operator's confirmation of their number (decision 32)."""


async def put_customer(ports: Ports, change: CustomerChange, now: datetime) -> tuple[Written, Sequence[Ending]]:
    """
    Register a customer's tenant. Returns the registered version, and the items that end.

    If the customer was not notified of an imported association, the notice addresses are notified now (decision 65).

    Raises `ValidationFailed` with all faults, `TimeZoneElsewhere`, `PreconditionFailed`, and `WouldEndAssociations`
    when more than five associations would end without confirmation. With domain checks, it also raises
    `DomainNotOnTenant`, or a fault when the token issuer does not answer. After any of these nothing is written.
    """
    tenant_id, customer = change.tenant_id, change.customer
    _verify(faults_of_customer(_as_sent(customer), ports.catalogue))
    former = await ports.registry.customer(tenant_id)
    verify_match(change.if_match, former)
    cases = await ports.claims.of_tenant(tenant_id) if former is not None else ()
    ends = endings(cases, customer, now) if cases else ()
    count = sum(ending.association for ending in ends)
    if not change.only_validate and count > MOST_UNCONFIRMED_ENDS and change.confirmed_ends != count:
        raise Refused(
            "WouldEndAssociations",
            f"{count} associations would end, because their items are no longer on the tenant.",
            target="subscriptions",
            resolution=f"Check them with validate=true. If they should end, send confirmEnds={count}.",
        )
    await _verify_domains(ports, change, former)
    if change.only_validate:
        return Written(former.version if former is not None else 0, new=False), ends
    to_notify = waiting_for_others(cases, people_to_notify(customer), now)
    rows: list[DueRow] = []
    if former is None or former.value != customer:
        rows.append(registered_row(Kind.FOLLOW_CUSTOMER, tenant_id, former.version + 1 if former else 1, now))
    if ends or (former is not None and takes_away(former.value, customer)):
        rows += due_rows(tenant_id, now)
    if to_notify:
        rows.append(due_row(tenant_id, now))
    if rows:
        await ports.duework.add(rows)
    words = words_stored(texts_of_customer(tenant_id, customer))
    former_words = words_stored(texts_of_customer(tenant_id, former.value)) if former is not None else None
    async with _listed(ports.customers, tenant_id, former_words, words):
        try:
            written = Written(await ports.registry.put_customer(tenant_id, customer, former), former is None)
        except Conflict:
            written = own_write(await ports.registry.customer(tenant_id), customer, former)
    if ends:
        await end_gone_items(ports, tenant_id, now)
    if to_notify:
        await notify_others(ports, tenant_id, now)
    return written, ends


def registry_etag(version: int) -> str:
    """Return the ETag of an entry in this version."""
    return f'"{version}"'


def own_write(stored: Registered[Entry] | None, wanted: Entry, former: Registered[Entry] | None) -> Written:
    """
    Return our own write after a conflict. Raises `PreconditionFailed` if another caller wrote the stored entry.

    The SDK repeats a write when the answer of storage was lost. If the first try has written *wanted*, the second try
    causes a conflict.
    """
    version = former.version + 1 if former is not None else 1
    if stored is None or stored.value != wanted or stored.version != version:
        raise changed_meanwhile()
    return Written(version, former is None)


def _as_sent(entry: Entry) -> Mapping[str, object]:
    return entry.model_dump(mode="json", by_alias=True)


def _verify(faults: Iterable[Detail]) -> None:
    """Raise one refusal with all *faults*. Its code is `ValidationFailed`, or one of `SPECIFIC_CODES`."""
    details = tuple(faults)
    if not details:
        return
    refused = refused_fields(details)
    kinds = {detail.code for detail in details}
    if len(kinds) == 1 and kinds <= SPECIFIC_CODES:
        raise Refused(
            kinds.pop(), details[0].message, target=refused.target, resolution=details[0].resolution, details=details
        )
    raise refused


SPECIFIC_CODES = frozenset({"EngagementUnknown", "TimeZoneElsewhere"})
"""If all faults have the same one of these codes, the refusal has this code too."""


async def _verify_domains(ports: Ports, change: CustomerChange, former: Registered[Customer] | None) -> None:
    """
    Raise `DomainNotOnTenant` unless each new domain belongs to the tenant. Does nothing without domain checks.

    If a wrong domain were registered, people of another organisation could act for this customer. Registered domains
    are not checked again, because a change of subscriptions must not wait for the token issuer.
    """
    if ports.domains is None:
        return
    registered = {domain.lower() for domain in former.value.domains} if former is not None else set()
    tenants = await ports.domains.tenants([name for name in change.customer.domains if name.lower() not in registered])
    details = []
    for number, domain in enumerate(change.customer.domains):
        tenant = tenants.get(domain, change.tenant_id)
        if tenant is None:
            details.append(
                Detail(
                    "DomainUnknown",
                    f"No tenant has verified the domain {domain}.",
                    f"domains[{number}]",
                    "Check the spelling. The customer's administrator can verify the domain in their tenant.",
                )
            )
        elif tenant != change.tenant_id:
            details.append(
                Detail(
                    "DomainOfAnotherTenant",
                    f"The domain {domain} belongs to the tenant {tenant}.",
                    f"domains[{number}]",
                    "Check the spelling of the domain and the tenant's id.",
                )
            )
    if details:
        raise Refused(
            "DomainNotOnTenant",
            f"{len(details)} of the domains do not belong to the tenant.",
            target="domains",
            resolution="Correct the domains that the details name, or leave them out.",
            details=details,
        )


def verify_match(if_match: str | None, former: Registered[Entry] | None) -> None:
    """Raise `PreconditionFailed` unless If-Match has the stored version. `*` matches any existing entry."""
    if if_match is not None and (former is None or not matches(if_match, registry_etag(former.version))):
        raise changed_meanwhile()


def changed_meanwhile() -> Refused:
    """Return the refusal of a request with a version that is no longer the newest."""
    return Refused(
        "PreconditionFailed",
        "The entry has changed since you read it.",
        target="If-Match",
        resolution="Read it again and repeat the request.",
    )
