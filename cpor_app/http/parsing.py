"""Reads what callers send (bodies, queries, headers) into models."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from cpor_app.http.route_table import DEFAULT_PAGE, LARGEST_PAGE
from cpor_core.errors import Detail, Refused
from cpor_core.model.base import LateModel, Value
from cpor_core.rules.input_faults import not_in_form
from cpor_core.rules.search_words import LONGEST_QUERY, MOST_WORDS_ASKED, SHORTEST_QUERY, words_asked

Model = TypeVar("Model", bound=BaseModel)
BeyondForm = Callable[[Mapping[str, object]], Sequence[Detail]]
"""Finds faults that lie in several fields of a JSON object together, or in their meaning."""


def _is_true(sent: object) -> object:
    match sent:
        case str() if sent.lower() in ("true", "false"):
            return sent.lower() == "true"
        case bool():
            return sent
        case _:
            raise ValueError("must be true or false")


def _in_digits(sent: object) -> object:
    if isinstance(sent, str) and re.fullmatch(r"[0-9]{1,10}", sent) is None:
        raise ValueError("must be a whole number")
    return sent


def _in_parts(sent: object) -> object:
    """Split a list at its commas, and drop repeated values."""
    return tuple(dict.fromkeys(sent.split(","))) if isinstance(sent, str) else sent


Entry = TypeVar("Entry")
Several = Annotated[tuple[Entry, ...], BeforeValidator(_in_parts)]
"""The values of a filter. An entry fits if it matches one value. The host joins a repeated parameter with commas."""


def _as_words(sent: object) -> object:
    """Separate the words of a search by blanks. Raises ValueError for a search that cannot be made."""
    if isinstance(sent, str):
        words_asked(sent)
        return " ".join(sent.replace(",", " ").split())
    return sent


SearchText = Annotated[
    str | None,
    BeforeValidator(_as_words),
    Field(
        min_length=SHORTEST_QUERY,
        max_length=LONGEST_QUERY,
        description=f"Up to {MOST_WORDS_ASKED} words. Each must begin a word of the entry, in capitals or not, with "
        "accents or not. Commas count as blanks.",
    ),
]
"""The words of a search. They can also be sent in several parameters."""


def takes_several(field: FieldInfo) -> bool:
    """Whether a query parameter can be sent several times."""
    several = (_in_parts, _as_words)
    return any(isinstance(part, BeforeValidator) and part.func in several for part in field.metadata)


QueryFlag = Annotated[bool, BeforeValidator(_is_true)]
"""`true` or `false` in a query."""
QueryNumber = Annotated[int, BeforeValidator(_in_digits)]
"""A whole number in a query."""


class Nothing(Value):
    """A body without fields."""


class Paging(LateModel):
    """The query of every list."""

    maxpagesize: Annotated[
        QueryNumber, Field(ge=1, le=LARGEST_PAGE, description="The most entries that a page has.")
    ] = DEFAULT_PAGE
    cursor: Annotated[
        str | None, Field(description="Where the page begins. Take it unchanged from the last answer.")
    ] = None


def read(model: type[Model], text: bytes, beyond_form: BeyondForm | None = None) -> Model:
    """
    Return JSON as *model*. Raises `InvalidJson`, or `ValidationFailed` with one detail for each field.

    *beyond_form* finds the faults that the use case would refuse later, so that one answer names every fault.
    """
    try:
        value: Model = adapter(model).validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise not_in_form(error, also=_faults(beyond_form, text)) from None
    return value


def _faults(beyond_form: BeyondForm | None, text: bytes) -> Sequence[Detail]:
    if beyond_form is None:
        return ()
    try:
        return beyond_form(adapter(dict[str, JsonValue]).validate_json(text))
    except ValidationError:  # the body is not a JSON object
        return ()


@cache
def adapter(form: Any) -> TypeAdapter[Any]:
    """Return the validator of *form*. Each validator is built once."""
    return TypeAdapter(form)


def read_object(text: bytes) -> Mapping[str, JsonValue]:
    """Return a JSON object. Raises `InvalidJson`, `ValidationFailed`."""
    try:
        value: Mapping[str, JsonValue] = adapter(dict[str, JsonValue]).validate_json(text)
    except ValidationError as error:
        raise not_in_form(error) from None
    return value


def read_json(text: bytes) -> JsonValue:
    """Return any JSON. Raises `InvalidJson`."""
    try:
        value: JsonValue = adapter(JsonValue).validate_json(text)
    except ValidationError as error:
        raise not_in_form(error) from None
    return value


@contextmanager
def validated() -> Iterator[None]:
    """Turn a `ValidationError` that is raised inside into the refusal `ValidationFailed`."""
    try:
        yield
    except ValidationError as error:
        raise not_in_form(error) from None


def verify_http_date(text: str) -> None:
    """Raise `ValidationFailed` unless *text* is an HTTP date."""
    try:
        parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        raise Refused(
            "ValidationFailed",
            "Repeatability-First-Sent must be an HTTP date.",
            target="Repeatability-First-Sent",
            resolution="Send it as in RFC 9110, 5.6.7, or leave it out.",
        ) from None


def length_required() -> Refused:
    """Return the refusal of a body without a Content-Length."""
    return Refused(
        "LengthRequired",
        "The request needs a Content-Length.",
        target="Content-Length",
        resolution="Send the whole body with its length, not in chunks.",
    )
