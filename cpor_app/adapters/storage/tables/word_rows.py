"""
Index rows of words, in the partition of the keys to which they lead (decision 55b).

| row key | what |
|---|---|
| `word|{word}|{key}` | the thing with this key in the list has this word; the word is its UTF-8 in hexadecimal digits |
| `words|{id}|{hash}` | the words and the key that one write has stored for a thing |

No write reads a row first. So a write leaves the words of an earlier write, and each write names its own words in a row
of its own. `replaced` finds these rows, and deletes exactly the words that the thing no longer has.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cpor_app.adapters.storage.row_store import Delete, Op, Put, Rows, in_transactions
from cpor_core.rules.search_words import word_key

FIRST = "word"
"""Keys of lists begin with a lower character, so that no list contains index rows."""


def added(thing_id: str, key: str, words: Sequence[str]) -> Iterator[Op]:
    """Yield the writes that lead from *words* to *key*."""
    if words:
        text = " ".join(words)
        digest = hashlib.sha256(f"{key} {text}".encode()).hexdigest()[:16]
        yield Put(f"words|{thing_id}|{digest}", {"key": key, "words": text})
    for word in words:
        yield Put(_word(word, key), {"id": thing_id})


async def replaced(
    rows: Rows, table: str, partition: str, thing_id: str, key: str, words: Sequence[str], *also: Op
) -> None:
    """
    Store *words* as the only words of a thing, and do *also*, usually in two requests.

    The rows that name words are deleted last, so that a repetition after a crash still finds all words.
    """
    kept = {op.key: op for op in added(thing_id, key, words)}
    prefix = f"words|{thing_id}|"
    stored = [row async for row in rows.query(table, partition, start=prefix, before=f"{prefix}~")]
    named = {_word(word, str(row.values["key"])) for row in stored for word in str(row.values["words"]).split()}
    stale = [*sorted(named), *(row.key for row in stored)]
    ops = [*also, *kept.values(), *(Delete(name) for name in stale if name not in kept)]
    for group in in_transactions(partition, ops):
        await rows.write(table, partition, *group)


@dataclass(frozen=True, slots=True)
class Found:
    """A word's index row: the thing's id, its key, and when the row was written."""

    id: str
    key: str
    written_at: datetime


async def found(rows: Rows, table: str, partition: str, beginning: str, limit: int) -> Sequence[Found]:
    """Return at most *limit* index rows of words with this beginning, by word, with one request for each 1,000."""
    prefix = f"{FIRST}|{word_key(beginning)}"
    read = rows.query(table, partition, start=prefix, before=f"{prefix}~", limit=limit)
    return [Found(str(row.values["id"]), row.key.split("|", 2)[2], row.timestamp) async for row in read]


def _word(word: str, key: str) -> str:
    return f"{FIRST}|{word_key(word)}|{key}"
