"""Queue functions get each message at least once, and what cannot be done ends in the poison queue."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import azure.functions as func
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueServiceClient
from azure.storage.queue import aio as queue_aio

from devhost.host.config import QueueSettings
from devhost.host.functions import Function, QueueTrigger
from devhost.host.invocations import Invoker
from devhost.host.queue_triggers import QueueListener
from tests.devhost.host_process import RunningHost, until


def test_a_message_is_given_to_the_function_and_deleted(host: RunningHost, queues: QueueServiceClient) -> None:
    """It arrives decoded, with what the queue knows of it, on a trace of its own."""
    queue = _made(queues, "work")

    queue.send_message(_base64("first: é"))

    [note] = until(lambda: host.seen("first: é"))
    assert note["function"] == "work"
    assert note["times"] == 1
    assert re.match(r"20\d\d-", note["inserted"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", note["traceParent"])
    until(lambda: _count(queue) == 0)
    assert len(host.seen("first: é")) == 1


def test_a_message_that_fails_comes_again_and_ends_in_the_poison_queue(
    host: RunningHost, queues: QueueServiceClient
) -> None:
    """As often as `host.json` says, then its very bytes stand in a queue that is made for it."""
    queue, poison = _made(queues, "work"), queues.get_queue_client("work-poison")

    queue.send_message(_base64("second: fail"))

    until(lambda: _base64("second: fail") in _contents(poison))
    assert [note["times"] for note in host.seen("second: fail")] == [1, 2, 3]
    until(lambda: _count(queue) == 0)


def test_a_message_that_is_not_base64_is_poison_at_once(host: RunningHost, queues: QueueServiceClient) -> None:
    """The function never sees it."""
    queue, poison = _made(queues, "work"), queues.get_queue_client("work-poison")

    queue.send_message("third: <not base64>")

    until(lambda: "third: <not base64>" in _contents(poison))
    assert host.seen("third") == []


def test_a_message_that_is_not_utf_8_fails_before_the_function(host: RunningHost, queues: QueueServiceClient) -> None:
    """It is tried like any other that fails."""
    queue, poison = _made(queues, "work"), queues.get_queue_client("work-poison")
    content = base64.b64encode(b"fourth \xff\xfe").decode()

    queue.send_message(content)

    until(lambda: content in _contents(poison))
    assert host.seen("fourth") == []


def test_a_queue_is_not_made_by_the_host_and_may_come_later(host: RunningHost, queues: QueueServiceClient) -> None:
    """The host waits for it, and for the poison queue that has a function of its own."""
    assert not {"jobs", "jobs-poison"} & {queue.name for queue in queues.list_queues()}

    queues.get_queue_client("jobs").create_queue()
    queues.get_queue_client("jobs").send_message(_base64("fifth: fail"))

    [note] = until(lambda: host.seen("fifth", function="record_failed_job"))
    assert note == {"function": "record_failed_job", "body": "fifth: fail"}
    assert len(host.seen("fifth", function="do_job")) == 3


async def test_a_lease_is_renewed_while_the_function_works(storage_connection: str) -> None:
    """A message that takes longer than its lease is not given out twice, and is deleted in the end."""
    begun, may_end, times = asyncio.Event(), asyncio.Event(), 0

    async def slow(message: func.QueueMessage) -> None:
        nonlocal times
        times += 1
        begun.set()
        await may_end.wait()

    async with _listening(storage_connection, slow, lease=timedelta(seconds=6)) as queue:
        await queue.send_message(_base64("sixth"))
        await begun.wait()
        await asyncio.sleep(7)
        hidden = [message async for message in queue.receive_messages()]
        may_end.set()
        await _until_empty(queue)

    assert hidden == []
    assert times == 1


async def test_no_more_run_at_once_than_a_batch_and_its_threshold(storage_connection: str) -> None:
    """The next batch is asked for when the running ones are down to the threshold."""
    running, most = 0, 0

    async def counted(message: func.QueueMessage) -> None:
        nonlocal running, most
        running += 1
        most = max(running, most)
        await asyncio.sleep(0.2)
        running -= 1

    settings = QueueSettings.model_validate({"batchSize": 3, "newBatchThreshold": 1})
    async with _listening(storage_connection, counted, settings=settings) as queue:
        for number in range(12):
            await queue.send_message(_base64(f"seventh: {number}"))
        await _until_empty(queue)

    assert 1 < most <= 4


async def test_what_fails_in_a_poison_queue_waits_for_its_lease(storage_connection: str) -> None:
    """A poison queue has no poison queue, and its messages do not come again in a rush."""
    failed = asyncio.Event()

    async def failing(message: func.QueueMessage) -> None:
        failed.set()
        raise ValueError("asked to fail")

    async with _listening(storage_connection, failing, name="work-poison") as queue:
        await queue.send_message(_base64("eighth"))
        await failed.wait()

    async with queue_aio.QueueServiceClient.from_connection_string(storage_connection) as service:
        assert [each.name async for each in service.list_queues()] == ["work-poison"]
        stays = service.get_queue_client("work-poison")
        assert (await stays.get_queue_properties()).approximate_message_count == 1
        assert [message async for message in stays.receive_messages()] == []


async def test_a_queue_that_does_not_answer_is_asked_again(storage_connection: str) -> None:
    """Storage that is down for a while ends neither the host nor its stop."""
    nobody = re.sub(r"QueueEndpoint=http://[^/]*", "QueueEndpoint=http://127.0.0.1:1", storage_connection)
    listener = QueueListener(_function(_never, "work"), nobody, "work", QueueSettings(), Invoker(timedelta(seconds=5)))
    stop = asyncio.Event()

    listening = asyncio.create_task(listener.listen(stop))
    await asyncio.sleep(0.3)
    still_listening = not listening.done()
    stop.set()

    assert still_listening
    await asyncio.wait_for(listening, 60)


@asynccontextmanager
async def _listening(
    connection: str,
    call: object,
    *,
    name: str = "work",
    settings: QueueSettings | None = None,
    lease: timedelta = timedelta(minutes=10),
) -> AsyncIterator[queue_aio.QueueClient]:
    stop = asyncio.Event()
    async with queue_aio.QueueClient.from_connection_string(connection, name) as queue:
        await queue.create_queue()
        listener = QueueListener(
            _function(call, name),
            connection,
            name,
            settings or QueueSettings(),
            Invoker(timedelta(seconds=20)),
            lease,
        )
        listening = asyncio.create_task(listener.listen(stop))
        yield queue
        stop.set()
        await listening


def _function(call: object, queue: str) -> Function:
    return Function(
        name="under_test",
        trigger=QueueTrigger(queue, "SAMPLE_STORAGE"),
        binding="queueTrigger",
        parameter="message",
        call=call,  # type: ignore[arg-type]
        wants_context=False,
        disabled=False,
        bindings=(),
    )


async def _never(message: func.QueueMessage) -> None:
    raise AssertionError("there is no message")


async def _until_empty(queue: queue_aio.QueueClient) -> None:
    async with asyncio.timeout(120):
        while (await queue.get_queue_properties()).approximate_message_count:  # noqa: ASYNC110, a queue has no event
            await asyncio.sleep(0.02)


def _made(queues: QueueServiceClient, name: str) -> QueueClient:
    queue = queues.get_queue_client(name)
    with suppress(ResourceExistsError):
        queue.create_queue()
    return queue


def _contents(queue: QueueClient) -> list[str]:
    try:
        return [message.content for message in queue.peek_messages(max_messages=32)]
    except ResourceNotFoundError:
        return []


def _count(queue: QueueClient) -> int | None:
    return queue.get_queue_properties().approximate_message_count


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
