"""Names of evidence: one spelling, an ending that fits, and no name that reads or opens as another file."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpor_core.errors import Refused
from cpor_core.rules.file_names import ENDINGS, find, is_same_file, safe, verified
from tests.core.builders import evidence

PDF = "application/pdf"
PROGRAMS = "bat cmd hta html svg exe lnk js scr ps1 docm xll url php ini com pif vbs msi jar".split()  # noqa: SIM905


def refusal(name: str, media_type: str = PDF) -> Refused:
    """Return the reason why a name is refused."""
    with pytest.raises(Refused) as refused:
        verified(name, media_type)
    assert (refused.value.code, refused.value.target) == ("ValidationFailed", "fileName")
    assert refused.value.resolution
    return refused.value


@pytest.mark.parametrize("media_type", ENDINGS)
def test_an_ending_must_belong_to_the_content_type(media_type: str) -> None:
    """Capitals do not matter. Another ending is refused, and the refusal names the right endings."""
    for ending in ENDINGS[media_type]:
        assert verified(f"sow{ending}", media_type) == f"sow{ending}"
        assert verified(f"sow.exe{ending.upper()}", media_type) == f"sow.exe{ending.upper()}"
    for other in (one for kind, endings in ENDINGS.items() for one in endings if kind != media_type):
        assert ENDINGS[media_type][0] in refusal(f"sow{other}", media_type).message


@pytest.mark.parametrize("ending", PROGRAMS)
def test_a_program_is_no_evidence(ending: str) -> None:
    """This holds for every name before the ending."""
    for name in (f"sow.{ending}", f"signed-offer.pdf.{ending}", f"sow.pdf .{ending}", f"sow.{ending.upper()}"):
        refusal(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "sow",
        "pdf",
        ".pdf",
        "..pdf",
        "sow.pdf.",
        "sow.pdf ",
        "sow.pdf\u3000",
        "sow.pdf\u00a0",
        " sow.pdf",
        "\u2003sow.pdf",
        "con.pdf",
        "CON.pdf",
        "con .pdf",
        "nul.pdf",
        "nul.tar.pdf",
        "aux.pdf",
        "prn.pdf",
        "com1.pdf",
        "COM9.pdf",
        "com\u00b9.pdf",
        "lpt0.pdf",
        "\uff43\uff4f\uff4e.pdf",
        "conin$.pdf",
        "so\u200bw.pdf",
        "so\u00adw.pdf",
        "so\u2060w.pdf",
        "\u3164.pdf",
        "so\ufe0fw.pdf",
        "so\u034fw.pdf",
        "so\u2800w.pdf",
        "so\U000e0101w.pdf",
        "\ufeffsow.pdf",
        "fdp.\u202egnp.pdf",
        "a\u2028.pdf",
        "a\x00.pdf",
        "a\n.pdf",
        "a\x85.pdf",
        "a\ud800.pdf",
        "a\ue000.pdf",
        "a\ufffe.pdf",
        "a\U0001ffff.pdf",
        "\ufdd0.pdf",
        "a/b.pdf",
        "a\\b.pdf",
        "c:a.pdf",
        "a*.pdf",
        "a?.pdf",
        'a".pdf',
        "a<b>.pdf",
        "a|b.pdf",
        "..\uff0fx.pdf",
        "\uff0e\uff0e\uff0fx.pdf",
        "a\uff3cb.pdf",
        "a\ufe68b.pdf",
        "a\uff1ab.pdf",
        "a\u2044b.pdf",
        "a\u2215b.pdf",
        "a\u2105b.pdf",
        "a%2Fb.pdf",
        "a%2fb.pdf",
        "sow.pdf:evil.exe",
        "sow.exe\uff0epdf",
        "x" * 197 + ".pdf",
    ],
)
def test_a_name_that_reads_or_opens_as_another_is_refused(name: str) -> None:
    """
    Examples are blanks at an end, device names, invisible characters, separators and similar characters, and a missing
    ending.
    """
    refusal(name)


@pytest.mark.parametrize(
    "name",
    [
        "Prüfung 2026.pdf",
        "доказательство.pdf",
        "証拠（署名済み）.pdf",
        "עדות.pdf",
        "साक्ष्य.pdf",
        "😀.pdf",
        "a;b=c,d.pdf",
        "a'b&c#d+e%.pdf",
        "Q½ – 100 %.PDF",
        "a.tar.pdf",
        "-.pdf",
        "con-tract.pdf",
        "console.pdf",
        "com10.pdf",
        "com.pdf",
        "null.pdf",
        "ａ.pdf",
        "x" * 196 + ".pdf",
    ],
)
def test_names_of_every_script_are_kept(name: str) -> None:
    """Every visible character that separates nothing is accepted."""
    assert verified(name, PDF) == name


def test_a_name_is_stored_composed() -> None:
    """An accent as a separate character (macOS) makes no second file."""
    apart = unicodedata.normalize("NFD", "é.pdf")

    assert apart != "é.pdf"
    assert verified(apart, PDF) == "é.pdf"
    assert is_same_file(apart, "É.PDF")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A.pdf", "a.PDF", True),
        ("straße.pdf", "STRASSE.pdf", True),
        ("ΣΑΣ.pdf", "σας.pdf", True),
        ("e\u0301.pdf", "É.pdf", True),
        ("a.pdf", "b.pdf", False),
        ("ａ.pdf", "a.pdf", False),
        ("a.pdf", "á.pdf", False),
    ],
)
def test_capitals_make_no_second_file(one: str, other: str, *, same: bool) -> None:
    """Windows and macOS compare names in the same way, and reviewers save files there."""
    assert is_same_file(one, other) is same
    assert is_same_file(other, one) is same


def test_a_file_is_found_under_every_spelling_of_its_name() -> None:
    """If two older files differ only in capitals, the exact name wins."""
    small, large = evidence(file_name="a.pdf"), evidence(file_name="A.pdf")

    assert find((small,), "A.PDF") is small
    assert find((small, large), "A.pdf") is large
    assert find((small, large), "a.pdf") is small
    assert find((small, large), "b.pdf") is None


@pytest.mark.parametrize(
    ("name", "handed_out"),
    [
        ("sow.pdf", "sow.pdf"),
        ("signed-offer.pdf.bat", "signed-offer.pdf.bat.pdf"),
        ("no extension", "no extension.pdf"),
        ("sow.pdf.", "sow.pdf"),
        ("sow.pdf ", "sow.pdf"),
        ("con.pdf", "_con.pdf"),
        ("nul", "_nul.pdf"),
        ("a\u200b.pdf", "a_.pdf"),
        ("\uff0e\uff0e\uff0fx.pdf", "\uff0e\uff0e_x.pdf"),
        ("e\u0301.pdf", "é.pdf"),
        ("...", "_.pdf"),
        ("-", "-.pdf"),
        ("desktop.ini", "desktop.ini.pdf"),
    ],
)
def test_an_older_file_is_downloaded_under_a_safe_name(name: str, handed_out: str) -> None:
    """A program's name could start it on the reviewer's machine."""
    assert safe(name, PDF) == handed_out


@given(name=st.text(max_size=230), media_type=st.sampled_from(sorted(ENDINGS)))
def test_every_name_can_be_downloaded(name: str, media_type: str) -> None:
    """The download name passes the rules. A name that passes the rules stays the same."""
    handed_out = safe(name, media_type)

    assert verified(handed_out, media_type) == handed_out
    assert safe(handed_out, media_type) == handed_out
