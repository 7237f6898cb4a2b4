"""Calls of functions, one at a time and many at once: by partners, by customers, and by the queue's messages."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from cpor_app.adapters.mail.composer import Mailer
from cpor_core.rules.grace import GRACE
from tests.bench.floor import Floor
from tests.bench.mail_systems import MailSystems
from tests.bench.measuring import Line, measured
from tests.bench.size import Size
from tests.bench.world import ORGANISATIONS, PAGE, World, all_of, organisation
from tests.budgets.counting import LINES, OPERATOR

Call = Callable[[int], Awaitable[Any]]


@dataclass
class Calls:
    """The measurements of one world. A claim has a number, and each act on it is one call."""

    world: World
    floor: Floor
    size: Size
    lines: list[Line] = field(default_factory=list)
    _links: Mapping[str, str] = field(default_factory=dict)
    _nonces: dict[int, str] = field(default_factory=dict)

    async def measure(self, systems: MailSystems) -> Sequence[Line]:
        """Measure each kind of call, in the order of a claim's life."""
        size, world = self.size, self.world
        per_round, few = size.alone + size.together, size.warm + size.few_rounds * size.together
        life = range(ORGANISATIONS + size.rounds * per_round)
        large, smtp, service = (range(life.stop + few * part, life.stop + few * (part + 1)) for part in range(3))
        await self._life(life)
        await self._large_customer(large)
        await self._notify_by("SMTP", smtp, systems.by_smtp(world.counter.service.clock))
        await self._notify_by("a mail service", service, systems.by_service(world.counter.service.clock))
        await self._reads(life)
        await self._decline(smtp)
        await self._usage(life)
        return self.lines

    async def _line(self, what: str, call: Call, numbers: Iterable[int], *, few: bool = False, warm: int = 0) -> None:
        size = self.size
        turns = {size.together: size.together} if few else {1: size.alone, size.together: size.together}
        rounds = size.few_rounds if few else size.rounds
        lines = await measured(what, self.floor, rounds, turns, call, iter(numbers), warm or size.warm)
        self.lines += lines

    async def _life(self, numbers: Sequence[int]) -> None:
        # The first claim of each organisation is warm: it takes one request more.
        await self._line("create a draft", self.world.create, numbers, warm=ORGANISATIONS)
        await self._line("store evidence", self.world.put_evidence, numbers, warm=ORGANISATIONS)
        await self._line("submit, reviewed automatically", self.world.submit, numbers, warm=ORGANISATIONS)
        await self._line("notify, mails go into a list", self.world.notify, numbers, warm=ORGANISATIONS)

    async def _large_customer(self, numbers: Sequence[int]) -> None:
        self.world.of_the_large |= set(numbers)
        await all_of(self.world.create(number) for number in numbers)
        await all_of(self.world.put_evidence(number) for number in numbers)
        await self._line("submit, 500 subscriptions", self.world.submit, numbers, few=True)
        await self._line("notify, 500 subscriptions", self.world.notify, numbers, few=True)

    async def _notify_by(self, name: str, numbers: Sequence[int], mailer: Mailer) -> None:
        await self.world.submitted(numbers)
        mails = self.world.mails
        before, mails.system = mails.system, mailer
        await self._line(f"notify, mails by {name}", self.world.notify, numbers, few=True)
        await mailer.close()
        mails.system = before

    async def _reads(self, numbers: Sequence[int]) -> None:
        world = self.world
        self._links = world.links()
        await self._line("read a claim", lambda number: world.of_partner("GET", number), cycle(numbers))
        await self._line(f"list {PAGE} claims", self._list, cycle(numbers))
        await self._line("show the customer's page", self._page, cycle(numbers))

    async def _list(self, number: int) -> None:
        await self.world.ok("GET", f"/claims?maxpagesize={PAGE}", tenant=organisation(number))

    async def _page(self, number: int) -> str:
        link = self._links[self.world.ids[number]]
        return (await self.world.ok("GET", link, role=None, headers={"Accept": "text/html"})).text

    async def _decline(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            link = self._links[self.world.ids[number]]
            page = await self.world.ok("GET", link, role=None, headers={"Accept": "application/json"})
            self._nonces[number] = next(one["nonce"] for one in page.json()["acts"] if one["act"] == "decline")
        await self._line("decline", self._press, numbers, few=True)

    async def _press(self, number: int) -> None:
        path, _, token = self._links[self.world.ids[number]].partition("?t=")
        form = {"t": token, "nonce": self._nonces[number]}
        await self.world.ok("POST", f"{path}/decline", role=None, data=form)

    async def _usage(self, numbers: Sequence[int]) -> None:
        """Read the figures of associations. Each association has one month of figures."""
        ends_at = await self.world.window_ends_at(numbers[0])
        self.world.counter.service.clock.set(ends_at + GRACE)
        by_customer: dict[str, list[str]] = {}
        for number in numbers:
            buyer, item = self.world.bought(number)
            by_customer.setdefault(buyer, []).append(f'{{"month": "2026-10", "item": "{item}", "activeUsers": 30}}\n')
        for buyer, figures in by_customer.items():
            path = f"/usage/reports?tenantId={buyer}&format=jsonl"
            await self.world.ok("POST", path, content="".join(figures), headers=LINES, **OPERATOR)
        await self._line("read figures", self._figures, cycle(numbers))

    async def _figures(self, number: int) -> None:
        path = f"/associations/{self.world.ids[number]}/usage"
        await self.world.ok("GET", path, tenant=organisation(number))
