"""The tables of days besides public holidays: those that a law makes days off, and those that stay business days."""

from babel import Locale

from cpor_core.rules.days_off_by_law import COUNTED, NOT_COUNTED
from tools.pages.markdown import code, listed, table

_TERRITORIES = Locale("en").territories


def counted() -> str:
    """Return the table of days that the laws on time limits name."""
    rows = (
        (
            f"{_TERRITORIES[rule.country]} ({code(rule.country)})",
            rule.days,
            code(rule.category) if rule.category is not None else "none",
            f"[{rule.law}]({rule.source})",
        )
        for rule in COUNTED
    )
    return "\n".join(table(("country", "days off", "category of the data", "law"), rows))


def left() -> str:
    """Return the table of categories whose days are business days."""
    rows = ((listed(each.categories.split()), each.countries.replace(" ", ", "), each.why) for each in NOT_COUNTED)
    return "\n".join(table(("category of the data", "countries", "why"), rows))
