"""A large export of claims, and its progress."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cpor_core.model.base import Instant, Value
from cpor_core.model.batch import BatchStatus
from cpor_core.model.claim import Status

MOST_ROWS = 50_000
"""The most claims in an export (decision 49)."""


class ClaimFilter(Value):
    """
    Which claims of an organisation are wanted. A claim must fit each filter, and must have one of the states.

    With `needs_me`, the partner must act next (`Owner.PARTNER`).
    """

    statuses: tuple[Status, ...] = ()
    engagement: str | None = None
    partner_id: str | None = None
    tenant_id: str | None = None
    reference: str | None = None
    needs_me: bool = False

    @property
    def reads_claims(self) -> bool:
        """Whether the key of a claim does not say if the claim fits. The key says the tenant."""
        return any((self.statuses, self.engagement, self.partner_id, self.reference, self.needs_me))


class PageOfKeys(Value):
    """A page of an export: the positions of its first and its last key, and the number of its keys."""

    first: str
    last: str
    count: int


class Export(Value):
    """A large export as it was begun. A stored export never changes."""

    id: str
    organisation: str
    at: Instant
    filter: ClaimFilter
    pages: tuple[PageOfKeys, ...]

    @property
    def total(self) -> int:
        """The number of claims that the export looks at."""
        return sum(page.count for page in self.pages)

    def blob(self, page: int) -> str:
        """Return the name of the blob with the rows of a page. The first page has the number 1."""
        return f"{self.id}-{page:04d}"


class PageMade(Value):
    """A finished page: the number of its rows, and when it was made."""

    rows: int
    at: Instant


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """A large export with its progress."""

    export: Export
    pages: Mapping[int, PageMade]
    """The finished pages, by page number. The first page has the number 1."""
    etag: str
    """The version of the stored export. It changes with each finished page."""

    @property
    def too_large(self) -> bool:
        """Whether more claims fit the filters than an export can have."""
        return sum(page.rows for page in self.pages.values()) > MOST_ROWS

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the pages that must still be made. An export that is too large needs no more pages."""
        if self.too_large:
            return ()
        return tuple(number for number in range(1, len(self.export.pages) + 1) if number not in self.pages)

    @property
    def done(self) -> int:
        """The number of claims that the export has looked at."""
        return sum(self.export.pages[number - 1].count for number in self.pages)

    @property
    def changed_at(self) -> datetime:
        """When the newest page was made. Without a page: when the export began."""
        return max((page.at for page in self.pages.values()), default=self.export.at)

    @property
    def status(self) -> BatchStatus:
        """The status. `Failed` means that the export is too large."""
        if self.too_large:
            return BatchStatus.FAILED
        if self.missing:
            return BatchStatus.RUNNING if self.pages else BatchStatus.NOT_STARTED
        return BatchStatus.SUCCEEDED
