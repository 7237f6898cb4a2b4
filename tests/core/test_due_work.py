"""The table of due work: each kind has a handler, each deleting kind has a retention, and stored names stay."""

import logging
from datetime import timedelta

import pytest

from cpor_app.adapters.storage.row_store import Cell, Put
from cpor_app.adapters.storage.tables.due_work import TABLE, DueWorkTable
from cpor_core.due_work import RETENTION, RETRIES_AFTER, SHARDS, Kind, retry_after
from cpor_core.ports.due_work import DueRow
from cpor_core.rules.claim_due_work import TO_PARTNERS
from cpor_core.use_cases.due_work.handlers import HANDLERS
from cpor_core.use_cases.due_work.process_claim import PARTNER_STEPS, STEPS
from tests.core.builders import MONDAY, TENANT
from tests.core.memory_core import Core
from tests.doubles.memory_rows import MemoryRows

SUBJECT = "0" * 52
KEY = "f00dbeef" * 2
STORED = {
    "writeDown": (Kind.WRITE_DOWN, "", None),
    "tellCustomer": (Kind.NOTIFY_CUSTOMER, "", None),
    "remindCustomer": (Kind.REMIND_CUSTOMER, "", None),
    "remindPartner": (Kind.REMIND_PARTNER, "", None),
    "sendMail": (Kind.SEND_MAIL, "", None),
    "tellPartner": (Kind.NOTIFY_PARTNER, "", None),
    "erase": (Kind.DELETE_DRAFT, "", None),
    "forgetPeople": (Kind.ERASE_PEOPLE, "", None),
    "announce": (Kind.ANNOUNCE, "", None),
    "replaceWords": (Kind.REPLACE_WORDS, "", None),
    "follow": (Kind.FOLLOW, "", None),
    "follow-anew": (Kind.FOLLOW, "anew", None),
    "followCustomer": (Kind.FOLLOW_CUSTOMER, "", None),
    "followPartner": (Kind.FOLLOW_PARTNER, "", None),
    "followFigures": (Kind.FOLLOW_FIGURES, "", None),
    "recount": (Kind.RECOUNT, "", None),
    "trimProgramme": (Kind.TRIM_PROGRAMME, "", None),
    "trimChanges": (Kind.TRIM_CHANGES, "", None),
    "deliver": (Kind.DELIVER, "", None),
    "finishBatch": (Kind.FINISH_BATCH, "", None),
    "finishExport": (Kind.FINISH_EXPORT, "", None),
    "erasePerson": (Kind.ERASE_PERSON, "", None),
    "endGoneItems": (Kind.END_GONE_ITEMS, "", None),
    "tellOthers": (Kind.NOTIFY_OTHERS, "", None),
    f"forget-request-{KEY}": (Kind.DELETE_IDEMPOTENCY_RECORD, KEY, "requests"),
    f"forget-{KEY}": (Kind.DELETE_REPLY, KEY, "claims"),
    "forget-mail-5b0c-1": (Kind.DELETE_MESSAGE_ID, "5b0c-1", "mails"),
    "forgetMails": (Kind.DELETE_MESSAGE_IDS, "", None),
    "forget-mail-of-anne.pdf": (Kind.DELETE_BLOB, "mail-of-anne.pdf", "evidence"),
    "forget-0a1b2c3d": (Kind.DELETE_DELIVERIES, "0a1b2c3d", "webhooks"),
    "forget-batch-1a2b": (Kind.DELETE_BATCH, "1a2b", "batches"),
    "forget-export": (Kind.DELETE_EXPORT, "", "batches"),
    "forget-failure": (Kind.DELETE_FAILURE, "", "failures"),
    "forget-dry-runs": (Kind.DELETE_DRY_RUN_COUNT, "", "settings"),
    "of-a-later-release": (Kind.OF_ANOTHER_RELEASE, "of-a-later-release", None),
    "delete-reply-0a1b": (Kind.OF_ANOTHER_RELEASE, "delete-reply-0a1b", "claims"),
}
"""Each kind as release 1 stores it: its name, what it deletes, and how it is read."""


def test_every_kind_has_a_handler() -> None:
    """The sweep knows each row that it reads."""
    assert HANDLERS.keys() == set(Kind)


def test_every_kind_of_a_claims_work_has_a_step() -> None:
    """The handler of a claim's due work knows each kind that a claim can need."""
    of_claims = {kind for kind, handler in HANDLERS.items() if handler is HANDLERS[Kind.WRITE_DOWN]}

    assert STEPS.keys() | PARTNER_STEPS.keys() == of_claims
    assert PARTNER_STEPS.keys() == TO_PARTNERS


def test_every_kind_that_deletes_has_a_retention() -> None:
    """One table has all retentions."""
    deletes = {kind for kind in Kind if kind.startswith("forget-")}

    assert RETENTION.keys() == deletes | {Kind.TRIM_CHANGES, Kind.TRIM_PROGRAMME, Kind.DELETE_MESSAGE_IDS}


def test_every_kind_is_among_the_stored_names() -> None:
    """The list has the stored name of each kind, and a stored name never changes."""
    assert {kind for kind, _, _ in STORED.values()} == set(Kind)


@pytest.mark.parametrize("name", STORED)
async def test_a_stored_row_is_read_and_postponed_under_its_name(name: str) -> None:
    """Rows of release 1 are found. Neither a kind nor the key of a row has another name today."""
    kind, label, table = STORED[name]
    rows = MemoryRows()
    deletes = {"forgetTable": table, "forgetPartition": "p", "forgetKey": "k"} if table is not None else {}
    values: dict[str, Cell] = {"due": MONDAY, "subject": SUBJECT, "debt": name, "attempt": 1, **deletes}
    stored = DueWorkTable(rows)
    await stored.add([DueRow(MONDAY, SUBJECT, Kind.WRITE_DOWN)])
    [written] = [row async for row in rows.scan(TABLE)]
    await rows.write(TABLE, written.partition, Put(f"{written.key.rpartition('|')[0]}|{name}", values))

    found = await stored.due(int(written.partition), MONDAY, after=None, limit=SHARDS)
    row = next(row for row in found if row.kind is kind)
    await stored.move(row, (), due=MONDAY + timedelta(days=1), attempt=2)

    assert (row.label, row.deletes[0] if row.deletes is not None else None) == (label, table)
    assert {kept.key.rpartition("|")[2] for kept in [row async for row in rows.scan(TABLE)]} == {"writeDown", name}


async def test_a_row_of_another_release_leads_to_a_look_at_its_claim(core: Core) -> None:
    """After a return to this release, the work that the claim needs is done."""
    case = await core.submitted()
    core.lose_messages()
    await core.ports.duework.add([DueRow(MONDAY, case.claim.id, Kind.OF_ANOTHER_RELEASE, "of-a-later-release")])

    await core.sweep()

    assert core.mailbox.kinds() == ["notice"]


async def test_the_log_names_the_work_of_another_release(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    """After a return to this release, an operator reads which work fails."""
    case = await core.submitted()
    await core.rows.write("claims", TENANT, Put(f"claim|{case.claim.id}", {"document": "{}", "actId": "x"}))
    await core.ports.duework.add([DueRow(MONDAY, case.claim.id, Kind.OF_ANOTHER_RELEASE, "of-a-later-release")])

    with caplog.at_level(logging.WARNING):
        await core.sweep()

    assert f"claim {case.claim.id}: of-a-later-release failed" in caplog.text


def test_retries_wait_longer_up_to_an_hour() -> None:
    """A retry comes after 1, 5, 15 and 60 minutes, and then every hour."""
    assert [retry_after(attempt) for attempt in range(6)] == [*RETRIES_AFTER, RETRIES_AFTER[-1], RETRIES_AFTER[-1]]
