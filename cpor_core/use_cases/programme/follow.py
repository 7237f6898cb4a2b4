"""
The follower: writes down what the programme sees of a claim (decision 75).

Each act on a claim writes a due row of the kind `FOLLOW` before its commit. The follower reads the claim, its slots and
its new history entries, and derives from them the changes in the programme's feed and the rows of the register. One
transaction of the claim's shard stores all of it. No act waits for the follower.

Each transaction names the ETag of the shard's head, which is read before the claims. So a pass that has read older rows
than another pass fails, and reads them again.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cpor_core.due_work import RETENTION, SOON, Kind
from cpor_core.errors import Conflict, StorageBusy
from cpor_core.model.claim import CLOSED, Claim, Status
from cpor_core.model.history import Act, Entry
from cpor_core.model.programme import FollowedClaim, ProgrammeChange
from cpor_core.model.registry import Customer
from cpor_core.model.webhook import COMPETING
from cpor_core.ports import Ports
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.programme import Followed, ShardHead
from cpor_core.ports.stored import Registered
from cpor_core.rules.identifiers import shard_of
from cpor_core.rules.tally import moved
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.transitions.register_rows import register_rows
from cpor_core.use_cases.feed.changes import TAKES_PLACE, catch_up
from cpor_core.use_cases.programme.tallies import Counting, count
from cpor_core.use_cases.together import together
from cpor_core.views import entity_tag

ATTEMPTS = 8
IN_FLIGHT = 16
"""The most claims that are read at the same time."""
MOST_ENTRIES = 20
"""The most history entries of one claim in one transaction."""
MOST_ROWS = 95
"""The most rows of one transaction without the head. A transaction can have 100 rows."""
MOST_COMPETITORS = 200
"""The most competitors that are remembered of one claim."""
TRIMMED = "programme-"
"""The beginning of the subject of a due row that trims a feed. The number of the shard follows."""
LOOKED_AT_AGAIN = timedelta(days=30)
"""When a feed whose newest change is older than the retention is looked at again."""
NOT_WHOLE = -1
"""The followed version of a claim while only some of its entries were taken."""
ANEW, FIGURES, RECOUNT = "anew", "figures", "recount"
"""
The labels of due rows after a change that is not in the claim.

With `ANEW` the customer or the registry has changed. With `FIGURES` also figures of the tenant were loaded. With
`RECOUNT` also the whole history is counted again. The labels are in the order of the alphabet: a later label includes
what the earlier labels ask for.
"""


def follow_anew_row(stored: StoredCase, at: datetime | None, due: datetime, label: str = ANEW) -> DueRow:
    """Return the due row after a change at *at* that concerns the claim, but is not in its rows."""
    claim = stored.claim
    return DueRow(due, claim.id, Kind.FOLLOW, label, version=claim.version, at=at)


def trim_row(shard: int, oldest: datetime) -> DueRow:
    """Return the due row that deletes the oldest change of a shard's feed at the end of its retention."""
    return DueRow(oldest + RETENTION[Kind.TRIM_PROGRAMME], f"{TRIMMED}{shard:02d}", Kind.TRIM_PROGRAMME)


async def trim(ports: Ports, row: DueRow, now: datetime) -> None:
    """
    Delete the changes of one of the programme's feeds whose retention has ended. Raises `Conflict`.

    The due row is moved to the end of the retention of the next change. If there is none, it is moved by 30 days,
    because the newest change can be deleted after the next one.
    """
    retention = RETENTION[Kind.TRIM_PROGRAMME]
    oldest = await ports.programme.trim(int(row.subject.removeprefix(TRIMMED)), before=now - retention)
    again = max(oldest + retention, now + timedelta(minutes=1)) if oldest is not None else now + LOOKED_AT_AGAIN
    await ports.duework.move(row, (), due=again, attempt=0)


def begun(ports: Ports, head: ShardHead) -> ShardHead:
    """
    Return the head of a shard for the first write. A shard that was written before keeps its head.

    The numbers of a feed begin with the time in milliseconds. So a cursor of a feed that was lost expires, and never
    leads to a number of the feed that was made again.
    """
    if head.etag is not None:
        return head
    last = int(ports.real_now().timestamp() * 1000)
    return ShardHead(last=last, oldest=last + 1)


def registered_row(kind: Kind, subject: str, version: int, now: datetime) -> DueRow:
    """Return the due row of a change in the registry. *version* is the version of the entry after the change."""
    return DueRow(now + SOON, subject, kind, version=version, at=now)


@dataclass(frozen=True, slots=True)
class Competitor:
    """A claim that began to compete with another claim. A dispute has its own number, another beginning has 0."""

    claim_id: str
    number: int
    at: datetime

    @property
    def key(self) -> str:
        """The name under which the competitor is remembered."""
        return f"{self.claim_id}|{self.number}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A claim to follow.

    With a `label`, everything is derived again. With `is_other`, an act on another claim has changed the slots, and can
    have made competitors.
    """

    claim_id: str
    label: str = ""
    is_other: bool = False
    competitors: tuple[Competitor, ...] = ()

    @property
    def anew(self) -> bool:
        """Whether everything is derived again."""
        return bool(self.label)

    @property
    def needs_newest(self) -> bool:
        """Whether the claim must be read after the head of its shard, although its version was followed before."""
        return self.anew or self.is_other


@dataclass(slots=True)
class _Derived:
    """What follows from one claim."""

    wanted: Wanted
    followed: Followed
    others: frozenset[str] = frozenset()
    """The claims at the same slots, if this claim has changed what is derived from them."""
    rivals: Mapping[str, Competitor] = field(default_factory=dict)
    """The claims with which this claim begins to compete."""
    has_more: bool = False
    """The claim has more entries than one transaction takes."""


async def follow(
    ports: Ports, wanted: Sequence[Wanted], now: datetime, known: Mapping[str, StoredCase | None] | None = None
) -> None:
    """
    Follow claims of one shard, as many as possible in one transaction. A repeated call does no harm.

    *known* has claims that were read before. Raises `Conflict` and `StorageBusy` after too many lost races.
    """
    if not wanted:
        return
    shard = shard_of(wanted[0].claim_id)
    known, lost, left = dict(known or {}), 0, list(wanted)
    while left:
        head = await ports.programme.known_head(shard)
        try:
            left = await _follow(ports, shard, head, left, now, known)
        except Conflict:
            lost += 1
            if lost == ATTEMPTS:
                message = f"shard {shard} of the programme: lost {ATTEMPTS} races in a row"
                raise StorageBusy(message, retry_after_seconds=1) from None
            await ports.programme.head(shard)  # the next attempt knows this head
        known = {}


async def _follow(
    ports: Ports,
    shard: int,
    head: ShardHead,
    wanted: Sequence[Wanted],
    now: datetime,
    known: Mapping[str, StoredCase | None],
) -> list[Wanted]:
    """Follow the claims over *head*. Returns the claims that have more entries. Raises `Conflict`."""
    reads, gate = _Reads(ports, shard), asyncio.Semaphore(IN_FLIGHT)

    async def derive(one: Wanted) -> _Derived | None:
        async with gate:
            is_known = one.claim_id in known and not one.needs_newest
            stored = known[one.claim_id] if is_known else await ports.claims.load(one.claim_id)
            return await _derived(reads, one, stored, now, is_known=is_known)

    derived = [found for found in await together(map(derive, wanted)) if found is not None]
    await _follow_others(ports, derived, now)
    head = begun(ports, head)
    for group in _in_transactions(one.followed for one in derived):
        group.changes = [
            change.model_copy(update={"sequence": number})
            for number, change in enumerate(group.changes, start=head.last + 1)
        ]
        if group.changes and head.last < head.oldest:  # the first changes of this feed
            await ports.duework.add([trim_row(shard, now)])
        head = await ports.programme.write(shard, head, group)
    return [one.wanted for one in derived if one.has_more]


@dataclass(slots=True)
class _Reads:
    """What several claims of one pass need. Each row is read once."""

    ports: Ports
    shard: int
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _partners: dict[str, str | None] = field(default_factory=dict)
    _customers: dict[str, Registered[Customer] | None] = field(default_factory=dict)

    async def partner_name(self, partner_id: str) -> str | None:
        """Return the name of a location in this shard. None if the shard has no claim of the location."""
        async with self._locks.setdefault(partner_id, asyncio.Lock()):
            if partner_id not in self._partners:
                self._partners[partner_id] = await self.ports.programme.partner_name(self.shard, partner_id)
        return self._partners[partner_id]

    async def customer(self, tenant_id: str) -> Customer | None:
        """Return a customer as it is registered now. None if it is not registered."""
        async with self._locks.setdefault(tenant_id, asyncio.Lock()):
            if tenant_id not in self._customers:
                self._customers[tenant_id] = await self.ports.registry.customer(tenant_id)
        found = self._customers[tenant_id]
        return found.value if found is not None else None


async def _derived(
    reads: _Reads, wanted: Wanted, stored: StoredCase | None, now: datetime, *, is_known: bool
) -> _Derived | None:
    """
    Return what follows from a claim. None if nothing has changed. Raises `Conflict` if *stored* can be too old.

    A claim that *is_known* was read before the head of its shard. If its version was followed since, its slots can be
    older than those that were followed.
    """
    ports = reads.ports
    if stored is not None:
        await catch_up(ports, stored, now, is_rebuilt=wanted.anew)
    before = await ports.programme.claim(reads.shard, wanted.claim_id)
    if stored is None:
        if before is None:
            return None
        gone = Followed(erased=[before], gone=list(before.rows), moves=moved([(before.tally, None)]))
        return _Derived(wanted, gone)
    claim = stored.claim
    if before is not None and _is_followed(before, claim) and not wanted.needs_newest:
        return None
    if before is not None and before.version >= claim.version + (not is_known):
        message = f"claim {claim.id} has changed since it was read"
        raise Conflict(message)
    taken, passed_on = (before.taken, before.passed_on) if before is not None else (0, 0)
    entries, has_more = await _new_entries(ports, claim, taken if wanted.is_other else min(taken, passed_on))
    after, partners = await _followed_claim(reads, stored, before, anew=wanted.anew)
    competitors = [one for one in wanted.competitors if one.key not in after.competitors]
    last = entries[-1].sequence if entries else taken
    after = after.model_copy(
        update={
            "version": NOT_WHOLE if has_more else claim.version,
            "taken": max(taken, last),
            "passed_on": passed_on if wanted.is_other else max(passed_on, last),
            "competitors": (*after.competitors, *(one.key for one in competitors))[-MOST_COMPETITORS:],
        }
    )
    tally = await count(
        ports,
        Counting(
            stored,
            before,
            after,
            entries,
            anew=wanted.anew,
            figures=wanted.label >= FIGURES,
            recount=wanted.label == RECOUNT,
        ),
        reads.customer,
        now,
    )
    after = after.model_copy(update={"tally": tally})
    case = settle(stored, now)
    changes = [
        _change(case, reads.shard, f"claim.{entry.act}", entry.to, entry.at)
        for entry in entries
        if entry.sequence > taken
    ]
    changes += [_change(case, reads.shard, COMPETING, case.claim.status, one.at) for one in competitors]
    if after == before and not changes and not wanted.anew:
        return None
    former = before.rows if before is not None else ()
    kept = {row.key for row in after.rows}
    followed = Followed(
        changes=changes,
        claims=[after],
        new=[after] if before is None else [],
        rows=[row for row in after.rows if wanted.anew or row not in former],
        gone=[row for row in former if row.key not in kept],
        partners=partners,
        moves=moved([(before.tally if before is not None else None, tally)]),
    )
    if len(followed) > MOST_ROWS:  # the next transaction moves the sums
        left = after.model_copy(update={"version": NOT_WHOLE, "tally": before.tally if before is not None else None})
        followed.claims, followed.moves, has_more = [left], {}, True
    if wanted.is_other:
        return _Derived(wanted, followed, has_more=has_more)
    new = [entry for entry in entries if entry.sequence > passed_on]
    return _Derived(wanted, followed, await _others(ports, stored, new), _rivals(case, new), has_more)


def _is_followed(before: FollowedClaim, claim: Claim) -> bool:
    return before.version >= claim.version and before.passed_on >= claim.history_length


async def _new_entries(ports: Ports, claim: Claim, taken: int) -> tuple[Sequence[Entry], bool]:
    """Return the history entries after the number *taken*, and whether the claim has more than one pass takes."""
    if claim.history_length <= taken:
        return (), False
    found = await ports.claims.history(claim.id, after=taken, limit=MOST_ENTRIES)
    entries = [entry for entry in found if entry.sequence <= claim.history_length]  # others are of a later act
    return entries, bool(entries) and entries[-1].sequence < claim.history_length


async def _followed_claim(
    reads: _Reads, stored: StoredCase, before: FollowedClaim | None, *, anew: bool
) -> tuple[FollowedClaim, dict[str, str]]:
    """Return the claim as it is followed now, and the name of its location if the shard does not have this name."""
    claim = stored.claim
    customer_name, country = (before.customer_name, before.country) if before is not None else ("", None)
    if before is None or anew:
        customer = await reads.customer(claim.tenant_id)
        customer_name, country = (customer.name, customer.country) if customer is not None else ("", None)
    partner_name = await reads.partner_name(claim.partner_id)
    partners = {claim.partner_id: claim.partner_name} if partner_name is None else {}
    after = FollowedClaim(
        claim_id=claim.id,
        version=claim.version,
        status=claim.status,
        created_at=claim.created_at,
        customer_name=customer_name,
        country=country,
        rows=register_rows(
            stored, partner_name=partner_name or claim.partner_name, customer_name=customer_name, country=country
        ),
        competitors=before.competitors if before is not None else (),
    )
    return after, partners


def _change(case: Case, shard: int, kind: str, status: Status, at: datetime) -> ProgrammeChange:
    claim = case.stored.claim
    return ProgrammeChange(
        sequence=0,  # set when it is written
        feed=shard,
        type=kind,
        claim_id=claim.id,
        association_id=claim.id if claim.official_since is not None else None,
        status=status,
        at=at,
        etag=entity_tag(case),
        organisation=claim.organisation,
        tenant_id=claim.tenant_id,
        partner_id=claim.partner_id,
    )


async def _others(ports: Ports, stored: StoredCase, entries: Sequence[Entry]) -> frozenset[str]:
    """
    Return the other claims at the slots, if the claim has begun or ceased to await the customer.

    The claim decides until when a holder holds its items, and whether the reviews of the other claims stand still.
    """
    claim = stored.claim
    if not any(Status.AWAITING_CUSTOMER in (entry.from_, entry.to) for entry in entries):
        return frozenset()
    slots = (await ports.claims.prospect(claim)).slots if claim.status in CLOSED else stored.slots
    return frozenset(party.claim for slot in slots.values() for party in slot.others(claim.id) if not party.declined)


def _rivals(case: Case, entries: Sequence[Entry]) -> Mapping[str, Competitor]:
    """Return the claims with which the claim has begun to compete (decision 15)."""
    came = next((entry for entry in reversed(entries) if entry.act in TAKES_PLACE), None)
    if came is None:
        return {}
    competitor = Competitor(case.claim.id, came.sequence if came.act is Act.DISPUTED else 0, came.at)
    return {party.claim: competitor for party in case.rival_parties(case.now) if not party.declined}


async def _follow_others(ports: Ports, derived: Iterable[_Derived], now: datetime) -> None:
    """
    Follow the other claims at the slots of *derived*. Their rows and changes follow from the acts on these claims.

    They are followed first. If this process dies, the due rows of *derived* lead to them again.
    """
    wanted: dict[str, list[Competitor]] = {}
    for one in derived:
        for other in one.others:
            wanted.setdefault(other, [])
        for rival, competitor in one.rivals.items():
            wanted.setdefault(rival, []).append(competitor)
    by_shard: dict[int, list[Wanted]] = {}
    for claim_id, competitors in sorted(wanted.items()):
        one_other = Wanted(claim_id, is_other=True, competitors=tuple(competitors))
        by_shard.setdefault(shard_of(claim_id), []).append(one_other)
    for others in by_shard.values():
        await follow(ports, others, now)


def _in_transactions(all_followed: Iterable[Followed]) -> Iterator[Followed]:
    """Join what follows from several claims, as long as it fits into one transaction."""
    group = Followed()
    for followed in all_followed:
        if len(group) and len(group) + len(followed) > MOST_ROWS:
            yield group
            group = Followed()
        group.add(followed)
    if len(group):
        yield group
