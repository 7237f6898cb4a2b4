"""An operator sees one trace from request to timer, counts, and the lines for alerts, and no personal data."""

import asyncio
import json
import logging
import re
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.tables.registry import RegistryTable
from cpor_app.adapters.telemetry.recording import INSTRUMENTS, SPAN_ATTRIBUTES, OpenTelemetry
from cpor_app.queue_names import CUSTOMER_NOTICES
from cpor_core.due_work import RETRIES_AFTER, SHARDS, Kind
from cpor_core.errors import StorageBusy
from devhost.stack.issuer import LocalIssuer
from tests.infra.bicep import INFRA
from tests.infra.test_settings import OF_THE_EXPORTER
from tests.support.ingestion import running_ingestion
from tests.support.otlp import running_sink
from tests.support.service import ACKNOWLEDGED, PARTNER_ID, Service, running_service

TRACE = "0af7651916cd43dd8448eb211c80319c"
SUBMITTED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
PERSONAL = re.compile(
    r"durand|anne|petit|contoso|adatum|fabrikam|sow\.pdf|@|[?&]t=|eyJ|Bearer|[abc]{8}-?0000", re.IGNORECASE
)
"""Names, addresses, domains, files, tokens, and the ids of organisations."""


async def begun(service: Service) -> None:
    """Return when the SDK has begun."""
    timer = service.services.telemetry._timer
    assert timer is not None, "nothing was done yet"
    await asyncio.to_thread(timer.join)


async def test_one_trace_from_the_request_to_the_timer_without_personal_data(
    storage_connection: str, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The trace has the request, the queue function, the mails and the timer's work weeks later.

    Counts arrive. The test searches all of it.
    """
    caplog.set_level(logging.INFO)
    with running_sink() as sink:
        async with running_service(storage_connection, issuer, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as service:
            await service.register()
            await begun(service)
            claim = await service.draft()
            await service.request("POST", f"/claims/{claim['id']}/submit", json=ACKNOWLEDGED, headers=SUBMITTED)
            await service.deliver()
            told = (await service.request("GET", f"/claims/{claim['id']}")).json()
            link = next(service.mailbox.links())
            assert (await service.request("GET", link, role=None)).status_code == 200
            service.clock.set(datetime.fromisoformat(told["window"]["endsAt"]) + timedelta(minutes=10))
            await service.sweep()
            await service.deliver()
            assert (await service.request("GET", f"/associations/{claim['id']}")).status_code == 200

    ours = [span for span in sink.spans() if span.trace == TRACE]
    by_id = {span.id: span.name for span in ours}
    assert {"submit_claim", "notify_customer", "send_mail", "pay"} <= {span.name for span in ours}
    assert "writeDown" in [span.attributes.get("cpor.debt") for span in ours]
    assert by_id[next(span.parent for span in ours if span.name == "notify_customer")] == "submit_claim"
    submitted = next(span for span in ours if span.name == "submit_claim")
    assert submitted.parent not in by_id  # the host's own span, below the caller's
    assert submitted.attributes == {
        "http.request.method": "POST",
        "http.route": "claims/{claimId}/submit",
        "http.response.status_code": 200,
    }
    assert {name for span in sink.spans() for name in span.attributes} <= set(SPAN_ATTRIBUTES)
    assert {(span.kind, span.name) for span in sink.spans() if span.kind != "internal"} == {("client", "send_mail")}
    counted = [(name, attributes) for name, attributes, value in sink.points() if value > 0]
    assert ("cpor.claims", {"cpor.status": "official"}) in counted
    assert ("cpor.claims", {"cpor.status": "draft"}) in counted
    assert ("cpor.mails", {"cpor.mail.kind": "notice", "cpor.mail.outcome": "handedOver"}) in counted
    assert ("cpor.debts.late", {"cpor.debt": "writeDown"}) in counted
    assert {name for name, _ in counted} <= {one.name for one in INSTRUMENTS}
    lines = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("cpor"))
    assert "oldest unpaid debt" in lines
    assert PERSONAL.findall(sink.text()) == []
    assert PERSONAL.findall(lines) == []
    assert link.partition("t=")[2][:12] not in sink.text() + lines


async def test_application_insights_gets_no_error_and_counts_no_request_twice(
    storage_connection: str,
    issuer: LocalIssuer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spans and counters have the app's name. The host reports the requests. No line is an error."""
    for name, value in OF_THE_EXPORTER.items():
        monkeypatch.setenv(name, value)
    with running_ingestion() as insights:
        async with running_service(
            storage_connection,
            issuer,
            APPLICATIONINSIGHTS_CONNECTION_STRING=insights.connection_string,
            WEBSITE_SITE_NAME="func-of-the-test",
        ) as service:
            await service.register()
            await begun(service)
            await service.notified()
            await service.sweep()

    spans = insights.named("RemoteDependencyData")
    assert {"submit_claim", "notify_customer", "finalise_uncontested", "send_mail"} <= spans
    assert insights.kinds() == {"RemoteDependencyData", "MetricData"}
    assert {"cpor.claims", "cpor.mails"} <= insights.measured()
    assert insights.roles() == {"func-of-the-test"}
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_foreign_text_in_a_message_is_no_trace(storage_connection: str, issuer: LocalIssuer) -> None:
    """Messages without a trace or with a wrong trace are processed as usual."""
    with running_sink() as sink:
        async with running_service(storage_connection, issuer, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as service:
            await service.register()
            await begun(service)
            claim = await service.submitted()
            for rubbish in ("anne@contoso.fr", 7, None, "00-" + "0" * 32 + "-b7ad6b7169203331-01", ["x"]):
                await service.run("notify_customer", json.dumps({"claimId": claim["id"], "traceparent": rubbish}))
            assert len(service.mailbox.sent) == 1

    assert len([span for span in sink.spans() if span.name == "notify_customer"]) == 5
    assert "anne" not in sink.text()


async def test_without_telemetry_no_message_has_a_trace(service: Service) -> None:
    """Due rows have none either, and the SDK is not loaded."""
    await service.submitted()

    messages = await service.services.queues.take(CUSTOMER_NOTICES, 32)
    rows = [row async for row in service.services.rows.scan("duework")]

    assert messages
    assert rows
    assert not any("traceparent" in message.text for message in messages)
    assert not any("traceparent" in row.values for row in rows)
    assert service.services.telemetry._timer is None


async def test_a_failed_start_of_telemetry_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """The service works without telemetry and logs that."""

    def broken() -> Any:
        raise ImportError("no SDK")

    telemetry = OpenTelemetry(broken)
    with telemetry.doing("once"):
        pass
    assert telemetry._timer is not None
    await asyncio.to_thread(telemetry._timer.join)
    with telemetry.doing("twice"):
        telemetry.count(INSTRUMENTS[0])

    assert "telemetry: could not be started" in caplog.text


async def test_every_alert_finds_its_line_when_its_fault_happens(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test causes each fault of an alert. The rule's own text finds the logged line."""
    caplog.set_level(logging.INFO)
    await service.sweep()
    service.mailbox.down = True
    await service.submitted()
    service.clock.advance(timedelta(minutes=5))
    await service.sweep()
    service.clock.advance(RETRIES_AFTER[0] + timedelta(minutes=20))
    await service.sweep()
    await service.request("GET", "/claims", role=None)
    await service.run("record_failed_customer_notice", json.dumps({"claimId": "0" * 52}))
    for fault in (StorageBusy("busy"), RuntimeError("broken")):

        async def break_down(_: object, __: str, fault: Exception = fault) -> None:
            raise fault

        with monkeypatch.context() as patched:
            patched.setattr(RegistryTable, "partner", break_down)
            await service.programme("GET", f"/partners/{PARTNER_ID}")
    await awaiting_review(service)
    service.clock.advance(timedelta(days=30))
    await service.run("recount_insight", json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": None}))

    for alert in json.loads((INFRA / "alerts.json").read_text("utf-8")):
        contains, words = re.findall(r'Message (contains|matches regex) "(.*)"', alert["query"])[0]
        asked = re.compile(re.escape(words) if contains == "contains" else words)
        assert any(asked.search(one.getMessage()) for one in caplog.records), alert["name"]


async def test_the_age_of_due_work_is_logged_for_pages_of_the_queue_too(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the alert `debt-unpaid` would not see work that is in a full page at each try."""
    service.mailbox.down = True
    await service.submitted()
    service.clock.advance(timedelta(minutes=20))
    duework, now = service.services.ports.duework, service.clock.real()
    pages = [(shard, await duework.due(shard, now, after=None, limit=9)) for shard in range(SHARDS)]
    of_claim = [(shard, rows) for shard, rows in pages if any(row.kind is Kind.NOTIFY_CUSTOMER for row in rows)]
    [page] = [duework.page_of(shard, rows) for shard, rows in of_claim]
    caplog.set_level(logging.INFO)

    await service.run("process_due_page", json.dumps(asdict(page)))

    assert "oldest unpaid debt: 1080 s" in caplog.text


async def awaiting_review(service: Service) -> None:
    """Bring a claim to the reviewers."""
    claim = await service.submitted(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    assert claim["status"] == "submitted"
