"""Makes the lists of engagements from the catalogue."""

from collections.abc import Iterator

from cpor_core.model.catalogue import Catalogue, Engagement, ItemKind, PurchaseChannel, Review
from tools.pages.markdown import code, table

_OLDER = """\
## Older programmes

A claim may name one of these older programmes. The service then files the claim under the successor, with the rules and
slots of the successor. `filedAs` keeps the id of the older programme. *Incentive* says whether the older programme
paid one.
"""

_CHANNELS = {
    PurchaseChannel.EA: "Enterprise Agreement",
    PurchaseChannel.WEB_DIRECT: "web direct",
    PurchaseChannel.CSP: "Cloud Solution Provider",
    PurchaseChannel.ANY: "any",
}


def engagements(catalogue: Catalogue) -> str:
    """Return the text for every engagement, and at the end the older programmes."""
    return "\n".join([*(_section(engagement) for engagement in catalogue.current), *_older(catalogue)])


def _section(engagement: Engagement) -> str:
    facts = {
        "Formerly": "; ".join(engagement.former_names),
        "Claimed for": "workloads" if engagement.item_kind is ItemKind.WORKLOAD else "subscriptions",
        "Bought through": ", ".join(_CHANNELS[channel] for channel in engagement.channels),
        "Incentive": _incentive(engagement),
        "Review": "automatic" if engagement.review is Review.AUTOMATIC else "by a person",
        "Evidence": "needed" if engagement.evidence_needed else "not needed",
        "Needed beyond the common fields": ", ".join(code(f"revenue.{field}") for field in engagement.extra_fields),
    }
    return "\n".join(
        [
            f"## {engagement.name}",
            "",
            code(engagement.id),
            "",
            *(f"- {name}: {value}" for name, value in facts.items() if value),
            "",
            *table(("id", "name"), ((code(item.id), item.name) for item in engagement.items)),
            "",
        ]
    )


def _incentive(engagement: Engagement) -> str:
    waivable = engagement.incentivised and engagement.incentive_may_be_waived
    return "yes; a claim may waive it" if waivable else _incentivised(engagement)


def _older(catalogue: Catalogue) -> Iterator[str]:
    older = [engagement for engagement in catalogue.engagements if engagement.successor is not None]
    if older:
        rows = ((code(one.id), one.name, _incentivised(one), code(one.successor)) for one in older)
        yield "\n".join([_OLDER, *table(("id", "name", "incentive", "successor"), rows)])


def _incentivised(engagement: Engagement) -> str:
    return "yes" if engagement.incentivised else "none"
