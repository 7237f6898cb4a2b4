"""Importing the app is what a cold start waits for: what only some functions need is loaded by them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from tests.support.azurite import ROOT, Azurite

LATE = (
    "aiohttp",
    "azure.communication",
    "azure.identity",
    "azure.storage.blob",
    "azure.storage.queue",  # it loads cryptography
    "babel",
    "cpor_app.adapters.identity.domains",  # only where domains are looked up
    "cryptography",
    "holidays",
    "jinja2",
    "jwt",
    "aiosmtplib",
    "email_validator",
    "openapi_pydantic",
    "opentelemetry",
    "azure.monitor",
)
FIRST_ANSWER = """
import asyncio, json, sys
import httpx
from cpor_app import bootstrap
from cpor_app.adapters import telemetry
from devhost.host.http_triggers import HttpTriggers
from tests.support.service import _invoker, functions
telemetry.AFTER_THE_ANSWER_SECONDS = 3600  # the answer is looked at before the thread goes on
async def main():
    app = HttpTriggers(functions(), _invoker(), {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1/api") as client:
        answer = await client.get("/engagements")
    told = {"status": answer.status_code, "before": [name for name in sys.modules if name.startswith("opentelemetry")]}
    telemetry = (await bootstrap.ready()).telemetry
    telemetry._timer.cancel()
    telemetry._timer.function()
    print(json.dumps(told | {"after": "opentelemetry.sdk" in sys.modules}))
    await (await bootstrap.ready()).close()
asyncio.run(main())
"""
PROGRAM = """
import json, sys
import function_app
from cpor_app.functions import MODULES, handler
function_app.app.get_functions()
for name in MODULES:
    handler(name)
modules = sorted(sys.modules)
import gc
from pydantic import BaseModel, TypeAdapter
def models(parent):
    for model in parent.__subclasses__():
        yield model
        yield from models(model)
ours = [model for model in models(BaseModel) if model.__module__.startswith("cpor_")]
adapters = [repr(thing) for thing in gc.get_objects() if isinstance(thing, TypeAdapter) and thing.pydantic_complete]
built = [model.__name__ for model in ours if model.__pydantic_complete__] + adapters
print(json.dumps({"modules": modules, "models": [model.__name__ for model in ours], "built": built}))
"""


@pytest.fixture(scope="module")
def imported() -> Mapping[str, Sequence[str]]:
    """What a new process has loaded and built when it has the handler of every function."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    told: dict[str, list[str]] = json.loads(ran.stdout)
    return told


@pytest.mark.parametrize("module", LATE)
def test_a_heavy_module_is_loaded_where_it_is_used(imported: Mapping[str, Sequence[str]], module: str) -> None:
    """Not by the app itself."""
    assert module not in imported["modules"]


def test_no_model_is_built_before_its_first_use(imported: Mapping[str, Sequence[str]]) -> None:
    """A call uses a few of more than a hundred models, and to build one costs more than to define it."""
    assert len(imported["models"]) > 100
    assert imported["built"] == []


def test_what_watches_is_loaded_after_the_first_answer(azurite: Azurite) -> None:
    """Neither OpenTelemetry's SDK nor its API keeps the first caller waiting, where somebody wants to be told."""
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    settings = {"CPOR_STORAGE": azurite.fresh_account(), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}

    ran = subprocess.run(
        [sys.executable, "-c", FIRST_ANSWER],
        cwd=ROOT,
        env=os.environ | example | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"status": 200, "before": [], "after": True}
