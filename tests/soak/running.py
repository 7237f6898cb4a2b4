"""A soak: hosts over one storage are called by many and killed now and then; in the end all comes to rest."""

import asyncio
import os
import random
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from cpor_app.queue_names import STORAGE
from devhost.stack.functions_settings import functions_environment, public_url, without_proxies
from devhost.stack.issuer import LocalIssuer
from devhost.stack.processes import ROOT, Child, python
from devhost.stack.tcp_ports import StackPorts
from tests.soak import callers
from tests.soak.callers import CAST, OPERATOR, TRY_SECONDS, Caller, World
from tests.soak.journal import Journal
from tests.soak.seen import Seen, read_queues, read_tables
from tests.soak.verify import AT_REST, nothing_is_overdue, queues_are_empty, violations
from tests.support.azurite import running_azurite
from tests.support.smtp import SmtpServer, running_smtp_server

HOSTS = 2
SCHEDULE = "*/15 * * * * *"
START_SECONDS = 90
LOOK_SECONDS = 3
REST_SECONDS = 1200
"""Within so many, hosts that nobody calls or kills must have done everything."""
DONE = queues_are_empty, nothing_is_overdue
ALL_DUE = timedelta(days=100), timedelta(days=40)
"""The first lets everything fall due that was begun; the second, the windows of notices that went out only then."""
STILL_DUE = timedelta(minutes=61)
"""A debt that could not be paid is tried again within the hour."""


@dataclass(frozen=True)
class Plan:
    """What a run is to be; all of it is drawn from the seed."""

    seconds: int
    kills: int
    seed: int
    callers: int


@dataclass
class Host:
    """One host: its process now, and the logs of all that it had."""

    name: str
    port: int
    folder: Path
    environ: dict[str, str]
    logs: list[Path] = field(default_factory=list)
    child: Child | None = None

    def start(self) -> None:
        """Start it anew."""
        log = self.folder / f"{self.name}-{len(self.logs):02d}.log"
        self.logs.append(log)
        command = python("tests.soak.host", "--app", str(ROOT), "--port", str(self.port))
        self.child = Child.start(self.name, command, log, self.environ)

    def kill(self) -> None:
        """End it as a machine ends that loses its power."""
        assert self.child is not None
        self.child.process.send_signal(signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.stop()

    @property
    def ended_by_itself(self) -> bool:
        """Whether it has ended without being killed."""
        return self.child is not None and self.child.process.poll() is not None


@dataclass
class Soak:
    """A run, with everything that it has started."""

    plan: Plan
    folder: Path
    world: World
    hosts: Sequence[Host]
    storage: str
    overheard: set[str] = field(default_factory=set)
    kills: int = 0

    async def run(self) -> Seen:
        """Register everybody, let them call while hosts are killed, come to rest, and look."""
        draw = random.Random(self.plan.seed)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=TRY_SECONDS, trust_env=False, limits=limits) as client:
            everybody = [
                Caller(
                    self.world,
                    random.Random(f"{self.plan.seed} {number}"),
                    client,
                    CAST[number % len(CAST)],
                    self.world.organisations[number % len(self.world.organisations)],
                )
                for number in range(self.plan.callers)
            ]
            await self._answers(client)
            await self._registered(everybody[0])
            self.world.began = asyncio.get_running_loop().time()
            calls = [asyncio.create_task(caller.call()) for caller in everybody]
            ears = asyncio.create_task(self._overhear())
            await self._kill(draw)
            self.world.is_over = True
            await asyncio.gather(*calls)
            await self._answers(client)
            await self._rest(client, everybody[0])
            ears.cancel()
            with suppress(asyncio.CancelledError):
                await ears
            return await self._look(everybody[0])

    async def _answers(self, client: httpx.AsyncClient) -> None:
        """Wait until every host answers. Raises TimeoutError."""
        async with asyncio.timeout(START_SECONDS):
            for host in self.hosts:
                while not await _is_healthy(client, host.port):  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.2)

    async def _registered(self, operator: Caller) -> None:
        for one in self.world.organisations:
            entry = {
                "name": one.name,
                "entraTenantId": one.tenant,
                "country": one.country,
                "timeZone": one.time_zone,
                "enrolledEngagements": [callers.AUTOMATIC, callers.REVENUE, callers.WORKLOADS],
            }
            answer = await operator.programme(OPERATOR, "PUT", f"/partners/{one.partner_id}", json=entry)
            assert answer is not None
            answer.raise_for_status()
        for customer in self.world.customers:
            await callers.register(operator, customer, customer.entry)

    async def _kill(self, draw: random.Random) -> None:
        """Kill hosts at the instants that the seed draws, and start each again at once."""
        seconds = self.plan.seconds
        for instant in [*sorted(draw.uniform(0, seconds) for _ in range(self.plan.kills)), seconds]:
            await asyncio.sleep(max(0.0, self.world.began + instant - asyncio.get_running_loop().time()))
            for host in self.hosts:
                if host.ended_by_itself:
                    self.world.journal.note("unfit", f"{host.name} ended by itself", answer=str(host.logs[-1]))
                    host.start()
            if instant != seconds:
                host = draw.choice(self.hosts)
                host.kill()
                host.start()
                self.kills += 1

    async def _overhear(self) -> None:
        while True:
            _, bodies = await asyncio.to_thread(read_queues, self.storage)
            self.overheard.update(bodies)
            await asyncio.sleep(LOOK_SECONDS)

    async def _rest(self, client: httpx.AsyncClient, operator: Caller) -> None:
        """Move the clock until all is due, and let hosts do it."""
        loop = asyncio.get_running_loop()
        began, ahead = loop.time(), list(ALL_DUE)
        while loop.time() < began + REST_SECONDS:
            seen = await self._look(operator)
            if not violations(seen, DONE):  # what is due now is done; what was put off needs time to go on
                if not ahead and not violations(seen, AT_REST):
                    return
                await callers.advance(operator, ahead.pop(0) if ahead else STILL_DUE)
            for host in self.hosts:
                with suppress(httpx.HTTPError):
                    address = f"http://127.0.0.1:{host.port}/admin/functions/finalise_uncontested"
                    await client.post(address, json={"input": ""})
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, operator: Caller) -> Seen:
        """Read everything."""
        waiting, bodies = await asyncio.to_thread(read_queues, self.storage)
        tables = await asyncio.to_thread(read_tables, self.storage)
        clock = await operator.programme(OPERATOR, "GET", "/sandbox/clock")
        assert clock is not None
        logs = {log.name: log.read_text("utf-8", "replace") for host in self.hosts for log in host.logs}
        mails = [str(mail.message["Message-ID"]).strip("<>").partition("@")[0] for mail in self.world.smtp.received]
        now = datetime.fromisoformat(clock.json()["now"])
        heard = sorted({*self.overheard, *bodies})
        return Seen(now, tables, self.world.journal.records, mails, waiting, heard, logs, self.kills)


async def _is_healthy(client: httpx.AsyncClient, port: int) -> bool:
    with suppress(httpx.HTTPError):
        return (await client.get(f"http://127.0.0.1:{port}/api/health")).is_success
    return False


@contextmanager
def soaking(plan: Plan, folder: Path) -> Iterator[Soak]:
    """Start storage, mail server and hosts; end them, however this is left."""
    with ExitStack() as exits:
        storage = exits.enter_context(running_azurite()).fresh_account()
        smtp: SmtpServer = exits.enter_context(running_smtp_server())
        ports = StackPorts.free()
        issuer = LocalIssuer.open(folder)
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "CPOR_"))}
        environ = functions_environment(ports, issuer, secrets.token_urlsafe(32), without_proxies(ours)) | {
            "AzureWebJobsStorage": storage,
            STORAGE: storage,
            "CPOR_SMTP_PORT": str(smtp.port),
            "FINALISE_SCHEDULE": SCHEDULE,
        }
        hosts = []
        for number in range(HOSTS):
            port = ports.http if number == 0 else StackPorts.free().http
            host = Host(f"host-{number}", port, folder, environ)
            exits.callback(host.stop)
            host.start()
            hosts.append(host)
        customers = callers.customers()
        world = World(
            [f"http://127.0.0.1:{host.port}/api" for host in hosts],
            public_url(ports),
            issuer,
            smtp,
            Journal(folder / "journal.jsonl"),
            callers.organisations(),
            customers,
            plan.seconds,
        )
        yield Soak(plan, folder, world, hosts, storage)
