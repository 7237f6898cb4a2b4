"""
Rebuild `duework`, `partnerclaims`, `reviews` and the lists of locations from the other tables: `make rebuild`.

The command needs the same settings as `tools.backup`. It can run at any time, and the service can run during it. A
surplus row does no harm, because a reader of such a row checks the claim or the location too.
"""

import asyncio
import sys
from collections.abc import Mapping

from cpor_app import bootstrap
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.queue_names import STORAGE
from cpor_app.settings import Settings, SettingsError, environment
from cpor_core.errors import Fault
from cpor_core.use_cases.due_work.rebuild import Rebuilt, rebuild

NEEDED_HERE = ("CPOR_SAMPLE_PERCENT", "CPOR_SANDBOX")
"""Settings that decide which rows are written: the size of the review sample, and whether the clock can be moved."""
NOT_NEEDED_HERE = {
    "CPOR_PUBLIC_URL": "https://nowhere.invalid/api",
    "CPOR_TOKEN_AUDIENCE": "nobody",
    "CPOR_LINK_SECRETS": "no link is signed by this command",
    "CPOR_MAIL_FROM": "nobody@nowhere.invalid",
}
"""Values for settings that the service requires. This command signs no link, reads no token and sends no mail."""


async def rebuild_at(connection: StorageConnection, environ: Mapping[str, str]) -> Rebuilt:
    """Rebuild the indexes of an account with the settings of *environ*. Raises faults of storage."""
    given = {name: environ[name] for name in NEEDED_HERE if name in environ}
    services = bootstrap.build(Settings.from_environment({**given, **NOT_NEEDED_HERE}), connection)
    try:
        return await rebuild(services.ports, await services.ports.now())
    finally:
        await services.close()


def main() -> int:
    """Rebuild the indexes, and print the number of rows that were written."""
    environ = environment()
    try:
        connection = StorageConnection.from_environment(environ, STORAGE, as_operator=True)
        rebuilt = asyncio.run(rebuild_at(connection, environ))
    except (Fault, SettingsError, ValueError) as fault:
        print(f"The indexes were not rebuilt: {fault}. Run the command again when the cause is gone.", file=sys.stderr)
        return 1
    print(f"{rebuilt.claims} claims, {rebuilt.due_rows} due rows, {rebuilt.slots_freed} slots freed of closed claims")
    if rebuilt.untold:
        print(
            "imported associations without figures, because nobody was notified (GET /operations/untold-associations):"
        )
        print("\n".join(sorted(rebuilt.untold)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
