"""
Sends and receives messages of storage queues. A message makes due work happen soon, and holds ids only.

A message can come twice or be lost. Nothing is lost then, because the timer finds each due row too.
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
    """A message that other consumers cannot see for five minutes. Its `receipt` is needed to delete it."""

    queue: str
    id: str
    text: str
    receipt: str
    deliveries: int


class AzureQueues:
    """The queues of an Azure storage account, or of Azurite, over one client."""

    def __init__(self, connection: StorageConnection, *, transport: Transport | None = None) -> None:
        """Send no request yet. The client belongs to the event loop in which it is first used."""
        self._connection = connection
        self._transport = transport
        self._client: QueueServiceClient | None = None

    async def close(self) -> None:
        """Close the connections. The next call opens new connections."""
        client, self._client = self._client, None
        if client is not None:
            await close(client)

    async def ping(self) -> None:
        """Send one small request. Raises `StorageBusy` if there is no answer."""
        pages = self._service().list_queues(results_per_page=1).by_page()
        try:
            async for _ in pages:
                return
        except AzureError as error:
            raise as_fault(error) from error

    async def length(self, queue: str) -> int:
        """Return the approximate number of messages, hidden ones included. A missing queue has 0 messages."""
        try:
            return (await self._queue(queue).get_queue_properties()).approximate_message_count or 0
        except ResourceNotFoundError:
            return 0
        except AzureError as error:
            raise as_fault(error) from error

    async def send(self, queue: str, text: str, *, delay: timedelta | None = None) -> None:
        """
        Put *text* into *queue*. Consumers see it after *delay*.

        Raises `StorageBusy` (the queue can have the message nevertheless), `Terminal` when the queue does not exist,
        and ValueError for a text above 48 KiB or a delay above seven days.
        """
        verify_message(text, delay)
        seconds = None if delay is None else round(delay.total_seconds())
        # The Functions host expects base64, which is not the SDK's default. A message never expires, because the SDK's
        # default of seven days would end a message with the longest delay.
        content = base64.b64encode(text.encode()).decode()
        try:
            await self._queue(queue).send_message(content, visibility_timeout=seconds, time_to_live=NEVER)
        except AzureError as error:
            raise as_fault(error) from error

    async def take(self, queue: str, limit: int) -> list[HeldMessage]:
        """
        Take up to *limit* messages, and hide them from other consumers for five minutes.

        A missing queue counts as empty, because the host creates a poison queue only when it needs it. A text that is
        not base64 is returned unchanged, because its form can be the reason why the message failed.
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
        """Delete the message. Does nothing if the message is gone, or if another consumer has taken it since."""
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
        raise ValueError(f"A message can have at most {MAX_MESSAGE_BYTES} bytes, not {size}.")
    if delay is not None and not timedelta(0) <= delay <= MAX_DELAY:
        raise ValueError(f"A message can be delayed by at most {MAX_DELAY.days} days, not by {delay}.")


def _decoded(content: str) -> str:
    try:
        return base64.b64decode(content, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return content
