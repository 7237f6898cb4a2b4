"""
Messages in storage queues: hints that make a debt be paid soon.

They carry ids only, may come twice and may be lost; the due rows make sure.
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
class Taken:
    """A message that we hold for a while; `receipt` proves it when it is done."""

    queue: str
    id: str
    text: str
    receipt: str
    deliveries: int


class AzureQueues:
    """The queues of an Azure storage account, or of Azurite, over one client."""

    def __init__(self, connection: StorageConnection, *, transport: Transport | None = None) -> None:
        """Reach nothing yet: the client belongs to the loop in which it is first used."""
        self._connection = connection
        self._transport = transport
        self._client: QueueServiceClient | None = None

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await close(client)

    async def ping(self) -> None:
        """Ask the queues one small question; raises `StorageBusy` when they do not answer."""
        pages = self._service().list_queues(results_per_page=1).by_page()
        try:
            async for _ in pages:
                return
        except AzureError as error:
            raise as_fault(error) from error

    async def length(self, queue: str) -> int:
        """Return about how many messages there are, hidden ones too; a queue that was never made has none."""
        try:
            return (await self._queue(queue).get_queue_properties()).approximate_message_count or 0
        except ResourceNotFoundError:
            return 0
        except AzureError as error:
            raise as_fault(error) from error

    async def send(self, queue: str, text: str, *, delay: timedelta | None = None) -> None:
        """
        Put *text* into *queue*, to be seen after *delay*.

        Raises `StorageBusy`, after which it may be there all the same, `Terminal` when there is no such queue, and
        ValueError above 48 KiB or seven days.
        """
        verify_message(text, delay)
        seconds = None if delay is None else round(delay.total_seconds())
        # In base64, as the Functions host expects and the SDK does not by itself. No expiry: seven days, the default,
        # would be shorter than the longest delay.
        content = base64.b64encode(text.encode()).decode()
        try:
            await self._queue(queue).send_message(content, visibility_timeout=seconds, time_to_live=NEVER)
        except AzureError as error:
            raise as_fault(error) from error

    async def take(self, queue: str, limit: int) -> list[Taken]:
        """
        Take up to *limit* messages, hidden from everybody else for five minutes.

        A queue that was never made is empty: the host makes poison queues on demand. A text that is not base64 is given
        as it is, for that may be why the message is here.
        """
        taken: list[Taken] = []
        try:
            async for message in self._queue(queue).receive_messages(
                messages_per_page=min(limit, MAX_TAKEN_AT_ONCE),
                max_messages=limit,
                visibility_timeout=round(HIDDEN_WHILE_TAKEN.total_seconds()),
            ):
                text = _decoded(message.content)
                receipt, deliveries = message.pop_receipt or "", message.dequeue_count or 0
                taken.append(Taken(queue, message.id, text, receipt, deliveries))
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            raise as_fault(error) from error
        return taken

    async def done(self, taken: Taken) -> None:
        """Delete the message; one that has gone already, or that somebody else has taken since, is fine."""
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
    """Refuse with ValueError what no queue would take."""
    if (size := len(text.encode())) > MAX_MESSAGE_BYTES:
        raise ValueError(f"A message has at most {MAX_MESSAGE_BYTES} bytes, not {size}.")
    if delay is not None and not timedelta(0) <= delay <= MAX_DELAY:
        raise ValueError(f"A message is delayed by at most {MAX_DELAY.days} days, not by {delay}.")


def _decoded(content: str) -> str:
    try:
        return base64.b64decode(content, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return content
