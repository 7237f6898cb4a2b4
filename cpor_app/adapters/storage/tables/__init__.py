"""One file for each table or partition. `docs/storage.md` lists keys and partitions."""

import zlib

from cpor_app.adapters.storage.row_store import Cell
from cpor_core.model.base import Value

TABLES = (
    "claims",
    "duework",
    "partnerclaims",
    "reviews",
    "requests",
    "mails",
    "registry",
    "usage",
    "receipts",
    "changes",
    "webhooks",
    "batches",
    "failures",
    "programme",
    "settings",
)
LONGEST_TEXT = 16_000
"""Characters that fit into a text cell in any language. A longer document is compressed."""


def packed(value: Value) -> Cell:
    """Return a value as one cell: readable JSON, or compressed when it is too long for a text cell."""
    text = value.model_dump_json(by_alias=True, exclude_none=True)
    return text if len(text) <= LONGEST_TEXT else zlib.compress(text.encode())


def unpacked(cell: Cell) -> str | bytes:
    """Return the JSON of a packed cell."""
    if isinstance(cell, bytes):
        return zlib.decompress(cell)
    return str(cell)


def just_after(key: str) -> str:
    """Return the lowest key above *key*. `-` is the lowest character that a key can have."""
    return key + "-"
