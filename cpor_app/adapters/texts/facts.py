"""
The facts in mails and pages. They hold names for readers.

Names from partners and from the registry are sanitised here, so no template has to do that.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self, TypeVar, assert_never

from cpor_app.adapters.texts.sanitise import plain_line, safe_contact_name
from cpor_core.model.claim import Claim, Reason, SkippedDay, Status
from cpor_core.model.usage import Receipt
from cpor_core.use_cases.claims.customer_acts import CustomerAct


class Closing(StrEnum):
    """Why a request or an association is over, as the customer reads it."""

    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    GIVEN_UP = "noPartnerResponse"
    LOST = "lostArbitration"
    REVOKED = "revokedByProgramme"
    SUBSCRIPTION_ENDED = "subscriptionEnded"
    PARTNER_DISASSOCIATED = "partnerDisassociated"
    CUSTOMER_OPTED_OUT = "customerOptedOut"
    SUPERSEDED = "superseded"

    @classmethod
    def of(cls, reason: str | None) -> Self:
        """Return what *reason* means to the customer. None is a withdrawal. All reasons of a reviewer mean the same."""
        if reason in (None, "partnerRequest"):
            return cls(cls.WITHDRAWN)
        return cls(reason) if reason in set(cls) else cls(cls.REJECTED)


class DeclinedBy(StrEnum):
    """Who has declined, in a text for one reader. Apart from `you`, the values are those of `Voice`."""

    YOU = "you"
    CONTACT = "contact"
    NOTICE_ADDRESS = "noticeAddress"
    ADMINISTRATOR = "administrator"


class MessageKind(StrEnum):
    """The pages that have only a message. It says why the request cannot be shown, or why the act was refused."""

    NOT_FOUND = "notFound"
    EXPIRED = "expired"
    NOT_POSSIBLE_NOW = "notPossibleNow"
    ALREADY_DECLINED = "alreadyDeclined"
    NOT_RECORDED = "notRecorded"
    NOT_YOURS = "notYours"
    ALREADY_GIVEN_AWAY = "alreadyGivenAway"
    STALE_FORM = "staleForm"
    BAD_FORM = "badForm"
    REASON_TOO_LONG = "reasonTooLong"
    TRY_LATER = "tryLater"


class Stage(StrEnum):
    """The topic of the page. Several states of a claim are one stage for the customer."""

    WAITING = "waiting"
    EXAMINED = "examined"
    DECLINED = "declined"
    OFFICIAL = "official"
    CLOSED = "closed"

    @classmethod
    def of(cls, status: Status) -> Self:
        """Return the stage of a claim's status. Raises ValueError for a status that no customer ever sees."""
        match status:
            case Status.AWAITING_CUSTOMER:
                return cls(cls.WAITING)
            case Status.SUBMITTED | Status.UNDER_REVIEW | Status.PARTNER_ACTION_REQUIRED | Status.DISPUTED:
                return cls(cls.EXAMINED)
            case Status.DECLINED:
                return cls(cls.DECLINED)
            case Status.OFFICIAL:
                return cls(cls.OFFICIAL)
            case Status.ENDED | Status.WITHDRAWN | Status.REJECTED | Status.REJECTED_FINAL:
                return cls(cls.CLOSED)
            case Status.DRAFT | Status.DELETED:
                raise ValueError(f"no customer ever sees a claim that is {status!r}")
            case _:
                assert_never(status)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """The facts in a mail to a customer."""

    partner_name: str
    customer_name: str
    engagement_name: str
    items: tuple[str, ...]
    """Names of workloads and products."""
    link: str
    customer_domain: str | None = None
    contact_name: str | None = None
    """The contact's name as the partner wrote it. None for a registered notice address."""
    registered_address: bool = False
    time_zone: str = "UTC"
    country: str | None = None
    """The customer's country, ISO 3166. Language and country decide how days and times are written."""
    last_day: date | None = None
    """The last day on which the customer can decline or undo a decline."""
    skipped_days: tuple[SkippedDay, ...] = ()
    incumbents: tuple[str, ...] = ()
    """The partners whose associations end, or have ended, because this association becomes official."""
    refused_before: date | None = None
    """When this customer last declined the same partner, if that was within 12 months (decision 21)."""
    corrected: bool = False
    """This notice replaces an earlier notice that had another last day."""
    since: datetime | None = None
    """When the association became official."""
    happened_at: datetime | None = None
    """When the request was declined, or when it ended for the reason in `closing`."""
    closing: Closing | None = None
    declined_by: DeclinedBy | None = None
    can_undo: bool = False
    """The reader can undo the decline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerMailFacts:
    """The facts in a mail to a partner's contact. Nobody has verified that address, so the mail has no links."""

    claim_name: str
    claim_id: str
    customer_domain: str
    engagement_name: str
    contact_name: str | None = None
    asked: tuple[Reason, ...] = ()
    """What the partner is asked for: some of `REQUEST_REASONS`."""
    why: tuple[Reason, ...] = ()
    """Why a claim was rejected or an association ended."""
    time_zone: str = "UTC"
    last_day: date | None = None
    """The last day on which the partner can answer, or on which the customer can decline or undo a decline."""
    until: datetime | None = None
    """The instant until which a rejection can be disputed. None if it cannot be disputed."""
    happened_at: datetime | None = None
    items: tuple[str, ...] = ()
    """The items that the mail is about."""
    remaining_items: tuple[str, ...] = ()
    """The items that the claim or association still has."""
    upheld: bool = False
    """The claim was approved after a dispute."""
    held: bool = False
    """The claim of this partner is an official association, and another claim now competes with it."""
    awaits_customer: bool = False


@dataclass(frozen=True, slots=True)
class ActForm:
    """The address of a form, and the nonce that makes it valid."""

    action: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAssociation:
    """Another association of the tenant. Only the link of a registered notice address shows and ends it."""

    association_id: str
    partner_name: str
    engagement_name: str
    items: tuple[str, ...]
    since: datetime
    form: ActForm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """The facts on the customer's page of one request, and the possible acts."""

    status: Status
    """The status that the claim has now."""
    partner_name: str
    customer_name: str
    engagement_name: str
    items: tuple[str, ...]
    page_url: str
    """The address of this page with its token. Language links add `lang`."""
    token: str
    acts: Mapping[CustomerAct, ActForm] = field(default_factory=dict)
    """The possible acts. The page has a form for each."""
    customer_domain: str | None = None
    time_zone: str = "UTC"
    country: str | None = None
    last_day: date | None = None
    skipped_days: tuple[SkippedDay, ...] = ()
    incumbents: tuple[str, ...] = ()
    refused_before: date | None = None
    since: datetime | None = None
    happened_at: datetime | None = None
    """When the request was declined, or when the request or association ended."""
    closing: Closing | None = None
    ended_items: tuple[str, ...] = ()
    """Items that the association no longer has. The association continues for its other items."""
    declined_by: DeclinedBy | None = None
    others_can_undo: bool = False
    """The decline can still be undone, but not by the reader."""
    place_given_away: bool = False
    """The decline cannot be undone, because another partner's request now has the slot."""
    receipts: tuple[Receipt, ...] = ()
    """The receipts. They have the names of items in place of keys."""
    more_receipts: bool = False
    """There are older receipts that the page does not show."""
    others: tuple[HeldAssociation, ...] = ()
    just_done: CustomerAct | None = None
    """The act after which the page is shown. The page says thank you if the status confirms the act."""
    chosen_language: str | None = None
    """The language of `?lang`. The forms repeat it as `lang`, so that the page after an act has the same language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """The facts on a page that has only a message."""

    back: str | None = None
    """The address of the request's page, if the page can be shown."""
    action: str = ""
    unsent: Mapping[str, str] = field(default_factory=dict)
    """The fields of a no that could not be recorded. A form on the page sends them again to `action`."""
    happened_at: datetime | None = None
    declined_by: DeclinedBy | None = None
    time_zone: str = "UTC"
    country: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """The facts in a notice. An association of the past had no notice, so its facts come from the import."""

    customer_name: str
    time_zone: str
    country: str | None = None
    last_day: date | None = None
    skipped_days: tuple[SkippedDay, ...] = ()
    incumbents: tuple[str, ...] = ()
    corrected: bool = False


def notice_facts(claim: Claim) -> NoticeFacts:
    """Return the facts in the notice of *claim*. Raises ValueError if the claim had neither a notice nor an import."""
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


# --- the facts, sanitised --------------------------------------------------------------------------------------------

Facts = TypeVar("Facts", MailFacts, PartnerMailFacts, PageFacts, HeldAssociation)


def sanitised(facts: Facts) -> Facts:
    """Return *facts* with each name cleaned. Addresses and tokens stay as they are, because we made them."""
    given = ((entry.name, getattr(facts, entry.name)) for entry in fields(facts))
    return replace(
        facts, **{name: _CLEANED[name](value) for name, value in given if value is not None and name in _CLEANED}
    )


def _lines(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(plain_line(name) for name in names)


_CLEANED: Mapping[str, Callable[[Any], Any]] = {
    "partner_name": plain_line,
    "customer_name": plain_line,
    "claim_name": lambda name: safe_contact_name(name) or "…",
    "customer_domain": plain_line,
    "engagement_name": plain_line,
    "items": _lines,
    "incumbents": _lines,
    "remaining_items": _lines,
    "ended_items": _lines,
    "contact_name": lambda name: safe_contact_name(name) or None,
    "skipped_days": lambda days: tuple(day.model_copy(update={"name": plain_line(day.name)}) for day in days),
    "receipts": lambda receipts: tuple(
        one.model_copy(update={"object_id": plain_line(one.object_id), "items": _lines(one.items)}) for one in receipts
    ),
    "others": lambda others: tuple(sanitised(other) for other in others),
}
