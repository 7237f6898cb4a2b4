"""Webhooks of a partner organisation: address, secrets, and the outcome of each call."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from cpor_core.model.base import AtMost, InForm, Instant, Slug, Value
from cpor_core.model.change import Change
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.history import Act

EVENT_PREFIX = "cpor."
COMPETING = "claim.competing"
NOTE_CHANGED = "claim.noteChanged"
KNOWN_TYPES = frozenset({COMPETING, NOTE_CHANGED, *(f"claim.{act}" for act in Act)})
"""All types of changes in the feed."""
MOST_FILTERS = 50
MAX_URL_CHARACTERS = 2000


def _event(sent: str) -> str:
    wanted = sent.removeprefix(EVENT_PREFIX)
    if not any(is_of(known, wanted) for known in KNOWN_TYPES):
        raise ValueError("must be a type of change, such as claim.submitted, or the words before a dot, such as claim")
    return wanted


def is_of(kind: str, wanted: str) -> bool:
    """Whether a change's type is *wanted*, or starts with *wanted* and a dot."""
    return kind == wanted or kind.startswith(f"{wanted}.")


EventFilter = Annotated[str, StringConstraints(max_length=100), AfterValidator(_event)]
"""A type of change, or its words before a dot. A prefix `cpor.` is accepted and removed."""
WebhookUrl = Annotated[
    str,
    Field(max_length=MAX_URL_CHARACTERS, json_schema_extra={"minLength": 1}),
    InForm(r"^[\x21-\x7e]+$", "must be an address without blanks, such as https://adatum.example/hooks/cpor"),
]


class WebhookWanted(Value):
    """A webhook as the caller sends it."""

    url: WebhookUrl = Field(
        description="The service sends each change to this address by POST. It is a public https address."
    )
    events: Annotated[tuple[EventFilter, ...], Field(min_length=1), AtMost(MOST_FILTERS)] | None = Field(
        default=None,
        description="The webhook gets only changes of these types. An entry is a type, such as `claim.submitted`, or "
        "the words before a dot, such as `claim`. Without this field the webhook gets every change.",
    )


class WebhookStatus(StrEnum):
    """Whether a webhook is called."""

    ACTIVE = "active"
    DISABLED = "disabled"


class WhyDisabled(StrEnum):
    """Why the service has disabled a webhook."""

    GONE = "gone"


class Secret(Value):
    """A signing secret. A former secret has the instant `until`, and signs too until then."""

    text: str = Field(repr=False)
    until: Instant | None = None


class Range(Value):
    """A range of time. The instant `from` is in the range, the instant `to` is not."""

    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")


class Replay(Value):
    """A running replay. It sends the changes of `range` with a sequence above `after` and up to `last`."""

    id: str
    range: Range
    after: int
    last: int


class Webhook(Value):
    """A webhook as it is stored."""

    name: Slug
    born: str
    """A text that is different for each webhook, also for a later webhook under the same name."""
    url: str
    events: tuple[str, ...] | None = None
    secrets: tuple[Secret, ...]
    """The newest first."""
    status: WebhookStatus = WebhookStatus.ACTIVE
    why: WhyDisabled | None = None
    since: Instant
    """The instant from which the webhook has this status."""
    created_at: Instant
    scheduled: int
    """The sequence of the last change in the feed that has deliveries."""
    replay: Replay | None = None
    version: int = 1
    """Each change that the owner can see adds one."""

    @property
    def key(self) -> tuple[str, str]:
        """The name and `born`. A later webhook under the same name has another key."""
        return self.name, self.born

    def wants(self, change: Change) -> bool:
        """Whether the owner wants changes of this type."""
        return self.events is None or any(is_of(change.type, wanted) for wanted in self.events)


class CallOutcome(StrEnum):
    """The outcome of a call."""

    ANSWERED = "answered"
    TIMED_OUT = "timedOut"
    NOT_REACHED = "notReached"
    HUNG_UP = "hungUp"
    ADDRESS_REFUSED = "addressRefused"


class Attempt(Value):
    """One call of a receiver. `status` is the HTTP status of the receiver's answer."""

    at: Instant
    outcome: CallOutcome
    status: int | None = LEFT_OUT


class DeliveryState(StrEnum):
    """The state of a delivery. It is pending until the receiver accepts it, or until the service stops trying."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Value):
    """One event on its way to one webhook. A test event has no `change`."""

    place: str
    """Its position among the deliveries of its webhook, newest first."""
    webhook_id: str
    event_id: str
    change: Change | None = None
    replayed: bool = False
    state: DeliveryState = DeliveryState.PENDING
    created_at: Instant
    first_attempt_at: Instant | None = None
    next_attempt: Instant | None = None
    attempts: tuple[Attempt, ...] = ()
    """The newest last."""

    @property
    def type(self) -> str:
        """The event's type."""
        return EVENT_PREFIX + (self.change.type if self.change is not None else "webhook.test")
