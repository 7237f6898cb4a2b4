"""
Route templates with the features that this project uses: literals, `{name}` with constraints, and `{*name}` at the end.

The real host also supports optional and default values, several parameters in a segment, and regular expressions. This
host refuses a template that uses them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from devhost.host.cannot_start import CannotStart

_GUID = re.compile(r"\{[0-9a-f-]{36}\}|\([0-9a-f-]{36}\)|[0-9a-f-]{36}|[0-9a-f]{32}", re.IGNORECASE)
_GUID_HYPHENS = (8, 13, 18, 23)
_INT_32 = range(-(2**31), 2**31)

Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed segment. It matches in any case."""

    text: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A segment that becomes a parameter if it passes every check. A catch-all takes the rest of the path."""

    name: str
    checks: tuple[Check, ...] = ()
    takes_the_rest: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """The template of a route, with the prefix of all routes."""

    text: str
    segments: tuple[Literal | Parameter, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template. Raises CannotStart for one that this host does not support."""
        text = text.strip("/")
        segments = tuple(_segment(part, text) for part in text.split("/") if part or "/" in text)
        names = [segment.name.lower() for segment in segments if isinstance(segment, Parameter)]
        if len(names) != len(set(names)):
            raise CannotStart(f"route {text!r} uses a parameter name twice")
        if any(isinstance(segment, Parameter) and segment.takes_the_rest for segment in segments[:-1]):
            raise CannotStart(f"route {text!r}: only the last segment can take the rest")
        return cls(text, segments)

    def match(self, path: str) -> dict[str, str] | None:
        """Return the route parameters of a decoded path; None if it does not match. One slash at the end is ignored."""
        rest = path.removeprefix("/")
        parameters: dict[str, str] = {}
        for segment in self.segments:
            if isinstance(segment, Parameter) and segment.takes_the_rest:
                return {**parameters, **({segment.name: rest} if rest else {})}
            part, _, rest = rest.partition("/")
            if isinstance(segment, Literal):
                if part.lower() != segment.text.lower():
                    return None
            elif not part or not all(check(part) for check in segment.checks):
                return None
            else:
                parameters[segment.name] = part
        return None if rest else parameters


def _segment(part: str, whole: str) -> Literal | Parameter:
    if part and not set(part) & set("{}*?"):
        return Literal(part)
    found = re.fullmatch(r"\{(\*?)([A-Za-z_]\w*)((?::[^:{}]+)*)\}", part)
    if found is None:
        raise CannotStart(f"route {whole!r}: segment {part!r} is not of a kind that this host knows")
    star, name, constraints = found.groups()
    if star and constraints:
        raise CannotStart(f"route {whole!r}: a catch-all with constraints is not known to this host")
    return Parameter(name, tuple(_check(each, whole) for each in constraints.split(":")[1:]), takes_the_rest=bool(star))


def _check(constraint: str, whole: str) -> Check:
    found = re.fullmatch(r"([a-z]+)(?:\((-?\d+)(?:,(-?\d+))?\))?", constraint)
    name, *numbers = [each for each in found.groups() if each is not None] if found else [constraint]
    if (check := _CHECKS.get((name, len(numbers)))) is None:
        raise CannotStart(f"route {whole!r}: constraint {constraint!r} is not known to this host")
    bounds = [int(number) for number in numbers]
    return lambda part: check(part, *bounds)


def _is_int(part: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,10}", part) is not None and int(part) in _INT_32


def _is_guid(part: str) -> bool:
    hyphens = tuple(at for at, character in enumerate(part.strip("{}()")) if character == "-")
    return _GUID.fullmatch(part) is not None and hyphens in ((), _GUID_HYPHENS)


# The check of each constraint. The key is the constraint's name and its number of arguments.
_CHECKS: Mapping[tuple[str, int], Callable[..., bool]] = {
    ("int", 0): _is_int,
    ("guid", 0): _is_guid,
    ("alpha", 0): lambda part: part.isascii() and part.isalpha(),
    ("length", 1): lambda part, exact: len(part) == exact,
    ("length", 2): lambda part, least, most: least <= len(part) <= most,
    ("minlength", 1): lambda part, least: len(part) >= least,
    ("maxlength", 1): lambda part, most: len(part) <= most,
    ("range", 2): lambda part, least, most: _is_int(part) and least <= int(part) <= most,
}
