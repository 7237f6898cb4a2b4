"""Comments of both sides, in each state."""

from datetime import datetime
from typing import Any

from cpor_core.model.history import PROGRAMME, Act, Actor
from cpor_core.ports import Ports
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import ActContext, change_claim


async def add_comment(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """
    Write the comment of *context* with its history entry.

    A comment of the programme settles what a reviewer was asked to look at.
    """
    settles: dict[str, Any] = {"look_at": None} if actor == PROGRAMME else {}

    def judge(current: Case) -> Case:
        # The comment came after personal data was erased: its own retention begins now.
        anew: dict[str, Any] = (
            {"people_until": None, "people_forgotten": False} if current.claim.people_forgotten else {}
        )
        return current.record(Act.COMMENTED, actor, now, **settles, **anew)

    return await change_claim(ports, case, now, judge, context)
