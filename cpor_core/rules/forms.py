"""What is wrong with the form of what was sent, as the caller is told: the same for a body and for a batch's row."""

from pydantic import ValidationError

from cpor_core.errors import Detail, Refused

MOST_DETAILS = 100
"""Details that one refusal tells: a body of a mebibyte can be wrong in a hundred thousand places."""
LONGEST_TARGET = 200
"""Characters of a detail's target: the name of an unknown field is the caller's, and may be as long as the body."""


def not_in_form(error: ValidationError, what: str = "body") -> Refused:
    """Return `InvalidJson`, or `ValidationFailed` with one detail a field."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    if any(one["type"] == "json_invalid" for one in errors):
        return Refused("InvalidJson", f"The {what} is not JSON.", resolution="Send one JSON document in UTF-8.")
    # A list whose entries are wrong is said to have too few as well: one detail is enough.
    holders = {one["loc"][:n] for one in errors for n in range(len(one["loc"]))}
    errors = [one for one in errors if one["type"] != "too_short" or one["loc"] not in holders]
    details = tuple(_detail(one["type"], one["loc"], one["msg"]) for one in errors[:MOST_DETAILS])
    return Refused(
        "ValidationFailed",
        f"{len(errors)} of the fields cannot be taken as they are.",
        target=details[0].target,
        resolution="Put right what the details name.",
        details=details,
    )


def _detail(kind: str, loc: tuple[int | str, ...], message: str) -> Detail:
    target = ""
    for part in loc:
        target += f"[{part}]" if isinstance(part, int) else f".{part}" if target else str(part)
    target = target[:LONGEST_TARGET]
    if kind == "missing":
        return Detail("FieldRequired", "This field is needed.", target, "Send it.")
    if kind == "extra_forbidden":
        return Detail("FieldUnknown", "There is no such field here.", target, "Leave it out, or mend its spelling.")
    return Detail("FieldInvalid", message.removeprefix("Value error, "), target, "Send a value of that form.")
