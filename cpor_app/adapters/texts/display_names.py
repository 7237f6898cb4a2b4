"""Names and words that mails and pages share."""

from collections.abc import Iterable

from cpor_app.adapters.texts.facts import DeclinedBy
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Item, Speaker


def engagement_name(catalogue: Catalogue, claim: Claim) -> str:
    """Return the engagement's name."""
    return catalogue.engagement(claim.engagement).name


def item_names(catalogue: Catalogue, claim: Claim, items: Iterable[Item]) -> tuple[str, ...]:
    """Return the names of items. A product's name includes the subscription id, because a tenant can have several."""
    names = {listed.id: listed.name for listed in catalogue.engagement(claim.engagement).items}
    return tuple(
        names.get(item.workload, item.workload)
        if item.workload is not None
        else f"{names.get(item.product or '', item.product)} ({item.subscription_id})"
        for item in items
    )


def declined_by(claim: Claim, reader: Speaker) -> DeclinedBy | None:
    """Return the word for the person who said the no, in a text for *reader*. None if that person is not known."""
    if claim.no is None:
        return None
    return DeclinedBy.YOU if reader.is_same(claim.no.by) else DeclinedBy(claim.no.by.voice)
