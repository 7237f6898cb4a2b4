"""
Writes `docs/engagements.md` from the catalogue, so that readers see what the service knows.

    python -m tools.engagements_page
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from cpor_app.adapters.catalogue import load_catalogue
from cpor_core.model.catalogue import Catalogue, Engagement, ItemKind, PurchaseChannel, Review

PAGE = Path(__file__).resolve().parents[1] / "docs" / "engagements.md"

_HEAD = """\
# Engagements

What a partner can claim, and by which rules. This page is written by `python -m tools.engagements_page` from
`cpor_app/catalogue/engagements.toml`, where the source of each list stands beside it: change that file, not this page.
`GET /api/engagements` answers the same.

A claim names one engagement and some of its items. A *workload* is claimed for the whole tenant; a *product* is claimed
for one subscription to it. *Automatic* review means: every check passes and nobody else holds or claims the item, so
the claim goes to the customer without a person. Anything competing is always reviewed by a person.
"""

_OLDER = """\
## Older programmes

A claim sent under one of these is filed under its successor and keeps the older name in `filedAs`. Associations made
under them in the past can be imported, read, ended and reported; they hold the successor's slots.
"""

_CHANNELS = {
    PurchaseChannel.EA: "Enterprise Agreement",
    PurchaseChannel.WEB_DIRECT: "web direct",
    PurchaseChannel.CSP: "Cloud Solution Provider",
    PurchaseChannel.ANY: "any",
}


def page(catalogue: Catalogue) -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(_section(engagement) for engagement in catalogue.current), *_older(catalogue)])


def _section(engagement: Engagement) -> str:
    facts = {
        "Formerly": "; ".join(engagement.former_names),
        "Claimed for": "workloads" if engagement.item_kind is ItemKind.WORKLOAD else "subscriptions",
        "Bought through": ", ".join(_CHANNELS[channel] for channel in engagement.channels),
        "Incentive": _incentive(engagement),
        "Review": "automatic" if engagement.review is Review.AUTOMATIC else "by a person",
        "Evidence": "needed" if engagement.evidence_needed else "not needed",
        "Needed beyond the common fields": ", ".join(f"`revenue.{field}`" for field in engagement.extra_fields),
    }
    return "\n".join(
        [
            f"## {engagement.name}",
            "",
            f"`{engagement.id}`",
            "",
            *(f"- {name}: {value}" for name, value in facts.items() if value),
            "",
            *_table(("id", "name"), ((f"`{item.id}`", item.name) for item in engagement.items)),
        ]
    )


def _incentive(engagement: Engagement) -> str:
    if not engagement.incentivised:
        return "none"
    return "yes; a claim may waive it" if engagement.incentive_may_be_waived else "yes"


def _older(catalogue: Catalogue) -> Iterator[str]:
    older = [engagement for engagement in catalogue.engagements if engagement.successor is not None]
    if older:
        rows = ((f"`{engagement.id}`", engagement.name, f"`{engagement.successor}`") for engagement in older)
        yield "\n".join([_OLDER, *_table(("id", "name", "successor"), rows)])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(load_catalogue()), encoding="utf-8")
