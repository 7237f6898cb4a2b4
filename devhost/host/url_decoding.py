"""Decodes paths, queries and headers like the web server of the real host. Python's libraries decode differently."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote

_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~%"


class BadPath(Exception):
    """The path cannot be decoded. The answer is 400, and no function is called."""


def decoded_path(raw: bytes) -> str:
    """
    Return the path that is compared with routes. It is decoded except for `%2F`, and has no dot segments.

    Bytes that are not UTF-8 stay percent-encoded. Raises BadPath for a NUL.
    """
    text = re.sub(r"(?:%(?!2[fF])[0-9a-fA-F]{2})+", _decoded, raw.decode("latin-1"))
    if "\0" in text:
        raise BadPath
    return _without_dot_segments(text)


def encoded_path(path: str) -> str:
    """Return the path as it appears in the URL that a function gets."""
    return quote(re.sub(r"%(?![0-9a-fA-F]{2})", "%25", path), safe=_PATH_CHARACTERS)


def joined_query(raw: bytes) -> dict[str, str]:
    """
    Return a query as a mapping. Empty values are dropped.

    The other values with the same name are joined with commas. The case of names is ignored.
    """
    return _joined(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name. Empty values are dropped. The others of a name are joined with commas."""
    return _joined((name.decode("latin-1").lower(), value.decode("utf-8", "replace")) for name, value in raw)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        each = values.setdefault(names.setdefault(name.lower(), name), [])
        if value:
            each.append(value)
    return {name: ",".join(each) for name, each in values.items() if each}


def _decoded(run: re.Match[str]) -> str:
    text = bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def _without_dot_segments(path: str) -> str:
    segments: list[str] = []
    *folders, last = path.split("/")[1:]
    for segment in folders:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if last == "..":
        del segments[-1:]
    return "/" + "/".join([*segments, "" if last in {".", ".."} else last])
