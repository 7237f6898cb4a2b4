"""The export: all wanted claims in a table that a spreadsheet opens and never runs."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from cpor_app.queue_names import CLAIM_BATCHES
from cpor_core.due_work import RETENTION, Kind, Outcome
from cpor_core.errors import Conflict, Refused
from cpor_core.model import export
from cpor_core.model.batch import BatchStatus
from cpor_core.model.claim import Status
from cpor_core.model.export import ClaimFilter, ExportProgress
from cpor_core.rules.spreadsheet import defused
from cpor_core.use_cases.claims import csv_export, csv_rows, pages
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.views import own_claim_view
from tests.core.builders import (
    ADATUM,
    FABRIKAM,
    MICROSECOND,
    PARTNER_IDS,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    TERMS,
    USAGE,
    official,
)
from tests.core.builders import draft as made
from tests.core.memory_core import Core

DRAFTS = ClaimFilter(statuses=(Status.DRAFT,))
OTHER_TENANT = "bbbbbbbb-0000-4000-8000-000000000002"


async def exported(core: Core, *statuses: Status, tenant_id: str | None = None) -> Sequence[Mapping[str, str]]:
    """Return the rows of an export, as a spreadsheet parses them."""
    table = await asked(core, ClaimFilter(statuses=statuses, tenant_id=tenant_id))
    assert isinstance(table, bytes)
    return read(table)


async def asked(core: Core, wanted: ClaimFilter = ClaimFilter()) -> bytes | ExportProgress:  # noqa: B008 - it is frozen
    """Ask for an export now."""
    return await csv_export.export(core.ports, ADATUM, wanted, await core.now())


def read(table: bytes) -> list[dict[str, str]]:
    """Return the rows of a file, as a spreadsheet parses them."""
    assert table.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(table.decode("utf-8-sig").splitlines(), strict=True))


async def test_an_export_has_every_claim_of_the_organisation(core: Core) -> None:
    """Each claim is exported as of now, the newest first. Claims of other organisations are not exported."""
    first = await core.draft()
    core.clock.advance(timedelta(hours=1))
    second = await core.submitted(items=(TEAMS,), engagement=USAGE)
    await core.draft(FABRIKAM)

    rows = await exported(core)

    assert [row["id"] for row in rows] == [second.claim.id, first.claim.id]
    assert rows[1] == {
        "id": first.claim.id,
        "name": "Contoso adoption",
        "status": "draft",
        "statusReason": "",
        "engagement": "usage-recognition-bizapps",
        "partnerId": PARTNER_IDS[ADATUM],
        "customerTenantId": TENANT,
        "customerDomain": "contoso.fr",
        "items": f"dynamics-365-sales {SUBSCRIPTION}",
        "competing": "false",
        "nextStepOwner": "partner",
        "nextStepAction": "submit",
        "nextStepDue": "2027-01-31T09:00:00Z",
        "windowEndsAt": "",
        "associatedSince": "",
        "associationEndedAt": "",
        "endReason": "",
        "createdAt": "2026-11-02T09:00:00Z",
        "submittedAt": "",
        "updatedAt": "2026-11-02T09:00:00Z",
        "customerContactName": "Anne Durand",
        "customerContactEmail": "anne.durand@contoso.fr",
        "technicalContactName": "",
        "technicalContactEmail": "",
        "partnerContactName": "Paul Petit",
        "partnerContactEmail": "paul@adatum.example",
        "reference": "",
    }
    assert (rows[0]["status"], rows[0]["items"]) == (second.claim.status, "teams")


def test_an_association_is_exported_with_its_window_and_its_begin() -> None:
    """An association that the operator imported has no contacts."""
    case = official(made())
    entered = case.changed(contacts=None)

    row = dict(zip(csv_rows.COLUMNS, csv_rows.cells_of(own_claim_view(entered, TERMS)), strict=True))

    assert row["windowEndsAt"] == row["associatedSince"] == "2026-11-09T23:00:00Z"
    assert (row["associationEndedAt"], row["customerContactName"], row["partnerContactEmail"]) == ("", "", "")


async def test_lines_end_as_spreadsheets_want_them(core: Core) -> None:
    """Lines end with CR LF. Without claims the export has only the line of the columns."""
    table = await asked(core)

    assert isinstance(table, bytes)
    assert table.decode("utf-8-sig") == ",".join(csv_rows.COLUMNS) + "\r\n"


async def test_an_export_can_be_filtered(core: Core) -> None:
    """The tenant is in the key of a claim. The other filters read the claim."""
    draft = await core.draft()
    submitted = await core.submitted(items=(TEAMS,), engagement=USAGE)

    assert len(await exported(core, tenant_id=TENANT)) == 2
    assert await exported(core, tenant_id=OTHER_TENANT) == []
    rows = await exported(core, submitted.claim.status, Status.OFFICIAL)
    assert [row["id"] for row in rows] == [submitted.claim.id]
    rows = await exported(core, Status.DRAFT)
    assert [row["id"] for row in rows] == [draft.claim.id]


async def test_a_long_list_is_exported_to_its_end(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """This also holds when the list ends with a full page of keys."""
    monkeypatch.setattr(csv_export, "KEYS_AT_ONCE", 2)
    monkeypatch.setattr(csv_export, "PAGE_KEYS", 3)
    for count in (1, 2, 3, 4):
        core.clock.advance(timedelta(hours=1))
        await core.draft()
        assert len(await exported(core)) == count


async def test_an_export_that_is_too_large_is_refused_before_claims_are_read(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a filter, and with a filter by tenant, the keys say how many claims fit. Other filters look at more."""
    monkeypatch.setattr(csv_export, "MOST_ROWS", 2)
    await some(core, 3)

    with pytest.raises(Refused, match="ExportTooLarge"):
        await exported(core)
    with pytest.raises(Refused, match="ExportTooLarge"):
        await exported(core, tenant_id=TENANT)
    assert len(await exported(core, Status.DRAFT)) == 3
    monkeypatch.setattr(csv_export, "MOST_LOOKED_AT", 2)
    with pytest.raises(Refused, match="ExportTooLarge"):
        await exported(core, Status.OFFICIAL)
    assert await exported(core, tenant_id=OTHER_TENANT) == []


# --- large exports ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports of more than two claims are large, and have pages of two."""
    monkeypatch.setattr(csv_export, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(csv_export, "PAGE_KEYS", 2)
    monkeypatch.setattr(csv_export, "KEYS_AT_ONCE", 3)


async def begun(core: Core, wanted: ClaimFilter = ClaimFilter()) -> ExportProgress:  # noqa: B008 - it is frozen
    """Ask for a large export."""
    progress = await asked(core, wanted)
    assert isinstance(progress, ExportProgress)
    return progress


async def now_of(core: Core, progress: ExportProgress) -> ExportProgress:
    """Return the export as it is now."""
    found = await csv_export.own(core.ports, ADATUM, progress.export.id)
    assert found is not None
    return found


async def make_pages(core: Core, progress: ExportProgress) -> ExportProgress:
    """Make each page that is missing."""
    for page in progress.missing:
        await csv_export.process_page(core.ports, progress.export.id, page, await core.now())
    return await now_of(core, progress)


def messages(core: Core) -> list[dict[str, object]]:
    """Return the messages about batches and exports that wait in the queue."""
    return [json.loads(one.text) for one in core.queues.waiting.values() if one.queue == CLAIM_BATCHES]


async def some(core: Core, count: int) -> None:
    """Make drafts, an hour apart."""
    for _ in range(count):
        await core.draft(evidence=False)
        core.clock.advance(timedelta(hours=1))


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("count", [3, 4, 5])
async def test_a_large_export_is_made_in_pages_and_is_the_same_file(
    core: Core, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The order of its pages does not matter, nor does a page that is made twice. Newer claims are not in the file."""
    await some(core, count)
    progress = await begun(core)
    assert (progress.status, progress.done, progress.export.total) == (BatchStatus.NOT_STARTED, 0, count)
    assert messages(core) == [{"exportId": progress.export.id, "page": page} for page in progress.missing]
    with monkeypatch.context() as patched:
        patched.setattr(csv_export, "MOST_AT_ONCE", 99)
        at_once = await asked(core)

    await csv_export.process_page(core.ports, progress.export.id, 2, await core.now())
    halfway = await now_of(core, progress)
    assert (halfway.status, halfway.done) == (BatchStatus.RUNNING, progress.export.pages[1].count)
    await some(core, 4)
    await csv_export.process_page(core.ports, progress.export.id, 2, await core.now())
    done = await make_pages(core, progress)

    assert (done.status, done.done) == (BatchStatus.SUCCEEDED, count)
    assert await csv_export.file_of(core.ports, done) == at_once


@pytest.mark.usefixtures("small_pages")
async def test_a_large_export_has_the_filters(core: Core) -> None:
    """A page without a claim that fits has no blob."""
    await some(core, 2)
    submitted = await core.submitted(items=(TEAMS,), engagement=USAGE)

    done = await make_pages(core, await begun(core, ClaimFilter(statuses=(submitted.claim.status,))))

    file = await csv_export.file_of(core.ports, done)
    assert file is not None
    assert [row["id"] for row in read(file)] == [submitted.claim.id]
    assert len(core.batch_bodies.blobs) == 1
    assert (done.done, done.export.total) == (3, 3)
    assert isinstance(await asked(core, ClaimFilter(tenant_id=OTHER_TENANT)), bytes)


@pytest.mark.usefixtures("small_pages")
async def test_lost_messages_are_sent_again(core: Core) -> None:
    """The timer sends the messages of unfinished pages, each minute and later each quarter of an hour."""
    await some(core, 3)
    progress = await begun(core)
    core.queues.waiting.clear()
    core.clock.advance(pages.LOOK_AGAIN)

    await core.sweep()

    assert len(messages(core)) == 2
    old = progress.export.at + pages.SELDOM_AFTER
    outcome = await csv_export.finish(core.ports, progress.export.id, old)
    assert outcome == Outcome(delayed=True, not_before=old + pages.LOOK_SELDOM)
    await make_pages(core, progress)
    assert await csv_export.finish(core.ports, progress.export.id, await core.now()) == Outcome()


@pytest.mark.usefixtures("small_pages")
async def test_lost_due_rows_of_an_export_are_written_again(core: Core) -> None:
    """They finish the export and delete it later. None of its blobs counts as a blob without an export."""
    await some(core, 3)
    progress = await begun(core)
    await csv_export.process_page(core.ports, progress.export.id, 1, await core.now())
    core.queues.waiting.clear()
    core.rows._rows = {place: row for place, row in core.rows._rows.items() if place[0] != "duework"}

    await rebuild(core.ports, await core.now())

    kinds = [row.kind for row in await core.due_rows() if row.subject == progress.export.id]
    assert sorted(kinds) == [Kind.FINISH_EXPORT, Kind.DELETE_EXPORT]
    core.clock.advance(pages.LOOK_AGAIN)
    await core.sweep()
    assert [one["page"] for one in messages(core)] == [2]


@pytest.mark.usefixtures("small_pages")
async def test_a_page_is_finished_with_the_blob_of_an_earlier_run(core: Core) -> None:
    """The earlier run died after it wrote the blob. A claim has changed since. The first blob stays."""
    await some(core, 3)
    progress = await begun(core)
    await core.ports.batch_bodies.put(progress.export.blob(1), b"a,row\r\n", "text/csv")

    done = await make_pages(core, progress)

    assert done.status is BatchStatus.SUCCEEDED
    assert core.batch_bodies.blobs[progress.export.blob(1)][0] == b"a,row\r\n"


@pytest.mark.usefixtures("small_pages")
async def test_a_large_export_that_becomes_too_large_fails(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other pages are not made. A new request begins a new export."""
    monkeypatch.setattr(export, "MOST_ROWS", 1)
    await some(core, 3)

    progress = await begun(core, DRAFTS)
    await csv_export.process_page(core.ports, progress.export.id, 1, await core.now())

    failed = await now_of(core, progress)
    assert (failed.status, failed.missing, failed.done) == (BatchStatus.FAILED, (), 2)
    core.clock.advance(timedelta(seconds=1))
    assert (await begun(core, DRAFTS)).export.id != failed.export.id


@pytest.mark.usefixtures("small_pages")
async def test_a_repeated_request_gets_the_unfinished_export(core: Core) -> None:
    """So a caller who repeats the request begins only one export. Other filters begin another one."""
    await some(core, 3)
    first = await begun(core)
    core.queues.waiting.clear()
    await csv_export.process_page(core.ports, first.export.id, 1, await core.now())
    await some(core, 1)

    again = await begun(core)

    assert again == await now_of(core, first)
    assert messages(core) == []
    assert (await begun(core, DRAFTS)).export.id != first.export.id


@pytest.mark.usefixtures("small_pages")
async def test_a_request_after_the_end_of_an_export_begins_a_new_one(core: Core) -> None:
    """The new export has the newer claims. The file of the older export stays."""
    await some(core, 3)
    first = await make_pages(core, await begun(core))
    await some(core, 1)

    second = await make_pages(core, await begun(core))

    assert (first.export.total, second.export.total) == (3, 4)
    assert await now_of(core, first) == first
    assert await csv_export.file_of(core.ports, first) != await csv_export.file_of(core.ports, second)


@pytest.mark.usefixtures("small_pages")
async def test_only_its_organisation_finds_a_large_export(core: Core) -> None:
    """An id of another form is not found either."""
    await some(core, 3)
    progress = await begun(core)

    assert await csv_export.own(core.ports, FABRIKAM, progress.export.id) is None
    assert await csv_export.own(core.ports, ADATUM, "none") is None


@pytest.mark.usefixtures("small_pages")
async def test_a_large_export_is_deleted_a_day_after_its_end(core: Core) -> None:
    """The day begins when the last page is made. A message that comes later writes nothing."""
    await some(core, 5)
    progress = await begun(core)
    core.queues.waiting.clear()
    await csv_export.process_page(core.ports, progress.export.id, 1, await core.now())
    core.clock.advance(timedelta(hours=23))
    progress = await make_pages(core, progress)
    core.clock.advance(timedelta(hours=24) - MICROSECOND)
    await core.sweep()
    assert await csv_export.file_of(core.ports, await now_of(core, progress)) is not None

    core.clock.advance(MICROSECOND)
    await core.sweep()

    await csv_export.process_page(core.ports, progress.export.id, 1, await core.now())
    assert await csv_export.expire(core.ports, progress.export.id, await core.now()) == Outcome()
    assert core.batch_bodies.blobs == {}
    assert [row async for row in core.rows.scan("batches")] == []
    assert await csv_export.file_of(core.ports, progress) is None


async def a_day_later(core: Core, progress: ExportProgress) -> None:
    """Do the due work that deletes an export."""
    expires_at = await core.now() + RETENTION[Kind.DELETE_EXPORT]
    assert await csv_export.expire(core.ports, progress.export.id, expires_at) == Outcome()


@pytest.mark.usefixtures("small_pages")
async def test_an_export_that_is_deleted_while_a_page_is_made_leaves_nothing(core: Core) -> None:
    """The function that makes the page deletes its blob again."""
    await some(core, 3)
    progress = await begun(core)

    async with core.rows.once_before("batches", lambda: a_day_later(core, progress)):
        await csv_export.process_page(core.ports, progress.export.id, 1, await core.now())

    assert core.batch_bodies.blobs == {}
    assert [row async for row in core.rows.scan("batches")] == []


@pytest.mark.usefixtures("small_pages")
async def test_an_export_whose_page_is_finished_meanwhile_is_deleted_later(core: Core) -> None:
    """The deletion loses the race. No row and no blob is left without an export."""
    await some(core, 3)
    progress = await begun(core)

    async def make_page() -> None:
        await csv_export.process_page(core.ports, progress.export.id, 1, await core.now())

    with pytest.raises(Conflict):
        async with core.rows.once_before("batches", make_page):
            await a_day_later(core, progress)
    assert (await now_of(core, progress)).missing == (2,)

    await a_day_later(core, progress)
    assert core.batch_bodies.blobs == {}
    assert [row async for row in core.rows.scan("batches")] == []


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(first: str) -> None:
    """Full-width characters count like the plain ones."""
    assert defused(f"{first}cmd|' /C calc'!A0") == f"'{first}cmd|' /C calc'!A0"


@pytest.mark.parametrize("unseen", [" ", "\u00a0", "\u3000", "\u200b", "\ufeff", " \u200d "])
def test_an_invisible_character_hides_no_formula(unseen: str) -> None:
    """A spreadsheet can drop the character before it reads the cell."""
    assert defused(f"{unseen}=1+1") == f"'{unseen}=1+1"


@pytest.mark.parametrize("text", ["", " ", "Contoso", "a=b", "4782913", "'quoted", " a"])
def test_a_cell_that_is_harmless_stays_as_it_is(text: str) -> None:
    """A reader would see an apostrophe without need."""
    assert defused(text) == text
