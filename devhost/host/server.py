"""Runs all parts of the host, for one app, in one process and one event loop."""

import asyncio
import errno
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from devhost.host.admin import Admin, Run
from devhost.host.cannot_start import CannotStart
from devhost.host.config import Config
from devhost.host.functions import Function, HttpTrigger, QueueTrigger, TimerTrigger, Trigger, load
from devhost.host.http_triggers import HttpTriggers
from devhost.host.invocations import Invoker, current_invocation
from devhost.host.queue_triggers import QueueListener, message_by_hand
from devhost.host.timer_triggers import HostClock, Timer

log = logging.getLogger("devhost")

GRACE_SECONDS = 30

OnReady = Callable[[str], object]
Work = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def serve(config: Config, host: str, port: int, *, on_ready: OnReady | None = None) -> None:
    """
    Run the app of *config* until SIGTERM or SIGINT, wait for running invocations, and return.

    A process can call this only once: it loads the app into this interpreter, and sets the environment, the folder and
    the time zone of the process. *on_ready* is called with the address as soon as the host answers. Port 0 means any
    free port. Raises CannotStart.
    """
    with _listening(host, port) as listening:
        become_worker(config)
        functions = load(config)
        for function in functions:
            log.info("%s: %s", function.name, _described(function))
        asyncio.run(_until_signalled(Host(config, functions), listening, on_ready))


def become_worker(config: Config) -> None:
    """Give this process the settings, the folder and the time zone (UTC) that the real worker has."""
    os.environ.update(
        {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "FUNCTIONS_WORKER_RUNTIME": "python",
            **config.settings,
            "AzureWebJobsScriptRoot": str(config.app_dir),
            "TZ": "UTC",
        }
    )
    time.tzset()
    os.chdir(config.app_dir)
    sys.path.insert(0, str(config.app_dir))


def log_to_stderr() -> None:
    """Write the log lines of the app and the host to stderr. Each line has the id of its invocation."""
    handler = logging.StreamHandler()
    handler.addFilter(_with_invocation)
    logging.basicConfig(
        level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(invocation)s %(name)s: %(message)s"
    )
    for wordy in ("azure", "uvicorn"):
        logging.getLogger(wordy).setLevel(logging.WARNING)


class Host:
    """A loaded app with its triggers."""

    def __init__(self, config: Config, functions: Sequence[Function]) -> None:
        """Create a listener for each queue and a timer for each schedule. Raises CannotStart."""
        self._config = config
        self._functions = functions
        self._invoker = Invoker(config.host.function_timeout)
        self._clock = HostClock()
        self._work: list[Work] = []
        self._runs: dict[str, Run] = {}
        for function in functions:
            work = self._prepare(function)
            if work is not None and not function.disabled:
                self._work.append(work)
        self._admin = Admin(functions, self._runs)

    async def run(self, listening: socket.socket, stop: asyncio.Event, on_ready: OnReady | None = None) -> None:
        """Serve requests, queues and timers until *stop*. Then wait for running invocations, at most half a minute."""
        server = _Server(self._app(), on_ready)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        working = [asyncio.create_task(work(stop)) for work in self._work]
        stopped = asyncio.create_task(stop.wait())
        # A part that ends before the stop has failed. The host then ends too.
        await asyncio.wait({stopped, serving, *working}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        server.should_exit = True
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await asyncio.gather(serving, stopped, *working)
                await asyncio.gather(*self._admin.running)
        except TimeoutError:
            log.warning("invocations that still ran after %d s were stopped", GRACE_SECONDS)

    def _app(self) -> Starlette:
        http = self._config.host.extensions.http
        functions = HttpTriggers(self._functions, self._invoker, http.custom_headers)
        everything = Mount("/", functions)
        everything.path_regex = re.compile(
            everything.path_regex.pattern, re.DOTALL
        )  # so that an address with a line break matches too
        start = [Route("/", _redirect_to_functions(http.route_prefix))] if http.route_prefix.strip("/") else []
        return Starlette(routes=[*self._admin.routes, *start, everything])

    def _prepare(self, function: Function) -> Work | None:
        """Return the loop that serves the function, and register the call that runs it by hand. Raises CannotStart."""
        match function.trigger:
            case HttpTrigger():
                return None
            case QueueTrigger(queue, connection):

                async def take(text: str) -> None:
                    await self._invoker.run(function, *message_by_hand(text, self._clock.now()))

                self._runs[function.name] = take
                try:
                    string = self._config.connection(connection)
                    listener = QueueListener(
                        function, string, queue, self._config.host.extensions.queues, self._invoker
                    )
                except ValueError as error:
                    raise CannotStart(f"{connection} is no connection string: {error}") from error
                return listener.listen
            case TimerTrigger(schedule):
                timer = Timer(function, schedule, self._invoker, self._clock)

                async def fire(_: str) -> None:
                    await timer.fire()

                self._runs[function.name] = fire
                return timer.tick


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers. It calls *on_ready* when it is ready."""

    def __init__(self, app: Starlette, on_ready: OnReady | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                date_header=True,
                http="h11",
                lifespan="off",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ws="none",
            )
        )
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            log.info("ready %s", address)
            if self._on_ready is not None:
                self._on_ready(address)


async def _until_signalled(host: Host, listening: socket.socket, on_ready: OnReady | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked_to_stop() -> None:
        log.info("stopping")
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)  # a second signal stops at once

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, asked_to_stop)
    await host.run(listening, stop, on_ready)


def _listening(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises CannotStart for a port in use, or a port that cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        why = (
            "is taken" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else f"cannot be used: {error}"
        )
        raise CannotStart(f"port {port} on {host} {why}") from error


def _redirect_to_functions(prefix: str) -> Callable[[Request], Response]:
    """Return the redirect from `/` to the address of the functions. The real host has a page of its own at `/`."""
    return lambda _: RedirectResponse(f"/{prefix.strip('/')}")


def _described(function: Function) -> str:
    what = _trigger_text(function.trigger)
    return f"{what} (disabled)" if function.disabled else what


def _trigger_text(trigger: Trigger) -> str:
    match trigger:
        case HttpTrigger(template, methods):
            return f"{','.join(sorted(methods)) or 'all methods'} /{template.text}"
        case QueueTrigger(queue):
            return f"queue {queue}"
        case TimerTrigger(schedule):
            return f"timer {schedule.text}"


def _with_invocation(record: logging.LogRecord) -> bool:
    record.invocation = current_invocation.get()[:8]
    return True
