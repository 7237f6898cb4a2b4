"""The reasons are in the repository: every number that code, tests or pages name leads to a record."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, anchors

PAGE = DOCS / "decisions.md"
REFERENCE = re.compile(r"[Dd]ecisions?\s+(?P<numbers>\d+[a-z]?(?:(?:,\s+|\s+and\s+|\s+to\s+)\d+[a-z]?)*)")
RECORD = re.compile(r'^<a id="(?P<anchor>\w+)"></a>\n\n### (?P<number>\w+)\. (?P<title>.+)\n\n', re.MULTILINE)
READ = {".py", ".md", ".toml", ".bicep", ".jinja", ".yaml", ".yml", ".json", ".http", ".html", ".txt"}


def numbers(text: str) -> Iterator[str]:
    """Yield each number that *text* refers to; of a range every whole number."""
    for found in REFERENCE.finditer(text):
        for first, last in re.findall(r"(\d+[a-z]?)(?:\s+to\s+(\d+))?", found["numbers"]):
            yield from map(str, range(int(first), int(last) + 1)) if last else (first,)


def references() -> Iterator[tuple[str, str]]:
    """Yield each file of the repository with each number that it refers to."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip("this is not a clone: nothing says what belongs to the repository")
    for name in answer.stdout.splitlines():
        path = ROOT / name
        if path.suffix in READ and path.exists() and path != Path(__file__).resolve():
            yield from ((name, number) for number in numbers(path.read_text("utf-8")))


def records() -> list[tuple[str, str, str]]:
    """Return anchor, number and text of each record."""
    text = PAGE.read_text("utf-8")
    found = list(RECORD.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [(one["anchor"], one["number"], text[one.end() : end]) for one, end in zip(found, ends, strict=True)]


def test_references_are_read_as_people_write_them() -> None:
    """One, several, a range, at the beginning of a sentence, or over the end of a line."""
    text = "(decision 36a), Decision 24: x, decisions 10, 28, 1\n    and 2, decisions 16 to 19"

    assert list(numbers(text)) == ["36a", "24", "10", "28", "1", "2", "16", "17", "18", "19"]


def test_every_reference_leads_to_a_record() -> None:
    """`decision 36` is the record with the anchor `d36`."""
    known = anchors(PAGE)
    found = list(references())

    assert found
    assert sorted({(name, number) for name, number in found if f"d{number}" not in known}) == []


def test_every_record_has_its_own_anchor() -> None:
    """So a link stays good when a heading is worded anew."""
    every = [(anchor, number) for anchor, number, _ in records()]

    assert every
    assert [pair for pair in every if pair[0] != f"d{pair[1].lower()}"] == []
    assert len(set(every)) == len(every)
    assert len(every) == PAGE.read_text("utf-8").count("\n### ")


def test_every_record_gives_its_reason() -> None:
    """Decision, reason, and what was rejected: an heir can judge whether it still holds."""
    given = {number: re.findall(r"^\*\*(\w+)\.\*\*\s+\S", text, re.MULTILINE) for _, number, text in records()}

    assert [number for number, parts in given.items() if parts != ["Decision", "Why", "Rejected"]] == []


@pytest.mark.parametrize("name", ["cpor_app/openapi.json", "docs/settings.md"])
def test_callers_and_operators_are_not_sent_to_a_record_by_its_number(name: str) -> None:
    """Both are made from docstrings and descriptions: a number belongs into a comment, not there."""
    assert list(numbers((ROOT / name).read_text("utf-8"))) == []
