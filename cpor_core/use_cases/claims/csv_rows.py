"""The rows of a table with claims, for a spreadsheet."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cpor_core.model.base import rfc3339
from cpor_core.model.claim import Contact, Item, PartnerContact
from cpor_core.model.export import ClaimFilter
from cpor_core.ports import Ports
from cpor_core.ports.claims import IndexRow
from cpor_core.use_cases.claims.listing import fits, load_own
from cpor_core.views import OwnClaimView, own_claim_view

COLUMNS = (
    "id",
    "name",
    "status",
    "statusReason",
    "engagement",
    "partnerId",
    "customerTenantId",
    "customerDomain",
    "items",
    "competing",
    "nextStepOwner",
    "nextStepAction",
    "nextStepDue",
    "windowEndsAt",
    "associatedSince",
    "associationEndedAt",
    "endReason",
    "createdAt",
    "submittedAt",
    "updatedAt",
    "customerContactName",
    "customerContactEmail",
    "technicalContactName",
    "technicalContactEmail",
    "partnerContactName",
    "partnerContactEmail",
    "reference",
)
"""The columns of the table."""


async def rows_of(
    ports: Ports, organisation: str, wanted: ClaimFilter, keys: Sequence[IndexRow], now: datetime
) -> Sequence[Sequence[str]]:
    """Return a row for each wanted claim of these keys, in the order of the keys. Two requests for each claim."""
    terms = await ports.current_terms()
    cases = await load_own(ports, organisation, keys, now)
    return [tuple(cells_of(own_claim_view(case, terms))) for case in cases if fits(wanted, case, terms)]


def cells_of(claim: OwnClaimView) -> Iterator[str]:
    """Yield the cells of a claim."""
    yield from (claim.id, claim.name, claim.status, claim.status_reason or "", claim.engagement, claim.partner_id)
    yield from (claim.customer.tenant_id, claim.customer.domain)
    yield "; ".join(_item(item) for item in claim.items)
    yield "true" if claim.competing else "false"
    yield from (claim.next_step.owner, claim.next_step.action, _instant(claim.next_step.due))
    yield _instant(claim.window.ends_at if claim.window is not None else None)
    association = claim.association
    if association is not None:
        yield from (_instant(association.since), _instant(association.ended_at), association.end_reason or "")
    else:
        yield from ("", "", "")
    yield from (_instant(claim.created_at), _instant(claim.submitted_at), _instant(claim.updated_at))
    contacts = claim.contacts
    yield from _person(contacts.customer if contacts is not None else None)
    yield from _person(contacts.customer_technical if contacts is not None else None)
    yield from _person(contacts.partner if contacts is not None else None)
    yield claim.reference or ""


def _item(item: Item) -> str:
    return item.workload or f"{item.product} {item.subscription_id}"


def _person(person: Contact | PartnerContact | None) -> tuple[str, str]:
    return (person.name, person.email) if person is not None else ("", "")


def _instant(instant: datetime | None) -> str:
    return rfc3339(instant) if instant is not None else ""
