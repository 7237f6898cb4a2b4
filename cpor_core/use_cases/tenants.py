"""What the administrator of a customer's tenant sees: all requests, associations and receipts of that tenant."""

from collections.abc import Sequence
from datetime import datetime

from cpor_core.errors import Refused
from cpor_core.model.claim import Claim, Status
from cpor_core.ports import Ports
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.acts import find

NEVER_SHOWN = frozenset({Status.DRAFT, Status.DELETED})


async def cases_of(ports: Ports, tenant_id: str, now: datetime) -> Sequence[tuple[Case, Claim]]:
    """
    Return every request that the customer was or is to be told of, with its effective claim, newest first.

    Two range queries however many there are: a tenant's claims and slots lie in one partition.
    """
    loaded = await ports.claims.of_tenant(tenant_id)
    shown = [(case, settle(case, now).claim) for case in loaded]
    requests = [(case, claim) for case, claim in shown if is_request(claim)]
    return sorted(requests, key=lambda pair: list_position(pair[1].created_at, pair[1].id))


def is_request(shown: Claim) -> bool:
    """Whether the customer was told of the claim, or is about to be."""
    if shown.status in NEVER_SHOWN:
        return False
    return shown.told or shown.status is Status.AWAITING_CUSTOMER or shown.official_since is not None


async def request_of(ports: Ports, tenant_id: str, claim_id: str, now: datetime) -> Case:
    """Return one request of the tenant. Raises `NotFound`, for another tenant's too."""
    case = await find(ports, claim_id, now)
    if case is None or case.claim.tenant_id != tenant_id or not is_request(settle(case, now).claim):
        raise Refused("NotFound", "There is no such request.", resolution="List the requests of your tenant.")
    return case
