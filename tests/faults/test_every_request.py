"""
Whatever goes wrong at whichever request, the next run gets to the same end.

Each job runs undisturbed once, to count its requests, then once for each request and each way of failing: the process
dies before or after it; it is done, and answered 503 as often as the SDK tries; or it is done and answered 500, 503 or
not at all, which the SDK mends by sending it again; or it hangs until the timer of another process has run, and goes on
or dies.

The main job is disturbed at every request. The others leave out what is the same once more: a read changes nothing, so
dying before or after it, or before the write that follows, leaves the same state as dying after the write before it;
what the SDK mends is tried at every request of one run; each mail fails in one way, and every third write.
With THOROUGH=1 in the environment nothing is left out of any job.
"""

import hashlib
import json
import re
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from cpor_core.use_cases.feed.changes import TRIM
from devhost.stack.issuer import LocalIssuer
from tests.faults.jobs import JOBS, REVIEWER, Job
from tests.faults.world import (
    ANSWERED_500,
    ANSWERED_503,
    DIES_AFTER,
    DIES_BEFORE,
    NO_ANSWER,
    OVERTAKEN,
    OVERTAKEN_DIES,
    REFUSED,
    REFUSED_THOUGH_TAKEN,
    STAYS_BUSY,
    Fault,
    Saved,
    Trail,
    World,
    waits_for_retention,
    world,
)
from tests.support.azurite import Azurite
from tests.support.service import OTHER_PARTNER, PARTNER
from tests.support.thorough import THOROUGH

WAYS = {
    "write": (
        DIES_BEFORE,
        DIES_AFTER,
        ANSWERED_500,
        ANSWERED_503,
        NO_ANSWER,
        STAYS_BUSY,
        OVERTAKEN,
        OVERTAKEN_DIES,
    ),
    "read": (DIES_BEFORE, ANSWERED_500, ANSWERED_503, NO_ANSWER),
    "mail": (DIES_BEFORE, DIES_AFTER, REFUSED, REFUSED_THOUGH_TAKEN),
}
MENDED_BY_THE_SDK = (ANSWERED_500, ANSWERED_503, NO_ANSWER)
MAY_DOUBLE_A_MAIL = (DIES_BEFORE, DIES_AFTER, STAYS_BUSY, REFUSED_THOUGH_TAKEN, OVERTAKEN, OVERTAKEN_DIES)
PARTS = 3
"""A job's runs of one kind are shared out to so many tests, so that all cores have work."""

INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)")
EXACT = frozenset({"endsAt", "since", "takesOverAt"})
"""Instants that no accident may move; of the others the date must be the same."""
LEFT_OUT = frozenset({"etag", "version", "hash", "previousHash", "historyHash"})


@dataclass(frozen=True)
class Ended:
    """How a run ended: what must be the same, and what may be more."""

    picture: Mapping[str, Any]
    mails: Counter[str]
    receipts: int
    requests: Mapping[str, Sequence[int]]
    """Of reads, writes and mails: the numbers of those at which the job is stopped."""
    hit: str | None


async def prepared(job: Job, azurite: Azurite, issuer: LocalIssuer) -> Saved:
    """Return the world in which the job begins."""
    if job.name not in _prepared:
        async with world(azurite.fresh_account(), issuer) as made:
            await job.prepare(made)
            _prepared[job.name] = await made.save()
    return _prepared[job.name]


_prepared: dict[str, Saved] = {}


async def run(job: Job, azurite: Azurite, issuer: LocalIssuer, fault: Fault | None) -> Ended:
    """Run a job in a world of its own, to the end of all time."""
    async with world(azurite.fresh_account(), issuer, await prepared(job, azurite, issuer)) as made:
        trail = Trail(fault=fault)
        made.mailbox.begin(fault)
        await made.start(trail)
        try:
            saw = await job.run(made)
            requests = {"mail": range(1, made.mailbox.count + 1), **numbers(trail, job)}
            await made.start(Trail())
            await made.end()
            return Ended(
                picture={"seen": plain(saw), **await picture(made)},
                mails=Counter(mail.message_id for mail in (*made.mailbox.sent, *made.mailbox.to_partners)),
                receipts=len(await made.stored("receipts")),
                requests=requests,
                hit=trail.hit or made.mailbox.hit,
            )
        except Exception as error:
            error.add_note(trail.hit or made.mailbox.hit or NOT_MET)
            raise


NOT_MET = "the fault was not met"


def numbers(trail: Trail, job: Job) -> Mapping[str, Sequence[int]]:
    """Return the numbers of all writes, and of the reads: all of them, or those that follow a write."""
    writes = [request.is_write for request in trail.requests]
    reads = [place for place, is_write in enumerate(writes) if not is_write]
    first = [number for number, place in enumerate(reads, start=1) if place == 0 or writes[place - 1]]
    every_read = range(1, len(reads) + 1)
    return {"write": range(1, sum(writes) + 1), "read": every_read if job.in_full or THOROUGH else first}


async def picture(made: World) -> dict[str, Any]:
    """Return what partners, programme and storage show at the end, without what may differ; feeds stay due."""
    found: dict[str, Any] = {}
    for tenant in (PARTNER, OTHER_PARTNER):
        claims = (await made.ask("GET", "/claims", tenant=tenant)).json()["value"]
        found[f"claims of {tenant}"] = plain(claims)
        for claim in claims:
            path = f"/claims/{claim['id']}"
            entries = (await made.ask("GET", f"{path}/history", tenant=tenant)).json()["value"]
            assert [entry["previousHash"] for entry in entries] == [None, *(entry["hash"] for entry in entries[:-1])]
            assert claim["historyHash"] == entries[-1]["hash"]
            found[f"history of {claim['id']}"] = plain(entries)
            for evidence in claim["evidence"]:
                file = await made.ask("GET", f"{path}/evidence/{evidence['fileName']}", tenant=tenant)
                assert hashlib.sha256(file.content).hexdigest() == evidence["sha256"]
        changes = (await made.ask("GET", "/changes?maxpagesize=1000", tenant=tenant)).json()["value"]
        assert [change["sequence"] for change in changes] == list(range(1, len(changes) + 1))
        told: dict[str, list[tuple[str, str]]] = {}
        for change in changes:  # of each claim in order; which claim comes first may differ
            told.setdefault(change["claimId"], []).append((change["type"], change["status"]))
        found[f"feed of {tenant}"] = sorted(told.values())
    found["reviews"] = plain((await made.ask("GET", "/reviews", **REVIEWER)).json())
    found["slots"] = plain(await made.documents("claims", "slot|"))
    found["usage"] = plain(await made.documents("usage"))
    found["receipts"] = sorted({json.dumps(plain(one)) for one in (await made.documents("receipts")).values()})
    found["blobs"] = sorted((await made.blobs()).values())
    for table in ("duework", "requests", "failures", "batches"):
        found[table] = [
            row["RowKey"]
            for row in await made.stored(table)
            if not row["RowKey"].endswith(TRIM) and not waits_for_retention(row["RowKey"])
        ]
    found["answers kept"] = [row["RowKey"] for row in await made.stored("claims") if row["RowKey"].startswith("act|")]
    kinds = Counter(row["RowKey"].partition("|")[0] for row in await made.stored("claims"))
    found["rows of claims"] = dict(sorted(kinds.items()))
    return found


def plain(value: Any) -> Any:
    """Return *value* with dates in place of instants, and without hashes and versions."""
    match value:
        case dict():
            return {name: one if name in EXACT else plain(one) for name, one in value.items() if name not in LEFT_OUT}
        case list():
            return [plain(one) for one in value]
        case str() if INSTANT.fullmatch(value):
            return value[:10]
        case _:
            return value


def faults(job: Job, requests: Mapping[str, Sequence[int]], on: str, mode: str) -> Iterator[Fault]:
    """Yield each way in which a job of these requests can be disturbed so."""
    numbers = requests[on]
    if mode in MENDED_BY_THE_SDK:
        yield Fault(on, None, mode)
    if job.without_key and mode not in MENDED_BY_THE_SDK:
        return
    if not THOROUGH:
        numbers = _worth_while(job, on, mode, numbers)
    for number in numbers:
        yield Fault(on, number, mode)


def _worth_while(job: Job, on: str, mode: str, numbers: Sequence[int]) -> Sequence[int]:
    """Return the requests at which this says more than the other runs do."""
    if mode in MENDED_BY_THE_SDK:  # each write alone in one of the three ways
        begin = MENDED_BY_THE_SDK.index(mode)
        return numbers[begin :: len(MENDED_BY_THE_SDK)] if on == "write" and job.in_full else ()
    if job.in_full:
        return {OVERTAKEN: (), OVERTAKEN_DIES: numbers[::2]}.get(mode, numbers)
    if on == "mail":  # each mail in one of the four ways
        return numbers[WAYS[on].index(mode) :: len(WAYS[on])]
    if on == "read":
        return ()
    ways = {DIES_AFTER: numbers[len(job.name) % 3 :: 3], STAYS_BUSY: numbers[0::6], OVERTAKEN_DIES: numbers[3::6]}
    return ways.get(mode, ())


def differences(fault: Fault, calm: Ended, ended: Ended) -> Iterator[str]:
    """Yield what is not as in the undisturbed end."""
    if ended.hit is None:
        yield NOT_MET
    for name in sorted(calm.picture.keys() | ended.picture.keys()):
        if calm.picture.get(name) != ended.picture.get(name):
            yield f"{name}: {ended.picture.get(name)}\n      in place of {calm.picture.get(name)}"
    if set(calm.mails) != set(ended.mails):
        yield f"mails: {dict(ended.mails)} in place of {dict(calm.mails)}"
    doubled = (ended.mails - calm.mails).total()
    if doubled > (fault.mode in MAY_DOUBLE_A_MAIL):
        yield f"{doubled} mails doubled"
    if ended.receipts - calm.receipts > (fault.mode in (DIES_BEFORE, DIES_AFTER, STAYS_BUSY, OVERTAKEN_DIES)):
        yield f"{ended.receipts} receipts"


_calm: dict[str, Ended] = {}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("on", "mode"), [(on, mode) for on, modes in WAYS.items() for mode in modes])
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
async def test_the_end_is_the_same(
    job: Job, on: str, mode: str, part: int, azurite: Azurite, issuer: LocalIssuer
) -> None:
    """Same claims, slots, history, evidence, figures and receipts; nothing owed; at most one mail twice."""
    calm = _calm[job.name] = _calm.get(job.name) or await run(job, azurite, issuer, None)
    failed = []
    for fault in list(faults(job, calm.requests, on, mode))[part::PARTS]:
        try:
            ended = await run(job, azurite, issuer, fault)
            hit, told = ended.hit, list(differences(fault, calm, ended))
        except Exception as error:  # noqa: BLE001 - every request is tried, and all that failed are told
            hit, told = error.__notes__[0], [*traceback.format_tb(error.__traceback__)[-2:], repr(error)]
        if told:
            which = fault.number or "of all, once each"
            failed.append(f"{job.name}: {on} {which} ({hit}) {mode}:\n    " + "\n    ".join(told))
    assert not failed, f"{len(failed)} ends differ\n" + "\n".join(failed)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
async def test_the_undisturbed_end_owes_nothing(job: Job, azurite: Azurite, issuer: LocalIssuer) -> None:
    """What the other ends are compared with is right: all is told once, nothing is left to do or to forget."""
    calm = await run(job, azurite, issuer, None)

    assert set(calm.mails.values()) <= {1}
    assert not calm.picture["duework"]
    assert not calm.picture["requests"]
    assert not calm.picture["answers kept"]
    assert not calm.picture["failures"]
    assert not calm.picture["batches"]
