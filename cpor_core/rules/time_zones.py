"""Time zones of the IANA database, and the countries that they belong to."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


def verify_time_zone(time_zone: str) -> None:
    """Raise ValueError unless *time_zone* is a name in the IANA time zone database."""
    if time_zone not in _time_zones():
        raise ValueError(f"{time_zone!r} is not a time zone of the IANA database, such as Europe/Paris")


def lies_elsewhere(time_zone: str, country: str) -> bool:
    """
    Whether the database lists zones for *country*, but not *time_zone* (decision 57).

    Both `zone.tab` and `zone1970.tab` are used, because many countries have no own zone in the second table. An older
    name counts as its present name, so `US/Eastern` belongs to the United States. `UTC` and `Etc/…` belong to no
    country.
    """
    zones = _zones_by_country().get(country, frozenset())
    return bool(zones) and _links().get(time_zone, time_zone) not in zones


def zones_of(country: str) -> tuple[str, ...]:
    """Return the zones that `zone.tab` lists for *country*, in the order of the table."""
    return tuple(zone for countries, zone in _listed("zone.tab") if country in countries)


@cache
def _time_zones() -> frozenset[str]:
    # The list is in the pinned package. A folder of zones on the machine can contain files that are no zones.
    names = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(names) - {"Factory"}


@cache
def _zones_by_country() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for table in ("zone.tab", "zone1970.tab"):
        for countries, zone in _listed(table):
            for country in countries:
                found.setdefault(country, set()).add(_links().get(zone, zone))
    return MappingProxyType({country: frozenset(zones) for country, zones in found.items()})


def _listed(table: str) -> Iterator[tuple[list[str], str]]:
    """Yield the countries and the name of each zone in a table."""
    for line in files("tzdata").joinpath("zoneinfo", table).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            countries, _, zone, *_ = line.split("\t")
            yield countries.split(","), zone


@cache
def _links() -> Mapping[str, str]:
    """Return the present name of each zone with an older name. A link never leads to another link."""
    lines = files("tzdata").joinpath("zoneinfo", "tzdata.zi").read_text(encoding="utf-8").splitlines()
    links = (line.split(" ") for line in lines if line.startswith("L "))
    return MappingProxyType({name: zone for _, zone, name in links})
