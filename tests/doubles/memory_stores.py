"""All that the service keeps, in memory."""

from typing import cast

from cpor_app.adapters.storage.blobs import AzureBlobs
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows
from cpor_app.bootstrap import Stores
from tests.doubles.memory_blobs import MemoryBlobs
from tests.doubles.memory_queues import MemoryQueues
from tests.doubles.memory_rows import MemoryRows

NOWHERE = StorageConnection.from_text(
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=dGVzdA==;"
    "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;QueueEndpoint=http://127.0.0.1:1/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:1/devstoreaccount1"
)
"""A storage account at which nobody answers: whatever asks it in place of memory fails."""


def in_memory(rows: MemoryRows, queues: MemoryQueues, blobs: MemoryBlobs, batch_bodies: MemoryBlobs) -> Stores:
    """Return the stores of the service over these doubles, which keep the promises of the real ones."""
    return Stores(
        cast("AzureRows", rows),
        cast("AzureQueues", queues),
        cast("AzureBlobs", blobs),
        cast("AzureBlobs", batch_bodies),
    )
