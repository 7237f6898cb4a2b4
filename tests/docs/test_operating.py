"""The operator's handbook has a heading for every alert, and names only what there is."""

import json
import re

from cpor_app.http.route_table import operations
from tests.docs.pages import DOCS, ROOT

TEXT = (DOCS / "operating.md").read_text("utf-8")
ALERTS = [
    alert["name"]
    for file in ("alerts.json", "metric-alerts.json")
    for alert in json.loads((ROOT / "infra" / file).read_text("utf-8"))
]


def test_every_alert_has_its_heading_and_every_heading_its_alert() -> None:
    """In the order of the files in `infra/`, and with something to do under each."""
    part = TEXT.partition("\n## The alerts\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (.+)$", part, re.MULTILINE)
    said = re.split(r"^### .+$", part, flags=re.MULTILINE)[1:]

    assert headings == ALERTS
    assert [name for name, words in zip(headings, said, strict=True) if len(words.split()) < 30] == []


def test_the_calls_that_it_names_are_served() -> None:
    """With that method."""
    served = {f"{line.method} /{line.route}" for line in operations()}
    named = {code.partition("?")[0] for code in re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]+)`", TEXT)}

    assert named
    assert named - served == set()


def test_the_commands_that_it_names_are_there() -> None:
    """As targets of the Makefile, and as modules."""
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    modules = set(re.findall(r"python -m ([\w.]+)", TEXT))

    assert {"backup", "restore", "rebuild"} <= set(re.findall(r"(?:^ +|`)make ([a-z]+)", TEXT, re.MULTILINE)) <= targets
    assert modules
    assert all(
        (ROOT / name.replace(".", "/")).with_suffix(".py").exists()
        or (ROOT / name.replace(".", "/") / "__main__.py").exists()
        for name in modules
    )
