"""
The service in memory with faults: a process dies and the next one starts, while storage and mails stay.

A `FaultRig` has users, who send a failed request again under the same key. It has a host, which gives an unfinished
message to the next process and runs the timer each minute. One `Fault` happens at the n-th read, at the n-th write or
at the n-th mail.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

import httpx

from cpor_app import bootstrap
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.storage.queues import AzureQueues, HeldMessage
from cpor_app.adapters.storage.row_store import Row
from cpor_app.adapters.storage.tables import unpacked
from cpor_core.due_work import Kind
from cpor_core.errors import MailDelayed, StorageBusy
from cpor_core.model.claim import Claim
from cpor_core.rules.claim_due_work import due_now
from cpor_core.rules.grace import GRACE
from devhost.stack.issuer import LocalIssuer
from tests.doubles.memory_queues import MemoryQueues
from tests.doubles.requests import Answer, Request
from tests.doubles.transport import ProcessDied
from tests.support.memory_service import PROCESS, Kept, MemoryService
from tests.support.service import DELIVERED, PUBLIC_URL, Mailbox

ALL_OVER = timedelta(days=100)
"""After so long everything is due: drafts lapse after 90 days, and nothing is kept for later any more."""
SETTLED = timedelta(minutes=11)
"""A due row without due work is deleted when it is older than ten minutes (decision 36)."""
MOST_ROUNDS = 30
"""Minutes in which the service must come to rest."""
MOST_REPETITIONS = 5

READ, WRITE, MAIL = "read", "write", "mail"
DIES_BEFORE, DIES_AFTER = "dies before", "dies after"
SENT_TWICE = "done, and sent again by the SDK"
STAYS_BUSY = "done, but 503 to every try"
REFUSED, REFUSED_THOUGH_TAKEN = "refused for now", "refused for now, though taken"


@dataclass(frozen=True, slots=True)
class Fault:
    """
    A fault and its position.

    `number` counts from 1, separately for reads, writes and mails. The fourth write is therefore the fourth write even
    when the requests of a sweep change their order.
    """

    on: str
    """`READ`, `WRITE` or `MAIL`."""
    number: int
    mode: str


@dataclass(slots=True)
class Trail:
    """The requests and mails of one process. The fault happens at one of them."""

    fault: Fault | None = None
    kinds: list[str] = field(default_factory=list)
    hit: str | None = None
    """The request or mail at which the fault was met."""
    is_dead: bool = False

    def note(self, kind: str, what: object) -> str | None:
        """Count a request or mail, and return its fault. Raises `ProcessDied` after a death."""
        if self.is_dead:
            raise ProcessDied("A dead process sends nothing.")
        self.kinds.append(kind)
        if self.fault is None or kind != self.fault.on or self.kinds.count(kind) != self.fault.number:
            return None
        self.hit = str(what)
        return self.fault.mode

    def die(self) -> NoReturn:
        """End the process."""
        self.is_dead = True
        raise ProcessDied(self.hit)

    async def carry(self, request: Request, do: Callable[[], Answer]) -> Answer:
        """Carry a request to storage in memory with the planned fault."""
        await asyncio.sleep(0)
        mode = self.note(WRITE if request.is_write else READ, request)
        if mode == DIES_BEFORE:
            self.die()
        answer = do()
        if mode == DIES_AFTER:
            self.die()
        if mode == STAYS_BUSY:
            raise StorageBusy("503 to every try")
        return do() if mode == SENT_TWICE else answer


class FaultyMailbox(Mailbox):
    """A mail system with the fault of the sending process."""

    trail = Trail()

    async def send(self, mail: OutgoingMail) -> None:
        """Keep the mail, unless a fault happens before."""
        mode = self.trail.note(MAIL, f"mail to {mail.to_address}: {mail.subject}")
        if mode not in (DIES_BEFORE, REFUSED):
            await super().send(mail)
        if mode in (DIES_BEFORE, DIES_AFTER):
            self.trail.die()
        if mode is not None:
            raise MailDelayed("451 4.3.0 later")


class FaultRig(MemoryService):
    """One deployment in memory, its users, its host and its time."""

    def __init__(self, issuer: LocalIssuer) -> None:
        """Begin empty, on a Monday morning, with a process without a fault."""
        self._mail_system = FaultyMailbox()
        super().__init__(issuer, self._mail_system)
        self.queues: MemoryQueues | AzureQueues = self.storage.queues
        """The host's own way to the queues, on which nothing goes wrong."""
        self.trail = Trail()
        self.is_disturbed = False
        """Whether something has happened that the users of the service noticed."""
        self._waiting: list[tuple[str, HeldMessage]] = []
        """Messages that were taken, with the function of their queue."""

    # --- processes --------------------------------------------------------------------------------------------------

    def start(self, trail: Trail) -> None:
        """Start a process over the storage of the last one. Unfinished work of the last one is lost."""
        self.trail = self._mail_system.trail = trail
        self.storage.carry_all(trail.carry)
        self.service.services = self.process()
        bootstrap.use(self.service.services)

    def go_back_to(self, kept: Kept) -> None:
        """Restore the saved state."""
        super().go_back_to(kept)
        PROCESS.set("of the fault")  # its ids must differ from stored ids
        self.is_disturbed = False
        self._waiting.clear()

    async def _survives(self, doing: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Return the result of *doing*, or None if the process died and another was started."""
        before = asyncio.all_tasks()
        try:
            return await doing()
        except ProcessDied:
            orphans = asyncio.all_tasks() - before
            for task in orphans:
                task.cancel()
            await asyncio.gather(*orphans, return_exceptions=True)
            self.is_disturbed = True
            self.start(Trail())
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
        Send a request until it is answered, as a client does, with the same key.

        *if_repeated* is the status of a repetition if it differs (404 after a deletion).
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
        """Return whether the answer asks for a retry. Only a lasting fault excuses that."""
        fault = self.trail.fault
        if answer.status_code != 503 or fault is None or fault.mode != STAYS_BUSY:
            return False
        assert "Retry-After" in answer.headers
        self.is_disturbed = True
        return True

    async def press(self, act: str, claim_id: str) -> None:
        """Open the newest link and press a button of the page, if the page offers it, as a customer does."""
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
        """Run the function of every queue message. The messages of a dead process go to the next process."""
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
        """Run the timer. If the process dies, the next one runs it a minute later."""
        schedule = json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None})
        while not await self._survives(partial(self._ran, "finalise_uncontested", schedule)):
            self.clock.advance(timedelta(minutes=1))

    async def _ran(self, name: str, given: str) -> bool:
        """Run a background function, and return whether it succeeded. Only a lasting fault excuses a failure."""
        try:
            await self.service.run(name, given)
        except AssertionError:
            if self.trail.hit is None or self.trail.fault is None or self.trail.fault.mode != STAYS_BUSY:
                raise
            self.is_disturbed = True
            self.trail.fault = None  # the fault is over when the host tries again
            return False
        return True

    async def until(self, instant: str) -> None:
        """Let time pass until *instant*, and the minute after a window's end, if it lies ahead. Run the timer."""
        self.clock.set(max(datetime.fromisoformat(instant) + GRACE, await self.clock.now()))
        await self.fire()

    async def pass_minutes(self, minutes: int) -> None:
        """Let time pass, and run the timer at its end."""
        self.clock.advance(timedelta(minutes=minutes))
        await self.fire()

    async def rest(self) -> None:
        """
        Let minutes pass until no work is due: messages are delivered, and the timer runs when a row is due.

        Raises AssertionError if that never happens.
        """
        for _ in range(MOST_ROUNDS):
            await self.deliver()
            if not await self.due_work():
                return
            self.clock.advance(timedelta(minutes=1))
            now = await self.clock.now()
            if any(due <= now for due in await self.dues()):
                await self.fire()
        raise AssertionError(f"not at rest after {MOST_ROUNDS} minutes: {await self.due_work()}")

    async def end(self) -> None:
        """Let all time pass. Due work that is not done then is never done."""
        await self.rest()
        self.clock.advance(ALL_OVER)
        await self.fire()
        await self.rest()
        if await self.dues():  # rows of recent work are too young to be deleted
            self.clock.advance(SETTLED)
            await self.fire()

    # --- the contents of storage ------------------------------------------------------------------------------------

    async def rows(self, table: str) -> list[Row]:
        """Return every row of a table, in the order of partitions and keys."""
        stored = self.storage.keep().rows
        return [stored[place] for place in sorted(stored) if place[0] == table]

    async def blobs(self) -> list[bytes]:
        """Return the bytes of every blob, sorted."""
        stored = self.storage.keep()
        return sorted(data for data, _ in (*stored.blobs.values(), *stored.batch_bodies.values()))

    async def documents(self, table: str, kind: str = "") -> dict[str, Any]:
        """Return the documents of the rows whose key begins with *kind*, by key."""
        rows = [row for row in await self.rows(table) if row.key.startswith(kind)]
        return {row.key: json.loads(unpacked(row.values["document"])) for row in rows}

    async def due_work(self) -> list[str]:
        """Return the due work of the stored claims, and the unfinished pages of batches and large exports."""
        now = await self.clock.now()
        claims = [Claim.model_validate(one) for one in (await self.documents("claims", "claim|")).values()]
        found = [f"{claim.id} {kind}" for claim in claims for kind in due_now(claim, now)]
        stored = [await self.documents("batches", kind) for kind in ("batch", "done|", "export|")]
        bulk = [one for documents in stored for one in documents.values()]
        pages, done = sum(len(one.get("pages", ())) for one in bulk), sum("pages" not in one for one in bulk)
        return found if done == pages else [*found, f"{pages - done} pages of a batch or an export"]

    async def dues(self) -> list[datetime]:
        """Return the instants of all due rows, without the rows for months or years after the close of a claim."""
        keys = [row.key for row in await self.rows("duework")]
        stamps = [key.partition("|")[0] for key in keys if not waits_for_retention(key)]
        return [datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC) for stamp in stamps]


def waits_for_retention(key: str) -> bool:
    """Return whether a due row erases people or deletes mails of a closed claim, months or years later."""
    kind = key.rpartition("|")[2]
    return kind in (Kind.ERASE_PEOPLE, Kind.DELETE_MESSAGE_IDS)


@asynccontextmanager
async def fault_rig(issuer: LocalIssuer) -> AsyncIterator[FaultRig]:
    """Yield a rig without a fault for the process."""
    rig = FaultRig(issuer)
    rig.start(Trail())
    try:
        yield rig
    finally:
        await rig.close()
