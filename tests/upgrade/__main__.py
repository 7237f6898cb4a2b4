"""
Keeps a copy of this release for the releases to come: `python -m tests.upgrade <number>`, before it is deployed.

The copy is written to `tests/upgrade/release-<number>` and committed; it is never made anew afterwards.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from devhost.stack.issuer import LocalIssuer
from tests.support.azurite import running_azurite
from tests.support.service import running_service
from tests.upgrade.copy import HERE, SECRET, keep
from tests.upgrade.deployment import everything


async def _made(account: str, issuer: LocalIssuer, folder: Path) -> None:
    async with running_service(account, issuer, CPOR_LINK_SECRETS=SECRET) as service:
        await service.register()
        await everything(service)
        await keep(service, folder)


def main() -> int:
    """Make a copy; 2 for a number that is missing or taken."""
    folder = HERE / f"release-{sys.argv[1]}" if len(sys.argv) > 1 and sys.argv[1].isdecimal() else None
    if folder is None or folder.exists():
        print("the number of a release is needed of which there is no copy yet", file=sys.stderr)
        return 2
    with running_azurite() as azurite, tempfile.TemporaryDirectory() as scratch:
        asyncio.run(_made(azurite.fresh_account(), LocalIssuer.open(Path(scratch)), folder))
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
