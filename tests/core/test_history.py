"""History entries: codes, instants and ids, and the chain of hashes that anybody can check with another library."""

import hashlib
import runpy
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from cpor_core import verify_history
from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import CLOCK, PROGRAMME, Act, Actor, ActorKind, Entry, digest, entry

instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-8))]),
)
actors = st.builds(Actor, kind=st.sampled_from(ActorKind), id=st.text(max_size=40)) | st.sampled_from(
    [CLOCK, PROGRAMME]
)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
entries = st.builds(
    entry,
    sequence=st.integers(min_value=1, max_value=10**6),
    at=instants,
    actor=actors,
    act=st.sampled_from(Act),
    from_=st.none() | st.sampled_from(Status),
    to=st.sampled_from(Status),
    reason=st.none() | st.sampled_from(Reason),
    previous_hash=st.none() | hashes,
)


@given(entries)
def test_the_hash_is_sha256_over_rfc_8785_json(made: Entry) -> None:
    """An independent implementation of RFC 8785 computes the same bytes for every entry."""
    shown = made.model_dump(mode="json", by_alias=True)
    shown.pop("hash")

    assert made.hash == hashlib.sha256(rfc8785.dumps(shown)).hexdigest()


@given(entries)
def test_a_stored_entry_has_the_same_hash_when_it_is_read(made: Entry) -> None:
    """The stored bytes are the shown bytes."""
    assert Entry.model_validate_json(made.model_dump_json(by_alias=True)) == made
    assert digest(made.model_dump(mode="json", by_alias=True)) == made.hash


def test_an_entry_is_shown_with_these_names() -> None:
    """The names are those of decision 41, and nulls are included."""
    made = entry(
        sequence=1,
        at=datetime(2026, 11, 2, 9, 0, 0, 1, tzinfo=UTC),
        actor=CLOCK,
        act=Act.LAPSED,
        from_=None,
        to=Status.DELETED,
        reason=None,
        previous_hash=None,
    )

    assert made.model_dump(mode="json", by_alias=True) == {
        "sequence": 1,
        "at": "2026-11-02T09:00:00.000001Z",
        "actor": {"kind": "clock", "id": "clock"},
        "act": "lapsed",
        "from": None,
        "to": "deleted",
        "reason": None,
        "previousHash": None,
        "hash": made.hash,
    }


@given(entries, st.sampled_from(["sequence", "to", "previousHash"]))
def test_changing_an_entry_changes_its_hash(made: Entry, name: str) -> None:
    """A forged entry fits neither its own hash nor the hash in the next entry."""
    shown = made.model_dump(mode="json", by_alias=True)

    forged = {**shown, name: "forged"}

    assert digest(forged) != made.hash


def test_an_exported_history_is_checked_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is `python -m cpor_core.verify_history FILE`."""
    exported = tmp_path / "history.json"
    exported.write_text("[]", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["verify_history", str(exported)])

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(verify_history.__file__, run_name="__main__")

    assert ended.value.code in (0, 1, 2)
    assert capsys.readouterr().out.count("\n") == 1
