"""Reads the catalogue. People edit the file of engagements. A tool generates the file of service plan ids."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.licensing import Licensing

_LISTS = ("workloads", "products")
_RULES = (*_LISTS, "item_kind", "channels", "review", "extra_fields", "incentive_may_be_waived", "evidence_needed")
"""The rules of an engagement for claims. A claim under an older programme follows the rules of the successor."""


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue, read once per process. Raises ValueError that says what is wrong in the file."""
    return read_catalogue(files("cpor_app.catalogue").joinpath("engagements.toml").read_text(encoding="utf-8"))


@cache
def load_licensing() -> Licensing:
    """Return the service plans of each workload. The first report from Graph in a process reads the file."""
    text = files("cpor_app.catalogue").joinpath("service_plan_ids.toml").read_text(encoding="utf-8")
    return read_licensing(text, load_catalogue())


def read_licensing(text: str, catalogue: Catalogue) -> Licensing:
    """Return the licensing that *text* describes. Raises ValueError if *catalogue* has other workloads."""
    written = tomllib.loads(text)
    known = {item.id for engagement in catalogue.engagements for item in engagement.workloads or ()}
    odd = sorted(known ^ set(written["workloads"]))
    if odd:
        raise ValueError(f"service plans and engagements differ in their workloads: {', '.join(odd)}")
    return Licensing(workloads=written["workloads"], free_skus=written["skus"]["free"])


def read_catalogue(text: str) -> Catalogue:
    """Return the catalogue that *text* describes. Raises ValueError if *text* is not TOML, and as `made_of` does."""
    return made_of(tomllib.loads(text))


def made_of(written: Mapping[str, Any]) -> Catalogue:
    """
    Return the catalogue that the file's tables describe.

    Each id in a list gets its name. An older programme gets the rules of its successor.

    Raises ValueError when a list has an id without a name, when a name is in no list, when an older programme has its
    own rule (which nothing would apply), or when the engagements contradict each other.
    """
    unknown = set(written) - {"engagements", *_LISTS}
    if unknown:
        raise ValueError(f"unknown tables: {', '.join(sorted(unknown))}")
    engagements = [dict(engagement) for engagement in written.get("engagements", ())]
    for kind in _LISTS:
        names = written.get(kind, {})
        _verify_every_name_is_used(kind, names, engagements)
        for engagement in engagements:
            if kind in engagement:
                engagement[kind] = [_named(kind, item, names) for item in engagement[kind]]
    for engagement in engagements:
        if "successor" in engagement:
            engagement.update(_rules_of_successor(engagement, engagements))
    return Catalogue.model_validate({"engagements": engagements})


def _rules_of_successor(older: Mapping[str, Any], engagements: list[dict[str, Any]]) -> dict[str, Any]:
    own = [rule for rule in _RULES if rule in older]
    if own:
        raise ValueError(f"{older.get('id')}: claims under it go by its successor; leave out {', '.join(own)}")
    for engagement in engagements:
        if engagement.get("id") == older["successor"]:
            return {rule: engagement[rule] for rule in _RULES if rule in engagement}
    raise ValueError(f"{older.get('id')}: the successor {older['successor']} is not in the file")


def _named(kind: str, item: str, names: Mapping[str, str]) -> dict[str, str]:
    if item not in names:
        raise ValueError(f"{item!r} is in a list but has no name under [{kind}]")
    return {"id": item, "name": names[item]}


def _verify_every_name_is_used(kind: str, names: Mapping[str, str], engagements: list[dict[str, Any]]) -> None:
    listed = {item for engagement in engagements for item in engagement.get(kind, ())}
    unused = sorted(set(names) - listed)
    if unused:
        raise ValueError(f"[{kind}] names {', '.join(unused)}, which no engagement lists")
