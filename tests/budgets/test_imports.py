"""Importing the app is what a cold start waits for: what only some functions need is loaded by them."""

import json
import subprocess
import sys

import pytest

from tests.support.azurite import ROOT

LATE = (
    "aiohttp",
    "azure.communication",
    "azure.identity",
    "azure.storage.blob",
    "azure.storage.queue",  # it loads cryptography
    "babel",
    "cpor_app.adapters.domains",  # only where domains are looked up
    "cryptography",
    "holidays",
    "jinja2",
    "jwt",
    "aiosmtplib",
    "email_validator",
    "offapi",
    "openapi_pydantic",
)
PROGRAM = """
import json, sys, time
began = time.perf_counter()
import function_app
took = time.perf_counter() - began
function_app.app.get_functions()
print(json.dumps({"milliseconds": round(1000 * took), "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, object]:
    """What a new process has loaded once the host knows every function, and how long the import took."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    told: dict[str, object] = json.loads(ran.stdout)
    print(f"\nimport function_app: {told['milliseconds']} ms")
    return told


@pytest.mark.parametrize("module", LATE)
def test_a_heavy_module_is_loaded_where_it_is_used(imported: dict[str, object], module: str) -> None:
    """Not by the app itself."""
    assert module not in imported["modules"]  # type: ignore[operator]  # a list of names
