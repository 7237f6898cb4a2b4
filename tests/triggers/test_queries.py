"""Queries: what an operation does not know is refused where a token is needed; filters of several values."""

import re
from typing import Any

import pytest

from cpor_app.http import queries
from cpor_app.http.route_table import Operation, operations
from cpor_core.model.caller import Role
from tests.support import description
from tests.support.service import PARTNER, Service
from tests.triggers.calls import TENANTS, address, content_type, line_of, make_named, may_call, shares_its_service
from tests.triggers.refusals import refused, targets


async def asked(service: Service, line: Operation, claim_id: str, query: str) -> Any:
    """Send an operation that query, as somebody who may, with a body of nothing."""
    role = may_call(line) or Role.INCENTIVES_ADMIN
    path = address(line, claim_id)
    return await service.request(
        line.method,
        f"{path}{'&' if '?' in path else '?'}{query}",
        role=role,
        tenant=TENANTS[role],
        content=b"{}",
        headers={**content_type(line), "If-Match": "*"},
    )


async def test_an_unknown_parameter_is_refused_where_a_token_is_needed(service: Service) -> None:
    """By every operation, with all the names that the description lists for it; nothing was done."""
    claim = await service.official()
    await make_named(service)
    before = (await service.request("GET", f"/claims/{claim['id']}")).json()
    for line in operations():
        if line.roles is None:
            continue
        error = refused(await asked(service, line, claim["id"], "nonsense=1"), 400, "QueryUnknown")
        assert error["target"] == "nonsense"
        told = set(re.findall(r"[\w-]+", error["resolution"].partition(" knows ")[2]))
        assert told == _described(line), line.name

    assert (await service.request("GET", f"/claims/{claim['id']}")).json() == before


@shares_its_service
async def test_every_described_parameter_is_known(shared: Service) -> None:
    """No operation refuses the name of a parameter that its description lists, whatever the value."""
    for line in operations():
        for name in _described(line):
            answer = await asked(shared, line, "0" * 52, f"{name}=x")
            assert answer.headers.get("x-ms-error-code") != "QueryUnknown", f"{line.name}: {name}"


@pytest.mark.parametrize(
    "query", ["code=x", "clientId=x", "Code=x&clientid=y", "api-version=2026-11-01", "code=a&code=b"]
)
@shares_its_service
async def test_what_the_host_reads_is_let_through(shared: Service, query: str) -> None:
    """The function key, its owner, and the version."""
    for path in ("/claims", "/associations", "/changes"):
        assert (await shared.request("GET", f"{path}?{query}")).status_code == 200


@pytest.mark.parametrize(
    ("name", "sent", "meant"),
    [
        ("list_claims", "$top", "maxpagesize"),
        ("list_claims", "pageSize", "maxpagesize"),
        ("list_claims", "MaxPageSize", "maxpagesize"),
        ("list_claims", "$skiptoken", "cursor"),
        ("list_claims", "page", "cursor"),
        ("list_claims", "state", "status"),
        ("list_claims", "statuses", "status"),
        ("list_claims", "Status", "status"),
        ("list_claims", "partnerid", "partnerId"),
        ("list_claims", "partner_id", "partnerId"),
        ("list_claims", "tenantId", "customerTenantId"),
        ("list_claims", "apiVersion", "api-version"),
        ("export_claims", "statuses", "status"),
        ("create_claim", "dryRun", "validate"),
        ("put_customer", "confirm", "confirmEnds"),
        ("put_evidence", "signed", "signedOn"),
        ("list_claims", "zzz", None),
        ("list_claims", "sort", None),
        ("list_claims", "$count", None),
        ("list_claims", "$filter", None),
        ("get_claim", "state", None),
    ],
)
@shares_its_service
async def test_the_nearest_parameter_is_named(shared: Service, name: str, sent: str, meant: str | None) -> None:
    """Other services' names, other capitals, a slip; nothing where nothing is near."""
    error = refused(await asked(shared, line_of(name), "0" * 52, f"{sent}=1"), 400, "QueryUnknown")

    nearest = re.match(r"Send (\S+) instead", error["resolution"])
    assert (nearest[1] if nearest else None) == meant


@pytest.mark.parametrize("name", ["x" * 5000, "%00", "%ED%A0%80", "%E2%80%AE", "a%0d%0ab", "", "%22%3Cscript%3E"])
@shares_its_service
async def test_hostile_names_are_told_shortly(shared: Service, name: str) -> None:
    """Whatever it is, it is 400, and does not come back whole."""
    answer = await shared.request("GET", f"/claims?{name}=1")

    assert len(refused(answer, 400, "QueryUnknown")["message"]) < 200


@pytest.mark.parametrize(
    "query", ["admin_consent=True&tenant=x&state=y", "utm_source=mail", "v=1&v=2", "error=access_denied&x="]
)
@shares_its_service
async def test_where_no_token_is_needed_what_is_not_known_is_passed_over(shared: Service, query: str) -> None:
    """Entra comes back from a consent with parameters of its own; caches and mail programs add theirs."""
    for line in operations():
        if line.roles is None:
            path = address(line, "0" * 52)
            plain = await shared.request(line.method, path, role=None)
            marked = await shared.request(line.method, f"{path}?{query}", role=None)
            assert marked.status_code == plain.status_code, f"{line.name}: {marked.text}"
            assert marked.headers.get("x-ms-error-code") == plain.headers.get("x-ms-error-code"), line.name


async def test_behind_a_mailed_link_what_is_not_known_is_passed_over(service: Service) -> None:
    """A scanner or a mail program may mark a link as its own; the page opens, and a no is taken."""
    claim = await service.submitted()
    await service.deliver()
    link = list(service.mailbox.links())[-1]
    marks = "utm_source=mail&x=1&x=2"

    assert (await service.client.get(f"{link}&{marks}")).status_code == 200
    acts = {one["act"]: one["nonce"] for one in (await service.page(link))["acts"]}
    said = await service.request(
        "POST",
        f"/customer/requests/{claim['id']}/decline?{marks}",
        role=None,
        data={"t": link.partition("t=")[2], "nonce": acts["decline"]},
    )
    assert said.status_code == 303
    assert (await service.request("GET", f"/claims/{claim['id']}")).json()["status"] == "declined"


async def test_several_states_are_given_with_commas_or_repeated(service: Service) -> None:
    """In the list, behind its nextLink, and in the export; any of them will do."""
    draft = await service.draft(engagement="modern-work-security-usage", items=[{"workload": "teams"}])
    official = await service.official()
    both = {draft["id"], official["id"]}

    async def found(query: str) -> set[str]:
        ids: set[str] = set()
        path = f"/claims?{query}"
        while path:
            answer = await service.request("GET", path)
            assert answer.status_code == 200, answer.text
            ids |= {claim["id"] for claim in answer.json()["value"]}
            path = answer.json().get("nextLink", "")
        return ids

    assert await found("status=draft,official") == both
    assert await found("status=draft&status=official") == both
    assert await found("status=official,draft,draft&maxpagesize=1") == both
    assert await found("status=draft") == {draft["id"]}
    assert await found("status=declined,ended") == set()
    table = (await service.request("GET", "/claims/export?status=draft&status=official")).text
    assert all(claim_id in table for claim_id in both)
    one = (await service.request("GET", "/claims/export?status=official,ended")).text
    assert official["id"] in one
    assert draft["id"] not in one


@pytest.mark.parametrize(
    "query", ["status=draft,x", "status=x", "status=", "status=draft,", "status=,draft", "status=draft&status="]
)
@shares_its_service
async def test_a_state_that_there_is_not_is_refused(shared: Service, query: str) -> None:
    """Also one that is empty; the list of states is told."""
    for path in ("/claims", "/claims/export"):
        error = refused(await shared.request("GET", f"{path}?{query}"), 400, "ValidationFailed")
        assert targets(error) == {"status": "FieldInvalid"}
        assert "awaitingCustomer" in error["details"][0]["message"]


@pytest.mark.parametrize("grouping", ["partner", "status", "month"])
@shares_its_service
async def test_a_grouping_that_does_not_go_with_the_measure_is_named(shared: Service, grouping: str) -> None:
    """The refusal lists the groupings of the measure."""
    answer = await shared.programme("GET", f"/insight?groupBy={grouping}&measure=coverage")

    error = refused(answer, 400, "ValidationFailed")
    assert targets(error) == {"groupBy": "FieldInvalid"}
    assert "engagement, workload, country" in error["details"][0]["message"]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("list_claims", "partnerId=4782913&partnerId=4782914"),
        ("list_claims", "engagement=a&engagement=a"),
        ("list_claims", "maxpagesize=1&maxpagesize=2"),
        ("list_claims", "cursor=&cursor=x"),
        ("create_claim", "validate=true&validate=true"),
        ("get_insight", "groupBy=month&groupBy=month"),
        ("list_associations", "includeEnded=true&includeEnded="),
    ],
)
@shares_its_service
async def test_a_parameter_of_one_value_is_given_once(shared: Service, name: str, query: str) -> None:
    """The host would join them with commas, and nobody meant that."""
    error = refused(await asked(shared, line_of(name), "0" * 52, query), 400, "ValidationFailed")

    assert error["target"] == query.partition("=")[0]


@shares_its_service
async def test_a_stranger_is_told_nothing_about_queries(shared: Service) -> None:
    """401 goes before."""
    refused(await shared.request("GET", "/claims?nonsense=1", role=None), 401, "Unauthenticated")
    refused(
        await shared.request("GET", "/claims?nonsense=1&api-version=1", tenant=PARTNER),
        400,
        "UnsupportedApiVersionValue",
    )


def test_every_page_of_a_list_has_its_parameters() -> None:
    """Each operation that answers a nextLink knows cursor and maxpagesize."""
    for line in operations():
        if line.method == "GET" and any("nextLink" in _fields(model) for model in line.answers.values()):
            assert {"cursor", "maxpagesize"} <= set(queries.names(line)), line.name


def _described(line: Operation) -> set[str]:
    """Return the names of the query's parameters that the description lists for an operation."""
    listed = description.description()["paths"][f"/{line.route}"][line.method.lower()]["parameters"]
    return {one["name"] for one in map(description.found, listed) if one["in"] == "query"}


def _fields(model: Any) -> list[str]:
    fields = getattr(model, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]
