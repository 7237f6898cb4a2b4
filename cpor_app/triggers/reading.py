"""What callers send, read into models: bodies, queries, headers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, TypeAdapter, ValidationError

from cpor_app.triggers.operations import DEFAULT_PAGE, LARGEST_PAGE
from cpor_core.errors import Refused
from cpor_core.model.base import Value
from cpor_core.rules.forms import not_in_form

Model = TypeVar("Model", bound=BaseModel)


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


QueryFlag = Annotated[bool, BeforeValidator(_is_true)]
"""`true` or `false` in a query."""
QueryNumber = Annotated[int, BeforeValidator(_in_digits)]
"""A whole number in a query."""


class Nothing(Value):
    """A body without fields."""


class Paging(BaseModel):
    """The query of every list."""

    maxpagesize: Annotated[
        QueryNumber, Field(ge=1, le=LARGEST_PAGE, description="How many entries a page may have.")
    ] = DEFAULT_PAGE
    cursor: Annotated[str | None, Field(description="Where the page begins; taken from nextLink as it is.")] = None


def read(model: type[Model], text: bytes) -> Model:
    """Return JSON as *model*. Raises `InvalidJson`, `ValidationFailed` with one detail a field."""
    try:
        value: Model = adapter(model).validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise not_in_form(error) from None
    return value


@cache
def adapter(form: Any) -> TypeAdapter[Any]:
    """Return what validates *form*, made once."""
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
    """Turn what a model says about values that were put together here into the refusal that the caller gets."""
    try:
        yield
    except ValidationError as error:
        raise not_in_form(error) from None


def verify_http_date(text: str) -> None:
    """Raise `ValidationFailed` for what is no date of HTTP."""
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
    """Return the refusal of a body whose length nobody said."""
    return Refused(
        "LengthRequired",
        "The request needs a Content-Length.",
        target="Content-Length",
        resolution="Send the body at once, with its length, not chunked.",
    )
