"""What mails and page share: names as customers know them, and what a customer was notified of."""

from collections.abc import Iterable

from cpor_app.adapters.texts.facts import DeclinedBy
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Item, Speaker


def engagement_name(catalogue: Catalogue, claim: Claim) -> str:
    """Return the engagement's name."""
    return catalogue.engagement(claim.engagement).name


def item_names(catalogue: Catalogue, claim: Claim, items: Iterable[Item]) -> tuple[str, ...]:
    """Return the names of items. A subscription's id follows its product, because a tenant can have several."""
    names = {listed.id: listed.name for listed in catalogue.engagement(claim.engagement).items}
    return tuple(
        names.get(item.workload, item.workload)
        if item.workload is not None
        else f"{names.get(item.product or '', item.product)} ({item.subscription_id})"
        for item in items
    )


def declined_by(claim: Claim, reader: Speaker) -> DeclinedBy | None:
    """Return who said the no, as this reader is told. None when that is not known."""
    if claim.no is None:
        return None
    return DeclinedBy.YOU if reader.is_same(claim.no.by) else DeclinedBy(claim.no.by.voice)
