"""What mails and page share: names as customers know them, and what a customer was notified of."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from cpor_app.adapters.texts.texts import DeclinedBy
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.claim import Claim, Item, SkippedDay, Speaker


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


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """What a notice said. An association of the past had none: its facts come from the import."""

    customer_name: str
    time_zone: str
    country: str | None = None
    last_day: date | None = None
    skipped_days: tuple[SkippedDay, ...] = ()
    incumbents: tuple[str, ...] = ()
    corrected: bool = False


def notice_facts(claim: Claim) -> NoticeFacts:
    """Return what the notice of a claim said. Raises ValueError when the claim never had a notice or an import."""
    if claim.imported is not None:
        return NoticeFacts(claim.imported.customer_name, claim.imported.time_zone, claim.imported.country)
    promised = claim.promise
    if promised is None:
        msg = f"claim {claim.id} has neither a promise nor an import"
        raise ValueError(msg)
    return NoticeFacts(
        customer_name=promised.customer_name,
        time_zone=promised.time_zone,
        country=promised.calendar.partition("-")[0] if promised.calendar is not None else None,
        last_day=promised.last_day,
        skipped_days=promised.skipped_days,
        incumbents=promised.incumbents,
        corrected=promised.corrected,
    )
