"""Queues in memory: the promises of `cpor_app.adapters.storage.queues.AzureQueues` without a storage account."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cpor_app.adapters.storage.queues import HeldMessage, verify_message
from tests.doubles.requests import Carry, Request, straight


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it was sent."""

    queue: str
    text: str
    delay: timedelta | None = None


class MemoryQueues:
    """
    Queues in memory.

    `sent` has all messages ever sent, and `waiting` has those that are not finished. `carry` carries `send`.
    """

    def __init__(self) -> None:
        """Begin with empty queues."""
        self.carry: Carry = straight
        self.sent: list[Sent] = []
        self.waiting: dict[str, Sent] = {}
        self._taken: dict[str, int] = {}
        self._ids = itertools.count(1)

    def hold(self, waiting: Mapping[str, Sent]) -> None:
        """Replace the waiting messages. No function has taken any of them."""
        self.waiting = dict(waiting)
        self._taken.clear()
        self._ids = itertools.count(max(map(int, waiting), default=0) + 1)

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def ping(self) -> None:
        """Do nothing: memory is always there."""

    async def length(self, queue: str) -> int:
        """Return the number of messages, with the taken ones."""
        return sum(message.queue == queue for message in self.waiting.values())

    async def send(self, queue: str, text: str, *, delay: timedelta | None = None) -> None:
        """Put *text* into *queue*. A delay is stored, and nobody waits for it."""
        verify_message(text, delay)
        message = Sent(queue, text, delay)

        def send() -> None:
            self.sent.append(message)
            self.waiting[f"{next(self._ids)}"] = message

        await self.carry(Request(queue, is_write=True), send)

    async def take(self, queue: str, limit: int) -> list[HeldMessage]:
        """Take up to *limit* messages without a delay, and hide them from other takers until `done`."""
        ids = [i for i, m in self.waiting.items() if m.queue == queue and not m.delay and i not in self._taken][:limit]
        self._taken |= dict.fromkeys(ids, 1)
        return [HeldMessage(queue, i, self.waiting[i].text, receipt=i, deliveries=1) for i in ids]

    async def done(self, taken: HeldMessage) -> None:
        """Delete the message. A missing message is no error."""
        self.waiting.pop(taken.id, None)
