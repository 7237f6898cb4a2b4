"""Who is known to the programme: partners by location, customers by tenant."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cpor_core.model.base import AtMost, Count, Day, Email, Flag, Guid, Slug, Text100, Text200, Value, in_form

MAX_SUBSCRIPTIONS = 500
MAX_NOTICE_ADDRESSES = 10
MAX_WORKLOADS = 200
MAX_ENGAGEMENTS = 50
_DOMAIN = r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
_COUNTRY = "^[A-Z]{2}$"
_SUBDIVISION = "^[A-Za-z0-9]{1,6}$"
Domain = Annotated[
    str,
    Field(max_length=253, json_schema_extra={"pattern": _DOMAIN}),
    in_form(_DOMAIN, "must be a domain, such as contoso.fr"),
]
Language = Annotated[str, Field(min_length=1, max_length=35, description="A tag of BCP 47, such as fr or fr-CA.")]
Country = Annotated[
    str,
    Field(json_schema_extra={"pattern": _COUNTRY}),
    in_form(_COUNTRY, "must be a country's two capital letters in ISO 3166, such as FR"),
]
Subdivision = Annotated[
    str,
    Field(json_schema_extra={"pattern": _SUBDIVISION}),
    in_form(_SUBDIVISION, "must be a subdivision's code in ISO 3166 without its country, such as SCT"),
]
TimeZone = Annotated[str, Field(min_length=1, max_length=60)]


class Channel(StrEnum):
    """How a subscription was bought."""

    EA = "EA"
    WEB_DIRECT = "WebDirect"
    CSP = "CSP"


class SubscriptionState(StrEnum):  # decision 32
    """The life of a subscription; an item lives while it is `active` or `grace`."""

    NOT_PROVISIONED = "notProvisioned"
    ACTIVE = "active"
    GRACE = "grace"
    DISABLED = "disabled"


class Subscription(Value):
    """One subscription on a customer's tenant."""

    subscription_id: Guid
    product: Slug
    channel: Channel
    state: SubscriptionState
    seats: Count


class Partner(Value):
    """A partner location as the operator registers it."""

    name: Text200
    entra_tenant_id: Guid
    country: Country
    subdivision: Subdivision | None = None
    time_zone: TimeZone = "UTC"
    language: Language = "en"
    enrolled_engagements: Annotated[tuple[Slug, ...], AtMost(MAX_ENGAGEMENTS)]


class Customer(Value):
    """A customer's tenant as the operator registers it."""

    name: Text200
    domains: Annotated[tuple[Domain, ...], Field(min_length=1), AtMost(MAX_ENGAGEMENTS)]
    country: Country
    subdivision: Subdivision | None = None
    time_zone: TimeZone
    time_zone_elsewhere: Annotated[
        Flag, Field(exclude_if=lambda flag: not flag, description="The zone is right, though not one of the country.")
    ] = False
    language: Language = "en"
    notice_addresses: Annotated[tuple[Email, ...], AtMost(MAX_NOTICE_ADDRESSES)] = ()
    workloads: Annotated[tuple[Slug, ...], AtMost(MAX_WORKLOADS)] = ()
    subscriptions: Annotated[tuple[Subscription, ...], AtMost(MAX_SUBSCRIPTIONS)] = ()

    @property
    def item_keys(self) -> frozenset[str]:
        """What figures can be about: the ids of its workloads and subscriptions, in whatever state."""
        return frozenset(self.workloads) | {one.subscription_id for one in self.subscriptions}

    def has_domain(self, domain: str) -> bool:
        """Whether *domain* is one of the tenant's verified domains."""
        return domain.lower() in {one.lower() for one in self.domains}

    def has_address(self, email: str) -> bool:
        """Whether a mail address lies in one of the tenant's verified domains."""
        return self.has_domain(email.rpartition("@")[2])


class ClosedDay(Value):
    """A day on which a place is closed, though its holidays do not say so, as the operator registers it."""

    name: Annotated[Text100, Field(description="What customers read among the days that do not count.")]


class RegisteredClosedDay(ClosedDay):
    """A closed day with its place and date; `calendar` is a country, or one subdivision of it: `FR`, `GB-SCT`."""

    calendar: str
    date: Day
