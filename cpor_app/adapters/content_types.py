"""
What an uploaded file really is.

Evidence is opened by reviewers, on their own machines, under the type that we tell their browser. So its content
decides, a name proves nothing, and a file that is two things at once is none.
"""

import io
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr, parsedate_to_datetime

PDF = "application/pdf"
PNG = "image/png"
JPEG = "image/jpeg"
MSG = "application/vnd.ms-outlook"
EML = "message/rfc822"

ZIP_MAGIC = b"PK\x03\x04"
ZIP_DIRECTORY_ENTRY = b"PK\x01\x02"
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

HEAD_BYTES = 1024  # how far readers of PDF and HTML look for a beginning
FIRST_OBJECT = re.compile(rb"\s[0-9]+\s+[0-9]+\s+obj\b")  # before it a PDF has its version and comments, nothing else
MARKUP = re.compile(rb"<(!doctype html|html|head|body|script|iframe|\?php)", re.IGNORECASE)

MAX_PARTS = 10_000
MAX_DECLARATION_BYTES = 1024 * 1024
MAX_MAIL_HEAD_BYTES = 256 * 1024

# What a damaged or malicious archive makes the readers raise, apart from saying that it is none.
UNREADABLE = (LookupError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class _Office:
    media_type: str
    folder: str
    main_part: str
    declaration: bytes


OFFICE = (
    _Office(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "word/",
        "word/document.xml",
        b"wordprocessingml.document.main+xml",
    ),
    _Office(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xl/",
        "xl/workbook.xml",
        b"spreadsheetml.sheet.main+xml",
    ),
    _Office(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "ppt/",
        "ppt/presentation.xml",
        b"presentationml.presentation.main+xml",
    ),
)
DECLARATIONS = "[Content_Types].xml"
MACROS = re.compile(
    rb"macroenabled|vbaproject|vbadata|macrosheet|template(?:\.macroenabled)?\.main\+xml", re.IGNORECASE
)
"""Types of parts that hold macros, and of files that begin others."""
MACRO_PARTS = re.compile(r"vbaproject|vbadata|(?:^|/)(?:intl)?macrosheets/", re.IGNORECASE)
DISGUISED = re.compile(rb"\0|<!|&#|encoding\s*=\s*[\"'](?!utf-8[\"'])", re.IGNORECASE)
"""What a list of content types is never written with: by it a type would be read otherwise than it stands there."""

# Storages and streams that make an OLE file something else than a mail, whatever else it holds.
OTHER_OLE = (
    "WordDocument",
    "Workbook",
    "Book",
    "PowerPoint Document",
    "EncryptedPackage",
    "VisioDocument",
)
OLE_MACROS = frozenset({"_vba_project", "_vba_project_cur", "vba", "macros"})
"""Storages of macros, in small letters, at whatever depth: a mail can hold a document as a part of its own."""

MAIL_HEADERS = ("Date", "To", "Cc", "Subject", "Message-ID", "Received", "Return-Path", "MIME-Version")
LEAST_MAIL_HEADERS = 2


def sniff(data: bytes, file_name: str) -> str | None:
    """
    Return the media type of *data* when it is a pdf, docx, xlsx, pptx, msg, eml, png or jpg, else None.

    Documents with macros, templates, encrypted ones and files that are two things at once are none of these. Only a
    mail as text needs its name, `.eml`, beside its content, because it has no sign of its own. Reads the whole file and
    may take a second for one that was made to be slow: call it in a thread.
    """
    if data.startswith(ZIP_MAGIC):
        return None if _begins_pdf(data) else _office_type(data)
    if data.startswith(OLE_MAGIC):
        return MSG if _is_outlook_message(data) else None
    import filetype  # wanted by uploads alone

    media_type: str | None = filetype.guess_mime(data) if data else None
    if media_type in {PDF, PNG, JPEG}:
        return None if _is_also_something_else(data, media_type) else media_type
    return EML if file_name.lower().endswith(".eml") and _is_mail(data) else None


def _is_also_something_else(data: bytes, media_type: str) -> bool:
    return (
        zipfile.is_zipfile(io.BytesIO(data))  # a zip is read from its end
        or MARKUP.search(data, 0, HEAD_BYTES) is not None
        or (media_type == PDF and _has_markup_for_a_head(data))
        or (media_type != PDF and _begins_pdf(data))
    )


def _has_markup_for_a_head(data: bytes) -> bool:
    """Whether a page of the web stands where a PDF has nothing yet; without any object that is the whole file."""
    first = FIRST_OBJECT.search(data)
    return MARKUP.search(data, 0, first.start() if first is not None else len(data)) is not None


def _begins_pdf(data: bytes) -> bool:
    return b"%PDF-" in data[:HEAD_BYTES]


def _office_type(data: bytes) -> str | None:
    if data.count(ZIP_DIRECTORY_ENTRY) > MAX_PARTS:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            with archive.open(DECLARATIONS) as declarations:
                declared = declarations.read(MAX_DECLARATION_BYTES)
    except (*UNREADABLE, zlib.error, EOFError):
        return None
    if len({name.lower() for name in names}) < len(names):  # which of two is read is up to the reader
        return None
    if MACROS.search(declared) or DISGUISED.search(declared) or any(MACRO_PARTS.search(name) for name in names):
        return None
    found = [
        office.media_type
        for office in OFFICE
        if any(name.startswith(office.folder) for name in names)
        and (office.declaration in declared or office.main_part in names)
    ]
    return found[0] if len(found) == 1 else None


def _is_outlook_message(data: bytes) -> bool:
    import olefile  # wanted by Outlook's files alone

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as ole:
            return (
                bool(ole.get_type("__properties_version1.0") == olefile.STGTY_STREAM)
                and not any(ole.exists(name) for name in OTHER_OLE)
                and not any(part.lower() in OLE_MACROS for path in ole.listdir(storages=True) for part in path)
            )
    except UNREADABLE:
        return False


def _is_mail(data: bytes) -> bool:
    """A mail begins with its headers: From with an address, at least two more, and an empty line after them."""
    end = re.search(rb"\r?\n\r?\n", data[:MAX_MAIL_HEAD_BYTES])
    if end is None or b"\0" in data:
        return False
    mail = BytesHeaderParser().parsebytes(data[: end.end()])
    if mail.defects or mail.get_unixfrom() is not None:
        return False
    present = [name for name in MAIL_HEADERS if name in mail]
    return "@" in parseaddr(str(mail["From"]))[1] and len(present) >= LEAST_MAIL_HEADERS and _has_no_false_date(mail)


def _has_no_false_date(mail: Message) -> bool:
    try:
        return "Date" not in mail or parsedate_to_datetime(str(mail["Date"])) is not None
    except ValueError:
        return False
