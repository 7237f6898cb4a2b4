"""
How fast the service is, beside the storage SDKs that make the same requests alone.

    make bench                           measures, prints a table, and writes .local/bench.json
    make bench ARGS=--tiny               as little as shows that everything runs
    make bench ARGS='--stored 100000'    stores more claims, for which the emulator takes minutes
    python -m tests.bench.page           writes the table of .local/bench.json into docs/speed.md

After each round of calls, the floor makes the requests of these calls again. The ratio of the two is the result. The
seconds say more about the machine than about the service. Throttling is off.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from cpor_app.adapters.storage.connection import StorageConnection, provision
from devhost.stack.issuer import LocalIssuer
from tests.bench.calls import Calls
from tests.bench.crowds import due_at_one_instant, with_many_stored
from tests.bench.floor import QUEUE, Floor
from tests.bench.lives import lives
from tests.bench.mail_systems import running_mail_systems
from tests.bench.measuring import Line
from tests.bench.page import JSON
from tests.bench.recording import Recorder
from tests.bench.report import as_json, as_table
from tests.bench.size import FULL, TINY, Size
from tests.bench.starts import starts
from tests.bench.world import world
from tests.support.azurite import Azurite, running_azurite


@asynccontextmanager
async def floor_at(account: str) -> AsyncIterator[Floor]:
    """Open the floor in the same storage account as the service, so that both have as many rows beside them."""
    await provision(StorageConnection.from_text(account), (), [QUEUE], ())
    floor = Floor(account, Recorder())
    try:
        yield floor
    finally:
        await floor.close()


async def measure(azurite: Azurite, issuer: LocalIssuer, size: Size) -> Sequence[Line]:
    """Measure everything, each part in a world of its own."""
    lines: list[Line] = []
    _say("calls")
    account = azurite.fresh_account()
    with running_mail_systems() as systems:
        async with world(account, issuer) as made, floor_at(account) as floor:
            lines += await Calls(made, floor, size).measure(systems)
    for part in (due_at_one_instant, with_many_stored):
        _say(part.__name__)
        account = azurite.fresh_account()
        async with world(account, issuer) as made, floor_at(account) as floor:
            lines += await part(made, floor, size)
    _say("whole lives, and starts")
    lines.append(await lives(azurite.fresh_account, floor_at, issuer, size.lives))
    lines += starts(size.starts)
    return lines


def _say(part: str) -> None:
    print(f"{part.replace('_', ' ')} …", file=sys.stderr, flush=True)


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="make bench", description="How fast it is, beside the storage SDKs alone.")
    parser.add_argument("--tiny", action="store_true", help="as little as shows that everything runs")
    parser.add_argument("--json", type=Path, default=JSON, help=f"where the results go; by default {JSON}")
    parser.add_argument("--stored", type=int, default=FULL.stored[1], help="how many claims are stored at most")
    given = parser.parse_args()
    size = TINY if given.tiny else replace(FULL, stored=(FULL.stored[0], given.stored))
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, running_azurite() as azurite:
        issuer = LocalIssuer.open(Path(folder))
        lines = asyncio.run(measure(azurite, issuer, size))
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(as_json(lines), encoding="utf-8")
    print(as_table(lines))
    print(f"\nEach round: {given.json}")


if __name__ == "__main__":
    main()
