"""
Names of evidence files.

Reviewers save a file under its name and open it with a double click. So the ending of the name must fit the content.
Each system must also show the name in the same way, and find the same names equal.
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
"""Characters that look like a slash, and stay different from it in each Unicode normalisation."""
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""The Unicode categories of controls, format characters, line ends, private characters and surrogates."""
_BLANK: Final = re.compile(
    "[\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\U000e0100-\\U000e01ef]"
)
"""Other invisible characters: fonts can ignore them (Unicode), and the braille cell without a dot shows nothing."""
_ENCODED_SLASH: Final = re.compile("%2f", re.IGNORECASE)
"""An encoded slash. The Functions host decodes all other characters of a path."""
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$|clock\$) *(?:\.|$)")
"""The names of devices, in lower case. Windows opens the device instead of a file, also if the name has an ending."""
_RENAME: Final = "Rename the file, for example statement-of-work.pdf."


def normalised(name: str) -> str:
    """Return a name as it is stored: composed (NFC), so that it has one spelling."""
    return unicodedata.normalize("NFC", name)


def is_same_file(one: str, other: str) -> bool:
    """Whether two names mean the same file. Case and the encoding of accents make no difference."""
    return _folded(one) == _folded(other)


def find(evidence: Sequence[Evidence], name: str) -> Evidence | None:
    """Return the file with exactly this name. If there is none, return a file with another spelling of the name."""
    exact = (file for file in evidence if file.file_name == name)
    return next(exact, None) or next((file for file in evidence if is_same_file(file.file_name, name)), None)


def verified(name: str, media_type: str) -> str:
    """Return the name under which a new file is stored. Raises `ValidationFailed` for a name that is not allowed."""
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

    An older release may have stored a name that is not allowed now. In such a name each forbidden character becomes
    `_`, and an ending of the file's type is added.
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
    """Return the fault of a composed name, as text. None when the name is allowed."""
    if not 1 <= len(name) <= MAX_FILE_NAME_CHARACTERS:
        return f"A file name has 1 to {MAX_FILE_NAME_CHARACTERS} characters."
    if any(_is_forbidden(character) for character in name) or _ENCODED_SLASH.search(name):
        return 'A file name cannot have / \\ : * ? " < > |, look-alikes of these, or invisible characters.'
    if name != name.strip() or name.startswith(".") or name.endswith("."):
        return "A file name cannot begin or end with a dot or a blank."
    if _DEVICE.match(unicodedata.normalize("NFKC", name).casefold()):
        return "Windows reads this file name as a device."
    return None


def _is_forbidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _INVISIBLE
        or _BLANK.match(character) is not None
        or character in _FORBIDDEN
        or character in _LOOK_LIKE_SEPARATORS
        or ord(character) & 0xFFFE == 0xFFFE  # noqa: PLR2004 - the last two code points of each plane are no characters
        or "\ufdd0" <= character <= "\ufdef"  # these code points are no characters either
        or not _SEPARATORS.isdisjoint(unicodedata.normalize("NFKC", character))  # full-width slashes, signs such as ℅
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
