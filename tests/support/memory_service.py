"""The whole service over storage in memory, which a test can save and restore in a moment."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from cpor_app import bootstrap
from cpor_app.adapters.identity.tokens import TokenVerifier
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.texts.texts import Texts
from devhost.stack.issuer import LocalIssuer
from tests.doubles.clock import FixedClock
from tests.doubles.memory_storage import NOWHERE, MemoryStorage, Stored
from tests.support.service import MONDAY, Mailbox, Service, app_client, settings

PROCESS: ContextVar[str] = ContextVar("process", default="test")
"""The process that works now: each one draws ids of its own, the same in every run."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that outlives a process."""

    now: datetime
    stored: Stored
    mails: Sequence[OutgoingMail]
    mails_to_partners: Sequence[OutgoingMail]


class MemoryService:
    """One deployment. Any of its processes can be the working one."""

    def __init__(self, issuer: LocalIssuer, mailbox: Mailbox | None = None) -> None:
        """Begin empty, on a Monday morning."""
        self.clock = FixedClock(MONDAY)
        self.storage = MemoryStorage(self.clock.real)
        self.mailbox = mailbox or Mailbox()
        self._ids: dict[str, itertools.count[int]] = {}
        self._issuer = issuer
        self._tokens: TokenVerifier | None = None
        """All processes share it, so that the issuer's keys are read once."""
        self.service = Service(self.process(), self.clock, self.mailbox, issuer, app_client())
        self.other_process = self.process()

    def process(self) -> bootstrap.Services:
        """Return the connections of a new process over this storage."""
        return self.process_over(self.storage.stores)

    def process_over(self, stores: bootstrap.Stores) -> bootstrap.Services:
        """Return the connections of a process over any storage."""
        made = bootstrap.build(
            settings(self._issuer),
            NOWHERE,
            clock=self.clock,
            mailer=self.mailbox,
            stores=stores,
            texts=_TEXTS,
        )
        self._tokens = self._tokens or made.tokens
        return replace(made, tokens=self._tokens, ports=replace(made.ports, new_id=self._new_id))

    def keep(self) -> Kept:
        """Return the saved state."""
        return Kept(self.clock.real(), self.storage.keep(), tuple(self.mailbox.sent), tuple(self.mailbox.to_partners))

    def go_back_to(self, kept: Kept) -> None:
        """Restore the saved state. Two new processes start without memory."""
        self.clock.set(kept.now)
        self.storage.go_back_to(kept.stored)
        self.mailbox.sent, self.mailbox.to_partners = list(kept.mails), list(kept.mails_to_partners)
        self._ids.clear()
        self.service.services, self.other_process = self.process(), self.process()
        bootstrap.use(self.service.services)

    def _new_id(self) -> str:
        process = PROCESS.get()
        number = next(self._ids.setdefault(process, itertools.count(1)))
        return hashlib.sha256(f"{process} {number}".encode()).hexdigest()[:32]

    async def close(self) -> None:
        """End the working process."""
        bootstrap.use(None)
        await self.service.client.aclose()
        await self.service.services.close()


_TEXTS = Texts()
"""Templates are read once, and the same mail is rendered once."""
_TEXTS.mail = cache(_TEXTS.mail)  # type: ignore[method-assign]
_TEXTS.partner_mail = cache(_TEXTS.partner_mail)  # type: ignore[method-assign]


@asynccontextmanager
async def memory_service(issuer: LocalIssuer) -> AsyncIterator[MemoryService]:
    """Yield a service in memory for the process."""
    made = MemoryService(issuer)
    bootstrap.use(made.service.services)
    try:
        yield made
    finally:
        await made.close()
