"""
Due work: the kinds of work that the service must still do, and when it tries again.

A new kind needs one line in `Kind` and one handler in `use_cases/due_work/handlers.py`. A kind that deletes something
also needs one line in `RETENTION`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

SHARDS = 16
"""The number of partitions with due rows. It never changes, because a stored row stays in its shard."""
SOON = timedelta(minutes=2)
"""How long a due row waits if its work is due at once. The request or a queue message is faster (decision 36)."""
RETRIES_AFTER = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60))
"""The waits after the first failed attempt, the second, and so on. The last wait is repeated."""

SETTLED_AFTER = timedelta(minutes=10)
"""
A row without work is deleted only if it is older than this, by the real clock, or if its act is stored (decision 36b).

No process that wrote a row runs so long after the write.
"""


class Kind(StrEnum):
    """
    A kind of due work.

    The values never change, because due rows store them. The values of most deletions begin with `forget-`.
    """

    WRITE_DOWN = "writeDown"
    NOTIFY_CUSTOMER = "tellCustomer"
    REMIND_CUSTOMER = "remindCustomer"
    REMIND_PARTNER = "remindPartner"
    SEND_MAIL = "sendMail"
    NOTIFY_PARTNER = "tellPartner"
    DELETE_DRAFT = "erase"
    ERASE_PEOPLE = "forgetPeople"

    FOLLOW = "follow"
    """Append the changes of a claim to the change feeds, and write down what the programme sees of the claim."""
    ANNOUNCE = "announce"
    """The name that release 1 has stored for `FOLLOW`."""
    FOLLOW_CUSTOMER = "followCustomer"
    """Follow all claims of a tenant, because the registered customer has changed."""
    FOLLOW_PARTNER = "followPartner"
    """Write the new name of a location into the register."""
    FOLLOW_FIGURES = "followFigures"
    """Follow the associations of a tenant, because figures were loaded."""
    RECOUNT = "recount"
    """Count claims of one shard again for insight, and compare the sums."""
    TRIM_PROGRAMME = "trimProgramme"
    """Delete the oldest changes of one of the programme's feeds."""
    REPLACE_WORDS = "replaceWords"
    """Delete the index rows of words that a claim no longer has, or of a claim that was never stored."""
    TRIM_CHANGES = "trimChanges"
    """Delete the oldest changes of an organisation's feed."""
    DELIVER = "deliver"
    """Make the deliveries for an organisation's webhooks, and let the queue send them."""
    FINISH_BATCH = "finishBatch"
    FINISH_EXPORT = "finishExport"
    ERASE_PERSON = "erasePerson"
    END_GONE_ITEMS = "endGoneItems"
    """End the associations of items that a customer's tenant no longer has."""
    NOTIFY_OTHERS = "tellOthers"
    """Mail people at a tenant who are registered now about imported associations that nobody there knows of."""

    DELETE_IDEMPOTENCY_RECORD = "forget-request"
    DELETE_REPLY = "forget-reply"
    DELETE_MESSAGE_ID = "forget-mail"
    """Delete the Message-ID of one mail that its claim does not list. Only release 1 and a rebuild write such rows."""
    DELETE_MESSAGE_IDS = "forgetMails"
    """Delete the Message-IDs of all mails that a closed claim lists."""
    DELETE_BLOB = "forget-blob"
    """Delete a file that its claim no longer points to."""
    DELETE_DELIVERIES = "forget-deliveries"
    DELETE_BATCH = "forget-batch"
    DELETE_EXPORT = "forget-export"
    DELETE_FAILURE = "forget-failure"
    DELETE_DRY_RUN_COUNT = "forget-dry-runs"

    OF_ANOTHER_RELEASE = ""
    """The kind of a row that a later release wrote. Such rows exist after a return to this release."""


NOBODY_WAITS = frozenset({Kind.DELIVER, Kind.ERASE_PERSON, Kind.DELETE_MESSAGE_IDS})
"""These kinds can be late without an alert, like deletions. A partner's server can be down. Erasures are long."""
FOLLOWS_CLAIM = frozenset({Kind.FOLLOW, Kind.ANNOUNCE})
"""All claims of a page that have such a row are followed together."""
FOLLOWS = FOLLOWS_CLAIM | {Kind.FOLLOW_CUSTOMER, Kind.FOLLOW_PARTNER, Kind.FOLLOW_FIGURES}
"""While a due row of these kinds is not done, the programme does not see all that was done since the row's act."""
FOLLOWS_AHEAD = RETRIES_AFTER[-1] + timedelta(minutes=1)
"""A due row of these kinds that is not done is due within this time. A row that was put off waits an hour."""
ONE_A_RUN = frozenset({Kind.ERASE_PERSON})
"""One run of the timer does only one row of these kinds, because an erasure works for half a minute."""
RETENTION: Mapping[Kind, timedelta] = {
    Kind.TRIM_CHANGES: timedelta(days=400),
    Kind.TRIM_PROGRAMME: timedelta(days=400),
    Kind.DELETE_IDEMPOTENCY_RECORD: timedelta(hours=48),
    Kind.DELETE_REPLY: timedelta(hours=48),
    Kind.DELETE_MESSAGE_ID: timedelta(days=90),
    Kind.DELETE_MESSAGE_IDS: timedelta(days=90),  # after the close of the claim, like the links in its mails
    Kind.DELETE_BLOB: timedelta(hours=1),
    Kind.DELETE_DELIVERIES: timedelta(days=30),
    Kind.DELETE_BATCH: timedelta(days=30),
    Kind.DELETE_EXPORT: timedelta(hours=24),
    Kind.DELETE_FAILURE: timedelta(days=90),
    Kind.DELETE_DRY_RUN_COUNT: timedelta(days=1),
}
"""How long data is kept before a kind of due work deletes it. `Terms` has two more such lengths."""


@dataclass(frozen=True, slots=True)
class DueWork:
    """Work that a claim makes necessary. `due` is None for work that is due at once. Each mail has another `about`."""

    kind: Kind
    due: datetime | None = None
    about: str = ""


class RowRef(NamedTuple):
    """The table, partition and key of a row. A port makes the reference, and the core only passes it on."""

    table: str
    partition: str
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of due work. By default the work is done."""

    delayed: bool = False
    """Some of the work could not be done, and is still due."""
    row_stays: bool = False
    """The due row must not be changed, because the handler has changed it or its next instant is right already."""
    not_before: datetime | None = None
    """When to try delayed work again, by the service's clock. None means the waits of `RETRIES_AFTER`."""


def retry_after(attempt: int) -> timedelta:
    """Return the wait after a failed attempt. The first attempt has the number 0."""
    return RETRIES_AFTER[min(attempt, len(RETRIES_AFTER) - 1)]
