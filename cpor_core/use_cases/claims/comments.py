"""Comments, by both sides, in every state."""

from datetime import datetime
from typing import Any

from cpor_core.model.history import PROGRAMME, Act, Actor
from cpor_core.ports import Ports
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import ActContext, change_claim


async def comment(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """Keep the words of *context* beside an entry of the history; a reviewer's settle what they were to look at."""
    settles: dict[str, Any] = {"look_at": None} if actor == PROGRAMME else {}

    def judge(current: Case) -> Case:
        # Words that come after people were forgotten are kept their time too, from now on.
        anew: dict[str, Any] = (
            {"people_until": None, "people_forgotten": False} if current.claim.people_forgotten else {}
        )
        return current.record(Act.COMMENTED, actor, now, **settles, **anew)

    return await change_claim(ports, case, now, judge, context)
