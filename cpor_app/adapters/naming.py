"""The names by which a customer knows what is claimed: the catalogue's, never ids."""

from collections.abc import Iterable

from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Item


def engagement_name(catalogue: Catalogue, claim: Claim) -> str:
    """Return the engagement's name."""
    return catalogue.engagement(claim.engagement).name


def item_names(catalogue: Catalogue, claim: Claim, items: Iterable[Item]) -> tuple[str, ...]:
    """Return the names of items; a subscription's id stands behind its product, because a tenant can have several."""
    names = {listed.id: listed.name for listed in catalogue.engagement(claim.engagement).items}
    return tuple(
        names.get(item.workload, item.workload)
        if item.workload is not None
        else f"{names.get(item.product or '', item.product)} ({item.subscription_id})"
        for item in items
    )
