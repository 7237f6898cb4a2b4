"""Writes Markdown for the pages of `docs`."""

import re
from collections.abc import Iterable, Iterator, Mapping

_BLOCK = re.compile(r"(?P<begin><!-- made from the code: (?P<name>[a-z-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table. A `|` in a cell is escaped."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def code(text: object) -> str:
    """Return *text* as inline code, which also works in a table cell."""
    return f"`{text}`"


def listed(texts: Iterable[str]) -> str:
    """Return *texts* as inline code, separated by commas, or a dash if there are none."""
    return ", ".join(code(text) for text in texts) or "–"


def names(text: str) -> frozenset[str]:
    """Return the names of the blocks of a page."""
    return frozenset(block["name"] for block in _BLOCK.finditer(text))


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Return the page *text* with its parts replaced by *blocks*. Raises KeyError for a part without a block."""
    return _BLOCK.sub(lambda block: f"{block['begin']}\n{blocks[block['name']].strip()}\n\n{block['end']}", text)
