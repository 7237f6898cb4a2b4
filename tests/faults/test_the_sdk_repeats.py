"""
The SDK repeats each request once on real storage.

No caller sees that, and the end is the same. Each request is done and then answered with 500, with 503 or not at all,
so that the SDK sends it again. `test_every_request.py` tests a process that dies and a store that stays busy, in
memory. The end must equal the end in memory: the stores in memory therefore keep the promises of the real ones for
whole jobs too.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from cpor_app import bootstrap
from cpor_app.adapters.storage.blobs import AzureBlobs
from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows, Row
from cpor_app.adapters.storage.tables import TABLES
from cpor_app.queue_names import POISON, QUEUES
from devhost.stack.issuer import LocalIssuer
from tests.doubles.due_work import DueWorkOfThisClock, Written
from tests.doubles.transport import Plan, Request, Trouble, answer, lose_answer
from tests.faults.fault_rig import SENT_TWICE, WRITE, Fault, FaultRig, fault_rig
from tests.faults.jobs import JOBS, Job
from tests.faults.test_every_request import at_the_end, differences, prepared, run
from tests.support.azurite import Azurite
from tests.support.memory_service import PROCESS
from tests.support.thorough import THOROUGH

WAYS = (answer(500), answer(503), lose_answer())


@dataclass(slots=True)
class EachOnce(Plan):
    """Lets each request fail once, in the three ways by turns. The SDK's next attempt succeeds."""

    first_way: int = 0
    is_on: bool = False
    troubled: int = 0
    """How many requests have gone wrong."""
    _troubled: set[str] = field(default_factory=set)

    def _planned(self, request: Request) -> Trouble | None:
        line = f"{request.method} {request.path}?{request.query}"
        if not self.is_on:
            return None
        if line in self._troubled:  # the SDK's next attempt
            self._troubled.remove(line)
            return None
        self._troubled.add(line)
        self.troubled += 1
        return WAYS[(self.first_way + self.troubled) % len(WAYS)]


class RealStorageRig(FaultRig):
    """The rig over a real storage account. The age of a row follows the rig's clock and not the account's clock."""

    def __init__(self, issuer: LocalIssuer, connection: StorageConnection, plan: EachOnce) -> None:
        """Begin with an empty account."""
        self._connection, self._plan = connection, plan
        self._written: Written = {}
        super().__init__(issuer)
        self.queues = AzureQueues(connection)
        self._rows = AzureRows(connection)
        self._blobs = [AzureBlobs(connection, container) for container in bootstrap.CONTAINERS]

    def process(self) -> bootstrap.Services:
        """Return the connections of a new process over this account."""
        made = self.process_over(bootstrap.Stores.at(self._connection, self._plan.transport))
        duework = DueWorkOfThisClock(made.ports.duework, self.clock, self._written)
        return replace(made, ports=replace(made.ports, duework=duework))

    async def rows(self, table: str) -> list[Row]:
        """Return every row of a table, in the order of partitions and keys."""
        return [row async for row in self._rows.scan(table)]

    async def blobs(self) -> list[bytes]:
        """Return the bytes of every blob, sorted."""
        found = [await blobs.get(name) for blobs in self._blobs async for name in blobs.names()]
        return sorted(data for data in found if data is not None)

    async def close(self) -> None:
        """Close the connections of the process and of the test."""
        await super().close()
        for store in (self.queues, self._rows, *self._blobs):
            await store.close()


@asynccontextmanager
async def real_storage_rig(account: str, issuer: LocalIssuer, plan: EachOnce) -> AsyncIterator[RealStorageRig]:
    """Yield a rig over an empty account for the process."""
    connection = replace(StorageConnection.from_text(account), retry_pause_seconds=0)
    await provision(connection, TABLES, (*QUEUES, *POISON), bootstrap.CONTAINERS)
    rig = RealStorageRig(issuer, connection, plan)
    bootstrap.use(rig.service.services)
    try:
        yield rig
    finally:
        await rig.close()


@pytest.mark.parametrize("way", range(len(WAYS) if THOROUGH else 1))
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
async def test_each_request_is_sent_twice(job: Job, way: int, azurite: Azurite, issuer: LocalIssuer) -> None:
    """The end equals the job's end in memory without a fault."""
    async with fault_rig(issuer) as in_memory:
        calm = await run(in_memory, job, await prepared(in_memory, job), None)
    plan = EachOnce(first_way=way + JOBS.index(job))
    async with real_storage_rig(azurite.fresh_account(), issuer, plan) as rig:
        await prepared(rig, job)
        PROCESS.set("of the fault")  # the ids are those of the run in memory
        plan.is_on = True
        saw = await job.run(rig)
        plan.is_on = False
        ended = await at_the_end(
            rig, saw, Counter(), f"each of {len(plan.requests)} requests" if plan.troubled else None
        )
        unequal = list(differences(Fault(WRITE, 0, SENT_TWICE), calm, ended))
    assert not unequal, "\n".join(unequal)
