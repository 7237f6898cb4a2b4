"""Delivery reports of mail systems: the recipients that a notice did not reach after all."""

from collections.abc import Sequence

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import Act
from cpor_core.model.mail import MailOutcome
from cpor_core.ports.notices import SentMail
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import drafts, partner_acts
from cpor_core.use_cases.notices.delivery_reports import MailEvent, record
from tests.core.builders import DAY, PERSON
from tests.core.memory_core import Core

UNKNOWN = "5d0f3a52-9f0e-5a53-9c39-6a7f8f6d2f11"


async def report(core: Core, number: int = 0, outcome: MailOutcome = MailOutcome.FAILED) -> bool:
    """Report the outcome of the mail with that number."""
    message_id = core.mailbox.sent[number].message_id
    return await record(core.ports, MailEvent(message_id, outcome), await core.now())


async def status(core: Core, case: Case) -> Status:
    """Return the stored state."""
    return (await core.stored(case)).claim.status


async def test_a_notice_that_bounced_for_everybody_stops_the_window(core: Core) -> None:
    """This holds on day four too. The partner is asked for another contact (decision 25)."""
    case = await core.notified()
    core.clock.advance(3 * DAY)

    assert await report(core)

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.status_reason) == (Status.PARTNER_ACTION_REQUIRED, Reason.CUSTOMER_UNREACHABLE)
    assert (await core.seen(case)).window is None


async def test_a_notice_that_bounced_for_one_recipient_is_only_recorded(core: Core) -> None:
    """The window goes on for the other recipients. A second report about the same recipient changes nothing."""
    await core.register_customer(notice_addresses=("it@contoso.fr",))
    case = await core.notified()

    await report(core)
    await report(core)

    assert await status(core, case) is Status.AWAITING_CUSTOMER
    assert [entry.act for entry in await core.history(case)].count(Act.RECIPIENT_FAILED) == 1
    await report(core, 1)
    assert await status(core, case) is Status.PARTNER_ACTION_REQUIRED


async def test_a_failure_report_before_our_record_of_the_mail_binds_nobody(core: Core) -> None:
    """The mail system reports before we have stored the hand-over. The record comes second."""
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
    """Other reports are counted in another place."""
    case = await core.notified()

    assert await report(core, outcome=outcome)

    assert (await core.stored(case)).claim == case.claim


async def test_a_failure_of_another_mail_changes_nothing(core: Core) -> None:
    """An example is a confirmation."""
    case = await core.notified()
    await core.decline(case)
    await core.deliver()
    before = await core.stored(case)

    assert await report(core, 1)

    assert (await core.stored(case)).claim == before.claim


async def test_a_failure_of_an_older_promise_changes_nothing(core: Core) -> None:
    """Another contact was notified after the failed notice."""
    case = await core.notified()
    await report(core)
    patch = {"contacts": {"customer": {"email": "bruno@contoso.fr"}}}
    case = await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)
    await partner_acts.resubmit(core.ports, case, PERSON, await core.now(), NO_CONTEXT)
    await core.deliver()

    await report(core, 0)

    assert await status(core, case) is Status.AWAITING_CUSTOMER


async def test_a_failure_after_official_puts_the_claim_on_the_reviewers_list(core: Core) -> None:
    """It changes nothing else."""
    case = await core.official()

    await report(core)

    claim = (await core.stored(case)).claim
    assert (claim.status, claim.look_at) == (Status.OFFICIAL, await core.now())


async def test_a_report_of_a_foreign_mail_is_recognised(core: Core) -> None:
    """A text that is no id of ours is recognised too."""
    for message_id in (UNKNOWN, "../", ""):
        assert not await record(core.ports, MailEvent(message_id, MailOutcome.FAILED), await core.now())


async def test_a_report_about_a_claim_that_is_gone_is_accepted(core: Core) -> None:
    """The report has nothing to change."""
    now = await core.now()
    await core.ports.mails.start_sending(UNKNOWN, SentMail("f" * 52, "notice", 1, 1), "me", now, now, now)

    assert await record(core.ports, MailEvent(UNKNOWN, MailOutcome.FAILED), await core.now())
