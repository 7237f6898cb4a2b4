"""
Print version and path of the newest supported Python on this machine whose version differs from that of this Python.

If there is no such Python, stdout stays empty. A file on the PATH can be a stub without a Python, so each file is run.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FIT = ("3.13", "3.12", "3.11")
"""The supported versions, newest first. The Makefile has the same list."""
ASKED = "import sys, ensurepip, ssl; print('%d.%d' % sys.version_info[:2])"
ANSWER_SECONDS = 30


def main() -> int:
    """Print version and path to stdout, and a sentence about the result to stderr."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = next(((version, path) for version in FIT if version != own for path in places(version)), None)
    if found is None:
        print(f"No Python except {own} was found ({', '.join(FIT)}).", file=sys.stderr)
    else:
        print(f"The newest Python except {own} is {found[0]}: {found[1]}", file=sys.stderr)
        print(*found)
    return 0


def places(version: str) -> Iterator[Path]:
    """Yield the path of each Python of that version that runs: first from the PATH, then from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [*map(Path, os.get_exec_path()), *sorted(pyenv.glob(f"versions/{version}.*/bin"), reverse=True)]
    yield from (path for folder in folders if _runs(path := folder / f"python{version}", version))


def _runs(path: Path, version: str) -> bool:
    try:
        asked = [str(path), "-c", ASKED]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main())
