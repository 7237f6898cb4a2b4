"""A real browser for the tests of this folder; `tools/chromium.py` says where one comes from."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

ON_THE_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CALM = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Chromium without a screen, without a sandbox of its own (containers have none), and without calls home."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """
    Chromium, one for each file of tests.

    Not for the whole run: Playwright's synchronous side keeps a loop running, and asynchronous tests need their own.
    """
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=CALM)
        yield running
        running.close()


def chromium() -> str:
    """Return the path of Chromium; fails where there is none."""
    path = os.environ.get("CPOR_CHROMIUM") or next(filter(None, map(shutil.which, ON_THE_PATH)), None)
    if path is None:
        pytest.fail("No Chromium: set CPOR_CHROMIUM, or let `make test` install one.")
    return path
