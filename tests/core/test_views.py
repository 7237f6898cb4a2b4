"""The views of claims: exactly these names, nulls where the contract has them, and items without nulls."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from cpor_core.model.claim import Claim, Contact, Contacts, EndedItem, PartnerContact, Reason, Revenue, Status
from cpor_core.model.history import PROGRAMME
from cpor_core.model.slot import Slot
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from cpor_core.transitions.life import settle
from cpor_core.views import (
    associated_items,
    association_view,
    claim_view,
    entity_tag,
    is_competing,
    window_view,
)
from tests.core.builders import (
    ADATUM,
    ANNE,
    DAY,
    ENDS_AT,
    EXCHANGE,
    FABRIKAM,
    HOUR,
    MICROSECOND,
    MONDAY,
    PERSON,
    RECOGNITION,
    SALES,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    TERMS,
    TOLD_AT,
    approved,
    at_slots,
    awaiting,
    claim_id,
    draft,
    in_state,
    notified,
    official,
    promised,
    stored,
    submitted,
    under_review,
)

JsonObject = dict[str, object]


def shown(case: Case, now: datetime = TOLD_AT) -> JsonObject:
    """Return the JSON of a stored case at *now*."""
    return claim_view(settle(stored(case), now), TERMS).model_dump(mode="json", by_alias=True)


def test_a_draft_is_shown_with_every_name_of_the_contract() -> None:
    """Sent values are shown as they were sent, and all other values are null or empty."""
    case = draft(comment="Please", evidence=())

    view = shown(case)

    assert view == {
        "id": claim_id("a"),
        "name": "Contoso adoption",
        "partnerId": "4782913",
        "engagement": "modern-work-security-usage",
        "filedAs": None,
        "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
        "items": [{"workload": "teams"}],
        "contacts": {
            "customer": {"name": "Anne Durand", "email": "anne.durand@contoso.fr"},
            "partner": {"name": "Paul Petit", "email": "paul@adatum.example"},
        },
        "waiveIncentive": False,
        "revenue": None,
        "comment": "Please",
        "status": "draft",
        "statusReason": None,
        "competing": False,
        "nextStep": {"owner": "partner", "action": "submit", "due": "2027-01-31T09:00:00Z"},
        "evidence": [],
        "acknowledgements": None,
        "window": None,
        "association": None,
        "createdAt": "2026-11-02T09:00:00Z",
        "submittedAt": None,
        "updatedAt": "2026-11-02T09:00:00Z",
        "historyHash": case.claim.history_hash,
        "etag": view["etag"],
    }


def test_an_omitted_part_is_not_answered_as_null() -> None:
    """Parts of a claim are shown as they were sent."""
    case = draft(
        items=(SALES,),
        engagement=RECOGNITION,
        filed_as="osu-bizapps",
        waive_incentive=True,
        revenue=Revenue(customer_name="Contoso"),
        contacts=Contacts(
            customer=Contact(name="Anne", title="DSI", email="a@contoso.fr"),
            customer_technical=Contact(name="Tom", email="t@contoso.fr"),
            partner=PartnerContact(name="Paul", email="p@adatum.example"),
        ),
    )

    view = shown(case)

    assert view["items"] == [{"product": "dynamics-365-sales", "subscriptionId": SUBSCRIPTION}]
    assert view["contacts"] == {
        "customer": {"name": "Anne", "title": "DSI", "email": "a@contoso.fr"},
        "customerTechnical": {"name": "Tom", "email": "t@contoso.fr"},
        "partner": {"name": "Paul", "email": "p@adatum.example"},
    }
    assert view["revenue"] == {"customerName": "Contoso"}
    assert (view["filedAs"], view["waiveIncentive"]) == ("osu-bizapps", True)


def test_evidence_is_shown_without_its_blob() -> None:
    """The view has name, type, size, digest and dates."""
    assert shown(draft())["evidence"] == [
        {
            "fileName": "sow.pdf",
            "contentType": "application/pdf",
            "size": 9,
            "sha256": "0" * 64,
            "signedOn": "2026-10-01",
            "addedAt": "2026-11-02T09:00:00Z",
        }
    ]


def test_the_acknowledgements_are_shown_after_submission() -> None:
    """They have the instant of submission."""
    view = shown(submitted(draft()))

    assert view["acknowledgements"] == {"accurate": True, "customerAware": True}
    assert view["submittedAt"] == "2026-11-02T10:00:00Z"


def test_the_window_is_shown_from_the_hand_over_on() -> None:
    """It is null before, although the promise is stored. It has every skipped day by name (decisions 17, 18)."""
    on_its_way = promised(submitted(draft(), automatic=True))
    assert shown(on_its_way)["window"] is None
    assert window_view(on_its_way) is None

    view = shown(awaiting(draft()))

    assert view["window"] == {
        "openedAt": "2026-11-02T11:00:00Z",
        "endsAt": "2026-11-09T23:00:00Z",
        "timeZone": "Europe/Paris",
        "calendar": "FR",
        "lastDay": "2026-11-09",
        "skippedDays": [
            {"date": "2026-11-07", "name": "samedi", "kind": "weekend"},
            {"date": "2026-11-08", "name": "dimanche", "kind": "weekend"},
        ],
    }


def test_an_association_is_shown_from_the_deadline_on() -> None:
    """This holds whether or not it is stored. Its id is the claim's id, and its items have their own ends."""
    case = awaiting(draft(items=(TEAMS, EXCHANGE)))
    assert shown(case, ENDS_AT - MICROSECOND)["association"] is None

    view = shown(case, ENDS_AT)

    assert view["status"] == "official"
    assert view["association"] == {
        "id": claim_id("a"),
        "since": "2026-11-09T23:00:00Z",
        "endedAt": None,
        "endReason": None,
        "items": [
            {"workload": "teams", "since": "2026-11-09T23:00:00Z", "endedAt": None, "endReason": None},
            {"workload": "exchange", "since": "2026-11-09T23:00:00Z", "endedAt": None, "endReason": None},
        ],
    }


def test_an_item_that_ended_alone_has_an_instant_and_a_reason() -> None:
    """The association goes on with the other item."""
    case = official(draft(items=(TEAMS, EXCHANGE)))
    case = case.changed(ended_items=(EndedItem(key="exchange", at=ENDS_AT + DAY, reason=Reason.SUPERSEDED),))

    view = association_view(case)

    assert view is not None
    assert view.model_dump(mode="json", by_alias=True) == {
        "id": claim_id("a"),
        "claimId": claim_id("a"),
        "partnerId": "4782913",
        "partnerName": "Adatum Conseil",
        "engagement": "modern-work-security-usage",
        "customer": {"tenantId": TENANT, "domain": "contoso.fr"},
        "items": [
            {"workload": "teams", "since": "2026-11-09T23:00:00Z", "endedAt": None, "endReason": None},
            {
                "workload": "exchange",
                "since": "2026-11-09T23:00:00Z",
                "endedAt": "2026-11-10T23:00:00Z",
                "endReason": "superseded",
            },
        ],
        "since": "2026-11-09T23:00:00Z",
        "endedAt": None,
        "endReason": None,
    }


def test_an_association_of_a_subscription_names_product_and_subscription() -> None:
    """The item is shown as it was claimed."""
    view = association_view(official(draft(items=(SALES,), engagement=RECOGNITION)))

    assert view is not None
    assert view.items[0].model_dump(mode="json", by_alias=True) == {
        "product": "dynamics-365-sales",
        "subscriptionId": SUBSCRIPTION,
        "since": "2026-11-09T23:00:00Z",
        "endedAt": None,
        "endReason": None,
    }


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.OFFICIAL, Status.ENDED)])
def test_a_claim_that_was_never_official_has_no_association(status: Status) -> None:
    """This holds for the claim's view and for the association's view."""
    case = in_state(status)

    assert association_view(case) is None
    assert associated_items(case) == ()


def competing_at(claim: Claim, slots: Mapping[str, Slot], now: datetime) -> bool:
    """Return whether a stored claim competes at *now*, with slots that other claims have changed."""
    return is_competing(settle(StoredCase(claim, slots), now))


# --- competing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "competing"),
    [
        (Status.SUBMITTED, True),
        (Status.UNDER_REVIEW, True),
        (Status.AWAITING_CUSTOMER, True),
        (Status.OFFICIAL, True),
        (Status.DECLINED, True),
        (Status.REJECTED, False),
        (Status.WITHDRAWN, False),
        (Status.ENDED, False),
    ],
)
def test_both_sides_see_that_they_compete(status: Status, competing: bool) -> None:  # noqa: FBT001 - a column of the table
    """
    The challenger sees it from the claims at its slots, and the other side from the challenger's place there (decision
    15).
    """
    first = in_state(status)
    challenger = submitted(at_slots(draft("b", organisation=FABRIKAM), first.slots))
    now = ENDS_AT - DAY if status is Status.DECLINED else TOLD_AT

    assert competing_at(challenger.claim, challenger.slots, now) is competing
    open_or_official = status not in (Status.DECLINED, Status.REJECTED, Status.WITHDRAWN, Status.ENDED)
    assert competing_at(first.claim, challenger.slots, now) is open_or_official


def test_a_draft_does_not_compete() -> None:
    """Its partner does not see whether the slots have claims."""
    slots = in_state(Status.OFFICIAL).slots

    case = at_slots(draft("b", organisation=FABRIKAM), slots)

    assert not competing_at(case.claim, case.slots, TOLD_AT)


def test_an_item_that_was_lost_no_longer_competes() -> None:
    """The successor at the lost item is no rival for the remaining items."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    winner = at_slots(draft("b", organisation=FABRIKAM, items=(EXCHANGE,)), incumbent.slots)
    winner = notified(approved(winner, ENDS_AT), ENDS_AT, ends_at=ENDS_AT + 30 * DAY)
    slots = {**incumbent.slots, **winner.slots}
    before, after = ENDS_AT + 29 * DAY, ENDS_AT + 30 * DAY

    assert competing_at(incumbent.claim, slots, before)
    assert not competing_at(incumbent.claim, slots, after)


def test_slots_that_were_not_read_show_nothing() -> None:
    """A list reads slots only where they matter."""
    assert not competing_at(in_state(Status.SUBMITTED).claim, {}, TOLD_AT)


# --- entity tags ------------------------------------------------------------------------------------------------------


def tag(case: Case, now: datetime = TOLD_AT) -> str:
    """Return the entity tag of a stored case at *now*."""
    return entity_tag(settle(stored(case), now))


def test_the_etag_is_a_quoted_string_in_the_body() -> None:
    """It equals the header, with its quotes."""
    case = awaiting(draft())

    assert shown(case)["etag"] == tag(case)
    assert tag(case)[0] == tag(case)[-1] == '"'


def test_the_etag_stays_while_nothing_changes() -> None:
    """This holds for any number of reads at any time."""
    case = awaiting(draft())

    assert tag(case, TOLD_AT) == tag(case, ENDS_AT - MICROSECOND)


@pytest.mark.parametrize("name", ["claim", "slot"])
def test_the_etag_changes_with_each_write(name: str) -> None:
    """
    A write of the claim changes it, and so does a write of a slot that decides whether the claim competes (decision
    40).
    """
    case = awaiting(draft())
    before = tag(case)

    if name == "claim":
        case = case.changed(version=case.claim.version + 1)
    else:
        case = case.with_slots({"teams": case.slots["teams"].changed(version=7)})

    assert tag(case) != before


def test_the_etag_changes_with_a_change_by_time() -> None:
    """The change need not be stored."""
    case = awaiting(draft())

    assert tag(case, ENDS_AT) != tag(case, ENDS_AT - MICROSECOND)


def test_the_etag_changes_when_an_item_is_taken_over() -> None:
    """The association goes on with fewer items."""
    incumbent = official(draft(items=(TEAMS, EXCHANGE)))
    winner = at_slots(draft("b", organisation=FABRIKAM, items=(EXCHANGE,)), incumbent.slots)
    winner = notified(approved(winner, ENDS_AT), ENDS_AT, ends_at=ENDS_AT + 30 * DAY)
    case = incumbent.with_slots(winner.slots)

    assert tag(case, ENDS_AT + 30 * DAY) != tag(case, ENDS_AT + 29 * DAY)


@pytest.mark.parametrize("status", [Status.DRAFT, Status.WITHDRAWN, Status.ENDED, Status.REJECTED_FINAL])
def test_the_etag_of_a_claim_that_needs_no_slots_does_not_depend_on_them(status: Status) -> None:
    """A list that does not read the slots shows the same tag."""
    case = in_state(status)
    others = case.with_slots({"teams": case.slots["teams"].with_claimant("x", FABRIKAM).changed(version=9)})

    assert tag(case) == tag(others)


def test_the_tests_cover_every_kind_of_view() -> None:
    """Each state has a view at any time."""
    for status in Status:
        for now in (MONDAY, TOLD_AT + HOUR, ENDS_AT, ENDS_AT + 400 * DAY):
            view = shown(in_state(status), now)

            assert set(view) == set(shown(draft()))


def test_a_view_names_nobody_who_revoked_or_declined() -> None:
    """Reasons are codes. A view names no person of the programme or the customer except the contacts."""
    revoked = life.revoke(awaiting(draft()), PROGRAMME, TOLD_AT)
    declined = life.decline(awaiting(draft()), ANNE, TOLD_AT)

    assert (shown(revoked)["status"], shown(revoked)["statusReason"]) == ("rejected", "revokedByProgramme")
    assert (shown(declined)["status"], shown(declined)["statusReason"]) == ("declined", None)
    assert PERSON.id not in str(shown(under_review(draft(organisation=ADATUM))))


def test_times_are_shown_with_microseconds_only_when_there_are_any() -> None:
    """Times follow RFC 3339, in UTC with `Z`."""
    case = submitted(draft(), MONDAY + timedelta(microseconds=1))

    assert shown(case)["submittedAt"] == "2026-11-02T09:00:00.000001Z"
