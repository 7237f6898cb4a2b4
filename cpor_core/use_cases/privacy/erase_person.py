"""
Erases people. There are two cases: all people of a claim that was closed long ago, and one person everywhere.

An operator asks for the erasure of one person. An erasure takes long. The timer works on the erasure for half a minute
at a time, and each run continues after the last key of the run before. Each step can be repeated. If the first round
has found something, a second round follows after eleven minutes, because a function that read the address before the
first round can write the address again. If a round could not erase everything, another round follows, too.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from cpor_core.due_work import SOON, Kind, Outcome
from cpor_core.errors import Conflict, Fault, Refused
from cpor_core.model.batch import Batch, PageDone, Progress, RowOutcome
from cpor_core.model.claim import Claim
from cpor_core.model.erasure import Erasure, Found, Place
from cpor_core.model.registry import Customer
from cpor_core.ports import Ports
from cpor_core.ports.claims import StoredText
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.idempotency import IdempotencyRecord
from cpor_core.ports.stored import Registered, Stored
from cpor_core.rules.identifiers import BATCH_ID_LENGTH, is_export_id, new_erasure_id
from cpor_core.rules.person_matcher import Person
from cpor_core.transitions import personal_data
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.use_cases.change_claim import ActContext, change_claim
from cpor_core.use_cases.claims import csv_export
from cpor_core.use_cases.claims.drafts import blob_expiry
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by

log = logging.getLogger("cpor.erasing")

TIME_LIMIT = timedelta(seconds=30)
"""How long one run of the timer works on an erasure."""
AGAIN_AFTER = timedelta(minutes=11)
"""The wait between two rounds. No function runs so long. So each function that has read the address has ended."""
WAIT_FOR_BATCH = timedelta(hours=1)
"""If a batch that names the person is older, its body is deleted, even if some of its rows were not processed."""
MOST_LISTED = 1000
"""The most claims in the list of claims whose files an operator must look at. Further claims are only counted."""
ATTEMPTS = 8
"""The most tries of a step that loses races."""
NOTHING = Found.model_construct()


# --- all people of a claim that was closed long ago -------------------------------------------------------------------


async def erase_people(ports: Ports, case: Case, now: datetime, context: ActContext) -> Case:
    """Delete the comments of a long closed claim, and erase its people. Due rows delete its files later."""
    claim = case.stored.claim
    for text in await ports.claims.texts(claim.id):
        if text.author is not None:  # a text without an author is a stored reply, which a due row deletes
            await ports.claims.rewrite(claim.id, text, None)

    def erase_unless_more_was_said(current: Case) -> Case:
        same = current.claim.history_length == claim.history_length  # false if a new comment must be deleted first
        return personal_data.erase_people(current, now) if same else current

    context = replace(context, expiries=_file_expiries(claim, now))
    return await change_claim(ports, case, now, erase_unless_more_was_said, context)


def _file_expiries(claim: Claim, now: datetime) -> list[DueRow]:
    """Return the due rows that delete the files of a claim. The act takes the files from the claim."""
    return [blob_expiry(claim.id, evidence.blob, now) for evidence in claim.evidence]


# --- one person, everywhere -------------------------------------------------------------------------------------------


async def begin_erasure(ports: Ports, address: str, now: datetime) -> Erasure:
    """Begin to erase a person, in two requests. The due row is written first, and then the erasure."""
    erasure = Erasure(id=new_erasure_id(now, ports.new_id()), requested_at=now, email=address)
    await ports.duework.add([DueRow(now, erasure.id, Kind.ERASE_PERSON)])
    await ports.erasures.add(erasure)
    return erasure


@dataclass(frozen=True, slots=True)
class _Step:
    """The work for one key of a place. `erase` is None if nothing must be erased. A step can be repeated."""

    key: str
    found: Found = NOTHING
    erase: Callable[[], Awaitable[None]] | None = None
    look_at: tuple[str, ...] = ()
    """Ids of claims with files that an operator must look at."""
    must_wait: bool = False
    """Whether a later round must look at this key again."""


async def continue_erasure(ports: Ports, erasure_id: str, now: datetime) -> Outcome:
    """Work on an erasure for `TIME_LIMIT`. The next run of the timer continues."""
    kept = await ports.erasures.find(erasure_id)
    if kept is None or kept.value.email is None:
        return Outcome()
    stop_at = ports.real_now() + TIME_LIMIT
    kept = replace(kept, value=kept.value.model_copy(update={"run": ports.new_id()}))
    try:
        while kept.value.finished_at is None:
            kept, reached_the_end = await _search(ports, kept, Person(str(kept.value.email)), now, stop_at)
            if reached_the_end:
                kept = await _write(ports, _next_place(kept.value, now), kept)
                if kept.value.finished_at is None and kept.value.place is Place.BATCHES:
                    return Outcome(delayed=True, not_before=now + AGAIN_AFTER)
            if kept.value.finished_at is None and ports.real_now() >= stop_at:
                return Outcome(delayed=True, not_before=now + SOON)
    except Conflict:  # another run of the timer works on this erasure
        return Outcome(delayed=True, not_before=now + SOON)
    log.info("erasure %s: done in %d rounds", erasure_id, kept.value.round)
    return Outcome()


async def _write(ports: Ports, erasure: Erasure, former: Stored[Erasure]) -> Stored[Erasure]:
    """Store the progress of an erasure. Raises `Conflict` if another run has stored its progress."""
    try:
        return await ports.erasures.write(erasure, former)
    except Conflict:
        stored = await ports.erasures.find(erasure.id)
        if stored is None or stored.value != erasure:
            raise
        return stored  # our write was stored, but its answer was lost


def _next_place(erasure: Erasure, now: datetime) -> Erasure:
    """Return the erasure after its place was searched: at the next place, or in the next round, or finished."""
    places = list(Place)
    ahead = places[places.index(erasure.place) + 1 :]
    if ahead:
        return erasure.model_copy(update={"place": ahead[0], "after": "", "counted": ""})
    if erasure.missed_in_round or (erasure.round == 1 and erasure.found_in_round):
        return erasure.model_copy(
            update={
                "round": erasure.round + 1,
                "place": places[0],
                "after": "",
                "counted": "",
                "found_in_round": 0,
                "missed_in_round": 0,
            }
        )
    return erasure.model_copy(update={"finished_at": now, "email": None})


async def _search(
    ports: Ports, kept: Stored[Erasure], person: Person, now: datetime, stop_at: datetime
) -> tuple[Stored[Erasure], bool]:
    """Search one place after the last key. Returns the stored erasure, and whether the search reached the end."""
    erasure, reached_the_end = kept.value, True
    async with aclosing(_STEPS[erasure.place](ports, person, erasure, now)) as steps:
        async for step in steps:
            if (step.erase is not None or step.must_wait) and erasure.counted != step.key:
                # The step is counted before it erases, because a repeated step could not find the data again.
                kept = await _write(ports, _counted(erasure, step), kept)
                erasure = kept.value
            if step.erase is not None and not await _try_step(step.erase, erasure.id):
                erasure = erasure.model_copy(update={"missed_in_round": erasure.missed_in_round + 1})
            erasure = erasure.model_copy(update={"after": step.key})
            if ports.real_now() >= stop_at:
                reached_the_end = False
                break
    return await _write(ports, erasure.model_copy(update={"started": True}), kept), reached_the_end


def _counted(erasure: Erasure, step: _Step) -> Erasure:
    """Return the erasure with its counts raised by the findings of a step."""
    former = erasure.found.model_dump()
    found = Found(**{name: former[name] + count for name, count in step.found.model_dump().items()})
    listed = tuple(dict.fromkeys((*erasure.evidence_to_look_at, *step.look_at)))
    return erasure.model_copy(
        update={
            "started": True,
            "counted": step.key,
            "found": found,
            "found_in_round": erasure.found_in_round + 1,
            "missed_in_round": erasure.missed_in_round + int(step.must_wait),
            "evidence_to_look_at": listed[:MOST_LISTED],
            "evidence_not_listed": erasure.evidence_not_listed + len(listed[MOST_LISTED:]),
        }
    )


async def _try_step(erase: Callable[[], Awaitable[None]], erasure_id: str) -> bool:
    """Take a step. If another writer was first, take the step again. Returns whether the step succeeded."""
    for _ in range(ATTEMPTS):
        try:
            await erase()
        except Conflict:
            continue
        except (Fault, Refused, ValueError) as fault:  # a claim that fails must not stop the other claims
            log.warning("erasure %s: a step must be taken again: %s", erasure_id, type(fault).__name__)
            return False
        return True
    return False


# --- batches and large exports ----------------------------------------------------------------------------------------


async def _batches(ports: Ports, person: Person, erasure: Erasure, now: datetime) -> AsyncGenerator[_Step, None]:
    async for name in ports.batch_bodies.names():
        if name <= erasure.after:
            continue
        body = await ports.batch_bodies.get(name)
        if body is None or not await asyncio.to_thread(_names, body, person):
            yield _Step(name)
            continue
        export_id = name.partition("-")[0]
        if is_export_id(export_id):
            yield _Step(name, erase=partial(csv_export.delete_with_blob, ports, export_id, name))
            continue
        progress = await ports.batches.find(name[:BATCH_ID_LENGTH])
        owner = progress if progress is not None and progress.batch.blob == name else None
        if owner is not None:
            can_erase = not owner.missing or now - owner.batch.at >= WAIT_FOR_BATCH
        else:
            can_erase = erasure.round > 1  # in the first round, it is possible that this body's batch is not stored yet
        if can_erase:
            yield _Step(name, Found(batches=1), _erase_batch(ports, name, owner, person))
        else:
            yield _Step(name, must_wait=True)


def _names(body: bytes, person: Person) -> bool:
    """Whether a batch's body or an export's rows name the person, in plain characters or in JSON escapes."""
    address = person.address.lower().encode()
    for line in body.splitlines():
        if address in line.lower() or b"\\u" in line:
            try:
                sent = json.loads(line)
            except ValueError:
                sent = line.decode(errors="replace")
            if person.out_of(sent) != sent:
                return True
    return False


def _erase_batch(ports: Ports, name: str, progress: Progress | None, person: Person) -> Callable[[], Awaitable[None]]:
    async def erase() -> None:
        if progress is not None:
            for page, done in progress.pages.items():
                await _erase_outcomes(ports, progress.batch, page, done, person)
        await ports.batch_bodies.delete(name)

    return erase


async def _erase_outcomes(ports: Ports, batch: Batch, page: int, done: PageDone, person: Person) -> None:
    """Erase the person from the outcomes of a page, because the error of a refused row can repeat a sent name."""
    outcomes = await ports.batches.outcomes(batch, page)
    erased = [RowOutcome.model_validate(person.out_of(one.model_dump(mode="json"))) for one in outcomes]
    if erased != list(outcomes):
        await ports.batches.finish(batch, page, done, erased)


# --- customers --------------------------------------------------------------------------------------------------------


async def _customers(ports: Ports, person: Person, erasure: Erasure, _: datetime) -> AsyncGenerator[_Step, None]:
    async for tenant_id, known in ports.registry.customers(after=erasure.after):
        if any(person.is_at(address) for address in known.value.notice_addresses):
            yield _Step(tenant_id, Found(customers=1), _erase_in_customer(ports, tenant_id, person))
        else:
            yield _Step(tenant_id)


def _erase_in_customer(ports: Ports, tenant_id: str, person: Person) -> Callable[[], Awaitable[None]]:
    async def erase() -> None:
        known: Registered[Customer] | None = await ports.registry.customer(tenant_id)
        if known is not None:
            others = tuple(address for address in known.value.notice_addresses if not person.is_at(address))
            erased = known.value.model_copy(update={"notice_addresses": others})
            await ports.registry.put_customer(tenant_id, erased, known)

    return erase


# --- claims -----------------------------------------------------------------------------------------------------------


async def _claims(ports: Ports, person: Person, erasure: Erasure, now: datetime) -> AsyncGenerator[_Step, None]:
    async for tenant_id, named_in in ports.claims.naming(person.address, after=erasure.after):
        found: list[str] = []
        look_at: list[str] = []
        is_unreadable = False
        for claim_id in sorted(named_in):
            try:
                case = await ports.claims.load(claim_id)
                is_named = await _is_named(ports, claim_id, case, person)
            except ValueError as fault:  # a row that cannot be read must not stop the search
                log.error("claim %s: cannot be searched: %s", claim_id, type(fault).__name__)
                is_unreadable = True
                continue
            if is_named:
                found.append(claim_id)
                runs = case is not None and not personal_data.is_over(case.claim, now)
                if case is not None and runs and case.claim.evidence and personal_data.is_contact(case.claim, person):
                    look_at.append(claim_id)
        erase = _erase_in_claims(ports, found, person, now) if found else None
        yield _Step(tenant_id, Found(claims=len(found)), erase, tuple(look_at), must_wait=is_unreadable)


async def _is_named(ports: Ports, claim_id: str, case: StoredCase | None, person: Person) -> bool:
    """Whether a claim names this person. A longer address that contains the person's address is another person's."""
    if case is not None:
        stored = case.claim.model_dump(mode="json")
        if person.out_of(stored) != stored:
            return True
    return any(person.is_named_in(_unescaped(text)) for text in await ports.claims.texts(claim_id))


def _unescaped(text: StoredText) -> str:
    """
    Return a text with real line breaks and tabs.

    JSON writes a line break as two characters, a backslash and an `n`. The `n` would look like a part of the next word.
    """
    return text.text.replace("\\n", "\n").replace("\\t", "\t")


def _erase_in_claims(
    ports: Ports, claim_ids: Sequence[str], person: Person, now: datetime
) -> Callable[[], Awaitable[None]]:
    async def erase() -> None:
        refused: Exception | None = None
        for claim_id in claim_ids:
            try:
                await erase_in_claim(ports, claim_id, person.address, now)
            except (Fault, Refused) as fault:  # the other claims must not wait for this one
                refused = fault
        if refused is not None:
            raise refused

    return erase


async def erase_in_claim(ports: Ports, claim_id: str, address: str, now: datetime) -> None:
    """
    Erase a person from one claim: first from its comments and stored replies, then from the claim.

    The claim is changed after the comments, because only the claim has the person's name and recipient numbers. At the
    end, the comments and replies that were stored since the first step are searched too.
    """
    case = await ports.claims.load(claim_id)
    if case is None:
        await _erase_in_texts(ports, claim_id, Person(address), frozenset())
        return
    person = personal_data.person_of(case.claim, address)
    numbers = frozenset(str(one.number) for one in case.claim.recipients if person.is_at(one.email))
    await _erase_in_texts(ports, claim_id, person, numbers)
    files_go = personal_data.is_contact(case.claim, person) and personal_data.is_over(case.claim, now)
    answer_by = await partner_answers_by(ports, case.claim, now)

    def judge(current: Case) -> Case:
        return personal_data.erase_person(current, person, now, answer_by=answer_by)

    context = ActContext(expiries=_file_expiries(case.claim, now) if files_go else ())
    await change_claim(ports, settle(case, now), now, judge, context)
    await _erase_in_texts(ports, claim_id, person, numbers)


async def _erase_in_texts(ports: Ports, claim_id: str, person: Person, numbers: frozenset[str]) -> None:
    """Delete the comments of the person. Take the person out of other comments and stored replies."""
    for text in await ports.claims.texts(claim_id):
        if text.author is None:
            reply = json.loads(text.text)
            erased = person.out_of(reply)
            if erased != reply:
                await ports.claims.rewrite(claim_id, text, json.dumps(erased, ensure_ascii=False))
        elif text.author == "customer" and text.person_id in numbers:
            await ports.claims.rewrite(claim_id, text, None)
        elif person.is_named_in(text.text):
            await ports.claims.rewrite(claim_id, text, person.without(text.text))


# --- stored responses -------------------------------------------------------------------------------------------------


async def _requests(ports: Ports, person: Person, erasure: Erasure, _: datetime) -> AsyncGenerator[_Step, None]:
    async for organisation, named_in in ports.requests.naming(person.address, after=erasure.after):
        changed = {
            key: erased
            for key, record in named_in.items()
            if (erased := _with_erased_response(record, person)) != record
        }
        if changed:
            found = Found(answers=len(changed))
            yield _Step(organisation, found, _write_answers(ports, organisation, changed))
        else:
            yield _Step(organisation)


def _with_erased_response(record: IdempotencyRecord, person: Person) -> IdempotencyRecord:
    """Return the record with the person erased from its response."""
    if record.answer is None:
        return record
    try:
        response = json.loads(record.answer.body)
    except ValueError:
        text = record.answer.body.decode(errors="replace")
        body, changed = person.without(text), person.is_named_in(text)
    else:
        erased = person.out_of(response)
        body, changed = json.dumps(erased, ensure_ascii=False), erased != response
    return replace(record, answer=replace(record.answer, body=body.encode())) if changed else record


def _write_answers(
    ports: Ports, organisation: str, records: Mapping[str, IdempotencyRecord]
) -> Callable[[], Awaitable[None]]:
    async def erase() -> None:
        for key, record in records.items():
            with suppress(Conflict):  # the record was deleted or replaced since the read; the next round looks again
                await ports.requests.overwrite(organisation, key, record)

    return erase


_STEPS: Mapping[Place, Callable[[Ports, Person, Erasure, datetime], AsyncGenerator[_Step, None]]] = {
    Place.BATCHES: _batches,
    Place.CUSTOMERS: _customers,
    Place.CLAIMS: _claims,
    Place.REQUESTS: _requests,
}
