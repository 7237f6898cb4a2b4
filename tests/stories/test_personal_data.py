"""One person is erased from all stored data and nobody else is. In the end each claim loses its people."""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cpor_app.adapters.storage.tables import TABLES
from cpor_app.bootstrap import CONTAINERS
from cpor_app.queue_names import POISON, QUEUES
from cpor_core.model.erasure import Erasure
from cpor_core.verify_history import WHOLE, verdict
from tests.support.service import (
    ACKNOWLEDGED,
    CUSTOMER,
    OTHER_PARTNER,
    PARTNER,
    PDF,
    PUBLIC_URL,
    Service,
    claim_as_sent,
)

ANNE, ANNE_ELSEWHERE, JOANNE = "anne.durand@contoso.fr", "Anne.Durand@Contoso.fr", "joanne.durand@contoso.fr"
KEY = {"Idempotency-Key": "the-key-of-a-partner"}
TEAMS: dict[str, Any] = {"engagement": "modern-work-security-usage", "items": [{"workload": "teams"}]}


async def everything(service: Service) -> list[str]:
    """Return each table row, blob and queue message as unpacked text."""
    found: list[str] = []
    connection = service.services.connection
    async with connection.tables() as tables, connection.blobs() as blobs:
        for table in TABLES:
            async for row in tables.get_table_client(table).list_entities():
                cells = [zlib.decompress(cell) if isinstance(cell, bytes) else cell for cell in row.values()]
                found.append(" ".join(cell.decode() if isinstance(cell, bytes) else str(cell) for cell in cells))
        for container in CONTAINERS:
            held = blobs.get_container_client(container)
            async for blob in held.list_blobs():
                data = await (await held.download_blob(blob.name)).readall()
                found.append(f"{blob.name} {data.decode(errors='replace')}")
    for queue in (*QUEUES, *POISON):
        found += [message.text for message in await service.services.queues.take(queue, 32)]
    return found


async def naming(service: Service, address: str) -> Sequence[str]:
    """Return the rows, blobs and messages that contain an address, in any case of its letters."""
    return [text for text in await everything(service) if address.lower() in text.lower().replace(JOANNE, "somebody")]


async def fill(service: Service) -> tuple[str, str, str]:
    """Name Anne in every place. Return an awaiting claim, a closed claim and a draft."""
    await service.register(noticeAddresses=[])
    waiting = (await service.notified(comment=f"Ask {ANNE}", headers=KEY))["id"]
    path = f"/claims/{waiting}"
    words = {"text": f"Anne Durand writes from\n{ANNE}"}
    answer = await service.request("POST", f"{path}/comments", json=words, headers={"Idempotency-Key": "words"})
    assert answer.status_code == 201
    named = {**claim_as_sent()["contacts"], "customer": {"name": "Joanne Durand", "email": JOANNE}}
    named["customerTechnical"] = {"name": "Anne Durand", "email": ANNE_ELSEWHERE}
    other = (await service.submitted(contacts=named, **TEAMS))["id"]
    assert (await service.request("POST", f"/claims/{other}/withdraw", json={})).status_code == 200
    draft = (await service.draft(name=f"For {ANNE}"))["id"]
    rows = "\n".join(json.dumps(one) for one in (claim_as_sent(), {**claim_as_sent(), ANNE: True}))
    lines = {"Content-Type": "application/x-ndjson"}
    assert (await service.request("POST", "/claim-batches", content=rows, headers=lines)).status_code == 202
    dry = {**claim_as_sent(), "partnerId": "1"}
    await service.request("POST", "/claims?validate=true", json=dry, headers={"Idempotency-Key": "dry"})
    await service.deliver()
    former = (await service.programme("GET", f"/customers/{CUSTOMER}")).json()
    former["noticeAddresses"] = [ANNE_ELSEWHERE, JOANNE]
    await service.programme("PUT", f"/customers/{CUSTOMER}", json=former)
    return waiting, other, draft


async def erase(service: Service, address: str = ANNE) -> Any:
    """Ask for an erasure, run the timer until it is done, and return it."""
    asked = await service.programme(
        "POST", "/operations/erasures", json={"email": address}, headers={"Idempotency-Key": address[:1] + "-erase"}
    )
    assert asked.status_code == 202, asked.text
    assert address not in asked.text
    where = asked.headers["Operation-Location"].removeprefix(PUBLIC_URL)
    seen: Any = None
    for _ in range(5):
        await service.sweep()
        await service.deliver()
        seen = (await service.programme("GET", where)).json()
        assert address not in json.dumps(seen)
        if seen["status"] == "Succeeded":
            return seen
        assert seen["status"] == "Running"
        service.clock.advance(timedelta(minutes=12))
    raise AssertionError(seen)


async def test_a_person_is_erased_from_every_table_blob_and_queue(service: Service) -> None:
    """Other people stay. Every history is whole, and the awaiting claim goes back to its partner."""
    waiting, other, draft = await fill(service)
    assert len(await naming(service, ANNE)) >= 10
    joannes = len([text for text in await everything(service) if JOANNE in text])

    done = await erase(service)
    service.clock.advance(timedelta(hours=2))
    await service.sweep()

    assert await naming(service, ANNE) == []
    assert len([text for text in await everything(service) if JOANNE in text]) == joannes
    assert done["found"] == {"claims": 4, "batches": 1, "customers": 1, "answers": 0}
    assert sorted(done["evidenceToLookAt"]) == sorted([waiting, draft])
    claim = (await service.request("GET", f"/claims/{waiting}")).json()
    assert (claim["status"], claim["statusReason"]) == ("partnerActionRequired", "customerUnreachable")
    assert claim["contacts"]["partner"]["name"] == "Paul Petit"
    assert (await service.request("GET", f"/claims/{other}")).json()["evidence"] == []
    assert (await service.programme("GET", f"/customers/{CUSTOMER}")).json()["noticeAddresses"] == [JOANNE]
    for claim_id in (waiting, other, draft):
        history = await service.request("GET", f"/claims/{claim_id}/history")
        assert verdict(history.text).code == WHOLE
    told = (await service.request("GET", "/changes?maxpagesize=100")).json()["value"]
    assert {change["claimId"] for change in told if change["type"] == "claim.personalDataErased"} >= {waiting, draft}
    again = await service.request("POST", "/claims", json=claim_as_sent(comment=f"Ask {ANNE}"), headers=KEY)
    assert again.status_code == 201
    assert ANNE not in again.text
    refused = await service.request("POST", f"/claims/{draft}/submit", json=ACKNOWLEDGED)
    assert "ContactMissing" in [one["code"] for one in refused.json()["error"]["details"]]


async def test_the_operator_lists_erasures_newest_first(service: Service) -> None:
    """As their own addresses show them, without the people. The ids of the first release are random and come last."""
    old = Erasure(id="9" + "e" * 31, requested_at=await service.clock.now(), email=ANNE_ELSEWHERE)
    await service.services.ports.erasures.add(old)
    for address in (ANNE, JOANNE):
        service.clock.advance(timedelta(minutes=1))
        assert (await service.programme("POST", "/operations/erasures", json={"email": address})).status_code == 202

    page = (await service.programme("GET", "/operations/erasures?maxpagesize=2")).json()
    rest = (await service.programme("GET", page["nextLink"].removeprefix(PUBLIC_URL))).json()

    listed = [*page["value"], *rest["value"]]
    requested = [one["requestedAt"] for one in listed]
    assert (len(listed), requested) == (3, sorted(requested, reverse=True))
    assert [(await service.programme("GET", f"/operations/erasures/{one['id']}")).json() for one in listed] == listed
    assert "@" not in json.dumps(listed)
    assert (await service.review("GET", "/operations/erasures")).status_code == 403


async def test_erasing_twice_finds_nothing_and_only_the_operator_can_erase(service: Service) -> None:
    """Other callers do not learn whether the person exists."""
    await fill(service)
    await erase(service)

    assert (await erase(service, ANNE_ELSEWHERE))["found"] == dict.fromkeys(
        ("claims", "batches", "customers", "answers"), 0
    )
    for role, tenant in (("Incentives.Admin", PARTNER), ("Customer.Admin", CUSTOMER), ("Program.Operator", PARTNER)):
        answer = await service.request("POST", "/operations/erasures", json={"email": ANNE}, role=role, tenant=tenant)
        assert answer.status_code == 403
    for name in ("f" * 32, "../mail"):
        assert (await service.programme("GET", f"/operations/erasures/{name}")).status_code == 404
    assert (await service.programme("POST", "/operations/erasures", json={"email": "nobody"})).status_code == 400


async def test_an_ended_association_loses_its_people_after_two_years(service: Service) -> None:
    """Its partner still reads it, without contacts and files. Figures, receipts and history stay."""
    await service.register()
    claim = await service.official(tenant=OTHER_PARTNER)
    path = f"/claims/{claim['id']}"
    ended = await service.request(
        "POST", f"/associations/{claim['id']}/end", tenant=OTHER_PARTNER, json={"reason": f"{ANNE} left"}
    )
    assert ended.status_code == 200, ended.text
    await service.deliver()
    at = datetime.fromisoformat(ended.json()["endedAt"])
    service.clock.set(at.replace(year=at.year + 2))

    for _ in range(2):
        await service.sweep()
        await service.deliver()
        service.clock.advance(timedelta(hours=2))

    assert await naming(service, ANNE) == []
    seen = (await service.request("GET", path, tenant=OTHER_PARTNER)).json()
    assert (seen["contacts"], seen["evidence"], seen["status"]) == (None, [], "ended")
    history = await service.request("GET", f"{path}/history", tenant=OTHER_PARTNER)
    assert verdict(history.text, seen["historyHash"]).code == WHOLE
    link = next(service.mailbox.links()).removeprefix(PUBLIC_URL)
    assert (await service.request("GET", link, role=None)).status_code == 410
    file = await service.request("GET", f"{path}/evidence/sow.pdf", tenant=OTHER_PARTNER)
    assert (file.status_code, PDF in file.content) == (404, False)
