"""
Install what the commands of the Makefile need: Python packages in `.venv`, npm packages in `node_modules`.

It runs before anything is installed, so it imports the standard library only. It is apart from the Makefile because two
commands may be started at once in a fresh clone, and the second has to wait for the first.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV_PYTHON = ROOT / ".venv" / "bin" / "python"
INFRA_VENV = ROOT / ".venv-infra"
NODE_AT_LEAST = 20


def main() -> int:
    """Install one kind of packages, unless *ready*, the file that says so, is there. Anything said goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["python", "infra", "node"])
    parser.add_argument("ready", type=Path, help="the file that stands for all being installed")
    parser.add_argument("--same-python", action="store_true", help="install anew if .venv is of another Python version")
    options = parser.parse_args()
    ready: Path = ROOT / options.ready
    install = {"python": _install_python, "infra": _install_infra, "node": _install_node}[options.kind]

    with _one_at_a_time():
        if ready.exists() and not (options.same_python and _venv_version() != sys.version):
            return 0
        try:
            install()
        except subprocess.CalledProcessError as failure:
            _say(f"That failed: {' '.join(map(str, failure.cmd))}")
            return 1
        except MissingError as missing:
            _say(str(missing))
            return 1
        ready.touch()
    return 0


class MissingError(Exception):
    """The machine lacks something that only its owner can install."""


def _install_python() -> None:
    """Make `.venv` anew: what an older lock had and this one has not must not linger."""
    _say(f"Installing Python packages into .venv with Python {sys.version.split()[0]}; about a minute …")
    _run([sys.executable, "-m", "venv", "--clear", str(ROOT / ".venv")])
    pip = [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--require-hashes"]
    _run([*pip, "-r", ROOT / "requirements-dev.txt"])
    # Microsoft's worker library says that it wants Python 3.13, and works on 3.11.
    _run([*pip, "--no-deps", "--ignore-requires-python", "-r", ROOT / "tests" / "conformance" / "requirements.txt"])


def _install_infra() -> None:
    """Make `.venv-infra` anew: checkov, which pins much that others need in other versions."""
    _say("Installing checkov into .venv-infra; about half a minute …")
    _run([sys.executable, "-m", "venv", "--clear", str(INFRA_VENV)])
    pip = [str(INFRA_VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    # Without looking at what wants what: the reader of Bicep is a newer one than checkov asks for.
    _run([*pip, "--require-hashes", "--no-deps", "-r", ROOT / "tests" / "infra" / "requirements.txt"])


def _install_node() -> None:
    """Install exactly the lock file. Raises MissingError without Node or npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise MissingError(
            f"Node {NODE_AT_LEAST} or newer with npm is needed: local storage and the mail catcher run on it."
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE_AT_LEAST:
        raise MissingError(f"Node {NODE_AT_LEAST} or newer is needed; this is {version}.")
    _say("Installing npm packages (Azurite, mail catcher) into node_modules; about half a minute …")
    _run([npm, "ci", "--no-progress", "--loglevel=error"])


def _venv_version() -> str | None:
    """The full version of the Python in `.venv`, None if there is none that runs."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        ask = [str(VENV_PYTHON), "-c", "import sys; print(sys.version, end='')"]
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    return None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait until no other command installs here; the lock goes with the process, however it ends."""
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
    """Run *command* with all its output on stderr: stdout belongs to the command that was asked for."""
    subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
