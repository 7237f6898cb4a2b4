"""The acts of a customer, by a mailed link or as the tenant's administrator, and the pages that a customer sees."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cpor_core.errors import Refused
from cpor_core.model.claim import CLOSED, THE_ADMINISTRATOR, No, Reason, Speaker, Status
from cpor_core.model.history import spoken_by
from cpor_core.model.usage import Receipt
from cpor_core.transitions.claim_case import Case
from cpor_core.use_cases.change_claim import NO_CONTEXT, change_claim
from cpor_core.use_cases.claims import customer_acts, customer_tenant, reviews
from cpor_core.use_cases.claims.customer_acts import LINK_LIVES, Opened, possible_acts
from cpor_core.use_cases.usage.receipts import LOOKED_AT, SHOWN, receipts_of
from tests.core.builders import (
    ADATUM,
    ANNE,
    ANNES,
    DAY,
    ENDS_AT,
    EXCHANGE,
    FABRIKAM,
    LITWARE,
    MICROSECOND,
    MONDAY,
    TEAMS,
    TENANT,
    TOLD_AT,
    USAGE,
    approved,
    at_slots,
    draft,
    in_state,
    subscription,
)
from tests.core.builders import IT as REGISTERED_IT
from tests.core.memory_core import Core

IT = "it@contoso.fr"


def ends_at(case: Case) -> datetime:
    """Return the end of a window that was opened."""
    assert case.claim.window_ends_at is not None
    return case.claim.window_ends_at


# --- links ------------------------------------------------------------------------------------------------------------


async def test_a_link_leads_to_its_claim_and_recipient(core: Core) -> None:
    """The signature was verified before."""
    case = await core.notified()

    opened = await customer_acts.open_link(core.ports, case.claim.id, 1, MONDAY)

    assert (opened.case.claim.id, opened.recipient.email, opened.others) == (
        case.claim.id,
        "anne.durand@contoso.fr",
        (),
    )


@pytest.mark.parametrize("recipient", [0, 2, 99])
async def test_a_link_of_an_unknown_recipient_or_claim_leads_nowhere(core: Core, recipient: int) -> None:
    """Both give the same answer."""
    case = await core.notified()

    with pytest.raises(Refused, match="NotFound"):
        await customer_acts.open_link(core.ports, case.claim.id, recipient, MONDAY)
    with pytest.raises(Refused, match="NotFound"):
        await customer_acts.open_link(core.ports, "nobody", 1, MONDAY)


async def test_a_link_lives_until_ninety_days_after_the_close(core: Core) -> None:
    """Links of a no count from the window's end, and links of an association from its end (decision 23)."""
    case = await core.notified()
    await core.decline(case)
    expires = ends_at(case) + LINK_LIVES

    assert (await customer_acts.open_link(core.ports, case.claim.id, 1, expires - MICROSECOND)).case is not None
    with pytest.raises(Refused, match="LinkExpired"):
        await customer_acts.open_link(core.ports, case.claim.id, 1, expires)


async def test_the_link_of_a_running_association_never_expires(core: Core) -> None:
    """The customer can end the association at any time."""
    case = await core.official()

    opened = await customer_acts.open_link(core.ports, case.claim.id, 1, MONDAY + 8000 * DAY)

    assert opened.case.claim.status is Status.OFFICIAL


async def test_the_contacts_link_shows_only_its_own_claim(core: Core) -> None:
    """The partner chose the contact, so the contact sees nothing else (decision 23)."""
    await core.official(items=(TEAMS,), engagement=USAGE)
    case = await core.notified(FABRIKAM)
    now = await core.now()

    opened = await customer_acts.with_others(
        core.ports, await customer_acts.open_link(core.ports, case.claim.id, 1, now), now
    )

    assert opened.others == ()


async def test_a_link_of_a_registered_address_shows_every_association(core: Core) -> None:
    """As long as the address is registered, its page also lists the tenant's other official associations."""
    await core.register_customer(notice_addresses=(IT,))
    other = await core.official(items=(TEAMS,), engagement=USAGE)
    case = await core.notified(FABRIKAM)
    now = await core.now()
    opened = await customer_acts.open_link(core.ports, case.claim.id, 2, now)

    shown = await customer_acts.with_others(core.ports, opened, now)
    await core.register_customer(notice_addresses=())
    opened = await customer_acts.open_link(core.ports, case.claim.id, 2, now)
    not_any_more = await customer_acts.with_others(core.ports, opened, now)

    assert [one.claim.id for one in shown.others] == [other.claim.id]
    assert not_any_more.others == ()


def opened_at(case: Case, now: datetime) -> Opened:
    """Return the page that Anne's link opens at *now*."""
    return Opened(replace(case, now=now), ANNES, ANNE)


@pytest.mark.parametrize(
    ("status", "acts"),
    [
        (Status.SUBMITTED, ("decline",)),
        (Status.UNDER_REVIEW, ("decline",)),
        (Status.PARTNER_ACTION_REQUIRED, ("decline",)),
        (Status.AWAITING_CUSTOMER, ("decline", "not-me")),
        (Status.DISPUTED, ("decline",)),
        (Status.DECLINED, ("undo",)),
        (Status.OFFICIAL, ("end",)),
        (Status.REJECTED, ()),
        (Status.REJECTED_FINAL, ()),
        (Status.ENDED, ()),
        (Status.WITHDRAWN, ()),
    ],
)
def test_the_page_offers_each_possible_act(status: Status, acts: tuple[str, ...]) -> None:
    """It offers no act that the service would refuse."""
    case = in_state(status)

    assert possible_acts(opened_at(case, TOLD_AT)) == acts


def test_a_recipient_who_said_not_the_right_person_can_still_decline() -> None:
    """The page offers "not the right person" once."""
    case = in_state(Status.AWAITING_CUSTOMER)

    passed_on = replace(opened_at(case, TOLD_AT), recipient=ANNES.model_copy(update={"failed": True}))

    assert possible_acts(passed_on) == ("decline",)


def test_the_page_offers_no_undo_after_the_window_or_without_a_free_place() -> None:
    """The page gives the reason in place of a button."""
    case = in_state(Status.DECLINED)
    other = approved(at_slots(draft("b", organisation=FABRIKAM), case.slots), TOLD_AT)

    assert possible_acts(opened_at(case, ENDS_AT - MICROSECOND)) == ("undo",)
    assert possible_acts(opened_at(case, ENDS_AT)) == ()
    assert possible_acts(opened_at(case.with_slots(other.slots), TOLD_AT)) == ()


# --- not the right person ---------------------------------------------------------------------------------------------


async def test_not_the_right_person_counts_as_a_bounced_mail(core: Core) -> None:
    """If nobody else was notified, the window stops (decision 24)."""
    case = await core.notified()
    opened = await customer_acts.open_link(core.ports, case.claim.id, 1, MONDAY)

    after = await customer_acts.not_me(core.ports, opened, MONDAY + DAY, NO_CONTEXT)

    assert (after.claim.status, after.claim.status_reason) == (
        Status.PARTNER_ACTION_REQUIRED,
        Reason.CUSTOMER_UNREACHABLE,
    )


async def test_the_window_goes_on_for_the_other_recipients(core: Core) -> None:
    """One wrong person is only recorded. A second click changes nothing."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()
    opened = await customer_acts.open_link(core.ports, case.claim.id, 1, MONDAY)

    after = await customer_acts.not_me(core.ports, opened, MONDAY + DAY, NO_CONTEXT)
    again = await customer_acts.not_me(core.ports, opened, MONDAY + DAY, NO_CONTEXT)

    assert after.claim.status is Status.AWAITING_CUSTOMER
    assert [recipient.failed for recipient in after.claim.recipients] == [True, False]
    assert again.claim == after.claim
    assert (await core.history(case))[-1].actor.id == "1"


async def test_a_recipient_of_a_declined_claim_cannot_say_not_the_right_person(core: Core) -> None:
    """Another recipient declined the claim."""
    case = await core.notified()
    opened = await customer_acts.open_link(core.ports, case.claim.id, 1, MONDAY)
    await core.decline(case)

    with pytest.raises(Refused, match="InvalidState"):
        await customer_acts.not_me(core.ports, opened, MONDAY + DAY, NO_CONTEXT)


# --- undo and end -----------------------------------------------------------------------------------------------------


async def test_an_undo_leaves_out_items_that_have_left_the_tenant(core: Core) -> None:
    """No new promise follows that would check the items again (decision 32)."""
    case = await core.notified(items=(TEAMS, EXCHANGE), engagement=USAGE)
    await core.decline(case)
    await core.register_customer(workloads=("exchange",))

    after = await core.undo(case)

    assert after.claim.status is Status.AWAITING_CUSTOMER
    assert [item.key for item in after.claim.items] == ["exchange"]
    assert after.slots["teams"].awaiting is None


async def test_an_undo_without_any_item_left_closes_the_claim(core: Core) -> None:
    """The customer has no item to accept."""
    case = await core.notified()
    await core.decline(case)
    await core.register_customer(subscriptions=(subscription(state="disabled"),))

    after = await core.undo(case)

    assert (after.claim.status, after.claim.status_reason) == (Status.REJECTED, Reason.SUBSCRIPTION_ENDED)


async def test_an_undo_is_refused_when_another_claim_became_official_at_the_slot(core: Core) -> None:
    """The page says that another partner has the place (decision 13)."""
    case = await core.notified(items=(TEAMS,), engagement=USAGE)
    await core.decline(case)
    rival = await core.submitted(FABRIKAM, items=(TEAMS,), engagement=USAGE)
    await core.approve(rival)

    with pytest.raises(Refused, match="SlotAwaitsCustomer"):
        await core.undo(case)


async def test_the_customer_ends_an_association_at_any_time(core: Core) -> None:
    """The partner's access ends with that write."""
    case = await core.official()

    after = await customer_acts.end(core.ports, case, spoken_by(ANNE), await core.now(), NO_CONTEXT)

    assert (after.claim.status, after.claim.end_reason) == (Status.ENDED, Reason.CUSTOMER_OPTED_OUT)


async def test_a_claim_that_is_not_official_cannot_be_ended(core: Core) -> None:
    """The customer can decline it."""
    case = await core.notified()

    with pytest.raises(Refused, match="InvalidState"):
        await customer_acts.end(core.ports, case, spoken_by(ANNE), MONDAY, NO_CONTEXT)


@pytest.mark.parametrize("said_by", [ANNE, REGISTERED_IT, THE_ADMINISTRATOR])
async def test_the_voice_of_a_no_of_an_earlier_release_is_read_from_the_history(core: Core, said_by: Speaker) -> None:
    """That entry has no voice. The recipient's kind gives the voice."""
    await core.register_customer(notice_addresses=(IT,))
    case = await core.notified()
    at = await core.now()
    await core.decline(case, by=said_by)
    await change_claim(core.ports, await core.case(case), at, lambda declined: declined.changed(no=None))

    opened = await customer_acts.open_link(core.ports, case.claim.id, 1, at)
    requested = await customer_tenant.request_of(core.ports, TENANT, case.claim.id, at)

    assert opened.case.claim.no == requested.claim.no == No(by=said_by, at=at)
    assert ("undo" in possible_acts(opened)) is (said_by == ANNE)


# --- the tenant's administrator ---------------------------------------------------------------------------------------


async def test_the_administrator_sees_every_request_with_a_notice(core: Core) -> None:
    """The newest comes first. Drafts and claims that only a reviewer has seen are not listed."""
    await core.draft(LITWARE)
    reviewed = await core.submitted(LITWARE, items=(TEAMS,), engagement=USAGE)
    first = await core.notified()
    core.clock.advance(DAY)
    second = await core.notified(FABRIKAM, items=(EXCHANGE,), engagement=USAGE)
    now = await core.now()

    found = await customer_tenant.cases_of(core.ports, TENANT, now)

    assert [case.claim.id for case in found] == [second.claim.id, first.claim.id]
    assert (await customer_tenant.request_of(core.ports, TENANT, first.claim.id, now)).claim.id == first.claim.id
    for hidden, tenant in ((reviewed, TENANT), (first, ADATUM)):
        with pytest.raises(Refused, match="NotFound"):
            await customer_tenant.request_of(core.ports, tenant, hidden.claim.id, now)
    with pytest.raises(Refused, match="NotFound"):
        await customer_tenant.request_of(core.ports, TENANT, "nobody", now)


async def test_a_request_stays_visible_after_its_close(core: Core) -> None:
    """This holds for every kind of close."""
    case = await core.notified()
    await reviews.revoke(core.ports, case, MONDAY, NO_CONTEXT)

    assert [one.claim.status for one in await customer_tenant.cases_of(core.ports, TENANT, MONDAY)] == [Status.REJECTED]


# --- receipts ---------------------------------------------------------------------------------------------------------


def receipt(case: Case, at: datetime) -> Receipt:
    """Return the receipt of a read of an association's figures."""
    return Receipt(
        at=at,
        organisation=ADATUM,
        partner_id="4782913",
        object_id="oid",
        kind="person",
        association_id=case.claim.id,
        items=("teams",),
        months=(),
    )


async def test_the_page_shows_the_newest_receipts_of_its_own_association(core: Core) -> None:
    """It shows at most fifty, and none of other associations (decision 23)."""
    case = await core.official()
    other = case.changed(id="f" * 52)
    for n in range(SHOWN + 10):
        await core.ports.receipts.add(TENANT, receipt(case, MONDAY + n * DAY))
        await core.ports.receipts.add(TENANT, receipt(other, MONDAY + n * DAY))

    found = await receipts_of(core.ports, case)

    assert len(found) == SHOWN
    assert {one.association_id for one in found} == {case.claim.id}
    assert found[0].at == MONDAY + (SHOWN + 9) * DAY


async def test_a_claim_that_was_never_official_has_no_receipts(core: Core) -> None:
    """The page reads no receipts for it."""
    assert await receipts_of(core.ports, await core.submitted()) == ()


async def test_the_page_reads_a_limited_number_of_receipts(core: Core) -> None:
    """If the tenant has many associations, the administrator reads receipts with a token."""
    case = await core.official()
    other = case.changed(id="f" * 52)
    await core.ports.receipts.add(TENANT, receipt(case, MONDAY))
    for n in range(LOOKED_AT):
        await core.ports.receipts.add(TENANT, receipt(other, MONDAY + timedelta(seconds=n + 1)))

    assert await receipts_of(core.ports, case) == []


def test_a_link_of_an_open_claim_does_not_expire_soon() -> None:
    """The test checks every state that is not closed."""
    for status in Status:
        far = customer_acts.expires_at(in_state(status)).year == 9999

        assert far is (status not in CLOSED | {Status.DECLINED})
