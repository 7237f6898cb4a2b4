"""
Real storage for tests: one Azurite for each test process, in memory, and one account for each test.

A new account is empty: no test has to clean up, and a failed test leaves nothing to the next.
"""

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_AZURITE = ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"

ACCOUNTS = 5_000  # this fits into one environment variable on Linux, with room to spare
_KEY = "dGVzdA=="

# Only the test process holds Azurite's input pipe: Azurite ends with the test process.
_END_WITH_PARENT = 'data:text/javascript,process.stdin.resume().on("end",()=>process.exit())'
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)")


class AzuriteBroken(Exception):
    """Azurite did not start, or has no unused account left."""


@dataclass
class Azurite:
    """A running Azurite with its unused accounts."""

    process: subprocess.Popen[str]
    endpoints: dict[str, str]
    _unused: Iterator[int] = field(default_factory=count)

    def fresh_account(self) -> str:
        """Return the connection string of an unused account. Raises AzuriteBroken after the last."""
        number = next(self._unused)
        if number >= ACCOUNTS:
            raise AzuriteBroken(f"all {ACCOUNTS} accounts of this test process are used")
        account = _name(number)
        return ";".join(
            [
                "DefaultEndpointsProtocol=http",
                f"AccountName={account}",
                f"AccountKey={_KEY}",
                *(f"{service}Endpoint={url}/{account}" for service, url in self.endpoints.items()),
            ]
        )


@contextlib.contextmanager
def running_azurite() -> Iterator[Azurite]:
    """Start Azurite on ports that the system chooses, and stop it at the end. Raises AzuriteBroken."""
    with _start() as process:
        try:
            endpoints = _wait_until_listening(process)
            reader = threading.Thread(target=deque, args=(process.stdout, 0), daemon=True)
            reader.start()  # a full pipe would block it
            yield Azurite(process, endpoints)
        finally:
            process.kill()  # its data is in memory and need not be saved
        reader.join()


def _start() -> subprocess.Popen[str]:
    node = shutil.which("node")
    if node is None or not _AZURITE.exists():
        raise AzuriteBroken("Azurite is not installed: `make test` installs it, and so does `npm ci`")
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    for service in ("blob", "queue", "table"):
        options += [f"--{service}Host", "127.0.0.1", f"--{service}Port", "0"]
    accounts = ";".join(f"{_name(number)}:{_KEY}" for number in range(ACCOUNTS))
    return subprocess.Popen(
        [node, "--import", _END_WITH_PARENT, str(_AZURITE), *options],
        env=os.environ | {"AZURITE_ACCOUNTS": accounts},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_until_listening(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the address of each service after all three listen. Raises AzuriteBroken with Azurite's output."""
    assert process.stdout is not None
    said: deque[str] = deque(maxlen=20)
    endpoints: dict[str, str] = {}
    for line in process.stdout:
        said.append(line)
        if found := _LISTENING.search(line):
            endpoints[found[1]] = found[2]
        if len(endpoints) == 3:
            return endpoints
    raise AzuriteBroken(f"Azurite ended before it listened:\n{''.join(said)}")


def _name(number: int) -> str:
    return f"t{number:04d}"
