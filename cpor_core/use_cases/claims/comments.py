"""Comments of the partner, the customer and the programme. A claim takes them in each state."""

from datetime import datetime
from typing import Any

from cpor_core.model.history import PROGRAMME, Act, Actor
from cpor_core.ports import Ports
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import ActContext, change_claim


async def add_comment(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """
    Write the comment of *context* with its history entry.

    A comment of the programme also takes the claim off the list of claims that a reviewer must look at.
    """
    looked_at: dict[str, Any] = {"look_at": None} if actor == PROGRAMME else {}

    def judge(current: Case) -> Case:
        # The people of the claim were erased before this comment. The retention of the comment begins now.
        new_retention: dict[str, Any] = (
            {"people_until": None, "people_forgotten": False} if current.claim.people_forgotten else {}
        )
        return current.record(Act.COMMENTED, actor, now, **looked_at, **new_retention)

    return await change_claim(ports, case, now, judge, context)
