"""Words of texts and queries: one query finds a text however both are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpor_core.rules.search_words import (
    LONGEST_WORD,
    MOST_WORDS_STORED,
    matches,
    word_key,
    words_asked,
    words_of,
    words_stored,
)

GUID = "6C1B2A33-0000-4000-8000-00000000000f"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Contoso Teams adoption", ("contoso", "teams", "adoption")),
        ("Crédit Ägricole ŽIŽKOV", ("credit", "agricole", "zizkov")),
        ("STRASSE straße", ("strasse",)),
        ("ﬁnance ＡＢＣ x²", ("finance", "abc", "x2")),
        ("PO-4711/A, l'Oréal", ("po", "4711", "a", "l", "oreal")),
        ("contoso.onmicrosoft.com", ("contoso", "onmicrosoft", "com")),
        (GUID, ("6c1b2a330000400080000000000000" + "0f",)),
        ("İstanbul ΟΔΟΣ", ("istanbul", "οδοσ")),
        ("مُحَمَّد हिन्दी", ("محمد", "हिनदी")),
        ("-- …", ()),
    ],
)
def test_words_of_a_text(text: str, words: tuple[str, ...]) -> None:
    """Case, accents and other forms of a letter make no difference, and signs separate words."""
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cont", True),
        ("CONT tea", True),
        ("teams,contoso", True),
        ("contoso.fr", True),
        ("ontoso", False),
        ("contoso azure", False),
        ("4711 ad cont fr te", True),
        (GUID[:8], True),
        (GUID.replace("-", ""), True),
    ],
)
def test_each_word_of_a_query_begins_a_word_of_a_text(query: str, *, found: bool) -> None:
    """The words can be in different texts, and a text can be missing."""
    assert matches(query, ["Contoso Teams adoption", None, "contoso.fr", "PO-4711", GUID]) is found


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("", "2 to 100 characters"),
        (" a, ", "2 to 100 characters"),
        ("a" * 101, "2 to 100 characters"),
        ("a b c d e f", "at most 5 words"),
        ("a,b,c,d,e,f", "at most 5 words"),
        ("--", "a letter or a digit"),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused(query: str, fault: str) -> None:
    """The error says which limit the query breaks."""
    with pytest.raises(ValueError, match=fault):
        words_asked(query)


def test_the_longest_word_of_a_query_comes_first() -> None:
    """The longest word leads to the fewest hits."""
    assert words_asked("a abc, ab") == ("abc", "ab", "a")
    assert words_asked("a" * 100) == ("a" * 100,)


def test_a_thing_has_at_most_24_words_from_all_its_texts() -> None:
    """A long text does not take the place of a short text."""
    stored = words_stored([" ".join(f"name{n}" for n in range(50)), None, "contoso.fr", "x" * 100])

    assert len(stored) == MOST_WORDS_STORED
    assert {"contoso", "fr", "name0", "x" * LONGEST_WORD} <= set(stored)


@given(st.text(), st.integers(1, 200))
def test_a_stored_word_is_found_by_each_of_its_beginnings(text: str, length: int) -> None:
    """The key of a beginning begins the key of the word, and the text matches the beginning."""
    for word in words_of(text):
        assert word_key(word).startswith(word_key(word[:length]))
        assert words_of(word) == (word,), "folding a word again does not change it"
    assert all(len(word_key(word)) <= 8 * LONGEST_WORD for word in words_stored([text]))
