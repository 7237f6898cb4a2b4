"""The history of a claim. Each act adds an entry, which has the hash of the entry before (decision 41)."""

import hashlib
import json
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import Reason, Speaker, Status


class ActorKind(StrEnum):
    """The kind of an actor."""

    PERSON = "person"
    APP = "app"
    CUSTOMER = "customer"
    PROGRAMME = "programme"
    CLOCK = "clock"


class Actor(Value):
    """
    The person or program that acted, without personal data.

    For the partner, `id` is the `oid` in the token. For the customer, `id` is the recipient's number or
    `administrator`. For all people of the programme, `id` is `programme`.
    """

    kind: ActorKind
    id: str


CLOCK = Actor.model_construct(kind=ActorKind.CLOCK, id="clock")
PROGRAMME = Actor.model_construct(kind=ActorKind.PROGRAMME, id="programme")
ADMINISTRATOR = Actor.model_construct(kind=ActorKind.CUSTOMER, id="administrator")
"""The customer's administrator. The person's id is stored apart from the entry, because partners read the history."""


def spoken_by(speaker: Speaker) -> Actor:
    """Return the actor for a person who speaks for the customer."""
    return ADMINISTRATOR if speaker.recipient is None else Actor(kind=ActorKind.CUSTOMER, id=str(speaker.recipient))


class Act(StrEnum):
    """The kinds of acts."""

    CREATED = "created"
    IMPORTED = "imported"
    EDITED = "edited"
    EVIDENCE_ADDED = "evidenceAdded"
    EVIDENCE_REMOVED = "evidenceRemoved"
    DELETED = "deleted"
    LAPSED = "lapsed"
    SUBMITTED = "submitted"
    VALIDATED = "validated"
    REVIEW_STARTED = "reviewStarted"
    REVIEW_RELEASED = "reviewReleased"
    INFORMATION_REQUESTED = "informationRequested"
    RESUBMITTED = "resubmitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    ITEM_STRUCK = "itemStruck"
    COMMENTED = "commented"
    CUSTOMER_TOLD = "customerTold"
    CUSTOMER_UNREACHABLE = "customerUnreachable"
    RECIPIENT_FAILED = "recipientFailed"
    DECLINED = "declined"
    """If the state before was `declined` too, a higher voice has taken the no over."""
    UNDONE = "undone"
    MADE_OFFICIAL = "madeOfficial"
    ITEM_ENDED = "itemEnded"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    DISPUTED = "disputed"
    FINALLY_REJECTED = "finallyRejected"
    PERSONAL_DATA_ERASED = "personalDataErased"


class Entry(Value):
    """One act on a claim. It has only codes, instants, numbers and ids."""

    sequence: int
    at: Instant
    actor: Actor
    act: Act
    from_: Status | None = Field(default=None, alias="from")
    to: Status
    reason: Reason | None = None
    previous_hash: str | None = None
    hash: str


def entry(
    *,
    sequence: int,
    at: datetime,
    actor: Actor,
    act: Act,
    from_: Status | None,
    to: Status,
    reason: Reason | None,
    previous_hash: str | None,
) -> Entry:
    """Return an entry with its hash."""
    made = Entry(
        sequence=sequence,
        at=at,
        actor=actor,
        act=act,
        from_=from_,
        to=to,
        reason=reason,
        previous_hash=previous_hash,
        hash="",
    )
    return made.model_copy(update={"hash": digest(made.model_dump(mode="json", by_alias=True))})


def digest(entry_as_json: dict[str, object]) -> str:
    """
    Return the SHA-256, in hex, of an entry as RFC 8785 JSON. The entry's own `hash` is left out.

    An entry has only strings, whole numbers, null, and objects with ASCII names. For these, `json.dumps` with sorted
    names and without blanks gives RFC 8785 JSON.
    """
    hashed = {name: value for name, value in entry_as_json.items() if name != "hash"}
    return hashlib.sha256(
        json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()
