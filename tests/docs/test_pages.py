"""The pages of `docs` say what the code does: what is made from it is as it is made, and nothing is left out."""

import ast
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from cpor_app import bootstrap
from cpor_app.adapters.catalogue import load_catalogue
from cpor_app.adapters.identity import tokens
from cpor_app.adapters.storage.tables import TABLES
from cpor_app.http.status_codes import DETAIL_CODES, STATUSES
from cpor_app.queue_names import POISON, QUEUES
from cpor_app.settings import Settings
from cpor_core.model.caller import Role
from tests.docs.pages import DOCS, ROOT, anchors, codes, links, pages, paths
from tools.pages import book, errors
from tools.pages.functions import indexed
from tools.pages.markdown import filled, names

NAMES_OF_OTHERS = {
    "AADSTS500011",  # Entra's refusals
    "AADSTS50105",
    "AADSTS501051",
    "AADSTS65001",
    "AADSTS650052",
    "AADSTS700016",
    "CNAME",
    "Germany",  # as Communication Services names geographies
    "Switzerland",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",  # settings of the Functions worker that we leave out
    "PYTHON_ENABLE_OPENTELEMETRY",
    "Recreate",  # strategies of Flex Consumption
    "RollingUpdate",
    "acquire_token_for_client",  # MSAL
    "getOffice365ServicesUserCounts",  # Microsoft Graph
    "updatedSince",  # a decision says why it does not exist
}
"""What a page names and our files do not."""
MADE_BY_COMMANDS = (".local/", ".venv/", "node_modules/", "cpor_app/locale/de/")
"""What a page names because a command that it explains makes it."""


def text(name: str) -> str:
    """Return a page."""
    return (DOCS / name).read_text("utf-8")


def test_every_page_is_as_the_code_is() -> None:
    """`make docs` writes what differs."""
    made = book.made()

    assert [path.name for path in DOCS.glob("*.md") if book.page(path, made) != path.read_text("utf-8")] == []


def test_everything_that_is_made_stands_on_a_page() -> None:
    """A part that no page asks for would be made for nobody."""
    asked = {name for path in DOCS.glob("*.md") for name in names(path.read_text("utf-8"))}

    assert asked == set(book.made())


def test_a_part_is_put_between_its_comments_and_the_rest_is_left_alone() -> None:
    """What was there before goes; a part that nobody makes is an error, not an empty place."""
    page = "one\n<!-- made from the code: a -->\nold\n<!-- end -->\ntwo\n"

    assert filled(page, {"a": "new\n"}) == ("one\n<!-- made from the code: a -->\n\nnew\n\n<!-- end -->\ntwo\n")
    with pytest.raises(KeyError):
        filled(page, {})


def test_every_setting_is_on_the_page_of_settings() -> None:
    """Those of the service with their defaults, and whatever else the code reads from the environment."""
    named = set(codes(text("settings.md"))) | set(codes(text("running.md")))
    read = {
        name
        for folder in ("cpor_app", "devhost", "tools")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'"((?:CPOR|OTEL|APPLICATIONINSIGHTS|WEBSITE)_[A-Z_]+)"', file.read_text("utf-8"))
    }

    assert set(Settings.model_json_schema()["properties"]) <= read
    assert read - named == set()


def test_every_function_is_on_the_page_of_functions() -> None:
    """With its route, queue or schedule."""
    page = text("functions.md")

    for function in indexed():
        trigger = function.trigger
        assert f"| `{function.name}` |" in page
        assert str(trigger.get("route") or trigger.get("queueName") or trigger.get("schedule")) in page


def test_every_code_is_on_the_page_of_errors() -> None:
    """With its status, and with the operations that answer it."""
    page = text("errors.md")

    for code, status in STATUSES.items():
        assert f"| `{code}` | {int(status)} |" in page
    assert set(DETAIL_CODES) <= set(codes(page))
    answered = {code for function in indexed() if function.operation is not None for code in function.operation.codes}
    assert answered <= set(codes(page.partition("## Which operation answers what")[2]))


def test_no_code_is_raised_that_the_page_of_errors_does_not_know() -> None:
    """Those of rows too, which have no status."""
    assert {raised.code for raised in errors.raised()} <= set(codes(text("errors.md")))


def test_the_places_of_a_code_are_found_however_it_is_raised() -> None:
    """As a refusal, as a detail, or by a kind of refusal of its own; with words that are put together, too."""
    source = """
Refused("A", "message", target="t", resolution=f"do {this}")
Detail("B", "message", "target", "do that")
Refused(chosen, "message")
class Own(Refused):
    def __init__(self):
        super().__init__("C", "message", resolution="do it")
    def other(self):
        super().__init__("no code")
BadRow(row=1, code="D", message=told)
"""

    found = list(errors._raised_in(ast.parse(source)))

    assert sorted((one.code, one.resolution) for one in found) == [
        ("A", "do …"),
        ("B", "do that"),
        ("C", "do it"),
        ("D", None),
    ]


def test_every_role_is_on_the_page_of_identity() -> None:
    """In the table of what it opens, and in that of where it counts."""
    page = text("identity.md")

    assert all(codes(page).count(role) > 1 for role in Role)


def test_every_reason_to_refuse_a_token_is_on_the_page_of_registration() -> None:
    """In the order of the code, with the words that the caller is told, and what to do."""
    rows = re.findall(r"^\| `(Token\w+)` \| (.+?) \| \S.+ \|$", text("registration.md"), re.MULTILINE)

    assert rows == [(flaw.value, told) for flaw, told in tokens._DESCRIPTIONS.items()]
    assert {name for name, _ in rows} == set(tokens.Flaw)


def test_everything_that_is_stored_is_on_the_page_of_storage() -> None:
    """Each table, container and queue in a row of its own."""
    page = text("storage.md")

    for name in TABLES:
        assert f"\n| `{name}` |" in page
    for name in bootstrap.CONTAINERS:
        assert f"container `{name}`" in page
    for name in (*QUEUES, *POISON):
        assert f"queue `{name}`" in page


def test_every_engagement_is_on_its_page() -> None:
    """The older programmes too."""
    assert {engagement.id for engagement in load_catalogue().engagements} <= set(codes(text("engagements.md")))


def test_the_index_lists_every_page_once() -> None:
    """A page that is not listed is not found."""
    listed = links(DOCS / "README.md")

    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading in it where one is named."""
    for link in links(page):
        address, _, anchor = link.partition("#")
        if "://" in address:
            continue
        target = (page.parent / address).resolve() if address else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link} names no heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    """Files and folders of the repository, as far as they are written as code."""
    missing = [name for name in paths(page.read_text("utf-8")) if not (ROOT / name).exists()]

    assert [name for name in missing if not name.startswith(MADE_BY_COMMANDS)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_on_a_page_is_in_the_code(page: Path) -> None:
    """A name that is written as code occurs in a file that is no page; one with arguments is a function or class."""
    named = [re.fullmatch(r"(?:\w+\.)?([A-Za-z_]\w*)(\(.*\))?", name) for name in codes(page.read_text("utf-8"))]
    missing = {
        found[0]
        for found in named
        if found is not None and found[1] not in (defined_names() if found[2] else all_names()) | NAMES_OF_OTHERS
    }

    assert missing == set()


@cache
def all_names() -> frozenset[str]:
    """Return every word of the files of the repository that are no pages."""
    texts = (path.read_text("utf-8") for path in tracked() if path.suffix in CODE or not path.suffix)
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


@cache
def defined_names() -> frozenset[str]:
    """Return the names of all functions and classes."""
    texts = (path.read_text("utf-8") for path in tracked() if path.suffix == ".py")
    return frozenset(name for text in texts for name in re.findall(r"(?:def|class) (\w+)", text))


CODE = {".py", ".toml", ".json", ".yaml", ".yml", ".bicep", ".jinja", ".html", ".txt", ".css", ".http", ".po"}


def tracked() -> Sequence[Path]:
    """Return the files of the repository."""
    answer = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in answer.stdout.splitlines() if (ROOT / name).is_file()]
