"""Enters an act on a claim into the table of operations. This module has the code that all acts share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from cpor_app.http.request import Call
from cpor_app.http.route_table import ONE_MIB, Answer
from cpor_app.http.server import Served, operation
from cpor_core.model.base import Value
from cpor_core.model.caller import Role
from cpor_core.model.history import Actor
from cpor_core.ports import Ports
from cpor_core.rules.terms import Terms
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import ActContext


class ActBody(Value):
    """The body of an act on a claim."""

    free_text: ClassVar[tuple[str, ...]] = ("comment",)
    """The names of the fields that are stored together as the comment of the act."""

    @property
    def as_comment(self) -> str | None:
        """The comment that is stored with the act; None without one."""
        return "\n".join(text for field in self.free_text if (text := getattr(self, field))) or None


Sent = TypeVar("Sent", bound=ActBody)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a claim: its roles, how its claim is found, and the answer to its acts."""

    tag: str
    roles: frozenset[Role]
    author: str
    """The author of the comments: `partner`, `programme` or `customer`."""
    find: Callable[[Call], Awaitable[Case]]
    """
    Loads the claim that the address names.

    Raises `NotFound` if the caller is not allowed to see the claim, and `PreconditionFailed`.
    """
    model: type[BaseModel]
    view: Callable[[Case, Terms], BaseModel]
    """Makes the *model*, which is stored as the reply to the act's idempotency key."""
    answer: Callable[[Call, Case], Awaitable[Answer]]
    versioned: bool = True
    """Whether the acts honour If-Match and their answers have an ETag."""
    max_bytes: int = ONE_MIB


@dataclass(frozen=True, slots=True)
class ClaimAct(Generic[Sent]):
    """The data of one act on a claim that the use case needs."""

    ports: Ports
    case: Case
    sent: Sent
    actor: Actor
    now: datetime
    context: ActContext


def claim_act(
    side: Side,
    *,
    summary: str,
    body: type[Sent],
    body_needed: bool = True,
    refusals: tuple[str, ...] = (),
) -> Callable[[Callable[[ClaimAct[Sent]], Awaitable[Case]]], Served]:
    """
    Enter an act into the table of operations and serve the act.

    *refusals* are the codes of the act in addition to `NotFound` and `InvalidState`. The claim is found and its
    version is compared before the body is read (decision 3).
    """

    def enter(act: Callable[[ClaimAct[Sent]], Awaitable[Case]]) -> Served:
        async def handler(call: Call) -> Answer:
            case = await side.find(call)
            sent = call.body(body)
            now = await call.now()
            context = call.act_context(comment=sent.as_comment, author=side.author, at=now, answers=side.view)
            return await side.answer(call, await act(ClaimAct(call.ports, case, sent, call.actor(), now, context)))

        handler.__name__, handler.__doc__ = act.__name__, act.__doc__
        return operation(
            summary=summary,
            tag=side.tag,
            roles=side.roles,
            body=body,
            body_needed=body_needed,
            max_bytes=side.max_bytes,
            answers={200: side.model},
            key_kept_by_handler=True,
            if_match="honoured" if side.versioned else None,
            etag=side.versioned,
            refusals=("NotFound", "InvalidState", *refusals),
        )(handler)

    return enter
