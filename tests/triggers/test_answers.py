"""What every answer has in common, the refused and the failed ones too."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import httpx
import pytest

from cpor_app import bootstrap
from cpor_app.http.route_table import API_VERSION, SECURITY_HEADERS
from cpor_app.http.status_codes import DETAIL_CODES, ROW_CODES, STATUSES
from cpor_core.rules.input_faults import LONGEST_TARGET, MOST_DETAILS
from devhost.stack.issuer import LocalIssuer
from tests.doubles.transport import Plan, answer_429, lose_answer
from tests.doubles.transport import answer as answered
from tests.support.service import PDF, Service, claim_as_sent, running_service
from tests.triggers.calls import shares_its_service
from tests.triggers.refusals import refused, targets
from tools.pages.errors import raised


class Broken:
    """A port with a fault of the program: whatever is asked of it, it fails with words of the inside."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ZeroDivisionError("secret of the inside")


@contextmanager
def broken(service: Service) -> Iterator[None]:
    """Let the claims' table be a fault of the program."""
    bootstrap.use(replace(service.services, ports=replace(service.services.ports, claims=Broken())))
    try:
        yield
    finally:
        bootstrap.use(service.services)


@asynccontextmanager
async def over(plan: Plan, connection: str, issuer: LocalIssuer) -> AsyncIterator[Service]:
    """Start the service over storage that fails as planned; nothing is planned or counted before it runs."""
    async with running_service(connection, issuer, transport=plan.transport) as service:
        await service.register()
        plan.clear()
        yield service


# --- the envelope -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/nothing", "/claims/a/b/c", "/claim", "/claims//submit", "/Openapi", "/%00x"])
@shares_its_service
async def test_unknown_address_gets_the_envelope(shared: Service, path: str) -> None:
    """404 NotFound, with or without a token, and with all headers; a NUL is the host's to refuse."""
    for role in (None, "Incentives.Admin"):
        answer = await shared.request("GET", path, role=role)
        if path == "/%00x":
            assert answer.status_code == 400
        else:
            refused(answer, 404, "NotFound")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/claims", "GET, POST"),
        ("/claims/0", "DELETE, GET, PATCH"),
        ("/claims/0/", "DELETE, GET, PATCH"),
        ("/Claims/0/SUBMIT", "POST"),
        ("/health", "GET"),
        ("/customer/requests/0", "GET, HEAD"),
        ("/claims/0/evidence/a.pdf", "DELETE, GET, PUT"),
        ("/partners/4782913", "GET, PUT"),
    ],
)
@shares_its_service
async def test_wrong_method_says_which_are_right(shared: Service, path: str, allowed: str) -> None:
    """405 with Allow, for HEAD and OPTIONS too, without asking for a token."""
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(allowed.split(", ")):
        answer = await shared.client.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed), method
        assert answer.headers["x-ms-error-code"] == "MethodNotAllowed"


def test_every_code_that_is_raised_has_a_status_and_every_detail_is_listed() -> None:
    """A code that the table lacks would become an empty 500."""
    assert {one.code for one in raised()} - set(STATUSES) - set(DETAIL_CODES) - set(ROW_CODES) == set()


async def test_refusal_says_what_is_wrong_where_and_what_to_do(service: Service) -> None:
    """One detail a field, its target a JSON path."""
    sent = claim_as_sent(partner_id="x", name="", items=[{"product": "dynamics-365-sales"}], more=1)
    sent["contacts"]["customer"]["email"] = "nobody"
    del sent["partnerId"]

    error = refused(await service.request("POST", "/claims", json=sent), 400, "ValidationFailed")

    assert targets(error) == {
        "name": "FieldInvalid",
        "partnerId": "FieldRequired",
        "items[0]": "FieldInvalid",
        "contacts.customer.email": "FieldInvalid",
        "partner_id": "FieldUnknown",
        "more": "FieldUnknown",
    }
    assert all(detail["message"] and detail["resolution"] for detail in error["details"])
    assert error["target"] in targets(error)


async def test_refusal_never_repeats_what_was_sent(service: Service) -> None:
    """Values are personal data, and an answer may end in a log."""
    sent = claim_as_sent(name="Mallory\u0007", comment=["Mallory"])

    answer = await service.request("POST", "/claims", json=sent)

    refused(answer, 400, "ValidationFailed")
    assert "Mallory" not in answer.text


async def test_refusal_of_a_body_that_is_wrong_everywhere_stays_small(service: Service) -> None:
    """As many unknown fields as a body can hold, or one that is as long, do not come back."""
    many = await service.request("POST", "/claims", json={f"x{n}": n for n in range(5_000)})
    long = await service.request("POST", "/claims", json={"x" * 60_000: 1})

    assert len(refused(many, 400, "ValidationFailed")["details"]) == MOST_DETAILS
    assert max(len(target) for target in targets(refused(long, 400, "ValidationFailed"))) == LONGEST_TARGET


# --- identity ---------------------------------------------------------------------------------------------------------


async def test_without_a_token_the_challenge_names_no_error(service: Service) -> None:
    """RFC 6750: who sent none is told the scheme alone."""
    answer = await service.request("GET", "/claims", role=None)

    refused(answer, 401, "Unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["Bearer x", "Bearer a.b.c", "bearer ", "Bearer é.b.c", "Basic Zm9v", "x"])
@shares_its_service
async def test_bad_token_is_refused_and_never_repeated(shared: Service, authorization: str) -> None:
    """401 whatever stands in the header."""
    answer = await shared.client.get("/claims", headers={b"Authorization": authorization.encode()})

    refused(answer, 401, "Unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "a.b.c" not in answer.text


# --- version ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/claims", "/engagements", "/health", "/openapi.json", "/customer/requests/0?t=x"])
@shares_its_service
async def test_version_may_be_left_out_and_an_unknown_one_is_refused(shared: Service, path: str) -> None:
    """The newest is taken when none is named; for people's pages too, as JSON when asked for."""
    joint, json_please = "&" if "?" in path else "?", {"Accept": "application/json"}
    newest = await shared.request("GET", f"{path}{joint}api-version={API_VERSION}", headers=json_please)
    unknown = await shared.request("GET", f"{path}{joint}api-version=2020-01-01%0d%0aX: y", headers=json_please)

    assert newest.status_code in (200, 404)
    refused(unknown, 400, "UnsupportedApiVersionValue")


# --- headers ----------------------------------------------------------------------------------------------------------


async def answers_of_all_kinds(service: Service) -> dict[str, httpx.Response]:
    """Return one answer of each kind."""
    claim = await service.notified()
    draft = await service.draft(
        items=[{"product": "dynamics-365-sales", "subscriptionId": "c" * 8 + "-0000" * 3 + "-" + "0" * 12}]
    )
    link = next(service.mailbox.links()).partition("/api")[2]
    page = (await service.request("GET", link, role=None, headers={"Accept": "application/json"})).json()
    form = {"t": link.partition("?t=")[2], "nonce": page["acts"][0]["nonce"]}
    with broken(service):
        failed = await service.request("GET", f"/claims/{claim['id']}")
    return {
        "200": await service.request("GET", "/claims"),
        "file": await service.request("GET", f"/claims/{claim['id']}/evidence/sow.pdf"),
        "204": await service.request("DELETE", f"/claims/{draft['id']}"),
        "404": await service.request("GET", "/claims/0"),
        "500": failed,
        "page": await service.request("GET", link, role=None),
        "page in words": await service.request("GET", "/customer/requests/0?t=x", role=None),
        "303": await service.request("POST", f"/customer/requests/{claim['id']}/decline", role=None, data=form),
    }


async def test_every_answer_has_the_security_headers(service: Service) -> None:
    """Pages bring a Content-Security-Policy of their own, without inline scripts or styles."""
    for kind, answer in (await answers_of_all_kinds(service)).items():
        assert kind[:3] in (str(answer.status_code), "fil", "pag"), answer.text
        for name, value in SECURITY_HEADERS.items():
            own = name == "Content-Security-Policy" and ("page" in kind or kind == "file")
            assert own or answer.headers[name] == value, f"{kind}: {name}"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, kind
        assert "unsafe" not in policy, kind
        assert answer.headers["x-ms-request-id"], kind


async def test_each_request_has_an_id_of_its_own(service: Service) -> None:
    """Two requests never share one."""
    ids = {(await service.request("GET", "/health", role=None)).headers["x-ms-request-id"] for _ in range(3)}

    assert len(ids) == 3


@pytest.mark.parametrize(
    ("sent", "returned"), [("mine-42", "mine-42"), ("a b", None), ("x" * 101, None), ("é", None), ("a\tb", None)]
)
@shares_its_service
async def test_callers_own_id_comes_back_if_it_is_plain(shared: Service, sent: str, returned: str | None) -> None:
    """Anything that a header should not hold is left out, and the request is answered."""
    answer = await shared.client.get("/health", headers={b"x-ms-client-request-id": sent.encode()})

    assert answer.status_code == 200
    assert answer.headers.get("x-ms-client-request-id") == returned


async def test_no_header_of_a_request_has_a_say_in_links(service: Service) -> None:
    """Location and nextLink are built from the setting alone (decision 26)."""
    hostile = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    await service.request("POST", "/claims", json=claim_as_sent())
    made = await service.request("POST", "/claims", json=claim_as_sent(), headers=hostile)
    listed = await service.request("GET", "/claims?maxpagesize=1", headers=hostile)

    assert made.headers["Location"] == f"http://127.0.0.1:7071/api/claims/{made.json()['id']}"
    assert listed.json()["nextLink"].startswith("http://127.0.0.1:7071/api/claims?maxpagesize=1&")


# --- when something fails ---------------------------------------------------------------------------------------------


async def test_a_fault_of_the_program_tells_its_id_and_nothing_of_the_inside(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the trace under the same id."""
    with broken(service):
        answer = await service.request("GET", "/claims/" + "b" * 52)

    error = refused(answer, 500, "InternalError")
    assert answer.headers["x-ms-request-id"] in error["message"]
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert answer.headers["x-ms-request-id"] in caplog.text


async def test_a_fault_behind_a_page_is_a_page(service: Service) -> None:
    """In words, with the page's own policy; JSON when asked for."""
    await service.notified()
    link = next(service.mailbox.links()).partition("/api")[2]

    with broken(service):
        page = await service.request("GET", link, role=None)
        asked = await service.request("GET", link, role=None, headers={"Accept": "application/json"})

    assert (page.status_code, page.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert "secret" not in page.text
    refused(asked, 500, "InternalError")


async def test_busy_storage_is_503_with_retry_after(storage_connection: str, issuer: LocalIssuer) -> None:
    """After the SDK's own retries; what the storage asks for is passed on."""
    plan = Plan()
    async with over(plan, storage_connection, issuer) as service:
        plan.when(lambda request: request.service == "tables", answered(503, every_try=True))
        busy = await service.request("GET", "/claims/" + "b" * 52)
        plan.revive()
        plan.when(lambda request: request.service == "tables", answer_429(retry_after=7))
        throttled = await service.request("GET", "/claims/" + "b" * 52)

    refused(busy, 503, "ServerBusy")
    assert busy.headers["Retry-After"] == "1"
    refused(throttled, 503, "ServerBusy")
    assert throttled.headers["Retry-After"] == "7"


async def test_health_says_which_part_is_out_of_reach(storage_connection: str, issuer: LocalIssuer) -> None:
    """503 with the same shape, so that a probe can read on."""
    plan = Plan()
    async with over(plan, storage_connection, issuer) as service:
        well = await service.request("GET", "/health", role=None)
        plan.when(lambda request: request.service == "tables", lose_answer(done=False, every_try=True))
        no_tables = await service.request("GET", "/health", role=None)
        plan.revive()
        plan.when(lambda request: request.service == "queues", lose_answer(done=False, every_try=True))
        no_queues = await service.request("GET", "/health", role=None)

    checks = {"tables": "healthy", "queues": "healthy"}
    assert (well.status_code, well.json()) == (200, {"status": "healthy", "checks": checks})
    assert no_tables.status_code == 503
    assert no_tables.json() == {"status": "unhealthy", "checks": {**checks, "tables": "unreachable"}}
    assert no_queues.json() == {"status": "unhealthy", "checks": {**checks, "queues": "unreachable"}}


async def test_two_large_bodies_at_once_are_enough_for_one_instance(service: Service) -> None:
    """A third is told to come back, before it is read; a few at once would fill the memory."""
    claim = await service.draft()
    started, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(*_: object) -> None:
        started.release()
        await go_on.wait()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return slow

    bootstrap.use(replace(service.services, ports=replace(service.services.ports, claims=Slow())))
    path = f"/claims/{claim['id']}/evidence/large.pdf"
    large = PDF + b"\n" * 2**20
    waiting = [asyncio.create_task(service.request("PUT", path, content=large)) for _ in range(2)]
    for _ in waiting:
        await started.acquire()
    third = await service.request("PUT", path, content=large)
    waiting.append(asyncio.create_task(service.request("PUT", path, content=PDF)))
    await asyncio.wait_for(started.acquire(), 10)  # a small one is let in, whatever the route would take
    go_on.set()
    await asyncio.gather(*waiting)

    refused(third, 503, "ServerBusy")
    assert re.fullmatch("[1-9]", third.headers["Retry-After"])
