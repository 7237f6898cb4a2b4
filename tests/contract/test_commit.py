"""What a commit returns is ready for the next act: a notice promises and hands over with one read between them."""

from collections.abc import AsyncIterator

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows
from cpor_app.adapters.storage.tables.claims import TABLE, ClaimsTable
from cpor_core.errors import Conflict
from cpor_core.model.slot import Slot
from cpor_core.ports.claims import Commit
from cpor_core.transitions.claim_case import StoredCase
from cpor_core.transitions.life import settle
from tests.core.builders import TOLD_AT, draft, notified, promised, submitted
from tests.doubles.memory_rows import MemoryRows


@pytest.fixture(params=["memory", pytest.param("azure", marks=pytest.mark.slow)])
async def claims(request: pytest.FixtureRequest) -> AsyncIterator[ClaimsTable]:
    """The table, over memory and over storage."""
    rows: AzureRows | MemoryRows = MemoryRows()
    if request.param == "azure":
        connection = StorageConnection.from_text(request.getfixturevalue("storage_connection"))
        await provision(connection, [TABLE], [], [])
        rows = AzureRows(connection)
    yield ClaimsTable(rows)
    await rows.close()


async def first(claims: ClaimsTable) -> StoredCase:
    """Write a submitted claim with its slot; returns what the commit returned."""
    case = submitted(draft(), automatic=True)
    unused = {key: Slot(engagement=slot.engagement, key=key) for key, slot in case.slots.items()}
    before = StoredCase(case.claim.model_copy(update={"version": -1}), unused)
    return await claims.commit(Commit("act 1", before, case))


async def test_a_commit_returns_the_case_as_it_would_be_read(claims: ClaimsTable) -> None:
    """Claim, slots and their ETags; nothing of the entries that were written."""
    stored = await first(claims)

    assert stored == await claims.load(stored.claim.id)


async def test_what_was_committed_can_be_changed_at_once(claims: ClaimsTable) -> None:
    """One act after another, each over what the one before returned; who has an older case loses."""
    stored = await first(claims)
    after_promise = await claims.commit(Commit("act 2", stored, promised(settle(stored, TOLD_AT)).written()))
    after_notice = await claims.commit(
        Commit("act 3", after_promise, notified(settle(after_promise, TOLD_AT)).written())
    )

    assert after_notice == await claims.load(stored.claim.id)
    with pytest.raises(Conflict):
        await claims.commit(Commit("act 4", stored, promised(settle(stored, TOLD_AT)).written()))
