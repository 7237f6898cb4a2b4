"""Cells that a spreadsheet shows and never runs."""

RUN_AS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a cell must not begin with; a spreadsheet takes the full-width forms for the plain ones."""


def defused(text: str) -> str:
    """Return *text* as a cell: with a leading apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(RUN_AS_FORMULA) else text
