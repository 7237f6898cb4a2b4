"""Finds a person in stored texts by mail address and names, and removes the address and the names."""

import re
from dataclasses import dataclass

from pydantic import JsonValue

from cpor_core.model.claim import ERASED, ERASED_ADDRESS

SHORTEST_NAME = 4
"""Shorter names are not searched in texts, because too many words contain them."""

SHORTER = "…"
"""Replaces a name that is shorter than `ERASED`. So no text becomes longer than its limit."""
FILE_ENDINGS = "pdf|docx|xlsx|pptx|msg|eml|png|jpe?g"
"""The endings of evidence files. No top-level domain has one of these names."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person: a mail address, and the names that a claim has for it. Upper and lower case make no difference."""

    address: str
    names: frozenset[str] = frozenset()

    def is_at(self, address: str) -> bool:
        """Whether *address* is the person's address."""
        return address.lower() == self.address.lower()

    def is_named_in(self, text: str) -> bool:
        """Whether a text contains the person's address or one of the names."""
        return any(pattern.search(text) for pattern in self._patterns())

    def without(self, text: str) -> str:
        """Return a text without the person's address and names."""
        for pattern in self._patterns():
            text = pattern.sub(lambda found: ERASED if len(found[0]) >= len(ERASED) else SHORTER, text)
        return text

    def out_of(self, value: JsonValue) -> JsonValue:
        """Return a JSON value without the person's address and names. Texts and field names are changed."""
        match value:
            case str():
                return ERASED_ADDRESS if self.is_at(value) else self.without(value)
            case list():
                return [self.out_of(entry) for entry in value]
            case dict():
                return {self.without(name): self.out_of(field) for name, field in value.items()}
            case _:
                return value

    def _patterns(self) -> list[re.Pattern[str]]:
        # A longer address can contain this address: joanne@… ends with anne@…, and anne@contoso.fr.example begins with
        # anne@contoso.fr. After the address, only the ending of a file name can follow a dot.
        address = rf"(?<![\w.%+-]){re.escape(self.address)}(?![\w-]|\.(?!(?:{FILE_ENDINGS})(?!\w))\w)"
        names = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(self.names) if len(name) >= SHORTEST_NAME]
        return [re.compile(pattern, re.IGNORECASE) for pattern in (address, *names)]
