"""A storage account in memory that a test can save and restore in a moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from cpor_app.adapters.storage.blobs import AzureBlobs
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows, Row
from cpor_app.bootstrap import Stores
from tests.doubles.memory_blobs import MemoryBlobs
from tests.doubles.memory_queues import MemoryQueues, Sent
from tests.doubles.memory_rows import MemoryRows
from tests.doubles.requests import Carry

NOWHERE = StorageConnection.from_text(
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=dGVzdA==;"
    "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;QueueEndpoint=http://127.0.0.1:1/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:1/devstoreaccount1"
)
"""A storage account at which nobody answers: a request that does not go to memory fails."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The contents of a storage account at one moment."""

    rows: Mapping[tuple[str, str, str], Row]
    """By table, partition and key."""
    blobs: Mapping[str, tuple[bytes, str]]
    batch_bodies: Mapping[str, tuple[bytes, str]]
    messages: Mapping[str, Sent]


class MemoryStorage:
    """Rows, queues and blobs in memory, with the promises of the real ones."""

    def __init__(self, now: Callable[[], datetime], rows: MemoryRows | None = None) -> None:
        """Begin empty, with row timestamps from *now*."""
        self.rows = rows or MemoryRows(now)
        self.queues = MemoryQueues()
        self.blobs, self.batch_bodies = MemoryBlobs(), MemoryBlobs()

    @property
    def stores(self) -> Stores:
        """The stores in the form for `bootstrap.build`."""
        return Stores(
            cast("AzureRows", self.rows),
            cast("AzureQueues", self.queues),
            cast("AzureBlobs", self.blobs),
            cast("AzureBlobs", self.batch_bodies),
        )

    def carry_all(self, carry: Carry) -> None:
        """Let *carry* carry each request to each store."""
        self.rows.carry = self.queues.carry = self.blobs.carry = self.batch_bodies.carry = carry

    def keep(self) -> Stored:
        """Return the stored data."""
        return Stored(
            dict(self.rows._rows), dict(self.blobs.blobs), dict(self.batch_bodies.blobs), dict(self.queues.waiting)
        )

    def go_back_to(self, stored: Stored) -> None:
        """Restore the stored data. No function has taken a message."""
        self.rows._rows.clear()
        self.rows._rows.update(stored.rows)
        self.blobs.blobs, self.batch_bodies.blobs = dict(stored.blobs), dict(stored.batch_bodies)
        self.queues.hold(stored.messages)
