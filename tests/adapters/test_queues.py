"""Queue messages: sent in the form that the Functions host expects, and read from poison queues."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.connection import StorageConnection, provision
from cpor_app.adapters.storage.queues import MAX_MESSAGE_BYTES, AzureQueues
from cpor_core.errors import StorageBusy, Terminal
from tests.doubles.memory_queues import MemoryQueues
from tests.doubles.transport import Plan, Trouble, answer, answer_429, lose_answer

QUEUE = "notices"

Queues = AzureQueues | MemoryQueues


@pytest.fixture
def plan() -> Plan:
    """The plan of the transport. Without faults it only counts."""
    return Plan()


@pytest.fixture
async def connection(storage_connection: str) -> StorageConnection:
    """A connection to an account with one empty queue."""
    connection = replace(StorageConnection.from_text(storage_connection), retry_pause_seconds=0)
    await provision(connection, [], [QUEUE], [])
    return connection


@pytest.fixture
async def azure(connection: StorageConnection, plan: Plan) -> AsyncIterator[AzureQueues]:
    """The real queues."""
    queues = AzureQueues(connection, transport=plan.transport)
    yield queues
    await queues.close()


@pytest.fixture(params=["memory", pytest.param("azure", marks=pytest.mark.slow)])
def queues(request: pytest.FixtureRequest) -> Queues:
    """The real queues and their double, which keeps the same promises."""
    found: Queues = MemoryQueues() if request.param == "memory" else request.getfixturevalue("azure")
    return found


async def test_a_message_is_taken_once_and_gone_when_done(queues: Queues) -> None:
    """A taken message is hidden from others. A second `done` is no error."""
    await queues.send(QUEUE, "žluťoučký 1")
    await queues.send(QUEUE, "2")

    taken = await queues.take(QUEUE, 32)

    assert sorted(message.text for message in taken) == ["2", "žluťoučký 1"]
    assert {(message.queue, message.deliveries) for message in taken} == {(QUEUE, 1)}
    assert await queues.take(QUEUE, 32) == []
    for message in [*taken, *taken]:
        await queues.done(message)


async def test_a_limit_of_messages_is_kept(queues: Queues) -> None:
    """This holds for more messages than one request gives too."""
    for n in range(40):
        await queues.send(QUEUE, str(n))

    assert len(await queues.take(QUEUE, 3)) == 3
    assert len(await queues.take(QUEUE, 35)) == 35
    assert len(await queues.take(QUEUE, 35)) == 2


async def test_hidden_messages_are_counted_too(queues: Queues) -> None:
    """A message that was taken and not finished still counts. A missing queue has none."""
    for text in ("1", "2", "3"):
        await queues.send(QUEUE, text)
    [taken] = await queues.take(QUEUE, 1)
    before = await queues.length(QUEUE)
    await queues.done(taken)

    assert (before, await queues.length(QUEUE), await queues.length("nowhere")) == (3, 2, 0)


@pytest.mark.parametrize("delay", [timedelta(minutes=1), timedelta(days=7)])
async def test_a_delayed_message_is_not_visible_yet(queues: Queues, delay: timedelta) -> None:
    """The longest delay is seven days."""
    await queues.send(QUEUE, "later", delay=delay)

    assert await queues.take(QUEUE, 1) == []


async def test_a_missing_queue_is_empty(queues: Queues) -> None:
    """The host makes a poison queue when it needs one."""
    assert await queues.take("notices-poison", 1) == []


async def test_a_message_that_no_queue_accepts_is_a_fault(queues: Queues) -> None:
    """Messages have ids. A message that is too long, or has a longer delay, is a fault of the program."""
    with pytest.raises(ValueError):
        await queues.send(QUEUE, "x" * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(ValueError):
        await queues.send(QUEUE, "x", delay=timedelta(days=7, seconds=1))
    with pytest.raises(ValueError):
        await queues.send(QUEUE, "x", delay=timedelta(seconds=-1))


async def test_the_longest_message_is_accepted(azure: AzureQueues) -> None:
    """48 KiB of text are 64 KiB in base64, the limit of a queue."""
    await azure.send(QUEUE, "x" * MAX_MESSAGE_BYTES)

    assert (await azure.take(QUEUE, 1))[0].text == "x" * MAX_MESSAGE_BYTES


async def test_messages_are_base64_on_the_wire(azure: AzureQueues, connection: StorageConnection) -> None:
    """The Functions host decodes base64 and poisons all other messages."""
    await azure.send(QUEUE, '{"claimId": "1"}')

    async with connection.queues() as service:
        [message] = await service.get_queue_client(QUEUE).peek_messages()
    assert base64.b64decode(message.content) == b'{"claimId": "1"}'


async def test_a_message_that_is_not_base64_is_returned_unchanged(
    azure: AzureQueues, connection: StorageConnection
) -> None:
    """Its form can be the reason why it is in the poison queue."""
    async with connection.queues() as service:
        await service.get_queue_client(QUEUE).send_message("not base64!")

    assert [message.text for message in await azure.take(QUEUE, 1)] == ["not base64!"]


async def test_each_call_is_one_request(azure: AzureQueues, plan: Plan) -> None:
    """Budgets count requests."""
    await azure.ping()
    await azure.send(QUEUE, "x")
    await azure.done((await azure.take(QUEUE, 1))[0])

    assert [str(request) for request in plan.requests[:3]] == [
        "1 queues GET /",
        "2 queues POST /notices/messages",
        "3 queues GET /notices/messages",
    ]
    assert [request.method for request in plan.requests[3:]] == ["DELETE"]


async def test_sending_to_a_missing_queue_is_a_lasting_fault(azure: AzureQueues) -> None:
    """The deployment forgot to make the queue."""
    with pytest.raises(Terminal):
        await azure.send("nowhere", "x")


@pytest.mark.parametrize("trouble", [answer(503), lose_answer()], ids=["503", "silence"])
async def test_a_message_whose_answer_was_lost_exists_twice(azure: AzureQueues, plan: Plan, trouble: Trouble) -> None:
    """A message arrives at least once. Its function asks for the due work."""
    plan.at(1, trouble)

    await azure.send(QUEUE, "x")

    assert [message.text for message in await azure.take(QUEUE, 5)] == ["x", "x"]


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_temporary_fault_is_a_busy_store(azure: AzureQueues, plan: Plan, status: int) -> None:
    """Examples are roles that are still being assigned, throttling, and failing servers."""
    await azure.send(QUEUE, "x")
    [taken] = await azure.take(QUEUE, 1)

    calls: list[Callable[[], Awaitable[object]]] = [
        azure.ping,
        lambda: azure.send(QUEUE, "x"),
        lambda: azure.take(QUEUE, 1),
        lambda: azure.length(QUEUE),
        lambda: azure.done(taken),
    ]
    for call in calls:
        plan.clear()
        plan.at(1, answer(status, done=False, every_try=True))
        with pytest.raises(StorageBusy):
            await call()


async def test_a_throttled_call_names_the_pause(azure: AzureQueues, plan: Plan) -> None:
    """The server's pause is passed on."""
    plan.at(1, answer_429(retry_after=30))

    with pytest.raises(StorageBusy) as busy:
        await azure.send(QUEUE, "x")

    assert busy.value.retry_after_seconds == 30
