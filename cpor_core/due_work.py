"""
Due work: what the service must still do, and when it tries.

To add a kind: one line in `Kind`, one handler in `use_cases/due_work/handlers.py`, and one line in `RETENTION` if the
kind deletes something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

SHARDS = 16
"""Partitions of the table of due rows; the shard of a stored row never changes, so this number never does."""
SOON = timedelta(minutes=2)
"""A due row for work that is due at once waits so long: the request itself, or the queue, is faster (decision 36)."""
RETRIES_AFTER = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60))
"""Waits after the first, second … failed attempt; the last one is repeated."""


class Kind(StrEnum):
    """
    What a due row asks for.

    The values are stored in due rows, and so never change. The kinds that delete begin with `forget-`.
    """

    WRITE_DOWN = "writeDown"
    NOTIFY_CUSTOMER = "tellCustomer"
    REMIND_CUSTOMER = "remindCustomer"
    REMIND_PARTNER = "remindPartner"
    SEND_MAIL = "sendMail"
    NOTIFY_PARTNER = "tellPartner"
    DELETE_DRAFT = "erase"
    ERASE_PEOPLE = "forgetPeople"

    ANNOUNCE = "announce"
    """Append to the change feed what happened to a claim."""
    TRIM_CHANGES = "trimChanges"
    """Delete the oldest changes of an organisation's feed."""
    DELIVER = "deliver"
    """Make deliveries for an organisation's webhooks, and have them sent."""
    FINISH_BATCH = "finishBatch"
    ERASE_PERSON = "erasePerson"
    END_GONE_ITEMS = "endGoneItems"
    """End the associations of items that a customer's tenant no longer has."""
    NOTIFY_OTHERS = "tellOthers"
    """Mail those who are registered for a tenant now about associations of which nobody there knows."""

    DELETE_IDEMPOTENCY_RECORD = "forget-request"
    DELETE_REPLY = "forget-reply"
    DELETE_MESSAGE_ID = "forget-mail"
    DELETE_BLOB = "forget-blob"
    """Delete a file that its claim no longer points to."""
    DELETE_DELIVERIES = "forget-deliveries"
    DELETE_BATCH = "forget-batch"
    DELETE_FAILURE = "forget-failure"
    DELETE_DRY_RUN_COUNT = "forget-dry-runs"

    OF_ANOTHER_RELEASE = ""
    """A row that a later release wrote, found after a return to this one."""


NOBODY_WAITS = frozenset({Kind.DELIVER, Kind.ERASE_PERSON})
"""Kinds that may be late without an alarm, as deletions may: a partner's server can be down, and an erasure is long."""
ONE_A_RUN = frozenset({Kind.ERASE_PERSON})
"""Kinds of which one run of the timer does a single row: an erasure works for half a minute."""
RETENTION: Mapping[Kind, timedelta] = {
    Kind.TRIM_CHANGES: timedelta(days=400),
    Kind.DELETE_IDEMPOTENCY_RECORD: timedelta(hours=48),
    Kind.DELETE_REPLY: timedelta(hours=48),
    Kind.DELETE_MESSAGE_ID: timedelta(days=90),  # after the close of the claim, as the links in its mails
    Kind.DELETE_BLOB: timedelta(hours=1),
    Kind.DELETE_DELIVERIES: timedelta(days=30),
    Kind.DELETE_BATCH: timedelta(days=30),
    Kind.DELETE_FAILURE: timedelta(days=90),
    Kind.DELETE_DRY_RUN_COUNT: timedelta(days=1),
}
"""How long things are kept before a kind of due work deletes them. The programme sets two more lengths, see `Terms`."""


@dataclass(frozen=True, slots=True)
class DueWork:
    """Something that a claim makes necessary; `due` is None when it is due at once, `about` tells mails apart."""

    kind: Kind
    due: datetime | None = None
    about: str = ""


class RowRef(NamedTuple):
    """Where a row is stored. A port makes it, and the core only passes it on."""

    table: str
    partition: str
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of due work: by default it is done, and nothing is left."""

    delayed: bool = False
    """Something is still due now and could not be done."""
    row_stays: bool = False
    """The handler has already moved the due row, or the row has its own next time: leave it alone."""
    not_before: datetime | None = None
    """Of delayed work: when to try next, by the service's clock; None for the ladder of retries."""


def retry_after(attempt: int) -> timedelta:
    """Return the wait after an attempt failed; the first one has number 0."""
    return RETRIES_AFTER[min(attempt, len(RETRIES_AFTER) - 1)]
