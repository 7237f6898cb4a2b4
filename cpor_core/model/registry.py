"""The registry of the programme: partners by location, customers by tenant, and closed days."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cpor_core.model.base import AtMost, Count, Day, Email, Flag, Guid, InForm, Slug, Text100, Text200, Value

MAX_SUBSCRIPTIONS = 500
MAX_NOTICE_ADDRESSES = 10
MAX_WORKLOADS = 200
MAX_ENGAGEMENTS = 50
Domain = Annotated[
    str,
    Field(max_length=253),
    InForm(r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", "must be a domain, such as contoso.fr"),
]
Language = Annotated[str, Field(min_length=1, max_length=35, description="A tag of BCP 47, such as fr or fr-CA.")]
Country = Annotated[
    str,
    InForm("^[A-Z]{2}$", "must be a country's two capital letters in ISO 3166, such as FR"),
]
Subdivision = Annotated[
    str,
    InForm("^[A-Za-z0-9]{1,6}$", "must be a subdivision's code in ISO 3166 without its country, such as SCT"),
]
TimeZone = Annotated[str, Field(min_length=1, max_length=60)]


class Channel(StrEnum):
    """How a subscription was bought."""

    EA = "EA"
    WEB_DIRECT = "WebDirect"
    CSP = "CSP"


class SubscriptionState(StrEnum):  # decision 32
    """The state of a subscription. Its item can be claimed and held in the states `active` and `grace`."""

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
        Flag,
        Field(
            exclude_if=lambda flag: not flag,
            description="True if the time zone is right although it is in another country.",
        ),
    ] = False
    language: Language = "en"
    notice_addresses: Annotated[tuple[Email, ...], AtMost(MAX_NOTICE_ADDRESSES)] = ()
    workloads: Annotated[tuple[Slug, ...], AtMost(MAX_WORKLOADS)] = ()
    subscriptions: Annotated[tuple[Subscription, ...], AtMost(MAX_SUBSCRIPTIONS)] = ()

    @property
    def item_keys(self) -> frozenset[str]:
        """The ids of the tenant's workloads and subscriptions, in all states. Figures are about these items."""
        return frozenset(self.workloads) | {one.subscription_id for one in self.subscriptions}

    def has_domain(self, domain: str) -> bool:
        """Whether *domain* is one of the tenant's verified domains."""
        return domain.lower() in {one.lower() for one in self.domains}

    def has_address(self, email: str) -> bool:
        """Whether the domain of a mail address is one of the tenant's verified domains."""
        return self.has_domain(email.rpartition("@")[2])


class ClosedDay(Value):
    """A day that the operator takes out of a country's or subdivision's business days."""

    name: Annotated[Text100, Field(description="The name that customers read in the list of skipped days.")]


class RegisteredClosedDay(ClosedDay):
    """A closed day with its date. `calendar` is a country or a subdivision of a country, such as `FR` or `GB-SCT`."""

    calendar: str
    date: Day
