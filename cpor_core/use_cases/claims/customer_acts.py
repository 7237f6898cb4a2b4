"""
The customer's acts, by mailed link or by token.

The customer can decline a claim, take the no back, end an association, and say that a recipient is the wrong person.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Refused, Retryable
from cpor_core.model.claim import OPEN, Reason, Recipient, Speaker, Status, Voice
from cpor_core.model.history import Actor, spoken_by
from cpor_core.ports import Ports
from cpor_core.rules.grace import TRIED_FOR
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, invalid_state
from cpor_core.use_cases.change_claim import ActContext, change_claim, find
from cpor_core.use_cases.claims.customer_tenant import cases_of, with_no
from cpor_core.use_cases.claims.subscription_ends import gone_items
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by

Said = TypeVar("Said")


class CustomerAct(StrEnum):
    """An act on the page of a mailed link. The value is the last segment of the form's URL."""

    DECLINE = "decline"
    UNDO = "undo"
    END = "end"
    NOT_ME = "not-me"


LINK_LIVES = RETENTION[Kind.DELETE_MESSAGE_IDS]
"""The time for which a link works after its claim is closed (decision 23)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The request that a mailed link opens, and the person that the link was sent to."""

    case: Case
    recipient: Recipient
    speaker: Speaker
    others: Sequence[Case] = ()
    """The tenant's other official associations. Only a registered notice address sees them (decision 23)."""


async def open_link(ports: Ports, claim_id: str, recipient: int, now: datetime) -> Opened:
    """Return the request of a verified link. Raises `NotFound`, and `LinkExpired` 90 days after the close."""
    case = await find(ports, claim_id, now)
    found = next((r for r in case.claim.recipients if r.number == recipient), None) if case is not None else None
    if case is None or found is None:
        raise Refused(
            "NotFound",
            "This link does not lead to a request.",
            resolution="Use the link in the newest mail about this request.",
        )
    if now >= expires_at(case):
        raise Refused("LinkExpired", "This link has expired.", resolution="Ask the programme if you have questions.")
    known = await ports.registry.customer(case.claim.tenant_id)
    registered = {address.lower() for address in known.value.notice_addresses} if known is not None else set()
    voice = Voice.NOTICE_ADDRESS if found.email.lower() in registered else Voice.CONTACT
    return Opened(await with_no(ports, case), found, Speaker(voice=voice, recipient=recipient))


async def with_others(ports: Ports, opened: Opened, now: datetime) -> Opened:
    """Return the request of a link. For a registered notice address, add the tenant's other associations."""
    if opened.speaker.voice is not Voice.NOTICE_ADDRESS:
        return opened
    cases = await cases_of(ports, opened.case.claim.tenant_id, now)
    others = [c for c in cases if c.claim.status is Status.OFFICIAL and c.claim.id != opened.case.claim.id]
    return replace(opened, others=others)


def expires_at(case: Case) -> datetime:
    """Return when the links of a claim expire. While the claim is not closed, this is the year 9999."""
    claim = case.claim
    if claim.closed_at is not None:
        return max(claim.closed_at, claim.window_ends_at or claim.closed_at) + LINK_LIVES
    return datetime.max.replace(tzinfo=claim.status_since.tzinfo)


def possible_acts(opened: Opened) -> tuple[CustomerAct, ...]:
    """Return the acts that the page offers. A person who declines a declined claim takes the no over."""
    claim, now = opened.case.claim, opened.case.now
    if claim.status is Status.OFFICIAL:
        return (CustomerAct.END,)
    if claim.status is Status.AWAITING_CUSTOMER:
        return (CustomerAct.DECLINE,) if opened.recipient.failed else (CustomerAct.DECLINE, CustomerAct.NOT_ME)
    if claim.status in OPEN:
        return (CustomerAct.DECLINE,)
    if not claim.can_be_undone(now):
        return ()
    undoes = opened.speaker.may_take_back(claim.no) and not life.is_given_away(opened.case, now)
    confirms = life.can_take_over_no(claim, opened.speaker, now)
    return (*((CustomerAct.UNDO,) if undoes else ()), *((CustomerAct.DECLINE,) if confirms else ()))


async def insist(ports: Ports, say_no: Callable[[bool], Awaitable[Said]]) -> Said:
    """
    Repeat a no that storage cannot take, for a minute of real time (decision 73).

    The argument of *say_no* is true if this is not the first try. Raises the `Retryable` of the last try.
    """
    stop_at, failed = ports.real_now() + TRIED_FOR, 0
    while True:
        try:
            return await say_no(failed > 0)
        except Retryable:
            if ports.real_now() >= stop_at:
                raise
        failed += 1
        await ports.pause(failed)


async def decline(
    ports: Ports, case: Case, speaker: Speaker, arrived: datetime, context: ActContext, *, again: bool = False
) -> Case:
    """
    Store the customer's no. The instant of arrival decides whether the no is in time.

    The no declines a claim in each open state, and ends an official association. If *again* is true, this no was tried
    before. If the first try was stored, nothing is written. Raises `InvalidState` for a claim that is closed or
    declined already.
    """

    def judge(current: Case) -> Case:
        no = current.claim.no
        if again and no is not None and no.at == arrived and no.by.is_same(speaker):
            return current
        return life.decline(current, speaker, arrived)

    return await change_claim(ports, case, arrived, judge, replace(context, counts_refusals=True))


async def not_me(ports: Ports, opened: Opened, now: datetime, context: ActContext) -> Case:
    """Record that a recipient is not the right person. This counts like a mail that came back (decision 24)."""
    actor, number = spoken_by(opened.speaker), opened.recipient.number
    answer_by = await partner_answers_by(ports, opened.case.claim, now)

    def judge(current: Case) -> Case:
        if current.claim.status is not Status.AWAITING_CUSTOMER:
            raise invalid_state(current.claim, "passed on")
        return life.recipient_failed(current, actor, now, number, answer_by=answer_by)

    return await change_claim(ports, opened.case, now, judge, context)


async def undo(ports: Ports, case: Case, speaker: Speaker, now: datetime, context: ActContext) -> Case:
    """
    Take the no back before the window ends. Raises `InvalidState`, `DeclineNotYours`, `SlotAwaitsCustomer`.

    An undo makes no new promise. So this act also takes out the items that are no longer on the tenant (decision 32).
    """
    known = await ports.registry.customer(case.claim.tenant_id)

    def judge(current: Case) -> Case:
        after = life.undo_decline(current, speaker, now)
        return life.end_gone_items(after, now, gone_items(after.claim, known.value)) if known is not None else after

    return await change_claim(ports, case, now, judge, replace(context, counts_refusals=True))


async def end(ports: Ports, case: Case, actor: Actor, now: datetime, context: ActContext) -> Case:
    """End the association for the customer. Raises `InvalidState`."""
    reason = Reason.CUSTOMER_OPTED_OUT
    return await change_claim(ports, case, now, lambda current: life.end(current, actor, now, reason), context)
