"""Counts every request anew and writes the table into docs/speed.md."""

import asyncio
import tempfile
from pathlib import Path

from devhost.stack.issuer import LocalIssuer
from tests.budgets.counting import counts, page
from tests.support.azurite import ROOT, running_azurite

SPEED = ROOT / "docs" / "speed.md"

with tempfile.TemporaryDirectory() as folder, running_azurite() as azurite:
    lines = asyncio.run(counts(azurite.fresh_account, LocalIssuer.open(Path(folder))))
SPEED.write_text(page(SPEED.read_text("utf-8"), lines), encoding="utf-8")
print(f"docs/speed.md: {len(lines)} lines")
