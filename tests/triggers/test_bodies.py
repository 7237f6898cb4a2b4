"""Bodies that no caller should send: each is refused in words, none brings the service down."""

import json
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cpor_app.http.parsing import adapter, read
from cpor_app.http.route_table import Operation, operations
from cpor_app.triggers.usage import GraphList
from cpor_core.errors import Refused
from cpor_core.model.claim import NewClaim
from tests.support.service import PARTNER, PARTNER_ID, PDF, Service, claim_as_sent
from tests.triggers.calls import ask, line_of, make_named, shares_its_service
from tests.triggers.refusals import refused, targets
from tools.openapi.examples import EXAMPLES

MALFORMED = {
    "nothing": b"",
    "blank": b" \n",
    "cut off": b'{"name": "x"',
    "two documents": b"{} {}",
    "a comment": b'{"name": 1} // no',
    "a trailing comma": b'{"name": 1,}',
    "single quotes": b"{'name': 1}",
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "half a pair as a name": b'{"\\udfff": 1}',
    "a bare control character": b'{"name": "a\x00b"}',
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a number too long": b'{"name": ' + b"9" * 100_000 + b"}",
}
WRONG = {
    "an array": b"[]",
    "null": b"null",
    "a string": b'"x"',
    "a number": b"1",
    "a huge number": b'{"name": 1e999999}',
    "a long number": b'{"name": ' + b"9" * 4000 + b"}",
    "not a number": b'{"name": NaN, "comment": -Infinity}',
    "no strings": b'{"name": {}, "partnerId": [], "text": true, "comment": 1.5, "reason": null, "advance": []}',
    "deep in a field": b'{"name":' + b"[" * 150 + b"]" * 150 + b"}",
    "unknown fields": b'{"__proto__": {}, "constructor": null, "": 1}',
    "names of ours": b'{"partner_id": "4782913", "entra_tenant_id": "x", "tenant_id": "x"}',
    "a name twice": b'{"name": "a", "name": 1, "name": {"name": []}}',
    "lists of lists": b'{"items": [[[[]]]], "domains": [[]], "contacts": [{}], "acknowledgements": [[]]}',
}


@cache
def taking_json() -> tuple[Operation, ...]:
    """Return every operation that takes a JSON document from somebody with a token."""
    return tuple(line for line in operations() if line.takes_json and line.roles is not None)


def body_of(name: str) -> Any:
    """Return a body that the operation takes."""
    return claim_as_sent() if name == "create_claim" else json.loads(json.dumps(EXAMPLES.get(name, {})))


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_json_is_invalid_json(kind: str) -> None:
    """Whatever model is asked for; the mechanism reads every body by this."""
    for line in taking_json():
        with pytest.raises(Refused, match="InvalidJson"):
            read(line.taken(line.body_types[0]), MALFORMED[kind])


@pytest.mark.parametrize("kind", WRONG)
def test_json_of_the_wrong_form_fails_validation(kind: str) -> None:
    """Whatever model is asked for; some take an array, and then an empty one is right."""
    for line in taking_json():
        body = line.taken(line.body_types[0])
        if kind == "an array" and not isinstance(body, type):
            continue
        with pytest.raises(Refused, match=r"ValidationFailed|InvalidJson"):
            read(body, WRONG[kind])


@pytest.mark.parametrize("kind", ["a string", "a long number", "not a number", "deep in a field"])
@pytest.mark.parametrize("malformed", [False, True])
async def test_every_operation_refuses_such_bodies(service: Service, kind: str, malformed: bool) -> None:  # noqa: FBT001
    """Over HTTP, on a claim that is there, and cut off as well."""
    claim = await service.official()
    await make_named(service)
    for line in taking_json():
        answer = await ask(service, line, claim["id"], WRONG[kind][:-1] if malformed else WRONG[kind])
        assert answer.status_code == 400, f"{line.name}: {answer.text}"
        assert answer.headers["x-ms-error-code"] in ("InvalidJson", *(() if malformed else ("ValidationFailed",))), (
            line.name
        )


async def test_chunked_bodies_are_refused(service: Service) -> None:
    """411: the host hands over nothing of them."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    claim = await service.official()
    await make_named(service)
    for line in operations():
        if line.body is not None and line.roles is not None:
            refused(await ask(service, line, claim["id"], chunks()), 411, "LengthRequired")


async def test_needed_body_that_is_neither_sent_nor_announced_is_411(service: Service) -> None:
    """A body of no bytes that is announced is read, and is no JSON."""
    headers = {"Authorization": f"Bearer {service.token('Incentives.Admin', PARTNER)}"}
    request = service.client.build_request("POST", "/claims", headers=headers)
    del request.headers["Content-Length"]

    refused(await service.client.send(request), 411, "LengthRequired")


async def test_claim_may_have_64_kibibytes_and_any_other_body_a_mebibyte(service: Service) -> None:
    """At the limit it is read and judged, one byte above it is not; what is about a claim has its limit too."""
    claim = await service.official()
    await make_named(service)
    for line in taking_json():
        if line.max_bytes > 2**20:
            continue
        most = 2**16 if line.tag == "Claims" else 2**20
        at_limit = b'{"name": "' + b"x" * (most - 12) + b'"}'
        assert len(at_limit) == most
        judged = await ask(service, line, claim["id"], at_limit)
        assert judged.status_code == 400, f"{line.name}: {judged.text}"
        larger = refused(await ask(service, line, claim["id"], at_limit + b" "), 413, "PayloadTooLarge")
        assert larger["message"] == f"The body can have at most {'64 KiB' if most == 2**16 else '1 MiB'}."


@shares_its_service
async def test_what_is_too_large_is_told_the_limit_and_what_to_do(shared: Service) -> None:
    """In MiB; a file is compressed or split, lines are sent in several requests."""
    claim = await shared.draft()
    large = b"x" * (21 * 2**20)

    file = await shared.request("PUT", f"/claims/{claim['id']}/evidence/a.pdf", content=large)
    lines = await ask(shared, line_of("create_claim_batch"), "", large)

    told = refused(file, 413, "PayloadTooLarge")
    assert (told["message"], told["resolution"]) == (
        "A file can have at most 20 MiB.",
        "Compress the file, or split it into several.",
    )
    assert refused(lines, 413, "PayloadTooLarge")["message"] == "The body can have at most 16 MiB."


def lists_of(model: Any) -> Iterator[str]:
    """Yield the fields of a model that are lists."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, schema in model.model_json_schema().get("properties", {}).items():
            if "array" in (schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ()))):
                yield name


def test_no_entry_of_a_list_that_is_too_long_is_looked_at() -> None:
    """300,000 of them would hold up everybody else on the instance; one fault is found, not one an entry."""
    found = []
    for line in (*taking_json(), line_of("create_claim_batch")):
        model = line.taken(line.body_types[0])
        for name in lists_of(model):
            if model is GraphList:
                continue  # its rows are judged one by one, as Graph sends them
            with pytest.raises(ValidationError) as error:
                adapter(model).validate_json(json.dumps({name: [0] * 300_000}))
            about = [one for one in error.value.errors() if one["loc"][0] == name]
            assert [one["loc"] for one in about] == [(name,)], f"{line.name}: {name}"
            found.append(name)

    assert {"items", "reasons", "domains", "subscriptions", "workloads", "events"} <= set(found)


def test_faults_without_number_are_counted_and_not_listed() -> None:
    """To make a detail of each takes longer than to find them."""
    many = json.dumps({f"x{n}": n for n in range(20_000)}).encode()

    with pytest.raises(Refused) as refused:
        read(NewClaim, many)

    assert refused.value.code == "ValidationFailed"
    assert refused.value.details == ()
    assert refused.value.resolution


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-json", "application/jsonx", "application/merge-patch+json"]
)
@shares_its_service
async def test_media_type_must_be_the_described_one(shared: Service, content_type: str | None) -> None:
    """415 for any other, and for none."""
    headers = {"Content-Type": content_type} if content_type is not None else {}

    answer = await shared.request("POST", "/claims", content=json.dumps(claim_as_sent()), headers=headers)

    refused(answer, 415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
@shares_its_service
async def test_media_type_may_have_parameters_and_capitals(shared: Service, content_type: str) -> None:
    """They change nothing: JSON is UTF-8."""
    body = json.dumps(claim_as_sent())

    answer = await shared.request("POST", "/claims", content=body, headers={"Content-Type": content_type})

    assert answer.status_code == 201


async def test_names_in_snake_case_are_unknown_fields(service: Service) -> None:
    """There is one spelling."""
    sent = claim_as_sent(partner_id=PARTNER_ID, waive_incentive=False)
    del sent["partnerId"]

    error = refused(await service.request("POST", "/claims", json=sent), 400, "ValidationFailed")

    assert targets(error) == {
        "partnerId": "FieldRequired",
        "partner_id": "FieldUnknown",
        "waive_incentive": "FieldUnknown",
    }


@pytest.mark.parametrize("text", ["a\u0000b", "a\u0007b", "a\u202eb", "a\u2028b", "a\u0085b", "\n", " ", ""])
@shares_its_service
async def test_names_are_one_line_without_control_characters(shared: Service, text: str) -> None:
    """They stand in mails and lists."""
    error = refused(await shared.request("POST", "/claims", json=claim_as_sent(name=text)), 400, "ValidationFailed")

    assert targets(error) == {"name": "FieldInvalid"}


@pytest.mark.parametrize(
    ("field", "longest"),
    [("name", 200), ("comment", 4000), ("contact", 200), ("justification", 4000), ("reason", 1000)],
)
async def test_texts_have_their_limits(service: Service, field: str, longest: int) -> None:
    """Decision 6; counted in characters, whatever they take in storage."""
    claim = await service.official()

    async def sent(text: str) -> httpx.Response:
        body = claim_as_sent()
        match field:
            case "contact":
                body["contacts"]["customer"]["title"] = text
            case "justification":
                path, body = f"/claims/{claim['id']}/dispute", {"justification": text}
                return await service.request("POST", path, json=body)
            case "reason":
                path, body = f"/associations/{claim['id']}/end", {"reason": text}
                return await service.request("POST", path, json=body, headers={"If-Match": "*"})
            case _:
                body[field] = text
        return await service.request("POST", "/claims", json=body)

    refused(await sent("\N{GRINNING FACE}" * (longest + 1)), 400, "ValidationFailed")
    assert (await sent("\N{GRINNING FACE}" * longest)).status_code in (200, 201, 409)


async def test_a_claim_that_is_as_large_as_may_be_is_kept_and_read(service: Service) -> None:
    """Every field at its limit, 30 items and 20 files: it fits a row of storage, whatever the characters."""
    wide = "\N{GRINNING FACE}"
    person = {"name": wide * 200, "title": wide * 200, "email": f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.fr"}
    items = [
        {"product": "dynamics-365-sales", "subscriptionId": f"cccccccc-0000-4000-8000-{n:012x}"} for n in range(30)
    ]
    sent = claim_as_sent(name=wide * 200, comment=wide * 4000, items=items, engagement="bizapps-revenue")
    sent["contacts"] = {
        "customer": person,
        "customerTechnical": person,
        "partner": {name: person[name] for name in ("name", "email")},
    }
    sent["revenue"] = dict.fromkeys(("solutionSeller", "customerName", "isvSolution"), wide * 200)

    made = await service.request("POST", "/claims", json=sent)
    assert made.status_code == 201, made.text
    path = f"/claims/{made.json()['id']}"
    for n in range(20):
        answer = await service.request("PUT", f"{path}/evidence/{wide * 194}{n:02}.pdf", content=PDF)
        assert answer.status_code == 201, answer.text

    claim = (await service.request("GET", path)).json()
    assert len(claim["evidence"]) == 20
    assert {name: claim[name] for name in sent} == sent


# --- at random --------------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**53, 2**63, 10**30, -1, 0]),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(
        ["", "x" * 5000, "2026-13-40", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+23:59", "P9" * 20]
    ),
    st.sampled_from(
        ["../..", "America", "Europe/Paris\x00", "' or 1 eq 1", "%s%n", "{0.__class__}", "a@b@c.d", "٣٣٣٣"]
    ),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoilt(draw: st.DrawFn, body: Any) -> Any:
    """Return *body* with junk somewhere in it: instead of a part, beside it, or with a part left out."""
    place = body
    while True:
        names = sorted(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        deeper = [name for name in names if isinstance(place[name], dict | list) and place[name]]
        if not deeper or draw(st.booleans()):
            break
        name = draw(st.sampled_from(deeper))
        place[name] = json.loads(json.dumps(place[name]))
        place = place[name]
    if not names:
        return draw(JUNK)
    name = draw(st.sampled_from(names))
    match draw(st.sampled_from(["instead", "beside", "without"])):
        case "instead":
            place[name] = draw(JUNK)
        case "beside" if isinstance(place, dict):
            place[draw(st.text(max_size=12))] = draw(JUNK)
        case "beside":
            place.append(draw(JUNK))
        case _:
            del place[name]
    return body


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,  # the same examples for everybody; a longer search is for whoever changes the mechanism
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.slow
@given(data=st.data())
async def test_no_body_at_all_makes_the_service_fail(service: Service, data: st.DataObject) -> None:
    """A body that is right but for one place is taken or refused as described, on every operation, in a few states."""
    line = data.draw(st.sampled_from(taking_json()), label="operation")
    state = data.draw(st.sampled_from(["draft", "submitted", "official"]), label="state")
    body = data.draw(spoilt(body_of(line.name)), label="body")

    answer = await ask(service, line, await one_claim(service, state), json.dumps(body).encode())

    assert answer.status_code < 500, answer.text


async def one_claim(service: Service, state: str) -> str:
    """Return a claim in that state; one for all examples, whatever has become of it."""
    kept: dict[str, str] = service.__dict__.setdefault("kept_for_bodies", {})
    if state not in kept:
        made = {"draft": service.draft, "submitted": service.submitted, "official": service.official}[state]
        number = {"draft": 1, "submitted": 2, "official": 3}[state]
        item = {"product": "dynamics-365-sales", "subscriptionId": f"cccccccc-0000-4000-8000-{number:012x}"}
        subscriptions = [
            {
                "subscriptionId": f"cccccccc-0000-4000-8000-{n:012x}",
                "product": "dynamics-365-sales",
                "channel": "EA",
                "state": "active",
                "seats": 1,
            }
            for n in (1, 2, 3)
        ]
        await service.register(subscriptions=subscriptions)
        kept[state] = (await made(items=[item]))["id"]
    return kept[state]
