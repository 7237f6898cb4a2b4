"""A batch of claims: what was sent, how far it has come, and what became of each row."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.history import Actor

MOST_ROWS = 10_000
"""Rows that a batch may have."""
PAGE_ROWS = 100
"""Rows that one queue message is about."""


class BatchStatus(StrEnum):
    """How far a batch has come; `Failed` says that it can't go on, never that rows of it were refused."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Outcome(StrEnum):
    """What became of a row."""

    CREATED = "created"
    FAILED = "failed"


class RowError(Value):
    """One reason why a row became no claim: the codes are those of `POST /claims`."""

    code: str
    message: str
    target: str | None = LEFT_OUT
    resolution: str | None = LEFT_OUT


def _is_empty(value: object) -> bool:
    return not value


class RowOutcome(Value):
    """A row that was dealt with: the claim that it has become, or why it has not. `row` is the number of its line."""

    row: int
    claim_id: str | None = LEFT_OUT
    errors: tuple[RowError, ...] = Field(default=(), exclude_if=_is_empty)


class PageSpan(Value):
    """Where a page's lines lie in the body that was sent: bytes, and the number of the first line."""

    start: int
    length: int
    first_row: int


class Batch(Value):
    """
    A batch as it was taken in; it never changes.

    `keeping` tells it from another under the same id that was there before and is forgotten.
    """

    id: str
    organisation: str
    body: str
    """Hash of what was sent."""
    keeping: str
    at: Instant
    actor: Actor
    total: int
    pages: tuple[PageSpan, ...]

    @property
    def blob(self) -> str:
        """The name under which the body is kept."""
        return blob_of(self.id, self.keeping)


def blob_of(batch_id: str, keeping: str) -> str:
    """Return the name under which a body is kept."""
    return f"{batch_id}-{keeping}"


class PageDone(Value):
    """How the rows of a page came out, in numbers; `lost` when their text is no longer there."""

    created: int
    failed: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch with what is known of its pages, which are counted from 1."""

    batch: Batch
    pages: Mapping[int, PageDone]
    """Those that are done."""

    @property
    def status(self) -> BatchStatus:
        """How far it has come; rows that were refused don't make it fail."""
        if self.missing:
            return BatchStatus.RUNNING if self.pages else BatchStatus.NOT_STARTED
        return BatchStatus.FAILED if any(page.lost for page in self.pages.values()) else BatchStatus.SUCCEEDED

    @property
    def missing(self) -> tuple[int, ...]:
        """The pages that are not done."""
        return tuple(number for number in range(1, len(self.batch.pages) + 1) if number not in self.pages)

    @property
    def done(self) -> int:
        """How many rows were dealt with, the refused ones among them."""
        return sum(page.created + page.failed for page in self.pages.values())

    @property
    def failed(self) -> int:
        """How many rows were refused."""
        return sum(page.failed for page in self.pages.values())
