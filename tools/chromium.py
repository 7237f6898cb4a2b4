"""
Print the path of a Chromium for the browser tests. If the machine has no Chromium, install it.

Only the path goes to stdout. If there is no browser in the end, a message goes to stderr. Then the browser tests fail,
and all other tests still run.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ON_THE_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_SECONDS = 30  # enough for the first start on a busy machine


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
    """Return a Chromium that runs: from the PATH, else from Playwright's folder. None if there is none."""
    return next((path for path in _candidates() if _runs(path)), None)


def _candidates() -> Iterator[str]:
    for name in ON_THE_PATH:
        if path := shutil.which(name):
            yield path
    yield from _playwright_own()


def _playwright_own() -> Iterator[str]:
    """Yield the path of Playwright's own Chromium, if it is installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if Path(path).exists():
        yield path


def _install() -> str | None:
    """Install Playwright's Chromium. If that fails, install the system's package if this process is root."""
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
    """Whether *path* is a browser that starts. Some systems have a stub of that name, which does not start."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=START_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _try(command: list[str]) -> None:
    """Run *command* with its output on stderr. The exit status is ignored, because the caller looks for a browser."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
