"""
Making other people's words harmless before they reach a customer.

A partner chooses the contact's name, and whoever registers a partner chooses its name: neither may begin a header line,
turn the direction of the text, or look like a link of ours.
"""

import re
import unicodedata

MAX_NAME_CHARACTERS = 200
MAX_CONTACT_NAME_CHARACTERS = 100
"""Rulings 24: of the partner's own texts only the contact's name reaches the customer, and no more of it than this."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})
"""Unicode categories that a name has no use for: controls, format marks (bidi, joiners), surrogates, private."""
_LINKING = frozenset(":/@<>")
"""Rulings 24: what makes an address or a tag out of a name."""


def plain_line(text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Return *text* as one line without control and bidi characters, shortened to *limit* characters."""
    spaced = (" " if character.isspace() else character for character in unicodedata.normalize("NFC", text))
    line = " ".join("".join(c for c in spaced if unicodedata.category(c) not in _INVISIBLE).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def safe_contact_name(name: str) -> str:
    """
    Return a contact's name as the partner wrote it, unable to pass for anything but a name; it may become empty.

    Look-alikes (a full-width colon) count as what they look like, and a dot is followed by a space: mail programs make
    links of `example.com` without being asked.
    """
    compatible = unicodedata.normalize("NFKC", name)
    unlinked = "".join(character for character in compatible if character not in _LINKING)
    return plain_line(re.sub(r"([.。])(?=\w)", r"\1 ", plain_line(unlinked)), MAX_CONTACT_NAME_CHARACTERS)
