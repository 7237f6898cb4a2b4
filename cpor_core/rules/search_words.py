"""
The words by which a search finds a thing (decision 55b).

A word is a run of letters and digits, in lower case and without accents. A full GUID is one word without its hyphens. A
query finds a text if each word of the query begins a word of the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import zip_longest

from cpor_core.errors import Detail, Refused
from cpor_core.model.claim import Claim
from cpor_core.model.registry import Customer, Partner

SHORTEST_QUERY, LONGEST_QUERY = 2, 100
"""The fewest and the most characters of a query."""
MOST_WORDS_ASKED = 5
"""The most words of a query, as blanks and commas separate them."""
MOST_WORDS_STORED = 24
"""The most words by which one thing is found."""
MOST_FOUND = 10_000
"""The most index rows that one search reads."""
LONGEST_WORD = 40
"""The characters of a word that are in its key. With four bytes a character, the key fits into a row key."""
_GUID = re.compile(r"\b([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})\b")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text in their order, each once."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = _GUID.sub(r"\1\2\3\4\5", "".join(sign for sign in folded if unicodedata.category(sign) != "Mn"))
    return tuple(dict.fromkeys("".join(sign if _is_of_word(sign) else " " for sign in plain).split()))


def _is_of_word(sign: str) -> bool:
    return sign.isalnum() or unicodedata.category(sign) == "Mc"  # for example a vowel sign of Hindi


def words_asked(query: str) -> tuple[str, ...]:
    """
    Return the words of a query, the longest first. Commas count as blanks.

    Raises ValueError, with what is wrong, for a query that is too short or too long, that has too many words, or that
    has neither a letter nor a digit.
    """
    parts = query.replace(",", " ").split()
    if not SHORTEST_QUERY <= len(" ".join(parts)) <= LONGEST_QUERY:
        raise ValueError(f"must have {SHORTEST_QUERY} to {LONGEST_QUERY} characters")
    if len(parts) > MOST_WORDS_ASKED:
        raise ValueError(f"may have at most {MOST_WORDS_ASKED} words")
    words = words_of(" ".join(parts))
    if not words:
        raise ValueError("must have a letter or a digit")
    return tuple(sorted(words, key=len, reverse=True))


def matches(query: str, texts: Iterable[str | None]) -> bool:
    """Whether each word of a query begins a word of one of the texts. Raises ValueError as `words_asked`."""
    return has_all(words_asked(query), texts)


def has_all(asked: Iterable[str], texts: Iterable[str | None]) -> bool:
    """Whether each of the words *asked* begins a word of one of the texts."""
    known = [word for text in texts if text is not None for word in words_of(text)]
    return all(any(word.startswith(one) for word in known) for one in asked)


def too_many(beginning: str) -> Refused:
    """Return the refusal of a search whose longest word begins the words of too many things."""
    message = f"More than {MOST_FOUND} entries have a word that begins with {beginning!r}."
    resolution = "Send a longer word, or one more word that is longer."
    detail = Detail("FieldInvalid", message, "q", resolution)
    return Refused("ValidationFailed", message, target="q", resolution=resolution, details=[detail])


def words_stored(texts: Iterable[str | None]) -> tuple[str, ...]:
    """
    Return the words by which a thing with these texts is found, at most 24.

    If the texts have more words, the first words of each text are taken, in turn.
    """
    each = [words_of(text) for text in texts if text is not None]
    in_turn = (word[:LONGEST_WORD] for words in zip_longest(*each) for word in words if word is not None)
    return tuple(dict.fromkeys(in_turn))[:MOST_WORDS_STORED]


def word_key(word: str) -> str:
    """Return the key of a word: its UTF-8 in hexadecimal digits. A word's key begins with the key of its beginning."""
    return word[:LONGEST_WORD].encode().hex()


def texts_of_claim(claim: Claim) -> tuple[str | None, ...]:
    """Return the texts by which a partner finds its claim. The customer's registered name is not on the claim."""
    return claim.id, claim.name, claim.domain, claim.reference


def texts_of_partner(partner_id: str, partner: Partner) -> tuple[str, ...]:
    """Return the texts by which the programme finds a partner's location."""
    return partner_id, partner.name, partner.entra_tenant_id


def texts_of_customer(tenant_id: str, customer: Customer) -> tuple[str, ...]:
    """Return the texts by which the programme finds a customer, and a partner finds its claims at this customer."""
    return tenant_id, customer.name, " ".join(customer.domains)
