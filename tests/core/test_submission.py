"""Submission and its dry run, the answer to a request, the dispute, withdrawal and the partner's end."""

from datetime import timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Delete
from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Refused
from cpor_core.model.claim import Acknowledgements, NewClaim, Reason, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.ports.claims import Comment
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import Action
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, change_claim
from cpor_core.use_cases.claims import drafts, reviews, submission
from tests.core.builders import (
    ACKNOWLEDGED,
    ADATUM,
    DAY,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MICROSECOND,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    RECOGNITION,
    SALES,
    SHAREPOINT,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
    partner,
)
from tests.core.world import World

ANNE = "anne.durand@contoso.fr"
WORDS = Comment("partner", PERSON.id, "We were first.", MONDAY)


async def submit(world: World, case: Case, acknowledgements: Acknowledgements = ACKNOWLEDGED) -> Case:
    """Submit a draft."""
    return await submission.submit(world.ports, case, PERSON, await world.now(), acknowledgements, NO_CONTEXT)


async def resubmit(world: World, case: Case) -> Case:
    """Answer a request."""
    return await submission.resubmit(world.ports, await world.case(case), PERSON, await world.now(), NO_CONTEXT)


async def dispute(world: World, case: Case, context: ActContext = NO_CONTEXT) -> Case:
    """Dispute a rejection."""
    return await submission.dispute(world.ports, await world.case(case), PERSON, await world.now(), context)


async def rejected(world: World, **more: Any) -> Case:
    """Return a claim that a reviewer has refused."""
    case = await world.submitted(items=(TEAMS,), engagement=USAGE, **more)
    now = await world.now()
    case = await reviews.start(world.ports, case, now, NO_CONTEXT)
    return await reviews.reject(world.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)


# --- submission -------------------------------------------------------------------------------------------------------


async def test_every_failed_check_is_told_and_nothing_is_changed(world: World) -> None:
    """All at once."""
    case = await world.draft(evidence=False)

    with pytest.raises(Refused) as refusal:
        await submit(world, case, Acknowledgements(accurate=False, customer_aware=True))

    assert refusal.value.code == "ValidationFailed"
    assert [detail.code for detail in refusal.value.details] == ["EvidenceMissing", "AcknowledgementMissing"]
    assert (await world.stored(case)).claim == case.claim


async def test_a_state_that_forbids_it_is_told_before_any_check(world: World) -> None:
    """409 before 400 (rulings 3)."""
    case = await world.submitted()

    with pytest.raises(Refused, match="InvalidState"):
        await submit(world, case, Acknowledgements(accurate=False, customer_aware=False))


async def test_the_partners_name_is_the_registrys_at_submission(world: World) -> None:
    """Whatever it was when the draft was made (rulings 24); the draft's when the partner is gone."""
    case = await world.draft()
    former = await world.ports.registry.partner(PARTNER_IDS[ADATUM])
    await world.ports.registry.put_partner(PARTNER_IDS[ADATUM], partner(name="Adatum SA"), former)

    assert (await submit(world, case)).claim.partner_name == "Adatum SA"


async def test_a_partner_who_is_not_registered_any_more_cannot_submit(world: World) -> None:
    """It is enrolled in nothing."""
    case = await world.draft()
    await world.rows.write("registry", f"partner|{PARTNER_IDS[ADATUM]}", Delete("registered"))

    with pytest.raises(Refused) as refusal:
        await submit(world, case)

    assert [detail.code for detail in refusal.value.details] == ["PartnerNotEnrolled"]


async def test_after_a_no_the_same_partners_claims_are_reviewed_by_a_person(world: World) -> None:
    """For twelve months; the reviewer is shown when it was (rulings 21)."""
    case = await world.told()
    declined = await world.decline(case)
    assert case.claim.window_ends_at is not None
    world.clock.set(case.claim.window_ends_at)

    again = await world.submitted()

    assert (again.claim.status, again.claim.refused_before) == (Status.SUBMITTED, declined.claim.status_since)
    assert (await world.submitted(FABRIKAM)).claim.refused_before is None


async def test_after_two_refusals_a_customer_is_not_asked_again(world: World) -> None:
    """Until the first of them is a year old (rulings 21)."""
    for _ in range(2):
        case = await world.told()
        await world.decline(case)
        assert case.claim.promise is not None
        world.clock.set(case.claim.promise.ends_at)

    with pytest.raises(Refused) as refusal:
        await world.submitted()

    assert [detail.code for detail in refusal.value.details] == ["CustomerRefused"]
    world.clock.set(MONDAY + 368 * DAY)
    assert (await world.submitted()).claim.status is Status.SUBMITTED


async def test_a_no_that_was_taken_back_is_no_refusal(world: World) -> None:
    """As if it had never been said."""
    case = await world.told()
    await world.decline(case)
    await world.undo(case)
    await world.withdraw(case)

    again = await world.submitted()

    assert (again.claim.status, again.claim.refused_before) == (Status.AWAITING_CUSTOMER, None)


# --- the dry run ------------------------------------------------------------------------------------------------------


def as_sent(**changes: Any) -> NewClaim:
    """Return a claim as a partner sends it."""
    return NewClaim.model_validate(
        {
            "name": "Contoso adoption",
            "partnerId": PARTNER_IDS[ADATUM],
            "engagement": RECOGNITION,
            "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
            "items": [{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}],
            "contacts": {
                "customer": {"name": "Anne Durand", "email": ANNE},
                "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
            },
            **changes,
        }
    )


async def test_a_dry_run_of_a_draft_says_what_the_submission_would(world: World) -> None:
    """The same checks, and the draft stays a draft."""
    case = await world.draft(evidence=False)

    details = await submission.dry_run(world.ports, case, None, MONDAY)

    assert [detail.code for detail in details] == [
        "EvidenceMissing",
        "AcknowledgementMissing",
        "AcknowledgementMissing",
    ]
    assert await submission.dry_run(world.ports, await world.draft(FABRIKAM), ACKNOWLEDGED, MONDAY) == ()
    assert (await world.stored(case)).claim.status is Status.DRAFT


async def test_a_dry_run_of_what_is_no_draft_is_refused_as_the_submission_is(world: World) -> None:
    """It says what the submission would, of its state too; and it is not counted."""
    submitted, draft = await world.submitted(), await world.draft(FABRIKAM)

    with pytest.raises(Refused, match="InvalidState"):
        await submission.dry_run_of_draft(world.ports, submitted, ACKNOWLEDGED, MONDAY)

    assert await submission.dry_run_of_draft(world.ports, draft, ACKNOWLEDGED, MONDAY) == ()
    assert [count.count for count in await world.ports.dry_runs.of_hour(MONDAY)] == [1]


async def test_a_dry_run_of_a_new_claim_stores_nothing_of_it(world: World) -> None:
    """Only that there was one."""
    world.rows.written.clear()

    details = await submission.dry_run_of_new(world.ports, ADATUM, as_sent(), MONDAY)

    assert "EvidenceMissing" in [detail.code for detail in details]
    assert "claims" not in world.rows.written
    assert "partnerclaims" not in world.rows.written


async def test_a_dry_run_never_tells_that_somebody_else_holds_a_slot(world: World) -> None:
    """To nobody but the holder (rulings 8)."""
    await world.official()

    draft = await world.draft(FABRIKAM)

    assert await submission.dry_run(world.ports, draft, ACKNOWLEDGED, await world.now()) == ()


async def test_a_dry_run_names_the_partners_own_duplicate(world: World) -> None:
    """Of a draft and of a claim that is not there yet, by its id, with what can be done about it."""
    open_one = await world.submitted(items=(TEAMS,), engagement=USAGE)
    own = (await world.official()).claim.id
    draft = await world.draft()
    other = await world.draft(items=(TEAMS,), engagement=USAGE)

    of_draft = await submission.dry_run(world.ports, draft, ACKNOWLEDGED, await world.now())
    of_new = await submission.dry_run_of_new(world.ports, ADATUM, as_sent(), await world.now())
    of_other = await submission.dry_run(world.ports, other, ACKNOWLEDGED, await world.now())

    assert of_draft[0] in of_new
    assert [(detail.code, detail.target) for detail in (*of_draft, *of_other)] == [("DuplicateClaim", "items[0]")] * 2
    assert own in of_draft[0].message
    assert f"or end the association {own}" in str(of_draft[0].resolution)
    assert open_one.claim.id in of_other[0].message
    assert f"or withdraw the claim {open_one.claim.id}" in str(of_other[0].resolution)


async def test_an_organisation_has_so_many_dry_runs_an_hour(world: World) -> None:
    """Then it waits for the next; another organisation does not (rulings 8)."""
    case, other = await world.draft(), await world.draft(LITWARE)
    for _ in range(world.ports.terms.dry_runs_per_hour):
        await submission.dry_run(world.ports, case, ACKNOWLEDGED, MONDAY)

    later = MONDAY + timedelta(minutes=20, seconds=5)
    with pytest.raises(Refused, match="TooManyDryRuns") as refused:
        await submission.dry_run(world.ports, case, ACKNOWLEDGED, later)

    assert refused.value.retry_after_seconds == 39 * 60 + 55
    assert await submission.dry_run(world.ports, other, ACKNOWLEDGED, MONDAY) == ()
    assert await submission.dry_run(world.ports, case, ACKNOWLEDGED, MONDAY + timedelta(hours=1)) == ()
    assert {count.organisation: count.count for count in await world.ports.dry_runs.of_hour(MONDAY)}[LITWARE] == 1


async def test_counts_of_dry_runs_are_forgotten(world: World) -> None:
    """By a row of their own."""
    case = await world.draft()
    await submission.dry_run(world.ports, case, ACKNOWLEDGED, MONDAY)

    world.clock.advance(RETENTION[Kind.DELETE_DRY_RUN_COUNT])
    await world.sweep()

    assert await world.ports.dry_runs.of_hour(MONDAY) == []


async def test_only_items_of_the_claim_can_be_struck(world: World) -> None:
    """One that it does not have is a mistake of the reviewer's; with its last one a claim is rejected."""
    case = await world.submitted(items=(TEAMS, EXCHANGE), engagement=USAGE)
    now = await world.now()
    case = await reviews.start(world.ports, case, now, NO_CONTEXT)

    with pytest.raises(Refused, match="ItemNotInClaim"):
        await reviews.strike_items(world.ports, case, now, [TEAMS, SHAREPOINT], NO_CONTEXT)
    case = await reviews.strike_items(world.ports, case, now, [TEAMS], NO_CONTEXT)
    assert [item.key for item in case.claim.items] == ["exchange"]
    case = await reviews.strike_items(world.ports, case, now, [EXCHANGE], NO_CONTEXT)

    assert (case.claim.status, case.claim.status_reason) == (Status.REJECTED, Reason.ALL_ITEMS_STRUCK)


# --- answer -----------------------------------------------------------------------------------------------------------


async def asked(world: World, *reasons: Reason) -> Case:
    """Return a claim of whose partner more is asked."""
    case = await world.submitted(items=(TEAMS, EXCHANGE), engagement=USAGE)
    now = await world.now()
    case = await reviews.start(world.ports, case, now, NO_CONTEXT)
    reasons = reasons or (Reason.EVIDENCE_MISSING,)
    return await reviews.request_information(world.ports, case, now, reasons, NO_CONTEXT)


async def test_an_answer_goes_back_to_the_reviewer(world: World) -> None:
    """With a fresh time to start."""
    case = await asked(world)
    world.clock.advance(DAY)

    after = await resubmit(world, case)

    assert (after.claim.status, after.claim.due) == (
        Status.SUBMITTED,
        world.ports.terms.start_review_by(await world.now()),
    )


async def test_an_answer_in_the_last_microsecond_is_in_time(world: World) -> None:
    """It is judged by its arrival (rulings 27)."""
    case = await asked(world)
    assert case.claim.due is not None

    after = await submission.resubmit(world.ports, case, PERSON, case.claim.due - MICROSECOND, NO_CONTEXT)

    assert after.claim.status is Status.SUBMITTED


async def test_a_late_answer_finds_the_claim_rejected(world: World) -> None:
    """Whether or not the timer has run."""
    case = await asked(world)
    assert case.claim.due is not None

    with pytest.raises(Refused, match="rejected cannot be resubmitted"):
        await submission.resubmit(world.ports, case, PERSON, case.claim.due, NO_CONTEXT)


async def test_slots_follow_the_items_when_the_answer_comes(world: World) -> None:
    """In its transaction: the old place is left, the new one taken."""
    case = await asked(world)
    patch = {"items": [{"workload": "teams"}, {"workload": "sharepoint"}]}
    edited = await drafts.edit(world.ports, case, PERSON, await world.now(), patch, NO_CONTEXT)
    assert [claimant.claim for claimant in edited.slots["exchange"].claimants] == [case.claim.id]

    after = await resubmit(world, edited)

    assert after.slots["exchange"].claimants == ()
    assert [claimant.claim for claimant in after.slots["sharepoint"].claimants] == [case.claim.id]
    assert after.claim.left_items == ()


async def test_an_answer_is_judged_by_the_same_checks(world: World) -> None:
    """An item that is not there is not there."""
    case = await asked(world)
    patch = {"items": [{"workload": "viva-topics"}]}
    case = await drafts.edit(world.ports, case, PERSON, await world.now(), patch, NO_CONTEXT)

    with pytest.raises(Refused) as refusal:
        await resubmit(world, case)

    assert [detail.code for detail in refusal.value.details] == ["ItemNotClaimable"]


async def test_another_contact_alone_goes_straight_to_the_customer(world: World) -> None:
    """The claim was approved before (rulings 27)."""
    case = await world.submitted()
    world.mailbox.refused.add(ANNE)
    await world.deliver()
    patch = {"contacts": {"customer": {"email": "bruno@contoso.fr"}}}
    case = await drafts.edit(world.ports, await world.case(case), PERSON, await world.now(), patch, NO_CONTEXT)

    after = await resubmit(world, case)

    assert after.claim.status is Status.AWAITING_CUSTOMER


async def test_an_answer_cannot_overtake_who_awaits_the_customer_meanwhile(world: World) -> None:
    """At most one a slot (rulings 11)."""
    case = await world.approve(await world.submitted(items=(TEAMS,), engagement=USAGE))
    world.mailbox.refused.add(ANNE)
    await world.deliver()
    rival = await world.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE, email="bruno@contoso.fr")
    now = await world.now()
    rival = await reviews.start(world.ports, rival, now, NO_CONTEXT)
    await change_claim(world.ports, rival, now, lambda current: life.approve(current, PROGRAMME, now))

    with pytest.raises(Refused, match="SlotAwaitsCustomer"):
        await resubmit(world, case)


async def test_what_no_person_has_reviewed_is_reviewed_when_somebody_competes_by_now(world: World) -> None:
    """Only what was decided before goes straight on to the customer; its clock stands still while another awaits."""
    case = await world.submitted()
    world.mailbox.refused.add(ANNE)
    await world.deliver()
    rival = await world.submitted(FABRIKAM, email="bruno@contoso.fr")
    now = await world.now()
    rival = await reviews.start(world.ports, rival, now, NO_CONTEXT)
    await change_claim(world.ports, rival, now, lambda current: life.approve(current, PROGRAMME, now))

    after = await resubmit(world, case)

    assert after.claim.status is Status.SUBMITTED
    step = (await world.seen(after)).next_step
    assert (step.action, step.due) == (Action.START_REVIEW, None)


# --- dispute ----------------------------------------------------------------------------------------------------------


async def test_a_dispute_needs_words_or_new_evidence(world: World) -> None:
    """Either will do (rulings 28)."""
    case = await rejected(world)
    with pytest.raises(Refused, match="JustificationMissing"):
        await dispute(world, case)

    assert (await dispute(world, case, ActContext(comment=WORDS))).claim.status is Status.DISPUTED


async def test_new_evidence_is_a_justification(world: World) -> None:
    """Added since the rejection."""
    case = await rejected(world)
    world.clock.advance(DAY)
    file = drafts.Upload("new.pdf", "application/pdf", b"%PDF-2", None)
    await drafts.add_evidence(world.ports, await world.case(case), PERSON, await world.now(), file, NO_CONTEXT)

    after = await dispute(world, case)

    assert (after.claim.status, after.claim.disputed_before) == (Status.DISPUTED, True)
    assert [claimant.claim for claimant in after.slots["teams"].claimants] == [case.claim.id]


@pytest.mark.parametrize(("distance", "code"), [(-MICROSECOND, None), (timedelta(0), "InvalidState")])
async def test_a_dispute_is_possible_for_thirty_days(world: World, distance: timedelta, code: str | None) -> None:
    """30 × 24 hours from the rejection (rulings 28)."""
    case = await rejected(world)
    arrived = case.claim.status_since + timedelta(hours=24 * 30) + distance
    disputed = submission.dispute(world.ports, case, PERSON, arrived, ActContext(comment=WORDS))

    if code is None:
        assert (await disputed).claim.status is Status.DISPUTED
    else:
        with pytest.raises(Refused, match=code):
            await disputed


async def test_a_dispute_is_had_once(world: World) -> None:
    """Rejected again is rejected for good; what a second rejection would be cannot be disputed."""
    case = await rejected(world)
    await dispute(world, case, ActContext(comment=WORDS))
    again = await world.case(case)
    ever = again.changed(status=Status.REJECTED)

    with pytest.raises(Refused, match="NotDisputable"):
        life.dispute(ever, PERSON, MONDAY, decide_by=MONDAY + DAY)


# --- withdrawal and end -----------------------------------------------------------------------------------------------


async def test_a_withdrawn_claim_is_closed(world: World) -> None:
    """And its slots are free at once."""
    case = await world.submitted()

    after = await submission.withdraw(world.ports, case, PERSON, MONDAY, NO_CONTEXT)

    assert after.claim.status is Status.WITHDRAWN
    assert (await world.submitted(FABRIKAM)).claim.status is Status.AWAITING_CUSTOMER


async def test_the_partner_ends_an_association(world: World) -> None:
    """With a reason; the slot is free at once."""
    case = await world.official()

    after = await submission.end(world.ports, case, PERSON, await world.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert (after.claim.status, after.claim.end_reason) == (Status.ENDED, Reason.PARTNER_DISASSOCIATED)
    assert (await world.submitted(FABRIKAM, items=(SALES,))).claim.status is Status.AWAITING_CUSTOMER
