"""
What the use cases need of the world, and nothing of how it is done.

Every port raises `Retryable` faults of `cpor_core.errors`; stores raise `Conflict` when somebody else wrote first.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Generic, Protocol, TypeVar

from cpor_core.model.batch import Batch, PageDone, Progress, RowOutcome
from cpor_core.model.catalogue import Catalogue
from cpor_core.model.change import Change
from cpor_core.model.claim import Claim, Reason, Recipient
from cpor_core.model.erasure import Erasure
from cpor_core.model.history import Entry
from cpor_core.model.insight import Counting, Grouping, Insight
from cpor_core.model.licensing import Licensing
from cpor_core.model.registry import ClosedDay, Customer, Partner, RegisteredClosedDay
from cpor_core.model.slot import Slot
from cpor_core.model.usage import MonthFigures, Receipt
from cpor_core.model.webhook import CallOutcome, Delivery, Webhook
from cpor_core.rules.business_days import ClosedDays
from cpor_core.rules.insight import Counted
from cpor_core.rules.mail_budget import Drawn, Urgency
from cpor_core.rules.terms import Terms
from cpor_core.transitions.case import Case


@dataclass(frozen=True, slots=True)
class Keyed:
    """A caller's idempotency key for one act: key and body are hashes, neither is kept as it was sent."""

    key: str
    body: str
    organisation: str
    """Within it, a key stands for one request."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The first answer to a keyed act: kept 48 hours, given again word for word."""

    body: str
    """Hash of the request's body, to tell a repetition from another request under the same key."""
    answer: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class Remark:
    """Words of a person, kept beside the history so that they can be erased."""

    author: str
    """`partner`, `customer` or `programme`."""
    who: str
    """The person's `oid`, or the recipient's number; shown to nobody but the operator."""
    text: str
    at: datetime
    sequence: int = 0
    """The history entry that it belongs to."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one act writes in one entity-group transaction."""

    act_id: str
    before: Case
    after: Case
    who: str | None = None
    remark: Remark | None = None
    key: str | None = None
    answered: Answered | None = None


@dataclass(frozen=True, slots=True)
class KeptText:
    """What stands beside a claim: words of a person (`author` and `who` say whose), or an answer that was kept."""

    key: str
    text: str
    author: str | None
    who: str
    mark: str


@dataclass(frozen=True, slots=True)
class TenantClaims:
    """Everything about one customer's tenant: its claims with their slots, and the stored history of each by its id."""

    tenant_id: str
    cases: Sequence[Case]
    histories: Mapping[str, Sequence[Entry]]
    slots: Sequence[tuple[Slot, str]] = ()
    """Every slot as it was read after the claims, with the store's mark of its row."""
    answers: Sequence[tuple[str, str]] = ()
    """Claim's id and key of each first answer that is kept for a keyed act, of erased drafts too."""


class Claims(Protocol):
    """Claims with their slots, history, remarks and answers to keyed acts; one partition for each tenant."""

    async def load(self, claim_id: str, *, slots_of_drafts: bool = True) -> Case | None:
        """Return a claim with the slots of its items: two requests, one for a closed claim or, if asked so, a draft."""

    async def prospect(self, claim: Claim) -> Case:
        """Return a claim that is not stored yet with the slots of its items: one request."""

    async def with_refusals(self, case: Case) -> Case:
        """Return the case with the customer's earlier refusals of the same partner: one request."""

    async def of_tenant(self, tenant_id: str) -> Sequence[Case]:
        """Return every claim of a tenant with its slots: two range queries of one partition."""

    def tenants(self, *, after: str = "") -> AsyncIterator[TenantClaims]:
        """Yield every tenant behind *after* that has claims, in order: a scan, for what must see everything."""

    async def commit(self, commit: Commit) -> Case:
        """
        Write a new or changed case as one transaction; returns it as if read again, ready for the next act.

        Raises `Conflict` when a row of it was written by somebody else, and `Refused("TooManyCompetitors")` when it
        would take more than 95 rows.
        """

    async def wrote(self, claim_id: str, act_id: str, sequence: int) -> bool:
        """Whether the claim's newest row, or its history entry of that sequence, was written by this act of ours."""

    async def history(self, claim_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the stored entries whose sequence is above *after*, in order."""

    async def remarks(self, claim_id: str, *, after: int, limit: int) -> Sequence[Remark]:
        """Return the remarks whose sequence is above *after*, in order."""

    async def answered(self, claim_id: str, key: str) -> Answered | None:
        """Return the first answer to a keyed act."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, frozenset[str]]]:
        """
        Yield every tenant behind *after*, in order, with the ids of its claims that hold *text*: a scan.

        In the claim itself, in words or in a kept answer, in whatever case; of a deleted claim an answer may be left.
        """

    async def texts(self, claim_id: str) -> Sequence[KeptText]:
        """Return the words and kept answers of a claim: two requests."""

    async def rewrite(self, claim_id: str, kept: KeptText, text: str | None) -> None:
        """Write over a text as it was read, or delete it: two requests. Raises `Conflict`."""

    async def erase(self, claim_id: str) -> None:
        """Delete every row of a deleted draft but its first answers, which are kept their time; its own row last."""


@dataclass(frozen=True, slots=True)
class DueRow:
    """
    "Look at this at that instant": a claim, or a row that is to be forgotten.

    `mark` and `written_at` (by the real clock) are what the store said when the row was read.
    """

    due: datetime
    subject: str
    debt: str
    attempt: int = 0
    forget: tuple[str, str, str] | None = None
    """Table, partition and key of what is to be deleted."""
    since: datetime | None = None
    """Since when it has been owed, of one that was put off."""
    trace: str | None = None
    """Whose trace it belongs to, for `Watching`."""
    mark: str | None = None
    written_at: datetime | None = None


class DueWork(Protocol):
    """Due rows, 16 shards; see rulings 36 for when one may be deleted."""

    async def add(self, rows: Sequence[DueRow]) -> None:
        """Write rows; one request for each subject, however many rows it has."""

    async def due(self, shard: int, now: datetime, *, after: DueRow | None, limit: int) -> Sequence[DueRow]:
        """Return the next rows of a shard that are due at *now*: one request."""

    async def move(
        self, row: DueRow, also: Sequence[DueRow], *, due: datetime, attempt: int, since: datetime | None = None
    ) -> DueRow:
        """
        Put a row off and add others of the same subject: one request. Raises `Conflict`.

        *since*: what it stands for has been owed so long, and still is.
        """

    async def delete(self, row: DueRow) -> None:
        """Delete a row as it was read. Raises `Conflict`."""

    async def forget(self, table: str, partition: str, key: str) -> None:
        """Delete a row of another table that was kept long enough; a missing one is no error."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A key of a claim; `written_at` by the real clock."""

    position: str
    claim_id: str
    written_at: datetime


class ClaimIndex(Protocol):
    """Keys of claims in order; rows are written before the claim and verified on read."""

    async def add(self, partition: str, position: str, claim_id: str) -> None:
        """Write a key; the same one again is no error."""

    async def page(self, partition: str, *, after: str, limit: int) -> Sequence[IndexRow]:
        """Return up to *limit* rows behind *after*: one request."""

    async def remove(self, partition: str, position: str) -> None:
        """Delete a key that no longer leads anywhere; a missing one is no error."""


RegistryEntry = TypeVar("RegistryEntry")


@dataclass(frozen=True, slots=True)
class Registered(Generic[RegistryEntry]):
    """An entry of the registry, its version, and the store's opaque mark of it."""

    value: RegistryEntry
    version: int
    mark: str


class Registry(Protocol):
    """Partners by location, customers by tenant, closed days by place; each call is one request."""

    async def partner(self, partner_id: str) -> Registered[Partner] | None:
        """Return a partner's location."""

    async def put_partner(self, partner_id: str, partner: Partner, former: Registered[Partner] | None) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""

    async def customer(self, tenant_id: str) -> Registered[Customer] | None:
        """Return a customer's tenant."""

    async def put_customer(self, tenant_id: str, customer: Customer, former: Registered[Customer] | None) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""

    def customers(self, *, after: str = "") -> AsyncIterator[tuple[str, Registered[Customer]]]:
        """Yield every customer's tenant behind *after*, in order: a scan, for what must see everything."""

    async def closed_days(self) -> ClosedDays:
        """Return all closed days as they were at most five minutes ago: one request in that time, or none."""

    async def all_closed_days(self) -> Sequence[RegisteredClosedDay]:
        """Return all closed days as they are now, the last one first."""

    async def closed_day(self, calendar: str, day: date) -> Registered[ClosedDay] | None:
        """Return a place's closed day."""

    async def put_closed_day(
        self, calendar: str, day: date, closed_day: ClosedDay, former: Registered[ClosedDay] | None
    ) -> int:
        """Write over *former* (None: nothing was there); returns the new version. Raises `Conflict`."""

    async def delete_closed_day(self, calendar: str, day: date, former: Registered[ClosedDay]) -> None:
        """Delete what was read. Raises `Conflict`."""


class Domains(Protocol):
    """Whose a domain is, by those who know: the issuer of the tokens."""

    async def tenants(self, domains: Sequence[str]) -> Mapping[str, str | None]:
        """Return the tenant of each domain, None for one that no tenant has."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer to a keyed request that is about no claim, as it was sent."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A keyed request: what was asked for, and the claim that it leads to or is about; empty if it is about none."""

    body: str
    claim_id: str
    act_id: str
    at: datetime
    answer: KeptAnswer | None = None
    """Of a request about no claim, once it is answered; otherwise the answer lies with the claim."""
    mark: str | None = None
    """What the store said when the row was read or written."""


class Requests(Protocol):
    """Keyed requests, by organisation and hashed key; each call is one request, a lost insert two."""

    async def begin(self, organisation: str, key: str, request: KeptRequest) -> KeptRequest:
        """Insert; returns the request that is there now: this one, or another that was there before."""

    async def keep(self, organisation: str, key: str, request: KeptRequest) -> KeptRequest:
        """Write over the row of that mark. Raises `Conflict`."""

    async def release(self, organisation: str, key: str, mark: str) -> None:
        """Delete the row of that mark: the key is free again. Raises `Conflict`."""

    def all(self) -> AsyncIterator[tuple[str, str, KeptRequest]]:
        """Yield every request that is kept, with its organisation and key: a scan."""

    def naming(self, text: str, *, after: str = "") -> AsyncIterator[tuple[str, Mapping[str, KeptRequest]]]:
        """Yield every organisation behind *after*, in order, with its kept answers that hold *text*: a scan."""


@dataclass(frozen=True, slots=True)
class SentMail:
    """Which claim, promise or mail, and recipient a Message-ID belongs to."""

    claim_id: str
    kind: str
    number: int
    recipient: int


class Mails(Protocol):
    """Message ids, so that a delivery report finds its claim, and one process at a time sends a mail."""

    async def begin(self, message_id: str, sent: SentMail, by: str, now: datetime, until: datetime) -> str | None:
        """
        Keep an id before its mail is sent, held *by* one sender *until* then, in real time; returns the store's mark.

        None while another holds it. One request for a new one, three for another try.
        """

    async def release(self, message_id: str, sent: SentMail, mark: str) -> None:
        """Let others send: it was not handed over. A sender whose time was over has no say any more."""

    async def find(self, message_id: str) -> SentMail | None:
        """Return what the id belongs to; None for one that we never gave."""

    def place(self, message_id: str) -> tuple[str, str, str]:
        """Return table, partition and key of what is kept of a mail, for it to be forgotten."""

    def all(self) -> AsyncIterator[tuple[str, SentMail]]:
        """Yield every message id, and what it belongs to: a scan."""


class UsageFigures(Protocol):
    """Monthly figures by tenant."""

    async def read(self, tenant_id: str, first: str, last: str) -> Mapping[tuple[str, str], tuple[MonthFigures, str]]:
        """Return (month, item) → figures and mark, for the months from *first* to *last*, both `YYYY-MM`."""

    async def write(self, tenant_id: str, rows: Mapping[tuple[str, str], tuple[MonthFigures, str | None]]) -> None:
        """Write figures over what was read as the mark, in as few transactions as may be. Raises `Conflict`."""


class Receipts(Protocol):
    """Who looked at which figures."""

    async def add(self, tenant_id: str, receipt: Receipt) -> None:
        """Write one receipt: one request."""

    async def page(self, tenant_id: str, *, after: str, limit: int) -> Sequence[tuple[str, Receipt]]:
        """Return (position, receipt) pairs behind *after*, newest first."""


@dataclass(frozen=True, slots=True)
class DryRunCount:
    """How often an organisation has tried in an hour, named by its beginning."""

    organisation: str
    hour: datetime
    count: int


class DryRuns(Protocol):
    """Counts of dry runs, so that nobody can probe for customers by them."""

    async def count(self, organisation: str, now: datetime) -> int:
        """Count one more; returns how many there are in this hour with it."""

    def place(self, organisation: str, now: datetime) -> tuple[str, str, str]:
        """Return table, partition and key of the count, for it to be forgotten."""

    async def of_hour(self, now: datetime) -> Sequence[DryRunCount]:
        """Return the counts of the hour in which *now* lies."""


@dataclass(frozen=True, slots=True)
class FeedHead:
    """Where an organisation's change feed stands; `mark` is the store's, None while there is no entry."""

    last: int = 0
    """Sequence of the newest entry."""
    oldest: int = 1
    """Sequence of the oldest entry that is kept."""
    has_webhooks: bool = False
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell a feed: what, of which history entry, or that another claim competes."""

    change: Change
    number: int
    """Of the history entry; or of that by which the other came back with a dispute, 0 when it first came."""
    competes_with: str | None = None

    def numbered(self, sequence: int) -> "Announcement":
        """Return it with its number in the feed."""
        return replace(self, change=self.change.model_copy(update={"sequence": sequence}))


class Changes(Protocol):
    """The change feeds, one partition for each organisation."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has a feed: one request for each, and one."""

    async def head(self, organisation: str) -> FeedHead:
        """Return where the feed stands: one request."""

    async def page(self, organisation: str, *, after: int, limit: int) -> Sequence[Change]:
        """Return entries whose sequence is above *after*, in order: one request."""

    def turn(self, organisation: str) -> AbstractAsyncContextManager[object]:
        """Let the tasks of this process tell a feed one after the other: between processes, `Conflict` decides."""

    async def told(self, organisation: str, claim_id: str) -> int:
        """Return the number of the newest history entry of a claim that the feed was told of: one request."""

    async def told_of_rival(self, organisation: str, claim_id: str, rival: str, time: int) -> bool:
        """Whether the feed was told that a claim competes with another, that *time*: one request."""

    async def append(self, organisation: str, head: FeedHead, news: Sequence[Announcement]) -> FeedHead:
        """
        Tell news, numbered from `head.last` on: one request. Returns the new head.

        Raises `Conflict` when the feed has gone on, one of the news was told before, or an earlier one was not.
        """

    async def trim(self, organisation: str, *, before: datetime) -> datetime | None:
        """
        Delete entries from before that instant, as many as one request takes; returns the instant of the oldest left.

        Raises `Conflict`.
        """

    async def note_webhooks(self, organisation: str, *, has_webhooks: bool) -> None:
        """Write down whether anybody is to be called. Raises `Conflict`."""


@dataclass(frozen=True, slots=True)
class Marked(Generic[RegistryEntry]):
    """A value as it lies in the store, and the store's opaque mark of it."""

    value: RegistryEntry
    mark: str


class Webhooks(Protocol):
    """Webhooks with their deliveries, one partition for each organisation."""

    def organisations(self) -> AsyncIterator[str]:
        """Yield every organisation that has, or had, webhooks: one request for each, and one."""

    def kept(self, organisation: str) -> AsyncIterator[tuple[tuple[str, str], Delivery]]:
        """Yield every delivery that is kept, with its webhook's name and birth: those of deleted ones too."""

    async def all(self, organisation: str) -> Sequence[Marked[Webhook]]:
        """Return every webhook, by name: one request."""

    async def find(self, organisation: str, name: str) -> Marked[Webhook] | None:
        """Return one webhook: one request."""

    async def write(
        self, organisation: str, webhook: Webhook, former: Marked[Webhook] | None, made: Sequence[Delivery] = ()
    ) -> Marked[Webhook]:
        """Write over *former* (None: nothing was there) with up to 45 deliveries: one request. Raises `Conflict`."""

    async def delete(self, organisation: str, former: Marked[Webhook]) -> None:
        """Delete a webhook as it was read: one request. Raises `Conflict`."""

    async def add(self, organisation: str, webhook: Webhook, delivery: Delivery) -> None:
        """Write one new delivery: one request."""

    async def deliveries(self, organisation: str, webhook: Webhook, *, after: str, limit: int) -> Sequence[Delivery]:
        """Return deliveries behind the place *after*, newest first: one request."""

    async def is_waiting(self, organisation: str, webhook: Webhook, now: datetime) -> bool:
        """Whether a delivery is to be tried at *now*: one request."""

    async def waiting(
        self, organisation: str, webhook: Webhook, now: datetime, *, limit: int
    ) -> Sequence[Marked[Delivery]]:
        """Return deliveries that are to be tried at *now*, the longest due first: one request, and one for each."""

    async def record(self, organisation: str, webhook: Webhook, before: Marked[Delivery], after: Delivery) -> None:
        """Write what came of a try: one request. Raises `Conflict`."""

    async def begin_calls(self, organisation: str, webhook: Webhook, now: datetime, until: datetime) -> str | None:
        """Return a mark when it is for this process to call, *until* then; None while it is another's. In real time."""

    async def end_calls(self, organisation: str, webhook: Webhook, mark: str) -> None:
        """Let others call; one whose time was over has no say any more."""

    def made_before(self, organisation: str, webhook: tuple[str, str], instant: datetime) -> tuple[str, str, str]:
        """Return table, partition and key of the deliveries made before *instant*, for them to be forgotten."""

    async def forget(self, organisation: str, key: str) -> None:
        """Delete a webhook's deliveries from that key on, which are the older ones, and where they wait."""


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What came of calling a receiver; `wait` is how long it asked us to."""

    outcome: CallOutcome
    status: int | None = None
    wait: timedelta | None = None


class Receivers(Protocol):
    """The partners' own servers."""

    async def verify(self, url: str) -> None:
        """Raise `Refused` for an address that could never be called."""

    async def call(self, url: str, secrets: Sequence[str], name: str, delivery: Delivery) -> CallAnswer:
        """Send one event of the webhook *name*, signed with each of *secrets*. Never raises a fault."""


class Blobs(Protocol):
    """The bytes of evidence."""

    def names(self) -> AsyncIterator[str]:
        """Yield the name of each, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write once; the same bytes again are no error."""

    async def get(self, name: str) -> bytes | None:
        """Return the bytes, None where there are none."""

    async def delete(self, name: str) -> None:
        """Delete; a missing one is no error."""


class Bodies(Protocol):
    """What was sent with batches."""

    def names(self) -> AsyncIterator[str]:
        """Yield the name of each, in order."""

    async def put(self, name: str, data: bytes, content_type: str) -> None:
        """Write once; the same bytes again are no error."""

    async def part(self, name: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, None where there are none: one request."""

    async def delete(self, name: str) -> None:
        """Delete; a missing one is no error."""


class Batches(Protocol):
    """Batches of claims, one partition each."""

    def all(self) -> AsyncIterator[Batch]:
        """Yield every batch that is kept: two requests for each, and one."""

    async def begin(self, batch: Batch) -> Progress:
        """Insert; returns what is there now, this batch or another of its id: one request, a lost insert two."""

    async def find(self, batch_id: str) -> Progress | None:
        """Return a batch with how far it has come: one request."""

    async def finish(self, batch: Batch, page: int, done: PageDone, outcomes: Sequence[RowOutcome]) -> None:
        """Write down what became of a page's rows, over whatever is there: one request."""

    async def outcomes(self, batch: Batch, page: int) -> Sequence[RowOutcome]:
        """Return what became of the rows of a page that is done: one request."""

    async def forget(self, batch_id: str, keeping: str) -> None:
        """Delete every row of a batch; those of another one under its id stay. A missing one is no error."""


class Erasures(Protocol):
    """Requests to erase somebody, and how far they have come."""

    async def begin(self, erasure: Erasure) -> None:
        """Write a new one; the same one again is no error."""

    async def find(self, erasure_id: str) -> Marked[Erasure] | None:
        """Return one: one request."""

    async def write(self, erasure: Erasure, former: Marked[Erasure]) -> Marked[Erasure]:
        """Write over *former*. Raises `Conflict`."""

    async def all(self) -> Sequence[Erasure]:
        """Return every one: one request."""


@dataclass(frozen=True, slots=True)
class Letter:
    """
    What a mail says, in the words of the domain.

    `kind` is `notice`, `reminder` or a `MailKind` to somebody at the customer; `answerReminder` or a `PartnerMailKind`
    to the contact of the claim's partner.
    """

    kind: str
    number: int
    message_id: str
    recipient: Recipient
    claim: Claim
    happened_at: datetime | None = None
    """When what the mail reports came about."""
    reason: str | None = None
    reasons: tuple[Reason, ...] = ()
    """Those that a partner is told of."""
    time_zone: str = "UTC"
    """In which a partner reads of instants."""


class Post(Protocol):
    """The mail system."""

    async def send(self, letter: Letter) -> None:
        """Hand a letter over. Raises `RecipientRefused`, or `MailDelayed` when it was not handed over now."""


class MailBudget(Protocol):
    """What the whole deployment may hand over to the mail system, in real time; no request where nothing is limited."""

    async def draw(self, wanted: int, urgency: Urgency) -> Drawn:
        """Return how many of *wanted* mails may be handed over now, and when the turn of the others comes."""

    async def pause(self, until: datetime) -> None:
        """Let nobody hand a mail over before *until*."""


class Hints(Protocol):
    """Queue messages that hurry what is already true; one that is lost is made good by a due row."""

    async def customer_notice(self, claim_id: str) -> None:
        """Ask that what this claim owes be paid soon. Never raises a fault."""

    async def partner_notice(self, claim_id: str) -> None:
        """Ask that the partner be told soon of what this claim owes them. Never raises a fault."""

    async def webhook_delivery(self, organisation: str, *, delay: timedelta | None = None) -> None:
        """Ask that an organisation's webhooks be called soon, or after *delay*. Never raises a fault."""

    async def claim_batch(self, batch_id: str, page: int) -> None:
        """Ask that a page of a batch be dealt with soon. Never raises a fault."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that could not be processed: ids only."""

    id: str
    queue: str
    body: str
    at: datetime


class Failures(Protocol):
    """Messages from the poison queues."""

    async def keep(self, failure: Failure) -> None:
        """Write one."""

    async def page(self, *, after: str, limit: int) -> Sequence[Failure]:
        """Return failures behind the position *after*, newest first."""

    def position(self, failure: Failure) -> str:
        """Return where a failure stands in that order."""

    async def redrive(self, failure: Failure) -> None:
        """Put its ids back into the queue it came from, then forget it."""

    def place(self, failure: Failure) -> tuple[str, str, str]:
        """Return table, partition and key of a failure, for it to be forgotten."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the counting for the programme stands; `mark` is the store's, None where nothing was ever counted."""

    value: Counting
    mark: str | None = None


class InsightStore(Protocol):
    """What was counted of all claims, and how far the next count has come; one request each, but `begin` and `end`."""

    async def standing(self) -> Standing:
        """Return where it stands."""

    async def write(self, value: Counting, mark: str | None) -> Standing:
        """Write where it stands over what was read as the mark. Raises `Conflict`."""

    async def begin(self, value: Counting, mark: str | None) -> Standing:
        """Write where it stands, and forget what nobody needs: all but what is shown. Raises `Conflict`."""

    async def keep(self, value: Counting, page: Counted, mark: str | None) -> Standing:
        """Keep a page of the count under way, the last of *value*, and write where it stands. Raises `Conflict`."""

    async def page(self, value: Counting, number: int) -> Counted | None:
        """Return a page of the count under way; None where it is lost, or cannot be read."""

    async def end(self, value: Counting, insights: Sequence[Insight], mark: str | None) -> None:
        """Show these from now on, all at once. Raises `Conflict`."""

    async def shown(self, value: Counting, grouping: Grouping) -> Insight | None:
        """Return what is shown of a grouping; None when something else is shown by now."""


class Watching(Protocol):
    """What an operator sees of the work; it never raises a fault."""

    def paying(self, row: DueRow) -> AbstractContextManager[object]:
        """Let what is done within belong to the trace of the act that wrote the row."""

    def settled_late(self, row: DueRow, late: timedelta) -> None:
        """Tell that a due row was settled *late*."""


@dataclass(frozen=True)
class Ports:
    """Everything a use case may touch."""

    claims: Claims
    duework: DueWork
    partner_claims: ClaimIndex
    reviews: ClaimIndex
    registry: Registry
    domains: Domains | None
    """None where the operator's word is enough."""
    requests: Requests
    mails: Mails
    usage: UsageFigures
    receipts: Receipts
    changes: Changes
    webhooks: Webhooks
    receivers: Receivers
    dry_runs: DryRuns
    blobs: Blobs
    batches: Batches
    batch_bodies: Bodies
    erasures: Erasures
    post: Post
    mail_budget: MailBudget
    hints: Hints
    failures: Failures
    insight: InsightStore
    watching: Watching
    catalogue: Catalogue
    licensing: Callable[[], Licensing]
    """Read when a feed first needs it."""
    terms: Terms
    new_id: Callable[[], str]
    pause: Callable[[int], Awaitable[None]] = field(repr=False)
    """Wait a random moment after so many lost races in a row, so that those who race do not meet again."""
    real_now: Callable[[], datetime]
    now: Callable[[], Awaitable[datetime]] = field(repr=False)
    """The service's clock, read anew; an invocation reads it once and passes the instant on."""

    async def current_terms(self) -> Terms:
        """Return the terms with the registered closed days in them: for what counts or shows business days."""
        return self.terms.observing(await self.registry.closed_days())
