"""Runs a function once within its time limit, with its input and context, and writes one log line."""

import asyncio
import logging
import re
import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import azure.functions as func
from azure.functions._abc import RetryContext, RpcException, TraceContext
from azure.functions.meta import Datum

from devhost.host.functions import Function, converter

log = logging.getLogger("devhost")

current_invocation: ContextVar[str] = ContextVar("invocation", default="-")

_TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """Whether an invocation succeeded, and the answer of an HTTP function."""

    succeeded: bool
    answer: Datum | None = None


class _Trace(TraceContext):
    def __init__(self, caller: str, state: str) -> None:
        """Continue the trace that the caller sent, else begin a new sampled trace."""
        found = _TRACE_PARENT.fullmatch(caller)
        trace_id, flags = found.groups() if found else (secrets.token_hex(16), "01")
        self._parent = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
        self._state = state if found else ""

    @property
    def trace_parent(self) -> str:
        return self._parent

    @property
    def trace_state(self) -> str:
        return self._state

    @property
    def attributes(self) -> dict[str, str]:
        return {}


class _NoRetries(RetryContext):
    @property
    def retry_count(self) -> int:
        return 0

    @property
    def max_retry_count(self) -> int:
        return 0

    @property
    def exception(self) -> RpcException:
        raise AttributeError("there is no exception: retry policies are not known to this host")


class Context(func.Context):
    """The context of an invocation. It has the same members as the context of the real worker."""

    def __init__(self, function: Function, trace: TraceContext) -> None:
        """Make a new id for the invocation."""
        self._function = function
        self._id = str(uuid.uuid4())
        self._trace = trace
        self._local = threading.local()

    @property
    def invocation_id(self) -> str:
        """The id of this invocation."""
        return self._id

    @property
    def thread_local_storage(self) -> Any:
        """An empty object. On the real worker it has the id of the invocation."""
        return self._local

    @property
    def function_name(self) -> str:
        """The name of the function."""
        return self._function.name

    @property
    def function_directory(self) -> str:
        """The folder of the file that defines the function."""
        return self._function.directory

    @property
    def trace_context(self) -> TraceContext:
        """The position of this invocation in a distributed trace."""
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        """The context of a first attempt, always. A queue counts its attempts in the message's `dequeue_count`."""
        return _NoRetries()


@dataclass(frozen=True, slots=True)
class Invoker:
    """Runs functions within the time limit of `host.json`."""

    limit: timedelta

    async def run(
        self,
        function: Function,
        given: Datum,
        metadata: Mapping[str, Datum] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
    ) -> InvocationResult:
        """
        Run *function* and return the result. An exception of the function is logged, not raised.

        The log line has the function's name, the duration and the result. It never has the input, because the input
        contains tokens and names.
        """
        context = Context(function, _Trace(headers.get("traceparent", ""), headers.get("tracestate", "")))
        token = current_invocation.set(context.invocation_id)
        began = time.perf_counter()
        ended = InvocationResult(succeeded=False)
        limit = asyncio.timeout(self.limit.total_seconds())
        try:
            async with limit:
                ended = InvocationResult(succeeded=True, answer=await _call(function, context, given, metadata))
        except Exception:
            # At the limit the real host ends the worker process. This host can only cancel the invocation.
            why = f"was stopped at the limit of {self.limit}" if limit.expired() else "failed"
            log.exception("%s %s after %s", function.name, why, _since(began))
        else:
            log.info("%s %s in %s", function.name, _status(ended), _since(began))
        finally:
            current_invocation.reset(token)
        return ended


async def _call(function: Function, context: Context, given: Datum, metadata: Mapping[str, Datum]) -> Datum | None:
    arguments = {function.parameter: converter(function.binding).decode(given, trigger_metadata=metadata)}
    if function.wants_context:
        arguments["context"] = context
    result = await function.call(**arguments)
    if function.binding != "httpTrigger":
        if result is not None:
            raise TypeError(f"{function.name} returned a {type(result).__name__}, which no binding takes")
        return None
    if not isinstance(result, func.HttpResponse):
        raise TypeError(f"{function.name} returned a {type(result).__name__} in place of an HttpResponse")
    answer: Datum = converter("http").encode(result, expected_type=None)
    return answer


def _status(ended: InvocationResult) -> str:
    return "succeeded" if ended.answer is None else f"answered {ended.answer.value['status_code'].value}"


def _since(began: float) -> str:
    return f"{1000 * (time.perf_counter() - began):.0f} ms"
