"""An organisation's claims as a table for a spreadsheet."""

from collections.abc import Callable, Iterator
from datetime import datetime

from cpor_core.errors import Refused
from cpor_core.model.base import rfc3339
from cpor_core.model.claim import Claim, Contact, Item, PartnerContact
from cpor_core.ports import Ports
from cpor_core.ports.claims import IndexRow
from cpor_core.rules.identifiers import tenant_of
from cpor_core.rules.spreadsheet import spreadsheet
from cpor_core.use_cases.claims.listing import load_own
from cpor_core.views import ClaimView, claim_view

MOST_ROWS = 50_000
"""The most claims in an export (decision 49)."""
MOST_LOOKED_AT = 2 * MOST_ROWS
"""The most claims that an export with filters reads."""
KEYS_AT_ONCE = 1_000
LOADED_AT_ONCE = 500


async def export(
    ports: Ports, organisation: str, now: datetime, *, wanted: Callable[[Claim], bool] | None, tenant_id: str | None
) -> bytes:
    """
    Return the organisation's claims as CSV, newest first. Only claims of *tenant_id* that are *wanted* are in the CSV.

    Makes two requests for each claim, and one more for each 1,000 claims. Raises `ExportTooLarge`. Without *wanted*,
    this is raised before any claim is read.
    """
    keys = await _keys(ports, organisation, tenant_id)
    _verify_size(len(keys), MOST_ROWS if wanted is None else MOST_LOOKED_AT)
    rows: list[tuple[str, ...]] = []
    terms = await ports.current_terms()
    for first in range(0, len(keys), LOADED_AT_ONCE):
        cases = await load_own(ports, organisation, keys[first : first + LOADED_AT_ONCE], now)
        found = [case for case in cases if wanted is None or wanted(case.claim)]
        rows += [tuple(cells_of(claim_view(case, terms))) for case in found]
        _verify_size(len(rows), MOST_ROWS)
    return spreadsheet(COLUMNS, rows)


async def _keys(ports: Ports, organisation: str, tenant_id: str | None) -> list[IndexRow]:
    """Return the keys of the organisation's claims of that tenant. The tenant is part of each claim id."""
    keys: list[IndexRow] = []
    after = ""
    while page := await ports.partner_claims.page(organisation, after=after, limit=KEYS_AT_ONCE):
        keys += [key for key in page if tenant_id in (None, tenant_of(key.claim_id))]
        after = page[-1].position
        if len(page) < KEYS_AT_ONCE:
            break
    return keys


def _verify_size(count: int, most: int) -> None:
    if count > most:
        raise Refused(
            "ExportTooLarge",
            f"An export has at most {MOST_ROWS} claims, and searches at most {MOST_LOOKED_AT} claims.",
            resolution="Filter the export by customerTenantId first, then by status, engagement or partnerId. Or use "
            "GET /claims.",
        )


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
)
"""The columns of the table."""


def cells_of(claim: ClaimView) -> Iterator[str]:
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


def _item(item: Item) -> str:
    return item.workload or f"{item.product} {item.subscription_id}"


def _person(person: Contact | PartnerContact | None) -> tuple[str, str]:
    return (person.name, person.email) if person is not None else ("", "")


def _instant(instant: datetime | None) -> str:
    return rfc3339(instant) if instant is not None else ""
