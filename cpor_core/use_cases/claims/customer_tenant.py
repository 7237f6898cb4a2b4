"""The view of a customer's administrator: all requests and associations of the tenant."""

from collections.abc import Sequence
from dataclasses import replace
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


async def cases_of(ports: Ports, tenant_id: str, now: datetime) -> Sequence[Case]:
    """
    Return the requests of a tenant as of *now*, newest first. A request is a claim as `is_request` defines it.

    Makes two range queries for any number of claims, because a tenant's claims and slots are in one partition.
    """
    cases = [settle(stored, now) for stored in await ports.claims.of_tenant(tenant_id)]
    requests = [case for case in cases if is_request(case)]
    return sorted(requests, key=lambda case: list_position(case.claim.created_at, case.claim.id))


def is_request(case: Case) -> bool:
    """Whether the customer was notified of the claim, or will be."""
    claim = case.claim
    if claim.status in NEVER_SHOWN:
        return False
    return claim.told or claim.status is Status.AWAITING_CUSTOMER or claim.official_since is not None


async def request_of(ports: Ports, tenant_id: str, claim_id: str, now: datetime) -> Case:
    """Return a request of the tenant. Raises `NotFound`, also for a request of another tenant."""
    case = await find(ports, claim_id, now)
    if case is None or case.claim.tenant_id != tenant_id or not is_request(case):
        raise Refused("NotFound", "There is no such request.", resolution="List the requests of your tenant.")
    return await with_no(ports, case)


async def with_no(ports: Ports, case: Case) -> Case:
    """Return the case with its no. An earlier release stored a no only in the history."""
    claim = case.stored.claim
    if claim.status is not Status.DECLINED or claim.no is not None:
        return case
    history = await ports.claims.history(claim.id, after=0, limit=claim.history_length)
    said = next((entry for entry in reversed(history) if entry.act is Act.DECLINED), None)
    if said is None:
        return case
    no = No(by=_speaker(claim, said), at=said.at)
    return settle(replace(case.stored, claim=claim.model_copy(update={"no": no})), case.now)


def _speaker(claim: Claim, said: Entry) -> Speaker:
    """Return who said the no. The kind of the recipient gives the voice."""
    if said.actor == ADMINISTRATOR:
        return THE_ADMINISTRATOR
    number = int(said.actor.id)
    kind = next((recipient.kind for recipient in claim.recipients if recipient.number == number), None)
    voice = Voice.CONTACT if kind is RecipientKind.CONTACT else Voice.NOTICE_ADDRESS
    return Speaker(voice=voice, recipient=number)
