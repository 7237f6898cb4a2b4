"""What is written for callers works word for word on a running stack: the page, the requests, the description."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from devhost.issuer import PROGRAMME_TENANT
from devhost.samples import ADATUM_TENANT
from tests.docs.reading import DOCS
from tests.stack.running import PATIENCE_SECONDS, ROOT, RunningStack, until
from tests.support.http_file import HttpFile
from tools.smoke import complaints_about

pytestmark = pytest.mark.xdist_group("calling")
PAGE = DOCS / "calling-the-api.md"


def parts(language: str) -> str:
    """Return all code of the page in one language, as somebody would type it one part after the other."""
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


def run(stack: RunningStack, command: list[str], folder: Path) -> str:
    """Run what the page says; returns what it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=stack.place.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_six_steps_in_both_languages() -> None:
    """Each with a part to type."""
    steps = re.split(r"^## \d\. ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]

    assert len(steps) == 6
    for step in steps:
        assert "```sh" in step
        assert "```python" in step


def test_six_steps_with_curl_lead_to_an_official_association(stack: RunningStack, tmp_path: Path) -> None:
    """Only the port and the folder are this test's."""
    commands = parts("sh")
    for theirs, ours in (
        ("127.0.0.1:7071", f"127.0.0.1:{stack.place.ports.http}"),
        ("make token", f"make --no-print-directory -C {ROOT} token"),
    ):
        assert theirs in commands
        commands = commands.replace(theirs, ours)

    said = run(stack, ["bash", "-euo", "pipefail", "-c", commands], tmp_path)

    assert '"since"' in said
    assert said.endswith('{"value":[]}')


def test_six_steps_with_python_lead_to_an_official_association(stack: RunningStack) -> None:
    """Only the port is this test's."""
    program = parts("python")
    assert "127.0.0.1:7071" in program

    said = run(stack, [sys.executable, "-c", program.replace(":7071", f":{stack.place.ports.http}")], ROOT)

    assert "Official since" in said


def test_file_of_requests_runs_from_top_to_bottom(stack: RunningStack) -> None:
    """Every request succeeds; whoever sends them waits where the file says so."""
    issuer = stack.caller._issuer
    tokens = {
        "partner": issuer.sign(["Incentives.Admin"], ADATUM_TENANT),
        "programme": issuer.sign(["Program.Operator", "Program.Reviewer"], PROGRAMME_TENANT),
    }
    file = HttpFile.read(DOCS / "requests.http", api=stack.place.url, **tokens)

    with httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
        for request, answer in file.run(client):
            assert answer.is_success, f"{request.title}: {answer.status_code} {answer.text}"
            if request.name == "told":
                until(lambda told=request: file.send(client, told).json()["window"])  # type: ignore[misc]

    assert file.answers["association"].json()["endedAt"] is None


def test_description_is_shown_as_a_page_without_any_other_host(stack: RunningStack, browser: Browser) -> None:
    """In a real browser, under its own policy; nothing is asked of anybody else, and nothing is complained about."""
    asked: list[str] = []
    said: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        answer = page.goto(f"{stack.place.url}/docs")
        page.get_by_text("Make a draft, or judge one with").click()
        page.get_by_text("Contoso Teams adoption").first.wait_for()
        operations = page.locator(".opblock").count()
        title = page.locator("h1, h2").first.inner_text()

    assert answer is not None
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert said == []
    assert {url.split("/api/")[0] for url in asked if not url.startswith("data:")} == {stack.place.url[:-4]}
    described = httpx.get(f"{stack.place.url}/openapi.json").json()
    assert operations == sum(len(path) for path in [*described["paths"].values(), *described["webhooks"].values()])
    assert "Claiming partner of record" in title


def test_what_is_asked_of_a_deployed_service_is_answered(stack: RunningStack) -> None:
    """All but one thing: here the clock can be moved, and there it must not."""
    assert list(complaints_about(stack.place.url)) == ["POST /sandbox/clock: 401 instead of 404"]
