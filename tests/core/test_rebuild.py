"""Lost index rows and due rows are made again: every list is complete, and all due work has its time."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from cpor_app.adapters.storage.row_store import Op
from cpor_app.adapters.storage.tables import unpacked
from cpor_core.due_work import Kind
from cpor_core.errors import StorageBusy
from cpor_core.model.claim import NewClaim, Reason, Status
from cpor_core.model.webhook import WebhookWanted
from cpor_core.ports.claims import Comment
from cpor_core.ports.due_work import DueRow, Failure
from cpor_core.ports.idempotency import IdempotencyKey, StoredResponse
from cpor_core.rules.grace import GRACE
from cpor_core.rules.identifiers import list_position
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases import idempotency
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext
from cpor_core.use_cases.claims import batches, drafts, listing, partner_acts, reviews
from cpor_core.use_cases.due_work import failed_messages
from cpor_core.use_cases.due_work import rebuild as rebuilding
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.use_cases.feed import webhooks
from cpor_core.use_cases.privacy import erase_person
from cpor_core.use_cases.registry.partners_and_customers import locations
from tests.core.builders import (
    ADATUM,
    DAY,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    TEAMS,
    TENANT,
    USAGE,
    customer,
    partner,
)
from tests.core.memory_core import Core
from tests.core.test_machine import Machine

REBUILT = ("duework", "partnerclaims", "reviews")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
URL = "https://partner.example/hook"


@pytest.fixture
async def core() -> Core:
    """The service with three partners and a customer."""
    made = Core()
    await made.register()
    return made


def lose(core: Core, *tables: str) -> None:
    """Delete every row of these tables."""
    rows = core.rows._rows
    for place in [place for place in rows if place[0] in tables]:
        del rows[place]


def twin(core: Core, service_time: datetime) -> Core:
    """Return a service with a copy of the rows, blobs and times."""
    made = core.copied()
    made.clock.shift(service_time - made.clock.real())
    made.blobs.blobs = dict(core.blobs.blobs)
    made.batch_bodies.blobs = dict(core.batch_bodies.blobs)
    made.receivers.answers = dict(core.receivers.answers)
    return made


async def lists(core: Core) -> Any:
    """Return the contents of every list, in order."""
    now = await core.now()
    own = [
        [case.claim.id for case in page.cases]
        for organisation in (ADATUM, FABRIKAM, LITWARE)
        for page in [
            await listing.own_claims(core.ports, organisation, now, after="", limit=100, wanted=lambda _: True)
        ]
    ]
    pages = [await look(core.ports, now, after="", limit=100) for look in (reviews.awaiting_decision, reviews.sample)]
    return own, [[case.claim.id for case in page.cases] for page in pages]


async def verify(core: Core) -> None:
    """
    Raise AssertionError unless a rebuilt store shows the same lists and has the same ends at the same instants.

    Work due at once is done first, because a postponed row has a later instant than a new row.
    """
    base = twin(core, await core.now())
    for _ in range(3):
        base.clock.advance(HOUR)
        await base.sweep()
        await base.deliver()
    now = await base.now()
    kept, rebuilt = twin(base, now), twin(base, now)
    lose(rebuilt, *REBUILT)
    await rebuild(rebuilt.ports, now)

    assert await lists(rebuilt) == await lists(kept)
    for _ in range(12):
        instant = await _next_instant(kept)
        for one in (kept, rebuilt):
            one.clock.advance(max(instant - await one.now(), 3 * MINUTE))
            await one.sweep()
            await one.deliver()
        assert _ends(rebuilt) == _ends(kept)
    assert await lists(rebuilt) == await lists(kept)


async def _next_instant(core: Core) -> datetime:
    """Return the instant of the next due row, without the rows that only delete."""
    now = await core.now()
    rows = [row for row in await core.due_rows() if row.deletes is None and row.due > now]
    return min((row.due for row in rows if row.kind not in (Kind.TRIM_CHANGES, Kind.ERASE_PEOPLE)), default=now + DAY)


def _ends(core: Core) -> Any:
    """Return every claim with its history, the entries of the feeds in order, and the recipients of mails."""
    rows = core.rows._rows
    claims = {
        place: row.values["document"]
        for place, row in rows.items()
        if place[0] == "claims" and "document" in row.values
    }
    told: dict[tuple[str, str], list[Any]] = {}
    for table, organisation, key in sorted(rows):
        if table == "changes" and key.startswith("entry|"):
            entry = json.loads(unpacked(rows[table, organisation, key].values["document"]))
            entry.pop("sequence")  # claims have no order
            told.setdefault((organisation, entry["claimId"]), []).append(entry)
    messages = [*core.mailbox.sent, *core.mailbox.to_partners]
    return claims, told, sorted(message.message_id for message in messages)


def said(rows: Sequence[DueRow]) -> set[tuple[datetime, str, Kind, Any, str]]:
    """Return the due rows without their time of writing."""
    return {(row.due, row.subject, row.kind, row.deletes, row.label) for row in rows}


async def drawn(core: Core) -> IdempotencyKey:
    """Create a draft under a key, and return the key."""
    sent = (await core.draft(LITWARE, evidence=False)).claim
    idempotency_key = IdempotencyKey("f00d" * 16, "hash of the body", ADATUM)
    body = drafts._as_sent(sent)
    made = NewClaim.model_validate_json(json.dumps({**body, "partnerId": "4782913"}))
    await drafts.create(core.ports, ADATUM, PERSON, made, await core.now(), idempotency_key)
    return idempotency_key


async def test_all_due_work_of_claims_is_due_again(core: Core) -> None:
    """
    There are drafts and claims in review, in their window, disputed, official and rejected.

    Lists and ends are the same.
    """
    await core.draft(ADATUM)
    await core.official(ADATUM)
    await core.submitted(FABRIKAM)
    await core.draft(LITWARE, items=(TEAMS,), engagement=USAGE)
    asked = await core.submitted(LITWARE)
    await reviews.start(core.ports, asked, await core.now(), NO_CONTEXT)
    await reviews.request_information(core.ports, await core.case(asked), await core.now(), (), ActContext())

    await verify(core)


async def test_every_due_row_of_every_kind_is_made_again(core: Core) -> None:
    """
    The instants are the same, except for work due at once and for answers of acts, which are kept for their full time
    again. Evidence of a claim, entries in the feed and words have no due rows.
    """
    idempotency_key = await drawn(core)
    other = IdempotencyKey("beef" * 16, "hash", FABRIKAM)

    async def work() -> StoredResponse:
        return StoredResponse(200, b"{}", "application/json", {})

    await idempotency.once(core.ports, other, MONDAY, work)
    await webhooks.put(core.ports, ADATUM, "main", WebhookWanted(url=URL), MONDAY, None)
    core.mailbox.down = True
    claim = (await core.submitted(ADATUM)).claim
    await webhooks.send_test(core.ports, ADATUM, "main", MONDAY)
    body = b'{"name": "not a claim"}\n'
    taken = await batches.take_in(core.ports, ADATUM, PERSON, body, None, MONDAY)
    core.blobs.blobs[f"{'0' * 52}-a-blob-of-nobody"] = (b"", "")
    core.blobs.blobs["somebody-elses"] = (b"", "")
    core.batch_bodies.blobs[f"{'0' * 32}-unborn"] = (b"", "")
    core.batch_bodies.blobs[f"{'0' * 48}-0001"] = (b"", "")
    core.batch_bodies.blobs["somebody-elses"] = (b"", "")
    await failed_messages.record(core.ports, Failure("failed", "customer-notices", "{}", MONDAY), MONDAY)
    await erase_person.begin_erasure(core.ports, "somebody@contoso.fr", MONDAY)
    before = said(await core.due_rows())

    lose(core, *REBUILT)
    rebuilt = await rebuild(core.ports, MONDAY)

    after = said(await core.due_rows())
    pointed = {row for row in before if row[3] is not None and row[3][0] == "evidence"}
    to_follow = {row for row in before if row[2] in ("follow", "replaceWords")}
    lapse = {row for row in before if row[1:3] == (claim.id, "writeDown")}  # it is no longer a draft
    assert before - after == pointed | to_follow | lapse
    anew = {row for row in after if row[4] == "anew"}
    new = {(*row[1:3], row[4]) for row in after - before - anew}
    unborn = {("0" * 52, Kind.DELETE_BLOB, "a-blob-of-nobody"), ("0" * 32, Kind.DELETE_BATCH, "unborn")}
    unborn.add(("0" * 48, Kind.DELETE_BATCH, "0001"))
    assert new == {*unborn, (ADATUM, Kind.DELIVER, "")}  # the test event, which waits since its creation
    assert {(ADATUM, Kind.TRIM_CHANGES), (taken.batch.id, Kind.FINISH_BATCH)} <= {row[1:3] for row in after}
    assert {row[3] for row in after} >= {("requests", ADATUM, idempotency_key.hash), ("requests", FABRIKAM, other.hash)}
    assert {row[2] for row in anew} == {Kind.FOLLOW}
    assert len({row[1] for row in anew}) == rebuilt.claims
    assert (rebuilt.claims, rebuilt.due_rows >= len(after)) == (3, True)


async def test_a_delivery_that_has_arrived_only_expires(core: Core) -> None:
    """No call is due for it."""
    await webhooks.put(core.ports, ADATUM, "main", WebhookWanted(url=URL), MONDAY, None)
    await webhooks.send_test(core.ports, ADATUM, "main", MONDAY)
    await core.deliver()
    lose(core, *REBUILT)

    await rebuild(core.ports, MONDAY + DAY)

    rows = [row for row in await core.due_rows() if row.subject == ADATUM]
    assert [row.due for row in rows] == [MONDAY + DAY + 2 * MINUTE, MONDAY + HOUR + 30 * DAY]


async def test_the_sample_has_the_same_claims(core: Core) -> None:
    """Its claims were reviewed automatically, and their customers can decline."""
    await core.notified(ADATUM)
    lose(core, *REBUILT)
    seldom = replace(core.ports, terms=replace(core.ports.terms, sample_percent=0))

    await rebuild(seldom, MONDAY)
    none = (await lists(core))[1][1]
    await rebuild(core.ports, MONDAY)

    assert (none, len((await lists(core))[1][1])) == ([], 1)


async def test_a_feed_with_missing_entries_is_completed(core: Core) -> None:
    """Each claim has a due row for the feeds again."""
    case = await core.draft(ADATUM)
    for place in [place for place in core.rows._rows if place[0] == "changes"]:
        del core.rows._rows[place]
    lose(core, *REBUILT)

    await rebuild(core.ports, MONDAY)

    assert [row.kind for row in await core.due_rows(case)] == ["follow", "writeDown"]
    core.clock.advance(3 * MINUTE)
    await core.sweep()
    assert [change.type for change in await core.ports.changes.page(ADATUM, after=0, limit=9)] == [
        "claim.created",
        "claim.evidenceAdded",
    ]


async def test_a_feed_without_rows_is_still_trimmed(core: Core) -> None:
    """Later entries are deleted in their time."""
    await core.draft(ADATUM)
    for place in [place for place in core.rows._rows if place[0] == "changes" and place[2].startswith("entry|")]:
        del core.rows._rows[place]
    lose(core, *REBUILT)

    await rebuild(core.ports, MONDAY + DAY)

    assert [row.due for row in await core.due_rows() if row.kind is Kind.TRIM_CHANGES] == [MONDAY + 401 * DAY]


async def test_items_that_have_left_the_tenant_are_ended(core: Core) -> None:
    """The operator had removed them, and the process died before the ends."""
    await core.official(ADATUM, items=(EXCHANGE,), engagement=USAGE)
    former = await core.ports.registry.customer(TENANT)
    await core.ports.registry.put_customer(TENANT, customer(workloads=("teams",)), former)
    lose(core, *REBUILT)

    await rebuild(core.ports, await core.now())

    assert [row.subject for row in await core.due_rows() if row.kind is Kind.END_GONE_ITEMS] == [TENANT, TENANT]


async def test_locations_of_an_organisation_are_listed(core: Core) -> None:
    """The first release registered locations without a list."""
    assert await locations(core.ports, ADATUM) == []

    await rebuild(core.ports, await core.now())

    assert await locations(core.ports, ADATUM) == [(PARTNER_IDS[ADATUM], partner(ADATUM))]


async def test_claims_of_an_unregistered_customer_stay(core: Core) -> None:
    """Nothing says which items are on that tenant."""
    case = await core.draft(ADATUM)
    lose(core, *REBUILT, "registry")

    await rebuild(core.ports, MONDAY)

    position = list_position(case.claim.created_at, case.claim.id)
    assert [row.position for row in await core.ports.partner_claims.page(ADATUM, after="", limit=9)] == [position]


async def test_a_rebuild_that_failed_can_be_run_again(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails at any write and reports the fault. The rows written until then are right."""
    monkeypatch.setattr(rebuilding, "TENANTS_AT_ONCE", 1)
    await core.submitted(ADATUM)
    before = said(await core.due_rows())
    lose(core, *REBUILT)

    async def fail(table: str, _: Sequence[Op]) -> None:
        if table == "duework":
            raise StorageBusy("throttled")

    core.rows.before = fail
    with pytest.raises(StorageBusy):
        await rebuild(core.ports, MONDAY)
    core.rows.before = None
    await rebuild(core.ports, MONDAY)

    assert {row for row in said(await core.due_rows()) if row[4] != "anew"} <= before
    assert len((await lists(core))[0][0]) == 1


async def test_a_rebuild_can_run_any_number_of_times(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several rows of one subject too, the second run changes nothing."""
    monkeypatch.setattr(rebuilding, "ROWS_AT_ONCE", 1)
    await drawn(core)
    await core.submitted(ADATUM)
    await rebuild(core.ports, MONDAY)
    before = said(await core.due_rows())

    await rebuild(core.ports, MONDAY)

    assert said(await core.due_rows()) == before


class Story(Machine):
    """Random acts in any order, and then a rebuild of lost indexes."""

    def it_holds(self) -> None:
        """Leave the rules that must always hold to `test_machine.py`."""

    def teardown(self) -> None:
        """Verify at the end, and close the loop."""
        try:
            if self.ids:
                self.run(verify(self.core))
        finally:
            super().teardown()


@pytest.mark.slow
def test_after_random_acts_a_rebuild_makes_all_rows_that_claims_need() -> None:
    """Lists, ends, instants, mails and feeds are the same."""
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# --- slots ------------------------------------------------------------------------------------------------------------


async def with_a_dead_holder(core: Core) -> Case:
    """Return an ended association that its slot still names, as an earlier release could leave it."""
    official = await core.official()
    slots = {place: row for place, row in core.rows._rows.items() if place[2].startswith("slot|")}
    ended = await partner_acts.end(
        core.ports, official, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT
    )
    core.rows._rows.update(slots)
    return ended


async def test_a_slot_is_freed_of_a_closed_claim(core: Core) -> None:
    """The next claim on the item competes with no claim, and a second run changes nothing."""
    await with_a_dead_holder(core)

    assert (await rebuild(core.ports, await core.now())).slots_freed == 1
    assert (await rebuild(core.ports, await core.now())).slots_freed == 0
    assert (await core.submitted(FABRIKAM)).claim.automatic_review


async def test_a_claim_that_is_disputed_during_a_rebuild_keeps_its_place(core: Core) -> None:
    """It was rejected at the read, and is disputed before the write of its slot."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    slots = {place: row for place, row in core.rows._rows.items() if place[2].startswith("slot|")}
    case = await reviews.start(core.ports, case, await core.now(), NO_CONTEXT)
    case = await reviews.reject(core.ports, case, await core.now(), Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)
    core.rows._rows.update(slots)

    async def dispute() -> None:
        comment = ActContext(comment=Comment("partner", "somebody", "We did it", await core.now()))
        await partner_acts.dispute(core.ports, await core.case(case), PERSON, await core.now(), comment)

    async with core.rows.once_before("claims", dispute):
        rebuilt = await rebuild(core.ports, await core.now())

    assert rebuilt.slots_freed == 0
    stored = await core.stored(case)
    assert stored.claim.status is Status.DISPUTED
    assert [claimant.claim for claimant in stored.slots["teams"].claimants] == [case.claim.id]


async def test_a_rebuild_does_not_store_a_takeover_by_time(core: Core) -> None:
    """The next settling of the successor stores the takeover."""
    holder = await core.official()
    successor = await core.notified(FABRIKAM)
    assert successor.claim.window_ends_at is not None
    core.clock.set(successor.claim.window_ends_at)

    assert (await rebuild(core.ports, await core.now())).slots_freed == 0

    core.clock.advance(GRACE)
    await core.sweep()
    assert (await core.stored(holder)).claim.end_reason is Reason.SUPERSEDED
