"""An app that shows what the host gave it: for the tests of the host, and of Microsoft's worker library."""

import asyncio
import json
import logging
from collections import Counter
from typing import Any

import azure.functions as func

log = logging.getLogger("sample")

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

seen: list[dict[str, Any]] = []
at_once: Counter[str] = Counter()
most_at_once: Counter[str] = Counter()


def answer(body: object, status: int = 200) -> func.HttpResponse:
    """Return *body* as JSON."""
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")


@app.function_name("show_item")
@app.route(route="items/{itemId:int}", methods=["GET", "HEAD", "POST"])
async def show_item(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answer with everything that came in."""
    log.info("a line of the app")
    return answer(
        {
            "method": req.method,
            "url": req.url,
            "route": dict(req.route_params),
            "query": dict(req.params),
            "headers": dict(req.headers),
            "body": req.get_body().decode("utf-8"),
            "invocation": context.invocation_id,
            "function": context.function_name,
            "directory": context.function_directory,
            "traceParent": context.trace_context.trace_parent,
            "traceState": context.trace_context.trace_state,
            "retries": context.retry_context.retry_count,
        }
    )


@app.function_name("a_named_item")
@app.route(route="named/{name}", methods=["GET"])
async def a_named_item(req: func.HttpRequest) -> func.HttpResponse:
    """Stand before `b_export` by name, and hide it."""
    return answer({"name": req.route_params["name"]})


@app.function_name("b_export")
@app.route(route="named/export", methods=["GET", "DELETE"])
async def b_export(req: func.HttpRequest) -> func.HttpResponse:
    """Be reached by the method alone that `a_named_item` does not take."""
    return answer({"export": req.method})


@app.function_name("change_item")
@app.route(route="Items/{itemId:int}", methods=["PUT"])
async def change_item(req: func.HttpRequest) -> func.HttpResponse:
    """Share a path with `show_item`."""
    return answer({"changed": req.route_params["itemId"]})


@app.function_name("fail")
@app.route(route="fail", methods=["GET"])
async def fail(req: func.HttpRequest) -> func.HttpResponse:
    """Raise."""
    raise ValueError("asked to fail")


@app.function_name("answer_oddly")
@app.route(route="odd/{how}", methods=["GET", "HEAD"])
async def answer_oddly(req: func.HttpRequest) -> func.HttpResponse:
    """Answer as no function should, or as few do."""
    match req.route_params["how"]:
        case "nothing":
            return None  # type: ignore[return-value]
        case "number":
            return 204  # type: ignore[return-value]
        case "empty":
            return func.HttpResponse(status_code=204)
        case "body-without-room":
            return func.HttpResponse("too much", status_code=204)
        case "header":
            return func.HttpResponse("x", headers={"X-Name": "Ř"})
        case "own":
            return func.HttpResponse("x", headers={"referrer-policy": "same-origin"}, mimetype="text/html")
        case _:
            response = func.HttpResponse("x")
            response.headers.add("X-Twice", "first")
            response.headers.add("X-Twice", "last")
            return response


@app.function_name("wait")
@app.route(route="wait/{milliseconds:int}", methods=["GET"])
async def wait(req: func.HttpRequest) -> func.HttpResponse:
    """Take its time."""
    log.info("a line of the app: waiting")
    await asyncio.sleep(int(req.route_params["milliseconds"]) / 1000)
    return answer("waited")


@app.function_name("what_was_seen")
@app.route(route="seen", methods=["GET"])
async def what_was_seen(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with what queue and timer functions saw."""
    return answer({"seen": seen, "mostAtOnce": dict(most_at_once)})


@app.function_name("zz_not_found")
@app.route(route="{*path}")
async def zz_not_found(req: func.HttpRequest) -> func.HttpResponse:
    """Take what nobody took."""
    return answer({"notFound": req.route_params.get("path"), "method": req.method}, 404)


@app.function_name("work")
@app.queue_trigger(arg_name="message", queue_name="work", connection="SAMPLE_STORAGE")
async def work(message: func.QueueMessage, context: func.Context) -> None:
    """Note a message; fail if it says so."""
    _note(message, context)


@app.function_name("do_job")
@app.queue_trigger(arg_name="message", queue_name="%JOBS_QUEUE%", connection="SAMPLE_STORAGE")
async def do_job(message: func.QueueMessage, context: func.Context) -> None:
    """Note a message of a queue whose failed messages have a function."""
    _note(message, context)


@app.function_name("record_failed_job")
@app.queue_trigger(arg_name="message", queue_name="%JOBS_QUEUE%-poison", connection="SAMPLE_STORAGE")
async def record_failed_job(message: func.QueueMessage, context: func.Context) -> None:
    """Note a message that failed."""
    seen.append({"function": context.function_name, "body": message.get_body().decode("utf-8")})


@app.function_name("tick")
@app.timer_trigger(arg_name="timer", schedule="%TICK_SCHEDULE%", run_on_startup=False, use_monitor=True)
async def tick(timer: func.TimerRequest) -> None:
    """Note each run, and how many of them ran at once."""
    at_once["tick"] += 1
    most_at_once["tick"] = max(at_once["tick"], most_at_once["tick"])
    await asyncio.sleep(0.3)
    seen.append({"function": "tick", "pastDue": timer.past_due})
    at_once["tick"] -= 1


def _note(message: func.QueueMessage, context: func.Context) -> None:
    body = message.get_body().decode("utf-8")
    note = {"function": context.function_name, "body": body, "times": message.dequeue_count}
    seen.append({**note, "inserted": str(message.insertion_time), "traceParent": context.trace_context.trace_parent})
    if "fail" in body:
        raise RuntimeError("asked to fail")
