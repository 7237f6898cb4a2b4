"""The history of a claim as of now: the stored entries, and the entries that time has made since."""

from collections.abc import Sequence

from cpor_core.model.history import Entry
from cpor_core.ports import Ports
from cpor_core.transitions.claim_case import Case


async def history_as_of(ports: Ports, case: Case, *, after: int, limit: int) -> Sequence[Entry]:
    """
    Return up to *limit* entries of a claim's history after the sequence *after*, as of the case's instant, in order.

    If time has made an entry that the timer has not stored yet, the entry already has its final instant and hash
    (decision 14).
    """
    stored = list(await ports.claims.history(case.claim.id, after=after, limit=limit))
    known = case.stored.claim.history_length
    made = [entry for claim_id, entry in case.entries if claim_id == case.claim.id]
    return [*(entry for entry in stored if entry.sequence <= known), *(e for e in made if e.sequence > after)][:limit]
