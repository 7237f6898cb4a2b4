"""The check of an exported history needs no service and names the first changed entry."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import CLOCK, Act, Entry, entry
from cpor_core.verify_history import main, verdict
from tests.core.builders import MONDAY

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 5


def history(length: int = LENGTH) -> list[dict[str, Any]]:
    """Return a chain of entries in the form of the API."""
    made: list[Entry] = []
    for number in range(length):
        made.append(
            entry(
                sequence=number + 1,
                at=MONDAY + timedelta(hours=number),
                actor=CLOCK,
                act=Act.COMMENTED,
                from_=Status.OFFICIAL if made else None,
                to=Status.OFFICIAL,
                reason=Reason.SUPERSEDED if number % 2 else None,
                previous_hash=made[-1].hash if made else None,
            )
        )
    return [one.model_dump(mode="json", by_alias=True) for one in made]


def page(*entries: dict[str, Any]) -> str:
    """Return a page in the form of the API."""
    return json.dumps({"value": entries, "nextLink": "https://example.org/next"})


EXPORTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "a page": lambda entries: page(*entries),
    "a bare array": json.dumps,
    "pages, a line each": lambda entries: f"{page(*entries[:2])}\n{page(*entries[2:])}\n",
    "pages that are indented, behind a byte order mark": lambda entries: (
        "\ufeff" + "\n".join(json.dumps({"value": part}, indent=2) for part in (entries[3:], entries[:3]))
    ),
    "an array in any order": lambda entries: json.dumps(entries[::-1]),
}


@pytest.mark.parametrize("form", EXPORTS)
def test_an_unchanged_history_is_whole(form: str) -> None:
    """This holds for every form of the saved file. The line ends with the hash in the claim."""
    entries = history()

    found = verdict(EXPORTS[form](entries), entries[-1]["hash"])

    assert (found.code, found.words) == (0, f"WHOLE: entries 1 to 5, newest hash {entries[-1]['hash']}")


TOUCHED: dict[str, tuple[Callable[[list[dict[str, Any]]], Sequence[dict[str, Any]]], str]] = {
    "another state": (lambda e: [*e[:2], {**e[2], "to": "declined"}, *e[3:]], "entry 3 does not fit its own hash"),
    "another actor": (
        lambda e: [*e[:2], {**e[2], "actor": {"kind": "clock", "id": "me"}}, *e[3:]],
        "entry 3 does not fit its own hash",
    ),
    "a field more": (lambda e: [{**e[0], "note": "x"}, *e[1:]], "entry 1 does not fit its own hash"),
    "a field less": (lambda e: [*e[:4], {k: v for k, v in e[4].items() if k != "reason"}], "entry 5 does not fit"),
    "no hash": (lambda e: [{k: v for k, v in e[0].items() if k != "hash"}], "entry 1 does not fit its own hash"),
    "half a character": (lambda e: [{**e[0], "act": "\ud800"}], "entry 1 does not fit its own hash"),
    "one in the middle is gone": (lambda e: [*e[:2], *e[3:]], "entry 3 is missing"),
    "the first is gone": (lambda e: e[1:], "entry 1 is missing"),
    "one is there twice": (lambda e: [*e, e[1]], "entry 2 is there twice"),
    "one before the first": (lambda e: [{**e[0], "sequence": 0}, *e], "there is an entry 0"),
    "nothing": (lambda _: [], "entry 1 is missing"),
    "the chain is another's": (
        lambda e: [e[0], *history_of_another()[1:]],
        "entry 2 does not have the hash of the entry before",
    ),
}


def history_of_another() -> list[dict[str, Any]]:
    """Return another whole history."""
    first = entry(
        sequence=1,
        at=MONDAY,
        actor=CLOCK,
        act=Act.CREATED,
        from_=None,
        to=Status.DRAFT,
        reason=None,
        previous_hash=None,
    )
    second = entry(
        sequence=2,
        at=MONDAY,
        actor=CLOCK,
        act=Act.EDITED,
        from_=Status.DRAFT,
        to=Status.DRAFT,
        reason=None,
        previous_hash=first.hash,
    )
    return [one.model_dump(mode="json", by_alias=True) for one in (first, second)]


@pytest.mark.parametrize("how", TOUCHED)
def test_a_changed_history_is_broken_at_the_changed_entry(how: str) -> None:
    """An entry was changed, removed or added."""
    touch, where = TOUCHED[how]

    found = verdict(json.dumps(touch(history())))

    assert found.code == 1
    assert found.words.startswith(f"BROKEN: {where}")


@settings(deadline=None)  # a busy machine makes single examples slow
@given(st.integers(0, LENGTH - 1), st.sampled_from(sorted(history()[0])), st.text() | st.integers() | st.none())
def test_no_value_can_be_changed_unnoticed(number: int, name: str, value: object) -> None:
    """A change of one value in one entry is enough."""
    entries = history()
    same = entries[number][name] == value
    entries[number][name] = value

    assert (verdict(json.dumps(entries)).code == 0) is same


def test_a_history_without_its_last_entries_is_found_by_the_claims_hash() -> None:
    """The file itself is whole. The hash in the claim shows that entries are missing."""
    entries = history()
    text = json.dumps(entries[:3])

    assert verdict(text).code == 0
    assert verdict(text, entries[-1]["hash"]).words.startswith("BROKEN: entries after 3 are missing")


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        '{"value": 1}',
        '{"error": {}}',
        "[1]",
        "1",
        '[{"hash": "x"}]',
        '[{"sequence": "1"}]',
        '[{"sequence": true}]',
        '[{"sequence": 1, "sequence": 2}]',
        "[" * 100_000,
        '[{"sequence": 1}] and more',
    ],
)
def test_other_files_are_unreadable(text: str) -> None:
    """They are neither whole nor broken, and the program prints no stack trace."""
    found = verdict(text)

    assert found.code == 2
    assert found.words.startswith("UNREADABLE: ")


def test_the_program_prints_one_line_and_returns_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is 0 for whole, 1 for broken and 2 for unreadable."""
    whole, broken, binary = (tmp_path / name for name in ("whole.json", "broken.json", "binary.json"))
    whole.write_text(page(*history()), encoding="utf-8")
    broken.write_text(page(*history()[1:]), encoding="utf-8")
    binary.write_bytes(b"\xff\xfe\x00")

    codes = [main([str(path)]) for path in (whole, broken, binary, tmp_path / "missing.json")]
    codes += [main([]), main([str(whole), "0" * 64])]

    lines = capsys.readouterr().out.splitlines()
    assert codes == [0, 1, 2, 2, 2, 1]
    assert [line.partition(":")[0] for line in lines] == ["WHOLE", "BROKEN", "UNREADABLE", "UNREADABLE", "BROKEN"]


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    """`python -m cpor_core.verify_history FILE` needs no module of the app."""
    path = tmp_path / "history.json"
    path.write_text(page(*history()), encoding="utf-8")

    run = subprocess.run(
        [sys.executable, "-m", "cpor_core.verify_history", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("WHOLE: entries 1 to 5")


def test_the_program_in_the_docs_gives_the_same_results(tmp_path: Path) -> None:
    """Ten lines of Python without our code accept the whole history and reject the changed ones."""
    (program,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "history.md").read_text(encoding="utf-8"), re.DOTALL
    )
    entries = history()
    forged = [*entries[:2], {**entries[2], "to": "declined"}, *entries[3:]]

    def check(shown: list[dict[str, Any]]) -> tuple[int, str]:
        path = tmp_path / "history.json"
        path.write_text(page(*shown), encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-I", "-c", program, str(path)], capture_output=True, text=True, check=False
        )
        return run.returncode, run.stdout + run.stderr.strip().rpartition("\n")[2]

    assert check(entries) == (0, f"whole: {entries[-1]['hash']}\n")
    assert check(forged) == (1, "AssertionError: entry 3 was changed")
    assert check(entries[:1] + entries[2:]) == (1, "AssertionError: before entry 2 one is missing")
