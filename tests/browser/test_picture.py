"""The picture in the README is of the page as it is today."""

import asyncio
import struct
from pathlib import Path

import pytest

from tests.browser.picture import HEIGHT, PICTURE, WIDTH, WORDS, page_as_html, words_of

README = Path(__file__).resolve().parents[2] / "README.md"
AT_MOST = 150_000
"""Bytes, so that the README is there at once."""


def test_the_picture_is_a_small_one_of_its_size_and_the_readme_shows_it() -> None:
    """PNG says its width and height in its first chunk."""
    picture = PICTURE.read_bytes()

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (WIDTH, HEIGHT)
    assert len(picture) < AT_MOST
    assert f'src="docs/{PICTURE.name}"' in README.read_text("utf-8")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_picture_says_what_the_page_says(tmp_path: Path) -> None:
    """Else `python -m tests.browser.picture` writes both anew."""
    html = asyncio.run(page_as_html(tmp_path))

    assert words_of(html) == WORDS.read_text("utf-8")
