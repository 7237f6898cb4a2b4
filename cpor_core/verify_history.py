"""
`python -m cpor_core.verify_history FILE [HASH]`: checks an exported history without the service.

FILE contains the answers of `GET …/history`: one page, several pages one after another, or only an array of entries.
HASH is the claim's `historyHash`. Without HASH, the program cannot find out that the newest entries are missing.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cpor_core.model.history import digest

WHOLE, BROKEN, UNREADABLE = 0, 1, 2
"""The exit status of the program."""
USAGE = "usage: python -m cpor_core.verify_history FILE [HASH]"

Entry = dict[str, object]


@dataclass(frozen=True, slots=True)
class HistoryVerdict:
    """The result of the check. `words` is one line for a person, `code` is the exit status."""

    code: int
    words: str


def verdict(text: str, newest: str | None = None) -> HistoryVerdict:
    """Return whether an exported history is whole. If it is not, the result names the first entry with a fault."""
    try:
        entries = sorted(_entries(text), key=_sequence)
    except (ValueError, RecursionError) as error:
        return HistoryVerdict(UNREADABLE, f"UNREADABLE: {error}")
    former: object = None
    for expected, entry in enumerate(entries, start=1):
        fault = _fault(entry, expected, former)
        if fault is not None:
            return HistoryVerdict(BROKEN, f"BROKEN: {fault}")
        former = entry["hash"]
    if newest is not None and former != newest:
        return HistoryVerdict(BROKEN, f"BROKEN: entries after {len(entries)} are missing, or HASH is of another claim")
    if not entries:
        return HistoryVerdict(BROKEN, "BROKEN: entry 1 is missing")
    return HistoryVerdict(WHOLE, f"WHOLE: entries 1 to {len(entries)}, newest hash {former}")


def _fault(entry: Entry, expected: int, former: object) -> str | None:
    """Return the fault of an entry, or None. Its number must be *expected*, and the hash before it *former*."""
    sequence = _sequence(entry)
    if sequence > expected:
        return f"entry {expected} is missing"
    if sequence < expected:
        return f"entry {sequence} is there twice" if sequence > 0 else f"there is an entry {sequence}"
    try:
        fits = entry.get("hash") == digest(entry)
    except UnicodeEncodeError:  # half a surrogate pair, which the service never writes
        fits = False
    if not fits:
        return f"entry {expected} does not fit its own hash"
    if "previousHash" not in entry or entry["previousHash"] != former:
        return f"entry {expected} does not have the hash of the entry before"
    return None


def _sequence(entry: Entry) -> int:
    sequence = entry.get("sequence")
    if not isinstance(sequence, int) or isinstance(sequence, bool):
        raise ValueError("an entry has no sequence")  # noqa: TRY004 - one kind of fault for all that cannot be read
    return sequence


def _entries(text: str) -> Iterator[Entry]:
    """Yield the entries of each page in *text*. Raises ValueError for any other text."""
    decoder = json.JSONDecoder(object_pairs_hook=_with_each_name_once)
    rest = text.lstrip("\ufeff").strip()
    while rest:
        page, end = decoder.raw_decode(rest)
        rest = rest[end:].lstrip()
        entries = page.get("value") if isinstance(page, dict) else page
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("this is no page of a history: a JSON object with `value`, or an array of entries")
        yield from entries


def _with_each_name_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    named = dict(pairs)
    if len(named) < len(pairs):  # some JSON readers take the first value, others the last
        raise ValueError("an object has the same name twice")
    return named


def main(arguments: Sequence[str]) -> int:
    """Print the result in one line. Returns 0 for a whole history, 1 for a broken one, and 2 for an unreadable file."""
    if not 1 <= len(arguments) <= 2:  # noqa: PLR2004 - FILE and HASH
        sys.stderr.write(f"{USAGE}\n")
        return UNREADABLE
    try:
        text = Path(arguments[0]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = HistoryVerdict(UNREADABLE, f"UNREADABLE: {error}")
    else:
        found = verdict(text, *arguments[1:])
    sys.stdout.write(f"{found.words}\n")
    return found.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
