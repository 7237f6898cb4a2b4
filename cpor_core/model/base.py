"""The base class of all values of the domain, and the small types that many values use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

MAX_EMAIL_CHARACTERS: Final = 254
"""The longest address that an SMTP path can carry (RFC 5321, 4.5.3.1.3)."""
MAX_SLUG_CHARACTERS: Final = 100
MAX_COUNT: Final = 2**31 - 1
"""The largest number of seats or users: Microsoft Graph counts in Int32."""
NOT_IN_FORM: Final = "not_in_form"
"""pydantic's kind of fault for a text that does not match an `InForm`."""

_GUID: Final = r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_INSTANT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL: Final = rf"^(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@({_LABEL}\.)+[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])$"

# U+202A to U+202E and U+2066 to U+2069 change the direction of a text, so that it looks different from what is stored.
_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_CONTROLS_BUT_TAB_AND_LINE: Final = _CONTROLS.replace(r"\u0000-\u001f", r"\u0000-\u0008\u000b-\u001f")
_LINE: Final = rf"^[^{_CONTROLS}]*[^{_CONTROLS}\s][^{_CONTROLS}]*$"
_LINES: Final = rf"^[^{_CONTROLS_BUT_TAB_AND_LINE}]*[^{_CONTROLS_BUT_TAB_AND_LINE}\s][^{_CONTROLS_BUT_TAB_AND_LINE}]*$"


class LateModel(BaseModel):
    """
    A model whose validator is built at its first use.

    A start of the process imports more than a hundred models, and the first call uses a few of them.
    """

    model_config = ConfigDict(defer_build=True)


class Value(LateModel):
    """
    A frozen value. It is camelCase in JSON, and unknown fields are refused.

    An error message does not repeat the input, because logs contain errors and values can contain personal data.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True)
class AtMost:
    """
    The most entries of a list. The entries are counted before they are validated.

    pydantic's own `max_length` validates all entries first, and 300,000 entries take almost a second.
    """

    entries: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Count the entries before they are validated."""
        return BeforeValidator(self._counted).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the limit to the description of the API."""
        return {**handler(schema), "maxItems": self.entries}

    def _counted(self, sent: object) -> object:
        if isinstance(sent, Sequence) and not isinstance(sent, str) and len(sent) > self.entries:
            raise ValueError(f"may have at most {self.entries} entries")
        return sent


@dataclass(frozen=True, slots=True)
class InForm:
    """
    A pattern that a whole text must match. A refusal says *words*, and its kind is `NOT_IN_FORM`.

    The core of pydantic matches the pattern, because a customer's row can have a thousand such texts. So the pattern is
    in the language of Rust's crate `regex`, which has no lookahead.
    """

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Match the text after its type and length were checked, because these have refusals of their own."""
        text = handler(source)
        matched: Any = {**text, "pattern": self.pattern}
        in_words = core_schema.custom_error_schema(matched, NOT_IN_FORM, custom_error_message=self.words)
        return core_schema.chain_schema([text, in_words])

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the pattern to the description of the API."""
        return {**handler(schema), "pattern": self.pattern}


def _email(text: str) -> str:
    if re.fullmatch(_EMAIL, text) is None:
        raise ValueError(
            "must be a mail address, such as ana@contoso.fr; an international domain is written in its xn-- form"
        )
    return text


def _line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    if re.search(f"[{_CONTROLS}]", text) is not None:
        raise ValueError("must be one line without control characters")
    return text


def _lines(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    if re.search(f"[{_CONTROLS_BUT_TAB_AND_LINE}]", text) is not None:
        raise ValueError("must not have control characters other than tabs and line breaks")
    return text


def _with_plain_line_breaks(sent: object) -> object:
    # A web page's form always sends CR LF (HTML, "multipart/form-data" and "urlencoded").
    return sent.replace("\r\n", "\n") if isinstance(sent, str) else sent


def _instant(sent: object) -> datetime:
    if isinstance(sent, str):
        if re.fullmatch(_INSTANT, sent) is None:
            raise ValueError("must be an RFC 3339 date and time with its offset, such as 2026-11-20T09:30:00Z")
        try:
            sent = datetime.fromisoformat(sent.upper())
        except ValueError as error:
            raise ValueError("must be a date and time that exist, such as 2026-11-20T09:30:00Z") from error
    if not isinstance(sent, datetime):
        raise ValueError("must be an RFC 3339 date and time as a text, such as 2026-11-20T09:30:00Z")  # noqa: TRY004 - pydantic turns only a ValueError into a refusal
    if sent.utcoffset() is None:
        raise ValueError("must say its offset from UTC, such as Z")
    try:
        return sent.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from error


def _at_midnight(sent: object) -> object:
    if not isinstance(sent, str) or re.fullmatch(_INSTANT, sent) is not None:
        return sent
    if re.fullmatch(_DAY, sent) is None:
        raise ValueError(
            "must be a day, such as 2026-11-20, or an instant with its offset, such as 2026-11-20T09:30:00Z"
        )
    return f"{sent}T00:00:00Z"


def rfc3339(instant: datetime) -> str:
    """Return *instant* in UTC with `Z`. Microseconds are left out when they are zero."""
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _day(sent: object) -> date:
    if isinstance(sent, str) and re.fullmatch(_DAY, sent) is not None:
        try:
            return date.fromisoformat(sent)
        except ValueError as error:
            raise ValueError("must be a date that exists, such as 2026-11-20") from error
    if isinstance(sent, date) and not isinstance(sent, datetime):
        return sent
    raise ValueError("must be a date as YYYY-MM-DD, such as 2026-11-20")


def _schema(**json_schema: str | int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **json_schema})


Guid = Annotated[
    str,
    StringConstraints(to_lower=True),
    InForm(_GUID, "must be a GUID, such as 6c1b5a34-9d2e-4f70-8a11-0c2d3e4f5a6b"),
    _schema(format="uuid", pattern=_GUID),
]
"""A GUID in its canonical form. Capital letters are accepted and changed to small letters (decision 5)."""
PartnerId = Annotated[str, InForm("^[0-9]{4,10}$", "must be 4 to 10 digits, such as 4782913")]
"""The number of a partner's location: 4 to 10 digits (decision 5)."""
Slug = Annotated[
    str,
    StringConstraints(max_length=MAX_SLUG_CHARACTERS),
    InForm(
        "^[a-z0-9]+(-[a-z0-9]+)*$",
        "must be small letters and digits with single hyphens between them, such as entra-id-p1",
    ),
]
"""An id that people read, in kebab case."""
Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_CHARACTERS),
    AfterValidator(_email),
    _schema(format="email", pattern=_EMAIL, maxLength=MAX_EMAIL_CHARACTERS),
]
"""
A mail address with a plain ASCII local part and a domain with a dot.

This form is stricter than the standards on purpose. Outside the core, email-validator checks whether the domain can
receive mail.
"""
Text100 = Annotated[
    str,
    StringConstraints(max_length=100),
    AfterValidator(_line),
    _schema(pattern=_LINE, minLength=1, maxLength=100),
]
"""One line, kept as sent."""
Text200 = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_line),
    _schema(pattern=_LINE, minLength=1, maxLength=200),
]
"""One line, kept as sent."""
Text1000 = Annotated[
    str,
    BeforeValidator(_with_plain_line_breaks),
    StringConstraints(max_length=1000),
    AfterValidator(_lines),
    _schema(pattern=_LINES, minLength=1, maxLength=1000),
]
"""Up to 1,000 characters in lines. CR LF becomes LF, everything else is stored as sent."""
Text4000 = Annotated[
    str,
    BeforeValidator(_with_plain_line_breaks),
    StringConstraints(max_length=4000),
    AfterValidator(_lines),
    _schema(pattern=_LINES, minLength=1, maxLength=4000),
]
"""Up to 4,000 characters in lines. CR LF becomes LF, everything else is stored as sent."""
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    _schema(format="date-time"),
]
"""An instant in UTC. A time with another offset is converted. A time without an offset, or a number, is refused."""
InstantOrDay = Annotated[
    Instant,
    BeforeValidator(_at_midnight),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}),
]
"""An instant, or a day. A day means its first instant in UTC."""
Day = Annotated[date, BeforeValidator(_day), _schema(format="date")]
"""A date of the calendar. Numbers and times are refused."""
Flag = Annotated[bool, Strict()]
"""True or false. Other values, such as "yes" or 1, are refused."""
Count = Annotated[int, Strict(), Field(ge=0, le=MAX_COUNT)]
"""A whole number from 0. Other types, such as "1" or 1.0, are refused."""
