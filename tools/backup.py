"""
Write a backup of the tables: `python -m tools.backup <new folder>`, or `make backup TO=<new folder>`.

`CPOR_STORAGE` names the data account, or `CPOR_STORAGE__tableServiceUri` and the two other addresses do. With the
addresses, the command uses the login of `az login`. The service can run during the backup. `docs/operating.md` says
what the backup then contains. Evidence is not in the backup, because blobs never change and other tools can copy them.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from cpor_app.adapters.clock import Clock
from cpor_app.adapters.ids import new_id
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.adapters.storage.row_store import AzureRows, Row, Rows
from cpor_app.queue_names import STORAGE
from cpor_app.settings import environment
from cpor_core.errors import Fault
from tools.backup_format import FORMAT, MANIFEST, Manifest, NoBackup, TableCopy, TableWriter, digest, file_of, written

ORDER = (
    "webhooks",
    "changes",
    "batches",
    "claims",
    "registry",
    "usage",
    "partnerclaims",
    "reviews",
    "duework",
    "requests",
    "mails",
    "failures",
    "settings",
    "receipts",
)
"""
The order in which tables are copied.

Some rows are written after a claim: deliveries, changes and pages of batches. They are copied before the claims, so the
copy never has such a row without its claim. Other rows are written before a claim: due rows, keys in lists and entries
of the registry. They are copied after the claims, so the copy never has a claim without them. Receipts come last.
"""
LEFT_OUT = frozenset({"programme"})
"""The tables that are not copied. The service derives `programme` from the other tables after a rebuild."""
WHOLE = frozenset({"webhooks", "changes", "batches", "claims"})
"""Tables in which a transaction writes several rows of a partition. The copy must not have half a transaction."""
ROWS_A_BLOCK = 5_000
"""About this many rows are read, and then read a second time, to compare the two reads."""
MOST_READS = 50


async def back_up(rows: Rows, folder: Path, clock: Clock) -> Manifest:
    """
    Write every table into a new or empty folder, and then the manifest.

    Raises NoBackup if the folder is not empty, or if a partition changes at every read. Raises faults of storage.
    """
    _make_empty(folder)
    began_at = clock.real()
    tables = [await _copy(rows, table, folder) for table in ORDER]
    return _end(folder, began_at, clock.real(), tables)


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise NoBackup(f"{folder} is not empty")


async def _copy(rows: Rows, table: str, folder: Path) -> TableCopy:
    path = folder / file_of(table)
    with written(path) as file, closing(TableWriter(file)) as writer:
        async for row in _whole(rows, table) if table in WHOLE else rows.scan(table):
            writer.write(row)
    return TableCopy(name=table, rows=writer.rows, sha256=digest(path))


def _end(folder: Path, began_at: datetime, ended_at: datetime, tables: Sequence[TableCopy]) -> Manifest:
    manifest = Manifest(format=FORMAT, id=new_id(), began_at=began_at, ended_at=ended_at, tables=tuple(tables))
    with written(folder / MANIFEST) as file:
        file.write(manifest.model_dump_json(indent=2).encode() + b"\n")
    return manifest


async def _whole(rows: Rows, table: str) -> AsyncIterator[Row]:
    """Yield every row. Each partition is as it was at one instant, because two reads of the partition were equal."""
    after = ""
    async for block in _blocks(rows, table):
        again = await _read_again(rows, table, after, block)
        for partition, first in block.items():
            for row in first if first == again[partition] else await _read_until_equal(rows, table, partition):
                yield row
        after = max(block)


async def _blocks(rows: Rows, table: str) -> AsyncIterator[Mapping[str, Sequence[Row]]]:
    """Yield whole partitions, some thousand rows at a time."""
    block: dict[str, list[Row]] = {}
    count = 0
    async for row in rows.scan(table):
        if row.partition not in block and count >= ROWS_A_BLOCK:
            yield block
            block, count = {}, 0
        block.setdefault(row.partition, []).append(row)
        count += 1
    if block:
        yield block


async def _read_again(
    rows: Rows, table: str, after: str, block: Mapping[str, Sequence[Row]]
) -> Mapping[str, Sequence[Row]]:
    again: dict[str, list[Row]] = {partition: [] for partition in block}
    last = max(block)
    async for row in rows.scan(table, after=after):
        if row.partition > last:
            break
        if row.partition in again:  # a partition that is new since the first read is left out
            again[row.partition].append(row)
    return again


async def _read_until_equal(rows: Rows, table: str, partition: str) -> Sequence[Row]:
    """Read a partition that changes until two reads are equal, and return its rows."""
    before = [row async for row in rows.query(table, partition)]
    for _ in range(MOST_READS):
        now = [row async for row in rows.query(table, partition)]
        if now == before:
            return now
        before = now
    raise NoBackup(f"{table}: {partition} changed at every read; try again when the service is less busy")


async def run(environ: Mapping[str, str], folder: Path) -> Manifest:
    """Write a backup of the account in *environ*. Raises as `back_up` does, and ValueError for a wrong setting."""
    rows = AzureRows(StorageConnection.from_environment(environ, STORAGE, as_operator=True))
    try:
        return await back_up(rows, folder, Clock())
    finally:
        await rows.close()


def main() -> int:
    """Write a backup, and print the number of rows of each table."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        print("Give a new folder: python -m tools.backup <folder>", file=sys.stderr)
        return 2
    try:
        manifest = asyncio.run(run(environment(), Path(sys.argv[1])))
    except (Fault, NoBackup, OSError, ValueError) as fault:
        print(f"no backup: {fault}", file=sys.stderr)
        return 1
    for table in manifest.tables:
        print(f"{table.rows:9} {table.name}")
    print(f"backup {manifest.id}: {sum(table.rows for table in manifest.tables)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
