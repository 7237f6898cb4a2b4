"""
Measures how much memory and CPU one process of the functions takes under the largest bodies.

    python -m tests.soak.memory

Each scenario has a new process on the local host, storage in memory, and a mail server. The command prints a table.
Its figures stand in docs/operating.md, where they decide the memory of an instance.
"""

import asyncio
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from cpor_app.queue_names import STORAGE
from cpor_app.triggers.batches import BATCH_BYTES
from cpor_app.triggers.usage import USAGE_BYTES
from cpor_core.model.batch import MOST_ROWS as MOST_BATCH_ROWS
from cpor_core.model.claim import MAX_EVIDENCE_BYTES
from cpor_core.use_cases.usage.figures import MOST_ROWS as MOST_FIGURES
from devhost.stack.functions_settings import functions_environment, without_proxies
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer
from devhost.stack.processes import ROOT, Child, python
from devhost.stack.tcp_ports import StackPorts
from tests.support.azurite import running_azurite
from tests.support.service import ACKNOWLEDGED, PARTNER, PARTNER_ID, claim_as_sent
from tests.support.smtp import running_smtp_server
from tools.pages.markdown import table
from tools.planning import shipped

AT_ONCE = shipped().concurrency
"""As many requests as one instance processes at the same time (infra/main.bicep)."""
LIVES, WARMING = 60, 10
CUSTOMERS = WARMING + LIVES
SMALL_FILE_BYTES = 2**20
"""The largest file that does not count as a large body."""
SIGNED = datetime.now(UTC).date() - timedelta(days=30)
LINES = {"Content-Type": "application/x-ndjson"}
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Host:
    """A running process of the functions, and a client."""

    child: Child
    client: httpx.AsyncClient
    issuer: LocalIssuer

    @property
    def _proc(self) -> Path:
        return Path("/proc") / str(self.child.process.pid)

    def mebibytes(self, which: str) -> float:
        """Return `VmRSS`, the memory now, or `VmHWM`, the most so far."""
        found = re.search(rf"^{which}:\s+(\d+) kB$", (self._proc / "status").read_text("ascii"), re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU that the process took so far."""
        fields = (self._proc / "stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def executions(self, function: str = r"\w+") -> int:
        """Return how many executions of a function, or of all functions, have ended."""
        ended = rf" devhost: {function} (?:succeeded|answered \d+) in "
        return len(re.findall(ended, self.child.log.read_text("utf-8", "replace")))

    async def ask(
        self, method: str, path: str, role: str = "Incentives.Admin", tenant: str = PARTNER, **more: Any
    ) -> httpx.Response:
        """Send a request, again and again while the service is busy."""
        headers = {**more.pop("headers", {}), "Authorization": f"Bearer {self.issuer.sign([role], tenant)}"}
        while True:
            answer = await self.client.request(method, path, headers=headers, **more)
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.2)
        assert answer.is_success, answer.text[:500]
        return answer

    async def operator(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request of the programme."""
        return await self.ask(method, path, "Program.Operator", PROGRAMME_TENANT, **more)


Scenario: TypeAlias = Callable[[Host], Awaitable[None]]


def customer(number: int) -> str:
    """Return a customer's tenant."""
    return f"c0000000-0000-4000-8000-{number:012d}"


def item(number: int) -> str:
    """Return the subscription of a customer."""
    return f"5b000000-0000-4000-8000-{number:012d}"


async def register(host: Host) -> None:
    """Register a partner and the customers."""
    partner = {
        "name": "Adatum Conseil",
        "entraTenantId": PARTNER,
        "country": "FR",
        "timeZone": "Europe/Paris",
        "enrolledEngagements": ["usage-recognition-bizapps"],
    }
    await host.operator("PUT", f"/partners/{PARTNER_ID}", json=partner)
    for number in range(CUSTOMERS):
        subscription = {"subscriptionId": item(number), "product": "dynamics-365-sales", "channel": "EA"}
        entry = {
            "name": f"Contoso {number}",
            "domains": [f"contoso-{number}.example"],
            "country": "FR",
            "subdivision": None,
            "timeZone": "Europe/Paris",
            "language": "fr",
            "noticeAddresses": [],
            "workloads": [],
            "subscriptions": [{**subscription, "state": "active", "seats": 50}],
        }
        await host.operator("PUT", f"/customers/{customer(number)}", json=entry)


def claim(number: int) -> dict[str, Any]:
    """Return a claim for the item of a customer."""
    domain = f"contoso-{number}.example"
    contacts = {
        "customer": {"name": "Anne Durand", "email": f"anne@{domain}"},
        "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
    }
    return claim_as_sent(
        customer={"tenantId": customer(number), "domain": domain},
        items=[{"product": "dynamics-365-sales", "subscriptionId": item(number)}],
        contacts=contacts,
    )


def pdf(size: int) -> bytes:
    """Return a file that no other has."""
    return b"%PDF-1.4\n" + os.urandom(size - 9)


async def at_once(*doing: Awaitable[Any]) -> None:
    """Do everything, with as many at the same time as an instance does."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def do(one: Awaitable[Any]) -> None:
        async with gate:
            await one

    await asyncio.gather(*map(do, doing))


# --- scenarios --------------------------------------------------------------------------------------------------------


async def idle(_: Host) -> None:
    """Nothing after the first answer."""


async def lives(host: Host) -> None:
    """Claims from draft to notice: three requests, two messages."""
    await live(host, range(WARMING, WARMING + LIVES))


async def live(host: Host, numbers: range) -> None:
    """Make a claim for each customer, and wait until each customer is notified."""
    before = host.executions("notify_customer")

    async def one(number: int) -> None:
        path = f"/claims/{(await host.ask('POST', '/claims', json=claim(number))).json()['id']}"
        await host.ask("PUT", f"{path}/evidence/sow.pdf?signedOn={SIGNED}", content=pdf(SMALL_FILE_BYTES))
        await host.ask("POST", f"{path}/submit", json=ACKNOWLEDGED)

    await at_once(*map(one, numbers))
    while host.executions("notify_customer") < before + len(numbers):  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.5)


async def evidence(host: Host) -> None:
    """The largest files, each to a claim of its own."""
    ids = [(await host.ask("POST", "/claims", json=claim(number))).json()["id"] for number in range(AT_ONCE)]
    file = pdf(MAX_EVIDENCE_BYTES)
    await at_once(*(host.ask("PUT", f"/claims/{one}/evidence/sow.pdf", content=file) for one in ids))


def padded(rows: Sequence[Mapping[str, Any]], size: int) -> bytes:
    """Return JSON lines of that size: each line is filled with blanks."""
    length = size // len(rows) - 1
    return b"".join(json.dumps(row).encode().ljust(length) + b"\n" for row in rows)


def figures() -> bytes:
    """Return the largest feed: as many lines and as many bytes as are allowed."""
    rows = [
        {
            "tenantId": customer(number % CUSTOMERS),
            "month": f"{2000 + number // CUSTOMERS // 12 % 100}-{number // CUSTOMERS % 12 + 1:02d}",
            "item": item(number % CUSTOMERS),
            "activeUsers": number,
            "availableSeats": number,
            "assignedSeats": number,
        }
        for number in range(MOST_FIGURES)
    ]
    return padded(rows, USAGE_BYTES)


async def usage(host: Host) -> None:
    """The largest feed of figures, as JSON lines."""
    await host.operator("POST", "/usage/reports?format=jsonl", content=figures(), headers=LINES)


async def two_reports(host: Host) -> None:
    """Two of them: as many as run at the same time."""
    feed = figures()
    feeds = [
        host.operator("POST", f"/usage/reports?format=jsonl&asOf={day}", content=feed, headers=LINES)
        for day in ("2026-11-01", "2026-11-02")
    ]
    await asyncio.gather(*feeds)


async def graph(host: Host) -> None:
    """The largest report of Microsoft Graph: SKUs with their plans."""
    plan = {
        "servicePlanId": "57ff2da0-773e-42df-b2af-ffb7a2317929",
        "servicePlanName": "TEAMS1",
        "provisioningStatus": "Success",
        "appliesTo": "User",
    }
    sku = {
        "skuId": "6fd2c87f-b296-42f0-b197-1e91e994b900",
        "skuPartNumber": "ENTERPRISEPACK",
        "appliesTo": "User",
        "capabilityStatus": "Enabled",
        "consumedUnits": 10,
        "prepaidUnits": {"enabled": 20, "suspended": 0, "warning": 0, "lockedOut": 0},
        "servicePlans": [plan] * 30,
        "subscriptionIds": [item(0)],
    }
    one = json.dumps(sku)
    body = '{"value": [' + ",".join([one] * ((USAGE_BYTES - 20) // (len(one) + 1))) + "]}"
    path = f"/usage/reports?format=graph-subscribed-skus&tenantId={customer(0)}"
    await host.operator("POST", path, content=body, headers={"Content-Type": "application/json"})


async def batch(host: Host) -> None:
    """The largest batch of claims."""
    rows = [{**claim(number % CUSTOMERS), "name": f"Claim {number}"} for number in range(MOST_BATCH_ROWS)]
    await host.ask("POST", "/claim-batches", content=padded(rows, BATCH_BYTES), headers=LINES)
    await asyncio.sleep(10)


SCENARIOS: Mapping[str, Scenario] = {
    f"nothing, after {WARMING} claims": idle,
    f"{LIVES} claims from draft to notice, {AT_ONCE} at a time": lives,
    f"{AT_ONCE} files of {MAX_EVIDENCE_BYTES // 2**20} MiB at once": evidence,
    f"a feed of {MOST_FIGURES:,} lines and {USAGE_BYTES // 2**20} MiB": usage,
    "two such feeds at once": two_reports,
    f"a report of Microsoft Graph of {USAGE_BYTES // 2**20} MiB": graph,
    f"a batch of {MOST_BATCH_ROWS:,} rows and {BATCH_BYTES // 2**20} MiB": batch,
}


# --- running ----------------------------------------------------------------------------------------------------------


@contextmanager
def environment(folder: Path, issuer: LocalIssuer, ports: StackPorts) -> Iterator[Callable[[], dict[str, str]]]:
    """Start storage and mail server. Yield a function that returns the settings of a host with an empty account."""
    with running_azurite() as azurite, running_smtp_server() as smtp:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "CPOR_"))}
        common = functions_environment(ports, issuer, secrets.token_urlsafe(32), without_proxies(ours))

        def fresh() -> dict[str, str]:
            storage = azurite.fresh_account()
            return common | {"AzureWebJobsStorage": storage, STORAGE: storage, "CPOR_SMTP_PORT": str(smtp.port)}

        yield fresh


async def measured(name: str, scenario: Scenario, child: Child, port: int, issuer: LocalIssuer) -> tuple[str, ...]:
    """Run a scenario on a new process. Returns its line of the table."""
    address = f"http://127.0.0.1:{port}/api"
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        host = Host(child, client, issuer)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await _answers(host):  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.2)
        await register(host)
        await live(host, range(WARMING))
        cpu, executions = host.cpu_seconds(), host.executions()
        await scenario(host)
        ended = max(1, host.executions() - executions)
        used = host.cpu_seconds() - cpu
        return name, f"{host.mebibytes('VmHWM'):.0f}", f"{host.mebibytes('VmRSS'):.0f}", f"{used:.1f}", str(ended)


async def _answers(host: Host) -> bool:
    host.child.verify_runs()
    try:
        return (await host.client.get("/health")).is_success
    except httpx.HTTPError:
        return False


def main() -> None:
    """Measure every scenario and print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, ports = Path(name), StackPorts.free()
        issuer = LocalIssuer.open(folder)
        with environment(folder, issuer, ports) as fresh:
            for what, scenario in SCENARIOS.items():
                command = python("tests.soak.memory_host", "--app", str(ROOT), "--port", str(ports.http))
                child = Child.start("functions", command, folder / "functions.log", fresh())
                try:
                    rows.append(asyncio.run(measured(what, scenario, child, ports.http, issuer)))
                    print(f"{what}: {rows[-1][1]} MiB", file=sys.stderr, flush=True)
                finally:
                    child.stop()
    print("\n".join(table(("load", "most MiB", "MiB after it", "CPU seconds", "executions"), rows)))


if __name__ == "__main__":
    main()
