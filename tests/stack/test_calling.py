"""What is written for callers works word for word on a running stack: the page, the requests, the description."""

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from playwright.sync_api import Browser

from devhost.stack.issuer import PROGRAMME_TENANT
from devhost.stack.sample_registry import ADATUM_TENANT
from tests.docs.pages import DOCS
from tests.stack.stack_process import NEVER_NOTIFIED, PATIENCE_SECONDS, SHELL, Place, RunningStack, running_stack, until
from tests.support.http_file import HttpFile
from tools.smoke import complaints_about

pytestmark = pytest.mark.xdist_group("calling")
PAGE = DOCS / "calling-the-api.md"


def parts(language: str) -> str:
    """Return all code of the page in one language, as somebody would type it one part after the other."""
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


def test_the_page_has_six_steps_in_both_languages() -> None:
    """Each with a part to type."""
    steps = re.split(r"^## \d\. ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]

    assert len(steps) == 6
    for step in steps:
        assert "```sh" in step
        assert "```python" in step


def test_six_steps_with_curl_lead_to_an_official_association(stack: RunningStack, tmp_path: Path) -> None:
    """Pasted twice, the second time when the sandbox is 13 months ahead; nothing is left in the folder."""
    for by in ("PT0S", "P400D"):
        stack.go_on(by)
        said = stack.place.paste(parts("sh"), SHELL, tmp_path)

        assert '"since"' in said
        assert said.endswith('{"value":[]}')


def test_six_steps_with_python_lead_to_an_official_association(stack: RunningStack, tmp_path: Path) -> None:
    """As a program, and pasted into a prompt when the sandbox is 13 months ahead."""
    for by, options in (("PT0S", ["-"]), ("P400D", ["-i"])):
        stack.go_on(by)
        said = stack.place.paste(parts("python"), [sys.executable, *options], tmp_path)

        assert "Official since" in said


def test_the_wait_for_the_customers_window_ends() -> None:
    """In both languages, with a word, and nobody moves the clock."""
    commands = parts("sh")
    waits = (
        "claim=a auth=b api=c json=d operator=e\n" + commands[commands.index("tries=") : commands.index("operator=$")]
    )
    moves = commands[commands.index("if [ $tries -gt 0 ]") :].partition("\nfi\n")[0] + "\nfi\n"
    program = parts("python")
    loops = program[
        program.index("for _ in range(120)") : program.index("make = ", program.index("for _ in range(120)"))
    ]

    done = subprocess.run([*SHELL, "-c", NEVER_NOTIFIED + waits + moves], capture_output=True, text=True, check=True)
    with pytest.raises(SystemExit, match="not notified within two minutes"):
        exec(loops, {"ask": lambda *_: {"id": "a", "window": None}, "claim": {"id": "a"}, "time": Mock()})  # noqa: S102

    assert done.stdout == ""
    assert done.stderr == "The customer was not notified within two minutes.\n"


def test_file_of_requests_runs_from_top_to_bottom(place: Place) -> None:
    """Every request succeeds, on a stack whose clock nobody has moved; the sender waits where the file says so."""
    with running_stack(place) as stack, httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
        issuer = stack.caller._issuer
        tokens = {
            "partner": issuer.sign(["Incentives.Admin"], ADATUM_TENANT),
            "programme": issuer.sign(["Program.Operator", "Program.Reviewer"], PROGRAMME_TENANT),
        }
        file = HttpFile.read(DOCS / "requests.http", api=stack.place.url, **tokens)
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
        page.locator("#operations-Claims-create_claim").get_by_role("button").first.click()
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
