"""What an outside engineer tried in order to break the service."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from cpor_core.errors import MailDelayed
from cpor_core.rules.late_truths import GRACE
from tests.stories.test_mail_trouble import event_grid, plain, status
from tests.support.service import CUSTOMER, OTHER_PARTNER, PARTNER, PDF, Service, claim_as_sent

WORKLOADS: dict[str, Any] = {
    "engagement": "modern-work-security-usage",
    "items": [{"workload": "teams"}, {"workload": "exchange"}],
}


async def get(service: Service, claim: dict[str, Any], tenant: str = PARTNER) -> Any:
    """Return a claim as its partner reads it."""
    return (await service.request("GET", f"/claims/{claim['id']}", tenant=tenant)).json()


async def under_review(service: Service, *, tenant: str = PARTNER, **changes: Any) -> Any:
    """Bring a claim for two workloads under review."""
    claim = await service.submitted(tenant=tenant, **{**WORKLOADS, **changes})
    answer = await service.review("POST", f"/reviews/{claim['id']}/start")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_recipient_put_off_and_then_refused_counts_as_failed(service: Service) -> None:
    """One of two is put off (4xx), then refused (5xx); when the other's notice bounces nobody is left (rulings 25)."""
    await service.register(noticeAddresses=["it@contoso.fr"])

    def put_off(mail: Any) -> None:
        if mail.to_address == "it@contoso.fr":
            raise MailDelayed("450 greylisted", recipient_refused_for_now=True)

    service.mailbox.on_send = put_off
    claim = await service.told()
    assert claim["window"] is not None
    service.mailbox.on_send = None
    service.mailbox.refused.add("it@contoso.fr")
    service.clock.advance(timedelta(hours=2))
    await service.sweep()
    await service.programme("POST", "/mail-events", json=plain(service, 0))

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_bounce_before_the_hand_over_is_recorded_shows_no_window(service: Service) -> None:
    """The report comes back while the notice is still being handed over: no window is shown as running."""
    claim = await service.submitted()
    send = service.mailbox.send

    async def send_and_bounce(mail: Any) -> None:
        await send(mail)
        await service.programme("POST", "/mail-events", json=plain(service, -1))

    service.mailbox.send = send_and_bounce  # type: ignore[method-assign]
    await service.deliver()

    shown = await get(service, claim)
    assert (shown["status"], shown["window"]) == ("partnerActionRequired", None)


async def test_user_may_not_edit_what_is_no_draft(service: Service) -> None:
    """`Incentives.User` edits drafts; the answer to a reviewer is the administrator's (rulings 2)."""
    claim = await under_review(service)
    asked = await service.review(
        "POST", f"/reviews/{claim['id']}/request-information", json={"reasons": ["productsMissing"]}
    )
    patched = await service.request(
        "PATCH",
        f"/claims/{claim['id']}",
        role="Incentives.User",
        json={"items": [{"workload": "exchange"}]},
        headers={"If-Match": asked.json()["etag"]},
    )
    assert patched.status_code == 403, patched.text


async def test_strike_repeated_with_its_key_gets_the_first_answer(service: Service) -> None:
    """The claim stays under review, so the repetition is not met by its state (rulings 39)."""
    claim = await under_review(service)
    path, headers = f"/reviews/{claim['id']}/strike-items", {"Idempotency-Key": "k1"}
    first = await service.review("POST", path, json={"items": [{"workload": "teams"}]}, headers=headers)
    second = await service.review("POST", path, json={"items": [{"workload": "teams"}]}, headers=headers)
    assert first.status_code == 200
    assert (second.status_code, second.headers.get("repeatability-result")) == (200, "accepted"), second.text


@pytest.mark.parametrize("bad", [[], {}, 1, None, True])
async def test_hostile_delivery_report_is_no_fault_of_ours(service: Service, bad: Any) -> None:
    """A status, id or data of any JSON type is answered without a 5xx."""
    event = {
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "data": {"internetMessageId": "0f8fad5b-d9cb-469f-a165-70867728950e", "status": bad},
    }
    odd = [event, {**event, "data": bad}, {**event, "eventType": bad}, {**event, "data": {"messageId": bad}}]
    for body in (*odd, odd):
        answer = await service.programme("POST", "/mail-events", json=body)
        assert answer.status_code < 500, (body, answer.text)


async def test_creation_repeated_after_the_draft_was_erased(service: Service) -> None:
    """Same key, same body: the first answer, never a second draft (kept 48 hours)."""
    sent, headers = claim_as_sent(), {"Idempotency-Key": "once"}
    first = await service.request("POST", "/claims", json=sent, headers=headers)
    await service.request("DELETE", f"/claims/{first.json()['id']}")
    await service.deliver()
    service.clock.advance(timedelta(minutes=5))
    await service.sweep()

    again = await service.request("POST", "/claims", json=sent, headers=headers)

    assert again.json().get("id") == first.json()["id"], again.text
    assert again.headers.get("repeatability-result") == "accepted"
    assert (await service.request("GET", f"/claims/{first.json()['id']}")).status_code == 404


async def test_list_of_associations_goes_on_behind_one_that_ended(service: Service) -> None:
    """The last one of a page ends before the next page is asked for: the list goes on, it does not start again."""
    claims = []
    for workload in ("teams", "exchange", "sharepoint"):
        service.clock.advance(timedelta(seconds=1))
        claim = await under_review(service, items=[{"workload": workload}])
        await service.review("POST", f"/reviews/{claim['id']}/approve")
        claims.append(claim["id"])
    await service.deliver()
    service.clock.advance(timedelta(days=14))
    admin: dict[str, Any] = {"role": "Customer.Admin", "tenant": CUSTOMER}
    address = f"/customers/{CUSTOMER}/associations?maxpagesize=1"
    seen = []
    for _ in range(5):
        page = (await service.request("GET", address, **admin)).json()
        seen += [one["id"] for one in page["value"]]
        for one in page["value"]:
            await service.request("POST", f"/customers/{CUSTOMER}/associations/{one['id']}/end", **admin)
        if "nextLink" not in page:
            break
        address = page["nextLink"]
    service.clock.advance(timedelta(seconds=1))
    assert seen == list(reversed(claims))


async def test_list_of_associations_does_not_begin_again(service: Service) -> None:
    """As above, but the one that ended is in the middle."""
    claims = []
    for workload in ("teams", "exchange", "sharepoint"):
        service.clock.advance(timedelta(seconds=1))
        claim = await under_review(service, items=[{"workload": workload}])
        await service.review("POST", f"/reviews/{claim['id']}/approve")
        claims.append(claim["id"])
    await service.deliver()
    service.clock.advance(timedelta(days=14))
    admin: dict[str, Any] = {"role": "Customer.Admin", "tenant": CUSTOMER}
    first = (await service.request("GET", f"/customers/{CUSTOMER}/associations?maxpagesize=1", **admin)).json()
    second = (await service.request("GET", first["nextLink"], **admin)).json()
    await service.request("POST", f"/customers/{CUSTOMER}/associations/{claims[1]}/end", **admin)
    third = (await service.request("GET", second["nextLink"], **admin)).json()
    assert [one["id"] for one in third["value"]] == [claims[0]]


async def test_redriven_delivery_report_of_event_grid_is_not_lost(service: Service) -> None:
    """A report that failed while storage was ill, kept and put back, still stops the window."""
    claim = await service.told()
    await service.run("record_failed_mail_event", json.dumps(event_grid(service, "Bounced")))
    kept = (await service.programme("GET", "/operations/failed-messages")).json()["value"][0]

    await service.run("record_mail_event", kept["body"])

    assert await status(service, claim) == ("partnerActionRequired", "customerUnreachable")


async def test_no_report_of_a_long_array_is_passed_over(service: Service) -> None:
    """Every report is taken, or the array is refused."""
    claim = await service.told()
    unknown = {"messageId": "0f8fad5b-d9cb-469f-a165-70867728950e", "event": "delivered"}
    answer = await service.programme("POST", "/mail-events", json=[unknown] * 1000 + [plain(service)])
    assert answer.status_code in (400, 413) or await status(service, claim) == (
        "partnerActionRequired",
        "customerUnreachable",
    )


@pytest.mark.parametrize(
    "text",
    [
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b'{"name": -Infinity}',
        b"[" * 10000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"\xff\xfe",
        b'{"name": "\\u0000"}',
        b'{"contacts": {"customer": null}}',
        b'{"items": null}',
        b'{"items": {"0": 1}}',
        b'{"' + b"x" * 100000 + b'": 1}',
        b"null",
        b"[]",
        b'"x"',
    ],
)
async def test_hostile_json_everywhere(service: Service, text: bytes) -> None:
    """No 5xx, and the error object."""
    claim = await service.draft()
    etag, json_type = claim["etag"], {"Content-Type": "application/json"}
    tries = [
        ("PATCH", f"/claims/{claim['id']}", "Incentives.Admin"),
        ("POST", "/claims", "Incentives.Admin"),
        ("POST", f"/claims/{claim['id']}/submit", "Incentives.Admin"),
        ("POST", f"/claims/{claim['id']}/comments", "Incentives.Admin"),
    ]
    for method, path, role in tries:
        answer = await service.request(
            method,
            path,
            role=role,
            content=text,
            headers={**json_type, **({"If-Match": etag} if method == "PATCH" else {})},
        )
        assert 400 <= answer.status_code < 500, (method, path, answer.status_code, answer.text[:300])
        assert answer.json()["error"]["code"] == answer.headers["x-ms-error-code"]
    for path in ("/mail-events", "/sandbox/clock"):
        answer = await service.programme("POST", path, content=text, headers=json_type)
        assert 200 <= answer.status_code < 500, (path, answer.text[:300])
    for path in (f"/customers/{CUSTOMER}", "/partners/4782913"):
        answer = await service.programme("PUT", path, content=text, headers=json_type)
        assert 400 <= answer.status_code < 500, (path, answer.text[:300])
    answer = await service.programme(
        "POST", "/usage/reports?format=jsonl", content=text, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code < 500, answer.text[:300]
    answer = await service.programme(
        "POST", "/associations/import", content=text, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize(
    "path",
    [
        "/claims?cursor=%00",
        "/claims?cursor=" + "a" * 5000,
        "/claims?maxpagesize=0",
        "/claims?maxpagesize=99999999999",
        "/claims?maxpagesize=%EF%BC%91",
        "/claims?status=%ED%A0%80",
        "/claims/%ED%A0%80",
        "/claims/%00",
        "/claims/..%2f..%2f",
        "/claims/" + "a" * 52,
        "/claims/" + "z" * 52,
        "/claims/" + "a" * 52 + "/evidence/%ED%A0%80.pdf",
        "/claims?api-version=%00%ff",
        "/engagements/%00",
        "/engagements/../x",
        "/associations/" + "a" * 52 + "/usage?from=2026-13&to=x",
        "/customers/x/associations",
        "/customers/%C4%B0/requests",
        "/reviews/x",
        "/partners/١٢٣٤",
        "/customer/requests/x?t=" + "%ff" * 20,
        "/customer/requests/x?t=..&lang=%00",
    ],
)
async def test_hostile_addresses(service: Service, path: str) -> None:
    """No 5xx whatever the address."""
    for role, tenant in (("Incentives.Admin", PARTNER), ("Customer.Admin", CUSTOMER)):
        answer = await service.request("GET", path, role=role, tenant=tenant)
        assert answer.status_code < 500, answer.text[:300]
    answer = await service.programme("GET", path)
    assert answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize(
    "name",
    [
        "%ED%A0%80.pdf",
        "%00.pdf",
        "%FF.pdf",
        "a%0d%0ab.pdf",
        "%E2%80%AE.pdf",
        "é" * 200,
        "..",
        "a%2fb.pdf",
        '"x".pdf',
        "%F0%9F%98%80.pdf",
    ],
)
async def test_hostile_file_names(service: Service, name: str) -> None:
    """No 5xx for any name of a file, and what was taken is given back."""
    claim = await service.draft()
    put = await service.request("PUT", f"/claims/{claim['id']}/evidence/{name}", content=PDF)
    assert put.status_code < 500, put.text[:300]
    got = await service.request("GET", f"/claims/{claim['id']}/evidence/{name}")
    assert got.status_code < 500
    if put.status_code == 201:
        assert got.content == PDF


async def test_past_association_is_not_superseded_without_a_review(service: Service) -> None:
    """An item that is imported while another claim awaits the customer: anything competing is decided by a person."""
    claim = await service.told()
    line = {
        "engagement": "osu-bizapps",
        "partnerId": "5550001",
        "tenantId": CUSTOMER,
        "item": "cccccccc-0000-4000-8000-000000000001",
        "since": "2024-01-01",
    }
    answer = await service.programme(
        "POST",
        "/associations/import",
        content=json.dumps(line).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    taken = answer.json()
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]))
    assert taken["accepted"] == 0 or (await get(service, claim))["status"] != "official"


async def test_undo_after_another_became_official_meanwhile(service: Service) -> None:
    """The operator moves the customer to another zone; the second window ends before the first: no undo over it."""
    first = await under_review(service)
    await service.review("POST", f"/reviews/{first['id']}/approve")
    await service.deliver()
    first = await get(service, first)
    admin: dict[str, Any] = {"role": "Customer.Admin", "tenant": CUSTOMER}
    declined = await service.request("POST", f"/customers/{CUSTOMER}/requests/{first['id']}/decline", **admin)
    assert declined.status_code == 200
    await service.register(timeZone="Pacific/Auckland", country="NZ")
    second = await under_review(service, tenant=OTHER_PARTNER)
    assert (await service.review("POST", f"/reviews/{second['id']}/approve")).status_code == 200
    await service.deliver()
    second = await get(service, second, OTHER_PARTNER)
    assert second["window"]["endsAt"] < first["window"]["endsAt"]
    service.clock.set(datetime.fromisoformat(second["window"]["endsAt"]))
    assert (await get(service, second, OTHER_PARTNER))["status"] == "official"

    undone = await service.request("POST", f"/customers/{CUSTOMER}/requests/{first['id']}/undo", **admin)

    assert undone.status_code == 409, undone.text


async def test_no_taken_back_after_the_subscription_ended(service: Service) -> None:
    """Items are checked before the promise only; an undo makes none, so it has to look again (rulings 32)."""
    claim = await service.told()
    admin: dict[str, Any] = {"role": "Customer.Admin", "tenant": CUSTOMER}
    await service.request("POST", f"/customers/{CUSTOMER}/requests/{claim['id']}/decline", **admin)
    await service.register(subscriptions=[])
    service.clock.advance(timedelta(hours=1))
    await service.sweep()
    await service.request("POST", f"/customers/{CUSTOMER}/requests/{claim['id']}/undo", **admin)
    service.clock.set(datetime.fromisoformat(claim["window"]["endsAt"]) + GRACE)
    await service.sweep()
    assert (await get(service, claim))["status"] != "official"


async def test_closing_mail_goes_to_nobody_who_was_never_told(service: Service) -> None:
    """The second contact never got a notice: no mail about an end of what they never heard of (rulings 24)."""
    claim = await service.told()
    await service.programme("POST", "/mail-events", json=plain(service))
    shown = await get(service, claim)
    contacts = {"customer": {"name": "Bruno", "email": "bruno@contoso.fr"}}
    await service.request(
        "PATCH", f"/claims/{claim['id']}", json={"contacts": contacts}, headers={"If-Match": shown["etag"]}
    )
    service.mailbox.down = True
    again = await service.request("POST", f"/claims/{claim['id']}/resubmit")
    assert again.json()["status"] == "awaitingCustomer"
    await service.deliver()
    await service.request("POST", f"/claims/{claim['id']}/withdraw")
    service.mailbox.down = False
    await service.deliver()
    service.clock.advance(timedelta(hours=2))
    await service.sweep()
    assert [mail.subject for mail in service.mailbox.sent if mail.to_address == "bruno@contoso.fr"] == []


async def test_looking_changes_nothing(service: Service) -> None:
    """HEAD, GET, OPTIONS, with odd headers and languages."""
    claim = await service.told()
    link = next(iter(service.mailbox.links()))
    for method in ("HEAD", "GET", "OPTIONS", "PUT", "DELETE", "PATCH"):
        for extra in ("", "&lang=ar", "&lang=%3Cscript%3E", "&done=decline", "&done=%3Cb%3E"):
            answer = await service.client.request(method, link + extra, headers={"Accept-Language": "*;q=x, \x7f"})
            assert answer.status_code < 500
            assert "<script" not in answer.text
            assert b"<b>" not in answer.content
    assert (await get(service, claim))["etag"] == claim["etag"]


@pytest.mark.parametrize(
    "body", ["t=%ED%A0%80", "&" * 5000, "reason=" + "x" * 5000, "nonce=%00&t=%00", "a=" * 100, "t=é"]
)
@pytest.mark.parametrize("act", ["decline", "undo", "end", "not-me"])
async def test_hostile_forms(service: Service, body: str, act: str) -> None:
    """No 5xx; a page in words."""
    claim = await service.told()
    link = next(iter(service.mailbox.links()))
    token = link.partition("?t=")[2]
    for text in (body, f"t={token}&{body}"):
        answer = await service.client.post(
            f"/customer/requests/{claim['id']}/{act}",
            content=text.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert 400 <= answer.status_code < 500, answer.text
    assert (await get(service, claim))["etag"] == claim["etag"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": "x" * 300},
        {"Idempotency-Key": "\x7f"},
        {"Repeatability-Request-ID": "k", "Repeatability-First-Sent": "Mon, 99 Foo 99999 99:99:99 GMT"},
        {"Repeatability-Request-ID": "k", "Repeatability-First-Sent": "x"},
        {"Repeatability-Request-ID": "k", "Repeatability-First-Sent": ""},
        {"Repeatability-Request-ID": "k", "Repeatability-First-Sent": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"},
        {"If-Match": "\x7f"},
        {"x-ms-client-request-id": "a\x7f" * 100},
        {"traceparent": "00-" + "z" * 100},
        {"Accept": "\x7f"},
        {"Content-Type": "application/json; charset=x"},
    ],
)
async def test_hostile_headers(service: Service, headers: dict[str, str]) -> None:
    """No 5xx whatever the headers."""
    claim = await service.draft()
    answer = await service.request(
        "POST",
        f"/claims/{claim['id']}/comments",
        content=b'{"text":"x"}',
        headers={"Content-Type": "application/json", **headers},
    )
    assert answer.status_code < 500, answer.text


async def test_same_key_never_answers_another_organisation_or_operation(service: Service) -> None:
    """No first answer leaks."""
    headers = {"Idempotency-Key": "shared"}
    first = await service.request("POST", "/claims", json=claim_as_sent(), headers=headers)
    other = await service.request(
        "POST", "/claims", tenant=OTHER_PARTNER, json=claim_as_sent(OTHER_PARTNER), headers=headers
    )
    act = await service.request("POST", f"/claims/{first.json()['id']}/comments", json={"text": "x"}, headers=headers)
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    assert act.status_code == 422
