"""
Random acts in any order by partners, reviewer, customer, operator, clock, queue, timer and mail, and the rules that
must always hold. A failing case becomes a plain test in `test_change_claim.py`, `test_notice.py` or `test_life.py`,
where it can be read.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cpor_app.adapters.storage.row_store import Op
from cpor_core.due_work import SOON, Kind
from cpor_core.errors import Refused
from cpor_core.model.claim import OPEN, THE_ADMINISTRATOR, UNDECIDED, Claim, Item, Reason, Speaker, Status
from cpor_core.model.history import PROGRAMME, Entry, digest
from cpor_core.model.slot import Slot
from cpor_core.ports.claims import Comment
from cpor_core.rules.claim_due_work import due_work_of
from cpor_core.rules.grace import GRACE, figures_from
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.transitions.next_step import Action, Owner, next_step
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, change_claim, find, write_down
from cpor_core.use_cases.claims import customer_acts, drafts, partner_acts, reviews
from cpor_core.use_cases.claims.history import history_as_of
from cpor_core.use_cases.claims.time_to_answer import partner_answers_by
from cpor_core.use_cases.due_work import process_claim
from cpor_core.use_cases.due_work.sweep import LOOKED_AT_AGAIN, follow_now
from cpor_core.use_cases.registry import partners_and_customers
from tests.core.builders import (
    ACKNOWLEDGED,
    ADATUM,
    ANNE,
    DAY,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MICROSECOND,
    PERSON,
    RECOGNITION,
    SALES,
    SHAREPOINT,
    TEAMS,
    TENANT,
    USAGE,
    customer,
)
from tests.core.memory_core import Core, Meddler
from tests.core.test_insight import verify as verify_insight
from tests.doubles.transport import ProcessDied
from tests.support.programme_table import faults_of_programme
from tests.support.thorough import THOROUGH

Answer = TypeVar("Answer")

MOST_CLAIMS = 8
LONGEST_WAIT = timedelta(minutes=60)
"""A debt that could not be paid is tried again at least so often (decision 36)."""
FAR = 4000 * DAY

WORKLOADS = [(TEAMS,), (EXCHANGE,), (TEAMS, EXCHANGE), (EXCHANGE, SHAREPOINT)]
Act = Callable[[Core, Case, datetime], Awaitable[Any]]


async def _approve(core: Core, case: Case, now: datetime) -> Case:
    return await reviews.approve(core.ports, case, now, NO_CONTEXT)


async def _submit(core: Core, case: Case, now: datetime) -> Case:
    return await partner_acts.submit(core.ports, case, PERSON, now, ACKNOWLEDGED, NO_CONTEXT)


async def _strike(core: Core, case: Case, now: datetime) -> Case:
    return await reviews.strike_items(core.ports, case, now, case.claim.items[:1], NO_CONTEXT)


async def _resubmit(core: Core, case: Case, now: datetime) -> Case:
    return await partner_acts.resubmit(core.ports, case, PERSON, now, NO_CONTEXT)


async def _another_contact(core: Core, case: Case, now: datetime) -> Case:
    former = case.claim.contacts
    email = "bruno@contoso.fr" if former is not None and "anne" in former.customer.email else "anne.durand@contoso.fr"
    patch = {"contacts": {"customer": {"name": "Somebody else", "email": email}}}
    case = await drafts.edit(core.ports, case, PERSON, now, patch, NO_CONTEXT)
    return await partner_acts.resubmit(core.ports, case, PERSON, now, NO_CONTEXT)


async def _other_items(core: Core, case: Case, now: datetime) -> Case:
    if case.claim.engagement != USAGE:
        return case
    patch = {"items": [{"workload": "exchange"}] if case.claim.holds("teams") else [{"workload": "teams"}]}
    return await drafts.edit(core.ports, case, PERSON, now, patch, NO_CONTEXT)


async def _dispute(core: Core, case: Case, now: datetime) -> Case:
    why = Comment("partner", PERSON.id, "We were first.", now)
    return await partner_acts.dispute(core.ports, case, PERSON, now, ActContext(comment=why))


async def _bounce(core: Core, case: Case, now: datetime) -> Case:
    answer_by = await partner_answers_by(core.ports, case.claim, now)
    numbers = [recipient.number for recipient in case.claim.notified_recipients()]
    if not numbers:
        return case

    def failed(current: Case) -> Case:
        return life.recipient_failed(current, PROGRAMME, now, numbers[0], answer_by=answer_by)

    return await change_claim(core.ports, case, now, failed)


ACTS: dict[str, Act] = {
    "start": lambda core, case, now: reviews.start(core.ports, case, now, NO_CONTEXT),
    "release": lambda core, case, now: reviews.release(core.ports, case, now, NO_CONTEXT),
    "approve": _approve,
    "reject": lambda core, case, now: reviews.reject(core.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT),
    "ask for more": lambda core, case, now: reviews.request_information(
        core.ports, case, now, [Reason.EVIDENCE_MISSING], NO_CONTEXT
    ),
    "strike": _strike,
    "revoke": lambda core, case, now: reviews.revoke(core.ports, case, now, NO_CONTEXT),
    "resubmit": _resubmit,
    "name another contact": _another_contact,
    "name other items": _other_items,
    "dispute": _dispute,
    "withdraw": lambda core, case, now: partner_acts.withdraw(core.ports, case, PERSON, now, NO_CONTEXT),
    "end": lambda core, case, now: partner_acts.end(
        core.ports, case, PERSON, now, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT
    ),
    "bounce": _bounce,
    "submit": _submit,
    "delete": lambda core, case, now: drafts.delete(core.ports, case, PERSON, now),
}
"""What the partner and the programme do. What the customer does stands in rules of its own: it must be remembered."""

LIKELY: dict[Status, Sequence[str]] = {
    Status.DRAFT: ["submit", "submit", "delete"],
    Status.SUBMITTED: ["start", "start", "withdraw"],
    Status.UNDER_REVIEW: ["approve", "approve", "approve", "reject", "ask for more", "strike", "release", "withdraw"],
    Status.PARTNER_ACTION_REQUIRED: ["resubmit", "name another contact", "name other items", "withdraw"],
    Status.AWAITING_CUSTOMER: ["bounce", "revoke", "withdraw"],
    Status.REJECTED: ["dispute"],
    Status.DISPUTED: ["approve", "reject", "strike"],
    Status.OFFICIAL: ["end", "revoke", "bounce"],
}
"""What can be done in each state, the usual more often."""

CONTESTS: list[Sequence[tuple[Item, ...]]] = [
    [(TEAMS,), (EXCHANGE,)],
    [(TEAMS,), (TEAMS,)],
    [(TEAMS, EXCHANGE), (EXCHANGE, SHAREPOINT)],
    [(TEAMS,), (EXCHANGE, SHAREPOINT)],
    [(SALES,), (SALES,)],
]
ITEMS = st.sampled_from([(SALES,), *WORKLOADS])

REFUSALS = {
    "InvalidState",
    "DeclineNotYours",
    "SlotAwaitsCustomer",
    "SlotCrowded",
    "NotDisputable",
    "ValidationFailed",
    "NotFound",
}


SPEAKERS = st.sampled_from([ANNE, THE_ADMINISTRATOR])


class Machine(RuleBasedStateMachine):
    """The service in memory, and the facts that the test knows without asking it."""

    claims: Bundle[str] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.core = Core()
        self.ids: list[str] = []
        self.said_no: dict[str, Speaker] = {}
        """Claims to which the customer's last word was no, by who said it."""
        self.read: dict[str, list[Entry]] = {}
        """The history of each claim as it was last read."""
        self.doubtful: set[str] = set()
        """Mails that were sent by a process that died."""

    def teardown(self) -> None:
        """Close the loop."""
        self.loop.close()

    def run(self, doing: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine on the machine's loop."""
        return self.loop.run_until_complete(doing)

    @property
    def now(self) -> datetime:
        return self.run(self.core.now())

    def attempt(self, doing: Coroutine[Any, Any, Any]) -> bool:
        """
        Try an act, and return whether it was accepted.

        A refusal is an answer, and every other error fails the test.
        """
        try:
            self.run(doing)
        except Refused as refused:
            if refused.code not in REFUSALS:
                raise
            return False
        return True

    # --- people -------------------------------------------------------------------------------------------------------

    @initialize(
        target=claims,
        addresses=st.sampled_from([(), ("it@contoso.fr",)]),
        held=st.sampled_from([(TEAMS, EXCHANGE), (TEAMS, EXCHANGE, SHAREPOINT), (TEAMS,), ()]),
        filed=st.sampled_from(CONTESTS),
        told=st.sampled_from([2, 2, 1, 0]),
    )
    def begin(
        self, addresses: tuple[str, ...], held: tuple[Item, ...], filed: Sequence[tuple[Item, ...]], told: int
    ) -> Any:
        """
        Register three partners and one customer.

        In some runs one partner is official and others have begun to replace it.
        """
        self.run(self.core.register(notice_addresses=addresses))
        if held:
            self.things_go_their_way(self._file(ADATUM, held, submit=True), by="queue", undeclined=True)
        for organisation, items in zip((FABRIKAM, LITWARE), filed, strict=True):
            self._file(organisation, items, submit=True)
        for claim in self.ids[-2:][:told]:
            self.things_go_their_way(claim, by="queue", undeclined=False)
        return multiple(*self.ids)

    @precondition(lambda self: len(self.ids) < MOST_CLAIMS)
    @rule(target=claims, items=ITEMS, submit=st.sampled_from([True, True, True, False]))
    def file(self, items: tuple[Item, ...], submit: bool) -> str:  # noqa: FBT001
        """Create a claim of a partner, and mostly submit it."""
        return self._file(self._somebody_without(items), items, submit=submit)

    def _somebody_without(self, items: tuple[Item, ...]) -> str:
        """Return a partner without an open or official claim on these items, or None."""
        keys = {item.key for item in items}
        busy = {
            claim.organisation
            for claim in self._as_of(self._stored(), self.now).values()
            if claim.status in OPEN | {Status.OFFICIAL} and keys & {item.key for item in claim.items}
        }
        return next((partner for partner in (ADATUM, FABRIKAM, LITWARE) if partner not in busy), LITWARE)

    def _file(self, organisation: str, items: tuple[Item, ...], *, submit: bool) -> str:
        engagement = RECOGNITION if items == (SALES,) else USAGE
        case = self.run(self.core.draft(organisation, items=items, engagement=engagement))
        self.ids.append(case.claim.id)
        if submit:
            self.attempt(self.core.submit(case))
        return case.claim.id

    @rule(claim=claims, data=st.data(), between=st.sampled_from([False, False, False, True]))
    def do(self, claim: str, data: st.DataObject, between: bool) -> None:  # noqa: FBT001
        """
        Let a person of the partner or the programme try an act, mostly a possible one.

        The timer sometimes runs between the due row and the transaction.
        """
        likely = self._likely(claim)
        name = data.draw(st.sampled_from([*likely, *likely, *likely, *sorted(ACTS)]))
        if between:
            self.core.rows.before = self._timer_before("claims")
        self.attempt(self._do(claim, name))
        self.core.rows.before = None

    def _likely(self, claim: str) -> Sequence[str]:
        case = self.run(self.core.ports.claims.load(claim))
        return LIKELY.get(settle(case, self.now).claim.status, ()) if case is not None else ()

    def _timer_before(self, wanted: str) -> Meddler:
        async def go_first(table: str, _: Sequence[Op]) -> None:
            if table == wanted:
                self.core.rows.before = None
                self.core.lose_messages()
                self.core.clock.advance(timedelta(minutes=4))
                await self.core.sweep()

        return go_first

    @rule(
        claim=claims,
        by=st.sampled_from(["queue", "queue", "timer", "both at once"]),
        undeclined=st.sampled_from([True, False]),
    )
    def things_go_their_way(self, claim: str, by: str, undeclined: bool) -> None:  # noqa: FBT001
        """Approve a claim if possible, notify its customer, and sometimes let the window end."""
        self.attempt(self._do(claim, "start"))
        self.attempt(self._do(claim, "approve"))
        if by != "queue":
            self.core.clock.advance(SOON)
        self.queue_and_timer({"both at once": "all at once"}.get(by, by))
        case = self.run(self.core.ports.claims.load(claim))
        ends_at = case.claim.window_ends_at if case is not None else None
        if undeclined and ends_at is not None and ends_at > self.now:
            self.core.clock.set(ends_at + GRACE)

    @precondition(lambda self: len(self.ids) < MOST_CLAIMS)
    @rule(target=claims, claim=claims)
    def challenge(self, claim: str) -> Any:
        """Let another partner claim the same items, and let a reviewer decide for that partner if possible."""
        case = self.run(self.core.ports.claims.load(claim))
        if case is None:
            return multiple()
        rival = self._file(self._somebody_without(case.claim.items), case.claim.items, submit=True)
        self.attempt(self._do(rival, "start"))
        self.attempt(self._do(rival, "approve"))
        return rival

    async def _do(self, claim: str, name: str) -> None:
        now = await self.core.now()
        case = await find(self.core.ports, claim, now)
        if case is not None:
            await ACTS[name](self.core, case, now)

    @rule(claim=claims, slow=st.sampled_from([timedelta(0), MICROSECOND, timedelta(seconds=1)]), by=SPEAKERS)
    def say_no(self, claim: str, slow: timedelta, by: Speaker) -> None:
        """
        Let the customer decline or end by the same button.

        Only a notified recipient can. The instance can be slow.
        """
        self.attempt(self._say_no(claim, slow, by))

    async def _say_no(self, claim: str, slow: timedelta = timedelta(0), by: Speaker = ANNE) -> None:
        arrived = await self.core.now()
        case = await find(self.core.ports, claim, arrived)
        if case is None or not self._was_written_to(claim):
            return
        self.core.clock.advance(slow)
        after = await customer_acts.decline(self.core.ports, case, by, arrived, NO_CONTEXT)
        self.said_no[claim] = by
        assert after.claim.status in (Status.DECLINED, Status.ENDED)

    @rule(claim=claims, by=SPEAKERS)
    def take_it_back(self, claim: str, by: Speaker) -> None:
        """Let the customer undo the no. A contact never undoes the administrator's no (decision 20a)."""
        self.attempt(self._take_it_back(claim, by))

    async def _take_it_back(self, claim: str, by: Speaker) -> None:
        now = await self.core.now()
        case = await find(self.core.ports, claim, now)
        if case is not None:
            await customer_acts.undo(self.core.ports, case, by, now, NO_CONTEXT)
            assert (self.said_no.pop(claim, None), by) != (THE_ADMINISTRATOR, ANNE)

    def _was_written_to(self, claim: str) -> bool:
        return any(message.claim.id == claim and message.kind == "notice" for message in self.core.mailbox.sent)

    @rule(one=claims, other=claims, data=st.data())
    def do_at_once(self, one: str, other: str, data: st.DataObject) -> None:
        """Let two people act at the same time, on one claim or on two."""
        names = [data.draw(st.sampled_from(["say no", *self._likely(claim)])) for claim in (one, other)]

        async def both() -> None:
            doing = [
                self._say_no(claim) if name == "say no" else self._do(claim, name)
                for claim, name in zip((one, other), names, strict=True)
            ]
            for outcome in await asyncio.gather(*doing, return_exceptions=True):
                if isinstance(outcome, Refused):
                    assert outcome.code in REFUSALS, outcome
                elif outcome is not None:
                    raise outcome

        self.run(both())

    @rule(items=ITEMS)
    def file_at_once(self, items: tuple[Item, ...]) -> None:
        """Let two partners submit for the same items at the same time."""
        if len(self.ids) > MOST_CLAIMS - 2:
            return
        for organisation in (FABRIKAM, LITWARE):
            self._file(organisation, items, submit=False)

        async def both() -> None:
            doing = [self._do(claim, "submit") for claim in self.ids[-2:]]
            for outcome in await asyncio.gather(*doing, return_exceptions=True):
                assert outcome is None or isinstance(outcome, Refused), outcome

        self.run(both())

    # --- the clock ----------------------------------------------------------------------------------------------------

    @rule(by=st.sampled_from([MICROSECOND, timedelta(minutes=1), timedelta(minutes=12), DAY, 8 * DAY, 31 * DAY]))
    def time_passes(self, by: timedelta) -> None:
        """Move the clock by a short or a long time."""
        self.core.clock.advance(by)

    @rule(which=st.integers(0, 5), offset=st.sampled_from([-MICROSECOND, timedelta(0), timedelta(0), MICROSECOND]))
    def time_comes(self, which: int, offset: timedelta) -> None:
        """Move the clock to one of the next instants at which time changes a claim, or close to it."""
        instants = [instant for instant in self._instants() if instant + offset > self.now]
        if instants:
            self.core.clock.set(instants[which % len(instants)] + offset)

    def _instants(self) -> list[datetime]:
        """Return the instants at which time changes a claim, the earliest first."""
        found = set()
        for case in self._stored().values():
            claim = case.claim
            found |= {claim.due, claim.window_ends_at, claim.promise.reminder_at if claim.promise else None}
            found.add(figures_from(claim))
            found |= {place.until for slot in case.slots.values() for place in slot.claimants}
        return sorted(instant for instant in found if instant is not None)

    # --- queue, timer and mail ----------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["queue", "queue", "timer", "timer", "twice", "all at once"]))
    def queue_and_timer(self, what: str) -> None:
        """Deliver every waiting message, or run the timer once or twice, or do all at once."""

        async def at_once() -> None:
            await asyncio.gather(self.core.sweep(), self.core.deliver(), self.core.sweep())

        match what:
            case "queue":
                self.run(self.core.deliver())
            case "timer" | "twice":
                assert self.run(self.core.sweep()).failed == 0
                if what == "twice":
                    assert self.run(self.core.sweep()).failed == 0
            case _:
                self.run(at_once())

    @rule(claim=claims, times=st.sampled_from([1, 3]))
    def message_comes_again(self, claim: str, times: int) -> None:
        """Deliver old or invented messages, sometimes several at the same time."""

        async def process() -> None:
            now, stored = await self.core.now(), await self.core.ports.claims.load(claim)
            if stored is not None:
                await process_claim.process_claim(self.core.ports, stored, now)

        async def at_once() -> None:
            await asyncio.gather(*(process() for _ in range(times)))

        self.attempt(at_once())  # a lapsed draft is gone after the first message

    @rule(name=st.sampled_from(["timer", "queue"]), at=st.integers(1, 6), done=st.booleans())
    def process_dies(self, name: str, at: int, done: bool) -> None:  # noqa: FBT001
        """Stop a process before or after its n-th write, and lose its other work."""
        writes = itertools.count(1)
        rows = self.core.rows

        async def die(table: str, ops: Sequence[Op]) -> None:
            if next(writes) >= at:
                raise ProcessDied

        if done:
            rows.after = die
        else:
            rows.before = die
        sent = len(self.core.mailbox.sent)
        with suppress(ProcessDied):
            self.run(self.core.sweep() if name == "timer" else self.core.deliver())
        self.doubtful |= {message.message_id for message in self.core.mailbox.sent[sent:]}
        rows.before = rows.after = None
        self.core.lose_messages()

    @rule(
        what=st.sampled_from(["mail", "anne.durand@contoso.fr", "bruno@contoso.fr", "it@contoso.fr", "lost", "moved"])
    )
    def trouble(self, what: str) -> None:
        """
        Let the mail system fail or recover, refuse an address for good or for some time, lose messages, or move the
        sandbox's clock without the real one.
        """
        mailbox = self.core.mailbox
        if what == "mail":
            mailbox.down = not mailbox.down
        elif what == "lost":
            self.core.lose_messages()
        elif what == "moved":
            self.core.clock.shift(3 * DAY)
        elif what in mailbox.refused:
            mailbox.refused.discard(what)
            mailbox.put_off.add(what)
        elif what in mailbox.put_off:
            mailbox.put_off.discard(what)
        else:
            mailbox.refused.add(what)

    @rule(gone=st.sampled_from(["exchange", "teams", ""]))
    def operator_changes_the_tenant(self, gone: str) -> None:
        """Remove a workload from the tenant, or restore it."""
        workloads = tuple(name for name in ("teams", "exchange", "sharepoint") if name != gone)
        change = partners_and_customers.CustomerChange(TENANT, customer(workloads=workloads), confirmed_ends=None)
        self.attempt(partners_and_customers.put_customer(self.core.ports, change, self.now))

    # --- what must always hold ----------------------------------------------------------------------------------------

    @rule()
    def the_programme_follows(self) -> None:
        """
        Follow everything, and compare what the programme sees with the claims, slots and histories.

        The figures are compared with an independent count.
        """
        self.run(follow_now(self.core.ports, self.now))

        self.run(verify_insight(self.core, list(self._stored())))
        faults = list(faults_of_programme(self.core.rows._rows))
        assert not faults, "\n".join(faults)

    def _stored(self) -> dict[str, StoredCase]:
        loaded = [self.run(self.core.ports.claims.load(claim)) for claim in self.ids]
        return {case.claim.id: case for case in loaded if case is not None}

    def _as_of(self, cases: dict[str, StoredCase], now: datetime) -> dict[str, Claim]:
        return {name: settle(case, now).claim for name, case in cases.items()}

    @staticmethod
    def _slots(cases: dict[str, StoredCase]) -> dict[tuple[str, str], Slot]:
        found: dict[tuple[str, str], Slot] = {}
        for case in cases.values():
            for key, slot in case.slots.items():
                if slot.version >= found.get((slot.engagement, key), slot).version:
                    found[slot.engagement, key] = slot
        return found

    @invariant()
    def it_holds(self) -> None:
        """Read everything once and check all rules."""
        now, cases = self.now, self._stored()
        shown = self._as_of(cases, now)
        self.at_no_instant_two_hold_one_item(cases, now)
        self.each_has_its_place(cases, shown, now)
        self.official_claims_were_told_and_not_declined(shown)
        self.no_means_no(cases, now)
        self.what_is_owed_has_a_due_row(cases, now)
        self.somebody_is_next(cases, now)
        self.histories_are_chains_that_only_grow(cases, now)
        self.the_timer_writes_what_was_read(cases, shown, now)
        self.one_notice_goes_out_once()
        self.partners_are_told_what_is_true()

    def at_no_instant_two_hold_one_item(self, cases: dict[str, StoredCase], now: datetime) -> None:
        """Assert that no two claims hold one item or await the customer for it, now or at any later instant."""
        for instant in (now, *(i for i in self._instants() if i > now), now + FAR):
            holders: set[tuple[str, str]] = set()
            awaiting: set[tuple[str, str]] = set()
            for claim in self._as_of(cases, instant).values():
                held = {(claim.engagement, item.key) for item in claim.items if claim.holds(item.key)}
                if claim.status is Status.OFFICIAL:
                    assert not held & holders, (instant, held & holders)
                    holders |= held
                if claim.status is Status.AWAITING_CUSTOMER:
                    assert not held & awaiting, (instant, held & awaiting)
                    awaiting |= held

    def each_has_its_place(self, cases: dict[str, StoredCase], shown: dict[str, Claim], now: datetime) -> None:
        """Assert that slots and claims name one another."""
        slots = {place: slot.at(now) for place, slot in self._slots(cases).items()}
        for (engagement, key), slot in slots.items():
            if slot.holder is not None:
                holder = shown[slot.holder.claim]
                assert (holder.status, holder.holds(key)) == (Status.OFFICIAL, True), (engagement, key)
            if slot.awaiting is not None:
                assert shown[slot.awaiting.claim].status is Status.AWAITING_CUSTOMER, (engagement, key)
            for claimant in slot.claimants:
                claim = shown[claimant.claim]
                assert claim.status in OPEN or claimant.declined, (engagement, key, claim.status)
                assert claimant.declined == (claim.status is Status.DECLINED), (engagement, key, claim.status)
        for claim in shown.values():
            for item in claim.items:
                at = slots.get((claim.engagement, item.key))
                if at is None:
                    continue
                if claim.status is Status.OFFICIAL and claim.holds(item.key):
                    assert at.holder is not None
                    assert at.holder.claim == claim.id
                if claim.status is Status.AWAITING_CUSTOMER:
                    assert at.awaiting is not None
                    assert at.awaiting.claim == claim.id
                    assert at.awaiting.takes_over_at == claim.window_ends_at
                if claim.status in UNDECIDED - {Status.PARTNER_ACTION_REQUIRED}:
                    assert claim.id in {claimant.claim for claimant in at.claimants}

    def official_claims_were_told_and_not_declined(self, shown: dict[str, Claim]) -> None:
        """Assert that each official claim had a hand-over of the notice with that end, and no no."""
        for claim in shown.values():
            if claim.official_since is None:
                continue
            ends = [
                message.claim.promise.ends_at
                for message in self.core.mailbox.sent
                if message.kind == "notice" and message.claim.id == claim.id and message.claim.promise is not None
            ]
            assert claim.official_since in ends
            assert claim.opened_at is not None
            assert claim.opened_at < claim.official_since

    def no_means_no(self, cases: dict[str, StoredCase], now: datetime) -> None:
        """Assert that a declined or ended claim neither awaits the customer nor is official, now or later."""
        for instant in (now, now + FAR):
            for name, claim in self._as_of(cases, instant).items():
                if name in self.said_no:
                    assert claim.status not in OPEN | {Status.OFFICIAL}

    def what_is_owed_has_a_due_row(self, cases: dict[str, StoredCase], now: datetime) -> None:
        """
        Assert that due work has a due row at its instant.

        Work due at once has its row soon, at most eleven minutes from now after a sweep between row and act. A
        postponed row is due within the hour.
        """
        rows = self.run(self.core.due_rows())
        for case in cases.values():
            due = [row for row in rows if row.subject == case.claim.id and row.deletes is None]
            for debt in due_work_of(case.claim):
                over = case.claim.window_ends_at is not None and now >= case.claim.window_ends_at
                if debt.kind is Kind.REMIND_CUSTOMER and over:
                    continue
                earliest = now if debt.due is None or debt.due <= now else debt.due
                assert any(
                    row.due <= earliest + (LONGEST_WAIT if row.attempt else LOOKED_AT_AGAIN)
                    and (row.due >= earliest or earliest == now)
                    for row in due
                ), (debt, [(row.due, row.kind, row.attempt) for row in due])

    def somebody_is_next(self, cases: dict[str, StoredCase], now: datetime) -> None:
        """Assert that each claim has a next step, and that a time limit decided by the clock has not ended."""
        for stored in cases.values():
            case = settle(stored, now)
            claim, step = case.claim, next_step(replace(case, slots={}), self.core.ports.terms)
            assert (step.owner is Owner.NOBODY) == (step.action is Action.NONE)
            if step.owner in (Owner.PARTNER, Owner.CUSTOMER):
                assert step.due is not None
                assert step.due > now
            if claim.status in OPEN | {Status.DRAFT}:
                assert step.owner is not Owner.NOBODY

    def histories_are_chains_that_only_grow(self, cases: dict[str, StoredCase], now: datetime) -> None:
        """Assert that entries once read stay the same, byte for byte."""
        for name, case in cases.items():
            if case.claim.status is Status.DELETED:
                continue  # the claim is being erased, row by row
            entries = list(self.run(history_as_of(self.core.ports, settle(case, now), after=0, limit=1000)))
            assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
            assert [entry.previous_hash for entry in entries] == [None, *(entry.hash for entry in entries[:-1])]
            assert all(digest(entry.model_dump(mode="json", by_alias=True)) == entry.hash for entry in entries)
            before = self.read.get(name, [])
            assert entries[: len(before)] == before
            self.read[name] = entries

    def the_timer_writes_what_was_read(
        self, cases: dict[str, StoredCase], shown: dict[str, Claim], now: datetime
    ) -> None:
        """
        Assert that the timer writes the state that readers saw, in any order of the claims.

        The store itself is not changed.
        """
        cases = {name: case for name, case in cases.items() if case.claim.status is not Status.DELETED}
        unsettled = [name for name, case in cases.items() if shown[name] != case.claim]
        if not unsettled:
            return
        for order in (sorted(unsettled), sorted(unsettled, reverse=True)):
            copy = self.core.copied()
            for name in order:
                self.run(write_down(copy.ports, name, now))
            for name in cases:
                written = self.run(copy.ports.claims.load(name))
                assert written is not None
                mails = {"mails": (), "mail_count": 0, "partner_mails": (), "listed_mails": ()}
                same = {"version": 0, "people_until": None, **mails}
                assert written.claim.model_copy(update=same) == shown[name].model_copy(update=same)
                assert (
                    list(self.run(history_as_of(copy.ports, settle(written, now), after=0, limit=1000)))
                    == self.read[name]
                )

    def one_notice_goes_out_once(self) -> None:
        """Assert that one notice is sent once, unless a process died after its hand-over."""
        ids = [message.message_id for message in self.core.mailbox.sent if message.kind == "notice"]
        assert not [name for name in set(ids) - self.doubtful if ids.count(name) > 1]

    def partners_are_told_what_is_true(self) -> None:
        """Assert that a mail to a partner tells the state of the claim at the instant of sending."""
        for message in self.core.mailbox.to_partners:
            assert message.claim.status is TOLD_IN.get(message.kind, message.claim.status), message.kind


TOLD_IN = {
    "informationRequested": Status.PARTNER_ACTION_REQUIRED,
    "customerUnreachable": Status.PARTNER_ACTION_REQUIRED,
    "customerTold": Status.AWAITING_CUSTOMER,
    "declined": Status.DECLINED,
    "declineUndone": Status.AWAITING_CUSTOMER,
    "madeOfficial": Status.OFFICIAL,
    "rejected": Status.REJECTED,
    "finallyRejected": Status.REJECTED_FINAL,
    "ended": Status.ENDED,
}


@pytest.mark.slow
def test_the_rules_hold_after_random_acts() -> None:
    """Each commit runs some seconds of CPU time, with the same steps each time. THOROUGH=1 runs more steps."""
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=3000 if THOROUGH else 40,
            stateful_step_count=25,
            derandomize=not THOROUGH,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
