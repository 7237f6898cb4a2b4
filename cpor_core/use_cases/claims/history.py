"""The history as it stands now: what is stored, and what time has made since."""

from collections.abc import Sequence
from datetime import datetime

from cpor_core.model.history import Entry
from cpor_core.ports import Ports
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import settle


async def history_as_of(ports: Ports, case: Case, now: datetime, *, after: int, limit: int) -> Sequence[Entry]:
    """
    Return up to *limit* entries behind sequence *after*, oldest first.

    An entry that time has made bears the same instant and hash as when the timer writes it later (rulings 14).
    """
    stored = list(await ports.claims.history(case.claim.id, after=after, limit=limit))
    known = case.claim.history_length
    made = [entry for claim_id, entry in settle(case, now).entries if claim_id == case.claim.id]
    return [*(entry for entry in stored if entry.sequence <= known), *(e for e in made if e.sequence > after)][:limit]
