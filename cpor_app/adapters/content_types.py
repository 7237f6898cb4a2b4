"""
Finds the real type of an uploaded file.

Reviewers open evidence on their own machines, and we tell their browser the type. So the content decides the type, not
the file name. A file that can be read as two types is refused.
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

HEAD_BYTES = 1024  # programs look for the start of PDF and HTML in these bytes
FIRST_OBJECT = re.compile(rb"\s[0-9]+\s+[0-9]+\s+obj\b")  # in a PDF only version and comments come before it
MARKUP = re.compile(rb"<(!doctype html|html|head|body|script|iframe|\?php)", re.IGNORECASE)

MAX_PARTS = 10_000
MAX_DECLARATION_BYTES = 1024 * 1024
MAX_MAIL_HEAD_BYTES = 256 * 1024

# Errors that the libraries raise for a damaged or malicious archive.
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
"""Types of parts with macros, and types of templates."""
MACRO_PARTS = re.compile(r"vbaproject|vbadata|(?:^|/)(?:intl)?macrosheets/", re.IGNORECASE)
DISGUISED = re.compile(rb"\0|<!|&#|encoding\s*=\s*[\"'](?!utf-8[\"'])", re.IGNORECASE)
"""Texts that no real list of content types has. With them a program would read another type than this code."""

# An OLE file that has one of these storages or streams is not a mail.
OTHER_OLE = (
    "WordDocument",
    "Workbook",
    "Book",
    "PowerPoint Document",
    "EncryptedPackage",
    "VisioDocument",
)
OLE_MACROS = frozenset({"_vba_project", "_vba_project_cur", "vba", "macros"})
"""Storages of macros, in lower case. They count at any depth, because a document can be embedded in a mail."""

MAIL_HEADERS = ("Date", "To", "Cc", "Subject", "Message-ID", "Received", "Return-Path", "MIME-Version")
LEAST_MAIL_HEADERS = 2


def sniff(data: bytes, file_name: str) -> str | None:
    """
    Return the media type of *data* when it is a pdf, docx, xlsx, pptx, msg, eml, png or jpg, else None.

    The result is None for documents with macros, templates, encrypted documents and files with two types. An eml also
    needs a name that ends in `.eml`, because its content has no signature. This reads the whole file. A malicious file
    can take a second, so call it in a thread.
    """
    if data.startswith(ZIP_MAGIC):
        return None if _begins_pdf(data) else _office_type(data)
    if data.startswith(OLE_MAGIC):
        return MSG if _is_outlook_message(data) else None
    import filetype  # only uploads need it

    media_type: str | None = filetype.guess_mime(data) if data else None
    if media_type in {PDF, PNG, JPEG}:
        return None if _is_also_something_else(data, media_type) else media_type
    return EML if file_name.lower().endswith(".eml") and _is_mail(data) else None


def _is_also_something_else(data: bytes, media_type: str) -> bool:
    return (
        zipfile.is_zipfile(io.BytesIO(data))  # `is_zipfile` looks at the end of the file
        or MARKUP.search(data, 0, HEAD_BYTES) is not None
        or (media_type == PDF and _has_markup_before_first_object(data))
        or (media_type != PDF and _begins_pdf(data))
    )


def _has_markup_before_first_object(data: bytes) -> bool:
    """Whether HTML comes before the first object of a PDF. If there is no object, the whole file is searched."""
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
    if len({name.lower() for name in names}) < len(names):  # programs differ in which of the two they use
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
    import olefile  # only Outlook's files need it

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
    """Whether *data* begins as a mail: a From header with an address, two more headers, then an empty line."""
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
