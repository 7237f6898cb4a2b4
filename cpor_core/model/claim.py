"""The claim: what a partner sends, what is kept of it, and the words for the states of its life."""

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from cpor_core.model.base import AtMost, Email, Flag, Guid, Instant, PartnerId, Slug, Text200, Text4000, Value, in_form

MAX_ITEMS = 30
"""Items a claim may name (rulings 6); with 30 claimants a slot, an act still fits one transaction."""
MAX_CLAIM_BYTES = 64 * 2**10
"""A claim as it is sent, an act on one, or a row of a batch (rulings 6)."""
ERASED = "erased"
"""Stands where a person's name or address was."""
ERASED_ADDRESS = "erased@erased.invalid"
"""The same where only an address fits: `.invalid` is nobody's (RFC 2606), and nothing is sent to it."""
MAX_EVIDENCE_FILES = 20
MAX_EVIDENCE_BYTES = 20 * 2**20


class Status(StrEnum):
    """Where a claim stands; the diagram is in `docs/claim-life.md`. `deleted` is never shown to anybody."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    UNDER_REVIEW = "underReview"
    PARTNER_ACTION_REQUIRED = "partnerActionRequired"
    AWAITING_CUSTOMER = "awaitingCustomer"
    DECLINED = "declined"
    REJECTED = "rejected"
    DISPUTED = "disputed"
    REJECTED_FINAL = "rejectedFinal"
    OFFICIAL = "official"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    DELETED = "deleted"


UNDECIDED = frozenset({Status.SUBMITTED, Status.UNDER_REVIEW, Status.PARTNER_ACTION_REQUIRED, Status.DISPUTED})
"""A person of the programme, or the partner, still has to act."""
OPEN = UNDECIDED | {Status.AWAITING_CUSTOMER}
"""The five open states of rulings 20."""
HAS_PLACES = OPEN | {Status.OFFICIAL}
"""In these states a claim has a place in the slot of each of its items."""
CLOSED = frozenset({Status.REJECTED_FINAL, Status.ENDED, Status.WITHDRAWN, Status.DELETED})
"""Nothing can happen to the claim any more."""


class Reason(StrEnum):
    """Why a claim was refused, sent back or ended: closed lists, which are told by name to callers."""

    EVIDENCE_MISSING = "evidenceMissing"
    CUSTOMER_ACKNOWLEDGEMENT_MISSING = "customerAcknowledgementMissing"
    DATES_MISSING_OR_OLD = "datesMissingOrOld"
    PARTNER_SERVICE_MISSING = "partnerServiceMissing"
    PRODUCTS_MISSING = "productsMissing"
    CUSTOMER_UNREACHABLE = "customerUnreachable"

    INSUFFICIENT_EVIDENCE = "insufficientEvidence"
    CUSTOMER_CONSENT_MISSING = "customerConsentMissing"
    EVIDENCE_UNAVAILABLE = "evidenceUnavailable"
    PARTNER_REQUEST = "partnerRequest"
    NO_PARTNER_RESPONSE = "noPartnerResponse"
    LOST_ARBITRATION = "lostArbitration"
    ALL_ITEMS_STRUCK = "allItemsStruck"
    SUBSCRIPTION_ENDED = "subscriptionEnded"
    REVOKED_BY_PROGRAMME = "revokedByProgramme"

    PARTNER_DISASSOCIATED = "partnerDisassociated"
    CUSTOMER_OPTED_OUT = "customerOptedOut"
    SUPERSEDED = "superseded"


REQUEST_REASONS = frozenset(
    {
        Reason.EVIDENCE_MISSING,
        Reason.CUSTOMER_ACKNOWLEDGEMENT_MISSING,
        Reason.DATES_MISSING_OR_OLD,
        Reason.PARTNER_SERVICE_MISSING,
        Reason.PRODUCTS_MISSING,
        Reason.CUSTOMER_UNREACHABLE,
    }
)
REJECTION_REASONS = frozenset(
    {
        Reason.INSUFFICIENT_EVIDENCE,
        Reason.CUSTOMER_CONSENT_MISSING,
        Reason.PRODUCTS_MISSING,
        Reason.EVIDENCE_UNAVAILABLE,
        Reason.PARTNER_REQUEST,
        Reason.NO_PARTNER_RESPONSE,
        Reason.LOST_ARBITRATION,
        Reason.ALL_ITEMS_STRUCK,
        Reason.SUBSCRIPTION_ENDED,
        Reason.REVOKED_BY_PROGRAMME,
    }
)
REVIEWERS_REJECTION_REASONS = frozenset(
    {
        Reason.INSUFFICIENT_EVIDENCE,
        Reason.CUSTOMER_CONSENT_MISSING,
        Reason.PRODUCTS_MISSING,
        Reason.EVIDENCE_UNAVAILABLE,
        Reason.PARTNER_REQUEST,
        Reason.LOST_ARBITRATION,
    }
)
"""What a reviewer may choose; the others of the list are given by the clock, an arbitration or the registry."""
NOT_DISPUTABLE = frozenset({Reason.PARTNER_REQUEST, Reason.SUBSCRIPTION_ENDED, Reason.REVOKED_BY_PROGRAMME})
"""Rejections that a partner cannot dispute (rulings 28)."""
END_REASONS = frozenset(
    {
        Reason.PARTNER_DISASSOCIATED,
        Reason.CUSTOMER_OPTED_OUT,
        Reason.SUBSCRIPTION_ENDED,
        Reason.SUPERSEDED,
        Reason.REVOKED_BY_PROGRAMME,
    }
)


def _is_none(value: object) -> bool:
    return value is None


LEFT_OUT = Field(default=None, exclude_if=_is_none)
"""What was left out is not answered as null: the parts of a claim are answered as they were sent."""


class Item(Value):
    """What is claimed: a workload, or a product of one subscription."""

    workload: Slug | None = LEFT_OUT
    product: Slug | None = LEFT_OUT
    subscription_id: Guid | None = LEFT_OUT

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.workload is None) == (self.product is None and self.subscription_id is None):
            msg = "must have either `workload`, or `product` and `subscriptionId`"
            raise ValueError(msg)
        if self.workload is None and (self.product is None or self.subscription_id is None):
            msg = "must have both `product` and `subscriptionId`, or neither"
            raise ValueError(msg)
        return self

    @property
    def key(self) -> str:
        """What a slot is held on: the workload, or the subscription whatever its product (rulings 9)."""
        return self.workload or self.subscription_id or ""


_ITEM_KEY = "^[0-9A-Za-z-]+$"


def _key_of(sent: object) -> object:
    if isinstance(sent, dict):
        return Item.model_validate(sent).key
    return sent.lower() if isinstance(sent, str) else sent  # GUIDs in capitals are taken and lowered (rulings 5)


ItemKey = Annotated[
    str,
    BeforeValidator(_key_of),
    Field(max_length=100, json_schema_extra={"pattern": _ITEM_KEY}),
    in_form(_ITEM_KEY, "must be the id of a workload, such as teams, or of a subscription"),
]
"""A workload's id or a subscription's; an item in a claim's form is taken too."""


class Contact(Value):
    """A person at the customer."""

    name: Text200
    title: Text200 | None = LEFT_OUT
    email: Email


class PartnerContact(Value):
    """A person at the partner."""

    name: Text200
    email: Email


class Contacts(Value):
    """Whom the claim names on both sides; the technical contact is optional."""

    customer: Contact
    customer_technical: Contact | None = LEFT_OUT
    partner: PartnerContact


class Revenue(Value):
    """The extra fields of Microsoft Business Applications Revenue; needed at submission, not in a draft."""

    solution_seller: Text200 | None = LEFT_OUT
    customer_name: Text200 | None = LEFT_OUT
    isv_solution: Text200 | None = LEFT_OUT


_DOMAIN = r"^[A-Za-z0-9.-]+\.[A-Za-z0-9-]+$"


class ClaimedCustomer(Value):
    """The tenant that the claim is about, and a domain of it."""

    tenant_id: Guid
    domain: Annotated[
        str,
        Field(max_length=253, json_schema_extra={"pattern": _DOMAIN}),
        in_form(_DOMAIN, "must be a domain, such as contoso.fr"),
    ]


Items = Annotated[tuple[Item, ...], Field(min_length=1), AtMost(MAX_ITEMS)]


class NewClaim(Value):
    """A claim as a partner sends it."""

    name: Text200
    partner_id: PartnerId
    engagement: Annotated[str, Field(max_length=100)]
    customer: ClaimedCustomer
    items: Items
    contacts: Contacts
    waive_incentive: Flag | None = None
    revenue: Revenue | None = None
    comment: Text4000 | None = None


class Acknowledgements(Value):
    """What the partner confirms when submitting; both must be true."""

    accurate: Flag
    customer_aware: Flag


class Evidence(Value):
    """One file of the proof of execution; the bytes lie in Blob Storage under `blob`."""

    file_name: str
    content_type: str
    size: int
    sha256: str
    signed_on: date | None = None
    added_at: Instant
    blob: str


class RecipientKind(StrEnum):
    """Why somebody is told: named by the partner, registered by the customer, or the partner's own contact."""

    CONTACT = "contact"
    NOTICE_ADDRESS = "noticeAddress"
    PARTNER_CONTACT = "partnerContact"


class Recipient(Value):
    """
    Somebody who is or was told of the claim; `number` stands for them in history and links.

    Those at the customer are kept with the claim and counted from 1; the partner's contact is 0, and never kept.
    """

    number: int
    kind: RecipientKind
    email: Email
    name: str | None = None
    language: str
    told: bool = False
    """A notice was handed over to them: who never heard of the claim gets no mail about its end (rulings 24)."""
    failed: bool = False

    @property
    def is_erased(self) -> bool:
        """Whether nothing but the number is left: nobody can write to them any more."""
        return self.email == ERASED_ADDRESS


class Voice(StrEnum):  # rulings 20a
    """Who speaks for the customer, the lowest first."""

    CONTACT = "contact"
    """Named by the partner; an address that is not registered any more is no more than that."""
    NOTICE_ADDRESS = "noticeAddress"
    """Registered for the tenant when it speaks."""
    ADMINISTRATOR = "administrator"
    """`Customer.Admin` of the tenant, whichever person that is."""


class Speaker(Value):
    """Somebody who says a no or takes one back: a recipient by number, or the administrator, who has none."""

    voice: Voice
    recipient: int | None = None

    def is_same(self, other: "Speaker") -> bool:
        """Whether both are one recipient, or both the administrator: a voice that has changed since is no other."""
        return self.recipient == other.recipient

    def outranks(self, other: "Speaker") -> bool:
        """Whether this voice is above the other; two contacts, or two notice addresses, are on one level."""
        ranks = list(Voice)
        return ranks.index(self.voice) > ranks.index(other.voice)

    def may_take_back(self, no: "No | None") -> bool:
        """Whether a no can be taken back by this speaker; one of which nobody knows who said it, by the highest."""
        said_by = no.by if no is not None else THE_ADMINISTRATOR
        return self.is_same(said_by) or self.outranks(said_by)


THE_ADMINISTRATOR = Speaker(voice=Voice.ADMINISTRATOR)


class No(Value):
    """The customer's no: who said it, and when it arrived."""

    by: Speaker
    at: Instant


class SkippedDay(Value):
    """A day that does not count, by name; `kind` is `weekend` or `holiday`."""

    date: date
    name: str
    kind: str


class Promise(Value):
    """What a notice tells the customer; stored before it is sent, never moved afterwards (rulings 17)."""

    number: int
    made_at: Instant
    day_zero: date
    ends_at: Instant
    last_day: date
    reminder_at: Instant
    time_zone: str
    calendar: str | None = None
    skipped_days: tuple[SkippedDay, ...]
    sending_until: Instant | None = None
    """By the real clock: nobody else sends before it; None when nobody is sending."""
    recipients: tuple[int, ...]
    """Numbers of those to whom the notice goes."""
    customer_name: str
    incumbents: tuple[str, ...] = ()
    """Names of the partners who would be replaced; the customer may know them, the partners not (rulings 24)."""
    corrected: bool = False
    """It replaces one that was mailed already, and names another last day."""
    over: bool = False
    """The customer is asked anew: the next promise has a number, and with it a Message-ID, of its own."""


class TimeToAnswer(Value):
    """How long a partner who was asked for more has time; stored with the question, never moved afterwards."""

    ends_at: Instant
    last_day: date
    time_zone: str
    reminder_at: Instant


class MailKind(StrEnum):
    """The mails to a customer; each has a folder of templates. A claim never owes a reminder: its due row does."""

    NOTICE = "notice"
    REMINDER = "reminder"
    DECLINE_CONFIRMATION = "declineConfirmation"
    OFFICIAL_CONFIRMATION = "officialConfirmation"
    CLOSING = "closing"
    IMPORTED = "imported"


class OwedMail(Value):
    """A mail to everybody who was told; kept until it was handed over to each."""

    number: int
    kind: MailKind
    since: Instant
    reason: str | None = None
    sent_to: tuple[int, ...] = ()


class PartnerMailKind(StrEnum):
    """
    The mails to a partner's contact; each has a template.

    `cpor_core.rules.partner_mail` says which act leads to which mail. No act leads to a reminder: its due row does.
    """

    ANSWER_REMINDER = "answerReminder"
    INFORMATION_REQUESTED = "informationRequested"
    CUSTOMER_UNREACHABLE = "customerUnreachable"
    EVIDENCE_ASKED = "evidenceAsked"
    """The holder of a contested item is asked for evidence."""
    ITEMS_STRUCK = "itemsStruck"
    CUSTOMER_TOLD = "customerTold"
    DECLINED = "declined"
    DECLINE_UNDONE = "declineUndone"
    MADE_OFFICIAL = "madeOfficial"
    REJECTED = "rejected"
    FINALLY_REJECTED = "finallyRejected"
    ITEMS_ENDED = "itemsEnded"
    ENDED = "ended"
    COMPETING = "competing"


class OwedPartnerMail(Value):
    """Something that the partner's contact is to be told; kept until it was handed over, or is no longer true."""

    number: int
    """The history entry that it is about; with the kind and *to* it names the mail."""
    kind: PartnerMailKind
    since: Instant
    reasons: tuple[Reason, ...] = ()
    to: str | None = None
    """Another claim, whose partner is told that this one competes with it (rulings 15); None for the claim's own."""


class EndedItem(Value):
    """An item that the association no longer holds."""

    key: str
    at: Instant
    reason: Reason


class StruckItem(Value):
    """An item that was taken out of an open claim."""

    item: Item
    at: Instant
    reason: Reason


class Imported(Value):
    """As whom the customer of an association of the past is written to: there is no promise that says it."""

    customer_name: str
    time_zone: str
    country: str | None = None


class Claim(Value):
    """
    A claim as it is stored.

    What time alone has made of it since is told by `cpor_core.transitions.life.effective`.
    """

    id: str
    tenant_id: Guid
    organisation: Guid
    partner_id: PartnerId
    partner_name: str
    engagement: str
    filed_as: str | None = None
    name: Text200
    domain: str
    items: tuple[Item, ...]
    struck: tuple[StruckItem, ...] = ()
    contacts: Contacts | None = None
    """None where the operator entered an association of the past, and where people are forgotten."""
    waive_incentive: bool | None = None
    revenue: Revenue | None = None
    comment: Text4000 | None = None
    evidence: tuple[Evidence, ...] = ()
    acknowledgements: Acknowledgements | None = None

    status: Status = Status.DRAFT
    status_reason: Reason | None = None
    status_since: Instant
    created_at: Instant
    submitted_at: Instant | None = None
    updated_at: Instant

    automatic_review: bool = False
    due: Instant | None = None
    """Until when the owner of the present state has time; the clock decides for the partner, never for a reviewer."""
    requested: tuple[Reason, ...] = ()
    """What the reviewer asked for, or `customerUnreachable`."""
    time_to_answer: TimeToAnswer | None = None
    """What the partner was told when they were last asked."""
    times_asked: int = 0
    answer_reminded: bool = False
    """The partner was reminded of the present question."""
    only_contacts_changed: bool = True
    """Since the partner was asked, nothing but contacts was changed: no second review is needed (rulings 27)."""
    left_items: tuple[Item, ...] = ()
    """Items taken out by an edit, whose slots the claim leaves when it is resubmitted."""
    disputed_before: bool = False
    refused_before: Instant | None = None
    """When this customer last said no to the same partner, within the 12 months before the submission (rulings 21)."""
    evidence_by: Instant | None = None
    """Until when the holder of a contested item is asked for evidence to defend it."""
    look_at: Instant | None = None
    """Since when a reviewer should look at an official claim: a mail about it came back; their comment settles it."""

    recipients: tuple[Recipient, ...] = ()
    promise: Promise | None = None
    opened_at: Instant | None = None
    """When the notice of the present promise was handed over; without it no window runs."""
    told: bool = False
    """A notice was handed over to somebody at some time: those people get a closing mail."""
    reminded: bool = False
    undoable: bool = False
    """The customer's no was said in `awaitingCustomer`, so it can be undone until the window's end."""
    no: No | None = None
    """The no that stands, or that ended the association; earlier releases did not store it."""
    mails: tuple[OwedMail, ...] = ()
    mail_count: int = 0
    partner_mails: tuple[OwedPartnerMail, ...] = ()

    imported: Imported | None = None
    official_since: Instant | None = None
    ended_at: Instant | None = None
    end_reason: Reason | None = None
    ended_items: tuple[EndedItem, ...] = ()

    people_until: Instant | None = None
    """Until when a closed claim keeps what it knows of people; stored when it is closed, never moved afterwards."""
    people_forgotten: bool = False

    history_length: int = 0
    history_hash: str | None = None
    version: int = 0

    @property
    def window_ends_at(self) -> Instant | None:
        """The end of the customer's window, once it was opened by a hand-over."""
        return self.promise.ends_at if self.promise is not None and self.opened_at is not None else None

    @property
    def partner_contact(self) -> PartnerContact | None:
        """Who is written to at the partner; None where nobody was named, or nobody is left."""
        contact = self.contacts.partner if self.contacts is not None else None
        return contact if contact is not None and contact.email != ERASED_ADDRESS else None

    @property
    def customer_contact(self) -> Contact | None:
        """Who was named at the customer; None where nobody was, or nobody is left."""
        contact = self.contacts.customer if self.contacts is not None else None
        return contact if contact is not None and contact.email != ERASED_ADDRESS else None

    @property
    def customer_knows(self) -> bool:
        """
        Whether an official association's customer was told of it.

        Of one that was imported, by a mail that was handed over and has not come back (rulings 65); the window of every
        other one opened with a mail.
        """
        return self.imported is None or any(one.told and not one.failed for one in self.recipients)

    @property
    def closed_at(self) -> datetime | None:
        """
        Since when, or from when on, the claim is closed for good; None while it can still change.

        A no can be taken back until the window's end; a rejection is final when its dispute time is over.
        """
        if self.status is Status.DECLINED:
            return max(self.status_since, self.window_ends_at or self.status_since)
        return self.status_since if self.status in CLOSED else None

    @property
    def slot_keys(self) -> tuple[str, ...]:
        """The keys of every slot at which the claim may have a place."""
        return tuple(dict.fromkeys(item.key for item in (*self.items, *self.left_items)))

    def can_be_undone(self, now: datetime) -> bool:
        """Whether the no can still be taken back by somebody."""
        in_time = self.promise is not None and now < self.promise.ends_at
        return self.status is Status.DECLINED and self.undoable and in_time

    def holds(self, key: str) -> bool:
        """Whether the association still has this item."""
        return any(item.key == key for item in self.items) and all(ended.key != key for ended in self.ended_items)

    def reachable(self) -> Iterable[Recipient]:
        """Everybody whose mails have not come back."""
        return (recipient for recipient in self.recipients if not recipient.failed)

    def notified_recipients(self) -> Iterable[Recipient]:
        """Everybody who has heard of this claim and can still be written to."""
        return (recipient for recipient in self.reachable() if recipient.told)
