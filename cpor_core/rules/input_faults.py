"""Tells the caller each fault in the form of a body, a query or a row of a batch."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from cpor_core.errors import Detail, Refused
from cpor_core.model.base import NOT_IN_FORM

MOST_DETAILS = 100
"""The most details in one refusal. A body of one mebibyte can have a hundred thousand faults."""
MOST_LOOKED_AT = 10_000
"""If a body has more faults, the refusal lists none, because the list would take longer than the check."""
LONGEST_TARGET = 200
"""The most characters of a detail's target. A caller can send an unknown field with a very long name."""
LONGEST_NAME = 60
"""The most characters of the target that the message repeats."""

_A_TEXT: Final = "must be a text"
_A_NUMBER: Final = "must be a whole number"
_A_FLAG: Final = "must be true or false"
_A_LIST: Final = "must be a list"
_AN_OBJECT: Final = "must be an object"
_ONE_OF: Final = "must be one of: {expected}"
_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "string_type": _A_TEXT,
        "string_sub_type": _A_TEXT,
        "string_unicode": "must be a text in Unicode",
        "string_too_short": "must have at least {min_length} characters",
        "string_too_long": "may have at most {max_length} characters",
        "string_pattern_mismatch": "has a character or a form that is not accepted",
        "bool_type": _A_FLAG,
        "bool_parsing": _A_FLAG,
        "int_type": _A_NUMBER,
        "int_parsing": _A_NUMBER,
        "int_from_float": _A_NUMBER,
        "int_parsing_size": "must be a shorter number",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "may be at most {le}",
        "too_short": "must have at least {min_length} entries",
        "too_long": "may have at most {max_length} entries",
        "tuple_type": _A_LIST,
        "list_type": _A_LIST,
        "set_type": _A_LIST,
        "dict_type": _AN_OBJECT,
        "model_type": _AN_OBJECT,
        "model_attributes_type": _AN_OBJECT,
        "enum": _ONE_OF,
        "literal_error": _ONE_OF,
        "none_required": "must be null",
        "time_delta_parsing": "must be an ISO 8601 duration, such as P1D",
        "time_delta_type": "must be an ISO 8601 duration, such as P1D",
    }
)
"""The text for each of pydantic's kinds of faults. The name of the field comes before the text."""


def not_in_form(error: ValidationError, what: str = "body", also: Sequence[Detail] = ()) -> Refused:
    """
    Return `InvalidJson`, or `ValidationFailed` with one detail for each field.

    *also* are faults in the content. If a field has a fault of both kinds, only one is reported: the fault in the
    content if its code is more exact than `ValidationFailed`, otherwise the fault in the form.
    """
    if error.error_count() > MOST_LOOKED_AT:
        return Refused(
            "ValidationFailed",
            f"More than {MOST_LOOKED_AT} fields are not valid.",
            resolution="GET /openapi.json says what this operation accepts.",
        )
    errors: Sequence[Any] = error.errors(include_url=False, include_input=False)
    if any(one["type"] == "json_invalid" for one in errors):
        return Refused("InvalidJson", f"The {what} is not JSON.", resolution="Send one JSON document in UTF-8.")
    # If a list has wrong entries, pydantic also reports that the list has too few entries. One detail is enough.
    holders = {one["loc"][:n] for one in errors for n in range(len(one["loc"]))}
    errors = [one for one in errors if one["type"] != "too_short" or one["loc"] not in holders]
    wrong = [_detail(one, what) for one in errors[:MOST_DETAILS]]
    better = {detail.target: detail for detail in also if detail.code != "ValidationFailed"}
    named = {detail.target for detail in wrong}
    more = [detail for detail in also if detail.target not in named]
    return refused_fields([*(better.get(one.target or "", one) for one in wrong), *more], len(errors) + len(more))


def refused_fields(details: Sequence[Detail], count: int | None = None) -> Refused:
    """Return `ValidationFailed` with these details. *count* is the number of all faults if not all are listed."""
    count = count or len(details)
    return Refused(
        "ValidationFailed",
        "One field is not valid." if count == 1 else f"{count} fields are not valid.",
        target=details[0].target,
        resolution="Correct what the details name, and send the request again.",
        details=details[:MOST_DETAILS],
    )


def _detail(one: Mapping[str, Any], what: str) -> Detail:
    target = ""
    for part in one["loc"][:1] if what == "query" else one["loc"]:
        target += f"[{part}]" if isinstance(part, int) else f".{part}" if target else str(part)
    target = target[:LONGEST_TARGET]
    name = target or f"The {what}"
    name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    match one["type"]:
        case "missing":
            return Detail("FieldRequired", f"{name} is needed.", target, "Send this field.")
        case "extra_forbidden":
            return Detail(
                "FieldUnknown",
                f"{name} is not a field of this request.",
                target,
                "Do not send this field, or correct its spelling.",
            )
        case kind:
            words = _words(kind, one)
            resolution = "Correct the value and send the request again."
            return Detail("FieldInvalid", f"{name} {words}.", target, resolution)


def _words(kind: str, one: Mapping[str, Any]) -> str:
    context = one.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind == NOT_IN_FORM:
        return str(one["msg"])
    if context.get("min_length") == 1:
        return "must not be empty"
    if kind in ("enum", "literal_error"):
        expected = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return _WORDS[kind].format(expected=expected) if ", " in expected else f"must be {expected}"
    return _WORDS[kind].format(**context) if kind in _WORDS else "is not valid"
