"""The Bicep files can be read, use nothing that is not there, and say what each parameter is for and may be."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lark.exceptions import UnexpectedInput
from pycep import BicepParser

from tests.infra.bicep import FILES, INFRA, MAIN, Used, declared, decorators, parsed, undeclared, unused, used

MODULES = [file for file in FILES if file.parent.name == "modules"]
NO_BOUNDS = {"bool", "object", "array"}
FREE_TEXTS = {"importsBefore", "maskingRule", "publicDomain", "mailDomain", "smtpFrom", "smtpHost", "smtpUsername"}
"""Texts of main.bicep that may be empty."""


def _name(file: Path) -> str:
    return str(file.relative_to(INFRA))


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_every_file_can_be_read_and_uses_only_what_is_there(file: Path) -> None:
    """No name is misspelled, and none is declared in vain."""
    assert parsed(file)
    assert undeclared(file) == []
    assert unused(file) == set()


def test_what_is_wrong_in_a_file_is_found(tmp_path: Path) -> None:
    """The reader of names is our own: it has to see a misspelling wherever it stands, and pycep a bracket too few."""
    text = "var a = [for b in c: { k: '${d.e}-${f(g)}', h.?i: [j], l: m ? n : 'o' }] // p\noutput q string = r.s ?? t"

    names = [one.name for one in used(text)]

    assert names == ["a", "b", "c", "d", "f", "g", "h", "j", "m", "n", "r", "t"]
    assert Used("t", 2, calls=False) in set(used(text))
    with pytest.raises(UnexpectedInput):
        BicepParser().parse(text="var a = {")


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_every_parameter_says_what_it_is(file: Path) -> None:
    """In a whole sentence or the name of a thing, ending in a full stop."""
    silent = {
        name: decorators(parameter).get("description")
        for name, parameter in declared(file, "parameters").items()
        if not str(decorators(parameter).get("description", "")).endswith(".")
    }

    assert silent == {}


def test_every_parameter_of_the_whole_has_bounds() -> None:
    """A wrong value is refused before anything is made; modules get theirs from it."""
    without = []
    for name, parameter in declared(MAIN, "parameters").items():
        said = set(decorators(parameter))
        is_chosen = parameter["type"] in declared(MAIN, "types") or parameter["type"] in NO_BOUNDS
        wanted = {"string": {"min_length"}, "int": {"min_value"}}.get(parameter["type"], set())
        if not is_chosen and name not in FREE_TEXTS and not wanted <= said:
            without.append(name)

    assert without == []


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_every_module_is_used_and_given_what_it_asks_for(module: Path) -> None:
    """What it needs, and nothing that it does not know."""
    calls = [call for call in parsed(MAIN)["modules"].values() if call["detail"]["path"] == f"modules/{module.name}"]
    parameters = declared(module, "parameters")
    needed = {name for name, parameter in parameters.items() if parameter["default"] is None}

    assert calls
    for call in calls:
        given = set(_config(call)["params"])
        assert needed <= given <= set(parameters)


def _config(call: Any) -> Any:
    config = call["config"]
    return config["config"] if "condition" in config else config


def test_every_output_that_is_asked_for_is_given() -> None:
    """By the module whose name stands before it."""
    text = MAIN.read_text("utf-8")
    outputs = {
        name: set(declared(INFRA / call["detail"]["path"], "outputs")) for name, call in parsed(MAIN)["modules"].items()
    }
    asked = {(name, part) for name in outputs for part in _outputs_asked(text, name)}

    assert asked
    assert {(name, part) for name, part in asked if part not in outputs[name]} == set()


def _outputs_asked(text: str, module: str) -> set[str]:
    return set(re.findall(rf"\b{module}\.\??outputs\.(\w+)", text))


def test_azd_gives_every_parameter_that_has_no_default() -> None:
    """And knows no other; what it passes on is in azure.yaml too, so that a pipeline has it."""
    given = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    parameters = declared(MAIN, "parameters")
    needed = {name for name, parameter in parameters.items() if parameter["default"] is None}
    variables = {
        value.strip("${}").partition("=")[0]
        for value in (parameter["value"] for parameter in given.values())
        if isinstance(value, str)
    }
    azure_yaml = (INFRA.parent / "azure.yaml").read_text("utf-8")

    assert needed <= set(given) <= set(parameters)
    assert [name for name in variables if name.startswith("CPOR_") and f"- {name}\n" not in azure_yaml] == []


def test_every_abbreviation_is_used() -> None:
    """Names follow one list."""
    abbreviations = json.loads((INFRA / "abbreviations.json").read_text("utf-8"))
    text = "".join(file.read_text("utf-8") for file in FILES)

    assert [name for name in abbreviations if f"abbreviations.{name}}}" not in text] == []


def test_what_costs_extra_is_off_unless_it_is_asked_for() -> None:
    """Front Door, and the scan of evidence, which is a setting of the account and made under a condition."""
    parameters = declared(MAIN, "parameters")
    defender = declared(INFRA / "modules" / "data-storage.bicep", "resources")["defender"]

    assert {name: parameters[name]["default"] for name in ("useFrontDoor", "scanEvidence")} == {
        "useFrontDoor": False,
        "scanEvidence": False,
    }
    assert defender["config"]["condition"] == "scanEvidence"
    assert (defender["config"]["config"]["scope"], defender["config"]["config"]["name"]) == ("account", "current")
