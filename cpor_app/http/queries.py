"""
The query parameters of an operation. They come from the same line of the table as `openapi.json`.

An operation that needs a token refuses an unknown parameter. Otherwise the misspelt filter `?state=official` would
answer claims of every status. An operation without a token ignores unknown parameters: people open its pages from mails
and portals, and these add parameters.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from pydantic import BaseModel

from cpor_app.http.parsing import Paging, takes_several
from cpor_app.http.route_table import Operation
from cpor_core.errors import Detail, Refused

VERSION: Final = "api-version"
OF_THE_HOST: Final = frozenset({"code", "clientid"})
"""Parameters that the Functions host reads: the function key and the name of the key. They are in lower case."""
_MEANT: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("top", "limit", "pagesize", "perpage", "size", "take", "first"), "maxpagesize"),
        **dict.fromkeys(("skip", "skiptoken", "offset", "page", "after", "nexttoken", "continuationtoken"), "cursor"),
        **dict.fromkeys(("state", "states"), "status"),
        "dryrun": "validate",
    }
)
"""The name that other services use for a parameter, in lower case and without signs, and this API's name for it."""
_ALIKE: Final = 0.65
LONGEST_NAME: Final = 40


def models(line: Operation) -> Iterator[type[BaseModel]]:
    """Yield the models of an operation's query."""
    if line.query is not None:
        yield line.query
    if line.paged:
        yield Paging


def names(line: Operation) -> Mapping[str, bool]:
    """Return the names of an operation's parameters; the value says whether the parameter takes several values."""
    return {
        field.alias or name: takes_several(field)
        for model in models(line)
        for name, field in model.model_fields.items()
    }


def sent(url: str) -> list[tuple[str, str]]:
    """Return the parameters of *url* in the order in which they were sent."""
    return parse_qsl(url.partition("?")[2], keep_blank_values=True)


def joined(url: str) -> dict[str, str]:
    """
    Return the parameters of *url*. The values of a repeated parameter are joined with commas.

    The host joins them too, but drops empty values. Then `?status=` would select the claims of every status.
    """
    values: dict[str, list[str]] = {}
    for name, value in sent(url):
        values.setdefault(name, []).append(value)
    return {name: ",".join(each) for name, each in values.items()}


def verify(line: Operation, url: str) -> None:
    """
    Raise `QueryUnknown` for a parameter that the operation does not know.

    Raises `ValidationFailed` for a parameter that takes one value and was sent twice.
    """
    if line.roles is None:
        return
    known = names(line)
    given = [name for name, _ in sent(url) if name != VERSION and name.lower() not in OF_THE_HOST]
    unknown = [name for name in dict.fromkeys(given) if name not in known]
    if unknown:
        raise _unknown(unknown[0], known)
    twice = [name for name in dict.fromkeys(given) if given.count(name) > 1 and not known[name]]
    if twice:
        raise Refused(
            "ValidationFailed",
            f"{twice[0]} is given more than once.",
            target=twice[0],
            resolution="Send it once.",
            details=[
                Detail("FieldInvalid", f"{name} is given more than once.", name, "Send it once.") for name in twice
            ],
        )


def _unknown(name: str, known: Mapping[str, bool]) -> Refused:
    nearest = _nearest(name, [*known, VERSION])
    meant = f"Send {nearest} instead. " if nearest is not None else ""
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    return Refused(
        "QueryUnknown",
        f"There is no query parameter {shown!r} here.",
        target=shown,
        resolution=f"{meant}This operation knows {', '.join(sorted([*known, VERSION]))}.",
    )


def _nearest(name: str, known: list[str]) -> str | None:
    """Return the known parameter that the caller probably meant; None if no name is similar."""
    plain = {re.sub("[^a-z0-9]", "", one.lower()): one for one in known}
    wanted = re.sub("[^a-z0-9]", "", name[:LONGEST_NAME].lower())
    meant = _MEANT.get(wanted)
    if meant in known:
        return meant
    found = difflib.get_close_matches(wanted, plain, n=1, cutoff=_ALIKE)
    return plain[found[0]] if found else None
