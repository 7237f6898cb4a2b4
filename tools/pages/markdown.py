"""Markdown as the pages of `docs` use it."""

import re
from collections.abc import Iterable, Iterator, Mapping

_BLOCK = re.compile(r"(?P<begin><!-- made from the code: (?P<name>[a-z-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table; a cell's `|` is escaped."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def code(text: object) -> str:
    """Return *text* as code, in a table cell too."""
    return f"`{text}`"


def listed(texts: Iterable[str]) -> str:
    """Return the codes of *texts*, commas between; a dash for none."""
    return ", ".join(code(text) for text in texts) or "–"


def names(text: str) -> frozenset[str]:
    """Return the names of the blocks of a page."""
    return frozenset(block["name"] for block in _BLOCK.finditer(text))


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Return the page *text* with each of its blocks made anew. Raises KeyError for a block that nobody makes."""
    return _BLOCK.sub(lambda block: f"{block['begin']}\n{blocks[block['name']].strip()}\n\n{block['end']}", text)
