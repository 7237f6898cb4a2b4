"""
Install what the commands of the Makefile need: Python packages in `.venv`, npm packages in `node_modules`.

On a terminal, one line shows the current step and its time. Without a terminal, or with `CI` set, less is printed.

This program runs before anything is installed, so it imports the standard library only. The Makefile cannot do this
itself, because two commands can start at the same time in a fresh clone, and the second must wait for the first.
"""

import argparse
import contextlib
import fcntl
import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_AT_LEAST = 20
SHOWN = re.compile(r"(Collecting|Downloading) \S+|Installing collected packages")
"""The part of a line of pip that is shown, such as "Downloading ruff-0.17.5-py3-none-any.whl"."""
LAST_LINES = 20


def main() -> int:
    """Install one kind of packages, unless the file `ready` exists. All output goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["python", "infra", "node"])
    parser.add_argument("ready", type=Path, help="the file that exists when all packages of its folder are installed")
    parser.add_argument("--same-python", action="store_true", help="install anew for another Python version")
    options = parser.parse_args()
    ready: Path = ROOT / options.ready
    install = {"python": _install_python, "infra": _install_infra, "node": _install_node}[options.kind]

    with _one_at_a_time():
        if ready.exists() and not (options.same_python and _version(ready.parent) != sys.version):
            return 0
        try:
            install(ready.parent)
        except subprocess.CalledProcessError as failure:
            _say(f"This failed: {' '.join(map(str, failure.cmd))}")
            return 1
        except MissingError as missing:
            _say(str(missing))
            return 1
        ready.touch()
    return 0


class MissingError(Exception):
    """The machine lacks a program that only its owner can install."""


def _install_python(venv: Path) -> None:
    """Create *venv* again, so that no package of an older lock file stays."""
    version = sys.version.split()[0]
    _say(f"Installing Python packages into {venv.name} with Python {version}; one to three minutes …")
    _run([sys.executable, "-m", "venv", "--clear", venv])
    pip = [*_pip(venv), "--require-hashes"]
    _run([*pip, "-r", ROOT / "requirements-dev.txt"])
    # Microsoft's worker library requires Python 3.13, but also works on 3.11.
    _run([*pip, "--no-deps", "--ignore-requires-python", "-r", ROOT / "tests" / "conformance" / "requirements.txt"])


def _install_infra(venv: Path) -> None:
    """Create *venv* again for checkov. It has its own folder, because checkov pins other versions of many packages."""
    _say(f"Installing checkov into {venv.name}; about half a minute …")
    _run([sys.executable, "-m", "venv", "--clear", venv])
    # pip does not check dependencies here, because the package that reads Bicep is newer than checkov's pin.
    _run([*_pip(venv), "--require-hashes", "--no-deps", "-r", ROOT / "tests" / "infra" / "requirements.txt"])


def _pip(venv: Path) -> list[str | Path]:
    quiet = "--progress-bar=off" if _is_watched() else "-qq"
    return [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", quiet]


def _install_node(packages: Path) -> None:
    """Install the packages of the lock file into *packages*. Raises MissingError if Node or npm is missing or old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise MissingError(
            f"Node {NODE_AT_LEAST} or newer with npm is needed: local storage and the mail catcher run on it."
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE_AT_LEAST:
        raise MissingError(f"Node {NODE_AT_LEAST} or newer is needed; this is {version}.")
    _say(f"Installing npm packages (Azurite, mail catcher) into {packages.name}; about half a minute …")
    _run([npm, "ci", "--no-progress", "--loglevel=error"])


def _version(venv: Path) -> str | None:
    """Return the full version of the Python in *venv*, or None if no Python runs there."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        ask = [str(venv / "bin" / "python"), "-c", "import sys; print(sys.version, end='')"]
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    return None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait until no other command installs here, then hold a lock. The lock ends at the latest with the process."""
    lock = os.open(ROOT / "package.json", os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Waiting for another command that installs packages here …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _run(command: Sequence[str | Path]) -> None:
    """Run *command* with all its output on stderr, because stdout is for the output of the user's command."""
    if _is_watched():
        _run_shown(command)
    else:
        subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)


def _run_shown(command: Sequence[str | Path]) -> None:
    """Run *command*, and show its current step in one line of the terminal. If it fails, show its last lines."""
    began, doing, said = time.monotonic(), " ".join([Path(command[0]).name, *map(str, command[1:3])]), b""
    with (
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        selectors.DefaultSelector() as ready,
    ):
        assert process.stdout is not None  # noqa: S101 - `Popen` was called with a pipe
        ready.register(process.stdout, selectors.EVENT_READ)
        piece = b"\n"
        while piece:
            if ready.select(timeout=1):
                piece = os.read(process.stdout.fileno(), 2**16)
                said += piece
                lines = said.decode("utf-8", "replace").split("\n")[:-1]
                doing = next((told[0] for line in reversed(lines[-LAST_LINES:]) if (told := SHOWN.search(line))), doing)
            _write_over(f"  {time.monotonic() - began:3.0f} s  {doing[:60]}")
    _write_over("")
    if process.returncode:
        _say("\n".join(said.decode("utf-8", "replace").splitlines()[-LAST_LINES:]))
        raise subprocess.CalledProcessError(process.returncode, command)


def _is_watched() -> bool:
    """Return whether stderr is a terminal on which a line can be overwritten."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def _write_over(text: str) -> None:
    """Replace the current line of the terminal by *text*."""
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
