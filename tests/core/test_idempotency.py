"""A key stands for one request of an organisation, whatever it is about (decision 39)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.ports.idempotency import IdempotencyKey, IdempotencyRecord, StoredResponse
from cpor_core.use_cases.change_claim import ActContext
from cpor_core.use_cases.claims.comments import add_comment
from cpor_core.use_cases.idempotency import LONGEST_ANSWER, TAKE_OVER_AFTER, Repeated, begin_request, once
from tests.core.builders import ADATUM, FABRIKAM, MICROSECOND, MONDAY, PERSON
from tests.core.memory_core import Core

IDEMPOTENCY_KEY = IdempotencyKey("f00d" * 16, "hash of the body", ADATUM)
OTHER_BODY = replace(IDEMPOTENCY_KEY, body="hash of another body")
DONE = StoredResponse(200, b'{"redriven": 2}', "application/json", {"ETag": '"1"'})


@pytest.fixture
async def core() -> Core:
    """The service in memory."""
    core = Core()
    await core.register()
    return core


class Work:
    """Something that a request does, and how often it was done."""

    def __init__(self, answer: StoredResponse = DONE, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.answer = answer
        self.then = then
        self.times = 0

    async def __call__(self) -> StoredResponse:
        self.times += 1
        if self.then is not None:
            await self.then()
        return self.answer


async def ask(core: Core, work: Work, idempotency_key: IdempotencyKey = IDEMPOTENCY_KEY) -> StoredResponse:
    """Send the request."""
    return await once(core.ports, idempotency_key, await core.now(), work)


async def died(core: Core, idempotency_key: IdempotencyKey = IDEMPOTENCY_KEY, claim_id: str = "") -> IdempotencyRecord:
    """Take the key, and never come back."""
    request = IdempotencyRecord(idempotency_key.body, claim_id, core.ports.new_id(), await core.now())
    return await core.ports.requests.begin(idempotency_key.organisation, idempotency_key.hash, request)


async def test_a_repetition_gets_the_first_answer_and_nothing_is_done_again(core: Core) -> None:
    """Word for word, with its headers."""
    work = Work()

    assert await ask(core, work) == DONE
    assert await ask(core, Work(replace(DONE, body=b"{}"))) == DONE
    assert work.times == 1


async def test_another_body_is_another_request(core: Core) -> None:
    """Refused while the first is kept; another organisation's key is another."""
    await ask(core, Work())

    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await ask(core, Work(), OTHER_BODY)
    assert await ask(core, Work(), replace(OTHER_BODY, organisation=FABRIKAM)) == DONE


async def test_a_key_is_free_again_after_48_hours(core: Core) -> None:
    """The due row was written before the key was taken."""
    await ask(core, Work())
    assert core.rows.written.index("duework") < core.rows.written.index("requests")

    core.clock.advance(RETENTION[Kind.DELETE_REPLY])
    await core.sweep()
    work = Work()

    await ask(core, work, OTHER_BODY)
    assert work.times == 1


async def test_what_was_refused_or_failed_is_not_kept(core: Core) -> None:
    """The key is free for the mended request at once."""

    async def refuse() -> None:
        raise Refused("ClockBackwards", "Forward only.")

    async def fail() -> None:
        raise StorageBusy("busy")

    for failing, kind in ((refuse, Refused), (fail, StorageBusy)):
        with pytest.raises(kind):
            await ask(core, Work(then=failing))
    assert (await ask(core, Work(replace(DONE, status=400)))).status == 400
    assert await ask(core, Work(), OTHER_BODY) == DONE


async def test_an_answer_that_is_too_long_is_given_but_not_kept(core: Core) -> None:
    """Its repetition is done anew."""
    long = Work(replace(DONE, body=b"x" * (LONGEST_ANSWER + 1)))

    for _ in range(2):
        assert await ask(core, long) == long.answer
    assert long.times == 2


async def test_while_the_first_is_running_a_repetition_waits_for_a_minute(core: Core) -> None:
    """Then it takes over; another body is refused before, and taken after."""
    await died(core)

    core.clock.advance(TAKE_OVER_AFTER - MICROSECOND)
    with pytest.raises(Refused, match="RequestInProgress") as running:
        await ask(core, Work())
    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await ask(core, Work(), OTHER_BODY)
    core.clock.advance(MICROSECOND)

    assert running.value.retry_after_seconds == 1
    assert await ask(core, Work(), OTHER_BODY) == DONE


async def test_of_two_who_take_over_one_waits(core: Core) -> None:
    """The row says which."""
    await died(core)
    core.clock.advance(TAKE_OVER_AFTER)

    async def be_faster() -> None:
        await ask(core, Work())

    async with core.rows.once_after("duework", be_faster):
        assert await ask(core, Work(replace(DONE, status=201))) == DONE
    core.clock.advance(RETENTION[Kind.DELETE_REPLY])
    await core.sweep()
    await died(core)
    core.clock.advance(TAKE_OVER_AFTER)

    async def overtaken(table: str, _: object) -> None:
        if table == "requests" and core.rows.written[-1] == "duework":
            raise Conflict("somebody else")

    request = IdempotencyRecord(IDEMPOTENCY_KEY.body, "", core.ports.new_id(), await core.now())
    await core.ports.duework.add([])
    core.rows.before = overtaken
    core.rows.written.append("duework")
    with pytest.raises(Refused, match="RequestInProgress"):
        await begin_request(core.ports, IDEMPOTENCY_KEY, request)


async def test_whoever_was_taken_over_does_no_harm(core: Core) -> None:
    """The first goes on after its minute: its answer is given, the other's is kept."""
    second = Work(replace(DONE, body=b"second"))

    async def be_slow() -> None:
        core.clock.advance(TAKE_OVER_AFTER + timedelta(seconds=1))
        await ask(core, second)

    async def be_slow_and_fail() -> None:
        await be_slow()
        raise Refused("ClockBackwards", "Forward only.")

    assert await ask(core, Work(then=be_slow)) == DONE
    assert await ask(core, Work()) == second.answer
    other = replace(IDEMPOTENCY_KEY, hash="beef" * 16)

    async def other_is_faster() -> None:
        core.clock.advance(TAKE_OVER_AFTER)
        await ask(core, second, other)
        raise Refused("ClockBackwards", "Forward only.")

    with pytest.raises(Refused, match="ClockBackwards"):
        await ask(core, Work(then=other_is_faster), other)
    assert await ask(core, Work(), other) == second.answer


async def test_a_key_of_one_claims_act_is_no_key_of_another_claims(core: Core) -> None:
    """Though each act is kept with its own claim."""
    first, second = await core.draft(), await core.draft()
    context = ActContext(idempotency_key=IDEMPOTENCY_KEY)
    await add_comment(core.ports, first, PERSON, MONDAY, context)

    with pytest.raises(Repeated):
        await add_comment(core.ports, await core.case(first), PERSON, MONDAY, context)
    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await add_comment(core.ports, second, PERSON, MONDAY, replace(context, idempotency_key=OTHER_BODY))


async def test_an_act_does_not_wait_for_its_double(core: Core) -> None:
    """The transaction tells them apart; one that died leaves its key to the next."""
    case = await core.draft()
    await died(core, claim_id=case.claim.id)

    after = await add_comment(core.ports, case, PERSON, MONDAY, ActContext(idempotency_key=IDEMPOTENCY_KEY))

    assert after.claim.history_length == case.claim.history_length + 1
    await died(core, other := replace(IDEMPOTENCY_KEY, hash="beef" * 16), case.claim.id)
    core.clock.advance(TAKE_OVER_AFTER)
    request = IdempotencyRecord(other.body, "", "another act", await core.now())
    assert (await begin_request(core.ports, other, request)).claim_id == case.claim.id
