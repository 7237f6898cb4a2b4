"""The mail log of a claim: each mail, what became of it, and what each side sees of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from cpor_app.adapters.storage.row_store import Put
from cpor_core.model.claim import ERASED_ADDRESS, MailKind, PartnerMailKind, Reason, Status
from cpor_core.model.mail import MailOutcome
from cpor_core.ports.notices import MailMessage
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, change_claim
from cpor_core.use_cases.claims import partner_acts, reviews
from cpor_core.use_cases.notices.delivery_reports import MailEvent, record
from cpor_core.use_cases.notices.mail_log import LoggedMail, address, for_partner, mail_log
from cpor_core.use_cases.privacy.erase_person import erase_in_claim
from tests.core.builders import DAY, FABRIKAM, LITWARE, MONDAY, PERSON, TEAMS, USAGE
from tests.core.memory_core import Core
from tests.core.test_machine import Machine

ANNES, IT, PAULS = "anne.durand@contoso.fr", "it@contoso.fr", "paul@adatum.example"
PENDING, HANDED_OVER, FAILED = MailOutcome.PENDING, MailOutcome.HANDED_OVER, MailOutcome.FAILED
NOTICE = MailKind.NOTICE
MINUTE = timedelta(minutes=1)


async def log_of(core: Core, case: Case) -> Sequence[LoggedMail]:
    """Return the log as the programme sees it now."""
    return await mail_log(core.ports, await core.case(case), await core.now())


async def outcomes(core: Core, case: Case, kind: str = NOTICE) -> list[MailOutcome]:
    """Return the outcomes of all mails of one kind."""
    return [mail.outcome for mail in await log_of(core, case) if mail.kind == kind]


async def seen_by_partner(core: Core, case: Case) -> list[tuple[str, MailOutcome, datetime | None]]:
    """Return the log as the partner sees it now."""
    return [(mail.kind, mail.outcome, mail.at) for mail in for_partner(await log_of(core, case))]


def sent_about(core: Core, case: Case) -> list[tuple[str, int, int]]:
    """Return kind, number and recipient of each mail that was sent about a claim."""
    messages = (*core.mailbox.sent, *core.mailbox.to_partners)
    return sorted((one.kind, one.number, one.recipient.number) for one in messages if one.claim.id == case.claim.id)


async def report(core: Core, number: int, outcome: MailOutcome, at: datetime | None = None) -> None:
    """Report what became of the mail that was sent to the customer with that number."""
    assert await record(core.ports, MailEvent(core.mailbox.sent[number].message_id, outcome, at), await core.now())


async def test_each_mail_of_a_life_is_in_the_log_with_the_instant_of_its_hand_over(core: Core) -> None:
    """From the notice to the closing mail. The reminder is not listed before it is due."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()
    assert {(mail.kind, mail.handed_over_at) for mail in await log_of(core, case)} == {
        (NOTICE, MONDAY),
        (PartnerMailKind.CUSTOMER_TOLD, MONDAY),
    }

    for _ in range(10):
        core.clock.advance(DAY)
        await core.rest()
    ended_at = await core.now()
    await partner_acts.end(
        core.ports, await core.case(case), PERSON, ended_at, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT
    )
    await core.rest()

    log = await log_of(core, case)
    assert sorted((mail.kind, mail.number, mail.recipient) for mail in log) == sent_about(core, case)
    assert {mail.outcome for mail in log} == {HANDED_OVER}
    assert [mail.handed_over_at for mail in log] == sorted(mail.at for mail in log if mail.at is not None)
    assert [mail.kind for mail in log if mail.handed_over_at == ended_at] == [MailKind.CLOSING] * 2
    assert MailKind.REMINDER in {mail.kind for mail in log}


async def test_a_mail_is_pending_until_it_was_handed_over(core: Core) -> None:
    """The mail system is down, or a recipient's server asks to wait."""
    await core.register_customer(notice_addresses=(IT,))
    core.mailbox.down = True
    case = await core.submitted()
    await core.deliver()
    assert await outcomes(core, case) == [PENDING, PENDING]

    core.mailbox.down, core.mailbox.put_off = False, {IT}
    await core.rest()
    assert await outcomes(core, case) == [HANDED_OVER, PENDING]
    assert (NOTICE, HANDED_OVER, await core.now()) in await seen_by_partner(core, case)

    core.mailbox.put_off = set()
    await core.rest(by=timedelta(hours=1))
    assert await outcomes(core, case) == [HANDED_OVER, HANDED_OVER]


async def test_a_reminder_is_pending_from_its_instant_on(core: Core) -> None:
    """The timer has not come yet."""
    case = await core.notified()
    promised = case.claim.promise
    assert promised is not None
    core.clock.set(promised.reminder_at)

    assert await outcomes(core, case, MailKind.REMINDER) == [PENDING]

    await core.sweep()
    assert await outcomes(core, case, MailKind.REMINDER) == [HANDED_OVER]


async def test_a_mail_that_was_put_off_until_it_was_no_longer_true_was_not_sent(core: Core) -> None:
    """The partner withdraws the claim while the customer's server asks to wait."""
    core.mailbox.put_off = {ANNES}
    case = await core.submitted()
    await core.deliver()

    await core.withdraw(case)
    await core.rest()

    assert [(mail.outcome, mail.handed_over_at, mail.at) for mail in await log_of(core, case)] == [
        (MailOutcome.NOT_SENT, None, None)
    ]


async def test_a_refused_recipient_is_a_failure_without_a_hand_over(core: Core) -> None:
    """The mail system refused the mail at once, or asked to wait for three days."""
    core.mailbox.refused = {ANNES}
    case = await core.submitted()
    await core.deliver()

    [notice] = [mail for mail in await log_of(core, case) if mail.kind == NOTICE]
    assert (notice.outcome, notice.handed_over_at, notice.at) == (FAILED, None, MONDAY)
    assert (NOTICE, MailOutcome.NOT_SENT, None) in await seen_by_partner(core, case)


async def test_a_delivery_report_is_in_the_log(core: Core) -> None:
    """With the instant that it states. The partner sees only that the mail was handed over."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()
    core.clock.advance(DAY)

    await report(core, 0, MailOutcome.DELIVERED, MONDAY + MINUTE)
    await report(core, 1, FAILED)

    notices = [mail for mail in await log_of(core, case) if mail.kind == NOTICE]
    assert [(mail.outcome, mail.handed_over_at, mail.at) for mail in notices] == [
        (MailOutcome.DELIVERED, MONDAY, MONDAY + MINUTE),
        (FAILED, MONDAY, MONDAY + DAY),
    ]
    assert [each for each in await seen_by_partner(core, case) if each[0] == NOTICE] == [(NOTICE, HANDED_OVER, MONDAY)]


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=MONDAY.tzinfo), MONDAY + MINUTE])
async def test_an_instant_that_cannot_be_is_replaced_by_that_of_the_arrival(core: Core, at: datetime) -> None:
    """It is long ago, or in the future."""
    case = await core.notified()

    await report(core, 0, MailOutcome.DELIVERED, at)

    assert [mail.at for mail in await log_of(core, case) if mail.outcome is MailOutcome.DELIVERED] == [MONDAY]


async def test_a_report_that_comes_before_the_hand_over_is_recorded_is_in_the_log(core: Core) -> None:
    """The mail system is faster than we are, and says that it was busy. The mail is sent once more."""
    case = await core.submitted()

    async def sent_and_lost(message: MailMessage) -> None:
        core.mailbox.on_send, core.mailbox.down = None, True
        await record(core.ports, MailEvent(message.message_id, MailOutcome.DELIVERED), await core.now())

    core.mailbox.on_send = sent_and_lost
    await core.deliver()
    assert await outcomes(core, case) == [MailOutcome.DELIVERED]

    core.mailbox.down = False
    await core.rest()
    assert await outcomes(core, case) == [MailOutcome.DELIVERED]


async def test_a_mail_to_a_rivals_partner_is_in_the_rivals_log_only(core: Core) -> None:
    """So no partner learns of the other claim. Both see that they compete."""
    held = await core.official(items=(TEAMS,), engagement=USAGE)
    rival = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    another = await core.submitted(LITWARE, items=(TEAMS,), engagement=USAGE)
    await core.rest()

    for case, count in ((held, 2), (rival, 2), (another, 1)):
        assert await outcomes(core, case, PartnerMailKind.COMPETING) == [HANDED_OVER] * count
        log = await log_of(core, case)
        assert sorted((mail.kind, mail.number, mail.recipient) for mail in log) == sent_about(core, case)


async def test_a_reminder_to_the_partner_is_in_the_log(core: Core) -> None:
    """From its instant on, and not after an answer that came earlier."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    case = await reviews.start(core.ports, await core.case(case), await core.now(), NO_CONTEXT)
    case = await reviews.request_information(core.ports, case, await core.now(), [Reason.EVIDENCE_MISSING], NO_CONTEXT)
    reminder = PartnerMailKind.ANSWER_REMINDER
    assert case.claim.time_to_answer is not None
    await core.deliver()
    assert await outcomes(core, case, reminder) == []

    core.clock.set(case.claim.time_to_answer.reminder_at)
    assert await outcomes(core, case, reminder) == [PENDING]
    await core.sweep()
    assert await outcomes(core, case, reminder) == [HANDED_OVER]


async def test_the_log_has_addresses_and_erased_people_have_none(core: Core) -> None:
    """For the partner's contact it has the present address."""
    case = await core.notified()
    log = await log_of(core, case)
    claim = (await core.case(case)).claim
    assert {address(claim, mail) for mail in log} == {ANNES, PAULS}

    await erase_in_claim(core.ports, claim.id, ANNES, await core.now())
    claim = (await core.case(case)).claim
    assert {address(claim, mail) for mail in log} == {ERASED_ADDRESS, PAULS}

    nobody = claim.model_copy(update={"contacts": None})
    assert {address(nobody, mail) for mail in log} == {ERASED_ADDRESS}


async def test_the_outcomes_of_a_long_closed_claim_are_unknown(core: Core) -> None:
    """The Message-IDs are deleted 90 days after its close. The list of its mails stays."""
    case = await core.withdraw(await core.notified())
    await core.rest()
    kinds = {mail.kind for mail in await log_of(core, case)}
    assert kinds == {NOTICE, PartnerMailKind.CUSTOMER_TOLD, MailKind.CLOSING}

    core.clock.advance(91 * DAY)
    await core.sweep()

    log = await log_of(core, case)
    assert {mail.outcome for mail in log} == {MailOutcome.UNKNOWN}
    assert kinds < {mail.kind for mail in log}
    assert {outcome for _, outcome, _ in await seen_by_partner(core, case)} == {MailOutcome.UNKNOWN}


async def test_a_claim_of_the_first_release_has_the_mails_that_are_known(core: Core) -> None:
    """It lists no mail, and the rows have neither try nor report. The claim says when its notice was handed over."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.official()
    await core.rest()
    now = await core.now()
    await change_claim(core.ports, await core.case(case), now, lambda current: current.changed(listed_mails=()))
    for (table, partition, key), row in [*core.rows._rows.items()]:
        if table == "mails":
            former = {name: row.values[name] for name in ("claimId", "kind", "number", "recipient")}
            await core.rows.write(table, partition, Put(key, former))

    notice, again = [mail for mail in await log_of(core, case) if mail.kind == NOTICE]
    assert [(mail.outcome, mail.handed_over_at) for mail in (notice, again)] == [(HANDED_OVER, MONDAY)] * 2
    await report(core, 0, FAILED)
    assert sorted(await outcomes(core, case)) == sorted([FAILED, HANDED_OVER])


class Story(Machine):
    """Random acts in any order, and then the log of each claim."""

    def it_holds(self) -> None:
        """Leave the rules that must always hold to `test_machine.py`."""

    def teardown(self) -> None:
        """Compare the logs with the mails that were sent, and close the loop."""
        try:
            if self.ids:
                self.run(self._compare())
        finally:
            super().teardown()

    async def _compare(self) -> None:
        self.core.mailbox.down = False
        for _ in range(3):
            await self.core.rest(by=timedelta(hours=1))
        for claim_id in self.ids:
            stored = await self.core.ports.claims.load(claim_id)
            if stored is None or stored.claim.status is Status.DELETED:
                continue
            case = await self.core.case(claim_id)
            long_ago = case.claim.closed_at is not None and case.claim.closed_at + 90 * DAY <= await self.core.now()
            log = {(mail.kind, mail.number, mail.recipient): mail for mail in await log_of(self.core, case)}
            for sent in sent_about(self.core, case):
                assert sent in log
                assert log[sent].was_handed_over or long_ago or self.doubtful


@pytest.mark.slow
def test_after_random_acts_each_mail_that_was_sent_is_in_its_claims_log() -> None:
    """As handed over."""
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
