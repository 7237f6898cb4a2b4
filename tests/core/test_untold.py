"""No partner sees figures of an imported association while its customer does not know about it (decision 65)."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cpor_core.errors import Refused
from cpor_core.model.claim import Reason, RecipientKind, Status
from cpor_core.model.mail import MailOutcome
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.untold import Untold, untold
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, UNTOLD
from cpor_core.use_cases.claims import partner_acts
from cpor_core.use_cases.due_work.rebuild import rebuild
from cpor_core.use_cases.notices import delivery_reports
from cpor_core.use_cases.notices.delivery_reports import MailEvent
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
    """Return a line about Teams under a current engagement, with the changes in *given*."""
    usual = {"engagement": USAGE, "partnerId": PARTNER_IDS[ADATUM], "tenantId": TENANT, "item": "teams"}
    return json.dumps({**usual, "since": "2024-05-01", **given}).encode()


async def enter(core: Core, **given: Any) -> Loaded:
    """Import lines."""
    return await import_lines(core.ports, [line(**given)], "operator", await core.now())


async def entered(core: Core, **given: Any) -> Case:
    """Import a line, and return the stored association."""
    loaded = await enter(core, **given)
    assert loaded.accepted == 1, loaded
    rows = await core.ports.partner_claims.page(ADATUM, after="", limit=99)
    return await core.case(rows[0].claim_id)


async def past(core: Core, **given: Any) -> Case:
    """Import it under an older programme, which needs no address."""
    return await entered(core, engagement="osu-m365", **given)


async def figures(core: Core, case: Case) -> str:
    """Return the answer to its partner: `figures`, or the code of the refusal."""
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
    """Report that a mail bounced."""
    event = MailEvent(message.message_id, MailOutcome.FAILED)
    assert await delivery_reports.record(core.ports, event, await core.now())


async def register(core: Core, **changes: Any) -> None:
    """Replace the customer in the registry, as the operator does."""
    await put_customer(core.ports, CustomerChange(TENANT, customer(**changes)), await core.now())


# --- accepted lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "code"),
    [
        ("2026-10-31T23:59:59.999999Z", None),
        ("2026-11-01", "SinceTooLate"),
        ("2026-11-01T01:00:00+02:00", None),
        ("2026-11-02", "SinceTooLate"),
    ],
)
async def test_a_current_engagement_is_imported_only_with_an_earlier_begin(
    core: Core, since: str, code: str | None
) -> None:
    """
    Its begin must lie before the start of the programme's register.

    Later ones must be claimed, so that the customer has five days to decline.
    """
    loaded = await enter(core, since=since, customerContact=ANNES)

    assert [bad.code for bad in loaded.rejected] == ([code] if code else [])
    assert loaded.accepted == (0 if code else 1)


async def test_without_the_setting_no_current_engagement_is_imported(core: Core) -> None:
    """The start of the register is unknown."""
    core.ports = replace(core.ports, terms=replace(core.ports.terms, imports_before=None))

    loaded = await enter(core, customerContact=ANNES)

    assert [bad.code for bad in loaded.rejected] == ["SinceTooLate"]
    assert (await enter(core, engagement="osu-m365")).accepted == 1


async def test_an_older_programme_is_imported_with_any_begin(core: Core) -> None:
    """It cannot be claimed under its own name, and the import therefore evades no window."""
    assert (await enter(core, engagement="osu-m365", since="2026-11-02T00:00:00Z")).accepted == 1


@pytest.mark.parametrize("given", [{}, {"customerContact": {"name": "Anne", "email": "anne@elsewhere.example"}}])
async def test_a_current_engagement_needs_an_address(core: Core, given: dict[str, Any]) -> None:
    """The address is a contact in a verified domain or a registered address. Otherwise the line is refused."""
    loaded = await enter(core, **given)

    assert [bad.code for bad in loaded.rejected] == ["NobodyToTell"]
    await core.register_customer(notice_addresses=(IT,))
    assert (await enter(core, **given)).accepted == 1
    await core.deliver()
    assert core.mailbox.addressed("imported") == [IT]


async def test_the_contact_of_the_line_gets_one_mail_by_name(core: Core) -> None:
    """It has its own link. The same address in capitals in the registry is the same person."""
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
    """The import alone shows none. A receipt is written for shown figures only."""
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


async def test_the_customer_of_an_older_programme_must_know_too(core: Core) -> None:
    """The association is official and holds its item. Its partner sees no figures until a recipient is notified."""
    case = await past(core)

    assert case.claim.status is Status.OFFICIAL
    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.NOBODY_TO_TELL)]


async def test_a_claim_with_a_window_keeps_its_figures(core: Core) -> None:
    """Its window opened with a mail. A later bounce changes nothing (decision 25)."""
    case = await core.official()
    await come_back(core, core.mailbox.sent[0])

    assert await figures(core, case) == "figures"
    assert await listed(core) == []


async def test_figures_pause_when_every_mail_bounced(core: Core) -> None:
    """One bounce of two is not enough. A repeated report counts once."""
    await core.register_customer(notice_addresses=(IT,))
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    first, second = core.mailbox.sent

    await come_back(core, first)
    await come_back(core, first)
    assert await figures(core, case) == "figures"
    core.clock.advance(timedelta(minutes=11))
    assert await listed(core) == []  # the key in the list is deleted at this read and written again
    await come_back(core, second)

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.EVERYBODY_FAILED)]
    history = await core.ports.claims.history(case.claim.id, after=0, limit=9)
    assert [entry.act for entry in history] == ["imported", "recipientFailed", "recipientFailed"]
    assert (await core.stored(case)).claim.look_at is None  # the operator must correct it


async def test_a_refused_address_counts_as_failed(core: Core) -> None:
    """It counts like a mail that bounces."""
    core.mailbox.refused.add(ANNES["email"])
    case = await entered(core, customerContact=ANNES)
    await core.deliver()

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.EVERYBODY_FAILED)]
    assert (await core.stored(case)).claim.mails == ()


async def test_an_erased_recipient_no_longer_counts_as_notified(core: Core) -> None:
    """The link is erased too, and figures pause as after a bounce."""
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    await erase_person.begin_erasure(core.ports, ANNES["email"], await core.now())
    await core.rest()

    assert await figures(core, case) == "CustomerNotTold"
    assert await listed(core) == [(case.claim.id, Untold.EVERYBODY_FAILED)]


async def test_an_ended_association_leaves_the_list(core: Core) -> None:
    """It shows no figures anyway."""
    case = await past(core)
    await partner_acts.end(core.ports, case, PERSON, MONDAY, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert await listed(core) == []
    assert await figures(core, case) == "NotFound"


# --- another recipient ------------------------------------------------------------------------------------------------


async def test_a_later_registered_address_is_notified(core: Core) -> None:
    """It gets one mail if no recipient was notified or all have failed."""
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


async def test_one_notified_recipient_is_enough(core: Core) -> None:
    """A later address gets no mail."""
    await entered(core, customerContact=ANNES)
    await core.deliver()

    await register(core, notice_addresses=(IT,))
    await core.deliver()

    assert core.mailbox.addressed("imported") == [ANNES["email"]]


async def test_a_failed_address_is_not_tried_again(core: Core) -> None:
    """The operator must name another recipient."""
    await register(core, notice_addresses=(IT,))
    case = await entered(core)
    await core.deliver()
    await come_back(core, core.mailbox.sent[0])

    await register(core, notice_addresses=("IT@contoso.fr",))
    await core.deliver()

    assert core.mailbox.addressed("imported") == [IT]
    assert await figures(core, case) == "CustomerNotTold"


async def test_the_same_line_with_another_contact_notifies_that_contact(core: Core) -> None:
    """The line counts as accepted. A repetition changes nothing, and a third contact gets no mail."""
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


async def test_one_file_can_name_a_contact_in_a_later_line(core: Core) -> None:
    """The association of the earlier line has no recipient."""
    lines = [line(engagement="osu-m365"), line(engagement="osu-m365", customerContact=ANNES)]
    loaded = await import_lines(core.ports, lines, "operator", MONDAY)
    await core.deliver()

    assert (loaded.accepted, loaded.rejected) == (2, ())
    assert core.mailbox.addressed("imported") == [ANNES["email"]]


async def test_a_waiting_mail_to_an_erased_person_is_dropped(core: Core) -> None:
    """It is no longer due when another recipient is notified."""
    core.mailbox.down = True
    await entered(core, customerContact=ANNES)
    await core.deliver()
    await erase_person.begin_erasure(core.ports, ANNES["email"], await core.now())
    await core.rest()
    core.mailbox.down = False

    await register(core, notice_addresses=(IT,))
    await core.rest()

    assert core.mailbox.addressed("imported") == [IT]


async def test_a_registration_that_died_half_way_still_notifies(core: Core) -> None:
    """The due row was written before the registry entry."""
    case = await past(core)

    async def die() -> None:
        raise ProcessDied

    async with core.rows.once_after("registry", die):
        with pytest.raises(ProcessDied):
            await register(core, notice_addresses=(IT,))
    await core.rest()

    assert core.mailbox.addressed("imported") == [IT]
    assert await figures(core, case) == "figures"


async def test_the_mail_about_the_end_goes_to_notified_recipients(core: Core) -> None:
    """Recipients with a bounced mail get none."""
    await core.register_customer(notice_addresses=(IT,))
    case = await entered(core, customerContact=ANNES)
    await core.deliver()
    await come_back(core, core.mailbox.sent[0])

    await partner_acts.end(core.ports, await core.case(case), PERSON, MONDAY, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)
    await core.deliver()

    assert core.mailbox.addressed("closing") == [IT]


# --- after an upgrade -------------------------------------------------------------------------------------------------


async def test_a_rebuild_lists_earlier_imports(core: Core) -> None:
    """A former release wrote no key in this list."""
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
