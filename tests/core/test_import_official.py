"""Past associations that the operator imports."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from cpor_app.adapters.storage.row_store import Op
from cpor_core.errors import Conflict, Refused, StorageBusy
from cpor_core.model.claim import Reason, Status
from cpor_core.use_cases.change_claim import NO_CONTEXT
from cpor_core.use_cases.claims import partner_acts
from cpor_core.use_cases.claims.subscription_ends import AGAIN_AFTER
from cpor_core.use_cases.register import import_official
from cpor_core.use_cases.register.import_official import import_lines
from cpor_core.use_cases.registry.partners_and_customers import CustomerChange, put_customer
from cpor_core.use_cases.usage.figures import Loaded
from tests.core.builders import (
    ADATUM,
    FABRIKAM,
    MONDAY,
    PARTNER_IDS,
    PERSON,
    RECOGNITION,
    SALES,
    SUBSCRIPTION,
    TEAMS,
    TENANT,
    USAGE,
    customer,
)
from tests.core.memory_core import Core
from tests.doubles.transport import ProcessDied

SINCE = datetime(2024, 5, 1, tzinfo=UTC)


def line(**given: Any) -> bytes:
    """Return a line about Teams."""
    return json.dumps(
        {
            "engagement": "osu-m365",
            "partnerId": PARTNER_IDS[ADATUM],
            "tenantId": TENANT,
            "item": "teams",
            "since": "2024-05-01",
            **given,
        }
    ).encode()


async def enter(core: Core, *lines: bytes) -> Loaded:
    """Import past associations."""
    return await import_lines(core.ports, lines, "operator", await core.now())


async def own(core: Core, organisation: str = ADATUM) -> list[str]:
    """Return the ids of an organisation's claims."""
    return [row.claim_id for row in await core.ports.partner_claims.page(organisation, after="", limit=99)]


async def test_a_past_association_is_official_from_its_past_begin_on(core: Core) -> None:
    """It holds the slot of its engagement's successor and keeps the older name (decision 33)."""
    assert await enter(core, line()) == Loaded(accepted=1, unchanged=0, rejected=())

    case = await core.stored((await own(core))[0])
    claim = case.claim
    assert (claim.status, claim.official_since, claim.engagement, claim.filed_as) == (
        Status.OFFICIAL,
        SINCE,
        USAGE,
        "osu-m365",
    )
    holder = case.slots["teams"].holder
    assert holder is not None
    assert (holder.claim, holder.since) == (claim.id, SINCE)
    assert core.queues.waiting == {}


async def test_the_customer_is_notified_with_a_link_to_end_it(core: Core) -> None:
    """Each registered address gets one mail, also if it is registered in two spellings."""
    await core.register_customer(notice_addresses=("it@contoso.fr", "IT@contoso.fr"))

    await enter(core, line())
    await core.deliver()

    assert core.mailbox.kinds() == ["imported"]


async def test_a_customer_who_was_not_notified_gets_no_mail_after_the_end(core: Core) -> None:
    """The customer gets no notice, because there is no association to end, and no mail about the end."""
    await core.register_customer(notice_addresses=("it@contoso.fr",))
    await enter(core, line())
    case = await core.case((await own(core))[0])
    await partner_acts.end(core.ports, case, PERSON, MONDAY, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    await core.rest()

    assert core.mailbox.kinds() == []


async def test_a_subscription_is_found_by_its_id(core: Core) -> None:
    """The registry has its product."""
    loaded = await enter(
        core, line(engagement="osu-bizapps", item=SUBSCRIPTION.upper(), since="2024-05-01T00:00:00+02:00")
    )

    assert loaded.accepted == 1
    claim = (await core.stored((await own(core))[0])).claim
    assert (claim.engagement, claim.items) == (RECOGNITION, (SALES,))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"engagement": "no-such"}, "EngagementUnknown"),
        ({"partnerId": "9999"}, "PartnerUnknown"),
        ({"tenantId": ADATUM}, "TenantUnknown"),
        ({"item": "viva-topics"}, "ItemNotClaimable"),
        ({"item": "no-such"}, "ItemNotClaimable"),
        ({"engagement": "osu-bizapps", "item": "cccccccc-0000-4000-8000-000000000009"}, "ItemNotClaimable"),
        ({"since": "2027-01-01"}, "SinceInvalid"),
        ({"since": "2009-12-31"}, "SinceInvalid"),
        ({"since": "yesterday"}, "InvalidRow"),
    ],
)
async def test_a_bad_line_is_reported_and_the_others_are_imported(core: Core, given: dict[str, Any], code: str) -> None:
    """The report has the line's number."""
    loaded = await enter(core, b"", line(**given), line(item="exchange"), line(item="sharepoint"))

    assert loaded.accepted == 2
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [(2, code)]


async def test_the_same_lines_again_change_nothing(core: Core) -> None:
    """An association that has ended since does not come back."""
    await enter(core, line(), line(item="exchange"))
    case = await core.case((await own(core))[0])
    await partner_acts.end(core.ports, case, PERSON, MONDAY, Reason.PARTNER_DISASSOCIATED, NO_CONTEXT)

    loaded = await enter(core, line(), line(item="exchange"))

    assert (loaded.accepted, loaded.unchanged) == (0, 2)
    assert (await core.case(case)).claim.status is Status.ENDED


async def test_the_same_line_twice_in_one_import_is_one_association(core: Core) -> None:
    """The second line finds the association of the first."""
    loaded = await enter(core, line(), line())

    assert (loaded.accepted, loaded.unchanged, loaded.rejected) == (1, 1, ())


async def test_the_same_line_with_another_begin_is_refused(core: Core) -> None:
    """The first association stays."""
    await enter(core, line())

    loaded = await enter(core, line(since="2025-05-01"))

    assert [bad.code for bad in loaded.rejected] == ["AlreadyImported"]


async def test_of_two_lines_about_one_slot_the_first_holds_it(core: Core) -> None:
    """A line about a held slot is a bad row (decision 33)."""
    loaded = await enter(core, line(), line(partnerId=PARTNER_IDS[FABRIKAM]))

    assert loaded.accepted == 1
    assert [(bad.row, bad.code) for bad in loaded.rejected] == [(2, "SlotHeld")]


async def test_a_slot_that_changes_during_the_import_is_judged_again(core: Core) -> None:
    """A claim was submitted during the import."""
    draft = await core.draft(FABRIKAM, items=(TEAMS,), engagement=USAGE)

    async def submit() -> None:
        await core.submit(draft)

    async with core.rows.once_before("claims", submit):
        loaded = await enter(core, line())

    assert loaded.accepted == 1
    assert (await core.seen(draft)).competing


async def test_two_imports_at_once_enter_it_once(core: Core) -> None:
    """The second import finds the association."""

    async def another() -> None:
        assert (await enter(core, line())).accepted == 1

    async with core.rows.once_before("claims", another):
        loaded = await enter(core, line())

    assert (loaded.accepted, loaded.unchanged) == (0, 1)


async def test_our_own_line_whose_answer_was_lost_is_imported_once(core: Core) -> None:
    """The import finds its own write."""

    async def lost() -> None:
        raise Conflict("claims: EntityAlreadyExists")

    async with core.rows.once_after("claims", lost):
        assert (await enter(core, line())).accepted == 1


async def test_a_line_that_loses_every_race_is_a_busy_store(core: Core) -> None:
    """The operator can send the same lines again."""

    async def lost(table: str, _: Sequence[Op]) -> None:
        if table == "claims":
            raise Conflict("claims: UpdateConditionNotSatisfied")

    core.rows.before = lost
    with pytest.raises(StorageBusy):
        await enter(core, line(), line(item="exchange"))
    core.rows.before = None

    assert (await enter(core, line(), line(item="exchange"))).accepted == 2


async def test_an_import_that_died_half_way_can_be_sent_again(core: Core) -> None:
    """Imported lines stay, and the others are imported."""

    async def die() -> None:
        raise ProcessDied

    async with core.rows.once_after("claims", die):
        with pytest.raises(ProcessDied):
            await enter(core, line(), line(item="exchange"))

    loaded = await enter(core, line(), line(item="exchange"))

    assert loaded.accepted + loaded.unchanged == 2
    assert len(set(await own(core))) == 2


async def test_an_import_has_a_limited_number_of_lines(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines do not count."""
    monkeypatch.setattr(import_official, "MOST_LINES", 1)

    assert (await enter(core, line(), b" ")).accepted == 1
    with pytest.raises(Refused, match="PayloadTooLarge"):
        await enter(core, line(), line(item="exchange"))


async def test_an_item_that_is_removed_during_its_import_ends_the_association(core: Core) -> None:
    """The import read the registry before the operator's change and is committed after it."""

    async def the_item_goes() -> None:
        change = CustomerChange(TENANT, customer(workloads=("exchange",)))
        assert (await put_customer(core.ports, change, await core.now()))[1] == ()

    async with core.rows.once_before("claims", the_item_goes):
        assert (await enter(core, line())).accepted == 1

    await core.rest(AGAIN_AFTER)
    assert (await core.stored((await own(core))[0])).claim.end_reason is Reason.SUBSCRIPTION_ENDED
