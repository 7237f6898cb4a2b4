"""
Reads and writes the form of a backup: one file for each table, and a manifest with counts and hashes.

The file of a table has JSON lines and is compressed with gzip. Each line is a row with its keys. For each cell it has
the value, and storage's name of the value's type, so that every type is restored exactly. The manifest is written last,
so a folder without a manifest is not a backup.
"""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cpor_app.adapters.storage.row_store import Cell, Row

FORMAT = 1
"""The version of the form. A restore refuses other versions."""
MANIFEST = "manifest.json"
OWNER_ONLY = 0o600
"""The mode of each file, because tables hold names, addresses and the secrets of webhooks."""


class NoBackup(Exception):
    """A backup cannot be made or read. The message says why."""


class TableCopy(BaseModel):
    """The number of rows in a table's file, and the hash of the file."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int
    sha256: str


class Manifest(BaseModel):
    """The list of a backup's files. `id` is the id of the backup."""

    model_config = ConfigDict(frozen=True)

    format: int
    id: str
    began_at: datetime
    ended_at: datetime
    tables: tuple[TableCopy, ...]


def file_of(table: str) -> str:
    """Return the name of a table's file."""
    return f"{table}.jsonl.gz"


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file under a temporary name. The file gets the name *path* when all its content is on the disk."""
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


@dataclass
class TableWriter:
    """Writes the rows of one table."""

    file: IO[bytes]
    rows: int = 0
    _gzip: gzip.GzipFile = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compress without a timestamp, so that the same rows give the same file."""
        self._gzip = gzip.GzipFile("", "wb", fileobj=self.file, mtime=0)

    def write(self, row: Row) -> None:
        """Write one row."""
        self._gzip.write(line_of(row))
        self.rows += 1

    def close(self) -> None:
        """Write the rest of the compressed data. The file stays open."""
        self._gzip.close()


def line_of(row: Row) -> bytes:
    """Return the line for a row."""
    cells = {name: dict([_typed(value)]) for name, value in sorted(row.values.items())}
    line = {"PartitionKey": row.partition, "RowKey": row.key, "cells": cells}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def row_of(line: bytes) -> tuple[str, str, Mapping[str, Cell]]:
    """Return partition, key and cells of a line. Raises NoBackup for a line that is not a row."""
    try:
        read = json.loads(line)
        cells = {name: _value(*typed) for name, cell in read["cells"].items() for typed in cell.items()}
        return str(read["PartitionKey"]), str(read["RowKey"]), cells
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoBackup(f"a line is not a row: {type(error).__name__}") from error


def _typed(value: Cell) -> tuple[str, Any]:
    match value:
        case bool():
            return "Edm.Boolean", value
        case str():
            return "Edm.String", value
        case int():
            return "Edm.Int64", value
        case float():
            return "Edm.Double", value
        case bytes():
            return "Edm.Binary", base64.b64encode(value).decode()
        case datetime():
            return "Edm.DateTime", value.isoformat(timespec="microseconds")


def _value(edm: str, value: Any) -> Cell:
    match edm, value:
        case "Edm.Boolean", bool():
            return value
        case "Edm.String", str():
            return value
        case "Edm.Int64", int():
            return value
        case "Edm.Double", float():
            return value
        case "Edm.Binary", str():
            return base64.b64decode(value, validate=True)
        case "Edm.DateTime", str():
            return datetime.fromisoformat(value)
        case _:
            raise TypeError(edm)


def rows_in(folder: Path, table: str) -> Iterator[tuple[str, str, Mapping[str, Cell]]]:
    """Yield partition, key and cells of every row of a table's file. Raises NoBackup."""
    with gzip.open(folder / file_of(table)) as file:
        yield from map(row_of, file)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup. Raises NoBackup."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise NoBackup(f"{folder} has no {MANIFEST}: it is not a backup, or the backup was interrupted") from None
    except ValidationError as error:
        raise NoBackup(f"{MANIFEST} cannot be read, it has {error.error_count()} errors") from None
    if manifest.format != FORMAT:
        raise NoBackup(f"its format is {manifest.format}, but this release reads format {FORMAT}")
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Raise NoBackup unless every file has the hash and the number of rows that are in the manifest."""
    for table in manifest.tables:
        path = folder / file_of(table.name)
        if not path.is_file():
            raise NoBackup(f"{path.name} is missing")
        if digest(path) != table.sha256:
            raise NoBackup(f"{path.name} was changed after the backup: its hash differs")
        rows = sum(1 for _ in rows_in(folder, table.name))
        if rows != table.rows:
            raise NoBackup(f"{path.name} has {rows} rows, not {table.rows}")


def digest(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
