"""
Measures how much CPU a new process takes until its first answer, for each kind of trigger.

    make package && python -m tests.budgets.cold_start dist/cpor.zip [another.zip …]

The packages run on the cloud's Python, each in a new process for each call. The rounds are interleaved, and the least
CPU of all rounds counts, because other processes can only add to it. The storage is an emulator. A mail goes to a mail
server on this machine.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devhost.stack.issuer import LocalIssuer
from tests.doubles.clock import FixedClock
from tests.support.azurite import ROOT, Azurite, running_azurite
from tests.support.service import ACKNOWLEDGED, PARTNER, PUBLIC_URL, Service, claim_as_sent, running_service
from tests.support.smtp import SmtpServer
from tools import package

CHILD = """
import asyncio, json, os, sys, time
from types import SimpleNamespace
import function_app
import azure.functions as func
from azure.functions.queue import QueueMessage
from azure.functions.timer import TimerRequest
functions = {each.get_function_name(): each.get_user_function() for each in function_app.app.get_functions()}
known = time.process_time()
call = json.load(sys.stdin)
context = SimpleNamespace(invocation_id="1", trace_context=SimpleNamespace(trace_parent=None))
async def main():
    from cpor_app import bootstrap
    async def nothing(*_):
        pass
    bootstrap.provision = nothing  # the storage is there, as in the cloud
    match call["kind"]:
        case "http":
            path = {"claimId": call["claim"]} if call["claim"] else {}
            body = json.dumps(call["body"]).encode() if call["body"] is not None else b""
            headers = {**call["headers"], "content-type": "application/json", "content-length": str(len(body))}
            request = func.HttpRequest(call["method"], call["url"], headers=headers, route_params=path, body=body)
            answer = await functions[call["function"]](request, context)
            assert answer.status_code == call["status"], answer.get_body()
        case "queue":
            message = json.dumps({"claimId": call["claim"]}).encode()
            await functions[call["function"]](QueueMessage(id="1", body=message))
        case "timer":
            await functions[call["function"]](TimerRequest())
    print(json.dumps([known, time.process_time()]), flush=True)
    os._exit(0)
asyncio.run(main())
"""
Call = Mapping[str, Any]


async def _engagements(service: Service) -> Call:
    del service
    return _http("list_engagements", "GET", "engagements", 200)


async def _create(service: Service) -> Call:
    return _http("create_claim", "POST", "claims", 201, body=claim_as_sent(), token=_token(service))


async def _submit(service: Service) -> Call:
    claim = (await service.draft())["id"]
    path = f"claims/{claim}/submit"
    return _http("submit_claim", "POST", path, 200, claim=claim, body=ACKNOWLEDGED, token=_token(service))


async def _notice(service: Service) -> Call:
    return {"kind": "queue", "function": "notify_customer", "claim": (await service.submitted())["id"]}


async def _timer(service: Service) -> Call:
    del service
    return {"kind": "timer", "function": "finalise_uncontested"}


CALLS: Mapping[str, Callable[[Service], Awaitable[Call]]] = {
    "first GET, which needs no storage": _engagements,
    "first draft": _create,
    "first submission": _submit,
    "first notice, from the queue to the mail server": _notice,
    "first run of the timer, with nothing due": _timer,
}


def _token(service: Service) -> str:
    return service.token("Incentives.Admin", PARTNER)


def _http(function: str, method: str, path: str, status: int, **more: Any) -> Call:
    token = more.pop("token", None)
    return {
        "kind": "http",
        "function": function,
        "method": method,
        "url": f"{PUBLIC_URL}/{path}",
        "status": status,
        "claim": None,
        "body": None,
        "headers": {"authorization": f"Bearer {token}"} if token else {},
        **more,
    }


def _answered(app: Path, call: Call, settings: Mapping[str, str]) -> tuple[float, float]:
    """Return the CPU of a new process in milliseconds: until the host knows the functions, and until the answer."""
    python = package.interpreter(package.CLOUD_PYTHON)
    assert python is not None, f"Python {package.CLOUD_PYTHON} is needed"
    ended = subprocess.run(
        [python, "-c", CHILD],
        cwd=app,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(app / package.PACKAGES), **settings},
        input=json.dumps(call),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    known, answered = json.loads(ended.stdout.splitlines()[-1])
    return known * 1000, answered * 1000


async def _measured(
    apps: Sequence[Path], azurite: Azurite, issuer: LocalIssuer, mail: SmtpServer, rounds: int
) -> Mapping[str, Sequence[float]]:
    """Return the least CPU until each first answer, for each package."""
    example = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    least: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, prepare in CALLS.items():
            for number, app in enumerate(apps):
                account = azurite.fresh_account()
                clock = FixedClock(datetime.now(UTC))
                async with running_service(account, issuer, clock=clock) as service:
                    await service.register()
                    call = await prepare(service)
                settings = example | {
                    "CPOR_STORAGE": account,
                    "CPOR_TOKEN_JWKS_URL": issuer.jwks_url,
                    "CPOR_SMTP_PORT": str(mail.port),
                }
                known, answered = await asyncio.to_thread(_answered, app, call, settings)
                for line, value in (("the host knows every function", known), (name, answered)):
                    best = least.setdefault(line, [float("inf")] * len(apps))
                    best[number] = min(best[number], value)
    return least


def main() -> None:
    """Measure the packages and print a table with one column for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_azurite() as azurite:
        apps = [Path(folder, str(number)) for number in range(len(options.packages))]
        for app, zipped in zip(apps, options.packages, strict=True):
            zipfile.ZipFile(zipped).extractall(app)
        mail = SmtpServer()
        mail.start()
        try:
            issuer = LocalIssuer.open(Path(folder))
            least = asyncio.run(_measured(apps, azurite, issuer, mail, options.rounds))
        finally:
            mail.stop()
    for line, columns in least.items():
        print("|", " | ".join([line, *(f"{value:,.0f}" for value in columns)]), "|")


if __name__ == "__main__":
    main()
