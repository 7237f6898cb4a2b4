"""A key belongs to one request of an organisation (decision 39)."""

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
    """The work of a request, with a count of its runs."""

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
    """Take the key as a process that then dies."""
    request = IdempotencyRecord(idempotency_key.body, claim_id, core.ports.new_id(), await core.now())
    return await core.ports.requests.begin(idempotency_key.organisation, idempotency_key.hash, request)


async def test_a_repetition_gets_the_first_answer_without_new_work(core: Core) -> None:
    """The body and the headers are the same."""
    work = Work()

    assert await ask(core, work) == DONE
    assert await ask(core, Work(replace(DONE, body=b"{}"))) == DONE
    assert work.times == 1


async def test_a_key_with_another_body_is_refused(core: Core) -> None:
    """The refusal lasts as long as the first answer is stored. The same key of another organisation is another key."""
    await ask(core, Work())

    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await ask(core, Work(), OTHER_BODY)
    assert await ask(core, Work(), replace(OTHER_BODY, organisation=FABRIKAM)) == DONE


async def test_a_key_is_free_again_after_48_hours(core: Core) -> None:
    """The due row of the expiry is written before the key."""
    await ask(core, Work())
    assert core.rows.written.index("duework") < core.rows.written.index("requests")

    core.clock.advance(RETENTION[Kind.DELETE_REPLY])
    await core.sweep()
    work = Work()

    await ask(core, work, OTHER_BODY)
    assert work.times == 1


async def test_a_refused_or_failed_request_is_not_stored(core: Core) -> None:
    """The corrected request can use the key at once."""

    async def refuse() -> None:
        raise Refused("ClockBackwards", "Forward only.")

    async def fail() -> None:
        raise StorageBusy("busy")

    for failing, kind in ((refuse, Refused), (fail, StorageBusy)):
        with pytest.raises(kind):
            await ask(core, Work(then=failing))
    assert (await ask(core, Work(replace(DONE, status=400)))).status == 400
    assert await ask(core, Work(), OTHER_BODY) == DONE


async def test_an_answer_that_is_too_long_is_not_stored(core: Core) -> None:
    """Its repetition does the work again."""
    long = Work(replace(DONE, body=b"x" * (LONGEST_ANSWER + 1)))

    for _ in range(2):
        assert await ask(core, long) == long.answer
    assert long.times == 2


async def test_a_repetition_waits_a_minute_for_the_first(core: Core) -> None:
    """Then the repetition takes over. Another body is refused until then and accepted afterwards."""
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
    """The row decides which one."""
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


async def test_a_slow_first_request_does_no_harm_after_a_takeover(core: Core) -> None:
    """The first goes on after its minute. Its caller gets its answer, and the other's answer is stored."""
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


async def test_a_key_of_one_claims_act_does_not_count_for_another_claim(core: Core) -> None:
    """Each act is stored with its own claim."""
    first, second = await core.draft(), await core.draft()
    context = ActContext(idempotency_key=IDEMPOTENCY_KEY)
    await add_comment(core.ports, first, PERSON, MONDAY, context)

    with pytest.raises(Repeated):
        await add_comment(core.ports, await core.case(first), PERSON, MONDAY, context)
    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await add_comment(core.ports, second, PERSON, MONDAY, replace(context, idempotency_key=OTHER_BODY))


async def test_an_act_does_not_wait_for_an_equal_act(core: Core) -> None:
    """The transaction decides between the two. If one died, the next can use the key."""
    case = await core.draft()
    await died(core, claim_id=case.claim.id)

    after = await add_comment(core.ports, case, PERSON, MONDAY, ActContext(idempotency_key=IDEMPOTENCY_KEY))

    assert after.claim.history_length == case.claim.history_length + 1
    await died(core, other := replace(IDEMPOTENCY_KEY, hash="beef" * 16), case.claim.id)
    core.clock.advance(TAKE_OVER_AFTER)
    request = IdempotencyRecord(other.body, "", "another act", await core.now())
    assert (await begin_request(core.ports, other, request)).claim_id == case.claim.id
