"""The effect of a past association on its claim and slot, before anything is stored."""

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
    """Return the case of a line before its import."""
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
    """Import it on Monday."""
    return life.enter_past(case, PROGRAMME, MONDAY, since=SINCE, recipients=recipients)


def test_it_holds_its_item_from_its_begin_and_one_entry_records_the_import() -> None:
    """It is official from the past instant on, and time changes nothing about it."""
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
def test_a_mail_is_due_only_if_there_is_an_address(recipients: tuple[Recipient, ...], owed: list[MailKind]) -> None:
    """Without an address no mail is due, after the end either."""
    case = entered(past(), *recipients)
    ended = life.revoke(case, PROGRAMME, MONDAY + HOUR)

    assert [mail.kind for mail in case.claim.mails] == owed
    assert [mail.kind for mail in ended.claim.mails] == [*owed, *([MailKind.CLOSING] if owed else [])]


def test_claimants_of_the_item_keep_their_place() -> None:
    """Open claims compete with it from now on. A claim that has ended leaves the slot."""
    slot = EMPTY.with_claimant(claim_id("b"), FABRIKAM).with_claimant(claim_id("c"), FABRIKAM, MONDAY)

    after = entered(past(slot)).slots["teams"]

    assert [claimant.claim for claimant in after.claimants] == [claim_id("b")]


def test_an_item_about_which_a_customer_is_asked_is_refused() -> None:
    """The awaiting claim would take it over without a review."""
    with pytest.raises(Refused) as refused:
        entered(past(EMPTY.with_awaiting(claim_id("d"), FABRIKAM, MONDAY + DAY)))

    assert refused.value.code == "SlotHeld"


def test_a_held_slot_is_refused() -> None:
    """A claim whose window has just ended holds the slot too, whether or not that is stored."""
    awaited = EMPTY.with_awaiting(claim_id("d"), FABRIKAM, MONDAY)

    with pytest.raises(Refused) as refused:
        entered(past(awaited))

    assert refused.value.code == "SlotHeld"


def test_a_claim_with_a_history_cannot_be_imported() -> None:
    """A second import is refused in every state of the claim."""
    with pytest.raises(Refused) as refused:
        entered(entered(past()))

    assert refused.value.code == "InvalidState"


def test_it_has_no_contacts() -> None:
    """There is no address on either side."""
    claim = entered(past()).claim

    assert (claim.customer_contact, claim.partner_contact) == (None, None)
