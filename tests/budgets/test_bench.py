"""The bench runs; how fast it is, is for people to read."""

import subprocess
import sys

from tests.support.azurite import ROOT


def test_the_bench_prints_a_table() -> None:
    """A line for each kind of call, each with its speeds and their ratio."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--calls", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )

    head, lines = ran.stdout.splitlines()[:2], ran.stdout.splitlines()[2:]
    assert "ratio" in head[1]
    assert [line[:15].strip() for line in lines] == [
        "create a draft",
        "submit, reviewe",
        "tell a customer",
        "read a claim",
        "list 3 open cla",
        "make 3 claims o",
    ]
    assert all(float(line.split()[-1]) > 0 for line in lines)
