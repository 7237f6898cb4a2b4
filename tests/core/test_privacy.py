"""Erasing people: one person from everything on request, and all people of a claim long after its close."""

import contextlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.batch import Progress
from cpor_core.model.claim import (
    ERASED,
    ERASED_ADDRESS,
    Contact,
    Contacts,
    DueMail,
    Evidence,
    MailKind,
    PartnerContact,
    Reason,
    Revenue,
    Status,
)
from cpor_core.model.erasure import Erasure, ErasureStatus, Found
from cpor_core.model.export import ClaimFilter
from cpor_core.model.history import PROGRAMME, Act, digest
from cpor_core.ports.claims import Comment
from cpor_core.ports.due_work import DueRow, Failure
from cpor_core.ports.idempotency import IdempotencyKey, IdempotencyRecord, StoredResponse
from cpor_core.ports.notices import SentMail
from cpor_core.rules.grace import GRACE
from cpor_core.rules.person_matcher import Person
from cpor_core.transitions import personal_data
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, change_claim
from cpor_core.use_cases.claims import batches, comments, csv_export, customer_acts, drafts, partner_acts, reviews
from cpor_core.use_cases.claims.search import search_own
from cpor_core.use_cases.due_work import failed_messages
from cpor_core.use_cases.mail_message_ids import message_id_expiry, message_id_of
from cpor_core.use_cases.privacy import erase_person
from tests.core.builders import (
    ADATUM,
    ANNE,
    FABRIKAM,
    LITWARE,
    PERSON,
    SALES,
    TEAMS,
    TENANT,
    TERMS,
    USAGE,
    answer_by,
    contacts,
    draft,
    evidence,
    in_state,
    rejected,
)
from tests.core.memory_core import Core

ANNES = "anne.durand@contoso.fr"
IN_CAPITALS = "Anne.Durand@Contoso.FR"
OTHERS = "joanne.durand@contoso.fr"


async def erased(core: Core, address: str = ANNES) -> Erasure:
    """Ask for an erasure and run the timer until it is done."""
    begun = await erase_person.begin_erasure(core.ports, address, await core.now())
    return await until_done(core, begun.id)


async def until_done(core: Core, erasure_id: str) -> Erasure:
    """Run the timer until an erasure is done."""
    for _ in range(30):
        await core.sweep()
        kept = await core.ports.erasures.find(erasure_id)
        assert kept is not None
        if kept.value.status is ErasureStatus.SUCCEEDED:
            return kept.value
        core.clock.advance(timedelta(minutes=12))
    raise AssertionError("the erasure does not end")


def holds(core: Core, text: str) -> list[str]:
    """Return the places that contain a text: tables and keys, packed or not, bodies and messages."""
    found = [
        f"{table} {key}"
        for (table, _, key), row in core.rows._rows.items()
        if any(text.lower() in read(cell).lower() for cell in row.values.values())
    ]
    found += [name for name, (data, _) in core.batch_bodies.blobs.items() if text.lower().encode() in data.lower()]
    return found


def read(cell: Any) -> str:
    """Return the text of a cell."""
    if isinstance(cell, bytes):
        return zlib.decompress(cell).decode(errors="replace")
    return str(cell)


# --- which texts mean the person --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Ask {ANNES}.", f"Ask {ERASED}."),
        (f"first\n{IN_CAPITALS}, please", f"first\n{ERASED}, please"),
        (f"<{ANNES}>", f"<{ERASED}>"),
        (f"{ANNES}.pdf", f"{ERASED}.pdf"),
        (f"mailto:{ANNES}", f"mailto:{ERASED}"),
        (OTHERS, OTHERS),
        (f"{ANNES}.example", f"{ANNES}.example"),
        (f"x.{ANNES}", f"x.{ANNES}"),
        ("Anne Durand said so", f"{ERASED} said so"),
        ("Marianne Durandal", "Marianne Durandal"),
        ("Ann", "Ann"),
    ],
)
def test_only_the_person_is_removed_from_texts(text: str, left: str) -> None:
    """A longer address or name belongs to another person. A name of three letters is not searched for."""
    person = Person(ANNES, frozenset({"Anne Durand", "Ann"}))

    assert person.without(text) == left
    assert person.is_named_in(text) is (text != left)


def test_a_person_is_removed_from_json_at_any_depth() -> None:
    """An address is replaced by an address, so that the value keeps its form."""
    person = Person(ANNES)

    assert person.out_of({"a": [ANNES, 1, None, True], ANNES: {"b": f"to {ANNES}"}}) == {
        "a": [ERASED_ADDRESS, 1, None, True],
        ERASED: {"b": f"to {ERASED}"},
    }


# --- one claim --------------------------------------------------------------------------------------------------------


def test_every_part_of_a_claim_loses_the_person() -> None:
    """The parts are contacts, free texts and names of files. A file still has a name of its own."""
    named = Contacts(
        customer=Contact(name="Marc", title=f"for {ANNES}", email="marc@contoso.fr"),
        customer_technical=Contact(name="Anne", email=IN_CAPITALS),
        partner=PartnerContact(name=ANNES, email="paul@adatum.example"),
    )
    files: tuple[Evidence, ...] = (
        evidence(file_name="erased.pdf"),
        evidence().model_copy(update={"file_name": f"{ANNES}.pdf"}),
        evidence(file_name="sow.pdf"),
    )
    case = draft(
        name=f"for {ANNES}",
        contacts=named,
        comment=f"ask {ANNES}",
        reference=f"{ANNES}, Monday",
        revenue=Revenue(solution_seller=ANNES, customer_name="Contoso"),
        evidence=files,
        mails=(
            DueMail(number=1, kind=MailKind.CLOSING, since=case_at(), reason=f"{ANNES} said so"),
            DueMail(number=2, kind=MailKind.CLOSING, since=case_at()),
        ),
    )

    after = personal_data.erase_person(case, Person(ANNES), case_at(), answer_by=answer_by(case_at()))

    assert ANNES not in after.claim.model_dump_json().lower()
    assert after.claim.contacts == Contacts(
        customer=Contact(name="Marc", title="for erased", email="marc@contoso.fr"),
        customer_technical=None,
        partner=PartnerContact(name=ERASED, email="paul@adatum.example"),
    )
    assert [one.file_name for one in after.claim.evidence] == ["erased.pdf", "2-erased.pdf", "sow.pdf"]
    assert after.claim.revenue == Revenue(solution_seller=ERASED, customer_name="Contoso")
    assert after.entries[-1][1].act is Act.PERSONAL_DATA_ERASED
    again = personal_data.erase_person(after, Person(ANNES), case_at(), answer_by=answer_by(case_at()))
    assert again == after


def test_a_deleted_draft_is_not_changed() -> None:
    """Its erasure follows within minutes, and the feed needs no more entries of it."""
    case = in_state(Status.DELETED)

    after = personal_data.erase_person(case, Person(ANNES), case_at(), answer_by=answer_by(case_at()))

    assert after.claim.contacts is not None
    assert after.claim.contacts.customer == personal_data.NOBODY
    assert after.entries == case.entries


def test_a_claim_without_contacts_has_no_person_to_erase() -> None:
    """An example is a past association."""
    case = draft(contacts=None)

    assert personal_data.erase_person(case, Person(ANNES), case_at(), answer_by=answer_by(case_at())) == case
    assert not personal_data.is_contact(case.claim, Person(ANNES))


def case_at() -> datetime:
    """Return an instant after the creation of the draft."""
    return datetime(2026, 11, 3, tzinfo=UTC)


async def test_a_draft_that_has_lost_its_contacts_cannot_be_submitted(core: Core) -> None:
    """The answer names both contacts that the partner must set again."""
    case = await core.draft()
    await erased(core)
    await erased(core, "paul@adatum.example")

    with pytest.raises(Refused) as refused:
        await core.submit(await core.case(case))

    missing = [detail.target for detail in refused.value.details if detail.code == "ContactMissing"]
    assert missing == ["contacts.partner", "contacts.customer"]


async def test_a_window_stops_when_no_notified_recipient_is_left(core: Core) -> None:
    """
    The claim goes back to its partner, who gets a mail and names another contact.

    Then the customer is asked again.
    """
    case = await core.notified()

    done = await erased(core)

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.status_reason) == (Status.PARTNER_ACTION_REQUIRED, Reason.CUSTOMER_UNREACHABLE)
    assert done.evidence_to_look_at == (claim.id,)
    await core.deliver()
    assert "customerUnreachable" in core.mailbox.news()
    with pytest.raises(Refused, match="ValidationFailed"):
        await partner_acts.resubmit(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)
    patch = {"contacts": contacts("marc.petit@contoso.fr").model_dump(mode="json", by_alias=True)}
    await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)
    await partner_acts.resubmit(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)
    await core.deliver()
    assert core.mailbox.addressed("notice") == [ANNES, "marc.petit@contoso.fr"]
    assert (await core.stored(case)).claim.opened_at is not None


async def test_a_window_goes_on_while_another_notified_recipient_is_left(core: Core) -> None:
    """The erased person gets no more mails, and the others do."""
    await core.register_customer(notice_addresses=("it@contoso.fr",))
    case = await core.notified()

    await erased(core)

    claim = (await core.stored(case)).claim
    assert claim.status is Status.AWAITING_CUSTOMER
    assert [(one.email, one.failed) for one in claim.recipients] == [(ERASED_ADDRESS, True), ("it@contoso.fr", False)]
    assert claim.window_ends_at is not None
    core.clock.set(claim.window_ends_at + GRACE)
    await core.sweep()
    await core.deliver()
    assert core.mailbox.addressed("officialConfirmation") == ["it@contoso.fr"]


async def test_a_claim_whose_contact_was_erased_before_the_notice_asks_its_partner(core: Core) -> None:
    """No mail goes to the placeholder. An address of the tenant itself gets the notice."""
    case = await core.submitted()
    await erase_person.erase_in_claim(core.ports, case.claim.id, ANNES, await core.now())
    await core.deliver()

    assert (await core.stored(case)).claim.status is Status.PARTNER_ACTION_REQUIRED
    assert core.mailbox.sent == []


async def test_a_notice_that_is_being_sent_does_not_restore_the_address(core: Core) -> None:
    """The sender finds that the claim has changed since its read."""
    case = await core.submitted()

    async def erase() -> None:
        await erase_person.erase_in_claim(core.ports, case.claim.id, ANNES, await core.now())

    async with core.rows.once_before("claims", erase):
        await core.deliver()
    await core.deliver()

    assert ANNES not in (await core.stored(case)).claim.model_dump_json()
    assert core.mailbox.sent == []


async def test_an_association_stays_and_its_partners_contact_gets_no_mail(core: Core) -> None:
    """Due mails to nobody are dropped, also the reminder to answer."""
    case = await core.notified()
    await erased(core, "paul@adatum.example")
    before = len(core.mailbox.to_partners)
    ends_at = (await core.stored(case)).claim.window_ends_at
    assert ends_at is not None
    core.clock.set(ends_at)
    await core.sweep()
    await core.rest()

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.partner_mails) == (Status.OFFICIAL, ())
    assert len(core.mailbox.to_partners) == before


async def test_without_a_contact_the_reminder_to_answer_is_not_sent(core: Core) -> None:
    """The reminder counts as sent."""
    case = await core.submitted()
    core.mailbox.refused = {ANNES}
    await core.deliver()
    await erased(core, "paul@adatum.example")
    time = (await core.stored(case)).claim.time_to_answer
    assert time is not None
    core.clock.set(time.reminder_at)
    await core.sweep()

    assert (await core.stored(case)).claim.answer_reminded
    assert "answerReminder" not in core.mailbox.news()


# --- everywhere -------------------------------------------------------------------------------------------------------


async def fill(core: Core) -> str:
    """Name Anne in each place that can name a person, and Joanne too. Return the id of an open claim."""
    await core.register_customer(notice_addresses=(IN_CAPITALS, OTHERS))
    case = await core.notified()
    now = await core.now()
    idempotency_key = IdempotencyKey("k" * 64, "b" * 64, ADATUM)
    comment = Comment("partner", PERSON.id, f"Hello\n{ANNES}, Anne Durand", now)
    await comments.add_comment(
        core.ports,
        await core.case(case),
        PERSON,
        now,
        ActContext(person_id=PERSON.id, idempotency_key=idempotency_key, comment=comment),
    )
    others = Comment("programme", "r", f"{OTHERS} knows", now)
    await comments.add_comment(core.ports, await core.case(case), PROGRAMME, now, ActContext(comment=others))
    said = ActContext(person_id="1", comment=Comment("customer", "1", "It was I", now))
    await customer_acts.decline(core.ports, await core.case(case), ANNE, now, said)
    await customer_acts.undo(core.ports, await core.case(case), ANNE, now, NO_CONTEXT)
    for key, body in (("json", json.dumps({"to": [ANNES]})), ("text", f"to {ANNES}"), ("other", f'"{OTHERS}"')):
        request = await core.ports.requests.begin(ADATUM, key * 8, IdempotencyRecord("b", "", "a", now))
        answer = StoredResponse(200, body.encode(), "application/json", {})
        await core.ports.requests.overwrite(ADATUM, key * 8, replace(request, answer=answer))
    await core.ports.requests.begin(FABRIKAM, "none", IdempotencyRecord("b", "", "a", now))
    await send_batch(core)
    await core.deliver()
    with patch.multiple(csv_export, MOST_AT_ONCE=0, PAGE_KEYS=1):
        await csv_export.export(core.ports, ADATUM, ClaimFilter(), now)
    await core.deliver()
    assert len(core.batch_bodies.blobs) == 1 + 2
    return case.claim.id


async def send_batch(core: Core, *more: object) -> Progress:
    """Send a batch whose second row is refused because of a field with Anne's name."""
    row = {
        "name": "Contoso",
        "partnerId": "4782913",
        "engagement": "usage-recognition-bizapps",
        "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
        "items": [SALES.model_dump(mode="json", by_alias=True)],
        "contacts": contacts().model_dump(mode="json", by_alias=True),
    }
    rows = [row, {**row, ANNES: 1}, *more]
    text = "\n".join(json.dumps(one) for one in rows).replace("@", "\\u0040", 1)
    return await batches.take_in(core.ports, ADATUM, PERSON, text.encode(), None, await core.now())


async def test_a_person_is_erased_everywhere_and_nobody_else(core: Core) -> None:
    """Tables, bodies of batches and stored answers no longer contain the address, in any case of its letters."""
    claim_id = await fill(core)
    others = len(holds(core, OTHERS))
    assert holds(core, ANNES)

    done = await erased(core)

    gone = [place for place in holds(core, ANNES) if OTHERS not in place]
    assert [place for place in gone if place not in holds(core, OTHERS)] == []
    assert len(holds(core, OTHERS)) == others
    assert done.email is None
    assert done.found == Found(claims=2, batches=1, customers=1, answers=2)
    words = [comment.text for comment in await core.ports.claims.comments(claim_id, after=0, limit=100)]
    assert words == ["Hello\nerased, erased", f"{OTHERS} knows"]
    entries = await core.history(await core.case(claim_id))
    assert all(digest(entry.model_dump(mode="json", by_alias=True)) == entry.hash for entry in entries)
    assert not [row for row in await core.due_rows() if row.kind is Kind.ERASE_PERSON and row.attempt]


async def test_the_same_address_again_has_no_finds(core: Core) -> None:
    """The second erasure is done after one round."""
    await fill(core)
    await erased(core)

    again = await erased(core)

    assert (again.found, again.round) == (Found(), 1)


async def test_an_erasure_stops_after_half_a_minute_and_goes_on_later(core: Core) -> None:
    """Each find is counted once, however often it stops."""
    await fill(core)
    begun = await erase_person.begin_erasure(core.ports, ANNES, await core.now())
    assert begun.status is ErasureStatus.NOT_STARTED

    def later() -> datetime:
        core.clock.advance(timedelta(seconds=31))
        return core.clock.real()

    ports = replace(core.ports, real_now=later)
    runs = 0
    while (await erase_person.continue_erasure(ports, begun.id, await core.now())).delayed:
        runs += 1
        kept = await core.ports.erasures.find(begun.id)
        assert kept is not None
        assert kept.value.status is ErasureStatus.RUNNING

    kept = await core.ports.erasures.find(begun.id)
    assert kept is not None
    assert kept.value.found == Found(claims=2, batches=1, customers=1, answers=2)
    assert runs > 4
    assert not (await erase_person.continue_erasure(core.ports, begun.id, await core.now())).delayed
    assert not (await erase_person.continue_erasure(core.ports, "unknown", await core.now())).delayed


async def test_an_erasure_that_dies_at_any_write_is_ended_by_the_next_run(core: Core) -> None:
    """The process dies before or after the write. Finds are counted once, and the address is gone."""
    await fill(core)
    start = core
    died = True
    for number in range(1, 60):
        for after in (False, True):
            tried = start.copied()
            tried.batch_bodies.blobs = dict(start.batch_bodies.blobs)
            begun = await erase_person.begin_erasure(tried.ports, ANNES, await tried.now())
            counted = 0

            async def die(_: str, __: Sequence[Op], when: int = number) -> None:
                nonlocal counted
                counted += 1
                if counted == when:
                    raise SystemError("the process dies")

            tried.rows.before, tried.rows.after = (None, die) if after else (die, None)
            try:
                await erase_person.continue_erasure(tried.ports, begun.id, await tried.now())
            except SystemError:
                died = True
            else:
                died = False
            tried.rows.before = tried.rows.after = None
            done = await until_done(tried, begun.id)
            assert done.found == Found(claims=2, batches=1, customers=1, answers=2), f"write {number}"
            assert [place for place in holds(tried, ANNES) if place not in holds(tried, OTHERS)] == []
        if not died:
            return
    raise AssertionError("it never came to its end")


def holds_word(core: Core, word: str) -> bool:
    """Whether the index of the partners' claims has a word, in a key or in a cell."""
    rows = [(key, row) for (table, _, key), row in core.rows._rows.items() if table == "partnerclaims"]
    return any(word.encode().hex() in key or word in str(row.values.get("words", "")) for key, row in rows)


@pytest.mark.parametrize("dies", [None, "claims", "partnerclaims"])
async def test_an_erasure_deletes_the_words_of_a_persons_name(core: Core, dies: str | None) -> None:
    """From the search too: of the claim's name and reference now, and of a name that it had before."""
    case = await core.draft(evidence=False)
    for patched in ({"name": "Rollout with Anne Durand"}, {"name": "Rollout"}, {"reference": f"ask {ANNES}"}):
        await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patched, NO_CONTEXT)
    assert holds_word(core, "anne")
    assert holds_word(core, "durand")

    async def die(table: str, _: Sequence[Op]) -> None:
        if table == dies:
            core.rows.after = None
            raise SystemError("the process dies")

    core.rows.after = die if dies is not None else None
    with contextlib.suppress(SystemError):
        await erased(core)
    await erased(core)
    for _ in range(6):
        await core.rest()

    assert [word for word in ("anne", "durand") if holds_word(core, word)] == []
    assert holds_word(core, "rollout")
    found = await search_own(core.ports, ADATUM, "rollout ask", await core.now(), after="", limit=9)
    assert [one.claim.reference for one in found.cases] == [f"ask {ERASED}"]


async def test_a_lost_race_is_tried_again_and_a_fault_is_left_to_the_next_round(core: Core) -> None:
    """One bad claim does not stop the others."""
    case = await core.notified()
    other = await core.draft()
    troubles = [Conflict("first"), *(StorageBusy("busy") for _ in range(2))]

    async def trouble(table: str, ops: Sequence[Op]) -> None:
        if table == "claims" and troubles:
            raise troubles.pop(0)

    core.rows.before = trouble
    done = await erased(core)

    assert done.round == 2
    assert not holds(core, ANNES)
    assert done.found.claims >= len({case.claim.id, other.claim.id})


async def test_a_row_that_changes_all_the_time_is_left_to_the_next_round(core: Core) -> None:
    """After eight attempts the run goes on with other rows."""
    await core.register_customer(notice_addresses=(ANNES,))
    left = 12

    async def trouble(table: str, _: Sequence[Op]) -> None:
        nonlocal left
        if table == "registry" and left:
            left -= 1
            raise Conflict("changed")

    core.rows.before = trouble
    done = await erased(core)

    assert left == 0
    assert done.round == 2
    assert not holds(core, ANNES)


async def test_two_timers_at_once_do_not_count_twice(core: Core) -> None:
    """A timer that finds another one at work stops."""
    await fill(core)
    begun = await erase_person.begin_erasure(core.ports, ANNES, await core.now())

    async def overtake() -> None:
        await erase_person.continue_erasure(core.ports, begun.id, await core.now())

    async with core.rows.once_before("settings", overtake):
        outcome = await erase_person.continue_erasure(core.ports, begun.id, await core.now())

    assert outcome.delayed
    assert (await until_done(core, begun.id)).found == Found(claims=2, batches=1, customers=1, answers=2)


async def test_a_lost_answer_is_recognised_as_our_own_write(core: Core) -> None:
    """The store did the write. The repetition meets its own row, and the run goes on."""
    await fill(core)
    begun = await erase_person.begin_erasure(core.ports, ANNES, await core.now())
    met: set[int] = set()

    async def lose_answer(table: str, _: Sequence[Op]) -> None:
        if table == "settings":
            met.add(len(met))
            raise Conflict("met itself")

    core.rows.after = lose_answer
    outcome = await erase_person.continue_erasure(core.ports, begun.id, await core.now())
    core.rows.after = None

    assert outcome.not_before == await core.now() + erase_person.AGAIN_AFTER
    assert len(met) > 4
    left = [place for place in holds(core, ANNES) if place not in holds(core, OTHERS)]
    assert left == [f"settings {begun.id}"]


async def test_an_erasure_waits_for_a_running_batch(core: Core) -> None:
    """It waits an hour, because the batch's rows could name the person again."""
    await send_batch(core)
    core.lose_messages()
    begun = await erase_person.begin_erasure(core.ports, ANNES, await core.now())
    await core.sweep()
    assert holds(core, ANNES)

    core.lose_messages()
    core.clock.advance(timedelta(hours=1))
    await erase_person.continue_erasure(core.ports, begun.id, await core.now())

    assert core.batch_bodies.blobs == {}
    await until_done(core, begun.id)
    assert not holds(core, ANNES)


async def test_a_body_without_a_batch_is_deleted_in_the_second_round(core: Core) -> None:
    """In the first round it could belong to a batch that is just being stored."""
    await core.batch_bodies.put("0" * 32 + "-1", f"not json {ANNES}".encode(), "application/x-ndjson")
    await core.batch_bodies.put("1" * 32 + "-1", f'"{OTHERS}"'.encode(), "application/x-ndjson")

    done = await erased(core)

    assert (done.round, done.found.batches) == (2, 1)
    assert list(core.batch_bodies.blobs) == ["1" * 32 + "-1"]


async def test_rows_without_an_export_are_deleted(core: Core) -> None:
    """A function can die after it has stored the rows of an export that was deleted meanwhile."""
    await core.batch_bodies.put("0" * 48 + "-0001", f'"Anne ""A."" Durand",{ANNES}'.encode(), "text/csv")
    await core.batch_bodies.put("0" * 48 + "-0002", OTHERS.encode(), "text/csv")

    done = await erased(core)

    assert (done.round, done.found) == (2, Found())
    assert list(core.batch_bodies.blobs) == ["0" * 48 + "-0002"]


async def test_files_of_a_closed_claim_are_deleted_with_the_contact(core: Core) -> None:
    """They are deleted an hour later, when no request can be reading them."""
    case = await core.withdraw(await core.submitted())
    assert core.blobs.blobs

    done = await erased(core)
    core.clock.advance(timedelta(hours=2))
    await core.sweep()

    assert done.evidence_to_look_at == ()
    assert (await core.stored(case)).claim.evidence == ()
    assert core.blobs.blobs == {}


async def test_an_answer_is_found_after_its_claim_is_gone(core: Core) -> None:
    """The stored answers of a deleted draft stay for two days."""
    idempotency_key = IdempotencyKey("k" * 64, "b" * 64, ADATUM)
    case = await core.draft()
    await comments.add_comment(core.ports, case, PERSON, await core.now(), ActContext(idempotency_key=idempotency_key))
    await drafts.delete(core.ports, await core.case(case), PERSON, await core.now())
    await core.rest()
    assert await core.ports.claims.load(case.claim.id) is None
    assert holds(core, ANNES)

    assert (await erased(core)).found == Found(claims=1)
    assert not holds(core, ANNES)


async def test_a_text_that_has_gone_since_the_read_is_a_conflict(core: Core) -> None:
    """The row is read again."""
    claim_id = await fill(core)
    kept = (await core.ports.claims.texts(claim_id))[0]
    await core.ports.claims.rewrite(claim_id, kept, None)

    with pytest.raises(Conflict):
        await core.ports.claims.rewrite(claim_id, kept, "text")


async def test_a_request_without_an_answer_names_no_person() -> None:
    """Nothing in it has to be erased."""
    request = IdempotencyRecord("b", "", "a", case_at())

    assert erase_person._with_erased_response(request, Person(ANNES)) == request


# --- the end of the retention -----------------------------------------------------------------------------------------


async def closed(core: Core) -> tuple[str, datetime]:
    """
    Withdraw a claim with a comment after its notice.

    Return its id and the instant at which its people are erased.
    """
    case = await core.notified()
    comment = Comment("partner", PERSON.id, "Words", await core.now())
    await comments.add_comment(core.ports, await core.case(case), PERSON, await core.now(), ActContext(comment=comment))
    await core.withdraw(await core.case(case))
    await core.rest()
    until = (await core.stored(case)).claim.people_until
    assert until is not None
    return case.claim.id, until


async def test_a_closed_claim_loses_its_people_after_two_years(core: Core) -> None:
    """It happens no moment earlier. The history stays, and its chain is whole."""
    claim_id, until = await closed(core)
    assert until == datetime(2028, 11, 2, 9, 0, tzinfo=UTC)
    core.clock.set(until - timedelta(microseconds=1))
    await core.sweep()
    assert holds(core, ANNES)

    core.clock.set(until)
    await core.sweep()
    core.clock.advance(timedelta(hours=2))
    await core.sweep()

    claim = (await core.stored(claim_id)).claim
    assert (claim.contacts, claim.evidence, claim.comment, claim.revenue) == (None, (), None, None)
    assert [one.email for one in claim.recipients] == [ERASED_ADDRESS]
    assert await core.ports.claims.comments(claim_id, after=0, limit=10) == []
    assert core.blobs.blobs == {}
    assert not holds(core, ANNES)
    entries = await core.history(await core.case(claim_id))
    assert (entries[-1].act, entries[-1].to) == (Act.PERSONAL_DATA_ERASED, Status.WITHDRAWN)
    assert all(digest(entry.model_dump(mode="json", by_alias=True)) == entry.hash for entry in entries)
    seen = await core.seen(await core.case(claim_id))
    assert (seen.contacts, seen.evidence) == (None, ())


async def test_links_of_an_erased_claim_have_expired(core: Core) -> None:
    """The answer is that the link is old, and not that it is unknown."""
    claim_id, until = await closed(core)
    core.clock.set(until)
    await core.sweep()

    with pytest.raises(Refused) as refused:
        await customer_acts.open_link(core.ports, claim_id, 1, await core.now())

    assert refused.value.code == "LinkExpired"


async def test_a_later_comment_extends_the_retention(core: Core) -> None:
    """The comment is kept two years too. The same holds for each later comment."""
    claim_id, until = await closed(core)
    core.clock.set(until)
    await core.sweep()
    comment = Comment("partner", PERSON.id, "More words", until)
    await comments.add_comment(core.ports, await core.case(claim_id), PERSON, until, ActContext(comment=comment))

    core.clock.set(datetime(2030, 11, 2, 10, 0, tzinfo=UTC))
    await core.sweep()

    assert await core.ports.claims.comments(claim_id, after=0, limit=10) == []


async def test_a_no_that_is_undone_erases_nobody(core: Core) -> None:
    """The claim is open again. After a second no the time begins at the window's end."""
    case = await core.notified()
    case = await core.decline(case)
    ends_at = case.claim.window_ends_at
    assert ends_at is not None
    assert case.claim.people_until == core.ports.terms.people_kept_until(ends_at)

    assert (await core.undo(case)).claim.people_until is None


async def test_a_rejection_loses_its_people_after_it_is_final() -> None:
    """A rejection that can be disputed is not closed."""
    case = rejected(draft())

    assert case.claim.closed_at is None


async def test_a_claim_whose_time_has_not_come_keeps_its_people(core: Core) -> None:
    """The claim decides, and not the due row."""
    case = await core.draft()

    after = await change_claim(
        core.ports, case, await core.now(), lambda one: personal_data.erase_people(one, case_at())
    )

    assert after.claim == case.claim


@pytest.mark.parametrize(
    ("months", "at", "until"),
    [
        (1, datetime(2027, 1, 31, 8, tzinfo=UTC), datetime(2027, 2, 28, 8, tzinfo=UTC)),
        (24, datetime(2026, 12, 1, tzinfo=UTC), datetime(2028, 12, 1, tzinfo=UTC)),
        (12, datetime(2028, 2, 29, tzinfo=UTC), datetime(2029, 2, 28, tzinfo=UTC)),
    ],
)
def test_months_end_on_the_same_day(months: int, at: datetime, until: datetime) -> None:
    """In a shorter month it is the last day."""
    assert replace(TERMS, retention_months=months).people_kept_until(at) == until


async def test_message_ids_are_deleted_90_days_after_the_close(core: Core) -> None:
    """They stay while the claim is open."""
    await core.notified()
    (notice,) = core.mailbox.sent
    core.clock.advance(timedelta(days=91))
    await core.sweep()
    await core.rest()
    assert await core.ports.mails.find(notice.message_id) is not None
    case = (await core.ports.claims.of_tenant(TENANT))[0]
    now = await core.now()
    await partner_acts.end(core.ports, await core.case(case), PERSON, now, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)
    await core.rest()
    for _ in range(4):
        core.clock.advance(timedelta(days=60))
        await core.sweep()

    assert [key for key in core.rows._rows if key[0] == "mails"] == []


async def test_one_due_row_deletes_all_message_ids_of_a_claim(core: Core) -> None:
    """It is written at the close. While the claim is open, no row comes back every 90 days."""
    case = await core.official()
    await core.rest()
    kinds = {Kind.DELETE_MESSAGE_ID, Kind.DELETE_MESSAGE_IDS}
    assert kinds.isdisjoint(row.kind for row in await core.due_rows(case))

    ended_at = await core.now()
    await partner_acts.end(
        core.ports, await core.case(case), PERSON, ended_at, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT
    )

    rows = [row for row in await core.due_rows(case) if row.kind in kinds]
    assert [(row.kind, row.due) for row in rows] == [(Kind.DELETE_MESSAGE_IDS, ended_at + timedelta(days=90))]


async def test_every_mail_that_was_ever_sent_is_in_the_claims_list(core: Core) -> None:
    """A mail outside the list would leave its Message-ID for ever."""
    case = await core.official()
    await core.rest()
    await partner_acts.end(
        core.ports, await core.case(case), PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT
    )
    await core.rest()

    claim = (await core.stored(case)).claim
    sent = {mail.message_id for mail in (*core.mailbox.sent, *core.mailbox.to_partners)}
    assert {"notice", "officialConfirmation", "closing"} <= set(core.mailbox.kinds())
    assert sent <= {message_id_of(claim, mail) for mail in claim.listed_mails}
    assert len(set(claim.listed_mails)) == len(claim.listed_mails)


async def test_every_mail_of_rivals_and_every_reminder_is_in_a_list(core: Core) -> None:
    """A holder is superseded, both partners hear of each other, and customer and partner are reminded."""
    held = await core.official(items=(TEAMS,), engagement=USAGE)
    rival = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    rival = await reviews.start(core.ports, await core.case(rival), await core.now(), NO_CONTEXT)
    rival = await reviews.request_information(
        core.ports, rival, await core.now(), [Reason.EVIDENCE_MISSING], NO_CONTEXT
    )
    assert rival.claim.time_to_answer is not None
    core.clock.set(rival.claim.time_to_answer.reminder_at)
    await core.sweep()
    winner = await core.notified(LITWARE, items=(TEAMS,), engagement=USAGE)
    for _ in range(45):
        core.clock.advance(timedelta(days=1))
        await core.rest()

    claims = [(await core.stored(case)).claim for case in (held, rival, winner)]
    sent = {mail.message_id: mail.kind for mail in (*core.mailbox.sent, *core.mailbox.to_partners)}
    assert {"reminder", "answerReminder", "competing", "closing"} <= set(sent.values())
    assert sent.keys() <= {message_id_of(claim, mail) for claim in claims for mail in claim.listed_mails}


async def test_a_claim_that_was_opened_again_keeps_its_message_ids(core: Core) -> None:
    """The due row of the first close finds nothing to do. The next close writes another row."""
    case = await core.decline(await core.notified())
    [row] = [row for row in await core.due_rows(case) if row.kind is Kind.DELETE_MESSAGE_IDS]
    await core.undo(case)
    core.clock.set(row.due)
    await core.sweep()
    await core.rest()

    assert await core.ports.mails.find(core.mailbox.sent[0].message_id) is not None
    assert row.due not in [one.due for one in await core.due_rows(case)]


async def test_a_row_for_a_mail_that_its_claim_lists_is_not_needed(core: Core) -> None:
    """A rebuild writes such a row for each mail. The claim's own row deletes the Message-ID."""
    await core.notified()
    [notice] = core.mailbox.sent
    now = await core.now()
    row = message_id_expiry(core.ports, notice.claim.id, notice.message_id, now - timedelta(days=90))
    await core.ports.duework.add([row])
    core.clock.advance(timedelta(minutes=11))

    await core.sweep()

    assert await core.ports.mails.find(notice.message_id) is not None
    assert Kind.DELETE_MESSAGE_ID not in [one.kind for one in await core.due_rows()]


async def test_a_message_id_of_the_first_release_lives_as_long_as_its_claim(core: Core) -> None:
    """Its claim does not list the mail. A delivery report must find an open claim, and a link must work."""
    case = await core.notified()
    name, now = "0f0e0d0c-0000-4000-8000-000000000001", await core.now()
    row_ref = core.ports.mails.row_ref(name)
    await core.ports.mails.start_sending(name, SentMail(case.claim.id, "notice", 1, 1), "me", now, now, now)
    await core.ports.duework.add([DueRow(now, case.claim.id, Kind.DELETE_MESSAGE_ID, name, deletes=row_ref)])

    await core.sweep()
    assert await core.ports.mails.find(name) is not None

    await core.withdraw(case)
    core.clock.advance(timedelta(days=91))
    await core.sweep()
    assert await core.ports.mails.find(name) is None


async def test_a_message_id_of_a_claim_that_is_gone_is_deleted(core: Core) -> None:
    """A deleted draft has no links."""
    row_ref = core.ports.mails.row_ref("a")
    now = await core.now()
    await core.ports.mails.start_sending("a", SentMail("0" * 52, "notice", 1, 1), "me", now, now, now)
    await core.ports.duework.add([DueRow(now, "0" * 52, Kind.DELETE_MESSAGE_ID, "a", deletes=row_ref)])

    await core.sweep()

    assert [key for key in core.rows._rows if key[0] == "mails"] == []


async def test_a_failed_message_is_deleted_after_90_days(core: Core) -> None:
    """The operator did not send it again in that time."""
    failure = Failure("a", "customer-notices", "{}", await core.now())
    await failed_messages.record(core.ports, failure, await core.now())
    assert await core.ports.failures.page(after="", limit=10) == [failure]

    core.clock.advance(RETENTION[Kind.DELETE_FAILURE])
    await core.sweep()

    assert await core.ports.failures.page(after="", limit=10) == []


async def test_stored_answers_stay_when_people_are_erased(core: Core) -> None:
    """They expire after two days, and their callers can still repeat the request."""
    claim_id, until = await closed(core)
    core.clock.set(until - timedelta(hours=1))
    idempotency_key = IdempotencyKey("k" * 64, "b" * 64, ADATUM)
    now = await core.now()
    await comments.add_comment(
        core.ports, await core.case(claim_id), PERSON, now, ActContext(idempotency_key=idempotency_key)
    )

    core.clock.set(until)
    await erase_person.erase_people(core.ports, await core.case(claim_id), until, NO_CONTEXT)

    assert [kept.author for kept in await core.ports.claims.texts(claim_id)] == [None]


async def test_a_person_with_a_longer_address_is_found_and_kept(core: Core) -> None:
    """The search finds every claim with the letters, and the whole address decides."""
    case = await core.draft(email=OTHERS)

    assert (await erased(core)).found == Found()
    assert (await core.stored(case)).claim == case.claim


async def test_a_customer_that_is_gone_names_nobody(core: Core) -> None:
    """There is no row to change."""
    await erase_person._erase_in_customer(core.ports, "f" * 36, Person(ANNES))()


async def test_a_search_of_bodies_goes_on_behind_the_last_one(core: Core) -> None:
    """A run reads one body if it has no more time. Lines without the person are skipped."""
    for number in range(3):
        body = "{}\n" + json.dumps({"to": ANNES})
        await core.batch_bodies.put(str(number) * 32 + "-1", body.encode(), "application/x-ndjson")
    begun = await erase_person.begin_erasure(core.ports, ANNES, await core.now())

    def later() -> datetime:
        core.clock.advance(timedelta(seconds=31))
        return core.clock.real()

    ports = replace(core.ports, real_now=later)
    runs = 1
    while (await erase_person.continue_erasure(ports, begun.id, await core.now())).delayed:
        runs += 1

    assert runs > 6
    assert core.batch_bodies.blobs == {}


async def test_a_text_of_full_length_can_still_be_read_after_an_erasure(core: Core) -> None:
    """The replaced text must fit its field, even with a short name repeated as often as possible."""
    full = ("Anna " * 40)[:199] + "."
    case = await core.draft()
    people = contacts(ANNES)
    anna = people.model_copy(update={"customer": people.customer.model_copy(update={"name": "Anna"})})
    now = await core.now()
    await change_claim(
        core.ports, case, now, lambda current: current.changed(name=full, comment=full * 20, contacts=anna)
    )

    await erased(core)

    claim = (await core.stored(case)).claim
    assert "Anna" not in f"{claim.name} {claim.comment}"


async def test_a_claim_that_cannot_be_read_does_not_stop_the_search(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    """The other claims are erased. The erasure is done when the claim can be read."""
    bad, good = await core.draft(), await core.draft(FABRIKAM)
    place = ("claims", TENANT, f"claim|{bad.claim.id}")
    row = core.rows._rows[place]
    core.rows._rows[place] = replace(row, values={**row.values, "document": f'{{"unknown": "{ANNES}"}}'})
    begun = await erase_person.begin_erasure(core.ports, ANNES, await core.now())

    assert (await erase_person.continue_erasure(core.ports, begun.id, await core.now())).delayed
    assert (await core.stored(good)).claim.customer_contact is None
    assert "cannot be searched: ValidationError" in caplog.text
    core.rows._rows[place] = row
    await until_done(core, begun.id)

    assert (await core.stored(bad)).claim.customer_contact is None


async def test_a_comment_during_the_erasure_is_erased_too(core: Core) -> None:
    """The next attempt finds it."""
    case = await core.withdraw(await core.submitted())
    until = (await core.stored(case)).claim.people_until
    assert until is not None
    core.clock.set(until)

    async def add_one_more() -> None:
        one_more = Comment("partner", PERSON.id, "One word more.", until)
        await comments.add_comment(core.ports, await core.case(case), PERSON, until, ActContext(comment=one_more))

    async with core.rows.once_before("claims", add_one_more):
        await core.sweep()
    for _ in range(3):
        core.clock.advance(timedelta(minutes=12))
        await core.sweep()

    assert (await core.stored(case)).claim.people_forgotten
    assert holds(core, "One word more.") == []


async def test_one_erasure_has_limited_time_in_each_run(core: Core) -> None:
    """Many erasures must not delay the timer's work on claims."""
    begun = [await erase_person.begin_erasure(core.ports, f"{n}@contoso.fr", await core.now()) for n in range(3)]

    for done in (1, 2, 3):
        swept = await core.sweep()
        assert swept.due_since is None
        kept = [await core.ports.erasures.find(one.id) for one in begun]
        assert sum(one is not None and one.value.status is ErasureStatus.SUCCEEDED for one in kept) == done
        core.clock.advance(timedelta(minutes=3))
