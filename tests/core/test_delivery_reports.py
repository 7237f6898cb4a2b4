"""What mail systems report afterwards: whom a notice did not reach after all."""

from collections.abc import Sequence

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_core.model.claim import Reason, Status
from cpor_core.model.history import Act
from cpor_core.ports.notices import SentMail
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import drafts, submission
from cpor_core.use_cases.notices.delivery_reports import MailEvent, MailOutcome, record
from tests.core.builders import DAY, PERSON
from tests.core.world import World

UNKNOWN = "5d0f3a52-9f0e-5a53-9c39-6a7f8f6d2f11"


async def report(world: World, number: int = 0, outcome: MailOutcome = MailOutcome.FAILED) -> bool:
    """Report what became of the mail of that number."""
    message_id = world.mailbox.sent[number].message_id
    return await record(world.ports, MailEvent(message_id, outcome), await world.now())


async def status(world: World, case: Case) -> Status:
    """Return the state that is stored."""
    return (await world.stored(case)).claim.status


async def test_a_notice_that_came_back_from_everybody_stops_the_window(world: World) -> None:
    """On day four too; the partner is asked for another contact (rulings 25)."""
    case = await world.told()
    world.clock.advance(3 * DAY)

    assert await report(world)

    claim = (await world.stored(case)).claim
    assert (claim.status, claim.status_reason) == (Status.PARTNER_ACTION_REQUIRED, Reason.CUSTOMER_UNREACHABLE)
    assert (await world.seen(case)).window is None


async def test_a_notice_that_came_back_from_one_is_history(world: World) -> None:
    """The window goes on for the others; the second report of the same changes nothing."""
    await world.register_customer(notice_addresses=("it@contoso.fr",))
    case = await world.told()

    await report(world)
    await report(world)

    assert await status(world, case) is Status.AWAITING_CUSTOMER
    assert [entry.act for entry in await world.history(case)].count(Act.RECIPIENT_FAILED) == 1
    await report(world, 1)
    assert await status(world, case) is Status.PARTNER_ACTION_REQUIRED


async def test_a_failure_before_our_own_record_binds_nobody(world: World) -> None:
    """The mail system answers before we have written that the mail has gone; the record comes second."""
    case = await world.submitted()

    async def bounce(table: str, _: Sequence[Op]) -> None:
        if table == "claims" and world.mailbox.sent:
            world.rows.before = None
            await report(world)

    world.rows.before = bounce
    await world.deliver()

    assert await status(world, case) is Status.PARTNER_ACTION_REQUIRED
    assert Act.CUSTOMER_TOLD in [entry.act for entry in await world.history(case)]
    world.clock.advance(90 * DAY)
    assert (await world.seen(case)).association is None


@pytest.mark.parametrize("outcome", [MailOutcome.DELIVERED, MailOutcome.COMPLAINED])
async def test_only_a_failure_changes_anything(world: World, outcome: MailOutcome) -> None:
    """The others are counted elsewhere."""
    case = await world.told()

    assert await report(world, outcome=outcome)

    assert (await world.stored(case)).claim == case.claim


async def test_a_failure_of_another_mail_changes_nothing(world: World) -> None:
    """Of a confirmation, for example."""
    case = await world.told()
    await world.decline(case)
    await world.deliver()
    before = await world.stored(case)

    assert await report(world, 1)

    assert (await world.stored(case)).claim == before.claim


async def test_a_failure_of_an_older_promise_changes_nothing(world: World) -> None:
    """Another contact has been told since."""
    case = await world.told()
    await report(world)
    patch = {"contacts": {"customer": {"email": "bruno@contoso.fr"}}}
    case = await drafts.edit(world.ports, await world.case(case), PERSON, await world.now(), patch, NO_CONTEXT)
    await submission.resubmit(world.ports, case, PERSON, await world.now(), NO_CONTEXT)
    await world.deliver()

    await report(world, 0)

    assert await status(world, case) is Status.AWAITING_CUSTOMER


async def test_after_official_a_failure_puts_the_claim_before_a_reviewer(world: World) -> None:
    """And changes nothing else."""
    case = await world.official()

    await report(world)

    claim = (await world.stored(case)).claim
    assert (claim.status, claim.look_at) == (Status.OFFICIAL, await world.now())


async def test_a_mail_that_is_not_ours_is_told_so(world: World) -> None:
    """Nor is what is no id of ours."""
    for message_id in (UNKNOWN, "../", ""):
        assert not await record(world.ports, MailEvent(message_id, MailOutcome.FAILED), await world.now())


async def test_a_mail_of_a_claim_that_is_gone_is_ours(world: World) -> None:
    """There is nothing to change."""
    now = await world.now()
    await world.ports.mails.start_sending(UNKNOWN, SentMail("f" * 52, "notice", 1, 1), "me", now, now)

    assert await record(world.ports, MailEvent(UNKNOWN, MailOutcome.FAILED), await world.now())
