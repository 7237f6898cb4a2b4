"""A batch of claims: what was sent, its progress, and the outcome of each row."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from cpor_core.model.base import Instant, Value
from cpor_core.model.claim import LEFT_OUT
from cpor_core.model.history import Actor

MOST_ROWS = 10_000
"""The most rows that a batch can have."""
PAGE_ROWS = 100
"""The number of rows that one queue message processes."""


class BatchStatus(StrEnum):
    """The progress of a batch or a large export. `Failed` means that it cannot go on. Refused rows do not count."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class RowStatus(StrEnum):
    """The outcome of a row."""

    CREATED = "created"
    FAILED = "failed"


class RowError(Value):
    """One reason why a row did not become a claim. The codes are those of `POST /claims`."""

    code: str
    message: str
    target: str | None = LEFT_OUT
    resolution: str | None = LEFT_OUT


def _is_empty(value: object) -> bool:
    return not value


class RowOutcome(Value):
    """A processed row: its claim, or the reasons why there is none. `row` is the number of its line."""

    row: int
    claim_id: str | None = LEFT_OUT
    errors: tuple[RowError, ...] = Field(default=(), exclude_if=_is_empty)


class PageSpan(Value):
    """The position of a page in the body: start and length in bytes, and the number of the first line."""

    start: int
    length: int
    first_row: int


class Batch(Value):
    """
    A batch as it was accepted. A stored batch never changes.

    `keeping` is different for each batch, also for a later batch with the same id.
    """

    id: str
    organisation: str
    body: str
    """The hash of the sent body."""
    keeping: str
    at: Instant
    actor: Actor
    total: int
    pages: tuple[PageSpan, ...]

    @property
    def blob(self) -> str:
        """The name of the blob with the body."""
        return blob_of(self.id, self.keeping)


def blob_of(batch_id: str, keeping: str) -> str:
    """Return the name of the blob with a batch's body."""
    return f"{batch_id}-{keeping}"


class PageDone(Value):
    """The numbers of created and failed rows of a page. `lost` is true if the text of the rows was deleted before."""

    created: int
    failed: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch with its progress."""

    batch: Batch
    pages: Mapping[int, PageDone]
    """The processed pages, by page number. The first page has the number 1."""

    @property
    def status(self) -> BatchStatus:
        """The status. Refused rows do not make a batch fail."""
        if self.missing:
            return BatchStatus.RUNNING if self.pages else BatchStatus.NOT_STARTED
        return BatchStatus.FAILED if any(page.lost for page in self.pages.values()) else BatchStatus.SUCCEEDED

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the pages that were not processed yet."""
        return tuple(number for number in range(1, len(self.batch.pages) + 1) if number not in self.pages)

    @property
    def done(self) -> int:
        """How many rows were processed, including refused rows."""
        return sum(page.created + page.failed for page in self.pages.values())

    @property
    def failed(self) -> int:
        """How many rows were refused."""
        return sum(page.failed for page in self.pages.values())
