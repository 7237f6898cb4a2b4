"""Tables that a spreadsheet opens: UTF-8 with its mark, commas, CR LF; every cell is shown and never run."""

import csv
import re
from collections.abc import Iterable
from io import StringIO

UTF8_MARK = "\ufeff"
"""Without it Excel takes the file for one in an older code page."""
RUN_AS_FORMULA = re.compile(r"[\t\r\n]|[\s\u200b-\u200d\u2060\ufeff]*[=+@＝＋－＠-]")
"""
How a cell must not begin: a spreadsheet takes the full-width forms for the plain ones, and may drop what is not seen.
"""


def defused(text: str) -> str:
    """Return *text* as a cell: with a leading apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if RUN_AS_FORMULA.match(text) else text


def spreadsheet(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    """Return a table under the names of its columns."""
    table = StringIO(newline="")
    written = csv.writer(table)
    written.writerow(columns)
    written.writerows([defused(cell) for cell in row] for row in rows)
    return (UTF8_MARK + table.getvalue()).encode()
