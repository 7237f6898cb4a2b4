"""Reads the catalogue out of its files: the engagements, which people keep, and the ids of service plans, made."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.licensing import Licensing

_LISTS = ("workloads", "products")


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue, read and checked once a process. Raises ValueError with what is wrong in the file."""
    return read_catalogue(files("cpor_app.catalogue").joinpath("engagements.toml").read_text(encoding="utf-8"))


@cache
def load_licensing() -> Licensing:
    """Return which service plans are which workload, read once a process, when a report of Graph first comes."""
    text = files("cpor_app.catalogue").joinpath("service_plans.toml").read_text(encoding="utf-8")
    return read_licensing(text, load_catalogue())


def read_licensing(text: str, catalogue: Catalogue) -> Licensing:
    """Return what is written in *text*. Raises ValueError unless it has exactly the workloads of *catalogue*."""
    written = tomllib.loads(text)
    known = {item.id for engagement in catalogue.engagements for item in engagement.workloads or ()}
    odd = sorted(known ^ set(written["workloads"]))
    if odd:
        raise ValueError(f"service plans and engagements differ in their workloads: {', '.join(odd)}")
    return Licensing(workloads=written["workloads"], free_skus=written["skus"]["free"])


def read_catalogue(text: str) -> Catalogue:
    """
    Return the catalogue written in *text*.

    Ids in lists get their names, and a retired engagement the list of its successor. Raises ValueError when the text is
    no TOML, a list names something that has no name, a name is in no list, or the engagements do not fit together.
    """
    written = tomllib.loads(text)
    engagements = [dict(engagement) for engagement in written.pop("engagements", ())]
    for kind in _LISTS:
        names = written.pop(kind, {})
        _verify_every_name_is_used(kind, names, engagements)
        for engagement in engagements:
            if kind in engagement:
                engagement[kind] = [_named(kind, item, names) for item in engagement[kind]]
    if written:
        raise ValueError(f"unknown tables: {', '.join(written)}")
    for engagement in engagements:
        if "successor" in engagement and not _lists_of(engagement):
            engagement.update(_lists_of(_successor_of(engagement, engagements)))
    return Catalogue.model_validate({"engagements": engagements})


def _lists_of(engagement: Mapping[str, Any]) -> dict[str, Any]:
    return {kind: engagement[kind] for kind in _LISTS if kind in engagement}


def _successor_of(retired: Mapping[str, Any], engagements: list[dict[str, Any]]) -> Mapping[str, Any]:
    for engagement in engagements:
        if engagement.get("id") == retired["successor"]:
            return engagement
    raise ValueError(f"{retired.get('id')}: the successor {retired['successor']} is not in the file")


def _named(kind: str, item: str, names: Mapping[str, str]) -> dict[str, str]:
    if item not in names:
        raise ValueError(f"{item!r} is in a list but has no name under [{kind}]")
    return {"id": item, "name": names[item]}


def _verify_every_name_is_used(kind: str, names: Mapping[str, str], engagements: list[dict[str, Any]]) -> None:
    listed = {item for engagement in engagements for item in engagement.get(kind, ())}
    unused = sorted(set(names) - listed)
    if unused:
        raise ValueError(f"[{kind}] names {', '.join(unused)}, which no engagement lists")
