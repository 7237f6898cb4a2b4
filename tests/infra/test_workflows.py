"""The workflows are well formed, call what is there, and hold no password."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.infra.bicep import MAIN, ROOT, declared

pytestmark = pytest.mark.slow  # it runs node

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINT = Path(__file__).with_name("lint_workflows.cjs")


def _text(name: str) -> str:
    return (ROOT / ".github" / "workflows" / name).read_text("utf-8")


def test_actionlint_has_nothing_to_say(tmp_path: Path) -> None:
    """And it does speak of a workflow that is wrong."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ${{ nothing.here }}\n"
    )

    assert _linted(*WORKFLOWS) == []
    assert "undefined variable" in str(_linted(wrong))


def _linted(*files: Path) -> list[object]:
    ended = subprocess.run(["node", LINT, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    said: list[object] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.name))
def test_actions_of_others_are_pinned(workflow: Path) -> None:
    """By commit, with the version beside it."""
    used = re.findall(r"uses: (\S+)( # v[\d.]+)?$", workflow.read_text("utf-8"), re.MULTILINE)

    pinned = re.compile(r"\./.*|\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [action + version for action, version in used if not pinned.fullmatch(action + version)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.name))
def test_a_workflow_may_do_little(workflow: Path) -> None:
    """It reads the repository; a token for Azure is drawn only where something is deployed."""
    text = workflow.read_text("utf-8")

    assert "\npermissions:\n  contents: read\n" in text
    assert ("id-token: write" in text) == ("deploy" in workflow.name or "provision" in workflow.name)
    assert "pull_request_target" not in text


def test_every_command_of_a_workflow_is_there() -> None:
    """Targets of the Makefile, those of azd's hooks too."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    called = {name for workflow in WORKFLOWS for name in re.findall(r"\bmake ([a-z]+)", workflow.read_text("utf-8"))}

    called |= set(re.findall(r"\bmake ([a-z]+)", (ROOT / "azure.yaml").read_text("utf-8")))

    assert called >= {"check", "test", "infra", "package", "packaged", "smoke"}
    assert called <= targets


def test_the_suite_runs_on_the_python_that_the_job_is_named_for() -> None:
    """The runner has others too, and the Makefile would take the newest."""
    assert "      PYTHON: python${{ matrix.python }} " in _text("check.yml")


def test_one_package_goes_to_staging_and_then_to_production() -> None:
    """It is built once, and each deployment checks that it is that one."""
    deploy, one = _text("deploy.yml"), _text("deploy-to.yml")

    assert deploy.count("make package") == 1
    assert "make package" not in one
    assert re.findall(r"environment: (\w+)", deploy) == ["staging", "production"]
    assert re.search(r"production:\n    needs: \[package, staging\]", deploy)
    assert "sha256sum --check" in one
    assert one.index("azd deploy") < one.index("make smoke")


def test_provisioning_has_every_value_that_azd_asks_for() -> None:
    """From the environment's settings; what main.parameters.json does not name has a default."""
    given = json.loads((MAIN.parent / "main.parameters.json").read_text("utf-8"))["parameters"]
    asked = {name for one in given.values() for name in re.findall(r"\$\{(\w+)", str(one["value"]))}

    assert set(declared(MAIN, "parameters")) >= set(given)
    assert asked <= set(re.findall(r"^      (\w+): \$\{\{ secrets\.", _text("provision.yml"), re.MULTILINE))


def test_new_versions_are_looked_for_everywhere() -> None:
    """Actions, npm and every folder with a lock of Python packages."""
    text = (ROOT / ".github" / "dependabot.yml").read_text("utf-8")
    locks = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*requirements*.txt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    folders = {f"/{Path(lock).parent.as_posix().strip('.')}" for lock in locks}

    assert set(re.findall(r"package-ecosystem: ([\w-]+)", text)) == {"github-actions", "npm", "pip"}
    found = re.search(r"directories: \[(.*)\]", text)
    assert found is not None
    assert folders <= set(found[1].split(", "))
