"""
Loads `function_app.py` and verifies each function before the host starts.

A function is refused if the real worker or host would refuse it, or if this host does not support it. A host that does
not start is better than a host that behaves differently.
"""

import importlib
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import azure.functions as func
from azure.functions.decorators.function_app import Function as Declared

from devhost.host.cannot_start import CannotStart
from devhost.host.config import Config
from devhost.host.routes import Template
from devhost.host.schedule import Schedule

_MODULE = "function_app"
_FUNCTION_NAME = re.compile(r"(?!host$)[A-Za-z][A-Za-z0-9_-]{0,127}", re.IGNORECASE)
_BINDING_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,127}")
_QUEUE_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_RESERVED_FIRST_SEGMENTS = frozenset({"admin", "runtime"})

# The keys of a binding that this host supports.
_KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "httpTrigger": frozenset({"authLevel", "methods", "route"}),
    "http": frozenset(),
    "queueTrigger": frozenset({"connection", "queueName"}),
    "timerTrigger": frozenset({"runOnStartup", "schedule", "useMonitor"}),
}


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """The trigger of requests that match the template. Empty *methods* mean all methods."""

    template: Template
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """The trigger of the messages in a queue. *connection* is the name of a setting."""

    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """The trigger that fires by a schedule."""

    schedule: Schedule


Trigger = HttpTrigger | QueueTrigger | TimerTrigger


@dataclass(frozen=True, slots=True)
class Function:
    """A function that this host can run. A disabled function runs only through the admin endpoint."""

    name: str
    trigger: Trigger
    binding: str
    parameter: str
    call: Callable[..., Awaitable[object]]
    wants_context: bool
    disabled: bool
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def directory(self) -> str:
        """The folder of the file that defines the function."""
        return str(Path(inspect.getfile(self.call)).parent)


def load(config: Config) -> tuple[Function, ...]:
    """
    Import the app's `function_app.py` and return its functions in the order in which the real host tries them.

    Raises CannotStart. An exception that the app raises at its import is not caught.
    """
    if not (config.app_dir / f"{_MODULE}.py").exists():
        raise CannotStart(f"{config.app_dir} has no {_MODULE}.py")
    module = importlib.import_module(_MODULE)
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise CannotStart(
            f"{_MODULE}.py must have exactly one top-level FunctionApp under one name; it has {len(apps)}"
        )
    return index(apps[0], config)


def index(app: func.FunctionRegister, config: Config) -> tuple[Function, ...]:
    """Return the functions of *app*, sorted by lower-case name. Raises CannotStart, which names every fault."""
    try:
        declared = app.get_functions()
    except ValueError as error:
        raise CannotStart(str(error)) from error
    functions: dict[str, Function] = {}
    faults: list[str] = []
    for each in declared:
        try:
            function = _verified(each, config)
            if functions.setdefault(function.name.lower(), function) is not function:
                raise CannotStart("the name is used twice")
        except CannotStart as fault:
            faults.append(f"{each.get_function_name()}: {fault}")
    if faults:
        raise CannotStart("these functions cannot run here:\n  " + "\n  ".join(faults))
    return tuple(functions[name] for name in sorted(functions))


def _verified(declared: Declared, config: Config) -> Function:
    name = declared.get_function_name() or ""
    if not _FUNCTION_NAME.fullmatch(name):
        raise CannotStart("a function's name is a letter, then letters, digits, _ and -")
    if declared.get_settings_dict("retry_policy"):
        raise CannotStart("retry policies are not known to this host")
    bindings = tuple(json.loads(raw) for raw in declared.get_raw_bindings())
    for binding in bindings:
        _verify_known(binding)
    triggers = [binding for binding in bindings if binding["type"].endswith("Trigger")]
    if len(triggers) != 1:
        raise CannotStart("there must be exactly one trigger")
    call = declared.get_user_function()
    parameter = triggers[0]["name"]
    wants_context = _verify_signature(call, parameter, triggers[0]["type"])
    return Function(
        name=name,
        trigger=_trigger(triggers[0], config),
        binding=triggers[0]["type"],
        parameter=parameter,
        call=call,
        wants_context=wants_context,
        disabled=config.settings.get(f"AzureWebJobs.{name}.Disabled", "").lower() in {"1", "true"},
        bindings=bindings,
    )


def _verify_known(binding: Mapping[str, Any]) -> None:
    kind = binding["type"]
    if kind not in _KNOWN_KEYS:
        raise CannotStart(f"binding type {kind!r} is not known to this host")
    if unknown := binding.keys() - _KNOWN_KEYS[kind] - {"direction", "name", "type"}:
        raise CannotStart(f"{_listed(unknown)} of a {kind} is not known to this host")
    if kind != "http" and not _BINDING_NAME.fullmatch(binding["name"]):
        raise CannotStart(f"binding name {binding['name']!r} may have letters and digits only")
    if kind == "http" and binding["name"] != "$return":
        raise CannotStart("an HTTP answer must be the return value")


def _verify_signature(call: Callable[..., Any], parameter: str, binding: str) -> bool:
    """
    Return whether the function has a parameter for the context.

    Raises CannotStart if the real worker would not load the function.
    """
    if not inspect.iscoroutinefunction(call):
        raise CannotStart("only async functions are known to this host")
    parameters = set(inspect.signature(call).parameters)
    if without_binding := parameters - {parameter, "context"}:
        raise CannotStart(f"no binding for {_listed(without_binding)}")
    if parameter not in parameters:
        raise CannotStart(f"no parameter for binding {parameter!r}")
    try:
        hints = get_type_hints(call)
    except NameError as error:
        raise CannotStart(f"its annotations do not resolve: {error}") from error
    hint = hints.get(parameter)
    if hint is not None and not _fits(hint, binding):
        raise CannotStart(f"{parameter}: {hint!r} does not fit a {binding}")
    if "return" in hints and not _may_return(hints["return"], binding):
        raise CannotStart(f"a function of a {binding} cannot return {hints['return']!r}")
    if getattr(hints.get("context", func.Context), "__name__", "") != "Context":
        raise CannotStart("the parameter context must be an azure.functions.Context")
    return "context" in parameters


def converter(binding: str) -> Any:
    """Return the converter of the Functions library for a binding."""
    return func.get_binding_registry().get(binding)


def _fits(hint: object, binding: str) -> bool:
    return isinstance(hint, type) and bool(converter(binding).check_input_type_annotation(hint))


def _may_return(hint: object, binding: str) -> bool:
    if binding == "httpTrigger":
        return isinstance(hint, type) and issubclass(hint, func.HttpResponse)
    return hint is type(None)


def _trigger(binding: Mapping[str, Any], config: Config) -> Trigger:
    match binding["type"]:
        case "httpTrigger":
            return _http_trigger(binding, config)
        case "queueTrigger":
            return _queue_trigger(binding, config)
        case _:
            return _timer_trigger(binding, config)


def _http_trigger(binding: Mapping[str, Any], config: Config) -> HttpTrigger:
    if binding.get("authLevel") != func.AuthLevel.ANONYMOUS.name:
        raise CannotStart(
            f"authLevel {binding.get('authLevel', 'FUNCTION')} is not known to this host: only ANONYMOUS is"
        )
    template = Template.parse(f"{config.host.extensions.http.route_prefix.strip('/')}/{binding['route']}")
    if template.text.split("/")[0].lower() in _RESERVED_FIRST_SEGMENTS:
        raise CannotStart(f"route {template.text!r} begins with a segment that the host keeps for itself")
    return HttpTrigger(template, frozenset(method.upper() for method in binding.get("methods") or ()))


def _queue_trigger(binding: Mapping[str, Any], config: Config) -> QueueTrigger:
    queue = config.resolved(binding["queueName"]).lower()
    if not _QUEUE_NAME.fullmatch(queue):
        raise CannotStart(f"{queue!r} is no queue name")
    config.connection(binding["connection"])
    return QueueTrigger(queue, binding["connection"])


def _timer_trigger(binding: Mapping[str, Any], config: Config) -> TimerTrigger:
    if binding.get("runOnStartup"):
        raise CannotStart("runOnStartup is not known to this host")
    return TimerTrigger(Schedule.parse(config.resolved(binding["schedule"])))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
