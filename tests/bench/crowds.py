"""Many claims: due at one instant, and stored."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, cycle

from cpor_app.queue_names import CUSTOMER_NOTICES, PARTNER_NOTICES
from cpor_core.model.claim import Status
from cpor_core.rules.grace import GRACE
from tests.bench.floor import Floor
from tests.bench.measuring import Line, Round, measured, one_round, total
from tests.bench.size import Size
from tests.bench.world import A_DAY, PAGE, World, all_of, organisation
from tests.budgets.whole_life import WholeLife
from tests.support.service import DELIVERED

NOTICES = frozenset({CUSTOMER_NOTICES, PARTNER_NOTICES})


async def due_at_one_instant(world: World, floor: Floor, size: Size) -> Sequence[Line]:
    """
    Measure the timer when claims are due at one instant.

    The rest of their due work is done before that instant. Their confirmations come after it and are not measured.
    """
    numbers = range(size.originals)
    await _notified(world, numbers)
    ends_at = await world.window_ends_at(0)
    await WholeLife(world.counter).pass_until(ends_at)
    originals = [await world.original(number) for number in numbers]
    world.counter.service.clock.set(ends_at + GRACE)
    await world.counter.service.sweep()  # the originals, which do not count
    lines, first = [], 0
    for crowd in size.due:
        rounds = []
        for _ in range(size.few_rounds if crowd == min(size.due) else 1):
            copies = await world.copy(originals, first, first + crowd, due=True)
            first += crowd
            rounds.append(total([each async for each in _made_official(world, floor, size.together)], crowd))
            last = await world.counter.service.services.ports.claims.load(copies[-1])
            assert last is not None
            assert last.claim.status is Status.OFFICIAL
        lines.append(Line(f"make {crowd:,} claims official at one instant, by claim", 1, rounds))
    return lines


async def _made_official(world: World, floor: Floor, at_once: int) -> AsyncIterator[Round]:
    """Measure a run of the timer, and then the functions of the messages that it sent, except those of notices."""
    service = world.counter.service
    yield await one_round(floor, [service.sweep], 1)
    for queue, function in DELIVERED:
        while queue not in NOTICES and (taken := await service.services.queues.take(queue, 32)):
            yield await one_round(floor, [partial(service.run, function, each.text) for each in taken], at_once)
            for each in taken:
                await service.services.queues.done(each)


async def with_many_stored(world: World, floor: Floor, size: Size) -> Sequence[Line]:
    """Measure the same calls with a few claims stored, and then with many."""
    numbers = range(size.originals)
    await _notified(world, numbers)
    await WholeLife(world.counter).pass_until(world.counter.service.clock.real() + A_DAY)
    originals = [await world.original(number) for number in numbers]
    lines: list[Line] = []
    stored, drafts = 0, count(size.originals)
    for many in size.stored:
        await world.copy(originals, stored, many, due=False)
        stored = many
        for what, call, each in (
            ("create a draft", world.create, drafts),
            ("read a claim", partial(world.of_partner, "GET"), cycle(numbers)),
            (f"list {PAGE} claims", partial(_list, world), cycle(numbers)),
            ("timer, nothing is due", partial(_sweep, world), cycle(numbers)),
        ):
            alone = await measured(what, floor, size.rounds, {1: size.together}, call, each, size.warm)
            lines += [replace(line, stored=many) for line in alone]
    return lines


async def _notified(world: World, numbers: Sequence[int]) -> None:
    await world.submitted(numbers)
    await all_of(world.notify(number) for number in numbers)
    await world.counter.service.deliver()


async def _list(world: World, number: int) -> None:
    await world.ok("GET", f"/claims?maxpagesize={PAGE}", tenant=organisation(number))


async def _sweep(world: World, _: int) -> None:
    await world.counter.service.sweep()
