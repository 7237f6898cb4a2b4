"""
Build what is deployed: one zip of the app and of every package that it needs, for the cloud's Python on Linux.

    python -m tools.package [--python 3.13] [--into dist/cpor.zip]
    python -m tools.package --check [dist/cpor.zip]

The zip has all files except those in `.funcignore`, and the packages of `requirements.txt` as wheels. `azd` packs the
same files from the work tree, so the packages are installed there, below `.python_packages`. The same files give the
same zip, byte for byte.

With `--check` nothing is built. It ends with 1 if packages are missing, or were built for other requirements. Without
the name of a zip it checks the work tree.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.markers import Marker
from pathspec import GitIgnoreSpec

from tools import swagger_ui

ROOT = Path(__file__).resolve().parent.parent
CLOUD_PYTHON = "3.13"
PACKAGES = Path(".python_packages", "lib", "site-packages")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MADE_OF = "made-of.json"
"""A file besides the packages. It says for which Python and which requirements they were built."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip: the earliest time that a zip allows."""

_REQUIREMENT = re.compile(r"(?P<pin>[a-z0-9-]+==[\w.]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=sha256:\S+)+)")


def main() -> int:
    """Install the packages into the work tree and write the zip."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--python", default=CLOUD_PYTHON, help="the Python version that will run it")
    parser.add_argument("--into", type=Path, default=ROOT / "dist" / "cpor.zip")
    parser.add_argument("--check", nargs="?", type=Path, const=ROOT, metavar="ZIP", help="only check the packages")
    options = parser.parse_args()
    if options.check is not None:
        wrong = unfit(options.check, options.python)
        print(wrong or f"{options.check}: has the packages of requirements.txt, for Python {options.python}")
        return 1 if wrong else 0
    install(ROOT / PACKAGES, options.python)
    write(ROOT, options.into)
    print(f"{options.into}: {options.into.stat().st_size // 1024} KiB, for Python {options.python}")
    return 0


def install(target: Path, python: str) -> None:
    """
    Put the packages of `requirements.txt` into *target*, as wheels for Linux and that version of Python.

    pip evaluates markers for its own Python, not for the requested one. So this function evaluates them, and pip gets a
    list without markers. Raises subprocess.CalledProcessError if a package is not available.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    wanted = target / "wanted.txt"
    wanted.write_text("".join(f"{line}\n" for line in requirements(python)), "utf-8")
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-compile"]
    # Every requirement is pinned with all that it needs. The name of a wheel says for which Python it is.
    exact = ["--require-hashes", "--no-deps", "--ignore-requires-python", "--only-binary=:all:"]
    aim = ["--python-version", python, "--implementation", "cp", *platforms, "--target", str(target)]
    subprocess.run([*pip, *exact, *aim, "-r", str(wanted)], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
    wanted.unlink()
    (target / MADE_OF).write_text(made_of(python), "utf-8")
    shutil.rmtree(target / "bin", ignore_errors=True)  # commands of the packages, with this machine's paths in them


def made_of(python: str) -> str:
    """Return the content of `MADE_OF` for today's requirements and that version of Python."""
    asked = "".join(f"{line}\n" for line in requirements(python))
    return json.dumps({"python": python, "requirements": hashlib.sha256(asked.encode()).hexdigest()}) + "\n"


def unfit(place: Path, python: str) -> str | None:
    """Return why the work tree or zip at *place* must not be deployed; None when it may."""
    if not place.exists():
        return f"{place} does not exist: run make package."
    root = zipfile.Path(place) if place.is_file() else place
    mark = root / PACKAGES.as_posix() / MADE_OF
    if not mark.is_file():
        return f"{place} has no packages below {PACKAGES}: run make package."
    if mark.read_text("utf-8") != made_of(python):
        return f"{place} has the packages of other requirements: run make package."
    lacking = [name for name in swagger_ui.FILES if not (root / "cpor_app" / "swagger_ui" / name).is_file()]
    return f"{place} lacks {', '.join(lacking)} of Swagger UI: run make package." if lacking else None


def requirements(python: str) -> Iterator[str]:
    """Yield each requirement for the cloud with that version of Python, with its hashes."""
    cloud = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    text = (ROOT / "requirements.txt").read_text("utf-8").replace("\\\n", " ")
    for line in re.sub(r"[ \t]+", " ", text).splitlines():
        found = _REQUIREMENT.match(line.strip())
        if found and (found["marker"] is None or Marker(found["marker"]).evaluate(cloud)):
            yield found["pin"] + found["hashes"]


def files(root: Path) -> Sequence[str]:
    """Return the files below *root* that are deployed, by their paths in it: all except those in `.funcignore`."""
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text("utf-8").splitlines())
    return sorted(_files(root, Path(), ignored))


def _files(root: Path, folder: Path, ignored: GitIgnoreSpec) -> Iterator[str]:
    for entry in os.scandir(root / folder):
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if not ignored.match_file(f"{path.as_posix()}/"):
                yield from _files(root, path, ignored)
        elif not ignored.match_file(path.as_posix()):
            yield path.as_posix()


def write(root: Path, archive: Path) -> None:
    """Write the zip of the deployed files of *root*."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name in files(root):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            made.writestr(entry, (root / name).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
