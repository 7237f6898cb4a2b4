"""Batches: each row becomes one draft or is refused, however often and by whichever instance its page is processed."""

import json
from codecs import BOM_UTF8
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from cpor_core.due_work import Kind
from cpor_core.errors import Refused, StorageBusy
from cpor_core.model.batch import MOST_ROWS, BatchStatus, Progress, RowOutcome, RowStatus
from cpor_core.model.claim import Status
from cpor_core.ports.due_work import DueRow
from cpor_core.ports.idempotency import IdempotencyKey
from cpor_core.transitions.life import settle
from cpor_core.use_cases.claims import batches, drafts
from cpor_core.use_cases.claims.batches import MOST_LINES
from cpor_core.use_cases.claims.listing import own_claims
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.views import own_entity_tag
from tests.core.builders import ADATUM, DAY, FABRIKAM, MONDAY, PARTNER_IDS, PERSON, TENANT
from tests.core.memory_core import Core
from tests.doubles.transport import ProcessDied

IDEMPOTENCY_KEY = IdempotencyKey("f00d" * 16, "hash of the body", ADATUM)
MINUTE = timedelta(minutes=1)


def claim(number: int = 1, **changes: Any) -> bytes:
    """Return a row in the form that a partner sends."""
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
    """Return a batch of *n* good rows."""
    return b"".join(claim(number) + b"\n" for number in range(1, count + 1))


async def take_in(
    core: Core, body: bytes, idempotency_key: IdempotencyKey | None = None, organisation: str = ADATUM
) -> Progress:
    """Send a batch."""
    return await batches.take_in(core.ports, organisation, PERSON, body, idempotency_key, await core.now())


async def seen(core: Core, sent: Progress) -> Progress:
    """Return the batch as of now."""
    found = await batches.own(core.ports, sent.batch.organisation, sent.batch.id)
    assert found is not None
    return found


async def rows(core: Core, sent: Progress) -> Sequence[RowOutcome]:
    """Return the outcome of every row."""
    return (await batches.rows(core.ports, await seen(core, sent), after=0, limit=MOST_ROWS))[0]


async def names(core: Core, organisation: str = ADATUM) -> list[str]:
    """Return the names of an organisation's claims, from its list."""
    now = await core.now()
    page = await own_claims(core.ports, organisation, now, after="", limit=500, wanted=lambda _: True)
    return sorted(case.claim.name for case in page.cases)


async def claims_in_feed(core: Core, organisation: str = ADATUM) -> list[str]:
    """Return the claims that a feed names, in order."""
    return [change.claim_id for change in await core.ports.changes.page(organisation, after=0, limit=1000)]


# --- taking in --------------------------------------------------------------------------------------------------------


async def test_a_batch_is_stored_before_its_work_begins(core: Core) -> None:
    """
    Its due rows are stored first, then its body, its row in the list, the batch itself, and a message for each page.

    A lost step is found.
    """
    sent = await take_in(core, claims(101))

    assert core.rows.written[-3:] == ["duework", "partnerclaims", "batches"]
    assert [(row.due, row.kind, row.label) for row in await core.due_rows()] == [
        (MONDAY + MINUTE, Kind.FINISH_BATCH, ""),
        (MONDAY + timedelta(days=30), Kind.DELETE_BATCH, sent.batch.keeping),
    ]
    assert [json.loads(each.text) for each in core.queues.waiting.values()] == [
        {"batchId": sent.batch.id, "page": 1},
        {"batchId": sent.batch.id, "page": 2},
    ]
    assert (sent.status, sent.batch.total, sent.done) == (BatchStatus.NOT_STARTED, 101, 0)


@pytest.mark.parametrize("mark", [b"", BOM_UTF8])
async def test_good_rows_become_drafts_and_bad_rows_are_reported(core: Core, mark: bytes) -> None:
    """
    The rules are those of `POST /claims`.

    A row's number is its line number: blank lines count, and a byte order mark does not.
    """
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
    sent = await take_in(core, mark + body)
    await core.deliver()

    progress = await seen(core, sent)
    assert (progress.status, progress.batch.total, progress.done, progress.failed) == (BatchStatus.SUCCEEDED, 7, 7, 5)
    outcomes = await rows(core, sent)
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
    assert await names(core) == ["Contoso adoption 2", "Contoso adoption 9"]


async def test_a_draft_of_a_batch_is_like_any_other(core: Core) -> None:
    """A draft of a batch lapses, is in the feed, and can be submitted."""
    sent = await take_in(core, claim())
    await core.deliver()

    (outcome,) = await rows(core, sent)
    case = await core.stored(str(outcome.claim_id))
    assert (case.claim.status, case.claim.created_at) == (Status.DRAFT, MONDAY)
    assert [row.kind for row in await core.due_rows(case)] == ["follow", "writeDown"]
    assert await claims_in_feed(core) == [case.claim.id]
    assert [entry.actor for entry in await core.history(case)] == [PERSON]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\n \r\n", "ValidationFailed"),
        (b"{}\n" * (MOST_ROWS + 1), "PayloadTooLarge"),
        (b"{}" + b"\n" * (MOST_LINES + 1), "PayloadTooLarge"),
    ],
)
async def test_a_batch_has_one_row_at_least_and_ten_thousand_at_most(core: Core, body: bytes, code: str) -> None:
    """Nothing is stored of a refused batch."""
    core.rows.written.clear()

    with pytest.raises(Refused, match=code):
        await take_in(core, body)

    assert core.rows.written == []
    assert core.batch_bodies.blobs == {}


# --- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotency_key", [None, IDEMPOTENCY_KEY])
async def test_the_same_batch_again_changes_nothing(core: Core, idempotency_key: IdempotencyKey | None) -> None:
    """A repeated batch changes nothing, during its processing and after it."""
    first = await take_in(core, claims(3), idempotency_key)
    again = await take_in(core, claims(3), idempotency_key)
    await core.deliver()
    done = await take_in(core, claims(3), idempotency_key)
    await core.deliver()

    assert again.batch == done.batch == first.batch
    assert (done.status, done.done) == (BatchStatus.SUCCEEDED, 3)
    assert len(await claims_in_feed(core)) == len(await names(core)) == 3


async def test_another_body_under_a_key_is_refused(core: Core) -> None:
    """This also holds after the key has expired, because the batch is kept longer than the key."""
    await take_in(core, claims(1), IDEMPOTENCY_KEY)

    with pytest.raises(Refused, match="IdempotencyKeyReused"):
        await take_in(core, claims(2), IDEMPOTENCY_KEY)


async def test_one_body_is_a_batch_of_each_organisation(core: Core) -> None:
    """An organisation that sends a body which another organisation has sent learns nothing about the other batch."""
    first = await take_in(core, claims(1))
    second = await take_in(core, claims(1), organisation=FABRIKAM)

    assert first.batch.id != second.batch.id
    assert await batches.own(core.ports, FABRIKAM, first.batch.id) is None
    assert await batches.own(core.ports, ADATUM, "not|an|id") is None


async def test_the_same_batch_sent_twice_at_the_same_time_is_one(core: Core) -> None:
    """The second request stores nothing."""
    async with core.rows.once_before("batches", lambda: sent_meanwhile(core)):
        second = await take_in(core, claims(2))

    assert len(core.batch_bodies.blobs) == 1
    assert list(core.batch_bodies.blobs) == [second.batch.blob]
    await core.deliver()
    assert len(await names(core)) == 2


async def sent_meanwhile(core: Core) -> None:
    """Send the batch while the first request stores it."""
    await take_in(core, claims(2))


async def test_a_batch_that_is_forgotten_while_it_is_sent_again_is_taken_in_anew(core: Core) -> None:
    """The batch expires between the failed insert and the read of the existing batch."""
    first = await take_in(core, claims(1))
    find_batch = core.ports.batches.find

    async def not_yet_then_forgotten(batch_id: str) -> Progress | None:
        calls.append(batch_id)
        if len(calls) == 2:
            await batches.delete_batch(core.ports, first.batch.id, first.batch.keeping)
        return None if len(calls) == 1 else await find_batch(batch_id)

    calls: list[str] = []
    core.ports.batches.find = not_yet_then_forgotten  # type: ignore[method-assign]
    second = await take_in(core, claims(1))

    assert second.batch.id == first.batch.id
    assert second.batch.keeping != first.batch.keeping


# --- twice, half, and again -------------------------------------------------------------------------------------------


async def test_a_page_can_be_processed_twice(core: Core) -> None:
    """A message can arrive twice, and two instances can process the same page."""
    sent = await take_in(core, claims(3))
    await batches.process_page(core.ports, sent.batch.id, 1, await core.now())
    core.rows.written.clear()
    await core.deliver()

    assert core.rows.written == []
    assert len(await claims_in_feed(core)) == len(await names(core)) == 3


async def test_a_page_that_two_instances_process_at_the_same_time_is_made_once(core: Core) -> None:
    """Claims are inserted. The second instance finds them and reports the same outcomes."""
    sent = await take_in(core, claims(3))
    async with core.rows.once_before("claims", lambda: finished_by_another(core, sent)):
        await batches.process_page(core.ports, sent.batch.id, 1, await core.now())

    assert [one.errors for one in await rows(core, sent)] == [(), (), ()]
    assert sorted(await claims_in_feed(core)) == sorted(str(one.claim_id) for one in await rows(core, sent))
    assert len(await names(core)) == 3


# --- listing ----------------------------------------------------------------------------------------------------------


async def listed(core: Core, organisation: str = ADATUM) -> list[str]:
    """Return the ids in an organisation's list."""
    page, _ = await batches.own_batches(core.ports, organisation, after="", limit=100)
    return [progress.batch.id for progress in page]


async def test_an_organisations_batches_are_listed_newest_first_in_pages(core: Core) -> None:
    """Batches of another organisation are not in the list."""
    sent = []
    for number in range(3):
        sent.append((await take_in(core, claim(number))).batch.id)
        core.clock.advance(MINUTE)
    await take_in(core, claim(), organisation=FABRIKAM)

    first, position = await batches.own_batches(core.ports, ADATUM, after="", limit=2)
    rest, end = await batches.own_batches(core.ports, ADATUM, after=position or "", limit=2)

    assert [one.batch.id for one in (*first, *rest)] == sent[::-1]
    assert end is None


async def test_a_batch_sent_twice_is_listed_once(core: Core) -> None:
    """The same batch sent again has no second row. Of two at the same time only the stored one is listed."""
    sent = await take_in(core, claim())
    await take_in(core, claim())

    async def same() -> None:
        await take_in(core, claim(2))

    async with core.rows.once_before("batches", same):
        other = await take_in(core, claim(2))

    assert await listed(core) == [other.batch.id, sent.batch.id]


async def test_a_batch_whose_process_died_before_it_was_stored_is_not_listed(core: Core) -> None:
    """The batch was never accepted. Its row in the list goes with its retention, and the batch can be sent again."""

    async def die() -> NoReturn:
        raise ProcessDied

    with pytest.raises(ProcessDied):
        async with core.rows.once_after("partnerclaims", die):
            await take_in(core, claim())

    assert await listed(core) == []
    core.clock.advance(MINUTE)
    again = await take_in(core, claim())
    assert await listed(core) == [again.batch.id]
    await core.deliver()
    core.clock.advance(31 * DAY)
    await core.sweep()
    assert await listed(core) == []
    assert await core.ports.batches.page(ADATUM, after="", limit=9) == []


async def test_a_lost_list_is_made_again(core: Core) -> None:
    """By a rebuild. Batches that were stored before there was a list are added in the same way."""
    sent = await take_in(core, claim())
    await core.ports.duework.delete_expired(core.ports.batches.list_ref(sent.batch))
    assert await listed(core) == []

    await rebuild(core.ports, await core.now())

    assert await listed(core) == [sent.batch.id]


async def finished_by_another(core: Core, sent: Progress) -> None:
    """Process the page that another instance is processing."""
    await batches.process_page(core.ports, sent.batch.id, 1, await core.now())


@pytest.mark.parametrize("table", ["duework", "partnerclaims", "claims", "changes", "batches"])
async def test_a_page_whose_process_died_is_finished_by_the_due_row(core: Core, table: str) -> None:
    """No row is lost or doubled, and the feed names each claim once."""
    sent = await take_in(core, claims(20))
    core.lose_messages()

    async def die() -> NoReturn:
        raise ProcessDied

    with pytest.raises(ProcessDied):
        async with core.rows.once_after(table, die):
            await batches.process_page(core.ports, sent.batch.id, 1, await core.now())
    core.clock.advance(MINUTE)
    await core.sweep()
    await core.deliver()

    assert (await seen(core, sent)).status is BatchStatus.SUCCEEDED
    made = [one.claim_id for one in await rows(core, sent)]
    assert sorted(await claims_in_feed(core)) == sorted(map(str, made))
    assert len(await names(core)) == len(set(made)) == 20


async def test_a_claim_made_before_counts_as_made_though_the_rules_would_now_refuse_it(core: Core) -> None:
    """One half of the page was processed, and then the location moved to another organisation."""
    sent = await take_in(core, claims(1))

    async def die() -> NoReturn:
        raise ProcessDied

    with pytest.raises(ProcessDied):
        async with core.rows.once_after("claims", die):
            await batches.process_page(core.ports, sent.batch.id, 1, await core.now())
    location = await core.ports.registry.partner(PARTNER_IDS[ADATUM])
    assert location is not None
    lost = location.value.model_copy(update={"entra_tenant_id": FABRIKAM})
    await core.ports.registry.put_partner(PARTNER_IDS[ADATUM], lost, location)
    await core.deliver()

    (outcome,) = await rows(core, sent)
    assert outcome.claim_id is not None
    assert await claims_in_feed(core) == [outcome.claim_id]


async def test_messages_are_sent_again_for_missing_pages_only(core: Core) -> None:
    """After an hour without success they are sent less often."""
    sent = await take_in(core, claims(201))
    core.lose_messages()
    await batches.process_page(core.ports, sent.batch.id, 2, await core.now())
    assert (await seen(core, sent)).status is BatchStatus.RUNNING

    core.clock.advance(MINUTE)
    await core.sweep()

    assert [json.loads(each.text)["page"] for each in core.queues.waiting.values()] == [1, 3]
    assert [row.due for row in await due_rows(core)] == [MONDAY + 2 * MINUTE]
    core.clock.set(MONDAY + timedelta(hours=1))
    await core.sweep()
    assert [row.due for row in await due_rows(core)] == [MONDAY + timedelta(hours=1, minutes=15)]
    await core.deliver()
    core.clock.set(MONDAY + timedelta(hours=1, minutes=15))
    await core.sweep()
    assert await due_rows(core) == []


async def due_rows(core: Core) -> list[DueRow]:
    """Return the due rows that finish batches."""
    return [row for row in await core.due_rows() if row.kind == Kind.FINISH_BATCH]


async def test_the_feed_has_the_etag_of_the_instant_at_which_a_draft_is_announced(core: Core) -> None:
    """A page can be processed long after its batch arrived. Its draft has then lapsed already."""
    sent = await take_in(core, claim())
    core.clock.advance(timedelta(days=91))
    await core.deliver()

    (outcome,) = await rows(core, sent)
    stored = await core.ports.claims.load(str(outcome.claim_id))
    (change,) = await core.ports.changes.page(ADATUM, after=0, limit=2)
    assert stored is not None
    assert change.etag == own_entity_tag(settle(stored, await core.now()))


async def test_a_page_is_done_only_after_its_feed_entries(core: Core) -> None:
    """The drafts of a page have no due rows of their own for the feed."""
    sent = await take_in(core, claims(2))

    async def busy() -> NoReturn:
        raise StorageBusy("changes")

    with pytest.raises(StorageBusy):
        async with core.rows.once_before("changes", busy):
            await batches.process_page(core.ports, sent.batch.id, 1, await core.now())

    assert (await seen(core, sent)).status is BatchStatus.NOT_STARTED
    await core.deliver()
    assert len(await claims_in_feed(core)) == 2


async def test_a_message_for_a_page_that_does_not_exist_does_nothing(core: Core) -> None:
    """A message can outlive its batch, and a stranger could write a message into the queue."""
    sent = await take_in(core, claims(1))
    core.rows.written.clear()

    await batches.process_page(core.ports, sent.batch.id, 2, await core.now())
    await batches.process_page(core.ports, sent.batch.id, 0, await core.now())
    await batches.process_page(core.ports, "0" * 32, 1, await core.now())

    assert core.rows.written == []


async def test_a_batch_whose_body_is_gone_has_failed(core: Core) -> None:
    """The batch cannot be continued, and no caller waits for it for ever."""
    sent = await take_in(core, claims(101))
    await batches.process_page(core.ports, sent.batch.id, 1, await core.now())
    await core.ports.batch_bodies.delete(sent.batch.blob)
    await core.deliver()

    progress = await seen(core, sent)
    assert (progress.status, progress.done, progress.failed) == (BatchStatus.FAILED, 100, 0)
    assert len(await rows(core, sent)) == 100


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_outcomes_are_read_page_by_page_and_by_kind(core: Core) -> None:
    """Rows come in order and once each, wherever a page of the answer begins."""
    bad = {5, 99, 100, 101, 250, 301}
    body = b"".join((b"{}" if number in bad else claim(number)) + b"\n" for number in range(1, 302))
    sent = await take_in(core, body)
    await core.deliver()
    progress = await seen(core, sent)

    async def all_of(limit: int, outcome: RowStatus | None = None) -> list[int]:
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            listed, after = await batches.rows(core.ports, progress, after=after, limit=limit, outcome=outcome)
            assert len(listed) == limit or after is None
            found += [one.row for one in listed]
        return found

    assert await all_of(50) == await all_of(1000) == await all_of(100) == list(range(1, 302))
    for limit in (1, 2, 4, 6, 7):
        assert await all_of(limit, RowStatus.FAILED) == sorted(bad)
    assert await all_of(70, RowStatus.CREATED) == [row for row in range(1, 302) if row not in bad]


async def test_a_page_full_of_errors_keeps_an_outcome_of_each_row(core: Core) -> None:
    """The outcomes of a page always fit one row of storage, whatever the errors."""
    unknown = {f"{'é' * 300}{number}": number for number in range(25)}
    sent = await take_in(core, b"".join(claim(number, **unknown) + b"\n" for number in range(100)))
    await core.deliver()

    outcomes = await rows(core, sent)
    assert {len(one.errors) for one in outcomes} == {batches.MOST_ERRORS}
    assert {len(str(error.target)) for one in outcomes for error in one.errors} == {batches.LONGEST_TARGET}


# --- forgetting -------------------------------------------------------------------------------------------------------


async def test_after_thirty_days_a_batch_expires_and_its_claims_stay(core: Core) -> None:
    """No due work remains."""
    sent = await take_in(core, claims(101))
    await core.deliver()
    await core.ports.claims.erase((await core.stored(str((await rows(core, sent))[0].claim_id))).claim.id)
    core.clock.advance(timedelta(days=30))
    await core.sweep()

    assert await batches.own(core.ports, ADATUM, sent.batch.id) is None
    assert (await batches.rows(core.ports, Progress(sent.batch, {}), after=0, limit=9))[0] == []
    assert await core.ports.batches.outcomes(sent.batch, 1) == ()
    assert core.batch_bodies.blobs == {}
    assert len(await names(core)) == 100
    core.clock.advance(timedelta(minutes=12))
    await core.sweep()
    assert {row.kind for row in await core.due_rows()} == {"writeDown", "trimChanges", "trimProgramme"}


async def test_a_batch_that_is_sent_again_after_its_expiry_makes_no_claim_twice(core: Core) -> None:
    """The claims still exist. Only deleted claims are made again."""
    sent = await take_in(core, claims(2), IDEMPOTENCY_KEY)
    await core.deliver()
    before = await names(core)
    core.clock.advance(timedelta(days=30))
    await core.sweep()
    again = await take_in(core, claims(2), IDEMPOTENCY_KEY)
    await batches.delete_batch(core.ports, sent.batch.id, sent.batch.keeping)  # late or repeated
    await core.deliver()

    assert (await seen(core, again)).status is BatchStatus.SUCCEEDED
    assert await names(core) == before
    assert len(await claims_in_feed(core)) == 2


async def test_an_expired_key_can_be_used_for_another_batch(core: Core) -> None:
    """Its rows become other claims, though they have the same numbers."""
    sent = await take_in(core, claims(1), IDEMPOTENCY_KEY)
    await core.deliver()
    await batches.delete_batch(core.ports, sent.batch.id, sent.batch.keeping)
    other = await take_in(core, claim(7), IDEMPOTENCY_KEY)
    await core.deliver()

    assert other.batch.id == sent.batch.id
    assert await names(core) == ["Contoso adoption 1", "Contoso adoption 7"]


async def test_a_draft_of_a_batch_can_be_deleted_and_stays_so(core: Core) -> None:
    """While the batch is known, sending it again does not restore the draft."""
    sent = await take_in(core, claims(1))
    await core.deliver()
    (outcome,) = await rows(core, sent)
    await drafts.delete(core.ports, await core.case(str(outcome.claim_id)), PERSON, await core.now())
    await core.rest()
    await take_in(core, claims(1))
    await core.deliver()

    assert await names(core) == []
