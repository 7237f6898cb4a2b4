"""
Imported associations whose customer was not notified: the operator's list, and the mail to other people.

The partner gets the association's figures after the hand-over of a mail. If the mail has come back from all recipients,
the partner gets no figures (decision 65).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from cpor_core.due_work import Kind
from cpor_core.model.base import Email, Text200, Value
from cpor_core.model.claim import Recipient, RecipientKind
from cpor_core.model.registry import Customer
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.use_cases.change_claim import UNTOLD, change_claim, untold_position
from cpor_core.use_cases.claims.listing import Page
from cpor_core.use_cases.claims.reviews import verified


class CustomerContact(Value):
    """The person at the customer who is notified of an imported association."""

    name: Text200
    email: Email


def people_to_notify(customer: Customer, contact: CustomerContact | None = None) -> Sequence[Recipient]:
    """
    Return the recipients of the mail about an import: the contact and the notice addresses, each address once.

    A contact is left out if its address is not in a verified domain of the tenant.
    """
    wanted: list[tuple[RecipientKind, str, str | None]] = []
    if contact is not None and customer.has_address(contact.email):
        wanted.append((RecipientKind.CONTACT, contact.email, contact.name))
    wanted += [(RecipientKind.NOTICE_ADDRESS, address, None) for address in customer.notice_addresses]
    people: dict[str, Recipient] = {}
    for kind, email, name in wanted:
        made = Recipient(number=len(people) + 1, kind=kind, email=email, name=name, language=customer.language)
        people.setdefault(email.lower(), made)
    return tuple(people.values())


def waiting_for_others(cases: Iterable[StoredCase], people: Sequence[Recipient], now: datetime) -> Sequence[Case]:
    """Return the cases that have no notified person, but for which a person of *people* can be notified."""
    settled = (life.settle(stored, now) for stored in cases)
    return [case for case in settled if life.notify_others(case, now, people) is not case]


async def notify_others(ports: Ports, tenant_id: str, now: datetime) -> None:
    """Make the mail due for the people who are registered for the tenant now. A repeated call does no harm."""
    known = await ports.registry.customer(tenant_id)
    if known is None:
        return
    people = people_to_notify(known.value)
    for case in waiting_for_others(await ports.claims.of_tenant(tenant_id), people, now):
        await notify(ports, case, people, now)


async def notify(ports: Ports, case: Case, people: Sequence[Recipient], now: datetime) -> Case:
    """Make the mail about one association due for *people*, if no other person was notified."""
    return await change_claim(ports, case, now, lambda current: life.notify_others(current, now, people))


def due_row(tenant_id: str, now: datetime) -> DueRow:
    """Return the due row of `notify_others`. It must be written before the registry's new entry."""
    return DueRow(now, tenant_id, Kind.NOTIFY_OTHERS)


async def untold_associations(ports: Ports, now: datetime, *, after: str, limit: int) -> Page:
    """Return a page of the imported associations whose customer was not notified, the oldest import first."""
    return await verified(ports, UNTOLD, untold_position, now, after=after, limit=limit)
