"""The claim: what a partner sends, what is stored of it, and the names of its states and reasons."""

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from cpor_core.model.base import (
    AtMost,
    Email,
    Flag,
    Guid,
    InForm,
    Instant,
    PartnerId,
    Slug,
    Text100,
    Text200,
    Text4000,
    Value,
)

MAX_ITEMS = 30
"""The most items of one claim (decision 6)."""
MAX_CLAIM_BYTES = 64 * 2**10
"""The most bytes of a body with a claim, of a body with an act on a claim, or of a row in a batch (decision 6)."""
ERASED = "erased"
"""Replaces the name of an erased person."""
ERASED_ADDRESS = "erased@erased.invalid"
"""Replaces the address of an erased person. `.invalid` belongs to nobody (RFC 2606). No mail goes to this address."""
MAX_EVIDENCE_FILES = 20
"""The most files of one claim."""
MAX_EVIDENCE_BYTES = 20 * 2**20
"""The most bytes of one file."""


class Status(StrEnum):
    """The state of a claim. The diagram is in `docs/claim-life.md`. No caller sees `deleted`."""

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
IN_SLOTS = OPEN | {Status.OFFICIAL}
"""In these states, the slot of each item names the claim."""
CLOSED = frozenset({Status.REJECTED_FINAL, Status.ENDED, Status.WITHDRAWN, Status.DELETED})
"""Nothing more can happen to the claim."""


class Reason(StrEnum):
    """Why a claim was rejected, sent back to the partner, or ended. Callers of the API see these values."""

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
"""The reasons that a reviewer may choose. The service itself sets the other reasons."""
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
"""The default of an optional field. An answer omits the field when it has no value, instead of showing null."""


class Item(Value):
    """One item of a claim: a workload, or a product with its subscription."""

    workload: Slug | None = LEFT_OUT
    product: Slug | None = LEFT_OUT
    subscription_id: Guid | None = LEFT_OUT

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.workload is None) == (self.product is None and self.subscription_id is None):
            msg = "must have either `workload`, or `product` and `subscriptionId`"
            raise ValueError(msg)
        if self.workload is None and (self.product is None or self.subscription_id is None):
            msg = "must have both `product` and `subscriptionId`"
            raise ValueError(msg)
        return self

    @property
    def key(self) -> str:
        """The key of the item's slot: the id of the workload or subscription, without the product (decision 9)."""
        return self.workload or self.subscription_id or ""


def _key_of(sent: object) -> object:
    if isinstance(sent, dict):
        return Item.model_validate(sent).key
    return sent.lower() if isinstance(sent, str) else sent  # capital letters in a GUID are accepted (decision 5)


ItemKey = Annotated[
    str,
    Field(max_length=100),
    InForm("^[0-9A-Za-z-]+$", "must be the id of a workload, such as teams, or of a subscription"),
    BeforeValidator(_key_of),
]
"""The id of a workload or a subscription. A whole item, as in a claim, is accepted too."""


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
    """The people at the customer and at the partner. The technical contact is optional."""

    customer: Contact
    customer_technical: Contact | None = LEFT_OUT
    partner: PartnerContact


class Revenue(Value):
    """The extra fields of Microsoft Business Applications Revenue. Only a submission needs them, not a draft."""

    solution_seller: Text200 | None = LEFT_OUT
    customer_name: Text200 | None = LEFT_OUT
    isv_solution: Text200 | None = LEFT_OUT


class ClaimedCustomer(Value):
    """The customer's tenant, and one domain of this tenant."""

    tenant_id: Guid
    domain: Annotated[
        str,
        Field(max_length=253),
        InForm(r"^[A-Za-z0-9.-]+\.[A-Za-z0-9-]+$", "must be a domain, such as contoso.fr"),
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
    reference: Text100 | None = None


class Note(Value):
    """What the partner can change in every state: its own reference, which no other side sees (decision 56)."""

    reference: Text100 | None


class Acknowledgements(Value):
    """The statements that the partner confirms at submission. Both must be true."""

    accurate: Flag
    customer_aware: Flag


class Evidence(Value):
    """One file that proves the work. `blob` is the name of the blob with its bytes."""

    file_name: str
    content_type: str
    size: int
    sha256: str
    signed_on: date | None = None
    added_at: Instant
    blob: str


class RecipientKind(StrEnum):
    """
    How the service knows a recipient.

    The partner names a contact at the customer. The programme registers a notice address for the tenant. The partner's
    contact is a person at the partner.
    """

    CONTACT = "contact"
    NOTICE_ADDRESS = "noticeAddress"
    PARTNER_CONTACT = "partnerContact"


class Recipient(Value):
    """
    A person to whom mails about the claim go. History and links name the person by `number`.

    The claim stores the recipients at the customer. Their numbers begin with 1. The partner's contact has the number 0
    and is not stored as a recipient.
    """

    number: int
    kind: RecipientKind
    email: Email
    name: str | None = None
    language: str
    told: bool = False
    """A notice to this person was handed over. Only such people get a closing mail (decision 24)."""
    failed: bool = False
    """The mail came back, or the person answered *I am not the right person*."""

    @property
    def is_erased(self) -> bool:
        """Whether name and address were erased. The number stays."""
        return self.email == ERASED_ADDRESS


class Voice(StrEnum):  # decision 20a
    """The kinds of people who speak for the customer. The lowest rank comes first."""

    CONTACT = "contact"
    """A person whom the partner named. A notice address counts as a contact after it was removed from the registry."""
    NOTICE_ADDRESS = "noticeAddress"
    """An address that is registered for the tenant at the moment of the act."""
    ADMINISTRATOR = "administrator"
    """Any person with the role `Customer.Admin` in the tenant."""


class Speaker(Value):
    """The person who says a no, or takes a no back. A recipient has a number, the administrator has none."""

    voice: Voice
    recipient: int | None = None

    def is_same(self, other: "Speaker") -> bool:
        """Whether both are the same recipient, or both are the administrator, even if the voice is different."""
        return self.recipient == other.recipient

    def outranks(self, other: "Speaker") -> bool:
        """Whether this voice has a higher rank than the other one. Two contacts, or two notice addresses, are equal."""
        ranks = list(Voice)
        return ranks.index(self.voice) > ranks.index(other.voice)

    def may_take_back(self, no: "No | None") -> bool:
        """Whether this speaker can take the no back. If a no has no stored speaker, only the administrator can."""
        said_by = no.by if no is not None else THE_ADMINISTRATOR
        return self.is_same(said_by) or self.outranks(said_by)


THE_ADMINISTRATOR = Speaker.model_construct(voice=Voice.ADMINISTRATOR)


class No(Value):
    """The customer's no: who said it, and when it arrived."""

    by: Speaker
    at: Instant


class SkippedDay(Value):
    """A day that does not count, with its name. `kind` is `weekend` or `holiday`."""

    date: date
    name: str
    kind: str


class Promise(Value):
    """
    The content of a notice. It is stored before the mail is sent (decision 17).

    What the mail states never changes. Only `sending_until` and `over` do.
    """

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
    """Until this instant of real time, only one process may send the notice. None when no process sends it."""
    recipients: tuple[int, ...]
    """The numbers of the recipients of the notice."""
    customer_name: str
    incumbents: tuple[str, ...] = ()
    """The names of the partners that would be replaced. Only the customer may know them (decision 24)."""
    corrected: bool = False
    """An earlier promise was already mailed with another last day. This promise replaces the earlier promise."""
    over: bool = False
    """The customer is asked again, so the next promise gets a new number and a new Message-ID."""


class TimeToAnswer(Value):
    """The partner's time limit for an answer. It is stored together with the question and never changes."""

    ends_at: Instant
    last_day: date
    time_zone: str
    reminder_at: Instant


class MailKind(StrEnum):
    """The mails to a customer. Each kind has a folder of templates. Reminders come from due rows, not from acts."""

    NOTICE = "notice"
    REMINDER = "reminder"
    DECLINE_CONFIRMATION = "declineConfirmation"
    OFFICIAL_CONFIRMATION = "officialConfirmation"
    CLOSING = "closing"
    IMPORTED = "imported"


class DueMail(Value):
    """A mail to all people who were notified. It is stored until it was handed over for each of them."""

    number: int
    kind: MailKind
    since: Instant
    reason: str | None = None
    sent_to: tuple[int, ...] = ()


class PartnerMailKind(StrEnum):
    """
    The mails to a partner's contact. Each kind has a template.

    `cpor_core.rules.partner_mail` says which act leads to which mail. A reminder comes from a due row, not from an act.
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
    """A mail to the partner's contact. It is stored until it was handed over, or until its content is out of date."""

    number: int
    """The sequence of the history entry that led to the mail. `number`, `kind` and `to` together identify a mail."""
    kind: PartnerMailKind
    since: Instant
    reasons: tuple[Reason, ...] = ()
    to: str | None = None
    """The id of the rival whose partner gets the mail (decision 15). None when the claim's own partner gets it."""


class ListedMail(Value):
    """
    A mail that an act of the claim made due. The three fields and the claim's id make its Message-ID.

    The recipient is given by number, and the partner's contact has the number 0. So the list names no person.
    """

    kind: str
    number: int
    recipient: int


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

    Time may have changed the claim since it was stored. `cpor_core.transitions.life.settle` works out the changes.
    """

    # --- identity: who claims, and for which tenant; only the location can be edited
    id: str
    tenant_id: Guid
    organisation: Guid
    partner_id: PartnerId
    partner_name: str
    engagement: str
    filed_as: str | None = None
    """The id of an older programme, if the partner sent one. `engagement` is its successor (decision 5)."""
    # --- content: what the partner sent
    name: Text200
    domain: str
    items: tuple[Item, ...]
    struck: tuple[StruckItem, ...] = ()
    contacts: Contacts | None = None
    """None for an imported association, and for a closed claim after its people were erased."""
    waive_incentive: bool | None = None
    revenue: Revenue | None = None
    comment: Text4000 | None = None
    evidence: tuple[Evidence, ...] = ()
    acknowledgements: Acknowledgements | None = None

    # --- note: the partner's own, no other side sees it
    reference: Text100 | None = None
    notes: int = 0
    """How often the reference was changed since the claim was created. The change feed announces each number."""
    noted_at: Instant | None = None
    """When the reference was last changed."""

    # --- state: the present state, and when it began
    status: Status = Status.DRAFT
    status_reason: Reason | None = None
    status_since: Instant
    created_at: Instant
    submitted_at: Instant | None = None
    updated_at: Instant

    # --- review: questions and answers of reviewer and partner, and their time limits
    automatic_review: bool = False
    taken_by: Guid | None = None
    """The `oid` of the reviewer who took the review. Only reviewers and operators see it. None in other states."""
    given_back: bool = False
    """A reviewer gave the review back. Then `due` is the end of the time to decide, and the next start keeps it."""
    due: Instant | None = None
    """The time limit of the next actor. The end of a reviewer's limit never changes the claim."""
    requested: tuple[Reason, ...] = ()
    """What the reviewer asked the partner for, or `customerUnreachable`."""
    time_to_answer: TimeToAnswer | None = None
    """The partner's time limit for the last question."""
    times_asked: int = 0
    answer_reminded: bool = False
    """The partner got a reminder of the last question."""
    only_contacts_changed: bool = True
    """Since the last question, the partner changed only contacts. Then no second review is necessary (decision 27)."""
    left_items: tuple[Item, ...] = ()
    """Items that an edit removed. The claim leaves their slots when the partner resubmits it."""
    disputed_before: bool = False
    refused_before: Instant | None = None
    """The customer's last no to the same partner in the 12 months before the submission (decision 21)."""
    evidence_by: Instant | None = None
    """The time limit of the holder of a contested item to add evidence."""
    look_at: Instant | None = None
    """When the notice of an official claim came back. Reviewers see the claim in their list until one comments."""

    # --- window: the recipients of the notice, its promise, and the customer's answer
    recipients: tuple[Recipient, ...] = ()
    promise: Promise | None = None
    opened_at: Instant | None = None
    """When the notice of the present promise was handed over. While it is None, no window is open."""
    told: bool = False
    """A notice was handed over to at least one person at some time."""
    reminded: bool = False
    undoable: bool = False
    """The customer said no in `awaitingCustomer`. Such a no can be taken back until the window's end."""
    no: No | None = None
    """The no in force, or the no that ended the association. Claims of release 1 do not have it."""

    # --- mails: those that an act led to, until they are handed over, and the list of all
    mails: tuple[DueMail, ...] = ()
    mail_count: int = 0
    partner_mails: tuple[DuePartnerMail, ...] = ()
    listed_mails: tuple[ListedMail, ...] = ()
    """All mails that were ever due. Claims of release 1 list only the mails of later acts."""

    # --- association: its beginning, its end, and the items that it has lost
    imported: Imported | None = None
    official_since: Instant | None = None
    ended_at: Instant | None = None
    end_reason: Reason | None = None
    ended_items: tuple[EndedItem, ...] = ()

    # --- retention: when the people of a closed claim are erased
    people_until: Instant | None = None
    """When the people of a closed claim are erased. A later setting does not move it. None while the claim is open."""
    people_forgotten: bool = False
    """The people were erased."""

    # --- history: the newest entry of the hash chain
    history_length: int = 0
    history_hash: str | None = None

    # --- row: each write adds one. A write that changes the reference and something else adds two
    version: int = 0

    @property
    def shared_version(self) -> int:
        """The version for those who do not see the reference. A write that changes only the reference keeps it."""
        return self.version - self.notes

    @property
    def window_ends_at(self) -> Instant | None:
        """The end of the customer's window. None until a hand-over has opened the window."""
        return self.promise.ends_at if self.promise is not None and self.opened_at is not None else None

    @property
    def partner_contact(self) -> PartnerContact | None:
        """The contact at the partner. None if the claim has no contact, or if the person was erased."""
        contact = self.contacts.partner if self.contacts is not None else None
        return contact if contact is not None and contact.email != ERASED_ADDRESS else None

    @property
    def customer_contact(self) -> Contact | None:
        """The contact at the customer. None if the claim has no contact, or if the person was erased."""
        contact = self.contacts.customer if self.contacts is not None else None
        return contact if contact is not None and contact.email != ERASED_ADDRESS else None

    @property
    def customer_knows(self) -> bool:
        """
        Whether the customer of an official association was notified.

        This is always true for a claim, because a mail opened its window. For an imported association it is true when
        a mail was handed over and has not come back (decision 65).
        """
        return self.imported is None or any(one.told and not one.failed for one in self.recipients)

    @property
    def closed_at(self) -> datetime | None:
        """
        The instant from which the claim cannot change any more. None if this instant is not known yet.

        The instant of a declined claim can be in the future, because a no can be taken back until the window's end. A
        rejected claim is closed when the rejection is final.
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
