"""What the administrator of a customer's tenant sees: all requests, associations and receipts of that tenant."""

from collections.abc import Sequence
from datetime import datetime

from cpor_core.errors import Refused
from cpor_core.model.claim import THE_ADMINISTRATOR, Claim, No, RecipientKind, Speaker, Status, Voice
from cpor_core.model.history import ADMINISTRATOR, Act, Entry
from cpor_core.ports import Ports
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import find

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
    return await with_no(ports, case)


async def with_no(ports: Ports, case: Case) -> Case:
    """Return the case with its no: one that an earlier release took stands in the history only."""
    claim = case.claim
    if claim.status is not Status.DECLINED or claim.no is not None:
        return case
    history = await ports.claims.history(claim.id, after=0, limit=claim.history_length)
    said = next((entry for entry in reversed(history) if entry.act is Act.DECLINED), None)
    return case.changed(no=No(by=_speaker(claim, said), at=said.at)) if said is not None else case


def _speaker(claim: Claim, said: Entry) -> Speaker:
    """Return who said it: a recipient as the kind as which they were told."""
    if said.actor == ADMINISTRATOR:
        return THE_ADMINISTRATOR
    number = int(said.actor.id)
    kind = next((recipient.kind for recipient in claim.recipients if recipient.number == number), None)
    voice = Voice.CONTACT if kind is RecipientKind.CONTACT else Voice.NOTICE_ADDRESS
    return Speaker(voice=voice, recipient=number)
