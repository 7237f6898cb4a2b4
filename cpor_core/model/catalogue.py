"""The engagements, with the workloads and products that can be claimed, their kind of review and their older names."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from cpor_core.model.base import Flag, Slug, Text200, Value
from cpor_core.model.registry import Channel


class ItemKind(StrEnum):
    """The kind of an engagement's items: workloads of the tenant, or subscriptions to products."""

    WORKLOAD = "workload"
    SUBSCRIPTION = "subscription"


class Review(StrEnum):
    """Whether a reviewer or the service validates a claim that passes every check and has no rival."""

    MANUAL = "manual"
    AUTOMATIC = "automatic"


class PurchaseChannel(StrEnum):
    """The channel through which a claimed item was bought: a registry's `Channel`, or `any` of them."""

    EA = "EA"
    WEB_DIRECT = "WebDirect"
    CSP = "CSP"
    ANY = "any"


class ExtraField(StrEnum):
    """A field of a claim's `revenue` that only some engagements need."""

    SOLUTION_SELLER = "solutionSeller"
    CUSTOMER_NAME = "customerName"
    ISV_SOLUTION = "isvSolution"


class Claimable(Value):
    """A workload or product that can be claimed."""

    id: Slug
    name: Text200


Claimables = Annotated[tuple[Claimable, ...], Field(min_length=1)]


class ListedEngagement(Value):
    """An engagement as callers read it. It has either `workloads` or `products`."""

    id: Slug
    name: Text200
    former_names: tuple[Text200, ...] = ()
    item_kind: ItemKind
    channels: Annotated[tuple[PurchaseChannel, ...], Field(min_length=1)]
    incentivised: Flag
    review: Review
    retired: Flag = False
    successor: Slug | None = None
    workloads: Annotated[Claimables | None, Field(exclude_if=lambda listed: listed is None)] = None
    products: Annotated[Claimables | None, Field(exclude_if=lambda listed: listed is None)] = None


class Engagement(ListedEngagement):
    """One engagement, with the fields that only the checks need."""

    incentive_may_be_waived: Flag = False
    extra_fields: tuple[ExtraField, ...] = ()
    evidence_needed: Flag = True

    @property
    def items(self) -> tuple[Claimable, ...]:
        """The workloads or products of the engagement."""
        return self.workloads or self.products or ()

    def lists(self, item: str) -> bool:
        """Whether *item* is the id of a workload or product of the engagement."""
        return any(listed.id == item for listed in self.items)

    def takes(self, channel: Channel) -> bool:
        """Whether a subscription bought through *channel* can be claimed."""
        return PurchaseChannel.ANY in self.channels or PurchaseChannel(channel.value) in self.channels

    def as_listed(self) -> ListedEngagement:
        """Return the engagement as callers read it."""
        return ListedEngagement.model_validate({name: getattr(self, name) for name in ListedEngagement.model_fields})

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.retired != (self.successor is not None):
            raise ValueError(f"{self.id}: a retired engagement must name a successor, a current one must not")
        by_kind = {ItemKind.WORKLOAD: self.workloads, ItemKind.SUBSCRIPTION: self.products}
        if [kind for kind, listed in by_kind.items() if listed is not None] != [self.item_kind]:
            raise ValueError(
                f"{self.id}: must list `workloads` if the item kind is workload, or `products` if it is subscription"
            )
        if PurchaseChannel.ANY in self.channels and len(self.channels) > 1:
            raise ValueError(f"{self.id}: `any` cannot be combined with other channels")
        if self.item_kind is ItemKind.WORKLOAD and PurchaseChannel.ANY not in self.channels:
            raise ValueError(f"{self.id}: `channels` must be `any`: nobody knows how a workload was bought")
        if self.incentive_may_be_waived and not self.incentivised:
            raise ValueError(f"{self.id}: there is no incentive to waive")
        _verify_unique(f"{self.id}: item", (listed.id for listed in self.items))
        _verify_unique(f"{self.id}: channel", self.channels)
        _verify_unique(f"{self.id}: extra field", self.extra_fields)
        return self


class Catalogue(Value):
    """All engagements, current and retired, in the order in which they are shown."""

    engagements: tuple[Engagement, ...]

    @property
    def current(self) -> tuple[Engagement, ...]:
        """The engagements that a claim can be filed under."""
        return tuple(engagement for engagement in self.engagements if not engagement.retired)

    def find(self, engagement_id: str) -> Engagement | None:
        """Return the engagement with this id, current or retired. None if no engagement has the id."""
        return next((engagement for engagement in self.engagements if engagement.id == engagement_id), None)

    def engagement(self, engagement_id: str) -> Engagement:
        """Return the engagement with an id that was checked before, current or retired. Raises KeyError."""
        found = self.find(engagement_id)
        if found is None:
            raise KeyError(engagement_id)
        return found

    @property
    def item_names(self) -> Mapping[str, str]:
        """The names of all workloads and products, by id."""
        return {item.id: item.name for engagement in self.engagements for item in engagement.items}

    def filed_under(self, engagement_id: str) -> tuple[Engagement, str | None] | None:
        """
        Return the current engagement of a claim that was sent with this id. None if no engagement has the id.

        The second value is the sent id if it is the id of a retired engagement, otherwise None.
        """
        sent = self.find(engagement_id)
        if sent is None:
            return None
        return (sent, None) if sent.successor is None else (self.engagement(sent.successor), sent.id)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        _verify_unique("engagement", (engagement.id for engagement in self.engagements))
        for engagement in self.engagements:
            if engagement.successor is not None:
                _verify_succession(engagement, self.find(engagement.successor))
        names = {(item.id, item.name) for engagement in self.engagements for item in engagement.items}
        _verify_unique("name of one item", (item for item, _ in names))
        return self


def _verify_succession(retired: Engagement, successor: Engagement | None) -> None:
    if successor is None or successor.retired:
        raise ValueError(f"{retired.id}: the successor {retired.successor} is no current engagement")
    # An association of a retired engagement holds a slot of the successor. So the successor must list the same items.
    lacking = [item.id for item in retired.items if not successor.lists(item.id)]
    if successor.item_kind is not retired.item_kind or lacking:
        raise ValueError(
            f"{retired.id}: the successor {successor.id} does not list {', '.join(lacking) or 'the same kind of item'}"
        )


def _verify_unique(what: str, ids: Iterable[str]) -> None:
    twice = sorted(named for named, times in Counter(ids).items() if times > 1)
    if twice:
        raise ValueError(f"{what} twice: {', '.join(twice)}")
