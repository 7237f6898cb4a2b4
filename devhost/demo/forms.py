"""Reads the forms of a page like a browser without JavaScript."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True)
class HtmlForm:
    """The address of a form, and the values of its fields."""

    action: str
    fields: Mapping[str, str]


def forms(page: str) -> list[HtmlForm]:
    """Return the forms of a page, each with its hidden fields."""
    reader = _Reader()
    reader.feed(page)
    return [HtmlForm(action, fields) for action, fields in reader.found]


def form_of(page: str, act: str) -> HtmlForm | None:
    """Return the form of an act such as `decline`; None if the page does not offer the act."""
    return next((form for form in forms(page) if form.action.endswith(f"/{act}")), None)


@dataclass
class _Reader(HTMLParser):
    found: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("action", ""), {}))
        elif tag == "input" and self.found and "name" in given:
            self.found[-1][1][given["name"]] = given.get("value", "")
