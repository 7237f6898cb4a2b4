"""
The service in a world that goes wrong: processes die and are started again, storage and mail stay.

A `World` has one storage account, one clock and one mail system. Its users do what users do when a request fails:
they send it again, with the same key. Its host gives a message that was not completed to the next process, and fires
the timer each minute. What goes wrong is one `Fault`: at the n-th request to storage, or at the n-th mail.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import httpx
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.data.tables.aio import TableServiceClient

from cpor_app import bootstrap
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.queues import AzureQueues, Taken
from cpor_app.adapters.storage.tables import TABLES, unpacked
from cpor_app.adapters.texts.texts import Texts
from cpor_app.queue_names import POISON, QUEUES
from cpor_core.due_work import FORGET
from cpor_core.errors import MailDelayed
from cpor_core.model.claim import Claim
from cpor_core.rules.claim_due_work import Kind, due_now
from cpor_core.rules.late_truths import GRACE
from devhost.host.http_triggers import HttpTriggers
from devhost.stack.issuer import LocalIssuer
from tests.doubles.clock import FixedClock
from tests.doubles.due_work import DueWorkOfThisClock, Written
from tests.doubles.transport import (
    FaultyTransport,
    Plan,
    ProcessDied,
    Request,
    Trouble,
    answer,
    die_after,
    die_before,
    lose_answer,
)
from tests.support.service import DELIVERED, MONDAY, PUBLIC_URL, Mailbox, Service, _invoker, functions, settings

Answer = TypeVar("Answer")

ALL_OVER = timedelta(days=100)
"""After so long every debt is due: drafts lapse after 90 days, and nothing is kept for later any more."""
SETTLED = timedelta(minutes=11)
"""A due row of which nothing is owed is deleted when it is older than ten minutes (rulings 36)."""
MOST_ROUNDS = 30
"""Minutes in which a world must come to rest."""
MOST_REPETITIONS = 5

DIES_BEFORE, DIES_AFTER = "dies before", "dies after"
ANSWERED_500, ANSWERED_503, NO_ANSWER = "done, answered 500", "done, answered 503", "done, no answer"
STAYS_BUSY = "done, but 503 to every try"
OVERTAKEN, OVERTAKEN_DIES = "overtaken by the timer", "overtaken by the timer, dies after"
REFUSED, REFUSED_THOUGH_TAKEN = "refused for now", "refused for now, though taken"


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What goes wrong, and where.

    `number` counts from 1, for reads, writes and mails each by itself: so the fourth write is the fourth write even
    when the requests of a sweep overtake each other. None is "every one of them, once".
    """

    on: str
    """`read`, `write` or `mail`."""
    number: int | None
    mode: str

    @property
    def trouble(self) -> Trouble | None:
        """What the transport does at a request, if anything."""
        return {
            DIES_BEFORE: die_before(),
            DIES_AFTER: die_after(),
            ANSWERED_500: answer(500),
            ANSWERED_503: answer(503),
            NO_ANSWER: lose_answer(),
            STAYS_BUSY: answer(503, every_try=True),
            OVERTAKEN: None,
            OVERTAKEN_DIES: die_after(),
        }[self.mode]


@dataclass(slots=True)
class Trail(Plan):
    """A plan that carries out one fault, and remembers which request it was."""

    fault: Fault | None = None
    hit: str | None = None
    overtake: Callable[[], Awaitable[None]] | None = None
    """What another process does while this one is about to send the request at which it is overtaken."""
    is_overtaken: bool = False
    _count: int = 0
    _troubled: set[str] = field(default_factory=set)

    def transport(self) -> AsyncHttpTransport[Any, Any]:
        """Return a new transport that obeys this plan."""
        return _Overtaken(AioHttpTransport(), self)

    def _planned(self, request: Request) -> Trouble | None:
        if self.fault is None or self.fault.on != ("write" if request.is_write else "read"):
            return None
        if self.fault.number is None:
            return self._each_once(self.fault, request)
        self._count += 1
        if self._count != self.fault.number:
            return None
        self.hit = str(request)
        self.is_overtaken = self.fault.mode in (OVERTAKEN, OVERTAKEN_DIES)
        return self.fault.trouble

    def _each_once(self, fault: Fault, request: Request) -> Trouble | None:
        line = f"{request.method} {request.path}?{request.query}"
        self.hit = "every one"
        if line in self._troubled:  # this is the SDK's next try
            self._troubled.remove(line)
            return None
        self._troubled.add(line)
        return fault.trouble


class _Overtaken(FaultyTransport):
    """A transport that lets another process work before it sends the request of the fault."""

    def __init__(self, inner: AsyncHttpTransport[Any, Any], trail: Trail) -> None:
        super().__init__(inner, trail)
        self._trail = trail

    async def _send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        if self._trail.is_overtaken and self._trail.overtake is not None:
            self._trail.is_overtaken = False
            await self._trail.overtake()
        return await super()._send(request, **kwargs)


class FaultyMailbox(Mailbox):
    """A mail system with one fault."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Fault | None = None
        self.hit: str | None = None
        self.trail: Trail | None = None
        self.count = 0

    def begin(self, fault: Fault | None) -> None:
        """Count from here on, until *fault* is met."""
        self.fault, self.count = fault if fault is not None and fault.on == "mail" else None, 0

    async def send(self, mail: OutgoingMail) -> None:
        assert self.trail is not None
        if self.trail.is_dead:
            raise ProcessDied("A dead process sends no mail.")
        self.count += 1
        mode = self.fault.mode if self.fault is not None and self.fault.number == self.count else None
        if mode is None:
            return await super().send(mail)
        self.hit = f"{self.count} mail to {mail.to_address}: {mail.subject}"
        if mode not in (DIES_BEFORE, REFUSED):
            await super().send(mail)
        if mode in (REFUSED, REFUSED_THOUGH_TAKEN):
            raise MailDelayed("451 4.3.0 later")
        self.trail.is_dead = True
        raise ProcessDied(self.hit)


@dataclass(frozen=True, slots=True)
class Saved:
    """All that outlives a process: what lies in storage, what was mailed, and the time."""

    now: datetime
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    """By table, as the SDK gives them."""
    blobs: Mapping[str, bytes]
    sent: Sequence[OutgoingMail]
    to_partners: Sequence[OutgoingMail]
    written: Written


_TEXTS = Texts()
"""Templates are read once for all processes: nothing goes wrong in them."""


@dataclass
class World:
    """One deployment, its users, its host and its time."""

    connection: StorageConnection
    issuer: LocalIssuer
    clock: FixedClock
    mailbox: FaultyMailbox
    tables: TableServiceClient
    """The test's own way into storage, in which nothing goes wrong; the host's `queues` too."""
    queues: AzureQueues
    trail: Trail = field(default_factory=Trail)
    is_disturbed: bool = False
    """Something has happened that the users of the service noticed."""
    _service: Service | None = None
    _written: Written = field(default_factory=dict)
    _waiting: list[tuple[str, Taken]] = field(default_factory=list)
    """Messages that were taken, with the function of their queue."""

    # --- processes --------------------------------------------------------------------------------------------------

    async def start(self, trail: Trail) -> None:
        """Start a process over what the last one left."""
        await self.stop()
        self.trail = self.mailbox.trail = trail
        trail.overtake = self.overtake
        services = bootstrap.build(
            settings(self.issuer),
            self.connection,
            clock=self.clock,
            mailer=self.mailbox,
            stores=bootstrap.Stores.at(self.connection, trail.transport),
            texts=_TEXTS,
        )
        duework = DueWorkOfThisClock(services.ports.duework, self.clock, self._written)
        services = replace(services, ports=replace(services.ports, duework=duework))
        bootstrap.use(services)
        app = HttpTriggers(functions(), _invoker(), {})
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=PUBLIC_URL, follow_redirects=False)
        self._service = Service(services, self.clock, self.mailbox, self.issuer, client)

    async def overtake(self) -> None:
        """Let three minutes pass in which the process hangs, and another one fires the timer."""
        self.is_disturbed = True
        hanging, trail = self._service, self.trail
        self._service = None
        await self.start(Trail())
        self.clock.advance(timedelta(minutes=3))
        await self.fire()
        await self.stop()
        assert hanging is not None
        self._service, self.trail, self.mailbox.trail = hanging, trail, trail
        bootstrap.use(hanging.services)

    async def stop(self) -> None:
        """End the process; what it had begun is never finished."""
        if self._service is not None:
            bootstrap.use(None)
            await self._service.client.aclose()
            await self._service.services.close()
            self._service = None

    @property
    def service(self) -> Service:
        """The process that runs now."""
        assert self._service is not None
        return self._service

    async def _survives(self, doing: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Return what *doing* returns; None when the process died of it and another was started in its place."""
        before = asyncio.all_tasks()
        try:
            return await doing()
        except ProcessDied:
            orphans = asyncio.all_tasks() - before
            for task in orphans:
                task.cancel()
            await asyncio.gather(*orphans, return_exceptions=True)
            self.is_disturbed = True
            await self.start(Trail())
            return None

    # --- users ------------------------------------------------------------------------------------------------------

    async def ask(
        self,
        method: str,
        path: str,
        *,
        expect: int = 200,
        if_repeated: int | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """
        Send a request until it is answered, as a client does: the same one, with the same key.

        *if_repeated* is how a repetition may be answered where that is another status (404 after a deletion).
        """
        expected = {expect}
        sent = {**(headers or {}), **({"Idempotency-Key": key} if key is not None else {})}
        for _ in range(MOST_REPETITIONS):
            answer = await self._survives(lambda: self.service.request(method, path, headers=sent, **more))
            if answer is None or self._is_busy(answer):
                continue
            if self.is_disturbed:
                expected.add(if_repeated or expect)
            in_progress = answer.headers.get("x-ms-error-code") == "RequestInProgress"
            if in_progress and self.is_disturbed:
                assert "Retry-After" in answer.headers
                self.clock.advance(timedelta(minutes=1))
                continue
            assert answer.status_code in expected, f"{method} {path}: {answer.status_code} {answer.text}"
            return answer
        raise AssertionError(f"{method} {path}: sent {MOST_REPETITIONS} times and never answered")

    def _is_busy(self, answer: httpx.Response) -> bool:
        """Whether we were told to come back, which the fault excuses; a fault that the SDK mends excuses nothing."""
        fault = self.trail.fault
        if answer.status_code != 503 or fault is None or fault.mode != STAYS_BUSY:
            return False
        assert "Retry-After" in answer.headers
        self.is_disturbed = True
        return True

    async def press(self, act: str, claim_id: str) -> None:
        """Follow the newest link and press a button of the page, as a customer does: only if it is offered."""
        link = next(url for url in reversed(list(self.mailbox.links())) if claim_id in url)
        path, token = link.removeprefix(PUBLIC_URL), link.partition("?t=")[2]
        for _ in range(MOST_REPETITIONS):
            page = await self.ask("GET", path, role=None, headers={"Accept": "application/json"})
            nonces = {one["act"]: one["nonce"] for one in page.json()["acts"]}
            if act not in nonces:
                return
            answer = await self._survives(partial(self._send, claim_id, act, {"t": token, "nonce": nonces[act]}))
            if answer is None or self._is_busy(answer):
                continue
            assert answer.status_code == 303, answer.text
            return
        raise AssertionError(f"{act} was never answered")

    async def _send(self, claim_id: str, act: str, form: Mapping[str, str]) -> httpx.Response:
        return await self.service.request("POST", f"/customer/requests/{claim_id}/{act}", role=None, data=form)

    # --- the host ---------------------------------------------------------------------------------------------------

    async def deliver(self) -> None:
        """Hand every queue message to its function; what a dead process had taken goes to the next one."""
        while True:
            for queue, name in DELIVERED:
                self._waiting = self._waiting or [(name, taken) for taken in await self.queues.take(queue, 32)]
            if not self._waiting:
                return
            name, message = self._waiting[0]
            if await self._survives(partial(self._ran, name, message.text)):
                await self.queues.done(message)
                self._waiting.pop(0)

    async def fire(self) -> None:
        """Fire the timer; when the process dies of it, the next one fires a minute later."""
        schedule = json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None})
        while not await self._survives(partial(self._ran, "finalise_uncontested", schedule)):
            self.clock.advance(timedelta(minutes=1))

    async def _ran(self, name: str, given: str) -> bool:
        await self.service.run(name, given)
        return True

    async def until(self, instant: str) -> None:
        """Let time pass until *instant*, and the minute after a window's end, if still to come, and fire the timer."""
        self.clock.set(max(datetime.fromisoformat(instant) + GRACE, await self.clock.now()))
        await self.fire()

    async def pass_minutes(self, minutes: int) -> None:
        """Let time pass, and fire the timer at its end."""
        self.clock.advance(timedelta(minutes=minutes))
        await self.fire()

    async def rest(self) -> None:
        """
        Let minutes pass until nothing is owed now: messages are delivered, the timer fires when a row is due.

        Raises AssertionError when that never comes.
        """
        for _ in range(MOST_ROUNDS):
            await self.deliver()
            if not await self.owing():
                return
            self.clock.advance(timedelta(minutes=1))
            now = await self.clock.now()
            if any(due <= now for due in await self.dues()):
                await self.fire()
        raise AssertionError(f"not at rest after {MOST_ROUNDS} minutes: {await self.owing()}")

    async def end(self) -> None:
        """Let all time pass; what was ever owed is paid then, or never will be."""
        await self.rest()
        self.clock.advance(ALL_OVER)
        await self.fire()
        await self.rest()
        if await self.dues():  # of what was done just now: too young to be deleted
            self.clock.advance(SETTLED)
            await self.fire()

    # --- what lies in storage ---------------------------------------------------------------------------------------

    async def stored(self, table: str) -> list[Mapping[str, Any]]:
        """Return every row of a table."""
        return [dict(entity) async for entity in self.tables.get_table_client(table).list_entities()]

    async def documents(self, table: str, kind: str = "") -> dict[str, Any]:
        """Return the documents of the rows whose key begins with *kind*, by key."""
        rows = [row for row in await self.stored(table) if row["RowKey"].startswith(kind)]
        return {row["RowKey"]: json.loads(unpacked(row["document"])) for row in rows}

    async def blobs(self) -> dict[str, bytes]:
        """Return the bytes of every blob, by container and name."""
        async with self.connection.blobs() as client:
            return {
                f"{container}/{blob.name}": await (await held.download_blob(blob.name)).readall()
                for container in bootstrap.CONTAINERS
                for held in [client.get_container_client(container)]
                async for blob in held.list_blobs()
            }

    async def save(self) -> Saved:
        """Return everything that another world needs to go on from here; the queues must be empty."""
        rows = {table: await self.stored(table) for table in TABLES}
        sent, to_partners = tuple(self.mailbox.sent), tuple(self.mailbox.to_partners)
        return Saved(await self.clock.now(), rows, await self.blobs(), sent, to_partners, dict(self._written))

    async def load(self, saved: Saved) -> None:
        """Go on from where another world was saved."""
        self.clock.set(saved.now)
        self.mailbox.sent, self.mailbox.to_partners = list(saved.sent), list(saved.to_partners)
        self._written = dict(saved.written)
        await asyncio.gather(*(self._fill(table, rows) for table, rows in saved.rows.items()))
        if saved.blobs:
            async with self.connection.blobs() as client:
                for name, data in saved.blobs.items():
                    await client.get_blob_client(*name.split("/")).upload_blob(data)

    async def _fill(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        client = self.tables.get_table_client(table)
        for partition in {row["PartitionKey"] for row in rows}:
            await client.submit_transaction([("create", dict(row)) for row in rows if row["PartitionKey"] == partition])

    async def owing(self) -> list[str]:
        """Return what the stored claims owe now, and the batches that are not done."""
        now = await self.clock.now()
        claims = [Claim.model_validate(found) for found in (await self.documents("claims", "claim|")).values()]
        owed = [f"{claim.id} {debt}" for claim in claims for debt in due_now(claim, now)]
        pages = [page for batch in (await self.documents("batches", "batch")).values() for page in batch["pages"]]
        done = await self.documents("batches", "done|")
        return owed if len(done) == len(pages) else [*owed, f"{len(pages) - len(done)} pages of a batch"]

    async def dues(self) -> list[datetime]:
        """Return the instants of all due rows but those that wait for a claim to be closed for long."""
        keys = [row["RowKey"] for row in await self.stored("duework")]
        stamps = [key.partition("|")[0] for key in keys if not waits_for_retention(key)]
        return [datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC) for stamp in stamps]


def waits_for_retention(key: str) -> bool:
    """Whether a due row is one by which a closed claim forgets people or mails, months or years later."""
    debt = key.rpartition("|")[2]
    return debt == Kind.ERASE_PEOPLE or debt.startswith(f"{FORGET}-mail-")


@asynccontextmanager
async def world(connection_string: str, issuer: LocalIssuer, saved: Saved | None = None) -> AsyncIterator[World]:
    """Make a world in which nothing goes wrong yet: a saved one, else a new one with two partners and a customer."""
    connection = StorageConnection.from_text(connection_string).without_pauses()
    await provision(connection, TABLES, (*QUEUES, *POISON), bootstrap.CONTAINERS)
    queues = AzureQueues(connection)
    async with connection.tables() as tables:
        made = World(connection, issuer, FixedClock(MONDAY), FaultyMailbox(), tables, queues)
        try:
            if saved is None:
                await made.start(Trail())
                await made.service.register()
            else:
                await made.load(saved)
            yield made
        finally:
            await made.stop()
            await queues.close()
