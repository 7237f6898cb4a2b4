"""The bench runs, and its floor makes the requests of the service. How fast the service is, is for people to read."""

import json
import math
import subprocess
import sys
from pathlib import Path

from tests.bench.report import as_table, lines_of
from tests.bench.starts import STARTS
from tests.support.azurite import ROOT


def test_the_floor_makes_as_many_requests_as_the_service(tmp_path: Path) -> None:
    """In each round of each line, and each ratio is a number that can be compared."""
    results = tmp_path / "bench.json"

    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--tiny", "--json", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert ran.returncode == 0, ran.stderr
    lines = lines_of(json.loads(results.read_text("utf-8")))
    assert as_table(lines) in ran.stdout
    assert [
        (line.what, each) for line in lines for each in line.rounds if each.service.requests != each.floor.requests
    ] == []
    assert all(
        math.isfinite(ratio) and ratio > 0 for line in lines for of in ("seconds", "cpu") for ratio in line.ratios(of)
    )
    assert [line.what for line in lines if not line.requests] == list(STARTS)
