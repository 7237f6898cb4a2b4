"""
How fast it is: calls a second over the local emulator, beside the bare storage SDK making as many requests of the kind.

    make bench                      a table
    make bench ARGS='--calls 100'   more calls of each kind, 200 at most

Each kind of call is made one at a time, and then 16 at a time. The requests that one call makes are recorded, and made
again by the SDK alone on rows of a common size, as many of them at once as the service has on their way: the ratio says
what the service adds. Throttling is off.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_core.rules.grace import GRACE
from devhost.host.http_triggers import HttpTriggers
from devhost.stack.issuer import LocalIssuer
from tests.doubles.transport import FaultyTransport, Plan
from tests.support.azurite import running_azurite
from tests.support.service import (
    ACKNOWLEDGED,
    PUBLIC_URL,
    Service,
    _invoker,
    claim_as_sent,
    functions,
    running_service,
)

AT_ONCE = 16
CALLS, MOST_CALLS = 40, 200
PAGE = 50
DOCUMENT = {"document": "x" * 2_000, "version": 1}
"""About as large as a claim's row."""
PARTITION, KEY = "bench", "row"


@dataclass(slots=True)
class Recorder(Plan):
    """Records what the service asks of storage: of each request what it is, and how many rows it writes."""

    kinds: list[tuple[str, int]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    def transport(self) -> AsyncHttpTransport[Any, Any]:
        """Return a new transport that records."""
        return _Recording(AioHttpTransport(), self)

    def begin(self) -> None:
        """Forget what was recorded."""
        self.clear()
        self.kinds.clear()
        self.most_in_flight = 0


class _Recording(FaultyTransport):
    def __init__(self, inner: AsyncHttpTransport[Any, Any], recorder: Recorder) -> None:
        super().__init__(inner, recorder)
        self._recorder = recorder

    async def _send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        recorder = self._recorder
        recorder.kinds.append(_kind(request))
        recorder.in_flight += 1
        recorder.most_in_flight = max(recorder.most_in_flight, recorder.in_flight)
        try:
            return await super()._send(request, **kwargs)
        finally:
            recorder.in_flight -= 1


def _kind(request: HttpRequest) -> tuple[str, int]:
    if "/messages" in request.url:
        return "message", 1
    if request.url.endswith("$batch"):
        body = request.content if isinstance(request.content, bytes) else str(request.content).encode()
        return "transaction", max(1, body.count(b" HTTP/1.1"))
    if request.method == "GET":
        return ("query" if "filter" in request.url else "read"), 1
    return "write", 1


class Bare:
    """The storage SDK alone."""

    def __init__(self, connection: StorageConnection) -> None:
        """Make the clients that the service would make."""
        self._tables, self._queues = connection.tables(), connection.queues()
        self._table = self._tables.get_table_client("bench")
        self._queue = self._queues.get_queue_client("bench")

    async def prepare(self) -> None:
        """Store the row that is read."""
        await self._table.upsert_entity({"PartitionKey": PARTITION, "RowKey": KEY, **DOCUMENT})

    async def close(self) -> None:
        """Close the clients."""
        await self._tables.close()
        await self._queues.close()

    async def call(self, kinds: Sequence[tuple[str, int]], at_once: int, number: int) -> None:
        """Make the requests of one call."""
        gate = asyncio.Semaphore(at_once)

        async def one(place: int, kind: str, rows: int) -> None:
            async with gate:
                await self._request(kind, rows, f"{number}-{place}")

        await asyncio.gather(*(one(place, kind, rows) for place, (kind, rows) in enumerate(kinds)))

    async def _request(self, kind: str, rows: int, name: str) -> None:
        match kind:
            case "read":
                await self._table.get_entity(PARTITION, KEY)
            case "query":
                pages = self._table.query_entities(
                    "PartitionKey eq @p and RowKey ge @k", parameters={"p": PARTITION, "k": KEY}
                )
                async for _ in pages:
                    break
            case "write":
                await self._table.upsert_entity({"PartitionKey": f"w-{name}", "RowKey": KEY, **DOCUMENT})
            case "message":
                await self._queue.send_message("x" * 80)
            case _:
                entities = [{"PartitionKey": f"t-{name}", "RowKey": str(row), **DOCUMENT} for row in range(rows)]
                await self._table.submit_transaction([("upsert", entity) for entity in entities])


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of call: calls a second by the service and by the bare SDK, one at a time and 16 at a time."""

    name: str
    requests: int
    alone: tuple[float, float]
    together: tuple[float, float] | None

    def __str__(self) -> str:
        together = _cells(self.together) if self.together is not None else " " * 24
        return f"{self.name:<34}{self.requests:>9}{_cells(self.alone)}{together}"


def _cells(speeds: tuple[float, float]) -> str:
    service, bare = speeds
    return f"{service:>8.1f}{bare:>8.1f}{service / bare:>8.2f}"


HEAD = (
    f"{'':<34}{'requests':>9}{'one at a time':>24}{f'{AT_ONCE} at a time':>24}\n"
    f"{'calls a second':<34}{'a call':>9}{'service':>8}{'bare':>8}{'ratio':>8}{'service':>8}{'bare':>8}{'ratio':>8}"
)


@dataclass
class Bench:
    """The service, the SDK, and what is measured."""

    service: Service
    recorder: Recorder
    bare: Bare
    calls: int

    async def line(self, name: str, call: Callable[[int], Awaitable[object]]) -> Line:
        """Measure a kind of call; it is given a number that no other call has."""
        self.recorder.begin()
        await call(0)
        kinds, at_once = list(self.recorder.kinds), max(1, self.recorder.most_in_flight)

        async def bare(number: int) -> None:
            await self.bare.call(kinds, at_once, number)

        numbers = range(1, self.calls + 1)
        alone = (await _speed(call, numbers, 1), await _speed(bare, numbers, 1))
        numbers = range(self.calls + 1, 2 * self.calls + 1)
        together = (await _speed(call, numbers, AT_ONCE), await _speed(bare, numbers, AT_ONCE))
        return Line(name, len(kinds), alone, together)

    async def once(self, name: str, size: int, call: Callable[[], Awaitable[object]]) -> Line:
        """Measure one large call by the things that it deals with."""
        self.recorder.begin()
        began = time.perf_counter()
        await call()
        took = time.perf_counter() - began
        kinds, at_once = list(self.recorder.kinds), max(1, self.recorder.most_in_flight)
        began = time.perf_counter()
        await self.bare.call(kinds, at_once, 10**6)
        return Line(name, len(kinds), (size / took, size / (time.perf_counter() - began)), None)

    async def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Send a request that must succeed; returns its JSON."""
        answer = await self.service.request(method, path, **more)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found


async def _speed(call: Callable[[int], Awaitable[object]], numbers: Sequence[int], at_once: int) -> float:
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with gate:
            await call(number)

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in numbers))
    return len(numbers) / (time.perf_counter() - began)


async def measure(bench: Bench) -> None:
    """Print the table, line by line."""
    everyone = 2 * bench.calls + 1
    subscriptions = [f"cccccccc-0000-4000-8000-{number:012d}" for number in range(everyone)]
    registered = {"product": "dynamics-365-sales", "channel": "EA", "state": "active", "seats": 50}
    await bench.service.register(subscriptions=[{"subscriptionId": one, **registered} for one in subscriptions])
    drafts: dict[int, str] = {}

    async def create(number: int) -> None:
        items = [{"product": "dynamics-365-sales", "subscriptionId": subscriptions[number]}]
        drafts[number] = (await bench.ask("POST", "/claims", json=claim_as_sent(items=items)))["id"]

    async def submit(number: int) -> None:
        await bench.ask("POST", f"/claims/{drafts[number]}/submit", json=ACKNOWLEDGED)

    async def tell(number: int) -> None:
        await bench.service.run("notify_customer", f'{{"claimId": "{drafts[number]}"}}')

    async def read(number: int) -> None:
        await bench.ask("GET", f"/claims/{drafts[number]}")

    async def show_list(number: int) -> None:
        await bench.ask("GET", f"/claims?maxpagesize={PAGE}")

    print(HEAD)
    print(await bench.line("create a draft", create))
    for claim_id in drafts.values():
        await bench.ask("PUT", f"/claims/{claim_id}/evidence/sow.pdf?signedOn=2026-10-02", content=b"%PDF-1.4\n%%EOF\n")
    print(await bench.line("submit, reviewed automatically", submit))
    print(await bench.line("tell a customer", tell))
    print(await bench.line("read a claim", read))
    print(await bench.line(f"list {min(PAGE, everyone)} open claims", show_list))
    window = (await bench.ask("GET", f"/claims/{drafts[0]}"))["window"]
    bench.service.clock.set(datetime.fromisoformat(window["endsAt"]) + GRACE)
    print(await bench.once(f"make {everyone} claims official (claims)", everyone, bench.service.sweep))


async def main(calls: int) -> None:
    """Start everything, measure, stop everything."""
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        issuer = LocalIssuer.open(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        recorder = Recorder()
        service = await stack.enter_async_context(
            running_service(azurite.fresh_account(), issuer, transport=recorder.transport)
        )
        # Without the checks that every test makes of every answer.
        app = HttpTriggers(functions(), _invoker(), {})
        service.client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=PUBLIC_URL)
        )
        connection = StorageConnection.from_text(azurite.fresh_account())
        await provision(connection, ["bench"], ["bench"], [])
        bare = Bare(connection)
        stack.push_async_callback(bare.close)
        await bare.prepare()
        await measure(Bench(service, recorder, bare, calls))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench", description="How fast it is, as a table.")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"of each kind; {CALLS}, at most {MOST_CALLS}")
    chosen = parser.parse_args()
    if not 1 <= chosen.calls <= MOST_CALLS:
        parser.error(f"--calls is 1 to {MOST_CALLS}")
    logging.disable(logging.WARNING)
    asyncio.run(main(chosen.calls))
    sys.exit(0)
