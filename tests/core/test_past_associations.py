"""What entering an association of the past does to claim and slot, before anything is stored."""

from datetime import UTC, datetime

import pytest

from cpor_core.errors import Refused
from cpor_core.model.claim import Claim, Imported, MailKind, Recipient, RecipientKind, Status
from cpor_core.model.history import PROGRAMME, Act
from cpor_core.model.slot import Slot
from cpor_core.transitions import life
from cpor_core.transitions.claim_case import Case, StoredCase
from tests.core.builders import ADATUM, DAY, FABRIKAM, HOUR, MONDAY, PARTNER_IDS, TEAMS, TENANT, USAGE, as_of, claim_id

SINCE = datetime(2024, 3, 1, tzinfo=UTC)
ADDRESS = Recipient(number=1, kind=RecipientKind.NOTICE_ADDRESS, email="it@contoso.fr", language="fr")
EMPTY = Slot(engagement=USAGE, key="teams")


def past(slot: Slot = EMPTY) -> Case:
    """Return the case of a line that is about to be entered."""
    claim = Claim(
        id=claim_id("a"),
        tenant_id=TENANT,
        organisation=ADATUM,
        partner_id=PARTNER_IDS[ADATUM],
        partner_name="Adatum Conseil",
        engagement=USAGE,
        filed_as="osu-m365",
        name="Online Services Usage",
        domain="contoso.fr",
        items=(TEAMS,),
        status_since=MONDAY,
        created_at=MONDAY,
        updated_at=MONDAY,
        imported=Imported(customer_name="Contoso France", time_zone="Europe/Paris"),
    )
    return life.settle(StoredCase(claim, {"teams": slot}), MONDAY)


def entered(case: Case, *recipients: Recipient) -> Case:
    """Enter it on Monday."""
    return life.enter_past(case, PROGRAMME, MONDAY, since=SINCE, recipients=recipients)


def test_it_holds_its_item_since_then_and_one_entry_says_when_it_was_entered() -> None:
    """Official since the past, entered now; time changes nothing about it."""
    case = entered(past(), ADDRESS)

    claim, holder = case.claim, case.slots["teams"].holder
    assert (claim.status, claim.official_since, claim.status_since) == (Status.OFFICIAL, SINCE, MONDAY)
    assert holder is not None
    assert (holder.claim, holder.organisation, holder.since) == (claim.id, ADATUM, SINCE)
    assert [(owner, made.act, made.at, made.from_) for owner, made in case.entries] == [
        (claim.id, Act.IMPORTED, MONDAY, None)
    ]
    assert as_of(case, MONDAY + 1000 * DAY).claim == claim


@pytest.mark.parametrize(("recipients", "owed"), [((ADDRESS,), [MailKind.IMPORTED]), ((), [])])
def test_a_mail_is_owed_only_where_somebody_can_be_told(
    recipients: tuple[Recipient, ...], owed: list[MailKind]
) -> None:
    """Without an address nothing is owed, at the end neither."""
    case = entered(past(), *recipients)
    ended = life.revoke(case, PROGRAMME, MONDAY + HOUR)

    assert [mail.kind for mail in case.claim.mails] == owed
    assert [mail.kind for mail in ended.claim.mails] == [*owed, *([MailKind.CLOSING] if owed else [])]


def test_whoever_claims_the_item_keeps_the_place() -> None:
    """Claims that are open compete with it from now on; one that is over by now is gone from the slot."""
    slot = EMPTY.with_claimant(claim_id("b"), FABRIKAM).with_claimant(claim_id("c"), FABRIKAM, MONDAY)

    after = entered(past(slot)).slots["teams"]

    assert [claimant.claim for claimant in after.claimants] == [claim_id("b")]


def test_an_item_about_which_the_customer_is_being_asked_is_refused() -> None:
    """That claim would take it over without anybody having compared the two."""
    with pytest.raises(Refused) as refused:
        entered(past(EMPTY.with_awaiting(claim_id("d"), FABRIKAM, MONDAY + DAY)))

    assert refused.value.code == "SlotHeld"


def test_a_slot_that_is_held_by_now_is_refused() -> None:
    """Also by a claim whose window has just ended, though nobody has written that down."""
    awaited = EMPTY.with_awaiting(claim_id("d"), FABRIKAM, MONDAY)

    with pytest.raises(Refused) as refused:
        entered(past(awaited))

    assert refused.value.code == "SlotHeld"


def test_a_claim_with_a_history_cannot_be_entered() -> None:
    """Twice is refused, whatever became of it."""
    with pytest.raises(Refused) as refused:
        entered(entered(past()))

    assert refused.value.code == "InvalidState"


def test_nobody_was_named() -> None:
    """There is nobody to write to on either side."""
    claim = entered(past()).claim

    assert (claim.customer_contact, claim.partner_contact) == (None, None)
