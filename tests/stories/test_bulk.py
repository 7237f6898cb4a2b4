"""Many claims at once: a batch is sent, watched, sent again and interrupted, and all claims are exported as a table."""

import asyncio
import csv
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from cpor_app.queue_names import CLAIM_BATCHES
from cpor_core.model import export
from cpor_core.use_cases.claims import csv_export
from tests.support.service import OTHER_PARTNER, PARTNER, PARTNER_ID, PUBLIC_URL, Service, claim_as_sent

LINES = {"Content-Type": "application/x-ndjson"}
ROWS, BAD = 330, frozenset(range(30, 331, 33))
"""One in 33 is bad: 3 %."""


def batch(rows: int = ROWS, bad: frozenset[int] = BAD, **changes: Any) -> str:
    """Return claims as JSON lines, some of them with a partner id that does not exist."""
    sent = [
        claim_as_sent(name=f"Claim {row}", **({"partnerId": "none"} if row in bad else {}), **changes)
        for row in range(1, rows + 1)
    ]
    return "".join(json.dumps(one) + "\n" for one in sent)


async def send(service: Service, content: str, **more: Any) -> httpx.Response:
    """Send a batch."""
    headers = {**LINES, **more.pop("headers", {})}
    return await service.request("POST", "/claim-batches", content=content, headers=headers, **more)


async def seen(service: Service, sent: httpx.Response, query: str = "", **more: Any) -> Any:
    """Return a batch, read at its address."""
    address = sent.headers["Operation-Location"]
    answer = await service.request("GET", address.removeprefix(PUBLIC_URL) + query, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def all_rows(service: Service, sent: httpx.Response, query: str) -> Sequence[Any]:
    """Return all rows of a batch, read page by page."""
    page = await seen(service, sent, query)
    rows = [*page["rows"]]
    while "nextLink" in page:
        page = (await service.request("GET", page["nextLink"].removeprefix(PUBLIC_URL))).json()
        assert page["rows"]
        rows += page["rows"]
    return rows


async def claims(service: Service) -> list[Any]:
    """Return every claim of the partner."""
    page = (await service.request("GET", "/claims?maxpagesize=1000")).json()
    found = [*page["value"]]
    while "nextLink" in page:
        page = (await service.request("GET", page["nextLink"].removeprefix(PUBLIC_URL))).json()
        found += page["value"]
    return found


async def changes(service: Service) -> list[Any]:
    """Return every change in the partner's feed."""
    found: list[Any] = []
    page = (await service.request("GET", "/changes?maxpagesize=1000")).json()
    found += page["value"]
    return found


async def work(service: Service, *, until: int | None = None) -> None:
    """Let two instances share the pages, or let one process *pages* of them and die."""
    if until is None:
        await asyncio.gather(service.deliver(), service.deliver())
        return
    for message in await service.services.queues.take(CLAIM_BATCHES, until):
        await service.run("process_claim_batch", message.text)
        await service.services.queues.done(message)


async def test_hundreds_of_claims_are_sent_at_once(service: Service) -> None:
    """The answer comes first. Then each good row becomes a draft, and each bad row has its reason."""
    sent = await send(service, batch())

    assert sent.status_code == 202
    identity = sent.headers["Operation-Location"].rpartition("/")[2]
    nothing = {"id": identity, "status": "NotStarted", "total": ROWS, "done": 0, "failed": 0, "rows": []}
    assert sent.json() == nothing == await seen(service, sent)
    await work(service, until=1)
    running = await seen(service, sent)
    assert (running["status"], running["done"]) == ("Running", 100)
    await work(service)

    done = await seen(service, sent)
    assert (done["status"], done["done"], done["failed"]) == ("Succeeded", ROWS, len(BAD))
    assert [row["row"] for row in done["rows"]] == list(range(1, 51))
    rows = await all_rows(service, sent, "?maxpagesize=120")
    assert [row["row"] for row in rows] == list(range(1, ROWS + 1))
    failed = await all_rows(service, sent, "?outcome=failed&maxpagesize=4")
    assert [row["row"] for row in failed] == sorted(BAD)
    assert {(error["code"], error["target"]) for row in failed for error in row["errors"]} == {
        ("FieldInvalid", "partnerId")
    }
    created = {row["claimId"] for row in await all_rows(service, sent, "?outcome=created&maxpagesize=1000")}
    assert created == {claim["id"] for claim in await claims(service)}
    assert sorted(created) == sorted(change["claimId"] for change in await changes(service))
    assert len(created) == ROWS - len(BAD)


async def test_the_same_batch_again_changes_nothing(service: Service) -> None:
    """Without a key the content identifies the batch. With a key the key does."""
    first, keyed = await send(service, batch(3, frozenset())), {"Idempotency-Key": "batch-1"}
    await work(service)
    again = await send(service, batch(3, frozenset()))

    assert again.headers["Operation-Location"] == first.headers["Operation-Location"]
    assert (again.status_code, again.json()["status"]) == (202, "Succeeded")
    other = await send(service, batch(3, frozenset()), headers=keyed)
    repeated = await send(service, batch(3, frozenset()), headers=keyed)
    assert other.headers["Operation-Location"] == repeated.headers["Operation-Location"]
    assert other.headers["Operation-Location"] != first.headers["Operation-Location"]
    assert (repeated.status_code, repeated.headers["Repeatability-Result"]) == (202, "accepted")
    reused = await send(service, batch(4, frozenset()), headers=keyed)
    assert (reused.status_code, reused.json()["error"]["code"]) == (422, "IdempotencyKeyReused")
    await work(service)
    assert len(await claims(service)) == 6


async def test_a_batch_goes_on_when_its_host_has_died(service: Service) -> None:
    """Its messages are lost. The timer of the next host sends the missing ones again."""
    sent = await send(service, batch())
    await work(service, until=1)
    lost = await service.services.queues.take(CLAIM_BATCHES, 32)
    assert len(lost) == 3
    service.clock.advance(timedelta(minutes=1))
    await service.sweep()
    await work(service)

    assert (await seen(service, sent))["status"] == "Succeeded"
    for message in lost:  # the queue delivers them again
        await service.run("process_claim_batch", message.text)
    assert len(await claims(service)) == len(await changes(service)) == ROWS - len(BAD)


async def test_a_batch_is_visible_to_its_organisation_only(service: Service) -> None:
    """A batch of another organisation gives the same answer as one that does not exist."""
    sent = await send(service, batch(1, frozenset()))
    path = sent.headers["Operation-Location"].removeprefix(PUBLIC_URL)

    for address, tenant in ((path, OTHER_PARTNER), ("/claim-batches/none", PARTNER)):
        answer = await service.request("GET", address, tenant=tenant)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")
    assert (await seen(service, sent, role="Incentives.User"))["total"] == 1


async def test_an_organisation_lists_its_batches(service: Service) -> None:
    """Newest first, with their progress and without their rows."""
    first = (await send(service, batch(2, frozenset()))).json()["id"]
    await work(service)
    service.clock.advance(timedelta(minutes=1))
    second = (await send(service, batch(1, frozenset()))).json()["id"]

    page = (await service.request("GET", "/claim-batches?maxpagesize=1", role="Incentives.User")).json()
    rest = (await service.request("GET", page["nextLink"].removeprefix(PUBLIC_URL), role="Incentives.User")).json()

    assert [(one["id"], one["status"]) for one in page["value"]] == [(second, "NotStarted")]
    assert rest["value"][0] == {
        "id": first,
        "status": "Succeeded",
        "total": 2,
        "done": 2,
        "failed": 0,
        "createdAt": "2026-11-02T09:00:00Z",
    }
    assert (await service.request("GET", "/claim-batches", tenant=OTHER_PARTNER)).json() == {"value": []}


async def test_a_batch_of_a_wrong_form_is_refused_at_once(service: Service) -> None:
    """The form is checked before anything is stored."""
    for content, headers, status, code in (
        ("\n", LINES, 400, "ValidationFailed"),
        ("{}\n" * 10_001, LINES, 413, "PayloadTooLarge"),
        (" " * (16 * 2**20 + 1), LINES, 413, "PayloadTooLarge"),
        ("{}", {"Content-Type": "application/json"}, 415, "UnsupportedMediaType"),
    ):
        answer = await service.request("POST", "/claim-batches", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    tampered = await service.request(
        "GET", (await send(service, batch(1))).headers["Operation-Location"].removeprefix(PUBLIC_URL) + "?cursor=x"
    )
    assert tampered.json()["error"]["code"] == "InvalidCursor"


async def test_a_message_that_fails_is_listed_and_can_be_sent_again(service: Service) -> None:
    """The list has its ids and no other content of the message."""
    sent = await send(service, batch(1, frozenset()))
    (message,) = await service.services.queues.take(CLAIM_BATCHES, 32)
    failed = json.dumps({**json.loads(message.text), "email": "anne.durand@contoso.fr"})
    await service.run("record_failed_claim_batch", failed)
    await service.services.queues.done(message)

    listed = (await service.programme("GET", "/operations/failed-messages")).json()["value"]
    assert [(one["queue"], "anne" in json.dumps(one)) for one in listed] == [(CLAIM_BATCHES, False)]
    assert (await service.programme("POST", "/operations/failed-messages/redrive")).status_code == 200
    await work(service)
    assert (await seen(service, sent))["status"] == "Succeeded"


async def test_claims_are_exported_for_a_spreadsheet(service: Service) -> None:
    """A spreadsheet runs nothing in it and reads the letters of all languages. The filters are those of the list."""
    formulas = ["=HYPERLINK(1)", "+33 1", "-1", "@SUM", "＝1+1"]
    for name in (*formulas, "Déploiement, « Ltd »"):
        await service.draft(name=name)

    answer = await service.request("GET", "/claims/export")
    rows = list(csv.DictReader(answer.content.decode("utf-8-sig").splitlines()))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="claims-2026-11-02.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbfid,name,")
    assert answer.content.count(b"\r\n") == answer.content.count(b"\n") == 7
    assert {row["name"] for row in rows} == {*(f"'{name}" for name in formulas), "Déploiement, « Ltd »"}
    assert {row["partnerId"] for row in rows} == {PARTNER_ID}
    for query, count in (("status=draft", 6), ("status=official", 0), (f"partnerId={PARTNER_ID}", 6)):
        answer = await service.request("GET", f"/claims/export?{query}")
        assert len(answer.text.splitlines()) == 1 + count
    answer = await service.request("GET", "/claims/export", tenant=OTHER_PARTNER)
    assert len(answer.text.splitlines()) == 1


def small_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make exports of more than two claims large, with pages of two claims."""
    monkeypatch.setattr(csv_export, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(csv_export, "PAGE_KEYS", 2)


async def three_drafts(service: Service) -> None:
    """Make three drafts. A spreadsheet would run the name of the first one."""
    for name in ("=HYPERLINK(1)", "Two", "Three"):
        await service.draft(name=name)


async def ask_for_export(service: Service, query: str = "") -> str:
    """Ask for a large export. Returns the path of its operation."""
    asked = await service.request("GET", f"/claims/export{query}")
    assert asked.status_code == 202
    return asked.headers["Operation-Location"].removeprefix(PUBLIC_URL)


async def test_a_large_export_is_made_in_the_background(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation shows the progress and then a link to the file, for a day. No other organisation finds it."""
    await three_drafts(service)
    at_once = await service.request("GET", "/claims/export")
    small_exports(monkeypatch)

    asked = await service.request("GET", "/claims/export?status=draft")

    assert (asked.status_code, asked.json()) == (202, {"status": "NotStarted", "done": 0, "total": 3})
    operation = asked.headers["Operation-Location"].removeprefix(PUBLIC_URL)
    assert (await service.request("GET", f"{operation}/file")).status_code == 404
    assert await ask_for_export(service, "?status=draft&status=draft") == operation
    await work(service)
    done = (await service.request("GET", operation)).json()
    assert done == {"status": "Succeeded", "done": 3, "total": 3, "link": f"{PUBLIC_URL}{operation}/file"}
    file = await service.request("GET", f"{operation}/file", role="Incentives.User")
    assert file.content == at_once.content
    assert b",'=HYPERLINK(1)," in file.content
    assert file.headers["Content-Disposition"] == at_once.headers["Content-Disposition"]
    for path in (operation, f"{operation}/file"):
        assert (await service.request("GET", path, tenant=OTHER_PARTNER)).status_code == 404
        assert (await service.request("GET", path, role=None)).status_code == 401
        assert (await service.programme("GET", path)).status_code == 403
    service.clock.advance(timedelta(hours=24))
    await service.sweep()
    for path in (operation, f"{operation}/file"):
        assert (await service.request("GET", path)).status_code == 404


async def test_a_large_export_of_too_many_claims_fails(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a filter the service knows the number of claims only after it has read them."""
    await three_drafts(service)
    small_exports(monkeypatch)
    monkeypatch.setattr(export, "MOST_ROWS", 2)

    operation = await ask_for_export(service, "?status=draft")
    await work(service)

    failed = (await service.request("GET", operation)).json()
    assert (failed["status"], failed["error"]["code"], "link" in failed) == ("Failed", "ExportTooLarge", False)
    assert (await service.request("GET", f"{operation}/file")).status_code == 404


async def test_a_failed_page_of_an_export_can_be_sent_again(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The failed message keeps the ids of the page. A message with another id is refused."""
    await three_drafts(service)
    small_exports(monkeypatch)
    operation = await ask_for_export(service)
    first, second = await service.services.queues.take(CLAIM_BATCHES, 32)
    await service.run("record_failed_claim_batch", first.text)
    await service.run("process_claim_batch", second.text)
    for message in (first, second):
        await service.services.queues.done(message)

    for malformed in ({"exportId": "0" * 32, "page": 1}, {"exportId": "0" * 48}, {"batchId": "0" * 48, "page": 1}):
        with pytest.raises(AssertionError, match="failed"):
            await service.run("process_claim_batch", json.dumps(malformed))
        assert "not a message of ours" in caplog.text
        caplog.clear()
    assert (await service.request("GET", operation)).json()["status"] == "Running"
    assert (await service.programme("POST", "/operations/failed-messages/redrive")).status_code == 200
    await work(service)
    assert (await service.request("GET", operation)).json()["status"] == "Succeeded"


async def test_an_erased_person_is_in_no_export(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large export that names the person is deleted. A new export does not name the person."""
    await three_drafts(service)
    small_exports(monkeypatch)
    operation = await ask_for_export(service)
    await work(service)
    assert "anne.durand@contoso.fr" in (await service.request("GET", f"{operation}/file")).text

    await service.programme("POST", "/operations/erasures", json={"email": "anne.durand@contoso.fr"})
    for _ in range(4):
        service.clock.advance(timedelta(minutes=12))
        await service.sweep()

    for path in (operation, f"{operation}/file"):
        assert (await service.request("GET", path)).status_code == 404
    operation = await ask_for_export(service)
    await work(service)
    assert "anne.durand" not in (await service.request("GET", f"{operation}/file")).text
