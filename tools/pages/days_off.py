"""Makes two tables of special days: days that a law makes days off, and days that stay business days."""

from babel import Locale

from cpor_core.rules.days_off_by_law import COUNTED, NOT_COUNTED
from tools.pages.markdown import code, listed, table

_TERRITORIES = Locale("en").territories


def counted() -> str:
    """Return the table of days that laws on time limits make days off."""
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
    """Return the table of days that stay business days, by category of the data."""
    rows = ((listed(each.categories.split()), each.countries.replace(" ", ", "), each.why) for each in NOT_COUNTED)
    return "\n".join(table(("category of the data", "countries", "why"), rows))
