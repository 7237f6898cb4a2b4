"""Queue messages: sent as the Functions host expects them, and taken from poison queues to be sent again."""

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
    """The plan that the transport obeys; without faults it only counts."""
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
    """The real queues and their stand-in, which keeps the same promises."""
    found: Queues = MemoryQueues() if request.param == "memory" else request.getfixturevalue("azure")
    return found


async def test_what_is_sent_is_taken_once_and_gone_when_done(queues: Queues) -> None:
    """A taken message is hidden from others; a message that is done twice is fine."""
    await queues.send(QUEUE, "žluťoučký 1")
    await queues.send(QUEUE, "2")

    taken = await queues.take(QUEUE, 32)

    assert sorted(message.text for message in taken) == ["2", "žluťoučký 1"]
    assert {(message.queue, message.deliveries) for message in taken} == {(QUEUE, 1)}
    assert await queues.take(QUEUE, 32) == []
    for message in [*taken, *taken]:
        await queues.done(message)


async def test_no_more_is_taken_than_asked_for(queues: Queues) -> None:
    """A limit is a limit, above what one request gives too."""
    for n in range(40):
        await queues.send(QUEUE, str(n))

    assert len(await queues.take(QUEUE, 3)) == 3
    assert len(await queues.take(QUEUE, 35)) == 35
    assert len(await queues.take(QUEUE, 35)) == 2


async def test_messages_are_counted_hidden_or_not(queues: Queues) -> None:
    """What somebody has taken and not finished is still there; a queue that was never made has none."""
    for text in ("1", "2", "3"):
        await queues.send(QUEUE, text)
    [taken] = await queues.take(QUEUE, 1)
    before = await queues.length(QUEUE)
    await queues.done(taken)

    assert (before, await queues.length(QUEUE), await queues.length("nowhere")) == (3, 2, 0)


@pytest.mark.parametrize("delay", [timedelta(minutes=1), timedelta(days=7)])
async def test_a_delayed_message_is_not_seen_yet(queues: Queues, delay: timedelta) -> None:
    """A delay of seven days, the longest there is, is possible too."""
    await queues.send(QUEUE, "later", delay=delay)

    assert await queues.take(QUEUE, 1) == []


async def test_a_queue_that_was_never_made_is_empty(queues: Queues) -> None:
    """The host makes a poison queue when it needs one."""
    assert await queues.take("notices-poison", 1) == []


async def test_what_no_queue_would_take_is_refused(queues: Queues) -> None:
    """Messages hold ids; one that is too long, or too late, is a fault of the program."""
    with pytest.raises(ValueError):
        await queues.send(QUEUE, "x" * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(ValueError):
        await queues.send(QUEUE, "x", delay=timedelta(days=7, seconds=1))
    with pytest.raises(ValueError):
        await queues.send(QUEUE, "x", delay=timedelta(seconds=-1))


async def test_the_longest_message_is_taken(azure: AzureQueues) -> None:
    """48 KiB of text are the 64 KiB that a queue takes, in base64."""
    await azure.send(QUEUE, "x" * MAX_MESSAGE_BYTES)

    assert (await azure.take(QUEUE, 1))[0].text == "x" * MAX_MESSAGE_BYTES


async def test_messages_are_base64_on_the_wire(azure: AzureQueues, connection: StorageConnection) -> None:
    """The Functions host decodes base64 and poisons everything else."""
    await azure.send(QUEUE, '{"claimId": "1"}')

    async with connection.queues() as service:
        [message] = await service.get_queue_client(QUEUE).peek_messages()
    assert base64.b64decode(message.content) == b'{"claimId": "1"}'


async def test_a_message_that_is_not_base64_is_given_as_it_is(
    azure: AzureQueues, connection: StorageConnection
) -> None:
    """That may be why it is in the poison queue."""
    async with connection.queues() as service:
        await service.get_queue_client(QUEUE).send_message("not base64!")

    assert [message.text for message in await azure.take(QUEUE, 1)] == ["not base64!"]


async def test_each_call_is_one_request(azure: AzureQueues, plan: Plan) -> None:
    """Budgets are counted in requests."""
    await azure.ping()
    await azure.send(QUEUE, "x")
    await azure.done((await azure.take(QUEUE, 1))[0])

    assert [str(request) for request in plan.requests[:3]] == [
        "1 queues GET /",
        "2 queues POST /notices/messages",
        "3 queues GET /notices/messages",
    ]
    assert [request.method for request in plan.requests[3:]] == ["DELETE"]


async def test_a_queue_that_was_never_made_takes_nothing(azure: AzureQueues) -> None:
    """Sending into nowhere is no passing fault."""
    with pytest.raises(Terminal):
        await azure.send("nowhere", "x")


@pytest.mark.parametrize("trouble", [answer(503), lose_answer()], ids=["503", "silence"])
async def test_a_message_whose_answer_was_lost_is_there_twice(azure: AzureQueues, plan: Plan, trouble: Trouble) -> None:
    """At least once: whoever receives it asks what is owed."""
    plan.at(1, trouble)

    await azure.send(QUEUE, "x")

    assert [message.text for message in await azure.take(QUEUE, 5)] == ["x", "x"]


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_what_may_pass_is_busy_wherever_it_happens(azure: AzureQueues, plan: Plan, status: int) -> None:
    """Roles that are still being assigned, throttling and servers that fall over are no fault of the program."""
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


async def test_a_throttled_call_says_how_long(azure: AzureQueues, plan: Plan) -> None:
    """The server's own wish is handed on."""
    plan.at(1, answer_429(retry_after=30))

    with pytest.raises(StorageBusy) as busy:
        await azure.send(QUEUE, "x")

    assert busy.value.retry_after_seconds == 30
