"""
Finds the ids behind `data/service-plans.toml` and writes them into the catalogue.

    python -m tools.service_plans               use the copy of Microsoft's reference in `data`
    python -m tools.service_plans newer.csv     first replace that copy by the newer copy
    python -m tools.service_plans check         change nothing; exit status 1 if something is stale or undecided

The command prints the decisions that a person must make. They are about names that the copy no longer has, and about
new names that look like a workload or a free SKU.
"""

import csv
import io
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHOICES = ROOT / "data" / "service-plans.toml"
REFERENCE = ROOT / "data" / "licensing-service-plans.csv"
MADE = ROOT / "cpor_app" / "catalogue" / "service_plan_ids.toml"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COLUMNS = ("String_Id", "GUID", "Service_Plan_Name", "Service_Plan_Id")
HEAD = """\
# The ids of the service plans of each workload, and of the SKUs that cost nothing.
#
# Made by `python -m tools.service_plans` from data/service-plans.toml, which has the reasons, and from Microsoft's
# reference in that folder. Change it there.
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """Microsoft's list, with the names of each plan and of each SKU by id."""

    plans: Mapping[str, frozenset[str]]
    skus: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Choices:
    """The decisions of people, by name."""

    workloads: Mapping[str, Sequence[str]]
    left_out: Sequence[str]
    free: Sequence[str]
    not_free: Sequence[str]
    watched_plans: Sequence[str]
    watched_skus: Sequence[str]


def read_reference(text: str) -> Reference:
    """
    Return Microsoft's list. Its names are in capitals, without blanks at the ends.

    Raises ValueError when a column is missing or an id has another form.
    """
    plans: dict[str, set[str]] = {}
    skus: dict[str, set[str]] = {}
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(f"the copy has no column {', '.join(missing)}")
    for number, row in enumerate(rows, start=2):
        sku, sku_id, plan, plan_id = (_plain(row[column] or "") for column in COLUMNS)
        for names, name, found in ((plans, plan, plan_id.lower()), (skus, sku, sku_id.lower())):
            if GUID.fullmatch(found) is None:
                raise ValueError(f"line {number}: {found!r} is not an id")
            names.setdefault(found, set()).add(name)
    return Reference(*({found: frozenset(names) for found, names in kind.items()} for kind in (plans, skus)))


def _plain(text: str) -> str:
    return " ".join(text.split()).upper()


def read_choices(text: str) -> Choices:
    """Return the decisions of people. Raises KeyError if a table is missing."""
    written = tomllib.loads(text)
    return Choices(
        workloads={name: _names(plans) for name, plans in written["workloads"].items()},
        left_out=_names(written["left_out"]),
        free=_names(written["free"]),
        not_free=_names(written["not_free"]),
        watched_plans=_names(written["watched"]["plans"]),
        watched_skus=_names(written["watched"]["skus"]),
    )


def _names(written: Iterable[str]) -> Sequence[str]:
    return tuple(_plain(name) for name in written)


def _found(choices: Iterable[str], names: Mapping[str, frozenset[str]]) -> Mapping[str, str]:
    """Return the ids that have one of the chosen names, each with that name."""
    return {
        found: min(hit)
        for found, borne in sorted(names.items())
        if (hit := {name for name in borne if any(fnmatchcase(name, choice) for choice in choices)})
    }


def undecided(choices: Choices, reference: Reference) -> list[str]:
    """Return a sentence for each open decision."""
    plans = [name for names in choices.workloads.values() for name in names]
    told = []
    for kind, names, chosen, left, watched in (
        ("plan", reference.plans, plans, choices.left_out, choices.watched_plans),
        ("SKU", reference.skus, choices.free, choices.not_free, choices.watched_skus),
    ):
        wanted, unwanted = _found(chosen, names), _found(left, names)
        told += [
            f"{kind} {choice}: the copy has none of this name"
            for choice in dict.fromkeys((*chosen, *left))
            if not _found((choice,), names)
        ]
        told += [f"{kind} {wanted[found]} ({found}): it is in both lists" for found in wanted if found in unwanted]
        told += [
            f"{kind} {name} ({found}): it is in no list"
            for found, name in _found(watched, names).items()
            if found not in wanted and found not in unwanted
        ]
    return told


def made(choices: Choices, reference: Reference) -> str:
    """Return the file that the service reads. Raises ValueError when a workload would lose all its plans."""
    lines = [HEAD, "[workloads]"]
    for workload, names in choices.workloads.items():
        found = _found(names, reference.plans)
        if names and not found:
            raise ValueError(f"{workload}: the copy has none of its plans; is it whole?")
        lines += _listed(workload, found)
    return "\n".join([*lines, "", "[skus]", *_listed("free", _found(choices.free, reference.skus)), ""])


def _listed(name: str, found: Mapping[str, str]) -> list[str]:
    if not found:
        return [f"{name} = []"]
    lines = [f'  "{one}",  # {found[one]}' for one in sorted(found, key=lambda one: (found[one], one))]
    return [f"{name} = [", *lines, "]"]


def main(arguments: list[str]) -> int:
    """Run one of the commands above. Returns 2 for an unknown command or an unreadable copy."""
    if len(arguments) > 1:
        print(__doc__)
        return 2
    checks = arguments == ["check"]
    copy = Path(arguments[0]) if arguments and not checks else REFERENCE
    try:
        raw = copy.read_bytes()
        reference = read_reference(raw.decode("utf-8-sig"))
        choices = read_choices(CHOICES.read_text("utf-8"))
        text = made(choices, reference)
    except (OSError, ValueError) as error:
        print(f"{copy}: {error}", file=sys.stderr)
        return 2
    to_decide = undecided(choices, reference)
    for one in to_decide:
        print(one, file=sys.stderr)
    stale = not MADE.exists() or MADE.read_text("utf-8") != text
    if checks:
        if stale:
            print(f"{MADE.relative_to(ROOT)} does not fit data/: run python -m tools.service_plans", file=sys.stderr)
        return 1 if stale or to_decide else 0
    if copy != REFERENCE:
        REFERENCE.write_bytes(raw)
    if stale:
        MADE.write_text(text, encoding="utf-8")
        print(MADE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
