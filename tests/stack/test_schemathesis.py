"""Whatever the description of the API allows, and much that it forbids, is tried out on a running stack."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devhost.stack.issuer import PROGRAMME_TENANT
from devhost.stack.sample_registry import OPERATOR
from tests.stack.stack_process import ROOT, STACK, Place, running_stack
from tests.support.thorough import THOROUGH

pytestmark = pytest.mark.xdist_group("schemathesis")

HERE = Path(__file__).parent
SETTINGS = {"CPOR_WRITES_PER_SECOND": "0", "CPOR_DRY_RUNS_PER_HOUR": "1000000"}
EVERY_ROLE = ["Incentives.Admin", "Program.Operator", "Program.Reviewer", "Customer.Admin", "Mail.Events"]
PARTNER = {"name": "Everybody", "entraTenantId": PROGRAMME_TENANT, "country": "FR"}
CUSTOMER = {
    "name": "Everybody",
    "domains": ["contoso.fr"],
    "country": "FR",
    "timeZone": "Europe/Paris",
    "language": "fr",
    "workloads": ["teams", "exchange"],
}
PHASES = "examples,fuzzing,stateful" + (",coverage" if THOROUGH else "")
"""THOROUGH=1 tries every edge of every schema too: minutes."""
PATIENCE_SECONDS = 900


def test_schemathesis_finds_nothing(place: Place) -> None:
    """
    Every check, on examples, edges of schemas, drawn requests and chains of linked ones; the same ones each time.

    One tenant is programme, partner and customer at once, so that one token opens everything.
    """
    with running_stack(place, STACK, SETTINGS) as stack:
        with stack.caller as caller:
            partner = {**PARTNER, "enrolledEngagements": ["modern-work-security-usage"]}
            caller.ask("PUT", "/partners/4782913", role=OPERATOR, expect=(201,), json=partner)
            caller.ask("PUT", f"/customers/{PROGRAMME_TENANT}", role=OPERATOR, expect=(201,), json=CUSTOMER)
            token = caller._issuer.sign(EVERY_ROLE, PROGRAMME_TENANT)

        found = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={HERE / 'schemathesis.toml'}",
                "run",
                f"{place.url}/openapi.json",
                f"--header=Authorization: Bearer {token}",
                f"--phases={PHASES}",
                "--continue-on-failure",
                "--no-color",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.stack.schemathesis_hooks"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    assert found.returncode == 0, found.stdout + found.stderr
    assert " 0 generated" not in found.stdout
    assert not [line for line in stack.warned if "ERROR" in line or "Traceback" in line], "".join(stack.warned)
