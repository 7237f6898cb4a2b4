"""How long a partner has time to answer a question about a claim."""

from datetime import datetime

from cpor_core.model.claim import Claim, TimeToAnswer
from cpor_core.ports import Ports


async def partner_answers_by(ports: Ports, claim: Claim, now: datetime) -> TimeToAnswer:
    """Return how long the claim's partner has time to answer if it is asked *now*."""
    found = await ports.registry.partner(claim.partner_id)
    terms = await ports.current_terms()
    return terms.partner_answers_by(now, found.value if found is not None else None)
