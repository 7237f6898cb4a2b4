"""The host refuses to start on whatever it does not know, in a sentence that names it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from devhost.host.cannot_start import CannotStart
from devhost.host.config import Config, HostJson
from devhost.host.functions import index
from tests.devhost.host_process import ROOT, SAMPLE_APP, running_host

SETTINGS = {"SAMPLE_STORAGE": "UseDevelopmentStorage=true", "SCHEDULE": "0 * * * * *"}
HOST_JSON: Mapping[str, Any] = {"version": "2.0"}

Call = Callable[..., Any]


async def web(req: func.HttpRequest) -> func.HttpResponse:
    """Be an HTTP function without a fault."""
    return func.HttpResponse()


async def take(message: func.QueueMessage) -> None:
    """Be a queue function without a fault."""


async def tick(timer: func.TimerRequest) -> None:
    """Be a timer function without a fault."""


def _app() -> func.FunctionApp:
    return func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def _routed(call: Call = web, route: str = "items", **more: Any) -> func.FunctionApp:
    app = _app()
    app.route(route=route, **{"trigger_arg_name": "req", **more})(call)
    return app


def _queued(call: Call = take, queue_name: str = "work", connection: str = "SAMPLE_STORAGE") -> func.FunctionApp:
    app = _app()
    app.queue_trigger(arg_name="message", queue_name=queue_name, connection=connection)(call)
    return app


def _timed(call: Call = tick, schedule: str = "%SCHEDULE%", **more: Any) -> func.FunctionApp:
    app = _app()
    app.timer_trigger(arg_name="timer", schedule=schedule, **more)(call)
    return app


def _config(host: Mapping[str, Any] = HOST_JSON, **settings: str) -> Config:
    return Config(ROOT, HostJson.model_validate(host), {**SETTINGS, **settings})


@pytest.mark.parametrize("make", [_routed, _queued, _timed])
def test_what_our_functions_use_is_known(make: Callable[[], func.FunctionApp]) -> None:
    """HTTP, queue and timer triggers with plain bindings are taken."""
    [function] = index(make(), _config())

    assert not function.disabled
    assert not function.wants_context


def _sync() -> func.FunctionApp:
    def sync(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse()

    return _routed(sync)


def _extra_parameter() -> func.FunctionApp:
    async def extra(req: func.HttpRequest, name: str) -> func.HttpResponse:
        return func.HttpResponse()

    return _routed(extra)


def _missing_parameter() -> func.FunctionApp:
    async def missing() -> func.HttpResponse:
        return func.HttpResponse()

    return _routed(missing)


def _wrong_context() -> func.FunctionApp:
    async def wrong(req: func.HttpRequest, context: int) -> func.HttpResponse:
        return func.HttpResponse()

    return _routed(wrong)


def _wrong_trigger_annotation() -> func.FunctionApp:
    async def wrong(message: func.TimerRequest) -> None: ...

    return _queued(wrong)


def _unresolved_annotation() -> func.FunctionApp:
    async def wrong(message: "Unheard") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    return _queued(wrong)


def _returns_a_dict() -> func.FunctionApp:
    async def wrong(req: func.HttpRequest) -> dict[str, str]:
        return {}

    return _routed(wrong)


def _queue_function_that_returns() -> func.FunctionApp:
    async def wrong(message: func.QueueMessage) -> str:
        return ""

    return _queued(wrong)


def _hidden_signature() -> func.FunctionApp:
    async def wrong(*args: object) -> func.HttpResponse:
        return func.HttpResponse()

    return _routed(wrong)


def _queue_output() -> func.FunctionApp:
    async def wrong(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
        return func.HttpResponse()

    app = _app()
    app.route(route="items")(app.queue_output(arg_name="out", queue_name="work", connection="SAMPLE_STORAGE")(wrong))
    return app


def _blob_trigger() -> func.FunctionApp:
    async def wrong(blob: func.InputStream) -> None: ...

    app = _app()
    app.blob_trigger(arg_name="blob", path="a/b", connection="SAMPLE_STORAGE")(wrong)
    return app


def _retry_policy() -> func.FunctionApp:
    app = _app()
    triggered = app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
    triggered(app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:10")(tick))
    return app


def _one_name_twice() -> func.FunctionApp:
    app = _routed()
    app.function_name("WEB")(app.route(route="other")(_another_web()))
    return app


def _same_name() -> func.FunctionApp:
    app = _routed()
    app.route(route="other")(_another_web())
    return app


def _bad_name() -> func.FunctionApp:
    app = _app()
    app.function_name("1st")(app.route(route="items", trigger_arg_name="req")(web))
    return app


def _bad_binding_name() -> func.FunctionApp:
    async def wrong(queue_message: func.QueueMessage) -> None: ...

    app = _app()
    app.queue_trigger(arg_name="queue_message", queue_name="work", connection="SAMPLE_STORAGE")(wrong)
    return app


def _another_web() -> Call:
    async def web(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse()

    return web


@pytest.mark.parametrize(
    ("app", "because"),
    [
        (lambda: _routed(auth_level=func.AuthLevel.FUNCTION), "authLevel FUNCTION"),
        (lambda: _routed(binding_arg_name="out"), "must be the return value"),
        (lambda: _routed(route="{id:regex(^a$)}"), r"constraint 'regex"),
        (lambda: _routed(route="{id:datetime}"), "constraint 'datetime'"),
        (lambda: _routed(route="{id:range(1)}"), r"constraint 'range\(1\)'"),
        (lambda: _routed(route="{id?}"), "segment '{id"),
        (lambda: _routed(route="a//b"), "segment ''"),
        (lambda: _routed(route="{id}.csv"), "segment '{id}.csv'"),
        (lambda: _routed(route="{*rest}/a"), "only the last segment"),
        (lambda: _routed(route="{a}/{A}"), "a parameter name twice"),
        (lambda: _queued(queue_name="%NO_QUEUE%"), "no setting NO_QUEUE"),
        (lambda: _queued(queue_name="not_a_queue"), "no queue name"),
        (lambda: _queued(connection="NOTHING"), "no setting NOTHING"),
        (lambda: _queued(connection="CLOUD"), "identity-based"),
        (lambda: _timed(schedule="%NO_SCHEDULE%"), "no setting NO_SCHEDULE"),
        (lambda: _timed(schedule="* * * * *"), "six plain fields"),
        (lambda: _timed(run_on_startup=True), "runOnStartup"),
        (lambda: _timed(data_type="string"), "'dataType' of a timerTrigger"),
        (_sync, "only async"),
        (_extra_parameter, "no binding for 'name'"),
        (_missing_parameter, "no parameter for binding 'req'"),
        (_hidden_signature, "no binding for 'args'"),
        (_wrong_context, "must be an azure.functions.Context"),
        (_wrong_trigger_annotation, "does not fit a queueTrigger"),
        (_unresolved_annotation, "do not resolve"),
        (_returns_a_dict, "cannot return dict"),
        (_queue_function_that_returns, "cannot return <class 'str'>"),
        (_queue_output, "binding type 'queue'"),
        (_blob_trigger, "binding type 'blobTrigger'"),
        (_retry_policy, "retry policies"),
        (_one_name_twice, "WEB: the name is used twice"),
        (_same_name, "unique function name"),
        (_bad_name, "1st: a function's name"),
        (_bad_binding_name, "letters and digits only"),
    ],
)
def test_a_function_that_could_not_run_as_it_would_in_azure_is_refused(
    app: Callable[[], func.FunctionApp], because: str
) -> None:
    """What the real worker or host refuses, and what only this host does not know."""
    with pytest.raises(CannotStart, match=because):
        index(app(), _config(CLOUD__queueServiceUri="https://a.queue.core.windows.net"))


def test_all_faults_are_told_together() -> None:
    """One start shows everything that is to be mended."""
    app = _routed(route="{id?}")
    app.timer_trigger(arg_name="timer", schedule="%NO_SCHEDULE%")(tick)

    with pytest.raises(CannotStart) as refused:
        index(app, _config())

    assert "web: route" in str(refused.value)
    assert "tick: '%NO_SCHEDULE%'" in str(refused.value)


def test_without_a_prefix_the_hosts_own_paths_stay_its_own() -> None:
    """A route that would stand in the place of the admin endpoints is refused."""
    with pytest.raises(CannotStart, match="keeps for itself"):
        index(_routed(route="admin/{name}"), _config({"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}))


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (None, "does not exist"),
        ("nonsense", "host.json is not JSON"),
        ("{}", "version: Field required"),
        ('{"version": "3.0"}', "version: Input should be '2.0'"),
        ('{"version": "2.0", "singleton": {}}', "singleton is not known"),
        ('{"version": "2.0", "functionTimeout": "-1"}', "functionTimeout: .* not a time span"),
        ('{"version": "2.0", "functionTimeout": "00:65:00"}', "not a time span"),
        ('{"version": "2.0", "extensions": {"blobs": {}}}', "extensions.blobs is not known"),
        ('{"version": "2.0", "extensions": {"http": {"maxConcurrentRequests": 5}}}', "maxConcurrentRequests is not"),
        ('{"version": "2.0", "extensions": {"queues": {"messageEncoding": "none"}}}', "messageEncoding: .*base64"),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}', "batchSize: .* 32"),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": "8"}}}', "batchSize: .* integer"),
    ],
)
def test_a_host_json_that_is_not_wholly_known_is_refused(tmp_path: Path, text: str | None, because: str) -> None:
    """A setting that is overlooked would make a local run prove nothing."""
    if text is not None:
        (tmp_path / "host.json").write_text(text, "utf-8")

    with pytest.raises(CannotStart, match=because):
        Config.load(tmp_path, {})


def test_the_settings_of_host_json_are_kept() -> None:
    """The sample's own, time spans among them."""
    host = Config.load(SAMPLE_APP, {}).host

    assert host.function_timeout.total_seconds() == 20
    assert host.extensions.queues.visibility_timeout.total_seconds() == 1
    assert host.extensions.http.custom_headers["Referrer-Policy"] == "no-referrer"


def test_local_settings_are_there_for_what_the_environment_lacks(tmp_path: Path) -> None:
    """The environment wins, as it does in Core Tools; no secret shows in a traceback."""
    (tmp_path / "host.json").write_text(json.dumps(HOST_JSON), "utf-8")
    local = {"IsEncrypted": False, "Host": {"LocalHttpPort": 7099}, "Values": {"A": "a file", "B": "a file"}}
    (tmp_path / "local.settings.json").write_text(json.dumps(local), "utf-8")

    config = Config.load(tmp_path, {"A": "the environment"})

    assert config.settings == {"A": "the environment", "B": "a file"}
    assert config.resolved("%A%, %B%") == "the environment, a file"
    assert config.port == 7099
    assert "a file" not in repr(config)


@pytest.mark.parametrize(
    ("settings", "because"),
    [
        ({"IsEncrypted": True}, "IsEncrypted"),
        ({"Values": {"A": 1}}, "Values.A"),
        ({"Host": {"CORS": "*"}}, "Host.CORS is not known"),
        ({"ConnectionStrings": {}}, "ConnectionStrings is not known"),
    ],
)
def test_local_settings_that_this_host_would_not_follow_are_refused(
    tmp_path: Path, settings: Mapping[str, Any], because: str
) -> None:
    """Encrypted ones, values that are no strings, and what Core Tools alone understand."""
    (tmp_path / "host.json").write_text(json.dumps(HOST_JSON), "utf-8")
    (tmp_path / "local.settings.json").write_text(json.dumps(settings), "utf-8")

    with pytest.raises(CannotStart, match=f"local.settings.json: {because}"):
        Config.load(tmp_path, {})


def test_a_disabled_function_is_reached_by_the_admin_endpoint_alone(storage_connection: str) -> None:
    """`AzureWebJobs.<name>.Disabled` stops a trigger, and an HTTP function is not found."""
    settings = {"AzureWebJobs.tick.Disabled": "true", "AzureWebJobs.fail.Disabled": "1", "TICK_SCHEDULE": "* * * * * *"}
    with running_host(storage_connection, settings) as host:
        assert "tick: timer * * * * * * (disabled)" in host.log
        assert host.client.get("/api/fail").status_code == 404
        assert host.client.post("/admin/functions/tick", json={"input": ""}).status_code == 202


@pytest.mark.parametrize(
    ("app", "because"),
    [
        ("import azure.functions as func\n", "it has 0"),
        ("import azure.functions as func\none = func.FunctionApp()\ntwo = func.FunctionApp()\n", "it has 2"),
        ("import azure.functions as func\none = func.FunctionApp()\ntwo = one\n", "it has 2"),
        (None, "has no function_app.py"),
    ],
)
def test_there_must_be_one_app(tmp_path: Path, app: str | None, because: str) -> None:
    """The real worker takes neither none nor two, nor one under two names."""
    (tmp_path / "host.json").write_text(json.dumps(HOST_JSON), "utf-8")
    if app is not None:
        (tmp_path / "function_app.py").write_text(app, "utf-8")

    refused = _started("--app", str(tmp_path), "--port", "0")

    assert refused.returncode == 1
    assert refused.stderr.startswith("devhost: ")
    assert because in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_connection_string_that_is_none_is_refused() -> None:
    """With the setting's name and not its value."""
    refused = _started(
        "--app", str(SAMPLE_APP), "--port", "0", SAMPLE_STORAGE="secret", JOBS_QUEUE="jobs", TICK_SCHEDULE="0 * * * * *"
    )

    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("devhost: SAMPLE_STORAGE is no connection string")
    assert "secret" not in refused.stderr


def test_a_taken_port_is_one_clear_line() -> None:
    """Not a stack trace, and before the app is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        refused = _started("--app", str(SAMPLE_APP), "--port", str(port))

    assert refused.returncode == 1
    assert refused.stderr == f"devhost: port {port} on 127.0.0.1 is taken\n"


def _started(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devhost", *arguments],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
