"""What mail systems report afterwards: whom a notice did not reach after all."""

from collections.abc import Sequence

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import Act
from cpor_core.ports.notices import SentMail
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import drafts, partner_acts
from cpor_core.use_cases.notices.delivery_reports import MailEvent, MailOutcome, record
from tests.core.builders import DAY, PERSON
from tests.core.memory_core import Core

UNKNOWN = "5d0f3a52-9f0e-5a53-9c39-6a7f8f6d2f11"


async def report(core: Core, number: int = 0, outcome: MailOutcome = MailOutcome.FAILED) -> bool:
    """Report what became of the mail of that number."""
    message_id = core.mailbox.sent[number].message_id
    return await record(core.ports, MailEvent(message_id, outcome), await core.now())


async def status(core: Core, case: Case) -> Status:
    """Return the state that is stored."""
    return (await core.stored(case)).claim.status


async def test_a_notice_that_came_back_from_everybody_stops_the_window(core: Core) -> None:
    """On day four too; the partner is asked for another contact (decision 25)."""
    case = await core.told()
    core.clock.advance(3 * DAY)

    assert await report(core)

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.status_reason) == (Status.PARTNER_ACTION_REQUIRED, Reason.CUSTOMER_UNREACHABLE)
    assert (await core.seen(case)).window is None


async def test_a_notice_that_came_back_from_one_is_history(core: Core) -> None:
    """The window goes on for the others; the second report of the same changes nothing."""
    await core.register_customer(notice_addresses=("it@contoso.fr",))
    case = await core.told()

    await report(core)
    await report(core)

    assert await status(core, case) is Status.AWAITING_CUSTOMER
    assert [entry.act for entry in await core.history(case)].count(Act.RECIPIENT_FAILED) == 1
    await report(core, 1)
    assert await status(core, case) is Status.PARTNER_ACTION_REQUIRED


async def test_a_failure_before_our_own_record_binds_nobody(core: Core) -> None:
    """The mail system answers before we have written that the mail has gone; the record comes second."""
    case = await core.submitted()

    async def bounce(table: str, _: Sequence[Op]) -> None:
        if table == "claims" and core.mailbox.sent:
            core.rows.before = None
            await report(core)

    core.rows.before = bounce
    await core.deliver()

    assert await status(core, case) is Status.PARTNER_ACTION_REQUIRED
    assert Act.CUSTOMER_TOLD in [entry.act for entry in await core.history(case)]
    core.clock.advance(90 * DAY)
    assert (await core.seen(case)).association is None


@pytest.mark.parametrize("outcome", [MailOutcome.DELIVERED, MailOutcome.COMPLAINED])
async def test_only_a_failure_changes_anything(core: Core, outcome: MailOutcome) -> None:
    """The others are counted elsewhere."""
    case = await core.told()

    assert await report(core, outcome=outcome)

    assert (await core.stored(case)).claim == case.claim


async def test_a_failure_of_another_mail_changes_nothing(core: Core) -> None:
    """Of a confirmation, for example."""
    case = await core.told()
    await core.decline(case)
    await core.deliver()
    before = await core.stored(case)

    assert await report(core, 1)

    assert (await core.stored(case)).claim == before.claim


async def test_a_failure_of_an_older_promise_changes_nothing(core: Core) -> None:
    """Another contact has been told since."""
    case = await core.told()
    await report(core)
    patch = {"contacts": {"customer": {"email": "bruno@contoso.fr"}}}
    case = await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)
    await partner_acts.resubmit(core.ports, case, PERSON, await core.now(), NO_CONTEXT)
    await core.deliver()

    await report(core, 0)

    assert await status(core, case) is Status.AWAITING_CUSTOMER


async def test_after_official_a_failure_puts_the_claim_before_a_reviewer(core: Core) -> None:
    """And changes nothing else."""
    case = await core.official()

    await report(core)

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.look_at) == (Status.OFFICIAL, await core.now())


async def test_a_mail_that_is_not_ours_is_told_so(core: Core) -> None:
    """Nor is what is no id of ours."""
    for message_id in (UNKNOWN, "../", ""):
        assert not await record(core.ports, MailEvent(message_id, MailOutcome.FAILED), await core.now())


async def test_a_mail_of_a_claim_that_is_gone_is_ours(core: Core) -> None:
    """There is nothing to change."""
    now = await core.now()
    await core.ports.mails.start_sending(UNKNOWN, SentMail("f" * 52, "notice", 1, 1), "me", now, now)

    assert await record(core.ports, MailEvent(UNKNOWN, MailOutcome.FAILED), await core.now())
