"""What former releases have written is read by this one: rows, messages, links, forms and cursors."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cpor_app.queue_names import CLAIM_BATCHES, CUSTOMER_NOTICES, DUE_PAGES, MAIL_EVENTS, PARTNER_NOTICES, QUEUES
from cpor_core.model.claim import Status
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.verify_history import WHOLE, verdict
from devhost.stack.issuer import PROGRAMME_TENANT, LocalIssuer
from tests.doubles.clock import FixedClock
from tests.support.azurite import Azurite
from tests.support.service import CUSTOMER, PARTNER, Service, running_service
from tests.upgrade.copy import TABLES, Asked, Known, ask, claim_of, instant, releases
from tests.upgrade.deployment import NOBODY_TOLD_OF, NOTICED_WINDOW_RUNS, tenant
from tools.backup_format import read_manifest, rows_in
from tools.restore import restore

KINDS = {
    "claims": {"act", "claim", "history", "refusals", "remark", "slot"},
    "changes": {"entry", "head", "rival", "told"},
    "webhooks": {"delivery", "hook", "pending"},
    "batches": {"batch", "done", "outcomes"},
}
"""Of tables with rows of several kinds, which begin with their kind's name."""
READS = {
    CUSTOMER_NOTICES: "notify_customer",
    PARTNER_NOTICES: "notify_partner",
    CLAIM_BATCHES: "process_claim_batch",
    DUE_PAGES: "process_due_page",
    MAIL_EVENTS: "record_mail_event",
}
FAILED = {
    CUSTOMER_NOTICES: "record_failed_customer_notice",
    PARTNER_NOTICES: "record_failed_partner_notice",
    CLAIM_BATCHES: "record_failed_claim_batch",
    DUE_PAGES: "record_failed_due_page",
    MAIL_EVENTS: "record_failed_mail_event",
}


@pytest.fixture(params=releases(), ids=lambda folder: folder.name)
def copy(request: pytest.FixtureRequest) -> Path:
    """The folder of a kept copy."""
    folder: Path = request.param
    return folder


@pytest.fixture
def known(copy: Path) -> Known:
    """What was known outside of the tables."""
    return Known.of(copy)


@asynccontextmanager
async def standing(azurite: Azurite, issuer: LocalIssuer, copy: Path, known: Known) -> AsyncIterator[Service]:
    """Start this release over what the other one has left, at the instant at which it was left."""
    clock = FixedClock(instant(known))
    async with running_service(azurite.fresh_account(), issuer, clock=clock, CPOR_LINK_SECRETS=known.secret) as service:
        await restore(service.services.rows, copy / TABLES)
        for name, data in known.blobs.items():
            container, _, blob = name.partition("/")
            store = service.services.ports.blobs if container == "evidence" else service.services.ports.batch_bodies
            await store.put(blob, base64.b64decode(data), "application/octet-stream")
        yield service


@pytest.fixture
async def service(azurite: Azurite, issuer: LocalIssuer, copy: Path, known: Known) -> AsyncIterator[Service]:
    """This release, over what the other one has left."""
    async with standing(azurite, issuer, copy, known) as running:
        yield running


def lacks(now: Any, then: Any, at: str = "") -> list[str]:
    """Return where an answer does not say what it said then; that it says more is no fault."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [each for key, value in then.items() for each in lacks(now.get(key), value, f"{at}.{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(now) == len(then):
        pairs = zip(now, then, strict=True)
        return [each for place, (one, other) in enumerate(pairs) for each in lacks(one, other, f"{at}[{place}]")]
    return [] if now == then else [f"{at}: {now!r} instead of {then!r}"]


def rows_of(copy: Path) -> dict[str, set[str]]:
    """Return what the keys of each table's rows begin with."""
    tables = read_manifest(copy / TABLES).tables
    return {table.name: {key.partition("|")[0] for _, key, _ in rows_in(copy / TABLES, table.name)} for table in tables}


def test_a_copy_has_a_row_of_every_kind(copy: Path) -> None:
    """
    And a claim in every state, a message of every queue, a cursor: else nobody would notice what is not read.

    The first release had no queue for pages of due rows.
    """
    rows, known = rows_of(copy), Known.of(copy)
    documents = [cells for _, key, cells in rows_in(copy / TABLES, "claims") if key.startswith("claim|")]

    assert {table: rows[table] for table in KINDS} == KINDS
    assert [table for table, kinds in rows.items() if not kinds] == []
    assert {cells["status"] for cells in documents} == set(Status)
    assert {queue for queue, _ in known.messages} == set(QUEUES) - {DUE_PAGES}
    assert any("cursor=" in asked.path for asked in known.asked)


async def test_every_answer_of_then_is_given_today(service: Service, known: Known) -> None:
    """Every list with its cursors, every claim, every page behind a link; every history is whole."""
    for then in known.asked:
        if then.path.startswith(NOBODY_TOLD_OF):
            continue  # the first release gave figures of it
        now = await ask(service, then.path, then.role, then.tenant)

        assert lacks(now.answer, then.answer) == [], then.path
        if then.path.endswith("/history"):
            assert verdict(json.dumps(now.answer["value"])).code == WHOLE


async def test_every_mail_of_then_that_is_known_is_in_a_log(service: Service, known: Known) -> None:
    """The claims listed no mails, and the rows had no outcomes. What a claim says about its notice is in the log."""
    found = set()
    for then in known.asked:
        if then.path.startswith("/claims/") and then.path.count("/") == 2:
            seen = (await ask(service, f"{then.path}/mails", then.role, then.tenant)).answer["value"]
            path = f"{then.path.replace('claims', 'reviews')}/mails"
            all_of_it = (await ask(service, path, "Program.Operator", PROGRAMME_TENANT)).answer["value"]
            found |= {(mail["kind"], mail["outcome"], mail["handedOverAt"] is not None) for mail in all_of_it}
            assert {mail["kind"] for mail in seen} == {mail["kind"] for mail in all_of_it}

    assert ("notice", "handedOver", True) in found
    assert {outcome for _, outcome, _ in found} <= {"handedOver", "unknown", "pending"}


async def test_what_was_imported_with_nobody_told_gives_no_figures(service: Service) -> None:
    """A rebuild finds it, so that the operator can name somebody: then the figures are there again (decision 65)."""
    held = (await service.request("GET", f"/associations?customerTenantId={tenant(16)}")).json()["value"][0]["id"]
    figures, listing = f"/associations/{held}/usage", "/operations/untold-associations"
    before = await service.request("GET", figures)
    rebuilt = await rebuild(service.services.ports, await service.clock.now())
    [listed] = (await service.programme("GET", listing)).json()["value"]

    customer = (await service.programme("GET", f"/customers/{tenant(16)}")).json()
    told = {**customer, "noticeAddresses": ["it@contoso.fr"]}
    await service.programme("PUT", f"/customers/{tenant(16)}", json=told)
    await service.deliver()

    assert (before.status_code, before.json()["error"]["code"]) == (409, "CustomerNotTold")
    assert rebuilt.untold == [held]
    assert (listed["associationId"], listed["because"]) == (held, "nobodyToTell")
    assert (await service.request("GET", figures)).status_code == 200
    assert (await service.programme("GET", listing)).json()["value"] == []


async def test_claims_and_entries_of_then_are_found_after_a_rebuild(service: Service) -> None:
    """Before it, the lists of the registry are empty and no search finds them. The list of claims is whole (55b)."""
    claim = (await service.request("GET", "/claims")).json()["value"][0]
    words = [f"/claims?q={word}" for word in (claim["id"], claim["customer"]["domain"])]
    lists = ("/partners", "/customers")
    before = [await service.request("GET", path) for path in words]
    before += [await service.programme("GET", path) for path in lists]

    await rebuild(service.services.ports, await service.clock.now())

    assert [answer.json()["value"] for answer in before] == [[]] * 4
    for path in words:
        found = (await service.request("GET", path)).json()["value"]
        assert claim["id"] in [one["id"] for one in found]
    for path in lists:
        assert (await service.programme("GET", path)).json()["value"]


async def test_an_act_under_a_key_of_then_is_answered_as_then(service: Service) -> None:
    """A request that was repeated over the upgrade is not done twice."""
    headers = {"Idempotency-Key": "about-no-claim"}
    before = (await service.request("GET", "/webhooks/main/deliveries?maxpagesize=200")).json()["value"]

    again = await service.request("POST", "/webhooks/main/test", headers=headers)

    assert again.headers["Repeatability-Result"] == "accepted"
    assert (await service.request("GET", "/webhooks/main/deliveries?maxpagesize=200")).json()["value"] == before


async def test_evidence_of_then_is_given(service: Service) -> None:
    """The bytes to which a claim points."""
    claims = (await service.request("GET", "/claims?maxpagesize=100")).json()["value"]
    holding = next(claim for claim in claims if claim["evidence"])

    answer = await service.request("GET", f"/claims/{holding['id']}/evidence/{holding['evidence'][0]['fileName']}")

    assert answer.content.startswith(b"%PDF")


async def test_a_form_that_was_open_is_taken(service: Service, known: Known) -> None:
    """The customer had the page before them while the service was upgraded, and says no then."""
    page = next(one for one in known.asked if one.role is None and NOTICED_WINDOW_RUNS in one.path)
    link = next(link for link in known.links if link.endswith(page.path))
    nonce = next(act["nonce"] for act in page.answer["acts"] if act["act"] == "decline")

    answer = await service.request(
        "POST",
        f"/customer/requests/{claim_of(link)}/decline",
        role=None,
        data={"t": link.partition("?t=")[2], "nonce": nonce},
    )

    assert answer.status_code == 303, answer.text
    assert (await service.request("GET", f"/claims/{claim_of(link)}")).json()["status"] == "declined"


async def test_who_said_a_no_of_then_is_known(service: Service, known: Known) -> None:
    """The administrator did; the claim did not say so then, its history did."""
    path = next(one.path for one in known.asked if one.role is None and one.answer["status"] == "declined")

    answer = (await ask(service, path, None, PARTNER)).answer

    assert answer["declined"] == {"at": answer["declined"]["at"], "by": "administrator"}


async def test_messages_of_then_are_read_and_the_timer_goes_on(service: Service, known: Known) -> None:
    """Whoever was to be told is told; time's doing is written down; the batch is ended; what failed is put back."""
    for queue, text in known.messages:
        await service.run(READS[queue], text)
    await service.deliver()
    service.clock.advance(timedelta(minutes=5))
    await service.sweep()
    await service.deliver()

    claims = {one["customer"]["tenantId"]: one for one in await listed(service)}
    assert claims[tenant(14)]["window"] is not None  # the mail system was down then
    assert claims[tenant(11)]["status"] == "partnerActionRequired"  # its notice came back
    assert await stored_status(service, claims[tenant(2)]["id"]) == "official"
    assert claims[tenant(2)]["historyHash"] in str(known.asked)
    path = next(one.path for one in known.asked if "/claim-batches/" in one.path and not done(one))
    assert done(await ask(service, path, "Incentives.Admin", PARTNER))
    redriven = await service.programme("POST", "/operations/failed-messages/redrive", json={})
    assert redriven.is_success, redriven.text
    assert await service.deliver() > 0


async def test_a_message_of_then_can_fail(service: Service, known: Known) -> None:
    """It is recorded with what is needed to put it back."""
    for queue, text in dict(known.messages).items():
        await service.run(FAILED[queue], text)

        kept = await service.services.ports.failures.page(after="", limit=99)
        assert json.loads(text) in [json.loads(failure.body) for failure in kept if failure.queue == queue]


def done(batch: Asked) -> bool:
    """Whether a batch has come to its end."""
    return bool(batch.answer["status"] == "Succeeded")


async def listed(service: Service) -> list[Any]:
    """Return the partner's claims, one of each customer but the first: the newest."""
    found = (await service.request("GET", "/claims?maxpagesize=100")).json()["value"]
    return [claim for claim in reversed(found) if claim["customer"]["tenantId"] != CUSTOMER]


async def stored_status(service: Service, claim_id: str) -> str:
    """Return a claim's state as it is written down."""
    case = await service.services.ports.claims.load(claim_id)
    assert case is not None
    return case.claim.status.value
