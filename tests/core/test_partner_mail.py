"""Mails to the partner's contact: their occasions, the mails that are dropped as outdated, and their recipients."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import product

import pytest

from cpor_app.adapters.storage.row_store import Delete
from cpor_app.adapters.storage.tables.mail_budget import MailBudgetRow
from cpor_core.model.claim import DuePartnerMail, PartnerMailKind, Reason, Status
from cpor_core.model.history import CLOCK, PROGRAMME, Act, Actor, ActorKind, entry
from cpor_core.ports.notices import MailMessage
from cpor_core.rules.mail_budget import Limits
from cpor_core.rules.partner_mail import mail_about, still_due_after
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, change_claim
from cpor_core.use_cases.claims import reviews
from cpor_core.use_cases.due_work.process_claim import MOST_STEPS, process_for_customer, process_for_partner
from tests.core.builders import (
    ANNE,
    DAY,
    EXCHANGE,
    FABRIKAM,
    HOUR,
    LITWARE,
    MONDAY,
    PERSON,
    SHAREPOINT,
    TEAMS,
    USAGE,
    answer_by,
    awaiting,
    draft,
    official,
    submitted,
    under_review,
)
from tests.core.memory_core import Core

Kind = PartnerMailKind
PAUL = "paul@adatum.example"


def mail_for(made: Act, to: Status, by: Actor = PROGRAMME, reason: Reason | None = None) -> PartnerMailKind | None:
    """Return the mail about an entry."""
    return mail_about(
        entry(sequence=2, at=MONDAY, actor=by, act=made, from_=None, to=to, reason=reason, previous_hash=None)
    )


def owes(case: Case) -> list[PartnerMailKind]:
    """Return the kinds of the due mails to the claim's own partner."""
    return [mail.kind for mail in case.claim.partner_mails if mail.to is None]


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("made", "to"), list(product(Act, Status)))
def test_a_partner_gets_no_mail_about_their_own_act(made: Act, to: Status) -> None:
    """The partner acts as a person or by software."""
    for kind in (ActorKind.PERSON, ActorKind.APP):
        assert mail_for(made, to, Actor(kind=kind, id="x")) is None


def test_every_kind_of_mail_follows_from_acts_of_others_or_time() -> None:
    """A competition and a reminder are not entries of the claim's own history."""
    found = {mail_for(made, to) for made, to in product(Act, Status)}

    assert found - {None} == set(Kind) - {Kind.COMPETING, Kind.ANSWER_REMINDER}


@pytest.mark.parametrize(
    ("made", "to", "reason", "kind"),
    [
        (Act.INFORMATION_REQUESTED, Status.PARTNER_ACTION_REQUIRED, None, Kind.INFORMATION_REQUESTED),
        (Act.INFORMATION_REQUESTED, Status.OFFICIAL, None, Kind.EVIDENCE_ASKED),
        (Act.CUSTOMER_TOLD, Status.AWAITING_CUSTOMER, None, Kind.CUSTOMER_TOLD),
        (Act.CUSTOMER_TOLD, Status.WITHDRAWN, None, None),
        (Act.REJECTED, Status.REJECTED, Reason.LOST_ARBITRATION, Kind.REJECTED),
        (Act.REJECTED, Status.REJECTED_FINAL, Reason.LOST_ARBITRATION, Kind.FINALLY_REJECTED),
        (Act.FINALLY_REJECTED, Status.REJECTED_FINAL, Reason.INSUFFICIENT_EVIDENCE, Kind.FINALLY_REJECTED),
        (Act.FINALLY_REJECTED, Status.REJECTED_FINAL, Reason.SUBSCRIPTION_ENDED, None),
        (Act.REVOKED, Status.REJECTED, Reason.REVOKED_BY_PROGRAMME, Kind.REJECTED),
        (Act.REVOKED, Status.ENDED, Reason.REVOKED_BY_PROGRAMME, Kind.ENDED),
        (Act.APPROVED, Status.AWAITING_CUSTOMER, None, None),
        (Act.REVIEW_STARTED, Status.UNDER_REVIEW, None, None),
        (Act.REVIEW_RELEASED, Status.SUBMITTED, None, None),
    ],
)
def test_one_act_can_lead_to_several_mails(
    made: Act, to: Status, reason: Reason | None, kind: PartnerMailKind | None
) -> None:
    """The new state decides. The mail about an approval comes after the customer was notified."""
    assert mail_for(made, to, reason=reason) is kind


def test_several_reasons_and_items_of_one_act_are_one_mail() -> None:
    """The mail has every reason once, and the number of the first entry."""
    case = under_review(draft(items=(TEAMS, EXCHANGE, SHAREPOINT)))
    struck = life.strike_items(case, PROGRAMME, MONDAY + DAY, ["teams", "exchange"], Reason.INSUFFICIENT_EVIDENCE)
    reasons = [Reason.EVIDENCE_MISSING, Reason.PRODUCTS_MISSING]

    asked = life.request_information(struck, PROGRAMME, MONDAY + DAY, reasons, answer_by=answer_by(MONDAY + 7 * DAY))

    assert [(mail.kind, mail.reasons) for mail in asked.claim.partner_mails] == [
        (Kind.ITEMS_STRUCK, (Reason.INSUFFICIENT_EVIDENCE,)),
        (Kind.INFORMATION_REQUESTED, tuple(reasons)),
    ]
    assert asked.claim.partner_mails[0].number == case.claim.history_length + 1


def test_a_due_mail_about_a_state_is_dropped_when_the_claim_leaves_it() -> None:
    """A later mail says more, or the partner acted. A mail about struck items stays due."""
    told = awaiting(draft())
    declined = life.decline(told, ANNE, told.claim.status_since + HOUR)
    withdrawn = life.withdraw(told, PERSON, told.claim.status_since + HOUR)

    assert (owes(told), owes(declined), owes(withdrawn)) == ([Kind.CUSTOMER_TOLD], [Kind.DECLINED], [])


def test_a_second_request_for_evidence_replaces_the_mail_about_the_first() -> None:
    """The former time limit no longer holds."""
    rival = submitted(draft("b", organisation=FABRIKAM))
    holder = official(draft())
    holder = holder.with_slots(
        {key: slot.with_claimant(rival.claim.id, FABRIKAM) for key, slot in holder.slots.items()}
    )
    at = holder.claim.status_since
    for day in (1, 2):
        limit = answer_by(at + 9 * DAY)
        holder = life.request_information(holder, PROGRAMME, at + day * DAY, [Reason.EVIDENCE_MISSING], answer_by=limit)

    asked = [mail for mail in holder.claim.partner_mails if mail.kind is Kind.EVIDENCE_ASKED]
    assert [mail.since for mail in asked] == [at + 2 * DAY]


def test_a_claim_without_contacts_has_no_due_mails() -> None:
    """A past association has no partner's contact."""
    case = draft().changed(contacts=None)

    assert case.record(Act.REJECTED, PROGRAMME, MONDAY, to=Status.REJECTED).claim.partner_mails == ()


def test_an_entry_without_a_mail_adds_none() -> None:
    """It drops the mails that it makes outdated."""
    due = (DuePartnerMail(number=1, kind=Kind.DECLINED, since=MONDAY),)
    made = entry(
        sequence=2,
        at=MONDAY,
        actor=CLOCK,
        act=Act.LAPSED,
        from_=Status.DRAFT,
        to=Status.DELETED,
        reason=None,
        previous_hash=None,
    )

    assert still_due_after(due, made) == ()


# --- competition ------------------------------------------------------------------------------------------------------


async def test_both_sides_get_one_mail_about_a_competition(core: Core) -> None:
    """Both mails are due work of the challenger, and the rows of the others stay unchanged."""
    first = await core.submitted(items=(TEAMS, EXCHANGE), engagement=USAGE)
    before = await core.stored(first)
    second = await core.submitted(FABRIKAM, items=(TEAMS, EXCHANGE), engagement=USAGE)

    await core.rest()
    await core.rest()

    assert (await core.stored(first)).claim == before.claim
    assert sorted((message.kind, message.claim.id) for message in core.mailbox.to_partners) == sorted(
        [("competing", first.claim.id), ("competing", second.claim.id)]
    )
    assert len({message.message_id for message in core.mailbox.to_partners}) == 2
    assert (await core.stored(second)).claim.partner_mails == ()


async def test_a_claim_without_rivals_sends_no_mail_about_a_competition(core: Core) -> None:
    """A claim that the customer declined is no rival."""
    declined = await core.notified(items=(TEAMS,), engagement=USAGE)
    await core.decline(declined)
    await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    await core.rest()

    assert "competing" not in core.mailbox.news()


async def test_an_answer_sends_mails_only_about_new_rivals(core: Core) -> None:
    """The former rivals were notified before."""
    await core.submitted(items=(TEAMS,), engagement=USAGE)
    await core.submitted(LITWARE, items=(EXCHANGE,), engagement=USAGE)
    case = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, await core.case(case), now, NO_CONTEXT)
    case = await reviews.request_information(core.ports, case, now, [Reason.EVIDENCE_MISSING], NO_CONTEXT)
    await core.rest()
    core.mailbox.to_partners.clear()
    moved = (await core.stored(case)).claim.model_copy(update={"items": (TEAMS, EXCHANGE)})
    case = life.settle(await core.ports.claims.prospect(moved), now)

    after = life.resubmit(case, PERSON, await core.now(), start_review_by=MONDAY + 9 * DAY)

    news = [mail for mail in after.claim.partner_mails if mail.kind is Kind.COMPETING]
    assert [mail.to is None for mail in news] == [True, False]


async def drop_the_rival(core: Core, rival: Case) -> None:
    """Remove the rival before the mail is sent."""
    await core.withdraw(rival)


async def lose_the_row_of_the_rival(core: Core, rival: Case) -> None:
    """Let the slot name a claim that does not exist."""
    await core.rows.write("claims", rival.claim.tenant_id, Delete(f"claim|{rival.claim.id}"))


async def let_the_rival_name_nobody(core: Core, rival: Case) -> None:
    """Make the rival a past association without a contact."""
    await change_claim(core.ports, await core.case(rival), MONDAY, lambda current: current.changed(contacts=None))


@pytest.mark.parametrize(
    ("meddle", "own"), [(drop_the_rival, 0), (lose_the_row_of_the_rival, 1), (let_the_rival_name_nobody, 1)]
)
async def test_a_rival_without_a_contact_is_left_out(
    core: Core, meddle: Callable[[Core, Case], Awaitable[None]], own: int
) -> None:
    """If the competition is over, the challenger's partner gets no mail either."""
    first = await core.submitted(items=(TEAMS,), engagement=USAGE)
    second = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    await meddle(core, first)

    await core.rest()

    assert [message.claim.id for message in core.mailbox.to_partners] == [second.claim.id] * own
    assert (await core.stored(second)).claim.partner_mails == ()


# --- sending ----------------------------------------------------------------------------------------------------------


async def asked(core: Core) -> Case:
    """Return a claim whose partner a reviewer has asked for more, before any delivery."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)
    return await reviews.request_information(core.ports, case, now, [Reason.EVIDENCE_MISSING], NO_CONTEXT)


async def declined(core: Core) -> Case:
    """Return a claim with a due mail to the customer and a due mail to the partner, and take its only message."""
    case = await core.decline(await core.notified())
    core.mailbox.to_partners.clear()
    [message] = await core.queues.take("customer-notices", 32)
    await core.queues.done(message)
    assert await core.queues.take("partner-notices", 32) == []
    return case


async def test_one_message_leads_to_the_mails_of_customer_and_partner(core: Core) -> None:
    """The partner's mail comes last, in the same call. So no second message is needed."""
    case = await declined(core)

    await process_for_customer(core.ports, case.claim.id, await core.now())

    assert core.mailbox.kinds()[-1] == "declineConfirmation"
    assert core.mailbox.news() == ["declined"]
    assert await core.queues.take("partner-notices", 32) == []


async def test_the_partners_mail_does_not_wait_for_the_customers_mailbox(core: Core) -> None:
    """If the customer's mail is delayed, the partner's mail is left to the partners' queue."""
    case = await declined(core)
    core.mailbox.put_off = {"anne.durand@contoso.fr"}

    assert (await process_for_customer(core.ports, case.claim.id, await core.now())).delayed

    assert core.mailbox.news() == []
    await core.deliver()
    assert core.mailbox.news() == ["declined"]


async def test_a_claim_that_does_not_exist_has_no_due_mails(core: Core) -> None:
    """This holds for both queues."""
    assert not (await process_for_customer(core.ports, "nobody", MONDAY)).delayed
    assert not (await process_for_partner(core.ports, "nobody", MONDAY)).delayed


async def test_the_mail_goes_to_the_contact_in_the_registered_language_and_zone(core: Core) -> None:
    """English and UTC are used if the location is no longer registered."""
    case = await asked(core)
    await core.rows.write("registry", f"partner|{case.claim.partner_id}", Delete("registered"))
    core.use_another_instance()

    await core.deliver()

    [message] = core.mailbox.to_partners
    assert (message.recipient.email, message.recipient.language, message.time_zone) == (PAUL, "en", "UTC")
    assert (message.happened_at, message.reasons) == (MONDAY, (Reason.EVIDENCE_MISSING,))


async def test_a_mail_that_time_has_made_outdated_is_not_sent(core: Core) -> None:
    """
    The question was not answered in time, and the partner gets the mail about the rejection, whether or not that is
    stored.
    """
    case = await asked(core)
    core.lose_messages()
    assert case.claim.due is not None
    core.clock.set(case.claim.due)

    await process_for_partner(core.ports, case.claim.id, await core.now())

    assert core.mailbox.news() == ["rejected"]
    assert (await core.stored(case)).claim.status is Status.REJECTED


async def test_a_final_rejection_without_a_mail_is_only_stored(core: Core) -> None:
    """The rejection could not be disputed, and its finality is no news. The claim shows it."""
    case = await core.notified(items=(TEAMS,), engagement=USAGE)
    await reviews.revoke(core.ports, await core.case(case), await core.now(), NO_CONTEXT)
    core.lose_messages()
    core.mailbox.to_partners.clear()
    core.clock.advance(31 * DAY)

    await process_for_partner(core.ports, case.claim.id, await core.now())

    stored = (await core.stored(case)).claim
    assert (stored.status, stored.partner_mails, core.mailbox.news()) == (Status.REJECTED_FINAL, (), [])


async def test_the_reminder_to_answer_waits_for_the_mail_system_too(core: Core) -> None:
    """It is sent when the mail system is back."""
    case = await asked(core)
    await core.deliver()
    assert case.claim.time_to_answer is not None
    core.clock.set(case.claim.time_to_answer.reminder_at)
    core.mailbox.down = True
    assert (await core.process(case)).delayed

    core.mailbox.down = False
    assert not (await core.process(case)).delayed

    assert core.mailbox.news() == ["informationRequested", "answerReminder"]


async def test_nothing_is_sent_when_every_due_mail_is_outdated(core: Core) -> None:
    """The holder was asked for evidence, and the time limit has ended."""
    await core.official(items=(TEAMS,), engagement=USAGE)
    holder = await core.official(LITWARE, items=(EXCHANGE,), engagement=USAGE)
    await core.submitted(FABRIKAM, items=(EXCHANGE,), engagement=USAGE)
    await core.rest()
    now = await core.now()
    await reviews.request_information(core.ports, await core.case(holder), now, [Reason.EVIDENCE_MISSING], NO_CONTEXT)
    core.lose_messages()
    core.mailbox.to_partners.clear()
    core.clock.advance(30 * DAY)

    await core.sweep()

    assert "evidenceAsked" not in core.mailbox.news()
    assert (await core.stored(holder)).claim.partner_mails == ()


async def test_a_mailbox_that_defers_a_mail_delays_no_other_mailbox(core: Core) -> None:
    """
    The challenger's contact gets its mail, and the incumbent's contact gets its mail later.

    After three days the mail is given up.
    """
    await core.submitted(items=(TEAMS,), engagement=USAGE)
    case = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    own = case.claim.id
    refused: list[str] = []

    async def put_off_the_other(message: MailMessage) -> None:
        core.mailbox.put_off = {PAUL} if message.claim.id != own else set()
        refused.extend([message.claim.id] if message.claim.id != own else [])

    core.mailbox.on_send = put_off_the_other
    await core.deliver()
    assert [message.claim.id for message in core.mailbox.to_partners] == [own]
    assert [mail.to is None for mail in (await core.stored(case)).claim.partner_mails] == [False]

    core.clock.advance(3 * DAY)
    await core.sweep()

    assert len(refused) > 1
    assert (await core.stored(case)).claim.partner_mails == ()


async def test_of_two_mails_to_a_mailbox_that_defers_the_second_waits(core: Core) -> None:
    """The contact reads them in order."""
    case = await asked(core)
    later = DuePartnerMail(number=99, kind=Kind.ITEMS_STRUCK, since=MONDAY)
    await change_claim(
        core.ports, case, MONDAY, lambda now: now.changed(partner_mails=(*now.claim.partner_mails, later))
    )
    tried: list[str] = []

    async def note(message: MailMessage) -> None:
        tried.append(message.kind)

    core.mailbox.on_send, core.mailbox.put_off = note, {PAUL}
    assert (await process_for_partner(core.ports, case.claim.id, MONDAY)).delayed
    assert tried == ["informationRequested"]

    core.mailbox.put_off = set()
    await process_for_partner(core.ports, case.claim.id, MONDAY)

    assert core.mailbox.news() == ["informationRequested", "itemsStruck"]


async def test_a_mail_system_that_is_down_is_called_once(core: Core) -> None:
    """The mail system names the time of the next call."""
    case = await asked(core)
    core.mailbox.down, core.mailbox.retry_after = True, 600

    outcome = await core.process(case)

    assert (outcome.delayed, outcome.not_before) == (True, MONDAY + timedelta(seconds=600))


async def test_partners_come_last_in_the_mail_budget(core: Core) -> None:
    """A notice takes the permit that is reserved for notices."""
    case = await asked(core)
    core.ports.mail_budget._limits = Limits(per_minute=1)  # type: ignore[attr-defined]
    assert isinstance(core.ports.mail_budget, MailBudgetRow)
    await core.notified(LITWARE)

    outcome = await process_for_partner(core.ports, case.claim.id, await core.now())

    assert outcome.delayed
    assert outcome.not_before is not None


async def test_more_mails_than_one_call_sends_are_left_to_the_next_call(core: Core) -> None:
    """No mail is lost."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    mails = tuple(DuePartnerMail(number=n, kind=Kind.ITEMS_STRUCK, since=MONDAY) for n in range(100, 101 + MOST_STEPS))
    await change_claim(core.ports, case, MONDAY, lambda current: current.changed(partner_mails=mails))

    assert (await process_for_partner(core.ports, case.claim.id, MONDAY)).delayed
    assert not (await process_for_partner(core.ports, case.claim.id, MONDAY)).delayed
    assert core.mailbox.news() == ["itemsStruck"] * (MOST_STEPS + 1)


async def test_the_partner_gets_the_mail_although_a_customers_mailbox_defers(core: Core) -> None:
    """Neither side waits for the other side's mails."""
    case = await core.notified()
    await core.decline(case)
    core.lose_messages()
    core.mailbox.put_off = {"anne.durand@contoso.fr"}
    core.clock.advance(timedelta(minutes=3))

    await core.sweep()

    assert core.mailbox.news()[-1] == "declined"
    assert "declineConfirmation" not in core.mailbox.kinds()


@pytest.mark.parametrize("at", [MONDAY, MONDAY + HOUR])
async def test_a_dispute_competes_again(core: Core, at: datetime) -> None:
    """Both sides get a mail, whichever claim came first."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE)
    core.clock.set(at)
    case = await reviews.start(core.ports, await core.case(case), at, NO_CONTEXT)
    case = await reviews.reject(core.ports, case, at, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)
    await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    await core.rest()
    core.mailbox.to_partners.clear()
    case = (await core.case(case)).changed(evidence=case.claim.evidence)

    disputed = life.dispute(case, PERSON, await core.now(), decide_by=at + 9 * DAY)

    assert owes(disputed) == [Kind.COMPETING]
    assert {mail.to is None for mail in disputed.claim.partner_mails} == {True, False}
