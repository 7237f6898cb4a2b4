"""Tells the host every function of `cpor_app.functions`. The import loads no handler and does no I/O."""

import azure.functions as func

from cpor_app.functions import QUEUES, ROUTES, TIMERS, Route, handler
from cpor_app.queue_names import STORAGE

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def _add_http(name: str, route: Route) -> None:
    @app.function_name(name)
    @app.route(route=route.path, methods=route.methods or None)
    async def answer(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        response: func.HttpResponse = await handler(name)(req, context)
        return response


def _add_queue(name: str, queue: str) -> None:
    @app.function_name(name)
    @app.queue_trigger(arg_name="message", queue_name=queue, connection=STORAGE)
    async def process(message: func.QueueMessage) -> None:
        await handler(name)(message)


def _add_timer(name: str, schedule: str) -> None:
    @app.function_name(name)
    @app.timer_trigger(arg_name="timer", schedule=schedule, run_on_startup=False, use_monitor=True)
    async def run(timer: func.TimerRequest) -> None:
        await handler(name)(timer)


for _name, _route in ROUTES.items():
    _add_http(_name, _route)
for _functions in QUEUES.values():
    for _name, _queue in _functions.items():
        _add_queue(_name, _queue)
for _functions in TIMERS.values():
    for _name, _schedule in _functions.items():
        _add_timer(_name, _schedule)
