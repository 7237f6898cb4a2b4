"""
The whole service in one process, with real functions, storage and tokens.

The clock stands still, and mails are kept.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from azure.functions.meta import Datum

from cpor_app import bootstrap
from cpor_app.adapters.mail.composer import Mailer
from cpor_app.adapters.mail.outgoing import OutgoingMail
from cpor_app.adapters.storage.connection import StorageConnection, Transport, provision
from cpor_app.adapters.storage.tables import TABLES
from cpor_app.queue_names import CLAIM_BATCHES, CUSTOMER_NOTICES, DUE_PAGES, PARTNER_NOTICES, POISON, QUEUES
from cpor_app.settings import Settings
from cpor_core.errors import MailDelayed, RecipientRefused
from cpor_core.rules.grace import GRACE
from devhost.host.config import Config
from devhost.host.functions import Function, TimerTrigger, load
from devhost.host.http_triggers import HttpTriggers
from devhost.host.invocations import Invoker
from devhost.stack.issuer import AUDIENCE, ISSUER, PROGRAMME_TENANT, LocalIssuer
from tests.doubles.clock import FixedClock
from tests.support import description

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_URL = "http://127.0.0.1:7071/api"
EARLIER = '"2026-01-01T00:00:00+00:00"'
MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PARTNER, OTHER_PARTNER = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
PARTNER_ID, OTHER_PARTNER_ID = "4782913", "5550001"
CUSTOMER = "bbbbbbbb-0000-4000-8000-000000000001"
SUBSCRIPTION = "cccccccc-0000-4000-8000-000000000001"
PARTNERS_DOMAIN = "@adatum.example"
"""Of the addresses of partners' contacts; no customer has it."""
DELIVERED = (
    (CUSTOMER_NOTICES, "notify_customer"),
    (PARTNER_NOTICES, "notify_partner"),
    (CLAIM_BATCHES, "process_claim_batch"),
    (DUE_PAGES, "process_due_page"),
)
"""The queues that the tests deliver, and the function of each queue; the first passes work on to the second."""
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@cache
def functions() -> Sequence[Function]:
    """The app's functions, loaded once in the way of the local host."""
    return load(Config.load(ROOT, {"FINALISE_SCHEDULE": "0 * * * * *", "CPOR_STORAGE": "unused"}))


def function(name: str) -> Function:
    """Return one function by its name."""
    return next(each for each in functions() if each.name == name)


@dataclass
class Mailbox:
    """
    A mail system that keeps its mails.

    It can be down or refuse an address. Mails to partners are kept apart from mails to customers.
    """

    sent: list[OutgoingMail] = field(default_factory=list)
    to_partners: list[OutgoingMail] = field(default_factory=list)
    down: bool = False
    refused: set[str] = field(default_factory=set)
    on_send: Callable[[OutgoingMail], None] | None = None

    async def send(self, mail: OutgoingMail) -> None:
        if self.on_send is not None:
            self.on_send(mail)
        if self.down:
            raise MailDelayed("the server is down")
        if mail.to_address in self.refused:
            raise RecipientRefused(550, "no such user")
        (self.to_partners if mail.to_address.endswith(PARTNERS_DOMAIN) else self.sent).append(mail)

    async def close(self) -> None:
        pass

    def links(self) -> Iterator[str]:
        """Yield the link of each mail to a customer, the oldest first."""
        for mail in self.sent:
            yield from (line.strip() for line in mail.text.splitlines() if line.strip().startswith(PUBLIC_URL))


@dataclass
class Service:
    """The running service, with short methods for the acts of its users."""

    services: bootstrap.Services
    clock: FixedClock
    mailbox: Mailbox
    issuer: LocalIssuer
    client: httpx.AsyncClient
    _signed: dict[tuple[object, ...], str] = field(default_factory=dict)

    def token(self, roles: str, tenant: str, *, app: bool = False) -> str:
        """Return a bearer token. Commas separate several roles."""
        asked = roles, tenant, app, self.clock.real()
        if asked not in self._signed:
            self._signed[asked] = self.issuer.sign(roles.split(","), tenant, app=app, now=self.clock.real())
        return self._signed[asked]

    async def request(
        self,
        method: str,
        path: str,
        *,
        role: str | None = "Incentives.Admin",
        tenant: str = PARTNER,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Send a request with *role* in *tenant*. None sends no token."""
        given = dict(headers or {})
        if role is not None:
            given["Authorization"] = f"Bearer {self.token(role, tenant)}"
        return await self.client.request(method, path, headers=given, **more)

    async def programme(self, method: str, path: str, role: str = "Program.Operator", **more: Any) -> httpx.Response:
        """Send a request as the programme."""
        return await self.request(method, path, role=role, tenant=PROGRAMME_TENANT, **more)

    async def review(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request as a reviewer."""
        return await self.programme(method, path, role="Program.Reviewer", **more)

    async def deliver(self) -> int:
        """Run the function of each waiting message, and return the number of messages."""
        count = 0
        for queue, name in DELIVERED:
            while taken := await self.services.queues.take(queue, 32):
                for message in taken:
                    await self.run(name, message.text)
                    await self.services.queues.done(message)
                    count += 1
        return count

    async def sweep(self) -> None:
        """Run the timer that does due work."""
        await self.fire("finalise_uncontested")

    async def fire(self, name: str) -> None:
        """Run a timer."""
        await self.run(name, json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None}))

    async def run(self, name: str, given: str) -> None:
        """Run a background function. Raises AssertionError if it fails."""
        called = function(name)
        kind = "json" if isinstance(called.trigger, TimerTrigger) else "string"
        metadata = {
            "Id": Datum("1", "string"),
            "PopReceipt": Datum("1", "string"),
            "DequeueCount": Datum("1", "json"),
            **dict.fromkeys(("ExpirationTime", "InsertionTime", "NextVisibleTime"), Datum(EARLIER, "json")),
        }
        ended = await _invoker().run(called, Datum(given, kind), {} if kind == "json" else metadata)
        assert ended.succeeded, f"{name} failed; its traceback is in the log"

    # --- what users do ----------------------------------------------------------------------------------------------

    def link(self, address: str) -> str:
        """Return the path of the newest link in a mail to an address."""
        mails = [mail for mail in self.mailbox.sent if mail.to_address == address]
        return list(Mailbox(sent=mails).links())[-1].removeprefix(PUBLIC_URL)

    async def page(self, link: str) -> Any:
        """Return the page behind a mailed link, as JSON."""
        answer = await self.request("GET", link, role=None, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def press(self, link: str, act: str, nonce: str | None = None, **form: str) -> httpx.Response:
        """Send a form of that page, with the current nonce or an earlier one."""
        if nonce is None:
            nonce = next(one["nonce"] for one in (await self.page(link))["acts"] if one["act"] == act)
        path, _, token = link.partition("?t=")
        return await self.request("POST", f"{path}/{act}", role=None, data={"t": token, "nonce": nonce, **form})

    async def register(self, **changes: Any) -> None:
        """Register two partners and a French customer."""
        for partner_id, tenant, name in (
            (PARTNER_ID, PARTNER, "Adatum Conseil"),
            (OTHER_PARTNER_ID, OTHER_PARTNER, "Fabrikam Services"),
        ):
            answer = await self.programme(
                "PUT",
                f"/partners/{partner_id}",
                json={
                    "name": name,
                    "entraTenantId": tenant,
                    "country": "FR",
                    "timeZone": "Europe/Paris",
                    "enrolledEngagements": [
                        "modern-work-security-usage",
                        "usage-recognition-bizapps",
                        "bizapps-revenue",
                        "mci-bizapps-presales-advisor",
                    ],
                },
            )
            assert answer.status_code in (200, 201), answer.text
        customer = {
            "name": "Contoso France",
            "domains": ["contoso.fr"],
            "country": "FR",
            "subdivision": None,
            "timeZone": "Europe/Paris",
            "language": "fr",
            "noticeAddresses": [],
            "workloads": ["teams", "exchange", "sharepoint"],
            "subscriptions": [
                {
                    "subscriptionId": SUBSCRIPTION,
                    "product": "dynamics-365-sales",
                    "channel": "EA",
                    "state": "active",
                    "seats": 50,
                }
            ],
            **changes,
        }
        answer = await self.programme("PUT", f"/customers/{CUSTOMER}", json=customer)
        assert answer.status_code in (200, 201), answer.text

    async def reread(self, claim: Mapping[str, Any], tenant: str = PARTNER) -> Any:
        """Return the claim that its partner reads now."""
        return (await self.request("GET", f"/claims/{claim['id']}", tenant=tenant)).json()

    async def draft(self, *, tenant: str = PARTNER, headers: Mapping[str, str] | None = None, **changes: Any) -> Any:
        """Create a draft with evidence, and return the claim."""
        answer = await self.request(
            "POST", "/claims", tenant=tenant, json=claim_as_sent(tenant, **changes), headers=headers
        )
        assert answer.status_code == 201, answer.text
        claim = answer.json()
        signed = (await self.clock.now()).date() - timedelta(days=30)
        answer = await self.request(
            "PUT", f"/claims/{claim['id']}/evidence/sow.pdf?signedOn={signed}", tenant=tenant, content=PDF
        )
        assert answer.status_code == 201, answer.text
        return await self.reread(claim, tenant)

    async def submitted(self, *, tenant: str = PARTNER, **changes: Any) -> Any:
        """Create and submit a claim, and return it."""
        claim = await self.draft(tenant=tenant, **changes)
        answer = await self.request("POST", f"/claims/{claim['id']}/submit", tenant=tenant, json=ACKNOWLEDGED)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def under_review(self, *, tenant: str = PARTNER, **changes: Any) -> Any:
        """Submit a claim for two workloads, let a reviewer start its review, and return the reviewer's view."""
        claim = await self.submitted(tenant=tenant, **{**WORKLOADS, **changes})
        answer = await self.review("POST", f"/reviews/{claim['id']}/start")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def notified(self, *, tenant: str = PARTNER, **changes: Any) -> Any:
        """Bring an automatically reviewed claim to the state in which its customer was notified, and return it."""
        claim = await self.submitted(tenant=tenant, **changes)
        await self.deliver()
        return await self.reread(claim, tenant)

    async def official(self, *, tenant: str = PARTNER, **changes: Any) -> Any:
        """Bring a claim to official by time alone, and return it."""
        claim = await self.notified(tenant=tenant, **changes)
        self.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]) + GRACE)
        return await self.reread(claim, tenant)


WORKLOADS: Mapping[str, Any] = {
    "engagement": "modern-work-security-usage",
    "items": [{"workload": "teams"}, {"workload": "exchange"}],
}
"""What is claimed under an engagement that a person reviews."""
ACKNOWLEDGED = {"acknowledgements": {"accurate": True, "customerAware": True}}


def claim_as_sent(tenant: str = PARTNER, **changes: Any) -> dict[str, Any]:
    """Return a claim that passes every check and is reviewed automatically. Changes replace fields of the top level."""
    return {
        "name": "Contoso Sales adoption",
        "partnerId": PARTNER_ID if tenant == PARTNER else OTHER_PARTNER_ID,
        "engagement": "usage-recognition-bizapps",
        "customer": {"tenantId": CUSTOMER, "domain": "contoso.fr"},
        "items": [{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}],
        "contacts": {
            "customer": {"name": "Anne Durand", "title": "DSI", "email": "anne.durand@contoso.fr"},
            "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
        },
        **changes,
    }


def settings(issuer: LocalIssuer | None = None, **changes: Any) -> Settings:
    """Return the sandbox's settings. Without an issuer no token can be verified."""
    return Settings.from_environment(
        {
            "CPOR_SANDBOX": "1",
            "CPOR_PUBLIC_URL": PUBLIC_URL,
            "CPOR_PROGRAMME_TENANT": PROGRAMME_TENANT,
            "CPOR_TOKEN_AUDIENCE": AUDIENCE,
            "CPOR_TOKEN_ISSUER": ISSUER,
            "CPOR_TOKEN_JWKS_URL": issuer.jwks_url if issuer else "http://127.0.0.1:1/keys",
            "CPOR_LINK_SECRETS": "a secret of a test that nobody else knows",
            "CPOR_MAIL_FROM": "noreply@cpor.example",
            "CPOR_WRITES_PER_SECOND": "0",
            "CPOR_SAMPLE_PERCENT": "100",
            "CPOR_IMPORTS_BEFORE": "2026-11-01",
            **changes,
        }
    )


def _invoker() -> Invoker:
    return Invoker(timedelta(minutes=5))


def app_client(*verify: Callable[[httpx.Response], Any]) -> httpx.AsyncClient:
    """Return a client of the app's HTTP functions in the way of the local host. *verify* sees each answer."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=HttpTriggers(functions(), _invoker(), {})),
        base_url=PUBLIC_URL,
        follow_redirects=False,
        event_hooks={"response": list(verify)},
    )


@asynccontextmanager
async def running_service(
    connection_string: str,
    issuer: LocalIssuer,
    *,
    clock: FixedClock | None = None,
    mailbox: Mailbox | None = None,
    mailer: Mailer | None = None,
    transport: Transport | None = None,
    **changes: Any,
) -> AsyncIterator[Service]:
    """Start the service over a storage account, and leave the storage unchanged at its end. *mailer* gets the mails."""
    connection = StorageConnection.from_text(connection_string)
    await provision(connection, TABLES, (*QUEUES, *POISON), bootstrap.CONTAINERS)
    clock, mailbox = clock or FixedClock(MONDAY), mailbox or Mailbox()
    services = bootstrap.build(
        settings(issuer, **changes),
        connection,
        clock=clock,
        mailer=mailer or mailbox,
        stores=bootstrap.Stores.at(connection, transport),
    )
    bootstrap.use(services)
    try:
        async with app_client(description.verify) as client:
            yield Service(services, clock, mailbox, issuer, client)
    finally:
        bootstrap.use(None)
        await services.close()
