"""
After any fault at any request, the next run reaches the same end.

Each job runs once without a fault, to count its mails and its requests to tables, queues and blobs. Then it runs once
for each of them and for each kind of fault. Storage is in memory. `test_the_sdk_repeats.py` runs the same jobs on real
storage. THOROUGH=1 adds the runs that repeat another run. A process that dies before a request or a mail leaves the
same state as one that died after the write or mail before it, because a read changes nothing. THOROUGH=1 also lets each
read alone fail for good.
"""

import hashlib
import json
import re
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cpor_core.due_work import Kind
from devhost.stack.issuer import LocalIssuer
from tests.faults.fault_rig import (
    DIES_AFTER,
    DIES_BEFORE,
    MAIL,
    READ,
    REFUSED,
    REFUSED_THOUGH_TAKEN,
    SENT_TWICE,
    STAYS_BUSY,
    WRITE,
    Fault,
    FaultRig,
    Trail,
    fault_rig,
    waits_for_retention,
)
from tests.faults.jobs import JOBS, REVIEWER, Job
from tests.support.memory_service import Kept
from tests.support.programme_table import faults_of_programme
from tests.support.service import OTHER_PARTNER, PARTNER
from tests.support.thorough import THOROUGH

WAYS = [
    (WRITE, DIES_AFTER),
    (WRITE, SENT_TWICE),
    (WRITE, STAYS_BUSY),
    (MAIL, DIES_AFTER),
    (MAIL, REFUSED),
    (MAIL, REFUSED_THOUGH_TAKEN),
]
THOROUGH_WAYS = [(WRITE, DIES_BEFORE), (READ, DIES_BEFORE), (READ, STAYS_BUSY), (MAIL, DIES_BEFORE)]
CASES = [
    (job, on, mode)
    for job in JOBS
    for on, mode in (*WAYS, *(THOROUGH_WAYS if THOROUGH else ()))
    if mode == SENT_TWICE or not job.without_key
]
MAY_DOUBLE_A_MAIL = (DIES_BEFORE, DIES_AFTER, STAYS_BUSY, REFUSED_THOUGH_TAKEN)

INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)")
EXACT = frozenset({"endsAt", "since", "takesOverAt"})
"""Instants that no accident may move; of the others the date must be the same."""
LEFT_OUT = frozenset({"etag", "version", "hash", "previousHash", "historyHash"})


@dataclass(frozen=True)
class Ended:
    """The end of a run: the part that must be the same, and the part that can be more."""

    picture: Mapping[str, Any]
    mails: Counter[str]
    receipts: int
    requests: Counter[str]
    """How many reads, writes and mails the job has."""
    hit: str | None


async def prepared(rig: FaultRig, job: Job) -> Kept:
    """Return the state at the beginning of the job."""
    await rig.service.register()
    await job.prepare(rig)
    return rig.keep()


async def run(rig: FaultRig, job: Job, begin: Kept, fault: Fault | None) -> Ended:
    """Run a job from its beginning to the end of all time."""
    rig.go_back_to(begin)
    trail = Trail(fault)
    rig.start(trail)
    try:
        saw = await job.run(rig)
        requests = Counter(trail.kinds)
        rig.start(Trail())
        return await at_the_end(rig, saw, requests, trail.hit)
    except Exception as error:
        error.add_note(trail.hit or NOT_MET)
        raise


async def at_the_end(rig: FaultRig, saw: object, requests: Counter[str], hit: str | None) -> Ended:
    """Let all time pass, and return the end of the run."""
    await rig.end()
    return Ended(
        picture={"seen": plain(saw), **await picture(rig)},
        mails=Counter(mail.message_id for mail in (*rig.mailbox.sent, *rig.mailbox.to_partners)),
        receipts=len(await rig.rows("receipts")),
        requests=requests,
        hit=hit,
    )


TRIMS = (Kind.TRIM_CHANGES, Kind.TRIM_PROGRAMME)
NOT_MET = "the fault was not met"


async def picture(rig: FaultRig) -> dict[str, Any]:
    """
    Return what partners, programme and storage show at the end, without the parts that can differ.

    The feeds must be complete.
    """
    found: dict[str, Any] = {}
    for tenant in (PARTNER, OTHER_PARTNER):
        claims = (await rig.ask("GET", "/claims", tenant=tenant)).json()["value"]
        found[f"claims of {tenant}"] = plain(claims)
        for claim in claims:
            path = f"/claims/{claim['id']}"
            entries = (await rig.ask("GET", f"{path}/history", tenant=tenant)).json()["value"]
            assert [entry["previousHash"] for entry in entries] == [None, *(entry["hash"] for entry in entries[:-1])]
            assert claim["historyHash"] == entries[-1]["hash"]
            found[f"history of {claim['id']}"] = plain(entries)
            for evidence in claim["evidence"]:
                file = await rig.ask("GET", f"{path}/evidence/{evidence['fileName']}", tenant=tenant)
                assert hashlib.sha256(file.content).hexdigest() == evidence["sha256"]
        changes = (await rig.ask("GET", "/changes?maxpagesize=1000", tenant=tenant)).json()["value"]
        assert [change["sequence"] for change in changes] == list(range(1, len(changes) + 1))
        changes_of: dict[str, list[tuple[str, str]]] = {}
        for change in changes:  # the order within each claim counts, and the order of the claims does not
            changes_of.setdefault(change["claimId"], []).append((change["type"], change["status"]))
        found[f"feed of {tenant}"] = sorted(changes_of.values())
    found["reviews"] = plain((await rig.ask("GET", "/reviews", **REVIEWER)).json())
    words = [row.key.split("|") for row in await rig.rows("partnerclaims") if row.key.startswith("word|")]
    found["words"] = sorted((claim_id, bytes.fromhex(word).decode()) for _, word, _, claim_id in words)
    found["slots"] = plain(await rig.documents("claims", "slot|"))
    found["usage"] = plain(await rig.documents("usage"))
    found["receipts"] = sorted({json.dumps(plain(one)) for one in (await rig.documents("receipts")).values()})
    found["blobs"] = await rig.blobs()
    for table in ("duework", "requests", "failures", "batches"):
        keys = [row.key for row in await rig.rows(table)]
        found[table] = [key for key in keys if not key.endswith(TRIMS) and not waits_for_retention(key)]
    keys = [row.key for row in await rig.rows("claims")]
    found["answers kept"] = [key for key in keys if key.startswith("act|")]
    found["the programme's table"] = list(faults_of_programme(rig.storage.keep().rows))
    found["rows of claims"] = dict(sorted(Counter(key.partition("|")[0] for key in keys).items()))
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


def differences(fault: Fault, calm: Ended, ended: Ended) -> Iterator[str]:
    """Yield the differences from the end without a fault."""
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
    if ended.receipts - calm.receipts > (fault.mode in (DIES_BEFORE, DIES_AFTER, STAYS_BUSY)):
        yield f"{ended.receipts} receipts"


@pytest.mark.parametrize(("job", "on", "mode"), CASES, ids=lambda of: of.name if isinstance(of, Job) else of)
async def test_the_end_is_the_same(job: Job, on: str, mode: str, issuer: LocalIssuer) -> None:
    """
    Claims, slots, history, evidence, figures and receipts are the same, and no work is due.

    At most one mail is sent twice.
    """
    failed = []
    async with fault_rig(issuer) as rig:
        begin = await prepared(rig, job)
        calm = await run(rig, job, begin, None)
        for number in range(1, calm.requests[on] + 1):
            fault = Fault(on, number, mode)
            try:
                ended = await run(rig, job, begin, fault)
                hit, unequal = ended.hit, list(differences(fault, calm, ended))
            except Exception as error:  # noqa: BLE001 - every request is tried, and all failures are listed
                hit, unequal = error.__notes__[0], [*traceback.format_tb(error.__traceback__)[-2:], repr(error)]
            if unequal:
                failed.append(f"{job.name}: {on} {number} ({hit}) {mode}:\n    " + "\n    ".join(unequal))
    assert not failed, f"{len(failed)} ends differ\n" + "\n".join(failed)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
async def test_the_end_without_a_fault_has_no_due_work(job: Job, issuer: LocalIssuer) -> None:
    """The other ends are compared with this one. All mails and feed entries exist once, and no work is left."""
    async with fault_rig(issuer) as rig:
        calm = await run(rig, job, await prepared(rig, job), None)

    assert set(calm.mails.values()) <= {1}
    for table in ("duework", "requests", "answers kept", "failures", "batches"):
        assert not calm.picture[table], table
