"""
Names of evidence files.

Reviewers save a file under its name and open it with a double click. So the ending must fit the content, and each
system must show and compare the name in the same way.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cpor_core.errors import Refused
from cpor_core.model.claim import Evidence

MAX_FILE_NAME_CHARACTERS: Final = 200
_OPENXML: Final = "application/vnd.openxmlformats-officedocument"
ENDINGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "application/pdf": (".pdf",),
        f"{_OPENXML}.wordprocessingml.document": (".docx",),
        f"{_OPENXML}.spreadsheetml.sheet": (".xlsx",),
        f"{_OPENXML}.presentationml.presentation": (".pptx",),
        "application/vnd.ms-outlook": (".msg",),
        "message/rfc822": (".eml",),
        "image/png": (".png",),
        "image/jpeg": (".jpg", ".jpeg"),
    }
)
"""Each accepted type of evidence, and the endings that a name may have, in lower case."""

_FORBIDDEN: Final = '/\\:*?"<>|'
_SEPARATORS: Final = frozenset("/\\:")
_LOOK_LIKE_SEPARATORS: Final = frozenset("\u2044\u2215\u2216\u29f5\u29f8\u29f9")
"""Slashes that no normalisation turns into the plain slash."""
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Controls, format characters (bidi, zero width), line ends, private characters and surrogates."""
_BLANK: Final = re.compile(
    "[\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\U000e0100-\\U000e01ef]"
)
"""Invisible characters: those that a font may ignore (Unicode), and the braille cell without a dot."""
_ENCODED_SLASH: Final = re.compile("%2f", re.IGNORECASE)
"""The only character that a host leaves encoded in a path."""
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$|clock\$) *(?:\.|$)")
"""Names of devices that Windows opens in place of a file, with any ending, in lower case."""
_RENAME: Final = "Rename the file, for example statement-of-work.pdf."


def normalised(name: str) -> str:
    """Return a name as it is stored: composed (NFC), so that it has one spelling."""
    return unicodedata.normalize("NFC", name)


def is_same_file(one: str, other: str) -> bool:
    """Whether two names mean one file. Case and the spelling of accents make no difference."""
    return _folded(one) == _folded(other)


def find(evidence: Sequence[Evidence], name: str) -> Evidence | None:
    """Return the file with exactly that name, else with another spelling of it."""
    exact = (one for one in evidence if one.file_name == name)
    return next(exact, None) or next((one for one in evidence if is_same_file(one.file_name, name)), None)


def verified(name: str, media_type: str) -> str:
    """Return the name of a new file as it is stored. Raises `ValidationFailed` for `fileName`."""
    name = normalised(name)
    fault = _fault(name)
    if fault is not None:
        raise Refused("ValidationFailed", fault, target="fileName", resolution=_RENAME)
    if not name.lower().endswith(ENDINGS[media_type]):
        endings = " or ".join(ENDINGS[media_type])
        raise Refused(
            "ValidationFailed",
            f"The content is {_CALLED[media_type]}, so the file name must end in {endings}.",
            target="fileName",
            resolution=f"Send the file under a name that ends in {endings}.",
        )
    return name


def safe(name: str, media_type: str) -> str:
    """
    Return the name for a download.

    A file may be older than today's rules. Then each forbidden character becomes `_`, and an ending of the file's type
    is added.
    """
    try:
        return verified(name, media_type)
    except Refused:
        endings = ENDINGS.get(media_type, ("",))
    plain = "".join("_" if _is_forbidden(character) else character for character in normalised(name))
    plain = _ENCODED_SLASH.sub("_", plain).strip().strip(".").strip()
    plain = plain[: MAX_FILE_NAME_CHARACTERS - len(endings[0]) - 1]
    if not plain.lower().endswith(endings):
        plain += endings[0]
    return plain if _fault(plain) is None else f"_{plain}"


def _fault(name: str) -> str | None:
    """Return what is wrong with a composed name, as text. None when nothing is."""
    if not 1 <= len(name) <= MAX_FILE_NAME_CHARACTERS:
        return f"A file name has 1 to {MAX_FILE_NAME_CHARACTERS} characters."
    if any(_is_forbidden(character) for character in name) or _ENCODED_SLASH.search(name):
        return 'A file name cannot have / \\ : * ? " < > |, look-alikes of these, or invisible characters.'
    if name != name.strip() or name.startswith(".") or name.endswith("."):
        return "A file name begins and ends with neither a dot nor a blank."
    if _DEVICE.match(unicodedata.normalize("NFKC", name).casefold()):
        return "Windows reads this file name as a device."
    return None


def _is_forbidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _INVISIBLE
        or _BLANK.match(character) is not None
        or character in _FORBIDDEN
        or character in _LOOK_LIKE_SEPARATORS
        or ord(character) & 0xFFFE == 0xFFFE  # noqa: PLR2004 - the two that end each plane are no characters
        or "\ufdd0" <= character <= "\ufdef"  # nor are these
        or not _SEPARATORS.isdisjoint(unicodedata.normalize("NFKC", character))  # full-width ones, and signs such as ℅
    )


def _folded(name: str) -> str:
    # As Unicode defines a caseless match (3.13, D145): composed, folded, composed again.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


_CALLED: Final = {
    "application/pdf": "a PDF",
    f"{_OPENXML}.wordprocessingml.document": "a Word document",
    f"{_OPENXML}.spreadsheetml.sheet": "an Excel workbook",
    f"{_OPENXML}.presentationml.presentation": "a PowerPoint presentation",
    "application/vnd.ms-outlook": "an Outlook message",
    "message/rfc822": "a mail",
    "image/png": "a PNG image",
    "image/jpeg": "a JPEG image",
}
