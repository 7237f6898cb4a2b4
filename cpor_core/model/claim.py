"""The claim: what a partner sends, what is stored of it, and the names of its states and reasons."""

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from cpor_core.model.base import AtMost, Email, Flag, Guid, Instant, PartnerId, Slug, Text200, Text4000, Value, in_form

MAX_ITEMS = 30
"""Items a claim may name (decision 6); with 30 claimants a slot, an act still fits one transaction."""
MAX_CLAIM_BYTES = 64 * 2**10
"""A claim as it is sent, an act on one, or a row of a batch (decision 6)."""
ERASED = "erased"
"""Replaces the name of a person who was erased."""
ERASED_ADDRESS = "erased@erased.invalid"
"""Replaces the address of a person who was erased. Nobody owns `.invalid` (RFC 2606), and nothing is sent to it."""
MAX_EVIDENCE_FILES = 20
MAX_EVIDENCE_BYTES = 20 * 2**20


class Status(StrEnum):
    """The state of a claim; the diagram is in `docs/claim-life.md`. No caller is ever shown `deleted`."""

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
"""A reviewer or the partner must act next."""
OPEN = UNDECIDED | {Status.AWAITING_CUSTOMER}
"""The five open states of decision 20."""
HAS_PLACES = OPEN | {Status.OFFICIAL}
"""In these states the slot of each item names the claim."""
CLOSED = frozenset({Status.REJECTED_FINAL, Status.ENDED, Status.WITHDRAWN, Status.DELETED})
"""Nothing more can happen to the claim."""


class Reason(StrEnum):
    """Why a claim was refused, sent back or ended. Callers get these names."""

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
"""The reasons that a reviewer may choose. Time, an arbitration or the registry give the other ones."""
NOT_DISPUTABLE = frozenset({Reason.PARTNER_REQUEST, Reason.SUBSCRIPTION_ENDED, Reason.REVOKED_BY_PROGRAMME})
"""Rejections that a partner cannot dispute (decision 28)."""
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
"""A field that was left out is not answered as null: a part of a claim is answered as it was sent."""


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
        """The key of the item's slot: the workload, or the subscription with any product (decision 9)."""
        return self.workload or self.subscription_id or ""


_ITEM_KEY = "^[0-9A-Za-z-]+$"


def _key_of(sent: object) -> object:
    if isinstance(sent, dict):
        return Item.model_validate(sent).key
    return sent.lower() if isinstance(sent, str) else sent  # GUIDs in capitals are taken and lowered (decision 5)


ItemKey = Annotated[
    str,
    BeforeValidator(_key_of),
    Field(max_length=100, json_schema_extra={"pattern": _ITEM_KEY}),
    in_form(_ITEM_KEY, "must be the id of a workload, such as teams, or of a subscription"),
]
"""The id of a workload or a subscription. An item as a claim has it is accepted too."""


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
    """The people whom the claim names on both sides. The technical contact is optional."""

    customer: Contact
    customer_technical: Contact | None = LEFT_OUT
    partner: PartnerContact


class Revenue(Value):
    """The extra fields of Microsoft Business Applications Revenue. A submission needs them, a draft does not."""

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
    """One file of the proof of execution; `blob` is the name of its bytes in Blob Storage."""

    file_name: str
    content_type: str
    size: int
    sha256: str
    signed_on: date | None = None
    added_at: Instant
    blob: str


class RecipientKind(StrEnum):
    """Why a person is notified: named by the partner, registered by the customer, or the partner's own contact."""

    CONTACT = "contact"
    NOTICE_ADDRESS = "noticeAddress"
    PARTNER_CONTACT = "partnerContact"


class Recipient(Value):
    """
    A person who is or was notified of the claim. History and links name the person by `number`.

    The customer's recipients are stored with the claim and counted from 1. The partner's contact has the number 0 and
    is not stored as a recipient.
    """

    number: int
    kind: RecipientKind
    email: Email
    name: str | None = None
    language: str
    told: bool = False
    """A notice was handed over to the person. Nobody else gets a mail about the end (decision 24)."""
    failed: bool = False
    """The mail came back, or the person said that they are the wrong one."""

    @property
    def is_erased(self) -> bool:
        """Whether name and address were erased; only the number is left."""
        return self.email == ERASED_ADDRESS


class Voice(StrEnum):  # decision 20a
    """Who speaks for the customer, the lowest first."""

    CONTACT = "contact"
    """Named by the partner. A registered address that was removed from the registry counts as this."""
    NOTICE_ADDRESS = "noticeAddress"
    """Registered for the tenant at the moment of the act."""
    ADMINISTRATOR = "administrator"
    """Any person with the role `Customer.Admin` in the tenant."""


class Speaker(Value):
    """The person who says a no or takes it back: a recipient with a number, or the administrator without one."""

    voice: Voice
    recipient: int | None = None

    def is_same(self, other: "Speaker") -> bool:
        """Whether both are the same recipient, or both the administrator, even if the voice has changed since."""
        return self.recipient == other.recipient

    def outranks(self, other: "Speaker") -> bool:
        """Whether this voice counts more than the other one. Two contacts, or two notice addresses, count the same."""
        ranks = list(Voice)
        return ranks.index(self.voice) > ranks.index(other.voice)

    def may_take_back(self, no: "No | None") -> bool:
        """Whether this speaker can take the no back. If nobody knows who said it, only the highest voice can."""
        said_by = no.by if no is not None else THE_ADMINISTRATOR
        return self.is_same(said_by) or self.outranks(said_by)


THE_ADMINISTRATOR = Speaker(voice=Voice.ADMINISTRATOR)


class No(Value):
    """The customer's no: who said it, and when it arrived."""

    by: Speaker
    at: Instant


class SkippedDay(Value):
    """A day that does not count, with its name; `kind` is `weekend` or `holiday`."""

    date: date
    name: str
    kind: str


class Promise(Value):
    """What a notice tells the customer. It is stored before the mail is sent, and never changes (decision 17)."""

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
    """No other process sends before this instant of the real clock; None when no process is sending."""
    recipients: tuple[int, ...]
    """The numbers of the recipients of the notice."""
    customer_name: str
    incumbents: tuple[str, ...] = ()
    """The names of the partners that would be replaced. Only the customer may know them (decision 24)."""
    corrected: bool = False
    """The promise replaces an earlier one that was mailed already and named another last day."""
    over: bool = False
    """The customer is asked again: the next promise gets a new number, and so a new Message-ID."""


class TimeToAnswer(Value):
    """How long the partner has time to answer. It is stored with the question and never changes."""

    ends_at: Instant
    last_day: date
    time_zone: str
    reminder_at: Instant


class MailKind(StrEnum):
    """The mails to a customer; each has a folder of templates. A due row leads to the reminder, no act does."""

    NOTICE = "notice"
    REMINDER = "reminder"
    DECLINE_CONFIRMATION = "declineConfirmation"
    OFFICIAL_CONFIRMATION = "officialConfirmation"
    CLOSING = "closing"
    IMPORTED = "imported"


class DueMail(Value):
    """A mail to all who were notified; stored until it was handed over for each of them."""

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


class DuePartnerMail(Value):
    """A mail to the partner's contact; stored until it was handed over, or is no longer true."""

    number: int
    """The sequence of the history entry that led to the mail. It identifies the mail, together with `kind` and `to`."""
    kind: PartnerMailKind
    since: Instant
    reasons: tuple[Reason, ...] = ()
    to: str | None = None
    """Another claim: its partner is notified that this one competes (decision 15). None for the claim's own partner."""


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
    """The customer's name, time zone and country in mails about an imported association, which has no promise."""

    customer_name: str
    time_zone: str
    country: str | None = None


class Claim(Value):
    """
    A claim as it is stored, in ten groups of fields.

    Time may have changed the claim since it was stored: `cpor_core.transitions.life.settle` works that out.
    """

    # --- identity: who claims, for whom; never changes, but for the location while the claim can be edited
    id: str
    tenant_id: Guid
    organisation: Guid
    partner_id: PartnerId
    partner_name: str
    engagement: str
    filed_as: str | None = None
    # --- content: what the partner has sent
    name: Text200
    domain: str
    items: tuple[Item, ...]
    struck: tuple[StruckItem, ...] = ()
    contacts: Contacts | None = None
    """None for an imported association, and after the people of a closed claim were erased."""
    waive_incentive: bool | None = None
    revenue: Revenue | None = None
    comment: Text4000 | None = None
    evidence: tuple[Evidence, ...] = ()
    acknowledgements: Acknowledgements | None = None

    # --- state: where the claim is in its life, and since when
    status: Status = Status.DRAFT
    status_reason: Reason | None = None
    status_since: Instant
    created_at: Instant
    submitted_at: Instant | None = None
    updated_at: Instant

    # --- review: what reviewer and partner ask and answer, and until when
    automatic_review: bool = False
    due: Instant | None = None
    """Until when the next actor has time. When it is over, time decides for the partner, but never for a reviewer."""
    requested: tuple[Reason, ...] = ()
    """What the reviewer asked for, or `customerUnreachable`."""
    time_to_answer: TimeToAnswer | None = None
    """How long the partner has time since the last question."""
    times_asked: int = 0
    answer_reminded: bool = False
    """The partner was reminded of the last question."""
    only_contacts_changed: bool = True
    """Since the last question only contacts were changed, so no second review is needed (decision 27)."""
    left_items: tuple[Item, ...] = ()
    """Items that an edit took out. The claim leaves their slots when it is resubmitted."""
    disputed_before: bool = False
    refused_before: Instant | None = None
    """The customer's last no to the same partner in the 12 months before the submission (decision 21)."""
    evidence_by: Instant | None = None
    """Until when the holder of a contested item has time to add evidence."""
    look_at: Instant | None = None
    """When the notice of an official claim came back. A reviewer should look at it; their comment ends that."""

    # --- window: whom the notice went to, what it promised, and what the customer said
    recipients: tuple[Recipient, ...] = ()
    promise: Promise | None = None
    opened_at: Instant | None = None
    """When the notice of the present promise was handed over. Without it no window is open."""
    told: bool = False
    """A notice was handed over to at least one person at some time. Those people get a closing mail."""
    reminded: bool = False
    undoable: bool = False
    """The customer said no in `awaitingCustomer`, so the no can be taken back until the window's end."""
    no: No | None = None
    """The no in force, or the no that ended the association. Release 1 did not store it."""

    # --- owed mails: mails that an act has decided on and that were not handed over yet
    mails: tuple[DueMail, ...] = ()
    mail_count: int = 0
    partner_mails: tuple[DuePartnerMail, ...] = ()

    # --- association: from when until when it is official, and which items it has lost
    imported: Imported | None = None
    official_since: Instant | None = None
    ended_at: Instant | None = None
    end_reason: Reason | None = None
    ended_items: tuple[EndedItem, ...] = ()

    # --- retention: until when the people of a closed claim are known
    people_until: Instant | None = None
    """When the people of a closed claim are erased. It is stored when the claim is closed, and never changes."""
    people_forgotten: bool = False

    # --- history: the newest entry of the hash chain
    history_length: int = 0
    history_hash: str | None = None

    # --- row: raised by one with each write
    version: int = 0

    @property
    def window_ends_at(self) -> Instant | None:
        """The end of the customer's window; None before a hand-over has opened it."""
        return self.promise.ends_at if self.promise is not None and self.opened_at is not None else None

    @property
    def partner_contact(self) -> PartnerContact | None:
        """The contact at the partner; None if none was named, or if the person was erased."""
        contact = self.contacts.partner if self.contacts is not None else None
        return contact if contact is not None and contact.email != ERASED_ADDRESS else None

    @property
    def customer_contact(self) -> Contact | None:
        """The contact at the customer; None if none was named, or if the person was erased."""
        contact = self.contacts.customer if self.contacts is not None else None
        return contact if contact is not None and contact.email != ERASED_ADDRESS else None

    @property
    def customer_knows(self) -> bool:
        """
        Whether the customer of an official association was notified.

        A claim's window opens with a mail, so its customer was. The customer of an imported association knows of it
        when a mail was handed over and has not come back (decision 65).
        """
        return self.imported is None or any(one.told and not one.failed for one in self.recipients)

    @property
    def closed_at(self) -> datetime | None:
        """
        The instant from which nothing more can happen to the claim; None while it can still change.

        It may lie ahead: a no can be taken back until the window's end. A rejection is closed when it is final.
        """
        if self.status is Status.DECLINED:
            return max(self.status_since, self.window_ends_at or self.status_since)
        return self.status_since if self.status in CLOSED else None

    @property
    def slot_keys(self) -> tuple[str, ...]:
        """The keys of all slots that may name the claim."""
        return tuple(dict.fromkeys(item.key for item in (*self.items, *self.left_items)))

    def can_be_undone(self, now: datetime) -> bool:
        """Whether a person can still take the no back."""
        in_time = self.promise is not None and now < self.promise.ends_at
        return self.status is Status.DECLINED and self.undoable and in_time

    def holds(self, key: str) -> bool:
        """Whether the association still holds this item."""
        return any(item.key == key for item in self.items) and all(ended.key != key for ended in self.ended_items)

    def reachable(self) -> Iterable[Recipient]:
        """Return the recipients whose mails have not come back."""
        return (recipient for recipient in self.recipients if not recipient.failed)

    def notified_recipients(self) -> Iterable[Recipient]:
        """Return the recipients who were notified of the claim and whose mails have not come back."""
        return (recipient for recipient in self.reachable() if recipient.told)
