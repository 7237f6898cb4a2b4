"""Makes CSV tables for spreadsheets: UTF-8 with a byte order mark, commas, CR LF. No cell can run as a formula."""

import csv
import re
from collections.abc import Iterable
from io import StringIO

UTF8_MARK = "\ufeff"
"""The byte order mark. Without it Excel reads the file in an older code page."""
RUN_AS_FORMULA = re.compile(r"[\t\r\n]|[\s\u200b-\u200d\u2060\ufeff]*[=+@＝＋－＠-]")
"""
A cell that begins like this can run as a formula. Some spreadsheets read full-width signs as plain signs, and ignore
invisible characters before them.
"""


def defused(text: str) -> str:
    """Return *text* as a cell: with a leading apostrophe if a spreadsheet could read it as a formula."""
    return f"'{text}" if RUN_AS_FORMULA.match(text) else text


def spreadsheet(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    """Return the table as a file. Its first row has the column names."""
    return UTF8_MARK.encode() + without_columns([columns]) + without_columns(rows)


def without_columns(rows: Iterable[Iterable[str]]) -> bytes:
    """Return the rows as the next part of a file."""
    table = StringIO(newline="")
    csv.writer(table).writerows([defused(cell) for cell in row] for row in rows)
    return table.getvalue().encode()
