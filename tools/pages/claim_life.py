"""
The life of a claim, found by walking it: every act of `cpor_core/transitions/life/` is tried in every state.

The walk begins with a draft. In each situation each act is tried, the clock is moved to the next instant at which
something lapses, and another partner's claim for the same item is let win. What comes of it is read from the history
entries that are made. A new act or state is found by itself.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from itertools import product
from typing import Any, get_args, get_origin, get_type_hints

from cpor_core.errors import Refused
from cpor_core.model.claim import (
    CLOSED,
    NOT_DISPUTABLE,
    THE_ADMINISTRATOR,
    Acknowledgements,
    Claim,
    Contact,
    Contacts,
    Item,
    PartnerContact,
    Promise,
    Reason,
    Recipient,
    RecipientKind,
    Speaker,
    Status,
    TimeToAnswer,
    Voice,
)
from cpor_core.model.history import Act, Actor, ActorKind, Entry
from cpor_core.model.slot import Awaiting, Slot
from cpor_core.rules.business_days import Calendar
from cpor_core.rules.identifiers import new_claim_id
from cpor_core.rules.next_step import Owner, next_step
from cpor_core.rules.terms import Terms
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.life import customer, partner, programme, steps
from cpor_core.use_cases.claims.drafts import MAY_ADD_EVIDENCE
from tools.pages.functions import operations
from tools.pages.markdown import code, table

Transition = Callable[..., Case]

TERMS = Terms(programme=Calendar(country="US", time_zone="UTC"))
BEGIN = datetime(2026, 11, 2, 9, tzinfo=UTC)
PATIENCE = timedelta(days=5)
"""The time that everybody is given who has until some instant to act."""
TENANT, PARTNER, OTHER = (f"00000000-0000-4000-8000-00000000000{digit}" for digit in "123")
SOMEBODY = Actor(kind=ActorKind.PERSON, id=PARTNER)
ITEMS = (Item(workload="exchange"), Item(workload="teams"))


@dataclass(frozen=True, slots=True)
class Situation:
    """A claim with its slots at an instant."""

    case: Case
    now: datetime

    @property
    def kind(self) -> tuple[object, ...]:
        """What can decide over what is possible: situations of one kind are looked at once."""
        claim, slots = self.case.claim, self.case.own_slots().values()
        if claim.status in CLOSED:
            return (claim.status,)
        plain = (_kind_of(getattr(claim, name), self.now) for name in Claim.model_fields if name not in _RECORDS)
        reason = claim.status_reason in NOT_DISPUTABLE, claim.status_reason is Reason.CUSTOMER_UNREACHABLE
        failed = sum(recipient.failed for recipient in claim.recipients)
        window_is_over = claim.promise is not None and claim.promise.ends_at <= self.now
        given_away = any(slot.awaiting is not None and slot.awaiting.claim != claim.id for slot in slots)
        return (claim.status, *plain, *reason, len(claim.items), failed, window_is_over, given_away)


_RECORDS = {
    "acknowledgements",
    "automatic_review",
    "due",
    "official_since",
    "status_reason",
    "submitted_at",
    "time_to_answer",
    "told",
}
"""Fields that say how it came about, and not what can come next."""


def _kind_of(value: object, now: datetime) -> object:
    """Return states and flags as they are, of an instant whether it is over, of all else whether it is there."""
    match value:
        case Enum() | bool():
            return value
        case datetime():
            return value <= now
        case tuple():
            return None
        case _:
            return value is not None


@dataclass(frozen=True, slots=True)
class Step:
    """One change of state, in the words of the history."""

    before: Status
    after: Status
    words: str


@dataclass(frozen=True, slots=True)
class Move:
    """What came of an act in a state; `steps` is empty where the state stayed, `is_recorded` if anything happened."""

    owner: Owner
    act: str
    before: Status
    after: Status
    steps: tuple[Step, ...]
    is_recorded: bool


@dataclass(frozen=True, slots=True)
class Life:
    """Every kind of situation that can come about, and every move between them."""

    situations: Sequence[Situation]
    moves: Sequence[Move]

    @property
    def states(self) -> Sequence[Status]:
        """The states that callers can see, in the order in which the code names them."""
        there = {situation.case.claim.status for situation in self.situations}
        return [status for status in Status if status in there and status is not Status.DELETED]


# --- the walk -------------------------------------------------------------------------------------------------------


@cache
def walked() -> Life:
    """Return the life of a claim from its creation on."""
    first = Situation(_draft(), BEGIN)
    known = {first.kind: first}
    moves: list[Move] = []
    waiting = [first]
    while waiting:
        situation = waiting.pop(0)
        for owner, name, after, now in _tried(situation):
            moves.append(_move(owner, name, situation.case, after))
            found = Situation(after, now)
            if found.kind not in known:
                known[found.kind] = found
                waiting.append(found)
    return Life(list(known.values()), moves)


def _move(owner: Owner, act: str, before: Case, after: Case) -> Move:
    made = [made for claim, made in after.entries[len(before.entries) :] if claim == before.claim.id]
    known = before.claim.status_reason
    steps = (Step(one.from_, one.to, _in_words(one, known)) for one in made if one.from_ not in (None, one.to))
    return Move(owner, act, before.claim.status, after.claim.status, tuple(steps), bool(made))


def _in_words(made: Entry, known: Reason | None) -> str:
    """Return the act of an entry, with the reason where time or another claim gave it."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", made.act.value).lower()
    if made.reason is None or made.reason is known or made.actor == SOMEBODY or made.reason.value == made.act.value:
        return words
    return f"{words} ({made.reason.value})"


def _tried(situation: Situation) -> Iterator[tuple[Owner, str, Case, datetime]]:
    """Yield whatever does not refuse, with whose move it is."""
    case, now = situation.case, situation.now
    for name, act in acts().items():
        for given in _arguments(act, situation):
            try:
                after = act(case, **given)
            except Refused:
                continue
            for owner in owners(name):
                yield owner, name, after, now
    for instant in _instants(case.claim, now):
        yield Owner.NOBODY, "time", life.settle(case, instant), instant
    for name, after in _through_another_claim(case, now):
        yield Owner.NOBODY, name, after, now


def _instants(claim: Claim, now: datetime) -> Iterable[datetime]:
    """Return the instants still ahead at which time may change something."""
    promised = (claim.promise.ends_at,) if claim.promise is not None else ()
    return sorted({instant for instant in (claim.due, *promised) if instant is not None and instant > now})


def _through_another_claim(case: Case, now: datetime) -> Iterator[tuple[str, Case]]:
    """Yield what happens to the claim when another one wins the item, by a reviewer or by the end of its window."""
    rival = _claim(new_claim_id(TENANT, "b" * 20), OTHER).model_copy(update={"status": Status.UNDER_REVIEW})
    slots = {key: slot.changed(awaiting=None) for key, slot in case.slots.items()}
    seen = {case.claim.id: "", rival.id: ""}
    try:
        approved = life.approve(Case(rival, slots, seen=seen).with_rivals([replace(case, seen=seen)]), SOMEBODY, now)
    except Refused:
        pass
    else:
        lost = Case(approved.rivals[case.claim.id], approved.slots, entries=(*case.entries, *approved.entries))
        yield "another claim is approved", lost
    taker = Awaiting(claim=rival.id, organisation=OTHER, takes_over_at=now)
    taken = {key: slot.changed(awaiting=taker) for key, slot in case.slots.items()}
    if case.claim.status is Status.OFFICIAL:
        yield "another claim takes over", life.settle(case.with_slots(taken), now)


# --- acts and what they are given -----------------------------------------------------------------------------------


@cache
def acts() -> Mapping[str, Transition]:
    """Return every public transition of a case but `settle`, by name: party by party, in the order of their files."""
    return {
        name: member
        for party in (partner, programme, customer, steps)
        for name, member in vars(party).items()
        if inspect.isfunction(member)
        and member.__module__ == party.__name__
        and name in life.__all__
        and get_type_hints(member)["return"] is Case
    }


@cache
def owners(act: str) -> tuple[Owner, ...]:
    """
    Return who can ask for an act: those to whom an operation of that name is open.

    An act without an actor is the service's own, and nobody's. One that has an actor and no operation is open to no
    one yet.
    """
    if act in _OWN or not {"actor", "speaker"} & inspect.signature(acts()[act]).parameters.keys():
        return (Owner.NOBODY,)
    asked = [line for line in operations() if line.name == act or line.name.startswith(f"{act}_")]
    found = set()
    for line in asked:
        sides = {role.value.partition(".")[0] for role in line.roles} if line.roles is not None else {"Customer"}
        found |= {_SIDES[side] for side in sides}
    return tuple(owner for owner in Owner if owner in found)


_OWN = frozenset({"recipient_failed"})
"""Acts of the service that have an actor all the same: whoever told it."""
_SIDES = {"Incentives": Owner.PARTNER, "Program": Owner.PROGRAMME, "Customer": Owner.CUSTOMER}


def _arguments(act: Transition, situation: Situation) -> Iterator[Mapping[str, object]]:
    """Yield every choice of arguments for *act*. Raises LookupError for a parameter that nothing here fits."""
    hints = get_type_hints(act)
    wanted = [
        parameter
        for parameter in list(inspect.signature(act).parameters.values())[1:]
        if parameter.default is inspect.Parameter.empty
    ]
    choices = [_choices(act.__name__, parameter.name, hints[parameter.name], situation) for parameter in wanted]
    for chosen in product(*choices):
        yield {parameter.name: value for parameter, value in zip(wanted, chosen, strict=True)}


def _choices(act: str, parameter: str, hint: Any, situation: Situation) -> Sequence[object]:
    claim, now = situation.case.claim, situation.now
    keys = tuple(item.key for item in claim.items)
    if parameter == "at":
        return [now]
    plain: Mapping[object, Sequence[object]] = {
        Actor: [SOMEBODY],
        Speaker: [Speaker(voice=Voice.CONTACT, recipient=1), THE_ADMINISTRATOR],
        datetime: [now + PATIENCE],
        bool: [False, True],
        str: ["words"],
        int: [1, 2],
        Acknowledgements: [Acknowledgements(accurate=True, customer_aware=True)],
        Promise: [_promise(now)],
        TimeToAnswer: [_time_to_answer(now + PATIENCE)],
        Reason: [Reason.INSUFFICIENT_EVIDENCE, Reason.PARTNER_REQUEST],
    }
    several: Mapping[object, Sequence[object]] = {
        Recipient: [_recipients()],
        Reason: [(Reason.EVIDENCE_MISSING,)],
        Item: [claim.items],
        str: [keys[:1], keys],
        int: [()],
    }
    origin, inside = get_origin(hint), get_args(hint)
    if type(None) in inside:
        return [None]
    found = plain.get(hint) if origin is None else several.get(inside[0] if inside else None)
    if found is None:
        message = f"tools/pages/claim_life.py: what is {act} given as {parameter} ({hint})? Add it to _choices."
        raise LookupError(message)
    return found


def _draft() -> Case:
    claim = _claim(new_claim_id(TENANT, "a" * 20), PARTNER)
    case = Case(claim, {item.key: Slot(engagement=claim.engagement, key=item.key) for item in ITEMS})
    return case.record(Act.CREATED, SOMEBODY, BEGIN, to=Status.DRAFT, due=BEGIN + timedelta(days=90))


def _claim(claim_id: str, organisation: str) -> Claim:
    return Claim(
        id=claim_id,
        tenant_id=TENANT,
        organisation=organisation,
        partner_id="1234567",
        partner_name="A partner",
        engagement="an-engagement",
        name="A claim",
        domain="customer.example",
        items=ITEMS,
        contacts=Contacts(
            customer=Contact(name="A contact", email="contact@customer.example"),
            partner=PartnerContact(name="A partner's contact", email="contact@partner.example"),
        ),
        status_since=BEGIN,
        created_at=BEGIN,
        updated_at=BEGIN,
    )


def _recipients() -> tuple[Recipient, ...]:
    return tuple(
        Recipient(number=number, kind=kind, email=f"{number}@customer.example", language="en")
        for number, kind in enumerate(RecipientKind, start=1)
    )


def _promise(now: datetime) -> Promise:
    ends_at = now + timedelta(days=7)
    return Promise(
        number=1,
        made_at=now,
        day_zero=now.date(),
        ends_at=ends_at,
        last_day=ends_at.date(),
        reminder_at=ends_at - timedelta(days=2),
        time_zone="UTC",
        calendar=None,
        skipped_days=(),
        sending_until=now,
        recipients=tuple(recipient.number for recipient in _recipients()),
        customer_name="A customer",
    )


def _time_to_answer(ends_at: datetime) -> TimeToAnswer:
    reminder_at = ends_at - timedelta(days=2)
    return TimeToAnswer(ends_at=ends_at, last_day=ends_at.date(), time_zone="UTC", reminder_at=reminder_at)


# --- the page -------------------------------------------------------------------------------------------------------


def edges(life_of_claim: Life) -> Mapping[tuple[str, str], Sequence[str]]:
    """Return each step from state to state, with what the history calls it; `[*]` is before the first and after it."""
    found: dict[tuple[str, str], dict[str, None]] = {
        ("[*]", Status.DRAFT.value): {"created": None},
        ("[*]", Status.OFFICIAL.value): {"imported": None},  # by the operator (docs/past-associations.md)
    }
    for step in (step for move in life_of_claim.moves for step in move.steps):
        found.setdefault((step.before.value, _shown(step.after)), {})[step.words] = None
    return {edge: list(labels) for edge, labels in found.items()}


def _shown(status: Status) -> str:
    return "[*]" if status is Status.DELETED else status.value


def diagram() -> str:
    """Return the state diagram."""
    order = ["[*]", *Status]
    steps = sorted(edges(walked()).items(), key=lambda step: [order.index(name) for name in step[0]])
    lines = [f"    {before} --> {after}: {', '.join(labels)}" for (before, after), labels in steps]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def states_table() -> str:
    """Return, for each state, who may do what now, what comes about by itself, and the `nextStep` that is shown."""
    found = walked()
    rows = (
        (
            code(state),
            *(_cell(found, state, owner) for owner in (Owner.PARTNER, Owner.PROGRAMME, Owner.CUSTOMER, Owner.NOBODY)),
            next_steps(found, state),
        )
        for state in found.states
    )
    return "\n".join(
        table(("state", "the partner may", "the programme may", "the customer may", "by itself", "`nextStep`"), rows)
    )


def _cell(found: Life, state: Status, owner: Owner) -> str:
    results: dict[str, dict[str, None]] = {}
    for move in found.moves:
        if (move.before, move.owner) != (state, owner) or not (
            move.is_recorded if owner is not Owner.NOBODY else move.steps
        ):
            continue
        name = move.act if owner is not Owner.NOBODY else move.steps[-1].words
        results.setdefault(name.replace("_", " "), {})[_shown(move.after)] = None
    said = [f"{name} → {' or '.join(_result(after) for after in afters)}" for name, afters in results.items()]
    if owner is Owner.PARTNER and state in MAY_ADD_EVIDENCE:
        said.append("add evidence")
    return "; ".join(said) or "–"


def _result(shown: str) -> str:
    return "gone" if shown == "[*]" else code(shown)


def next_steps(found: Life, state: Status) -> str:
    """Return every `nextStep` that a claim in a state may show."""
    steps = [
        next_step(one.case.claim, one.case.slots, one.now, TERMS)
        for one in found.situations
        if one.case.claim.status is state
    ]
    told = (f"{step.owner}: {code(step.action)}{', `due`' if step.due is not None else ''}" for step in steps)
    return "; ".join(dict.fromkeys(told))
