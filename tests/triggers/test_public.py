"""What anybody may ask without a token."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from cpor_app import bootstrap
from cpor_app.adapters.storage.connection import StorageConnection
from cpor_app.adapters.storage.queues import AzureQueues
from cpor_app.adapters.storage.row_store import AzureRows
from cpor_app.triggers import public
from tests.support.service import Service
from tests.support.silent import silent_storage
from tests.triggers.refusals import refused
from tools import swagger_ui

IDS = {
    "mci-bizapps-presales-advisor",
    "modern-work-security-usage",
    "usage-recognition-bizapps",
    "bizapps-revenue",
    "osa-sell",
    "osu-m365",
    "osu-bizapps",
}
FIELDS = {
    "id", "name", "formerNames", "itemKind", "channels", "incentivised", "review", "retired", "successor"
}  # fmt: skip


async def test_docs_page_and_its_files_come_from_here(service: Service) -> None:
    """The page has no script in it and its policy takes none; what it names is served, with its own type."""
    page = await service.request("GET", "/docs", role=None)
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)

    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?! src=)", page.text) == []
    files = {path.rpartition("/")[2]: await service.client.get(path.removeprefix("/api")) for path in named}
    assert {name: file.headers["Content-Type"].partition(";")[0] for name, file in files.items()} == {
        "swagger-ui.css": "text/css",
        "swagger-ui.js": "text/javascript",
        "start.js": "text/javascript",
        "openapi.json": "application/json",
    }
    assert {file.status_code for file in files.values()} == {200}
    assert files["swagger-ui.js"].content == (swagger_ui.PUBLISHED / "swagger-ui-bundle.js").read_bytes()
    assert files["swagger-ui.css"].content == (swagger_ui.PUBLISHED / "swagger-ui.css").read_bytes()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/api", "/api/", "/api/engagements/%2e%2e"])
async def test_the_address_of_the_api_leads_to_its_description(service: Service, method: str, path: str) -> None:
    """Whoever opens it in a browser finds out what there is."""
    answer = await service.client.request(method, f"http://127.0.0.1{path}")

    assert (answer.status_code, answer.headers["Location"], answer.content) == (303, "/api/docs", b"")


async def test_the_address_of_the_api_takes_nothing(service: Service) -> None:
    """It is no address of the description."""
    refused(await service.client.post("http://127.0.0.1/api", json={}), 404, "NotFound")


async def test_docs_serve_no_other_file(service: Service) -> None:
    """Not even of the package that they come from."""
    for name in ("swagger-ui-bundle.js", "LICENSE", "..%2F..%2Fhost.json", "__init__.py"):
        refused(await service.request("GET", f"/docs/{name}", role=None), 404, "NotFound")


async def test_method_that_an_address_has_not_is_told_those_it_has(service: Service) -> None:
    """An address that is written out is no id: `import` is no association."""
    answer = await service.request("PUT", "/associations/import", json={})

    refused(answer, 405, "MethodNotAllowed")
    assert answer.headers["Allow"] == "POST"


async def test_parameter_without_a_value_is_as_wrong_as_any_other(service: Service) -> None:
    """A filter that was left empty by mistake must not list everything."""
    refused(await service.request("GET", "/claims?partnerId="), 400, "ValidationFailed")
    refused(await service.request("GET", "/claims?api-version="), 400, "UnsupportedApiVersionValue")
    refused(await service.request("GET", "/claims?cursor="), 400, "InvalidCursor")


async def engagements(service: Service) -> dict[str, dict[str, Any]]:
    """Return the catalogue by id."""
    answer = await service.request("GET", "/engagements", role=None)
    assert answer.status_code == 200
    assert set(answer.json()) == {"value"}
    return {one["id"]: one for one in answer.json()["value"]}


async def test_engagements_are_seven_of_one_shape(service: Service) -> None:
    """Decision 46: workloads or products, never both, each with id and name."""
    listed = await engagements(service)

    assert set(listed) == IDS
    for one in listed.values():
        kind = {"workload": "workloads", "subscription": "products"}[one["itemKind"]]
        assert set(one) == {*FIELDS, kind}, one["id"]
        assert all(set(item) == {"id", "name"} for item in one[kind])
        assert one["review"] in ("manual", "automatic")
        assert one["retired"] is (one["successor"] is not None)


async def test_items_go_by_the_ids_that_claims_use(service: Service) -> None:
    """Kebab case; dynamics-365-sales is in all three lists of Business Applications (decision 9)."""
    listed = await engagements(service)
    workloads = {item["id"] for item in listed["modern-work-security-usage"]["workloads"]}

    assert {"teams", "exchange", "sharepoint", "intune", "entra-id-p1", "defender-for-endpoint"} <= workloads
    for name in ("mci-bizapps-presales-advisor", "usage-recognition-bizapps", "bizapps-revenue"):
        assert "dynamics-365-sales" in {item["id"] for item in listed[name]["products"]}


async def test_one_engagement_is_as_in_the_list(service: Service) -> None:
    """An unknown one is not found."""
    for name, listed in (await engagements(service)).items():
        assert (await service.request("GET", f"/engagements/{name}", role=None)).json() == listed
    for unknown in ("nothing", "Bizapps-Revenue", "'"):
        refused(await service.request("GET", f"/engagements/{unknown}", role=None), 404, "NotFound")


async def test_a_token_changes_nothing_here(service: Service) -> None:
    """Not even a bad one: nobody is asked who they are."""
    for authorization in (
        "Bearer x",
        f"Bearer {service.token('Incentives.User', '0' * 8 + '-0000' * 3 + '-' + '0' * 12)}",
    ):
        answer = await service.client.get("/engagements", headers={"Authorization": authorization})
        assert answer.status_code == 200


@pytest.mark.slow
async def test_health_is_answered_whatever_storage_does(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe waits for no storage that is silent: within three seconds, here in less, it hears which parts are."""
    assert public.PATIENCE_SECONDS < 3
    monkeypatch.setattr(public, "PATIENCE_SECONDS", 0.2)
    with silent_storage() as silent:
        connection = StorageConnection.from_text(silent.connection_string)
        rows, queues = AzureRows(connection), AzureQueues(connection)
        bootstrap.use(replace(service.services, rows=rows, queues=queues))
        async with asyncio.timeout(5):
            answer = await service.request("GET", "/health", role=None)
        await rows.close()
        await queues.close()

    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "unhealthy", "checks": {"tables": "unreachable", "queues": "unreachable"}},
    )


async def test_health_is_healthy(service: Service) -> None:
    """With each part by name."""
    answer = await service.request("GET", "/health", role=None)

    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "healthy", "checks": {"tables": "healthy", "queues": "healthy"}},
    )
