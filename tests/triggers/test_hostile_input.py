"""Input that was made to break the service: each answer is a refusal, never a 5xx, and nothing changes."""

from typing import Any

import pytest

from tests.support.service import CUSTOMER, PARTNER, PDF, Service


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
async def test_no_json_is_answered_with_a_fault_of_ours(service: Service, text: bytes) -> None:
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
async def test_no_address_is_answered_with_a_fault_of_ours(service: Service, path: str) -> None:
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
async def test_no_file_name_is_answered_with_a_fault_of_ours(service: Service, name: str) -> None:
    """No 5xx for any name of a file, and what was taken is given back."""
    claim = await service.draft()
    put = await service.request("PUT", f"/claims/{claim['id']}/evidence/{name}", content=PDF)
    assert put.status_code < 500, put.text[:300]
    got = await service.request("GET", f"/claims/{claim['id']}/evidence/{name}")
    assert got.status_code < 500
    if put.status_code == 201:
        assert got.content == PDF


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
        {"Host": "["},
    ],
)
async def test_no_header_is_answered_with_a_fault_of_ours(service: Service, headers: dict[str, str]) -> None:
    """No 5xx whatever the headers."""
    claim = await service.draft()
    answer = await service.request(
        "POST",
        f"/claims/{claim['id']}/comments",
        content=b'{"text":"x"}',
        headers={"Content-Type": "application/json", **headers},
    )
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "body", ["t=%ED%A0%80", "&" * 5000, "reason=" + "x" * 5000, "nonce=%00&t=%00", "a=" * 100, "t=é"]
)
@pytest.mark.parametrize("act", ["decline", "undo", "end", "not-me"])
async def test_no_form_is_answered_with_a_fault_of_ours(service: Service, body: str, act: str) -> None:
    """No 5xx; a page in words."""
    claim = await service.notified()
    link = next(iter(service.mailbox.links()))
    token = link.partition("?t=")[2]
    for text in (body, f"t={token}&{body}"):
        answer = await service.client.post(
            f"/customer/requests/{claim['id']}/{act}",
            content=text.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert 400 <= answer.status_code < 500, answer.text
    assert (await service.reread(claim))["etag"] == claim["etag"]


@pytest.mark.parametrize("bad", [[], {}, 1, None, True])
async def test_no_delivery_report_is_answered_with_a_fault_of_ours(service: Service, bad: Any) -> None:
    """A status, id or data of any JSON type is answered without a 5xx."""
    event = {
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "data": {"internetMessageId": "0f8fad5b-d9cb-469f-a165-70867728950e", "status": bad},
    }
    odd = [event, {**event, "data": bad}, {**event, "eventType": bad}, {**event, "data": {"messageId": bad}}]
    for body in (*odd, odd):
        answer = await service.programme("POST", "/mail-events", json=body)
        assert answer.status_code < 500, (body, answer.text)


async def test_looking_changes_nothing(service: Service) -> None:
    """HEAD, GET, OPTIONS, with odd headers and languages."""
    claim = await service.notified()
    link = next(iter(service.mailbox.links()))
    for method in ("HEAD", "GET", "OPTIONS", "PUT", "DELETE", "PATCH"):
        for extra in ("", "&lang=ar", "&lang=%3Cscript%3E", "&done=decline", "&done=%3Cb%3E"):
            answer = await service.client.request(method, link + extra, headers={"Accept-Language": "*;q=x, \x7f"})
            assert answer.status_code < 500
            assert "<script" not in answer.text
            assert b"<b>" not in answer.content
    assert (await service.reread(claim))["etag"] == claim["etag"]
