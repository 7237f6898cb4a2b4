"""What installs shows on a terminal that it works, and is quiet elsewhere; another Python is found by running it."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import other_python

pytestmark = pytest.mark.slow  # it makes environments

ROOT = Path(__file__).resolve().parents[1]
INSTALLS = "from tools import prepare; prepare._run(['sh', '-c', {!r}])"
WORKS = "echo Collecting one==1.0; sleep 1.5; echo '   noise'; echo '  Downloading two-2.0.whl (1 MB)'"


def on_a_terminal(script: str, **environ: str) -> tuple[int, str]:
    """Return how installing by *script* ends whose standard error is a terminal, and what is seen there."""
    ours, theirs = pty.openpty()
    environ = {**{name: value for name, value in os.environ.items() if name != "CI"}, "TERM": "xterm", **environ}
    try:
        ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environ, stderr=theirs, check=False)
    finally:
        os.close(theirs)
    seen = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while piece := terminal.read(2**16):
                seen += piece
        except OSError:  # Linux says so when nobody is at the other end any more
            pass
    return ended.returncode, seen.decode()


def test_somebody_at_a_terminal_sees_what_is_installed_and_for_how_long() -> None:
    """In one line, which is gone at the end."""
    code, seen = on_a_terminal(INSTALLS.format(WORKS))

    assert code == 0
    assert len(set(re.findall(r"(\d+) s  Collecting one==1\.0", seen))) > 1
    assert "Downloading two-2.0.whl" in seen
    assert "noise" not in seen
    assert "\n" not in seen
    assert seen.endswith("\r\x1b[K")


def test_where_it_fails_the_last_lines_are_shown() -> None:
    """They say why."""
    code, seen = on_a_terminal(INSTALLS.format("echo Collecting one; echo no such package >&2; exit 3"))

    assert code == 1
    assert "no such package" in seen


def test_where_nobody_looks_nothing_is_written_over() -> None:
    """In a pipe, and on a terminal of which CI makes a log."""
    piped = subprocess.run(
        [sys.executable, "-c", INSTALLS.format(WORKS)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    _, logged = on_a_terminal(INSTALLS.format(WORKS), CI="true")

    assert "\r\x1b" not in piped.stderr
    assert "\x1b" not in logged


def test_a_shim_with_nothing_behind_it_is_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that runs is found where pyenv keeps it; without any, that is said and nothing printed."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    other = next(version for version in other_python.FIT if version != own)
    path, kept = tmp_path / "path", tmp_path / "pyenv" / "versions" / f"{other}.1" / "bin" / f"python{other}"
    for file, script in ((path / f"python{other}", "exit 127"), (kept, f"echo {other}")):
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\n{script}\n", "ascii")
        file.chmod(0o700)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(other_python, "FIT", (own, other))

    for root in ("pyenv", "none"):
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path / root))
        assert other_python.main() == 0

    said = capsys.readouterr()
    assert said.out == f"{other} {kept}\n"
    assert said.err.splitlines() == [
        f"The newest Python except {own} is {other}: {kept}",
        f"No Python except {own} was found ({own}, {other}).",
    ]
