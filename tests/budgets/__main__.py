"""Counts every request anew and writes the tables into docs/speed.md."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devhost.stack.issuer import LocalIssuer
from tests.budgets import whole_life
from tests.budgets.counting import BEGIN, BEGIN_LIFE, Counted, counts, page, table
from tests.support.azurite import ROOT, Azurite, running_azurite

SPEED = ROOT / "docs" / "speed.md"


async def count(azurite: Azurite, issuer: LocalIssuer) -> tuple[Sequence[Counted], Sequence[whole_life.Step]]:
    """Count each function, and then a whole life."""
    return await counts(azurite.fresh_account, issuer), await whole_life.counted(azurite.fresh_account, issuer)


with tempfile.TemporaryDirectory() as folder, running_azurite() as azurite:
    lines, steps = asyncio.run(count(azurite, LocalIssuer.open(Path(folder))))
text = page(SPEED.read_text("utf-8"), BEGIN, table(lines))
SPEED.write_text(page(text, BEGIN_LIFE, whole_life.table(steps)), encoding="utf-8")
print(f"docs/speed.md: {len(lines)} lines, and {len(steps)} steps of a whole life")
