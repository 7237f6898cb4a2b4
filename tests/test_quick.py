"""What `make quick` runs, and that it stays quick."""

import socket

import pytest

from tests.conftest import SLOW_FOLDERS, TESTS
from tests.support.thorough import THOROUGH


@pytest.mark.skipif(THOROUGH, reason="with THOROUGH=1 calls are asked over real storage, so that sockets are open")
def test_a_quick_test_is_refused_a_socket() -> None:
    """A new test that talks to a server fails until it is marked as slow."""
    with pytest.raises(UserWarning, match="tried to use socket"):
        socket.socket()


@pytest.mark.slow
def test_a_slow_test_gets_one() -> None:
    """To this machine."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))


def test_every_slow_folder_is_there() -> None:
    """A folder that was renamed would be run by `make quick`."""
    assert {folder for folder in SLOW_FOLDERS if not (TESTS / folder).is_dir()} == set()


def test_make_quick_asks_for_what_is_not_slow() -> None:
    """In these words, by which tests/conftest.py knows the slow folders that need not be read."""
    assert "pytest --numprocesses=auto -m 'not slow'" in (TESTS.parent / "Makefile").read_text("utf-8")
