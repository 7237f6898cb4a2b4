"""
The queue triggers of the host. A listener receives messages and calls the function of the queue for each message.

The listener renews the message's lease while the function runs. Then it deletes the message, releases it for another
attempt, or moves it to the poison queue. As on the real host, each message is processed at least once. If the host
crashes after the work and before the delete, the message comes again.
"""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta
from typing import TypeVar

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from devhost.host.config import QueueSettings
from devhost.host.functions import Function
from devhost.host.invocations import InvocationResult, Invoker

log = logging.getLogger("devhost")

LEASE = timedelta(minutes=10)
FIRST_POLL = timedelta(milliseconds=100)
# The longest wait between two polls. The real host waits up to maxPollingInterval, but here a developer is watching.
LONGEST_POLL = timedelta(seconds=1)

_POISON_SUFFIX = "-poison"
_T = TypeVar("_T")


class QueueListener:
    """Calls one function for each message of its queue."""

    def __init__(
        self,
        function: Function,
        connection: str,
        queue: str,
        settings: QueueSettings,
        invoker: Invoker,
        lease: timedelta = LEASE,
    ) -> None:
        """Make the clients. Raises ValueError for a malformed connection string."""
        self._function = function
        self._settings = settings
        self._invoker = invoker
        self._lease = lease
        self._queue = QueueClient.from_connection_string(connection, queue)
        # A poison queue has no poison queue of its own. A message that fails there comes again after its lease.
        self._poison = (
            None
            if queue.endswith(_POISON_SUFFIX)
            else QueueClient.from_connection_string(connection, queue + _POISON_SUFFIX)
        )

    async def listen(self, stop: asyncio.Event) -> None:
        """Process messages until *stop* is set. Then wait until the functions that run have ended."""
        delay, longest = FIRST_POLL, min(LONGEST_POLL, self._settings.max_polling_interval)
        running: set[asyncio.Task[None]] = set()
        async with self._queue, self._poison or nullcontext(), asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                messages = await self._receive()
                for message in messages:
                    running.add(task := tasks.create_task(self._handle(message)))
                    task.add_done_callback(running.discard)
                while len(running) > self._new_batch_threshold:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                if not messages:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), delay.total_seconds())
                delay = FIRST_POLL if messages else min(2 * delay, longest)

    @property
    def _new_batch_threshold(self) -> int:
        threshold = self._settings.new_batch_threshold
        return self._settings.batch_size // 2 if threshold is None else threshold

    async def _receive(self) -> list[QueueMessage]:
        """Receive messages with one request. A missing queue counts as empty: this host never creates it."""
        pages = self._queue.receive_messages(
            messages_per_page=self._settings.batch_size, visibility_timeout=_seconds(self._lease), retry_total=0
        ).by_page()
        try:
            # One page is one request. An empty queue has no page.
            page = await anext(pages, None)
            return [] if page is None else [message async for message in page]
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            log.warning("%s: its queue does not answer: %s", self._function.name, _first_line(error))
            return []

    async def _handle(self, message: QueueMessage) -> None:
        attempts = message.dequeue_count or 1
        if attempts > self._settings.max_dequeue_count:
            await self._move_to_poison(message)
            return
        try:
            body = base64.b64decode(message.content, validate=True)
        except (binascii.Error, ValueError):
            log.warning("%s: message %s is not base64", self._function.name, message.id)
            await self._move_to_poison(message)
            return
        if (await self._run_under_lease(message, body)).succeeded:
            await self._quietly(self._queue.delete_message(message))
        elif self._poison is None:
            log.warning("%s: message %s failed; it comes again after its lease", self._function.name, message.id)
        elif attempts >= self._settings.max_dequeue_count:
            await self._move_to_poison(message)
        else:
            wait = _seconds(self._settings.visibility_timeout)
            await self._quietly(self._queue.update_message(message, visibility_timeout=wait))

    async def _run_under_lease(self, message: QueueMessage, body: bytes) -> InvocationResult:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            # On the real host this is a failed attempt too, without a call of the function.
            log.warning("%s: message %s is not UTF-8", self._function.name, message.id)
            return InvocationResult(succeeded=False)
        renewing = asyncio.create_task(self._renew(message))
        try:
            return await self._invoker.run(self._function, Datum(text, "string"), _metadata(message))
        finally:
            renewing.cancel()

    async def _renew(self, message: QueueMessage) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 2)
            renewed = await self._quietly(self._queue.update_message(message, visibility_timeout=_seconds(self._lease)))
            if renewed is None:
                return
            message.pop_receipt = renewed.pop_receipt

    async def _move_to_poison(self, message: QueueMessage) -> None:
        """Copy the message to the poison queue, then delete it. A crash in between leaves two copies."""
        if self._poison is None:
            return
        log.warning("%s: message %s is moved to %s", self._function.name, message.id, self._poison.queue_name)
        if await self._quietly(self._send_to_poison(self._poison, message.content)) is not None:
            await self._quietly(self._queue.delete_message(message))

    @staticmethod
    async def _send_to_poison(poison: QueueClient, content: str) -> QueueMessage:
        try:
            return await poison.send_message(content)
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):
                await poison.create_queue()
            return await poison.send_message(content)

    async def _quietly(self, request: Awaitable[_T]) -> _T | None:
        """Return the result of *request*, or None if it fails. No message is lost by a failure: it comes again."""
        try:
            return await request
        except AzureError as error:
            log.warning("%s: %s", self._function.name, _first_line(error))
            return None


def message_by_hand(text: str, now: datetime) -> tuple[Datum, dict[str, Datum]]:
    """Return the input and metadata of a message that a developer sent through the admin endpoint."""
    message = QueueMessage(content=text)
    message.id, message.pop_receipt, message.dequeue_count = "by-hand", "", 1
    message.inserted_on = message.expires_on = message.next_visible_on = now
    return Datum(text, "string"), _metadata(message)


def _metadata(message: QueueMessage) -> dict[str, Datum]:
    instants = {
        "ExpirationTime": message.expires_on,
        "InsertionTime": message.inserted_on,
        "NextVisibleTime": message.next_visible_on,
    }
    return {
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "DequeueCount": Datum(json.dumps(message.dequeue_count), "json"),
        **{name: Datum(json.dumps(at.isoformat()), "json") for name, at in instants.items() if at is not None},
    }


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _first_line(error: AzureError) -> str:
    return str(error).partition("\n")[0]
