"""
Build the zip that is deployed: the app and every package that it needs, for the Python version of the cloud.

    python -m tools.package [--python 3.13] [--into dist/cpor.zip]
    python -m tools.package --check [dist/cpor.zip]

The zip has all files except those in `.funcignore`, and the packages of `requirements.txt` as wheels for Linux. The
packages are installed into the work tree, below `.python_packages`, because `azd` packs its files from there.

Each module comes with its byte code, because the cloud cannot store byte code, and every new instance would compile
every module. A Python of the cloud's version compiles the modules. Without such a Python on this machine the zip has no
byte code. The same files, compiled by the same Python, give the same zip, byte for byte.

With `--check` the command builds nothing. It checks the zip, or the work tree if no zip is named. It returns 1 if
packages are missing, or if they are those of other requirements or of another Python version.
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.markers import Marker
from pathspec import GitIgnoreSpec

from cpor_app.adapters.texts.texts import Texts
from tools import other_python, swagger_ui

ROOT = Path(__file__).resolve().parent.parent
CLOUD_PYTHON = "3.13"
PACKAGES = Path(".python_packages", "lib", "site-packages")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MADE_OF = "made-of.json"
"""A file next to the packages. It says from which requirements they were installed, and for which Python version."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip. It is the earliest time that a zip allows."""
LEFT_OUT = GitIgnoreSpec.from_lines(
    (
        "/bin/",  # commands of the packages, which contain paths of this machine
        "/olefile/olefile2.py",  # for Python 2; Python 3 cannot compile it
        *("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.h"),  # for type checkers and compilers
    )
)
"""Files of the packages that the service never uses. Unused locales are left out too."""

_REQUIREMENT = re.compile(r"(?P<pin>[a-z0-9-]+==[\w.]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=sha256:\S+)+)")


def main() -> int:
    """Install the packages into the work tree and write the zip."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--python", default=CLOUD_PYTHON, help="the Python version that will run it")
    parser.add_argument("--into", type=Path, default=ROOT / "dist" / "cpor.zip")
    parser.add_argument("--check", nargs="?", type=Path, const=ROOT, metavar="ZIP", help="only check the packages")
    options = parser.parse_args()
    if options.check is not None:
        wrong = reason_not_to_deploy(options.check, options.python)
        print(wrong or f"{options.check}: has the packages of requirements.txt, for Python {options.python}")
        return 1 if wrong else 0
    install(ROOT / PACKAGES, options.python)
    write(ROOT, options.into, options.python)
    print(f"{options.into}: {options.into.stat().st_size // 1024} KiB, for Python {options.python}")
    if interpreter(options.python) is None:
        print(
            f"No Python {options.python} was found here. So the zip has no byte code and starts slower.",
            file=sys.stderr,
        )
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
    # requirements.txt also pins the dependencies of each package, so pip must not look for dependencies. pip selects a
    # wheel by its name, which contains the Python version.
    exact = ["--require-hashes", "--no-deps", "--ignore-requires-python", "--only-binary=:all:"]
    platform_options = ["--python-version", python, "--implementation", "cp", *platforms, "--target", str(target)]
    subprocess.run(
        [*pip, *exact, *platform_options, "-r", str(wanted)], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True
    )
    wanted.unlink()
    (target / MADE_OF).write_text(made_of(python), "utf-8")
    unused = (target / name for name in LEFT_OUT.match_tree_files(target))
    for path in (*unused, *_unused_locales(target)):
        path.unlink()
    compile_modules(target, python)


def _unused_locales(packages: Path) -> Iterator[Path]:
    """
    Yield Babel's files for languages that have no catalogue.

    No text is written in such a language, because its readers get English. For all other languages, the files of all
    countries stay, because a date is written as in the reader's country.
    """
    languages = {"root", *(language.partition("_")[0] for language in Texts().languages)}
    for locale in (packages / "babel" / "locale-data").glob("*.dat"):
        if locale.stem.partition("_")[0] not in languages:
            yield locale


def interpreter(python: str) -> Path | None:
    """Return the path of a Python of that version on this machine, or None if there is none."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    return next(other_python.places(python), None)


def compile_modules(folder: Path, python: str) -> None:
    """
    Write the byte code of each module below *folder*, if this machine has that version of Python.

    The byte code contains no time and no path of this machine. Python never compares it with the module. Raises
    subprocess.CalledProcessError if a module cannot be compiled.
    """
    compiler = interpreter(python)
    if compiler is None:
        return
    # -f: byte code that came with a package is replaced. -s: the byte code contains no path of this machine.
    options = ["-q", "-f", "-s", str(folder), "--invalidation-mode", "unchecked-hash"]
    subprocess.run([compiler, "-I", "-S", "-m", "compileall", *options, str(folder)], stdout=sys.stderr, check=True)


def made_of(python: str) -> str:
    """Return the content of `MADE_OF` for the current requirements and that Python version."""
    lines = "".join(f"{line}\n" for line in requirements(python))
    return json.dumps({"python": python, "requirements": hashlib.sha256(lines.encode()).hexdigest()}) + "\n"


def reason_not_to_deploy(place: Path, python: str) -> str | None:
    """Return why the work tree or zip at *place* must not be deployed, or None if nothing is wrong with it."""
    if not place.exists():
        return f"{place} does not exist: run make package."
    root = zipfile.Path(place) if place.is_file() else place
    record = root / PACKAGES.as_posix() / MADE_OF
    if not record.is_file():
        return f"{place} has no packages below {PACKAGES}: run make package."
    if record.read_text("utf-8") != made_of(python):
        return f"{place} has packages of other requirements or of another Python: run make package."
    missing = [name for name in swagger_ui.FILES if not (root / "cpor_app" / "swagger_ui" / name).is_file()]
    return f"{place} lacks {', '.join(missing)} of Swagger UI: run make package." if missing else None


def requirements(python: str) -> Iterator[str]:
    """Yield each requirement that the cloud needs for that Python version, with its hashes."""
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
    """Return the paths, relative to *root*, of all files that `.funcignore` does not name. They are deployed."""
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


def write(root: Path, archive: Path, python: str) -> None:
    """Write the zip of the deployed files of *root*, with the byte code of our modules for that version of Python."""
    names = files(root)
    compiled = _byte_code(root, names, python)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name in sorted({*names, *compiled}):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            made.writestr(entry, compiled[name] if name in compiled else (root / name).read_bytes())


def _byte_code(root: Path, names: Sequence[str], python: str) -> Mapping[str, bytes]:
    """
    Return the byte code of our modules, by its path in the zip.

    The byte code is never in the work tree. There Python would still run it after a change of the module.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in names:
            if name.endswith(".py") and not name.startswith(f"{PACKAGES.parts[0]}/"):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, copy / name)
        compile_modules(copy, python)
        return {path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*.pyc")}


if __name__ == "__main__":
    sys.exit(main())
