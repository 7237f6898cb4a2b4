"""
How many requests to storage each endpoint and function makes, counted on the real emulator.

    python -m tests.budgets      counts anew and writes the tables into docs/speed.md

Each flow below tells a life and counts its steps on the way. A new endpoint joins with one line in a flow.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from unittest.mock import patch

import httpx
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from cpor_app import bootstrap
from cpor_app.adapters.storage.tables.registry import RegistryTable
from cpor_core.due_work import SHARDS
from cpor_core.model.claim import Status
from cpor_core.model.programme import ProgrammeChange
from cpor_core.ports import Ports
from cpor_core.ports.programme import Followed
from cpor_core.rules.grace import GRACE
from cpor_core.use_cases.claims import csv_export
from cpor_core.use_cases.programme.follow import begun
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer
from tests.doubles.clock import FixedClock
from tests.doubles.due_work import DueWorkOfThisClock
from tests.doubles.transport import FaultyTransport, Plan
from tests.support.receiver import running_receiver
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    MONDAY,
    OTHER_PARTNER,
    OTHER_PARTNER_ID,
    PARTNER,
    PARTNER_ID,
    PDF,
    PUBLIC_URL,
    SUBSCRIPTION,
    Service,
    claim_as_sent,
    functions,
    running_service,
)
from tools.pages.markdown import code
from tools.pages.markdown import table as markdown_table

LOCATION, PARTNERS_MAIL, KEY, RIVALS, CUSTOMERS_NAME = 1, 2, 1, 1, 1
"""
A location of a partner that was read in the last 30 seconds is not read again. A mail to it, a key, the names of a
claim's rivals, and the name of a customer add more.
"""
BUDGETS: Mapping[tuple[str, str], int] = {
    ("create_claim", ""): 5 - LOCATION,
    ("create_claim", "with an idempotency key"): 5 - LOCATION + KEY,
    ("submit_claim", "reviewed automatically"): 8,
    ("submit_claim", "reviewed automatically, with an idempotency key"): 8 + KEY,
    ("notify_customer", "one notice, and the partner's mail about it"): 8 + PARTNERS_MAIL,
    ("finalise_uncontested", "nothing is due"): 16,
    ("finalise_uncontested", "one claim is made official"): 16 + 6,
    ("get_claim", ""): 2,
    ("get_association", ""): 2,
    ("get_usage", ""): 4,
    ("get_advice", ""): 4,
    ("list_mails", "5 mails"): 2 + RIVALS + 5,
    ("review_mails", "5 mails"): 2 + RIVALS + 5,
    ("list_claims", "10 open claims"): 1 + 2 * 10,
    ("list_claims", "10 drafts"): 1 + 10,
    ("list_claims", "10 drafts that the filter leaves out"): 2 + 10,
    ("list_claims", "a search that finds 10 drafts"): 2 + 10,
    ("list_claims", "a search by the customer that finds 10 drafts"): 3 + 10 + 1,
    ("list_partners", "two partners"): 1 + 2,
    ("list_partners", "a search that finds one"): 1 + 1,
    ("list_customers", "one customer"): 1 + 1,
    ("list_customers", "a search that finds one"): 1 + 1,
    ("count_claims", "10 open claims"): 1 + 2 * 10,
    ("list_associations", "10 associations"): 1 + 2 * 10,
    ("list_reviews", "10 drafts and 10 open claims in any state, of all"): 16 + 10 + 2 * 10 + CUSTOMERS_NAME,
    ("list_reviews", "10 drafts and 10 open claims in any state, of a tenant"): 2 + CUSTOMERS_NAME,
    ("list_reviews", "10 drafts and 10 open claims in any state, of a search"): 2 + 2 + CUSTOMERS_NAME,
    ("list_reviews", "10 open claims in any state, of a location"): 1 + 2 * 10 + CUSTOMERS_NAME,
    ("list_register", "10 rows"): 16 + 16,
    ("list_register", "10 rows that time can have changed"): 16 + 16 + 2 * 10,
    ("list_register", "10 rows of one tenant"): 3 + LOCATION,
    ("list_register_changes", "changes of 20 claims"): 16,
}
"""The most requests that decisions 45, 53 and 54 allow. A sweep asks its 16 shards once, also if nothing is due."""
WHOLE_LIFE: Mapping[str, int] = {
    "requests to tables and queues, lived": 48,
    "requests to tables and queues, housekeeping": 27,
    "requests to queues by the host": 4,
    "requests to blobs": 1,
    "executions of functions other than the timer": 6,
}
"""The most that one claim takes in its whole life (`whole_life.py`)."""

SETTLED = timedelta(minutes=11)
OPERATOR: Mapping[str, Any] = {"role": "Program.Operator", "tenant": PROGRAMME_TENANT}
REVIEWER: Mapping[str, Any] = {"role": "Program.Reviewer", "tenant": PROGRAMME_TENANT}
ADMINISTRATOR: Mapping[str, Any] = {"role": "Customer.Admin", "tenant": CUSTOMER}
EVENTS: Mapping[str, Any] = {"role": "Program.Operator", "tenant": PROGRAMME_TENANT}
NOBODY: Mapping[str, Any] = {"role": None}
LINES = {"Content-Type": "application/x-ndjson"}


class Meter(Plan):
    """Counts requests, and how many of them were on their way at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.in_flight = self.most_in_flight = 0

    def transport(self) -> AsyncHttpTransport[Any, Any]:
        """Return a new transport that is counted."""
        return _Metered(AioHttpTransport(), self)


class _Metered(FaultyTransport):
    def __init__(self, inner: AsyncHttpTransport[Any, Any], meter: Meter) -> None:
        super().__init__(inner, meter)
        self._meter = meter

    async def _send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        self._meter.in_flight += 1
        self._meter.most_in_flight = max(self._meter.most_in_flight, self._meter.in_flight)
        try:
            return await super()._send(request, **kwargs)
        finally:
            self._meter.in_flight -= 1


@dataclass(frozen=True, slots=True)
class Counted:
    """One line of the table."""

    function: str
    what: str
    requests: int
    at_once: int
    sent: tuple[str, ...]
    """Each request, for the message of a failed test."""

    @property
    def budget(self) -> int | None:
        """How many are allowed; None where nothing is ruled."""
        return BUDGETS.get((self.function, self.what))


@dataclass
class Counter:
    """The service, and what was counted so far."""

    service: Service
    meter: Meter
    lines: list[Counted] = field(default_factory=list)

    async def count(self, function: str, doing: Callable[[], Awaitable[Any]], what: str = "") -> Any:
        """Count what *doing* sends; returns what it returns."""
        self.meter.clear()
        self.meter.most_in_flight = 0
        result = await doing()
        sent = tuple(map(str, self.meter.requests))
        self.lines.append(Counted(function, what, len(sent), self.meter.most_in_flight, sent))
        return result

    async def ask(self, function: str, method: str, path: str, what: str = "", **more: Any) -> httpx.Response:
        """Count an HTTP request; raises AssertionError unless it succeeds."""
        answer = await self.count(function, lambda: self.service.request(method, path, **more), what)
        assert isinstance(answer, httpx.Response)
        assert answer.status_code < 400, f"{function}: {answer.status_code} {answer.text}"
        return answer

    async def press(self, function: str, claim_id: str, act: str) -> None:
        """Count the pressing of a button on the customer's page."""
        link = next(url for url in self.service.mailbox.links() if claim_id in url)
        path, token = link.removeprefix(PUBLIC_URL), link.partition("?t=")[2]
        page = (await self.service.request("GET", path, role=None, headers={"Accept": "application/json"})).json()
        nonce = next(one["nonce"] for one in page["acts"] if one["act"] == act)
        form = {"t": token, "nonce": nonce}
        await self.ask(function, "POST", f"/customer/requests/{claim_id}/{act}", role=None, data=form)

    async def message(self, function: str, body: Mapping[str, Any], what: str = "") -> None:
        """Count a queue-triggered function; its message was taken, and will be deleted, by the host."""
        await self.count(function, lambda: self.service.run(function, json.dumps(body)), what)

    async def notify(self, claim_id: str, what: str) -> None:
        """Count the function that does the due work of a claim for its customer."""
        await self.message("notify_customer", {"claimId": claim_id}, what)

    async def sweep(self, what: str) -> None:
        """Count one run of the timer."""
        await self.count("finalise_uncontested", self.service.sweep, what)

    async def tidy(self) -> None:
        """
        Let the timer delete the due rows of finished work, so that the next run meets only new rows.

        These runs are not counted here. `whole_life.py` counts them.
        """
        self.service.clock.advance(SETTLED)
        await self.service.sweep()
        await self.service.deliver()


NO_CLAIM_IN_THE_SAMPLE, EVERY_CLAIM_IN_THE_SAMPLE = {"CPOR_SAMPLE_PERCENT": "0"}, {"CPOR_SAMPLE_PERCENT": "100"}
"""Chance adds a request to one notice in ten; here it decides nothing."""


@asynccontextmanager
async def counter(
    connection_string: str, issuer: LocalIssuer, meter: Meter | None = None, /, **settings: Any
) -> AsyncIterator[Counter]:
    """Start the service with two partners and a customer, every request counted."""
    meter, clock = meter or Meter(), FixedClock(MONDAY)
    given = {**NO_CLAIM_IN_THE_SAMPLE, **settings}
    async with running_service(connection_string, issuer, clock=clock, transport=meter.transport, **given) as running:
        duework = DueWorkOfThisClock(running.services.ports.duework, clock, {})
        registry = RegistryTable(running.services.rows, lambda: clock.real().timestamp())
        services = replace(running.services, ports=replace(running.services.ports, duework=duework, registry=registry))
        bootstrap.use(services)
        running.services = services
        await running.register()
        await services.ports.registry.closed_days()  # remembered for five minutes, as by any running instance
        await _begin_feeds_of_programme(services.ports)
        yield Counter(running, meter)


async def _begin_feeds_of_programme(ports: Ports) -> None:
    """Let each shard of the programme have a change and both locations. The counts must not depend on random ids."""
    for shard in range(SHARDS):
        head = begun(ports, await ports.programme.head(shard))
        change = ProgrammeChange(
            sequence=head.last + 1,
            feed=shard,
            type="claim.deleted",
            claim_id="0" * 52,
            status=Status.DELETED,
            at=MONDAY,
            etag="",
            organisation=PARTNER,
            tenant_id=CUSTOMER,
            partner_id=PARTNER_ID,
        )
        names = {PARTNER_ID: "Adatum Conseil", OTHER_PARTNER_ID: "Fabrikam"}
        await ports.programme.write(shard, head, Followed(changes=[change], partners=names))


# --- flows ----------------------------------------------------------------------------------------------------------


async def begin_feed(c: Counter) -> None:
    """Make a draft that is not counted: the first change of an organisation takes one request more, once."""
    await c.service.request("POST", "/claims", json=claim_as_sent())


async def main_job(c: Counter) -> None:
    """A claim from its draft to the end of its association."""
    await begin_feed(c)
    made = (await c.ask("create_claim", "POST", "/claims", json=claim_as_sent())).json()
    path = f"/claims/{made['id']}"
    await c.ask("get_claim", "GET", path)
    await c.ask("patch_claim", "PATCH", path, json={"name": "Another name"}, headers={"If-Match": "*"})
    signed = (MONDAY - timedelta(days=30)).date()
    await c.ask("put_evidence", "PUT", f"{path}/evidence/sow.pdf?signedOn={signed}", content=PDF)
    await c.ask("put_evidence", "PUT", f"{path}/evidence/sow.pdf?signedOn={signed}", "the same again", content=PDF)
    await c.service.request("PUT", f"{path}/evidence/other.pdf", content=PDF)
    await c.ask("get_evidence", "GET", f"{path}/evidence/sow.pdf")
    await c.ask("delete_evidence", "DELETE", f"{path}/evidence/other.pdf")
    await c.ask("add_comment", "POST", f"{path}/comments", json={"text": "A word"})
    await c.ask("list_comments", "GET", f"{path}/comments")
    await c.ask("submit_claim", "POST", f"{path}/submit", "reviewed automatically", json=ACKNOWLEDGED)
    await c.notify(made["id"], "one notice, and the partner's mail about it")
    await c.message("notify_partner", {"claimId": made["id"]}, "nothing is due")
    await c.notify(made["id"], "nothing is due")
    await c.ask("list_history", "GET", f"{path}/history")
    window = (await c.service.request("GET", path)).json()["window"]
    await c.tidy()
    c.service.clock.advance(timedelta(hours=2))
    await c.tidy()
    await c.sweep("nothing is due")
    c.service.clock.set(datetime.fromisoformat("2026-11-06T08:00:00+00:00"))
    await c.sweep("one reminder")
    await c.tidy()
    c.service.clock.set(datetime.fromisoformat(window["endsAt"]) + GRACE)
    await c.sweep("one claim is made official")
    await c.notify(made["id"], "one confirmation, and the partner's mail about it")
    await c.ask("list_mails", "GET", f"{path}/mails", "5 mails")
    await c.ask("review_mails", "GET", f"/reviews/{made['id']}/mails", "5 mails", **REVIEWER)
    figures = f'{{"month": "2026-11", "item": "{SUBSCRIPTION}", "activeUsers": 30}}\n'
    feed = f"/usage/reports?tenantId={CUSTOMER}&format=jsonl"
    await c.ask("load_usage", "POST", feed, "one tenant", content=figures, headers=LINES, **OPERATOR)
    await c.ask("get_association", "GET", f"/associations/{made['id']}")
    await c.ask("get_usage", "GET", f"/associations/{made['id']}/usage")
    await c.ask("get_advice", "GET", f"/associations/{made['id']}/advice")
    await c.ask("list_tenant_associations", "GET", f"/customers/{CUSTOMER}/associations", **ADMINISTRATOR)
    await c.ask("list_access_receipts", "GET", f"/customers/{CUSTOMER}/access-receipts", **ADMINISTRATOR)
    await c.ask("end_association", "POST", f"/associations/{made['id']}/end", json={"reason": "We leave"})


async def keyed_submission(c: Counter) -> None:
    """Creation and submission under keys, after dry runs; then the partner takes the claim back."""
    await begin_feed(c)
    keyed = {"Idempotency-Key": "key-1"}
    await c.ask("create_claim", "POST", "/claims", "with an idempotency key", json=claim_as_sent(), headers=keyed)
    await c.ask("create_claim", "POST", "/claims?validate=true", "dry run", json=claim_as_sent())
    path = f"/claims/{(await c.service.draft())['id']}"
    await c.ask("submit_claim", "POST", f"{path}/submit?validate=true", "dry run", json=ACKNOWLEDGED)
    what = "reviewed automatically, with an idempotency key"
    another = {"Idempotency-Key": "key-2"}
    await c.ask("submit_claim", "POST", f"{path}/submit", what, json=ACKNOWLEDGED, headers=another)
    await c.service.deliver()
    await c.ask("withdraw_claim", "POST", f"{path}/withdraw", json={})


async def no_and_no_again(c: Counter) -> None:
    """The customer's page, with every button."""
    claim = await c.service.notified()
    link = next(c.service.mailbox.links()).removeprefix(PUBLIC_URL)
    await c.ask("show_request", "GET", link, role=None)
    await c.press("decline_request", claim["id"], "decline")
    await c.press("undo_decline", claim["id"], "undo")
    requests = f"/customers/{CUSTOMER}/requests"
    await c.ask("list_requests", "GET", requests, **ADMINISTRATOR)
    await c.ask("decline_as_customer", "POST", f"{requests}/{claim['id']}/decline", json={}, **ADMINISTRATOR)
    await c.ask("undo_as_customer", "POST", f"{requests}/{claim['id']}/undo", json={}, **ADMINISTRATOR)
    c.service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))
    await c.press("end_by_customer", claim["id"], "end")
    again = await c.service.notified()
    await c.press("not_me", again["id"], "not-me")


async def second_looks(c: Counter) -> None:
    """Everything that a reviewer does."""
    workloads: dict[str, Any] = {
        "engagement": "modern-work-security-usage",
        "items": [{"workload": "teams"}, {"workload": "exchange"}],
    }
    claim = await c.service.submitted(**workloads)
    path, review = f"/claims/{claim['id']}", f"/reviews/{claim['id']}"
    await c.ask("list_reviews", "GET", "/reviews", "one claim", **REVIEWER)
    await c.ask("get_review", "GET", review, **REVIEWER)
    await c.ask("review_history", "GET", f"{review}/history", **REVIEWER)
    await c.ask("add_review_comment", "POST", f"{review}/comments", json={"text": "A word"}, **REVIEWER)
    await c.ask("review_comments", "GET", f"{review}/comments", **REVIEWER)
    await c.ask("review_evidence", "GET", f"{review}/evidence/sow.pdf", **REVIEWER)
    await c.ask("start_review", "POST", f"{review}/start", json={}, **REVIEWER)
    await c.ask("release_review", "POST", f"{review}/release", json={}, **REVIEWER)
    await c.service.review("POST", f"{review}/start", json={})
    lacking = {"reasons": ["evidenceMissing"]}
    await c.ask("request_information", "POST", f"{review}/request-information", json=lacking, **REVIEWER)
    await c.ask("resubmit_claim", "POST", f"{path}/resubmit", json={})
    await c.service.review("POST", f"{review}/start", json={})
    struck = {"items": [{"workload": "exchange"}]}
    await c.ask("strike_items", "POST", f"{review}/strike-items", json=struck, **REVIEWER)
    await c.ask("reject_claim", "POST", f"{review}/reject", json={"reason": "insufficientEvidence"}, **REVIEWER)
    await c.ask("dispute_claim", "POST", f"{path}/dispute", json={"justification": "Look again"})
    await c.ask("approve_claim", "POST", f"{review}/approve", json={}, **REVIEWER)
    await c.service.deliver()
    await c.ask("revoke_claim", "POST", f"{review}/revoke", json={"reason": "A mistake"}, **REVIEWER)


async def manual_submission(c: Counter) -> None:
    """A claim that a reviewer must look at; a draft that is deleted and erased."""
    claim = await c.service.draft(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    await c.ask("submit_claim", "POST", f"/claims/{claim['id']}/submit", "reviewed by a person", json=ACKNOWLEDGED)
    draft = await c.service.draft()
    await c.ask("delete_claim", "DELETE", f"/claims/{draft['id']}")
    await c.notify(draft["id"], "a deleted draft is erased")


async def takeover(c: Counter) -> None:
    """A claim for a held item, approved: its customer is told who is replaced."""
    await c.service.official()
    await c.tidy()
    rival = await c.service.submitted(tenant=OTHER_PARTNER)
    await c.service.review("POST", f"/reviews/{rival['id']}/start", json={})
    await c.ask(
        "approve_claim",
        "POST",
        f"/reviews/{rival['id']}/approve",
        "another partner holds the item",
        json={},
        **REVIEWER,
    )
    await c.notify(rival["id"], "one notice that names an incumbent")


async def registry(c: Counter) -> None:
    """What the operator and the mail system do."""
    partner = (await c.ask("get_partner", "GET", f"/partners/{PARTNER_ID}", **OPERATOR)).json()
    await c.ask("get_me", "GET", "/me", "a partner with one location")
    await c.ask("get_me", "GET", "/me", "a customer's administrator", **ADMINISTRATOR)
    customer = (await c.ask("get_customer", "GET", f"/customers/{CUSTOMER}", **OPERATOR)).json()
    await c.ask("list_partners", "GET", "/partners", "two partners", **OPERATOR)
    await c.ask("list_partners", "GET", "/partners?q=adatum", "a search that finds one", **OPERATOR)
    await c.ask("list_customers", "GET", "/customers", "one customer", **OPERATOR)
    await c.ask("list_customers", "GET", "/customers?q=contoso", "a search that finds one", **OPERATOR)
    path = f"/partners/{PARTNER_ID}"
    await c.ask("put_partner", "PUT", path, "another language", json={**partner, "language": "fr"}, **OPERATOR)
    await c.ask("put_partner", "PUT", path, "another name", json={**partner, "name": "New"}, **OPERATOR)
    closed_day = f"/closed-days/FR/{MONDAY.date()}"
    await c.ask("put_closed_day", "PUT", closed_day, json={"name": "Closed"}, **OPERATOR)
    await c.ask("get_closed_day", "GET", closed_day, **OPERATOR)
    await c.ask("remove_closed_day", "DELETE", closed_day, **OPERATOR)
    await c.ask("list_closed_days", "GET", "/closed-days", **OPERATOR)
    customer["noticeAddresses"] = ["it@contoso.fr"]
    await c.ask("put_customer", "PUT", f"/customers/{CUSTOMER}", "nothing ends", json=customer, **OPERATOR)
    past = {
        "engagement": "usage-recognition-bizapps",
        "partnerId": OTHER_PARTNER_ID,
        "tenantId": CUSTOMER,
        "item": SUBSCRIPTION,
        "since": "2026-01-05T00:00:00Z",
    }
    content = json.dumps(past) + "\n"
    await c.ask(
        "import_associations", "POST", "/associations/import", "one line", content=content, headers=LINES, **OPERATOR
    )
    await c.ask("list_untold_associations", "GET", "/operations/untold-associations", "one association", **OPERATOR)
    await c.service.deliver()
    report = {"messageId": c.service.mailbox.sent[0].message_id, "recipient": "it@contoso.fr"}
    delivered = {**report, "event": "delivered", "at": "2026-11-02T09:00:00Z"}
    await c.ask("take_mail_events", "POST", "/mail-events", "one report", json=delivered, **EVENTS)
    await c.message("record_mail_event", delivered, "one report")
    await c.message("record_failed_customer_notice", {"claimId": "0" * 52})
    await c.message("record_failed_partner_notice", {"claimId": "0" * 52})
    await c.message("record_failed_mail_event", delivered)
    await c.ask("list_failed_messages", "GET", "/operations/failed-messages", **OPERATOR)
    await c.ask("redrive_failed_messages", "POST", "/operations/failed-messages/redrive", "three messages", **OPERATOR)
    await c.ask("list_dry_runs", "GET", "/operations/dry-runs", **OPERATOR)
    await c.count("recount_insight", lambda: c.service.fire("recount_insight"), "no message in the poison queues")
    await c.ask("recount_insight_now", "POST", "/insight/recount", **OPERATOR)
    await c.service.sweep()
    await c.service.request("GET", "/insight", **OPERATOR)
    await c.ask("get_insight", "GET", "/insight", "in the sandbox, everything is followed", **OPERATOR)
    await c.ask("get_insight_page", "GET", "/insight/page", "in the sandbox, everything is followed", **OPERATOR)
    somebody = {"email": "nobody@contoso.fr"}
    erasure = await c.ask("erase_person", "POST", "/operations/erasures", json=somebody, **OPERATOR)
    await c.ask("list_erasures", "GET", "/operations/erasures", "one erasure", **OPERATOR)
    await c.ask("get_erasure", "GET", f"/operations/erasures/{erasure.json()['id']}", **OPERATOR)
    await c.sweep("one erasure that finds nothing")


async def everybody(c: Counter) -> None:
    """What needs no token, and the sandbox's clock."""
    await c.ask("get_health", "GET", "/health", **NOBODY)
    await c.ask("get_openapi", "GET", "/openapi.json", **NOBODY)
    await c.ask("list_engagements", "GET", "/engagements", **NOBODY)
    await c.ask("get_engagement", "GET", "/engagements/bizapps-revenue", **NOBODY)


async def called(c: Counter) -> None:
    """A webhook from its making to its deletion."""
    async with running_receiver() as receiver:
        await c.ask("put_webhook", "PUT", "/webhooks/main", "a new one", json={"url": receiver.url})
        await c.ask("get_webhook", "GET", "/webhooks/main")
        await c.ask("list_webhooks", "GET", "/webhooks", "one webhook")
        await c.ask("rotate_webhook_secret", "POST", "/webhooks/main/rotate-secret")
        await c.ask("create_claim", "POST", "/claims", "announced to a webhook", json=claim_as_sent())
        organisation = {"organisation": PARTNER}
        await c.message("notify_partner", organisation, "one event to one webhook")
        await c.message("notify_partner", organisation, "no event to one webhook")
        await c.ask("test_webhook", "POST", "/webhooks/main/test")
        day = {"from": "2026-11-02T00:00:00Z", "to": "2026-11-03T00:00:00Z"}
        await c.ask("replay_changes", "POST", "/webhooks/main/replay", json=day)
        await c.ask("list_deliveries", "GET", "/webhooks/main/deliveries", "two deliveries")
        await c.ask("delete_webhook", "DELETE", "/webhooks/main")


async def in_bulk(c: Counter) -> None:
    """A batch of ten rows from its sending to its outcomes, and the export of what it made."""
    rows = "".join(json.dumps(claim_as_sent(name=f"Claim {number}")) + "\n" for number in range(10))
    sent = await c.ask("create_claim_batch", "POST", "/claim-batches", "one page", content=rows, headers=LINES)
    await c.ask("create_claim_batch", "POST", "/claim-batches", "the same again", content=rows, headers=LINES)
    batch = sent.json()["id"]
    await c.message("process_claim_batch", {"batchId": batch, "page": 1}, "10 rows")
    await c.message("process_claim_batch", {"batchId": batch, "page": 1}, "a page that is done")
    await c.message("record_failed_claim_batch", {"batchId": batch, "page": 1})
    page = {"shard": 0, "first": "0", "last": "9"}
    await c.message("process_due_page", page, "no row is left")
    await c.message("record_failed_due_page", page)
    await c.ask("get_claim_batch", "GET", f"/claim-batches/{batch}", "one page")
    await c.ask("list_claim_batches", "GET", "/claim-batches", "one batch")
    await c.ask("export_claims", "GET", "/claims/export", "10 drafts")
    with patch.object(csv_export, "MOST_AT_ONCE", 9):
        asked = await c.ask("export_claims", "GET", "/claims/export", "10 drafts, as a large export of one page")
    address = asked.headers["Operation-Location"].removeprefix(PUBLIC_URL)
    message = {"exportId": address.rpartition("/")[2], "page": 1}
    await c.message("process_claim_batch", message, "10 drafts of a large export")
    await c.ask("get_claim_export", "GET", address)
    await c.ask("get_claim_export_file", "GET", f"{address}/file", "one page")


async def lists(c: Counter) -> None:
    """Ten drafts of one partner, ten open claims and then associations of another; one ends."""
    for _ in range(10):
        answer = await c.service.request("POST", "/claims", json=claim_as_sent())
        assert answer.status_code == 201, answer.text
    await c.ask("list_claims", "GET", "/claims", "10 drafts")
    await c.ask("list_claims", "GET", "/claims?status=official&maxpagesize=1", "10 drafts that the filter leaves out")
    await c.ask("list_claims", "GET", "/claims?q=adoption", "a search that finds 10 drafts")
    await c.ask("list_claims", "GET", "/claims?q=france", "a search by the customer that finds 10 drafts")
    await c.ask("list_claims", "GET", "/claims?q=nothing", "a search that finds nothing")
    await c.ask("list_changes", "GET", "/changes", "10 changes")
    subscriptions = [f"cccccccc-0000-4000-8000-0000000001{number:02d}" for number in range(10)]
    registered = {"product": "dynamics-365-sales", "channel": "EA", "state": "active", "seats": 50}
    await c.service.register(subscriptions=[{"subscriptionId": one, **registered} for one in subscriptions])
    for one in subscriptions:
        items = [{"product": "dynamics-365-sales", "subscriptionId": one}]
        await c.service.submitted(tenant=OTHER_PARTNER, items=items)
    await c.ask("list_claims", "GET", "/claims", "10 open claims", tenant=OTHER_PARTNER)
    await c.ask("count_claims", "GET", "/claims/summary", "10 open claims", tenant=OTHER_PARTNER)
    await c.service.review("GET", "/reviews?state=any")
    with patch("cpor_app.triggers.register.follow_now"):  # only a sandbox follows the acts before a read
        for query, of_what in (("", "all"), (f"&tenantId={CUSTOMER}", "a tenant"), ("&q=contoso", "a search")):
            what = f"10 drafts and 10 open claims in any state, of {of_what}"
            await c.ask("list_reviews", "GET", f"/reviews?state=any{query}", what, **REVIEWER)
        location, what = f"&partnerId={OTHER_PARTNER_ID}", "10 open claims in any state, of a location"
        await c.ask("list_reviews", "GET", f"/reviews?state=any{location}", what, **REVIEWER)
    await c.service.deliver()
    c.service.clock.advance(timedelta(days=8))
    answer = await c.ask("list_associations", "GET", "/associations", "10 associations", tenant=OTHER_PARTNER)
    await register(c)
    ended = f"/customers/{CUSTOMER}/associations/{answer.json()['value'][0]['id']}/end"
    await c.ask("end_as_customer", "POST", ended, json={}, **ADMINISTRATOR)


async def register(c: Counter) -> None:
    """The register of ten associations and their changes, as in the cloud: only a sandbox follows the acts first."""
    await c.service.programme("GET", "/register")
    with patch("cpor_app.triggers.register.follow_now"):
        await c.ask("list_register", "GET", "/register", "10 rows that time can have changed", **OPERATOR)
        for _ in range(2):  # the windows that have ended are stored, and then followed
            await c.tidy()
        await c.ask("list_register", "GET", "/register", "10 rows", **OPERATOR)
        await c.ask("list_register", "GET", f"/register?tenantId={CUSTOMER}", "10 rows of one tenant", **OPERATOR)
        await c.ask("list_register_changes", "GET", "/register/changes", "changes of 20 claims", **OPERATOR)


async def drawn(c: Counter) -> None:
    """A claim that a person may look at while its customer can decline."""
    claim = await c.service.submitted()
    await c.notify(claim["id"], "one notice of a claim in the sample")


async def mail_limit(c: Counter) -> None:
    """A notice where the mail service has limits."""
    claim = await c.service.submitted()
    await c.notify(claim["id"], "one notice, drawing a permit")


Flow: TypeAlias = Callable[[Counter], Awaitable[None]]
FLOWS: tuple[Flow, ...] = (
    main_job,
    keyed_submission,
    drawn,
    mail_limit,
    no_and_no_again,
    second_looks,
    manual_submission,
    takeover,
    registry,
    everybody,
    called,
    in_bulk,
    lists,
)
SETTINGS: Mapping[Flow, Mapping[str, str]] = {
    drawn: EVERY_CLAIM_IN_THE_SAMPLE,
    mail_limit: {"CPOR_MAIL_PER_MINUTE": "30", "CPOR_MAIL_PER_HOUR": "100"},
}
NOT_COUNTED = frozenset({"get_clock", "move_clock", "zz_not_found", "get_docs", "get_docs_file"})
"""The sandbox's clock is another one here, and reading it is not counted (decision 44); the others touch no storage."""


async def counts(fresh_account: Callable[[], str], issuer: LocalIssuer) -> list[Counted]:
    """Go through every flow, each in a world of its own; returns the lines, by function as the app declares them."""
    lines: list[Counted] = []
    for flow in FLOWS:
        async with counter(fresh_account(), issuer, **SETTINGS.get(flow, {})) as c:
            await flow(c)
            lines += c.lines
    order = [each.name for each in functions()]
    return sorted(lines, key=lambda line: order.index(line.function))


def table(lines: Iterable[Counted]) -> str:
    """Return the table, as it stands in docs/speed.md."""
    rows = (
        (code(line.function), line.what, str(line.requests), str(line.budget or ""))
        for line in dict.fromkeys(lines)  # a step that a flow needs twice is one line
    )
    return "\n".join(markdown_table(("function", "what", "requests", "budget"), rows))


BEGIN, BEGIN_LIFE, END = (
    "<!-- counted by `python -m tests.budgets` -->\n",
    "<!-- a whole life, counted by `python -m tests.budgets` -->\n",
    "<!-- end -->",
)


def page(text: str, begin: str, made: str) -> str:
    """Return docs/speed.md with the part between *begin* and `END` made anew."""
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{made}\n\n{END}{rest.partition(END)[2]}"
