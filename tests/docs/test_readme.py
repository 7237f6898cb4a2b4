"""The README keeps its promises: what it names is there, and what it calls missing is missing."""

import re
import subprocess

from babel import Locale

from cpor_app.adapters.texts.texts import Texts
from cpor_app.http.route_table import operations
from devhost.stack.sample_registry import PARTNERS
from tests.docs.pages import README, ROOT, codes, section
from tools.pages.claim_life import edges

TEXT = README.read_text("utf-8")


def test_the_first_screen_says_what_it_is_and_how_to_run_and_test_it() -> None:
    """Before the first heading of the second rank, in the first twenty lines."""
    first_screen = TEXT.partition("\n## ")[0].splitlines()

    assert len(first_screen) <= 20
    assert any("make run" in line for line in first_screen)
    assert any("make test" in line for line in first_screen)


def test_every_command_it_names_is_there() -> None:
    """As a target of the Makefile that has a line of help."""
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = {line.split()[1] for line in shown.splitlines()}

    assert set(re.findall(r"`?make ([a-z]+)", TEXT)) <= commands


def test_its_diagram_is_a_part_of_the_whole_one() -> None:
    """It shows less than there is, and nothing that is not."""
    shown = re.findall(r"^    (\S+) --> (\w+)", TEXT, re.MULTILINE)

    assert shown
    assert set(shown) <= set(edges())


def test_the_languages_that_there_are_are_named() -> None:
    """What is not there yet is every other."""
    named = re.search(r"Languages other than (.+?)\.", section(README, "Not there yet"))
    assert named is not None

    assert set(re.split(r", | and ", named[1])) == {
        Locale.parse(language).get_display_name("en") for language in Texts().languages
    }


def test_the_addresses_it_names_elsewhere_are_served() -> None:
    """With that method."""
    served = {f"{line.method} /{line.route}" for line in operations()}

    named = {code for code in codes(TEXT) if re.match(r"(GET|POST|PUT|PATCH|DELETE) /", code)}

    assert named
    assert named - served == set()


def test_its_example_is_of_a_sample_partner() -> None:
    """Who is registered when `make run` is ready."""
    tenants = re.findall(r"TENANT=([0-9a-f-]{36})", TEXT)

    assert tenants
    assert set(tenants) <= {partner["entraTenantId"] for partner in PARTNERS.values()}
