"""Finds all faults of a registry entry at once, and its unknown items (decisions 57, 74)."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from cpor_core.errors import Detail
from cpor_core.model.base import MAX_SLUG_CHARACTERS
from cpor_core.model.catalogue import Catalogue, ItemKind
from cpor_core.model.registry import MAX_ENGAGEMENTS, MAX_SUBSCRIPTIONS, MAX_WORKLOADS, Customer
from cpor_core.rules.business_days import verify_country
from cpor_core.rules.time_zones import lies_elsewhere, verify_time_zone, zones_of

SHORT_NAME: Final = 6
"""In a shorter name, one difference counts as a typing error. In a longer name, two differences do."""
ZONES_NAMED: Final = 3

_NO_SLUG: Final = re.compile("[^a-z0-9]+")
"""The separators of words in a name as people write it, such as `Dynamics 365 Sales`."""
_LANGUAGE_TAG: Final = re.compile(
    r"""
    [a-z]{2,3}(-[a-z]{3}){0,3}                  # language and its extensions, as far as registered
      (-[a-z]{4})?                              # script
      (-([a-z]{2}|[0-9]{3}))?                   # region
      (-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*      # variants
      (-[a-wyz0-9](-[a-z0-9]{2,8})+)*           # extensions
      (-x(-[a-z0-9]{1,8})+)?                    # private use
    | x(-[a-z0-9]{1,8})+
    | i-(ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu) | en-gb-oed | sgn-(be-fr|be-nl|ch-de)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
"""The form of a BCP 47 tag (RFC 5646, 2.1). The last line has the registered tags of another form."""


def faults_of_partner(sent: Mapping[str, object], catalogue: Catalogue) -> Iterator[Detail]:
    """
    Yield each fault in the content of a partner's location.

    *sent* is the entry as JSON. Its form can be wrong too, so a field of the wrong type is skipped here. The operator
    sees the faults of the content together with the faults of the form.
    """
    yield from _place(sent)
    for position, name in enumerate(_listed(sent, "enrolledEngagements", MAX_ENGAGEMENTS)):
        if isinstance(name, str) and catalogue.filed_under(name) is None:
            yield Detail(
                "EngagementUnknown",
                f"There is no engagement {name[:MAX_SLUG_CHARACTERS]!r}.",
                f"enrolledEngagements[{position}]",
                "GET /engagements lists them.",
            )


def faults_of_customer(sent: Mapping[str, object], catalogue: Catalogue) -> Iterator[Detail]:
    """Yield each fault in the content of a customer's tenant. An unknown workload or product is no fault."""
    place = list(_place(sent))
    yield from place
    country, zone = sent.get("country"), sent.get("timeZone")
    is_judged = isinstance(country, str) and isinstance(zone, str) and sent.get("timeZoneElsewhere") is not True
    if is_judged and not {"country", "timeZone"} & {fault.target for fault in place}:
        yield from _zone_elsewhere(str(country), str(zone))
    known = _known(catalogue, ItemKind.WORKLOAD)
    for position, name in enumerate(_listed(sent, "workloads", MAX_WORKLOADS)):
        yield from _slip("workload", name, known, f"workloads[{position}]")
    known = _known(catalogue, ItemKind.SUBSCRIPTION)
    seen: set[str] = set()
    for position, entry in enumerate(_listed(sent, "subscriptions", MAX_SUBSCRIPTIONS)):
        subscription = entry if isinstance(entry, Mapping) else {}
        yield from _slip("product", subscription.get("product"), known, f"subscriptions[{position}].product")
        name = subscription.get("subscriptionId")
        if isinstance(name, str) and name.lower() in seen:
            target = f"subscriptions[{position}].subscriptionId"
            yield Detail(
                "ValidationFailed", "The same subscription is named twice.", target, "Name each subscription once."
            )
        elif isinstance(name, str):
            seen.add(name.lower())


def _zone_elsewhere(country: str, zone: str) -> Iterator[Detail]:
    if lies_elsewhere(zone, country):
        zones = zones_of(country)
        some = ", ".join((*zones[:ZONES_NAMED], *("…" for _ in zones[ZONES_NAMED : ZONES_NAMED + 1])))
        yield Detail(
            "TimeZoneElsewhere",
            f"The time zone {zone} is not one of {country}.",
            "timeZone",
            f"Use one of {some}, or send timeZoneElsewhere as true if the zone is right.",
        )


def unknown_items(customer: Customer, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the workloads and products of a customer that no engagement lists, each of them once."""
    known = _known(catalogue, ItemKind.WORKLOAD)
    products = _known(catalogue, ItemKind.SUBSCRIPTION)
    unknown = [name for name in customer.workloads if name not in known]
    unknown += [bought.product for bought in customer.subscriptions if bought.product not in products]
    return tuple(dict.fromkeys(unknown))


def is_near(name: str, other: str) -> bool:
    """
    Whether *name* looks like *other* with a typing error: one letter more, less, wrong or swapped.

    In longer names two such errors are possible. Names with different digits are different names: `entra-id-p3` is not
    `entra-id-p2` with a typing error.
    """
    if re.findall("[0-9]", name) != re.findall("[0-9]", other):
        return False
    return _slips(name, other) <= (1 if min(len(name), len(other)) < SHORT_NAME else 2)


def _place(sent: Mapping[str, object]) -> Iterator[Detail]:
    country, subdivision, zone, language = (
        sent.get(name) for name in ("country", "subdivision", "timeZone", "language")
    )
    if isinstance(country, str):
        try:
            verify_country(country)
        except ValueError as error:
            yield Detail("ValidationFailed", f"{error}.", "country", "Use a code of ISO 3166, such as FR.")
        else:
            yield from _subdivision(country, subdivision)
    if isinstance(zone, str):
        try:
            verify_time_zone(zone)
        except ValueError as error:
            yield Detail("ValidationFailed", f"{error}.", "timeZone", "Use an IANA name, such as Europe/Paris.")
    if isinstance(language, str) and _LANGUAGE_TAG.fullmatch(language) is None:
        what = "Use a code of ISO 639. If necessary, add script and region, with hyphens between them."
        yield Detail("ValidationFailed", "The language must be a tag of BCP 47, such as fr or fr-CA.", "language", what)


def _subdivision(country: str, subdivision: object) -> Iterator[Detail]:
    if isinstance(subdivision, str):
        try:
            verify_country(country, subdivision)
        except ValueError as error:
            what = "Use the code without its country, such as SCT with GB, or send no subdivision."
            yield Detail("ValidationFailed", f"{error}.", "subdivision", what)


def _listed(sent: Mapping[str, object], name: str, most: int) -> Sequence[object]:
    listed = sent.get(name)
    return listed[:most] if isinstance(listed, Sequence) and not isinstance(listed, str) else ()


def _known(catalogue: Catalogue, kind: ItemKind) -> frozenset[str]:
    return frozenset(item.id for each in catalogue.engagements if each.item_kind is kind for item in each.items)


def _slip(what: str, name: object, known: Collection[str], target: str) -> Iterator[Detail]:
    if not isinstance(name, str) or name in known or len(name) > MAX_SLUG_CHARACTERS:
        return
    plain = _NO_SLUG.sub("-", name.lower()).strip("-")
    near = sorted((other for other in known if is_near(plain, other)), key=lambda other: (_slips(plain, other), other))
    if near:
        yield Detail("ItemMisspelt", f"There is no {what} {name!r}; {near[0]!r} is near.", target, f"Send {near[0]!r}.")


def _slips(name: str, other: str) -> int:
    """Return the smallest number of typing errors between two names: letters inserted, deleted, replaced or swapped."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(name, start=1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and name[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
