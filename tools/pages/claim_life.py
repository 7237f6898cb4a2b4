"""
Finds the life of a claim by trying every act in every situation, from the draft on.

In each situation the search tries every act, moves the clock to each instant at which time changes the claim, and lets
another partner's claim win the item. The result of each try is read from the history entries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from re import sub
from typing import Any, NamedTuple

from cpor_core.errors import Refused
from cpor_core.model.claim import CLOSED, NOT_DISPUTABLE, THE_ADMINISTRATOR, Reason, Status
from cpor_core.model.slot import Awaiting
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import Owner, next_step
from cpor_core.use_cases.claims.drafts import MAY_ADD_EVIDENCE
from tests.core import builders
from tests.core.builders import ANNE, EXCHANGE, FABRIKAM, MONDAY, PERSON, TEAMS
from tools.pages.markdown import code, table

PARTNER, PROGRAMME, CUSTOMER, NOBODY = Owner.PARTNER, Owner.PROGRAMME, Owner.CUSTOMER, Owner.NOBODY


class Move(NamedTuple):
    """An act of a party: the state before, the state after, and each change of state with the history's word for it."""

    owner: Owner
    act: str
    before: Status
    after: Status
    steps: Sequence[tuple[Status, Status, str]]


STATES = [status for status in Status if status is not Status.DELETED]
"""The states that callers can see."""


@cache
def walked() -> tuple[Sequence[tuple[Case, datetime]], Sequence[Move]]:
    """Return one situation (a case at an instant) of each possible kind, and every move between situations."""
    situations, found = [(builders.draft(items=(EXCHANGE, TEAMS)), MONDAY)], list[Move]()
    known = {_kind(*situations[0])}
    for case, now in situations:
        for owner, act, after, then in _outcomes(case, now):
            if after.entries != case.entries:
                found.append(Move(owner, act, case.claim.status, after.claim.status, list(_steps(case, after))))
            if (kind := _kind(after, then)) not in known:
                known.add(kind)
                situations.append((after, then))
    return situations, found


Act = tuple[Owner, Callable[..., Case], tuple[object, ...], Mapping[str, Any]]


def acts(case: Case, now: datetime) -> Iterator[Act]:
    """Yield every act: the party that can do it, its function, and the function's arguments after the case."""
    later, items = now + timedelta(days=5), [case.claim.items[0].key]
    answer_by, reason = builders.answer_by(later), Reason.INSUFFICIENT_EVIDENCE
    asked = {"acknowledgements": builders.ACKNOWLEDGED, "partner_name": "A partner", "start_review_by": later}
    yield PARTNER, life.delete, (PERSON, now), {}
    yield PARTNER, life.submit, (PERSON, now), {**asked, "automatic_review": False}
    yield PARTNER, life.submit, (PERSON, now), {**asked, "automatic_review": True}
    yield PARTNER, life.resubmit, (PERSON, now), {"start_review_by": later}
    yield PARTNER, life.dispute, (PERSON, now), {"decide_by": later}
    yield PARTNER, life.withdraw, (PERSON, now), {}
    yield PROGRAMME, life.start_review, (PERSON, now), {"decide_by": later}
    yield PROGRAMME, life.release_review, (PERSON, now), {"decide_by": later}
    yield PROGRAMME, life.request_information, (PERSON, now, [Reason.EVIDENCE_MISSING]), {"answer_by": answer_by}
    yield PROGRAMME, life.strike_items, (PERSON, now, items, reason), {}
    yield PROGRAMME, life.approve, (PERSON, now), {}
    yield PROGRAMME, life.reject, (PERSON, now, reason), {}
    yield PROGRAMME, life.revoke, (PERSON, now), {}
    yield NOBODY, life.end_gone_items, (now, items), {}
    yield NOBODY, life.promise, (builders.a_promise(ends_at=now + timedelta(days=7)), (builders.ANNES,)), {}
    yield NOBODY, life.hand_over, (1, now), {}
    yield NOBODY, life.customer_unreachable, (now,), {"answer_by": answer_by, "failed": ()}
    yield NOBODY, life.recipient_failed, (PERSON, now, 1), {"answer_by": answer_by}
    for speaker in (ANNE, THE_ADMINISTRATOR):
        yield CUSTOMER, life.decline, (speaker, now), {}
        yield CUSTOMER, life.undo_decline, (speaker, now), {}
    yield PARTNER, life.end, (PERSON, now, Reason.PARTNER_DISASSOCIATED), {}
    yield CUSTOMER, life.end, (PERSON, now, Reason.CUSTOMER_OPTED_OUT), {}
    yield NOBODY, _lose_arbitration, (now,), {}
    yield NOBODY, _be_superseded, (now,), {}


def _lose_arbitration(case: Case, now: datetime) -> Case:
    """Let a reviewer approve another partner's claim for the same items."""
    rival = builders.draft("b", organisation=FABRIKAM, items=case.claim.items).claim
    rival = rival.model_copy(update={"status": Status.UNDER_REVIEW})
    free = {key: slot.changed(awaiting=None) for key, slot in case.slots.items()}
    rivals = {case.claim.id: case.claim}
    approved = life.approve(replace(case, claim=rival, slots=free, rivals=rivals, entries=()), PERSON, now)
    lost = approved.rivals[case.claim.id]
    return replace(case, claim=lost, slots=approved.slots, entries=(*case.entries, *approved.entries))


def _be_superseded(case: Case, now: datetime) -> Case:
    """Let the window of another claim for the items of an association end."""
    if case.claim.status is not Status.OFFICIAL:
        return case
    taker = Awaiting(claim=builders.claim_id("b"), organisation=FABRIKAM, takes_over_at=now)
    return builders.as_of(case.with_slots({key: slot.changed(awaiting=taker) for key, slot in case.slots.items()}), now)


def _outcomes(case: Case, now: datetime) -> Iterator[tuple[Owner, str, Case, datetime]]:
    """Yield the result of every act that is not refused, and of every later instant at which time changes the claim."""
    for owner, act, arguments, named in acts(case, now):
        try:
            yield owner, act.__name__, act(case, *arguments, **named), now
        except Refused:
            continue
    promised = case.claim.promise.ends_at if case.claim.promise is not None else None
    for then in (case.claim.due, promised):
        if then is not None and then > now:
            yield NOBODY, "time", builders.as_of(case, then), then


def _kind(case: Case, now: datetime) -> tuple[object, ...]:
    """Return the facts that decide which acts are possible. The search tries one situation for each set of facts."""
    claim, promise = case.claim, case.claim.promise
    if claim.status in CLOSED:
        return (claim.status,)
    flags = claim.only_contacts_changed, claim.disputed_before, claim.undoable, claim.opened_at is None
    reason = claim.status_reason in NOT_DISPUTABLE, claim.status_reason is Reason.CUSTOMER_UNREACHABLE
    due = claim.due is None or claim.due <= now, promise is None or (promise.ends_at <= now, promise.over)
    return claim.status, len(claim.items), flags, reason, due, life.is_given_away(case, now)


def _steps(before: Case, after: Case) -> Iterator[tuple[Status, Status, str]]:
    """Yield the claim's changes of state. If no person caused a change, its reason is included."""
    for claim, entry in after.entries[len(before.entries) :]:
        if claim == before.claim.id and entry.from_ is not None and entry.from_ is not entry.to:
            words = sub(r"(?<=[a-z])(?=[A-Z])", " ", entry.act.value).lower()
            given = entry.actor != PERSON and entry.reason not in (None, before.claim.status_reason, entry.act.value)
            yield entry.from_, entry.to, f"{words} ({entry.reason})" if given else words


# --- the page -------------------------------------------------------------------------------------------------------


def moves() -> Sequence[Move]:
    """Return every move that leaves an entry in the history."""
    return walked()[1]


def edges() -> Mapping[tuple[str, str], Sequence[str]]:
    """Return each change of state with the history's words for it. `[*]` means no claim."""
    found = {("[*]", "draft"): ["created"], ("[*]", "official"): ["imported"]}
    for before, after, words in dict.fromkeys(step for move in moves() for step in move.steps):
        found.setdefault((before.value, "[*]" if after is Status.DELETED else after.value), []).append(words)
    return found


def diagram() -> str:
    """Return the state diagram."""
    order = ["[*]", *Status]
    steps = sorted(edges().items(), key=lambda step: [order.index(name) for name in step[0]])
    lines = [f"    {before} --> {after}: {', '.join(labels)}" for (before, after), labels in steps]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def states_table() -> str:
    """Return a table of the states: the possible acts of each party, changes without an act, and the `nextStep`."""
    owners = (PARTNER, PROGRAMME, CUSTOMER, NOBODY)
    head = ("state", "the partner can", "the programme can", "the customer can", "without their act", "`nextStep`")
    rows = ((code(one), *(_cell(one, owner) for owner in owners), next_steps(one)) for one in STATES)
    return "\n".join(table(head, rows))


def _cell(state: Status, owner: Owner) -> str:
    results: dict[str, dict[str, None]] = {}
    for move in moves():
        if (move.before, move.owner) == (state, owner) and (move.steps or owner is not NOBODY):
            name = move.act.replace("_", " ") if owner is not NOBODY else move.steps[-1][-1]
            results.setdefault(name, {})["gone" if move.after is Status.DELETED else code(move.after)] = None
    cell = [f"{name} → {' or '.join(after)}" for name, after in results.items()]
    return "; ".join([*cell, *(["add evidence"] if owner is PARTNER and state in MAY_ADD_EVIDENCE else [])]) or "–"


def next_steps(state: Status) -> str:
    """Return every `nextStep` that a claim in a state can have."""
    situations = [(case, now) for case, now in walked()[0] if case.claim.status is state]
    steps = [next_step(replace(case, now=now), builders.TERMS) for case, now in situations]
    shown = (f"{step.owner}: {code(step.action)}{', `due`' if step.due is not None else ''}" for step in steps)
    return "; ".join(dict.fromkeys(shown))
