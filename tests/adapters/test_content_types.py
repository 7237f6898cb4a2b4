"""The type of a file by its content, tested with real samples made here and with false ones."""

import io
import struct
import zipfile
import zlib
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpor_app.adapters.content_types import EML, JPEG, MAX_PARTS, MSG, PDF, PNG, sniff

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"

OLE_FREE, OLE_END, OLE_FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
STORAGE, STREAM, ROOT = 1, 2, 5


def pdf() -> bytes:
    """Return a whole PDF with one empty page."""
    return (
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R>>endobj\n"
        b"trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"
    )


def png() -> bytes:
    """Return a whole PNG with one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def jpg() -> bytes:
    """Return the frame of a JPEG: its beginning, JFIF's segment, and its end."""
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
        b"\xff\xdb\x00\x43" + bytes(65) + b"\xff\xd9"
    )


def archive(parts: dict[str, bytes], *, prefix: bytes = b"", compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of *parts*."""
    buffer = io.BytesIO()
    buffer.write(prefix)
    with zipfile.ZipFile(buffer, "a", compression) as made:
        for name, content in parts.items():
            made.writestr(zipfile.ZipInfo(name), content, compression)  # of 1980: the same bytes in all processes
    return buffer.getvalue()


def declarations(main_part: str, content_type: str) -> bytes:
    """Return the list of content types that every Office file has."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{main_part}" ContentType="{content_type}"/></Types>'
    ).encode()


def office(main_part: str, content_type: str, **more: bytes) -> dict[str, bytes]:
    """Return the parts of an Office file."""
    relations = f'<Relationships><Relationship Id="r1" Target="{main_part}"/></Relationships>'.encode()
    return {
        "[Content_Types].xml": declarations(main_part, content_type),
        "_rels/.rels": relations,
        main_part: b"<document/>",
        **more,
    }


def word() -> dict[str, bytes]:
    """Return the parts of a Word document."""
    return office("word/document.xml", f"{DOCX}.main+xml")


def excel() -> dict[str, bytes]:
    """Return the parts of a workbook."""
    return office("xl/workbook.xml", f"{XLSX}.main+xml")


def powerpoint() -> dict[str, bytes]:
    """Return the parts of a presentation."""
    return office("ppt/presentation.xml", f"{PPTX}.main+xml")


def ole(entries: list[tuple[str, int, bytes]]) -> bytes:
    """Return an OLE compound file with *entries* under its root. Each stream has whole sectors of its own (MS-CFB)."""
    sectors: list[bytes] = []
    fat: list[int] = []

    def store(content: bytes) -> int:
        first = len(sectors)
        for at in range(0, len(content), 512):
            sectors.append(content[at : at + 512].ljust(512, b"\0"))
            fat.append(len(sectors))
        fat[-1] = OLE_END
        return first

    def entry(name: str, kind: int, *, right: int, child: int, start: int, size: int) -> bytes:
        utf16 = name.encode("utf-16-le") + b"\0\0"
        links = struct.pack("<III", OLE_FREE, right, child)
        return (
            utf16.ljust(64, b"\0")
            + struct.pack("<HBB", len(utf16), kind, 1)
            + links
            + bytes(36)
            + struct.pack("<IQ", start, size)
        )

    directory = entry("Root Entry", ROOT, right=OLE_FREE, child=1 if entries else OLE_FREE, start=OLE_END, size=0)
    for number, (name, kind, content) in enumerate(entries, 1):
        padded = content.ljust(4096, b"\0")  # shorter streams would be stored in another stream
        directory += entry(
            name,
            kind,
            right=number + 1 if number < len(entries) else OLE_FREE,
            child=OLE_FREE,
            start=store(padded) if kind == STREAM else 0,
            size=len(padded) if kind == STREAM else 0,
        )
    directory_at = store(directory)
    fat_at = len(sectors)
    fat.append(OLE_FAT)
    assert len(fat) <= 128
    table = struct.pack("<128I", *fat, *[OLE_FREE] * (128 - len(fat)))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, directory_at, 0, 4096, OLE_END, 0, OLE_END, 0)
    header += struct.pack("<109I", fat_at, *[OLE_FREE] * 108)
    return header + b"".join(sectors) + table


def msg(*more: tuple[str, int, bytes]) -> bytes:
    """Return an Outlook message with its subject and *more* streams."""
    return ole(
        [
            ("__nameid_version1.0", STORAGE, b""),
            ("__properties_version1.0", STREAM, bytes(32)),
            ("__substg1.0_0037001F", STREAM, "Our partner".encode("utf-16-le")),
            *more,
        ]
    )


def eml() -> bytes:
    """Return a mail in the form in which a program saves it."""
    mail = EmailMessage(SMTP)
    mail["From"] = "Žofie <zofie@customer.example>"
    mail["To"] = "partner@partner.example"
    mail["Date"] = "Fri, 20 Nov 2026 10:00:00 +0100"
    mail["Subject"] = "Potvrzení"
    mail.set_content("Yes, they are our partner.\n")
    mail.add_alternative("<html><body>Yes, they are our partner.</body></html>", subtype="html")
    mail.set_boundary("between-the-parts")  # so that the name of each case is the same in all processes
    return mail.as_bytes()


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (pdf(), "letter.pdf", PDF),
        (png(), "scan.png", PNG),
        (jpg(), "scan.jpg", JPEG),
        (archive(word()), "letter.docx", DOCX),
        (archive(excel()), "list.xlsx", XLSX),
        (archive(powerpoint()), "kick-off.pptx", PPTX),
        (archive(word(), compression=zipfile.ZIP_STORED), "letter.docx", DOCX),
        (archive(office("word/document2.xml", f"{DOCX}.main+xml")), "letter.docx", DOCX),
        (archive({**word(), "word/embeddings/list.xlsx": archive(excel())}), "letter.docx", DOCX),
        (archive({"word/document.xml": b"<document/>", "[Content_Types].xml": b"<Types/>"}), "letter.docx", DOCX),
        (msg(), "mail.msg", MSG),
        (msg(("__substg1.0_37010102", STREAM, archive(word()))), "mail.msg", MSG),
        (msg(("__substg1.0_37010102", STREAM, ole([("WordDocument", STREAM, b"")]))), "mail.msg", MSG),
        (eml(), "mail.eml", EML),
        (eml(), "MAIL.EML", EML),
        (eml().replace(b"\r\n", b"\n"), "mail.eml", EML),
        (b"Received: by x\r\n" + eml(), "mail.eml", EML),
        (b"From: a@customer.example\r\nTo: b@partner.example\r\nSubject: yes\r\n\r\nYes.", "mail.eml", EML),
    ],
)
def test_each_kind_of_evidence_is_recognised_by_its_content(data: bytes, name: str, expected: str) -> None:
    """The samples are all eight kinds, as different programs write them."""
    assert sniff(data, name) == expected


@pytest.mark.parametrize(
    "data", [pdf(), png(), jpg(), archive(word()), msg()], ids=["pdf", "png", "jpg", "docx", "msg"]
)
@pytest.mark.parametrize("name", ["", "evidence", "evidence.bin", "evidence.eml", "evidence.exe"])
def test_a_name_does_not_change_the_type(data: bytes, name: str) -> None:
    """Only the content counts."""
    assert sniff(data, name) == sniff(data, "right.name")
    assert sniff(data, name) is not None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty.pdf"),
        (b"MZ\x90\x00" + bytes(400), "letter.pdf"),
        (b"\x7fELF" + bytes(400), "scan.png"),
        (b"<!doctype html><script>alert(1)</script>", "letter.pdf"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "scan.png"),
        (b"GIF89a" + bytes(400), "scan.jpg"),
        (b"just words", "letter.docx"),
        (b"{\\rtf1 words}", "letter.docx"),
        (b"PDF", "letter.pdf"),
        (b"\n%PDF-1.7\n", "letter.pdf"),
    ],
)
def test_other_content_is_refused_under_every_name(data: bytes, name: str) -> None:
    """A name proves nothing."""
    assert sniff(data, name) is None


@pytest.mark.parametrize(
    "parts",
    [
        {"hello.txt": b"hello"},
        {"word/document.xml": b"<document/>"},
        {"[Content_Types].xml": declarations("word/document.xml", f"{DOCX}.main+xml")},
        {"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<x/>"},
        {"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n", "Main.class": b"\xca\xfe\xba\xbe"},
        {**word(), **excel(), "[Content_Types].xml": b"<Types/>"},
        office("word/document.xml", "application/vnd.ms-word.document.macroEnabled.main+xml"),
        {**word(), "word/vbaProject.bin": b"macro"},
        {**excel(), "xl/VBAPROJECT.BIN": b"macro"},
    ],
    ids=["zip", "no-list", "list-only", "odt", "jar", "two-at-once", "docm", "vba-in-docx", "vba-in-xlsx"],
)
def test_a_zip_that_is_no_office_document_is_refused(parts: dict[str, bytes]) -> None:
    """A file with macros is refused too, under every name."""
    assert sniff(archive(parts), "letter.docx") is None


@pytest.mark.parametrize(
    "parts",
    [
        office("word/document.xml", f"{DOCX[: -len('document')]}template.main+xml"),
        office("word/document.xml", "application/vnd.ms-word.template.macroEnabledTemplate.main+xml"),
        office("xl/workbook.xml", f"{XLSX[: -len('sheet')]}template.main+xml"),
        office("ppt/presentation.xml", f"{PPTX[: -len('presentation')]}template.main+xml"),
        office("ppt/presentation.xml", "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml"),
        office("xl/workbook.xml", "application/vnd.ms-excel.sheet.binary.macroEnabled.main"),
        {**word(), "word/vbaData.xml": b"<x/>"},
        {**word(), "word/vbaData.bin": b"macro"},
        {**excel(), "xl/macrosheets/sheet1.xml": b"<x/>"},
        {**excel(), "xl/macroSheets/intlsheet1.xml": b"<x/>"},
        {**word(), "[Content_Types].xml": declarations("word/x.bin", "application/vnd.ms-office.vbaProject")},
        {**word(), "[Content_Types].xml": declarations("word/x.xml", "application/vnd.ms-word.vbaData+xml")},
        {**excel(), "[Content_Types].xml": declarations("xl/x.xml", "application/vnd.ms-excel.macrosheet+xml")},
        {**excel(), "[Content_Types].xml": declarations("xl/x.xml", "application/vnd.ms-excel.MACROSHEET+xml")},
        {
            **word(),
            "[Content_Types].xml": declarations("word/x", "a/macroEnabled")
            .decode()
            .replace("UTF-8", "UTF-16")
            .encode("utf-16"),
        },
        {**word(), "[Content_Types].xml": declarations("word/x", "a/macro&#69;nabled")},
        {
            **word(),
            "[Content_Types].xml": b'<!DOCTYPE Types [<!ENTITY e "macroEn">]>' + declarations("word/x", "a/&e;abled"),
        },
        {**word(), "[Content_Types].xml": declarations("word/x", "a/x").replace(b"UTF-8", b"IBM037")},
    ],
    ids=[
        "dotx",
        "dotm",
        "xltx",
        "potx",
        "ppsm",
        "xlsb",
        "vba-data",
        "vba-data-in-binary",
        "macrosheet",
        "macrosheet-in-capitals",
        "vba-under-another-name",
        "vba-data-under-another-name",
        "macrosheet-under-another-name",
        "its-type-in-capitals",
        "utf-16",
        "character-reference",
        "entity",
        "another-encoding",
    ],
)
def test_an_office_file_that_can_run_something_is_refused(parts: dict[str, bytes]) -> None:
    """
    Macros are found under every name and spelling.

    Templates are refused, because every new document begins with them.
    """
    for name in ("letter.docx", "letter.xlsx", "letter.pptx"):
        assert sniff(archive(parts), name) is None


def test_a_part_that_is_there_twice_is_refused() -> None:
    """Programs differ in the part that they read."""
    macros = declarations("word/document.xml", "application/vnd.ms-word.document.macroEnabled.main+xml")
    buffer = io.BytesIO(archive(word()))
    with zipfile.ZipFile(buffer, "a") as made:
        made.writestr("[CONTENT_TYPES].XML", macros)

    assert sniff(buffer.getvalue(), "letter.docx") is None


@pytest.mark.parametrize("name", ["_VBA_PROJECT", "_vba_project_cur", "Macros", "VBA"])
def test_a_mail_with_macros_is_refused(name: str) -> None:
    """Its attachments can be storages inside it."""
    assert sniff(msg(), "mail.msg") == MSG
    assert sniff(msg((name, STORAGE, b"")), "mail.msg") is None


@pytest.mark.parametrize(
    ("data", "is_pdf"),
    [
        (b"%PDF-1.4\n" + b" " * 1100 + b"<script>alert(1)</script>", False),
        (b"%PDF-1.4\n" + b" " * 5000 + b"<HTML>", False),
        (b"%PDF-1.4\n%" + b"x" * 2000 + b"<body onload=x>\n" + pdf(), False),
        (pdf().replace(b"/Catalog", b"/Catalog/Names(<html>)").replace(b"1 0 obj", b" " * 1100 + b"1 0 obj"), True),
        (pdf() + b" " * 2000 + b"<html>", True),
    ],
    ids=["script-after-1,100-blanks", "after-5,000", "in-a-comment-before-the-first-object", "in-an-object", "behind"],
)
def test_a_web_page_with_the_head_of_a_pdf_is_refused(data: bytes, *, is_pdf: bool) -> None:
    """Before its first object a PDF has no markup. Inside objects it can have any text."""
    assert (sniff(data, "letter.pdf") == PDF) is is_pdf


def test_a_zip_that_is_broken_or_slow_is_refused() -> None:
    """Reading it neither fails nor takes long."""
    whole = archive(word())
    many = archive({**word(), **{f"word/{n}": b"" for n in range(MAX_PARTS)}})

    assert sniff(whole[: len(whole) // 2], "letter.docx") is None
    assert sniff(whole[:-10], "letter.docx") is None
    assert sniff(many, "letter.docx") is None


@pytest.mark.parametrize(
    "entries",
    [
        [("WordDocument", STREAM, b"")],
        [("Workbook", STREAM, b"")],
        [("PowerPoint Document", STREAM, b"")],
        [("EncryptionInfo", STREAM, b""), ("EncryptedPackage", STREAM, b"")],
        [("__substg1.0_0037001F", STREAM, b"subject")],
        [("__properties_version1.0", STORAGE, b"")],
        [("__properties_version1.0", STREAM, bytes(32)), ("WordDocument", STREAM, b"")],
        [],
    ],
    ids=[
        "doc",
        "xls",
        "ppt",
        "encrypted-docx",
        "no-properties",
        "storage-of-that-name",
        "doc-with-properties",
        "empty",
    ],
)
def test_an_ole_file_that_is_no_outlook_message_is_refused(entries: list[tuple[str, int, bytes]]) -> None:
    """Old Office files and encrypted new ones begin with the same bytes."""
    assert sniff(ole(entries), "mail.msg") is None


def test_a_broken_ole_file_is_refused() -> None:
    """The first bytes alone are not enough."""
    assert sniff(msg()[:8], "mail.msg") is None
    assert sniff(msg()[:700], "mail.msg") is None
    assert sniff(msg()[:8] + b"\xff" * 4096, "mail.msg") is None


@pytest.mark.parametrize(
    "data",
    [
        b"just words\r\n\r\nmore words",
        b"<html>\r\n\r\nFrom: a@customer.example\r\nTo: b@partner.example\r\nSubject: yes\r\n\r\n",
        b"\r\n" + eml(),
        b"From me to you\r\n" + eml(),
        b" " + eml(),
        eml().partition(b"\r\n\r\n")[0],
        eml() + b"\0",
        eml().replace(b"zofie@customer.example", b"zofie"),
        eml().replace(b"20 Nov 2026", b"some day"),
        b"Subject: yes\r\nTo: b@partner.example\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\n\r\nYes.",
        b"From: a@customer.example\r\n\r\nYes.",
        b"From: a@customer.example\r\nTo: b@partner.example\r\nno colon here\r\nSubject: x\r\n\r\n",
        b"MZ" + eml(),
    ],
)
def test_text_that_is_no_mail_is_refused(data: bytes) -> None:
    """The ending `.eml` is not enough."""
    if data.startswith(b"MZ"):
        data = b"MZ\x90\x00" + data[2:]
    assert sniff(data, "mail.eml") is None


@pytest.mark.parametrize("name", ["mail.txt", "mail", "mail.eml.html", "eml"])
def test_a_mail_needs_its_name_too(name: str) -> None:
    """A mail as text has no mark of its own, and therefore the content and the name must both fit."""
    assert sniff(eml(), name) is None


@pytest.mark.parametrize(
    "data",
    [
        pdf() + archive(word()),
        archive(word(), prefix=pdf()),
        archive(word(), prefix=jpg()),
        png() + archive({"Main.class": b""}),
        png() + b"\n" + archive({"a": b""}) + b"comment",
        jpg()[:20] + pdf(),
        archive({"a.pdf": pdf(), **word()}, compression=zipfile.ZIP_STORED),
        b"%PDF-1.7\n<html><script>alert(1)</script>" + pdf(),
        jpg()[:20] + b"<SCRIPT>alert(1)</SCRIPT>" + jpg(),
        archive(word(), prefix=b"MZ\x90\x00" + bytes(60)),
        archive(word(), prefix=b"<html>"),
    ],
)
def test_a_file_with_two_types_at_once_is_refused(data: bytes) -> None:
    """Two programs would show the reviewer two contents."""
    for name in ("letter.pdf", "letter.docx", "scan.png", "scan.jpg", "mail.eml"):
        assert sniff(data, name) is None


@given(
    whole=st.sampled_from(
        [archive(word()), archive(excel(), compression=zipfile.ZIP_STORED), msg(), eml(), pdf(), png()]
    ),
    cuts=st.lists(st.tuples(st.integers(8, 5_000), st.binary(min_size=1, max_size=8)), max_size=6),
    end=st.integers(0, 10_000),
)
def test_no_damaged_file_makes_it_fail(whole: bytes, cuts: list[tuple[int, bytes]], end: int) -> None:
    """Every input gets an answer: a type or None."""
    damaged = bytearray(whole)
    for at, junk in cuts:
        damaged[at % len(whole) : at % len(whole) + len(junk)] = junk

    sniff(bytes(damaged[: len(whole) - end % 50]), "mail.eml")
