"""Submission and its dry run, the answer to a request, the dispute, withdrawal and the partner's end."""

from datetime import timedelta
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Delete
from cpor_app.adapters.storage.tables import registry
from cpor_app.adapters.storage.tables.registry import RECENT_SECONDS, RegistryTable
from cpor_core.due_work import RETENTION, Kind
from cpor_core.errors import Refused
from cpor_core.model.claim import Acknowledgements, NewClaim, Reason, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.ports.claims import Comment
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case
from cpor_core.transitions.next_step import Action
from cpor_core.use_cases.change_claim import NO_CONTEXT, ActContext, change_claim
from cpor_core.use_cases.claims import drafts, partner_acts, reviews
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
from tests.core.memory_core import Core

ANNE = "anne.durand@contoso.fr"
WORDS = Comment("partner", PERSON.id, "We were first.", MONDAY)


async def submit(core: Core, case: Case, acknowledgements: Acknowledgements = ACKNOWLEDGED) -> Case:
    """Submit a draft."""
    return await partner_acts.submit(core.ports, case, PERSON, await core.now(), acknowledgements, NO_CONTEXT)


async def resubmit(core: Core, case: Case) -> Case:
    """Answer a request."""
    return await partner_acts.resubmit(core.ports, await core.case(case), PERSON, await core.now(), NO_CONTEXT)


async def dispute(core: Core, case: Case, context: ActContext = NO_CONTEXT) -> Case:
    """Dispute a rejection."""
    return await partner_acts.dispute(core.ports, await core.case(case), PERSON, await core.now(), context)


async def rejected(core: Core, **more: Any) -> Case:
    """Return a claim that a reviewer has rejected."""
    case = await core.submitted(items=(TEAMS,), engagement=USAGE, **more)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)
    return await reviews.reject(core.ports, case, now, Reason.INSUFFICIENT_EVIDENCE, NO_CONTEXT)


# --- submission -------------------------------------------------------------------------------------------------------


async def test_every_failed_check_is_reported_and_nothing_is_changed(core: Core) -> None:
    """The answer has all failures at once."""
    case = await core.draft(evidence=False)

    with pytest.raises(Refused) as refusal:
        await submit(core, case, Acknowledgements(accurate=False, customer_aware=True))

    assert refusal.value.code == "ValidationFailed"
    assert [detail.code for detail in refusal.value.details] == ["EvidenceMissing", "AcknowledgementMissing"]
    assert (await core.stored(case)).claim == case.claim


async def test_a_state_that_forbids_the_act_is_reported_before_any_check(core: Core) -> None:
    """409 comes before 400 (decision 3)."""
    case = await core.submitted()

    with pytest.raises(Refused, match="InvalidState"):
        await submit(core, case, Acknowledgements(accurate=False, customer_aware=False))


async def test_the_partners_name_is_taken_from_the_registry_at_submission(core: Core) -> None:
    """A name at creation is replaced (decision 24). If the partner is no longer registered, the draft's name stays."""
    case = await core.draft()
    former = await core.ports.registry.partner(PARTNER_IDS[ADATUM])
    await core.ports.registry.put_partner(PARTNER_IDS[ADATUM], partner(name="Adatum SA"), former)

    assert (await submit(core, case)).claim.partner_name == "Adatum SA"


async def test_a_process_remembers_a_limited_number_of_locations(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The location that was read longest ago is forgotten."""
    monkeypatch.setattr(registry, "MOST_RECENT", 1)
    table = RegistryTable(core.rows)

    for organisation in (ADATUM, FABRIKAM):
        assert await table.recent_partner(PARTNER_IDS[organisation]) is not None

    assert list(table._recent) == [PARTNER_IDS[FABRIKAM]]


async def test_a_partner_who_is_no_longer_registered_cannot_submit(core: Core) -> None:
    """The partner has no enrolment."""
    case = await core.draft()
    await core.rows.write("registry", f"partner|{PARTNER_IDS[ADATUM]}", Delete("registered"))
    core.use_another_instance()

    with pytest.raises(Refused) as refusal:
        await submit(core, case)

    assert [detail.code for detail in refusal.value.details] == ["PartnerNotEnrolled"]


async def test_an_enrolment_that_another_instance_has_stored_counts_at_once(core: Core) -> None:
    """A remembered location never refuses a claim: it is read anew first."""
    other = RegistryTable(core.rows)
    former = await other.partner(PARTNER_IDS[ADATUM])
    assert former is not None
    await core.ports.registry.put_partner(PARTNER_IDS[ADATUM], partner(enrolled_engagements=()), former)
    case = await core.draft()
    with pytest.raises(Refused):
        await submit(core, case)
    await other.put_partner(PARTNER_IDS[ADATUM], partner(), await other.partner(PARTNER_IDS[ADATUM]))

    assert (await submit(core, case)).claim.status is Status.AWAITING_CUSTOMER


async def test_an_instance_reads_a_location_again_after_30_seconds(core: Core) -> None:
    """Until then it uses the location as it read it. A change by this instance itself counts at once."""
    elapsed, location = 0.0, PARTNER_IDS[ADATUM]
    here, elsewhere = RegistryTable(core.rows, lambda: elapsed), RegistryTable(core.rows)

    async def name() -> str:
        recent = await here.recent_partner(location)
        assert recent is not None
        return recent.value.name

    first = await name()
    await elsewhere.put_partner(location, partner(name="Adatum SA"), await elsewhere.partner(location))
    elapsed = RECENT_SECONDS
    assert await name() == first
    elapsed += 0.001
    assert await name() == "Adatum SA"
    await here.put_partner(location, partner(name="Adatum SE"), await elsewhere.partner(location))
    assert await name() == "Adatum SE"


async def test_after_a_no_the_same_partners_claims_are_reviewed_by_a_person(core: Core) -> None:
    """This holds for twelve months, and the reviewer sees the date of the no (decision 21)."""
    case = await core.notified()
    declined = await core.decline(case)
    assert case.claim.window_ends_at is not None
    core.clock.set(case.claim.window_ends_at)

    again = await core.submitted()

    assert (again.claim.status, again.claim.refused_before) == (Status.SUBMITTED, declined.claim.status_since)
    assert (await core.submitted(FABRIKAM)).claim.refused_before is None


async def test_after_two_noes_a_customer_is_not_asked_again(core: Core) -> None:
    """This holds until the first no is one year old (decision 21)."""
    for _ in range(2):
        case = await core.notified()
        await core.decline(case)
        assert case.claim.promise is not None
        core.clock.set(case.claim.promise.ends_at)

    with pytest.raises(Refused) as refusal:
        await core.submitted()

    assert [detail.code for detail in refusal.value.details] == ["CustomerRefused"]
    core.clock.set(MONDAY + 368 * DAY)
    assert (await core.submitted()).claim.status is Status.SUBMITTED


async def test_a_no_that_was_undone_does_not_count(core: Core) -> None:
    """The claim is treated as if there had been no no."""
    case = await core.notified()
    await core.decline(case)
    await core.undo(case)
    await core.withdraw(case)

    again = await core.submitted()

    assert (again.claim.status, again.claim.refused_before) == (Status.AWAITING_CUSTOMER, None)


# --- the dry run ------------------------------------------------------------------------------------------------------


def as_sent(**changes: Any) -> NewClaim:
    """Return a claim in the form that a partner sends."""
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


async def test_a_dry_run_of_a_draft_gives_the_result_of_its_submission(core: Core) -> None:
    """The checks are the same, and the draft stays a draft."""
    case = await core.draft(evidence=False)

    details = await partner_acts.dry_run(core.ports, case, None, MONDAY)

    assert [detail.code for detail in details] == [
        "EvidenceMissing",
        "AcknowledgementMissing",
        "AcknowledgementMissing",
    ]
    assert await partner_acts.dry_run(core.ports, await core.draft(FABRIKAM), ACKNOWLEDGED, MONDAY) == ()
    assert (await core.stored(case)).claim.status is Status.DRAFT


async def test_a_dry_run_of_a_submitted_claim_is_refused_like_a_submission(core: Core) -> None:
    """The refusal is about the state, as for a submission. The dry run is not counted."""
    submitted, draft = await core.submitted(), await core.draft(FABRIKAM)

    with pytest.raises(Refused, match="InvalidState"):
        await partner_acts.dry_run_of_draft(core.ports, submitted, ACKNOWLEDGED, MONDAY)

    assert await partner_acts.dry_run_of_draft(core.ports, draft, ACKNOWLEDGED, MONDAY) == ()
    assert [count.count for count in await core.ports.dry_runs.of_hour(MONDAY)] == [1]


async def test_a_dry_run_of_a_new_claim_stores_only_its_count(core: Core) -> None:
    """Nothing of the claim is stored."""
    core.rows.written.clear()

    details = await partner_acts.dry_run_of_new(core.ports, ADATUM, as_sent(), MONDAY)

    assert "EvidenceMissing" in [detail.code for detail in details]
    assert "claims" not in core.rows.written
    assert "partnerclaims" not in core.rows.written


async def test_a_dry_run_never_shows_that_another_organisation_holds_a_slot(core: Core) -> None:
    """Only the holder sees it (decision 8)."""
    await core.official()

    draft = await core.draft(FABRIKAM)

    assert await partner_acts.dry_run(core.ports, draft, ACKNOWLEDGED, await core.now()) == ()


async def test_a_dry_run_names_the_partners_own_duplicate(core: Core) -> None:
    """This holds for a draft and for a new claim. The answer has the duplicate's id and a resolution."""
    open_one = await core.submitted(items=(TEAMS,), engagement=USAGE)
    own = (await core.official()).claim.id
    draft = await core.draft()
    other = await core.draft(items=(TEAMS,), engagement=USAGE)

    of_draft = await partner_acts.dry_run(core.ports, draft, ACKNOWLEDGED, await core.now())
    of_new = await partner_acts.dry_run_of_new(core.ports, ADATUM, as_sent(), await core.now())
    of_other = await partner_acts.dry_run(core.ports, other, ACKNOWLEDGED, await core.now())

    assert of_draft[0] in of_new
    assert [(detail.code, detail.target) for detail in (*of_draft, *of_other)] == [("DuplicateClaim", "items[0]")] * 2
    assert own in of_draft[0].message
    assert f"or end the association {own}" in str(of_draft[0].resolution)
    assert open_one.claim.id in of_other[0].message
    assert f"or withdraw the claim {open_one.claim.id}" in str(of_other[0].resolution)


async def test_an_organisation_has_a_limited_number_of_dry_runs_an_hour(core: Core) -> None:
    """Then it waits for the next hour. Other organisations do not wait (decision 8)."""
    case, other = await core.draft(), await core.draft(LITWARE)
    for _ in range(core.ports.terms.dry_runs_per_hour):
        await partner_acts.dry_run(core.ports, case, ACKNOWLEDGED, MONDAY)

    later = MONDAY + timedelta(minutes=20, seconds=5)
    with pytest.raises(Refused, match="TooManyDryRuns") as refused:
        await partner_acts.dry_run(core.ports, case, ACKNOWLEDGED, later)

    assert refused.value.retry_after_seconds == 39 * 60 + 55
    assert await partner_acts.dry_run(core.ports, other, ACKNOWLEDGED, MONDAY) == ()
    assert await partner_acts.dry_run(core.ports, case, ACKNOWLEDGED, MONDAY + timedelta(hours=1)) == ()
    assert {count.organisation: count.count for count in await core.ports.dry_runs.of_hour(MONDAY)}[LITWARE] == 1


async def test_counts_of_dry_runs_expire(core: Core) -> None:
    """Each count has its own due row."""
    case = await core.draft()
    await partner_acts.dry_run(core.ports, case, ACKNOWLEDGED, MONDAY)

    core.clock.advance(RETENTION[Kind.DELETE_DRY_RUN_COUNT])
    await core.sweep()

    assert await core.ports.dry_runs.of_hour(MONDAY) == []


async def test_only_items_of_the_claim_can_be_struck(core: Core) -> None:
    """An item that the claim does not have is refused. A claim whose last item is struck is rejected."""
    case = await core.submitted(items=(TEAMS, EXCHANGE), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)

    with pytest.raises(Refused, match="ItemNotInClaim"):
        await reviews.strike_items(core.ports, case, now, [TEAMS, SHAREPOINT], NO_CONTEXT)
    case = await reviews.strike_items(core.ports, case, now, [TEAMS], NO_CONTEXT)
    assert [item.key for item in case.claim.items] == ["exchange"]
    case = await reviews.strike_items(core.ports, case, now, [EXCHANGE], NO_CONTEXT)

    assert (case.claim.status, case.claim.status_reason) == (Status.REJECTED, Reason.ALL_ITEMS_STRUCK)


# --- answer -----------------------------------------------------------------------------------------------------------


async def asked(core: Core, *reasons: Reason) -> Case:
    """Return a claim whose partner a reviewer has asked for more."""
    case = await core.submitted(items=(TEAMS, EXCHANGE), engagement=USAGE)
    now = await core.now()
    case = await reviews.start(core.ports, case, now, NO_CONTEXT)
    reasons = reasons or (Reason.EVIDENCE_MISSING,)
    return await reviews.request_information(core.ports, case, now, reasons, NO_CONTEXT)


async def test_an_answer_goes_back_to_the_reviewer(core: Core) -> None:
    """The reviewer has a new time limit to start."""
    case = await asked(core)
    core.clock.advance(DAY)

    after = await resubmit(core, case)

    assert (after.claim.status, after.claim.due) == (
        Status.SUBMITTED,
        core.ports.terms.start_review_by(await core.now()),
    )


async def test_an_answer_in_the_last_microsecond_is_in_time(core: Core) -> None:
    """The arrival of the answer counts (decision 27)."""
    case = await asked(core)
    assert case.claim.due is not None

    after = await partner_acts.resubmit(core.ports, case, PERSON, case.claim.due - MICROSECOND, NO_CONTEXT)

    assert after.claim.status is Status.SUBMITTED


async def test_a_late_answer_finds_the_claim_rejected(core: Core) -> None:
    """This holds before and after the timer has run."""
    case = await asked(core)
    assert case.claim.due is not None

    with pytest.raises(Refused, match="rejected cannot be resubmitted"):
        await partner_acts.resubmit(core.ports, case, PERSON, case.claim.due, NO_CONTEXT)


async def test_slots_follow_the_items_of_an_answer(core: Core) -> None:
    """The transaction of the answer leaves the old slot and enters the new one."""
    case = await asked(core)
    patch = {"items": [{"workload": "teams"}, {"workload": "sharepoint"}]}
    edited = await drafts.edit(core.ports, case, PERSON, await core.now(), patch, NO_CONTEXT)
    assert [claimant.claim for claimant in edited.slots["exchange"].claimants] == [case.claim.id]

    after = await resubmit(core, edited)

    assert after.slots["exchange"].claimants == ()
    assert [claimant.claim for claimant in after.slots["sharepoint"].claimants] == [case.claim.id]
    assert after.claim.left_items == ()


async def test_an_answer_is_judged_by_the_same_checks(core: Core) -> None:
    """An item that is not on the tenant is refused."""
    case = await asked(core)
    patch = {"items": [{"workload": "viva-topics"}]}
    case = await drafts.edit(core.ports, case, PERSON, await core.now(), patch, NO_CONTEXT)

    with pytest.raises(Refused) as refusal:
        await resubmit(core, case)

    assert [detail.code for detail in refusal.value.details] == ["ItemNotClaimable"]


async def test_another_contact_alone_leads_to_the_customer_at_once(core: Core) -> None:
    """The claim was approved before (decision 27)."""
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)
    await core.deliver()
    patch = {"contacts": {"customer": {"email": "bruno@contoso.fr"}}}
    case = await drafts.edit(core.ports, await core.case(case), PERSON, await core.now(), patch, NO_CONTEXT)

    after = await resubmit(core, case)

    assert after.claim.status is Status.AWAITING_CUSTOMER


async def test_an_answer_waits_for_a_claim_that_awaits_the_customer(core: Core) -> None:
    """At most one claim at a slot awaits the customer (decision 11)."""
    case = await core.approve(await core.submitted(items=(TEAMS,), engagement=USAGE))
    core.mailbox.refused.add(ANNE)
    await core.deliver()
    rival = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE, email="bruno@contoso.fr")
    now = await core.now()
    rival = await reviews.start(core.ports, rival, now, NO_CONTEXT)
    await change_claim(core.ports, rival, now, lambda current: life.approve(current, PROGRAMME, now))

    with pytest.raises(Refused, match="SlotAwaitsCustomer"):
        await resubmit(core, case)


async def test_an_automatically_reviewed_claim_with_a_new_rival_is_reviewed_by_a_person(core: Core) -> None:
    """
    Only a claim that a person approved goes to the customer at once.

    The review has no time limit while another claim awaits the customer.
    """
    case = await core.submitted()
    core.mailbox.refused.add(ANNE)
    await core.deliver()
    rival = await core.submitted(FABRIKAM, email="bruno@contoso.fr")
    now = await core.now()
    rival = await reviews.start(core.ports, rival, now, NO_CONTEXT)
    await change_claim(core.ports, rival, now, lambda current: life.approve(current, PROGRAMME, now))

    after = await resubmit(core, case)

    assert after.claim.status is Status.SUBMITTED
    step = (await core.seen(after)).next_step
    assert (step.action, step.due) == (Action.START_REVIEW, None)


# --- dispute ----------------------------------------------------------------------------------------------------------


async def test_a_dispute_needs_a_text_or_new_evidence(core: Core) -> None:
    """One of the two is enough (decision 28)."""
    case = await rejected(core)
    with pytest.raises(Refused, match="JustificationMissing"):
        await dispute(core, case)

    assert (await dispute(core, case, ActContext(comment=WORDS))).claim.status is Status.DISPUTED


async def test_new_evidence_is_a_justification(core: Core) -> None:
    """The evidence was added after the rejection."""
    case = await rejected(core)
    core.clock.advance(DAY)
    file = drafts.Upload("new.pdf", "application/pdf", b"%PDF-2", None)
    await drafts.add_evidence(core.ports, await core.case(case), PERSON, await core.now(), file, NO_CONTEXT)

    after = await dispute(core, case)

    assert (after.claim.status, after.claim.disputed_before) == (Status.DISPUTED, True)
    assert [claimant.claim for claimant in after.slots["teams"].claimants] == [case.claim.id]


@pytest.mark.parametrize(("distance", "code"), [(-MICROSECOND, None), (timedelta(0), "InvalidState")])
async def test_a_dispute_is_possible_for_thirty_days(core: Core, distance: timedelta, code: str | None) -> None:
    """30 × 24 hours from the rejection (decision 28)."""
    case = await rejected(core)
    arrived = case.claim.status_since + timedelta(hours=24 * 30) + distance
    disputed = partner_acts.dispute(core.ports, case, PERSON, arrived, ActContext(comment=WORDS))

    if code is None:
        assert (await disputed).claim.status is Status.DISPUTED
    else:
        with pytest.raises(Refused, match=code):
            await disputed


async def test_a_claim_can_be_disputed_once(core: Core) -> None:
    """A second rejection is final, and its kind cannot be disputed."""
    case = await rejected(core)
    await dispute(core, case, ActContext(comment=WORDS))
    again = await core.case(case)
    ever = again.changed(status=Status.REJECTED)

    with pytest.raises(Refused, match="NotDisputable"):
        life.dispute(ever, PERSON, MONDAY, decide_by=MONDAY + DAY)


# --- withdrawal and end -----------------------------------------------------------------------------------------------


async def test_a_withdrawn_claim_is_closed(core: Core) -> None:
    """Its slots are free at once."""
    case = await core.submitted()

    after = await partner_acts.withdraw(core.ports, case, PERSON, MONDAY, NO_CONTEXT)

    assert after.claim.status is Status.WITHDRAWN
    assert (await core.submitted(FABRIKAM)).claim.status is Status.AWAITING_CUSTOMER


async def test_the_partner_ends_an_association(core: Core) -> None:
    """The end has a reason, and the slot is free at once."""
    case = await core.official()

    after = await partner_acts.end(core.ports, case, PERSON, await core.now(), Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    assert (after.claim.status, after.claim.end_reason) == (Status.ENDED, Reason.PARTNER_DISASSOCIATED)
    assert (await core.submitted(FABRIKAM, items=(SALES,))).claim.status is Status.AWAITING_CUSTOMER
