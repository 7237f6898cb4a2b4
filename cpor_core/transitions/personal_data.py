"""Erases personal data from a claim: one person on request, or all people some time after the claim was closed."""

from datetime import datetime
from typing import Any

from cpor_core.model.claim import (
    ERASED,
    ERASED_ADDRESS,
    Claim,
    Contact,
    Contacts,
    Evidence,
    PartnerContact,
    Recipient,
    Revenue,
    Status,
    TimeToAnswer,
)
from cpor_core.model.history import CLOCK, PROGRAMME, Act
from cpor_core.rules.file_names import is_same_file
from cpor_core.rules.person_matcher import Person
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import recipient_failed

NOBODY = Contact.model_construct(name=ERASED, email=ERASED_ADDRESS)
"""Replaces an erased contact at the customer. A submission refuses it (`ContactMissing`)."""
NOBODY_AT_PARTNER = PartnerContact.model_construct(name=ERASED, email=ERASED_ADDRESS)
"""Replaces the partner's erased contact. A submission refuses it too."""


def with_retention(case: Case, terms: Terms) -> Case:
    """Return the case with `people_until` for each closed claim. At this instant the people of the claim are erased."""
    rivals = {name: _with_retention(rival, terms) for name, rival in case.rivals.items()}
    changed = case.with_claims(_with_retention(case.claim, terms), rivals)
    return case if (changed.claim, changed.rivals) == (case.claim, case.rivals) else changed


def _with_retention(claim: Claim, terms: Terms) -> Claim:
    closed_at = claim.closed_at if claim.status is not Status.DELETED else None
    if (closed_at is None) is (claim.people_until is None):
        return claim
    until = terms.people_kept_until(max(closed_at, claim.updated_at)) if closed_at is not None else None
    return claim.model_copy(update={"people_until": until})


def erase_people(case: Case, at: datetime) -> Case:
    """Erase contacts, addresses, comment, revenue fields and evidence. Before `people_until`, do nothing."""
    if case.claim.people_until is None or case.claim.people_forgotten or at < case.claim.people_until:
        return case
    return case.record(
        Act.PERSONAL_DATA_ERASED,
        CLOCK,
        at,
        contacts=None,
        comment=None,
        revenue=None,
        recipients=tuple(_erased(recipient) for recipient in case.claim.recipients),
        evidence=(),
        mails=(),
        partner_mails=(),
        people_forgotten=True,
    )


def person_of(claim: Claim, address: str) -> Person:
    """Return the person at *address*, with the names that the claim has for this address."""
    person = Person(address)
    people = (*_contacts(claim), *claim.recipients)
    return Person(address, frozenset(one.name for one in people if one.name is not None and person.is_at(one.email)))


def is_contact(claim: Claim, person: Person) -> bool:
    """Whether the person is a contact of the claim."""
    return any(person.is_at(contact.email) for contact in _contacts(claim))


def _contacts(claim: Claim) -> tuple[Contact | PartnerContact, ...]:
    contacts = claim.contacts
    if contacts is None:
        return ()
    return tuple(c for c in (contacts.customer, contacts.customer_technical, contacts.partner) if c is not None)


def is_over(claim: Claim, at: datetime) -> bool:
    """Whether nothing more can happen to the claim."""
    return claim.closed_at is not None and claim.closed_at <= at


def erase_person(case: Case, person: Person, at: datetime, *, answer_by: TimeToAnswer) -> Case:
    """
    Erase one person. If the claim awaits the customer, this person's mail counts as failed (decisions 24, 25).

    If no other notified recipient is left, the partner must name another contact: a claim never becomes official
    without a notified customer. If a closed claim names the person as a contact, its evidence is erased too. A claim
    that does not name the person stays as it is.
    """
    claim = case.claim
    changes: dict[str, Any] = {
        "name": person.without(claim.name),
        "contacts": _contacts_without(claim.contacts, person),
        "comment": person.without(claim.comment) if claim.comment is not None else None,
        "reference": person.without(claim.reference) if claim.reference is not None else None,
        "revenue": _revenue_without(claim.revenue, person),
        "evidence": _evidence_without(claim.evidence, person),
    }
    if is_contact(claim, person) and is_over(claim, at):
        changes["evidence"] = ()
    if claim.status is Status.AWAITING_CUSTOMER and claim.promise is not None and not claim.promise.over:
        for recipient in claim.recipients:
            if person.is_at(recipient.email):
                case = recipient_failed(case, PROGRAMME, at, recipient.number, answer_by=answer_by)
    changes["recipients"] = tuple(
        _erased(recipient) if person.is_at(recipient.email) else recipient for recipient in case.claim.recipients
    )
    changes["mails"] = tuple(
        mail.model_copy(update={"reason": person.without(mail.reason)}) if mail.reason is not None else mail
        for mail in case.claim.mails
    )
    if all(value == getattr(case.claim, name) for name, value in changes.items()):
        return case
    if claim.status is Status.DELETED:  # its history is being deleted
        return case.changed(**changes)
    return case.record(Act.PERSONAL_DATA_ERASED, PROGRAMME, at, **changes)


def _erased(recipient: Recipient) -> Recipient:
    return recipient.model_copy(update={"email": ERASED_ADDRESS, "name": None, "failed": True})


def _contacts_without(contacts: Contacts | None, person: Person) -> Contacts | None:
    if contacts is None:
        return None
    technical = contacts.customer_technical
    return Contacts(
        customer=NOBODY if person.is_at(contacts.customer.email) else _contact_without(contacts.customer, person),
        customer_technical=_contact_without(technical, person)
        if technical is not None and not person.is_at(technical.email)
        else None,
        partner=NOBODY_AT_PARTNER
        if person.is_at(contacts.partner.email)
        else contacts.partner.model_copy(update={"name": person.without(contacts.partner.name)}),
    )


def _contact_without(contact: Contact, person: Person) -> Contact:
    """Return the contact of another person. The erased person's name is removed from its name and title."""
    title = person.without(contact.title) if contact.title is not None else None
    return contact.model_copy(update={"name": person.without(contact.name), "title": title})


def _evidence_without(evidence: tuple[Evidence, ...], person: Person) -> tuple[Evidence, ...]:
    """Remove the person's name from the names of the files. No two files get the same name."""
    used = [file.file_name for file in evidence]
    renamed = []
    for number, file in enumerate(evidence, start=1):
        name = person.without(file.file_name)
        if name != file.file_name and any(is_same_file(name, other) for other in used):
            name = f"{number}-{name}"
        used.append(name)
        renamed.append(file.model_copy(update={"file_name": name}))
    return tuple(renamed)


def _revenue_without(revenue: Revenue | None, person: Person) -> Revenue | None:
    if revenue is None:
        return None
    sent = revenue.model_dump(exclude_none=True)
    return Revenue(**{name: person.without(text) for name, text in sent.items()})
