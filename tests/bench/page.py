"""
Writes the table of a bench into docs/speed.md.

    python -m tests.bench.page [.local/bench.json]
"""

import json
import sys
from pathlib import Path

from tests.bench.report import as_table, lines_of
from tests.budgets.counting import page
from tests.support.azurite import ROOT

JSON = ROOT / ".local" / "bench.json"
SPEED = ROOT / "docs" / "speed.md"
BEGIN = "<!-- measured by `make bench`, written by `python -m tests.bench.page` -->\n"


if __name__ == "__main__":
    report = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else JSON).read_text("utf-8"))
    SPEED.write_text(page(SPEED.read_text("utf-8"), BEGIN, as_table(lines_of(report))), encoding="utf-8")
