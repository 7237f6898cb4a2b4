"""
Messages in storage queues. They make due work happen soon.

They carry ids only. They may come twice or be lost, because each due row is found by the timer as well.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, ResourceNotFoundError

from cpor_app.adapters.storage.connection import as_fault, close

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

    from cpor_app.adapters.storage.connection import StorageConnection, Transport

MAX_MESSAGE_BYTES = 64 * 1024 * 3 // 4  # 64 KiB, in base64
MAX_DELAY = timedelta(days=7)
MAX_TAKEN_AT_ONCE = 32
HIDDEN_WHILE_TAKEN = timedelta(minutes=5)
NEVER = -1


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message that is hidden from others for a while. Deleting it needs the `receipt`."""

    queue: str
    id: str
    text: str
    receipt: str
    deliveries: int


class AzureQueues:
    """The queues of an Azure storage account, or of Azurite, over one client."""

    def __init__(self, connection: StorageConnection, *, transport: Transport | None = None) -> None:
        """Send nothing yet. The client belongs to the event loop that first uses it."""
        self._connection = connection
        self._transport = transport
        self._client: QueueServiceClient | None = None

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await close(client)

    async def ping(self) -> None:
        """Send one small request. Raises `StorageBusy` without an answer."""
        pages = self._service().list_queues(results_per_page=1).by_page()
        try:
            async for _ in pages:
                return
        except AzureError as error:
            raise as_fault(error) from error

    async def length(self, queue: str) -> int:
        """Return about how many messages there are, with hidden ones. A queue that does not exist has none."""
        try:
            return (await self._queue(queue).get_queue_properties()).approximate_message_count or 0
        except ResourceNotFoundError:
            return 0
        except AzureError as error:
            raise as_fault(error) from error

    async def send(self, queue: str, text: str, *, delay: timedelta | None = None) -> None:
        """
        Put *text* into *queue*. Consumers see it after *delay*.

        Raises `StorageBusy` (the message may be there nevertheless), `Terminal` when the queue does not exist, and
        ValueError above 48 KiB or seven days.
        """
        verify_message(text, delay)
        seconds = None if delay is None else round(delay.total_seconds())
        # The Functions host expects base64, which is not the SDK's default. No expiry: the default of seven days would
        # be shorter than the longest delay.
        content = base64.b64encode(text.encode()).decode()
        try:
            await self._queue(queue).send_message(content, visibility_timeout=seconds, time_to_live=NEVER)
        except AzureError as error:
            raise as_fault(error) from error

    async def take(self, queue: str, limit: int) -> list[HeldMessage]:
        """
        Take up to *limit* messages, and hide them from others for five minutes.

        A queue that does not exist is empty: the host creates poison queues on demand. A text that is not base64 is
        returned as it is, because that may be the reason why the message failed.
        """
        taken: list[HeldMessage] = []
        try:
            async for message in self._queue(queue).receive_messages(
                messages_per_page=min(limit, MAX_TAKEN_AT_ONCE),
                max_messages=limit,
                visibility_timeout=round(HIDDEN_WHILE_TAKEN.total_seconds()),
            ):
                text = _decoded(message.content)
                receipt, deliveries = message.pop_receipt or "", message.dequeue_count or 0
                taken.append(HeldMessage(queue, message.id, text, receipt, deliveries))
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            raise as_fault(error) from error
        return taken

    async def done(self, taken: HeldMessage) -> None:
        """Delete the message. It is fine when it is gone, or when another consumer has taken it since."""
        try:
            await self._queue(taken.queue).delete_message(taken.id, taken.receipt)
        except ResourceNotFoundError:
            return
        except AzureError as error:
            raise as_fault(error) from error

    def _service(self) -> QueueServiceClient:
        if self._client is None:
            self._client = self._connection.queues(self._transport)
        return self._client

    def _queue(self, queue: str) -> QueueClient:
        return self._service().get_queue_client(queue)


def verify_message(text: str, delay: timedelta | None) -> None:
    """Raise ValueError for a message that no queue accepts."""
    if (size := len(text.encode())) > MAX_MESSAGE_BYTES:
        raise ValueError(f"A message has at most {MAX_MESSAGE_BYTES} bytes, not {size}.")
    if delay is not None and not timedelta(0) <= delay <= MAX_DELAY:
        raise ValueError(f"A message is delayed by at most {MAX_DELAY.days} days, not by {delay}.")


def _decoded(content: str) -> str:
    try:
        return base64.b64decode(content, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return content
