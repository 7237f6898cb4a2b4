"""A backup is every row as it was, a restore brings all of it back, and the service goes on from there."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from cpor_app.adapters.clock import Clock
from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.row_store import AzureRows, Cell, Op, Put, Row, Rows
from cpor_app.adapters.storage.tables import TABLES
from cpor_core.errors import StorageBusy
from cpor_core.use_cases.due_work.rebuild import rebuild
from devhost.stack.issuer import LocalIssuer
from tests.core.builders import ADATUM, FABRIKAM, LITWARE
from tests.core.memory_core import Core
from tests.doubles.clock import FixedClock
from tests.doubles.memory_rows import MemoryRows
from tests.support.azurite import ROOT, Azurite
from tests.support.service import running_service
from tests.upgrade.copy import SECRET, Known, keep, releases
from tests.upgrade.copy import TABLES as KEPT
from tests.upgrade.deployment import everything, tenant
from tools.backup import LEFT_OUT, ORDER, ROWS_A_BLOCK, WHOLE, back_up
from tools.backup_format import FORMAT, MANIFEST, NoBackup, TableWriter, file_of, read_manifest
from tools.restore import end, restore

NEWEST = releases()[-1] / KEPT
AWKWARD: Mapping[str, Cell] = {
    "empty": "",
    "text": "Ünïcödé 漢字 🙂 \u2028 \\ \" ' \t\r\n \x7f <&>",
    "long": "é" * 32_767,
    "yes": True,
    "no": False,
    "zero": 0,
    "most": 2**63 - 1,
    "least": -(2**63),
    "whole": 1.0,
    "small": 5e-324,
    "minus": -0.0,
    "nothing": b"",
    "bytes": bytes(range(256)) * 256,
    "late": datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    "early": datetime(1700, 1, 1, tzinfo=UTC),
    "precise": datetime(2026, 11, 2, 9, 0, 0, 1, UTC),
}


async def contents(rows: Rows) -> dict[tuple[str, str, str], tuple[Mapping[str, Cell], list[str]]]:
    """Return every row of every table but those that are counted anew, with the types of its cells."""
    return {
        (table, row.partition, row.key): (
            dict(row.values),
            [type(value).__name__ for _, value in sorted(row.values.items())],
        )
        for table in TABLES
        if table not in LEFT_OUT
        async for row in rows.scan(table)
    }


async def empty_account(azurite: Azurite) -> AzureRows:
    """Return the rows of an account with all tables and nothing in them."""
    connection = StorageConnection.from_text(azurite.fresh_account())
    await provision(connection, TABLES, (), ("evidence", "batches"))
    return AzureRows(connection)


@pytest.fixture
async def rows(azurite: Azurite) -> AsyncIterator[AzureRows]:
    """The rows of an empty account."""
    made = await empty_account(azurite)
    yield made
    await made.close()


def changed(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Return a copy of the newest kept backup with one file changed."""
    folder.mkdir()
    for file in NEWEST.iterdir():
        data = file.read_bytes()
        (folder / file.name).write_bytes(change(data) if file.name == name else data)
    return folder


def manifest(**changes: Any) -> Callable[[bytes], bytes]:
    """Change the manifest."""
    return lambda data: json.dumps({**json.loads(data), **changes}).encode()


def test_every_table_is_in_a_backup_or_counted_anew() -> None:
    """A new table must be put where it belongs in the order."""
    assert sorted([*ORDER, *LEFT_OUT]) == sorted(TABLES)
    assert set(ORDER) >= WHOLE


async def test_every_row_comes_back_as_it_was_and_the_service_goes_on(
    azurite: Azurite, issuer: LocalIssuer, tmp_path: Path
) -> None:
    """
    A store in which everything has happened, with awkward values, more rows than a transaction takes and more bytes.

    It is copied as `python -m tests.upgrade` copies it, so the next release can be kept. In the other account a claim
    that was in its window becomes official by its timer.
    """
    account, other = azurite.fresh_account(), azurite.fresh_account()
    async with running_service(account, issuer, CPOR_LINK_SECRETS=SECRET) as service:
        await service.register()
        await everything(service)
        rows = service.services.rows
        await rows.write("receipts", "awkward", Put("a.b|c~d-e_f", AWKWARD))
        for first in (0, 28):
            puts = (Put(f"{number:03d}", {"bytes": os.urandom(60_000)}) for number in range(first, first + 28))
            await rows.write("receipts", "large", *puts)
        for first in (0, 100):
            await rows.write("receipts", "many", *(Put(f"{number:03d}", {}) for number in range(first, first + 100)))
        before, now = await contents(rows), await service.clock.now()
        await keep(service, tmp_path)

    async with running_service(other, issuer, clock=FixedClock(now)) as service:
        rows = service.services.rows
        made = await restore(rows, tmp_path / KEPT)
        await end(rows, made)
        after = await contents(rows)
        await rebuild(service.services.ports, now)
        claims = (await service.request("GET", "/claims?maxpagesize=100")).json()["value"]
        waiting = next(one for one in claims if one["customer"]["tenantId"] == tenant(11))
        service.clock.set(datetime.fromisoformat(waiting["window"]["endsAt"]) + timedelta(minutes=3))
        await service.sweep()
        stored = await service.services.ports.claims.load(waiting["id"])

    assert after == before
    assert len(Known.of(tmp_path).asked) > 100
    assert sum(table.rows for table in made.tables) == len(before)
    assert stored is not None
    assert stored.claim.status == "official"


async def test_a_restore_that_was_broken_off_goes_on(rows: AzureRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any number of writes; another backup is refused meanwhile, and a store that is not empty always."""
    written, write = 0, AzureRows.write

    async def breaks(self: AzureRows, table: str, partition: str, *ops: Op) -> Mapping[str, str]:
        nonlocal written
        written += 1
        if written > 20:
            raise StorageBusy("the network has gone")
        return await write(self, table, partition, *ops)

    monkeypatch.setattr(AzureRows, "write", breaks)
    with pytest.raises(StorageBusy):
        await restore(rows, NEWEST)
    monkeypatch.undo()

    assert 0 < len(await contents(rows)) < sum(table.rows for table in read_manifest(NEWEST).tables)
    made = await restore(rows, NEWEST)
    await end(rows, made)
    with pytest.raises(NoBackup, match="not empty"):
        await restore(rows, NEWEST)
    await rows.write("settings", "mail", Put("budget", {"sent": 1}))
    await end(rows, await restore(rows, NEWEST, over=True))
    assert len(await contents(rows)) == sum(table.rows for table in made.tables) + 1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("claims.jsonl.gz", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "its hash differs"),
        ("claims.jsonl.gz", lambda data: data[: len(data) // 2], "its hash differs"),
        ("claims.jsonl.gz", lambda _: b"", "its hash differs"),
        (MANIFEST, manifest(format=FORMAT + 1), "its format is 2"),
        (MANIFEST, manifest(tables=[{"name": "newer", "rows": 0, "sha256": ""}]), "no table newer"),
        (MANIFEST, lambda _: b"{}", "cannot be read"),
        (MANIFEST, lambda data: data.replace(b'"rows": 1,', b'"rows": 7,'), "rows, not 7"),
    ],
    ids=[
        "one bit",
        "the half of it",
        "nothing of it",
        "another format",
        "another table",
        "no manifest",
        "another count",
    ],
)
async def test_what_is_not_as_it_was_written_is_refused(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    """Before a single row is written."""
    rows = MemoryRows()

    with pytest.raises(NoBackup, match=said):
        await restore(rows, changed(tmp_path / "changed", name, change))

    assert await contents(rows) == {}


async def test_a_backup_that_was_not_ended_is_none(tmp_path: Path) -> None:
    """Nor is one that lacks a file; and a folder with something in it is left alone."""
    with pytest.raises(NoBackup, match=r"no manifest\.json"):
        await restore(MemoryRows(), tmp_path)
    folder = changed(tmp_path / "lacking", "", bytes)
    (folder / file_of("receipts")).unlink()
    with pytest.raises(NoBackup, match="is missing"):
        await restore(MemoryRows(), folder)
    with pytest.raises(NoBackup, match="is not empty"):
        await back_up(MemoryRows(), folder, Clock())


class Busy(MemoryRows):
    """Rows that are written to by others between any two reads of a backup."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def scan(self, table: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[Row]:
        async for row in super().scan(table, after=after, limit=limit):
            yield row
            await self._others()

    async def query(
        self, table: str, partition: str, *, start: str = "", before: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Row]:
        rows = super().query(table, partition, start=start, before=before, limit=limit)
        async for row in rows:
            yield row
        await self._others()

    async def _others(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
            self.meanwhile = meanwhile


async def test_a_partition_is_copied_as_it_was_at_one_instant(tmp_path: Path) -> None:
    """Two rows that are always written together are the same in the copy, though they change while it is made."""
    rows, count = Busy(), 0

    async def both() -> None:
        nonlocal count
        count += 1
        if count < 5:
            await rows.write("claims", "p", Put("a", {"count": count}), Put("z", {"count": count}))

    await rows.write("claims", "p", Put("a", {"count": 0}), Put("z", {"count": 0}))
    await rows.write("claims", "q", Put("a", {}))
    rows.meanwhile = both
    await back_up(rows, tmp_path / "backup", Clock())

    copied = MemoryRows()
    await restore(copied, tmp_path / "backup")
    first, last = [row async for row in copied.query("claims", "p")]
    assert count > 1
    assert first.values == last.values


async def test_more_rows_than_are_looked_at_at_once_are_copied_once_each(tmp_path: Path) -> None:
    """Whole partitions at a time."""
    rows = MemoryRows()
    for number in range(ROWS_A_BLOCK // 50 + 20):
        await rows.write("claims", f"{number:04d}", *(Put(f"{key:02d}", {}) for key in range(50)))

    made = await back_up(rows, tmp_path / "backup", Clock())

    assert [table.rows for table in made.tables if table.name == "claims"] == [ROWS_A_BLOCK + 1000]


async def test_a_partition_that_never_rests_is_not_copied_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator is told which, there is no backup, and no file is left open."""
    rows, count = Busy(), 0

    async def write() -> None:
        nonlocal count
        count += 1
        await rows.write("changes", "p", Put("a", {"count": count}))

    await write()
    rows.meanwhile = write
    files: list[TableWriter] = []

    def writer(file: IO[bytes]) -> TableWriter:
        files.append(TableWriter(file))
        return files[-1]

    monkeypatch.setattr("tools.backup.TableWriter", writer)
    with pytest.raises(NoBackup, match="changes: p changed at every read"):
        await back_up(rows, tmp_path / "backup", Clock())

    assert all(file._gzip.closed for file in files)
    assert not (tmp_path / "backup" / MANIFEST).exists()


async def test_what_was_copied_while_the_service_worked_can_be_gone_on_from(tmp_path: Path) -> None:
    """
    Claims are made, submitted and told of between any two rows: no feed has a gap, or forgets an entry.

    What the copied claims owed, and the service has paid meanwhile, is paid once more.
    """
    core = Core()
    await core.register()
    for organisation in (ADATUM, FABRIKAM):
        await core.submitted(organisation)
    busy, steps = Busy(), 0
    busy._rows = core.rows._rows

    async def work() -> None:
        nonlocal steps
        steps += 1
        if steps % 10 == 0 and steps < 80:
            await (core.submitted if steps == 40 else core.draft)(LITWARE)
        if steps % 7 == 0:
            await core.rest()

    busy.meanwhile = work
    await back_up(busy, tmp_path / "backup", core.clock)

    after = Core(core.clock.real(), first_id=10**9)
    await restore(after.rows, tmp_path / "backup")
    await rebuild(after.ports, await after.now())
    for _ in range(4):
        await after.rest(timedelta(minutes=15))

    assert steps > 50
    stored = [case.claim async for tenant in after.ports.claims.tenants() for case in tenant.cases]
    assert len(stored) >= 2
    for claim in stored:
        assert await after.ports.changes.announced_up_to(claim.organisation, claim.id) == claim.history_length
        history = await after.ports.claims.history(claim.id, after=0, limit=999)
        assert [entry.sequence for entry in history] == list(range(1, claim.history_length + 1))
    for organisation in (ADATUM, FABRIKAM, LITWARE):
        entries = await after.ports.changes.page(organisation, after=0, limit=999)
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))


def open_to_others(folder: Path) -> list[Path]:
    """Return what others than its owner may read."""
    return [file for file in (folder, *folder.iterdir()) if file.stat().st_mode & 0o077]


def command(account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CPOR_")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**environ, "CPOR_STORAGE": account},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_commands_do_it(azurite: Azurite, tmp_path: Path) -> None:
    """Restore, rebuild, back up; and each says what is wrong with what it was told."""
    account = azurite.fresh_account()
    await provision(StorageConnection.from_text(account), TABLES, (), ("evidence", "batches"))
    folder = str(tmp_path / "backup")

    async def said(*arguments: str) -> tuple[int, str]:
        ended = await asyncio.to_thread(command, account, *arguments)
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stdout + ended.stderr

    restored, rebuilt, backed_up, wrong = [
        await said("tools.restore", str(NEWEST)),
        await said("tools.rebuild_indexes"),
        await said("tools.backup", folder),
        await said("tools.restore", folder),
    ]

    assert (restored[0], rebuilt[0], backed_up[0], wrong[0]) == (0, 0, 0, 1), (restored, rebuilt, backed_up)
    assert "is restored" in restored[1]
    assert "claims, " in rebuilt[1]
    assert read_manifest(Path(folder)).id in backed_up[1]
    assert "is not empty" in wrong[1]
    assert open_to_others(tmp_path / "backup") == []
