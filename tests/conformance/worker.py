"""
Loads an app in Microsoft's own worker library and calls its functions, with no host at all.

So it is not this project's host alone that says the app works. The library keeps one app a process: `called` starts
one, which runs this module. Routes are no part of the library, so they are found by the templates of the local host.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import types
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from devhost.host.config import Config
from devhost.host.routes import Template
from devhost.host.url_decoding import decoded_path, joined_query

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_SECONDS = 180
_SUCCESS = 1


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request; the function is found by its route."""

    method: str
    url: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["httpTrigger"] = "httpTrigger"


@dataclass(frozen=True, slots=True)
class QueueCall:
    """A message."""

    function: str
    body: str
    times: int = 1
    kind: Literal["queueTrigger"] = "queueTrigger"


@dataclass(frozen=True, slots=True)
class TimerCall:
    """A turn of a schedule."""

    function: str
    past_due: bool = False
    kind: Literal["timerTrigger"] = "timerTrigger"


Call = HttpCall | QueueCall | TimerCall


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the worker would tell the host: which function it was, how it ended, and an HTTP function's answer."""

    function: str
    error: str | None
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Report:
    """The functions that were indexed, each with its trigger, and what came of the calls, in their order."""

    triggers: Mapping[str, Mapping[str, Any]]
    outcomes: Sequence[Outcome]


def called(app_dir: Path, settings: Mapping[str, str], calls: Sequence[Call]) -> Report:
    """Load the app of *app_dir* and call it. Raises AssertionError with what the library said if it does not load."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.conformance.worker", str(app_dir)],
        input=json.dumps([asdict(call) for call in calls]),
        cwd=ROOT,
        env=os.environ | settings | {"AzureWebJobsScriptRoot": str(app_dir)},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout.splitlines()[-1])
    return Report(report["triggers"], [Outcome(**outcome) for outcome in report["outcomes"]])


async def _report(app_dir: Path, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    library = importlib.import_module("azure_functions_runtime")
    library.start_threadpool_executor()
    try:
        worker = _Worker(await _indexed(library, app_dir), Config.load(app_dir, os.environ))
        return {"triggers": worker.triggers, "outcomes": [asdict(await worker.outcome(call)) for call in calls]}
    finally:
        library.stop_threadpool_executor()


async def _indexed(library: Any, app_dir: Path) -> list[Any]:
    """Return what the library found in the app, by the two requests that the host begins with."""
    protos = _Protos()
    begun = await library.worker_init_request(_request(app_dir, host="127.0.0.1", protos=protos))
    assert begun.result.status == _SUCCESS, begun.result.exception.message
    found: list[Any] = (await library.functions_metadata_request(_request(app_dir))).function_metadata_results
    return found


class _Worker:
    def __init__(self, found: Sequence[Any], config: Config) -> None:
        self._ids = {each.name: each.function_id for each in found}
        raw = {each.name: [json.loads(binding) for binding in each.raw_bindings] for each in found}
        self.triggers = {
            name: next(binding for binding in bindings if binding["type"].endswith("Trigger"))
            for name, bindings in sorted(raw.items(), key=lambda item: item[0].lower())
        }
        prefix = config.host.extensions.http.route_prefix
        self._routes = [
            (name, Template.parse(f"{prefix}/{trigger['route']}"), trigger.get("methods"))
            for name, trigger in self.triggers.items()
            if trigger["type"] == "httpTrigger"
        ]

    async def outcome(self, call: Mapping[str, Any]) -> Outcome:
        native = importlib.import_module("azure_functions_runtime.native_invocation")
        match call["kind"]:
            case "httpTrigger":
                name, given = self._http(call)
                metadata: dict[str, Any] = {}
            case "queueTrigger":
                name, given = call["function"], _datum(call["body"], "string")
                metadata = _queue_metadata(call)
            case _:
                info = {"IsPastDue": call["past_due"], "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}
                name, given, metadata = call["function"], _datum(json.dumps(info), "json"), {}
        binding = self.triggers[name]["name"]
        succeeded, answer, _, error, traceback = await native.invocation_request_native(
            str(uuid.uuid4()), self._ids[name], [(binding, given)], metadata
        )
        if not succeeded:
            return Outcome(name, f"{error}\n{traceback}")
        if answer is None:
            return Outcome(name, None)
        headers = {header: datum.value for header, datum in answer.value["headers"].items()}
        return Outcome(
            name,
            None,
            int(answer.value["status_code"].value),
            headers,
            answer.value["body"].value.decode("utf-8"),
        )

    def _http(self, call: Mapping[str, Any]) -> tuple[str, Any]:
        raw_path, _, query = call["url"].partition("?")
        path = decoded_path(raw_path.encode())
        name, parameters = next(
            (name, parameters)
            for name, template, methods in self._routes
            if (parameters := template.match(path)) is not None and (not methods or call["method"] in methods)
        )
        values = {
            "method": _datum(call["method"], "string"),
            "url": _datum(f"http://localhost{call['url']}", "string"),
            "headers": {header.lower(): _datum(value, "string") for header, value in call["headers"].items()},
            "query": {key: _datum(value, "string") for key, value in joined_query(query.encode()).items()},
            "params": {key: _datum(value, "string") for key, value in parameters.items()},
            "body": _datum(call["body"].encode(), "bytes"),
        }
        return name, _datum(values, "http")


def _queue_metadata(call: Mapping[str, Any]) -> dict[str, Any]:
    some_day = json.dumps("2026-11-02T09:00:00+00:00")
    return {
        "Id": _datum(str(uuid.uuid4()), "string"),
        "PopReceipt": _datum("receipt", "string"),
        "DequeueCount": _datum(json.dumps(call["times"]), "json"),
        **{name: _datum(some_day, "json") for name in ("ExpirationTime", "InsertionTime", "NextVisibleTime")},
    }


def _datum(value: object, kind: str) -> Any:
    return importlib.import_module("azure_functions_runtime.bindings.datumdef").Datum(value, kind)


class _Protos:
    """Plain records where the worker would put protobuf messages."""

    def __init__(self) -> None:
        self.BindingInfo = type("BindingInfo", (types.SimpleNamespace,), {"undefined": 0, "inout": 2, "out": 1})
        self.StatusResult = type("StatusResult", (types.SimpleNamespace,), {"Failure": 0, "Success": _SUCCESS})

    def __getattr__(self, name: str) -> type[types.SimpleNamespace]:
        record = type(name, (types.SimpleNamespace,), {})
        setattr(self, name, record)
        return record


def _request(app_dir: Path, **properties: object) -> types.SimpleNamespace:
    init = types.SimpleNamespace(capabilities={}, function_app_directory=str(app_dir))
    return types.SimpleNamespace(request=types.SimpleNamespace(worker_init_request=init), properties=properties)


def _main() -> None:
    app_dir, calls = Path(sys.argv[1]).resolve(), json.load(sys.stdin)
    os.chdir(app_dir)
    sys.path.insert(0, str(app_dir))
    print(json.dumps(asyncio.run(_report(app_dir, calls))))


if __name__ == "__main__":
    _main()
