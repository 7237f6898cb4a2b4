"""The page on architecture names every package, and its diagram of layers agrees with import-linter."""

import re
import tomllib
from itertools import pairwise

from tests.docs.pages import DOCS, ROOT

TEXT = (DOCS / "architecture.md").read_text("utf-8")
FOLDERS = TEXT.partition("```text\n")[2].partition("```")[0]


def test_every_package_is_named() -> None:
    """The list has each package below its parent, and no folder that does not exist."""
    named, above = set[str](), list[str]()
    for line in FOLDERS.splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        for name in re.findall(r"[\w.]+/", line.split("   ")[0] if indent == 0 else line.strip().split("  ")[0]):
            del above[indent:]
            above.append(name)
            named.add("".join(above))
    packages = {
        f"{file.parent.relative_to(ROOT)}/"
        for package in ("cpor_core", "cpor_app", "devhost")
        for file in (ROOT / package).rglob("__init__.py")
    }

    assert packages - named == set()
    assert {name for name in named if not (ROOT / name).is_dir()} == set()


def test_import_linter_allows_every_arrow() -> None:
    """Every arrow within a package points from a higher layer to a lower one."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    ranks = {
        contract["containers"][0]: {
            name: rank for rank, layer in enumerate(contract["layers"]) for name in re.findall(r"\w+", layer)
        }
        for contract in contracts
        if contract["type"] == "layers" and "." not in contract["containers"][0]
    }
    drawn = re.findall(r"subgraph \w+ \[\"(\w+):.*?\"\]\n(.*?)\n    end", TEXT, re.DOTALL)

    assert {package for package, _ in drawn} == set(ranks)
    for package, arrows in drawn:
        for chain in arrows.splitlines():
            layers = re.findall(r"\w+", chain)
            assert all(ranks[package][a] < ranks[package][b] for a, b in pairwise(layers)), chain


def test_each_port_has_an_adapter_that_names_it() -> None:
    """The port has the docstrings of the adapter's methods, so an adapter must name its port."""
    adapters = (ROOT / "cpor_app" / "adapters").rglob("*.py")
    named = {found for file in adapters for found in re.findall(r"`ports\.(\w+\.\w+)`", file.read_text("utf-8"))}
    ports = {
        f"{file.stem}.{name}"
        for file in (ROOT / "cpor_core" / "ports").glob("*.py")
        for name in re.findall(r"^class (\w+)\((?:\w+, )?Protocol\):", file.read_text("utf-8"), re.MULTILINE)
    }

    assert named == ports
