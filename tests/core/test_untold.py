"""Nobody sees figures of an imported association whose customer does not know of it (decision 65)."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cpor_core.errors import Refused
from cpor_core.model.claim import Reason, RecipientKind, Status
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.untold import Untold, untold
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, UNTOLD
from cpor_core.use_cases.claims import partner_acts
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.use_cases.notices import delivery_reports
from cpor_core.use_cases.notices.delivery_reports import MailEvent, MailOutcome
from cpor_core.use_cases.privacy import erase_person
from cpor_core.use_cases.register import untold as telling
from cpor_core.use_cases.register.import_official import import_lines
from cpor_core.use_cases.registry.partners_and_customers import CustomerChange, put_customer
from cpor_core.use_cases.usage import figures as usage
from cpor_core.use_cases.usage.figures import Loaded, Reader
from tests.core.builders import (
    ADATUM,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    TENANT,
    USAGE,
    customer,
)
from tests.core.memory_core import Core
from tests.doubles.transport import ProcessDied

ANNES = {"name": "Anne Durand", "email": "anne.durand@contoso.fr"}
JEANS = {"name": "Jean Petit", "email": "jean.petit@contoso.fr"}
IT = "it@contoso.fr"


def line(**given: Any) -> bytes:
    """Return a line about Teams under an engagement that can be claimed, but for what *given* changes."""
    usual = {"engagement": USAGE, "partnerId": PARTNER_IDS[ADATUM], "tenantId": TENANT, "item": "teams"}
    return json.dumps({**usual, "since": "2024-05-01", **given}).encode()


async def enter(core: Core, **given: Any) -> Loaded:
    """Enter it."""
    return await import_lines(core.ports, [line(**given)], "operator", await core.now())


async def entered(core: Core, **given: Any) -> Case:
    """Enter it; returns it as it is stored."""
    loaded = await enter(core, **given)
    assert loaded.accepted == 1, loaded
    rows = await core.ports.partner_claims.page(ADATUM, after="", limit=99)
    return await core.case(rows[0].claim_id)


async def past(core: Core, **given: Any) -> Case:
    """Enter it under an older programme, which needs nobody who can be told."""
    return await entered(core, engagement="osu-m365", **given)


async def figures(core: Core, case: Case) -> str:
    """Return what its partner gets: `figures`, or the code of the refusal."""
    reader = Reader(PERSON.id, "person")
    try:
        await usage.read_usage(core.ports, await core.case(case), reader, first=None, last=None)
    except Refused as refused:
        return refused.code
    return "figures"


async def listed(core: Core) -> list[tuple[str, Untold | None]]:
    """Return the operator's list."""
    page = await telling.untold_associations(core.ports, await core.now(), after="", limit=99)
    return [(case.claim.id, untold(case.claim)) for case in page.cases]


async def come_back(core: Core, message: MailMessage) -> None:
    """Report that a mail came back."""
    event = MailEvent(message.message_id, MailOutcome.FAILED)
    assert await delivery_reports.record(core.ports, event, await core.now())


async def register(core: Core, **changes: Any) -> None:
    """Write over what is known of the customer, as the operator does."""
    await put_customer(core.ports, CustomerChange(TENANT, customer(**changes)), await core.now())


# --- which lines are taken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "code"),
    [
        ("2026-10-31T23:59:59.999999Z", None),
        ("2026-11-01", "SinceTooLate"),
        ("2026-11-01T01:00:00+02:00", None),
        ("2026-11-02", "SinceTooLate"),
    ],
)
async def test_what_can_be_claimed_is_imported_only_from_before(core: Core, since: str, code: str | None) -> None:
    """Before the programme's own register: the rest is claimed, so that its customer has five days to decline."""
    loaded = await enter(core, since=since, customerContact=ANNES)

    assert [bad.code for bad in loaded.rejected] == ([code] if code else [])
    assert loaded.accepted == (0 if code else 1)


async def test_without_the_setting_nothing_that_can_be_claimed_is_imported(core: Core) -> None:
    """Nobody has said when the register began."""
    core.ports = replace(core.ports, terms=replace(core.ports.terms, imports_before=None))

    loaded = await enter(core, customerContact=ANNES)

    assert [bad.code for bad in loaded.rejected] == ["SinceTooLate"]
    assert (await enter(core, engagement="osu-m365")).accepted == 1


async def test_an_older_programme_is_imported_whenever_it_began(core: Core) -> None:
    """It cannot be claimed under its own name, so nobody evades a window by the import."""
    assert (await enter(core, engagement="osu-m365", since="2026-11-02T00:00:00Z")).accepted == 1


@pytest.mark.parametrize("given", [{}, {"customerContact": {"name": "Anne", "email": "anne@elsewhere.example"}}])
async def test_what_can_be_claimed_needs_somebody_to_tell(core: Core, given: dict[str, Any]) -> None:
    """A contact in a verified domain, or a registered address; else the line is left out."""
    loaded = await enter(core, **given)

    assert [bad.code for bad in loaded.rejected] == ["NobodyToTell"]
    await core.register_customer(notice_addresses=(IT,))
    assert (await enter(core, **given)).accepted == 1
    await core.deliver()
    assert core.mailbox.addressed("imported") == [IT]


async def test_the_contact_of_the_line_is_told_by_name_and_once(core: Core) -> None:
    """With a link of their own; the same address registered in capitals is the same person."""
    await core.register_customer(notice_addresses=("ANNE.durand@contoso.fr", IT))
    case = await entered(core, customerContact=ANNES)
    await core.deliver()

    recipients = await core.recipients(case)
    assert [(one.number, one.kind, one.email, one.name) for one in recipients] == [
        (1, RecipientKind.CONTACT, "anne.durand@contoso.fr", "Anne Durand"),
        (2, RecipientKind.NOTICE_ADDRESS, IT, None),
    ]
    assert core.mailbox.kinds() == ["imported", "imported"]


# --- when figures are shown ---------------------------------------------------------------------------------------


async def test_figures_begin_with_the_hand_over(core: Core) -> None:
    """Not with the import; a receipt is written for what was shown only."""
    core.mailbox.down = True
    case = await entered(core, customerContact=ANNES)
    await core.deliver()

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.ON_ITS_WAY)]
    assert await core.ports.receipts.page(TENANT, after="", limit=9) == []

    core.mailbox.down = False
    core.clock.advance(timedelta(minutes=3))
    await core.sweep()

    assert await figures(core, case) == "figures"
    assert await listed(core) == []


async def test_an_older_programmes_customer_must_know_too(core: Core) -> None:
    """The association is official, and holds its item; its partner sees nothing until somebody is told."""
    case = await past(core)

    assert case.claim.status is Status.OFFICIAL
    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.NOBODY_TO_TELL)]


async def test_a_claim_that_went_its_way_is_never_asked(core: Core) -> None:
    """Its window opened with a mail; one that comes back afterwards changes nothing (decision 25)."""
    case = await core.official()
    await come_back(core, core.mailbox.sent[0])

    assert await figures(core, case) == "figures"
    assert await listed(core) == []


async def test_figures_pause_when_every_mail_came_back(core: Core) -> None:
    """One of two is not everybody; a report that comes twice is one."""
    await core.register_customer(notice_addresses=(IT,))
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    first, second = core.mailbox.sent

    await come_back(core, first)
    await come_back(core, first)
    assert await figures(core, case) == "figures"
    core.clock.advance(timedelta(minutes=11))
    assert await listed(core) == []  # the key of the list goes with this look, and comes back
    await come_back(core, second)

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.EVERYBODY_FAILED)]
    history = await core.ports.claims.history(case.claim.id, after=0, limit=9)
    assert [entry.act for entry in history] == ["imported", "recipientFailed", "recipientFailed"]
    assert (await core.stored(case)).claim.look_at is None  # it is the operator's to mend


async def test_an_address_that_is_refused_at_once_has_failed(core: Core) -> None:
    """As one whose mail comes back."""
    core.mailbox.refused.add(ANNES["email"])
    case = await entered(core, customerContact=ANNES)
    await core.deliver()

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.EVERYBODY_FAILED)]
    assert (await core.stored(case)).claim.mails == ()


async def test_who_was_erased_knows_no_more(core: Core) -> None:
    """Their link is gone with them: figures pause as where a mail came back."""
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    await erase_person.begin_erasure(core.ports, ANNES["email"], await core.now())
    await core.rest()

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.EVERYBODY_FAILED)]


async def test_what_has_ended_needs_nobody_any_more(core: Core) -> None:
    """It leaves the list, and no figures are to be had anyway."""
    case = await past(core)
    await partner_acts.end(core.ports, case, PERSON, MONDAY, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert await listed(core) == []
    assert await figures(core, case) == "NotFound"


# --- somebody else is told ------------------------------------------------------------------------------------------


async def test_an_address_that_is_registered_later_is_told(core: Core) -> None:
    """Where nobody was told, and where everybody failed; once."""
    untold_one = await past(core)
    failed = await entered(core, item="exchange", customerContact=ANNES)
    await core.deliver()
    await come_back(core, core.mailbox.sent[0])

    await register(core, notice_addresses=(IT,))
    await core.deliver()
    await register(core, notice_addresses=(IT,), name="Contoso France SA")
    await core.deliver()

    assert core.mailbox.addressed("imported") == [ANNES["email"], IT, IT]
    assert [await figures(core, case) for case in (untold_one, failed)] == ["figures", "figures"]
    assert await listed(core) == []
    assert [one.number for one in await core.recipients(failed)] == [1, 2]


async def test_who_knows_already_is_enough(core: Core) -> None:
    """An address that comes later gets no mail about what somebody else was told."""
    await entered(core, customerContact=ANNES)
    await core.deliver()

    await register(core, notice_addresses=(IT,))
    await core.deliver()

    assert core.mailbox.addressed("imported") == [ANNES["email"]]


async def test_the_same_address_is_not_tried_again(core: Core) -> None:
    """It failed; somebody else has to be named."""
    await register(core, notice_addresses=(IT,))
    case = await entered(core)
    await core.deliver()
    await come_back(core, core.mailbox.sent[0])

    await register(core, notice_addresses=("IT@contoso.fr",))
    await core.deliver()

    assert core.mailbox.addressed("imported") == [IT]
    assert await figures(core, case) == "CustomerNotTold"


async def test_the_same_line_with_another_contact_tells_them(core: Core) -> None:
    """It counts as accepted; sent again it changes nothing, and a third contact is not needed."""
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    await come_back(core, core.mailbox.sent[0])

    same = await enter(core, customerContact=ANNES)
    other = await enter(core, customerContact=JEANS)
    again = await enter(core, customerContact=JEANS)
    third = await enter(core, customerContact={"name": "Third", "email": "third@contoso.fr"})
    await core.deliver()

    assert [(one.accepted, one.unchanged) for one in (same, other, again, third)] == [(0, 1), (1, 0), (0, 1), (0, 1)]
    assert core.mailbox.addressed("imported") == [ANNES["email"], JEANS["email"]]
    assert await figures(core, case) == "figures"


async def test_one_file_may_name_somebody_in_a_later_line(core: Core) -> None:
    """What was entered a line before is known with nobody to tell."""
    lines = [line(engagement="osu-m365"), line(engagement="osu-m365", customerContact=ANNES)]
    loaded = await import_lines(core.ports, lines, "operator", MONDAY)
    await core.deliver()

    assert (loaded.accepted, loaded.rejected) == (2, ())
    assert core.mailbox.addressed("imported") == [ANNES["email"]]


async def test_a_mail_that_waits_for_an_erased_person_goes_to_nobody_twice(core: Core) -> None:
    """What was owed to those who are gone is owed no more when others are told."""
    core.mailbox.down = True
    await entered(core, customerContact=ANNES)
    await core.deliver()
    await erase_person.begin_erasure(core.ports, ANNES["email"], await core.now())
    await core.rest()
    core.mailbox.down = False

    await register(core, notice_addresses=(IT,))
    await core.rest()

    assert core.mailbox.addressed("imported") == [IT]


async def test_a_registration_that_died_half_way_still_tells(core: Core) -> None:
    """A due row was written before the registry was."""
    case = await past(core)

    async def die() -> None:
        raise ProcessDied

    async with core.rows.once_after("registry", die):
        with pytest.raises(ProcessDied):
            await register(core, notice_addresses=(IT,))
    await core.rest()

    assert core.mailbox.addressed("imported") == [IT]
    assert await figures(core, case) == "figures"


async def test_the_end_is_told_to_those_who_knew(core: Core) -> None:
    """And to nobody whose mail came back."""
    await core.register_customer(notice_addresses=(IT,))
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    await come_back(core, core.mailbox.sent[0])

    await partner_acts.end(core.ports, await core.case(case), PERSON, MONDAY, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)
    await core.deliver()

    assert core.mailbox.addressed("closing") == [IT]


# --- after an upgrade -------------------------------------------------------------------------------------------------


async def test_a_rebuild_lists_what_was_imported_before(core: Core) -> None:
    """A former release wrote no key of this list."""
    case = await past(core)
    await past(core, item="exchange")
    told = await entered(core, item="sharepoint", customerContact=ANNES)
    await core.deliver()
    for row in await core.ports.reviews.page(UNTOLD, after="", limit=9):
        await core.ports.reviews.remove(UNTOLD, row.position)
    assert await listed(core) == []

    rebuilt = await rebuild(core.ports, await core.now())

    assert (case.claim.id, Untold.NOBODY_TO_TELL) in await listed(core)
    assert sorted(rebuilt.untold) == sorted(claim_id for claim_id, _ in await listed(core))
    assert len(rebuilt.untold) == 2
    assert told.claim.id not in rebuilt.untold
