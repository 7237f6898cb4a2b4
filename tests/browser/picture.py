"""
The picture of the customer's page that the README shows, made from the real page.

    python -m tests.browser.picture

writes `docs/customers-page.png`, and beside it the words of the page, for readers who do not see the picture. The words
tell when the picture is out of date: pixels differ from machine to machine, words do not.
"""

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import sync_playwright

from devhost.stack.issuer import LocalIssuer
from tests.browser.conftest import CALM, chromium
from tests.support.memory_service import memory_service

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURE, WORDS = DOCS / "customers-page.png", DOCS / "customers-page.txt"
WIDTH, HEIGHT = 800, 1334
"""Pixels: the request, the counted days and the button; what follows is cut off."""
CONTACT = "anne.durand@contoso.fr"
THURSDAY = datetime(2026, 11, 5, 9, tzinfo=UTC)
"""A weekend and a French holiday lie within five business days of it."""


async def page_as_html(state: Path) -> str:
    """Return the page of a claim whose French customer was told on that Thursday, in English; *state* keeps a key."""
    async with memory_service(LocalIssuer.open(state)) as running:
        running.clock.set(THURSDAY)
        service = running.service
        await service.register()
        await service.notified()
        answer = await service.request(
            "GET", f"{service.link(CONTACT)}&lang=en", role=None, headers={"Accept": "text/html"}
        )
        assert answer.status_code == 200, answer.text
        return answer.text


def words_of(html: str, picture: Path | None = None) -> str:
    """Return what a reader sees of the page in a browser; write it down as *picture* too, if one is named."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CALM)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.set_content(html)
        page.get_by_text("How the last day is counted").click()
        if picture is not None:
            page.screenshot(path=picture)
        words = page.locator("body").inner_text()
        browser.close()
    return "\n".join(line.rstrip() for line in words.strip().splitlines()) + "\n"


def main() -> int:
    """Write picture and words."""
    with tempfile.TemporaryDirectory() as state:
        html = asyncio.run(page_as_html(Path(state)))
    WORDS.write_text(words_of(html, PICTURE), "utf-8")
    print(f"{PICTURE.name}: {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
