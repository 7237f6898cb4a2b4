"""A service with many organisations and customers, so that no measurement is about one lock or one partition."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any

import httpx

from cpor_app.adapters.storage.row_store import Cell, Insert, Row
from cpor_core.due_work import SHARDS, Kind
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.identifiers import new_claim_id
from devhost.stack.issuer import LocalIssuer
from tests.bench.mail_systems import Mails
from tests.bench.recording import Recorder
from tests.budgets.counting import OPERATOR, Counter, counter
from tests.support.communication_services import SENDER
from tests.support.service import ACKNOWLEDGED, PDF, PUBLIC_URL, app_client, claim_as_sent

ORGANISATIONS, CUSTOMERS, SUBSCRIPTIONS = 8, 24, 20
LARGE, SUBSCRIPTIONS_OF_THE_LARGE = CUSTOMERS, 500
"""The number of the one customer with many subscriptions."""
A_TRANSACTION, AT_ONCE = 100, 8
PAGE = 10
YEARS_LATER = "20360101T000000.000000Z"
A_DAY = timedelta(days=1)
_CLAIM_ID = re.compile(r"[0-9a-f]{52}")


def organisation(number: int) -> str:
    """Return the tenant of the partner that makes the claim with that *number*."""
    return f"aaaaaaaa-0000-4000-8000-0000000001{number % ORGANISATIONS:02d}"


def customer(number: int) -> str:
    """Return the tenant of a customer."""
    return f"bbbbbbbb-0000-4000-8000-0000000001{number:02d}"


def subscription(customer_number: int, number: int) -> str:
    """Return one of a customer's subscriptions."""
    return f"cccccccc-0000-4000-8000-{customer_number:04d}{number:08d}"


@dataclass
class World:
    """The service, its counter, and the claims that were made, by their numbers."""

    counter: Counter
    mails: Mails
    ids: dict[int, str] = field(default_factory=dict)
    of_the_large: set[int] = field(default_factory=set)

    async def ok(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request. Raises AssertionError unless it succeeds."""
        answer = await self.counter.service.request(method, path, **more)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def register(self) -> None:
        """Register all partners and customers."""
        for number in range(ORGANISATIONS):
            partner = {
                "name": f"Partner {number}",
                "entraTenantId": organisation(number),
                "country": "FR",
                "timeZone": "Europe/Paris",
                "enrolledEngagements": ["usage-recognition-bizapps"],
            }
            await self.ok("PUT", f"/partners/57000{number:02d}", json=partner, **OPERATOR)
        for number in range(CUSTOMERS + 1):
            bought = {"product": "dynamics-365-sales", "channel": "EA", "state": "active", "seats": 50}
            many = SUBSCRIPTIONS_OF_THE_LARGE if number == LARGE else SUBSCRIPTIONS
            registered = {
                "name": f"Customer {number}",
                "domains": [f"customer{number}.example"],
                "country": "FR",
                "timeZone": "Europe/Paris",
                "language": "fr",
                "workloads": ["teams"],
                "subscriptions": [{"subscriptionId": subscription(number, one), **bought} for one in range(many)],
            }
            await self.ok("PUT", f"/customers/{customer(number)}", json=registered, **OPERATOR)

    def bought(self, number: int) -> tuple[str, str]:
        """Return the customer of a claim and its subscription. Each claim has a subscription of its own."""
        buyer = self._buyer(number)
        return customer(buyer), subscription(buyer, number if buyer == LARGE else number // CUSTOMERS)

    def _buyer(self, number: int) -> int:
        return LARGE if number in self.of_the_large else number % CUSTOMERS

    # --- acts on the claim with a number ------------------------------------------------------------------------------

    async def create(self, number: int) -> None:
        """Make a draft."""
        buyer = self._buyer(number)
        tenant, item = self.bought(number)
        claim = claim_as_sent(
            partnerId=f"57000{number % ORGANISATIONS:02d}",
            customer={"tenantId": tenant, "domain": f"customer{buyer}.example"},
            items=[{"product": "dynamics-365-sales", "subscriptionId": item}],
            contacts={
                "customer": {"name": "Anne Durand", "title": "DSI", "email": f"anne.durand@customer{buyer}.example"},
                "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
            },
        )
        made = await self.ok("POST", "/claims", tenant=organisation(number), json=claim)
        self.ids[number] = made.json()["id"]

    async def put_evidence(self, number: int) -> None:
        """Store the evidence of a draft."""
        await self.of_partner("PUT", number, "/evidence/sow.pdf?signedOn=2026-10-02", content=PDF)

    async def submit(self, number: int) -> None:
        """Submit a draft."""
        await self.of_partner("POST", number, "/submit", json=ACKNOWLEDGED)

    async def notify(self, number: int) -> None:
        """Send the notice, as the function of the queue."""
        await self.counter.service.run("notify_customer", f'{{"claimId": "{self.ids[number]}"}}')

    async def of_partner(self, method: str, number: int, path: str = "", **more: Any) -> httpx.Response:
        """Send a request of a claim's partner about the claim."""
        return await self.ok(method, f"/claims/{self.ids[number]}{path}", tenant=organisation(number), **more)

    async def submitted(self, numbers: Sequence[int]) -> None:
        """Bring claims to the state in which a notice is due. None of this is measured."""
        for act in (self.create, self.put_evidence, self.submit):
            await all_of(act(number) for number in numbers)

    def links(self) -> Mapping[str, str]:
        """Return the path of the customer's page for each claim's id."""
        found = {}
        for mail in self.mails.kept:
            for line in map(str.strip, mail.text.splitlines()):
                if line.startswith(PUBLIC_URL) and (claim_id := _CLAIM_ID.search(line)):
                    found[claim_id[0]] = line.removeprefix(PUBLIC_URL)
        return found

    async def window_ends_at(self, number: int) -> datetime:
        """Return the end of a claim's window."""
        window = (await self.of_partner("GET", number)).json()["window"]
        return datetime.fromisoformat(window["endsAt"])

    # --- claims that are stored without an act ------------------------------------------------------------------------

    async def copy(self, originals: Sequence["Original"], first: int, last: int, *, due: bool) -> Sequence[str]:
        """
        Store copies of claims: the rows that acts on the copies and lists of them need. Return the ids of the copies.

        If *due*, the timer will make the copies official. Otherwise their due rows are years away.
        """
        inserts: dict[tuple[str, str], list[Insert]] = {}
        due_rows: list[DueRow] = []
        ids = []
        for copy, original in zip(range(first, last), cycle(originals), strict=False):
            new = new_claim_id(original.tenant, f"{copy:020x}"), f"dddddddd-0000-4000-8000-{copy:012d}"
            ids.append(new[0])
            for table, row in original.rows:
                inserts.setdefault((table, row.partition), []).append(_renamed(row, original.names, new))
            due_rows.append(replace(original.write_down, subject=new[0]))
            if not due:
                far = Insert(f"{YEARS_LATER}|{new[0]}|writeDown", {"attempt": 0})
                inserts.setdefault(("duework", f"{copy % SHARDS:02d}"), []).append(far)
        await self.insert(inserts)
        if due:
            duework = self.counter.service.services.ports.duework
            await all_of(duework.add([row]) for row in due_rows)
        return ids

    async def insert(self, inserts: Mapping[tuple[str, str], Sequence[Insert]]) -> None:
        """Insert rows by table and partition."""
        rows = self.counter.service.services.rows
        await all_of(
            rows.write(table, partition, *chunk)
            for (table, partition), all_rows in inserts.items()
            for chunk in _chunks(all_rows)
        )

    async def original(self, number: int) -> "Original":
        """Return the rows of a claim whose window is open, for its copies."""
        claim_id = self.ids[number]
        tenant, item = self.bought(number)
        names, partner = (claim_id, item), organisation(number)
        store, ports = self.counter.service.services.rows, self.counter.service.services.ports
        found = [
            (table, row)
            for table, partition in (("claims", tenant), ("partnerclaims", partner), ("changes", partner))
            async for row in store.query(table, partition)
            if any(name in row.key for name in names) and not row.key.startswith("history|")
        ]
        end = await self.window_ends_at(number) + A_DAY
        due = [row for shard in range(SHARDS) for row in await ports.duework.due(shard, end, after=None, limit=1_000)]
        write_down = next(row for row in due if row.subject == claim_id and row.kind is Kind.WRITE_DOWN)
        return Original(tenant, names, found, write_down)


@dataclass(frozen=True, slots=True)
class Original:
    """The rows of a claim, for its copies."""

    tenant: str
    names: tuple[str, str]
    """The id of the claim and of its subscription."""
    rows: Sequence[tuple[str, Row]]
    write_down: DueRow


def _renamed(row: Row, names: tuple[str, str], new: tuple[str, str]) -> Insert:
    def rename(cell: Cell) -> Cell:
        if isinstance(cell, str):
            for former, name in zip(names, new, strict=True):
                cell = cell.replace(former, name)
        return cell

    return Insert(str(rename(row.key)), {name: rename(cell) for name, cell in row.values.items()})


def _chunks(inserts: Sequence[Insert]) -> Iterator[Sequence[Insert]]:
    left = iter(inserts)
    while chunk := list(islice(left, A_TRANSACTION)):
        yield chunk


async def all_of(doing: Iterable[Awaitable[object]]) -> None:
    """Await everything, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[object]) -> None:
        async with gate:
            await each

    await asyncio.gather(*map(one, doing))


@asynccontextmanager
async def world(connection_string: str, issuer: LocalIssuer) -> AsyncIterator[World]:
    """Start a service with its partners and customers."""
    mails = Mails()
    async with (
        counter(connection_string, issuer, Recorder(), mailer=mails, CPOR_MAIL_FROM=SENDER) as c,
        app_client() as client,  # without the checks that every test makes of every answer
    ):
        c.service.client = client
        made = World(c, mails)
        await made.register()
        yield made
