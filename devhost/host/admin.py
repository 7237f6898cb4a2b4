"""The admin endpoints of the host. `POST /admin/functions/{name}` runs a timer or queue function now."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devhost.host.functions import Function, HttpTrigger

Run = Callable[[str], Coroutine[Any, Any, None]]


class Admin:
    """
    The admin endpoints. Like the real host, they answer at once and run the function in the background.

    They need no key, because no other machine can call them.
    """

    def __init__(self, functions: Iterable[Function], runs: Mapping[str, Run]) -> None:
        """Keep *runs*. It maps the name of each queue or timer function to a call that runs it with an input."""
        self._functions = {function.name.lower(): function for function in functions}
        self._runs = dict(runs)
        self.running: set[asyncio.Task[None]] = set()

    @property
    def routes(self) -> list[Route]:
        """The routes of the endpoints."""
        return [
            Route("/admin/host/status", self._status),
            Route("/admin/host/ping", self._ping, methods=["GET", "POST"]),
            Route("/admin/functions", self._list),
            Route("/admin/functions/{name}", self._describe),
            Route("/admin/functions/{name}", self._run, methods=["POST"]),
        ]

    async def _status(self, _: Request) -> Response:
        return JSONResponse({"state": "Running"})

    async def _ping(self, _: Request) -> Response:
        return Response()

    async def _list(self, _: Request) -> Response:
        return JSONResponse([_described(function) for function in self._functions.values()])

    async def _describe(self, request: Request) -> Response:
        function = self._functions.get(request.path_params["name"].lower())
        return Response(status_code=404) if function is None else JSONResponse(_described(function))

    async def _run(self, request: Request) -> Response:
        function = self._functions.get(request.path_params["name"].lower())
        if function is None:
            return Response(status_code=404)
        if function.name not in self._runs:
            return Response("call an HTTP function by its own address\n", 400, media_type="text/plain")
        try:
            given = (await request.json())["input"]
        except (ValueError, KeyError, TypeError):
            return Response('the body must be {"input": ""}\n', 400, media_type="text/plain")
        text = given if isinstance(given, str) else json.dumps(given)
        self.running.add(task := asyncio.create_task(self._runs[function.name](text)))
        task.add_done_callback(self.running.discard)
        return Response(status_code=202)


def _described(function: Function) -> dict[str, Any]:
    trigger = function.trigger
    return {
        "name": function.name,
        "isDisabled": function.disabled,
        "language": "python",
        "invoke_url_template": f"/{trigger.template.text}" if isinstance(trigger, HttpTrigger) else None,
        "config": {"bindings": list(function.bindings)},
    }
