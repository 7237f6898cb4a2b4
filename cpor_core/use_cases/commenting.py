"""Comments, by both sides, in every state."""

from datetime import datetime

from cpor_core.model.history import PROGRAMME, Act, Actor
from cpor_core.ports import Ports
from cpor_core.transitions.case import Case
from cpor_core.use_cases.acts import Intent, act


async def comment(ports: Ports, case: Case, actor: Actor, now: datetime, intent: Intent) -> Case:
    """Keep the words of *intent* beside an entry of the history; a reviewer's settle what they were to look at."""
    settles = {"look_at": None} if actor == PROGRAMME else {}
    return await act(ports, case, now, lambda current: current.record(Act.COMMENTED, actor, now, **settles), intent)
