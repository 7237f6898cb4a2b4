"""Computes the time that a partner has to answer a question about a claim."""

from datetime import datetime

from cpor_core.model.claim import Claim, TimeToAnswer
from cpor_core.ports import Ports


async def partner_answers_by(ports: Ports, claim: Claim, now: datetime) -> TimeToAnswer:
    """Return the time that the claim's partner has to answer a question of *now*."""
    found = await ports.registry.partner(claim.partner_id)
    terms = await ports.current_terms()
    return terms.partner_answers_by(now, found.value if found is not None else None)
