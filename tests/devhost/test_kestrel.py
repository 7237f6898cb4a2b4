"""Paths are read as the real host's web server reads them."""

import pytest

from devhost.host.url_decoding import BadPath, decoded_path, encoded_path


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (b"/a/b", "/a/b"),
        (b"/a%20b/%C4%8D", "/a b/č"),
        (b"/a%2fb%2F", "/a%2fb%2F"),
        (b"/%252F", "/%2F"),
        (b"/%FF%C4%8D", "/%FFč"),
        (b"/100%", "/100%"),
        (b"/a/./b/../c", "/a/c"),
        (b"/a/%2e%2E/b", "/b"),
        (b"/../..", "/"),
        (b"/a/..", "/"),
        (b"/a/b/.", "/a/b/"),
        (b"/a//b", "/a//b"),
        (b"/", "/"),
    ],
)
def test_a_path_is_decoded_but_for_slashes_and_without_dot_segments(raw: bytes, decoded: str) -> None:
    """What cannot be decoded stays as it was sent."""
    assert decoded_path(raw) == decoded


def test_a_nul_is_refused() -> None:
    """No path has one."""
    with pytest.raises(BadPath):
        decoded_path(b"/a%00")


@pytest.mark.parametrize(("path", "encoded"), [("/a b/č", "/a%20b/%C4%8D"), ("/a%2Fb", "/a%2Fb"), ("/100%", "/100%25")])
def test_the_url_shows_the_path_encoded_again(path: str, encoded: str) -> None:
    """Percent signs that mean an octet are kept."""
    assert encoded_path(path) == encoded
