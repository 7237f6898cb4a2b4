"""
Makes names from other people harmless before a customer reads them.

A partner chooses the contact's name, and the operator chooses the partner's name. No name must begin a header line,
change the direction of the text, or look like one of our links.
"""

import re
import unicodedata

MAX_NAME_CHARACTERS = 200
MAX_CONTACT_NAME_CHARACTERS = 100
"""The length to which a contact's name is cut. Customers read no other text of a partner (decision 24)."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})
"""Unicode categories that no name needs: controls, format marks (bidi, joiners), surrogates, private."""
_LINKING = frozenset(":/@<>")
"""Characters that can turn a name into an address or a tag (decision 24)."""


def plain_line(text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Return *text* as one line without control and bidi characters, cut to *limit* characters."""
    spaced = (" " if character.isspace() else character for character in unicodedata.normalize("NFC", text))
    line = " ".join("".join(c for c in spaced if unicodedata.category(c) not in _INVISIBLE).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def safe_contact_name(name: str) -> str:
    """
    Return a contact's name in a form that looks like a name only. The result can be empty.

    A look-alike such as a full-width colon counts as the plain character. A space follows each dot, because mail
    programs turn `example.com` into a link.
    """
    compatible = unicodedata.normalize("NFKC", name)
    unlinked = "".join(character for character in compatible if character not in _LINKING)
    return plain_line(re.sub(r"([.。])(?=\w)", r"\1 ", plain_line(unlinked)), MAX_CONTACT_NAME_CHARACTERS)
