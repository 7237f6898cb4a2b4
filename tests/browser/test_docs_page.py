"""The page of /docs in a real browser: the whole description, by the app's own files and under its own policy."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from cpor_app import bootstrap
from cpor_app.adapters.storage.connection import StorageConnection
from devhost.host.http_triggers import HttpTriggers
from devhost.host.invocations import Invoker
from devhost.stack.issuer import LocalIssuer
from tests.support.azurite import ROOT
from tests.support.service import functions, settings

pytestmark = pytest.mark.xdist_group("browser")

DESCRIPTION = json.loads((ROOT / "cpor_app" / "openapi.json").read_text("utf-8"))
PATHS = [*DESCRIPTION["paths"].values(), *DESCRIPTION["webhooks"].values()]
METHODS = ("get", "head", "put", "post", "patch", "delete")
OPERATIONS = [(path, method) for path in PATHS for method in path if method in METHODS]


@pytest.fixture
def address(issuer: LocalIssuer) -> Iterator[str]:
    """The address of the app on a free port of this machine; storage is never asked."""
    services = bootstrap.build(settings(issuer), StorageConnection.from_text("UseDevelopmentStorage=true"))
    bootstrap.use(services)
    app = HttpTriggers(functions(), Invoker(timedelta(minutes=5)), {})
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/api"
    server.should_exit = True
    thread.join()
    bootstrap.use(None)


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A fresh page; the errors on its console, breaches of the policy among them, and what it throws are kept."""
    context = browser.new_context()
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()


def test_every_operation_is_shown_with_its_shapes(address: str, page: Page, complaints: list[str]) -> None:
    """In OpenAPI 3.1, without a word against the policy, and without asking anybody else."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{address}/docs")

    expect(page.locator(".opblock")).to_have_count(len(OPERATIONS))
    expect(page.locator(".version-pragma, .info .version-stamp").get_by_text("OAS 3.1")).to_be_visible()
    block = page.locator("#operations-Claims-create_claim")
    block.locator("button.opblock-summary-control").click()
    expect(block.locator(".responses-table").get_by_text("201", exact=True).first).to_be_visible()
    block.locator(".opblock-section-request-body").get_by_text("Schema", exact=True).click()
    expect(block.locator(".json-schema-2020-12-property").get_by_text("engagement", exact=True).first).to_be_visible()
    assert complaints == []
    assert {url.partition("/api")[0] for url in asked if not url.startswith("data:")} == {address.removesuffix("/api")}


def test_an_operation_can_be_led_to(address: str, page: Page, complaints: list[str]) -> None:
    """By an address that names it."""
    page.goto(f"{address}/docs#/Anyone/get_health")

    expect(page.locator("#operations-Anyone-get_health .opblock-body")).to_be_visible()
    # Of Swagger UI's own making: it takes the `_` in the name for an old way to write a blank.
    assert [said for said in complaints if "escaping deep link whitespace" not in said] == []
