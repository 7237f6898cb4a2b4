"""The whole service over stores in memory: what it keeps can be put aside and taken up again in a moment."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime

import httpx

from cpor_app import bootstrap
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.storage.row_store import Row
from cpor_app.adapters.texts.texts import Texts
from devhost.host.http_triggers import HttpTriggers
from devhost.stack.issuer import LocalIssuer
from tests.doubles.clock import FixedClock
from tests.doubles.memory_blobs import MemoryBlobs
from tests.doubles.memory_queues import MemoryQueues, Sent
from tests.doubles.memory_rows import MemoryRows
from tests.doubles.memory_stores import NOWHERE, in_memory
from tests.support.service import MONDAY, PUBLIC_URL, Mailbox, Service, _invoker, functions, settings

PROCESS: ContextVar[str] = ContextVar("process", default="test")
"""Whose requests are sent: each process draws ids of its own, the same in every run."""


@dataclass(frozen=True, slots=True)
class Kept:
    """All that outlives a process."""

    now: datetime
    rows: Mapping[tuple[str, str, str], Row]
    blobs: Mapping[str, tuple[bytes, str]]
    batch_bodies: Mapping[str, tuple[bytes, str]]
    messages: Mapping[str, Sent]
    mails: Sequence[OutgoingMail]
    mails_to_partners: Sequence[OutgoingMail]


class MemoryService:
    """One deployment, in which any process may be the one that works."""

    def __init__(self, issuer: LocalIssuer) -> None:
        """Begin empty, on a Monday morning."""
        self.clock = FixedClock(MONDAY)
        self.rows = MemoryRows(self.clock.real)
        self.queues = MemoryQueues()
        self.blobs, self.batch_bodies = MemoryBlobs(), MemoryBlobs()
        self.mailbox = Mailbox()
        self._ids: dict[str, itertools.count[int]] = {}
        self._issuer = issuer
        services, self.other_process = self._process(), self._process()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=HttpTriggers(functions(), _invoker(), {})),
            base_url=PUBLIC_URL,
            follow_redirects=False,
        )
        self.service = Service(services, self.clock, self.mailbox, issuer, client)

    def _process(self) -> bootstrap.Services:
        """Return what a process makes for itself over these stores."""
        made = bootstrap.build(
            settings(self._issuer),
            NOWHERE,
            clock=self.clock,
            mailer=self.mailbox,
            stores=in_memory(self.rows, self.queues, self.blobs, self.batch_bodies),
            texts=_TEXTS,
        )
        return replace(made, ports=replace(made.ports, new_id=self._new_id))

    def keep(self) -> Kept:
        """Return all that is kept now."""
        return Kept(
            now=self.clock.real(),
            rows=dict(self.rows._rows),
            blobs=dict(self.blobs.blobs),
            batch_bodies=dict(self.batch_bodies.blobs),
            messages=dict(self.queues.waiting),
            mails=tuple(self.mailbox.sent),
            mails_to_partners=tuple(self.mailbox.to_partners),
        )

    def go_back_to(self, kept: Kept) -> None:
        """Let everything be as it was then, and two processes begin anew that remember nothing."""
        self.clock.set(kept.now)
        self.rows._rows.clear()
        self.rows._rows.update(kept.rows)
        self.blobs.blobs, self.batch_bodies.blobs = dict(kept.blobs), dict(kept.batch_bodies)
        self.queues.hold(kept.messages)
        self.mailbox.sent, self.mailbox.to_partners = list(kept.mails), list(kept.mails_to_partners)
        self._ids.clear()
        self.service.services, self.other_process = self._process(), self._process()
        bootstrap.use(self.service.services)

    def _new_id(self) -> str:
        process = PROCESS.get()
        number = next(self._ids.setdefault(process, itertools.count(1)))
        return hashlib.sha256(f"{process} {number}".encode()).hexdigest()[:32]


_TEXTS = Texts()
"""Templates are read once."""


@asynccontextmanager
async def memory_service(issuer: LocalIssuer) -> AsyncIterator[MemoryService]:
    """Let the process use a service in memory."""
    made = MemoryService(issuer)
    bootstrap.use(made.service.services)
    try:
        yield made
    finally:
        bootstrap.use(None)
        await made.service.client.aclose()
        await made.service.services.close()
