"""
Fill empty tables from a backup: `python -m tools.restore <folder>`, or `make restore FROM=<folder>`.

The command needs the same settings as `tools.backup`. The service must not run during a restore. At the end the command
rebuilds indexes and due rows, because the service could write during the backup. If a restore was interrupted, run the
command again, and it continues. `--over` writes into tables that are not empty. Rows that are not in the backup stay.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.adapters.storage.row_store import AzureRows, Delete, Put, Rows, in_transactions
from cpor_app.adapters.storage.tables import TABLES
from cpor_app.queue_names import STORAGE
from cpor_app.settings import SettingsError, environment
from cpor_core.errors import Fault
from cpor_core.use_cases.due_work.rebuild import Rebuilt
from tools.backup import LEFT_OUT
from tools.backup_format import Manifest, NoBackup, read_manifest, rows_in, verify
from tools.rebuild_indexes import rebuild_at

IN_FLIGHT = 16
"""The number of transactions that run at the same time."""
SETTINGS, UNDER_WAY = "settings", "restore"
"""
The row that holds the backup's id during a restore.

If a second run finds its backup's id there, an interrupted restore of the same backup wrote the rows.
"""


async def restore(rows: Rows, folder: Path, *, over: bool = False) -> Manifest:
    """
    Verify a backup, then write all its rows.

    Raises NoBackup if a file of the backup has changed, or if this release lacks one of its tables. Also raises it if a
    table is not empty, unless *over* is true or an earlier restore of this backup was interrupted. Raises faults of
    storage.
    """
    manifest = read_manifest(folder)
    if unknown := sorted({table.name for table in manifest.tables} - set(TABLES)):
        raise NoBackup(f"this release has no table {unknown[0]}: restore with the release that made the backup")
    verify(folder, manifest)
    if not over and await rows.get(SETTINGS, UNDER_WAY, manifest.id) is None:
        await _verify_empty(rows)
    await rows.write(SETTINGS, UNDER_WAY, Put(manifest.id, {}))
    for table in manifest.tables:
        await _fill(rows, table.name, folder)
    return manifest


async def end(rows: Rows, manifest: Manifest) -> None:
    """Record that a restore is complete."""
    await rows.write(SETTINGS, UNDER_WAY, Delete(manifest.id))


async def _verify_empty(rows: Rows) -> None:
    for table in (table for table in TABLES if table not in LEFT_OUT):
        if [row async for row in rows.scan(table, limit=1)]:
            raise NoBackup(f"table {table} is not empty; with --over the backup is written into it nevertheless")


async def _fill(rows: Rows, table: str, folder: Path) -> None:
    running: set[asyncio.Task[object]] = set()
    try:
        for partition, puts in _transactions(folder, table):
            if len(running) >= IN_FLIGHT:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    ended.result()
            running.add(asyncio.ensure_future(rows.write(table, partition, *puts)))
        await asyncio.gather(*running)
    finally:
        for left in running:
            left.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _transactions(folder: Path, table: str) -> Iterator[tuple[str, tuple[Put, ...]]]:
    for partition, found in groupby(rows_in(folder, table), key=itemgetter(0)):
        puts = (Put(key, cells) for _, key, cells in found)
        for group in in_transactions(partition, puts):
            yield partition, tuple(op for op in group if isinstance(op, Put))


async def run(environ: Mapping[str, str], folder: Path, *, over: bool) -> tuple[Manifest, Rebuilt]:
    """Restore into the account in *environ*, and rebuild its indexes. Raises as `restore` does, and ValueError."""
    connection = StorageConnection.from_environment(environ, STORAGE, as_operator=True)
    rows = AzureRows(connection)
    try:
        manifest = await restore(rows, folder, over=over)
        rebuilt = await rebuild_at(connection, environ)
        await end(rows, manifest)
    finally:
        await rows.close()
    return manifest, rebuilt


def main() -> int:
    """Restore a backup, and print the number of rows that were written."""
    folders = [argument for argument in sys.argv[1:] if argument != "--over"]
    if len(folders) != 1:
        print("Give the folder of a backup: python -m tools.restore [--over] <folder>", file=sys.stderr)
        return 2
    try:
        manifest, rebuilt = asyncio.run(run(environment(), Path(folders[0]), over="--over" in sys.argv))
    except (Fault, NoBackup, OSError, SettingsError, ValueError) as fault:
        print(f"not restored: {fault}. Run the command again when the cause is gone. It continues.", file=sys.stderr)
        return 1
    print(f"backup {manifest.id} of {manifest.began_at:%Y-%m-%d %H:%M} UTC is restored")
    print(f"{sum(table.rows for table in manifest.tables)} rows; {rebuilt.claims} claims, {rebuilt.due_rows} due rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
