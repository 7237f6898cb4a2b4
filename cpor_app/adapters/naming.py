"""What mails and page have in common: the names by which a customer knows what is claimed, and what was promised."""

from collections.abc import Iterable

from cpor_app.adapters.texts import SkippedDay
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Item, Promise


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


def promise_of(claim: Claim) -> Promise:
    """Return what the customer was promised. Raises ValueError for a claim of which nobody was ever to be told."""
    if claim.promise is None:
        msg = f"claim {claim.id} was never announced, so there is nobody to write to"
        raise ValueError(msg)
    return claim.promise


def skipped_days(promised: Promise) -> tuple[SkippedDay, ...]:
    """Return the days that do not count, as mails and page write them."""
    return tuple(SkippedDay(day.date, day.name, day.kind) for day in promised.skipped_days)
