"""Links, nonces and cursors: our own signatures are accepted, and no others."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from cpor_app.adapters.identity.links import BadCursor, BadLink, Links

CLAIM = "6c1b5a349d2e4f708a110c2d3e4f5a6b" + "0123456789abcdef0123"
NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
OLD_SECRET, NEW_SECRET = "the old secret of the service", "the new secret of the service"
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LINKS = Links((NEW_SECRET, OLD_SECRET), "https://cpor.example/api")
TOKEN = LINKS.token(CLAIM, 0)
HOSTILE = [
    "",
    ".",
    "..",
    "\0",
    "é",
    "\ud800",
    "t" * 1_000_000,
    "." * 1_000_000,
    "a." * 500_000,
    TOKEN + "\n",
    " " + TOKEN,
    TOKEN + "=",
    TOKEN + ".",
    TOKEN.upper(),
    TOKEN.replace(".", "%2E"),
    f"{CLAIM}.0.",
    f"{CLAIM}.0",
    f"{CLAIM}.1.{TOKEN.rpartition('.')[2]}",
]

any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_a_link_names_its_claim_and_recipient() -> None:
    """The signed values are read from the token."""
    assert LINKS.read(LINKS.token(CLAIM, 0)) == (CLAIM, 0)
    assert LINKS.read(LINKS.token(CLAIM, 12)) == (CLAIM, 12)


def test_a_link_needs_no_escaping() -> None:
    """The link has the public address (decision 26)."""
    links = Links((NEW_SECRET,), "https://cpor.example/api/")

    assert set(TOKEN) <= set(BASE64URL + ".")
    assert links.request_url(CLAIM, TOKEN) == f"https://cpor.example/api/customer/requests/{CLAIM}?t={TOKEN}"


def test_each_recipient_has_another_link() -> None:
    """Two recipients or two claims have two tokens. One recipient of one claim always has the same token."""
    assert len({LINKS.token(CLAIM, 0), LINKS.token(CLAIM, 1), LINKS.token(CLAIM[::-1], 0), TOKEN}) == 3


@pytest.mark.parametrize("token", HOSTILE, ids=itertools.count())
def test_a_text_with_another_signature_is_no_link(token: str) -> None:
    """Every other text is a bad link, answered as `NotFound`."""
    with pytest.raises(BadLink) as caught:
        LINKS.read(token)

    assert caught.value.code == "NotFound"


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[0-9a-z]{1,60}\.[0-9]{1,3}\.[A-Za-z0-9_-]{43}", fullmatch=True))
def test_reading_any_text_raises_only_bad_link(token: str) -> None:
    """The test reads random texts."""
    with pytest.raises(BadLink):
        LINKS.read(token)


@settings(deadline=None)
@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_link_with_one_character_changed_is_no_link(place: int, character: str) -> None:
    """No character can be changed, not even the spare bits of the last one."""
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    assume(changed != TOKEN)

    with pytest.raises(BadLink):
        LINKS.read(changed)


def test_the_last_character_has_one_spelling() -> None:
    """Four of the 64 possible last characters decode to the same bytes, and only one is accepted."""
    taken = []
    for character in BASE64URL:
        try:
            taken.append(LINKS.read(TOKEN[:-1] + character))
        except BadLink:
            continue

    assert taken == [(CLAIM, 0)]


def test_links_outlive_the_change_of_the_secret() -> None:
    """The newest secret signs. Older secrets still verify, and a removed secret does not."""
    mailed = Links((OLD_SECRET,), "https://cpor.example/api").token(CLAIM, 0)

    assert LINKS.read(mailed) == (CLAIM, 0)
    assert Links((NEW_SECRET,), "https://cpor.example/api").read(TOKEN) == (CLAIM, 0)
    with pytest.raises(BadLink):
        Links((NEW_SECRET,), "https://cpor.example/api").read(mailed)


@pytest.mark.parametrize("secrets", [(), ("",), (NEW_SECRET, "")])
def test_without_a_secret_nothing_is_signed(secrets: tuple[str, ...]) -> None:
    """An empty secret is refused at the start, because anybody could sign with it."""
    with pytest.raises(ValueError, match="secret"):
        Links(secrets, "https://cpor.example/api")


@pytest.mark.parametrize(("claim_id", "recipient"), [("", 0), ("a.b", 0), ("A", 0), (CLAIM, -1), ("a/b", 0)])
def test_a_link_is_for_a_claim_and_a_number_only(claim_id: str, recipient: int) -> None:
    """Values that could not be read back are not signed."""
    with pytest.raises(ValueError, match="claim id"):
        LINKS.token(claim_id, recipient)


@pytest.mark.parametrize(
    ("later", "good"),
    [
        (timedelta(0), True),
        (timedelta(minutes=59, seconds=59), True),
        (timedelta(hours=1), False),
        (timedelta(days=400), False),
        (timedelta(seconds=-60), True),
        (timedelta(seconds=-61), False),
    ],
)
def test_a_nonce_lasts_an_hour(later: timedelta, good: bool) -> None:  # noqa: FBT001
    """
    The service's clock counts.

    A nonce from the future is accepted up to a minute, because two machines can differ.
    """
    nonce = LINKS.nonce(TOKEN, "decline", NOW)

    assert LINKS.check_nonce(nonce, TOKEN, "decline", NOW + later) is good


def test_a_nonce_is_for_one_link_and_one_act() -> None:
    """A nonce of another page or another button is refused."""
    nonce = LINKS.nonce(TOKEN, "decline", NOW)

    assert not LINKS.check_nonce(nonce, TOKEN, "undo", NOW)
    assert not LINKS.check_nonce(nonce, LINKS.token(CLAIM, 1), "decline", NOW)
    assert not LINKS.check_nonce(nonce, "decline", TOKEN, NOW)
    assert not Links(("another service",), "https://cpor.example/api").check_nonce(nonce, TOKEN, "decline", NOW)
    assert Links(("a third", NEW_SECRET), "https://cpor.example/api").check_nonce(nonce, TOKEN, "decline", NOW)


def test_a_nonce_does_not_contain_the_link() -> None:
    """A person who sees a nonce cannot act with it."""
    assert CLAIM not in LINKS.nonce(TOKEN, "decline", NOW)


@pytest.mark.parametrize("nonce", HOSTILE, ids=itertools.count())
def test_a_text_with_another_signature_is_no_nonce(nonce: str) -> None:
    """Every other text is a bad nonce."""
    assert not LINKS.check_nonce(nonce, TOKEN, "decline", NOW)
    assert not LINKS.check_nonce(LINKS.nonce(TOKEN, "decline", NOW), nonce, "decline", NOW)


@settings(deadline=None)
@given(st.text(), st.text())
def test_checking_any_text_as_a_nonce_raises_nothing(nonce: str, token: str) -> None:
    """The test checks random texts with random links."""
    assert not LINKS.check_nonce(nonce, token, "decline", NOW)


@settings(deadline=None)
@given(st.text(max_size=50), st.dictionaries(st.text(max_size=10), any_json, max_size=4))
def test_a_cursor_contains_its_payload(kind: str, payload: dict[str, JsonValue]) -> None:
    """Any payload is kept, and the text needs no escaping in an address."""
    text = LINKS.cursor(kind, payload)

    assert set(text) <= set(BASE64URL + ".")
    assert LINKS.read_cursor(kind, text) == payload


@pytest.mark.parametrize("other", ["claims|b", "claims|a|", "claims", "", "laims|a", "\ud800"])
def test_a_cursor_belongs_to_one_list(other: str) -> None:
    """A cursor of another organisation, list or filter is `InvalidCursor`."""
    text = LINKS.cursor("claims|a", {"after": "x"})

    with pytest.raises(BadCursor) as caught:
        LINKS.read_cursor(other, text)

    assert caught.value.code == "InvalidCursor"


@pytest.mark.parametrize(
    "text", [*HOSTILE, "e30", "e30.e30", TOKEN, LINKS.nonce(TOKEN, "decline", NOW)], ids=itertools.count()
)
def test_a_text_with_another_signature_is_no_cursor(text: str) -> None:
    """Every other text is a bad cursor, also a link or a nonce."""
    for kind in ("claims|a", ""):
        with pytest.raises(BadCursor):
            LINKS.read_cursor(kind, text)


@settings(deadline=None)
@given(st.data())
def test_a_cursor_with_one_character_changed_is_no_cursor(data: st.DataObject) -> None:
    """Neither the payload nor the signature can be changed."""
    text = LINKS.cursor("claims|a", {"after": "0123", "seen": 500})
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + data.draw(st.sampled_from(BASE64URL + ".= ")) + text[place + 1 :]
    assume(changed != text)

    with pytest.raises(BadCursor):
        LINKS.read_cursor("claims|a", changed)


def test_a_cursor_too_long_for_an_address_is_not_made() -> None:
    """Payloads that could not be read back are not signed."""
    with pytest.raises(ValueError, match="too long"):
        LINKS.cursor("claims|a", {"after": "x" * 4096})


def test_a_link_is_no_cursor_and_a_cursor_is_no_link() -> None:
    """The three kinds have different signatures, even for equal texts."""
    cursor = LINKS.cursor("", {})

    with pytest.raises(BadLink):
        LINKS.read(cursor)
    with pytest.raises(BadCursor):
        LINKS.read_cursor("", TOKEN)
    assert not LINKS.check_nonce(cursor, "", "", NOW)
