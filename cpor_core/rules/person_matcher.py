"""Finds a person in what is stored, by mail address and names, and takes them out."""

import re
from dataclasses import dataclass

from pydantic import JsonValue

from cpor_core.model.claim import ERASED, ERASED_ADDRESS

SHORTEST_NAME = 4
"""Names with fewer characters are not looked for in texts: they are part of too many other words."""

SHORTER = "…"
"""Replaces a name that is shorter than `ERASED`, so that no text grows beyond its limit."""
FILE_ENDINGS = "pdf|docx|xlsx|pptx|msg|eml|png|jpe?g"
"""Endings of evidence files. None of them is a top-level domain."""


@dataclass(frozen=True, slots=True)
class Person:
    """A mail address, compared without regard to case, and the names that a claim has for that person."""

    address: str
    names: frozenset[str] = frozenset()

    def is_at(self, address: str) -> bool:
        """Whether this is the person's address."""
        return address.lower() == self.address.lower()

    def is_named_in(self, text: str) -> bool:
        """Whether a text has the person's address or a name in it."""
        return any(pattern.search(text) for pattern in self._patterns())

    def without(self, text: str) -> str:
        """Return a text without the person's address and names."""
        for pattern in self._patterns():
            text = pattern.sub(lambda found: ERASED if len(found[0]) >= len(ERASED) else SHORTER, text)
        return text

    def out_of(self, value: JsonValue) -> JsonValue:
        """Return a JSON value without the person's address and names in its texts and names of fields."""
        match value:
            case str():
                return ERASED_ADDRESS if self.is_at(value) else self.without(value)
            case list():
                return [self.out_of(one) for one in value]
            case dict():
                return {self.without(name): self.out_of(one) for name, one in value.items()}
            case _:
                return value

    def _patterns(self) -> list[re.Pattern[str]]:
        # Another address may end, or begin, with this one: joanne@…, anne@contoso.fr.example.
        # The name of a file may have the address in it.
        address = rf"(?<![\w.%+-]){re.escape(self.address)}(?![\w-]|\.(?!(?:{FILE_ENDINGS})(?!\w))\w)"
        names = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(self.names) if len(name) >= SHORTEST_NAME]
        return [re.compile(pattern, re.IGNORECASE) for pattern in (address, *names)]
