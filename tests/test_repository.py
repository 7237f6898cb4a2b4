"""The repository keeps its own promises: what is pinned, what is listed, what stays out of version control."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import AliasChoices

from cpor_app.queue_names import STORAGE
from cpor_app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
WORKER, INFRA = "tests/conformance/requirements.txt", "tests/infra/requirements.txt"
PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+)(?P<marker> ; [^\\]+?)?(?: --hash=sha256:[0-9a-f]{64})+")
COMMANDS = {"help", "run", "demo", "token", "test", "bench", "check"}


def requirements(file: str) -> list[str]:
    """Return one line for each requirement, without comments."""
    lines = (ROOT / file).read_text("utf-8").replace("\\\n", "").splitlines()
    return [re.sub(r"\s+", " ", line.strip()) for line in lines if not line.lstrip().startswith("#")]


def pins(file: str) -> set[tuple[str, str]]:
    """Return names and versions of what *file* pins."""
    return {(pin["name"], pin["version"]) for line in requirements(file) if (pin := PINNED.fullmatch(line))}


def asked_for(names: list[str]) -> set[str]:
    """Return the distributions that *names*, as they stand in pyproject.toml, ask for."""
    return {re.split(r"[\[<>=;~! ]", name)[0].lower() for name in names}


def project() -> dict[str, object]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def in_git(*arguments: str) -> list[str]:
    """Return the lines of a git command's answer; skips where this is no clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone: nothing says what belongs to the repository")
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()


@pytest.mark.parametrize("file", [RUNTIME, DEVELOPMENT, WORKER, INFRA])
def test_every_requirement_is_pinned_with_hashes_and_nothing_else_is_said(file: str) -> None:
    """One version, its hashes, and perhaps a marker: no options, no addresses."""
    assert [line for line in requirements(file) if not PINNED.fullmatch(line)] == []
    assert "://" not in (ROOT / file).read_text("utf-8")


def test_tests_run_with_the_versions_that_the_cloud_gets() -> None:
    """What is pinned for the cloud is pinned to the same version for development."""
    assert pins(RUNTIME) <= pins(DEVELOPMENT)


def test_all_that_is_asked_for_is_pinned() -> None:
    """A dependency that was added without `make lock` is missed here, not in the cloud."""
    settings = project()
    match settings:
        case {
            "project": {"dependencies": [*runtime]},
            "dependency-groups": {"dev": [*development], "worker": [*worker], "infra": [*infra]},
        }:
            assert asked_for(runtime) <= {name for name, _ in pins(RUNTIME)}
            assert asked_for(development) <= {name for name, _ in pins(DEVELOPMENT)}
            assert asked_for(worker) == {name for name, _ in pins(WORKER)}
            assert asked_for(infra) <= {name for name, _ in pins(INFRA)}
        case _:
            pytest.fail("pyproject.toml has lost its dependencies")


def test_npm_packages_are_locked_by_hash_and_not_by_address() -> None:
    """The lock holds wherever packages come from."""
    lock = json.loads((ROOT / "package-lock.json").read_text("utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}

    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if "integrity" not in entry and not entry.get("inBundle")] == []


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Return each file below *folder* with each top-level package that it imports."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Import(names=names):
                    yield from ((str(file.relative_to(ROOT)), name.name.split(".")[0]) for name in names)
                case ast.ImportFrom(module=str(module), level=0):
                    yield str(file.relative_to(ROOT)), module.split(".")[0]
                case _:
                    pass


@pytest.mark.parametrize("folder", ["cpor_core", "cpor_app"])
def test_the_cloud_has_every_package_that_the_app_imports(folder: str) -> None:
    """Development packages are installed here too, so that an import of one would only fail in the cloud."""
    pinned = {name for name, _ in pins(RUNTIME)}
    distributions = importlib.metadata.packages_distributions()
    known = {*sys.stdlib_module_names, "cpor_core", "cpor_app"}

    missing = [
        (file, package)
        for file, package in imported(folder)
        if package not in known
        and not pinned & {name.lower().replace("_", "-") for name in distributions.get(package, ())}
    ]
    assert missing == []


def test_the_example_of_local_settings_is_taken_and_says_nothing_unknown() -> None:
    """Copied to local.settings.json it starts `func start`; every setting in it is one that something reads."""
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]

    settings = Settings.from_environment(example)

    assert settings.sandbox
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    known = {name for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices}
    assert {name for name in example if name.startswith("CPOR_") and name not in known} == {STORAGE}


def test_pre_commit_runs_what_make_check_runs_and_downloads_nothing() -> None:
    """The fast tools by themselves, before a commit; the whole command before a push."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    recipe = (ROOT / "Makefile").read_text("utf-8").replace("$(PY)", ".venv/bin/python")

    assert re.findall(r"repo: (.+)", hooks) == ["local"]
    entries = re.findall(r"entry: (.+)", hooks)
    assert entries.pop() == "make check"
    assert entries
    assert [entry for entry in entries if entry.removesuffix(" --force-exclude") not in recipe] == []


def test_a_dev_container_has_a_python_and_a_node_that_fit() -> None:
    """Those that the README asks for; the image and what is added to it are public."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    match = re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:(3\.1[123])-\w+", container["image"])
    ((feature, options),) = container["features"].items()

    assert match is not None
    assert feature.startswith("ghcr.io/devcontainers/features/node:")
    assert int(options["version"]) >= int(json.loads((ROOT / "package.json").read_text("utf-8"))["engines"]["node"][2:])


def test_the_changelog_knows_the_version() -> None:
    """What is being made, or what was released last."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    newest = re.search(r"^(?:Becomes |## )(\d+\.\d+\.\d+)\b", changelog, re.MULTILINE)

    assert version is not None
    assert newest is not None
    assert newest[1] == version[1]


def test_every_make_target_has_a_line_of_help() -> None:
    """`make help` shows every command there is, and there is every command that was promised."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))

    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {line.split()[1] for line in shown.splitlines()} == targets
    assert targets >= COMMANDS


def test_what_a_machine_makes_stays_out_of_version_control() -> None:
    """Packages, state, caches and secrets of one machine are nobody else's."""
    made = [
        ".venv/x",
        "node_modules/x",
        ".local/x",
        "tests/__pycache__/x",
        ".mypy_cache/x",
        "local.settings.json",
        ".env",
        ".venv-infra/x",
        ".venv-3.13/x",
        ".python_packages/x",
        "dist/x",
    ]

    assert in_git("check-ignore", *made) == made


def test_the_readme_says_what_each_thing_at_the_top_level_is_for() -> None:
    """Nothing of the repository lies at the top level that the README's folder map does not name."""
    readme = ROOT / "README.md"
    heading = re.compile(
        r"^#+ .*\b(folder|folders|map|layout)\b.*\n(?P<map>(?:(?!#).*\n?)*)", re.MULTILINE | re.IGNORECASE
    )
    section = heading.search(readme.read_text("utf-8")) if readme.exists() else None
    if section is None:
        pytest.skip("README.md has no folder map yet")

    there = {line.split("/")[0] for line in in_git("ls-files")}
    named = {name.strip("/") for name in re.findall(r"[\w.-]*\w/?", section["map"])}

    assert there - named - {"README.md"} == set()
