"""
Print the path of a Chromium for the browser tests, installing one if the machine has none.

Nothing but the path goes to stdout. Without a browser it prints nothing and says so: the browser tests then fail by
themselves, and the others still run.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ON_THE_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_SECONDS = 30  # a first start on a busy machine


def main() -> int:
    """Print the first Chromium that runs."""
    named = os.environ.get("CPOR_CHROMIUM")
    if named and not _runs(named):
        _say(f"CPOR_CHROMIUM names {named}, which does not run.")
        return 1
    found = named or _find() or _install()
    if found is None:
        _say("No Chromium could be found or installed: the browser tests will fail. CPOR_CHROMIUM=<path> names one.")
        return 0
    print(found)
    return 0


def _find() -> str | None:
    """Look on the path, then where Playwright keeps its own."""
    return next((path for path in _candidates() if _runs(path)), None)


def _candidates() -> Iterator[str]:
    for name in ON_THE_PATH:
        if path := shutil.which(name):
            yield path
    yield from _playwright_own()


def _playwright_own() -> Iterator[str]:
    """Where Playwright's own Chromium would be, if it is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if Path(path).exists():
        yield path


def _install() -> str | None:
    """Install Playwright's Chromium; where its download site is out of reach, the system's, if that is allowed."""
    _say("No Chromium for the browser tests on this machine; installing Playwright's …")
    _try([sys.executable, "-m", "playwright", "install", "chromium"])
    if found := _find():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _say("That did not work; installing the system's package chromium …")
        _try(["apt-get", "update", "-q"])
        _try(["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"])
    return _find()


def _runs(path: str) -> bool:
    """Whether *path* is a browser that starts: some systems have a stub of that name."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=START_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _try(command: list[str]) -> None:
    """Run *command* with its output on stderr; whether it worked is seen by what is there afterwards."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
