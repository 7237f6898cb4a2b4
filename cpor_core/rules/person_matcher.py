"""A person as they can be found in what is stored: by their mail address, and by names that stand beside it."""

import re
from dataclasses import dataclass

from pydantic import JsonValue

from cpor_core.model.claim import ERASED, ERASED_ADDRESS

SHORTEST_NAME = 4
"""Characters of a name that is looked for in words; a shorter one stands in too many others."""

SHORTER = "…"
"""In place of a name that is shorter than the word: a text that is full must not become too long to be read again."""
FILE_ENDINGS = "pdf|docx|xlsx|pptx|msg|eml|png|jpe?g"
"""Of evidence: no top-level domain is called so."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody's mail address, compared without regard to case, and the names under which a claim knows them."""

    address: str
    names: frozenset[str] = frozenset()

    def is_at(self, address: str) -> bool:
        """Whether that is their address."""
        return address.lower() == self.address.lower()

    def is_named_in(self, text: str) -> bool:
        """Whether words hold their address, or a name of theirs."""
        return any(pattern.search(text) for pattern in self._patterns())

    def without(self, text: str) -> str:
        """Return words without their address and names."""
        for pattern in self._patterns():
            text = pattern.sub(lambda found: ERASED if len(found[0]) >= len(ERASED) else SHORTER, text)
        return text

    def out_of(self, value: JsonValue) -> JsonValue:
        """Return a JSON value without their address and names in any text of it, names of fields among them."""
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
        # Somebody else's address may end, or begin, with this one: joanne@…, anne@contoso.fr.example.
        # A file may be called after somebody.
        address = rf"(?<![\w.%+-]){re.escape(self.address)}(?![\w-]|\.(?!(?:{FILE_ENDINGS})(?!\w))\w)"
        names = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(self.names) if len(name) >= SHORTEST_NAME]
        return [re.compile(pattern, re.IGNORECASE) for pattern in (address, *names)]
