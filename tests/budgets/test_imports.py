"""
A cold start waits for imports, so a module that only some functions need is loaded by these functions.

The CPU of a start is compared with the CPU of the packages that the start loads, because a busy machine changes both.
Processes of all kinds take turns. The least CPU of each kind counts, because other processes can only add to it.
"""

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
HOST_KNOWS = "import function_app; function_app.app.get_functions()"
"""What a host does before the first call."""
FIRST_OPERATION = f"{HOST_KNOWS}; from cpor_app.functions import handler; handler('submit_claim')"
"""The same, and what the first HTTP call does before it reads the request."""
MOST = {HOST_KNOWS: 1.4, FIRST_OPERATION: 2.4}
"""
The most CPU of each start, in multiples of the CPU of its packages.

In 8 trials of 11 rounds on a busy machine with Python 3.11, the first number was between 1.06 and 1.15, and the second
between 2.08 and 2.18. With Python 3.13 they were up to 1.28 and 1.63 in 7 rounds. When the import of `function_app`
loaded every module, the first number was 1.5 at least.
"""
ROUNDS = 11
LOADED = """
import json, sys
homes = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
before = set(sys.modules)
{start}
loaded = [name for name in sys.modules if name not in before]
files = [getattr(sys.modules[name], "__file__", None) or "" for name in loaded]
print(json.dumps([name for name, file in zip(loaded, files) if file.startswith(tuple(homes))]))
"""
MEASURED = """
import importlib, os, sys, time
{start}
print(time.process_time(), flush=True)
os._exit(0)  # what the interpreter does at its end is no part of a start
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


def _output(program: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return ran.stdout


@pytest.fixture(scope="module")
def imported() -> Mapping[str, Sequence[str]]:
    """What a new process has loaded and built when it has the handler of every function."""
    told: dict[str, list[str]] = json.loads(_output(PROGRAM))
    return told


@pytest.mark.parametrize("module", LATE)
def test_a_heavy_module_is_loaded_where_it_is_used(imported: Mapping[str, Sequence[str]], module: str) -> None:
    """Not by the app itself."""
    assert module not in imported["modules"]


def test_no_model_is_built_before_its_first_use(imported: Mapping[str, Sequence[str]]) -> None:
    """A call uses a few of more than a hundred models, and to build one costs more than to define it."""
    assert len(imported["models"]) > 100
    assert imported["built"] == []


def test_the_host_knows_every_function_before_any_handler_is_loaded() -> None:
    """So a first call waits for one module, and the instance of a timer never loads the HTTP operations."""
    knows = f"import json, sys; {HOST_KNOWS}; print(json.dumps(sorted(sys.modules)))"
    timer = f"{HOST_KNOWS}; from cpor_app.functions import handler; handler('finalise_uncontested')"
    modules, with_timer = (
        {name for name in json.loads(_output(program)) if name.startswith(("cpor_", "pydantic."))}
        for program in (knows, f"import json, sys; {timer}; print(json.dumps(sorted(sys.modules)))")
    )

    assert modules == {"cpor_app", "cpor_app.functions", "cpor_app.queue_names"}
    assert {name for name in with_timer if name.startswith("cpor_app.triggers.")} == {
        "cpor_app.triggers.background",
        "cpor_app.triggers.mail_events",
    }


@pytest.mark.parametrize("start", MOST, ids=["the host knows every function", "the first operation is loaded"])
def test_a_start_takes_little_more_cpu_than_its_packages(start: str) -> None:
    """Its packages are all modules of other people that it loads, with what they load themselves."""
    packages = json.loads(_output(LOADED.format(start=start)))
    alone = f"for name in {packages}: importlib.import_module(name)"
    least = dict.fromkeys(("pass", alone, start), float("inf"))
    for _ in range(ROUNDS):
        for program, so_far in least.items():
            least[program] = min(so_far, float(_output(MEASURED.format(start=program))))
    nothing, needed, all_together = least.values()

    assert (all_together - nothing) / (needed - nothing) < MOST[start]


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
