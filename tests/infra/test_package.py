"""The package that is deployed holds what runs and nothing else, and runs where nothing else is."""

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import babel.localedata
import pytest

from tests.conformance.test_our_app import CALLS
from tests.conformance.worker import Call
from tests.infra.test_settings import OF_THE_EXPORTER
from tests.support.azurite import Azurite
from tests.support.ingestion import running_ingestion
from tools import package, swagger_ui

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("package")]  # it installs packages, once

ROOT = package.ROOT
RUNS = {"cpor_app", "cpor_core", "function_app.py", "host.json", ".python_packages"}
STAYS_OUT = ("tests", "docs", "infra", "devhost", "tools")
LIBRARY = ("azure_functions_runtime", "azurefunctions")
PATIENCE_SECONDS = 120
OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
UNCHECKED_HASH = bytes((1, 0, 0, 0))
"""The flags in the head of byte code that is never compared with its module (PEP 552)."""

IN_THE_WORKER = """
import sys
sys.path[:0] = sys.argv[2:4]
from tests.conformance import worker
worker._main()
homes = (*sys.argv[1:4], sys.base_prefix)
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
strangers = {name: file for name, file in files.items() if file and not file.startswith(homes)}
assert not strangers, strangers
assert files["cpor_app"].startswith(sys.argv[1])
"""
WATCHED = """
import asyncio, logging, sys
sys.path[:0] = sys.argv[2:4]
from tests.conformance import worker
logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
outcome = worker._Worker.outcome
async def watched(self, call):
    ended = await outcome(self, call)
    from cpor_app import bootstrap
    telemetry = (await bootstrap.ready()).telemetry
    await asyncio.to_thread(telemetry._timer.join)  # the SDK is loaded behind the first answer
    return ended
worker._Worker.outcome = watched
worker._main()
from cpor_app import bootstrap
asyncio.run(bootstrap._Process.services.telemetry.close())
"""
"""Calls as in the worker; what is to be seen is sent before the process ends."""
EVERY_FORM = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from datetime import UTC, datetime
from cpor_app.adapters.texts.texts import Texts
texts, forms = Texts(), {}
tags, countries = json.load(sys.stdin)
for tag in tags:
    language = texts.negotiate(tag)
    forms[tag] = language, texts.direction(language), texts._own_name(language)
for language in texts.languages:
    texts._catalogue(language)
    for country in (None, *countries):
        local = texts._local(language, "Europe/Prague", country)
        at = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
        forms[f"{language} in {country}"] = [
            local.day(at), local.moment(at), local.months(["2026-01", "2026-03", "2026-04"]), local.number(1234567),
            local.listed(["a", "b", "c"]), local.zone(),
        ]
print(json.dumps(forms))
"""
"""Writes each form of `LocalFormat` in every language, for a reader in each country."""


def _requirement_names(python: str) -> dict[str, str]:
    pins = (line.partition(" ")[0].partition("==") for line in package.requirements(python))
    return {name: version for name, _, version in pins}


def test_what_is_left_out_is_one_plain_line_a_folder() -> None:
    """So that nobody has to know the rules of such files, of which each tool has its own reading."""
    lines = (ROOT / ".funcignore").read_text("utf-8").splitlines()

    assert {f"/{folder}" for folder in STAYS_OUT} <= set(lines)


def test_only_what_runs_is_deployed() -> None:
    """Of everything that belongs to the repository; packages are put there when it is built."""
    assert {name.split("/")[0] for name in package.files(ROOT)} <= RUNS
    ours = [name for name in package.files(ROOT) if not name.startswith(".python_packages/")]
    assert not [name for name in ours if "__pycache__" in name or name.endswith(".pyc")]
    assert {"host.json", "function_app.py", "cpor_app/openapi.json"} <= set(package.files(ROOT))
    assert {f"cpor_app/swagger_ui/{name}" for name in swagger_ui.FILES} <= set(package.files(ROOT))


def test_what_a_machine_makes_is_not_deployed(tmp_path: Path) -> None:
    """Whatever stays out of version control stays out of the package too, but for the packages and Swagger UI."""
    shutil.copy(ROOT / ".funcignore", tmp_path)
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    made = [line.strip("/").replace("*", "x") for line in lines if line and not line.startswith("#")]
    for name in made:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()

    assert set(package.files(tmp_path)) == {".python_packages/file", "cpor_app/swagger_ui/file"}


def test_no_file_of_a_package_is_left_out(tmp_path: Path) -> None:
    """A folder of theirs may have the name of one of ours."""
    shutil.copy(ROOT / ".funcignore", tmp_path)
    theirs = {f"{package.PACKAGES.as_posix()}/theirs/{name}/module.py" for name in (*STAYS_OUT, "dist", "node_modules")}
    for name in theirs:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    assert set(package.files(tmp_path)) == theirs


def test_the_packages_are_those_of_the_python_that_will_run_them() -> None:
    """Not of the one that builds: the cloud's has another major version of the Functions library."""
    assert _requirement_names("3.13")["azure-functions"].startswith("2.")
    assert _requirement_names("3.11")["azure-functions"].startswith("1.")
    assert all("--hash=sha256:" in line and ";" not in line for line in package.requirements("3.13"))


def _small_tree(place: Path, names: Sequence[str]) -> Path:
    """Return a work tree with one package and three modules of ours, written in the order of *names*."""
    place.mkdir()
    shutil.copy(ROOT / ".funcignore", place)
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"NAME = {name!r}\nKNOWN = NAME in {{'a', 'b', 'c', 'd'}}\n", "ascii")
        os.utime(place / name, (1, 1_000_000 * names.index(name)))
    package.compile_modules(place / package.PACKAGES, OWN_PYTHON)
    return place


SMALL = ("cpor_app/b.py", "cpor_core/rules/a.py", "function_app.py", f"{package.PACKAGES.as_posix()}/theirs/module.py")


def test_the_same_files_give_the_same_package(tmp_path: Path) -> None:
    """Byte for byte, whenever and wherever the files were written, and with their byte code."""
    first, second = _small_tree(tmp_path / "first", SMALL), _small_tree(tmp_path / "second", SMALL[::-1])
    for place in (first, second):
        package.write(place, place / "made.zip", OWN_PYTHON)

    assert (first / "made.zip").read_bytes() == (second / "made.zip").read_bytes()


def test_each_module_has_its_byte_code(tmp_path: Path) -> None:
    """It is for the requested Python, is used without a look at the module, and names no path of this machine."""
    tree = _small_tree(tmp_path / "tree", SMALL)
    (tree / "cpor_app" / "__pycache__").mkdir()
    (tree / "cpor_app" / "__pycache__" / f"b.{sys.implementation.cache_tag}.pyc").touch()

    package.write(tree, tmp_path / "made.zip", OWN_PYTHON)

    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        assert _without_byte_code(made.namelist()) == set()
        for name in (name for name in made.namelist() if name.endswith(".pyc")):
            content = made.read(name)
            assert content[:8] == importlib.util.MAGIC_NUMBER + UNCHECKED_HASH
            assert str(tmp_path).encode() not in content
    assert not [path for path in tree.rglob("*.pyc") if path.stat().st_size and package.PACKAGES.name not in path.parts]


def test_without_the_clouds_python_there_is_a_package_without_byte_code(tmp_path: Path) -> None:
    """It runs, and starts slower."""
    tree = _small_tree(tmp_path / "tree", SMALL)

    package.write(tree, tmp_path / "made.zip", "3.999")

    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        assert {name for name in made.namelist() if name.endswith(".py")} == set(SMALL)
        assert _without_byte_code(made.namelist()) == set(SMALL[:3])


def _without_byte_code(names: Sequence[str]) -> set[str]:
    """Return the modules among *names* that have no byte code."""
    have = {re.sub(r"__pycache__/(\w+)\.cpython-\d+\.pyc$", r"\1.py", name) for name in names if name.endswith(".pyc")}
    return {name for name in names if name.endswith(".py")} - have


def _tree(place: Path, made_of: str | None) -> Path:
    """Return a work tree as far as `--check` looks at it."""
    (place / package.PACKAGES).mkdir(parents=True)
    if made_of is not None:
        (place / package.PACKAGES / package.MADE_OF).write_text(made_of, "utf-8")
    (place / "cpor_app" / "swagger_ui").mkdir(parents=True)
    for name in swagger_ui.FILES:
        (place / "cpor_app" / "swagger_ui" / name).touch()
    shutil.copy(ROOT / ".funcignore", place)
    return place


@pytest.mark.parametrize("zipped", [False, True], ids=["work tree", "zip"])
@pytest.mark.parametrize(
    ("made_of", "says"),
    [
        (package.made_of("3.13"), None),
        (None, "has no packages"),
        (package.made_of("3.11"), "of other requirements"),
    ],
    ids=["fresh", "none", "other"],
)
def test_packages_that_are_missing_or_stale_are_not_deployed(
    tmp_path: Path, made_of: str | None, says: str | None, *, zipped: bool
) -> None:
    """Before each deployment `make packaged` looks, into the work tree or the zip that is deployed."""
    place = _tree(tmp_path / "tree", made_of)
    if zipped:
        package.write(place, tmp_path / "made.zip", OWN_PYTHON)
        place = tmp_path / "made.zip"

    wrong = package.reason_not_to_deploy(place, "3.13")

    assert (wrong is None) == (says is None)
    assert says is None or says in str(wrong)


def test_a_package_without_swagger_ui_is_not_deployed(tmp_path: Path) -> None:
    """Nor one that does not exist."""
    tree = _tree(tmp_path / "tree", package.made_of("3.13"))
    (tree / "cpor_app" / "swagger_ui" / "LICENSE").unlink()

    assert "lacks LICENSE of Swagger UI" in str(package.reason_not_to_deploy(tree, "3.13"))
    assert "does not exist" in str(package.reason_not_to_deploy(tmp_path / "nowhere.zip", "3.13"))


def test_each_command_of_azd_packs_and_looks() -> None:
    """The hooks are the service's own: `azd deploy` passes those of the project over."""
    lines = (ROOT / "azure.yaml").read_text("utf-8").splitlines()
    top = [line for line in lines if line and not line.startswith((" ", "#"))]
    ours = "\n".join(lines[lines.index("services:") : lines.index("pipeline:")])

    assert "hooks:" not in top
    assert re.findall(
        r"^      (\w+):\n        posix:\n          shell: sh\n          run: (.+)$", ours, re.MULTILINE
    ) == [
        ("prepackage", "make package"),
        ("predeploy", "make packaged"),
    ]
    assert "    hooks:\n" in ours


@pytest.fixture(scope="module")
def python() -> str:
    """The Python of the cloud where this machine has it, else the one that runs the tests."""
    return str(package.interpreter(package.CLOUD_PYTHON) or sys.executable)


@pytest.fixture(scope="module")
def unpacked(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package for that Python, or the one that CPOR_PACKAGE names, unpacked elsewhere."""
    given = os.environ.get("CPOR_PACKAGE")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("packages are built for Linux on x86-64, and this machine could not run one")
    place = tmp_path_factory.mktemp("package")
    archive = Path(given) if given else _built(python, place / "tree", place / "cpor.zip")
    with zipfile.ZipFile(archive) as made:
        made.extractall(place / "app")
    yield place / "app"
    shutil.rmtree(place)


def _built(python: str, tree: Path, archive: Path) -> Path:
    ask = [python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    version = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    for name in (".funcignore", *package.files(ROOT)):
        if not name.startswith(".python_packages/"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    try:
        package.install(tree / package.PACKAGES, version)
    except subprocess.CalledProcessError:
        if os.environ.get("CI"):
            raise
        pytest.skip("no package index is in reach, or it has no wheels for that Python")
    package.write(tree, archive, version)
    shutil.rmtree(tree)
    return archive


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Microsoft's worker library and what calls it, and nothing of the app's."""
    place = tmp_path_factory.mktemp("bench")
    installed = Path(next(path for path in sys.path if (Path(path) / LIBRARY[0]).is_dir()))
    for library in LIBRARY:
        shutil.copytree(installed / library, place / library)
    shutil.copytree(ROOT / "devhost", place / "devhost")
    (place / "tests" / "conformance").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conformance" / "worker.py", place / "tests" / "conformance")
    return place


def test_no_module_of_the_package_is_compiled_at_a_start(unpacked: Path) -> None:
    """The cloud cannot store byte code, so each new instance would compile every module that it loads."""
    names = [path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.py*")]

    assert _without_byte_code(names) == set()


def test_every_customer_reads_the_same_with_the_locales_of_the_package(python: str, unpacked: Path) -> None:
    """In each language of the world and in each country, as with all locales of Babel; no missing locale raises."""
    known = babel.localedata.locale_identifiers()
    countries = sorted(
        {name.rpartition("_")[2] for name in known if re.search(r"_([A-Z]{2}|\d{3})$", name)} | {"AQ", "ZZ"}
    )
    asked = json.dumps([[name.replace("_", "-") for name in known], countries])

    written = [
        subprocess.run(
            [interpreter, "-I", "-S", "-c", EVERY_FORM, app, packages],
            input=asked,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        ).stdout
        for interpreter, app, packages in (
            (python, unpacked, unpacked / package.PACKAGES),
            (sys.executable, ROOT, Path(babel.__file__).parents[1]),
        )
    ]

    assert len(countries) > 200
    assert json.loads(written[0]) == json.loads(written[1])
    assert len([*(unpacked / package.PACKAGES / "babel" / "locale-data").glob("*.dat")]) < len(known) / 4


def test_the_package_runs_in_microsofts_worker_library(
    python: str, unpacked: Path, bench: Path, azurite: Azurite
) -> None:
    """With no module but its own, the worker's and Python's: nothing of this machine's packages is in reach."""
    settings = {"CPOR_STORAGE": azurite.fresh_account()}

    report, _ = _in_the_worker(IN_THE_WORKER, python, unpacked, bench, settings, list(CALLS.values()))

    answers = dict(zip(CALLS, report["outcomes"], strict=True))
    assert list(report["triggers"])[-1] == "zz_not_found"
    assert {call: answer["status"] for call, answer in answers.items() if answer["status"]} == {
        "engagements": 200,
        "health": 200,
        "claims without a token": 401,
        "an unknown path": 404,
        "a wrong method": 405,
    }
    assert answers["the timer"]["error"] is None


def test_the_package_reports_to_application_insights_without_an_error(
    python: str, unpacked: Path, bench: Path, azurite: Azurite
) -> None:
    """As in the cloud: a line of level ERROR, from whichever library, would be a row at every export."""
    calls = ["engagements", "health", "claims without a token", "an unknown path", "the timer"]
    with running_ingestion() as insights:
        settings = {
            "CPOR_STORAGE": azurite.fresh_account(),
            "APPLICATIONINSIGHTS_CONNECTION_STRING": insights.connection_string,
            **OF_THE_EXPORTER,
            "WEBSITE_SITE_NAME": "func-of-the-test",
        }

        _, said = _in_the_worker(WATCHED, python, unpacked, bench, settings, [CALLS[name] for name in calls])

    assert {"get_health", "list_claims", "finalise_uncontested"} <= insights.named("RemoteDependencyData")
    assert insights.kinds() <= {"RemoteDependencyData", "MetricData"}
    assert insights.roles() == {"func-of-the-test"}
    assert [line for line in said.splitlines() if line.startswith(("ERROR", "CRITICAL", "Traceback"))] == []


def _in_the_worker(
    program: str, python: str, app: Path, bench: Path, settings: Mapping[str, str], calls: Sequence[Call]
) -> tuple[dict[str, Any], str]:
    """Run *program* over the unpacked package; returns its report and what was logged."""
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    ended = subprocess.run(
        [python, "-I", "-S", "-c", program, app, app / package.PACKAGES, bench],
        input=json.dumps([asdict(call) for call in calls]),
        cwd=app,
        env=os.environ | example | settings | {"AzureWebJobsScriptRoot": str(app)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return report, ended.stderr
