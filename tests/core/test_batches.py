"""Batches: every row is made into one draft or refused, whoever deals with its page, and however often."""

import json
from codecs import BOM_UTF8
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from cpor_core.due_work import Kind
from cpor_core.errors import Refused, StorageBusy
from cpor_core.model.batch import MOST_ROWS, BatchStatus, Outcome, Progress, RowOutcome
from cpor_core.model.claim import Status
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.use_cases.claims import batches, drafts
from cpor_core.use_cases.claims.batches import MOST_LINES
from cpor_core.use_cases.claims.listing import own_claims
from tests.core.builders import ADATUM, FABRIKAM, MONDAY, PARTNER_IDS, PERSON, TENANT
from tests.core.world import World
from tests.doubles.transport import ProcessDied

IDEMPOTENCY_KEY = IdempotencyKey("f00d" * 16, "hash of the body", ADATUM)
MINUTE = timedelta(minutes=1)


def claim(number: int = 1, **changes: Any) -> bytes:
    """Return a row as a partner sends it."""
    sent = {
        "name": f"Contoso adoption {number}",
        "partnerId": PARTNER_IDS[ADATUM],
        "engagement": "modern-work-security-usage",
        "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
        "items": [{"workload": "teams"}],
        "contacts": {
            "customer": {"name": "Anne Durand", "email": "anne.durand@contoso.fr"},
            "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
        },
        **changes,
    }
    return json.dumps(sent).encode()


def claims(count: int) -> bytes:
    """Return a batch of so many good rows."""
    return b"".join(claim(number) + b"\n" for number in range(1, count + 1))


async def take_in(
    world: World, body: bytes, idempotency_key: IdempotencyKey | None = None, organisation: str = ADATUM
) -> Progress:
    """Send a batch."""
    return await batches.take_in(world.ports, organisation, PERSON, body, idempotency_key, await world.now())


async def seen(world: World, sent: Progress) -> Progress:
    """Return a batch as it stands now."""
    found = await batches.own(world.ports, sent.batch.organisation, sent.batch.id)
    assert found is not None
    return found


async def rows(world: World, sent: Progress) -> Sequence[RowOutcome]:
    """Return what became of every row."""
    return (await batches.rows(world.ports, await seen(world, sent), after=0, limit=MOST_ROWS))[0]


async def names(world: World, organisation: str = ADATUM) -> list[str]:
    """Return the names of an organisation's claims, as its list has them."""
    now = await world.now()
    page = await own_claims(world.ports, organisation, now, after="", limit=500, wanted=lambda _: True)
    return sorted(case.claim.name for case in page.cases)


async def told(world: World, organisation: str = ADATUM) -> list[str]:
    """Return the claims that a feed was told of, in order."""
    return [change.claim_id for change in await world.ports.changes.page(organisation, after=0, limit=1000)]


# --- taking in --------------------------------------------------------------------------------------------------------


async def test_a_batch_is_kept_before_anybody_works_on_it(world: World) -> None:
    """Its due rows, its body, itself, and then a message for each page: what is lost is found."""
    sent = await take_in(world, claims(101))

    assert world.rows.written[-2:] == ["duework", "batches"]
    assert [(row.due, row.kind, row.label) for row in await world.due_rows()] == [
        (MONDAY + MINUTE, Kind.FINISH_BATCH, ""),
        (MONDAY + timedelta(days=30), Kind.DELETE_BATCH, sent.batch.keeping),
    ]
    assert [json.loads(each.text) for each in world.queues.waiting.values()] == [
        {"batchId": sent.batch.id, "page": 1},
        {"batchId": sent.batch.id, "page": 2},
    ]
    assert (sent.status, sent.batch.total, sent.done) == (BatchStatus.NOT_STARTED, 101, 0)


@pytest.mark.parametrize("mark", [b"", BOM_UTF8])
async def test_rows_become_drafts_and_bad_ones_are_told(world: World, mark: bytes) -> None:
    """By the rules of `POST /claims`; the number of a row is that of its line, blank ones counted, a mark left out."""
    other = PARTNER_IDS[FABRIKAM]
    body = b"\r\n".join(
        [
            b"",
            claim(2),
            b"{not json",
            claim(4, name="", unknown=1),
            b"  ",
            claim(6, engagement="no-such"),
            claim(7, partnerId=other),
            claim(8, comment="x" * 2**16),
            claim(9),
        ]
    )
    sent = await take_in(world, mark + body)
    await world.deliver()

    progress = await seen(world, sent)
    assert (progress.status, progress.batch.total, progress.done, progress.failed) == (BatchStatus.SUCCEEDED, 7, 7, 5)
    outcomes = await rows(world, sent)
    assert [(one.row, [error.code for error in one.errors]) for one in outcomes] == [
        (2, []),
        (3, ["InvalidJson"]),
        (4, ["FieldInvalid", "FieldUnknown"]),
        (6, ["EngagementUnknown"]),
        (7, ["PartnerIdNotYours"]),
        (8, ["PayloadTooLarge"]),
        (9, []),
    ]
    assert [error.target for error in outcomes[2].errors] == ["name", "unknown"]
    assert [one.claim_id is None for one in outcomes] == [False, True, True, True, True, True, False]
    assert await names(world) == ["Contoso adoption 2", "Contoso adoption 9"]


async def test_a_draft_of_a_batch_is_like_any_other(world: World) -> None:
    """It lapses, it is in the feed, and it can be submitted."""
    sent = await take_in(world, claim())
    await world.deliver()

    (outcome,) = await rows(world, sent)
    case = await world.stored(str(outcome.claim_id))
    assert (case.claim.status, case.claim.created_at) == (Status.DRAFT, MONDAY)
    assert [row.kind for row in await world.due_rows(case)] == ["writeDown"]
    assert await told(world) == [case.claim.id]
    assert [entry.actor for entry in await world.history(case)] == [PERSON]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\n \r\n", "ValidationFailed"),
        (b"{}\n" * (MOST_ROWS + 1), "PayloadTooLarge"),
        (b"{}" + b"\n" * (MOST_LINES + 1), "PayloadTooLarge"),
    ],
)
async def test_a_batch_has_one_row_at_least_and_ten_thousand_at_most(world: World, body: bytes, code: str) -> None:
    """Nothing is stored of one that is refused."""
    world.rows.written.clear()

    with pytest.raises(Refused, match=code):
        await take_in(world, body)

    assert world.rows.written == []
    assert world.batch_bodies.blobs == {}


# --- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotency_key", [None, IDEMPOTENCY_KEY])
async def test_the_same_batch_again_changes_nothing(world: World, idempotency_key: IdempotencyKey | None) -> None:
    """While it runs, and when it is done."""
    first = await take_in(world, claims(3), idempotency_key)
    again = await take_in(world, claims(3), idempotency_key)
    await world.deliver()
    done = await take_in(world, claims(3), idempotency_key)
    await world.deliver()

    assert again.batch == done.batch == first.batch
    assert (done.status, done.done) == (BatchStatus.SUCCEEDED, 3)
    assert len(await told(world)) == len(await names(world)) == 3


async def test_another_body_under_a_key_is_refused(world: World) -> None:
    """Also when the key itself was forgotten: the batch is kept longer."""
    await take_in(world, claims(1), IDEMPOTENCY_KEY)

    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await take_in(world, claims(2), IDEMPOTENCY_KEY)


async def test_one_body_is_a_batch_of_each_organisation(world: World) -> None:
    """Whoever sends what somebody else has sent learns nothing of it."""
    first = await take_in(world, claims(1))
    second = await take_in(world, claims(1), organisation=FABRIKAM)

    assert first.batch.id != second.batch.id
    assert await batches.own(world.ports, FABRIKAM, first.batch.id) is None
    assert await batches.own(world.ports, ADATUM, "not|an|id") is None


async def test_the_same_batch_sent_twice_at_the_same_time_is_one(world: World) -> None:
    """Who comes second leaves nothing behind."""
    async with world.rows.once_before("batches", lambda: sent_meanwhile(world)):
        second = await take_in(world, claims(2))

    assert len(world.batch_bodies.blobs) == 1
    assert list(world.batch_bodies.blobs) == [second.batch.blob]
    await world.deliver()
    assert len(await names(world)) == 2


async def sent_meanwhile(world: World) -> None:
    """Send the batch that is just being sent."""
    await take_in(world, claims(2))


async def test_a_batch_that_is_forgotten_while_it_is_sent_again_is_taken_in_anew(world: World) -> None:
    """Between the lost insert and the reading of the batch that was there."""
    first = await take_in(world, claims(1))
    find_batch = world.ports.batches.find

    async def not_yet_then_forgotten(batch_id: str) -> Progress | None:
        calls.append(batch_id)
        if len(calls) == 2:
            await batches.delete_batch(world.ports, first.batch.id, first.batch.keeping)
        return None if len(calls) == 1 else await find_batch(batch_id)

    calls: list[str] = []
    world.ports.batches.find = not_yet_then_forgotten  # type: ignore[method-assign]
    second = await take_in(world, claims(1))

    assert second.batch.id == first.batch.id
    assert second.batch.keeping != first.batch.keeping


# --- twice, half, and again -------------------------------------------------------------------------------------------


async def test_a_page_may_be_dealt_with_twice(world: World) -> None:
    """Messages come twice; two instances may have the same page."""
    sent = await take_in(world, claims(3))
    await batches.process_page(world.ports, sent.batch.id, 1, await world.now())
    world.rows.written.clear()
    await world.deliver()

    assert world.rows.written == []
    assert len(await told(world)) == len(await names(world)) == 3


async def test_a_page_that_two_deal_with_at_the_same_time_is_made_once(world: World) -> None:
    """Claims are inserted: who comes second finds them there, and tells the same."""
    sent = await take_in(world, claims(3))
    async with world.rows.once_before("claims", lambda: finished_by_another(world, sent)):
        await batches.process_page(world.ports, sent.batch.id, 1, await world.now())

    assert [one.errors for one in await rows(world, sent)] == [(), (), ()]
    assert sorted(await told(world)) == sorted(str(one.claim_id) for one in await rows(world, sent))
    assert len(await names(world)) == 3


async def finished_by_another(world: World, sent: Progress) -> None:
    """Deal with the page that somebody is just dealing with."""
    await batches.process_page(world.ports, sent.batch.id, 1, await world.now())


@pytest.mark.parametrize("table", ["duework", "partnerclaims", "claims", "changes", "batches"])
async def test_a_page_whose_process_died_is_finished_by_the_due_row(world: World, table: str) -> None:
    """No row is lost, none is doubled, and the feed is told of each once."""
    sent = await take_in(world, claims(20))
    world.lose_messages()

    async def die() -> NoReturn:
        raise ProcessDied

    with pytest.raises(ProcessDied):
        async with world.rows.once_after(table, die):
            await batches.process_page(world.ports, sent.batch.id, 1, await world.now())
    world.clock.advance(MINUTE)
    await world.sweep()
    await world.deliver()

    assert (await seen(world, sent)).status is BatchStatus.SUCCEEDED
    made = [one.claim_id for one in await rows(world, sent)]
    assert sorted(await told(world)) == sorted(map(str, made))
    assert len(await names(world)) == len(set(made)) == 20


async def test_what_was_made_before_counts_as_made_though_the_rules_would_now_refuse_it(world: World) -> None:
    """The page was dealt with half, then the location was given to another organisation."""
    sent = await take_in(world, claims(1))

    async def die() -> NoReturn:
        raise ProcessDied

    with pytest.raises(ProcessDied):
        async with world.rows.once_after("claims", die):
            await batches.process_page(world.ports, sent.batch.id, 1, await world.now())
    location = await world.ports.registry.partner(PARTNER_IDS[ADATUM])
    assert location is not None
    lost = location.value.model_copy(update={"entra_tenant_id": FABRIKAM})
    await world.ports.registry.put_partner(PARTNER_IDS[ADATUM], lost, location)
    await world.deliver()

    (outcome,) = await rows(world, sent)
    assert outcome.claim_id is not None
    assert await told(world) == [outcome.claim_id]


async def test_messages_are_sent_again_for_what_is_missing_only(world: World) -> None:
    """And seldom, when an hour of them has not helped."""
    sent = await take_in(world, claims(201))
    world.lose_messages()
    await batches.process_page(world.ports, sent.batch.id, 2, await world.now())
    assert (await seen(world, sent)).status is BatchStatus.RUNNING

    world.clock.advance(MINUTE)
    await world.sweep()

    assert [json.loads(each.text)["page"] for each in world.queues.waiting.values()] == [1, 3]
    assert [row.due for row in await due_rows(world)] == [MONDAY + 2 * MINUTE]
    world.clock.set(MONDAY + timedelta(hours=1))
    await world.sweep()
    assert [row.due for row in await due_rows(world)] == [MONDAY + timedelta(hours=1, minutes=15)]
    await world.deliver()
    world.clock.set(MONDAY + timedelta(hours=1, minutes=15))
    await world.sweep()
    assert await due_rows(world) == []


async def due_rows(world: World) -> list[DueRow]:
    """Return the due rows by which batches are finished."""
    return [row for row in await world.due_rows() if row.kind == Kind.FINISH_BATCH]


async def test_a_page_waits_until_the_feed_was_told(world: World) -> None:
    """Its drafts have no due rows of their own for that."""
    sent = await take_in(world, claims(2))

    async def busy() -> NoReturn:
        raise StorageBusy("changes")

    with pytest.raises(StorageBusy):
        async with world.rows.once_before("changes", busy):
            await batches.process_page(world.ports, sent.batch.id, 1, await world.now())

    assert (await seen(world, sent)).status is BatchStatus.NOT_STARTED
    await world.deliver()
    assert len(await told(world)) == 2


async def test_a_page_that_there_is_not_is_left_alone(world: World) -> None:
    """Messages outlive a batch that was forgotten, and anybody may write into a queue."""
    sent = await take_in(world, claims(1))
    world.rows.written.clear()

    await batches.process_page(world.ports, sent.batch.id, 2, await world.now())
    await batches.process_page(world.ports, sent.batch.id, 0, await world.now())
    await batches.process_page(world.ports, "0" * 32, 1, await world.now())

    assert world.rows.written == []


async def test_a_batch_whose_body_is_gone_has_failed(world: World) -> None:
    """It can't be gone on with; nobody waits for it for ever."""
    sent = await take_in(world, claims(101))
    await batches.process_page(world.ports, sent.batch.id, 1, await world.now())
    await world.ports.batch_bodies.delete(sent.batch.blob)
    await world.deliver()

    progress = await seen(world, sent)
    assert (progress.status, progress.done, progress.failed) == (BatchStatus.FAILED, 100, 0)
    assert len(await rows(world, sent)) == 100


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_outcomes_are_read_page_by_page_and_by_kind(world: World) -> None:
    """Rows come in order, each once, wherever a page begins."""
    bad = {5, 99, 100, 101, 250, 301}
    body = b"".join((b"{}" if number in bad else claim(number)) + b"\n" for number in range(1, 302))
    sent = await take_in(world, body)
    await world.deliver()
    progress = await seen(world, sent)

    async def all_of(limit: int, outcome: Outcome | None = None) -> list[int]:
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            listed, after = await batches.rows(world.ports, progress, after=after, limit=limit, outcome=outcome)
            assert len(listed) == limit or after is None
            found += [one.row for one in listed]
        return found

    assert await all_of(50) == await all_of(1000) == await all_of(100) == list(range(1, 302))
    for limit in (1, 2, 4, 6, 7):
        assert await all_of(limit, Outcome.FAILED) == sorted(bad)
    assert await all_of(70, Outcome.CREATED) == [row for row in range(1, 302) if row not in bad]


async def test_of_a_page_full_of_errors_something_is_kept_of_each_row(world: World) -> None:
    """However wrong a row is, the outcomes of its page fit a row of storage."""
    unknown = {f"{'é' * 300}{number}": number for number in range(25)}
    sent = await take_in(world, b"".join(claim(number, **unknown) + b"\n" for number in range(100)))
    await world.deliver()

    outcomes = await rows(world, sent)
    assert {len(one.errors) for one in outcomes} == {batches.MOST_ERRORS}
    assert {len(str(error.target)) for one in outcomes for error in one.errors} == {batches.LONGEST_TARGET}


# --- forgetting -------------------------------------------------------------------------------------------------------


async def test_after_thirty_days_all_of_a_batch_is_forgotten_but_its_claims(world: World) -> None:
    """And nothing owes anything any more."""
    sent = await take_in(world, claims(101))
    await world.deliver()
    await world.ports.claims.erase((await world.stored(str((await rows(world, sent))[0].claim_id))).claim.id)
    world.clock.advance(timedelta(days=30))
    await world.sweep()

    assert await batches.own(world.ports, ADATUM, sent.batch.id) is None
    assert (await batches.rows(world.ports, Progress(sent.batch, {}), after=0, limit=9))[0] == []
    assert await world.ports.batches.outcomes(sent.batch, 1) == ()
    assert world.batch_bodies.blobs == {}
    assert len(await names(world)) == 100
    world.clock.advance(timedelta(minutes=12))
    await world.sweep()
    assert {row.kind for row in await world.due_rows()} == {"writeDown", "trimChanges"}


async def test_a_batch_that_is_sent_again_after_that_makes_nothing_twice(world: World) -> None:
    """The claims are there; only what was deleted since is made anew."""
    sent = await take_in(world, claims(2), IDEMPOTENCY_KEY)
    await world.deliver()
    before = await names(world)
    world.clock.advance(timedelta(days=30))
    await world.sweep()
    again = await take_in(world, claims(2), IDEMPOTENCY_KEY)
    await batches.delete_batch(world.ports, sent.batch.id, sent.batch.keeping)  # late, or twice
    await world.deliver()

    assert (await seen(world, again)).status is BatchStatus.SUCCEEDED
    assert await names(world) == before
    assert len(await told(world)) == 2


async def test_a_forgotten_key_may_be_used_for_another_batch(world: World) -> None:
    """Its rows are other claims, though they have the same numbers."""
    sent = await take_in(world, claims(1), IDEMPOTENCY_KEY)
    await world.deliver()
    await batches.delete_batch(world.ports, sent.batch.id, sent.batch.keeping)
    other = await take_in(world, claim(7), IDEMPOTENCY_KEY)
    await world.deliver()

    assert other.batch.id == sent.batch.id
    assert await names(world) == ["Contoso adoption 1", "Contoso adoption 7"]


async def test_a_draft_of_a_batch_can_be_deleted_and_stays_so(world: World) -> None:
    """The same batch again does not bring it back while the batch is known."""
    sent = await take_in(world, claims(1))
    await world.deliver()
    (outcome,) = await rows(world, sent)
    await drafts.delete(world.ports, await world.case(str(outcome.claim_id)), PERSON, await world.now())
    await world.rest()
    await take_in(world, claims(1))
    await world.deliver()

    assert await names(world) == []
