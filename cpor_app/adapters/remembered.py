"""Entries that a process remembers, so that it reads them seldom."""

from typing import TypeVar

Key = TypeVar("Key")
Entry = TypeVar("Entry")


def remember(entries: dict[Key, Entry], key: Key, entry: Entry, *, most: int) -> None:
    """Add or replace an entry. If there are more than *most* entries, those that were added first are dropped."""
    entries.pop(key, None)  # a replaced entry goes to the end
    entries[key] = entry
    while len(entries) > most:
        del entries[next(iter(entries))]
