"""An invocation is held to the time limit of `host.json`, and its end is told in the log."""

import asyncio
import logging
from datetime import timedelta

import azure.functions as func
import pytest
from azure.functions.meta import Datum

from devhost.host.functions import Function, TimerTrigger
from devhost.host.invocations import Invoker
from devhost.host.schedule import Schedule

GIVEN = Datum("{}", "json")


async def test_an_invocation_is_stopped_at_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    """It is cancelled, and counts as failed."""
    stopped = asyncio.Event()

    async def endless(timer: func.TimerRequest) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    ended = await Invoker(timedelta(milliseconds=20)).run(_function(endless), GIVEN)

    assert not ended.succeeded
    assert stopped.is_set()
    assert "under_test was stopped at the limit of 0:00:00.020000 after" in caplog.text


async def test_a_time_limit_of_the_functions_own_is_a_plain_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The log does not blame the host's limit for it."""

    async def out_of_time(timer: func.TimerRequest) -> None:
        raise TimeoutError("storage took too long")

    ended = await Invoker(timedelta(seconds=5)).run(_function(out_of_time), GIVEN)

    assert not ended.succeeded
    assert "under_test failed after" in caplog.text
    assert "storage took too long" in caplog.text


async def test_what_a_function_returns_to_nobody_is_a_failure() -> None:
    """The real worker refuses a value that no binding takes."""

    async def talkative(timer: func.TimerRequest):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return "hello"

    assert not (await Invoker(timedelta(seconds=5)).run(_function(talkative), GIVEN)).succeeded


async def test_success_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Name, end and duration."""
    caplog.set_level(logging.INFO)

    async def quiet(timer: func.TimerRequest) -> None: ...

    ended = await Invoker(timedelta(seconds=5)).run(_function(quiet), GIVEN)

    assert ended.succeeded
    assert [record.message.rpartition(" in ")[0] for record in caplog.records] == ["under_test succeeded"]


def _function(call: object) -> Function:
    return Function(
        name="under_test",
        trigger=TimerTrigger(Schedule("0 * * * * *")),
        binding="timerTrigger",
        parameter="timer",
        call=call,  # type: ignore[arg-type]
        wants_context=False,
        disabled=False,
        bindings=(),
    )
